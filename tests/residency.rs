//! However files are kept in memory, they say the same, and damage to them is found; and what
//! is told of memory is no more than there is.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use ringstore::testing::conformance::Suite;
use ringstore::testing::damage::{flip_bit, newest_segment};
use ringstore::testing::keys::{KeyFamily, with_values};
use ringstore::testing::sim::SimDisk;
use ringstore::{
    Batch, BlockTime, Error, LoadOptions, Options, PeerId, Phase, Progress, Record, Residency,
    ResidencyReport, Snapshot, Store, TokenId, Verification,
};

const PEER: PeerId = PeerId([7; 32]);

/// What a huge page has. A store of so many tokens has room for three.
const HUGE_PAGE_BYTES: u64 = 2 << 20;
const TOKENS: usize = 90_000;

fn options(residency: Residency) -> Options {
    Options::new().residency(residency)
}

/// Loads so many random tokens into a new store.
fn load(path: &Path, tokens: usize, options: &Options) -> Store {
    let store = Store::create(path, options).unwrap();
    let records = with_values(KeyFamily::Uniform.generate(tokens, 1), 1);
    store.bulk_load(records.map(|record| Ok(Record::from(record))), &LoadOptions::new()).unwrap();
    store
}

/// Updates, adds and removes some tokens.
fn change(store: &Store, seed: u64) {
    let tokens: Vec<_> = store.snapshot().range(..).map(|record| record.unwrap().0).collect();
    let mut batch = Batch::new();
    for (at, token) in tokens.into_iter().enumerate().skip(seed as usize).step_by(300) {
        let value = BlockTime::new((at as u64).into(), seed);
        match at % 3 {
            0 => batch.put(token, value),
            1 => batch.put(TokenId::from(at as u64 + (seed << 32)), value),
            _ => batch.remove(token),
        };
    }
    store.commit(&batch).unwrap();
}

fn assert_same(snapshot: &Snapshot, expected: &Snapshot) {
    let records = |snapshot: &Snapshot| snapshot.range(..).map(Result::unwrap).collect::<Vec<_>>();
    let expected_records = records(expected);
    assert!(records(snapshot) == expected_records);
    for (token, value) in expected_records.iter().step_by(500) {
        assert_eq!(snapshot.get(token).unwrap(), Some(*value));
        assert_eq!(snapshot.rank(token).unwrap(), expected.rank(token).unwrap());
        assert_eq!(snapshot.sign(token, &PEER).unwrap(), expected.sign(token, &PEER).unwrap());
    }
}

/// What is told, if it can be true.
#[track_caller]
fn report(store: &Store) -> ResidencyReport {
    let report = store.residency();
    let bytes = store.stat().segment_bytes;
    assert_eq!(report.mapped_bytes + report.copied_bytes, bytes, "{report:?}");
    let resident = report.resident_bytes.unwrap_or(0);
    assert!(resident <= bytes, "{report:?}");
    assert!(report.huge_bytes.unwrap_or(0) <= resident, "{report:?}");
    assert!(report.locked_bytes.unwrap_or(0) <= resident, "{report:?}");
    assert_eq!(report.resident_bytes.is_some(), cfg!(target_os = "linux"));
    report
}

/// Also that what was asked for was done.
#[track_caller]
fn check_report(store: &Store, residency: Residency) {
    let report = report(store);
    let bytes = report.mapped_bytes + report.copied_bytes;
    if report.resident_bytes.is_some() {
        assert!(residency == Residency::Mapped || report.resident_bytes == Some(bytes));
        let locked_bytes = if residency == Residency::Locked { bytes } else { 0 };
        assert_eq!(report.locked_bytes, Some(locked_bytes), "{residency}");
    }
    assert!(report.copied_bytes == 0 || residency == Residency::HugePages, "{report:?}");
}

#[test]
fn a_store_conforms_however_it_is_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let mut stores = 0;
    for residency in Residency::ALL {
        Suite::new().cases(12).check(|records| {
            stores += 1;
            let path = directory.path().join(stores.to_string());
            let store = Store::create(path, &options(residency))?;
            let records = records.iter().map(|record| Ok(Record::from(*record)));
            store.bulk_load(records, &LoadOptions::new())?;
            Ok(store)
        });
    }
}

#[test]
fn files_that_come_later_are_kept_as_those_that_were_there() {
    for residency in Residency::ALL {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        load(&path, TOKENS, &options(Residency::Mapped)).close().unwrap();
        let store = Store::open(&path, &options(residency)).unwrap();
        let reader = Store::open_read_only(&path, &options(residency)).unwrap();
        check_report(&store, residency);
        check_report(&reader, residency);
        store.pause_compaction().unwrap();
        for seed in 1..4 {
            change(&store, seed);
            store.flush().unwrap();
        }
        assert!(store.stat().layers > 1);
        for is_compacted in [false, true] {
            if is_compacted {
                store.resume_compaction().unwrap();
                store.compact(&|_| ControlFlow::Continue(())).unwrap();
                assert_eq!(store.stat().layers, 1);
            }
            assert!(reader.refresh().unwrap());
            let plain = Store::open_read_only(&path, &Options::new()).unwrap().snapshot();
            for opened in [&store, &reader] {
                check_report(opened, residency);
                assert_same(&opened.snapshot(), &plain);
            }
        }
    }
}

