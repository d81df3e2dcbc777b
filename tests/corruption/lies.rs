//! Contents that are wrong although their checksums are right: indexes that lead elsewhere,
//! records out of order or twice. Whatever is asked, it comes to an end; `verify` says in
//! which file, which section, and where.

use std::ops::ControlFlow;

use ringstore::testing::sim::SimDisk;
use ringstore::{Error, Record, Verification};

use crate::forge::forged;
use crate::parts::{Kind, frames, section, u32_at, u64_at};
use crate::questions::{Judge, Questions};
use crate::sample::{Sample, layered, options};

/// What a segment is made to say, and where that is found: the section, and how far into it.
type Lie<'a> = (&'a str, &'static str, usize, &'a dyn Fn(&mut [u8]));

/// Opens a store with such a segment, asks everything, and verifies it.
#[track_caller]
fn assert_found(
    sample: &Sample,
    questions: &Questions,
    name: &str,
    (lie, part, at, tell): Lie<'_>,
) {
    let start = section(&sample.files[name], part).start;
    let files = forged(&sample.files, name, |bytes| tell(&mut bytes[start..]));
    assert_ne!(files[name], sample.files[name], "{lie}");
    let disk = SimDisk::with_files(files);
    let is_damage = |error: &Error| matches!(error, Error::Damaged(_));
    let mut opened = 0;
    for verification in [Verification::FirstTouch, Verification::OnOpen, Verification::Never] {
        let store = match disk.open_read_only(&options().verification(verification)) {
            Ok(store) => store,
            // Layers above the base are read to be opened.
            Err(Error::Damaged(damage)) if damage.path.ends_with(name) => continue,
            Err(error) => panic!("{lie}: {error}"),
        };
        opened += 1;
        let mut judge = Judge::new(&lie, &is_damage).lenient();
        questions.ask_all(&store.snapshot(), &mut judge);
        let report = store.verify(&|_| ControlFlow::Continue(())).unwrap();
        assert!(report.damages.iter().all(|it| it.path.ends_with(name)), "{lie}: {report:?}");
        let expected = (part, (start + at) as u64);
        let mut found = report.damages.iter().map(|it| (it.part, it.offset));
        assert!(found.any(|it| it == expected), "{lie}: {expected:?} is not in {report:?}");
    }
    println!("{lie}: found at {part} + {at}, opened {opened} times");
    let is_base = sample.names(Kind::Segment)[0] == name;
    assert!(opened == 3 || !is_base, "{lie}");
}

fn setup() -> (Sample, Questions) {
    let sample = layered(3);
    let questions = Questions::new(&sample.oracle, []);
    (sample, questions)
}

/// Leaving out the comparison of each record with the one before was tried, and made this
/// fail.
#[test]
fn records_that_are_out_of_order_or_twice() {
    let (sample, questions) = setup();
    let name = sample.names(Kind::Segment)[0];
    let exchange = |bytes: &mut [u8]| {
        let (one, other) = bytes.split_at_mut(51 * Record::LEN);
        one[50 * Record::LEN..].swap_with_slice(&mut other[..Record::LEN]);
    };
    let twice = |bytes: &mut [u8]| {
        bytes.copy_within(160 * Record::LEN..161 * Record::LEN, 161 * Record::LEN);
    };
    // Of those that no layer above says anything about.
    let all_the_same = |bytes: &mut [u8]| {
        for index in 152..199 {
            bytes.copy_within(151 * Record::LEN..151 * Record::LEN + 32, index * Record::LEN);
        }
    };
    let below_all = |bytes: &mut [u8]| bytes[..32].fill(0);
    let above_all = |bytes: &mut [u8]| bytes[199 * Record::LEN..][..32].fill(0xff);
    let lies: [Lie<'_>; 5] = [
        ("two records exchanged", "records", 51 * Record::LEN, &exchange),
        ("a record twice", "records", 161 * Record::LEN, &twice),
        ("one token for many", "records", 152 * Record::LEN, &all_the_same),
        ("a first token below the smallest", "records", 0, &below_all),
        ("a last token above the largest", "records", 199 * Record::LEN, &above_all),
    ];
    for lie in lies {
        assert_found(&sample, &questions, name, lie);
    }
}

