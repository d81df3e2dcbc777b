//! Walks counted by hand, on rings that the eye can follow.
//!
//! Steps are written as those up plus those down.

use crate::challenge::{CHUNKS, Chunks, Walk};
use crate::testing::answers::{self, Make, Outcome, build};
use crate::testing::vectors::{ONES, records, token};

pub(super) fn check(make: &mut Make<'_>) -> Outcome {
    WALKS.iter().try_for_each(|vector| vector.check(make))
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
