//! Comparing chunks with their checksums, each when it is touched for the first time.

use std::ops::{Range, RangeInclusive};

use super::reader::Segment;
use crate::error::{Error, Result};
use crate::format::checksum;
use crate::format::layout::{CHECKSUM_LEN, SectionId};

impl<B: AsRef<[u8]>> Segment<B> {
    /// Compares the chunks that a range of bytes of a section lies in with their
    /// checksums, those that were not compared before.
    #[inline]
    pub(super) fn check(&self, id: SectionId, bytes: &Range<usize>) -> Result<()> {
        if self.touched.is_complete(id) || bytes.is_empty() {
            return Ok(());
        }
        self.check_untouched(id, bytes)
    }

    /// [`check`](Self::check) where some chunks of the section are left to compare.
    fn check_untouched(&self, id: SectionId, bytes: &Range<usize>) -> Result<()> {
        let first_chunk = self.layout.section(id).first_chunk;
        let first = first_chunk + bytes.start / id.chunk_len();
        let last = first_chunk + (bytes.end - 1) / id.chunk_len();
        if first == last && self.touched.contains(first) {
            return Ok(());
        }
        self.check_chunks(first..=last)
    }

    fn check_chunks(&self, chunks: RangeInclusive<usize>) -> Result<()> {
        for chunk in chunks {
            if !self.touched.contains(chunk) {
                self.check_chunk(chunk)?;
            }
        }
        Ok(())
    }

    /// Compares a chunk with its checksum.
    #[cold]
    pub(super) fn check_chunk(&self, chunk: usize) -> Result<()> {
        let Some((id, range)) = self.chunk_range(chunk) else {
            return Ok(());
        };
        let expected = if id == SectionId::Checksums {
            self.checksum_at(SectionId::Roots, chunk - self.layout.data_chunks())
        } else {
            let at = chunk * CHECKSUM_LEN;
            self.check(SectionId::Checksums, &(at..at + CHECKSUM_LEN))?;
            self.checksum_at(SectionId::Checksums, chunk)
        };
        let found = checksum(self.section(id).get(range.clone()).unwrap_or(&[]));
        if found != expected {
            return Err(self.checksum_damage(id, range.start, expected, found));
        }
        self.touched.insert(id, chunk);
        Ok(())
    }

    /// The section that a chunk is in, and where.
    pub(super) fn chunk_range(&self, chunk: usize) -> Option<(SectionId, Range<usize>)> {
        let id = SectionId::ALL.into_iter().rev().skip(1).find(|&id| {
            let section = self.layout.section(id);
            section.len > 0 && section.first_chunk <= chunk
        })?;
        let section = self.layout.section(id);
        let start = (chunk - section.first_chunk) * id.chunk_len();
        (start < section.len).then(|| (id, start..section.len.min(start + id.chunk_len())))
    }

    fn checksum_at(&self, id: SectionId, index: usize) -> u32 {
        let at = index * CHECKSUM_LEN;
        let bytes = self.section(id).get(at..at + CHECKSUM_LEN).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    pub(super) fn checksum_damage(
        &self,
        id: SectionId,
        at: usize,
        expected: u32,
        found: u32,
    ) -> Error {
        self.damage(id, at, &format!("checksum {expected:#010x}"), format!("{found:#010x}"))
    }
}
