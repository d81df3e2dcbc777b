//! Building a segment in one pass.
//!
//! Records come in order and go out again at once, page by page; their suffixes
//! become a block of postings every 32,768 records, and directory and kinds are
//! written along. What is kept in memory is a buffer for each section and four bytes
//! for each page written: a thousandth of the file.
//!
//! How many records will come is known only as an upper bound, for instance when
//! inputs are merged that may hold the same tokens. Each section is written where it
//! would begin if that many came. If fewer did, the sections after the records are
//! moved down in the end, and if far fewer did, the directory is made anew.

use std::ops::Range;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::format::kinds::{Kind, KindCounts, KindsLine};
use crate::format::layout::{
    BLOCK_RECORDS, CHECKSUM_LEN, FENCE_LEN, FENCE_RECORDS, KINDS_LINE_LEN, KINDS_PER_LINE, Layout,
    RECORDS_END, SectionId, Shape,
};
use crate::format::manifest::SegmentEntry;
use crate::format::segment::{BucketMap, Header, StoreIdBytes};
use crate::format::{PAGE_LEN, checksum};
use crate::io::DiskFile;
use crate::search::directory::Line;
use crate::search::postings::write_block;
use crate::token::{Record, TokenId};

/// What is known of a segment before its first record comes.
pub(crate) struct SegmentPlan {
    pub(crate) store_id: StoreIdBytes,
    pub(crate) segment_id: u64,
    /// At most so many records will come.
    pub(crate) records_max: u64,
    /// No token outside of these bounds will come.
    pub(crate) bounds: (TokenId, TokenId),
}

/// A segment being written.
pub(crate) struct SegmentBuilder {
    file: File,
    plan: SegmentPlan,
    sections: [SectionWriter; 3],
    directory: DirectoryWriter,
    /// Suffixes of the block of records that is being filled.
    suffixes: Vec<u16>,
    line: KindsLine,
    counts: KindCounts,
    records: u64,
    min: TokenId,
    last: TokenId,
}

/// A file that has no name yet that anybody would look for, and its path for messages.
struct File {
    file: Box<dyn DiskFile>,
    path: PathBuf,
}

impl File {
    fn write(&self, bytes: &[u8], offset: usize) -> Result<()> {
        self.file.write_all_at(bytes, offset as u64).map_err(Error::io("write", &self.path))
    }

    fn read(&self, bytes: &mut [u8], offset: usize) -> Result<()> {
        self.file.read_exact_at(bytes, offset as u64).map_err(Error::io("read back", &self.path))
    }
}

/// Files are written up to multiples of this at a time, in one call each, so that the
/// page cache holds them in pieces that the processor maps with one entry.
const HUGE_PAGE_LEN: usize = 2 << 20;

/// A section being written, and the checksums of its chunks.
struct SectionWriter {
    id: SectionId,
    /// Where in the file the section begins.
    offset: usize,
    /// Bytes written to the file.
    written: usize,
    buffer: Vec<u8>,
    checksums: Vec<u32>,
    /// The checksum of the chunk that is not complete yet, and how much it has of it.
    hasher: crc32fast::Hasher,
    hashed: usize,
}

impl SectionWriter {
    fn new(id: SectionId, offset: usize) -> Self {
        Self {
            id,
            offset,
            written: 0,
            buffer: Vec::new(),
            checksums: Vec::new(),
            hasher: crc32fast::Hasher::new(),
            hashed: 0,
        }
    }

