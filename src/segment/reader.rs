//! Reading a segment.
//!
//! A token is found in two accesses to memory: a line of the prefix directory says which
//! few records it can be among, and those lie side by side. Where keys crowd so that a
//! bucket of the directory holds more than 128 records, the fence keys, the tokens of
//! every 128th record, are searched before the records are.
//!
//! Nothing that is read is trusted. Each chunk is compared with its checksum when it
//! is touched for the first time; and as checksums can be right over wrong contents,
//! every number that is used as an index is bounded first.

use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use super::touched::Touched;
use bytemuck::TransparentWrapper;

use crate::error::{Damage, Error, Result};
use crate::format::kinds::{Kind, KindCounts, KindsLine};
use crate::format::layout::{
    BLOCK_LEN, CHECKSUM_LEN, DIRECTORY_LINE_LEN, FENCE_LEN, FENCE_RECORDS, KINDS_LINE_LEN,
    KINDS_PER_LINE, Layout, SectionId,
};
use crate::format::manifest::SegmentEntry;
use crate::format::segment::{Header, header_checksum};
use crate::format::{PAGE_LEN, checksum};
use crate::options::Verification;
use crate::search::directory::{Line, Place, interpolate};
use crate::search::gallop::gallop;
use crate::search::postings::Block;
use crate::search::simd::prefetch;
use crate::token::{Record, TokenId};

/// Records of a bucket that are looked at together; most buckets hold no more.
const WINDOW_RECORDS: usize = 4;

/// A segment over any bytes: a mapped file, a vector, a fuzzer's input.
///
/// Positions count the records from 0 in the order of their tokens.
#[derive(Debug)]
pub struct Segment<B> {
    pub(super) bytes: B,
    pub(super) path: PathBuf,
    pub(super) header: Header,
    pub(super) layout: Layout,
    touched: Touched,
}

/// Where a token is, or would be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// The number of records with smaller tokens.
    pub position: usize,
    /// Whether the record at `position` has this very token.
    pub exact: bool,
}

impl<B: AsRef<[u8]>> Segment<B> {
    /// Opens a segment in its bytes. `path` is for messages only.
    ///
    /// Reads header, footer and the checksums of checksums: about one byte in four
    /// million.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] and [`Error::UnknownVersion`]; with
    /// [`Verification::OnOpen`] damage in any chunk.
    pub fn open(bytes: B, path: &Path, verification: Verification) -> Result<Self> {
        let (header, layout) = Header::decode(bytes.as_ref(), path)?;
        let touched = Touched::new(layout.checked_chunks(), verification == Verification::Never);
        let segment = Self { bytes, path: path.to_path_buf(), header, layout, touched };
        let found = checksum(segment.section(SectionId::Roots));
        if found != segment.header.roots_checksum {
            let expected = segment.header.roots_checksum;
            return Err(segment.checksum_damage(SectionId::Roots, 0, expected, found));
        }
        Ok(segment)
    }

    /// The number of records, from 1 to 2^32 - 1.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a segment is never empty")]
    pub fn len(&self) -> usize {
        self.header.records as usize
    }

    /// The smallest token.
    #[inline]
    pub fn min(&self) -> &TokenId {
        &self.header.min
    }

    /// The largest token.
    #[inline]
    pub fn max(&self) -> &TokenId {
        &self.header.max
    }

    /// What a manifest has to say of this segment.
    pub(crate) fn entry(&self) -> SegmentEntry {
        let header = &self.header;
        SegmentEntry {
            store_id: header.store_id,
            segment_id: header.segment_id,
            file_len: self.file_len(),
            header_checksum: header_checksum(self.bytes.as_ref()).unwrap_or_default(),
            records: header.records,
            updates: header.updates,
            tombstones: header.tombstones,
            min: header.min,
            max: header.max,
        }
    }

    /// The file that the segment is in, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the whole file.
    pub fn file_len(&self) -> u64 {
        self.layout.file_len as u64
    }

