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

use super::view::{Place, Side, Source, View, is_nearer};
use super::walk::{Course, Turn, WalkSummary};
use crate::challenge::Direction;
use crate::delta::part::PartPlace;
use crate::error::Result;
use crate::format::kinds::Kind;
use crate::token::TokenId;

/// With no more parts than this a walk takes no memory of its own.
const FEW_PARTS: usize = 8;

/// The token that a walk starts from, in each layer: positions of its entry, or an empty
/// range where it would be.
struct Origin<'a> {
    base: Range<usize>,
    parts: &'a [Range<usize>],
}

/// Where a walk has come to in a part of the ring.
struct Reached {
    /// What lies ahead in the base.
    base: Range<usize>,
    last: Last,
}

/// The last token that was met or skipped.
#[derive(Clone, Copy)]
enum Last {
    /// None so far.
    None,
    /// That of the base at this position.
    Base(usize),
    Token(TokenId),
}

/// An entry that a part has with the suffix sought.
#[derive(Clone, Copy)]
struct Entry {
    token: TokenId,
    part: usize,
    position: usize,
}

impl View {
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
        for &(direction, end) in turns {
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
                let met = self.meet_layers(
                    base,
                    ahead,
                    direction,
                    &suffixes[sought.clone()],
                    &mut places[sought],
                )?;
                summary.count += met;
                if summary.count < end {
                    summary.steps = summary.steps.saturating_add(tokens);
                    continue;
                }
                let rank = self.rank_of(places[end - 1])?;
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
    /// many of them were met.
    fn meet_layers(
        &self,
        base: Range<usize>,
        ahead: &mut [Range<usize>],
        direction: Direction,
        suffixes: &[u16],
        places: &mut [Place],
    ) -> Result<usize> {
        let mut reached = Reached { base, last: Last::None };
        let mut count = 0;
        let mut at_once = suffixes.len();
        'ask: while count < suffixes.len() {
            let end = suffixes.len().min(count + at_once);
            let mut met = count;
            self.base.meet(reached.base.clone(), direction, &suffixes[count..end], |position| {
                places[met] = Place { source: Source::Base, position };
                met += 1;
            })?;
            // They are read in the end, and one by one they would hold that up.
            self.prefetch_records(&places[count..met]);
            if met == suffixes.len() {
                self.prefetch_rank(places[met - 1].position);
            }
            while count < end {
                let suffix = suffixes[count];
                let of_base = (count < met).then(|| places[count].position);
                let stretch = match direction {
                    Direction::Up => reached.base.start..=of_base.unwrap_or(reached.base.end),
                    Direction::Down => of_base.unwrap_or(reached.base.start)..=reached.base.end,
                };
                if self.filter.may_hold(suffix, stretch.clone())
                    && let Some(entry) =
                        self.nearest_entry(&reached, ahead, direction, suffix, of_base, &stretch)?
                {
                    let is_live = self.go_to(&mut reached, ahead, direction, entry)?;
                    if is_live {
                        let source = Source::Part(entry.part);
                        places[count] = Place { source, position: entry.position };
                        count += 1;
                    }
                    // Where much is gone, what the base has farther on is of no use.
                    at_once = if is_live { suffixes.len() } else { 1 };
                    continue 'ask;
                }
                let Some(position) = of_base else { return Ok(count) };
                match direction {
                    Direction::Up => reached.base.start = position + 1,
                    Direction::Down => reached.base.end = position,
                }
                reached.last = Last::Base(position);
                count += 1;
            }
            at_once = suffixes.len();
        }
        Ok(count)
    }

