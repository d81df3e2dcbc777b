//! Loads of more than their memory has room for.

use std::fs;
use std::io::Write;
use std::process::{Child, Stdio};

use ringstore::testing::random::Random;

use crate::place::{Place, Run, SmallDisk, load_counts, names, wait_until};

/// The least memory that a load takes.
const MEMORY: &str = "64MiB";
const MEMORY_BYTES: u64 = 64 << 20;

const RECORD_LEN: usize = 72;

const PIECE_LEN: usize = 1_000 * RECORD_LEN;

/// Random records, as bytes, a piece at a time.
fn pieces(bytes: u64) -> impl Iterator<Item = Vec<u8>> {
    let mut random = Random::new("large loads", bytes);
    let pieces = bytes / PIECE_LEN as u64;
    (0..pieces).map(move |_| random.bytes::<PIECE_LEN>().to_vec())
}

/// A load from standard input in the least memory.
fn begin(place: &Place, more: &[&str]) -> Child {
    let load = ["--json", "load", "store", "-", "--format", "raw", "--memory", MEMORY];
    let mut command = place.command(&[&load, more].concat());
    // As on a machine with many cores, each with memory of its own.
    command.env("RAYON_NUM_THREADS", "16").env("MALLOC_ARENA_MAX", "128");
    command.stdin(Stdio::piped()).spawn().unwrap()
}

/// Gives the load as much, and what comes last.
fn feed(child: &mut Child, bytes: u64, last: &[u8]) {
    let mut stdin = child.stdin.take().unwrap();
    for piece in pieces(bytes) {
        if stdin.write_all(&piece).is_err() {
            return;
        }
    }
    let _ = stdin.write_all(last);
}

fn loads_in_memory(times: u64) {
    let place = Place::new();
    let mut child = begin(&place, &[]);
    let bytes = times * MEMORY_BYTES;
    feed(&mut child, bytes, &[]);
    let report = Run::of(child.wait_with_output().unwrap()).ends(0).json();
    let records = bytes / (1_000 * RECORD_LEN as u64) * 1_000;
    assert_eq!(load_counts(&report), [records, records, 0, records]);
    let peak = report[0]["peak_memory_bytes"].as_u64().unwrap();
    assert!(peak <= MEMORY_BYTES, "{} MiB", peak >> 20);
    assert_eq!(names(&place.path("store")).len(), 3);
    place.ok(&["verify", "store"]);
}

#[test]
fn three_times_the_memory_is_loaded_in_the_memory() {
    loads_in_memory(3);
}

#[test]
#[ignore = "writes 3 GB"]
fn twenty_times_the_memory_is_loaded_in_the_memory() {
    loads_in_memory(20);
}

#[test]
fn what_is_in_order_is_written_once() {
    let place = Place::new();
    let mut child = begin(&place, &[]);
    let mut stdin = child.stdin.take().unwrap();
    let records = 1_500_000u64;
    for first in (0..records).step_by(1_000) {
        let mut piece = Vec::with_capacity(1_000 * RECORD_LEN);
        for id in first..first + 1_000 {
            piece.extend([0; 24]);
            piece.extend(id.to_be_bytes());
            piece.extend([7; 40]);
        }
        stdin.write_all(&piece).unwrap();
    }
    drop(stdin);
    let report = Run::of(child.wait_with_output().unwrap()).ends(0).json();
    assert_eq!(load_counts(&report), [records, records, 0, 0]);
    place.ok(&["verify", "store"]);
}

/// Of a file this is known before anything is read.
#[test]
fn a_file_with_a_cut_record_is_refused_at_once() {
    let place = Place::new();
    place.write("one.csv", "1,2,3x\n");
    place.write("cut.raw", vec![7; 3 * RECORD_LEN - 1]);
    // Of the line that is wrong as well nothing is said.
    place.run(&["load", "store", "one.csv", "cut.raw"]).fails(2, "cut.raw, record 3: cut after 71");
    assert_eq!(place.names(), ["cut.raw", "one.csv"]);
}

/// Everything but one byte was read, sorted and written by then.
#[test]
fn a_record_that_is_cut_at_the_very_end_leaves_nothing() {
    let place = Place::new();
    let mut child = begin(&place, &[]);
    feed(&mut child, 2 * MEMORY_BYTES, &[7; RECORD_LEN - 1]);
    let records = 2 * MEMORY_BYTES / (1_000 * RECORD_LEN as u64) * 1_000;
    let reason = format!("record {}: cut after 71 of 72 bytes", records + 1);
    Run::of(child.wait_with_output().unwrap()).fails(2, &reason);
    assert!(place.names().is_empty());
}