    /// The record at a position.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] where the bytes are, or where there is no such position.
    #[inline]
    pub fn record(&self, position: usize) -> Result<&Record> {
        if position >= self.len() {
            return Err(self.damage(SectionId::Records, 0, "a position of a record", position));
        }
        self.check_records(position..position + 1)?;
        self.checked_record(position)
            .ok_or_else(|| self.damage(SectionId::Records, 0, "a record", "the end"))
    }

    /// The records at a range of positions, cut to those that exist.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`].
    #[inline]
    pub fn records(&self, positions: Range<usize>) -> Result<&[Record]> {
        let end = positions.end.min(self.len());
        let start = positions.start.min(end);
        self.check_records(start..end)?;
        Ok(self.records_unchecked(start * Record::LEN..end * Record::LEN))
    }

    /// Checks the records at a range of positions that exist.
    #[inline]
    fn check_records(&self, positions: Range<usize>) -> Result<()> {
        self.check(
            SectionId::Records,
            &(positions.start * Record::LEN..positions.end * Record::LEN),
        )
    }

    /// The record at a position that was checked before; `None` if there is no such
    /// position.
    #[inline]
    pub(crate) fn checked_record(&self, position: usize) -> Option<&Record> {
        let bytes: &[u8; Record::LEN] = self.array(SectionId::Records, position * Record::LEN)?;
        (position < self.len()).then(|| bytemuck::from_bytes(bytes))
    }

    /// The records in a range of bytes of their section.
    #[inline]
    fn records_unchecked(&self, bytes: Range<usize>) -> &[Record] {
        let bytes = self.section(SectionId::Records).get(bytes).unwrap_or(&[]);
        bytemuck::try_cast_slice(bytes).unwrap_or(&[])
    }

    /// Finds a token. If it is there, its record was checked.
    ///
    /// Two or three accesses to memory for tokens spread like hashes, a logarithmic
    /// number for any others.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`].
    #[inline]
    pub fn find(&self, token: &TokenId) -> Result<Found> {
        // Tokens that share the skipped bits are told apart from the others by the map.
        if self.header.map.skip_bits > 0 {
            if token < &self.header.min {
                return Ok(Found { position: 0, exact: false });
            }
            if token > &self.header.max {
                return Ok(Found { position: self.len(), exact: false });
            }
        }
        let place = self.header.map.place(token);
        let (start, end) = self.bucket_range(place)?;
        if end - start <= WINDOW_RECORDS
            && let Some(window) = self.window(start)
        {
            self.check_records(start..end)?;
            if let Some(found) = self.find_in_window(window, end - start, token) {
                return Ok(Found { position: start + found.position, ..found });
            }
        }
        let (range, guess) = if end - start <= FENCE_RECORDS {
            (start..end, place.guess(end - start))
        } else {
            self.search_fences(start..end, token)?
        };
        let records = self.records(range.clone())?;
        let below =
            gallop(records.len(), guess, |i| records.get(i).is_some_and(|r| r.token < *token));
        let exact = records.get(below).is_some_and(|record| record.token == *token);
        Ok(Found { position: range.start + below, exact })
    }

    /// Finds a token among the first `len` records of a window; `None` if another one is
    /// equal in the bits that are compared.
    ///
    /// Looks at all of them without asking which, so that the processor goes on to what
    /// comes next while they are still on their way.
    #[inline]
    fn find_in_window(
        &self,
        window: &[Record; WINDOW_RECORDS],
        len: usize,
        token: &TokenId,
    ) -> Option<Found> {
        let map = &self.header.map;
        let key = map.key(token);
        let below =
            (0..WINDOW_RECORDS).map(|i| usize::from((i < len) & (map.key(&window[i].token) < key)));
        let position: usize = below.sum();
        let found = window.get(position).filter(|_| position < len);
        let same_key = found.is_some_and(|record| map.key(&record.token) == key);
        let exact = same_key && found.is_some_and(|record| record.token == *token);
        (exact == same_key).then_some(Found { position, exact })
    }

