//! Taking records from the input.

use std::sync::atomic::{AtomicU64, Ordering};

use super::buffer::Buffer;
use super::options::LoadOptions;
use crate::error::Result;
use crate::progress::Phase;
use crate::token::Record;

/// Records from one word about progress to the next.
const PROGRESS_RECORDS: u64 = 1 << 16;

/// How far reading has come. Who works meanwhile may tell that, too.
pub(super) struct Reading<'a> {
    options: &'a LoadOptions<'a>,
    records: AtomicU64,
    total: Option<u64>,
}

impl Reading<'_> {
    /// The number of records that were read.
    pub(super) fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    pub(super) fn report(&self) -> Result<()> {
        self.options.report(Phase::Reading, self.records(), self.total)
    }
}

/// Takes records from an input.
pub(super) struct Reader<'a, I> {
    input: I,
    read: u64,
    reading: &'a Reading<'a>,
}

impl<'a> Reading<'a> {
    /// Nothing was read so far.
    pub(super) fn new(input: &impl Iterator, options: &'a LoadOptions<'a>) -> Self {
        let total = match input.size_hint() {
            (low, Some(high)) if low == high => Some(low as u64),
            _ => None,
        };
        Self { options, records: AtomicU64::new(0), total }
    }
}

impl<'a, I: Iterator<Item = Result<Record>>> Reader<'a, I> {
    pub(super) fn new(input: I, reading: &'a Reading<'a>) -> Self {
        Self { input, read: 0, reading }
    }

    /// Fills a buffer up to so many records. Gives the one that has no room any more, or
    /// `None` at the end of the input.
    pub(super) fn fill(&mut self, buffer: &mut Buffer, len: usize) -> Result<Option<Record>> {
        for record in &mut self.input {
            let record = record?;
            self.read += 1;
            if self.read.is_multiple_of(PROGRESS_RECORDS) {
                self.reading.records.store(self.read, Ordering::Relaxed);
                self.reading.report()?;
            }
            if buffer.len() >= len {
                self.reading.records.store(self.read, Ordering::Relaxed);
                return Ok(Some(record));
            }
            buffer.push(record);
        }
        self.reading.records.store(self.read, Ordering::Relaxed);
        self.reading.options.report(Phase::Reading, self.read, Some(self.read))?;
        Ok(None)
    }
}
