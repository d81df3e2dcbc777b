//! Tokens in `RocksDB`, the engine that the backend analysis this project started from
//! recommends.
//!
//! For speed, what that analysis says for reads: a bloom filter of ten bits a key, a block
//! cache by the scale of the store, LZ4, four write buffers of 256 MiB, a base level of
//! 512 MiB, and files that stay open. Where the cache that it says is smaller than all
//! tokens, it is made as large as they are. Index and filters are outside of the cache,
//! where nothing pushes them out. Sorted records are written to tables, which are then moved in:
//! the way for bulk loads that its authors recommend. Records in random order are written in
//! the other way that they do: in batches without a log, with the options that they have for
//! it, under which nothing is compacted before all of it is at the end.
//!
//! Raw iterators look at keys and values where they lie, in blocks that they keep hold of.
//! They read no blocks ahead of need, for that is for what is not in the cache.
//!
//! A commit is a batch written with `sync`, an fdatasync of the log.

use std::num::NonZero;
use std::path::Path;
use std::thread;

use ringstore::{BlockTime, Direction, Error, Record, Result, TokenId};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType, DBRawIterator,
    DEFAULT_COLUMN_FAMILY_NAME, IngestExternalFileOptions, Options, ReadOptions, SstFileWriter,
    WriteBatch, WriteOptions,
};

use super::batched::{Batched, KeyValue, LOAD_BATCH, block_time, cache_bytes, token};
use super::cursor::Cursor;
use super::moved::{Moved, MovedCursor};
use super::shared::Shared;
use super::value::encode;
use super::{Database, Durable, Engine, Needs, Order, Reader};

const NAME: &str = "rocksdb";

const WRITE_BUFFER_BYTES: usize = 256 << 20;

const LEVEL_BASE_BYTES: u64 = 512 << 20;

/// What a file has that is moved in, as what compactions make.
const TABLE_BYTES: u64 = 64 << 20;

/// `RocksDB`, by the crate `rocksdb`.
pub struct RocksDb;

impl Engine for RocksDb {
    fn name(&self) -> &'static str {
        NAME
    }

    fn load(
        &self,
        directory: &Path,
        records: &[Record],
        order: Order,
    ) -> Result<Box<dyn Database>> {
        let options = options(records.len());
        if order == Order::Random {
            // Closed at once: these options are for nothing else.
            put(directory, &options, records).map_err(failed)?;
        }
        let tokens = create_production_tokens(directory, records.len()).map_err(failed)?;
        if order == Order::Sorted {
            ingest(&tokens.db, &options, directory, records).map_err(failed)?;
        }
        Ok(Box::new(Batched::new(tokens)))
    }

    fn open(&self, directory: &Path, records: usize) -> Result<Option<Box<dyn Durable>>> {
        let tokens = create_production_tokens(directory, records).map_err(failed)?;
        Ok(Some(Box::new(Batched::new(tokens))))
    }

    fn needs(&self) -> Needs {
        Needs::per_token(150, 200)
    }
}

/// Opens a database for so many tokens, which is made if there is none, as the analysis
/// does under this name.
fn create_production_tokens(
    directory: &Path,
    records: usize,
) -> Result<RocksDbTokens, rocksdb::Error> {
    let options = options(records);
    // Named, so that it can be asked for many tokens at once.
    let family = ColumnFamilyDescriptor::new(DEFAULT_COLUMN_FAMILY_NAME, options.clone());
    Ok(RocksDbTokens { db: DB::open_cf_descriptors(&options, directory, [family])? })
}

/// The block cache that the analysis has for so many tokens: 4 GB, and 16 GB for a billion.
fn scale_cache_bytes(records: usize) -> usize {
    if records <= 100_000_000 { 4 << 30 } else { 16 << 30 }
}

fn options(records: usize) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_bloom_filter(10.0, false);
    let cache_bytes = scale_cache_bytes(records).max(cache_bytes(records));
    blocks.set_block_cache(&Cache::new_lru_cache(cache_bytes));
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.create_if_missing(true);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_max_open_files(10_000);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_max_write_buffer_number(4);
    options.set_level_zero_file_num_compaction_trigger(4);
    options.set_max_bytes_for_level_base(LEVEL_BASE_BYTES);
    let cores = thread::available_parallelism().map_or(1, NonZero::get) as u32;
    options.increase_parallelism(cores.cast_signed());
    options.set_max_subcompactions(cores);
    options
}

