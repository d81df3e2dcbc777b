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
use std::mem;
use std::path::Path;
use std::rc::Rc;

use ringstore::{BlockTime, Direction, Error, Record, Result, TokenId};
use rusty_leveldb::{DB, DBIterator, LdbIterator, Options, Status, WriteBatch};

use super::batched::{Batched, KeyValue, LOAD_BATCH, block_time, cache_bytes, token};
use super::cursor::Cursor;
use super::leveldb_disk::SyncedDisk;
use super::value::encode;
use super::{Database, Durable, Engine, Order};

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

    fn is_for_threads(&self) -> bool {
        false
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
        let state = match (direction, from) {
            (Direction::Up, None) => {
                iterator.seek(TokenId::MIN.as_bytes());
                State::AtNext
            }
            (Direction::Up, Some(from)) => {
                iterator.seek(from.as_bytes());
                let is_at_it = iterator.current().is_some_and(|(key, _)| *key == from.0);
                if is_at_it { State::BeforeNext } else { State::AtNext }
            }
            (Direction::Down, from) => {
                iterator.seek(from.as_ref().map_or(&ABOVE_ALL, |from| from.as_bytes()));
                State::BeforeNext
            }
        };
        Ok(LevelDbCursor { iterator, direction, state, value: BlockTime::default() })
    }
}

struct LevelDbCursor {
    iterator: DBIterator,
    direction: Direction,
    state: State,
    value: BlockTime,
}

/// Where the iterator is.
#[derive(Clone, Copy)]
enum State {
    /// It has to move to be at the next token.
    BeforeNext,
    AtNext,
    /// It must not be moved, for it would begin anew.
    AtEnd,
}

impl Cursor for LevelDbCursor {
    fn next(&mut self) -> Result<Option<TokenId>> {
        match (mem::replace(&mut self.state, State::AtEnd), self.direction) {
            (State::AtEnd, _) => return Ok(None),
            (State::AtNext, _) => {}
            (State::BeforeNext, Direction::Up) => drop(self.iterator.advance()),
            (State::BeforeNext, Direction::Down) => drop(self.iterator.prev()),
        }
        match self.iterator.current() {
            None => Ok(None),
            Some((key, _)) if *key == ABOVE_ALL => Ok(None),
            Some((key, value)) => {
                self.state = State::BeforeNext;
                self.value = block_time(NAME, &value)?;
                token(NAME, &key).map(Some)
            }
        }
    }

    fn value(&self) -> Result<BlockTime> {
        Ok(self.value)
    }
}

fn failed(status: Status) -> Error {
    Error::backend(NAME, status)
}
