//! Threads that commit, flush and read, in one order of steps after the other.
//!
//! Run with `RUSTFLAGS="--cfg shuttle" cargo test --lib interleavings`. Every lock,
//! atomic and call of the disk is a point where another thread may go on; which one does
//! is drawn at random, some thousand times for each test. A thread that waits for nothing
//! that can come is found as a deadlock. All threads see one order of the atomics' changes:
//! weaker orders than the code asks for are not told apart.
//!
//! That they find what they are for was tried by making the code worse. Each of these made
//! at least one of them fail:
//!
//! - `Published::get` without looking at the number of what it finds, or `Published::set`
//!   without saying which view is the newest: a reader goes back;
//! - `Published::fill` looking which view is the newest before it sets the bit of its stripe, or
//!   not looking; `Published::set` taking the bits before it says which view is the newest, not
//!   setting again that of a stripe that it could not empty, or `tidy` leaving out the stripes: a
//!   view is kept for nobody;
//! - `Writer::lead` waking those who wait before the view is published: who committed does
//!   not see it;
//! - `Writer::show` publishing while something is in line: what is seen is not on the disk;
//! - `Writer::lead` without a sync, for commits that wait for one;
//! - `Waiting::leave` without the next one to lead, `Writer::set_flushing` without waking
//!   those who wait for it: deadlocks;
//! - `Writer::install_layer` clearing what is sealed in one step and taking over the layer in
//!   the next: tokens are gone in between;
//! - `Writer::install_layer` without tidying up what is published: what a reader was held up
//!   at is kept;
//! - a load at whose end commits go on: they are lost;
//! - `Writer::close` without waiting for the thread that flushes: the store is locked;
//! - a compaction that begins while a flush takes layers into its own: tokens are lost;
//! - `Store::checkpoint_on` letting go of the lock before it has linked files: they are gone;
//! - `read_steadily` giving up at the first error: a reader fails.

use std::collections::BTreeMap;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

use super::monitor::Background;
use super::published::Published;
use super::*;
use crate::compact::policy::LAYERS_MAX;
use crate::format::names::is_segment;
use crate::load::options::LoadOptions;
use crate::progress::UNWATCHED;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::thread;
use crate::testing::sim::SimDisk;
use crate::token::Record;

/// Orders of steps that are tried of each test: half of them drawn evenly, half with few
/// changes from one thread to another, which finds what needs a rare order of few steps.
fn explore(orders: usize, test: fn()) {
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    Runner::new(RandomScheduler::new(orders / 2), config.clone()).run(test);
    Runner::new(PctScheduler::new(3, orders / 2), config).run(test);
}

/// Views come one after the other, whole, and no older than what a reader knows of.
#[test]
fn views_are_whole_and_never_older() {
    explore(10_000, || {
        let published = Arc::new(Published::new([0u64; 2]));
        let acknowledged = Arc::new(AtomicU64::new(0));
        // One of them shares a stripe with another one.
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let (published, acknowledged) = (Arc::clone(&published), Arc::clone(&acknowledged));
                thread::spawn(move || {
                    let mut last = 0;
                    for _ in 0..4 {
                        let least = acknowledged.load(Ordering::Acquire);
                        let [number, again] = *published.striped();
                        assert_eq!(number, again);
                        assert!(number >= least && number >= last, "{number} {least} {last}");
                        last = number;
                    }
                })
            })
            .collect();
        for number in 1..=6 {
            drop(published.set([number; 2]));
            acknowledged.store(number, Ordering::Release);
        }
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

/// A view that was replaced is freed, whoever was about to take it, or to leave it in a stripe.
#[test]
fn views_are_kept_for_nobody() {
    explore(10_000, || {
        let published = Arc::new(Published::new(Arc::new(0u64)));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let published = Arc::clone(&published);
                thread::spawn(move || (0..3).for_each(|_| drop(published.striped())))
            })
            .collect();
        // Of what clones of a view share.
        let mut replaced = Vec::new();
        for number in 1..=2 {
            replaced.push(Arc::downgrade(&*published.get()));
            drop(published.set(Arc::new(number)));
            published.tidy();
        }
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        assert!(replaced.iter().all(|view| view.strong_count() == 0));
        assert_eq!(**published.striped(), 2);
    });
}

