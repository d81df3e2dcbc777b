//! Writing the prefix directory, line by line, as records come.
//!
//! A line depends on the records that it has, and on how many came before. So most lines of a
//! block of records can be made while nothing is known of those before, and be told in the
//! end where they begin.

use std::ops::ControlFlow;

use super::records::{Finishing, RecordsWriter};
use super::section::{File, SectionWriter};
use crate::error::Result;
use crate::format::layout::{DIRECTORY_LINE_LEN, FENCE_RECORDS, SectionId};
use crate::format::segment::BucketMap;
use crate::search::directory::{Line, Place};
use crate::token::{Record, TokenId};

/// A block of records has no more lines than this made before it is written, so that memory
/// has room for them however far apart tokens are.
const BLOCK_LINES_MAX: usize = 1 << 12;

/// Lines being made, of records counted from where the first of them begins.
struct Lines {
    /// Those that are complete.
    bytes: Vec<u8>,
    /// The line that is being filled, its number, and how many records it has.
    line: Line,
    line_index: usize,
    line_records: usize,
    /// The bucket of the last record, and how many records a search for one in it has
    /// to reckon with.
    bucket: usize,
    bucket_records: usize,
    /// Records in buckets that have more than can be searched without fence keys.
    crowded: usize,
    records: usize,
}

impl Lines {
    fn starting_at(line_index: usize, bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            line: Line::starting_at(0),
            line_index,
            line_records: 0,
            bucket: 0,
            bucket_records: 0,
            crowded: 0,
            records: 0,
        }
    }

    /// Enters the next record, which is of the line that is being filled or one that follows.
    #[inline]
    fn push(&mut self, place: Place) {
        while self.line_index < place.line {
            self.end_line();
        }
        let bucket = place.bucket();
        if bucket != self.bucket && self.line_records < Line::RECORDS_END {
            self.bucket_records = 0;
        }
        self.bucket = bucket;
        self.bucket_records += 1;
        self.crowded += match self.bucket_records {
            ..=FENCE_RECORDS => 0,
            first if first == FENCE_RECORDS + 1 => first,
            _ => 1,
        };
        self.line_records += 1;
        self.line.end_at(bucket, self.line_records);
        self.records += 1;
    }

    fn end_line(&mut self) {
        self.bytes.extend_from_slice(self.line.bytes());
        self.line = Line::starting_at(self.records);
        self.line_index += 1;
        (self.line_records, self.bucket, self.bucket_records) = (0, 0, 0);
    }

    /// Says that so many records come before the first.
    fn follow(&mut self, records: usize) {
        let (lines, _) = self.bytes.as_chunks_mut::<DIRECTORY_LINE_LEN>();
        let lines = bytemuck::TransparentWrapper::wrap_slice_mut(lines);
        lines.iter_mut().chain([&mut self.line]).for_each(|line: &mut Line| line.move_by(records));
        self.records += records;
    }
}

/// The lines of a block of records, but for the one that it shares with what came before.
pub(super) struct BlockLines {
    lines: Lines,
    /// Where the first of them begins.
    first_line: usize,
    /// Records of the block that are in a line before these.
    before: usize,
}

impl Default for BlockLines {
    fn default() -> Self {
        Self { lines: Lines::starting_at(0, Vec::new()), first_line: 0, before: 0 }
    }
}

impl BlockLines {
    /// Makes the lines of records in order, in place of those that were made before.
    pub(super) fn make(&mut self, records: &[Record], map: &BucketMap) {
        let place = |record: &Record| map.place(&record.token);
        let shared = records.first().map_or(0, |first| place(first).line);
        self.before = records.partition_point(|record| place(record).line == shared);
        let rest = &records[self.before..];
        self.first_line = rest.first().map_or(0, |first| place(first).line);
        let mut bytes = std::mem::take(&mut self.lines.bytes);
        bytes.clear();
        self.lines = Lines::starting_at(self.first_line, bytes);
        for place in rest.iter().map(place) {
            if place.line - self.first_line > BLOCK_LINES_MAX {
                break;
            }
            self.lines.push(place);
        }
    }
}

/// The directory being written, line by line.
pub(super) struct DirectoryWriter {
    pub(super) map: BucketMap,
    pub(super) section: SectionWriter,
    lines: Lines,
}

impl DirectoryWriter {
    pub(super) fn new(map: BucketMap, offset: usize) -> Self {
        let section = SectionWriter::new(SectionId::Directory, offset);
        Self { map, section, lines: Lines::starting_at(0, Vec::new()) }
    }