    #[inline]
    fn push(&mut self, bytes: &[u8], file: &File) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        let at = self.offset + self.written;
        let len = (at + 1).next_multiple_of(HUGE_PAGE_LEN) - at;
        if self.buffer.len() >= len { self.write_first(len, file) } else { Ok(()) }
    }

    /// Writes what is left, the last chunk perhaps shorter.
    fn finish(&mut self, file: &File) -> Result<()> {
        self.write_first(self.buffer.len(), file)?;
        if self.hashed > 0 {
            self.checksums.push(std::mem::take(&mut self.hasher).finalize());
            self.hashed = 0;
        }
        Ok(())
    }

    fn write_first(&mut self, len: usize, file: &File) -> Result<()> {
        let bytes = &self.buffer[..len];
        let mut rest = bytes;
        while !rest.is_empty() {
            let (part, after) = rest.split_at(rest.len().min(self.id.chunk_len() - self.hashed));
            self.hasher.update(part);
            self.hashed += part.len();
            if self.hashed == self.id.chunk_len() {
                self.checksums.push(std::mem::take(&mut self.hasher).finalize());
                self.hashed = 0;
            }
            rest = after;
        }
        file.write(bytes, self.offset + self.written)?;
        self.written += len;
        self.buffer.drain(..len);
        Ok(())
    }

    fn len(&self) -> usize {
        self.written + self.buffer.len()
    }

    /// Moves a finished section to a lower offset.
    fn move_down(&mut self, offset: usize, file: &File) -> Result<()> {
        if offset == self.offset {
            return Ok(());
        }
        let mut bytes = vec![0; 1 << 20];
        for done in (0..self.written).step_by(bytes.len()) {
            let len = bytes.len().min(self.written - done);
            file.read(&mut bytes[..len], self.offset + done)?;
            file.write(&bytes[..len], offset + done)?;
        }
        self.offset = offset;
        Ok(())
    }
}

const RECORDS: usize = 0;
const POSTINGS: usize = 1;
const KINDS: usize = 2;

impl SegmentBuilder {
    /// Begins a segment in an empty file. `path` is for messages only.
    pub(crate) fn new(file: Box<dyn DiskFile>, path: PathBuf, plan: SegmentPlan) -> Result<Self> {
        if !(1..RECORDS_END).contains(&plan.records_max) {
            return Err(Error::TooManyRecords { max: RECORDS_END - 1, found: plan.records_max });
        }
        let map = BucketMap::new(plan.records_max, &plan.bounds.0, &plan.bounds.1);
        let layout = layout_of(plan.records_max, &map, true, false)?;
        let sections = [SectionId::Records, SectionId::Postings, SectionId::Kinds]
            .map(|id| SectionWriter::new(id, layout.section(id).offset));
        let directory = DirectoryWriter::new(map, layout.section(SectionId::Directory).offset);
        Ok(Self {
            file: File { file, path },
            sections,
            directory,
            suffixes: Vec::with_capacity(BLOCK_RECORDS),
            line: KindsLine::default(),
            counts: KindCounts::default(),
            records: 0,
            min: plan.bounds.0,
            last: plan.bounds.0,
            plan,
        })
    }

    /// Appends a record; its token must be larger than that of the one before.
    pub(crate) fn push(&mut self, record: &Record, kind: Kind) -> Result<()> {
        let token = &record.token;
        let (low, high) = &self.plan.bounds;
        if self.records == self.plan.records_max {
            return Err(Error::TooManyRecords {
                max: self.plan.records_max,
                found: self.records + 1,
            });
        }
        if token < low || token > high || (self.records > 0 && *token <= self.last) {
            return Err(Error::OutOfOrder { token: *token, last: self.last });
        }
        if self.records == 0 {
            self.min = *token;
        }
        self.last = *token;
        self.sections[RECORDS].push(bytemuck::bytes_of(record), &self.file)?;
        self.suffixes.push(token.suffix());
        if self.suffixes.len() == BLOCK_RECORDS {
            self.write_postings()?;
        }
        self.directory.push(token, &self.file)?;
        if kind != Kind::Fresh || self.counts != KindCounts::default() {
            self.push_kind(kind)?;
        }
        self.records += 1;
        Ok(())
    }

    fn write_postings(&mut self) -> Result<()> {
        let postings = &mut self.sections[POSTINGS];
        write_block(&self.suffixes, &mut postings.buffer);
        self.suffixes.clear();
        postings.push(&[], &self.file)
    }

