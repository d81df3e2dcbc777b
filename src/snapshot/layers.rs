//! Walking the ring over a base and parts.
//!
//! Parts are small, so most matches are the base's. The base is asked for all that a leg
//! seeks at once, as if it were alone. For each of its matches the filter then tells
//! whether any part may have an entry with that suffix that comes before; most often
//! none has, and nothing more is read. Otherwise the parts are asked for theirs: the
//! nearest one counts, the newest of several for one token. If it is live, it is the
//! match; if not, it hides what lies below; in either case the base is asked again from
//! there on.
//!
//! Tokens are not counted while walking. How many were passed follows from the ranks of
//! where a leg began and ended.

use std::ops::{Range, RangeInclusive};

use super::nearest::{Entry, Reached};
use super::view::{Place, Side, Source, View};
use super::walk::{Course, Turn, WalkSummary};
use crate::challenge::Direction;
use crate::delta::part::PartPlace;
use crate::error::Result;
use crate::format::kinds::Kind;

/// With no more parts than this a walk takes no memory of its own.
const FEW_PARTS: usize = 8;

/// The token that a walk starts from, in each layer: positions of its entry, or an empty
/// range where it would be.
struct Origin<'a> {
    base: Range<usize>,
    parts: &'a [Range<usize>],
}

impl View {
    /// Does what a walk over parts begins with: meets what the base has on the way, as if it were
    /// alone, and brings near what parts may have before each of these, all at once. Nothing
    /// without parts.
    pub(crate) fn look_ahead(&self, course: &Course<'_>, places: &mut [Place]) -> Result<()> {
        if !self.has_parts() {
            return Ok(());
        }
        let (below, above) = (Side::Below.of(course.found), Side::Above.of(course.found));
        let mut rest = places;
        for (direction, suffixes) in course.legs() {
            let leg;
            (leg, rest) = rest.split_at_mut(suffixes.len().min(rest.len()));
            let mut region = match direction {
                Direction::Up => above..self.base.len(),
                Direction::Down => 0..below,
            };
            let mut free = leg.iter_mut();
            self.base.meet(region.clone(), direction, suffixes, |position| {
                if let Some(free) = free.next() {
                    *free = Place { source: Source::Base, position };
                }
            })?;
            self.prefetch_records(leg);
            for (suffix, place) in suffixes.iter().zip(&*leg) {
                let of_base = place.is_somewhere().then_some(place.position);
                let stretch = stretch(&region, direction, of_base);
                if self.filter.may_hold(*suffix, stretch.clone()) {
                    self.prefetch_entries(&stretch);
                }
                let Some(position) = of_base else { break };
                pass(&mut region, direction, position);
            }
            if let Some(last) = leg.last().filter(|last| last.is_somewhere()) {
                self.prefetch_rank(last.position);
            }
        }
        Ok(())
    }

    /// [`walk`](Self::walk) where there are parts.
    pub(super) fn walk_layers(
        &self,
        course: &Course<'_>,
        places: &mut [Place],
    ) -> Result<WalkSummary> {
        let &Course { token, found, turns, suffixes } = course;
        let mut few: [Range<usize>; 2 * FEW_PARTS] = [const { 0..0 }; 2 * FEW_PARTS];
        let mut many: Vec<Range<usize>> = Vec::new();
        let count = self.parts.len();
        let room = if count <= FEW_PARTS {
            &mut few[..2 * count]
        } else {
            many.resize(2 * count, 0..0);
            &mut many
        };
        let (parts, ahead) = room.split_at_mut(count);
        let (mut below, mut through) = (0i64, 0i64);
        let is_alone = self.is_alone(token, found);
        for (part, place) in self.parts.iter().zip(parts.iter_mut()) {
            let PartPlace { entries, tokens } = part.place_of(token, found.position, is_alone)?;
            *place = entries;
            below = below.saturating_add(tokens.start);
            through = through.saturating_add(tokens.end);
        }
        let base = Side::Below.of(found)..Side::Above.of(found);
        let ranks = self.total(base.start, below)..self.total(base.end, through);
        let origin = Origin { base, parts };
        self.walk_turns(&origin, ranks, turns, suffixes, places, ahead)
    }

    fn walk_turns(
        &self,
        origin: &Origin<'_>,
        ranks: Range<u64>,
        turns: &[Turn],
        suffixes: &[u16],
        places: &mut [Place],
        ahead: &mut [Range<usize>],
    ) -> Result<WalkSummary> {
        let below = ranks.start;
        let above = self.len().saturating_sub(ranks.end);
        let mut summary = WalkSummary::default();
        let mut first = 0;
        for &(direction, end) in turns {
            let start = std::mem::replace(&mut first, end);
            // Above the origin, and below it.
            let regions = match direction {
                Direction::Up => [true, false],
                Direction::Down => [false, true],
            };
            for (beyond_end, is_above) in regions.into_iter().enumerate() {
                let tokens = if is_above { above } else { below };
                if summary.count == end || tokens == 0 {
                    continue;
                }
                summary.wrapped |= beyond_end == 1;
                let base =
                    if is_above { origin.base.end..self.base.len() } else { 0..origin.base.start };
                for ((ahead, place), part) in ahead.iter_mut().zip(origin.parts).zip(&self.parts) {
                    *ahead = if is_above { place.end..part.len() } else { 0..place.start };
                }
                let sought = summary.count..end;
                let (suffixes, places) = (&suffixes[sought.clone()], &mut places[sought]);
                // What of the base was met on looking ahead.
                let known = if beyond_end == 0 && summary.count == start {
                    places.iter().take_while(|place| place.is_somewhere()).count()
                } else {
                    0
                };
                let met =
                    self.meet_layers(base, ahead, direction, suffixes, (&mut *places, known))?;
                summary.count += met;
                if summary.count < end {
                    summary.steps = summary.steps.saturating_add(tokens);
                    continue;
                }
                let rank = self.rank_of(places[met - 1])?;
                summary.steps += match (direction, is_above) {
                    (Direction::Up, true) => (rank + 1).saturating_sub(ranks.end),
                    (Direction::Up, false) => rank + 1,
                    (Direction::Down, true) => self.len().saturating_sub(rank),
                    (Direction::Down, false) => ranks.start.saturating_sub(rank),
                };
            }
        }
        summary.complete = summary.count == suffixes.len();
        Ok(summary)
    }

