//! Records that memory has no room for.
//!
//! The first time that memory is full, all that is in it is brought in order and written.
//! From then on one half of it is filled while the other one is written, by a thread of its
//! own.

use std::sync::{Mutex, PoisonError, mpsc};
use std::{panic, thread};

use bytemuck::Zeroable;

use super::batches::Batches;
use super::buffer::{Buffer, Piece, Sorted};
use super::job::{Load, bytes_of};
use super::merge::merge;
use super::read::{Reader, Reading};
use super::runs::{Run, RunsWriter};
use super::write::Source;
use crate::error::{Error, Result};
use crate::in_order::Places;
use crate::io::early_sync::EarlySync;
use crate::progress::Phase;
use crate::segment::records::RecordsWriter;
use crate::token::Record;

/// Writes records that have no room, and knows what was written.
pub(super) struct Spiller<'l, 'a> {
    load: &'l Load<'a>,
    reading: &'l Reading<'l>,
    /// Whether it tells how far reading has come, while that goes on beside it.
    tells_reading: bool,
    /// The last record of the buffer before. It was not written: its token may come
    /// again, and then it still has to be decided which record is kept.
    last: Option<Record>,
    /// The first run, while it is the only one: where the segment's records belong.
    first: Option<RecordsWriter>,
    /// Has it on its way to the disk once it got longer than memory is: then it is likely to stay.
    early_sync: Option<EarlySync<'a>>,
    /// Where the other runs are written.
    writer: Option<RunsWriter>,
    /// All runs, once there are several.
    runs: Vec<Run>,
    /// Records that were written for the time being.
    written: u64,
    places: Places<Piece>,
}

impl<'l, 'a> Spiller<'l, 'a> {
    pub(super) fn new(load: &'l Load<'a>, reading: &'l Reading<'l>) -> Self {
        Self {
            load,
            reading,
            tells_reading: false,
            last: None,
            first: None,
            early_sync: None,
            writer: None,
            runs: Vec::new(),
            written: 0,
            places: Places::default(),
        }
    }

    /// Takes all that comes: what fills the buffer, the record that has no room in it, and the
    /// rest of the input. Gives what is to be read to have them in order, and how many records
    /// were written for the time being.
    pub(super) fn spill_all(
        mut self,
        mut buffer: Buffer,
        next: Record,
        reader: &mut Reader<'_, impl Iterator<Item = Result<Record>>>,
        batches: &mut Batches,
    ) -> Result<(Source, u64)> {
        self.spill_buffer(&mut buffer)?;
        let mut rest = self.spill_while_reading(buffer, next, reader)?;
        self.tells_reading = false;
        self.put_last(&mut rest);
        let sorted = self.sort(&mut rest)?;
        self.spill(sorted)?;
        if let Some(records) = self.first.take() {
            return Ok((Source::InPlace(records), self.written));
        }
        let few = self.few_runs(rest.into_memory(), batches);
        let source = few.map_err(|error| error.of_taking(bytes_of(self.reading.records())))?;
        Ok((source, self.written))
    }