#[test]
fn what_is_huge_is_part_of_what_could_be() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let bytes = load(&path, TOKENS, &Options::new()).stat().segment_bytes;
    for residency in Residency::ALL {
        let store = Store::open_read_only(&path, &options(residency)).unwrap();
        let ResidencyReport { copied_bytes, huge_bytes, .. } = report(&store);
        // Copies of several tests may lie side by side, and are then told of together.
        if let (0, Some(huge_bytes)) = (copied_bytes, huge_bytes) {
            assert!(huge_bytes <= bytes / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES, "{huge_bytes}");
            assert_eq!(huge_bytes % HUGE_PAGE_BYTES, 0, "{residency}");
        }
    }
}

#[test]
fn a_tiny_file_is_neither_huge_nor_copied() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    load(&path, 1_000, &Options::new()).close().unwrap();
    for residency in Residency::ALL {
        let store = Store::open(&path, &options(residency)).unwrap();
        check_report(&store, residency);
        let ResidencyReport { copied_bytes, huge_bytes, .. } = store.residency();
        assert_eq!((copied_bytes, huge_bytes.unwrap_or(0)), (0, 0), "{residency}");
    }
    let empty = Store::create(directory.path().join("empty"), &options(Residency::Locked)).unwrap();
    assert_eq!((report(&empty).mapped_bytes, empty.prefault(&|_| panic!()).unwrap()), (0, 0));
}

#[test]
fn damage_is_found_however_a_file_is_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = load(&path, TOKENS, &Options::new());
    let token = store.snapshot().select(TOKENS as u64 / 2).unwrap().unwrap().0;
    store.close().unwrap();
    let segment = newest_segment(&path).unwrap().unwrap();
    // In the middle of the records: the first of seventy-five parts of seventy-two.
    flip_bit(&segment, TOKENS as u64 / 2 * 72 + 4_096 + 40).unwrap();
    for residency in Residency::ALL {
        let open = |verification| {
            Store::open_read_only(&path, &options(residency).verification(verification))
        };
        let snapshot = open(Verification::FirstTouch).unwrap().snapshot();
        assert!(matches!(snapshot.get(&token), Err(Error::Damaged(_))), "{residency}");
        assert!(snapshot.select(0).is_ok(), "{residency}");
        assert!(matches!(open(Verification::OnOpen), Err(Error::Damaged(_))), "{residency}");
        assert!(open(Verification::Never).unwrap().snapshot().get(&token).is_ok());
    }
}

#[test]
fn a_store_is_brought_in_when_it_is_asked_to_be() {
    let directory = tempfile::tempdir().unwrap();
    let store = load(&directory.path().join("store"), TOKENS, &Options::new());
    change(&store, 1);
    store.flush().unwrap();
    let bytes = store.stat().segment_bytes;
    let told_max = AtomicU64::new(0);
    let on_progress = |progress: Progress| {
        assert_eq!((progress.phase, progress.total), (Phase::Prefaulting, Some(bytes)));
        told_max.fetch_max(progress.done, Ordering::Relaxed);
        ControlFlow::Continue(())
    };
    assert_eq!(store.prefault(&on_progress).unwrap(), bytes);
    assert_eq!(told_max.into_inner(), bytes);
    check_report(&store, Residency::Mapped);
    if let Some(resident_bytes) = report(&store).resident_bytes {
        assert_eq!(resident_bytes, bytes);
    }
    let stopped = store.prefault(&|_| ControlFlow::Break(()));
    assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
}

#[test]
fn what_is_no_file_of_the_system_is_in_memory_anyway() {
    for residency in Residency::ALL {
        let disk = SimDisk::new();
        let store = disk.create_store(&options(residency)).unwrap();
        let plain = disk.open_read_only(&Options::new()).unwrap();
        for id in 0..50_u64 {
            store.put(&id.into(), BlockTime::new(id.into(), id)).unwrap();
        }
        store.flush().unwrap();
        plain.refresh().unwrap();
        let reader = disk.open_read_only(&options(residency)).unwrap();
        assert_same(&reader.snapshot(), &plain.snapshot());
        let ResidencyReport { mapped_bytes, copied_bytes, .. } = store.residency();
        assert_eq!((mapped_bytes, copied_bytes), (0, 0));
    }
}