    /// Goes through the positions ahead in each layer and meets suffixes in order; how
    /// many of them were met. Of the base the first `known` matches are there already.
    fn meet_layers(
        &self,
        base: Range<usize>,
        ahead: &mut [Range<usize>],
        direction: Direction,
        suffixes: &[u16],
        (places, mut known): (&mut [Place], usize),
    ) -> Result<usize> {
        let mut reached = Reached { base, last: None };
        let mut count = 0;
        let mut at_once = suffixes.len();
        'ask: while count < suffixes.len() {
            let end = suffixes.len().min(count + at_once);
            let mut met = count + std::mem::take(&mut known);
            if met == count {
                self.base.meet(
                    reached.base.clone(),
                    direction,
                    &suffixes[count..end],
                    |position| {
                        places[met] = Place { source: Source::Base, position };
                        met += 1;
                    },
                )?;
                // They are read in the end, and one by one they would hold that up.
                self.prefetch_records(&places[count..met]);
                if met == suffixes.len() {
                    self.prefetch_rank(places[met - 1].position);
                }
            }
            while count < end {
                let suffix = suffixes[count];
                let of_base = (count < met).then(|| places[count].position);
                let stretch = stretch(&reached.base, direction, of_base);
                if self.filter.may_hold(suffix, stretch.clone())
                    && let Some(entry) =
                        self.nearest_entry(&reached, ahead, direction, suffix, of_base, &stretch)?
                {
                    let is_live = self.go_to(&mut reached, ahead, direction, entry)?;
                    if is_live {
                        places[count] = entry.place();
                        count += 1;
                    }
                    // Where much is gone, what the base has farther on is of no use.
                    at_once = if is_live { suffixes.len() } else { 1 };
                    continue 'ask;
                }
                let Some(position) = of_base else { return Ok(count) };
                pass(&mut reached.base, direction, position);
                reached.last = Some(places[count]);
                count += 1;
            }
            at_once = suffixes.len();
        }
        Ok(count)
    }

    /// Goes on behind an entry; whether it is live.
    fn go_to(
        &self,
        reached: &mut Reached,
        ahead: &mut [Range<usize>],
        direction: Direction,
        entry: Entry,
    ) -> Result<bool> {
        let Entry { part, position, base_position } = entry;
        let base = &mut reached.base;
        match direction {
            Direction::Up => {
                let start = base_position + usize::from(self.is_in_base(entry)?);
                base.start = start.clamp(base.start, base.end);
                ahead[part].start = position + 1;
            }
            Direction::Down => {
                base.end = base_position.clamp(base.start, base.end);
                ahead[part].end = position;
            }
        }
        let is_live = self.kind_of(entry)? != Kind::Tombstone;
        self.parts[part].prefetch_source(position);
        reached.last = Some(entry.place());
        Ok(is_live)
    }

    /// Number of tokens below that of an entry that was met.
    fn rank_of(&self, place: Place) -> Result<u64> {
        let Some(record) = self.record(place)? else { return Ok(self.len()) };
        let base_position = match place.source {
            Source::Base => place.position,
            Source::Part(part) => {
                let outline = self.parts[part].outline();
                match outline.and_then(|outline| outline.base_position(place.position)) {
                    Some(base_position) => base_position,
                    None => self.base.find(&record.token)?.position,
                }
            }
        };
        // Had a part an entry of a token that was met in the base, that would have been met.
        let is_alone = place.source == Source::Base;
        let mut below = 0i64;
        for part in &self.parts {
            let place = part.place_of(&record.token, base_position, is_alone)?;
            below = below.saturating_add(place.tokens.start);
        }
        Ok(self.total(base_position, below))
    }
}

/// What lies between where a walk has come to in the base and the base's next match.
fn stretch(
    ahead: &Range<usize>,
    direction: Direction,
    of_base: Option<usize>,
) -> RangeInclusive<usize> {
    match direction {
        Direction::Up => ahead.start..=of_base.unwrap_or(ahead.end),
        Direction::Down => of_base.unwrap_or(ahead.start)..=ahead.end,
    }
}

/// Leaves a match of the base behind.
fn pass(ahead: &mut Range<usize>, direction: Direction, position: usize) {
    match direction {
        Direction::Up => ahead.start = position + 1,
        Direction::Down => ahead.end = position,
    }
}
