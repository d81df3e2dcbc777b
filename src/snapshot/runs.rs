//! Passing over tokens in order, run by run.
//!
//! A run is what comes next and lies side by side: a stretch of the base before the next
//! entry of any part, or entries of one part before anything else comes. So each record
//! is read where it lies by counting up a position. Where in the base the next entry of
//! each part is, is known; tokens are compared only of entries at the same place. Without
//! parts all is one run.

use std::cmp::Ordering;
use std::ops::Range;

use super::view::{Cut, Run, Source, View, cut_off, is_nearer};
use crate::challenge::Direction;
use crate::error::Result;
use crate::format::kinds::Kind;
use crate::token::TokenId;

/// Up to so many tokens are passed over rather than skipped by a search.
const PASSED_OVER: usize = 256;

/// What is left between two cuts, to be taken from both ends.
#[derive(Debug)]
pub(super) struct Runs {
    /// Taken from the lower end of the middle, but not given out yet.
    pub(super) front: Run,
    /// Taken from its upper end.
    pub(super) back: Run,
    middle: Middle,
}

/// What was taken from neither end: positions in the base and in each part, and ranks.
#[derive(Debug)]
struct Middle {
    base: Range<usize>,
    parts: Vec<Range<usize>>,
    ranks: Range<u64>,
    /// Of the entry of each part that comes next, seen up and seen down, its base position:
    /// the number of records of the base with smaller tokens. Empty as long as they are not
    /// known.
    ahead: [Vec<usize>; 2],
}

/// Where in the base the nearest entry is, a part that has one there, and whether no other
/// one has.
struct Nearest {
    place: usize,
    part: usize,
    is_alone: bool,
}

impl Runs {
    /// What lies between two cuts; nothing if they are the wrong way round.
    pub(super) fn between(start: Cut, end: Cut) -> Self {
        let parts: Vec<_> =
            start.parts.into_iter().zip(end.parts).map(|(start, end)| start..end).collect();
        let (base, ranks) = (start.base..end.base, start.rank..end.rank);
        let middle = Middle { base, parts, ranks, ahead: Default::default() };
        Self { front: Run::default(), back: Run::default(), middle }
    }

    /// Nothing.
    pub(super) fn none() -> Self {
        Self::between(Cut::default(), Cut::default())
    }

    /// Number of tokens.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.front.positions.len() + self.middle.len() + self.back.positions.len()
    }

    /// Takes a run from an end; one that was not taken before has up to so many records.
    ///
    /// After an error nothing is left.
    pub(super) fn take(
        &mut self,
        view: &View,
        direction: Direction,
        records_max: usize,
    ) -> Result<Option<Run>> {
        let mut run = std::mem::take(self.near(direction));
        if run.positions.is_empty() {
            run = self.middle.take(view, direction, records_max).inspect_err(|_| self.clear())?;
        }
        if run.positions.is_empty() {
            run = std::mem::take(self.far(direction));
        }
        Ok((!run.positions.is_empty()).then_some(run))
    }

    /// Keeps what is left of a run for when that end is turned to next.
    pub(super) fn keep(&mut self, direction: Direction, run: Run) {
        *self.near(direction) = run;
    }

    /// Puts back what is left of a run that was just taken from the middle.
    pub(super) fn put_back(&mut self, direction: Direction, run: &Run) {
        self.middle.put_back(direction, run);
    }

    /// Skips so many tokens at an end.
    ///
    /// After an error nothing is left.
    pub(super) fn skip(&mut self, view: &View, direction: Direction, count: usize) -> Result<()> {
        let run = self.near(direction);
        let left = count - cut_off(&mut run.positions, direction, count).len();
        if left == 0 {
            return Ok(());
        }
        match left.checked_sub(self.middle.len()) {
            None => self.middle.skip(view, direction, left).inspect_err(|_| self.clear()),
            Some(left) => {
                self.middle = Self::none().middle;
                cut_off(&mut self.far(direction).positions, direction, left);
                Ok(())
            }
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::none();
    }

    fn near(&mut self, direction: Direction) -> &mut Run {
        match direction {
            Direction::Up => &mut self.front,
            Direction::Down => &mut self.back,
        }
    }

    fn far(&mut self, direction: Direction) -> &mut Run {
        match direction {
            Direction::Up => &mut self.back,
            Direction::Down => &mut self.front,
        }
    }
}

