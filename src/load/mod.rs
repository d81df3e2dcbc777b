//! Filling a store in bulk.
//!
//! Records come in any order, as many as a disk holds. As many as memory has room for
//! are brought in order at a time. If those were all, they are written as a segment. If
//! not, they are a *run*, written to a temporary file, and in the end all runs are
//! merged. Records that go on where the last run ended make that run longer; and the
//! first run is written where the segment's records belong. So what comes in order is
//! written once, and just the indexes are added in the end.

mod batches;
mod buffer;
mod job;
mod merge;
#[cfg(test)]
mod no_room;
pub(crate) mod options;
mod runs;
#[cfg(test)]
mod tests;
pub(crate) mod write;

use bytemuck::Zeroable;

use self::batches::Batches;
use self::buffer::{Buffer, Piece, Sorted};
use self::job::{Load, Memory, bytes_of};
use self::merge::merge;
use self::options::LoadOptions;
use self::runs::{Run, RunsWriter};
use self::write::{InOrder, Source};
use crate::error::Result;
use crate::format::names::{segment_name, temporary_name};
use crate::in_order::Places;
use crate::io::Disk;
use crate::io::disk::RealDisk;
use crate::io::early_sync::EarlySync;
use crate::io::unfinished::Unfinished;
use crate::progress::Phase;
use crate::segment::records::RecordsWriter;
use crate::token::Record;

/// Records from one word about progress to the next.
const PROGRESS_RECORDS: u64 = 1 << 16;

/// Takes records, in any order, and brings them in order, to be [written](InOrder::write)
/// as a segment. Until then its file has the name of a segment with a number that nobody else
/// has.
///
/// Of several records with one token the newest is kept, and of several with the same
/// time the first. Nothing is left of it if it fails.
pub(crate) fn in_order<'a>(
    disk: &'a dyn Disk,
    number: u64,
    input: impl IntoIterator<Item = Result<Record>>,
    options: &'a LoadOptions<'a>,
) -> Result<InOrder<'a>> {
    in_order_within(Memory::of(options)?, disk, number, input, options)
}

fn in_order_within<'a>(
    memory: Memory,
    disk: &'a dyn Disk,
    number: u64,
    input: impl IntoIterator<Item = Result<Record>>,
    options: &'a LoadOptions<'a>,
) -> Result<InOrder<'a>> {
    let temporary = options.temporary_directory.map(RealDisk::new);
    let name = temporary_name(&segment_name(number));
    let load = Load { disk, temporary, memory, options, name };
    let unfinished = Unfinished::new(disk, vec![load.name.clone()]);
    if options.temporary_directory.is_some() {
        // Better known now than when it is needed.
        RunsWriter::new(load.temporary())?;
    }
    load.run(input.into_iter(), unfinished)
}

/// What was written of the records that had no room.
#[derive(Default)]
struct Spilled<'a> {
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

