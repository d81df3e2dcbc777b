//! A layer: segments whose key ranges do not overlap, read as one.
//!
//! Positions count the records of all segments, in order. Only the entries of a bottom
//! layer are all fresh; those of any other say what they did to the layers below.

use std::fmt::Display;
use std::ops::Range;

use super::find::Found;
use super::reader::Segment;
use crate::challenge::Direction;
use crate::error::{Error, Result};
use crate::format::kinds::Kind;
use crate::io::map::Bytes;
use crate::token::{Record, TokenId};

/// Segments in the order of their keys.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    segments: Vec<Segment<Bytes>>,
    /// Number of records before each segment, and, at the end, of all.
    starts: Vec<usize>,
    /// By how many tokens the entries before each segment, and, at the end, all of them,
    /// change the number of tokens of the layers below.
    tokens_before: Vec<i64>,
}

impl Segment<Bytes> {
    /// What the segment is read from.
    pub(crate) fn map(&self) -> &Bytes {
        &self.bytes
    }
}

impl Layer {
    /// A layer of segments in order.
    pub(crate) fn new(segments: Vec<Segment<Bytes>>) -> Self {
        let (mut starts, mut tokens_before) = (vec![0], vec![0]);
        let (mut start, mut tokens) = (0, 0);
        for segment in &segments {
            start += segment.len();
            starts.push(start);
            let header = &segment.header;
            // Counts of fewer than 2^32 records each, as opening made sure.
            let gone = (header.updates + 2 * header.tombstones).cast_signed();
            tokens += header.records.cast_signed() - gone;
            tokens_before.push(tokens);
        }
        Self { segments, starts, tokens_before }
    }

    pub(crate) fn segments(&self) -> &[Segment<Bytes>] {
        &self.segments
    }

    /// Number of records.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    /// The segment that a position is in, if there is one, and where it begins.
    #[inline]
    fn segment_at(&self, position: usize) -> Option<(usize, &Segment<Bytes>)> {
        match &self.segments[..] {
            [segment] => (position < segment.len()).then_some((0, segment)),
            _ => self.segment_of_many_at(position),
        }
    }

    fn segment_of_many_at(&self, position: usize) -> Option<(usize, &Segment<Bytes>)> {
        let index = self.starts.partition_point(|&start| start <= position).checked_sub(1)?;
        let segment = self.segments.get(index)?;
        let start = self.starts[index];
        (position - start < segment.len()).then_some((start, segment))
    }

    /// The number of the segment that a token can be in, or of segments if it is above all.
    #[inline]
    fn segment_of(&self, token: &TokenId) -> usize {
        match self.segments.len() {
            0 | 1 => 0,
            _ => self.segments.partition_point(|segment| segment.max() < token),
        }
    }

