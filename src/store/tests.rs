//! What the store does to its files, call by call, with any one of the calls failing.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::*;
use crate::format::kinds::Kind;
use crate::io::DiskFile;
use crate::segment::builder::{SegmentBuilder, SegmentPlan};
use crate::testing::keys::KeyFamily;
use crate::token::BlockTime;

/// What was done, and which call is to fail, counted from 0.
#[derive(Default)]
struct Watch {
    calls: Vec<String>,
    fails_at: Option<usize>,
}

impl Watch {
    fn call(watch: &Mutex<Self>, what: String) -> io::Result<()> {
        let mut watch = watch.lock().unwrap();
        watch.calls.push(what);
        match watch.fails_at {
            Some(at) if at + 1 == watch.calls.len() => Err(io::Error::other("made to fail")),
            _ => Ok(()),
        }
    }
}

/// A disk whose changes are watched.
struct WatchedDisk {
    disk: RealDisk,
    watch: Arc<Mutex<Watch>>,
}

struct WatchedFile {
    file: Box<dyn DiskFile>,
    name: String,
    watch: Arc<Mutex<Watch>>,
}

impl Disk for WatchedDisk {
    fn path(&self) -> &Path {
        self.disk.path()
    }
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Watch::call(&self.watch, format!("create {name}"))?;
        let (file, name) = (self.disk.create(name)?, name.to_string());
        Ok(Box::new(WatchedFile { file, name, watch: Arc::clone(&self.watch) }))
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Watch::call(&self.watch, format!("rename {from} {to}"))?;
        self.disk.rename(from, to)
    }
    fn unlink(&self, name: &str) -> io::Result<()> {
        self.disk.unlink(name)
    }
    fn sync_directory(&self) -> io::Result<()> {
        Watch::call(&self.watch, "sync directory".into())?;
        self.disk.sync_directory()
    }
    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Send + Sync>>> {
        self.disk.lock(name)
    }
}

impl WatchedFile {
    /// Writes that follow one another count as one.
    fn call(&self, what: &str) -> io::Result<()> {
        let call = format!("{what} {}", self.name);
        if self.watch.lock().unwrap().calls.last() == Some(&call) {
            return Ok(());
        }
        Watch::call(&self.watch, call)
    }
}

impl DiskFile for WatchedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.call("write")?;
        self.file.write_all_at(bytes, offset)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.call("write")?;
        self.file.set_len(len)
    }
    fn set_read_only(&self) -> io::Result<()> {
        self.call("protect")?;
        self.file.set_read_only()
    }
    fn sync(&self) -> io::Result<()> {
        self.call("sync")?;
        self.file.sync()
    }
    fn map(&self) -> io::Result<Bytes> {
        self.file.map()
    }
}

/// An empty store on a watched disk.
fn watched(path: &Path) -> (Store, Arc<Mutex<Watch>>) {
    drop(Store::create(path, &Options::new()).unwrap());
    let watch = Arc::new(Mutex::new(Watch::default()));
    let disk = WatchedDisk { disk: RealDisk::new(path), watch: Arc::clone(&watch) };
    let contents = manifest::read(&disk).unwrap().unwrap();
    let lock = lock(&disk).unwrap();
    (Store::with(Box::new(disk), &Options::new(), contents, Some(lock)).unwrap(), watch)
}

fn load(store: &Store, count: usize, seed: u64) -> Result<LoadReport> {
    let tokens = KeyFamily::Uniform.generate(count, seed);
    let record = |token| Ok(Record::new(token, BlockTime::new(seed.into(), seed)));
    store.bulk_load(tokens.into_iter().map(record), &LoadOptions::new())
}

/// Nothing is named before it is durable.
const CALLS: [&str; 11] = [
    "create 0000000000000001.seg.tmp",
    "write 0000000000000001.seg.tmp",
    "sync 0000000000000001.seg.tmp",
    "protect 0000000000000001.seg.tmp",
    "rename 0000000000000001.seg.tmp 0000000000000001.seg",
    "sync directory",
    "create MANIFEST.tmp",
    "write MANIFEST.tmp",
    "sync MANIFEST.tmp",
    "rename MANIFEST.tmp MANIFEST",
    "sync directory",
];

#[test]
fn a_load_makes_everything_durable_before_it_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (store, watch) = watched(directory.path());
    load(&store, 1_000, 1).unwrap();
    assert_eq!(watch.lock().unwrap().calls, CALLS);
}

#[test]
fn segments_are_read_only() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _watch) = watched(directory.path());
    load(&store, 10, 1).unwrap();
    let segment = std::fs::metadata(directory.path().join(segment_name(1))).unwrap();
    assert!(segment.permissions().readonly());
}

/// Whichever call fails: nothing is seen of the load, and nothing is left of it but
/// where the manifest may or may not have become durable.
#[test]
fn a_load_that_fails_at_any_call_leaves_nothing() {
    for (at, call) in CALLS.iter().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        let (store, watch) = watched(directory.path());
        let names = || {
            let mut names = RealDisk::new(directory.path()).list().unwrap();
            names.sort_unstable();
            names
        };
        let before = names();
        watch.lock().unwrap().fails_at = Some(at);
        let failed = load(&store, 1_000, 1);
        match &failed {
            Err(Error::Io { .. }) => assert!(at + 1 < CALLS.len(), "{call}"),
            Err(Error::OutcomeUnknown { .. }) => assert!(at + 1 == CALLS.len(), "{call}"),
            other => panic!("{call}: {other:?}"),
        }
        assert_eq!(store.snapshot().len(), 0);
        if at + 1 < CALLS.len() {
            assert_eq!(names(), before, "{call}");
            load(&store, 500, 2).unwrap();
            assert_eq!(store.snapshot().len(), 500);
        } else {
            // The new manifest has its name, durably or not: no file that either of
            // the two names may be touched by this writer again.
            let segment = || std::fs::read(directory.path().join(segment_name(1))).unwrap();
            let named = segment();
            assert!(load(&store, 500, 2).is_err(), "loaded again after a failed sync");
            assert!(segment() == named);
        }
        drop(store);
        let store = Store::open(directory.path(), &Options::new()).unwrap();
        assert!([500, 1_000].contains(&store.snapshot().len()));
    }
}

/// Below the only layer is nothing that an entry could update or remove.
#[test]
fn a_bottom_layer_with_kinds_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _watch) = watched(directory.path());
    let disk = RealDisk::new(directory.path());
    let mut contents = manifest::read(&disk).unwrap().unwrap();
    let tokens = KeyFamily::Uniform.generate(10, 1);
    let plan = SegmentPlan {
        store_id: contents.store_id,
        segment_id: 1,
        records_max: 10,
        bounds: (tokens[0], tokens[9]),
    };
    let file = disk.create(&segment_name(1)).unwrap();
    let mut builder = SegmentBuilder::new(file, disk.path_of("built"), plan).unwrap();
    for token in tokens {
        builder.push(&Record::new(token, BlockTime::default()), Kind::Tombstone).unwrap();
    }
    contents.layers = vec![vec![builder.finish().unwrap().unwrap()]];
    contents.next_file_id = 2;
    manifest::replace(&disk, &contents).unwrap();
    drop(store);
    let opened = Store::open(directory.path(), &Options::new());
    assert!(matches!(opened, Err(Error::Damaged(_))), "{opened:?}");
}
