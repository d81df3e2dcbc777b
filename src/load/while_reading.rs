//! Loads that write while they read: who waits for whom, who is told, and what of several
//! failures.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use super::job::Memory;
use super::options::LoadOptions;
use super::tests::{IDS, load_into, load_within, records, shuffled};
use crate::error::Error;
use crate::io::Disk;
use crate::io::disk::RealDisk;
use crate::progress::{Phase, Progress};
use crate::testing::keys::KeyFamily;

/// Sorting takes threads of a pool, and all of them may have a load to make.
#[test]
fn loads_by_all_threads_of_a_pool() {
    let tokens = shuffled(KeyFamily::Uniform.generate(5_000, 1), 1);
    let input = Arc::new(records(tokens, |_| 7));
    let gate = Arc::new(Barrier::new(rayon::current_num_threads()));
    let (done, is_done) = mpsc::channel();
    rayon::spawn_broadcast(move |_| {
        let directory = tempfile::tempdir().unwrap();
        let memory = Memory { sort_records: 300, merge_records: 4_000, runs_max: 100 };
        gate.wait();
        let _ = done.send(load_into(directory.path(), &input, memory).unwrap().1.stored);
    });
    for _ in 0..rayon::current_num_threads() {
        let stored = is_done.recv_timeout(Duration::from_secs(60));
        assert_eq!(stored.expect("they wait for each other"), 5_000);
    }
}

/// Whoever tells it, and whether its length is known before or not.
#[test]
fn what_is_told_of_reading_never_goes_back() {
    let tokens = shuffled(KeyFamily::Uniform.generate(300_000, 1), 1);
    let records = records(tokens, |_| 7);
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(directory.path());
    let words = Mutex::new(Vec::new());
    let progress = |progress: Progress| {
        words.lock().unwrap().push(progress);
        ControlFlow::Continue(())
    };
    let options = LoadOptions::new().progress(&progress);
    let memory = Memory { sort_records: 100_000, merge_records: 10_000, runs_max: 10 };
    // Nobody knows how many a filter leaves.
    let input = records.iter().filter(|_| true).map(|record| Ok(*record));
    load_within(memory, &disk, IDS, input, &options).unwrap();
    let words = words.into_inner().unwrap();
    let reading = || words.iter().filter(|word| word.phase == Phase::Reading);
    assert!(reading().is_sorted_by_key(|word| (word.total.is_some(), word.done)), "{words:?}");
    assert_eq!(reading().next_back().map(|word| word.total), Some(Some(300_000)));
}

/// Told once to stop, whoever is told, it reads little more, and says nothing any more.
#[test]
fn a_load_that_is_stopped_while_it_writes_reads_no_further() {
    let records = records(shuffled(KeyFamily::Uniform.generate(600_000, 1), 1), |_| 7);
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(directory.path());
    let (reader, taken) = (thread::current().id(), AtomicUsize::new(0));
    let stopped = Mutex::new(None);
    let progress = |_: Progress| {
        let mut stopped = stopped.lock().unwrap();
        assert_eq!(*stopped, None, "it was told to stop");
        if thread::current().id() == reader {
            return ControlFlow::Continue(());
        }
        *stopped = Some(taken.load(Ordering::Relaxed));
        ControlFlow::Break(())
    };
    let options = LoadOptions::new().progress(&progress);
    let memory = Memory { sort_records: 400_000, merge_records: 10_000, runs_max: 10 };
    let input = records.iter().map(|record| {
        // The writer has its turn now and then.
        if taken.fetch_add(1, Ordering::Relaxed).is_multiple_of(1_000) {
            thread::sleep(Duration::from_micros(100));
        }
        Ok(*record)
    });
    let loaded = load_within(memory, &disk, IDS, input.cycle().take(10_000_000), &options);
    assert!(matches!(loaded, Err(Error::Interrupted)), "{loaded:?}");
    let stopped = stopped.lock().unwrap().expect("it was told by who writes");
    // Until the next word about how far it is.
    assert!(taken.load(Ordering::Relaxed) <= stopped + (1 << 16) + 1_000);
    assert_eq!(disk.list().unwrap(), [""; 0]);
}

/// What failed first is told, not what failed because of it.
#[test]
fn a_bad_record_while_others_are_written_is_what_is_told() {
    let records = records(shuffled(KeyFamily::Uniform.generate(5_000, 1), 1), |_| 7);
    let memory = Memory { sort_records: 300, merge_records: 4_000, runs_max: 100 };
    for good in [301, 450, 451, 599, 4_999] {
        let directory = tempfile::tempdir().unwrap();
        let disk = RealDisk::new(directory.path());
        let input = records.iter().take(good).map(|record| Ok(*record));
        let bad = || Error::backend("the input", "a bad record");
        let failed =
            load_within(memory, &disk, IDS, input.chain([Err(bad())]), &LoadOptions::new());
        assert_eq!(failed.map(|_| ()).unwrap_err().to_string(), bad().to_string());
        assert_eq!(disk.list().unwrap(), [""; 0]);
    }
}