    /// Finds a token.
    #[inline]
    pub(crate) fn find(&self, token: &TokenId) -> Result<Found<'_>> {
        let index = self.segment_of(token);
        match self.segments.get(index) {
            Some(segment) => {
                let found = segment.find(token)?;
                Ok(Found { position: self.starts[index] + found.position, ..found })
            }
            None => Ok(Found { position: self.len(), record: None }),
        }
    }

    /// Finds up to `N` tokens at once, from each of which a walk begins, or none. `near` is
    /// told about where each will be before its record is read.
    #[inline]
    pub(crate) fn find_all<'a, 't, const N: usize>(
        &'a self,
        tokens: impl Iterator<Item = &'t TokenId> + Clone,
        will_walk: bool,
        mut near: impl FnMut(&TokenId, usize),
    ) -> Result<[Found<'a>; N]> {
        let [segment] = &self.segments[..] else {
            // One segment has room for four thousand million records.
            return self.find_each(tokens);
        };
        if segment.is_asked_for() {
            segment.ask_for_tokens(tokens.clone(), will_walk);
        }
        // One of them says enough, and before its record is read, or it is in memory by then.
        let mut is_first = true;
        segment.find_all(tokens, |token, position| {
            if std::mem::take(&mut is_first) {
                segment.look_at(position);
            }
            near(token, position);
        })
    }

    fn find_each<'a, 't, const N: usize>(
        &'a self,
        tokens: impl Iterator<Item = &'t TokenId>,
    ) -> Result<[Found<'a>; N]> {
        let mut found = [Found::default(); N];
        for (to, token) in found.iter_mut().zip(tokens) {
            *to = self.find(token)?;
        }
        Ok(found)
    }

    /// The record at a position; `None` beyond the end.
    #[inline]
    pub(crate) fn record(&self, position: usize) -> Result<Option<&Record>> {
        match self.segment_at(position) {
            Some((start, segment)) => segment.record(position - start).map(Some),
            None => Ok(None),
        }
    }

    /// What the entry at a position did to the layers below; fresh beyond the end.
    #[inline]
    pub(crate) fn kind(&self, position: usize) -> Result<Kind> {
        match self.segment_at(position) {
            Some((start, segment)) => segment.kind(position - start),
            None => Ok(Kind::Fresh),
        }
    }

    /// Damage to the kind of the entry at a position; `None` beyond the end.
    pub(crate) fn kinds_damage(
        &self,
        position: usize,
        expected: &str,
        found: impl Display,
    ) -> Option<Error> {
        let (start, segment) = self.segment_at(position)?;
        Some(segment.kinds_damage(position - start, expected, found))
    }

    /// By how many tokens the first `position` entries change the number of tokens of
    /// the layers below: fresh ones less tombstones.
    #[inline]
    pub(crate) fn tokens_before(&self, position: usize) -> Result<i64> {
        let index = match self.segments.len() {
            0 | 1 => 0,
            _ => self.starts.partition_point(|&start| start <= position) - 1,
        };
        let before = self.tokens_before.get(index).copied().unwrap_or(0);
        match self.segments.get(index) {
            // Kinds that lie may count up to anything.
            Some(segment) => {
                Ok(before.saturating_add(segment.tokens_before(position - self.starts[index])?))
            }
            None => Ok(before),
        }
    }

    /// The record at a position that was checked before.
    #[inline]
    pub(crate) fn checked_record(&self, position: usize) -> Option<&Record> {
        let (start, segment) = self.segment_at(position)?;
        segment.checked_record(position - start)
    }

    /// Checks the records at a range of positions.
    pub(crate) fn check_records(&self, positions: &Range<usize>) -> Result<()> {
        let mut rest = positions.clone();
        while !rest.is_empty() {
            let run = self.first_run(&rest, rest.len())?;
            rest.start += run.len().max(1);
        }
        Ok(())
    }

    /// The first records of a range of positions: as many as lie in one piece, and
    /// no more than `records_max`. Empty only if the range is.
    pub(crate) fn first_run(
        &self,
        positions: &Range<usize>,
        records_max: usize,
    ) -> Result<&[Record]> {
        match self.segment_at(positions.start) {
            Some((start, segment)) if !positions.is_empty() => {
                let from = positions.start - start;
                segment.records(from..from + records_max.min(positions.len()))
            }
            _ => Ok(&[]),
        }
    }

    /// The last records of a range of positions, as [`first_run`](Self::first_run).
    pub(crate) fn last_run(
        &self,
        positions: &Range<usize>,
        records_max: usize,
    ) -> Result<&[Record]> {
        let Some(last) = positions.end.checked_sub(1) else {
            return Ok(&[]);
        };
        match self.segment_at(last) {
            Some((start, segment)) if !positions.is_empty() => {
                let to = positions.end - start;
                segment.records(to - records_max.min(positions.len()).min(to)..to)
            }
            _ => Ok(&[]),
        }
    }

    /// Goes through a range of positions and meets suffixes in order; says at which
    /// positions, and, in the end, how many of them were met.
    #[inline]
    pub(crate) fn meet(
        &self,
        positions: Range<usize>,
        direction: Direction,
        suffixes: &[u16],
        mut met: impl FnMut(usize),
    ) -> Result<usize> {
        let mut rest = positions;
        let mut count = 0;
        while !rest.is_empty() && count < suffixes.len() {
            let position = match direction {
                Direction::Up => rest.start,
                Direction::Down => rest.end - 1,
            };
            let Some((start, segment)) = self.segment_at(position) else { break };
            let end = start + segment.len();
            let within = rest.start.max(start) - start..rest.end.min(end) - start;
            count +=
                segment.meet(within, direction, &suffixes[count..], |place| met(start + place))?;
            match direction {
                Direction::Up => rest.start = end,
                Direction::Down => rest.end = start,
            }
        }
        Ok(count)
    }

    /// The first position in a range, seen in a direction, whose token has this suffix.
    pub(crate) fn nearest_match(
        &self,
        positions: Range<usize>,
        direction: Direction,
        suffix: u16,
    ) -> Result<Option<usize>> {
        let mut nearest = None;
        self.meet(positions, direction, &[suffix], |position| nearest = Some(position))?;
        Ok(nearest)
    }

    /// Brings near what a walk from a position will read first.
    #[inline]
    pub(crate) fn prefetch_lists(&self, position: usize, direction: Direction, suffixes: &[u16]) {
        if let Some((start, segment)) = self.segment_at(position) {
            segment.prefetch_lists(position - start, direction, suffixes);
        }
    }

    /// Brings a record near, from the disk, too.
    #[inline]
    pub(crate) fn prefetch_record(&self, position: usize) {
        if let Some((start, segment)) = self.segment_at(position) {
            if segment.is_asked_for() {
                segment.ask_for_records(position - start..position - start + 1);
            }
            segment.prefetch_record(position - start);
        }
    }
}