fn token(thread: u64, number: u64) -> TokenId {
    TokenId::from(1_000 * thread + number)
}

fn value(number: u64) -> BlockTime {
    BlockTime::new(number.into(), number)
}

/// Every other commit is synced.
fn durability(thread: u64, number: u64) -> Durability {
    if (thread + number).is_multiple_of(2) { Durability::Synced } else { Durability::Buffered }
}

/// The commit of a thread that has this number: a token of its own, what the thread
/// committed last, and no more the token of the commit before.
fn batch(thread: u64, number: u64) -> Batch {
    let mut batch = Batch::new();
    batch.put(token(thread, number), value(number)).put(token(thread, 0), value(number));
    batch.remove(token(thread, number - 1));
    if number == 1 {
        // That is the one that says what was committed last.
        batch.put(token(thread, 0), value(1));
    }
    batch
}

/// Makes sure that what there is of a thread is what one of its commits left; which one.
fn last_of(snapshot: &Snapshot, thread: u64, numbers: u64) -> u64 {
    let last = snapshot.get(&token(thread, 0)).unwrap().map_or(0, |value| value.time);
    let all = snapshot.range(token(thread, 1)..=token(thread, numbers));
    let found: BTreeMap<_, _> = all.map(|found| found.unwrap()).collect();
    let expected = (last > 0).then(|| (token(thread, last), value(last)));
    assert_eq!(found, expected.into_iter().collect());
    last
}

/// Makes sure that all threads' commits are there whole, and counted.
fn check(snapshot: &Snapshot, threads: u64, numbers: u64) -> Vec<u64> {
    let lasts: Vec<_> = (1..=threads).map(|thread| last_of(snapshot, thread, numbers)).collect();
    let tokens: u64 = lasts.iter().map(|last| 2 * u64::from(*last > 0)).sum();
    assert_eq!(snapshot.len(), tokens, "{lasts:?}");
    lasts
}

/// Threads that commit, each its commits one after the other, and threads that read.
fn commit_and_read(disk: &SimDisk, store: &Store, threads: u64, numbers: u64, flushes: bool) {
    let committers = (1..=threads).map(|thread| {
        let store = store.clone();
        thread::spawn(move || {
            for number in 1..=numbers {
                store.commit_with(&batch(thread, number), durability(thread, number)).unwrap();
                assert_eq!(last_of(&store.snapshot(), thread, numbers), number);
            }
            if flushes && thread == 1 {
                store.flush().unwrap();
            }
        })
    });
    let committers: Vec<_> = committers.collect();
    let reader = {
        let (store, disk) = (store.clone(), disk.clone());
        thread::spawn(move || {
            let mut before = vec![0; threads as usize];
            for _ in 0..4 {
                let lasts = check(&store.snapshot(), threads, numbers);
                assert!(before.iter().zip(&lasts).all(|(before, last)| before <= last));
                // What is seen would be there if the process were killed.
                let killed = disk.killed(disk.operations());
                let left = killed.open_read_only(&Options::new()).unwrap().snapshot();
                let left = check(&left, threads, numbers);
                assert!(lasts.iter().zip(&left).all(|(last, left)| last <= left));
                before = lasts;
                thread::yield_now();
            }
        })
    };
    committers.into_iter().for_each(|committer| committer.join().unwrap());
    reader.join().unwrap();
    assert_eq!(check(&store.snapshot(), threads, numbers), vec![numbers; threads as usize]);
}

/// What the power leaves has all that was acknowledged as synced.
fn what_was_synced_is_there(disk: &SimDisk, threads: u64, numbers: u64) {
    let image = disk.crash(disk.operations(), 1);
    let store = image.open_store(&Options::new().inline()).unwrap();
    let lasts = check(&store.snapshot(), threads, numbers);
    for (thread, last) in (1..).zip(lasts) {
        let synced = if durability(thread, numbers) == Durability::Synced { 0 } else { 1 };
        assert!(last >= numbers - synced, "{last} of thread {thread}");
    }
}

