//! The store: a directory of segments and the manifest that names them.

mod bulk;
pub(crate) mod checkpoint;
#[cfg(test)]
mod checkpoints;
#[cfg(test)]
mod compactions;
#[cfg(test)]
mod crashes;
mod directory;
pub(crate) mod expire;
#[cfg(test)]
mod expiries;
#[cfg(all(test, not(shuttle)))]
mod failing_syncs;
#[cfg(test)]
mod flushes;
#[cfg(all(test, shuttle))]
mod interleavings;
mod layers;
#[cfg(test)]
mod lies;
#[cfg(test)]
mod load_neighbours;
#[cfg(test)]
mod loads;
pub(crate) mod monitor;
mod published;
mod reader;
#[cfg(test)]
mod refreshes;
pub(crate) mod residency;
mod resolve;
#[cfg(test)]
mod scenarios;
pub(crate) mod stat;
#[cfg(test)]
mod tests;
pub(crate) mod verify;
mod writer;

use std::io;
use std::path::Path;
use std::sync::Arc;

use self::directory::{create_directory, lock, refuse_occupied};
use self::layers::{Opening, open_layers};
use self::monitor::Monitor;
use self::published::Published;
use self::reader::Reader;
use self::writer::Writer;
use crate::batch::{Batch, Committed};
use crate::delta::layers::Layers;
use crate::error::{Error, Result};
use crate::format::manifest::ManifestContents;
use crate::format::names::{LOCK, MANIFEST, UNSYNCED};
use crate::io::Disk;
use crate::io::disk::RealDisk;
use crate::io::random::random_bytes;
use crate::manifest;
use crate::options::{Durability, Options};
use crate::progress::OnProgress;
use crate::recover::{Recovery, refuse_older, replay};
use crate::report;
use crate::snapshot::Snapshot;
use crate::token::{BlockTime, TokenId};

/// A store of tokens in a directory.
///
/// Cheap to clone and to share between threads: all clones are one store. It is read
/// through [snapshots](Store::snapshot), and written by [commits](Store::commit) from any
/// number of threads. Dropping the last clone closes it.
///
/// ```
/// use ringstore::{Batch, BlockId, BlockTime, Options, Store, TokenId};
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("tokens");
/// let store = Store::create(&path, &Options::new())?;
/// let (token, block) = (TokenId::from(7), BlockId::from(1));
/// store.commit(Batch::new().put(token, BlockTime::new(block, 100)))?;
///
/// let before = store.snapshot();
/// assert!(store.remove(&token)?);
/// assert_eq!(before.get(&token)?, Some(BlockTime::new(block, 100)));
/// assert_eq!(store.snapshot().get(&token)?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What a commit promises
///
/// A commit is there as a whole or not at all, for every reader and after every crash.
/// Once it is acknowledged, it survives the power, or, if it is
/// [buffered](crate::Durability::Buffered), the process. Commits are seen, and survive, in
/// one order: none without all before it.
///
/// If a write or a sync fails, the commits that wait for it get
/// [`Error::OutcomeUnknown`]: whether they are on disk shows when the store is opened
/// anew. Until then this store is only read. If there is no room for a log, the commit
/// gets [`Error::NoSpace`], and nothing has changed.
///
/// # What is done in the background
///
/// When the [delta](Options::delta_entries) or its [log](Options::log_bytes) is full, a
/// thread writes it to a layer on disk, and takes layers together where there would be more
/// than six. Where the layers above the bottom one have half of its records, another thread
/// makes one layer of all. Others commit meanwhile; they wait only where a second delta is full before the
/// first one is written. If that fails, as for want of room, nothing is lost and commits go
/// on until the second delta is full; then they try again, and fail as it does, until there
/// is room. [`stat`](Store::stat) says so before, and closing the store says so at last.
///
/// # Other threads, other processes
///
/// `Store`, snapshots and iterators can be sent to and shared between threads. Other processes
/// [open it for reading](Store::open_read_only). A process that is forked from the one that
/// opened the store may read on; whatever writes fails there with [`Error::Unwritable`].
///
/// # Deleting, moving and copying the directory
///
/// A snapshot, and whatever was read, can be read on when the directory is gone. A writer
/// finds out when it needs another file, and fails then; until then it commits to a log that
/// has no name any more, and those commits go with it. It never touches another directory
/// that has taken the place of its own.
///
/// A copy of the files, made one by one while they are in use, is refused as damaged, or
/// holds a state that the store had while it was made; that its manifest was the same
/// before and after makes the former unlikely. What was refused is to be copied again.
///
/// # The contract of opening
///
/// The store's files are mapped into memory. Nothing else may alter them while they
/// are: if another program cuts a mapped file, or the medium fails under it, reading
/// ends this process with SIGBUS; if it writes into one, answers may be wrong. The
/// store itself never alters a segment that has a name: segments are made read-only,
/// and removing one, by the store or by hand, leaves maps of it as they are. Logs, which it
/// writes on, are not mapped.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    disk: Arc<dyn Disk>,
    options: Options,
    published: Arc<Published>,
    access: Access,
    monitor: Arc<Monitor>,
    recovery: Recovery,
}