impl Middle {
    #[inline]
    fn len(&self) -> usize {
        self.ranks.end.saturating_sub(self.ranks.start) as usize
    }

    /// Takes a run of up to so many records from an end; an empty one if nothing is left.
    fn take(&mut self, view: &View, direction: Direction, records_max: usize) -> Result<Run> {
        let run = self.next_run(view, direction, records_max)?;
        let len = run.positions.len() as u64;
        match direction {
            // What is said of the kinds of entries may not be so, nor then their number.
            _ if len == 0 => self.ranks = 0..0,
            Direction::Up => self.ranks.start = self.ranks.start.saturating_add(len),
            Direction::Down => self.ranks.end = self.ranks.end.saturating_sub(len),
        }
        Ok(run)
    }

    fn put_back(&mut self, direction: Direction, run: &Run) {
        let positions = match run.source {
            Source::Base => &mut self.base,
            Source::Part(index) => &mut self.parts[index],
        };
        let len = run.positions.len() as u64;
        // What is ahead is found out anew.
        self.ahead[direction as usize].clear();
        match direction {
            Direction::Up => {
                positions.start = run.positions.start;
                self.ranks.start = self.ranks.start.saturating_sub(len);
            }
            Direction::Down => {
                positions.end = run.positions.end;
                self.ranks.end = self.ranks.end.saturating_add(len);
            }
        }
    }

    fn next_run(&mut self, view: &View, direction: Direction, records_max: usize) -> Result<Run> {
        self.look_ahead(view, direction)?;
        loop {
            let Some(Nearest { place, part, is_alone }) = self.nearest(direction) else {
                let positions = cut_off(&mut self.base, direction, records_max);
                return Ok(Run { source: Source::Base, positions });
            };
            // What is done to a token that one part alone says anything of, is done to the
            // base: so it is known without reading tokens whether the record there is hidden.
            let kind = if is_alone { self.kind_ahead(view, direction, part)? } else { None };
            let may_hide = kind != Some(Kind::Fresh);
            let free = match direction {
                Direction::Up => self.base.start..place.min(self.base.end),
                Direction::Down => {
                    place.saturating_add(may_hide.into()).max(self.base.start)..self.base.end
                }
            };
            if !free.is_empty() {
                let positions = cut_off(&mut self.base, direction, free.len().min(records_max));
                return Ok(Run { source: Source::Base, positions });
            }
            let (part, position, kind) = if let Some(kind) = kind {
                if may_hide && next_of(&self.base, direction) == Some(place) {
                    cut_off(&mut self.base, direction, 1);
                }
                (part, self.take_entry(view, direction, part)?, kind)
            } else {
                let (part, token) = self.newest_of(view, direction, place)?;
                match self.base_token_at(view, direction, place)? {
                    Some(base_token) if base_token == token => {
                        cut_off(&mut self.base, direction, 1);
                    }
                    Some(base_token) if is_nearer(&base_token, &token, direction) => {
                        let positions = cut_off(&mut self.base, direction, 1);
                        return Ok(Run { source: Source::Base, positions });
                    }
                    _ => {}
                }
                let position = self.take_entries(view, direction, part, place, &token)?;
                (part, position, view.parts[part].kind(position)?)
            };
            if kind != Kind::Tombstone {
                let len = 1 + self.take_more(view, direction, part, records_max)?;
                let positions = match direction {
                    Direction::Up => position..position + len,
                    Direction::Down => position + 1 - len..position + 1,
                };
                return Ok(Run { source: Source::Part(part), positions });
            }
        }
    }