fn all_is_there(disk: &SimDisk, threads: u64, numbers: u64) {
    let store = disk.open_store(&Options::new().inline()).unwrap();
    assert_eq!(check(&store.snapshot(), threads, numbers), vec![numbers; threads as usize]);
    assert_eq!(store.verify(&|_| std::ops::ControlFlow::Continue(())).unwrap().damages, []);
}

/// Commits that share syncs: none is forgotten, none is seen by half.
#[test]
fn commits_of_many_threads() {
    explore(1_000, || {
        let disk = SimDisk::new();
        let store = disk.create_store(&Options::new()).unwrap();
        commit_and_read(&disk, &store, 3, 3, false);
        what_was_synced_is_there(&disk, 3, 3);
        store.close().unwrap();
        all_is_there(&disk, 3, 3);
    });
}

/// Deltas that are full all the time, and flushed while others commit.
#[test]
fn flushes_while_others_commit() {
    explore(1_000, || {
        let disk = SimDisk::new();
        let options = Options::new().delta_entries(4).log_bytes(Options::LOG_BYTES_MIN);
        let store = disk.create_store(&options).unwrap();
        commit_and_read(&disk, &store, 2, 5, true);
        assert!(store.stat().flushes > 0);
        what_was_synced_is_there(&disk, 2, 5);
        store.close().unwrap();
        let named = manifest::read(&disk).unwrap().unwrap().layers.concat().len();
        let names = disk.list().unwrap();
        assert_eq!(names.iter().filter(|name| is_segment(name)).count(), named);
        all_is_there(&disk, 2, 5);
    });
}

/// Whatever is done in the background when the last handle goes, the next one finds no lock.
#[test]
fn a_store_that_is_dropped_while_it_flushes() {
    explore(1_000, || {
        let disk = SimDisk::new();
        let options = Options::new().delta_entries(1);
        let store = disk.create_store(&options).unwrap();
        for number in 1..=2 {
            store.commit(&batch(1, number)).unwrap();
        }
        drop(store);
        all_is_there(&disk, 1, 2);
    });
}

/// What was shown before a flush is freed, with the files that it has, whoever was about to
/// read it.
#[test]
fn what_a_flush_replaces_is_freed() {
    explore(2_000, || {
        let disk = SimDisk::new();
        let store = disk.create_store(&Options::new()).unwrap();
        store.put(&token(1, 1), value(1)).unwrap();
        let before = Arc::downgrade(&store.inner.published.get());
        let reader = {
            let store = store.clone();
            thread::spawn(move || (0..3).for_each(|_| assert_eq!(store.snapshot().len(), 1)))
        };
        store.flush().unwrap();
        reader.join().unwrap();
        assert_eq!(before.strong_count(), 0);
    });
}

/// A load into a store whose commits came to nothing, while that is flushed.
#[test]
fn a_load_while_others_commit_and_nothing_is_flushed() {
    explore(2_000, || {
        let disk = SimDisk::new();
        let store = disk.create_store(&Options::new()).unwrap();
        store.put(&token(1, 1), value(1)).unwrap();
        store.remove(&token(1, 1)).unwrap();
        let flush = {
            let store = store.clone();
            thread::spawn(move || store.flush().unwrap())
        };
        let commit = {
            let store = store.clone();
            thread::spawn(move || store.put(&token(4, 1), value(1)).unwrap())
        };
        let loaded = Record::new(token(2, 1), value(1));
        store.bulk_load([Ok(loaded)], &LoadOptions::new()).unwrap();
        flush.join().unwrap();
        commit.join().unwrap();
        store.put(&token(3, 1), value(1)).unwrap();
        let expected = [2, 3, 4].map(|number| (token(number, 1), value(1)));
        let contents =
            |store: &Store| store.snapshot().range(..).map(|it| it.unwrap()).collect::<Vec<_>>();
        assert_eq!(contents(&store), expected);
        store.close().unwrap();
        assert_eq!(contents(&disk.open_store(&Options::new().inline()).unwrap()), expected);
    });
}

