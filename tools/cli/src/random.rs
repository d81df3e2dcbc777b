//! Random records that are the same everywhere and for ever.
//!
//! The stream of a seed is the output of Blake3 in its key derivation mode, context
//! `ringstore random records, version 1`, over the seed as eight big-endian bytes.
//! Each 72 bytes of it are a record: token, block, and time as a big-endian number.
//! A stream of fewer records is a prefix of one of more.

use ringstore::Record;

/// The endless records of a seed.
pub(crate) struct RandomRecords(blake3::OutputReader);

impl RandomRecords {
    pub(crate) fn new(seed: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("ringstore random records, version 1");
        hasher.update(&seed.to_be_bytes());
        Self(hasher.finalize_xof())
    }
}

impl Iterator for RandomRecords {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        let mut bytes = [0; Record::LEN];
        self.0.fill(&mut bytes);
        Some(bytemuck::pod_read_unaligned(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_stable() {
        // As Blake3's own Python package gives it.
        let first: Vec<_> =
            RandomRecords::new(7).take(2).map(|record| record.token.to_string()).collect();
        assert_eq!(
            first,
            [
                "3a995a386d4eca200ad13dda23e5f15f3e8dee8e0175a512d7b4de99f02aac25",
                "64a15a01a4dfb2347f9b57e82aadeebdd96968b43d887d34818de39a1d54e5f4",
            ]
        );
    }
}
