//! Writes the seeds of the fuzz targets anew, for when the format has changed:
//!
//! ```text
//! cargo run --manifest-path fuzz/Cargo.toml --example make_seeds
//! ```

use std::fs;
use std::io::Result;
use std::path::Path;

use ringstore_fuzz::input::Input;
use ringstore_fuzz::valid_segments;

/// Options of an input: make checksums right, check on first touch.
const RESEALED: u8 = 2 | 2 << 2;

/// Options of an input: check nothing.
const UNCHECKED: u8 = 0;

fn main() -> Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/segment_bytes");
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    let [one, _, uniform, crowded, kinds] = valid_segments();
    for (name, seed) in [
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
    ] {
        fs::write(directory.join(name), seed)?;
    }
    Ok(())
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
