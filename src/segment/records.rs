//! The records of a segment being written: the part of it that comes first.
//!
//! Where they lie does not depend on how many will come, so they can be written while
//! nothing is known of what follows. Read back, they are a sorted run; with indexes
//! behind them, a segment.

use std::ops::{ControlFlow, Range};
use std::path::PathBuf;

use super::section::{File, SectionWriter};
use crate::error::{Error, Result};
use crate::format::PAGE_LEN;
use crate::format::layout::{BLOCK_RECORDS, RECORDS_END, SectionId};
use crate::io::DiskFile;
use crate::token::{Record, TokenId};

/// What is done when all records are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Finishing {
    /// They are read once more, and so many of them were.
    Reading { done: u64, total: u64 },
    /// The file is synced.
    Syncing,
}

/// Records being written, in ascending order.
pub(crate) struct RecordsWriter {
    pub(super) file: File,
    pub(super) section: SectionWriter,
    pub(super) count: u64,
    /// Of no meaning before the first record came.
    pub(super) min: TokenId,
    pub(super) last: TokenId,
}

impl RecordsWriter {
    /// Begins in an empty file. `path` is for messages only.
    pub(crate) fn new(file: Box<dyn DiskFile>, path: PathBuf) -> Self {
        let section = SectionWriter::new(SectionId::Records, PAGE_LEN);
        Self { file: File { file, path }, section, count: 0, min: TokenId::MIN, last: TokenId::MIN }
    }

    /// Appends records; each token must be larger than the one before.
    pub(crate) fn push(&mut self, records: &[Record]) -> Result<()> {
        let mut last = (self.count > 0).then_some(&self.last);
        for Record { token, .. } in records {
            if let Some(&last) = last.filter(|last| token <= last) {
                return Err(Error::OutOfOrder { token: *token, last });
            }
            last = Some(token);
        }
        if self.count + records.len() as u64 >= RECORDS_END {
            return Err(Error::TooManyRecords { max: RECORDS_END - 1, found: RECORDS_END });
        }
        self.count_in(records);
        self.section.push(bytemuck::cast_slice(records), &self.file)
    }

    /// Appends a block of records in order, with the checksums of its pages.
    pub(super) fn append(&mut self, block: &[Record], checksums: &[u32]) -> Result<()> {
        self.count_in(block);
        self.section.append(bytemuck::cast_slice(block), checksums, &self.file)
    }

    fn count_in(&mut self, records: &[Record]) {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return };
        if self.count == 0 {
            self.min = first.token;
        }
        self.last = last.token;
        self.count += records.len() as u64;
    }

    /// Number of records so far.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The smallest and the largest token, if there are any records.
    pub(crate) fn bounds(&self) -> (TokenId, TokenId) {
        (self.min, self.last)
    }

    /// The file, and where in it the records lie.
    pub(crate) fn into_file(mut self) -> Result<(Box<dyn DiskFile>, PathBuf, Range<u64>)> {
        self.section.finish(&self.file)?;
        let range = self.section.offset..self.section.offset + self.section.written;
        Ok((self.file.file, self.file.path, range.start as u64..range.end as u64))
    }

    /// Reads the token of a record back, once all are written.
    pub(super) fn read_token(&self, position: u64) -> Result<TokenId> {
        let mut token = TokenId::MIN;
        self.file.read(&mut token.0, self.section.offset + position as usize * Record::LEN)?;
        Ok(token)
    }

    /// Reads the records back, once all are written, block by block, as long as `visit` says
    /// so; whether it did to the end.
    pub(super) fn for_each_block(
        &self,
        progress: &mut dyn FnMut(Finishing) -> Result<()>,
        mut visit: impl FnMut(&[Record]) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        let section = &self.section;
        let mut buffer = vec![0; BLOCK_RECORDS * Record::LEN];
        for done in (0..section.written).step_by(buffer.len()) {
            progress(Finishing::Reading { done: (done / Record::LEN) as u64, total: self.count })?;
            let len = buffer.len().min(section.written - done);
            let bytes = &mut buffer[..len];
            self.file.read(bytes, section.offset + done)?;
            if visit(bytemuck::cast_slice(bytes))?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
