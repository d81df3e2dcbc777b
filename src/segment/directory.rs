//! Writing the prefix directory, line by line, as records come.

use std::ops::ControlFlow;

use super::records::{Finishing, RecordsWriter};
use super::section::{File, SectionWriter};
use crate::error::Result;
use crate::format::layout::{FENCE_RECORDS, SectionId};
use crate::format::segment::BucketMap;
use crate::search::directory::Line;
use crate::token::TokenId;

/// The directory being written, line by line.
pub(super) struct DirectoryWriter {
    pub(super) map: BucketMap,
    pub(super) lines: SectionWriter,
    /// The line that is being filled, its number, and how many records it has.
    line: Line,
    line_index: usize,
    line_records: usize,
    /// The bucket of the last record, and how many records a search for one in it has
    /// to reckon with.
    bucket: usize,
    bucket_records: usize,
    /// Records in buckets that have more than can be searched without fence keys.
    pub(super) crowded: usize,
    records: usize,
}

impl DirectoryWriter {
    pub(super) fn new(map: BucketMap, offset: usize) -> Self {
        Self {
            map,
            lines: SectionWriter::new(SectionId::Directory, offset),
            line: Line::starting_at(0),
            line_index: 0,
            line_records: 0,
            bucket: 0,
            bucket_records: 0,
            crowded: 0,
            records: 0,
        }
    }

    /// Enters the token of the next record.
    #[inline]
    pub(super) fn push(&mut self, token: &TokenId, file: &File) -> Result<()> {
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
        self.crowded += match self.bucket_records {
            ..=FENCE_RECORDS => 0,
            first if first == FENCE_RECORDS + 1 => first,
            _ => 1,
        };
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

    pub(super) fn finish(&mut self, file: &File) -> Result<()> {
        while self.line_index < self.map.lines as usize {
            self.write_line(file)?;
        }
        self.lines.finish(file)
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
