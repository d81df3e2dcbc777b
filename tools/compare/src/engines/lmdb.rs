//! Tokens in LMDB, the memory-mapped B+tree that ringstore has to beat.
//!
//! Written for speed, as LMDB's authors recommend: keys and values of fixed width in the
//! one unnamed database; a read transaction that is begun once and kept for many reads;
//! cursors that look at keys and values where they lie in the map; sorted records
//! appended, never searched for.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fs;
use std::ops::Bound::{Excluded, Unbounded};
use std::path::Path;

use heed::{
    BoxedError, BytesDecode, BytesEncode, CommitOrAbort, Env, EnvOpenOptions, PutFlags, RoRange,
    RoRevRange, RoTxn, RwTxn, WithoutTls,
};
use ringstore::{
    BlockTime, Chunks, Direction, Error, RangeIter, Record, Result, TokenId, TokenStorageBackend,
    Walk,
};

use super::cursor::{self, Cursor, records};
use super::value::{VALUE_BYTES, decode, encode};
use super::{Database, Durable, Engine, Needs, Order, Reader};

/// LMDB, by the crate `heed`.
pub struct Lmdb;

impl Engine for Lmdb {
    fn name(&self) -> &'static str {
        "lmdb"
    }

    fn load(
        &self,
        directory: &Path,
        records: &[Record],
        order: Order,
    ) -> Result<Box<dyn Database>> {
        let mut tokens = LmdbTokens::create(directory, map_bytes(records.len()))?;
        match order {
            Order::Sorted => tokens.load_sorted(records)?,
            Order::Random => tokens.load_random(records)?,
        }
        Ok(Box::new(tokens))
    }

    fn open(&self, directory: &Path, records: usize) -> Result<Option<Box<dyn Durable>>> {
        Ok(Some(Box::new(LmdbTokens::create(directory, map_bytes(records))?)))
    }

    fn needs(&self) -> Needs {
        Needs::per_token(60, 140).with_memory_max(600 << 20)
    }
}

impl Database for LmdbTokens {
    /// With a transaction of its own, for one is for a single thread.
    fn reader(&self) -> Result<Option<Reader<'_>>> {
        Ok(Some(Box::new(self.another())))
    }
}

impl Durable for LmdbTokens {
    fn commit(&mut self, records: &[Record]) -> Result<()> {
        self.set_many(records.iter().map(|record| (*record).into())).map(drop)
    }
}

/// Room for so many records, several times over: pages that were half full when they
/// were split, and those that a transaction replaces; and for what is committed later, in
/// hours. Only addresses are taken; the file grows with what is stored.
pub(super) fn map_bytes(records: usize) -> usize {
    (64 << 30) + records.next_multiple_of(4096) * 512
}

/// As many threads as can be asked for, and some.
const READERS_MAX: u32 = 1_100;

/// A fixed number of bytes, borrowed from the map.
pub(super) enum Fixed<const N: usize> {}

impl<'a, const N: usize> BytesEncode<'a> for Fixed<N> {
    type EItem = [u8; N];

    fn bytes_encode(item: &'a [u8; N]) -> Result<Cow<'a, [u8]>, BoxedError> {
        Ok(item.as_slice().into())
    }
}

impl<'a, const N: usize> BytesDecode<'a> for Fixed<N> {
    type DItem = &'a [u8; N];

    fn bytes_decode(bytes: &'a [u8]) -> Result<&'a [u8; N], BoxedError> {
        Ok(bytes.try_into()?)
    }
}

type Key = Fixed<32>;
pub(super) type Value = Fixed<VALUE_BYTES>;
type Table = heed::Database<'static, Key, Value>;

/// A [`TokenStorageBackend`] over an LMDB environment.
///
/// Writes are durable when they return.
pub struct LmdbTokens {
    /// Begun by the first read after a write and ended by the next write: reads do not
    /// pay for a transaction each, and writes find no reader that would keep them from
    /// using freed pages again.
    reader: OnceCell<RoTxn<'static, WithoutTls>>,
    tokens: Table,
    env: Env<WithoutTls>,
}

impl LmdbTokens {
    /// Creates an environment in a directory, which is made if it does not exist, or
    /// opens the one that is there. It can grow to `map_bytes`, a multiple of the page
    /// size.
    ///
    /// # Errors
    ///
    /// What LMDB reports.
    pub fn create(directory: impl AsRef<Path>, map_bytes: usize) -> Result<Self> {
        let env = open(directory.as_ref(), map_bytes, 0)?;
        let tokens = create_table(&env, None).map_err(failed)?;
        Ok(Self::over(env, tokens))
    }

