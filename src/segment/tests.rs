//! Segments of all shapes, built in memory and read back.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use std::os::unix::fs::FileExt;

use super::builder::{SegmentBuilder, SegmentIds, SegmentPlan};
use super::find::Found;
use super::reader::Segment;
use crate::error::{Error, Result};
use crate::format::kinds::Kind;
use crate::format::layout::{
    BLOCK_RECORDS, BUCKETS_PER_LINE, FENCE_RECORDS, FENCED_LINE_RECORDS, LINE_RECORDS, RECORDS_END,
    SectionId,
};
use crate::format::segment::{BucketMap, Header};
use crate::format::{PAGE_LEN, checksum};
use crate::io::map::Bytes;
use crate::io::memory::MemoryFile;
use crate::options::Verification;
use crate::search::directory::Line;
use crate::search::postings::write_block;
use crate::testing::keys::KeyFamily;
use crate::token::{BlockId, BlockTime, Record, TokenId};

fn record(token: TokenId, kind: Kind) -> Record {
    let value = match kind {
        Kind::Tombstone => BlockTime::default(),
        Kind::Fresh | Kind::Update => {
            BlockTime::new(BlockId(token.0), u64::from(token.suffix()) + 1)
        }
    };
    Record::new(token, value)
}

/// Builds a segment of sorted tokens; `spare` more than come are announced.
fn build(tokens: &[TokenId], kind_of: impl Fn(usize) -> Kind, spare: u64) -> Vec<u8> {
    build_within((tokens[0], tokens[tokens.len() - 1]), tokens, kind_of, spare)
}

/// The same with other bounds than the tokens have.
pub(super) fn build_within(
    bounds: (TokenId, TokenId),
    tokens: &[TokenId],
    kind_of: impl Fn(usize) -> Kind,
    spare: u64,
) -> Vec<u8> {
    let file = MemoryFile::default();
    let plan = SegmentPlan {
        ids: SegmentIds { store_id: [9; 16], segment_id: 5 },
        records_max: tokens.len() as u64 + spare,
        bounds,
    };
    let mut builder =
        SegmentBuilder::new(Box::new(file.clone()), PathBuf::from("built"), plan).unwrap();
    for (index, token) in tokens.iter().enumerate() {
        let kind = kind_of(index);
        builder.push(&record(*token, kind), kind).unwrap();
    }
    let entry = builder.finish(&mut |_| Ok(())).unwrap().unwrap();
    let bytes = file.contents();
    assert_eq!(entry.file_len, bytes.len() as u64);
    bytes
}

pub(super) fn open(bytes: Vec<u8>) -> Result<Segment<Vec<u8>>> {
    Segment::open(bytes, Path::new("opened"), Verification::FirstTouch)
}

pub(super) fn fresh(_: usize) -> Kind {
    Kind::Fresh
}

pub(super) fn mixed(index: usize) -> Kind {
    match index * index % 7 {
        0 => Kind::Update,
        1 => Kind::Tombstone,
        _ => Kind::Fresh,
    }
}

fn damages(segment: &Segment<Vec<u8>>) -> Vec<crate::error::Damage> {
    segment.verify(&|_| ControlFlow::Continue(())).unwrap()
}

/// Compares everything that a segment answers with the tokens it was built from.
pub(super) fn check(
    segment: &Segment<Vec<u8>>,
    tokens: &[TokenId],
    kind_of: impl Fn(usize) -> Kind,
) {
    assert_eq!(segment.len(), tokens.len());
    assert_eq!((segment.min(), segment.max()), (&tokens[0], &tokens[tokens.len() - 1]));
    assert_eq!(damages(segment), []);
    let mut live = 0;
    for (position, token) in tokens.iter().enumerate() {
        let kind = kind_of(position);
        assert_eq!(segment.record(position).unwrap(), &record(*token, kind));
        assert_eq!(segment.kind(position).unwrap(), kind);
        assert_eq!(segment.tokens_before(position).unwrap(), live);
        live += match kind {
            Kind::Fresh => 1,
            Kind::Update => 0,
            Kind::Tombstone => -1,
        };
        for sought in [before(token), Some(*token), after(token)].into_iter().flatten() {
            let found = segment.find(&sought).unwrap();
            assert_eq!(found.position, tokens.partition_point(|token| *token < sought), "{sought}");
            let there = tokens.binary_search(&sought).is_ok();
            let record = there.then(|| segment.record(found.position).unwrap());
            assert_eq!(found.record, record, "{sought}");
        }
    }
    assert_eq!(segment.tokens_before(tokens.len()).unwrap(), live);
    assert!(segment.record(tokens.len()).is_err());
    for sought in [TokenId::MIN, TokenId::MAX] {
        assert_eq!(segment.find(&sought).unwrap().record.is_some(), tokens.contains(&sought));
    }
    check_matches(segment, tokens);
}