    /// The nearest entry ahead in any part that has this suffix and comes no later than
    /// the base's next match.
    fn nearest_entry(
        &self,
        reached: &Reached,
        ahead: &mut [Range<usize>],
        direction: Direction,
        suffix: u16,
        of_base: Option<usize>,
        stretch: &RangeInclusive<usize>,
    ) -> Result<Option<Entry>> {
        if let Some(position) = of_base {
            // Comes while the parts are asked.
            self.base.prefetch_record(position);
        }
        let mut nearest: Option<Entry> = None;
        let mut base_token = None;
        let mut last_token = None;
        for (index, (part, ahead)) in self.parts.iter().zip(ahead).enumerate() {
            let within = part.outline().map(|outline| outline.entries(stretch.clone()));
            if let (Some(outline), Some(within)) = (part.outline(), &within)
                && !outline.holds(suffix, within)
            {
                continue;
            }
            let within = within.unwrap_or(0..usize::MAX);
            let in_stretch =
                |ahead: &Range<usize>| ahead.start.max(within.start)..ahead.end.min(within.end);
            while let Some(position) = part.nearest_match(in_stretch(ahead), direction, suffix)? {
                let Some(record) = part.record(position)? else { break };
                let token = record.token;
                if nearest.is_some_and(|nearest| !is_nearer(&token, &nearest.token, direction)) {
                    break;
                }
                if base_token.is_none()
                    && let Some(position) = of_base
                {
                    base_token = self.base.record(position)?.map(|record| record.token);
                }
                if base_token.is_some_and(|base| is_nearer(&base, &token, direction)) {
                    break;
                }
                if last_token.is_none() {
                    last_token = self.token_of(reached.last)?;
                }
                match last_token {
                    // Passed before, when another layer had the nearest match.
                    Some(last) if !is_nearer(&last, &token, direction) => {
                        let found = part.find(&last)?;
                        match direction {
                            Direction::Up => ahead.start = Side::Above.of(found).max(position + 1),
                            Direction::Down => ahead.end = Side::Below.of(found).min(position),
                        }
                    }
                    _ => {
                        nearest = Some(Entry { token, part: index, position });
                        break;
                    }
                }
            }
        }
        Ok(nearest)
    }

    /// Goes on behind an entry; whether it is live.
    fn go_to(
        &self,
        reached: &mut Reached,
        ahead: &mut [Range<usize>],
        direction: Direction,
        entry: Entry,
    ) -> Result<bool> {
        let Entry { token, part, position } = entry;
        let outline = self.parts[part].outline();
        let below = match outline.and_then(|outline| outline.base_position(position)) {
            Some(below) => below,
            None => self.base.find(&token)?.position,
        };
        let base = &mut reached.base;
        match direction {
            Direction::Up => {
                let is_there = self.base.record(below)?.is_some_and(|base| base.token == token);
                base.start = (below + usize::from(is_there)).clamp(base.start, base.end);
                ahead[part].start = position + 1;
            }
            Direction::Down => {
                base.end = below.clamp(base.start, base.end);
                ahead[part].end = position;
            }
        }
        reached.last = Last::Token(token);
        Ok(self.parts[part].kind(position)? != Kind::Tombstone)
    }

    fn token_of(&self, last: Last) -> Result<Option<TokenId>> {
        match last {
            Last::None => Ok(None),
            Last::Base(position) => Ok(self.base.record(position)?.map(|record| record.token)),
            Last::Token(token) => Ok(Some(token)),
        }
    }

    /// Number of tokens below that of an entry that was met.
    fn rank_of(&self, place: Place) -> Result<u64> {
        let mut net = 0i64;
        if place.source == Source::Base {
            // Its token has no entry in a part, or that would have been met.
            for part in &self.parts {
                net = net.saturating_add(match part.outline() {
                    Some(outline) => outline.tokens_before(outline.count_through(place.position)),
                    None => match self.record(place)? {
                        Some(record) => part.tokens_before(part.find(&record.token)?.position)?,
                        None => 0,
                    },
                });
            }
            return Ok(self.total(place.position, net));
        }
        match self.record(place)? {
            Some(record) => self.rank(&record.token, Side::Below),
            None => Ok(self.len()),
        }
    }
}
