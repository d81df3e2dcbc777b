//! Records as key-value stores have them: the token is the key, and the value is the block,
//! then the time as a big-endian number.

use ringstore::{BlockId, BlockTime};

/// Bytes of a value.
pub(super) const VALUE_BYTES: usize = 40;

pub(super) fn encode(value: &BlockTime) -> [u8; VALUE_BYTES] {
    let mut bytes = [0; VALUE_BYTES];
    bytes[..32].copy_from_slice(value.block.as_bytes());
    bytes[32..].copy_from_slice(&value.time.to_be_bytes());
    bytes
}

#[inline]
pub(super) fn decode(bytes: &[u8; VALUE_BYTES]) -> BlockTime {
    let mut block = [0; 32];
    let mut time = [0; 8];
    block.copy_from_slice(&bytes[..32]);
    time.copy_from_slice(&bytes[32..]);
    BlockTime { block: BlockId(block), time: u64::from_be_bytes(time) }
}