/// Leaving out the comparison of each index with the records, one index after the other, was
/// tried, and made this fail.
#[test]
fn indexes_that_lead_elsewhere() {
    const TABLE_LEN: usize = 2048;
    let (sample, questions) = setup();
    let name = sample.names(Kind::Segment)[0];
    let bytes = &sample.files[name];
    let directory = section(bytes, "prefix directory");
    let lines = directory.len() / 64;
    let start_of = |line: usize| u32_at(bytes, directory.start + 64 * line);
    let full = (0..lines).rev().find(|line| start_of(*line) > 0).unwrap();
    let exchange = |bytes: &mut [u8]| bytes[TABLE_LEN..TABLE_LEN + 4].rotate_left(2);
    let twice = |bytes: &mut [u8]| bytes.copy_within(TABLE_LEN..TABLE_LEN + 2, TABLE_LEN + 2);
    let beyond = |bytes: &mut [u8]| bytes[TABLE_LEN + 100..TABLE_LEN + 102].fill(0xff);
    let table = |bytes: &mut [u8]| bytes[1024..1026].fill(0xff);
    let no_lists = |bytes: &mut [u8]| bytes[..TABLE_LEN].fill(0);
    let line = |bytes: &mut [u8]| bytes[64 * full] ^= 1;
    let line_beyond = |bytes: &mut [u8]| bytes[64 * full..64 * full + 4].fill(0xff);
    let buckets = |bytes: &mut [u8]| bytes[64 * full + 4..64 * full + 64].reverse();
    let fence = |bytes: &mut [u8]| bytes[32 + 31] ^= 1;
    let fences = |bytes: &mut [u8]| bytes[..32].fill(0xff);
    let lies: [Lie<'_>; 10] = [
        ("two positions exchanged", "suffix postings", 0, &exchange),
        ("a position twice", "suffix postings", 0, &twice),
        ("a position beyond the records", "suffix postings", 0, &beyond),
        ("a list that begins beyond the end", "suffix postings", 0, &table),
        ("one list for all", "suffix postings", 0, &no_lists),
        ("a line that begins elsewhere", "prefix directory", 64 * (full - 1), &line),
        ("a line beyond the records", "prefix directory", 64 * (full - 1), &line_beyond),
        ("buckets that descend", "prefix directory", 64 * full, &buckets),
        ("another fence key", "fence keys", 32, &fence),
        ("a fence key above all", "fence keys", 0, &fences),
    ];
    for lie in lies {
        assert_found(&sample, &questions, name, lie);
    }
}

#[test]
fn kinds_that_do_not_add_up() {
    let (sample, questions) = setup();
    // Of two lines.
    let name = sample.names(Kind::Segment)[1];
    let count = |bytes: &mut [u8]| bytes[64] ^= 1;
    let counts = |bytes: &mut [u8]| bytes[64..80].fill(0xff);
    let first = |bytes: &mut [u8]| bytes[0] = 1;
    let behind = |bytes: &mut [u8]| bytes[64 + 16 + 23] |= 0x80;
    let neither = |bytes: &mut [u8]| {
        let at = (0..24).find(|at| bytes[16 + at] != 0xff).unwrap();
        bytes[40 + at] |= !bytes[16 + at];
    };
    let lies: [Lie<'_>; 5] = [
        ("another count before a line", "kinds", 0, &count),
        ("the largest counts before a line", "kinds", 0, &counts),
        ("something before the first line", "kinds", 0, &first),
        ("a kind behind the last entry", "kinds", 64, &behind),
        ("bits of no kind", "kinds", 0, &neither),
    ];
    for lie in lies {
        assert_found(&sample, &questions, name, lie);
    }
}

/// A commit that says something else with the right checksums of its own: what follows does
/// not belong to it. Not comparing each frame with the one before was tried, and made this
/// fail.
#[test]
fn a_frame_of_another_history() {
    let (sample, _) = setup();
    let name = sample.names(Kind::Log)[0];
    let log = &sample.files[name];
    let frames = frames(log);
    let mut refused = 0;
    for (frame, next) in frames.iter().zip(&frames[1..frames.len() - 1]) {
        let mut other = log.clone();
        // The time of its first entry.
        other[frame.start + 32 + 64] ^= 1;
        let salt = u64_at(log, 64).to_le_bytes();
        let salted = |bytes: &[u8]| crc32fast::hash(&[&salt, bytes].concat()).to_le_bytes();
        let sum = salted(&other[frame.start + 32..frame.end]);
        other[frame.start + 28..frame.start + 32].copy_from_slice(&sum);
        let sum = salted(&other[frame.start + 4..frame.start + 32]);
        other[frame.start..frame.start + 4].copy_from_slice(&sum);
        let disk = SimDisk::with_files(sample.with(name, other));
        for opened in [disk.open_read_only(&options()), disk.open_store(&options())] {
            let Err(Error::Damaged(damage)) = opened else { panic!("{frame:?}: {opened:?}") };
            assert!(damage.path.ends_with(name), "{damage}");
            assert_eq!((damage.part, damage.offset), ("log frame", next.start as u64), "{damage}");
            refused += 1;
        }
    }
    assert_eq!(refused, 6);
}
