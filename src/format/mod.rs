#![doc = include_str!("FORMAT.md")]

pub(crate) mod kinds;
pub(crate) mod layout;
pub(crate) mod log;
pub(crate) mod manifest;
pub(crate) mod names;
pub(crate) mod segment;

/// The unit of alignment, of reading and of checksums.
pub(crate) const PAGE_LEN: usize = 4096;

/// The checksum of all parts of all files: CRC-32 (IEEE 802.3), which sees every
/// single flipped bit and every run of damage of up to 32 bits.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// Rounds up to whole pages; `None` beyond what a file can hold.
pub(crate) fn page_align(offset: u64) -> Option<u64> {
    offset.checked_next_multiple_of(PAGE_LEN as u64)
}

/// Bytes as they stand in messages about damage.
pub(crate) fn hex_of(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_common_crc_32() {
        assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn bytes_are_said_in_their_order() {
        assert_eq!(hex_of(&[0, 0xab, 7]), "0x00ab07");
    }
}
