//! Commits as users of the store meet them: what they promise, what they refuse, and what
//! they leave on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{ScopedJoinHandle, Thread};

use ringstore::testing::random::Random;
use ringstore::{
    Batch, BlockTime, Committed, Condition, Durability, Error, LoadOptions, Options, Record,
    Result, Snapshot, Store, TokenId,
};

/// Logs that are full soon.
fn options() -> Options {
    Options::new().log_bytes(16 << 10)
}

fn buffered() -> Options {
    options().durability(Durability::Buffered)
}

fn create(path: &Path, options: &Options) -> Store {
    Store::create(path, options).unwrap()
}

fn value(time: u64) -> BlockTime {
    BlockTime::new(time.into(), time)
}

fn token(id: u64) -> TokenId {
    TokenId::from(id)
}

fn contents(snapshot: &Snapshot) -> BTreeMap<TokenId, BlockTime> {
    snapshot.range(..).collect::<Result<_>>().unwrap()
}

fn files(path: &Path) -> BTreeSet<PathBuf> {
    fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn logs(path: &Path) -> Vec<PathBuf> {
    let files = files(path).into_iter();
    files.filter(|file| file.extension().is_some_and(|it| it == "log")).collect()
}

fn load(store: &Store, ids: std::ops::Range<u64>) -> Result<()> {
    let records = ids.map(|id| Ok(Record::new(token(id), value(1))));
    store.bulk_load(records, &LoadOptions::new()).map(|_| ())
}

#[test]
fn operations_take_place_in_their_order_if_their_conditions_hold() {
    let directory = tempfile::tempdir().unwrap();
    let store = create(directory.path(), &options());
    load(&store, 0..10).unwrap();
    let mut batch = Batch::new();
    let expected = [
        (batch.put(token(1), value(0)).len(), true),
        (batch.set(token(1), value(0)).len(), false),
        (batch.set(token(1), value(5)).len(), true),
        (batch.put_if(token(1), value(9), Condition::Older(5)).len(), false),
        (batch.put_if(token(1), value(9), Condition::Equals(value(5))).len(), true),
        (batch.remove_if(token(1), Condition::Older(9)).len(), false),
        (batch.remove(token(1)).len(), true),
        (batch.remove(token(1)).len(), false),
        (batch.put_if(token(1), value(3), Condition::Present).len(), false),
        (batch.put_if(token(1), value(3), Condition::Absent).len(), true),
        (batch.remove(token(77)).len(), false),
        (batch.put(token(77), value(1)).len(), true),
        (batch.remove(token(77)).len(), true),
        (batch.remove_if(token(2), Condition::Older(2)).len(), true),
    ];
    let Committed { applied, .. } = store.commit(&batch).unwrap();
    assert_eq!(applied, expected.map(|(_, applied)| applied));
    let mut expected: BTreeMap<_, _> = (0..10).map(|id| (token(id), value(1))).collect();
    expected.insert(token(1), value(3));
    expected.remove(&token(2));
    assert_eq!(contents(&store.snapshot()), expected);
    assert_eq!(store.stat().delta, 2, "one entry for each token that changed");
    store.close().unwrap();
    let store = Store::open(directory.path(), &options()).unwrap();
    assert_eq!(contents(&store.snapshot()), expected);
    assert_eq!(store.stat().recovery.commits, 1);
}

#[test]
fn single_changes_say_what_they_did() {
    let directory = tempfile::tempdir().unwrap();
    let store = create(directory.path(), &options());
    assert!(store.set(&token(1), value(5)).unwrap());
    assert!(!store.set(&token(1), value(5)).unwrap());
    store.put(&token(1), value(2)).unwrap();
    assert_eq!(store.snapshot().get(&token(1)).unwrap(), Some(value(2)));
    assert!(store.remove(&token(1)).unwrap());
    assert!(!store.remove(&token(1)).unwrap());
    assert!(store.snapshot().is_empty());
}

#[test]
fn an_empty_batch_costs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = create(directory.path(), &options());
    let before = files(directory.path());
    assert_eq!(store.commit(&Batch::new()).unwrap(), Committed::default());
    // Nor does what changes nothing.
    assert_eq!(store.commit(Batch::new().remove(token(1))).unwrap().applied, [false]);
    assert_eq!(files(directory.path()), before);
    assert_eq!(store.stat().log_bytes, 0);
}

