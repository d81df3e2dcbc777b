//! Building a segment in one pass.
//!
//! Records come in order and go out again a few blocks of 32,768 at a time. What a segment
//! has of each block, its postings, checksums and lines of the directory, is made on all
//! cores, and written in order by the thread that the records come from. What is kept in
//! memory is these few blocks, a buffer for each section and four bytes for each page
//! written: a thousandth of the file.
//!
//! How many records will come is known only as an upper bound, for instance when
//! inputs are merged that may hold the same tokens. Each section is written where it
//! would begin if that many came. If fewer did, the sections after the records are
//! moved down in the end, and if far fewer did, or keys crowd so that fence keys need its
//! room, the directory is made anew. Where nothing at all is known, the records come
//! first, and are read once more for their indexes.

use std::ops::ControlFlow;
use std::path::PathBuf;

use super::block::BlockIndexes;
use super::directory::{DirectoryWriter, write_directory_again};
use super::kinds::KindsWriter;
use super::records::{Finishing, RecordsWriter};
use super::section::{File, SectionWriter};
use crate::error::{Error, Result};
use crate::format::kinds::Kind;
use crate::format::layout::{
    BLOCK_RECORDS, CHECKSUM_LEN, FENCE_RECORDS, FENCED_LINE_RECORDS, LINE_RECORDS, Layout,
    RECORDS_END, SectionId, Shape,
};
use crate::format::manifest::SegmentEntry;
use crate::format::segment::{BucketMap, Header, StoreIdBytes};
use crate::format::{PAGE_LEN, checksum};
use crate::in_order::{Places, for_each_in_order};
use crate::io::DiskFile;
use crate::token::{Record, TokenId};

/// Whose segment it is, and which.
#[derive(Clone, Copy)]
pub(crate) struct SegmentIds {
    pub(crate) store_id: StoreIdBytes,
    pub(crate) segment_id: u64,
}

/// What is known of a segment before its first record comes.
#[derive(Clone, Copy)]
pub(crate) struct SegmentPlan {
    pub(crate) ids: SegmentIds,
    /// At most so many records will come.
    pub(crate) records_max: u64,
    /// No token outside of these bounds will come.
    pub(crate) bounds: (TokenId, TokenId),
}

/// Records that are indexed together.
const PENDING_RECORDS: usize = 4 * BLOCK_RECORDS;

/// A segment being written.
pub(crate) struct SegmentBuilder {
    plan: SegmentPlan,
    records: RecordsWriter,
    indexes: Indexes,
    kinds: KindsWriter,
    /// Records that come next.
    pending: Vec<Record>,
    places: Places<BlockIndexes>,
}

impl SegmentBuilder {
    /// Begins a segment in an empty file. `path` is for messages only.
    pub(crate) fn new(file: Box<dyn DiskFile>, path: PathBuf, plan: SegmentPlan) -> Result<Self> {
        if !(1..RECORDS_END).contains(&plan.records_max) {
            return Err(Error::TooManyRecords { max: RECORDS_END - 1, found: plan.records_max });
        }
        let map = BucketMap::new(plan.records_max, LINE_RECORDS, &plan.bounds.0, &plan.bounds.1);
        let layout = layout_of(plan.records_max, &map, true, false)?;
        let records = RecordsWriter::new(file, path);
        let kinds = KindsWriter::new(layout.section(SectionId::Kinds).offset);
        let pending = Vec::with_capacity(PENDING_RECORDS.min(plan.records_max as usize));
        let (indexes, places) = (Indexes::new(map, &layout), Places::default());
        Ok(Self { plan, records, indexes, kinds, pending, places })
    }

    /// Appends a record; its token must be larger than that of the one before.
    pub(crate) fn push(&mut self, record: &Record, kind: Kind) -> Result<()> {
        let SegmentPlan { records_max, bounds: (low, high), .. } = &self.plan;
        let position = self.records.count + self.pending.len() as u64;
        if position == *records_max {
            return Err(Error::TooManyRecords { max: *records_max, found: position + 1 });
        }
        let token = record.token;
        let last = self.pending.last().map_or(&self.records.last, |last| &last.token);
        if token < *low || token > *high || (position > 0 && token <= *last) {
            return Err(Error::OutOfOrder { token, last: *last });
        }
        self.pending.push(*record);
        if self.pending.len() == PENDING_RECORDS {
            self.write_pending()?;
        }
        self.kinds.push(position, kind, &self.records.file)
    }

    fn write_pending(&mut self) -> Result<()> {
        let Self { records, indexes, pending, places, .. } = self;
        let map = indexes.directory.map;
        let blocks: Vec<_> = pending.chunks(BLOCK_RECORDS).collect();
        let make = |block: &&[Record], made: &mut BlockIndexes| {
            made.make(block, &map);
            Ok(())
        };
        let mut rest = blocks.iter();
        for_each_in_order(&blocks, places, &make, &mut |made: &mut BlockIndexes| {
            let Some(block) = rest.next() else { return Ok(()) };
            records.append(block, &made.checksums)?;
            indexes.append(block, made, &records.file)
        })?;
        pending.clear();
        Ok(())
    }