/// What may be done to a store.
enum Access {
    Write(Arc<Writer>),
    Read(Box<Reader>),
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Access::Write(writer) = &self.access {
            // Who wants to know closes the store.
            if let Err(error) = writer.close() {
                report::warn(format_args!("closing {}: {error}", self.disk.path().display()));
            }
        }
    }
}

impl Store {
    /// Creates a store in a directory that is empty, or does not exist but could.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyExists`] if something is there, or what is there is no directory;
    /// [`Error::Locked`] if another one is just being created there; [`Error::NoSpace`];
    /// [`Error::Io`], also where there is no permission; [`Error::OutcomeUnknown`] where the
    /// manifest's name could not be made durable: open the store, or remove the directory.
    pub fn create(path: impl AsRef<Path>, options: &Options) -> Result<Self> {
        let path = path.as_ref();
        let created = create_directory(path)?;
        let store = Self::create_on(RealDisk::new(path), options)?;
        created.keep();
        Ok(store)
    }

    pub(crate) fn create_on(disk: impl Disk + 'static, options: &Options) -> Result<Self> {
        let disk: Arc<dyn Disk> = Arc::new(disk);
        refuse_occupied(disk.as_ref())?;
        // Held until what failed is removed.
        let lock: Arc<dyn Send + Sync> = lock(disk.as_ref())?.into();
        // Somebody may have been faster.
        refuse_occupied(disk.as_ref())?;
        let contents = ManifestContents {
            store_id: random_bytes()?,
            generation: 1,
            next_file_id: 1,
            layers: Vec::new(),
            logs: Vec::new(),
        };
        let created = manifest::replace(disk.as_ref(), &contents).and_then(|()| {
            let lock = Box::new(Arc::clone(&lock));
            Self::open_locked(Arc::clone(&disk), options, contents, lock)
        });
        if created.is_err() {
            // Leaves what was found, as far as that works. A manifest that stays keeps what
            // says that it may not be durable. Whoever waits for this lock opens it anew.
            let is_gone = match disk.unlink(MANIFEST) {
                Ok(()) => true,
                Err(error) => error.kind() == io::ErrorKind::NotFound,
            };
            if is_gone {
                for name in [UNSYNCED, LOCK] {
                    let _ = disk.unlink(name);
                }
            }
        }
        created
    }

