//! What the fuzz targets start from: segments and stores as they are written.

use std::fs;

use ringstore::testing::damage::reseal_segment;
use ringstore::testing::keys::{KeyFamily, with_values};
use ringstore::{LoadOptions, Options, Record, Store, TokenId};

pub mod asking;
pub mod input;
pub mod layered;
pub mod logs;
pub mod machines;
pub mod mutations;
pub mod naive;
pub mod stores;
pub mod texts;

/// Everything happens in the thread of the fuzzer, so that the same input takes the same way.
///
/// # Panics
///
/// If it was called before.
pub fn use_one_thread() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread();
    pool.build_global().expect("the first pool");
}

const PAGE_LEN: usize = 4096;
const FOOTER_LEN: usize = 64;

/// Where the records begin.
pub const RECORDS_OFFSET: usize = PAGE_LEN;

/// Valid segments, the same bytes in every run: one record; three, with both ends of the
/// ring; 150 spread evenly; 300 that crowd, with fence keys; the same with kinds.
pub fn valid_segments() -> [Vec<u8>; 5] {
    let three = vec![TokenId::MIN, TokenId([0x7e; 32]), TokenId::MAX];
    let crowded = segment_of(KeyFamily::OutlierOverDense64.generate(300, 1));
    [
        segment_of(KeyFamily::Uniform.generate(1, 1)),
        segment_of(three),
        segment_of(KeyFamily::Uniform.generate(150, 1)),
        crowded.clone(),
        with_kinds(&crowded),
    ]
}

/// The segment file of a store that is loaded with these tokens.
fn segment_of(tokens: Vec<TokenId>) -> Vec<u8> {
    let directory = tempfile::tempdir().expect("a directory for a store");
    let store = Store::create(directory.path(), &Options::new()).expect("a store");
    let records = with_values(tokens, 1).map(|pair| Ok(Record::from(pair)));
    store.bulk_load(records, &LoadOptions::new()).expect("tokens in it");
    let mut names = fs::read_dir(directory.path())
        .expect("its files")
        .map(|entry| entry.expect("a file of it").path());
    let path = names.find(|path| path.extension().is_some_and(|end| end == "seg"));
    let mut bytes = fs::read(path.expect("a segment")).expect("its bytes");
    // A store's id is random, and would make every run another one.
    let footer = bytes.len() - FOOTER_LEN;
    for start in [16, footer + 16] {
        bytes[start..start + 16].fill(0x5e);
    }
    reseal_segment(&mut bytes);
    bytes
}

/// The same segment as one of a layer above others: every third entry an update, every
/// seventh a tombstone. Loading writes none of these, so they are put in by hand, as the
/// format says.
fn with_kinds(bytes: &[u8]) -> Vec<u8> {
    const KINDS: usize = 3;
    const PER_LINE: usize = 192;
    let mut bytes = bytes.to_vec();
    let records = number(&bytes, 48) as usize;
    let lines = records.div_ceil(PER_LINE);
    let mut kinds = vec![0; 64 * lines];
    let (mut stale, mut tombstones) = (0u64, 0u64);
    for (line, bytes_of_line) in kinds.chunks_mut(64).enumerate() {
        bytes_of_line[..8].copy_from_slice(&stale.to_le_bytes());
        bytes_of_line[8..16].copy_from_slice(&tombstones.to_le_bytes());
        for place in 0..PER_LINE.min(records - line * PER_LINE) {
            let position = line * PER_LINE + place;
            let is_tombstone = position.is_multiple_of(7);
            if is_tombstone {
                bytes_of_line[40 + place / 8] |= 1 << (place % 8);
                let value = RECORDS_OFFSET + Record::LEN * position + 32;
                bytes[value..value + 40].fill(0);
                tombstones += 1;
            }
            if is_tombstone || position.is_multiple_of(3) {
                bytes_of_line[16 + place / 8] |= 1 << (place % 8);
                stale += 1;
            }
        }
    }
    set_number(&mut bytes, 56, stale - tombstones);
    set_number(&mut bytes, 64, tombstones);
    // An entry of the table of sections: offset, length, bytes a chunk.
    let entry = |section: usize| 168 + 24 * section;
    set_number(&mut bytes, entry(KINDS) + 8, kinds.len() as u64);
    for section in KINDS + 1..7 {
        let offset = number(&bytes, entry(section));
        set_number(&mut bytes, entry(section), offset + PAGE_LEN as u64);
    }
    let checksum_of_kinds_len = 4;
    let checksums_len = number(&bytes, entry(5) + 8);
    set_number(&mut bytes, entry(5) + 8, checksums_len + checksum_of_kinds_len);
    kinds.resize(PAGE_LEN, 0);
    let at = number(&bytes, entry(KINDS)) as usize;
    bytes.splice(at..at, kinds);
    let file_len = bytes.len();
    set_number(&mut bytes, 40, file_len as u64);
    set_number(&mut bytes, file_len - FOOTER_LEN + 8, file_len as u64);
    reseal_segment(&mut bytes);
    bytes
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn set_number(bytes: &mut [u8], at: usize, number: u64) {
    bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
}