fn check_matches(segment: &Segment<Vec<u8>>, tokens: &[TokenId]) {
    let step = (tokens.len() / 61).max(1);
    for from in (0..=tokens.len()).step_by(step) {
        let suffix = tokens[from * 7 % tokens.len()].suffix();
        for suffix in [suffix, (suffix + 1) % 1024, 1024] {
            let range = from..tokens.len() - from / 3;
            let has = |position: &usize| tokens[*position].suffix() == suffix;
            assert_eq!(segment.next_match(range.clone(), suffix).unwrap(), range.clone().find(has));
            assert_eq!(
                segment.previous_match(range.clone(), suffix).unwrap(),
                range.clone().rev().find(has)
            );
        }
    }
}

fn before(token: &TokenId) -> Option<TokenId> {
    let mut bytes = token.0;
    let last = bytes.iter().rposition(|&byte| byte > 0)?;
    bytes[last] -= 1;
    bytes[last + 1..].fill(0xff);
    Some(TokenId(bytes))
}

fn after(token: &TokenId) -> Option<TokenId> {
    let mut bytes = token.0;
    let last = bytes.iter().rposition(|&byte| byte < 0xff)?;
    bytes[last] += 1;
    bytes[last + 1..].fill(0);
    Some(TokenId(bytes))
}

#[test]
fn all_key_families_are_found() {
    for family in KeyFamily::ALL {
        for count in [1, 2, 9, 200, 5_000] {
            let tokens = family.generate(count, 7);
            let segment = open(build(&tokens, fresh, 0)).unwrap();
            check(&segment, &tokens, fresh);
            let segment = open(build(&tokens, mixed, 0)).unwrap();
            check(&segment, &tokens, mixed);
        }
    }
}

#[test]
fn borders_of_blocks_and_pages_are_no_borders() {
    for count in [
        FENCE_RECORDS - 1,
        FENCE_RECORDS,
        FENCE_RECORDS + 1,
        BLOCK_RECORDS - 1,
        BLOCK_RECORDS,
        BLOCK_RECORDS + 1,
        2 * BLOCK_RECORDS + 1,
    ] {
        for family in [KeyFamily::Uniform, KeyFamily::OneSuffix, KeyFamily::OutlierOverDense64] {
            let tokens = family.generate(count, 3);
            assert_eq!(tokens.len(), count);
            check(&open(build(&tokens, fresh, 0)).unwrap(), &tokens, fresh);
        }
    }
}

/// The last byte of a line that can still be told from "or more" is one too many.
#[test]
fn a_line_that_is_full_to_the_record_where_counting_ends() {
    let lines = 3;
    let width = u64::MAX / (lines * BUCKETS_PER_LINE as u64);
    let in_bucket = |bucket: u64, index: u64| {
        let mut token = TokenId::MIN;
        token.0[..8].copy_from_slice(&(bucket * width + width / 2 + index).to_be_bytes());
        token
    };
    // 255 records to the end of bucket 2, and 90 more in the line; and so many at the very
    // end that they count.
    let counts = [99, 100, 55, 45, 45];
    let mut tokens = vec![TokenId::MIN];
    for (bucket, count) in (0..).zip(counts) {
        tokens.extend((0..count).map(|index| in_bucket(bucket, index)));
    }
    tokens.extend((0..10).map(|index| {
        let mut token = TokenId::MAX;
        token.0[31] -= 9 - index;
        token
    }));
    let segment = open(build(&tokens, fresh, 0)).unwrap();
    assert_eq!((segment.header.map.lines, segment.header.has_fences), (lines, true));
    check(&segment, &tokens, fresh);
}

