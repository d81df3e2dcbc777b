//! A logger that panics, as one may that writes to a full disk: nobody waits for ever, and
//! nothing that was acknowledged is lost.

use std::panic::{AssertUnwindSafe, catch_unwind};

use log::{Level, Log, Metadata, Record};
use ringstore::testing::sim::{Fault, SimDisk};
use ringstore::{BlockTime, Options, Store, TokenId};

struct Panics;

impl Log for Panics {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &Record<'_>) {
        assert!(record.level() != Level::Error, "cannot log");
    }
    fn flush(&self) {}
}

fn value(time: u64) -> BlockTime {
    BlockTime::new(time.into(), time)
}

/// Commits until it fails or panics; the last commit that was acknowledged.
fn commit_all(store: &Store, token: TokenId) -> u64 {
    let put = |time| catch_unwind(AssertUnwindSafe(|| store.put(&token, value(time))));
    (1..200).take_while(|time| matches!(put(*time), Ok(Ok(())))).last().unwrap_or(0)
}

#[test]
fn nobody_waits_for_a_thread_that_panicked() {
    let _ = log::set_logger(&Panics);
    log::set_max_level(log::LevelFilter::Info);
    std::panic::set_hook(Box::new(|_| {}));
    for round in 0..20 {
        let disk = SimDisk::new();
        let store = disk.create_store(&Options::new()).unwrap();
        disk.fail(Fault::at_operation(disk.operations() + 60 + round));
        let acknowledged: Vec<_> = std::thread::scope(|scope| {
            let commit = |id: u64| commit_all(&store, TokenId::from(id));
            let threads: Vec<_> = (0..8).map(|id| scope.spawn(move || commit(id))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let _ = catch_unwind(AssertUnwindSafe(|| store.flush()));
        let _ = catch_unwind(AssertUnwindSafe(|| drop(store)));
        disk.heal();
        let snapshot = disk.open_store(&Options::new()).unwrap().snapshot();
        for (id, time) in (0u64..).zip(acknowledged) {
            let found = snapshot.get(&TokenId::from(id)).unwrap();
            assert!(found.map_or(0, |found| found.time) >= time, "round {round}");
        }
    }
}

#[test]
fn nobody_waits_for_a_flush_whose_failure_cannot_be_told() {
    let _ = log::set_logger(&Panics);
    log::set_max_level(log::LevelFilter::Info);
    for call in 0..12 {
        let disk = SimDisk::new();
        let store = disk.create_store(&Options::new()).unwrap();
        store.put(&TokenId::from(1), value(1)).unwrap();
        disk.fail(Fault::at_operation(disk.operations() + call));
        let first = store.flush();
        let again = store.flush();
        assert!(first.is_err() || again.is_ok(), "{first:?} {again:?}");
        drop(store);
        disk.heal();
        assert_eq!(disk.open_store(&Options::new()).unwrap().snapshot().len(), 1);
    }
}
