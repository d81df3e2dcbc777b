//! Tokens in engines whose batches do not see what they write: sled, fjall, `leveldb` and
//! `rocksdb`.
//!
//! Each record of a commit is looked up before, one after the other, and those to be
//! written go into a single batch.
//!
//! None of these engines knows how many keys it has. They are counted once, by a scan when
//! the number is first asked for, and then with every commit, which finds out in any case
//! which tokens are new. So the number is exact, nothing has to be written for it, and it is
//! no other after a crash than what is there.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::OnceLock;

use ringstore::{
    BlockTime, Chunks, Direction, Error, RangeIter, Record, Result, TokenId, TokenStorageBackend,
    Walk,
};

use super::cursor::{Cursor, records, search_signature};
use super::value::decode;
use super::{Database, Durable, Reader};

/// What a key-value store does.
pub(super) trait KeyValue {
    fn get(&self, token: &TokenId) -> Result<Option<BlockTime>>;

    /// Writes all of these records, which are of different tokens, or none. When this
    /// returns, they are on disk, synced.
    fn write(&mut self, records: &[Record]) -> Result<()>;

    /// The way from a token, which is left out, or from one end to the other.
    fn cursor(&self, direction: Direction, from: Option<TokenId>) -> Result<impl Cursor>;

    /// Looks up all of these tokens, in their order. As provided, one after the other.
    fn get_many(&self, tokens: &[TokenId], found: &mut Vec<Option<BlockTime>>) -> Result<()> {
        found.clear();
        for token in tokens {
            found.push(self.get(token)?);
        }
        Ok(())
    }

    /// See [`Database::reader`]. As provided, one thread alone can read.
    fn reader(_tokens: &Batched<Self>) -> Option<Reader<'_>>
    where
        Self: Sized,
    {
        None
    }
}

/// A key-value store as a backend.
pub(super) struct Batched<E> {
    engine: E,
    /// Empty until the tokens are counted.
    count: OnceLock<u64>,
}

impl<E: KeyValue> Batched<E> {
    pub(super) fn new(engine: E) -> Self {
        Self { engine, count: OnceLock::new() }
    }

    /// [Sets](TokenStorageBackend::set) every record in one batch; how many it wrote.
    fn set_many(&mut self, records: &[Record]) -> Result<usize> {
        let mut writes = BTreeMap::new();
        let mut new = 0;
        for record in records {
            let found = match writes.entry(record.token) {
                Entry::Occupied(mut written) => {
                    let written: &mut BlockTime = written.get_mut();
                    if record.value().time > written.time {
                        *written = record.value();
                    }
                    continue;
                }
                Entry::Vacant(unwritten) => {
                    let found = self.engine.get(&record.token)?;
                    if found.is_none_or(|found| record.value().time > found.time) {
                        unwritten.insert(record.value());
                    } else {
                        continue;
                    }
                    found
                }
            };
            new += u64::from(found.is_none());
        }
        if !writes.is_empty() {
            let writes: Vec<_> = writes.into_iter().map(Record::from).collect();
            self.engine.write(&writes)?;
            if let Some(count) = self.count.get_mut() {
                *count += new;
            }
            return Ok(writes.len());
        }
        Ok(0)
    }
}

impl<E: KeyValue> TokenStorageBackend for Batched<E> {
    fn lookup(&self, token: &TokenId) -> Result<Option<BlockTime>> {
        self.engine.get(token)
    }

    fn set(&mut self, token: &TokenId, value: BlockTime) -> Result<bool> {
        Ok(self.set_many(&[Record::new(*token, value)])? == 1)
    }

    fn range_after(&self, start: &TokenId) -> Result<RangeIter<'_>> {
        Ok(records(self.engine.cursor(Direction::Up, Some(*start))?))
    }

    fn range_before(&self, end: &TokenId) -> Result<RangeIter<'_>> {
        Ok(records(self.engine.cursor(Direction::Down, Some(*end))?))
    }

    fn search_signature(
        &self,
        token: &TokenId,
        chunks: &Chunks,
    ) -> Result<Walk<(TokenId, BlockTime)>> {
        search_signature(token, chunks, |direction, from| self.engine.cursor(direction, from))
    }

    fn len(&self) -> Result<u64> {
        if let Some(count) = self.count.get() {
            return Ok(*count);
        }
        let mut count = 0;
        let mut cursor = self.engine.cursor(Direction::Up, None)?;
        while cursor.next()?.is_some() {
            count += 1;
        }
        Ok(*self.count.get_or_init(|| count))
    }
}

impl<E: KeyValue> Database for Batched<E> {
    fn get_many(&self, tokens: &[TokenId], found: &mut Vec<Option<BlockTime>>) -> Result<()> {
        self.engine.get_many(tokens, found)
    }

    fn reader(&self) -> Result<Option<Reader<'_>>> {
        Ok(E::reader(self))
    }
}

impl<E: KeyValue> Durable for Batched<E> {
    fn commit(&mut self, records: &[Record]) -> Result<()> {
        self.set_many(records).map(drop)
    }
}

/// A record of bytes that an engine gave.
#[inline]
pub(super) fn record(
    engine: &'static str,
    key: &[u8],
    value: &[u8],
) -> Result<(TokenId, BlockTime)> {
    Ok((token(engine, key)?, block_time(engine, value)?))
}

/// The token of a key.
#[inline]
pub(super) fn token(engine: &'static str, key: &[u8]) -> Result<TokenId> {
    match key.try_into() {
        Ok(key) => Ok(TokenId(key)),
        Err(_) => Err(Error::backend(engine, format!("a key of {} bytes", key.len()))),
    }
}

/// What a value says.
#[inline]
pub(super) fn block_time(engine: &'static str, value: &[u8]) -> Result<BlockTime> {
    match value.try_into() {
        Ok(value) => Ok(decode(value)),
        Err(_) => Err(Error::backend(engine, format!("a value of {} bytes", value.len()))),
    }
}

/// Records that are written in one batch where many are loaded.
#[cfg(any(feature = "fjall", feature = "leveldb", feature = "rocksdb"))]
pub(super) const LOAD_BATCH: usize = 1_000;

/// A cache for so many records and what engines have around them.
pub(super) fn cache_bytes(records: usize) -> usize {
    records * 256 + (64 << 20)
}
