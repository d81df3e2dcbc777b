//! Reading a segment.
//!
//! Nothing that is read is trusted. Each chunk is compared with its checksum when it
//! is touched for the first time; and as checksums can be right over wrong contents,
//! every number that is used as an index is bounded first.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::presence::Presence;
use super::touched::Touched;
use crate::error::{Damage, Error, Result};
use crate::format::checksum;
use crate::format::kinds::{Kind, KindCounts, KindsLine};
use crate::format::layout::{BLOCK_LEN, KINDS_LINE_LEN, KINDS_PER_LINE, Layout, SectionId};
use crate::format::manifest::SegmentEntry;
use crate::format::segment::{Header, header_checksum};
use crate::options::Verification;
use crate::search::postings::Block;
use crate::search::simd::{CACHE_LINE_LEN, prefetch};
use crate::token::{Record, TokenId};

/// A segment over any bytes: a mapped file, a vector, a fuzzer's input.
///
/// Positions count the records from 0 in the order of their tokens. A
/// [`Store`](crate::Store) does all this by itself; this is for tools that look at one file.
///
/// ```
/// use ringstore::{BlockTime, Options, Segment, Store, TokenId, Verification};
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("tokens");
/// let store = Store::create(&path, &Options::new())?;
/// store.put(&TokenId::from(7), BlockTime::new(1.into(), 100))?;
/// store.flush()?;
///
/// let mut files = std::fs::read_dir(&path)?.map(|file| file.unwrap().path());
/// let file = files.find(|file| file.extension().is_some_and(|it| it == "seg")).unwrap();
/// let segment = Segment::open(std::fs::read(&file)?, &file, Verification::OnOpen)?;
/// assert_eq!((segment.len(), segment.record(0)?.time()), (1, 100));
/// assert_eq!(segment.find(&TokenId::from(8))?.position, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Segment<B> {
    pub(super) bytes: B,
    pub(super) path: PathBuf,
    pub(super) header: Header,
    pub(super) layout: Layout,
    pub(super) touched: Touched,
    pub(super) presence: Presence,
}

impl<B: AsRef<[u8]> + Sync> Segment<B> {
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
        let touched = match verification {
            Verification::Never => Touched::all(),
            Verification::OnOpen | Verification::FirstTouch => Touched::none_of(&layout),
        };
        let (path, presence) = (path.to_path_buf(), Presence::unknown());
        let segment = Self { bytes, path, header, layout, touched, presence };
        let found = checksum(segment.section(SectionId::Roots));
        if found != segment.header.roots_checksum {
            let expected = segment.header.roots_checksum;
            return Err(segment.checksum_damage(SectionId::Roots, 0, expected, found));
        }
        if verification == Verification::OnOpen {
            segment.check_all_chunks()?;
        }
        Ok(segment)
    }
}

impl<B: AsRef<[u8]>> Segment<B> {
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

    /// Bytes of one of its sections.
    pub(crate) fn section_len(&self, id: SectionId) -> u64 {
        self.layout.section(id).len as u64
    }

    /// The whole file.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// Bytes of the whole file.
    pub fn file_len(&self) -> u64 {
        self.layout.file_len as u64
    }

    /// The record at a position: one access to memory.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] where the bytes are, or where there is no such position.
    #[inline]
    pub fn record(&self, position: usize) -> Result<&Record> {
        if position < self.len() {
            self.check_records(position..position + 1)?;
            if let Some(record) = self.checked_record(position) {
                return Ok(record);
            }
        }
        Err(self.no_record(position))
    }

    #[cold]
    fn no_record(&self, position: usize) -> Error {
        self.damage(SectionId::Records, 0, "a position below their number", position)
    }

    /// The records at a range of positions, cut to those that exist. Nothing is copied.
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
    pub(super) fn check_records(&self, positions: Range<usize>) -> Result<()> {
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
    pub(super) fn records_unchecked(&self, bytes: Range<usize>) -> &[Record] {
        let bytes = self.section(SectionId::Records).get(bytes).unwrap_or(&[]);
        bytemuck::try_cast_slice(bytes).unwrap_or(&[])
    }

    /// So many bytes at a place in a section, or in what comes after it.
    #[inline]
    pub(super) fn array<const N: usize>(&self, id: SectionId, at: usize) -> Option<&[u8; N]> {
        let start = self.layout.section(id).offset + at;
        self.bytes.as_ref().get(start..)?.first_chunk()
    }

    /// A block of postings, checked.
    #[inline]
    pub(super) fn postings(&self, block: usize) -> Result<Block<'_>> {
        let at = block * BLOCK_LEN;
        self.check(SectionId::Postings, &(at..at + 1))?;
        self.postings_unchecked(block).ok_or_else(|| self.no_postings(block))
    }

    #[cold]
    fn no_postings(&self, block: usize) -> Error {
        self.damage(SectionId::Postings, block * BLOCK_LEN, "a block of postings", "its end")
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
        let bytes: Option<&[u8; Record::LEN]> =
            self.array(SectionId::Records, position * Record::LEN);
        if let Some(bytes) = bytes {
            // It lies in two lines.
            prefetch(bytes, 0);
            prefetch(bytes, Record::LEN - 1);
        }
    }

    /// Brings records near.
    #[inline]
    pub(crate) fn prefetch_records(&self, positions: Range<usize>) {
        let records = self.section(SectionId::Records);
        let end = positions.end * Record::LEN;
        let mut at = positions.start * Record::LEN;
        while at < end {
            prefetch(records, at);
            at += CACHE_LINE_LEN;
        }
        prefetch(records, end.wrapping_sub(1));
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
        self.kinds_line(line)?
            .kind(place)
            .ok_or_else(|| self.kinds_damage(position, "kinds", "bits of no kind"))
    }

    /// Damage to the kind of the entry at a position.
    pub(crate) fn kinds_damage(
        &self,
        position: usize,
        expected: &str,
        found: impl std::fmt::Display,
    ) -> Error {
        self.damage(SectionId::Kinds, position / KINDS_PER_LINE * KINDS_LINE_LEN, expected, found)
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
