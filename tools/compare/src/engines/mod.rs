//! The engines that are compared: one file each, and one line in [`ALL`].

#[cfg(any(feature = "fjall", feature = "leveldb", feature = "rocksdb", feature = "sled"))]
mod batched;
#[cfg(any(
    feature = "fjall",
    feature = "leveldb",
    feature = "lmdb",
    feature = "rocksdb",
    feature = "sled"
))]
mod cursor;
#[cfg(feature = "fjall")]
pub mod fjall;
#[cfg(any(feature = "fjall", feature = "sled"))]
mod iterated;
#[cfg(feature = "leveldb")]
pub mod leveldb;
#[cfg(feature = "leveldb")]
mod leveldb_disk;
#[cfg(feature = "lmdb")]
pub mod lmdb;
#[cfg(feature = "lmdb")]
pub mod lmdb_indexed;
pub mod mem;
#[cfg(any(feature = "leveldb", feature = "rocksdb"))]
mod moved;
#[cfg(feature = "redb")]
pub mod redb;
pub mod ringstore;
#[cfg(feature = "rocksdb")]
pub mod rocksdb;
#[cfg(feature = "sled")]
pub mod sled;
#[cfg(any(
    feature = "fjall",
    feature = "leveldb",
    feature = "lmdb",
    feature = "rocksdb",
    feature = "sled"
))]
mod value;

use std::path::Path;

use ::ringstore::{Record, Result, TokenId, TokenStorageBackend};

/// Every engine, in the order of the columns.
pub const ALL: &[&dyn Engine] = &[
    &ringstore::Ringstore,
    #[cfg(feature = "lmdb")]
    &lmdb::Lmdb,
    #[cfg(feature = "lmdb")]
    &lmdb_indexed::LmdbIndexed,
    #[cfg(feature = "redb")]
    &redb::Redb,
    #[cfg(feature = "sled")]
    &sled::Sled,
    #[cfg(feature = "fjall")]
    &fjall::Fjall,
    #[cfg(feature = "leveldb")]
    &leveldb::LevelDb,
    #[cfg(feature = "rocksdb")]
    &rocksdb::RocksDb,
    &mem::Mem,
];

/// The engine of this name.
pub fn named(name: &str) -> Option<&'static dyn Engine> {
    ALL.iter().copied().find(|engine| engine.name() == name)
}

/// The order in which an engine is given records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Ascending by token.
    Sorted,
    /// None.
    Random,
}

/// How an engine is filled.
pub trait Engine: Sync {
    /// What it is called, on the command line too.
    fn name(&self) -> &'static str;

    /// Makes a database of these records, all of different tokens, in a directory that
    /// does not exist yet, by the engine's fastest way that is safe. When this returns,
    /// all of it is on disk, synced.
    ///
    /// # Errors
    ///
    /// What the engine reports.
    fn load(&self, directory: &Path, records: &[Record], order: Order)
    -> Result<Box<dyn Database>>;

    /// Opens the database that is in a directory, closed, to commit to it. It was made of
    /// so many records.
    ///
    /// As provided, `None`: the engine keeps nothing on disk, so that no commit to it is
    /// durable.
    ///
    /// # Errors
    ///
    /// What the engine reports.
    fn open(&self, _directory: &Path, _records: usize) -> Result<Option<Box<dyn Durable>>> {
        Ok(None)
    }

    /// Whether walks and signatures tell how many tokens they pass.
    ///
    /// As provided, yes. An engine that goes from match to match, and keeps no ranks, would
    /// have to pass all tokens between them to know, which is what its index is there to
    /// save. What it tells as `steps` is how many matches it found; all else of a walk is
    /// as it is of others.
    fn counts_steps(&self) -> bool {
        true
    }

    /// Whether several threads can read one database at the same time. As provided, yes.
    fn is_for_threads(&self) -> bool {
        true
    }
}

/// What a loaded engine is asked.
pub trait Database: TokenStorageBackend {
    /// Brings the database into the state of one that has been in use for a while, in
    /// which whatever is done at a first read was done. As provided, reads everything.
    ///
    /// # Errors
    ///
    /// What the engine reports.
    fn warm_up(&self) -> Result<()> {
        self.range_after(&TokenId::MIN)?.try_for_each(|record| record.map(drop))
    }
}

/// A database that takes commits which survive the power.
pub trait Durable: Database {
    /// [Sets](TokenStorageBackend::set) every record in one transaction. When this returns,
    /// all of them are on disk, synced.
    ///
    /// # Errors
    ///
    /// What the engine reports.
    fn commit(&mut self, records: &[Record]) -> Result<()>;
}