    /// Enters a kind, and, if it is the first that is not fresh, all kinds before it.
    fn push_kind(&mut self, kind: Kind) -> Result<()> {
        let lines = self.records as usize / KINDS_PER_LINE;
        while self.sections[KINDS].len() < lines * KINDS_LINE_LEN {
            self.write_kinds_line()?;
        }
        self.line.set(self.records as usize % KINDS_PER_LINE, kind);
        self.counts.add(kind);
        Ok(())
    }

    fn write_kinds_line(&mut self) -> Result<()> {
        self.sections[KINDS].push(&self.line.encode(), &self.file)?;
        self.line = KindsLine::after(self.counts);
        Ok(())
    }

    /// Writes what is left, syncs the file and makes it read-only: all that is missing
    /// is its name. `None` if no record came; the file is then of no use.
    pub(crate) fn finish(mut self) -> Result<Option<SegmentEntry>> {
        if self.records == 0 {
            return Ok(None);
        }
        if !self.suffixes.is_empty() {
            self.write_postings()?;
        }
        let has_kinds = self.counts != KindCounts::default();
        if has_kinds {
            self.write_kinds_line()?;
        }
        let file = &self.file;
        for section in &mut self.sections {
            section.finish(file)?;
        }
        let [records, mut postings, mut kinds] = self.sections;
        let mut directory = self.directory;
        directory.finish(file)?;

        let map = if self.records < self.plan.records_max / 16 * 15 {
            BucketMap::new(self.records, &self.min, &self.last)
        } else {
            directory.map
        };
        let layout = layout_of(self.records, &map, has_kinds, false)?;
        postings.move_down(layout.section(SectionId::Postings).offset, file)?;
        let directory_offset = layout.section(SectionId::Directory).offset;
        if map == directory.map {
            directory.lines.move_down(directory_offset, file)?;
            kinds.move_down(layout.section(SectionId::Kinds).offset, file)?;
        } else {
            // The kinds lie behind the larger directory; out of the way of the new one.
            kinds.move_down(layout.section(SectionId::Kinds).offset, file)?;
            directory = write_directory_again(map, directory_offset, &records, file)?;
        }
        let has_fences = directory.longest_bucket > FENCE_RECORDS;
        let layout = layout_of(self.records, &map, has_kinds, has_fences)?;
        let mut sections = vec![records, postings, directory.lines, kinds];
        if has_fences {
            let offset = layout.section(SectionId::Fences).offset;
            sections.push(write_fences(offset, &sections[RECORDS], file)?);
        }

        let mut checksums =
            SectionWriter::new(SectionId::Checksums, layout.section(SectionId::Checksums).offset);
        for sum in sections.iter().flat_map(|section| &section.checksums) {
            checksums.push(&sum.to_le_bytes(), file)?;
        }
        checksums.finish(file)?;
        let mut roots =
            SectionWriter::new(SectionId::Roots, layout.section(SectionId::Roots).offset);
        for sum in &checksums.checksums {
            roots.buffer.extend_from_slice(&sum.to_le_bytes());
        }
        let roots_checksum = checksum(&roots.buffer);
        roots.finish(file)?;
        sections.extend([checksums, roots]);
        // What was moved may have left bytes behind between two sections.
        for section in &sections {
            debug_assert_eq!(layout.section(section.id).len, section.written, "{:?}", section.id);
            let end = section.offset + section.written;
            file.write(&[0; PAGE_LEN][..end.next_multiple_of(PAGE_LEN) - end], end)?;
        }

        let header = Header {
            store_id: self.plan.store_id,
            segment_id: self.plan.segment_id,
            records: self.records,
            updates: self.counts.stale - self.counts.tombstones,
            tombstones: self.counts.tombstones,
            min: self.min,
            max: self.last,
            map,
            has_kinds,
            has_fences,
            roots_checksum,
        };
        let (page, footer) = header.encode(&layout);
        file.write(&page, 0)?;
        file.write(&footer, layout.footer)?;
        file.file
            .set_len(layout.file_len as u64)
            .map_err(Error::io("set the length of", &file.path))?;
        file.file.sync().map_err(Error::io("sync", &file.path))?;
        file.file.set_read_only().map_err(Error::io("make read-only", &file.path))?;
        Ok(Some(SegmentEntry {
            store_id: header.store_id,
            segment_id: header.segment_id,
            file_len: layout.file_len as u64,
            header_checksum: u32::from_le_bytes(
                page[PAGE_LEN - CHECKSUM_LEN..].try_into().unwrap_or_default(),
            ),
            records: header.records,
            updates: header.updates,
            tombstones: header.tombstones,
            min: header.min,
            max: header.max,
        }))
    }
}

