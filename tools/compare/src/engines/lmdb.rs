//! Tokens in LMDB, the memory-mapped B+tree that ringstore has to beat.
//!
//! Written for speed, as LMDB's authors recommend: keys and values of fixed width in the
//! one unnamed database; a read transaction that is begun once and kept for many reads;
//! cursors that look at keys and values where they lie in the map; sorted records
//! appended, never searched for.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fs;
use std::ops::Bound::{self, Excluded, Unbounded};
use std::path::Path;

use heed::{
    BoxedError, BytesDecode, BytesEncode, CommitOrAbort, Env, EnvOpenOptions, PutFlags, RoRange,
    RoRevRange, RoTxn, WithoutTls,
};
use ringstore::{
    BlockId, BlockTime, CHUNKS, CHUNKS_UP, Chunks, Direction, Error, RangeIter, Record, Result,
    TokenId, TokenStorageBackend, Walk,
};

use super::{Database, Durable, Engine, Order};

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
}

impl Database for LmdbTokens {}

impl Durable for LmdbTokens {
    fn commit(&mut self, records: &[Record]) -> Result<()> {
        self.set_many(records.iter().map(|record| (*record).into())).map(drop)
    }
}

/// Room for so many records, several times over: pages that were half full when they
/// were split, and those that a transaction replaces; and for what is committed later, in
/// hours. Only addresses are taken; the file grows with what is stored.
fn map_bytes(records: usize) -> usize {
    (64 << 30) + records.next_multiple_of(4096) * 512
}

/// A fixed number of bytes, borrowed from the map.
enum Fixed<const N: usize> {}

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
/// Block ‖ time as a big-endian number.
type Value = Fixed<40>;
type Table = heed::Database<'static, Key, Value>;
/// What a cursor passes.
type Entry<'a> = (&'a [u8; 32], &'a [u8; 40]);

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
        let path = directory.as_ref();
        fs::create_dir_all(path).map_err(|source| Error::Io {
            operation: "create",
            path: path.into(),
            source,
        })?;
        let env = open(path, map_bytes).map_err(failed)?;
        let tokens = create_database(&env).map_err(failed)?;
        Ok(Self { reader: OnceCell::new(), tokens, env })
    }

    /// Adds records in ascending order, each above all tokens that are there, in one
    /// transaction.
    ///
    /// # Errors
    ///
    /// What LMDB reports, also of records out of order; nothing is added then.
    pub fn load_sorted(&mut self, records: &[Record]) -> Result<()> {
        self.put(records, PutFlags::APPEND)
    }

    /// Puts records of different tokens in any order, in one transaction: every commit
    /// writes each page that was touched, which here are nearly all, so that several
    /// would take longer and twice the room.
    ///
    /// # Errors
    ///
    /// What LMDB reports; nothing is added then.
    pub fn load_random(&mut self, records: &[Record]) -> Result<()> {
        self.put(records, PutFlags::empty())
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
        self.reader.take();
        let mut transaction = self.env.write_txn().map_err(failed)?;
        let mut written = 0;
        for (token, value) in records {
            let key = token.as_bytes();
            let found = self.tokens.get(&transaction, key).map_err(failed)?;
            if found.is_none_or(|found| value.time > decode(found).time) {
                self.tokens.put(&mut transaction, key, &encode(&value)).map_err(failed)?;
                written += 1;
            }
        }
        if written > 0 {
            transaction.commit().map_err(failed)?;
        }
        Ok(written)
    }

    fn put(&mut self, records: &[Record], flags: PutFlags) -> Result<()> {
        self.reader.take();
        let mut transaction = self.env.write_txn().map_err(failed)?;
        for record in records {
            let (key, value) = (record.token.as_bytes(), encode(&record.value()));
            self.tokens.put_with_flags(&mut transaction, flags, key, &value).map_err(failed)?;
        }
        transaction.commit().map_err(failed)
    }

    /// The tokens as of the last write.
    fn reader(&self) -> Result<&RoTxn<'static, WithoutTls>> {
        if let Some(reader) = self.reader.get() {
            return Ok(reader);
        }
        let reader = self.env.clone().static_read_txn().map_err(failed)?;
        Ok(self.reader.get_or_init(|| reader))
    }

    fn cursor(&self, direction: Direction, bounds: Bounds<'_>) -> Result<Cursor<'_>> {
        let reader = self.reader()?;
        match direction {
            Direction::Up => self.tokens.range(reader, &bounds).map(Cursor::Up),
            Direction::Down => self.tokens.rev_range(reader, &bounds).map(Cursor::Down),
        }
        .map_err(failed)
    }
}

