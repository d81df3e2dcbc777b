//! Files written by released versions: they open, hold what they held, and lie byte for
//! byte as the format's specification says.
//!
//! The second half reads them by hand, with nothing of the library, so that the
//! specification is shown to be enough. Offsets stand there as they are in this file of
//! 300 records.

use std::fmt::Write;
use std::fs;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use ringstore::testing::keys::{KeyFamily, with_values};
use ringstore::testing::oracle::Oracle;
use ringstore::{
    BlockId, BlockTime, Direction, Leg, LoadOptions, Options, PeerId, Record, Result, Store,
    TokenId, Verification, chunks,
};

const PEER: PeerId = PeerId([7; 32]);

/// The one token of the golden store that has a whole signature.
const SIGNED: u64 = 1 << 40;

const RECORDS: usize = 300;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn golden(name: &str) -> Vec<u8> {
    fs::read(data("store-v1").join(name)).unwrap()
}

const SEGMENT: &str = "0000000000000001.seg";

/// A line of the listing: token, block and time, as numbers of 32, 32 and 8 bytes.
type Row = ([u8; 32], [u8; 32], u64);

/// The listing, in the order of tokens.
fn listing() -> Vec<Row> {
    let id = |digits: &str| -> [u8; 32] {
        let half = |i: usize| u128::from_str_radix(&digits[32 * i..32 * (i + 1)], 16).unwrap();
        let halves = [half(0), half(1)].map(u128::to_be_bytes);
        halves.concat().try_into().unwrap()
    };
    let text = fs::read_to_string(data("store-v1.csv")).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("token,block,time"));
    let rows: Vec<Row> = lines
        .map(|line| {
            let fields: Vec<_> = line.split(',').collect();
            let [token, block, time] = fields.as_slice() else { panic!("{line}") };
            assert_eq!((token.len(), block.len(), time.len()), (64, 64, 16), "{line}");
            (id(token), id(block), u64::from_str_radix(time, 16).unwrap())
        })
        .collect();
    assert_eq!(rows.len(), RECORDS);
    assert!(rows.is_sorted_by(|a, b| a.0 < b.0));
    rows
}

fn listed() -> Oracle {
    let rows = listing().into_iter();
    rows.map(|(token, block, time)| (TokenId(token), BlockTime::new(BlockId(block), time)))
        .collect()
}

#[test]
fn a_store_of_version_1_opens_and_is_whole() -> Result<()> {
    let oracle = listed();
    let copy = tempfile::tempdir().unwrap();
    for name in ["MANIFEST", SEGMENT] {
        fs::copy(data("store-v1").join(name), copy.path().join(name)).unwrap();
    }
    for level in [Verification::OnOpen, Verification::FirstTouch, Verification::Never] {
        let store = Store::open_read_only(copy.path(), &Options::new().verification(level))?;
        let report = store.verify(&|_| ControlFlow::Continue(()))?;
        assert_eq!((report.records, report.damages), (RECORDS as u64, vec![]));
        let snapshot = store.snapshot();
        assert_eq!(snapshot.len(), oracle.len());
        assert!(snapshot.range(..).map(Result::unwrap).eq(oracle.range(..)));
        let suffixes: Vec<u16> = oracle.tokens.keys().step_by(31).map(TokenId::suffix).collect();
        for (rank, (token, value)) in (0..).zip(&oracle.tokens) {
            assert_eq!(snapshot.get(token)?, Some(*value));
            assert_eq!(snapshot.rank(token)?, rank);
            assert_eq!(snapshot.sign(token, &PEER)?, oracle.sign(token, &PEER));
            let mut absent = *token;
            absent.0[20] ^= 0x40;
            assert_eq!(snapshot.get(&absent)?, oracle.get(&absent));
            for token in [token, &absent] {
                for direction in [Direction::Up, Direction::Down] {
                    let legs = [Leg { direction, suffixes: &suffixes }];
                    assert_eq!(snapshot.walk(token, &legs)?, oracle.walk(token, &legs));
                }
            }
        }
        let signed = snapshot.sign(&TokenId::from(SIGNED), &PEER)?.expect("ten matches");
        assert_eq!(signed.signature.check(&PEER), Ok(()));
    }
    // It can be opened for writing as well, which leaves its tokens as they are.
    let store = Store::open(copy.path(), &Options::new())?;
    assert!(store.snapshot().range(..).map(Result::unwrap).eq(oracle.range(..)));
    Ok(())
}

