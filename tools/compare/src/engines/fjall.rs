//! Tokens in fjall, a log-structured merge tree.
//!
//! For speed: a cache larger than all tokens; indexes and filters pinned, and none of them
//! in parts, for all of them are in memory in any case. Blocks, filters and compression are
//! as its authors have them. Sorted records are ingested: they go into tables as they come,
//! past journal and memtables. The database is then opened anew, since tables that were
//! ingested pin nothing before. Records in random order go through journal and memtables,
//! in batches that are synced together at the end. Iterators own what they need, and go
//! both ways.
//!
//! A commit is a batch with `PersistMode::SyncAll`, an fsync of the journal. Tables are
//! synced as they are finished, and so are the directories that they are in.

use std::path::Path;

use fjall::config::{PartitioningPolicy, PinningPolicy};
use fjall::{Guard, Keyspace, KeyspaceCreateOptions, PersistMode};
use ringstore::{BlockTime, Direction, Error, Record, Result, TokenId};

use super::batched::{Batched, KeyValue, LOAD_BATCH, block_time, cache_bytes, record};
use super::cursor::Cursor;
use super::iterated::{Iterated, bounds};
use super::shared::Shared;
use super::value::encode;
use super::{Database, Durable, Engine, Needs, Order, Reader};

const NAME: &str = "fjall";

/// fjall.
pub struct Fjall;

impl Engine for Fjall {
    fn name(&self) -> &'static str {
        NAME
    }

    fn load(
        &self,
        directory: &Path,
        records: &[Record],
        order: Order,
    ) -> Result<Box<dyn Database>> {
        let mut tokens = FjallTokens::open(directory, records.len()).map_err(failed)?;
        match order {
            Order::Sorted => {
                tokens.ingest(records).map_err(failed)?;
                drop(tokens);
                tokens = FjallTokens::open(directory, records.len()).map_err(failed)?;
            }
            Order::Random => {
                for records in records.chunks(LOAD_BATCH) {
                    tokens.put(records, None).map_err(failed)?;
                }
                tokens.database.persist(PersistMode::SyncAll).map_err(failed)?;
            }
        }
        Ok(Box::new(Batched::new(tokens)))
    }

    fn open(&self, directory: &Path, records: usize) -> Result<Option<Box<dyn Durable>>> {
        let tokens = FjallTokens::open(directory, records).map_err(failed)?;
        Ok(Some(Box::new(Batched::new(tokens))))
    }

    fn needs(&self) -> Needs {
        Needs::per_token(150, 280)
    }
}

struct FjallTokens {
    tokens: Keyspace,
    database: fjall::Database,
}

impl FjallTokens {
    fn open(directory: &Path, records: usize) -> fjall::Result<Self> {
        let cache = cache_bytes(records) as u64;
        let database = fjall::Database::builder(directory).cache_size(cache).open()?;
        let options = || {
            KeyspaceCreateOptions::default()
                .index_block_pinning_policy(PinningPolicy::all(true))
                .filter_block_pinning_policy(PinningPolicy::all(true))
                .index_block_partitioning_policy(PartitioningPolicy::all(false))
                .filter_block_partitioning_policy(PartitioningPolicy::all(false))
        };
        let tokens = database.keyspace("tokens", options)?;
        Ok(Self { tokens, database })
    }

    fn ingest(&self, records: &[Record]) -> fjall::Result<()> {
        let mut ingestion = self.tokens.start_ingestion()?;
        for record in records {
            let (key, value) = (record.token.as_bytes(), encode(&record.value()));
            ingestion.write(key.as_slice(), value.as_slice())?;
        }
        ingestion.finish()
    }

    fn put(&self, records: &[Record], durability: Option<PersistMode>) -> fjall::Result<()> {
        let mut batch = self.database.batch().durability(durability);
        for record in records {
            let (key, value) = (record.token.as_bytes(), encode(&record.value()));
            batch.insert(&self.tokens, key.as_slice(), value.as_slice());
        }
        batch.commit()
    }
}

impl KeyValue for FjallTokens {
    fn get(&self, token: &TokenId) -> Result<Option<BlockTime>> {
        let found = self.tokens.get(token.as_bytes()).map_err(failed)?;
        found.map(|value| block_time(NAME, &value)).transpose()
    }

    fn write(&mut self, records: &[Record]) -> Result<()> {
        self.put(records, Some(PersistMode::SyncAll)).map_err(failed)
    }

    fn cursor(&self, direction: Direction, from: Option<TokenId>) -> Result<impl Cursor> {
        let range = self.tokens.range(bounds(direction, from)).map(|entry: Guard| {
            let (key, value) = entry.into_inner().map_err(failed)?;
            record(NAME, &key, &value)
        });
        Ok(Iterated::new(range, direction))
    }

    fn reader(tokens: &Batched<Self>) -> Option<Reader<'_>> {
        Some(Box::new(Shared(tokens)))
    }
}

fn failed(error: fjall::Error) -> Error {
    Error::backend(NAME, error)
}