fn layout_of(records: u64, map: &BucketMap, has_kinds: bool, has_fences: bool) -> Result<Layout> {
    Layout::of(Shape { records, lines: map.lines, has_kinds, has_fences })
        .ok_or(Error::TooManyRecords { max: RECORDS_END - 1, found: records })
}

/// The directory being written, line by line.
struct DirectoryWriter {
    map: BucketMap,
    lines: SectionWriter,
    /// The line that is being filled, its number, and how many records it has.
    line: Line,
    line_index: usize,
    line_records: usize,
    /// The bucket of the last record, and how many records a search for one in it has
    /// to reckon with.
    bucket: usize,
    bucket_records: usize,
    longest_bucket: usize,
    records: usize,
}

impl DirectoryWriter {
    fn new(map: BucketMap, offset: usize) -> Self {
        Self {
            map,
            lines: SectionWriter::new(SectionId::Directory, offset),
            line: Line::starting_at(0),
            line_index: 0,
            line_records: 0,
            bucket: 0,
            bucket_records: 0,
            longest_bucket: 0,
            records: 0,
        }
    }

    /// Enters the token of the next record.
    #[inline]
    fn push(&mut self, token: &TokenId, file: &File) -> Result<()> {
        let place = self.map.place(token);
        while self.line_index < place.line {
            self.write_line(file)?;
        }
        let bucket = place.bucket();
        if bucket != self.bucket && self.line_records < Line::RECORDS_END {
            self.bucket_records = 0;
        }
        self.bucket = bucket;
        self.bucket_records += 1;
        self.longest_bucket = self.longest_bucket.max(self.bucket_records);
        self.line_records += 1;
        self.line.end_at(bucket, self.line_records);
        self.records += 1;
        Ok(())
    }

    fn write_line(&mut self, file: &File) -> Result<()> {
        self.lines.push(self.line.bytes(), file)?;
        self.line = Line::starting_at(self.records);
        self.line_index += 1;
        (self.line_records, self.bucket, self.bucket_records) = (0, 0, 0);
        Ok(())
    }

    fn finish(&mut self, file: &File) -> Result<()> {
        while self.line_index < self.map.lines as usize {
            self.write_line(file)?;
        }
        self.lines.finish(file)
    }
}

/// Writes the directory by another map, from the records as they were written.
fn write_directory_again(
    map: BucketMap,
    offset: usize,
    records: &SectionWriter,
    file: &File,
) -> Result<DirectoryWriter> {
    let mut directory = DirectoryWriter::new(map, offset);
    let mut buffer = vec![0; BLOCK_RECORDS * Record::LEN];
    for done in (0..records.written).step_by(buffer.len()) {
        let len = buffer.len().min(records.written - done);
        let bytes = &mut buffer[..len];
        file.read(bytes, records.offset + done)?;
        for record in bytemuck::cast_slice::<u8, Record>(bytes) {
            directory.push(&record.token, file)?;
        }
    }
    directory.finish(file)?;
    Ok(directory)
}

/// Writes every 128th token, read back from the records.
fn write_fences(offset: usize, records: &SectionWriter, file: &File) -> Result<SectionWriter> {
    let mut fences = SectionWriter::new(SectionId::Fences, offset);
    let mut token = [0; FENCE_LEN];
    let range: Range<usize> = records.offset..records.offset + records.written;
    for at in range.step_by(FENCE_RECORDS * Record::LEN) {
        file.read(&mut token, at)?;
        fences.push(&token, file)?;
    }
    fences.finish(file)?;
    Ok(fences)
}
