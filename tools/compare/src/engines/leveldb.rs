//! Tokens in `LevelDB`, as the crate `rusty-leveldb` has it.
//!
//! For speed: a cache larger than all tokens, a large write buffer, and no compression, as
//! the crate has it. It has no other way to load than writing: records are written in
//! batches, then all tables are compacted into one, so that a read finds nothing else in its
//! way. An iterator owns what it needs; one is made for each range.
//!
//! Two things are done for iterators that go back. One that seeks beyond the last key is
//! nowhere, and has no way to the last one: there is a key above those of all tokens, from
//! which it goes back. And an iterator that turns loses every table, and the memory's, that
//! has nothing at or above the key where it turns, a mistake of the crate: every batch has
//! that last key, and every level is a single file, so that each of them has it. The price
//! is that compactions take whole levels.
//!
//! The crate syncs nothing: what it calls a synced write is flushed to the system alone.
//! Its files are opened here so that they are synced where it flushes them, which is where
//! `LevelDB` syncs: see [`leveldb_disk`](super::leveldb_disk). So a commit, one batch, is
//! durable when it ends.
//!
//! A lookup that fails finds nothing, as the crate has no way to say otherwise. One thread
//! alone can use a database, and compactions are done by whoever writes.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use ringstore::{BlockTime, Direction, Error, Record, Result, TokenId};
use rusty_leveldb::{DB, DBIterator, LdbIterator, Options, Status, WriteBatch};

use super::batched::{Batched, KeyValue, LOAD_BATCH, block_time, cache_bytes, record};
use super::cursor::Cursor;
use super::leveldb_disk::SyncedDisk;
use super::moved::{Moved, MovedCursor};
use super::value::encode;
use super::{Database, Durable, Engine, Needs, Order};

const NAME: &str = "leveldb";

const WRITE_BUFFER_BYTES: usize = 64 << 20;

/// Larger than any file.
const FILE_BYTES_MAX: usize = 1 << 40;

/// Above all tokens.
const ABOVE_ALL: [u8; 33] = [u8::MAX; 33];

/// `LevelDB`, by the crate `rusty-leveldb`.
pub struct LevelDb;

impl Engine for LevelDb {
    fn name(&self) -> &'static str {
        NAME
    }

    fn load(
        &self,
        directory: &Path,
        records: &[Record],
        _order: Order,
    ) -> Result<Box<dyn Database>> {
        let tokens = LevelDbTokens::open(directory, records.len())?;
        tokens.load(records).map_err(failed)?;
        Ok(Box::new(Batched::new(tokens)))
    }

    fn open(&self, directory: &Path, records: usize) -> Result<Option<Box<dyn Durable>>> {
        Ok(Some(Box::new(Batched::new(LevelDbTokens::open(directory, records)?))))
    }

    fn needs(&self) -> Needs {
        Needs::per_token(150, 200)
    }
}

struct LevelDbTokens {
    /// Reads change it.
    db: RefCell<DB>,
}

impl LevelDbTokens {
    fn open(directory: &Path, records: usize) -> Result<Self> {
        let options = Options {
            env: Rc::new(Box::new(SyncedDisk::default())),
            write_buffer_size: WRITE_BUFFER_BYTES,
            max_file_size: FILE_BYTES_MAX,
            block_cache_capacity_bytes: cache_bytes(records),
            ..Options::default()
        };
        let db = DB::open(directory, options).map_err(failed)?;
        Ok(Self { db: RefCell::new(db) })
    }

    fn load(&self, records: &[Record]) -> Result<(), Status> {
        let mut db = self.db.borrow_mut();
        for records in records.chunks(LOAD_BATCH) {
            db.write(batch(records), false)?;
        }
        db.write(batch(&[]), true)?;
        db.compact_range(TokenId::MIN.as_bytes(), &ABOVE_ALL)
    }
}

/// These records, and the key above all.
fn batch(records: &[Record]) -> WriteBatch {
    let mut batch = WriteBatch::default();
    batch.put(&ABOVE_ALL, &[]);
    for record in records {
        batch.put(record.token.as_bytes(), &encode(&record.value()));
    }
    batch
}

impl KeyValue for LevelDbTokens {
    fn get(&self, token: &TokenId) -> Result<Option<BlockTime>> {
        let found = self.db.borrow_mut().get(token.as_bytes());
        found.map(|value| block_time(NAME, &value)).transpose()
    }

    fn write(&mut self, records: &[Record]) -> Result<()> {
        self.db.get_mut().write(batch(records), true).map_err(failed)
    }

    fn cursor(&self, direction: Direction, from: Option<TokenId>) -> Result<impl Cursor> {
        let mut iterator = self.db.borrow_mut().new_iter().map_err(failed)?;
        match direction {
            Direction::Up => {
                let from_end = from.unwrap_or(TokenId::MIN);
                iterator.seek(from_end.as_bytes());
                let left_out = |from: TokenId| {
                    iterator.current().is_some_and(|(key, _)| *key == *from.as_bytes())
                };
                if from.is_some_and(left_out) {
                    iterator.advance();
                }
            }
            Direction::Down => {
                iterator.seek(from.as_ref().map_or(&ABOVE_ALL, |from| from.as_bytes()));
                iterator.prev();
            }
        }
        let iterator = LevelDbIterator { iterator, value: BlockTime::default() };
        Ok(MovedCursor::new(iterator, direction))
    }
}

struct LevelDbIterator {
    iterator: DBIterator,
    value: BlockTime,
}

impl Moved for LevelDbIterator {
    fn move_to_next(&mut self, direction: Direction) {
        match direction {
            Direction::Up => self.iterator.advance(),
            Direction::Down => self.iterator.prev(),
        };
    }

    /// Looked at with the value, for the iterator copies both each time.
    fn token(&mut self) -> Result<Option<TokenId>> {
        match self.iterator.current() {
            Some((key, value)) if *key != ABOVE_ALL => {
                let (token, value) = record(NAME, &key, &value)?;
                self.value = value;
                Ok(Some(token))
            }
            _ => Ok(None),
        }
    }

    fn value(&self) -> Result<BlockTime> {
        Ok(self.value)
    }
}

fn failed(status: Status) -> Error {
    Error::backend(NAME, status)
}
