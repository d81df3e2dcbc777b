//! Loads, and flushes, while others do what gets in their way.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use rayon::prelude::*;

use super::flushes::{contents, value};
use super::*;
use crate::format::names::{is_segment, temporary_name};
use crate::io::watched::WatchedDisk;
use crate::load::options::LoadOptions;
use crate::progress::{Phase, Progress, UNWATCHED};
use crate::token::Record;

fn put(store: &Store, ids: std::ops::Range<u64>, time: u64) {
    let mut batch = Batch::new();
    for id in ids {
        batch.put(TokenId::from(id), value(time));
    }
    store.commit(&batch).unwrap();
}

fn records(ids: std::ops::Range<u64>) -> impl Iterator<Item = Result<Record>> {
    ids.map(|id| Ok(Record::new(id.into(), value(3))))
}

/// A store of three layers of a hundred tokens, which nobody compacts.
fn layered(store: Store) -> Store {
    store.pause_compaction().unwrap();
    for layer in 0..3 {
        put(&store, 1_000 * layer..1_000 * layer + 100, 1);
        store.flush().unwrap();
    }
    store
}

/// Somebody flushes between the last decision of a load and its manifest, while there is a log
/// that somebody began who waits to commit: layers are not taken together then, and if they
/// were, the load would decide anew.
#[test]
fn a_flush_of_nothing_before_a_load_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (disk, watch) = WatchedDisk::new(directory.path());
    let store = layered(Store::create_on(disk, &Options::new().inline()).unwrap());
    let calls = AtomicUsize::new(0);
    let progress = |progress: Progress| {
        if progress.phase == Phase::Writing {
            let call = calls.fetch_add(1, Ordering::Relaxed) as u64;
            put(&store, 10_000 + 100 * call..10_000 + 100 * call + 50, 2);
            if call == 1 {
                let (created, other) = (AtomicUsize::new(0), store.clone());
                let before = move |what: &str| {
                    let name = what.strip_prefix("create ").unwrap_or_default();
                    let is_segment = name.strip_suffix(&temporary_name("")).is_some_and(is_segment);
                    // First that of the flush, then what is decided last.
                    if is_segment && created.fetch_add(1, Ordering::Relaxed) == 1 {
                        let writer = other.writer("write to").unwrap();
                        // As a commit does that waited for who leads.
                        writer.begin_log(&mut writer.state(), 0).unwrap();
                        other.flush().unwrap();
                    }
                };
                watch.lock().unwrap().before = Some(Arc::new(before));
            }
        }
        ControlFlow::Continue(())
    };
    store.bulk_load(records(20_000..20_100), &LoadOptions::new().progress(&progress)).unwrap();
    watch.lock().unwrap().before = None;
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    let expected = contents(&store);
    assert_eq!(expected.len(), 300 + 100 + 100);
    drop(store);
    let store = Store::open(directory.path(), &Options::new()).unwrap();
    assert!(contents(&store) == expected);
    assert_eq!(store.verify(UNWATCHED).unwrap().damages, []);
}

/// Fails if something takes so long that it must be waiting for itself.
fn ends(what: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        what();
        done.send(()).unwrap();
    });
    is_done.recv_timeout(Duration::from_secs(120)).expect("it waits for itself");
}

/// Whoever watches a load may flush, also where there are six layers.
#[test]
fn who_watches_a_load_flushes() {
    ends(|| {
        let directory = tempfile::tempdir().unwrap();
        let store = layered(Store::create(directory.path(), &Options::new()).unwrap());
        let flushes = |progress: Progress| {
            if progress.phase == Phase::Writing {
                let id = 100_000 + 10 * store.stat().flushes;
                put(&store, id..id + 1, 1);
                store.flush().unwrap();
                put(&store, id + 1..id + 2, 1);
            }
            ControlFlow::Continue(())
        };
        let options = LoadOptions::new().progress(&flushes);
        store.bulk_load(records(200_000..200_010), &options).unwrap();
        assert_eq!(store.stat().layers, 6);
        store.bulk_load(records(400_000..400_010), &options).unwrap();
        assert_eq!(store.verify(UNWATCHED).unwrap().damages, []);
    });
}

/// A panic of who watches a load leaves nothing behind.
#[test]
fn a_panic_of_who_watches_a_load() {
    let directory = tempfile::tempdir().unwrap();
    let store = layered(Store::create(directory.path(), &Options::new().inline()).unwrap());
    let calls = AtomicUsize::new(0);
    let panics = |progress: Progress| {
        if progress.phase == Phase::Writing {
            put(&store, 100_000..100_001, 1);
            store.flush().unwrap();
            assert!(calls.fetch_add(1, Ordering::Relaxed) < 1, "a panic");
        }
        ControlFlow::Continue(())
    };
    let loaded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.bulk_load(records(200_000..200_010), &LoadOptions::new().progress(&panics))
    }));
    assert!(loaded.is_err());
    let names = RealDisk::new(directory.path()).list().unwrap();
    let segments = names.iter().filter(|name| is_segment(name)).count();
    assert_eq!(segments as u64, store.stat().segments, "{names:?}");
    store.resume_compaction().unwrap();
    store.compact(UNWATCHED).unwrap();
}

/// All threads of a pool commit, and wait for what they commit to be flushed, while somebody
/// loads: neither needs one of these threads.
#[test]
fn all_threads_of_a_pool_commit() {
    ends(|| {
        let directory = tempfile::tempdir().unwrap();
        let options = Options::new().delta_entries(40_000);
        let store = layered(Store::create(directory.path(), &options).unwrap());
        let before = store.stat().tokens;
        let commit = |number: u64| {
            let mut batch = Batch::new();
            for id in 0..1_000 {
                let id = 1_000 * number + id;
                batch.put(TokenId::from(id.wrapping_mul(0x9e37_79b9_7f4a_7c15)), value(1));
            }
            store.commit_with(&batch, Durability::Buffered).unwrap();
        };
        std::thread::scope(|scope| {
            scope.spawn(|| (1..=300).into_par_iter().for_each(commit));
            let load = |round: u64| {
                let ids = 10_000 * (round + 1)..10_000 * (round + 1) + 100;
                store.bulk_load(records(ids), &LoadOptions::new()).unwrap();
            };
            (0..3).for_each(load);
        });
        assert_eq!(store.stat().tokens, before + 300_000 + 300);
        let all: BTreeMap<_, _> = contents(&store);
        assert_eq!(all.len() as u64, store.stat().tokens);
    });
}