/// A segment that was announced larger than it became is the one that it would be, but
/// for up to a fifteenth more lines of the directory.
#[test]
fn fewer_records_than_announced_leave_little_trace() {
    for family in [KeyFamily::Uniform, KeyFamily::OutlierOverDense64] {
        for count in [1, 100, 40_000] {
            let tokens = family.generate(count, 11);
            let exact = open(build(&tokens, mixed, 0)).unwrap();
            let directory = exact.layout.section(SectionId::Directory).len;
            let len_max = exact.layout.file_len + (directory / 15).next_multiple_of(PAGE_LEN);
            for spare in [1, 1_000, 300_000] {
                let segment = open(build(&tokens, mixed, spare)).unwrap();
                check(&segment, &tokens, mixed);
                let len = segment.layout.file_len;
                assert!(len <= len_max, "{len} bytes with {spare} to spare, {len_max} at most");
            }
        }
    }
}

/// Crowded keys get fence keys and fewer lines, also when they are found to be crowded
/// only once the directory was made anew for fewer records than announced.
#[test]
fn fence_keys_take_the_room_of_lines() {
    // 200 tokens at the low end of 10,000, on one line by any map for these, on many by
    // one for a hundred times as many.
    let mut tokens = KeyFamily::Uniform.generate(10_000, 5);
    let crowd = (0..200u64).map(|i| {
        let mut token = tokens[0];
        token.0[..8].copy_from_slice(&((i + 1) << 38).to_be_bytes());
        token
    });
    tokens.extend(crowd.collect::<Vec<_>>());
    tokens.sort_unstable();
    for spare in [0, 100, 1_000_000] {
        let segment = open(build(&tokens, fresh, spare)).unwrap();
        check(&segment, &tokens, fresh);
        let lines = (tokens.len() as u64).div_ceil(FENCED_LINE_RECORDS);
        assert_eq!((segment.header.map.lines, segment.header.has_fences), (lines, true));
    }
}

#[test]
fn records_out_of_order_or_out_of_bounds_are_refused() {
    let tokens: Vec<_> = [10, 20, 30].map(TokenId::from).to_vec();
    for wrong in [5, 10, 20, 31] {
        let plan = SegmentPlan {
            ids: SegmentIds { store_id: [0; 16], segment_id: 1 },
            records_max: 10,
            bounds: (tokens[0], tokens[2]),
        };
        let file = Box::new(MemoryFile::default());
        let mut builder = SegmentBuilder::new(file, PathBuf::new(), plan).unwrap();
        builder.push(&record(tokens[1], Kind::Fresh), Kind::Fresh).unwrap();
        let result = builder.push(&record(TokenId::from(wrong), Kind::Fresh), Kind::Fresh);
        assert!(matches!(result, Err(Error::OutOfOrder { .. })), "{wrong}");
    }
}

/// Every bit of a file that is not padding is covered by a checksum, and damage is
/// named by the section that it is in.
#[test]
fn every_flipped_byte_is_found_by_verify() {
    let tokens = KeyFamily::OutlierOverDense64.generate(300, 2);
    let bytes = build(&tokens, mixed, 0);
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        match open(flipped) {
            Err(Error::Damaged(_)) => {}
            Err(error) => panic!("byte {at}: {error}"),
            Ok(segment) => {
                let found = damages(&segment);
                assert!(!found.is_empty(), "byte {at} is not seen");
                let first = &found[0];
                assert!(first.offset <= at as u64, "byte {at}: {first}");
            }
        }
    }
}