    /// The positions of the records that can have a token, by the directory.
    #[inline]
    pub(super) fn bucket_range(&self, place: Place) -> Result<(usize, usize)> {
        let at = place.line * DIRECTORY_LINE_LEN;
        self.check(SectionId::Directory, &(at..at + DIRECTORY_LINE_LEN))?;
        let Some(line) = self.array(SectionId::Directory, at) else {
            return Err(self.damage(SectionId::Directory, at, "a line", "the end"));
        };
        let mut checked = Ok(());
        let range = Line::wrap_ref(line).range(place.bucket(), self.len(), || {
            let next = at + DIRECTORY_LINE_LEN..at + 2 * DIRECTORY_LINE_LEN;
            match Line::read(self.section(SectionId::Directory), place.line + 1) {
                Some(line) => {
                    checked = self.check(SectionId::Directory, &next);
                    line.start()
                }
                None => self.len(),
            }
        });
        checked.map(|()| range)
    }

    /// The records from a position on, as many as are looked at together, and whether
    /// checked or not; `None` near the end of the file.
    #[inline]
    fn window(&self, start: usize) -> Option<&[Record; WINDOW_RECORDS]> {
        let bytes: &[u8; WINDOW_RECORDS * Record::LEN] =
            self.array(SectionId::Records, start * Record::LEN)?;
        bytemuck::cast_slice(bytes).first_chunk()
    }

    /// So many bytes at a place in a section, or in what comes after it.
    #[inline]
    fn array<const N: usize>(&self, id: SectionId, at: usize) -> Option<&[u8; N]> {
        let start = self.layout.section(id).offset + at;
        self.bytes.as_ref().get(start..)?.first_chunk()
    }

