//! A backend that is asked for its ranges, so that what it says of a walk can be compared
//! with what one passes.

use ringstore::{BlockTime, Error, RangeIter, Result, TokenId, TokenStorageBackend};

/// Walks through the ranges of another backend, as all do that have no faster way.
pub struct Walking<'a>(pub &'a dyn TokenStorageBackend);

impl TokenStorageBackend for Walking<'_> {
    fn lookup(&self, token: &TokenId) -> Result<Option<BlockTime>> {
        self.0.lookup(token)
    }

    fn set(&mut self, _token: &TokenId, _value: BlockTime) -> Result<bool> {
        Err(Error::backend("walking", "it only reads"))
    }

    fn range_after(&self, start: &TokenId) -> Result<RangeIter<'_>> {
        self.0.range_after(start)
    }

    fn range_before(&self, end: &TokenId) -> Result<RangeIter<'_>> {
        self.0.range_before(end)
    }

    fn len(&self) -> Result<u64> {
        self.0.len()
    }
}