    /// What the next entry of a part did to what lies below.
    #[inline]
    fn kind_ahead(&self, view: &View, direction: Direction, index: usize) -> Result<Option<Kind>> {
        let Some(entry) = next_of(&self.parts[index], direction) else { return Ok(None) };
        let part = &view.parts[index];
        match part.outline().and_then(|outline| outline.kind(entry)) {
            None => part.kind(entry).map(Some),
            kind => Ok(kind),
        }
    }

    /// Finds out where in the base the next entry of each part is.
    fn look_ahead(&mut self, view: &View, direction: Direction) -> Result<()> {
        if self.ahead[direction as usize].len() == self.parts.len() {
            return Ok(());
        }
        let ahead = (0..self.parts.len()).map(|index| self.place_ahead(view, direction, index));
        self.ahead[direction as usize] = ahead.collect::<Result<_>>()?;
        Ok(())
    }

    /// Where in the base the next entry of a part is; anywhere if it has none.
    #[inline]
    fn place_ahead(&self, view: &View, direction: Direction, index: usize) -> Result<usize> {
        let Some(entry) = next_of(&self.parts[index], direction) else { return Ok(0) };
        let part = &view.parts[index];
        if let Some(position) = part.outline().and_then(|outline| outline.base_position(entry)) {
            return Ok(position);
        }
        match part.record(entry)? {
            Some(record) => Ok(view.base.find(&record.token)?.position),
            None => Ok(0),
        }
    }

    /// Where in the base the nearest entry of any part is.
    #[inline]
    fn nearest(&self, direction: Direction) -> Option<Nearest> {
        let mut nearest: Option<Nearest> = None;
        let ahead = &self.ahead[direction as usize];
        for (part, (&place, entries)) in ahead.iter().zip(&self.parts).enumerate() {
            if entries.is_empty() {
                continue;
            }
            let order = nearest.as_ref().map_or(Ordering::Less, |nearest| match direction {
                Direction::Up => place.cmp(&nearest.place),
                Direction::Down => nearest.place.cmp(&place),
            });
            match (order, &mut nearest) {
                (Ordering::Less, _) => nearest = Some(Nearest { place, part, is_alone: true }),
                (Ordering::Equal, Some(nearest)) => nearest.is_alone = false,
                _ => {}
            }
        }
        nearest
    }

    /// Of the parts whose next entry is there in the base, the one that comes first, the
    /// newest of several, and the token.
    fn newest_of(
        &self,
        view: &View,
        direction: Direction,
        place: usize,
    ) -> Result<(usize, TokenId)> {
        let mut first: Option<(usize, TokenId)> = None;
        for (index, other) in self.ahead[direction as usize].iter().enumerate() {
            if *other == place
                && let Some(token) = self.part_token(view, direction, index)?
                && first.is_none_or(|(_, first)| is_nearer(&token, &first, direction))
            {
                first = Some((index, token));
            }
        }
        Ok(first.unwrap_or_default())
    }

    /// Takes all entries of a token, which comes next. The position of the newest one.
    fn take_entries(
        &mut self,
        view: &View,
        direction: Direction,
        newest: usize,
        place: usize,
        token: &TokenId,
    ) -> Result<usize> {
        // In the parts before, it would have been the newest one.
        for index in newest + 1..self.parts.len() {
            if self.ahead[direction as usize][index] == place
                && self.part_token(view, direction, index)?.is_some_and(|other| other == *token)
            {
                self.take_entry(view, direction, index)?;
            }
        }
        self.take_entry(view, direction, newest)
    }

    /// Takes the next entry of a part.
    #[inline]
    fn take_entry(&mut self, view: &View, direction: Direction, index: usize) -> Result<usize> {
        let taken = cut_off(&mut self.parts[index], direction, 1).start;
        self.ahead[direction as usize][index] = self.place_ahead(view, direction, index)?;
        Ok(taken)
    }

