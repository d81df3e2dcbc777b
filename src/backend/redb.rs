//! Tokens in a redb database, the reference that answers and times are compared with.
//!
//! Written for speed, as redb's authors write their own benchmarks, so that the
//! comparison is fair: keys and values of fixed width; a table that is opened once
//! and read many times; a batch in one write transaction; and cursors, with which
//! redb loads sorted records about three times as fast as by inserting, and walks
//! more than twice as fast as by a range.

use std::iter;
use std::ops::Bound::{Excluded, Unbounded};
use std::ops::RangeBounds;
use std::path::Path;
use std::sync::OnceLock;

use redb::backends::InMemoryBackend;
use redb::{
    AccessGuard, Builder, Database, ReadOnlyTable, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, StorageError, TableDefinition,
};

use super::{RangeIter, TokenStorageBackend};
use crate::challenge::{CHUNKS, CHUNKS_UP, Chunks, Direction, Walk};
use crate::error::{Error, Result};
use crate::token::{BlockId, BlockTime, TokenId};

type Key = &'static [u8; 32];
/// Block ‖ time as a big-endian number.
type Value = &'static [u8; 40];

const TOKENS: TableDefinition<'_, Key, Value> = TableDefinition::new("tokens");

/// redb's own default: 1 GiB.
const CACHE_BYTES: usize = 1 << 30;

/// A [`TokenStorageBackend`] over a redb database.
///
/// Writes are durable when they return.
///
/// ```
/// use ringstore::{BlockTime, ReDbTokens, TokenId, TokenStorageBackend};
/// let mut tokens = ReDbTokens::in_memory()?;
/// tokens.set(&TokenId::from(7), BlockTime::new(1.into(), 100))?;
/// assert_eq!(tokens.len()?, 1);
/// # Ok::<(), ringstore::Error>(())
/// ```
pub struct ReDbTokens {
    database: Database,
    /// Begun by the first read after a write and dropped by the next write: reads do
    /// not pay for a transaction each, and writes find no reader that would keep them
    /// from using freed pages again.
    table: OnceLock<ReadOnlyTable<Key, Value>>,
}

