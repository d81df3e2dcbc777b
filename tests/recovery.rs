//! What opening a store must never do: lose what an earlier opening kept, or remove what a
//! manifest on disk still names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ringstore::testing::sim::{Fault, SimDisk};
use ringstore::{Batch, BlockTime, Error, LoadOptions, Options, Record, Result, Store, TokenId};

fn value(time: u64) -> BlockTime {
    BlockTime::new(time.into(), time)
}

fn logs(path: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|it| it == "log")).collect()
}

/// A store of ten tokens that were put one by one, closed.
fn filled(path: &Path) {
    let store = Store::create(path, &Options::new()).unwrap();
    for id in 0..10 {
        store.put(&TokenId::from(id), value(id)).unwrap();
    }
    store.close().unwrap();
}

fn open(path: &Path) -> Result<Store> {
    Store::open(path, &Options::new())
}

/// A store that was opened, not written, and killed: what it kept was on disk before its
/// log had a name, so that damage in it is no torn end.
///
/// Leaving out that what a log began with was on disk was tried, and made this fail.
#[test]
fn damage_in_what_a_recovery_kept_is_no_torn_end() {
    let directory = tempfile::tempdir().unwrap();
    let (path, killed) = (directory.path().join("tokens"), directory.path().join("killed"));
    filled(&path);
    let store = open(&path).unwrap();
    assert_eq!(store.snapshot().len(), 10);
    fs::create_dir(&killed).unwrap();
    for entry in fs::read_dir(&path).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), killed.join(entry.file_name())).unwrap();
    }
    let [log] = logs(&killed).try_into().unwrap();
    let mut bytes = fs::read(&log).unwrap();
    bytes[512 + 100] ^= 1;
    fs::write(&log, bytes).unwrap();
    assert!(matches!(open(&killed), Err(Error::Damaged(damage)) if damage.path == log));
}

/// With the marks behind it a log loses what they say.
///
/// Not comparing its length with that in the manifest was tried, and made this fail.
#[test]
fn a_log_that_was_cut_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let [log] = logs(directory.path()).try_into().unwrap();
    fs::File::options().write(true).open(&log).unwrap().set_len(1_024).unwrap();
    assert!(matches!(open(directory.path()), Err(Error::Damaged(damage)) if damage.path == log));
}

/// Nothing is taken for a leftover by a manifest that cannot know of it.
///
/// Not looking for files of other stores, and not looking for logs that came later, were
/// tried, and each made this fail.
#[test]
fn a_manifest_of_another_store_or_time_removes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (path, other) = (directory.path().join("tokens"), directory.path().join("other"));
    drop(Store::create(&other, &Options::new()).unwrap());
    drop(Store::create(&path, &Options::new()).unwrap());
    let older = fs::read(path.join("MANIFEST")).unwrap();
    let store = open(&path).unwrap();
    for id in 0..10 {
        store.put(&TokenId::from(id), value(id)).unwrap();
    }
    store.close().unwrap();
    let manifest = fs::read(path.join("MANIFEST")).unwrap();
    for wrong in [fs::read(other.join("MANIFEST")).unwrap(), older] {
        fs::write(path.join("MANIFEST"), wrong).unwrap();
        for opened in [open(&path), Store::open_read_only(&path, &Options::new())] {
            assert!(matches!(opened, Err(Error::Damaged(_))), "{opened:?}");
        }
        assert_eq!(logs(&path).len(), 1);
    }
    fs::write(path.join("MANIFEST"), manifest).unwrap();
    assert_eq!(open(&path).unwrap().snapshot().len(), 10);
}

/// A call fails so that it is not known which manifest the disk has; the store is opened
/// anew, and the power fails at any moment of that.
#[test]
fn the_power_fails_while_an_unknown_outcome_is_recovered() {
    let options = Options::new().log_bytes(Options::LOG_BYTES_MIN);
    let contents = |store: &Store| -> BTreeMap<TokenId, BlockTime> {
        store.snapshot().range(..).collect::<Result<_>>().unwrap()
    };
    let mut images = 0;
    for call in 0.. {
        let disk = SimDisk::new();
        let store = disk.create_store(&options).unwrap();
        let at = disk.operations() + call;
        disk.fail(Fault::at_operation(at));
        let mut acknowledged = BTreeMap::new();
        let mut maybe = None;
        for id in 0..20 {
            let token = TokenId::from(id);
            let mut next = acknowledged.clone();
            next.insert(token, value(id));
            match store.put(&token, value(id)) {
                Ok(()) => acknowledged = next,
                Err(Error::OutcomeUnknown { .. }) => {
                    maybe = Some(next);
                    break;
                }
                Err(_) => {}
            }
        }
        let is_over = disk.operations() <= at;
        drop(store);
        disk.heal();
        if maybe.is_some() {
            let begins = disk.operations();
            let found = contents(&disk.open_store(&options).unwrap());
            let ends = disk.operations();
            for moment in begins..=ends {
                for image in disk.images(moment) {
                    images += 1;
                    let after = contents(&image.open_store(&options).unwrap());
                    assert!(after == acknowledged || Some(&after) == maybe.as_ref(), "call {call}");
                    assert!(moment < ends || after == found, "call {call}: seen, and gone");
                }
            }
        }
        if is_over {
            break;
        }
    }
    println!("{images} images");
    assert!(images > 1_000, "{images}");
}

/// Entries that come to nothing may still lie in memory.
#[test]
fn a_store_that_was_emptied_takes_a_load() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path(), &Options::new()).unwrap();
    let commit = |ids: std::ops::Range<u64>, puts: bool| {
        let mut batch = Batch::new();
        for id in ids {
            let token = TokenId::from(id);
            _ = if puts { batch.put(token, value(id)) } else { batch.remove(token) };
        }
        store.commit(&batch).unwrap();
    };
    commit(0..2_000, true);
    commit(0..1_200, false);
    commit(1_200..2_000, false);
    assert!(store.snapshot().is_empty() && store.stat().delta > 0);
    let records = (0..10u64).map(|id| Ok(Record::new(TokenId::from(id), value(1))));
    store.bulk_load(records, &LoadOptions::new()).unwrap();
    drop(store);
    assert_eq!(open(directory.path()).unwrap().snapshot().len(), 10);
}
