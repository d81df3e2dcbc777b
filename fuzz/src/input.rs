//! The input of `segment_bytes`: what to open, how, and what to ask it.
//!
//! A head of 52 bytes, then a file, or edits of one of the [valid
//! segments](crate::valid_segments), three bytes each: offset (2, little-endian) and
//! what to write there. Everything has a fixed place, so that a small change of the
//! input is a small change of what is tried.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 1 | bit 0: edits, not a file; bit 1: make checksums right; bits 2 and 3: level of verification; bit 4: interrupt `verify` |
//! | 1 | 1 | which valid segment to edit |
//! | 2 | 2 | a suffix |
//! | 4 | 8 | where a range starts |
//! | 12 | 8 | where it ends |
//! | 20 | 32 | a token |

use std::ops::Range;

use ringstore::testing::damage::reseal_segment;
use ringstore::{TokenId, Verification};

const HEAD_LEN: usize = 52;
const EDIT_LEN: usize = 3;

/// What to try.
pub struct Input {
    /// The file.
    pub bytes: Vec<u8>,
    /// Whether the file is one of the valid segments as it is.
    pub is_valid: bool,
    pub verification: Verification,
    pub interrupt: bool,
    pub suffix: u16,
    pub range: Range<usize>,
    pub token: TokenId,
}

impl Input {
    /// The input that these bytes say; `None` if they are too few for a head.
    pub fn read(data: &[u8], valid: &[Vec<u8>]) -> Option<Self> {
        let (head, rest) = data.split_first_chunk::<HEAD_LEN>()?;
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| head[at + i]));
        let mut bytes;
        let mut is_valid = false;
        if head[0] & 1 == 0 {
            bytes = rest.to_vec();
        } else {
            let segment = &valid[usize::from(head[1]) % valid.len()];
            bytes = segment.clone();
            for &[low, high, byte] in rest.as_chunks::<EDIT_LEN>().0 {
                let at = usize::from(u16::from_le_bytes([low, high]));
                bytes[at % segment.len()] = byte;
            }
            is_valid = bytes == *segment;
        }
        if head[0] & 2 != 0 {
            reseal_segment(&mut bytes);
        }
        Some(Self {
            bytes,
            is_valid,
            verification: match head[0] >> 2 & 3 {
                0 => Verification::Never,
                1 => Verification::OnOpen,
                _ => Verification::FirstTouch,
            },
            interrupt: head[0] & 16 != 0,
            suffix: u16::from_le_bytes([head[2], head[3]]),
            range: number(4) as usize..number(12) as usize,
            token: TokenId(std::array::from_fn(|i| head[20 + i])),
        })
    }

    /// The bytes of an input that has a file in it.
    pub fn of_file(options: u8, file: &[u8]) -> Vec<u8> {
        [&Self::head(options & !1, 0), file].concat()
    }

    /// The bytes of an input that edits a valid segment.
    pub fn of_edits(options: u8, segment: u8, edits: &[(u16, u8)]) -> Vec<u8> {
        let mut data = Self::head(options | 1, segment).to_vec();
        for (at, byte) in edits {
            data.extend(at.to_le_bytes());
            data.push(*byte);
        }
        data
    }

    /// Asks for the last suffix, a token in the middle, and every position.
    fn head(options: u8, segment: u8) -> [u8; HEAD_LEN] {
        let mut head = [0x81; HEAD_LEN];
        head[..2].copy_from_slice(&[options, segment]);
        head[2..4].copy_from_slice(&1_023u16.to_le_bytes());
        head[4..12].fill(0);
        head[12..20].fill(0xff);
        head
    }
}