impl ReDbTokens {
    /// Creates the database file `path` with a cache of 1 GiB, redb's default. A
    /// database that is there already is opened.
    ///
    /// # Errors
    ///
    /// What redb reports.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        Self::create_with_cache(path, CACHE_BYTES)
    }

    /// Opens the database file `path` with a cache of 1 GiB, redb's default.
    ///
    /// # Errors
    ///
    /// What redb reports.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with_cache(path, CACHE_BYTES)
    }

    /// Like [`create`](Self::create), with a cache of `bytes`. redb reads through
    /// this cache alone, so it is fast only as far as this holds the tokens, at
    /// about 114 bytes each.
    ///
    /// # Errors
    ///
    /// What redb reports.
    pub fn create_with_cache(path: impl AsRef<Path>, bytes: usize) -> Result<Self> {
        Self::with_table(Builder::new().set_cache_size(bytes).create(path).map_err(failed)?)
    }

    /// Creates a database in memory.
    ///
    /// # Errors
    ///
    /// What redb reports.
    pub fn in_memory() -> Result<Self> {
        let memory = InMemoryBackend::new();
        Self::with_table(Builder::new().create_with_backend(memory).map_err(failed)?)
    }

    fn with_table(database: Database) -> Result<Self> {
        // Reading finds the table only once it was written.
        let transaction = database.begin_write().map_err(failed)?;
        transaction.open_table(TOKENS).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(Self { database, table: OnceLock::new() })
    }

    /// Like [`open`](Self::open), with a cache of `bytes`.
    ///
    /// # Errors
    ///
    /// What redb reports.
    pub fn open_with_cache(path: impl AsRef<Path>, bytes: usize) -> Result<Self> {
        let database = Builder::new().set_cache_size(bytes).open(path).map_err(failed)?;
        let tokens = Self { database, table: OnceLock::new() };
        tokens.table()?;
        Ok(tokens)
    }

    /// [Sets](TokenStorageBackend::set) every record in one transaction, and returns
    /// how many of them it wrote.
    ///
    /// # Errors
    ///
    /// What redb reports; nothing is written then.
    pub fn set_many(
        &mut self,
        records: impl IntoIterator<Item = (TokenId, BlockTime)>,
    ) -> Result<u64> {
        self.table.take();
        let transaction = self.database.begin_write().map_err(failed)?;
        let mut table = transaction.open_table(TOKENS).map_err(failed)?;
        let mut written = 0;
        for (token, value) in records {
            let found = table.get(token.as_bytes()).map_err(failed)?;
            if found.is_none_or(|found| value.time > decode(found.value()).time) {
                table.insert(token.as_bytes(), &encode(&value)).map_err(failed)?;
                written += 1;
            }
        }
        drop(table);
        if written == 0 {
            transaction.abort().map_err(failed)?;
        } else {
            transaction.commit().map_err(failed)?;
        }
        Ok(written)
    }

    /// Maps each token to its value, whatever was there, or removes it where there is none,
    /// in one transaction.
    ///
    /// # Errors
    ///
    /// What redb reports; nothing is written then.
    pub fn write_many(
        &mut self,
        changes: impl IntoIterator<Item = (TokenId, Option<BlockTime>)>,
    ) -> Result<()> {
        self.table.take();
        let transaction = self.database.begin_write().map_err(failed)?;
        let mut table = transaction.open_table(TOKENS).map_err(failed)?;
        for (token, value) in changes {
            match value {
                Some(value) => table.insert(token.as_bytes(), &encode(&value)),
                None => table.remove(token.as_bytes()),
            }
            .map_err(failed)?;
        }
        drop(table);
        transaction.commit().map_err(failed)
    }

    /// Adds records in ascending order, each above all tokens that are there, in one
    /// transaction, and returns their number.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfOrder`], or what redb reports; nothing is added then.
    pub fn load_sorted(
        &mut self,
        records: impl IntoIterator<Item = (TokenId, BlockTime)>,
    ) -> Result<u64> {
        self.table.take();
        let transaction = self.database.begin_write().map_err(failed)?;
        let mut table = transaction.open_table(TOKENS).map_err(failed)?;
        let mut last = table.last().map_err(failed)?.map(|(key, _)| TokenId(*key.value()));
        let mut cursor = table.upper_bound_mut(Unbounded::<Key>).map_err(failed)?;
        let mut loaded = 0;
        for (token, value) in records {
            if let Some(last) = last.filter(|last| token <= *last) {
                return Err(Error::OutOfOrder { token, last });
            }
            cursor.insert_before(token.as_bytes(), &encode(&value)).map_err(failed)?;
            last = Some(token);
            loaded += 1;
        }
        cursor.close().map_err(failed)?;
        drop(table);
        transaction.commit().map_err(failed)?;
        Ok(loaded)
    }

    /// The tokens within bounds, ascending, through redb's iterator rather than a
    /// cursor: slower, but what most programs use.
    ///
    /// # Errors
    ///
    /// What redb reports, here or from the iterator.
    pub fn range<B: RangeBounds<TokenId>>(
        &self,
        bounds: B,
    ) -> Result<impl DoubleEndedIterator<Item = Result<(TokenId, BlockTime)>> + use<B>> {
        let bounds = (
            bounds.start_bound().map(TokenId::as_bytes),
            bounds.end_bound().map(TokenId::as_bytes),
        );
        let range = self.table()?.range::<&[u8; 32]>(bounds).map_err(failed)?;
        Ok(range.map(|entry| {
            let (key, value) = entry.map_err(failed)?;
            Ok((TokenId(*key.value()), decode(value.value())))
        }))
    }

    /// The table as of the last write.
    fn table(&self) -> Result<&ReadOnlyTable<Key, Value>> {
        if let Some(table) = self.table.get() {
            return Ok(table);
        }
        let transaction = self.database.begin_read().map_err(failed)?;
        let table = transaction.open_table(TOKENS).map_err(failed)?;
        Ok(self.table.get_or_init(|| table))
    }
}

impl TokenStorageBackend for ReDbTokens {
    fn lookup(&self, token: &TokenId) -> Result<Option<BlockTime>> {
        let found = self.table()?.get(token.as_bytes()).map_err(failed)?;
        Ok(found.map(|value| decode(value.value())))
    }

