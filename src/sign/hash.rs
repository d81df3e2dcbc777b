//! The chunks of sixteen challenges at once.
//!
//! The hash of a challenge is a chain of some two thousand instructions, each of which needs
//! the one before; a processor could do several of them at a time, and has registers for
//! sixteen numbers. So sixteen challenges are hashed side by side, one in each *lane*. It is
//! the Blake3 hash of messages of 96 bytes, which are two blocks of one chunk
//! (J. O'Connor, J.-P. Aumasson, S. Neves, Z. Wilcox-O'Hearn, "BLAKE3", 2020, section 2).

#![expect(
    clippy::inline_always,
    reason = "vectors are made only of what is inlined where they are"
)]

use std::array::from_fn;

use crate::challenge::{Chunks, chunks};
use crate::search::simd::with_wide_vectors;
use crate::token::{BlockId, PeerId, SUFFIXES, TokenId};

/// Challenges that are hashed at once.
pub(super) const LANES: usize = 16;

/// What is hashed of a challenge: the peer, the token and its block.
pub(super) type Message = [[u8; 32]; 3];

/// The same number of each challenge.
type Lanes = [u32; LANES];

/// Words of a block, and of a hash.
const BLOCK_WORDS: usize = 16;
const HASH_WORDS: usize = 8;

const IV: [u32; HASH_WORDS] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// Flags of the first and of the last block of a message of one chunk.
const CHUNK_START: u32 = 1;
const CHUNK_END_AND_ROOT: u32 = 2 | 8;

/// Which words of a block are mixed in which order, round by round.
const SCHEDULE: [[usize; BLOCK_WORDS]; 7] = {
    const PERMUTATION: [usize; BLOCK_WORDS] =
        [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
    let mut schedule = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]; 7];
    let mut round = 1;
    while round < 7 {
        let mut word = 0;
        while word < BLOCK_WORDS {
            schedule[round][word] = schedule[round - 1][PERMUTATION[word]];
            word += 1;
        }
        round += 1;
    }
    schedule
};

/// The chunks of challenges.
pub(super) fn chunks_of(messages: &[Message; LANES]) -> [Chunks; LANES] {
    let hash = with_wide_vectors(
        #[inline(always)]
        || hash(messages),
    );
    match hash {
        Some(hash) => from_fn(|lane| chunks_in(&hash, lane)),
        // With narrow ones, sixteen at once take longer than one by one.
        None => messages.map(|message| chunks_of_one(&message)),
    }
}

/// The chunks of one challenge.
pub(super) fn chunks_of_one(&[peer, token, block]: &Message) -> Chunks {
    chunks(&PeerId(peer), &TokenId(token), &BlockId(block))
}

/// The chunks in the hash of one lane: ten bits each.
fn chunks_in(hash: &[Lanes; HASH_WORDS], lane: usize) -> Chunks {
    let bits = (0..4).fold(0, |bits, word| bits | u128::from(hash[word][lane]) << (32 * word));
    from_fn(|chunk| (bits >> (10 * chunk)) as u16 & (SUFFIXES as u16 - 1))
}

#[inline(always)]
fn hash(messages: &[Message; LANES]) -> [Lanes; HASH_WORDS] {
    let words: [Lanes; 24] = from_fn(|word| {
        from_fn(|lane| {
            let part: &[[u8; 4]; 8] = bytemuck::cast_ref(&messages[lane][word / 8]);
            u32::from_le_bytes(part[word % 8])
        })
    });
    let block = from_fn(|word| words[word]);
    let hash = compress(&IV.map(|word| [word; LANES]), &block, 64, CHUNK_START);
    let block = from_fn(|word| if word < 8 { words[16 + word] } else { [0; LANES] });
    compress(&hash, &block, 32, CHUNK_END_AND_ROOT)
}

#[inline(always)]
fn compress(
    hash: &[Lanes; HASH_WORDS],
    block: &[Lanes; BLOCK_WORDS],
    block_len: u32,
    flags: u32,
) -> [Lanes; HASH_WORDS] {
    let mut state: [Lanes; 16] = from_fn(|word| match word {
        0..8 => hash[word],
        8..12 => [IV[word - 8]; LANES],
        // A counter of chunks, which is zero.
        12 | 13 => [0; LANES],
        14 => [block_len; LANES],
        _ => [flags; LANES],
    });
    for order in &SCHEDULE {
        let word = |at: usize| &block[order[at]];
        mix(&mut state, [0, 4, 8, 12], word(0), word(1));
        mix(&mut state, [1, 5, 9, 13], word(2), word(3));
        mix(&mut state, [2, 6, 10, 14], word(4), word(5));
        mix(&mut state, [3, 7, 11, 15], word(6), word(7));
        mix(&mut state, [0, 5, 10, 15], word(8), word(9));
        mix(&mut state, [1, 6, 11, 12], word(10), word(11));
        mix(&mut state, [2, 7, 8, 13], word(12), word(13));
        mix(&mut state, [3, 4, 9, 14], word(14), word(15));
    }
    from_fn(|word| from_fn(|lane| state[word][lane] ^ state[word + 8][lane]))
}

/// The quarter round.
#[inline(always)]
fn mix(state: &mut [Lanes; 16], [a, b, c, d]: [usize; 4], word: &Lanes, next: &Lanes) {
    state[a] = add(&add(&state[a], &state[b]), word);
    state[d] = turn::<16>(&state[d], &state[a]);
    state[c] = add(&state[c], &state[d]);
    state[b] = turn::<12>(&state[b], &state[c]);
    state[a] = add(&add(&state[a], &state[b]), next);
    state[d] = turn::<8>(&state[d], &state[a]);
    state[c] = add(&state[c], &state[d]);
    state[b] = turn::<7>(&state[b], &state[c]);
}

#[inline(always)]
fn add(one: &Lanes, other: &Lanes) -> Lanes {
    from_fn(|lane| one[lane].wrapping_add(other[lane]))
}

#[inline(always)]
fn turn<const BITS: u32>(one: &Lanes, other: &Lanes) -> Lanes {
    from_fn(|lane| (one[lane] ^ other[lane]).rotate_right(BITS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::simd::with_vectors_of_each_width;
    use crate::testing::random::Random;

    #[test]
    fn each_lane_has_the_chunks_of_its_challenge() {
        let mut random = Random::new("lanes", 1);
        for round in 0..200 {
            let mut messages: [Message; LANES] = from_fn(|_| from_fn(|_| random.token().0));
            if round == 0 {
                messages[3] = [[1; 32], [2; 32], [3; 32]];
                messages[4] = [[0; 32]; 3];
                messages[5] = [[0xff; 32]; 3];
            }
            let expected = messages.map(|message| chunks_of_one(&message));
            assert_eq!(chunks_of(&messages), expected);
            for hash in with_vectors_of_each_width(|| hash(&messages)) {
                assert_eq!(from_fn(|lane| chunks_in(&hash, lane)), expected);
            }
        }
    }
}
