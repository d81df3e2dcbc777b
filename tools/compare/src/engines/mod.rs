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
mod shared;
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

use std::fmt;
use std::path::Path;

use ::ringstore::{BlockTime, PeerId, Record, Result, Signed, TokenId, TokenStorageBackend};

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

/// Every engine that can be left out of a build, and the feature that it is behind.
pub const FEATURES: &[(&str, &str)] = &[
    ("lmdb", "lmdb"),
    ("lmdb-indexed", "lmdb"),
    ("redb", "redb"),
    ("sled", "sled"),
    ("fjall", "fjall"),
    ("leveldb", "leveldb"),
    ("rocksdb", "rocksdb"),
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

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sorted => "sorted",
            Self::Random => "random",
        })
    }
}

/// What it takes at most to load tokens and to keep them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Needs {
    /// Of the program's own: what the system caches of files is not meant.
    memory_bytes_per_token: u64,
    /// Of memory, however many tokens there are.
    memory_bytes_max: u64,
    disk_bytes_per_token: u64,
}

impl Needs {
    /// So many bytes of memory and of disk for each token.
    pub fn per_token(memory_bytes: u64, disk_bytes: u64) -> Self {
        Self {
            memory_bytes_per_token: memory_bytes,
            memory_bytes_max: u64::MAX,
            disk_bytes_per_token: disk_bytes,
        }
    }

    /// But so many bytes of memory at the most.
    #[must_use]
    pub fn with_memory_max(self, bytes: u64) -> Self {
        Self { memory_bytes_max: bytes, ..self }
    }

    /// Of memory, for so many tokens.
    pub fn memory_bytes(self, tokens: u64) -> u64 {
        self.memory_bytes_max.min(tokens * self.memory_bytes_per_token)
    }

    /// Of disk, for so many tokens.
    pub fn disk_bytes(self, tokens: u64) -> u64 {
        tokens * self.disk_bytes_per_token
    }
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

    /// Whether what is loaded is on disk. If not, a load of it is not what one of the others
    /// is, and has no times.
    fn is_durable(&self) -> bool {
        true
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

    /// What it takes to load tokens and to keep them.
    fn needs(&self) -> Needs;
}

/// A way into a database for one of several threads.
pub type Reader<'a> = Box<dyn Database + Send + 'a>;

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

    /// Looks up all of these tokens, in their order. As provided, one after the other, for
    /// engines that have no call for many.
    ///
    /// # Errors
    ///
    /// What the engine reports.
    fn get_many(&self, tokens: &[TokenId], found: &mut Vec<Option<BlockTime>>) -> Result<()> {
        found.clear();
        for token in tokens {
            found.push(self.lookup(token)?);
        }
        Ok(())
    }

    /// Signs for all of these tokens, in their order. As provided, one after the other.
    ///
    /// # Errors
    ///
    /// What the engine reports.
    fn sign_many(
        &self,
        tokens: &[TokenId],
        peer: &PeerId,
        signed: &mut Vec<Option<Signed>>,
    ) -> Result<()> {
        signed.clear();
        for token in tokens {
            signed.push(self.sign(token, peer)?);
        }
        Ok(())
    }

    /// Another way into the same database, to read it from another thread at the same time.
    /// `None` if that is for one thread alone.
    ///
    /// # Errors
    ///
    /// What the engine reports.
    fn reader(&self) -> Result<Option<Reader<'_>>>;
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