    fn set(&mut self, token: &TokenId, value: BlockTime) -> Result<bool> {
        Ok(self.set_many([(*token, value)])? == 1)
    }

    fn range_after(&self, start: &TokenId) -> Result<RangeIter<'_>> {
        let above = Excluded(start.as_bytes());
        let mut cursor = self.table()?.lower_bound(above).map_err(failed)?;
        Ok(Box::new(iter::from_fn(move || cursor.next().transpose().map(record))))
    }

    fn range_before(&self, end: &TokenId) -> Result<RangeIter<'_>> {
        let below = Excluded(end.as_bytes());
        let mut cursor = self.table()?.upper_bound(below).map_err(failed)?;
        Ok(Box::new(iter::from_fn(move || cursor.prev().transpose().map(record))))
    }

    /// Does what the provided one does, in a plain loop over a cursor that reads the
    /// values of matches alone: redb is not to be held back by how others walk.
    fn search_signature(
        &self,
        token: &TokenId,
        chunks: &Chunks,
    ) -> Result<Walk<(TokenId, BlockTime)>> {
        let table = self.table()?;
        let mut walk =
            Walk { matches: Vec::with_capacity(CHUNKS), steps: 0, wrapped: false, complete: false };
        for (direction, leg_end) in [(Direction::Up, CHUNKS_UP), (Direction::Down, CHUNKS)] {
            let open = |from| match direction {
                Direction::Up => table.lower_bound(from),
                Direction::Down => table.upper_bound(from),
            };
            let mut cursor = open(Excluded(token.as_bytes())).map_err(failed)?;
            let mut beyond_end = false;
            while walk.matches.len() < leg_end {
                let entry = match direction {
                    Direction::Up => cursor.next(),
                    Direction::Down => cursor.prev(),
                };
                let Some((key, value)) = entry.map_err(failed)? else {
                    if beyond_end {
                        break;
                    }
                    beyond_end = true;
                    cursor = open(Unbounded).map_err(failed)?;
                    continue;
                };
                let passed = TokenId(*key.value());
                let around = match direction {
                    Direction::Up => passed >= *token,
                    Direction::Down => passed <= *token,
                };
                if beyond_end && around {
                    break;
                }
                walk.steps += 1;
                walk.wrapped |= beyond_end;
                if passed.suffix() == chunks[walk.matches.len()] {
                    walk.matches.push((passed, decode(value.value())));
                }
            }
        }
        walk.complete = walk.matches.len() == CHUNKS;
        Ok(walk)
    }

    fn len(&self) -> Result<u64> {
        self.table()?.len().map_err(failed)
    }
}

/// What a cursor passes.
type Entry<'a> = (AccessGuard<'a, Key>, AccessGuard<'a, Value>);

fn record(entry: Result<Entry<'_>, StorageError>) -> Result<(TokenId, BlockTime)> {
    let (key, value) = entry.map_err(failed)?;
    Ok((TokenId(*key.value()), decode(value.value())))
}

fn encode(value: &BlockTime) -> [u8; 40] {
    let mut bytes = [0; 40];
    bytes[..32].copy_from_slice(value.block.as_bytes());
    bytes[32..].copy_from_slice(&value.time.to_be_bytes());
    bytes
}

fn decode(bytes: &[u8; 40]) -> BlockTime {
    let mut block = [0; 32];
    let mut time = [0; 8];
    block.copy_from_slice(&bytes[..32]);
    time.copy_from_slice(&bytes[32..]);
    BlockTime { block: BlockId(block), time: u64::from_be_bytes(time) }
}

