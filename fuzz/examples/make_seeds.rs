//! Writes the seeds of the fuzz targets anew, for when the format has changed:
//!
//! ```text
//! cargo run --manifest-path fuzz/Cargo.toml --example make_seeds
//! ```

use std::fs;
use std::io::Result;
use std::path::Path;

use ringstore::testing::random::Random;
use ringstore_fuzz::input::Input;
use ringstore_fuzz::stores::written_stores;
use ringstore_fuzz::{logs, valid_segments};

/// Options of an input: make checksums right, check on first touch.
const RESEALED: u8 = 2 | 2 << 2;

/// Options of an input: check nothing.
const UNCHECKED: u8 = 0;

fn main() -> Result<()> {
    write("segment_bytes", of_segments())?;
    write("log_bytes", of_logs())?;
    write("manifest_bytes", of_manifests())?;
    write("model", of_models())
}

/// Seeds with their names.
type Seeds = Vec<(String, Vec<u8>)>;

/// In place of those that were there.
fn write(target: &str, seeds: Seeds) -> Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    seeds.into_iter().try_for_each(|(name, seed)| fs::write(directory.join(name), seed))
}

fn of_segments() -> Seeds {
    let [one, _, uniform, crowded, kinds] = valid_segments();
    let seeds = [
        ("file-one-record", Input::of_file(RESEALED, &one)),
        ("file-uniform-150", Input::of_file(UNCHECKED, &uniform)),
        ("file-crowded-300", Input::of_file(RESEALED, &crowded)),
        ("file-kinds-300", Input::of_file(RESEALED, &kinds)),
        ("edits-none", Input::of_edits(RESEALED, 3, &[])),
        ("edits-unsealed", Input::of_edits(2 << 2, 2, &[(5_000, 1)])),
        ("edits-a-record", Input::of_edits(RESEALED, 2, &[(4_096 + 72 * 9, 0xff)])),
        ("edits-kinds", Input::of_edits(RESEALED | 16, 4, &[(36_864, 9), (36_880, 0xff)])),
        ("edits-full-counts", Input::of_edits(RESEALED, 4, &full_counts())),
        ("edits-unordered-list", Input::of_edits(RESEALED, 2, &unordered_list())),
        ("edits-skipped-bits", Input::of_edits(RESEALED, 1, &skipped_bits())),
    ];
    seeds.into_iter().map(|(name, seed)| (name.into(), seed)).collect()
}

/// Of `log_bytes`: a file, edits, blocks; and checksums made right.
const FILE: u8 = 0;
const EDITS: u8 = 1;
const BLOCKS: u8 = 2;
const RESEAL: u8 = 4;

fn of_logs() -> Seeds {
    let mut seeds: Seeds = Vec::new();
    for (number, store) in (0u8..).zip(&written_stores()) {
        for (log, index) in store.logs.iter().zip(0u8..) {
            let bytes = &store.files[&log.name];
            for options in [FILE, FILE | RESEAL] {
                let name = format!("file-{number}-{index}-{options}");
                seeds.push((name, logs::input(options, number, index, bytes)));
            }
            let cut = [[2, 2, 9, 0]];
            let lost = [[0, 2, 0, 0]];
            let moved = [[1, 1, 3, 0], [1, 3, 1, 0]];
            let flipped = [[3, 3, 40, 1]];
            for (name, moves) in
                [("cut", &cut[..]), ("lost", &lost), ("moved", &moved), ("flipped", &flipped)]
            {
                let name = format!("blocks-{number}-{index}-{name}");
                seeds.push((name, logs::input(BLOCKS, number, index, moves.as_flattened())));
            }
            // Of the first frame: how many entries, its number, what was durable, and a kind.
            for (name, at, byte) in [
                ("entries", 516u16, 9),
                ("sequence", 520, 9),
                ("durable", 528, 9),
                ("kind", 616, 1),
            ] {
                let [low, high] = at.to_le_bytes();
                let edits = [low, high, byte];
                let name = format!("edits-{number}-{index}-{name}");
                seeds.push((name, logs::input(EDITS | RESEAL, number, index, &edits)));
            }
        }
    }
    seeds
}

fn of_manifests() -> Seeds {
    let mut seeds: Seeds = Vec::new();
    for (number, store) in (0u8..).zip(&written_stores()) {
        let bytes = &store.files["MANIFEST"];
        seeds.push((format!("file-{number}"), [&[2, number], bytes.as_slice()].concat()));
        for (name, edits) in [
            ("none", &[][..]),
            ("version", &[8, 0, 1]),
            ("generation", &[32, 0, 0xff, 33, 0, 0xff]),
            ("next-file", &[40, 0, 0]),
            ("segments", &[48, 0, 2]),
            ("first-sequence", &[64, 0, 2, 192, 0, 2]),
        ] {
            seeds.push((format!("edits-{number}-{name}"), [&[3, number], edits].concat()));
        }
    }
    seeds
}

/// Choices at random, so that all kinds of them are there.
fn of_models() -> Seeds {
    let seeds = (0..12u8).map(|number| {
        let mut random = Random::new("seeds", number.into());
        let len = 150 * (1 + usize::from(number));
        let choices = std::iter::repeat_with(|| random.bytes::<1>()[0]).take(len);
        (format!("random-{number}"), [number].into_iter().chain(choices).collect())
    });
    seeds.collect()
}

/// Edits of the segment with kinds: as many updates before the first record as a number
/// can say, and one more after.
fn full_counts() -> Vec<(u16, u8)> {
    const KINDS: u16 = 4_096 * 9;
    (0..8).map(|byte| (KINDS + byte, 0xff)).collect()
}

/// Edits of the segment of 150 records: the list of the last suffix begins with the first
/// entry of all, so that its positions do not ascend.
fn unordered_list() -> Vec<(u16, u8)> {
    const POSTINGS: u16 = 4_096 * 4;
    vec![(POSTINGS + 2 * 1_023, 0), (POSTINGS + 2 * 1_023 + 1, 0)]
}

/// Edits of the segment of three records: a directory that skips a bit that the tokens
/// do not share, and has all three records where it says. A token between the second
/// and the third falls before the second.
fn skipped_bits() -> Vec<(u16, u8)> {
    const DIRECTORY: u16 = 4_096 * 3;
    let bits_to_skip = (136, 1);
    let buckets = (0..60).map(|bucket| (DIRECTORY + 4 + bucket, if bucket < 59 { 1 } else { 3 }));
    [bits_to_skip].into_iter().chain(buckets).collect()
}