    /// Writes what is left, syncs the file and makes it read-only: all that is missing
    /// is its name. `None` if no record came; the file is then of no use.
    ///
    /// `progress` is told what is done until then, and may stop it by an error.
    pub(crate) fn finish(
        mut self,
        progress: &mut dyn FnMut(Finishing) -> Result<()>,
    ) -> Result<Option<SegmentEntry>> {
        self.write_pending()?;
        if self.records.count == 0 {
            return Ok(None);
        }
        self.records.section.finish(&self.records.file)?;
        self.indexes.finish(&self.records.file)?;
        self.kinds.finish(&self.records.file)?;
        let mut map = self.indexes.directory.map;
        if self.records.count < self.plan.records_max / 16 * 15 {
            map = map_of(&self.records, LINE_RECORDS, map.lines);
        }
        complete(self.plan.ids, &self.records, self.indexes, self.kinds, map, progress).map(Some)
    }
}

/// Says of what kinds a block of records is; `None` if not all of it is to be in a segment.
pub(crate) type KindsOf<'a> = &'a mut dyn FnMut(&[Record]) -> Result<Option<Vec<Kind>>>;

/// What becomes of records that are written already.
pub(crate) enum Indexed {
    Segment(SegmentEntry),
    /// Not all of them are to be in it, so it has to be written anew.
    Rejected(RecordsWriter),
}