    /// Records in buckets that have more than can be searched without fence keys.
    pub(super) fn crowded(&self) -> usize {
        self.lines.crowded
    }

    /// Enters the token of the next record.
    #[inline]
    pub(super) fn push(&mut self, token: &TokenId, file: &File) -> Result<()> {
        let place = self.map.place(token);
        self.end_lines_before(place.line, file)?;
        self.lines.push(place);
        Ok(())
    }

    /// Enters a block of records, whose lines were made.
    pub(super) fn append(
        &mut self,
        records: &[Record],
        made: &mut BlockLines,
        file: &File,
    ) -> Result<()> {
        let (before, rest) = records.split_at(made.before);
        before.iter().try_for_each(|record| self.push(&record.token, file))?;
        let (_, after) = rest.split_at(made.lines.records);
        if !rest.is_empty() {
            self.end_lines_before(made.first_line, file)?;
            let lines = &mut made.lines;
            lines.follow(self.lines.records);
            lines.crowded += self.lines.crowded;
            std::mem::swap(&mut self.lines, lines);
            self.section.push(&self.lines.bytes, file)?;
            self.lines.bytes.clear();
        }
        after.iter().try_for_each(|record| self.push(&record.token, file))
    }

    fn end_lines_before(&mut self, line_index: usize, file: &File) -> Result<()> {
        while self.lines.line_index < line_index {
            self.lines.end_line();
            self.section.push(&self.lines.bytes, file)?;
            self.lines.bytes.clear();
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, file: &File) -> Result<()> {
        self.end_lines_before(self.map.lines as usize, file)?;
        self.section.finish(file)
    }
}

/// Writes the directory by another map, from the records as they were written.
pub(super) fn write_directory_again(
    map: BucketMap,
    offset: usize,
    records: &RecordsWriter,
    progress: &mut dyn FnMut(Finishing) -> Result<()>,
) -> Result<DirectoryWriter> {
    let mut directory = DirectoryWriter::new(map, offset);
    let _ = records.for_each_block(progress, |block| {
        block.iter().try_for_each(|record| directory.push(&record.token, &records.file))?;
        Ok(ControlFlow::Continue(()))
    })?;
    directory.finish(&records.file)?;
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::format::layout::LINE_RECORDS;
    use crate::io::memory::MemoryFile;
    use crate::testing::keys::KeyFamily;
    use crate::testing::random::Random;
    use crate::token::BlockTime;

    fn written(
        map: BucketMap,
        write: impl FnOnce(&mut DirectoryWriter, &File) -> Result<()>,
    ) -> (Vec<u8>, usize) {
        let memory = MemoryFile::default();
        let file = File { file: Box::new(memory.clone()), path: PathBuf::new() };
        let mut directory = DirectoryWriter::new(map, 0);
        write(&mut directory, &file).unwrap();
        directory.finish(&file).unwrap();
        (memory.contents(), directory.crowded())
    }

    /// However tokens are spread, and wherever blocks end.
    #[test]
    fn blocks_come_to_what_their_records_do() {
        let mut random = Random::new("lines", 1);
        for family in KeyFamily::ALL {
            let mut tokens = family.generate(5_000, 1);
            for has_outlier in [false, true] {
                if has_outlier {
                    tokens.push(TokenId::MAX);
                    tokens.dedup();
                }
                let records: Vec<_> =
                    tokens.iter().map(|token| Record::new(*token, BlockTime::default())).collect();
                let (min, max) = (&tokens[0], &tokens[tokens.len() - 1]);
                // From crowded lines to more of them than are made of a block.
                for count in [1, 600, 5_000, 2_000_000] {
                    let map = BucketMap::new(count, LINE_RECORDS, min, max);
                    let one_by_one = written(map, |directory, file| {
                        tokens.iter().try_for_each(|token| directory.push(token, file))
                    });
                    let in_blocks = written(map, |directory, file| {
                        let mut made = BlockLines::default();
                        let mut rest = records.as_slice();
                        while !rest.is_empty() {
                            let len = random.below(rest.len().min(2_000) as u64) as usize + 1;
                            let (block, after) = rest.split_at(len);
                            made.make(block, &map);
                            directory.append(block, &mut made, file)?;
                            rest = after;
                        }
                        Ok(())
                    });
                    assert!(one_by_one == in_blocks, "{family:?} {has_outlier} {count}");
                }
            }
        }
    }
}
