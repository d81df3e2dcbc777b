//! What a segment has of each block of its records, made of no other block.

use super::directory::BlockLines;
use crate::format::checksum;
use crate::format::layout::{BLOCK_LEN, BLOCK_RECORDS, SectionId};
use crate::format::segment::BucketMap;
use crate::search::postings::write_block;
use crate::token::Record;

/// Checksums, postings and directory lines of a block of records.
pub(super) struct BlockIndexes {
    /// Of the records' pages.
    pub(super) checksums: Vec<u32>,
    pub(super) postings: Vec<u8>,
    pub(super) postings_checksum: u32,
    pub(super) lines: BlockLines,
    suffixes: Vec<u16>,
}

impl Default for BlockIndexes {
    fn default() -> Self {
        Self {
            checksums: Vec::new(),
            postings: Vec::with_capacity(BLOCK_LEN),
            postings_checksum: 0,
            lines: BlockLines::default(),
            suffixes: Vec::with_capacity(BLOCK_RECORDS),
        }
    }
}

impl BlockIndexes {
    /// Makes them of records in order, [`BLOCK_RECORDS`] of them unless they are a segment's
    /// last, in place of what was there.
    pub(super) fn make(&mut self, records: &[Record], map: &BucketMap) {
        let pages = bytemuck::cast_slice(records).chunks(SectionId::Records.chunk_len());
        self.checksums.clear();
        self.checksums.extend(pages.map(checksum));
        self.suffixes.clear();
        self.suffixes.extend(records.iter().map(|record| record.token.suffix()));
        self.postings.clear();
        write_block(&self.suffixes, &mut self.postings);
        self.postings_checksum = checksum(&self.postings);
        self.lines.make(records, map);
    }
}
