//! Syncs of the directory that fail, and what is seen and acknowledged after that.
//!
//! Leaving out any of these was tried, and made tests fail: that the mark is made, that it is made
//! before the rename, that it stays where the sync or the rename failed, that it is a leftover, that
//! syncs after one that failed do so, too.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use super::*;
use crate::io::DiskFile;
use crate::load::options::LoadOptions;
use crate::progress::UNWATCHED;
use crate::testing::sim::{Effect, Fault, SimDisk};
use crate::token::{BlockTime, Record, TokenId};

fn put(store: &Store, ids: std::ops::Range<u64>) -> Result<Committed> {
    let mut batch = Batch::new();
    for id in ids {
        batch.put(TokenId::from(id), BlockTime::new(1.into(), 1));
    }
    store.commit(&batch)
}

fn load(store: &Store) -> Result<()> {
    let record = |id| Ok(Record::new(TokenId::from(id), BlockTime::new(1.into(), 7)));
    store.bulk_load((0..40_u64).map(record), &LoadOptions::new()).map(drop)
}

/// Number of tokens that a store holds, all of it whole.
fn held(disk: &SimDisk) -> u64 {
    let store =
        disk.open_store(&Options::new().inline().log_bytes(Options::LOG_BYTES_MIN)).unwrap();
    assert_eq!(store.verify(UNWATCHED).unwrap().damages, []);
    store.snapshot().len()
}

// Two threads.

/// How far two threads have come.
#[derive(Default)]
struct Steps {
    at: Mutex<u8>,
    changed: Condvar,
}

impl Steps {
    fn reach(&self, step: u8) {
        let mut at = self.at.lock().unwrap();
        *at = step.max(*at);
        self.changed.notify_all();
    }

    fn wait_for(&self, step: u8) {
        let at = self.at.lock().unwrap();
        drop(self.changed.wait_while(at, |at| *at < step).unwrap());
    }
}

/// A sync of the directory is about to be made.
const ABOUT_TO_SYNC: u8 = 1;
/// The manifest of another thread has its new name.
const RENAMED: u8 = 2;
/// That sync failed.
const FAILED: u8 = 3;
/// Whoever made it is told.
const TOLD: u8 = 4;

/// A disk where a sync of the directory by one thread fails between the rename of a manifest
/// by another one and that one's own sync.
struct Racing {
    disk: SimDisk,
    steps: Steps,
    /// The name of the thread whose syncs fail.
    fails: &'static str,
    /// After so many renames of manifests by others.
    renames: AtomicU8,
}

impl Racing {
    fn new(disk: &SimDisk, fails: &'static str, renames: u8) -> Arc<Self> {
        let (disk, steps, renames) = (disk.clone(), Steps::default(), AtomicU8::new(renames));
        Arc::new(Self { disk, steps, fails, renames })
    }

    fn is_to_fail(&self) -> bool {
        std::thread::current().name() == Some(self.fails)
    }
}

impl Disk for Arc<Racing> {
    fn path(&self) -> &Path {
        self.disk.path()
    }
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.disk.create(name)
    }
    fn create_unnamed(&self) -> io::Result<Box<dyn DiskFile>> {
        self.disk.create_unnamed()
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)?;
        let is_other = to == MANIFEST && !self.is_to_fail();
        if is_other && self.renames.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.steps.wait_for(ABOUT_TO_SYNC);
            self.steps.reach(RENAMED);
            self.steps.wait_for(FAILED);
        }
        Ok(())
    }
    fn link(&self, from: &Path, name: &str) -> io::Result<()> {
        self.disk.link(from, name)
    }
    fn unlink(&self, name: &str) -> io::Result<()> {
        self.disk.unlink(name)
    }
    fn sync_directory(&self) -> io::Result<()> {
        if !self.is_to_fail() {
            return self.disk.sync_directory();
        }
        self.steps.reach(ABOUT_TO_SYNC);
        self.steps.wait_for(RENAMED);
        self.disk.fail(Fault::at_operation(self.disk.operations()));
        let failed = self.disk.sync_directory();
        self.disk.heal();
        self.steps.reach(FAILED);
        self.steps.wait_for(TOLD);
        failed
    }
    fn free_bytes(&self) -> Option<u64> {
        self.disk.free_bytes()
    }
    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Send + Sync>>> {
        self.disk.lock(name)
    }
}

