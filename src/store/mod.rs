//! The store: a directory of segments and the manifest that names them.

#[cfg(test)]
mod commit_crashes;
#[cfg(test)]
mod crashes;
mod directory;
mod layers;
mod published;
mod resolve;
#[cfg(test)]
mod tests;
mod writer;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use self::directory::{create_directory, lock, refuse_occupied};
use self::layers::open_layers;
use self::published::Published;
use self::writer::{State, Writer, frozen, merged_and_frozen};
use crate::batch::{Batch, Committed};
use crate::delta::Delta;
use crate::error::{Damage, Error, Result};
use crate::format::manifest::ManifestContents;
use crate::format::names::{LOCK, MANIFEST, segment_name};
use crate::io::Disk;
use crate::io::disk::RealDisk;
use crate::io::random::random_bytes;
use crate::load::load_segment;
use crate::load::options::{LoadOptions, LoadReport};
use crate::manifest;
use crate::options::{Durability, Options, Verification};
use crate::progress::{OnProgress, Phase, Progress};
use crate::recover::{Recovery, check_logs, refuse_older, replay};
use crate::segment::builder::SegmentIds;
use crate::segment::reader::Segment;
use crate::snapshot::Snapshot;
use crate::token::{BlockTime, Record, TokenId};

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
    /// `None` where there is no right to write.
    writer: Option<Writer>,
    recovery: Recovery,
    /// Of a store that is only read.
    log_bytes: u64,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(writer) = &self.writer {
            // Who wants to know closes the store.
            if let Err(error) = writer.close() {
                ::log::warn!("closing {}: {error}", self.disk.path().display());
            }
        }
    }
}

/// What a store consists of, in figures.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stat {
    /// Tokens, exactly.
    pub tokens: u64,
    /// Layers on disk.
    pub layers: u64,
    /// Segment files.
    pub segments: u64,
    /// Entries that are in memory and in the log, but in no segment yet.
    pub delta: u64,
    /// Bytes of all segment files.
    pub segment_bytes: u64,
    /// Bytes of all logs.
    pub log_bytes: u64,
    /// Bytes of segment files for each token; `None` if there are no tokens.
    pub bytes_per_token: Option<f64>,
    /// What opening the store found in its logs.
    pub recovery: Recovery,
}

/// What [`Store::verify`] found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VerifyReport {
    /// Segments checked.
    pub segments: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Commits in the logs checked.
    pub commits: u64,
    /// All damage that was found, up to a thousand places in each file.
    pub damages: Vec<Damage>,
}

impl Store {
    /// Creates a store in a directory that is empty, or does not exist but could.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyExists`] if something is there, [`Error::Locked`], [`Error::Io`].
    pub fn create(path: impl AsRef<Path>, options: &Options) -> Result<Self> {
        let path = path.as_ref();
        let is_new = create_directory(path)?;
        let created = Self::create_on(RealDisk::new(path), options);
        if is_new && created.is_err() {
            // Only if it is empty, and nobody else has put something into it.
            let _ = std::fs::remove_dir(path);
        }
        created
    }

    pub(crate) fn create_on(disk: impl Disk + 'static, options: &Options) -> Result<Self> {
        let disk: Arc<dyn Disk> = Arc::new(disk);
        refuse_occupied(disk.as_ref())?;
        let lock = lock(disk.as_ref())?;
        // Somebody may have been faster.
        refuse_occupied(disk.as_ref())?;
        let contents = ManifestContents {
            store_id: random_bytes()?,
            generation: 1,
            next_file_id: 1,
            layers: Vec::new(),
            logs: Vec::new(),
        };
        if let Err(error) = manifest::replace(disk.as_ref(), &contents) {
            // Leaves what was found, as far as that works. Whoever waits for this lock
            // opens it anew.
            for name in [MANIFEST, LOCK] {
                let _ = disk.unlink(name);
            }
            return Err(error);
        }
        Self::with(&disk, options, contents, Some(lock))
    }

    /// Opens a store for reading and writing.
    ///
    /// Takes time that does not depend on how much is stored, unless
    /// [`Verification::OnOpen`] asks for more. What the last writer had in its logs is
    /// written once more, to a new one, which takes time in proportion to it.
    ///
    /// # Errors
    ///
    /// [`Error::NotAStore`], [`Error::Locked`] if another writer has it open,
    /// [`Error::Damaged`], [`Error::UnknownVersion`], [`Error::NoSpace`], [`Error::Io`].
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
        Self::with(&disk, options, contents, Some(lock))
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
    /// Those of [`open`](Self::open), but for [`Error::Locked`].
    pub fn open_read_only(path: impl AsRef<Path>, options: &Options) -> Result<Self> {
        Self::open_read_only_on(RealDisk::new(path.as_ref()), options)
    }

    pub(crate) fn open_read_only_on(disk: impl Disk + 'static, options: &Options) -> Result<Self> {
        let disk: Arc<dyn Disk> = Arc::new(disk);
        read_steadily(disk.as_ref(), |contents| Self::with(&disk, options, contents, None))
    }