    /// Opens a store for reading and writing.
    ///
    /// Takes time that does not depend on how much is in the bottom layer, unless
    /// [`Verification::OnOpen`](crate::Verification::OnOpen) asks for more, and a lookup there
    /// for each entry of the layers above it. What the last writer had in its logs is written
    /// once more, to a new one, which takes time in proportion to it.
    ///
    /// # Errors
    ///
    /// [`Error::NotAStore`]; [`Error::Locked`] if another writer has it open;
    /// [`Error::Damaged`]; [`Error::UnknownVersion`]; [`Error::NoSpace`] where there is no room
    /// for a new log, which is needed if there was one with commits; [`Error::MemoryLock`] with
    /// [`Residency::Locked`](crate::Residency::Locked); [`Error::Io`];
    /// [`Error::OutcomeUnknown`] where names could not be made durable, after which the same call
    /// may be made again. In none of these cases is anything lost that was durable.
    pub fn open(path: impl AsRef<Path>, options: &Options) -> Result<Self> {
        Self::open_on(RealDisk::new(path.as_ref()), options)
    }

    pub(crate) fn open_on(disk: impl Disk + 'static, options: &Options) -> Result<Self> {
        let disk: Arc<dyn Disk> = Arc::new(disk);
        // Without a manifest this is no store of ours, and no lock is left behind.
        let read =
            || manifest::read(disk.as_ref())?.ok_or_else(|| manifest::missing(disk.as_ref()));
        read()?;
        let lock = lock(disk.as_ref())?;
        // A writer that was killed may have left names that are not durable yet. What is
        // built on them now must not outlive them.
        disk.sync_directory().map_err(Error::io("sync", disk.path()))?;
        // What was read before the lock was taken may be outdated.
        let contents = read()?;
        Self::open_locked(disk, options, contents, lock)
    }

