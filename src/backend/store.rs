//! The store as a backend: every call reads what the store holds at that moment.

use std::ops::Bound::{Excluded, Unbounded};

use super::{RangeIter, TokenStorageBackend};
use crate::challenge::{Chunks, Signed, Walk};
use crate::error::Result;
use crate::store::Store;
use crate::token::{BlockTime, PeerId, TokenId};

impl TokenStorageBackend for Store {
    fn lookup(&self, token: &TokenId) -> Result<Option<BlockTime>> {
        self.snapshot().get(token)
    }

    fn set(&mut self, token: &TokenId, value: BlockTime) -> Result<bool> {
        Self::set(self, token, value)
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