/// A batch that no log has room for gets one of its size.
#[test]
fn a_batch_of_a_million() {
    let directory = tempfile::tempdir().unwrap();
    let store = create(directory.path(), &options());
    store.put(&token(5), value(1)).unwrap();
    let mut random = Random::new("million", 1);
    let tokens: Vec<_> = (0..1_000_000).map(|_| random.token()).collect();
    let mut batch = Batch::with_capacity(tokens.len());
    for token in &tokens {
        batch.put(*token, value(7));
    }
    store.commit(&batch).unwrap();
    store.put(&token(6), value(1)).unwrap();
    let check = |store: &Store| {
        let snapshot = store.snapshot();
        assert_eq!(snapshot.len(), 1_000_002);
        for token in tokens.iter().step_by(997) {
            assert_eq!(snapshot.get(token).unwrap(), Some(value(7)));
        }
    };
    check(&store);
    drop(store);
    let store = Store::open(directory.path(), &options()).unwrap();
    check(&store);
    assert_eq!(store.verify(&|_| ControlFlow::Continue(())).unwrap().damages, []);
}

/// However often a token is put and removed, or changed, the room on disk is bounded.
#[test]
fn one_token_put_and_removed_forever() {
    let directory = tempfile::tempdir().unwrap();
    let store = create(directory.path(), &buffered());
    load(&store, 0..10).unwrap();
    for round in 0..5_000 {
        store.put(&token(100), value(round)).unwrap();
        assert!(store.remove(&token(100)).unwrap());
        store.put(&token(3), value(round)).unwrap();
        assert!(store.stat().delta <= 1);
        assert!(store.stat().log_bytes <= 3 * (16 << 10), "{}", store.stat().log_bytes);
        assert!(logs(directory.path()).len() <= 2);
    }
    assert_eq!(store.snapshot().len(), 10);
    let bytes: u64 =
        logs(directory.path()).iter().map(|log| fs::metadata(log).unwrap().len()).sum();
    assert_eq!(store.stat().log_bytes, bytes);
}

/// Eight threads, each with tokens of its own and one that all write; readers see every
/// commit whole, in one order, and never less than before.
#[test]
fn many_threads_commit_and_read() {
    const THREADS: u64 = 8;
    const COMMITS: u64 = 150;
    let directory = tempfile::tempdir().unwrap();
    let store = create(directory.path(), &options());
    load(&store, 1_000..3_000).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let store = store.clone();
                scope.spawn(move || {
                    for number in 1..=COMMITS {
                        let mut batch = Batch::new();
                        // All with one time.
                        for place in 0..5 {
                            batch.put(token(100 * thread + place), value(number));
                        }
                        batch.put_if(token(999), value(number), Condition::AbsentOrOlder(number));
                        let durability = match (thread + number) % 3 {
                            0 => Durability::Buffered,
                            _ => Durability::Synced,
                        };
                        store.commit_with(&batch, durability).unwrap();
                        // What was acknowledged is seen at once.
                        let seen = store.snapshot().get(&token(100 * thread)).unwrap();
                        assert_eq!(seen, Some(value(number)));
                    }
                })
            })
            .collect();
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = vec![0; THREADS as usize];
                while !is_over.load(Ordering::Relaxed) {
                    let snapshot = store.snapshot();
                    for (thread, last) in (0u64..).zip(&mut last) {
                        let time = |place: u64| {
                            let token = token(100 * thread + place);
                            snapshot.get(&token).unwrap().map_or(0, |value| value.time)
                        };
                        let first = time(0);
                        assert!((1..5).all(|place| time(place) == first), "half a commit");
                        assert!(first >= *last, "a commit was seen and is gone");
                        *last = first;
                    }
                    assert_eq!(snapshot.range(token(1_000)..).count(), 2_000);
                }
            });
        }
        for writer in writers {
            writer.join().unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let expected = contents(&store.snapshot());
    assert_eq!(expected.len() as u64, 2_000 + 5 * THREADS + 1);
    assert_eq!(expected[&token(999)], value(COMMITS));
    drop(store);
    let store = Store::open(directory.path(), &options()).unwrap();
    assert_eq!(contents(&store.snapshot()), expected);
}

