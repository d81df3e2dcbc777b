//! Passing over tokens in order, one by one or in slices.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use super::Snapshot;
use super::runs::Runs;
use super::view::{Place, Run, Side, View, cut_off};
use crate::challenge::Direction;
use crate::error::{Error, Result};
use crate::token::{BlockTime, Record, TokenId};

/// Records that are checked at a time when they are taken one by one: about a page.
const PAGE_RECORDS: usize = 56;

/// Records that are checked at a time when all are taken.
const RUN_RECORDS: usize = 256;

impl Snapshot {
    /// The tokens within bounds of any kind, ascending; `rev` for descending.
    ///
    /// The iterator keeps what it reads alive by itself. Getting at the bounds costs
    /// what two calls of [`rank`](Self::rank) cost; bounds that cross hold nothing. An
    /// error, which is [`Error::Damaged`], is the last item.
    ///
    /// ```
    /// # use ringstore::{Batch, BlockTime, Options, Result, Store, TokenId};
    /// # let directory = tempfile::tempdir()?;
    /// # let store = Store::create(directory.path().join("tokens"), &Options::new())?;
    /// # let mut batch = Batch::new();
    /// # for id in 0..100 {
    /// #     batch.put(TokenId::from(id), BlockTime::default());
    /// # }
    /// # store.commit(&batch)?;
    /// let range = store.snapshot().range(TokenId::from(10)..TokenId::from(20));
    /// assert_eq!(range.len(), 10);
    /// let tokens = range.rev().map(|item| item.map(|(token, _)| token));
    /// let tokens = tokens.take(2).collect::<Result<Vec<_>>>()?;
    /// assert_eq!(tokens, [19, 18].map(TokenId::from));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn range(&self, bounds: impl RangeBounds<TokenId>) -> Range {
        let (runs, failed) = match runs(self.view(), &bounds) {
            Ok(runs) => (runs, None),
            Err(error) => (Runs::none(), Some(Box::new(error))),
        };
        Range { view: Arc::clone(self.view()), runs, failed }
    }

    /// The tokens within bounds as slices of records, as long as they lie, ascending;
    /// `rev` for descending slices, each of which still ascends.
    ///
    /// The fastest way to pass over many tokens: nothing is copied. An error, which is
    /// [`Error::Damaged`], is the last item.
    ///
    /// ```
    /// # use ringstore::{Batch, BlockTime, Options, Store, TokenId};
    /// # let directory = tempfile::tempdir()?;
    /// # let store = Store::create(directory.path().join("tokens"), &Options::new())?;
    /// # store.put(&TokenId::from(7), BlockTime::new(1.into(), 100))?;
    /// let (mut tokens, mut newest) = (0, 0);
    /// for records in store.snapshot().slices(..) {
    ///     for record in records? {
    ///         tokens += 1;
    ///         newest = newest.max(record.time());
    ///     }
    /// }
    /// assert_eq!((tokens, newest), (1, 100));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn slices(&self, bounds: impl RangeBounds<TokenId>) -> Slices<'_> {
        let (runs, failed) = match runs(self.view(), &bounds) {
            Ok(runs) => (runs, None),
            Err(error) => (Runs::none(), Some(error)),
        };
        Slices { view: self.view(), runs, failed }
    }

    /// The number of tokens within bounds, exactly, without passing over them.
    ///
    /// Costs what two calls of [`rank`](Self::rank) cost.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`](crate::Error::Damaged).
    pub fn count(&self, bounds: impl RangeBounds<TokenId>) -> Result<u64> {
        let view = self.view();
        let start = match start_of(&bounds) {
            Some((token, side)) => view.rank(token, side)?,
            None => 0,
        };
        let end = match end_of(&bounds) {
            Some((token, side)) => view.rank(token, side)?,
            None => view.len(),
        };
        Ok(end.saturating_sub(start))
    }
}

/// On which side of which token bounds begin.
fn start_of(bounds: &impl RangeBounds<TokenId>) -> Option<(&TokenId, Side)> {
    match bounds.start_bound() {
        Bound::Unbounded => None,
        Bound::Included(token) => Some((token, Side::Below)),
        Bound::Excluded(token) => Some((token, Side::Above)),
    }
}

/// On which side of which token they end.
fn end_of(bounds: &impl RangeBounds<TokenId>) -> Option<(&TokenId, Side)> {
    match bounds.end_bound() {
        Bound::Unbounded => None,
        Bound::Included(token) => Some((token, Side::Above)),
        Bound::Excluded(token) => Some((token, Side::Below)),
    }
}

/// What lies within bounds.
fn runs(view: &View, bounds: &impl RangeBounds<TokenId>) -> Result<Runs> {
    let start = match start_of(bounds) {
        Some((token, side)) => view.cut(token, side)?,
        None => view.bottom(),
    };
    let end = match end_of(bounds) {
        Some((token, side)) => view.cut(token, side)?,
        None => view.top(),
    };
    Ok(Runs::between(start, end))
}

/// Tokens in order; see [`Snapshot::range`].
///
/// Skipping with [`nth`](Iterator::nth) does not pass over what is skipped, and
/// [`count`](Iterator::count) takes constant time.
pub struct Range {
    view: Arc<View>,
    /// Those kept at either end were checked.
    runs: Runs,
    failed: Option<Box<Error>>,
}

impl Range {
    #[inline]
    fn item(&self, place: Place) -> Option<Result<(TokenId, BlockTime)>> {
        self.view.checked_record(place).map(|record| Ok((*record).into()))
    }