/// A commit begins a log while a flush syncs the names of its segment.
#[test]
fn a_commit_beside_a_flush_whose_sync_fails() {
    let disk = SimDisk::default();
    let options = Options::new().delta_entries(10).log_bytes(1 << 16);
    drop(disk.create_store(&options).unwrap());
    let racing = Racing::new(&disk, "ringstore-flush", 2);
    let store = Store::open_on(Arc::clone(&racing), &options).unwrap();
    put(&store, 0..10).unwrap();
    let committed = put(&store, 10..15);
    let ends = disk.operations();
    racing.steps.reach(TOLD);
    assert!(matches!(committed, Err(Error::OutcomeUnknown { .. })), "{committed:?}");
    drop(store);
    for image in disk.images(ends) {
        assert!([10, 15].contains(&held(&image)));
    }
    let found = held(&disk);
    for image in disk.images(disk.operations()) {
        assert_eq!(held(&image), found);
    }
}

/// Something is flushed while a compaction syncs the names of its segment; then the store is
/// closed, opened anew, and the power fails.
#[test]
fn a_flush_beside_a_compaction_whose_sync_fails() {
    let disk = SimDisk::default();
    drop(disk.create_store(&Options::new()).unwrap());
    let racing = Racing::new(&disk, "compaction", 0);
    let store = Store::open_on(Arc::clone(&racing), &Options::new()).unwrap();
    store.pause_compaction().unwrap();
    // Layers of which a flush takes none.
    for ids in [0..2_000, 5_000..5_500] {
        put(&store, ids).unwrap();
        store.flush().unwrap();
    }
    store.resume_compaction().unwrap();
    std::thread::scope(|scope| {
        let compacts = std::thread::Builder::new().name("compaction".into());
        let compacted = compacts.spawn_scoped(scope, || store.compact(UNWATCHED)).unwrap();
        racing.steps.wait_for(ABOUT_TO_SYNC);
        put(&store, 20_000..20_003).unwrap();
        racing.renames.store(1, Ordering::SeqCst);
        let flushed = store.flush();
        racing.steps.reach(TOLD);
        assert!(compacted.join().unwrap().is_err());
        // Who asks for it may find that it is over.
        let is_refused = |error: &Error| {
            matches!(error, Error::OutcomeUnknown { .. } | Error::Unwritable { .. })
        };
        assert!(flushed.as_ref().is_err_and(is_refused), "{flushed:?}");
    });
    store.close().unwrap_err();
    let found = held(&disk);
    assert_eq!(found, 2_503);
    for image in disk.images(disk.operations()) {
        assert_eq!(held(&image), found);
    }
}

// Two faults.

const EFFECTS: [Effect; 2] = [Effect::Nothing, Effect::Everything];

