//! Creating, opening and loading stores, and what is said and left where that fails.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use ringstore::testing::keys::KeyFamily;
use ringstore::{
    BlockTime, Error, LoadOptions, LoadReport, Options, Phase, Progress, Record, Result, Store,
    TokenId,
};

const SEGMENT: &str = "0000000000000001.seg";

fn records(count: usize) -> Vec<Record> {
    let tokens = KeyFamily::Uniform.generate(count, 1);
    tokens.into_iter().map(|token| Record::new(token, BlockTime::new(token.0.into(), 5))).collect()
}

fn load(store: &Store, records: Vec<Record>) -> Result<LoadReport> {
    store.bulk_load(records.into_iter().map(Ok), &LoadOptions::new())
}

fn loaded(path: &Path, count: usize) {
    load(&Store::create(path, &Options::new()).unwrap(), records(count)).unwrap();
}

fn names(path: &Path) -> BTreeSet<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    fs::read_dir(path).unwrap().map(|entry| name(entry).into_string().unwrap()).collect()
}

fn open(path: &Path) -> Result<Store> {
    Store::open(path, &Options::new())
}

#[test]
fn a_store_is_created_only_where_nothing_is() {
    let directory = tempfile::tempdir().unwrap();
    let create = |path: &Path| Store::create(path, &Options::new());
    // Neither existed.
    let path = directory.path().join("a/b");
    drop(create(&path).unwrap());
    assert!(matches!(create(&path), Err(Error::AlreadyExists { .. })));
    let other = directory.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("notes"), "mine").unwrap();
    match create(&other) {
        Err(Error::AlreadyExists { found, .. }) => assert!(found.contains("notes"), "{found}"),
        opened => panic!("{opened:?}"),
    }
    assert_eq!(names(&other), ["notes".to_string()].into());
    let file = other.join("notes");
    assert!(matches!(create(&file), Err(Error::AlreadyExists { .. })));
    assert!(matches!(create(&file.join("below")), Err(Error::AlreadyExists { .. })));
}

#[test]
fn what_is_no_store_is_said_to_be_none_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let other = directory.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("notes"), "mine").unwrap();
    for path in [other.clone(), other.join("notes"), directory.path().join("nowhere")] {
        for opened in [open(&path), Store::open_read_only(&path, &Options::new())] {
            assert!(matches!(opened, Err(Error::NotAStore { .. })), "{opened:?}");
        }
    }
    assert_eq!(names(&other), ["notes".to_string()].into());
    assert!(!directory.path().join("nowhere").exists());
}

/// Taking a lock that somebody else has for one's own was tried, and made this fail.
#[test]
fn one_writer_at_a_time_and_readers_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path(), &Options::new()).unwrap();
    let clone = store.clone();
    assert!(matches!(open(directory.path()), Err(Error::Locked { .. })));
    let again = Store::open_or_create(directory.path(), &Options::new());
    assert!(matches!(again, Err(Error::Locked { .. })));
    let reader = Store::open_read_only(directory.path(), &Options::new()).unwrap();
    assert!(matches!(load(&reader, records(1)), Err(Error::Unwritable { .. })));
    drop(store);
    assert!(matches!(open(directory.path()), Err(Error::Locked { .. })));
    drop(clone);
    let store = Store::open_or_create(directory.path(), &Options::new()).unwrap();
    load(&store, records(3)).unwrap();
    // What it has already changes nothing.
    load(&store, records(1)).unwrap();
    assert_eq!((store.snapshot().len(), reader.snapshot().len()), (3, 0));
}

#[test]
fn what_a_writer_left_that_died_is_removed_by_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    loaded(path, 10);
    let before = names(path);
    for name in ["MANIFEST.tmp", "0000000000000002.seg.tmp"] {
        fs::write(path.join(name), "half").unwrap();
    }
    fs::copy(path.join(SEGMENT), path.join("0000000000000002.seg")).unwrap();
    fs::write(path.join("notes.tmp"), "mine").unwrap();
    assert_eq!(Store::open_read_only(path, &Options::new()).unwrap().snapshot().len(), 10);
    assert_eq!(names(path).len(), before.len() + 4, "a reader removes nothing");
    assert_eq!(open(path).unwrap().snapshot().len(), 10);
    assert_eq!(&names(path) - &before, ["notes.tmp".to_string()].into());
}

#[test]
fn of_duplicates_the_newest_is_kept_and_of_equally_new_ones_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path(), &Options::new()).unwrap();
    // Each of many tokens at times 0, 2, 1, 2, with different blocks.
    let mut input = Vec::new();
    for (block, time) in (1u64..).zip([0, 2, 1, 2]) {
        for token in 0..5_000u64 {
            let value = BlockTime::new((10 * token + block).into(), time);
            input.push(Record::new((token * 7 % 5_000).into(), value));
        }
    }
    let report = load(&store, input.clone()).unwrap();
    assert_eq!(report, LoadReport { read: 20_000, stored: 5_000, duplicates: 15_000, spilled: 0 });
    let snapshot = store.snapshot();
    assert_eq!(snapshot.len(), 5_000);
    for expected in &input[5_000..10_000] {
        assert_eq!(snapshot.get(&expected.token).unwrap(), Some(expected.value()));
    }
}

#[test]
fn a_load_of_nothing_leaves_an_empty_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path(), &Options::new()).unwrap();
    let before = names(directory.path());
    assert_eq!(load(&store, Vec::new()).unwrap(), LoadReport::default());
    assert_eq!(names(directory.path()), before);
    load(&store, records(5)).unwrap();
    assert_eq!(store.snapshot().len(), 5);
}

