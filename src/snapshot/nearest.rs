//! The nearest entry with a suffix in any of the parts.
//!
//! What comes first is told by base positions, the numbers of records of the base with
//! smaller tokens, which outlines have at hand. Tokens are read where these are the same, which
//! is seldom so.

use std::cmp::Ordering;
use std::ops::{Range, RangeInclusive};

use super::view::{Place, Side, Source, View, is_nearer};
use crate::challenge::Direction;
use crate::error::Result;
use crate::format::kinds::Kind;
use crate::token::TokenId;

/// Where a walk has come to in a part of the ring.
pub(super) struct Reached {
    /// What lies ahead in the base.
    pub(super) base: Range<usize>,
    /// The last that was met or skipped, if there is one.
    pub(super) last: Option<Place>,
}

/// An entry that a part has with the suffix sought.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) part: usize,
    pub(super) position: usize,
    pub(super) base_position: usize,
}

impl Entry {
    pub(super) fn place(self) -> Place {
        Place { source: Source::Part(self.part), position: self.position }
    }
}

impl View {
    /// The nearest entry ahead in any part that has this suffix and comes no later than
    /// the base's next match.
    pub(super) fn nearest_entry(
        &self,
        reached: &Reached,
        ahead: &mut [Range<usize>],
        direction: Direction,
        suffix: u16,
        of_base: Option<usize>,
        stretch: &RangeInclusive<usize>,
    ) -> Result<Option<Entry>> {
        let mut nearest: Option<Entry> = None;
        for (part, ahead) in ahead.iter_mut().enumerate() {
            let outline = self.parts[part].outline();
            let within = outline.map_or(0..usize::MAX, |outline| outline.entries(stretch.clone()));
            loop {
                let positions = ahead.start.max(within.start)..ahead.end.min(within.end);
                let entry = self.entry_at(part, positions, direction, suffix, of_base)?;
                let Some(entry) = entry else { break };
                if let Some(last) = self.passing(entry, reached, direction)? {
                    // It was passed when another layer had the nearest match.
                    let (found, position) = (self.parts[part].find(last)?, entry.position);
                    match direction {
                        Direction::Up => ahead.start = Side::Above.of(found).max(position + 1),
                        Direction::Down => ahead.end = Side::Below.of(found).min(position),
                    }
                    continue;
                }
                // What comes before an entry that is not beyond the base's match is not either.
                let comes_first = match nearest {
                    Some(nearest) => self.comes_first(entry, nearest, direction)?,
                    None => !self.is_beyond(entry, of_base, direction)?,
                };
                if comes_first {
                    nearest = Some(entry);
                }
                break;
            }
        }
        Ok(nearest)
    }

    /// The nearest entry of a part, at these positions, that has this suffix. Of a part without
    /// an outline none that comes later than the base's next match.
    fn entry_at(
        &self,
        index: usize,
        positions: Range<usize>,
        direction: Direction,
        suffix: u16,
        of_base: Option<usize>,
    ) -> Result<Option<Entry>> {
        let part = &self.parts[index];
        let entry = |position, base_position| Entry { part: index, position, base_position };
        if let Some(outline) = part.outline() {
            let position = outline.nearest_match(&positions, direction, suffix);
            return Ok(position.and_then(|at| Some(entry(at, outline.base_position(at)?))));
        }
        let Some(position) = part.nearest_match(positions, direction, suffix)? else {
            return Ok(None);
        };
        let Some(record) = part.record(position)? else { return Ok(None) };
        // What is farther on than the base's match is not read.
        if let Some(position) = of_base
            && let Some(base) = self.base.record(position)?
            && is_nearer(&base.token, &record.token, direction)
        {
            return Ok(None);
        }
        Ok(Some(entry(position, self.base.find(&record.token)?.position)))
    }

    /// The token that was reached last, if an entry does not come after it.
    fn passing(
        &self,
        entry: Entry,
        reached: &Reached,
        direction: Direction,
    ) -> Result<Option<&TokenId>> {
        let Reached { base, last: Some(last) } = reached else { return Ok(None) };
        let is_ahead = match direction {
            Direction::Up => entry.base_position > base.start,
            Direction::Down => entry.base_position < base.end,
        };
        if is_ahead || self.is_token_nearer(*last, entry.place(), direction)? {
            return Ok(None);
        }
        Ok(self.record(*last)?.map(|last| &last.token))
    }

    /// Whether an entry comes later than the base's next match.
    fn is_beyond(
        &self,
        entry: Entry,
        of_base: Option<usize>,
        direction: Direction,
    ) -> Result<bool> {
        // At a base position are its token and, of what the base does not have, smaller ones.
        let comes_last = direction == Direction::Down && of_base == Some(entry.base_position);
        Ok(comes_last && !self.is_in_base(entry)?)
    }

    /// Whether the base has the token of an entry, too.
    pub(super) fn is_in_base(&self, entry: Entry) -> Result<bool> {
        if entry.part + 1 == self.parts.len() {
            // What it did, it did to the base.
            return Ok(self.kind_of(entry)? != Kind::Fresh);
        }
        let base = Place { source: Source::Base, position: entry.base_position };
        Ok(match (self.record(base)?, self.record(entry.place())?) {
            (Some(base), Some(record)) => base.token == record.token,
            _ => false,
        })
    }

    pub(super) fn kind_of(&self, Entry { part, position, .. }: Entry) -> Result<Kind> {
        let part = &self.parts[part];
        match part.outline().and_then(|outline| outline.kind(position)) {
            Some(kind) => Ok(kind),
            None => part.kind(position),
        }
    }

    /// Whether an entry comes before one of another part.
    fn comes_first(&self, entry: Entry, other: Entry, direction: Direction) -> Result<bool> {
        match (entry.base_position.cmp(&other.base_position), direction) {
            (Ordering::Equal, _) => self.is_token_nearer(entry.place(), other.place(), direction),
            (Ordering::Less, Direction::Up) | (Ordering::Greater, Direction::Down) => Ok(true),
            _ => Ok(false),
        }
    }

    /// Whether the token at a place comes before the one at another place.
    fn is_token_nearer(&self, place: Place, other: Place, direction: Direction) -> Result<bool> {
        Ok(match (self.record(place)?, self.record(other)?) {
            (Some(record), Some(other)) => is_nearer(&record.token, &other.token, direction),
            _ => false,
        })
    }
}
