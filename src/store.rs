//! The store: a directory of segments and the manifest that names them.

#[cfg(test)]
mod crashes;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};

use crate::error::{Damage, Error, Result};
use crate::format::manifest::{ManifestContents, SegmentEntry};
use crate::format::segment::{StoreIdBytes, header_checksum};
use crate::io::Disk;
use crate::io::disk::RealDisk;
use crate::io::map::Bytes;
use crate::load::load_segment;
use crate::load::options::{LoadOptions, LoadReport};
use crate::manifest::{self, segment_name};
use crate::options::{Options, Verification};
use crate::progress::{OnProgress, Phase, Progress};
use crate::segment::builder::SegmentIds;
use crate::segment::layer::Layer;
use crate::segment::reader::Segment;
use crate::snapshot::Snapshot;
use crate::token::Record;

/// The file that a writer holds a lock on.
const LOCK: &str = "LOCK";

/// A store of tokens in a directory.
///
/// Cheap to clone and to share between threads: all clones are one store. It is read
/// through [snapshots](Store::snapshot). Dropping the last clone closes it.
///
/// # The contract of opening
///
/// The store's files are mapped into memory. Nothing else may alter them while they
/// are: if another program cuts a mapped file, or the medium fails under it, reading
/// ends this process with SIGBUS; if it writes into one, answers may be wrong. The
/// store itself never alters a file that has a name: segments are made read-only,
/// and removing one, by the store or by hand, leaves maps of it as they are.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    disk: Box<dyn Disk>,
    options: Options,
    /// What is written, and the right to write it; `None` where there is no such right.
    writer: Option<Writer>,
    layer: RwLock<Arc<Layer>>,
}

