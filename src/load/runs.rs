//! Sorted runs of records that memory has no room for.
//!
//! Runs lie one after the other in a file without a name, which is gone when it is
//! closed, however this process ends.

use std::cmp::Ordering;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytemuck::Zeroable;

use crate::error::{Error, Result};
use crate::io::{Disk, DiskFile};
use crate::token::{Record, TokenId};

/// A file of runs.
pub(super) struct RunFile {
    file: Box<dyn DiskFile>,
    /// For messages.
    path: PathBuf,
}

impl RunFile {
    fn read(&self, bytes: &mut [u8], offset: u64) -> Result<()> {
        let read = self.file.read_exact_at(bytes, offset);
        read.map_err(Error::io("read a temporary file in", &self.path))
    }
}

/// A sorted run.
pub(super) struct Run {
    file: Arc<RunFile>,
    /// The bytes of its records.
    pub(super) bytes: Range<u64>,
    pub(super) bounds: (TokenId, TokenId),
}

impl Run {
    /// The records in a range of bytes of a file, with the smallest and the largest token.
    pub(super) fn of_file(
        file: Box<dyn DiskFile>,
        path: PathBuf,
        bytes: Range<u64>,
        bounds: (TokenId, TokenId),
    ) -> Self {
        Self { file: Arc::new(RunFile { file, path }), bytes, bounds }
    }

    /// The record of a token, found by reading one for each time that their number can be
    /// halved.
    pub(super) fn find(&self, token: &TokenId) -> Result<Option<Record>> {
        if *token < self.bounds.0 || *token > self.bounds.1 {
            return Ok(None);
        }
        let (mut low, mut high) = (0, self.records());
        while low < high {
            let middle = low.midpoint(high);
            let mut record = Record::zeroed();
            let offset = self.bytes.start + middle * Record::LEN as u64;
            self.file.read(bytemuck::bytes_of_mut(&mut record), offset)?;
            match record.token.cmp(token) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok(Some(record)),
                Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }

    pub(super) fn records(&self) -> u64 {
        (self.bytes.end - self.bytes.start) / Record::LEN as u64
    }
}

/// Runs being written.
pub(super) struct RunsWriter {
    file: Arc<RunFile>,
    len: u64,
}

impl RunsWriter {
    /// Begins a file of runs.
    pub(super) fn new(disk: &dyn Disk) -> Result<Self> {
        let path = disk.path().to_path_buf();
        let file = disk.create_unnamed().map_err(Error::io("create a temporary file in", &path))?;
        Ok(Self { file: Arc::new(RunFile { file, path }), len: 0 })
    }

    /// Appends records to the run that is being written.
    pub(super) fn push(&mut self, records: &[Record]) -> Result<()> {
        let bytes = bytemuck::cast_slice(records);
        let RunFile { file, path } = self.file.as_ref();
        file.write_all_at(bytes, self.len)
            .map_err(Error::io("write to a temporary file in", path))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// How many bytes were written so far: where the next run begins.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Whether what is written next will lie behind a run, without a gap.
    pub(super) fn goes_on(&self, run: &Run) -> bool {
        Arc::ptr_eq(&self.file, &run.file)
    }

    /// The run of what was written from a byte on.
    pub(super) fn run_from(&self, start: u64, bounds: (TokenId, TokenId)) -> Run {
        Run { file: Arc::clone(&self.file), bytes: start..self.len, bounds }
    }
}

/// A place in a run, and what comes after it as far as it was read.
pub(super) struct Cursor<'a> {
    run: &'a Run,
    /// The bytes that were not read yet.
    rest: Range<u64>,
    buffer: &'a mut [Record],
    /// How much of the buffer was read.
    len: usize,
    next: usize,
}

impl<'a> Cursor<'a> {
    /// The start of a run, which will be read as many records at a time as fit the buffer.
    pub(super) fn new(run: &'a Run, buffer: &'a mut [Record]) -> Result<Self> {
        let mut cursor = Self { run, rest: run.bytes.clone(), buffer, len: 0, next: 0 };
        cursor.fill()?;
        Ok(cursor)
    }

    /// The record here; `None` at the end of the run.
    #[inline]
    pub(super) fn record(&self) -> Option<&Record> {
        self.buffer[..self.len].get(self.next)
    }

    /// Goes on to the next record.
    #[inline]
    pub(super) fn advance(&mut self) -> Result<()> {
        self.next += 1;
        if self.next >= self.len { self.fill() } else { Ok(()) }
    }

    fn fill(&mut self) -> Result<()> {
        let records = (self.rest.end - self.rest.start) as usize / Record::LEN;
        (self.len, self.next) = (records.min(self.buffer.len()), 0);
        let bytes = bytemuck::cast_slice_mut(&mut self.buffer[..self.len]);
        self.run.file.read(bytes, self.rest.start)?;
        self.rest.start += bytes.len() as u64;
        Ok(())
    }
}
