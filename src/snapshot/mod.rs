//! What a store held at one moment, and all the ways to read it.

pub(crate) mod range;
#[cfg(test)]
mod tests;
pub(crate) mod walk;

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use crate::error::Result;
use crate::segment::layer::Layer;
use crate::token::{BlockTime, Record, TokenId};

/// What a store held at one moment.
///
/// Taking one costs next to nothing, it never changes, and it lives as long as it is
/// wanted: nothing that is done to the store later is seen through it, nor waits for
/// it. Cloning it is as cheap; it can be sent to and shared between threads.
///
/// All reads may fail with [`Error::Damaged`](crate::Error::Damaged), which is the only
/// error they have, where bytes on disk are not what was written there.
///
/// ```
/// # use ringstore::{BlockId, BlockTime, LoadOptions, Options, Record, Store, TokenId};
/// # let directory = tempfile::tempdir()?;
/// let store = Store::create(directory.path().join("tokens"), &Options::new())?;
/// let records = (0..1_000u64).map(|i| {
///     Ok(Record::new(TokenId::from(3 * i), BlockTime::new(BlockId::from(i), 7)))
/// });
/// store.bulk_load(records, &LoadOptions::new())?;
///
/// let snapshot = store.snapshot();
/// assert_eq!(snapshot.len(), 1_000);
/// assert_eq!(snapshot.get(&TokenId::from(30))?, Some(BlockTime::new(BlockId::from(10), 7)));
/// assert_eq!(snapshot.get(&TokenId::from(31))?, None);
/// assert_eq!(snapshot.rank(&TokenId::from(31))?, 11);
///
/// let mut last_two = snapshot.range(..TokenId::from(31)).rev().take(2);
/// assert_eq!(last_two.next().unwrap()?.0, TokenId::from(30));
/// assert_eq!(last_two.next().unwrap()?.0, TokenId::from(27));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Snapshot {
    layer: Arc<Layer>,
}

impl Snapshot {
    pub(crate) fn new(layer: Arc<Layer>) -> Self {
        Self { layer }
    }

    pub(crate) fn layer(&self) -> &Layer {
        &self.layer
    }

    /// The value of a token, or `None` if it is not there.
    ///
    /// Two or three accesses to memory for tokens spread like hashes; a logarithmic
    /// number for any others.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`](crate::Error::Damaged).
    #[inline]
    pub fn get(&self, token: &TokenId) -> Result<Option<BlockTime>> {
        Ok(self.layer.find(token)?.record.map(Record::value))
    }

    /// Whether a token is there. Costs what [`get`](Self::get) costs.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`](crate::Error::Damaged).
    #[inline]
    pub fn contains(&self, token: &TokenId) -> Result<bool> {
        Ok(self.layer.find(token)?.record.is_some())
    }

    /// The number of tokens, exactly. Takes constant time.
    #[inline]
    pub fn len(&self) -> u64 {
        self.layer.len() as u64
    }

    /// Whether there are no tokens.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of tokens below this one, whether it is there or not.
    ///
    /// Costs what [`get`](Self::get) costs.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`](crate::Error::Damaged).
    #[inline]
    pub fn rank(&self, token: &TokenId) -> Result<u64> {
        Ok(self.layer.find(token)?.position as u64)
    }

    /// The token with so many others below it, or `None` if there are not that many.
    ///
    /// The inverse of [`rank`](Self::rank): one access to memory.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`](crate::Error::Damaged).
    #[inline]
    pub fn select(&self, rank: u64) -> Result<Option<(TokenId, BlockTime)>> {
        let Ok(position) = usize::try_from(rank) else {
            return Ok(None);
        };
        Ok(self.layer.record(position)?.map(|record| (*record).into()))
    }

    /// The number of tokens within bounds, exactly, without passing over them.
    ///
    /// Costs what two calls of [`get`](Self::get) cost.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`](crate::Error::Damaged).
    pub fn count(&self, bounds: impl RangeBounds<TokenId>) -> Result<u64> {
        Ok(self.positions(&bounds)?.len() as u64)
    }

    /// The positions of the tokens within bounds; empty where the bounds cross.
    fn positions(&self, bounds: &impl RangeBounds<TokenId>) -> Result<std::ops::Range<usize>> {
        let before = |token: &TokenId, inclusive: bool| {
            self.layer
                .find(token)
                .map(|found| found.position + usize::from(inclusive && found.record.is_some()))
        };
        let start = match bounds.start_bound() {
            Bound::Unbounded => 0,
            Bound::Included(token) => before(token, false)?,
            Bound::Excluded(token) => before(token, true)?,
        };
        let end = match bounds.end_bound() {
            Bound::Unbounded => self.layer.len(),
            Bound::Included(token) => before(token, true)?,
            Bound::Excluded(token) => before(token, false)?,
        };
        Ok(start..end.max(start))
    }
}
