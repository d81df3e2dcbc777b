//! Taking records from the input.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::buffer::Buffer;
use super::options::LoadOptions;
use crate::error::{Error, Result};
use crate::progress::Phase;
use crate::token::Record;

/// Records from one word about progress to the next.
const PROGRESS_RECORDS: u64 = 1 << 16;

/// How far reading has come. Who writes meanwhile tells that, too, and each learns here that
/// the other one failed.
pub(super) struct Reading<'a> {
    options: &'a LoadOptions<'a>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    records: u64,
    total: Option<u64>,
    has_ended: bool,
    has_failed: bool,
}

impl<'a> Reading<'a> {
    /// Nothing was read so far.
    pub(super) fn new(input: &impl Iterator, options: &'a LoadOptions<'a>) -> Self {
        let total = match input.size_hint() {
            (low, Some(high)) if low == high => Some(low as u64),
            _ => None,
        };
        Self { options, state: Mutex::new(State { total, ..State::default() }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of records that were read, or a little less while more are.
    pub(super) fn records(&self) -> u64 {
        self.state().records
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state().has_ended
    }

    /// Says that something failed; whether nothing did before.
    pub(super) fn fail(&self) -> bool {
        !mem::replace(&mut self.state().has_failed, true)
    }

    /// Tells how far it has come. [`Error::Interrupted`] also where something failed before,
    /// whose error is the one to be told.
    pub(super) fn report(&self) -> Result<()> {
        self.report_changed(|_| ())
    }

    fn report_changed(&self, change: impl FnOnce(&mut State)) -> Result<()> {
        let mut state = self.state();
        change(&mut state);
        // Also if who is told panics.
        if mem::replace(&mut state.has_failed, true) {
            return Err(Error::Interrupted);
        }
        let reported = self.options.report(Phase::Reading, state.records, state.total);
        state.has_failed = reported.is_err();
        reported
    }
}

/// Takes records from an input.
pub(super) struct Reader<'a, I> {
    input: I,
    read: u64,
    reading: &'a Reading<'a>,
}

impl<'a, I: Iterator<Item = Result<Record>>> Reader<'a, I> {
    pub(super) fn new(input: I, reading: &'a Reading<'a>) -> Self {
        Self { input, read: 0, reading }
    }

    /// Fills a buffer up to so many records. Gives the one that has no room any more, or
    /// `None` at the end of the input.
    pub(super) fn fill(&mut self, buffer: &mut Buffer, len: usize) -> Result<Option<Record>> {
        let reading = self.reading;
        for record in &mut self.input {
            let record = record?;
            self.read += 1;
            if self.read.is_multiple_of(PROGRESS_RECORDS) {
                reading.report_changed(|state| state.records = self.read)?;
            }
            if buffer.len() >= len {
                reading.state().records = self.read;
                return Ok(Some(record));
            }
            buffer.push(record);
        }
        let (read, total) = (self.read, Some(self.read));
        reading.report_changed(|state| {
            *state = State { records: read, total, has_ended: true, ..*state };
        })?;
        Ok(None)
    }
}