/// What a file says of itself may be wrong although its checksums are right. Nothing
/// may come of it but answers, errors, and a report.
#[test]
fn verify_sees_what_checksums_cannot() {
    let tokens = KeyFamily::Uniform.generate(2_000, 5);
    let mut wrong_order = tokens.clone();
    wrong_order.swap(700, 701);
    let mut twice = tokens.clone();
    twice[900] = twice[899];
    for wrong in [wrong_order, twice] {
        let segment = open(resealed(&build(&tokens, fresh, 0), |bytes| {
            for (index, token) in wrong.iter().enumerate() {
                bytes[4096 + 72 * index..][..32].copy_from_slice(&token.0);
            }
        }))
        .unwrap();
        let found = damages(&segment);
        assert!(found.iter().any(|damage| damage.part == "records"), "{found:?}");
        for token in &tokens {
            let _ = segment.find(token).unwrap();
        }
    }
    let shape = open(build(&tokens, mixed, 0)).unwrap();
    for (section, at) in [
        (SectionId::Postings, 2),
        (SectionId::Postings, 2048 + 100),
        (SectionId::Directory, 400),
        (SectionId::Directory, 0),
        (SectionId::Kinds, 0),
        (SectionId::Kinds, 70),
        (SectionId::Kinds, 100),
    ] {
        let offset = shape.layout.section(section).offset + at;
        let segment =
            open(resealed(&build(&tokens, mixed, 0), |bytes| bytes[offset] ^= 0x15)).unwrap();
        let found = damages(&segment);
        assert!(
            found.iter().any(|damage| damage.part == section.name()),
            "{section:?} {at}: {found:?}"
        );
    }
}

/// A checksum that was changed along with its chunk is seen by the checksum above it.
#[test]
fn checksums_are_checked_before_they_are_believed() {
    let tokens = KeyFamily::Uniform.generate(2_000, 5);
    let mut bytes = build(&tokens, fresh, 0);
    let checksums = open(bytes.clone()).unwrap().layout.section(SectionId::Checksums);
    bytes[PAGE_LEN + Record::LEN - 1] ^= 1;
    let sum = checksum(&bytes[PAGE_LEN..2 * PAGE_LEN]).to_le_bytes();
    bytes[checksums.offset..][..sum.len()].copy_from_slice(&sum);
    let segment = open(bytes).unwrap();
    let found = segment.find(&tokens[0]);
    assert!(matches!(found, Err(Error::Damaged(damage)) if damage.part == "checksums"));
}

#[test]
fn verify_sees_wrong_fence_keys() {
    let bytes = build(&KeyFamily::NestedClusters.generate(20_000, 5), fresh, 0);
    let fences = open(bytes.clone()).unwrap().layout.section(SectionId::Fences);
    for at in [0, 31, 32, fences.len - 1] {
        let segment = open(resealed(&bytes, |bytes| bytes[fences.offset + at] ^= 0x15)).unwrap();
        let found = damages(&segment);
        assert!(found.iter().any(|damage| damage.part == "fence keys"), "{at}: {found:?}");
    }
}

/// Between sections, where no checksum is of.
#[test]
fn opening_with_all_checked_sees_what_is_between_sections() {
    let tokens = KeyFamily::Uniform.generate(300, 5);
    let bytes = build(&tokens, fresh, 0);
    let records = open(bytes.clone()).unwrap().layout.section(SectionId::Records);
    let mut damaged = bytes.clone();
    damaged[records.offset + records.len] = 1;
    for (bytes, is_right) in [(bytes, true), (damaged, false)] {
        let opened = Segment::open(bytes, Path::new("opened"), Verification::OnOpen);
        assert_eq!(opened.is_ok(), is_right);
    }
}

/// Also what was checked when the file was opened.
#[test]
fn verify_reads_header_and_footer_anew() {
    let bytes = build(&KeyFamily::Uniform.generate(300, 5), fresh, 0);
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(&bytes, 0).unwrap();
    let mapped = Bytes::map(&file).unwrap();
    let segment = Segment::open(mapped, Path::new("mapped"), Verification::FirstTouch).unwrap();
    let damages = || segment.verify(&|_| ControlFlow::Continue(())).unwrap();
    assert_eq!(damages(), []);
    for at in [0, 40, 100, 3_000, PAGE_LEN - 1, bytes.len() - 1] {
        file.write_all_at(&[bytes[at] ^ 1], at as u64).unwrap();
        assert!(damages().iter().any(|damage| damage.part.starts_with("segment")), "{at}");
        file.write_all_at(&[bytes[at]], at as u64).unwrap();
    }
}

/// Changes a segment's bytes and makes all its checksums right again.
fn resealed(bytes: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    change(&mut bytes);
    crate::format::segment::reseal(&mut bytes);
    bytes
}

