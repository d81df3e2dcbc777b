//! The table of the guide that says what a store takes, compared with what it is made of, and
//! that with stores.
//!
//! A figure changed in the table, a directory with one line for two thirds of the records, a
//! compaction that asks for room for all entries and not for what will be left, and a log that is
//! not closed once it is sealed were tried, and each made a test fail.

use std::ops::ControlFlow;

use ringstore::testing::keys::{KeyFamily, with_values};
use ringstore::testing::sim::SimDisk;
use ringstore::{Batch, BlockTime, Error, LoadOptions, Options, Record, Store, TokenId};

/// Bytes of a token on disk, with its share of the indexes.
const TOKEN_BYTES: u64 = 75;

/// Bytes of a record in the memory of a load, and what a load needs besides.
const LOADED_BYTES: u64 = 88;
const LOAD_BYTES: u64 = 32 << 20;

/// `1.5 GB` or `1 million` as a number.
fn number(text: &str) -> f64 {
    let (digits, unit) = text.split_once(' ').unwrap();
    let unit = match unit {
        "million" | "MB" => 1e6,
        "billion" | "GB" => 1e9,
        _ => panic!("{text}"),
    };
    digits.parse::<f64>().unwrap() * unit
}

#[test]
fn the_table_is_what_it_is_made_of() {
    let page = include_str!("../src/guide/sizing.md");
    let rows = page.lines().filter(|line| line.starts_with("| 1"));
    let mut figures = 0;
    for row in rows.filter(|row| row.contains("illion |")) {
        let cells: Vec<_> =
            row.trim_matches('|').split('|').map(|cell| number(cell.trim())).collect();
        let tokens = cells[0];
        let disk = tokens * TOKEN_BYTES as f64;
        let loaded = disk + tokens * Record::LEN as f64;
        let sorted = tokens * LOADED_BYTES as f64 + LOAD_BYTES as f64;
        let expected = [disk, disk, loaded, disk, 2.0 * disk, sorted];
        assert_eq!(cells.len(), 1 + expected.len(), "{row}");
        for (cell, expected) in cells[1..].iter().zip(expected) {
            // Three digits.
            assert!((cell / expected - 1.0).abs() < 0.005, "{cell} for {expected}: {row}");
            figures += 1;
        }
    }
    assert_eq!(figures, 4 * 6);
}

#[test]
fn a_store_takes_what_the_table_says() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path().join("store"), &Options::new()).unwrap();
    let records = with_values(KeyFamily::Uniform.generate(1_000_000, 1), 1);
    let records = records.map(|record| Ok(Record::from(record)));
    store.bulk_load(records, &LoadOptions::new()).unwrap();
    let bytes_per_token = store.stat().bytes_per_token.unwrap();
    assert!((74.5..=TOKEN_BYTES as f64).contains(&bytes_per_token), "{bytes_per_token}");
}

/// As much as for the tokens that will be left: of three entries for a token, one.
#[test]
fn a_compaction_asks_for_room_for_what_is_left() {
    let disk = SimDisk::new();
    let store = disk.create_store(&Options::new()).unwrap();
    store.pause_compaction().unwrap();
    let flush = |batch: &Batch| {
        store.commit(batch).unwrap();
        store.flush().unwrap();
    };
    let (mut all, mut some) = (Batch::new(), Batch::new());
    for id in 0..1_000 {
        all.put(TokenId::from(id), BlockTime::new(1.into(), id));
    }
    flush(&all);
    for id in 0..100 {
        some.put(TokenId::from(id), BlockTime::new(2.into(), id)).remove(TokenId::from(id + 500));
    }
    flush(&some);
    let compact = |free| {
        disk.set_free_bytes(Some(free));
        store.compact(&|_| ControlFlow::Continue(()))
    };
    store.resume_compaction().unwrap();
    let room = 900 * TOKEN_BYTES;
    match compact(room - 1) {
        Err(Error::NoSpace { needed, .. }) => assert_eq!(needed, room),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.stat().layers, 2);
    compact(room).unwrap();
    assert_eq!((store.stat().layers, store.snapshot().len()), (1, 900));
}

/// Only files of this store are counted, whatever else is open.
#[test]
#[cfg(target_os = "linux")]
fn a_writer_keeps_three_files_open_and_a_reader_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap().join("store");
    let open_files = || {
        let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
        let targets = descriptors.filter_map(|it| std::fs::read_link(it.unwrap().path()).ok());
        targets.filter(|target| target.starts_with(&path)).count()
    };
    let store = Store::create(&path, &Options::new()).unwrap();
    let reader = Store::open_read_only(&path, &Options::new()).unwrap();
    for id in 0..20 {
        store.put(&TokenId::from(id), BlockTime::default()).unwrap();
        store.flush().unwrap();
        store.put(&TokenId::from(id), BlockTime::default()).unwrap();
        reader.refresh().unwrap();
        assert_eq!(open_files(), 3 + 1);
    }
    assert_eq!(reader.snapshot().len(), 20);
    drop(reader);
    assert_eq!(open_files(), 3);
    store.close().unwrap();
    assert_eq!(open_files(), 0);
}
