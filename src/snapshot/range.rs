//! Passing over tokens in order, one by one or in slices.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::RangeBounds;
use std::sync::Arc;

use super::Snapshot;
use crate::error::{Error, Result};
use crate::segment::layer::Layer;
use crate::token::{BlockTime, Record, TokenId};

/// Records that are checked at a time when they are taken one by one: about a page.
const PAGE_RECORDS: usize = 56;

/// Records that are checked at a time when all are taken.
const RUN_RECORDS: usize = 256;

impl Snapshot {
    /// The tokens within bounds of any kind, ascending; `rev` for descending.
    ///
    /// The iterator keeps what it reads alive by itself. Getting at the bounds costs
    /// what two calls of [`get`](Self::get) cost; bounds that cross hold nothing. An
    /// error ends the iteration.
    pub fn range(&self, bounds: impl RangeBounds<TokenId>) -> Range {
        let (positions, failed) = match self.positions(&bounds) {
            Ok(positions) => (positions, None),
            Err(error) => (0..0, Some(Box::new(error))),
        };
        Range { layer: Arc::clone(&self.layer), positions, checked: 0..0, failed }
    }

    /// The tokens within bounds as slices of records, as long as they lie, ascending;
    /// `rev` for descending slices, each of which still ascends.
    ///
    /// The fastest way to pass over many tokens: nothing is copied. An error ends the
    /// iteration.
    pub fn slices(&self, bounds: impl RangeBounds<TokenId>) -> Slices<'_> {
        let (positions, failed) = match self.positions(&bounds) {
            Ok(positions) => (positions, None),
            Err(error) => (0..0, Some(error)),
        };
        Slices { layer: &self.layer, positions, failed }
    }
}

/// Tokens in order; see [`Snapshot::range`].
///
/// Skipping with [`nth`](Iterator::nth) takes constant time, and so does
/// [`count`](Iterator::count).
pub struct Range {
    layer: Arc<Layer>,
    positions: std::ops::Range<usize>,
    /// Positions around those just given out whose records were checked already.
    checked: std::ops::Range<usize>,
    failed: Option<Box<Error>>,
}

impl Range {
    /// The item for a position that was just taken out of the front.
    #[inline]
    fn front(&mut self, position: usize) -> Option<Result<(TokenId, BlockTime)>> {
        if !self.checked.contains(&position) {
            let ahead = position..self.positions.end.min(position + PAGE_RECORDS).max(position + 1);
            if let Err(error) = self.check(position, ahead) {
                return Some(Err(error));
            }
        }
        self.layer.checked_record(position).map(|record| Ok((*record).into()))
    }

    /// The item for a position that was just taken out of the back.
    #[inline]
    fn back(&mut self, position: usize) -> Option<Result<(TokenId, BlockTime)>> {
        if !self.checked.contains(&position) {
            let ahead =
                self.positions.start.max((position + 1).saturating_sub(PAGE_RECORDS)).min(position)
                    ..position + 1;
            if let Err(error) = self.check(position, ahead) {
                return Some(Err(error));
            }
        }
        self.layer.checked_record(position).map(|record| Ok((*record).into()))
    }

    /// Checks the records at positions ahead, or, where there is damage among them, at
    /// least the one that is asked for. An error there ends the iteration.
    #[cold]
    fn check(&mut self, position: usize, ahead: std::ops::Range<usize>) -> Result<()> {
        if self.layer.check_records(&ahead).is_ok() {
            self.checked = ahead;
            return Ok(());
        }
        let checked = self.layer.check_records(&(position..position + 1));
        if checked.is_err() {
            self.positions = 0..0;
        }
        checked
    }
}

impl Iterator for Range {
    type Item = Result<(TokenId, BlockTime)>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self.positions.next() {
            Some(position) => self.front(position),
            None => self.failed.take().map(|error| Err(*error)),
        }
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.positions.len() + usize::from(self.failed.is_some());
        (len, Some(len))
    }

    fn nth(&mut self, n: usize) -> Option<Self::Item> {
        match self.positions.nth(n) {
            Some(position) => self.front(position),
            None => self.failed.take().map(|error| Err(*error)),
        }
    }

    fn count(self) -> usize {
        self.size_hint().0
    }

    fn fold<A, F: FnMut(A, Self::Item) -> A>(mut self, initial: A, mut f: F) -> A {
        let mut folded = initial;
        while !self.positions.is_empty() {
            match self.layer.first_run(&self.positions, RUN_RECORDS) {
                Ok(run) => {
                    folded =
                        run.iter().fold(folded, |folded, record| f(folded, Ok((*record).into())));
                    self.positions.start += run.len().max(1);
                }
                // One by one up to the damage, and that.
                Err(_) => break,
            }
        }
        for item in self {
            folded = f(folded, item);
        }
        folded
    }
}

impl DoubleEndedIterator for Range {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        match self.positions.next_back() {
            Some(position) => self.back(position),
            None => self.failed.take().map(|error| Err(*error)),
        }
    }

    fn nth_back(&mut self, n: usize) -> Option<Self::Item> {
        match self.positions.nth_back(n) {
            Some(position) => self.back(position),
            None => self.failed.take().map(|error| Err(*error)),
        }
    }

    fn rfold<A, F: FnMut(A, Self::Item) -> A>(mut self, initial: A, mut f: F) -> A {
        let mut folded = initial;
        while !self.positions.is_empty() {
            match self.layer.last_run(&self.positions, RUN_RECORDS) {
                Ok(run) => {
                    folded =
                        run.iter().rfold(folded, |folded, record| f(folded, Ok((*record).into())));
                    self.positions.end -= run.len().max(1);
                }
                Err(_) => break,
            }
        }
        for item in self.rev() {
            folded = f(folded, item);
        }
        folded
    }
}

impl ExactSizeIterator for Range {}
impl FusedIterator for Range {}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Range").field("positions", &self.positions).finish_non_exhaustive()
    }
}

/// Tokens in order, in slices of records; see [`Snapshot::slices`].
#[derive(Debug)]
pub struct Slices<'a> {
    layer: &'a Layer,
    positions: std::ops::Range<usize>,
    failed: Option<Error>,
}

/// Records of a slice at the most: what is checked for damage at a time.
const SLICE_RECORDS: usize = 1 << 14;

impl<'a> Iterator for Slices<'a> {
    type Item = Result<&'a [Record]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.positions.is_empty() {
            return self.failed.take().map(Err);
        }
        let run = self.layer.first_run(&self.positions, SLICE_RECORDS);
        match &run {
            Ok(run) => self.positions.start += run.len().max(1),
            Err(_) => self.positions = 0..0,
        }
        Some(run)
    }
}

impl DoubleEndedIterator for Slices<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.positions.is_empty() {
            return self.failed.take().map(Err);
        }
        let run = self.layer.last_run(&self.positions, SLICE_RECORDS);
        match &run {
            Ok(run) => self.positions.end -= run.len().max(1),
            Err(_) => self.positions = 0..0,
        }
        Some(run)
    }
}

impl FusedIterator for Slices<'_> {}