    /// The tokens in a table of this environment.
    pub(super) fn over(env: Env<WithoutTls>, tokens: Table) -> Self {
        Self { reader: OnceCell::new(), tokens, env }
    }

    /// The same tokens, with another transaction for reads.
    pub(super) fn another(&self) -> Self {
        Self::over(self.env.clone(), self.tokens)
    }

    /// Adds records in ascending order, each above all tokens that are there, in one
    /// transaction.
    ///
    /// # Errors
    ///
    /// What LMDB reports, also of records out of order; nothing is added then.
    pub fn load_sorted(&mut self, records: &[Record]) -> Result<()> {
        self.put(records, PutFlags::APPEND, |_| Ok(()))
    }

    /// Puts records of different tokens in any order, in one transaction: every commit
    /// writes each page that was touched, which here are nearly all, so that several
    /// would take longer and twice the room.
    ///
    /// # Errors
    ///
    /// What LMDB reports; nothing is added then.
    pub fn load_random(&mut self, records: &[Record]) -> Result<()> {
        self.put(records, PutFlags::empty(), |_| Ok(()))
    }

    /// [Sets](TokenStorageBackend::set) every record in one transaction, and returns how
    /// many of them it wrote.
    ///
    /// # Errors
    ///
    /// What LMDB reports; nothing is written then.
    pub fn set_many(
        &mut self,
        records: impl IntoIterator<Item = (TokenId, BlockTime)>,
    ) -> Result<u64> {
        self.set_each(records, |_, _, _| Ok(()))
    }

    /// Like [`set_many`](Self::set_many), with something to be done in the same transaction
    /// for each record that it writes.
    pub(super) fn set_each(
        &mut self,
        records: impl IntoIterator<Item = (TokenId, BlockTime)>,
        mut also: impl FnMut(&mut RwTxn<'_>, &TokenId, &[u8; VALUE_BYTES]) -> heed::Result<()>,
    ) -> Result<u64> {
        self.reader.take();
        let mut transaction = self.env.write_txn().map_err(failed)?;
        let mut written = 0;
        for (token, value) in records {
            let key = token.as_bytes();
            let found = self.tokens.get(&transaction, key).map_err(failed)?;
            if found.is_none_or(|found| value.time > decode(found).time) {
                let value = encode(&value);
                self.tokens.put(&mut transaction, key, &value).map_err(failed)?;
                also(&mut transaction, &token, &value).map_err(failed)?;
                written += 1;
            }
        }
        if written > 0 {
            transaction.commit().map_err(failed)?;
        }
        Ok(written)
    }

    /// Puts records, and then does something else in the same transaction.
    pub(super) fn put(
        &mut self,
        records: &[Record],
        flags: PutFlags,
        also: impl FnOnce(&mut RwTxn<'_>) -> heed::Result<()>,
    ) -> Result<()> {
        self.reader.take();
        let mut transaction = self.env.write_txn().map_err(failed)?;
        for record in records {
            let (key, value) = (record.token.as_bytes(), encode(&record.value()));
            self.tokens.put_with_flags(&mut transaction, flags, key, &value).map_err(failed)?;
        }
        also(&mut transaction).map_err(failed)?;
        transaction.commit().map_err(failed)
    }

    /// The tokens as of the last write.
    pub(super) fn reader(&self) -> Result<&RoTxn<'static, WithoutTls>> {
        if let Some(reader) = self.reader.get() {
            return Ok(reader);
        }
        let reader = self.env.clone().static_read_txn().map_err(failed)?;
        Ok(self.reader.get_or_init(|| reader))
    }

    /// The way from a token, which is left out, or from one end to the other.
    fn cursor(&self, direction: Direction, from: Option<TokenId>) -> Result<LmdbCursor<'_>> {
        let reader = self.reader()?;
        let from = from.as_ref().map_or(Unbounded, |token| Excluded(token.as_bytes()));
        let range = match direction {
            Direction::Up => self.tokens.range(reader, &(from, Unbounded)).map(Range::Up),
            Direction::Down => self.tokens.rev_range(reader, &(Unbounded, from)).map(Range::Down),
        };
        Ok(LmdbCursor { range: range.map_err(failed)?, value: &[0; VALUE_BYTES] })
    }
}

/// A way through the tokens, and the value of the last one passed, where it lies.
pub(super) struct LmdbCursor<'a> {
    range: Range<'a>,
    value: &'a [u8; VALUE_BYTES],
}

enum Range<'a> {
    Up(RoRange<'a, Key, Value>),
    Down(RoRevRange<'a, Key, Value>),
}

impl Cursor for LmdbCursor<'_> {
    #[inline]
    fn next(&mut self) -> Result<Option<TokenId>> {
        let entry = match &mut self.range {
            Range::Up(range) => range.next(),
            Range::Down(range) => range.next(),
        };
        let Some((key, value)) = entry.transpose().map_err(failed)? else {
            return Ok(None);
        };
        self.value = value;
        Ok(Some(TokenId(*key)))
    }

    #[inline]
    fn value(&self) -> Result<BlockTime> {
        Ok(decode(self.value))
    }
}

impl TokenStorageBackend for LmdbTokens {
    fn lookup(&self, token: &TokenId) -> Result<Option<BlockTime>> {
        let found = self.tokens.get(self.reader()?, token.as_bytes()).map_err(failed)?;
        Ok(found.map(decode))
    }

