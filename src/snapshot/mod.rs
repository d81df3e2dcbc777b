//! What a store held at one moment, and all the ways to read it.

mod layers;
pub(crate) mod many;
mod nearest;
pub(crate) mod range;
mod runs;
mod select;
#[cfg(test)]
mod tests;
pub(crate) mod view;
pub(crate) mod walk;

use std::sync::Arc;

use self::view::{Side, View};
use crate::error::Result;
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
    view: Arc<View>,
}

impl Snapshot {
    pub(crate) fn new(view: Arc<View>) -> Self {
        Self { view }
    }

    #[inline]
    pub(crate) fn view(&self) -> &Arc<View> {
        &self.view
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
        Ok(self.view.get(token)?.map(Record::value))
    }

    /// Whether a token is there. Costs what [`get`](Self::get) costs.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`](crate::Error::Damaged).
    #[inline]
    pub fn contains(&self, token: &TokenId) -> Result<bool> {
        Ok(self.view.get(token)?.is_some())
    }

    /// The number of tokens, exactly. Takes constant time.
    #[inline]
    pub fn len(&self) -> u64 {
        self.view.len()
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
        self.view.rank(token, Side::Below)
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
        Ok(self.view.select(rank)?.map(|record| (*record).into()))
    }
}