fn failed(error: impl Into<redb::Error>) -> Error {
    Error::backend("redb", error.into())
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_walks;
    use super::*;
    use crate::testing::conformance::check_reads;
    use crate::testing::keys::{KeyFamily, with_values};
    use crate::testing::oracle::Oracle;

    fn records(family: KeyFamily, count: usize, seed: u64) -> Vec<(TokenId, BlockTime)> {
        with_values(family.generate(count, seed), seed).collect()
    }

    #[test]
    fn legs_of_any_number_and_length() -> Result<()> {
        let directory = tempfile::tempdir().unwrap();
        for family in KeyFamily::ALL {
            let records = records(family, 500, 3);
            let path = directory.path().join(format!("{family:?}"));
            let mut tokens = ReDbTokens::create(path)?;
            tokens.load_sorted(records.iter().copied())?;
            check_walks(&tokens, &records.into_iter().collect())?;
        }
        Ok(())
    }

    #[test]
    fn a_batch_resolves_its_tokens_one_after_another() -> Result<()> {
        let directory = tempfile::tempdir().unwrap();
        let mut tokens = ReDbTokens::create(directory.path().join("tokens"))?;
        let mut oracle = Oracle::default();
        // Two rounds of the same tokens, the second with other times.
        for seed in [1, 2] {
            let batch: Vec<_> = with_values(KeyFamily::Uniform.generate(100, 1), seed)
                .chain(with_values(KeyFamily::Uniform.generate(100, 1), seed + 10))
                .collect();
            let expected = batch.iter().filter(|(token, value)| oracle.set(token, *value)).count();
            assert_eq!(tokens.set_many(batch)?, expected as u64);
            check_reads(&tokens, &oracle);
        }
        assert_eq!(tokens.set_many([])?, 0);
        check_reads(&tokens, &oracle);
        Ok(())
    }

    #[test]
    fn writes_replace_and_remove_in_their_order() -> Result<()> {
        let mut tokens = ReDbTokens::in_memory()?;
        let records = records(KeyFamily::Uniform, 100, 1);
        let mut oracle: Oracle = records.iter().copied().collect();
        tokens.write_many(records.iter().map(|(token, value)| (*token, Some(*value))))?;
        check_reads(&tokens, &oracle);
        let older = BlockTime::default();
        tokens.write_many([
            (records[3].0, None),
            (records[4].0, Some(older)),
            (records[5].0, None),
            (records[5].0, Some(older)),
            (records[6].0, Some(older)),
            (records[6].0, None),
        ])?;
        oracle.tokens.remove(&records[3].0);
        oracle.tokens.insert(records[4].0, older);
        oracle.tokens.insert(records[5].0, older);
        oracle.tokens.remove(&records[6].0);
        check_reads(&tokens, &oracle);
        Ok(())
    }

    #[test]
    fn loading_out_of_order_is_refused_and_leaves_nothing() -> Result<()> {
        let directory = tempfile::tempdir().unwrap();
        let mut tokens = ReDbTokens::create(directory.path().join("tokens"))?;
        let records = records(KeyFamily::Uniform, 100, 1);
        tokens.load_sorted(records[..50].iter().copied())?;
        let below = [records[60], records[10]];
        let twice = [records[60], records[60]];
        for (bad, last) in [(below, 60), (twice, 60), ([records[49], records[60]], 49)] {
            match tokens.load_sorted(bad) {
                Err(Error::OutOfOrder { last: found, .. }) => assert_eq!(found, records[last].0),
                other => panic!("{other:?}"),
            }
            let oracle = records[..50].iter().copied().collect();
            check_reads(&tokens, &oracle);
        }
        tokens.load_sorted(records[50..].iter().copied())?;
        check_reads(&tokens, &records.into_iter().collect());
        Ok(())
    }

    #[test]
    fn tokens_are_there_when_opened_again() -> Result<()> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        assert!(matches!(ReDbTokens::open(&path), Err(Error::Backend { engine: "redb", .. })));
        let records = records(KeyFamily::Edges, 1_000, 1);
        let oracle = records.iter().copied().collect();
        ReDbTokens::create(&path)?.load_sorted(records)?;
        check_reads(&ReDbTokens::open(&path)?, &oracle);
        check_reads(&ReDbTokens::create_with_cache(&path, 1 << 20)?, &oracle);
        Ok(())
    }

    #[test]
    fn a_value_lies_as_block_then_time() {
        let value = BlockTime::new(BlockId([7; 32]), 0x0102);
        let bytes = encode(&value);
        assert_eq!(bytes[..32], [7; 32]);
        assert_eq!(bytes[32..], [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(decode(&bytes), value);
    }
}