/// Stopped at every word about its progress, or by its input, a load leaves nothing.
#[test]
fn a_load_that_is_stopped_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path(), &Options::new()).unwrap();
    let before = names(directory.path());
    let mut stops = 0;
    loop {
        let calls = AtomicUsize::new(0);
        let watch = |_: Progress| match calls.fetch_add(1, Ordering::Relaxed) {
            call if call == stops => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        let options = LoadOptions::new().progress(&watch);
        if store.bulk_load(records(70_000).into_iter().map(Ok), &options).is_ok() {
            break;
        }
        assert_eq!(names(directory.path()), before);
        assert_eq!(store.snapshot().len(), 0);
        let input = records(10).into_iter().map(Ok).chain([Err(Error::Interrupted)]);
        assert!(store.bulk_load(input, &LoadOptions::new()).is_err());
        assert_eq!(names(directory.path()), before);
        stops += 1;
    }
    assert!(stops > 5);
    assert_eq!(open_again(store, directory.path()).snapshot().len(), 70_000);
}

fn open_again(store: Store, path: &Path) -> Store {
    store.close().unwrap();
    open(path).unwrap()
}

/// A watcher that panics is no reason for the next load to fail.
#[test]
fn a_load_after_one_that_panicked() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path(), &Options::new()).unwrap();
    for phase in [Phase::Reading, Phase::Sorting, Phase::Writing, Phase::Syncing] {
        let panics = std::panic::AssertUnwindSafe(|| {
            let watch = |progress: Progress| {
                assert_ne!(progress.phase, phase);
                ControlFlow::Continue(())
            };
            let options = LoadOptions::new().progress(&watch);
            store.bulk_load(records(66_000).into_iter().map(Ok), &options)
        });
        assert!(std::panic::catch_unwind(panics).is_err());
        assert_eq!(store.snapshot().len(), 0);
    }
    load(&store, records(10)).unwrap();
    assert_eq!(store.snapshot().len(), 10);
}

/// A writer that died while it created the store left no store.
#[test]
fn creating_begins_anew_where_it_was_cut_short() {
    for left in [&["LOCK"][..], &["LOCK", "MANIFEST.tmp"]] {
        let directory = tempfile::tempdir().unwrap();
        for name in left {
            fs::write(directory.path().join(name), "").unwrap();
        }
        assert!(matches!(open(directory.path()), Err(Error::NotAStore { .. })), "{left:?}");
        let store = Store::open_or_create(directory.path(), &Options::new()).unwrap();
        load(&store, records(10)).unwrap();
        assert_eq!(open_again(store, directory.path()).snapshot().len(), 10);
    }
}

/// Were it opened, all that the store holds would be removed as left over.
///
/// Not looking for files of other stores was tried, and made this fail.
#[test]
fn the_manifest_of_another_empty_store_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (full, empty) = (directory.path().join("full"), directory.path().join("empty"));
    loaded(&full, 100);
    drop(Store::create(&empty, &Options::new()).unwrap());
    fs::copy(empty.join("MANIFEST"), full.join("MANIFEST")).unwrap();
    for opened in [open(&full), Store::open_read_only(&full, &Options::new())] {
        assert!(matches!(opened, Err(Error::Damaged(_))), "{opened:?}");
    }
    assert!(full.join(SEGMENT).exists());
}

/// A length that no manifest has is no reason to take that much memory.
///
/// Reading all of it was tried, and ended the process.
#[test]
fn a_manifest_of_terabytes_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    loaded(directory.path(), 10);
    let manifest = directory.path().join("MANIFEST");
    let manifest = fs::OpenOptions::new().write(true).open(manifest).unwrap();
    if manifest.set_len(1 << 43).is_ok() {
        assert!(matches!(open(directory.path()), Err(Error::Damaged(_))));
    }
}

/// Numbers that are at their end, with a checksum that is right.
///
/// Going on at zero was tried, and made this fail.
#[test]
fn a_generation_or_file_number_at_its_end_is_an_error() {
    for offset in [32, 40] {
        let directory = tempfile::tempdir().unwrap();
        drop(Store::create(directory.path(), &Options::new()).unwrap());
        let path = directory.path().join("MANIFEST");
        let mut bytes = fs::read(&path).unwrap();
        let body = bytes.len() - 4;
        bytes[offset..offset + 8].fill(0xff);
        let checksum = crc32fast::hash(&bytes[..body]).to_le_bytes();
        bytes[body..].copy_from_slice(&checksum);
        fs::write(&path, bytes).unwrap();
        let result = open(directory.path()).and_then(|store| load(&store, records(3)));
        assert!(matches!(result, Err(Error::Damaged(_))), "{offset}: {result:?}");
    }
}

#[test]
fn a_token_of_every_edge_is_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path(), &Options::new()).unwrap();
    let ends = [TokenId::MAX, TokenId::MIN];
    load(&store, ends.map(|token| Record::new(token, BlockTime::default())).to_vec()).unwrap();
    let snapshot = store.snapshot();
    assert_eq!(snapshot.select(0).unwrap().unwrap().0, TokenId::MIN);
    assert_eq!(snapshot.select(1).unwrap().unwrap().0, TokenId::MAX);
}

/// The second one is refused at once, rather than let wait for what it then may not do.
#[test]
fn two_loads_into_one_store_at_once() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path(), &Options::new())?;
    let second = store.clone();
    let mut refused = Vec::new();
    let input = records(10).into_iter().map(|record| {
        refused.push(load(&second, records(5)));
        Ok(record)
    });
    assert_eq!(store.bulk_load(input, &LoadOptions::new())?.stored, 10);
    assert_eq!(refused.len(), 10);
    let under_way = |error: &Error| error.to_string().contains("another load into it is under way");
    assert!(refused.iter().all(|refused| refused.as_ref().is_err_and(under_way)), "{refused:?}");
    assert_eq!(store.snapshot().len(), 10);
    Ok(())
}