    fn with(
        disk: &Arc<dyn Disk>,
        options: &Options,
        contents: ManifestContents,
        lock: Option<Box<dyn Send + Sync>>,
    ) -> Result<Self> {
        manifest::refuse_foreign(disk.as_ref(), &contents)?;
        refuse_older(disk.as_ref(), &contents)?;
        let base = open_layers(disk.as_ref(), &contents, options.verification)?;
        let mut replayed = replay(disk.as_ref(), &contents, Arc::new(base))?;
        let (recovery, log_bytes) = (replayed.recovery, replayed.log_bytes);
        if recovery.cut_bytes > 0 {
            let Recovery { commits, cut_bytes } = recovery;
            let path = disk.path().display();
            ::log::warn!("{path}: {commits} commits read, {cut_bytes} bytes of others left out");
        }
        let (published, writer) = match lock {
            None => (Arc::new(Published::new(merged_and_frozen(&mut replayed.delta)?)), None),
            Some(lock) => {
                // Only now that the store is known to be whole; and before files are made
                // whose names may be taken.
                let contents = manifest::remove_leftovers(disk.as_ref(), contents)?;
                let writer = Writer::new(Arc::clone(disk), lock, options, contents, replayed)?;
                (Arc::clone(writer.published()), Some(writer))
            }
        };
        let options = options.clone();
        let disk = Arc::clone(disk);
        let inner = Inner { disk, options, published, writer, recovery, log_bytes };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The store's directory.
    pub fn path(&self) -> &Path {
        self.inner.disk.path()
    }

    /// What the store holds now; see [`Snapshot`].
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.inner.published.get())
    }

    /// The right to write, if there is one.
    fn writer(&self, operation: &'static str) -> Result<&Writer> {
        self.inner.writer.as_ref().ok_or_else(|| Error::Unwritable {
            operation,
            path: self.path().into(),
            reason: "it was opened read-only",
        })
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
    /// read until it is opened anew; [`Error::Unwritable`] if it is only read;
    /// [`Error::Damaged`] where a token cannot be looked up.
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

    /// Fills an empty store with records in any order.
    ///
    /// Of several records with one token the newest is kept, and of several with the
    /// same time the first. When this returns, everything is on disk; when it fails,
    /// nothing of it is, nor visible, but for [`Error::OutcomeUnknown`].
    ///
    /// Takes no more memory than [`LoadOptions::memory_bytes`] allows, and a thousandth of
    /// the size of the store. What does not fit is written twice, and some of it three
    /// times where it is fifty times as much or more; what comes in order is written once.
    ///
    /// # Errors
    ///
    /// What the input yields; [`Error::Unwritable`] if the store is open read-only, holds
    /// tokens already, gets some meanwhile, or is being loaded into;
    /// [`Error::MemoryTooSmall`];
    /// [`Error::TooManyRecords`]; [`Error::Interrupted`];
    /// [`Error::Io`]; [`Error::OutcomeUnknown`], after which the store is only read until
    /// it is opened anew.
    pub fn bulk_load(
        &self,
        records: impl IntoIterator<Item = Result<Record>>,
        options: &LoadOptions<'_>,
    ) -> Result<LoadReport> {
        let writer = self.writer(LOAD)?;
        writer.refuse_forked(LOAD)?;
        let disk = self.inner.disk.as_ref();
        let ids = self.begin_load(&mut writer.state())?;
        // However this ends, be it by a panic of the input.
        let _loading = Loading { writer };
        let name = segment_name(ids.segment_id);
        let loaded = load_segment(disk, ids, records, options);
        let (entry, report) = writer.settle(&mut writer.state(), loaded, &name)?;
        let Some(entry) = entry else {
            return Ok(report);
        };
        let mut state = writer.idle(writer.state());
        // What was just written need not be read at once to be checked.
        let verification = match self.inner.options.verification {
            Verification::OnOpen => Verification::FirstTouch,
            other => other,
        };
        let opened = self.refuse_tokens(&state).and_then(|()| {
            let mut contents = manifest::next(disk, &state.contents)?;
            contents.layers = vec![vec![entry]];
            // What is in them comes to nothing, and could not be done to these layers.
            contents.logs.clear();
            let base = Arc::new(open_layers(disk, &contents, verification)?);
            Ok((contents, base))
        });
        let (contents, base) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let _ = disk.unlink(&name);
                return Err(error);
            }
        };
        let mut delta = Delta::new(base);
        let view = frozen(&mut delta)?;
        let named = manifest::replace(disk, &contents);
        writer.settle(&mut state, named, &name)?;
        writer.install(&mut state, contents, delta);
        self.inner.published.set(view);
        Ok(report)
    }

    /// Makes sure that a load may begin, and gives it a number.
    fn begin_load(&self, state: &mut State) -> Result<SegmentIds> {
        self.refuse_tokens(state)?;
        if state.is_loading {
            return self.refuse_load("another load into it is under way");
        }
        let segment_id = state.contents.next_file_id;
        let next = manifest::next(self.inner.disk.as_ref(), &state.contents)?;
        state.contents.next_file_id = next.next_file_id;
        state.is_loading = true;
        Ok(SegmentIds { store_id: state.contents.store_id, segment_id })
    }

    fn refuse_tokens(&self, state: &State) -> Result<()> {
        self.writer(LOAD)?.refuse_failed(state, LOAD)?;
        // Entries may have come to nothing and lie in memory all the same.
        if state.contents.layers.is_empty() && state.delta.entries()?.is_empty() {
            return Ok(());
        }
        self.refuse_load("it holds tokens already; load into a new one")
    }

    fn refuse_load<T>(&self, reason: &'static str) -> Result<T> {
        Err(Error::Unwritable { operation: LOAD, path: self.path().into(), reason })
    }

    /// What the store consists of, in figures. Takes constant time, and waits for nobody.
    pub fn stat(&self) -> Stat {
        let snapshot = self.snapshot();
        let view = snapshot.view();
        let segments = view.base().segments();
        let segment_bytes = segments.iter().map(Segment::file_len).sum();
        let tokens = snapshot.len();
        let writer = self.inner.writer.as_ref();
        Stat {
            tokens,
            layers: u64::from(!segments.is_empty()),
            segments: segments.len() as u64,
            delta: view.parts().iter().map(|part| part.len() as u64).sum(),
            segment_bytes,
            log_bytes: writer.map_or(self.inner.log_bytes, Writer::log_bytes),
            bytes_per_token: (tokens > 0).then(|| segment_bytes as f64 / tokens as f64),
            recovery: self.inner.recovery,
        }
    }

    /// Checks everything: all checksums, that tokens ascend, that every index agrees
    /// with the records, and all frames of the logs. Uses all cores, and takes about as
    /// long as reading the files.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] if `progress` says to stop; [`Error::Io`] where a log cannot
    /// be read. Damage is no error here, but the result.
    pub fn verify(&self, progress: OnProgress<'_>) -> Result<VerifyReport> {
        let snapshot = self.snapshot();
        let segments = snapshot.view().base().segments();
        let mut report = VerifyReport {
            segments: segments.len() as u64,
            records: segments.iter().map(|segment| segment.len() as u64).sum(),
            bytes: segments.iter().map(Segment::file_len).sum(),
            commits: 0,
            damages: Vec::new(),
        };
        let done = AtomicU64::new(0);
        let on_bytes = |bytes: u64| -> ControlFlow<()> {
            let done = done.fetch_add(bytes, Ordering::Relaxed) + bytes;
            progress(Progress { phase: Phase::Verifying, done, total: Some(report.bytes) })
        };
        let mut damages = Vec::new();
        for segment in segments {
            damages.extend(segment.verify(&on_bytes)?);
        }
        match self.verify_logs() {
            Ok(commits) => report.commits = commits,
            Err(Error::Damaged(damage)) => damages.push(*damage),
            Err(error) => return Err(error),
        }
        report.damages = damages;
        Ok(report)
    }

    /// Reads all logs, and says how many commits are in them.
    fn verify_logs(&self) -> Result<u64> {
        let disk = self.inner.disk.as_ref();
        if let Some(writer) = &self.inner.writer
            && !writer.is_forked()
        {
            // Nobody writes while the lock is held and nothing is in line.
            let state = writer.idle(writer.state());
            return check_logs(disk, &state.contents, Some(writer.last_published()));
        }
        read_steadily(disk, |contents| check_logs(disk, &contents, None))
    }

    /// Closes the store: makes durable what was committed, and says in the log that it is.
    /// Snapshots and iterators that are left go on as they are, and so do other clones of
    /// the store; the last of them closes it.
    ///
    /// Dropping the store does the same, but keeps errors to itself.
    ///
    /// # Errors
    ///
    /// [`Error::OutcomeUnknown`] if commits that were [buffered](Durability::Buffered)
    /// could not be synced; [`Error::Io`].
    pub fn close(self) -> Result<()> {
        let Some(writer) = &self.inner.writer else { return Ok(()) };
        if Arc::strong_count(&self.inner) == 1 { writer.close() } else { writer.sync() }
    }
}

/// How often something is read while a writer is at work.
const READ_TRIES: usize = 16;

/// Reads what the manifest names, without keeping a writer from replacing it meanwhile:
/// what is found damaged is read again, as long as the manifest changes, and once more if
/// it does not.
fn read_steadily<T>(disk: &dyn Disk, read: impl Fn(ManifestContents) -> Result<T>) -> Result<T> {
    let current = || manifest::read(disk)?.ok_or_else(|| manifest::missing(disk));
    let mut contents = current()?;
    let mut is_again = false;
    for _ in 1..READ_TRIES {
        match read(contents.clone()) {
            Err(Error::Damaged(_)) if !is_again => {}
            done => return done,
        }
        let now = current()?;
        is_again = now == contents;
        contents = now;
    }
    read(contents)
}

const LOAD: &str = "load into";

/// A load under way; at its end another one may begin.
struct Loading<'a> {
    writer: &'a Writer,
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        self.writer.state().is_loading = false;
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path()).finish_non_exhaustive()
    }
}
