//! Answers worked out by hand, on rings that the eye can follow.
//!
//! Nothing here is computed by the oracle: what is expected stands in the source.

use crate::challenge::{CHUNKS, Chunks, Signature, Signed, TokenBlock, Walk};
use crate::error::Error;
use crate::testing::answers::{self, Make, Outcome, build};
use crate::token::{BlockId, BlockTime, PeerId, TokenId};

/// Stands for the token ff…ff; any other number is the token of that number.
const ONES: u64 = u64::MAX;

fn token(id: u64) -> TokenId {
    if id == ONES { TokenId::MAX } else { id.into() }
}

/// What a vector's tokens map to: something else for each.
fn value(token: TokenId) -> BlockTime {
    BlockTime::new(BlockId(token.0.map(|byte| !byte)), u64::from(token.0[31]) + 5)
}

fn record(token: TokenId) -> (TokenId, BlockTime) {
    (token, value(token))
}

fn records(ids: &[u64]) -> Vec<(TokenId, BlockTime)> {
    ids.iter().map(|id| record(token(*id))).collect()
}

/// All vectors. Those for writing are for a backend that can.
pub(super) fn check(make: &mut Make<'_>, writes: bool) -> Outcome {
    ranges(make)?;
    order(make)?;
    for vector in &WALKS {
        vector.check(make)?;
    }
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

/// A chunk that no suffix equals.
const NEVER: u16 = 1_024;

/// Of ids below 1,024 the suffix is the id; that of [`ONES`] is 1,023.
struct WalkVector {
    name: &'static str,
    ring: &'static [u64],
    origin: u64,
    chunks: Chunks,
    met: &'static [u64],
    steps: u64,
    wrapped: bool,
    complete: bool,
}

const ELEVEN: &[u64] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

const SAME_SUFFIX: &[u64] = &[1, 1_025, 2_049, 3_073, 4_097, 5_121];

const WALKS: [WalkVector; 25] = [
    WalkVector {
        name: "five up to the last token, five down to the first",
        ring: ELEVEN,
        origin: 6,
        chunks: [7, 8, 9, 10, 11, 5, 4, 3, 2, 1],
        met: &[7, 8, 9, 10, 11, 5, 4, 3, 2, 1],
        steps: 5 + 5,
        wrapped: false,
        complete: true,
    },
    WalkVector {
        name: "from a token that is not there",
        ring: &[1, 2, 3, 4, 5, 7, 8, 9, 10, 11],
        origin: 6,
        chunks: [7, 8, 9, 10, 11, 5, 4, 3, 2, 1],
        met: &[7, 8, 9, 10, 11, 5, 4, 3, 2, 1],
        steps: 5 + 5,
        wrapped: false,
        complete: true,
    },
    WalkVector {
        name: "one token beyond each end",
        ring: ELEVEN,
        origin: 6,
        chunks: [8, 9, 10, 11, 1, 4, 3, 2, 1, 11],
        met: &[8, 9, 10, 11, 1, 4, 3, 2, 1, 11],
        steps: 6 + 6,
        wrapped: true,
        complete: true,
    },
    WalkVector {
        name: "tokens met once in each direction",
        ring: ELEVEN,
        origin: 6,
        chunks: [7, 9, 11, 1, 3, 5, 3, 1, 11, 9],
        met: &[7, 9, 11, 1, 3, 5, 3, 1, 11, 9],
        steps: 8 + 8,
        wrapped: true,
        complete: true,
    },
    WalkVector {
        name: "the origin is not met, though its suffix is sought",
        ring: ELEVEN,
        origin: 6,
        chunks: [7, 6, 8, 9, 10, 5, 4, 3, 2, 1],
        met: &[7],
        steps: 10 + 10,
        wrapped: true,
        complete: false,
    },
    WalkVector {
        name: "what was not met going up is sought first going down",
        ring: &[1, 2, 3, 4, 5, 7, 8, 9, 10],
        origin: 6,
        chunks: [7, 8, 9, 5, 4, 3, 2, 1, 10, 9],
        met: &[7, 8, 9, 5, 4, 3, 2, 1, 10, 9],
        steps: 9 + 7,
        wrapped: true,
        complete: true,
    },
    WalkVector {
        name: "what was not met going up is met last going down",
        ring: ELEVEN,
        origin: 6,
        chunks: [8, 7, 9, 10, 11, 5, 4, 3, 2, 1],
        met: &[8, 7],
        steps: 10 + 10,
        wrapped: true,
        complete: false,
    },
    WalkVector {
        name: "going down ends early",
        ring: ELEVEN,
        origin: 6,
        chunks: [7, 8, 9, 10, 11, 1, 2, 3, 4, 5],
        met: &[7, 8, 9, 10, 11, 1],
        steps: 5 + 10,
        wrapped: true,
        complete: false,
    },
    WalkVector {
        name: "all but the last chunk",
        ring: ELEVEN,
        origin: 6,
        chunks: [7, 8, 9, 10, 11, 5, 4, 3, 2, NEVER],
        met: &[7, 8, 9, 10, 11, 5, 4, 3, 2],
        steps: 5 + 10,
        wrapped: true,
        complete: false,
    },
    WalkVector {
        name: "one suffix, from the smallest token",
        ring: SAME_SUFFIX,
        origin: 1,
        chunks: [1; CHUNKS],
        met: &[1_025, 2_049, 3_073, 4_097, 5_121, 5_121, 4_097, 3_073, 2_049, 1_025],
        steps: 5 + 5,
        wrapped: true,
        complete: true,
    },
    WalkVector {
        name: "one suffix, from the largest token",
        ring: SAME_SUFFIX,
        origin: 5_121,
        chunks: [1; CHUNKS],
        met: &[1, 1_025, 2_049, 3_073, 4_097, 4_097, 3_073, 2_049, 1_025, 1],
        steps: 5 + 5,
        wrapped: true,
        complete: true,
    },
    WalkVector {
        name: "one suffix, a token too few",
        ring: &[1, 1_025, 2_049, 3_073, 4_097],
        origin: 2_049,
        chunks: [1; CHUNKS],
        met: &[3_073, 4_097, 1, 1_025, 1_025, 1, 4_097, 3_073],
        steps: 4 + 4,
        wrapped: true,
        complete: false,
    },
    WalkVector {
        name: "a chunk of 1,024 and more is never met",
        ring: &[1, 1_025, 2_049],
        origin: 1,
        chunks: [1, 1_025, 1, 1, 1, 1, 1, 1, 1, 1],
        met: &[1_025],
        steps: 2 + 2,
        wrapped: true,
        complete: false,
    },
    WalkVector {
        name: "not even by ff…ff",
        ring: &[1, ONES],
        origin: 1,
        chunks: [1_023, u16::MAX, 1, 1, 1, 1, 1, 1, 1, 1],
        met: &[ONES],
        steps: 1 + 1,
        wrapped: true,
        complete: false,
    },
    WalkVector {
        name: "suffixes have ten bits",
        ring: &[0x0300, 0x0401, 0x07ff, 0x0800, 0xfcff],
        origin: 0,
        chunks: [0x300, 1, 1_023, 0, 0xff, NEVER, 0, 0, 0, 0],
        met: &[0x0300, 0x0401, 0x07ff, 0x0800, 0xfcff],
        steps: 5 + 5,
        wrapped: true,
        complete: false,
    },
    WalkVector {
        name: "00…00 and ff…ff beyond the ends",
        ring: &[0, 500, ONES],
        origin: 500,
        chunks: [1_023, 0, 0, 1_023, NEVER, 0, 0, 0, 0, 0],
        met: &[ONES, 0, 0, ONES],
        steps: 2 + 2,
        wrapped: true,
        complete: false,
    },
    WalkVector {
        name: "from 00…00, which is not met",
        ring: &[0, 500, ONES],
        origin: 0,
        chunks: [500, 1_023, 0, 0, 0, 0, 0, 0, 0, 0],
        met: &[500, ONES],
        steps: 2 + 2,
        wrapped: true,
        complete: false,
    },
    WalkVector {
        name: "from ff…ff, which is not met",
        ring: &[0, 500, ONES],
        origin: ONES,
        chunks: [0, 500, 1_023, 0, 0, 0, 0, 0, 0, 0],
        met: &[0, 500],
        steps: 2 + 2,
        wrapped: true,
        complete: false,
    },
    WalkVector {
        name: "from 00…00, which is not there",
        ring: &[5, 6],
        origin: 0,
        chunks: [5, 6, 6, 5, NEVER, 0, 0, 0, 0, 0],
        met: &[5, 6, 6, 5],
        steps: 2 + 2,
        wrapped: true,
        complete: false,
    },
    WalkVector {
        name: "from ff…ff, which is not there",
        ring: &[5, 6],
        origin: ONES,
        chunks: [6, 5, 5, 0, 0, 0, 0, 0, 0, 0],
        met: &[6, 5],
        steps: 2 + 2,
        wrapped: true,
        complete: false,
    },
    WalkVector {
        name: "two suffixes, a token each",
        ring: &[1, 2],
        origin: 9,
        chunks: [1, 2, 2, 1, 1, 2, 1, 2, 1, 2],
        met: &[1, 2, 2, 1],
        steps: 2 + 2,
        wrapped: true,
        complete: false,
    },
    WalkVector {
        name: "no token at all",
        ring: &[],
        origin: 7,
        chunks: [7; CHUNKS],
        met: &[],
        steps: 0,
        wrapped: false,
        complete: false,
    },
    WalkVector {
        name: "no other token",
        ring: &[7],
        origin: 7,
        chunks: [7; CHUNKS],
        met: &[],
        steps: 0,
        wrapped: false,
        complete: false,
    },
    WalkVector {
        name: "one token, above",
        ring: &[9],
        origin: 7,
        chunks: [9; CHUNKS],
        met: &[9, 9],
        steps: 1 + 1,
        wrapped: true,
        complete: false,
    },
    WalkVector {
        name: "one token, below",
        ring: &[5],
        origin: 7,
        chunks: [5; CHUNKS],
        met: &[5, 5],
        steps: 1 + 1,
        wrapped: true,
        complete: false,
    },
];

impl WalkVector {
    fn check(&self, make: &mut Make<'_>) -> Outcome {
        let backend = build(make, &records(self.ring))?;
        let expected = Walk {
            matches: records(self.met),
            steps: self.steps,
            wrapped: self.wrapped,
            complete: self.complete,
        };
        answers::walk(&*backend, &token(self.origin), &self.chunks, &expected)
            .map_err(|differs| format!("{differs}\nin the vector \"{}\"", self.name))
    }
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
