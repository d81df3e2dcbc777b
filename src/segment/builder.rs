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
//! moved down in the end, and if far fewer did, or keys crowd so that fence keys need its room, the
//! directory is made anew.

use std::ops::Range;
use std::path::PathBuf;

use super::directory::{DirectoryWriter, write_directory_again};
use super::section::{File, SectionWriter};
use crate::error::{Error, Result};
use crate::format::kinds::{Kind, KindCounts, KindsLine};
use crate::format::layout::{
    BLOCK_RECORDS, CHECKSUM_LEN, FENCE_LEN, FENCE_RECORDS, FENCED_LINE_RECORDS, KINDS_LINE_LEN,
    KINDS_PER_LINE, LINE_RECORDS, Layout, RECORDS_END, SectionId, Shape,
};
use crate::format::manifest::SegmentEntry;
use crate::format::segment::{BucketMap, Header, StoreIdBytes};
use crate::format::{PAGE_LEN, checksum};
use crate::io::DiskFile;
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

const RECORDS: usize = 0;
const POSTINGS: usize = 1;
const KINDS: usize = 2;

impl SegmentBuilder {
    /// Begins a segment in an empty file. `path` is for messages only.
    pub(crate) fn new(file: Box<dyn DiskFile>, path: PathBuf, plan: SegmentPlan) -> Result<Self> {
        if !(1..RECORDS_END).contains(&plan.records_max) {
            return Err(Error::TooManyRecords { max: RECORDS_END - 1, found: plan.records_max });
        }
        let map = BucketMap::new(plan.records_max, LINE_RECORDS, &plan.bounds.0, &plan.bounds.1);
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

        // Far fewer records than announced need fewer lines; and so that fence keys find
        // room, a directory that needs them has fewer too.
        let mut map = directory.map;
        if self.records < self.plan.records_max / 16 * 15 {
            map = BucketMap::new(self.records, LINE_RECORDS, &self.min, &self.last);
        }
        loop {
            let layout = layout_of(self.records, &map, has_kinds, false)?;
            postings.move_down(layout.section(SectionId::Postings).offset, file)?;
            let offset = layout.section(SectionId::Directory).offset;
            if map == directory.map {
                directory.lines.move_down(offset, file)?;
                kinds.move_down(layout.section(SectionId::Kinds).offset, file)?;
            } else {
                // The kinds lie behind the larger directory; out of the way of the new one.
                kinds.move_down(layout.section(SectionId::Kinds).offset, file)?;
                directory = write_directory_again(map, offset, &records, file)?;
            }
            let fenced = BucketMap::new(self.records, FENCED_LINE_RECORDS, &self.min, &self.last);
            if directory.longest_bucket <= FENCE_RECORDS || map.lines <= fenced.lines {
                break;
            }
            map = fenced;
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
