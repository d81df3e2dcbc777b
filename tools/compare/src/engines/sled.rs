//! Tokens in sled, a log-structured tree of pages.
//!
//! For speed: a cache larger than all tokens, so that pages are never read from disk twice;
//! `Mode::HighThroughput`, which its authors have for those who would rather give it disk
//! than time; no compression. sled has no other way to load than inserting: records are
//! inserted one by one, as they come, since a batch has its cost and brings nothing then.
//! Iterators own what they need, and go both ways.
//!
//! What `flush` promises is an fsync, and what it does on Linux is `sync_file_range`: the
//! pages are written, but neither the disk's own cache nor what the file system has to
//! know of a file that grew. A thread in the background syncs the file twice a second.
//! A commit here is a batch, `flush`, and then an fdatasync of sled's file, for only then
//! it is what a commit of the other engines is. That adds to what sled takes by itself.

use std::fs::File;
use std::path::Path;

use ringstore::{BlockTime, Direction, Error, Record, Result, TokenId};
use sled::{Batch, Config, Db, Mode};

use super::batched::{Batched, KeyValue, block_time, cache_bytes, record};
use super::cursor::Cursor;
use super::iterated::{Iterated, bounds};
use super::shared::Shared;
use super::value::encode;
use super::{Database, Durable, Engine, Needs, Order, Reader};

const NAME: &str = "sled";

/// sled.
pub struct Sled;

impl Engine for Sled {
    fn name(&self) -> &'static str {
        NAME
    }

    fn load(
        &self,
        directory: &Path,
        records: &[Record],
        _order: Order,
    ) -> Result<Box<dyn Database>> {
        let tokens = SledTokens::open(directory, records.len())?;
        for record in records {
            let (key, value) = (record.token.as_bytes(), encode(&record.value()));
            tokens.db.insert(key, value.as_slice()).map_err(failed)?;
        }
        tokens.sync()?;
        sync_directory(directory)?;
        Ok(Box::new(Batched::new(tokens)))
    }

    fn open(&self, directory: &Path, records: usize) -> Result<Option<Box<dyn Durable>>> {
        Ok(Some(Box::new(Batched::new(SledTokens::open(directory, records)?))))
    }

    fn needs(&self) -> Needs {
        Needs::per_token(300, 320)
    }
}

struct SledTokens {
    db: Db,
    /// What sled writes to, to be synced.
    file: File,
}

impl SledTokens {
    fn open(directory: &Path, records: usize) -> Result<Self> {
        let config = Config::new()
            .path(directory)
            .cache_capacity(cache_bytes(records) as u64)
            .mode(Mode::HighThroughput);
        let db = config.open().map_err(failed)?;
        let path = directory.join("db");
        let file =
            File::open(&path).map_err(|source| Error::Io { operation: "open", path, source })?;
        Ok(Self { db, file })
    }

    fn sync(&self) -> Result<()> {
        self.db.flush().map_err(failed)?;
        self.file.sync_data().map_err(|error| Error::backend(NAME, error))
    }
}

impl KeyValue for SledTokens {
    fn get(&self, token: &TokenId) -> Result<Option<BlockTime>> {
        let found = self.db.get(token.as_bytes()).map_err(failed)?;
        found.map(|value| block_time(NAME, &value)).transpose()
    }

    fn write(&mut self, records: &[Record]) -> Result<()> {
        let mut batch = Batch::default();
        for record in records {
            batch.insert(record.token.as_bytes(), encode(&record.value()).as_slice());
        }
        self.db.apply_batch(batch).map_err(failed)?;
        self.sync()
    }

    fn cursor(&self, direction: Direction, from: Option<TokenId>) -> Result<impl Cursor> {
        let range = self.db.range(bounds(direction, from)).map(|entry| {
            let (key, value) = entry.map_err(failed)?;
            record(NAME, &key, &value)
        });
        Ok(Iterated::new(range, direction))
    }

    fn reader(tokens: &Batched<Self>) -> Option<Reader<'_>> {
        Some(Box::new(Shared(tokens)))
    }
}

/// Makes names of new files in a directory durable.
fn sync_directory(directory: &Path) -> Result<()> {
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(|source| Error::Io {
        operation: "sync",
        path: directory.into(),
        source,
    })
}

fn failed(error: sled::Error) -> Error {
    Error::backend(NAME, error)
}
