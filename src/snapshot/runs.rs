//! Passing over tokens in order, run by run.
//!
//! A run is what comes next and lies side by side: a stretch of the base before the next
//! entry of any part, or entries of one part before anything else comes. So each record
//! is read where it lies by counting up a position, and entries of several layers are
//! compared only where a run begins or ends. Without parts all is one run.

use std::ops::Range;

use super::view::{Cut, Run, Side, Source, View, cut_off, is_nearer};
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
    /// As far as is known, no entry of a part comes before the record of the base at the
    /// first of these positions, nor after the one before the second.
    free: (usize, usize),
}

impl Runs {
    /// What lies between two cuts; nothing if they are the wrong way round.
    pub(super) fn between(start: Cut, end: Cut) -> Self {
        let parts: Vec<_> =
            start.parts.into_iter().zip(end.parts).map(|(start, end)| start..end).collect();
        let free = if parts.is_empty() { (usize::MAX, 0) } else { (0, usize::MAX) };
        let (base, ranks) = (start.base..end.base, start.rank..end.rank);
        let middle = Middle { base, parts, ranks, free };
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
        loop {
            let free = match direction {
                Direction::Up => self.base.start..self.free.0.min(self.base.end),
                Direction::Down => self.free.1.max(self.base.start)..self.base.end,
            };
            if !free.is_empty() {
                let len = free.len().min(records_max);
                let positions = cut_off(&mut self.base, direction, len);
                return Ok(Run { source: Source::Base, positions });
            }
            let Some((newest, token)) = self.next_entry(view, direction)? else {
                if self.base.is_empty() {
                    return Ok(Run::default());
                }
                self.free = (usize::MAX, 0);
                continue;
            };
            match self.base_token(view, direction)? {
                Some(base_token) if is_nearer(&base_token, &token, direction) => {
                    self.free_up_to(view, direction, newest, &token)?;
                    continue;
                }
                Some(base_token) if base_token == token => {
                    cut_off(&mut self.base, direction, 1);
                }
                _ => {}
            }
            let position = self.take_entries(view, direction, newest, &token)?;
            if view.parts[newest].kind(position)? != Kind::Tombstone {
                let len = 1 + self.take_more(view, direction, newest, records_max)?;
                let positions = match direction {
                    Direction::Up => position..position + len,
                    Direction::Down => position + 1 - len..position + 1,
                };
                return Ok(Run { source: Source::Part(newest), positions });
            }
        }
    }

    /// The next record of the base comes before the next entry of any part, which is of
    /// this token and in this part: finds how many more do, or that one more does.
    fn free_up_to(
        &mut self,
        view: &View,
        direction: Direction,
        newest: usize,
        token: &TokenId,
    ) -> Result<()> {
        let outline = view.parts[newest].outline();
        let entry = next_of(&self.parts[newest], direction);
        let known = outline.zip(entry).and_then(|(outline, entry)| outline.base_position(entry));
        let (below, above) = if let Some(position) = known {
            // The record there is of this token or the first above.
            (position, position + 1)
        } else {
            let found = view.base.find(token)?;
            (Side::Below.of(found), Side::Above.of(found))
        };
        match direction {
            Direction::Up => self.free.0 = below.max(self.base.start + 1),
            Direction::Down => self.free.1 = above.min(self.base.end - 1),
        }
        Ok(())
    }

    /// Takes all entries of a token, which comes next. The position of the newest one.
    fn take_entries(
        &mut self,
        view: &View,
        direction: Direction,
        newest: usize,
        token: &TokenId,
    ) -> Result<usize> {
        let taken = cut_off(&mut self.parts[newest], direction, 1).start;
        // In the parts before, it would have been the newest one.
        for index in newest + 1..self.parts.len() {
            if self.part_token(view, direction, index)?.is_some_and(|other| other == *token) {
                cut_off(&mut self.parts[index], direction, 1);
            }
        }
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
        let base_token = self.base_token(view, direction)?;
        let mut others_token = None;
        let mut count = 0;
        while count + 1 < records_max
            && let Some(token) = self.part_token(view, direction, index)?
        {
            let is_next = |other: Option<TokenId>| {
                other.is_none_or(|other| is_nearer(&token, &other, direction))
            };
            if !is_next(base_token) {
                break;
            }
            // Most often it does not come to this.
            let others_token = match others_token {
                Some(token) => token,
                None => *others_token.insert(self.others_token(view, direction, index)?),
            };
            let position = next_of(&self.parts[index], direction).unwrap_or(0);
            if !is_next(others_token) || view.parts[index].kind(position)? == Kind::Tombstone {
                break;
            }
            cut_off(&mut self.parts[index], direction, 1);
            count += 1;
        }
        Ok(count)
    }

    /// The part that has the next entry, the newest of several, and the token.
    fn next_entry(&self, view: &View, direction: Direction) -> Result<Option<(usize, TokenId)>> {
        let mut next: Option<(usize, TokenId)> = None;
        for index in 0..self.parts.len() {
            if let Some(token) = self.part_token(view, direction, index)?
                && next.is_none_or(|(_, next)| is_nearer(&token, &next, direction))
            {
                next = Some((index, token));
            }
        }
        Ok(next)
    }

    /// The token of the next entry of any part but one.
    fn others_token(
        &self,
        view: &View,
        direction: Direction,
        but: usize,
    ) -> Result<Option<TokenId>> {
        let mut next: Option<TokenId> = None;
        for index in (0..self.parts.len()).filter(|index| *index != but) {
            if let Some(token) = self.part_token(view, direction, index)?
                && next.is_none_or(|next| is_nearer(&token, &next, direction))
            {
                next = Some(token);
            }
        }
        Ok(next)
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

    /// The token of the next record of the base.
    fn base_token(&self, view: &View, direction: Direction) -> Result<Option<TokenId>> {
        match next_of(&self.base, direction) {
            Some(position) => Ok(view.base.record(position)?.map(|record| record.token)),
            None => Ok(None),
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