#[test]
fn memory_that_is_too_small_or_none_is_wrong_usage() {
    let place = Place::new();
    place.write("one.csv", "1,2,3\n");
    for (memory, reason) in [
        ("63MiB", "cannot load in 66060288 bytes of memory; allow at least 67108864"),
        ("0", "cannot load in 0 bytes"),
        ("much", "invalid value 'much' for '--memory <BYTES>': a number of bytes is written as"),
        ("-1", "invalid value '-1'"),
    ] {
        let run = place.run(&["load", "store", "one.csv", &format!("--memory={memory}")]);
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.stderr.contains(reason), "{run:?}");
        assert_eq!(place.names(), ["one.csv"]);
    }
    place.ok(&["load", "store", "one.csv", "--memory", MEMORY]);
}

#[test]
fn a_temporary_directory_that_is_none_is_refused() {
    let place = Place::new();
    place.write("file", "");
    for (directory, code, reason) in [
        ("missing", 2, "cannot create a temporary file in missing: No such file or directory"),
        ("file", 2, "cannot create a temporary file in file: Not a directory"),
        ("/proc", 5, "cannot create a temporary file in /proc"),
    ] {
        let mut child = begin(&place, &["--temp-dir", directory]);
        feed(&mut child, 2 * MEMORY_BYTES, &[]);
        let run = Run::of(child.wait_with_output().unwrap());
        if directory == "/proc" {
            // What it is that cannot be done there differs.
            assert!([2, 5].contains(&run.code), "{run:?}");
            assert!(run.stderr.contains(reason), "{run:?}");
        } else {
            run.fails(code, reason);
        }
        assert_eq!(place.names(), ["file"]);
    }
}

#[test]
fn a_temporary_directory_may_be_on_another_file_system_and_full() {
    let place = Place::new();
    let (Some(_small), Some(_large)) =
        (SmallDisk::mount(place.path("small"), 16), SmallDisk::mount(place.path("large"), 160))
    else {
        eprintln!("SKIPPED: this user may not mount a tmpfs");
        return;
    };
    let mut child = begin(&place, &["--temp-dir", "small"]);
    feed(&mut child, 2 * MEMORY_BYTES, &[]);
    let run = Run::of(child.wait_with_output().unwrap());
    run.fails(5, "bytes of small: No space left on device");
    assert_eq!(place.names(), ["large", "small"]);
    let mut child = begin(&place, &["--temp-dir", "large"]);
    feed(&mut child, 2 * MEMORY_BYTES, &[]);
    Run::of(child.wait_with_output().unwrap()).ends(0);
    assert!(names(&place.path("small")).is_empty() && names(&place.path("large")).is_empty());
}

/// Even a process that is killed leaves no temporary file, and what it leaves of the
/// store is no obstacle to the next load.
#[test]
fn a_load_that_is_killed_leaves_nothing_that_matters() {
    let place = Place::new();
    fs::create_dir(place.path("temporary")).unwrap();
    let mut child = begin(&place, &["--temp-dir", "temporary"]);
    let mut stdin = child.stdin.take().unwrap();
    for piece in pieces(2 * MEMORY_BYTES) {
        stdin.write_all(&piece).unwrap();
    }
    // The first run was to be the segment, and became a run like any other.
    wait_until(|| names(&place.path("store")) == ["LOCK", "MANIFEST"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(names(&place.path("temporary")).is_empty());
    assert_eq!(place.ok(&["stat", "store", "--json"]).matches("\"tokens\":0").count(), 1);
    place.write("one.csv", "1,2,3\n");
    place.ok(&["load", "store", "one.csv"]);
    assert_eq!(names(&place.path("store")), ["0000000000000001.seg", "LOCK", "MANIFEST"]);
}

#[test]
fn a_second_load_into_the_same_store_is_refused() {
    let place = Place::new();
    place.write("one.csv", "1,2,3\n");
    let mut child = begin(&place, &[]);
    wait_until(|| place.path("store/MANIFEST").exists());
    place.run(&["load", "store", "one.csv"]).fails(4, "is locked by another writer");
    feed(&mut child, 72_000, &[]);
    Run::of(child.wait_with_output().unwrap()).ends(0);
    assert_eq!(place.ok(&["dump", "store"]).lines().count(), 1_000);
}
