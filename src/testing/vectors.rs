//! Answers worked out by hand, on rings that the eye can follow.
//!
//! Nothing here is computed by the oracle: what is expected stands in the source.

use crate::challenge::{CHUNKS, Chunks, Signature, Signed, TokenBlock, Walk};
use crate::error::Error;
use crate::testing::answers::{self, Make, Outcome, build};
use crate::token::{BlockId, BlockTime, PeerId, TokenId};

/// Stands for the token ff…ff; any other number is the token of that number.
pub(super) const ONES: u64 = u64::MAX;

pub(super) fn token(id: u64) -> TokenId {
    if id == ONES { TokenId::MAX } else { id.into() }
}

/// What a vector's tokens map to: something else for each.
fn value(token: TokenId) -> BlockTime {
    BlockTime::new(BlockId(token.0.map(|byte| !byte)), u64::from(token.0[31]) + 5)
}

fn record(token: TokenId) -> (TokenId, BlockTime) {
    (token, value(token))
}

pub(super) fn records(ids: &[u64]) -> Vec<(TokenId, BlockTime)> {
    ids.iter().map(|id| record(token(*id))).collect()
}

/// All of them, without [`walks`](super::walks). Those for writing are for a backend that can.
pub(super) fn check(make: &mut Make<'_>, writes: bool) -> Outcome {
    ranges(make)?;
    order(make)?;
    signatures(make)?;
    if writes { sets(make) } else { refused_sets(make) }
}