/// Commits, synced or not, and syncs, over logs that are full all the time. Meanwhile
/// something is done to the threads again and again.
fn commit_and_sync(meanwhile: impl Fn(&Thread)) {
    const THREADS: u64 = 8;
    const TIMES: u64 = 200;
    let directory = tempfile::tempdir().unwrap();
    let options = Options::new().log_bytes(Options::LOG_BYTES_MIN);
    let store = create(directory.path(), &options);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let store = &store;
                scope.spawn(move || {
                    let mut random = Random::new("waits", thread);
                    for time in 1..=TIMES {
                        let mut batch = Batch::new();
                        batch.put(token(thread), value(time));
                        let durability = match random.below(3) {
                            0 => Durability::Synced,
                            _ => Durability::Buffered,
                        };
                        store.commit_with(&batch, durability).unwrap();
                        if random.below(2) == 0 {
                            store.sync().unwrap();
                        }
                    }
                })
            })
            .collect();
        while !threads.iter().all(ScopedJoinHandle::is_finished) {
            for thread in &threads {
                meanwhile(thread.thread());
            }
            std::thread::yield_now();
        }
    });
    let expected: BTreeMap<_, _> = (0..THREADS).map(|id| (token(id), value(TIMES))).collect();
    assert_eq!(contents(&store.snapshot()), expected);
}

#[test]
fn nobody_waits_in_vain() {
    for _ in 0..3 {
        commit_and_sync(|_| {});
    }
}

/// A thread may be woken by somebody who knows nothing of commits.
#[test]
fn nobody_is_woken_too_early() {
    commit_and_sync(Thread::unpark);
}

#[test]
fn a_snapshot_does_not_change() {
    let directory = tempfile::tempdir().unwrap();
    let store = create(directory.path(), &buffered());
    load(&store, 0..100).unwrap();
    let mut snapshots = Vec::new();
    let mut model: BTreeMap<_, _> = (0..100).map(|id| (token(id), value(1))).collect();
    let mut random = Random::new("ages", 1);
    for time in 2..4_000 {
        let token = token(random.below(3_000));
        if random.below(3) == 0 {
            store.remove(&token).unwrap();
            model.remove(&token);
        } else {
            store.put(&token, value(time)).unwrap();
            model.insert(token, value(time));
        }
        if time % 333 == 0 {
            snapshots.push((store.snapshot(), model.clone()));
        }
    }
    drop(store);
    for (snapshot, model) in snapshots {
        assert_eq!(contents(&snapshot), model);
    }
}