    /// The next item, from a run that is begun with it.
    #[cold]
    fn next_of_run(&mut self, direction: Direction) -> Option<Result<(TokenId, BlockTime)>> {
        match self.begin_run(direction) {
            Ok(Some(place)) => self.item(place),
            Ok(None) => self.failed.take().map(|error| Err(*error)),
            Err(error) => {
                self.runs = Runs::none();
                Some(Err(error))
            }
        }
    }

    /// Begins a run with its first record. Checks all of it, or, where there is damage in
    /// it, that record.
    fn begin_run(&mut self, direction: Direction) -> Result<Option<Place>> {
        let Some(mut run) = self.runs.take(&self.view, direction, PAGE_RECORDS)? else {
            return Ok(None);
        };
        let (source, all) = (run.source, run.positions.clone());
        let first = Run { source, positions: cut_off(&mut run.positions, direction, 1) };
        if self.view.check_records(&Run { source, positions: all }).is_ok() {
            self.runs.keep(direction, run);
        } else {
            self.runs.put_back(direction, &run);
            self.view.check_records(&first)?;
        }
        Ok(Some(Place { source, position: first.positions.start }))
    }

    fn skip_and_next(
        &mut self,
        direction: Direction,
        count: usize,
    ) -> Option<Result<(TokenId, BlockTime)>> {
        match self.runs.skip(&self.view, direction, count) {
            Ok(()) => match direction {
                Direction::Up => self.next(),
                Direction::Down => self.next_back(),
            },
            Err(error) => Some(Err(error)),
        }
    }

    #[inline]
    fn fold_in<A>(
        mut self,
        direction: Direction,
        initial: A,
        mut f: impl FnMut(A, Result<(TokenId, BlockTime)>) -> A,
    ) -> A {
        let mut folded = initial;
        loop {
            let mut run = match self.runs.take(&self.view, direction, RUN_RECORDS) {
                Ok(Some(run)) => run,
                Ok(None) => break,
                Err(error) => return f(folded, Err(error)),
            };
            let mut records_max = RUN_RECORDS;
            while !run.positions.is_empty() {
                let records = match self.view.records(&run, direction, records_max) {
                    Ok(records) => records,
                    // One by one up to the damage, and that.
                    Err(_) if records_max > 1 => {
                        records_max = 1;
                        continue;
                    }
                    Err(error) => return f(folded, Err(error)),
                };
                cut_off(&mut run.positions, direction, records.len().max(1));
                let records = records.iter().map(|record| Ok((*record).into()));
                folded = match direction {
                    Direction::Up => records.fold(folded, &mut f),
                    Direction::Down => records.rfold(folded, &mut f),
                };
            }
        }
        match self.failed {
            Some(error) => f(folded, Err(*error)),
            None => folded,
        }
    }
}

impl Iterator for Range {
    type Item = Result<(TokenId, BlockTime)>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let run = &mut self.runs.front;
        match run.positions.next() {
            Some(position) => {
                let place = Place { source: run.source, position };
                self.item(place)
            }
            None => self.next_of_run(Direction::Up),
        }
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.runs.len() + usize::from(self.failed.is_some());
        (len, Some(len))
    }

    fn nth(&mut self, n: usize) -> Option<Self::Item> {
        self.skip_and_next(Direction::Up, n)
    }

    fn count(self) -> usize {
        self.size_hint().0
    }

    fn fold<A, F: FnMut(A, Self::Item) -> A>(self, initial: A, f: F) -> A {
        self.fold_in(Direction::Up, initial, f)
    }
}

impl DoubleEndedIterator for Range {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        let run = &mut self.runs.back;
        match run.positions.next_back() {
            Some(position) => {
                let place = Place { source: run.source, position };
                self.item(place)
            }
            None => self.next_of_run(Direction::Down),
        }
    }

    fn nth_back(&mut self, n: usize) -> Option<Self::Item> {
        self.skip_and_next(Direction::Down, n)
    }

    fn rfold<A, F: FnMut(A, Self::Item) -> A>(self, initial: A, f: F) -> A {
        self.fold_in(Direction::Down, initial, f)
    }
}

impl ExactSizeIterator for Range {}
impl FusedIterator for Range {}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Range").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Tokens in order, in slices of records; see [`Snapshot::slices`].
#[derive(Debug)]
pub struct Slices<'a> {
    view: &'a View,
    runs: Runs,
    failed: Option<Error>,
}

/// Records of a slice at the most: what is checked for damage at a time.
const SLICE_RECORDS: usize = 1 << 14;

impl<'a> Slices<'a> {
    fn next_in(&mut self, direction: Direction) -> Option<Result<&'a [Record]>> {
        let slice = match self.runs.take(self.view, direction, SLICE_RECORDS) {
            Ok(Some(mut run)) => {
                let slice = self.view.records(&run, direction, SLICE_RECORDS);
                if let Ok(records) = &slice {
                    cut_off(&mut run.positions, direction, records.len().max(1));
                    self.runs.keep(direction, run);
                }
                slice
            }
            Ok(None) => return self.failed.take().map(Err),
            Err(error) => Err(error),
        };
        if slice.is_err() {
            self.runs = Runs::none();
        }
        Some(slice)
    }
}

impl<'a> Iterator for Slices<'a> {
    type Item = Result<&'a [Record]>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_in(Direction::Up)
    }
}

impl DoubleEndedIterator for Slices<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.next_in(Direction::Down)
    }
}

impl FusedIterator for Slices<'_> {}