struct Writer {
    contents: Mutex<ManifestContents>,
    /// Whether it is not known which manifest the disk has: then nothing more is written.
    failed: AtomicBool,
    /// Released when the store is closed, or when the process ends in any way.
    _lock: Box<dyn Send + Sync>,
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
        let created = Self::create_on(Box::new(RealDisk::new(path)), options);
        if is_new && created.is_err() {
            // Only if it is empty, and nobody else has put something into it.
            let _ = std::fs::remove_dir(path);
        }
        created
    }

    fn create_on(disk: Box<dyn Disk>, options: &Options) -> Result<Self> {
        refuse_occupied(disk.as_ref())?;
        let lock = lock(disk.as_ref())?;
        // Somebody may have been faster.
        refuse_occupied(disk.as_ref())?;
        let contents = ManifestContents {
            store_id: new_store_id()?,
            generation: 1,
            next_file_id: 1,
            layers: Vec::new(),
        };
        if let Err(error) = manifest::replace(disk.as_ref(), &contents) {
            // Leaves what was found, as far as that works. Whoever waits for this lock
            // opens it anew.
            for name in [manifest::MANIFEST, LOCK] {
                let _ = disk.unlink(name);
            }
            return Err(error);
        }
        Self::with(disk, options, contents, Some(lock))
    }

    /// Opens a store for reading and writing.
    ///
    /// Takes time that does not depend on how much is stored, unless
    /// [`Verification::OnOpen`] asks for more.
    ///
    /// # Errors
    ///
    /// [`Error::NotAStore`], [`Error::Locked`] if another writer has it open,
    /// [`Error::Damaged`], [`Error::UnknownVersion`], [`Error::Io`].
    pub fn open(path: impl AsRef<Path>, options: &Options) -> Result<Self> {
        Self::open_on(Box::new(RealDisk::new(path.as_ref())), options)
    }

    fn open_on(disk: Box<dyn Disk>, options: &Options) -> Result<Self> {
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
        let store = Self::with(disk, options, contents, Some(lock))?;
        if let Some(writer) = &store.inner.writer {
            manifest::remove_leftovers(store.inner.disk.as_ref(), &writer.contents())?;
        }
        Ok(store)
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
        let disk = RealDisk::new(path.as_ref());
        let contents = manifest::read(&disk)?.ok_or_else(|| manifest::missing(&disk))?;
        Self::with(Box::new(disk), options, contents, None)
    }

    fn with(
        disk: Box<dyn Disk>,
        options: &Options,
        contents: ManifestContents,
        lock: Option<Box<dyn Send + Sync>>,
    ) -> Result<Self> {
        manifest::refuse_foreign(disk.as_ref(), &contents)?;
        let layer = open_layers(disk.as_ref(), &contents, options)?;
        let writer = lock.map(|lock| Writer {
            contents: Mutex::new(contents),
            failed: AtomicBool::new(false),
            _lock: lock,
        });
        let inner =
            Inner { disk, options: options.clone(), writer, layer: RwLock::new(Arc::new(layer)) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The store's directory.
    pub fn path(&self) -> &Path {
        self.inner.disk.path()
    }

    /// What the store holds now; see [`Snapshot`].
    pub fn snapshot(&self) -> Snapshot {
        // A thread that panicked while it held the lock left the old layer or the new.
        let layer = self.inner.layer.read().unwrap_or_else(PoisonError::into_inner);
        Snapshot::new(Arc::clone(&layer))
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
    /// tokens already, or is being loaded into; [`Error::MemoryTooSmall`];
    /// [`Error::TooManyRecords`]; [`Error::Interrupted`];
    /// [`Error::Io`]; [`Error::OutcomeUnknown`], after which the store is only read until
    /// it is opened anew.
    pub fn bulk_load(
        &self,
        records: impl IntoIterator<Item = Result<Record>>,
        options: &LoadOptions<'_>,
    ) -> Result<LoadReport> {
        let refused = |reason| {
            Err(Error::Unwritable { operation: "load into", path: self.path().into(), reason })
        };
        let Some(writer) = &self.inner.writer else {
            return refused("it was opened read-only");
        };
        let disk = self.inner.disk.as_ref();
        let mut contents = match writer.contents.try_lock() {
            Ok(contents) => contents,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return refused("another load into it is under way"),
        };
        if writer.failed.load(Ordering::Relaxed) {
            return refused("a sync failed, and what is on disk is not known; open it anew");
        }
        if !contents.layers.is_empty() {
            return refused("it holds tokens already; load into a new one");
        }
        let segment_id = contents.next_file_id;
        let (Some(generation), Some(next_file_id)) =
            (contents.generation.checked_add(1), segment_id.checked_add(1))
        else {
            return Err(Error::from(Damage {
                path: disk.path_of(manifest::MANIFEST),
                part: "manifest",
                offset: 32,
                expected: "a generation and a file number that can grow".into(),
                found: "the last one".into(),
            }));
        };
        let ids = SegmentIds { store_id: contents.store_id, segment_id };
        let (entry, report) = load_segment(disk, ids, records, options)?;
        let Some(entry) = entry else {
            return Ok(report);
        };
        let next = ManifestContents {
            store_id: contents.store_id,
            generation,
            next_file_id,
            layers: vec![vec![entry]],
        };
        // What was just written need not be read at once to be checked.
        let mut options = self.inner.options.clone();
        if options.verification == Verification::OnOpen {
            options.verification = Verification::FirstTouch;
        }
        let layer = open_layers(disk, &next, &options);
        let installed = layer.and_then(|layer| manifest::replace(disk, &next).map(|()| layer));
        let layer = match installed {
            Ok(layer) => layer,
            Err(error) => {
                // Only if the manifest is still the old one: a sync that failed after
                // the rename leaves one that names the segment.
                if manifest::read(disk).is_ok_and(|now| now.as_ref() == Some(&*contents)) {
                    let _ = disk.unlink(&segment_name(segment_id));
                } else {
                    writer.failed.store(true, Ordering::Relaxed);
                }
                return Err(error);
            }
        };
        *contents = next;
        *self.inner.layer.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(layer);
        Ok(report)
    }

    /// What the store consists of, in figures. Takes constant time.
    pub fn stat(&self) -> Stat {
        let snapshot = self.snapshot();
        let segments = snapshot.layer().segments();
        let segment_bytes = segments.iter().map(Segment::file_len).sum();
        let tokens = snapshot.len();
        Stat {
            tokens,
            layers: u64::from(!segments.is_empty()),
            segments: segments.len() as u64,
            delta: 0,
            segment_bytes,
            log_bytes: 0,
            bytes_per_token: (tokens > 0).then(|| segment_bytes as f64 / tokens as f64),
        }
    }

    /// Checks everything: all checksums, that tokens ascend, that every index agrees
    /// with the records. Uses all cores, and takes about as long as reading the files.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] if `progress` says to stop. Damage is no error here, but
    /// the result.
    pub fn verify(&self, progress: OnProgress<'_>) -> Result<VerifyReport> {
        let snapshot = self.snapshot();
        let segments = snapshot.layer().segments();
        let mut report = VerifyReport {
            segments: segments.len() as u64,
            records: snapshot.len(),
            bytes: segments.iter().map(Segment::file_len).sum(),
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
        report.damages = damages;
        Ok(report)
    }

    /// Closes the store. Snapshots and iterators that are left go on as they are, and
    /// so do other clones of the store.
    ///
    /// # Errors
    ///
    /// None so far: nothing is left to be written when a store is closed.
    pub fn close(self) -> Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path()).finish_non_exhaustive()
    }
}

impl Writer {
    fn contents(&self) -> MutexGuard<'_, ManifestContents> {
        // They are replaced as a whole, after the disk has them.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fails where a directory holds anything but what a writer left that died before it
/// had created a store.
fn refuse_occupied(disk: &dyn Disk) -> Result<()> {
    let names = disk.list().map_err(Error::io("list", disk.path()))?;
    match names.iter().filter(|name| *name != LOCK && !manifest::is_temporary(name)).min() {
        None => Ok(()),
        Some(name) => Err(Error::AlreadyExists {
            path: disk.path().to_path_buf(),
            found: format!("it holds {name}"),
        }),
    }
}

/// Creates a directory and all above it that do not exist, durably; whether it did not.
fn create_directory(path: &Path) -> Result<bool> {
    let created = match std::fs::create_dir(path) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_directory(parent_of(path))?;
            std::fs::create_dir(path).map_err(Error::io("create", path))?;
            true
        }
        Err(_) if path.is_dir() => false,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory
            ) =>
        {
            let found = "not a directory".into();
            return Err(Error::AlreadyExists { path: path.to_path_buf(), found });
        }
        Err(error) => return Err(Error::io("create", path)(error)),
    };
    if created {
        let parent = parent_of(path);
        RealDisk::new(parent).sync_directory().map_err(Error::io("sync", parent))?;
    }
    Ok(created)
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn lock(disk: &dyn Disk) -> Result<Box<dyn Send + Sync>> {
    let path = disk.path_of(LOCK);
    let lock = disk.lock(LOCK).map_err(Error::io("lock", &path))?;
    lock.ok_or(Error::Locked { path })
}