/// Bytes, and the numbers in them, which are all little-endian.
struct Bytes(Vec<u8>);

impl Bytes {
    fn of<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0[at..at + N].try_into().unwrap()
    }

    fn u16(&self, at: usize) -> usize {
        usize::from(u16::from_le_bytes(self.of(at)))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.of(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.of(at))
    }

    fn checksum(&self, bytes: Range<usize>) -> u32 {
        crc32fast::hash(&self.0[bytes])
    }

    fn is_zero(&self, bytes: Range<usize>) -> bool {
        self.0[bytes].iter().all(|&byte| byte == 0)
    }
}

fn segment() -> Bytes {
    Bytes(golden(SEGMENT))
}

#[test]
fn the_header_by_hand() {
    let (file, rows) = (segment(), listing());
    assert_eq!(file.0.len(), 49_216);
    assert_eq!(file.of(0), *b"RINGSEG\n");
    assert_eq!((file.u32(8), file.u32(12)), (1, 1));
    assert_eq!(file.u64(32), 1);
    assert_eq!(file.u64(40), 49_216);
    assert_eq!((file.u64(48), file.u64(56), file.u64(64)), (300, 0, 0));
    assert_eq!((file.of(72), file.of(104)), (rows[0].0, rows[299].0));
    assert_eq!((rows[0].0, rows[299].0), ([0; 32], [0xff; 32]));
    // The first and the last token have no leading bit in common.
    assert_eq!(file.u32(136), 0);
    assert_eq!(file.u64(144), 0);
    assert_eq!(file.u64(160), 3);
    let section = |at| (file.u64(at), file.u64(at + 8), file.u64(at + 16));
    assert_eq!(section(168), (4_096, 72 * 300, 4_096), "records");
    assert_eq!(section(192), (28_672, 2_048 + 2 * 300, 67_584), "suffix postings");
    assert_eq!(section(216), (32_768, 64 * 3, 4_096), "prefix directory");
    assert_eq!(section(240), (36_864, 0, 4_096), "kinds");
    assert_eq!(section(264), (36_864, 32 * 3, 4_096), "fence keys");
    assert_eq!(section(288), (40_960, 4 * 9, 4_096), "checksums");
    assert_eq!(section(312), (45_056, 4, 4_096), "checksums of checksums");
    assert!(file.is_zero(140..144) && file.is_zero(336..4_088));
}

#[test]
fn the_records_by_hand() {
    let file = segment();
    for (index, (token, block, time)) in listing().into_iter().enumerate() {
        let at = 4_096 + 72 * index;
        assert_eq!((file.of(at), file.of(at + 32)), (token, block), "{index}");
        assert_eq!(u64::from_be_bytes(file.of(at + 64)), time, "{index}");
    }
}

#[test]
fn the_suffix_postings_by_hand() {
    let (file, rows) = (segment(), listing());
    let mut listed = 0;
    for suffix in 0..1_024 {
        let start = file.u16(28_672 + 2 * suffix);
        let end = if suffix < 1_023 { file.u16(28_672 + 2 * (suffix + 1)) } else { 300 };
        let list: Vec<usize> = (start..end).map(|entry| file.u16(30_720 + 2 * entry)).collect();
        let right = (0..300).filter(|&position| {
            let token = &rows[position].0;
            (usize::from(token[30]) << 8 | usize::from(token[31])) % 1_024 == suffix
        });
        assert!(list.iter().copied().eq(right), "{suffix}: {list:?}");
        listed += list.len();
    }
    assert_eq!(listed, 300);
}