#[test]
fn a_store_that_is_only_read_takes_no_commits_and_leaves_no_trace() {
    let directory = tempfile::tempdir().unwrap();
    let store = create(directory.path(), &options());
    load(&store, 0..100).unwrap();
    store.put(&token(500), value(9)).unwrap();
    store.remove(&token(7)).unwrap();
    let expected = contents(&store.snapshot());
    let state = || {
        let state = |path: PathBuf| {
            let metadata = fs::metadata(&path).unwrap();
            (path.clone(), metadata.modified().unwrap(), fs::read(path).unwrap())
        };
        files(directory.path()).into_iter().map(state).collect::<Vec<_>>()
    };
    let before = state();
    // Beside the writer, and after it.
    let beside = Store::open_read_only(directory.path(), &options()).unwrap();
    assert_eq!(contents(&beside.snapshot()), expected);
    assert_eq!(beside.stat().delta, 2);
    for result in [
        beside.commit(Batch::new().put(token(1), value(2))).map(|_| ()),
        beside.put(&token(1), value(2)),
        beside.set(&token(1), value(2)).map(|_| ()),
        beside.remove(&token(1)).map(|_| ()),
        beside.sync(),
        load(&beside, 0..1),
    ] {
        assert!(matches!(result, Err(Error::Unwritable { .. })), "{result:?}");
    }
    assert_eq!(beside.verify(&|_| ControlFlow::Continue(())).unwrap().damages, []);
    beside.close().unwrap();
    assert!(state() == before);
    drop(store);
    let after = Store::open_read_only(directory.path(), &options()).unwrap();
    assert_eq!(contents(&after.snapshot()), expected);
}

#[test]
fn a_second_writer_is_locked_out() {
    let directory = tempfile::tempdir().unwrap();
    let store = create(directory.path(), &options());
    store.put(&token(1), value(1)).unwrap();
    let clone = store.clone();
    store.close().unwrap();
    // A clone is left.
    let second = Store::open(directory.path(), &options());
    assert!(matches!(second, Err(Error::Locked { .. })), "{second:?}");
    clone.put(&token(2), value(1)).unwrap();
    clone.close().unwrap();
    assert_eq!(Store::open(directory.path(), &options()).unwrap().snapshot().len(), 2);
}

#[test]
fn tokens_that_come_during_a_load_are_kept_if_they_are_newer() {
    let directory = tempfile::tempdir().unwrap();
    let store = create(directory.path(), &options());
    let records = (0..1_000).map(|id| {
        if id == 500 {
            store.put(&token(77), value(2))?;
        }
        Ok(Record::new(token(id), value(1)))
    });
    let loaded = store.bulk_load(records, &LoadOptions::new());
    assert_eq!(loaded.unwrap().read, 1_000);
    let mut expected: BTreeMap<_, _> = (0..1_000).map(|id| (token(id), value(1))).collect();
    expected.insert(token(77), value(2));
    assert_eq!(contents(&store.snapshot()), expected);
    store.put(&token(78), value(3)).unwrap();
    store.remove(&token(79)).unwrap();
    load(&store, 0..1_100).unwrap();
    expected.extend((1_000..1_100).map(|id| (token(id), value(1))));
    expected.insert(token(78), value(3));
    assert_eq!(contents(&store.snapshot()), expected);
    drop(store);
    let store = Store::open(directory.path(), &options()).unwrap();
    assert_eq!(contents(&store.snapshot()), expected);
}

/// A store with some commits in its log, closed.
fn closed(path: &Path) -> BTreeMap<TokenId, BlockTime> {
    let store = create(path, &Options::new().log_bytes(8 << 10));
    load(&store, 0..50).unwrap();
    for time in 2..6 {
        let mut batch = Batch::new();
        for place in 0..3 {
            batch.put(token(10 * time + 5 * place), value(time));
        }
        store.commit(batch.remove(token(time))).unwrap();
    }
    let contents = contents(&store.snapshot());
    store.close().unwrap();
    contents
}

