//! What the store does to its files, call by call, with any one of the calls failing.

use std::path::Path;
use std::sync::{Arc, Mutex};

use super::*;
use crate::format::kinds::Kind;
use crate::format::names::segment_name;
use crate::io::watched::{Watch, WatchedDisk};
use crate::load::options::{LoadOptions, LoadReport};
use crate::segment::builder::{SegmentBuilder, SegmentIds, SegmentPlan};
use crate::testing::keys::KeyFamily;
use crate::token::BlockTime;
use crate::token::Record;

/// An empty store on a watched disk.
fn watched(path: &Path) -> (Store, Arc<Mutex<Watch>>) {
    drop(Store::create(path, &Options::new()).unwrap());
    let (disk, watch) = WatchedDisk::new(path);
    let contents = manifest::read(&disk).unwrap().unwrap();
    let lock = lock(&disk).unwrap();
    (Store::open_locked(Arc::new(disk), &Options::new(), contents, lock).unwrap(), watch)
}

fn load(store: &Store, count: usize, seed: u64) -> Result<LoadReport> {
    let tokens = KeyFamily::Uniform.generate(count, seed);
    let record = |token| Ok(Record::new(token, BlockTime::new(seed.into(), seed)));
    store.bulk_load(tokens.into_iter().map(record), &LoadOptions::new())
}

/// Nothing is named before it is durable.
const CALLS: [&str; 12] = [
    "create 0000000000000001.seg.tmp",
    "write 0000000000000001.seg.tmp",
    "protect 0000000000000001.seg.tmp",
    "sync 0000000000000001.seg.tmp",
    "rename 0000000000000001.seg.tmp 0000000000000001.seg",
    "sync directory",
    "create MANIFEST.tmp",
    "write MANIFEST.tmp",
    "sync MANIFEST.tmp",
    "create MANIFEST.unsynced",
    "rename MANIFEST.tmp MANIFEST",
    "sync directory",
];

/// Leaving out the sync of the directory before the manifest was tried, and made this fail.
#[test]
fn a_load_makes_everything_durable_before_it_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (store, watch) = watched(directory.path());
    load(&store, 1_000, 1).unwrap();
    assert_eq!(watch.lock().unwrap().calls, CALLS);
}

/// Leaving segments as they were made was tried, and made this fail.
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
        // A rename that fails may have taken effect.
        let is_unknown = call.ends_with("directory") || call.ends_with(" MANIFEST");
        let may_be_named = at + 2 >= CALLS.len();
        watch.lock().unwrap().fails_at = Some(at);
        let failed = load(&store, 1_000, 1);
        match &failed {
            Err(Error::Io { .. }) => assert!(!is_unknown, "{call}"),
            Err(Error::OutcomeUnknown { .. }) => assert!(is_unknown, "{call}"),
            other => panic!("{call}: {other:?}"),
        }
        assert_eq!(store.snapshot().len(), 0);
        if !may_be_named {
            assert_eq!(names(), before, "{call}");
        }
        if is_unknown {
            // The new manifest has its name, durably or not: no file that either of
            // the two names may be touched by this writer again.
            let segment = || std::fs::read(directory.path().join(segment_name(1))).ok();
            let named = segment();
            assert_eq!(named.is_some(), may_be_named);
            assert!(load(&store, 500, 2).is_err(), "loaded again after a failed sync");
            assert!(segment() == named);
        } else {
            load(&store, 500, 2).unwrap();
            assert_eq!(store.snapshot().len(), 500);
        }
        let loaded = store.snapshot().len();
        drop(store);
        let store = Store::open(directory.path(), &Options::new()).unwrap();
        let expected = if at + 1 == CALLS.len() { 1_000 } else { loaded };
        assert_eq!(store.snapshot().len(), expected);
    }
}

/// As what there is no room for does, be it for the manifest only. That its errors were like any
/// others made this fail.
#[test]
fn a_manifest_without_room_says_so() {
    for name in ["MANIFEST.tmp", "MANIFEST.unsynced"] {
        let no_room = |done: Result<()>| {
            assert!(matches!(done, Err(Error::NoSpace { needed: 1.., .. })), "{name}: {done:?}");
        };
        let directory = tempfile::tempdir().unwrap();
        let (disk, watch) = WatchedDisk::new(directory.path());
        watch.lock().unwrap().no_room_for = Some(name);
        no_room(Store::create_on(disk, &Options::new()).map(drop));
        assert_eq!(RealDisk::new(directory.path()).list().unwrap(), [""; 0], "{name}");

        let (store, watch) = watched(directory.path());
        watch.lock().unwrap().no_room_for = Some(name);
        let put = || store.put(&TokenId::from(1), BlockTime::default());
        no_room(put());
        no_room(load(&store, 10, 1).map(drop));
        assert!(store.snapshot().is_empty());
        watch.lock().unwrap().no_room_for = None;
        put().unwrap();
        load(&store, 10, 1).unwrap();
        assert_eq!(store.snapshot().len(), 11);
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
        ids: SegmentIds { store_id: contents.store_id, segment_id: 1 },
        records_max: 10,
        bounds: (tokens[0], tokens[9]),
    };
    let file = disk.create(&segment_name(1)).unwrap();
    let mut builder = SegmentBuilder::new(file, disk.path_of("built"), plan).unwrap();
    for token in tokens {
        builder.push(&Record::new(token, BlockTime::default()), Kind::Tombstone).unwrap();
    }
    contents.layers = vec![vec![builder.finish(&mut |_| Ok(())).unwrap().unwrap()]];
    contents.next_file_id = 2;
    manifest::replace(&disk, &contents).unwrap();
    drop(store);
    let opened = Store::open(directory.path(), &Options::new());
    assert!(matches!(opened, Err(Error::Damaged(_))), "{opened:?}");
}
