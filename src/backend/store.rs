//! The store as a backend: every call reads what the store holds at that moment.

use std::ops::Bound::{Excluded, Unbounded};

use super::{RangeIter, TokenStorageBackend};
use crate::challenge::{Chunks, Signed, Walk};
use crate::error::{Error, Result};
use crate::store::Store;
use crate::token::{BlockTime, PeerId, TokenId};

impl TokenStorageBackend for Store {
    fn lookup(&self, token: &TokenId) -> Result<Option<BlockTime>> {
        self.snapshot().get(token)
    }

    /// The store is filled in bulk; single writes are refused.
    fn set(&mut self, _token: &TokenId, _value: BlockTime) -> Result<bool> {
        let reason = "the store takes no single writes; use bulk_load";
        Err(Error::Unwritable { operation: "set a token in", path: self.path().into(), reason })
    }

    fn range_after(&self, start: &TokenId) -> Result<RangeIter<'_>> {
        Ok(Box::new(self.snapshot().range((Excluded(start), Unbounded))))
    }

    fn range_before(&self, end: &TokenId) -> Result<RangeIter<'_>> {
        Ok(Box::new(self.snapshot().range(..end).rev()))
    }

    fn search_signature(
        &self,
        token: &TokenId,
        chunks: &Chunks,
    ) -> Result<Walk<(TokenId, BlockTime)>> {
        self.snapshot().search_signature(token, chunks)
    }

    fn sign(&self, token: &TokenId, peer: &PeerId) -> Result<Option<Signed>> {
        self.snapshot().sign(token, peer)
    }

    fn len(&self) -> Result<u64> {
        Ok(self.snapshot().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;

    #[test]
    fn single_writes_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Store::create(directory.path(), &Options::new()).unwrap();
        let result = store.set(&TokenId::MIN, BlockTime::default());
        assert!(matches!(result, Err(Error::Unwritable { .. })), "{result:?}");
        assert_eq!(store.lookup(&TokenId::MIN).unwrap(), None);
    }
}
