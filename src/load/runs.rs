//! Sorted runs of records that memory has no room for.
//!
//! Runs lie one after the other in a file without a name, which is gone when it is
//! closed, however this process ends.

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
pub(crate) struct Cursor<'a> {
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

    /// Goes on to the first record whose token is no smaller than this one.
    ///
    /// Reads a record for each time that what is passed over can be halved, twice over.
    pub(super) fn seek(&mut self, token: &TokenId) -> Result<()> {
        let is_beyond = self.buffer[..self.len].last().is_none_or(|last| last.token < *token);
        if is_beyond {
            self.skip(token)?;
            self.fill()?;
        }
        self.next += self.buffer[self.next..self.len].partition_point(|it| it.token < *token);
        Ok(())
    }

    /// Passes over what was not read yet and is smaller, in ever longer steps, and then
    /// halves the last one.
    fn skip(&mut self, token: &TokenId) -> Result<()> {
        let len = Record::LEN as u64;
        let is_smaller = |index: u64| -> Result<bool> {
            let mut record = Record::zeroed();
            let offset = self.rest.start + index * len;
            self.run.file.read(bytemuck::bytes_of_mut(&mut record), offset)?;
            Ok(record.token < *token)
        };
        let records = (self.rest.end - self.rest.start) / len;
        let buffer = self.buffer.len() as u64;
        let (mut low, mut high) = (0, buffer.saturating_sub(1).min(records));
        // What is before `low` is smaller, and what is at `high`, or follows the last, is not.
        while high < records && is_smaller(high)? {
            low = high + 1;
            high = (2 * low).min(records);
        }
        while high > low && high - low >= buffer {
            let middle = low.midpoint(high);
            if is_smaller(middle)? {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.rest.start += low * len;
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::disk::RealDisk;
    use crate::testing::random::Random;
    use crate::token::BlockTime;

    /// From wherever to wherever, in runs and buffers of all lengths.
    #[test]
    fn seeking_finds_the_first_that_is_no_smaller() {
        let directory = tempfile::tempdir().unwrap();
        let disk = RealDisk::new(directory.path());
        let mut random = Random::new("seek", 1);
        for gap in [1_u64, 2, 7] {
            for len in [1_usize, 2, 3, 255, 256, 257, 511, 512, 513, 1_000] {
                let records: Vec<_> = (0..len as u64)
                    .map(|n| Record::new((10 + gap * n).into(), BlockTime::new(1.into(), n)))
                    .collect();
                let mut writer = RunsWriter::new(&disk).unwrap();
                writer.push(&records).unwrap();
                let run = writer.run_from(0, (records[0].token, records[len - 1].token));
                // Another run behind it, that must not be read.
                writer.push(&[Record::new(0.into(), BlockTime::default()); 3]).unwrap();
                for buffer in [1, 2, 3, 255, 256, 257, 600] {
                    let mut memory = vec![Record::zeroed(); buffer];
                    for round in 0..30 {
                        let mut cursor = Cursor::new(&run, &mut memory).unwrap();
                        let mut token = 0;
                        let stride = [1, 3, 100, 1_000, 10_000][round % 5];
                        for _ in 0..300 {
                            let id = TokenId::from(token);
                            cursor.seek(&id).unwrap();
                            let place = records.partition_point(|it| it.token < id);
                            assert_eq!(
                                cursor.record(),
                                records.get(place),
                                "{len} {buffer} {token}"
                            );
                            token += random.below(stride);
                        }
                    }
                    let mut cursor = Cursor::new(&run, &mut memory).unwrap();
                    for record in &records {
                        cursor.seek(&record.token).unwrap();
                        assert_eq!(cursor.record(), Some(record));
                    }
                    cursor.seek(&TokenId([0xff; 32])).unwrap();
                    assert_eq!(cursor.record(), None);
                    cursor.seek(&TokenId([0xff; 32])).unwrap();
                    assert_eq!(cursor.record(), None);
                }
            }
        }
    }
}