impl<'a> Load<'a> {
    fn run(
        self,
        input: impl Iterator<Item = Result<Record>>,
        unfinished: Unfinished<'a>,
    ) -> Result<InOrder<'a>> {
        let total = match input.size_hint() {
            (low, Some(high)) if low == high => Some(low as u64),
            _ => None,
        };
        let mut buffer = Buffer::default();
        let mut batches = Batches::default();
        let mut spilled = Spilled::default();
        let mut read = 0;
        for record in input {
            if buffer.len() >= self.memory.sort_records {
                // The last token may come again: then it still has to be decided which
                // record is kept.
                if let Some((last, others)) = self.sort(&mut buffer)?.split_last() {
                    self.spill(others, &mut spilled)
                        .map_err(|error| error.of_taking(bytes_of(read)))?;
                    buffer.clear();
                    buffer.push(last);
                }
            }
            buffer.push(record?);
            read += 1;
            if read % PROGRESS_RECORDS == 0 {
                self.options.report(Phase::Reading, read, total)?;
            }
        }
        self.options.report(Phase::Reading, read, Some(read))?;
        let is_all = spilled.first.is_none() && spilled.runs.is_empty();
        let source = if is_all {
            self.sorting(buffer.len(), || buffer.group())?;
            Source::Memory(buffer)
        } else {
            let sorted = self.sort(&mut buffer)?;
            self.spill(sorted, &mut spilled)
                .and_then(|()| match spilled.first.take() {
                    Some(records) => Ok(Source::InPlace(records)),
                    None => self.few_runs(&mut spilled, buffer.into_memory(), &mut batches),
                })
                .map_err(|error| error.of_taking(bytes_of(read)))?
        };
        Ok(InOrder { load: self, source, batches, read, spilled: spilled.written, unfinished })
    }

    fn sort<'b>(&self, buffer: &'b mut Buffer) -> Result<Sorted<'b>> {
        self.sorting(buffer.len(), || buffer.sort())
    }

    /// Says that so many records are being brought in order.
    fn sorting<T>(&self, len: usize, sort: impl FnOnce() -> T) -> Result<T> {
        let len = len as u64;
        self.options.report(Phase::Sorting, 0, Some(len))?;
        let sorted = sort();
        self.options.report(Phase::Sorting, len, Some(len))?;
        Ok(sorted)
    }

    /// Writes records that have no room: to the end of the last run, if that ends before
    /// they begin, or as a run of their own.
    fn spill(&self, sorted: Sorted<'_>, spilled: &mut Spilled<'a>) -> Result<()> {
        let Some((min, max)) = sorted.bounds() else { return Ok(()) };
        let mut done = 0;
        let mut report = |records: usize| -> Result<()> {
            self.options.report(Phase::Spilling, done, Some(sorted.len() as u64))?;
            done += records as u64;
            Ok(())
        };
        if spilled.first.is_none() && spilled.runs.is_empty() {
            let path = self.disk.path_of(&self.name);
            spilled.first = Some(RecordsWriter::new(self.create()?, path));
        }
        if let Some(first) = &mut spilled.first
            && (first.count() == 0 || first.bounds().1 < min)
        {
            if first.count() > 0 {
                let early = || EarlySync::new(self.disk, &self.name);
                spilled.early_sync.get_or_insert_with(early);
            }
            return sorted.for_each_piece(&mut spilled.places, &mut |records| {
                report(records.len())?;
                first.push(records)?;
                if let Some(early_sync) = &mut spilled.early_sync {
                    early_sync.wrote(records.len());
                }
                Ok(())
            });
        }
        spilled.early_sync = None;
        if let Some(first) = spilled.first.take() {
            spilled.written += first.count();
            spilled.runs.push(self.first_run(first)?);
        }
        let writer = match &mut spilled.writer {
            Some(writer) => writer,
            none => none.insert(RunsWriter::new(self.temporary())?),
        };
        let start = writer.len();
        sorted.for_each_piece(&mut spilled.places, &mut |records| {
            report(records.len())?;
            writer.push(records)
        })?;
        spilled.written += sorted.len() as u64;
        match spilled.runs.last_mut() {
            Some(last) if writer.goes_on(last) && last.bounds.1 < min => {
                *last = writer.run_from(last.bytes.start, (last.bounds.0, max));
            }
            _ => spilled.runs.push(writer.run_from(start, (min, max))),
        }
        Ok(())
    }

    /// Runs, no more of them than can be merged at a time, and memory to do so.
    fn few_runs(
        &self,
        spilled: &mut Spilled<'_>,
        mut memory: Vec<Record>,
        batches: &mut Batches,
    ) -> Result<Source> {
        spilled.writer = None;
        memory.resize(self.memory.merge_records, Zeroable::zeroed());
        while spilled.runs.len() > self.memory.runs_max {
            self.merge_some(spilled, &mut memory, batches)?;
        }
        Ok(Source::Runs { runs: std::mem::take(&mut spilled.runs), memory })
    }

    /// Merges as many neighbouring runs at a time as memory has room for, to new runs, until
    /// the others can be merged with them.
    fn merge_some(
        &self,
        spilled: &mut Spilled<'_>,
        memory: &mut [Record],
        batches: &mut Batches,
    ) -> Result<()> {
        let mut writer = RunsWriter::new(self.temporary())?;
        let mut rest = std::mem::take(&mut spilled.runs);
        let runs_max = self.memory.runs_max;
        while spilled.runs.len() + rest.len() > runs_max && rest.len() > 1 {
            let excess = spilled.runs.len() + rest.len() - runs_max;
            let others = rest.split_off(rest.len().min(runs_max).min(excess + 1));
            let runs = std::mem::replace(&mut rest, others);
            let total = runs.iter().map(Run::records).sum();
            let mut done = 0;
            let start = writer.len();
            let low = runs.iter().map(|run| run.bounds.0).min();
            let high = runs.iter().map(|run| run.bounds.1).max();
            let Some(bounds) = low.zip(high) else { continue };
            merge(&runs, memory, batches, |records| {
                self.options.report(Phase::Spilling, done, Some(total))?;
                done += records.len() as u64;
                writer.push(records)
            })?;
            let run = writer.run_from(start, bounds);
            spilled.written += run.records();
            spilled.runs.push(run);
        }
        spilled.runs.append(&mut rest);
        Ok(())
    }
}
