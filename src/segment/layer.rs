//! A layer: segments whose key ranges do not overlap, read as one.
//!
//! Positions count the records of all segments, in order.

use std::ops::Range;

use super::find::Found;
use super::reader::Segment;
use crate::challenge::Direction;
use crate::error::Result;
use crate::io::map::Bytes;
use crate::token::{Record, TokenId};

/// Segments in the order of their keys.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    segments: Vec<Segment<Bytes>>,
    /// Number of records before each segment, and, at the end, of all.
    starts: Vec<usize>,
}

impl Layer {
    /// A layer of segments in order.
    pub(crate) fn new(segments: Vec<Segment<Bytes>>) -> Self {
        let mut starts = vec![0];
        for segment in &segments {
            starts.push(starts[starts.len() - 1] + segment.len());
        }
        Self { segments, starts }
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
        let index = match self.segments.len() {
            0 | 1 => 0,
            _ => self.starts.partition_point(|&start| start <= position) - 1,
        };
        let segment = self.segments.get(index)?;
        let start = self.starts[index];
        (position - start < segment.len()).then_some((start, segment))
    }

    /// Finds a token.
    #[inline]
    pub(crate) fn find(&self, token: &TokenId) -> Result<Found<'_>> {
        let index = match self.segments.len() {
            0 | 1 => 0,
            _ => self.segments.partition_point(|segment| segment.max() < token),
        };
        match self.segments.get(index) {
            Some(segment) => {
                let found = segment.find(token)?;
                Ok(Found { position: self.starts[index] + found.position, ..found })
            }
            None => Ok(Found { position: self.len(), record: None }),
        }
    }

    /// The record at a position; `None` beyond the end.
    #[inline]
    pub(crate) fn record(&self, position: usize) -> Result<Option<&Record>> {
        match self.segment_at(position) {
            Some((start, segment)) => segment.record(position - start).map(Some),
            None => Ok(None),
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

    /// Brings near what a walk from a position will read first.
    #[inline]
    pub(crate) fn prefetch_matches(&self, position: usize, direction: Direction, suffixes: &[u16]) {
        if let Some((start, segment)) = self.segment_at(position) {
            segment.prefetch_matches(position - start, direction, suffixes);
        }
    }

    /// Brings records near, all at once. One by one, as a walk meets them, each would
    /// hold it up until its address is translated.
    #[inline]
    pub(crate) fn prefetch_records(&self, positions: &[usize]) {
        for &position in positions {
            if let Some((start, segment)) = self.segment_at(position) {
                segment.prefetch_record(position - start);
            }
        }
    }
}
