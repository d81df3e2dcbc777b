//! Another way into a database that several threads can read as it is.

use ringstore::{
    BlockTime, Chunks, Error, PeerId, RangeIter, Result, Signed, TokenId, TokenStorageBackend, Walk,
};

use super::{Database, Reader};

/// Passes reads on to a database, and takes no writes.
pub(super) struct Shared<'a, D>(pub(super) &'a D);

impl<D: Database> TokenStorageBackend for Shared<'_, D> {
    fn lookup(&self, token: &TokenId) -> Result<Option<BlockTime>> {
        self.0.lookup(token)
    }

    fn set(&mut self, _token: &TokenId, _value: BlockTime) -> Result<bool> {
        Err(Error::backend("a reader", "it only reads"))
    }

    fn range_after(&self, start: &TokenId) -> Result<RangeIter<'_>> {
        self.0.range_after(start)
    }

    fn range_before(&self, end: &TokenId) -> Result<RangeIter<'_>> {
        self.0.range_before(end)
    }

    fn search_signature(
        &self,
        token: &TokenId,
        chunks: &Chunks,
    ) -> Result<Walk<(TokenId, BlockTime)>> {
        self.0.search_signature(token, chunks)
    }

    fn sign(&self, token: &TokenId, peer: &PeerId) -> Result<Option<Signed>> {
        self.0.sign(token, peer)
    }

    fn len(&self) -> Result<u64> {
        self.0.len()
    }
}

impl<D: Database> Database for Shared<'_, D> {
    fn get_many(&self, tokens: &[TokenId], found: &mut Vec<Option<BlockTime>>) -> Result<()> {
        self.0.get_many(tokens, found)
    }

    fn sign_many(
        &self,
        tokens: &[TokenId],
        peer: &PeerId,
        signed: &mut Vec<Option<Signed>>,
    ) -> Result<()> {
        self.0.sign_many(tokens, peer, signed)
    }

    fn reader(&self) -> Result<Option<Reader<'_>>> {
        self.0.reader()
    }
}