/// The line of the directory that a token is in, below 3, and the bucket of the line,
/// below 60.
fn place(file: &Bytes, token: &[u8; 32]) -> (usize, usize) {
    let skip = file.u32(136) as usize;
    let bit = |index: usize| token.get(index / 8).map_or(0, |byte| byte >> (7 - index % 8) & 1);
    let number = (skip..skip + 64).fold(0, |number, index| number << 1 | u64::from(bit(index)));
    let distance = number.saturating_sub(file.u64(144));
    let product = u128::from(distance) * u128::from(file.u64(152));
    let (line, fraction) = (product >> 64, product & u128::from(u64::MAX));
    match line {
        0..3 => (line as usize, ((fraction * 60) >> 64) as usize),
        _ => (2, 59),
    }
}

/// The positions of the records that a token can be among.
fn bucket(file: &Bytes, token: &[u8; 32]) -> Range<usize> {
    let (line, bucket) = place(file, token);
    let line_start = |line: usize| match line {
        3 => 300,
        _ => file.u32(32_768 + 64 * line) as usize,
    };
    let end = |bucket: usize| usize::from(file.0[32_768 + 64 * line + 4 + bucket]);
    let start = line_start(line) + if bucket == 0 { 0 } else { end(bucket - 1) };
    match end(bucket) {
        255 => start..line_start(line + 1),
        end => start..line_start(line) + end,
    }
}

#[test]
fn the_prefix_directory_by_hand() {
    let (file, rows) = (segment(), listing());
    let mut longest = 0;
    for (position, (token, ..)) in rows.iter().enumerate() {
        assert!(bucket(&file, token).contains(&position), "{position}");
        longest = longest.max(bucket(&file, token).len());
        // A token that is not there would be among the same few, or at their border.
        let mut absent = *token;
        absent[9] ^= 0x80;
        let would_be = rows.partition_point(|row| row.0 < absent);
        let bucket = bucket(&file, &absent);
        assert!((bucket.start..=bucket.end).contains(&would_be), "{position}");
    }
    assert!(longest > 128, "no bucket is crowded, so fence keys are for nothing");
    assert!((0..3).any(|line| file.0[32_768 + 64 * line + 63] == 255), "no byte says: or more");
    let total: usize = (0..3).map(|line| file.u32(32_768 + 64 * line) as usize).max().unwrap();
    assert!(file.u32(32_768) == 0 && total <= 300);
}

#[test]
fn the_fence_keys_by_hand() {
    let (file, rows) = (segment(), listing());
    for (index, position) in [0, 128, 256].into_iter().enumerate() {
        assert_eq!(file.of(36_864 + 32 * index), rows[position].0);
    }
}

#[test]
fn the_checksums_and_the_footer_by_hand() {
    let file = segment();
    let chunks = [
        // Records, suffix postings, prefix directory, fence keys.
        4_096..8_192,
        8_192..12_288,
        12_288..16_384,
        16_384..20_480,
        20_480..24_576,
        24_576..25_696,
        28_672..31_320,
        32_768..32_960,
        36_864..36_960,
    ];
    for (index, chunk) in chunks.into_iter().enumerate() {
        assert_eq!(file.u32(40_960 + 4 * index), file.checksum(chunk), "chunk {index}");
    }
    assert_eq!(file.u32(45_056), file.checksum(40_960..40_996));
    assert_eq!(file.u32(4_088), file.checksum(45_056..45_060));
    assert_eq!(file.u32(4_092), file.checksum(0..4_092));
    for gap in [
        25_696..28_672,
        31_320..32_768,
        32_960..36_864,
        36_960..40_960,
        40_996..45_056,
        45_060..49_152,
    ] {
        assert!(file.is_zero(gap));
    }
    assert_eq!(file.of(49_152), *b"RINGEND\n");
    assert_eq!(file.u64(49_160), 49_216);
    assert_eq!(file.of::<16>(49_168), file.of(16));
    assert_eq!(file.u64(49_184), 1);
    assert!(file.is_zero(49_192..49_208));
    assert_eq!(file.u32(49_208), file.u32(4_092));
    assert_eq!(file.u32(49_212), file.checksum(49_152..49_212));
}

