//! The input of `log_bytes`: which log of which store, and what is in its place.
//!
//! A head of three bytes, then what there is to say.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 1 | bits 0 and 1: a whole file follows, edits, or blocks; bit 2: make checksums right |
//! | 1 | 1 | which store |
//! | 2 | 1 | which of its logs |
//!
//! An edit is of three bytes: an offset (2, little-endian) and what to write there. Blocks
//! are four bytes each: what to do, and three numbers that it needs. Checksums are not made
//! right where blocks are moved: what comes of these is known.

use crate::stores::{BLOCK_LEN, Written};

const HEAD_LEN: usize = 3;

/// What was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Anything.
    Bytes,
    /// Whole blocks, and one byte.
    Blocks,
}

/// What to try.
pub struct Input<'a> {
    pub store: &'a Written,
    /// Which of its logs.
    pub log: usize,
    /// What is in its place.
    pub bytes: Vec<u8>,
    pub change: Change,
}

impl<'a> Input<'a> {
    /// The input that these bytes say; `None` if they are too few for a head.
    pub fn read(data: &[u8], stores: &'a [Written]) -> Option<Self> {
        let (&[options, store, log], rest) = data.split_first_chunk::<HEAD_LEN>()?;
        let store = &stores[usize::from(store) % stores.len()];
        let log = usize::from(log) % store.logs.len();
        let original = &store.files[&store.logs[log].name];
        let change = if options & 3 < 2 { Change::Bytes } else { Change::Blocks };
        let mut bytes = match options & 3 {
            0 => rest.to_vec(),
            1 => edited(original, rest),
            _ => moved(original, rest),
        };
        if options & 4 != 0 && change == Change::Bytes {
            ringstore::testing::damage::reseal_log(&mut bytes);
        }
        Some(Self { store, log, bytes, change })
    }
}

fn edited(original: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for &[low, high, byte] in edits.as_chunks::<3>().0 {
        let at = usize::from(u16::from_le_bytes([low, high]));
        bytes[at % original.len()] = byte;
    }
    bytes
}

/// A block is lost, or has what another one had; the end is cut off; a byte is another one,
/// which no checksum misses as long as there is one only.
fn moved(original: &[u8], moves: &[u8]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    let blocks = original.len() / BLOCK_LEN;
    let mut is_changed = false;
    for &[what, a, b, c] in moves.as_chunks::<4>().0 {
        let from = usize::from(b) % blocks * BLOCK_LEN;
        let to = usize::from(a) % blocks * BLOCK_LEN;
        match (what % 4, bytes.get_mut(to..to + BLOCK_LEN)) {
            (0, Some(block)) => block.fill(0),
            (1, Some(block)) => block.copy_from_slice(&original[from..from + BLOCK_LEN]),
            (2, _) => bytes.truncate(to + usize::from(b)),
            (3, Some(block)) if !is_changed => {
                block[(usize::from(b) + 256 * usize::from(c & 1)) % BLOCK_LEN] ^= c | 2;
                is_changed = true;
            }
            _ => {}
        }
    }
    bytes
}

/// The bytes of an input.
pub fn input(options: u8, store: u8, log: u8, rest: &[u8]) -> Vec<u8> {
    [&[options, store, log], rest].concat()
}