    /// Narrows an overfull bucket to the records between two fence keys, and says at
    /// which of them to look first.
    #[cold]
    fn search_fences(
        &self,
        bucket: Range<usize>,
        token: &TokenId,
    ) -> Result<(Range<usize>, usize)> {
        if !self.header.has_fences {
            return Ok((bucket.clone(), bucket.len() / 2));
        }
        let first = bucket.start.div_ceil(FENCE_RECORDS);
        let count = bucket.end.div_ceil(FENCE_RECORDS) - first;
        let (Some(low), Some(high)) =
            (self.fence(first)?, self.fence(first + count.saturating_sub(1))?)
        else {
            return Ok((bucket.clone(), bucket.len() / 2));
        };
        let mut failed = None;
        let below = gallop(count, interpolate(low, high, token, count), |index| {
            match self.fence(first + index) {
                Ok(fence) => fence.is_some_and(|fence| fence < token),
                Err(error) => {
                    failed = Some(error);
                    false
                }
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let start = if below == 0 { bucket.start } else { (first + below - 1) * FENCE_RECORDS };
        let end = if below == count { bucket.end } else { (first + below) * FENCE_RECORDS + 1 };
        let range = start..end.max(start);
        let guess = match (below.checked_sub(1), self.fence(first + below)?) {
            (Some(index), Some(high)) if below < count => match self.fence(first + index)? {
                Some(low) => interpolate(low, high, token, range.len()),
                None => range.len() / 2,
            },
            _ => range.len() / 2,
        };
        Ok((range, guess))
    }

    /// A fence key: the token of every 128th record.
    fn fence(&self, index: usize) -> Result<Option<&TokenId>> {
        let bytes = index * FENCE_LEN..(index + 1) * FENCE_LEN;
        self.check(SectionId::Fences, &bytes)?;
        let key: Option<&[u8; FENCE_LEN]> =
            self.section(SectionId::Fences).get(bytes).and_then(<[u8]>::first_chunk);
        Ok(key.map(bytemuck::TransparentWrapper::wrap_ref))
    }

    /// A block of postings, checked.
    pub(super) fn postings(&self, block: usize) -> Result<Block<'_>> {
        let chunk = self.layout.section(SectionId::Postings).first_chunk + block;
        if !self.touched.contains(chunk) {
            self.check_chunk(chunk)?;
        }
        self.postings_unchecked(block).ok_or_else(|| {
            self.damage(SectionId::Postings, block * BLOCK_LEN, "a block of postings", "its end")
        })
    }

    #[inline]
    pub(super) fn postings_unchecked(&self, block: usize) -> Option<Block<'_>> {
        let section = self.section(SectionId::Postings);
        let start = block * BLOCK_LEN;
        Block::new(section.get(start..section.len().min(start + BLOCK_LEN))?)
    }

    /// Brings a record near.
    #[inline]
    pub(crate) fn prefetch_record(&self, position: usize) {
        let records = self.section(SectionId::Records);
        let at = position * Record::LEN;
        prefetch(records, at);
        prefetch(records, at + Record::LEN - 1);
    }

    /// What the entry at a position did to the layers below.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`].
    pub fn kind(&self, position: usize) -> Result<Kind> {
        if !self.header.has_kinds {
            return Ok(Kind::Fresh);
        }
        let (line, place) = (position / KINDS_PER_LINE, position % KINDS_PER_LINE);
        self.kinds_line(line)?.kind(place).ok_or_else(|| {
            self.damage(SectionId::Kinds, line * KINDS_LINE_LEN, "kinds", "bits of no kind")
        })
    }

    /// By how many tokens the first `position` entries change the number of tokens
    /// of the layers below: fresh ones less tombstones.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`].
    pub fn tokens_before(&self, position: usize) -> Result<i64> {
        let position = position.min(self.len());
        let counts = if self.header.has_kinds && position > 0 {
            // The line of the entry before, as the one at `position` may not exist.
            let last = position - 1;
            self.kinds_line(last / KINDS_PER_LINE)?.counts_before(last % KINDS_PER_LINE + 1)
        } else {
            KindCounts::default()
        };
        // A segment has fewer than 2^32 records; the counts are its word only.
        let stale = counts.stale.wrapping_add(counts.tombstones);
        Ok(position.cast_signed().wrapping_sub_unsigned(stale as usize) as i64)
    }

    pub(super) fn kinds_line(&self, line: usize) -> Result<KindsLine> {
        let bytes = line * KINDS_LINE_LEN..(line + 1) * KINDS_LINE_LEN;
        self.check(SectionId::Kinds, &bytes)?;
        match self.section(SectionId::Kinds).get(bytes).and_then(<[u8]>::first_chunk) {
            Some(bytes) => Ok(KindsLine::decode(bytes)),
            None => Err(self.damage(
                SectionId::Kinds,
                line * KINDS_LINE_LEN,
                "a line of kinds",
                "its end",
            )),
        }
    }

    /// The bytes of a section.
    #[inline]
    pub(super) fn section(&self, id: SectionId) -> &[u8] {
        let section = self.layout.section(id);
        self.bytes.as_ref().get(section.offset..section.offset + section.len).unwrap_or(&[])
    }

    /// Compares the chunks that a range of bytes of a section lies in with their
    /// checksums, those that were not compared before.
    #[inline]
    fn check(&self, id: SectionId, bytes: &Range<usize>) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let first_chunk = self.layout.section(id).first_chunk;
        let first = first_chunk + bytes.start / PAGE_LEN;
        let last = first_chunk + (bytes.end - 1) / PAGE_LEN;
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
            let page = self.layout.data_chunks() + chunk * CHECKSUM_LEN / PAGE_LEN;
            if !self.touched.contains(page) {
                self.check_chunk(page)?;
            }
            self.checksum_at(SectionId::Checksums, chunk)
        };
        let found = checksum(self.section(id).get(range.clone()).unwrap_or(&[]));
        if found != expected {
            return Err(self.checksum_damage(id, range.start, expected, found));
        }
        self.touched.insert(chunk);
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

    fn checksum_damage(&self, id: SectionId, at: usize, expected: u32, found: u32) -> Error {
        self.damage(id, at, &format!("checksum {expected:#010x}"), format!("{found:#010x}"))
    }

    /// Damage at a byte of a section.
    #[cold]
    pub(super) fn damage(
        &self,
        id: SectionId,
        at: usize,
        expected: &str,
        found: impl std::fmt::Display,
    ) -> Error {
        Error::from(Damage {
            path: self.path.clone(),
            part: id.name(),
            offset: (self.layout.section(id).offset + at) as u64,
            expected: expected.to_string(),
            found: found.to_string(),
        })
    }
}