/// Writes tables of ascending records and moves them into a database. It syncs them, and
/// what names them.
fn ingest(
    db: &DB,
    options: &Options,
    directory: &Path,
    records: &[Record],
) -> Result<(), rocksdb::Error> {
    let mut paths = Vec::new();
    let mut rest = records;
    while !rest.is_empty() {
        // No table that the database has is called so.
        let path = directory.join(format!("load-{}", paths.len()));
        rest = write_table(options, &path, rest)?;
        paths.push(path);
    }
    if paths.is_empty() {
        return Ok(());
    }
    let mut moving = IngestExternalFileOptions::default();
    moving.set_move_files(true);
    db.ingest_external_file_opts(&moving, paths)
}

/// Writes as many records as a table has, and returns the others.
fn write_table<'a>(
    options: &Options,
    path: &Path,
    records: &'a [Record],
) -> Result<&'a [Record], rocksdb::Error> {
    let mut writer = SstFileWriter::create(options);
    writer.open(path)?;
    for (at, record) in records.iter().enumerate() {
        writer.put(record.token.as_bytes(), encode(&record.value()))?;
        if writer.file_size() >= TABLE_BYTES {
            writer.finish()?;
            return Ok(&records[at + 1..]);
        }
    }
    writer.finish()?;
    Ok(&[])
}

/// Makes a database of records in any order. Without a log, they are durable once they are
/// flushed.
fn put(directory: &Path, options: &Options, records: &[Record]) -> Result<(), rocksdb::Error> {
    let mut options = options.clone();
    options.prepare_for_bulk_load();
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    let db = DB::open(&options, directory)?;
    let mut without_log = WriteOptions::default();
    without_log.disable_wal(true);
    for records in records.chunks(LOAD_BATCH) {
        db.write_opt(batch(records), &without_log)?;
    }
    db.flush()?;
    db.compact_range(None::<&[u8]>, None::<&[u8]>);
    Ok(())
}

fn batch(records: &[Record]) -> WriteBatch {
    let mut batch = WriteBatch::default();
    for record in records {
        batch.put(record.token.as_bytes(), encode(&record.value()));
    }
    batch
}

struct RocksDbTokens {
    db: DB,
}

impl KeyValue for RocksDbTokens {
    fn get(&self, token: &TokenId) -> Result<Option<BlockTime>> {
        let found = self.db.get_pinned(token.as_bytes()).map_err(failed)?;
        found.map(|value| block_time(NAME, &value)).transpose()
    }

    fn get_many(&self, tokens: &[TokenId], found: &mut Vec<Option<BlockTime>>) -> Result<()> {
        let family = self.db.cf_handle(DEFAULT_COLUMN_FAMILY_NAME);
        let family = family.ok_or_else(|| Error::backend(NAME, "it has no column family"))?;
        found.clear();
        let keys = tokens.iter().map(TokenId::as_bytes);
        for value in self.db.batched_multi_get_cf(&family, keys, false) {
            let value = value.map_err(failed)?;
            found.push(value.map(|value| block_time(NAME, &value)).transpose()?);
        }
        Ok(())
    }

    fn write(&mut self, records: &[Record]) -> Result<()> {
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        self.db.write_opt(batch(records), &synced).map_err(failed)
    }

    fn cursor(&self, direction: Direction, from: Option<TokenId>) -> Result<impl Cursor> {
        let mut reading = ReadOptions::default();
        reading.set_pin_data(true);
        let mut iterator = self.db.raw_iterator_opt(reading);
        match (direction, from) {
            (Direction::Up, None) => iterator.seek_to_first(),
            (Direction::Down, None) => iterator.seek_to_last(),
            (Direction::Up, Some(from)) => iterator.seek(from.as_bytes()),
            (Direction::Down, Some(from)) => iterator.seek_for_prev(from.as_bytes()),
        }
        if from.is_some_and(|from| iterator.key() == Some(from.as_bytes().as_slice())) {
            iterator.move_to_next(direction);
        }
        Ok(MovedCursor::new(iterator, direction))
    }

    fn reader(tokens: &Batched<Self>) -> Option<Reader<'_>> {
        Some(Box::new(Shared(tokens)))
    }
}

impl Moved for DBRawIterator<'_> {
    #[inline]
    fn move_to_next(&mut self, direction: Direction) {
        match direction {
            Direction::Up => self.next(),
            Direction::Down => self.prev(),
        }
    }

    #[inline]
    fn token(&mut self) -> Result<Option<TokenId>> {
        match self.key() {
            Some(key) => token(NAME, key).map(Some),
            // At the end, or where something failed.
            None => self.status().map(|()| None).map_err(failed),
        }
    }

    #[inline]
    fn value(&self) -> Result<BlockTime> {
        block_time(NAME, Self::value(self).unwrap_or_default())
    }
}

fn failed(error: rocksdb::Error) -> Error {
    Error::backend(NAME, error)
}