type Bounds<'a> = (Bound<&'a [u8; 32]>, Bound<&'a [u8; 32]>);

fn above(token: &TokenId) -> Bounds<'_> {
    (Excluded(token.as_bytes()), Unbounded)
}

fn below(token: &TokenId) -> Bounds<'_> {
    (Unbounded, Excluded(token.as_bytes()))
}

/// A way through the tokens.
enum Cursor<'a> {
    Up(RoRange<'a, Key, Value>),
    Down(RoRevRange<'a, Key, Value>),
}

impl<'a> Iterator for Cursor<'a> {
    type Item = heed::Result<Entry<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Up(range) => range.next(),
            Self::Down(range) => range.next(),
        }
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
        Ok(Box::new(self.cursor(Direction::Up, above(start))?.map(record)))
    }

    fn range_before(&self, end: &TokenId) -> Result<RangeIter<'_>> {
        Ok(Box::new(self.cursor(Direction::Down, below(end))?.map(record)))
    }

    /// Does what the provided one does, in a plain loop over a cursor that reads the
    /// values of matches alone: LMDB is not to be held back by how others walk.
    fn search_signature(
        &self,
        token: &TokenId,
        chunks: &Chunks,
    ) -> Result<Walk<(TokenId, BlockTime)>> {
        let mut walk =
            Walk { matches: Vec::with_capacity(CHUNKS), steps: 0, wrapped: false, complete: false };
        let (above, below) = (above(token), below(token));
        for (direction, leg_end, to_end, beyond_end) in
            [(Direction::Up, CHUNKS_UP, above, below), (Direction::Down, CHUNKS, below, above)]
        {
            for (bounds, is_beyond_end) in [(to_end, false), (beyond_end, true)] {
                if walk.matches.len() == leg_end {
                    break;
                }
                for entry in self.cursor(direction, bounds)? {
                    let (key, value) = entry.map_err(failed)?;
                    let passed = TokenId(*key);
                    walk.steps += 1;
                    walk.wrapped |= is_beyond_end;
                    if passed.suffix() == chunks[walk.matches.len()] {
                        walk.matches.push((passed, decode(value)));
                        if walk.matches.len() == leg_end {
                            break;
                        }
                    }
                }
            }
        }
        walk.complete = walk.matches.len() == CHUNKS;
        Ok(walk)
    }

    fn len(&self) -> Result<u64> {
        self.tokens.len(self.reader()?).map_err(failed)
    }
}

#[expect(unsafe_code, reason = "heed leaves it to its callers that nobody else alters the files")]
fn open(path: &Path, map_bytes: usize) -> heed::Result<Env<WithoutTls>> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size(map_bytes);
    // SAFETY: the directory is this program's own, on a local disk, and it alone writes
    // there, through LMDB and with LMDB's locks.
    unsafe { options.open(path) }
}

fn create_database(env: &Env<WithoutTls>) -> heed::Result<Table> {
    let created = env.create_databases_and_commit(env.write_txn()?, |opener, transaction| {
        let tokens = opener.create_database(transaction, None)?;
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(tokens))
    })?;
    Ok(created.unwrap_commit())
}

fn record(entry: heed::Result<Entry<'_>>) -> Result<(TokenId, BlockTime)> {
    let (key, value) = entry.map_err(failed)?;
    Ok((TokenId(*key), decode(value)))
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

fn failed(error: heed::Error) -> Error {
    Error::backend("lmdb", error)
}