proptest! {
    #[test]
    fn any_tokens_are_found(
        mut tokens in prop::collection::vec(any::<[u8; 32]>().prop_map(TokenId), 1..600),
        small in prop::collection::vec((0u64..5_000).prop_map(TokenId::from), 0..600),
        spare in 0u64..1_000,
    ) {
        tokens.extend(small);
        tokens.sort_unstable();
        tokens.dedup();
        check(&open(build(&tokens, mixed, spare)).unwrap(), &tokens, mixed);
    }

    /// Bytes that somebody made up, with checksums that fit, lead to answers or errors.
    ///
    /// Taking a list of postings without looking whether it lies within its block was tried,
    /// and made this fail.
    #[test]
    fn made_up_contents_do_no_harm(
        seed in any::<u64>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        sought in prop::collection::vec(any::<[u8; 32]>().prop_map(TokenId), 20),
    ) {
        let tokens = KeyFamily::Clusters.generate(700, seed);
        let bytes = resealed(&build(&tokens, mixed, 0), |bytes| {
            for (index, byte) in changes {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
        });
        if let Ok(segment) = open(bytes) {
            for token in tokens.iter().chain(&sought) {
                let _ = segment.find(token);
                let _ = segment.next_match(0..usize::MAX, token.suffix());
                let _ = segment.previous_match(0..usize::MAX, token.suffix());
            }
            for position in 0..=segment.len().min(1_000) {
                let _ = (segment.kind(position), segment.tokens_before(position), segment.record(position));
            }
            let _ = damages(&segment);
        }
    }
}

/// A directory of tokens that share a bit, though they do not, has the others at its ends;
/// verifying sees that they are elsewhere.
#[test]
fn verify_sees_a_directory_that_skips_a_bit_in_which_tokens_differ() {
    let tokens = [TokenId::MIN, TokenId([0x7e; 32]), TokenId::MAX];
    let bytes = resealed(&build(&tokens, fresh, 0), |bytes| {
        bytes[136] = 1;
        // Behind header, records and postings, a page each.
        bytes[3 * 4096 + 4..][..60].fill(3);
    });
    let found = damages(&open(bytes).unwrap());
    assert!(found.iter().any(|damage| damage.part == "prefix directory"), "{found:?}");
}

/// What the tokens of the directory share says nothing of bits that are not skipped.
#[test]
fn a_directory_of_tokens_with_more_bits_than_are_skipped_is_damage() {
    let tokens = KeyFamily::Dense64.generate(300, 5);
    let bytes = build(&tokens, fresh, 0);
    for (at, value) in [(336 + 31, 1), (136, 0), (137, 1)] {
        let opened = open(resealed(&bytes, |bytes| bytes[at] = value)).map(|_| ());
        assert!(matches!(opened, Err(Error::Damaged(_))), "byte {at}: {opened:?}");
    }
}

/// A few tokens far from all others, on either side or both, do not crowd the others.
#[test]
fn outliers_are_left_out_of_the_map() {
    let dense = |count: u64| (0..count).map(|id| TokenId::from((1 << 40) + 3 * id));
    for (low, high) in [(0u8, 1u8), (1, 0), (1, 1), (9, 9)] {
        let outliers =
            |count: u8, first: u8| (0..count).map(move |index| TokenId([first + 5 * index; 32]));
        let mut tokens: Vec<_> = dense(20_000).collect();
        tokens.extend((0..u64::from(low)).map(TokenId::from));
        tokens.extend(outliers(high, 0x80));
        tokens.sort_unstable();
        let segment = open(build(&tokens, fresh, 0)).unwrap();
        assert!(!segment.header.has_fences, "{low} {high}");
        assert!(segment.header.map.skip_bits > 150, "{low} {high}");
        check(&segment, &tokens, fresh);
        for sought in [[0x10; 32], [0x81; 32], [0xff; 32]].map(TokenId) {
            let found = segment.find(&sought).unwrap();
            assert_eq!(found.position, tokens.partition_point(|token| *token < sought));
            assert_eq!(found.record.is_some(), tokens.contains(&sought));
        }
    }
}

#[test]
fn counts_of_kinds_that_overflow_are_damage() {
    let tokens = KeyFamily::Uniform.generate(300, 5);
    let bytes = build(&tokens, mixed, 0);
    let kinds = open(bytes.clone()).unwrap().layout.section(SectionId::Kinds).offset;
    let segment = open(resealed(&bytes, |bytes| bytes[kinds..kinds + 16].fill(0xff))).unwrap();
    assert!(damages(&segment).iter().any(|damage| damage.part == "kinds"));
    assert!(segment.tokens_before(200).is_ok());
}

#[test]
fn bytes_that_mean_nothing_are_zero() {
    let tokens = KeyFamily::Uniform.generate(300, 5);
    let bytes = build(&tokens, mixed, 0);
    let footer = bytes.len() - 64;
    for at in (140..144).chain([336, 2_000, 4_087]).chain(footer + 40..footer + 56) {
        let opened = open(resealed(&bytes, |bytes| bytes[at] = 1));
        assert!(matches!(opened, Err(Error::Damaged(_))), "byte {at}: {opened:?}");
    }
}

/// The largest segment there can be, most of it a hole in the file: positions next to
/// 2^32 are found, met and read.
///
/// A bit less for where lines of the directory begin was tried, and made this fail.
#[test]
fn positions_next_to_the_end_of_32_bits() {
    let records = RECORDS_END - 1;
    let last = [253, 254, 255].map(|byte| {
        let mut token = TokenId::MAX;
        token.0[31] = byte;
        token
    });
    let map = BucketMap::new(records, LINE_RECORDS, &TokenId::MIN, &TokenId::MAX);
    let mut header = Header {
        store_id: [9; 16],
        segment_id: 5,
        records,
        updates: 0,
        tombstones: 0,
        min: TokenId::MIN,
        max: TokenId::MAX,
        map,
        has_kinds: false,
        has_fences: false,
        roots_checksum: 0,
    };
    let layout = header.layout().unwrap();
    let section = |id: SectionId| layout.section(id);
    let file = tempfile::tempfile().unwrap();
    file.set_len(layout.file_len as u64).unwrap();
    let write = |bytes: &[u8], offset: usize| file.write_all_at(bytes, offset as u64).unwrap();

    let first = records as usize - last.len();
    for (position, token) in (first..).zip(last) {
        let offset = section(SectionId::Records).offset + position * Record::LEN;
        write(bytemuck::bytes_of(&record(token, Kind::Fresh)), offset);
    }
    let mut line = Line::starting_at(first);
    line.end_at(BUCKETS_PER_LINE - 1, last.len());
    let directory = section(SectionId::Directory);
    write(line.bytes(), directory.offset + directory.len - line.bytes().len());
    let mut suffixes = vec![0; records as usize % BLOCK_RECORDS];
    let len = suffixes.len();
    suffixes[len - last.len()..].copy_from_slice(&last.map(|token| token.suffix()));
    let mut block = Vec::new();
    write_block(&suffixes, &mut block);
    let postings = section(SectionId::Postings);
    write(&block, postings.offset + postings.len - block.len());
    // Only the checksum of the last section is compared where nothing is to be checked.
    header.roots_checksum = checksum(&vec![0; section(SectionId::Roots).len]);
    let (page, footer) = header.encode(&layout);
    write(&page, 0);
    write(&footer, layout.footer);

    let bytes = Bytes::map(&file).unwrap();
    let segment = Segment::open(bytes, Path::new("sparse"), Verification::Never).unwrap();
    assert_eq!(segment.len(), records as usize);
    for (position, token) in (first..).zip(last) {
        let record = segment.record(position).unwrap();
        assert_eq!(record.token, token);
        assert_eq!(segment.find(&token).unwrap(), Found { position, record: Some(record) });
        let suffix = token.suffix();
        assert_eq!(segment.next_match(first..segment.len(), suffix).unwrap(), Some(position));
        assert_eq!(segment.previous_match(0..segment.len(), suffix).unwrap(), Some(position));
    }
    assert_eq!(segment.records(first..usize::MAX).unwrap().len(), last.len());
    assert!(segment.record(segment.len()).is_err());
}