impl RecordsWriter {
    /// Makes a segment of the records, of which there is one at least, as
    /// [`SegmentBuilder::finish`] does, reading them once more.
    pub(crate) fn into_segment(
        mut self,
        ids: SegmentIds,
        kinds_of: KindsOf<'_>,
        progress: &mut dyn FnMut(Finishing) -> Result<()>,
    ) -> Result<Indexed> {
        self.section.finish(&self.file)?;
        let map = map_of(&self, LINE_RECORDS, u64::MAX);
        let layout = layout_of(self.count, &map, false, false)?;
        let mut indexes = Indexes::new(map, &layout);
        let mut kinds = KindsWriter::new(layout.section(SectionId::Kinds).offset);
        let mut made = BlockIndexes::default();
        let mut position = 0;
        let is_whole = self.for_each_block(progress, |block| {
            let Some(kinds_of_block) = kinds_of(block)? else { return Ok(ControlFlow::Break(())) };
            made.make(block, &map);
            indexes.append(block, &mut made, &self.file)?;
            for kind in kinds_of_block {
                kinds.push(position, kind, &self.file)?;
                position += 1;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if is_whole.is_break() {
            return Ok(Indexed::Rejected(self));
        }
        indexes.finish(&self.file)?;
        kinds.finish(&self.file)?;
        complete(ids, &self, indexes, kinds, map, progress).map(Indexed::Segment)
    }
}

/// The indexes that every segment has, made along with the records.
struct Indexes {
    postings: SectionWriter,
    directory: DirectoryWriter,
}

impl Indexes {
    fn new(map: BucketMap, layout: &Layout) -> Self {
        let offset = |id| layout.section(id).offset;
        Self {
            postings: SectionWriter::new(SectionId::Postings, offset(SectionId::Postings)),
            directory: DirectoryWriter::new(map, offset(SectionId::Directory)),
        }
    }

    /// Appends those of the next block of records.
    fn append(&mut self, block: &[Record], made: &mut BlockIndexes, file: &File) -> Result<()> {
        self.postings.append(&made.postings, &[made.postings_checksum], file)?;
        self.directory.append(block, &mut made.lines, file)
    }

    fn finish(&mut self, file: &File) -> Result<()> {
        self.postings.finish(file)?;
        self.directory.finish(file)
    }
}

/// The map for records of which all is known, with no more lines than there is room for.
fn map_of(records: &RecordsWriter, line_records: u64, lines_max: u64) -> BucketMap {
    let count = records.count.min(lines_max.saturating_mul(line_records));
    BucketMap::new(count, line_records, &records.min, &records.last)
}

/// Brings all sections to where they belong, with a directory by `map`, and writes what
/// is still missing.
fn complete(
    ids: SegmentIds,
    records: &RecordsWriter,
    indexes: Indexes,
    mut kinds: KindsWriter,
    map: BucketMap,
    progress: &mut dyn FnMut(Finishing) -> Result<()>,
) -> Result<SegmentEntry> {
    let Indexes { mut postings, directory, .. } = indexes;
    let (file, has_kinds) = (&records.file, kinds.is_needed());
    let layout = layout_of(records.count, &map, has_kinds, false)?;
    postings.move_down(layout.section(SectionId::Postings).offset, file)?;
    let offset = layout.section(SectionId::Directory).offset;
    let directory = settle_directory(directory, map, offset, records, progress)?;
    let (map, has_fences) = (directory.map, directory.crowded() > 0);
    let layout = layout_of(records.count, &map, has_kinds, has_fences)?;
    kinds.section.move_down(layout.section(SectionId::Kinds).offset, file)?;
    let fences = layout.section(SectionId::Fences).offset;
    let fences = has_fences.then(|| write_fences(fences, records)).transpose()?;
    let mut sections = vec![&records.section, &postings, &directory.section, &kinds.section];
    sections.extend(&fences);

    let mut checksums =
        SectionWriter::new(SectionId::Checksums, layout.section(SectionId::Checksums).offset);
    for sum in sections.iter().flat_map(|section| &section.checksums) {
        checksums.push(&sum.to_le_bytes(), file)?;
    }
    checksums.finish(file)?;
    let mut roots = SectionWriter::new(SectionId::Roots, layout.section(SectionId::Roots).offset);
    let sums: Vec<_> = checksums.checksums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
    let roots_checksum = checksum(&sums);
    roots.push(&sums, file)?;
    roots.finish(file)?;
    sections.extend([&checksums, &roots]);
    // What was moved may have left bytes behind between two sections.
    for section in &sections {
        debug_assert_eq!(layout.section(section.id).len, section.written, "{:?}", section.id);
        let end = section.offset + section.written;
        file.write(&[0; PAGE_LEN][..end.next_multiple_of(PAGE_LEN) - end], end)?;
    }

    let header = Header {
        store_id: ids.store_id,
        segment_id: ids.segment_id,
        records: records.count,
        updates: kinds.counts.stale - kinds.counts.tombstones,
        tombstones: kinds.counts.tombstones,
        min: records.min,
        max: records.last,
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
    file.file.set_read_only().map_err(Error::io("make read-only", &file.path))?;
    progress(Finishing::Syncing)?;
    file.file.sync().map_err(Error::io("sync", &file.path))?;
    Ok(SegmentEntry {
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
    })
}

/// Brings the directory to where it belongs, by `map`, or by another one where keys crowd.
///
/// None of the maps has more lines than the one that it came with, so it stays before the
/// kinds, which are still where they were written.
fn settle_directory(
    mut directory: DirectoryWriter,
    map: BucketMap,
    offset: usize,
    records: &RecordsWriter,
    progress: &mut dyn FnMut(Finishing) -> Result<()>,
) -> Result<DirectoryWriter> {
    let lines_max = directory.map.lines;
    if map == directory.map {
        directory.section.move_down(offset, &records.file)?;
    } else {
        directory = write_directory_again(map, offset, records, progress)?;
    }
    if directory.crowded() == 0 {
        return Ok(directory);
    }
    // A few tokens far from all others?
    let mut bounds = (records.min, records.last);
    let few = records.count / FEW_PARTS;
    let most = (records.read_token(few)?, records.read_token(records.count - 1 - few)?);
    let map = BucketMap::beyond(MOST_PARTS, records.count, LINE_RECORDS, &most.0, &most.1);
    let mut parts = 0;
    if map.lines <= lines_max {
        let of_most = write_directory_again(map, offset, records, progress)?;
        if of_most.crowded() == 0 {
            return Ok(of_most);
        }
        if of_most.crowded() < directory.crowded() / 2 {
            (bounds, parts) = (most, MOST_PARTS);
        }
    }
    // So that fence keys find room, a directory that needs them has fewer lines.
    let count = records.count.min(lines_max.saturating_mul(FENCED_LINE_RECORDS));
    let map = BucketMap::beyond(parts, count, FENCED_LINE_RECORDS, &bounds.0, &bounds.1);
    write_directory_again(map, offset, records, progress)
}

/// Most records are those between the ones that have this part of them below and above.
const FEW_PARTS: u64 = MOST_PARTS + 2;

/// How many times as long the range of most records is as what is added to either end.
const MOST_PARTS: u64 = 64;

fn layout_of(records: u64, map: &BucketMap, has_kinds: bool, has_fences: bool) -> Result<Layout> {
    Layout::of(Shape { records, lines: map.lines, has_kinds, has_fences })
        .ok_or(Error::TooManyRecords { max: RECORDS_END - 1, found: records })
}

/// Writes every 128th token, read back from the records.
fn write_fences(offset: usize, records: &RecordsWriter) -> Result<SectionWriter> {
    let mut fences = SectionWriter::new(SectionId::Fences, offset);
    for position in (0..records.count).step_by(FENCE_RECORDS) {
        fences.push(&records.read_token(position)?.0, &records.file)?;
    }
    fences.finish(&records.file)?;
    Ok(fences)
}