    /// Opens a store, or creates it where the directory is empty or does not exist.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create(path: impl AsRef<Path>, options: &Options) -> Result<Self> {
        match Self::open(&path, options) {
            Err(Error::NotAStore { .. }) => Self::create(path, options),
            opened => opened,
        }
    }

    /// Opens a store for reading: takes no lock, needs no permission to write, and
    /// leaves no trace.
    ///
    /// # Errors
    ///
    /// [`Error::NotAStore`]; [`Error::Damaged`]; [`Error::UnknownVersion`];
    /// [`Error::MemoryLock`] with [`Residency::Locked`](crate::Residency::Locked); [`Error::Io`].
    pub fn open_read_only(path: impl AsRef<Path>, options: &Options) -> Result<Self> {
        Self::open_read_only_on(RealDisk::new(path.as_ref()), options)
    }

    pub(crate) fn open_read_only_on(disk: impl Disk + 'static, options: &Options) -> Result<Self> {
        let disk: Arc<dyn Disk> = Arc::new(disk);
        let monitor = Arc::new(Monitor::default());
        let (reader, recovery) =
            Reader::open(disk.as_ref(), Opening::new(options), Arc::clone(&monitor))?;
        let (options, published) = (options.clone(), Arc::clone(reader.published()));
        let access = Access::Read(Box::new(reader));
        let inner = Inner { disk, options, published, access, monitor, recovery };
        Ok(Self { inner: Arc::new(inner) })
    }

    fn open_locked(
        disk: Arc<dyn Disk>,
        options: &Options,
        contents: ManifestContents,
        lock: Box<dyn Send + Sync>,
    ) -> Result<Self> {
        manifest::refuse_foreign(disk.as_ref(), &contents)?;
        refuse_older(disk.as_ref(), &contents)?;
        let layers = open_layers(disk.as_ref(), &contents, Opening::new(options), &[])?;
        let replayed = replay(disk.as_ref(), &contents, Layers::new(layers)?)?;
        let recovery = replayed.recovery;
        if recovery.cut_bytes > 0 {
            let Recovery { commits, cut_bytes } = recovery;
            let path = disk.path().display();
            report::warn(format_args!(
                "{path}: {commits} commits read, {cut_bytes} bytes of others left out"
            ));
        }
        // Only now that the store is known to be whole; and before files are made whose
        // names may be taken.
        let contents = manifest::remove_leftovers(disk.as_ref(), contents)?;
        let monitor = Arc::new(Monitor::default());
        let writer = Writer::new(
            Arc::clone(&disk),
            lock,
            options,
            contents,
            replayed,
            Arc::clone(&monitor),
        )?;
        let (options, published) = (options.clone(), Arc::clone(writer.published()));
        let access = Access::Write(writer);
        let inner = Inner { disk, options, published, access, monitor, recovery };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The store's directory.
    pub fn path(&self) -> &Path {
        self.inner.disk.path()
    }

    /// What the store holds now; see [`Snapshot`].
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.inner.published.striped())
    }

    /// The right to write, if there is one.
    fn writer(&self, operation: &'static str) -> Result<&Arc<Writer>> {
        match &self.inner.access {
            Access::Write(writer) => Ok(writer),
            Access::Read(_) => Err(Error::Unwritable {
                operation,
                path: self.path().into(),
                reason: "it was opened read-only",
            }),
        }
    }

    /// Looks for what others committed since this store was opened
    /// [for reading](Self::open_read_only), or since the last refresh, and says whether
    /// there is anything. Snapshots that were taken before stay as they are.
    ///
    /// A commit may be seen shortly before it is durable, and after a crash, which it did not
    /// survive, be gone. A store that is open for writing always has the newest.
    ///
    /// After a flush, or where a writer opened the store, it may say so though nothing was
    /// committed since.
    ///
    /// Takes time in proportion to what was committed since; where logs were exchanged
    /// meanwhile, to what is in the new ones and in layers that are new.
    ///
    /// # Errors
    ///
    /// [`Error::Replaced`] where the directory has another store by now, or, as far as its
    /// manifest shows, an older state of this one: one that was restored from a copy, and
    /// not written much since. Those of [`open_read_only`](Self::open_read_only), but for
    /// [`Error::MemoryLock`]. What was read before can be read on.
    pub fn refresh(&self) -> Result<bool> {
        match &self.inner.access {
            Access::Write(_) => Ok(false),
            Access::Read(reader) => reader.refresh(self.inner.disk.as_ref()),
        }
    }

    /// Makes all changes of a batch together.
    ///
    /// When this returns, they are as durable as the store's options say, and visible; when
    /// it fails, nothing of them is, but for [`Error::OutcomeUnknown`]. Threads that commit
    /// at the same time share syncs. An empty batch costs nothing.
    ///
    /// Takes a lookup for each operation and one sync, whatever the store holds.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`] where there is no room for a log; [`Error::Io`] where a log or the
    /// manifest cannot be made; [`Error::OutcomeUnknown`], after which the store is only
    /// read until it is opened anew; [`Error::Unwritable`] if it is only read, since that or
    /// from the beginning, or in a process that was forked from the one that opened it;
    /// [`Error::Damaged`] where a token cannot be looked up. Where the delta is full, and the
    /// one before it could not be [flushed](Self::flush), what that failed with.
    pub fn commit(&self, batch: &Batch) -> Result<Committed> {
        self.commit_with(batch, self.inner.options.durability)
    }

    /// As [`commit`](Self::commit), with a durability of its own. What was buffered before
    /// a commit that is synced is synced with it.
    ///
    /// # Errors
    ///
    /// Those of [`commit`](Self::commit).
    pub fn commit_with(&self, batch: &Batch, durability: Durability) -> Result<Committed> {
        self.writer("write to")?.commit(batch, durability)
    }

    /// Maps a token to a value, whatever was there: a [commit](Self::commit) of its own.
    ///
    /// # Errors
    ///
    /// Those of [`commit`](Self::commit).
    pub fn put(&self, token: &TokenId, value: BlockTime) -> Result<()> {
        self.commit(Batch::new().put(*token, value)).map(|_| ())
    }

    /// Maps a token to a value where the token is absent or the value strictly newer, and
    /// says whether it did: a [commit](Self::commit) of its own.
    ///
    /// # Errors
    ///
    /// Those of [`commit`](Self::commit).
    pub fn set(&self, token: &TokenId, value: BlockTime) -> Result<bool> {
        self.commit(Batch::new().set(*token, value)).map(|committed| committed.applied == [true])
    }

    /// Removes a token, and says whether it was there: a [commit](Self::commit) of its own.
    ///
    /// # Errors
    ///
    /// Those of [`commit`](Self::commit).
    pub fn remove(&self, token: &TokenId) -> Result<bool> {
        self.commit(Batch::new().remove(*token)).map(|committed| committed.applied == [true])
    }

    /// Makes durable what was committed, [buffered](Durability::Buffered) or not.
    ///
    /// # Errors
    ///
    /// [`Error::OutcomeUnknown`], after which the store is only read until it is opened
    /// anew; [`Error::Unwritable`] if it is only read.
    pub fn sync(&self) -> Result<()> {
        self.writer("sync")?.sync()
    }

    /// Writes all that was committed to a layer, and waits until that is done. A store does so
    /// by itself, in the background, when its [log](Options::log_bytes) or its
    /// [delta](Options::delta_entries) is full; what is in a layer need not be read from logs
    /// when the store is opened again.
    ///
    /// Takes time in proportion to the delta, and to the layers that are taken into the
    /// new one.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`] or [`Error::Io`], after which all is as it was, and may be tried
    /// again; [`Error::OutcomeUnknown`], after which the store is only read until it is
    /// opened anew, with nothing lost that was durable; [`Error::Unwritable`] if it is only
    /// read, or was so before this was seen to be done; [`Error::Damaged`] where what is taken into the new layer cannot be read.
    pub fn flush(&self) -> Result<()> {
        self.writer("flush")?.flush()
    }

    /// Makes one layer of all, and waits until that is done. A store does so by itself, in the
    /// background, when the layers above the large one have grown to half of it. Reads and
    /// commits go on meanwhile, and `progress` is told how far it is.
    ///
    /// Takes time in proportion to the store, and as much room on the disk as it will have
    /// besides what it has.
    ///
    /// # Errors
    ///
    /// Those of [`flush`](Self::flush), which it begins with; [`Error::TooManyRecords`] where
    /// 2^32 tokens or more would be in one layer; [`Error::Interrupted`] if
    /// `progress` says to stop, be it paused or not, or the store is closed;
    /// [`Error::Unwritable`] while it is [loaded](Self::bulk_load) into, or if `progress` calls
    /// this. Where it fails all is as it was.
    pub fn compact(&self, progress: OnProgress<'_>) -> Result<()> {
        self.writer("compact")?.compact(progress)
    }

    /// Holds up compactions, in the background or not, until they are
    /// [resumed](Self::resume_compaction). One that is under way keeps what it has written.
    ///
    /// # Errors
    ///
    /// [`Error::Unwritable`] if the store is open read-only, or in a forked process.
    pub fn pause_compaction(&self) -> Result<()> {
        self.writer("compact")?.pause_compaction(true)
    }

    /// Lets compactions go on.
    ///
    /// # Errors
    ///
    /// Those of [`pause_compaction`](Self::pause_compaction).
    pub fn resume_compaction(&self) -> Result<()> {
        self.writer("compact")?.pause_compaction(false)
    }

    /// Closes the store: makes durable what was committed. The last of its clones also says in
    /// the log that it is, waits for a flush that is under way, and stops a compaction.
    /// Snapshots and iterators that are left go on as they are.
    ///
    /// Dropping the store does the same, but keeps errors to itself.
    ///
    /// # Errors
    ///
    /// [`Error::OutcomeUnknown`] if a write or a sync of commits or names failed, now or
    /// before: those that were [buffered](Durability::Buffered) may not be on disk.
    /// [`Error::Io`] if the log cannot be marked as complete, though it is. To the last clone,
    /// what a flush failed with in the background, though all is in logs:
    /// [`Error::NoSpace`], [`Error::Io`], [`Error::Damaged`].
    pub fn close(self) -> Result<()> {
        let Access::Write(writer) = &self.inner.access else { return Ok(()) };
        if Arc::strong_count(&self.inner) == 1 { writer.close() } else { writer.sync_at_last() }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path()).finish_non_exhaustive()
    }
}