#[test]
fn the_manifest_by_hand() {
    let (file, segment, rows) = (Bytes(golden("MANIFEST")), segment(), listing());
    assert_eq!(file.0.len(), 188);
    assert_eq!(file.of(0), *b"RINGMAN\n");
    assert_eq!((file.u32(8), file.u32(12)), (1, 1));
    assert_eq!(file.of::<16>(16), segment.of(16));
    // Created, then loaded: the second manifest, and one file named so far.
    assert_eq!((file.u64(32), file.u64(40), file.u64(48)), (2, 2, 1));
    assert_eq!(file.u32(56), 0);
    assert_eq!(file.u32(60), segment.u32(4_092));
    assert_eq!(file.of::<16>(64), segment.of(16));
    assert_eq!((file.u64(80), file.u64(88)), (1, 49_216));
    assert_eq!((file.u64(96), file.u64(104), file.u64(112)), (300, 0, 0));
    assert_eq!((file.of(120), file.of(152)), (rows[0].0, rows[299].0));
    assert_eq!(file.u32(184), file.checksum(0..184));
}

/// What the golden store holds: both ends of the ring, crowds, and around one token the
/// ten that its signature takes.
fn contents() -> Oracle {
    let families = [
        (KeyFamily::OutlierOverDense64, 180),
        (KeyFamily::Edges, 12),
        (KeyFamily::Clusters, 20),
        (KeyFamily::ExponentialGaps, 20),
    ];
    let tokens = families.into_iter().flat_map(|(family, count)| family.generate(count, 1));
    let mut oracle: Oracle = with_values(tokens, 1).collect();
    let signed = TokenId::from(SIGNED);
    let value = BlockTime::new(BlockId([0x42; 32]), 42);
    oracle.tokens.insert(signed, value);
    for (index, chunk) in (0..).zip(chunks(&PEER, &signed, &value.block)) {
        let distance = 1_024 * (index % 5 + 1);
        let near = if index < 5 { SIGNED + distance } else { SIGNED - distance };
        oracle.tokens.insert(TokenId::from(near + u64::from(chunk)), value);
    }
    let others = with_values(KeyFamily::Uniform.generate(RECORDS, 1), 2);
    for (token, value) in others {
        if oracle.tokens.len() < RECORDS {
            oracle.set(&token, value);
        }
    }
    oracle
}

/// Not a test: replaces the files that the tests above read. See `tests/data/README.md`
/// for when that is right, which is hardly ever.
#[test]
#[ignore = "writes the golden files anew"]
fn write_golden_files() -> Result<()> {
    let oracle = contents();
    let mut text = String::from("token,block,time\n");
    for (token, value) in &oracle.tokens {
        writeln!(text, "{token},{},{:016x}", value.block, value.time).unwrap();
    }
    fs::write(data("store-v1.csv"), text).unwrap();

    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path(), &Options::new())?;
    let records = oracle.tokens.iter().map(|(token, value)| Ok(Record::new(*token, *value)));
    store.bulk_load(records, &LoadOptions::new())?;
    store.close()?;
    let into = data("store-v1");
    fs::create_dir_all(&into).unwrap();
    for name in ["MANIFEST", SEGMENT] {
        // Not a copy, which would be read-only.
        fs::write(into.join(name), fs::read(directory.path().join(name)).unwrap()).unwrap();
    }
    Ok(())
}