    /// Takes more entries of a part, as long as they are live and nothing comes between,
    /// so that there are up to `records_max` with one that was taken already.
    fn take_more(
        &mut self,
        view: &View,
        direction: Direction,
        index: usize,
        records_max: usize,
    ) -> Result<usize> {
        let mut count = 0;
        while count + 1 < records_max
            && let Some(position) = next_of(&self.parts[index], direction)
        {
            let place = self.ahead[direction as usize][index];
            let is_free = match direction {
                Direction::Up => place > self.base.start,
                Direction::Down => place.saturating_add(1) < self.base.end,
            };
            // Most often it does not come to more than this.
            if is_free && !self.base.is_empty()
                || self.nearest(direction).is_none_or(|nearest| nearest.place != place)
            {
                break;
            }
            let (newest, token) = self.newest_of(view, direction, place)?;
            let base_token = self.base_token_at(view, direction, place)?;
            let is_next = newest == index
                && base_token.is_none_or(|base| is_nearer(&token, &base, direction))
                && view.parts[index].kind(position)? != Kind::Tombstone;
            if !is_next || self.has_older(view, direction, index, place, &token)? {
                break;
            }
            self.take_entry(view, direction, index)?;
            count += 1;
        }
        Ok(count)
    }

    /// Whether an older part has an entry of this token, too.
    fn has_older(
        &self,
        view: &View,
        direction: Direction,
        newest: usize,
        place: usize,
        token: &TokenId,
    ) -> Result<bool> {
        for index in newest + 1..self.parts.len() {
            if self.ahead[direction as usize][index] == place
                && self.part_token(view, direction, index)?.is_some_and(|other| other == *token)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The token of the next entry of a part.
    fn part_token(
        &self,
        view: &View,
        direction: Direction,
        index: usize,
    ) -> Result<Option<TokenId>> {
        match next_of(&self.parts[index], direction) {
            Some(position) => Ok(view.parts[index].record(position)?.map(|record| record.token)),
            None => Ok(None),
        }
    }

    /// The token of the next record of the base, if that is the one at a position.
    #[inline]
    fn base_token_at(
        &self,
        view: &View,
        direction: Direction,
        position: usize,
    ) -> Result<Option<TokenId>> {
        match next_of(&self.base, direction) {
            Some(next) if next == position => {
                Ok(view.base.record(position)?.map(|record| record.token))
            }
            _ => Ok(None),
        }
    }

    /// Skips so many tokens, fewer than there are.
    fn skip(&mut self, view: &View, direction: Direction, count: usize) -> Result<()> {
        if count > PASSED_OVER && !self.parts.is_empty() {
            return self.seek(view, direction, count);
        }
        let mut left = count;
        while left > 0 {
            let run = self.take(view, direction, left)?;
            if run.positions.is_empty() {
                break;
            }
            left -= run.positions.len();
        }
        Ok(())
    }

    fn seek(&mut self, view: &View, direction: Direction, count: usize) -> Result<()> {
        let count = count as u64;
        let rank = match direction {
            Direction::Up => self.ranks.start.saturating_add(count),
            Direction::Down => self.ranks.end.saturating_sub(count),
        };
        let (cut, _) = view.seek(rank)?;
        self.ahead = Default::default();
        let narrow = |positions: &mut Range<usize>, at: usize| match direction {
            Direction::Up => positions.start = at.max(positions.start),
            Direction::Down => positions.end = at.min(positions.end),
        };
        narrow(&mut self.base, cut.base);
        for (positions, at) in self.parts.iter_mut().zip(cut.parts) {
            narrow(positions, at);
        }
        match direction {
            Direction::Up => self.ranks.start = rank,
            Direction::Down => self.ranks.end = rank,
        }
        Ok(())
    }
}

/// The position that comes first in a direction.
#[inline]
fn next_of(positions: &Range<usize>, direction: Direction) -> Option<usize> {
    match direction {
        _ if positions.is_empty() => None,
        Direction::Up => Some(positions.start),
        Direction::Down => Some(positions.end - 1),
    }
}