    /// Reads all that is left of the input and takes what has no room; the rest stays in the
    /// buffer that is given back.
    fn spill_while_reading(
        &mut self,
        mut buffer: Buffer,
        next: Record,
        reader: &mut Reader<'_, impl Iterator<Item = Result<Record>>>,
    ) -> Result<Buffer> {
        let len = (self.load.memory.sort_records / 2).max(2);
        buffer.shrink_to(len);
        let mut fill = |mut buffer: Buffer, next, hand_over: &mut dyn FnMut(Buffer) -> _| {
            let mut next = Some(next);
            loop {
                let Some(record) = next.take() else { return Ok(buffer) };
                // The first place is for the last record of those before.
                buffer.push(Record::zeroed());
                buffer.push(record);
                next = reader.fill(&mut buffer, len)?;
                if next.is_some() {
                    buffer = hand_over(buffer)?;
                }
            }
        };
        let reading = self.reading;
        let spiller = Mutex::new(self);
        let spill = |buffer: &mut Buffer| {
            spiller.lock().unwrap_or_else(PoisonError::into_inner).spill_buffer(buffer)
        };
        let mut spill_here = |mut buffer: Buffer| spill(&mut buffer).map(|()| buffer);
        if rayon::current_thread_index().is_some() {
            // Sorting takes threads of a pool. All of them may be waiting like this one.
            return fill(buffer, next, &mut spill_here);
        }
        thread::scope(|scope| {
            let (hand_over, handed_over) = mpsc::channel();
            let (give_back, given_back) = mpsc::channel();
            // There are two: one is written while the other one is filled.
            let _ = give_back.send(Buffer::default());
            let spill_each = || -> Result<()> {
                spiller.lock().unwrap_or_else(PoisonError::into_inner).tells_reading = true;
                let give_back = give_back;
                for mut buffer in handed_over {
                    let spilled = spill(&mut buffer);
                    if spilled.is_err() {
                        reading.fail();
                    }
                    spilled?;
                    let _ = give_back.send(buffer);
                }
                Ok(())
            };
            let name = "ringstore-spill".into();
            let thread = thread::Builder::new().name(name).spawn_scoped(scope, spill_each);
            let Ok(thread) = thread else { return fill(buffer, next, &mut spill_here) };
            let filled = fill(buffer, next, &mut |buffer| {
                let _ = hand_over.send(buffer);
                // Where it ended, its own error is told in place of this one.
                given_back.recv().map_err(|_| Error::Interrupted)
            });
            let failed_first = filled.is_err() && reading.fail();
            drop(hand_over);
            let spilled = thread.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked));
            if failed_first { filled } else { spilled.and(filled) }
        })
    }

    /// Brings records in order and writes all but the last; the buffer is empty afterwards.
    fn spill_buffer(&mut self, buffer: &mut Buffer) -> Result<()> {
        self.put_last(buffer);
        if let Some((last, others)) = self.sort(buffer)?.split_last() {
            self.spill(others)?;
            self.last = Some(last);
        }
        buffer.clear();
        Ok(())
    }

    /// Puts the last record of those before where room was left for it.
    fn put_last(&mut self, buffer: &mut Buffer) {
        if let Some(last) = self.last.take() {
            buffer.set_first(last);
        }
    }

    fn sort<'b>(&self, buffer: &'b mut Buffer) -> Result<Sorted<'b>> {
        if !self.tells_reading {
            return self.load.sorting(buffer.len(), || buffer.sort());
        }
        self.reading.report()?;
        Ok(buffer.sort())
    }

    /// Writes records that have no room: to the end of the last run, if that ends before
    /// they begin, or as a run of their own.
    fn spill(&mut self, sorted: Sorted<'_>) -> Result<()> {
        let spilled = self.spill_named(sorted);
        spilled.map_err(|error| error.of_taking(bytes_of(self.reading.records())))
    }

    fn spill_named(&mut self, sorted: Sorted<'_>) -> Result<()> {
        let Self { load, reading, tells_reading, .. } = *self;
        let Some((min, max)) = sorted.bounds() else { return Ok(()) };
        let mut done = 0;
        let mut report = |records: usize| -> Result<()> {
            let total = sorted.len() as u64;
            let is_told = if tells_reading && !reading.has_ended() {
                reading.report()
            } else {
                load.options.report(Phase::Spilling, done, Some(total))
            };
            done += records as u64;
            is_told
        };
        if self.first.is_none() && self.runs.is_empty() {
            let path = load.disk.path_of(&load.name);
            self.first = Some(RecordsWriter::new(load.create()?, path));
        }
        if let Some(first) = &mut self.first
            && (first.count() == 0 || first.bounds().1 < min)
        {
            if first.count() > 0 {
                let early = || EarlySync::new(load.disk, &load.name);
                self.early_sync.get_or_insert_with(early);
            }
            return sorted.for_each_piece(&mut self.places, &mut |records| {
                report(records.len())?;
                first.push(records)?;
                if let Some(early_sync) = &mut self.early_sync {
                    early_sync.wrote(records.len());
                }
                Ok(())
            });
        }
        self.early_sync = None;
        if let Some(first) = self.first.take() {
            self.written += first.count();
            self.runs.push(load.first_run(first)?);
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(RunsWriter::new(load.temporary())?),
        };
        let start = writer.len();
        sorted.for_each_piece(&mut self.places, &mut |records| {
            report(records.len())?;
            writer.push(records)
        })?;
        self.written += sorted.len() as u64;
        match self.runs.last_mut() {
            Some(last) if writer.goes_on(last) && last.bounds.1 < min => {
                *last = writer.run_from(last.bytes.start, (last.bounds.0, max));
            }
            _ => self.runs.push(writer.run_from(start, (min, max))),
        }
        Ok(())
    }

    /// Runs, no more of them than can be merged at a time, and memory to do so.
    fn few_runs(&mut self, mut memory: Vec<Record>, batches: &mut Batches) -> Result<Source> {
        self.writer = None;
        memory.resize(self.load.memory.merge_records, Zeroable::zeroed());
        while self.runs.len() > self.load.memory.runs_max {
            self.merge_some(&mut memory, batches)?;
        }
        Ok(Source::Runs { runs: std::mem::take(&mut self.runs), memory })
    }

    /// Merges as many neighbouring runs at a time as memory has room for, to new runs, until
    /// the others can be merged with them.
    fn merge_some(&mut self, memory: &mut [Record], batches: &mut Batches) -> Result<()> {
        let mut writer = RunsWriter::new(self.load.temporary())?;
        let mut rest = std::mem::take(&mut self.runs);
        let runs_max = self.load.memory.runs_max;
        while self.runs.len() + rest.len() > runs_max && rest.len() > 1 {
            let excess = self.runs.len() + rest.len() - runs_max;
            let others = rest.split_off(rest.len().min(runs_max).min(excess + 1));
            let runs = std::mem::replace(&mut rest, others);
            let total = runs.iter().map(Run::records).sum();
            let mut done = 0;
            let start = writer.len();
            let low = runs.iter().map(|run| run.bounds.0).min();
            let high = runs.iter().map(|run| run.bounds.1).max();
            let Some(bounds) = low.zip(high) else { continue };
            merge(&runs, memory, batches, |records| {
                self.load.options.report(Phase::Spilling, done, Some(total))?;
                done += records.len() as u64;
                writer.push(records)
            })?;
            let run = writer.run_from(start, bounds);
            self.written += run.records();
            self.runs.push(run);
        }
        self.runs.append(&mut rest);
        Ok(())
    }
}