/// One fault anywhere in what is done, then one anywhere in the next opening: whoever opened
/// it, after an error or none, sees what stays.
fn two_faults(steps: &[fn(&Store) -> Result<()>]) {
    let options = Options::new().inline().delta_entries(20).log_bytes(Options::LOG_BYTES_MIN);
    let base = SimDisk::default();
    drop(base.create_store(&options).unwrap());
    let files = base.files();
    let mut images = 0;
    for (first, effect) in (0..).flat_map(|first| EFFECTS.map(|effect| (first, effect))) {
        let mut was_reached = false;
        for second in 0.. {
            let disk = SimDisk::with_files(files.clone());
            disk.fail(Fault::at_operation(first).effect(effect));
            if let Ok(store) = disk.open_store(&options) {
                for step in steps {
                    let _ = step(&store);
                }
            }
            was_reached |= disk.operations() > first;
            disk.heal();
            let at = disk.operations() + second;
            disk.fail(Fault::at_operation(at).effect(EFFECTS[(first + second) % 2]));
            let opened = disk.open_store(&options);
            let seen = opened.ok().map(|store| store.snapshot().len());
            let is_last = disk.operations() <= at;
            disk.heal();
            let mut outlives = |seen| {
                for image in disk.images(disk.operations()) {
                    images += 1;
                    assert_eq!(held(&image), seen, "{first} {effect:?} {second}");
                }
            };
            // The power fails, or does when somebody has opened it without errors.
            seen.into_iter().for_each(&mut outlives);
            let found = held(&disk);
            assert_eq!(seen.unwrap_or(found), found, "{first} {effect:?} {second}");
            outlives(found);
            if is_last {
                break;
            }
        }
        if !was_reached {
            break;
        }
    }
    println!("{images} images");
    assert!(images > 500, "{images}");
}

#[test]
fn two_faults_of_a_load() {
    two_faults(&[load]);
}

#[test]
fn two_faults_of_a_commit_a_flush_and_a_load() {
    two_faults(&[|store| put(store, 0..5).map(drop), Store::flush, load]);
}

#[test]
fn two_faults_of_removals() {
    two_faults(&[
        |store| put(store, 0..2).map(drop),
        |store| store.remove(&TokenId::from(0)).map(drop),
        |store| store.remove(&TokenId::from(1)).map(drop),
    ]);
}

/// A store cannot be created, and its manifest not be removed: what says that this may not be
/// durable stays, too.
#[test]
fn creating_fails_and_cannot_be_undone() {
    let calls = {
        let disk = SimDisk::default();
        drop(disk.create_store(&Options::new()).unwrap());
        disk.operations()
    };
    let mut opened = 0;
    for (first, effect) in (0..calls).flat_map(|first| EFFECTS.map(|effect| (first, effect))) {
        for second in first + 1..calls + 6 {
            let disk = SimDisk::default();
            disk.fail(Fault::at_operation(first).effect(effect));
            disk.fail(Fault::at_operation(second));
            if disk.create_store(&Options::new()).is_ok() {
                continue;
            }
            disk.heal();
            let Ok(store) = disk.open_store(&Options::new()) else { continue };
            drop(store);
            opened += 1;
            for image in disk.images(disk.operations()) {
                assert_eq!(held(&image), 0, "{first} {effect:?} {second}");
            }
        }
    }
    assert!(opened > 0);
}

/// What creating a store leaves where it fails once: nothing.
#[test]
fn creating_fails_and_is_undone() {
    for first in 0.. {
        let disk = SimDisk::default();
        disk.fail(Fault::at_operation(first));
        if disk.create_store(&Options::new()).is_ok() {
            break;
        }
        assert_eq!(disk.list().unwrap(), [""; 0], "{first}");
    }
}

// The mark.

/// In a directory of the operating system: a reader leaves it alone, a writer removes it, or,
/// where it is something else, does what it does all the same.
#[test]
fn whatever_the_mark_is() {
    let make: [fn(&Path); 3] = [
        |mark| std::fs::write(mark, "").unwrap(),
        |mark| std::fs::create_dir(mark).unwrap(),
        |mark| std::os::unix::fs::symlink("/nowhere", mark).unwrap(),
    ];
    for (what, make) in make.iter().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        drop(Store::create(&path, &Options::new()).unwrap());
        let mark = path.join(UNSYNCED);
        let is_there = || std::fs::symlink_metadata(&mark).is_ok();
        make(&mark);
        let reader = Store::open_read_only(&path, &Options::new()).unwrap();
        assert!(is_there(), "{what}");
        for _ in 0..2 {
            let store = Store::open(&path, &Options::new()).unwrap();
            load(&store).unwrap();
            store.close().unwrap();
        }
        assert_eq!(is_there(), what == 1, "{what}");
        assert!(reader.refresh().unwrap());
        assert_eq!(reader.snapshot().len(), 40);
    }
}