fn new_store_id() -> Result<StoreIdBytes> {
    let source = Path::new("/dev/urandom");
    let mut id = StoreIdBytes::default();
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut id))
        .map_err(Error::io("read", source))?;
    Ok(id)
}

/// Opens all that the manifest names.
fn open_layers(disk: &dyn Disk, contents: &ManifestContents, options: &Options) -> Result<Layer> {
    let [entries] = contents.layers.as_slice() else {
        if contents.layers.is_empty() {
            return Ok(Layer::default());
        }
        return Err(Error::from(Damage {
            path: disk.path_of(manifest::MANIFEST),
            part: "manifest",
            offset: 0,
            expected: "at most one layer".into(),
            found: format!("{} layers", contents.layers.len()),
        }));
    };
    if let Some(entry) = entries.iter().find(|entry| entry.updates > 0 || entry.tombstones > 0) {
        return Err(Error::from(Damage {
            path: disk.path_of(&segment_name(entry.segment_id)),
            part: "kinds",
            offset: 56,
            expected: "fresh entries only, as there is no layer below".into(),
            found: format!("{} updates and {} tombstones", entry.updates, entry.tombstones),
        }));
    }
    let segments: Result<Vec<_>> =
        entries.iter().map(|entry| open_segment(disk, entry, options.verification)).collect();
    Ok(Layer::new(segments?))
}

/// Opens a segment and makes sure that it is the one that the manifest means.
fn open_segment(
    disk: &dyn Disk,
    entry: &SegmentEntry,
    verification: Verification,
) -> Result<Segment<Bytes>> {
    let name = segment_name(entry.segment_id);
    let path = disk.path_of(&name);
    let damaged = |part, expected: String, found: String| {
        Error::from(Damage { path: path.clone(), part, offset: 0, expected, found })
    };
    let file = match disk.open(&name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged(
                "segment",
                format!("a file of {} bytes", entry.file_len),
                "no such file".into(),
            ));
        }
        opened => opened.map_err(Error::io("open", &path))?,
    };
    let len = file.len().map_err(Error::io("measure", &path))?;
    if len != entry.file_len {
        return Err(damaged(
            "segment length",
            format!("{} bytes", entry.file_len),
            format!("{len} bytes"),
        ));
    }
    let bytes = file.map().map_err(Error::io("map", &path))?;
    if header_checksum(bytes.as_ref()) != Some(entry.header_checksum) {
        // Whatever else is wrong with it, a file of another making is said to be that.
        Segment::open(bytes, &path, verification)?;
        return Err(damaged(
            "segment",
            "the file that the manifest names".into(),
            "another one".into(),
        ));
    }
    let segment = Segment::open(bytes, &path, verification)?;
    if segment.entry() != *entry {
        return Err(damaged("segment", format!("{entry:?}"), format!("{:?}", segment.entry())));
    }
    Ok(segment)
}