    fn set(&mut self, token: &TokenId, value: BlockTime) -> Result<bool> {
        Ok(self.set_many([(*token, value)])? == 1)
    }

    fn range_after(&self, start: &TokenId) -> Result<RangeIter<'_>> {
        Ok(records(self.cursor(Direction::Up, Some(*start))?))
    }

    fn range_before(&self, end: &TokenId) -> Result<RangeIter<'_>> {
        Ok(records(self.cursor(Direction::Down, Some(*end))?))
    }

    fn search_signature(
        &self,
        token: &TokenId,
        chunks: &Chunks,
    ) -> Result<Walk<(TokenId, BlockTime)>> {
        cursor::search_signature(token, chunks, |direction, from| self.cursor(direction, from))
    }

    fn len(&self) -> Result<u64> {
        self.tokens.len(self.reader()?).map_err(failed)
    }
}

/// Opens the environment in a directory, which is made if it does not exist, with so many
/// tables that have a name.
pub(super) fn open(path: &Path, map_bytes: usize, named_tables: u32) -> Result<Env<WithoutTls>> {
    fs::create_dir_all(path).map_err(|source| Error::Io {
        operation: "create",
        path: path.into(),
        source,
    })?;
    open_directory(path, map_bytes, named_tables).map_err(failed)
}

#[expect(unsafe_code, reason = "heed leaves it to its callers that nobody else alters the files")]
fn open_directory(
    path: &Path,
    map_bytes: usize,
    named_tables: u32,
) -> heed::Result<Env<WithoutTls>> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size(map_bytes).max_dbs(named_tables).max_readers(READERS_MAX);
    // SAFETY: the directory is this program's own, on a local disk, and it alone writes
    // there, through LMDB and with LMDB's locks.
    unsafe { options.open(path) }
}

/// The table of this name, or the one without a name, which is made if it is not there.
pub(super) fn create_table<const N: usize>(
    env: &Env<WithoutTls>,
    name: Option<&str>,
) -> heed::Result<heed::Database<'static, Fixed<N>, Value>> {
    let created = env.create_databases_and_commit(env.write_txn()?, |opener, transaction| {
        let table = opener.create_database(transaction, name)?;
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(table))
    })?;
    Ok(created.unwrap_commit())
}

pub(super) fn failed(error: heed::Error) -> Error {
    Error::backend("lmdb", error)
}
