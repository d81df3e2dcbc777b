//! Filling a store in bulk.
//!
//! Records come in any order, as many as a disk holds. As many as memory has room for
//! are brought in order at a time. If those were all, they are written as a segment. If
//! not, they are a *run*, written to a temporary file while the next ones are read, and in
//! the end all runs are merged. Records that go on where the last run ended make that run
//! longer; and the first run is written where the segment's records belong. So what comes in
//! order is written once, and just the indexes are added in the end.

mod batches;
mod buffer;
mod job;
mod merge;
#[cfg(test)]
mod no_room;
pub(crate) mod options;
mod read;
mod runs;
mod spill;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod while_reading;
pub(crate) mod write;

use self::batches::Batches;
use self::buffer::Buffer;
use self::job::{Load, Memory};
use self::options::LoadOptions;
use self::read::{Reader, Reading};
use self::runs::RunsWriter;
use self::spill::Spiller;
use self::write::{InOrder, Source};
use crate::error::Result;
use crate::format::names::{segment_name, temporary_name};
use crate::io::Disk;
use crate::io::disk::RealDisk;
use crate::io::unfinished::Unfinished;
use crate::progress::Phase;
use crate::token::Record;

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

impl<'a> Load<'a> {
    fn run(
        self,
        input: impl Iterator<Item = Result<Record>>,
        unfinished: Unfinished<'a>,
    ) -> Result<InOrder<'a>> {
        let reading = Reading::new(&input, self.options);
        let mut reader = Reader::new(input, &reading);
        let mut buffer = Buffer::default();
        let mut batches = Batches::default();
        let next = reader.fill(&mut buffer, self.memory.sort_records)?;
        let (source, spilled) = if let Some(next) = next {
            let spiller = Spiller::new(&self, &reading);
            spiller.spill_all(buffer, next, &mut reader, &mut batches)?
        } else {
            self.sorting(buffer.len(), || buffer.group())?;
            (Source::Memory(buffer), 0)
        };
        let read = reading.records();
        Ok(InOrder { load: self, source, batches, read, spilled, unfinished })
    }

    /// Says that so many records are being brought in order.
    fn sorting<T>(&self, len: usize, sort: impl FnOnce() -> T) -> Result<T> {
        let len = len as u64;
        self.options.report(Phase::Sorting, 0, Some(len))?;
        let sorted = sort();
        self.options.report(Phase::Sorting, len, Some(len))?;
        Ok(sorted)
    }
}