/// A ring; a token; those above it, ascending; those below it, descending.
type RangeVector = (&'static [u64], u64, &'static [u64], &'static [u64]);

const RANGES: [RangeVector; 20] = [
    (&[], 0, &[], &[]),
    (&[], 7, &[], &[]),
    (&[], ONES, &[], &[]),
    (&[5], 4, &[5], &[]),
    (&[5], 5, &[], &[]),
    (&[5], 6, &[], &[5]),
    (&[5, 6, 9], 0, &[5, 6, 9], &[]),
    (&[5, 6, 9], 5, &[6, 9], &[]),
    (&[5, 6, 9], 6, &[9], &[5]),
    (&[5, 6, 9], 7, &[9], &[6, 5]),
    (&[5, 6, 9], 9, &[], &[6, 5]),
    (&[5, 6, 9], 10, &[], &[9, 6, 5]),
    (&[5, 6, 9], ONES, &[], &[9, 6, 5]),
    (&[0, 1, 256, 1 << 63, ONES], 0, &[1, 256, 1 << 63, ONES], &[]),
    (&[0, 1, 256, 1 << 63, ONES], 1, &[256, 1 << 63, ONES], &[0]),
    (&[0, 1, 256, 1 << 63, ONES], 255, &[256, 1 << 63, ONES], &[1, 0]),
    (&[0, 1, 256, 1 << 63, ONES], ONES - 1, &[ONES], &[1 << 63, 256, 1, 0]),
    (&[0, 1, 256, 1 << 63, ONES], ONES, &[], &[1 << 63, 256, 1, 0]),
    (&[0], 0, &[], &[]),
    (&[ONES], ONES, &[], &[]),
];

/// Ranges, and lookups of whatever is named.
fn ranges(make: &mut Make<'_>) -> Outcome {
    for (ring, start, after, before) in RANGES {
        let backend = build(make, &records(ring))?;
        let start = token(start);
        answers::len(&*backend, ring.len() as u64)?;
        answers::range_after(&*backend, &start, records(after))?;
        answers::range_before(&*backend, &start, records(before))?;
        let there = ring.iter().any(|id| token(*id) == start);
        answers::lookup(&*backend, &start, there.then(|| value(start)))?;
        for id in ring {
            answers::lookup(&*backend, &token(*id), Some(value(token(*id))))?;
        }
    }
    Ok(())
}

/// Tokens are numbers whose first byte counts most.
fn order(make: &mut Make<'_>) -> Outcome {
    let one_byte = |index: usize, byte| {
        let mut token = TokenId::MIN;
        token.0[index] = byte;
        record(token)
    };
    let ascending = [
        one_byte(31, 0xff),
        one_byte(30, 0x01),
        one_byte(24, 0x80),
        one_byte(16, 0x01),
        one_byte(15, 0x01),
        one_byte(8, 0xff),
        one_byte(0, 0x7f),
        one_byte(0, 0x80),
    ];
    let backend = build(make, &ascending)?;
    answers::range_after(&*backend, &TokenId::MIN, ascending)?;
    answers::range_before(&*backend, &TokenId::MAX, ascending.into_iter().rev())?;
    let middle = ascending[4].0;
    answers::range_after(&*backend, &middle, ascending[5..].iter().copied())?;
    answers::range_before(&*backend, &middle, ascending[..4].iter().rev().copied())
}

/// The challenge of peer 32 × 01 for token 32 × 02 with block 32 × 03.
const CHUNKS_OF_123: Chunks = [566, 853, 43, 214, 877, 205, 913, 625, 192, 75];

const PEER: PeerId = PeerId([1; 32]);
const SIGNED: TokenId = TokenId([2; 32]);
const BLOCK: BlockId = BlockId([3; 32]);

/// One challenge, known by heart, to rings that hold a match for each chunk, or not.
fn signatures(make: &mut Make<'_>) -> Outcome {
    // The first bytes are the order, the last ten bits the suffix.
    let lying = |first: u8, second: u8, index: usize| {
        let mut token = TokenId::MIN;
        (token.0[0], token.0[1]) = (first, second);
        token.0[30..].copy_from_slice(&CHUNKS_OF_123[index].to_be_bytes());
        record(token)
    };
    let down = [lying(1, 5, 5), lying(1, 4, 6), lying(1, 3, 7), lying(1, 2, 8), lying(1, 1, 9)];
    let up = [lying(3, 0, 0), lying(4, 0, 1), lying(5, 0, 2), lying(6, 0, 3), lying(7, 0, 4)];
    let fifth_beyond_end = [up[0], up[1], up[2], up[3], lying(0, 0, 4)];
    let origin = (SIGNED, BlockTime::new(BLOCK, 9));
    for (up, wrapped) in [(up, false), (fifth_beyond_end, true)] {
        let met = [up, down].concat();
        let backend = build(make, &sorted(&met, &[origin]))?;
        let mut matches = [TokenBlock::default(); CHUNKS];
        for (met, (token, value)) in matches.iter_mut().zip(&met) {
            *met = TokenBlock { token: *token, block: value.block };
        }
        let signature = Signature { origin: TokenBlock { token: SIGNED, block: BLOCK }, matches };
        let signed = Signed { signature, chunks: CHUNKS_OF_123, steps: 10, wrapped };
        answers::sign(&*backend, &SIGNED, &PEER, Some(&signed))?;
        // Of other challenges, most chunks have no match here.
        answers::sign(&*backend, &SIGNED, &PeerId([2; 32]), None)?;
        answers::sign(&*backend, &met[0].0, &PEER, None)?;
        answers::sign(&*backend, &TokenId::MAX, &PEER, None)?;
        let newer = (SIGNED, BlockTime::new(BlockId([4; 32]), 10));
        let backend = build(make, &sorted(&met, &[newer]))?;
        answers::sign(&*backend, &SIGNED, &PEER, None)?;
        for missing in 0..CHUNKS {
            let (before, after) = (&met[..missing], &met[missing + 1..]);
            let backend = build(make, &sorted(&[before, after].concat(), &[origin]))?;
            answers::sign(&*backend, &SIGNED, &PEER, None)?;
        }
        // All ten are there, the token is not.
        answers::sign(&*build(make, &sorted(&met, &[]))?, &SIGNED, &PEER, None)?;
    }
    Ok(())
}

fn sorted(
    some: &[(TokenId, BlockTime)],
    others: &[(TokenId, BlockTime)],
) -> Vec<(TokenId, BlockTime)> {
    let mut records = [some, others].concat();
    records.sort_unstable();
    records
}

/// A token, the block and time to set; whether that writes; the block and time after
/// it, and the number of tokens.
type SetVector = (u64, (u64, u64), bool, (u64, u64), u64);

/// Writes into a backend that holds the token 5 with block 1 at time 10.
const SETS: [SetVector; 15] = [
    // Older, and as old with another block and with the same one.
    (5, (2, 9), false, (1, 10), 1),
    (5, (2, 0), false, (1, 10), 1),
    (5, (2, 10), false, (1, 10), 1),
    (5, (1, 10), false, (1, 10), 1),
    // Newer, with another block and with the same one.
    (5, (3, 11), true, (3, 11), 1),
    (5, (3, 12), true, (3, 12), 1),
    // Absent: any time is newer than none.
    (7, (4, 0), true, (4, 0), 2),
    (7, (6, 0), false, (4, 0), 2),
    (7, (6, 1), true, (6, 1), 2),
    // Nothing is newer than the last time there is.
    (5, (7, u64::MAX), true, (7, u64::MAX), 2),
    (5, (8, u64::MAX), false, (7, u64::MAX), 2),
    (5, (8, 0), false, (7, u64::MAX), 2),
    // Below, above and between all others.
    (0, (9, 1), true, (9, 1), 3),
    (ONES, (10, 1), true, (10, 1), 4),
    (6, (11, 1 << 32), true, (11, 1 << 32), 5),
];

fn sets(make: &mut Make<'_>) -> Outcome {
    let value = |(block, time): (u64, u64)| BlockTime::new(BlockId::from(block), time);
    let mut backend = build(make, &[(token(5), value((1, 10)))])?;
    for (id, written, writes, left, len) in SETS {
        answers::set(&mut *backend, &token(id), value(written), writes)?;
        answers::lookup(&*backend, &token(id), Some(value(left)))?;
        answers::len(&*backend, len)?;
    }
    let all = [
        (token(0), value((9, 1))),
        (token(5), value((7, u64::MAX))),
        (token(6), value((11, 1 << 32))),
        (token(7), value((6, 1))),
        (token(ONES), value((10, 1))),
    ];
    answers::range_after(&*backend, &token(0), all[1..].iter().copied())?;
    answers::range_before(&*backend, &token(ONES), all[..4].iter().rev().copied())?;
    // Up over 7, ff…ff, 00…00 and 5; down over 5, 00…00, ff…ff and 7.
    let chunks = [7, 1_023, 0, 5, 1_023, 7, 0, 0, 0, 0];
    let matches = vec![all[3], all[4], all[0], all[1], all[4], all[3]];
    let expected = Walk { matches, steps: 4 + 4, wrapped: true, complete: false };
    answers::walk(&*backend, &token(6), &chunks, &expected)?;

    let mut backend = build(make, &[])?;
    answers::len(&*backend, 0)?;
    answers::set(&mut *backend, &token(5), value((1, 0)), true)?;
    answers::len(&*backend, 1)?;
    answers::lookup(&*backend, &token(5), Some(value((1, 0))))
}

/// A backend that cannot write says so, and nothing changes.
fn refused_sets(make: &mut Make<'_>) -> Outcome {
    let mut backend = build(make, &records(&[5, 7]))?;
    for id in [5, 6] {
        let newer = BlockTime::new(BlockId::from(1), u64::MAX);
        match backend.set(&token(id), newer) {
            Err(Error::Unwritable { .. }) => {}
            other => {
                return Err(format!(
                    "set of {} in a backend that cannot write: expected Error::Unwritable, \
                     found {other:?}; check one that can write without `read_only`",
                    token(id),
                ));
            }
        }
        answers::len(&*backend, 2)?;
    }
    answers::range_after(&*backend, &TokenId::MIN, records(&[5, 7]))
}