/// A store that is opened for reading at any step of a flush, and refreshed.
#[test]
fn readers_beside_a_writer_that_flushes() {
    explore(1_000, || {
        let disk = SimDisk::new();
        let options = Options::new().delta_entries(3).log_bytes(Options::LOG_BYTES_MIN);
        let store = disk.create_store(&options).unwrap();
        let acknowledged = Arc::new(AtomicU64::new(0));
        let reader = {
            let (disk, acknowledged) = (disk.clone(), Arc::clone(&acknowledged));
            thread::spawn(move || {
                for _ in 0..2 {
                    let least = acknowledged.load(Ordering::SeqCst);
                    let reader = disk.open_read_only(&Options::new()).unwrap();
                    let mut last = check(&reader.snapshot(), 1, 6)[0];
                    assert!(last >= least);
                    for _ in 0..2 {
                        let least = acknowledged.load(Ordering::SeqCst);
                        reader.refresh().unwrap();
                        let now = check(&reader.snapshot(), 1, 6)[0];
                        assert!(now >= last && now >= least, "{now} {last} {least}");
                        last = now;
                    }
                }
            })
        };
        for number in 1..=6 {
            store.commit_with(&batch(1, number), Durability::Buffered).unwrap();
            acknowledged.store(number, Ordering::SeqCst);
        }
        reader.join().unwrap();
    });
}

/// A checkpoint at any step of a flush and a compaction is of one moment, and shares its files:
/// none of them is removed before it has them.
#[test]
fn a_checkpoint_while_layers_are_compacted() {
    explore(600, || {
        let disk = SimDisk::new();
        let store = disk.create_store(&Options::new()).unwrap();
        store.commit(&batch(1, 1)).unwrap();
        store.flush().unwrap();
        let writer = {
            let store = store.clone();
            thread::spawn(move || {
                store.commit(&batch(1, 2)).unwrap();
                store.compact(UNWATCHED).unwrap();
                store.commit(&batch(1, 3)).unwrap();
            })
        };
        let copy = disk.beside();
        let made = copy.checkpoint(&store, UNWATCHED).unwrap();
        assert_eq!((made.tokens, made.copied_bytes), (2, 0));
        writer.join().unwrap();
        let other = copy.open_store(&Options::new().inline()).unwrap();
        assert!(check(&other.snapshot(), 1, 3)[0] >= 1);
        let stat = store.stat();
        assert!(stat.compactions > 0 && stat.compaction == Background::Idle, "{stat:?}");
        assert_eq!(check(&store.snapshot(), 1, 3), [3]);
    });
}

/// A compaction that somebody asks for while a flush takes layers into its own: each layer goes
/// into one of them, and nothing is lost.
#[test]
fn a_compaction_while_a_flush_takes_layers() {
    const COMMITS: u64 = 9;
    explore(2_000, || {
        let disk = SimDisk::new();
        let options = Options::new().delta_entries(2).log_bytes(Options::LOG_BYTES_MIN);
        let store = disk.create_store(&options).unwrap();
        store.pause_compaction().unwrap();
        let put = |number| {
            let mut batch = Batch::new();
            batch.put(token(1, number), value(number));
            store.commit_with(&batch, Durability::Buffered).unwrap();
        };
        for number in 1..LAYERS_MAX as u64 {
            put(number);
            store.flush().unwrap();
        }
        // The next one has to take some.
        assert_eq!(store.stat().layers, LAYERS_MAX as u64 - 1);
        let compaction = {
            let store = store.clone();
            thread::spawn(move || {
                store.resume_compaction().unwrap();
                store.compact(UNWATCHED).unwrap();
            })
        };
        (LAYERS_MAX as u64..=COMMITS).for_each(put);
        compaction.join().unwrap();
        store.flush().unwrap();
        let snapshot = store.snapshot();
        assert_eq!(snapshot.len(), COMMITS);
        for number in 1..=COMMITS {
            assert_eq!(snapshot.get(&token(1, number)).unwrap(), Some(value(number)));
        }
        let stat = store.stat();
        assert_eq!(stat.background, Background::Idle);
        assert!(!matches!(stat.compaction, Background::Failed(_)), "{stat:?}");
        assert!(stat.layers <= LAYERS_MAX as u64, "{stat:?}");
    });
}