/// Whatever byte of a log is not what it was: an error that names it, or it was of no use.
#[test]
fn damage_in_a_log_is_never_a_shorter_log() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens");
    let expected = closed(&path);
    let [log] = logs(&path).try_into().unwrap();
    let bytes = fs::read(&log).unwrap();
    let mut refused = 0;
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&log, &flipped).unwrap();
        match Store::open_read_only(&path, &options()) {
            Ok(store) => {
                // Padding, or the mark itself, which says nothing of what comes after it.
                assert!(at >= 512, "byte {at} of the header");
                assert!(contents(&store.snapshot()) == expected, "byte {at}");
            }
            Err(Error::Damaged(damage)) => {
                refused += 1;
                assert_eq!(damage.path, log);
                assert_eq!(damage.offset / 512, if at < 512 { 0 } else { at as u64 / 512 });
            }
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    assert!(refused > 4 * 250, "{refused}");
    for len in 0..bytes.len() {
        fs::write(&log, &bytes[..len]).unwrap();
        match Store::open_read_only(&path, &options()) {
            Err(Error::Damaged(damage)) => assert_eq!(damage.path, log, "length {len}"),
            other => panic!("length {len}: {other:?}"),
        }
    }
    fs::write(&log, &bytes).unwrap();
    let store = Store::open(&path, &options()).unwrap();
    assert_eq!(contents(&store.snapshot()), expected);
}

#[test]
fn verify_reads_the_logs_of_an_open_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = create(directory.path(), &options());
    for id in 0..5 {
        store.put(&token(id), value(1)).unwrap();
    }
    let verify = || store.verify(&|_| ControlFlow::Continue(())).unwrap().damages;
    assert_eq!(verify(), []);
    assert_eq!(store.verify(&|_| ControlFlow::Continue(())).unwrap().commits, 5);
    let [log] = logs(directory.path()).try_into().unwrap();
    let mut bytes = fs::read(&log).unwrap();
    // The last commit, of which no later frame says that it was synced.
    bytes[512 * 5 + 40] ^= 1;
    fs::write(&log, &bytes).unwrap();
    let damages = verify();
    assert_eq!(damages.len(), 1, "{damages:?}");
    assert_eq!((&damages[0].path, damages[0].offset), (&log, 512 * 5));
}

/// Files of one store in the place of another's, links, directories, and a manifest from
/// before.
#[test]
fn logs_that_are_not_the_ones_that_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (directory.path().join("one"), directory.path().join("two"));
    let expected = closed(&one);
    closed(&two);
    let [log] = logs(&one).try_into().unwrap();
    let [other] = logs(&two).try_into().unwrap();
    let bytes = fs::read(&log).unwrap();
    let refused = |what: &str| match Store::open(&one, &options()) {
        Err(Error::Damaged(damage)) => assert_eq!(damage.path, log, "{what}"),
        Err(Error::Io { path, .. }) => assert_eq!(path, log, "{what}"),
        other => panic!("{what}: {other:?}"),
    };
    fs::copy(&other, &log).unwrap();
    refused("the log of another store");
    fs::remove_file(&log).unwrap();
    refused("no log");
    std::os::unix::fs::symlink(&other, &log).unwrap();
    refused("a link");
    fs::remove_file(&log).unwrap();
    fs::create_dir(&log).unwrap();
    refused("a directory");
    fs::remove_dir(&log).unwrap();
    fs::write(&log, "").unwrap();
    refused("an empty file");
    fs::write(&log, &bytes).unwrap();
    let manifest = fs::read(one.join("MANIFEST")).unwrap();
    // Opening and writing begin another log, and remove this one.
    let store = Store::open(&one, &options()).unwrap();
    assert_eq!(contents(&store.snapshot()), expected);
    assert!(!log.exists());
    store.close().unwrap();
    fs::write(one.join("MANIFEST"), manifest).unwrap();
    refused("the manifest from before");
}

/// The lock is on a file of this directory, not on what a link leads to.
#[test]
fn a_lock_that_is_a_link_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens");
    closed(&path);
    let elsewhere = directory.path().join("elsewhere");
    fs::write(&elsewhere, "").unwrap();
    fs::remove_file(path.join("LOCK")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, path.join("LOCK")).unwrap();
    let opened = Store::open(&path, &options());
    assert!(matches!(opened, Err(Error::Io { .. })), "{opened:?}");
}
