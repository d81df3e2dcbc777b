//! Writing records that were brought in order as a segment.
//!
//! Where there is a store already, each record is looked up in it: it is fresh, or it is newer
//! and takes the place of another one, or it is left out.

use bytemuck::Zeroable;
use rayon::prelude::*;

use super::batches::Batches;
use super::buffer::Buffer;
use super::job::{Load, bytes_of};
use super::merge::merge;
use super::options::LoadReport;
use super::runs::{Cursor, Run};
use crate::error::{Error, Result};
use crate::format::PAGE_LEN;
use crate::format::kinds::Kind;
use crate::format::layout::{BLOCK_RECORDS, RECORDS_END};
use crate::format::manifest::SegmentEntry;
use crate::format::names::segment_name;
use crate::io::early_sync::EarlySync;
use crate::io::unfinished::Unfinished;
use crate::manifest::sync_names;
use crate::progress::Phase;
use crate::segment::builder::{Indexed, SegmentBuilder, SegmentIds, SegmentPlan};
use crate::segment::records::RecordsWriter;
use crate::snapshot::view::View;
use crate::token::{Record, TokenId};

/// Records that one thread looks up at a time.
const LOOKUPS: usize = 1_024;

/// Records of a run that are read at a time where some are looked for.
const FINDER_RECORDS: usize = 256;

/// Records in order, each token once.
pub(crate) struct InOrder<'a> {
    pub(super) load: Load<'a>,
    pub(super) source: Source,
    pub(super) batches: Batches,
    /// Records taken from the input.
    pub(super) read: u64,
    /// Records that were written for the time being.
    pub(super) spilled: u64,
    pub(super) unfinished: Unfinished<'a>,
}

/// Where they are.
pub(super) enum Source {
    Memory(Buffer),
    /// Where the segment's records belong.
    InPlace(RecordsWriter),
    /// Of several with one token the newest counts, or that of the first run.
    Runs {
        runs: Vec<Run>,
        memory: Vec<Record>,
    },
}

/// Finds the records of tokens that come in order.
pub(crate) enum Finder<'a> {
    Memory(&'a Buffer),
    Runs(Vec<Cursor<'a>>),
}

impl Finder<'_> {
    /// The record of a token, which is no smaller than the one before.
    pub(crate) fn find(&mut self, token: &TokenId) -> Result<Option<Record>> {
        let cursors = match self {
            Self::Memory(buffer) => return Ok(buffer.find(token).copied()),
            Self::Runs(cursors) => cursors,
        };
        let mut newest: Option<Record> = None;
        for cursor in cursors {
            cursor.seek(token)?;
            let found = cursor.record().filter(|record| record.token == *token);
            // Of several with one time the one of the first run.
            if let Some(found) = found
                && newest.is_none_or(|newest| newest.time() < found.time())
            {
                newest = Some(*found);
            }
        }
        Ok(newest)
    }
}

impl InOrder<'_> {
    /// Writes a segment, complete and durable but for the manifest that will name it, of the
    /// records that are newer than what is `below`, if anything is; `None` if there are none.
    pub(crate) fn write(
        &mut self,
        ids: SegmentIds,
        below: Option<&View>,
    ) -> Result<Option<SegmentEntry>> {
        let needed = bytes_of(self.read);
        self.write_named(ids, below).map_err(|error| error.of_taking(needed))
    }

    fn write_named(
        &mut self,
        ids: SegmentIds,
        below: Option<&View>,
    ) -> Result<Option<SegmentEntry>> {
        let Some(entry) = self.write_segment(ids, below)? else { return Ok(None) };
        let Load { disk, name, .. } = &self.load;
        let (path, segment) = (disk.path_of(name), segment_name(ids.segment_id));
        self.unfinished.extend([segment.clone()]);
        disk.rename(name, &segment).map_err(Error::io("rename", &path))?;
        sync_names(*disk)?;
        self.unfinished.keep();
        Ok(Some(entry))
    }

    /// Looks for records, once they were written.
    pub(crate) fn finder(&mut self) -> Result<Finder<'_>> {
        let cursors = match &mut self.source {
            Source::Memory(buffer) => return Ok(Finder::Memory(buffer)),
            // It is a run when it was written.
            Source::InPlace(_) => Vec::new(),
            Source::Runs { runs, memory } => {
                let buffer_len = memory.len() / runs.len().max(1);
                let buffers = memory.chunks_mut(buffer_len.clamp(1, FINDER_RECORDS));
                let cursors = runs.iter().zip(buffers);
                cursors.map(|(run, buffer)| Cursor::new(run, buffer)).collect::<Result<_>>()?
            }
        };
        Ok(Finder::Runs(cursors))
    }

    /// What the load did, if so many records were stored.
    pub(crate) fn report(&self, stored: u64) -> LoadReport {
        let duplicates = self.read - stored;
        LoadReport { read: self.read, stored, duplicates, spilled: self.spilled }
    }

    fn write_segment(
        &mut self,
        ids: SegmentIds,
        below: Option<&View>,
    ) -> Result<Option<SegmentEntry>> {
        if let Source::InPlace(_) = &self.source
            && let Some(entry) = self.write_in_place(ids, below)?
        {
            return Ok(Some(entry));
        }
        let Self { load, source, batches, .. } = self;
        match source {
            Source::InPlace(_) => Ok(None),
            Source::Memory(buffer) => {
                let Some(bounds) = buffer.bounds() else { return Ok(None) };
                // Fewer, if tokens come several times.
                let records_max = buffer.len() as u64;
                load.write(SegmentPlan { ids, records_max, bounds }, below, |push| {
                    buffer.visit(push)
                })
            }
            Source::Runs { runs, memory } => {
                let bounds = runs.iter().map(|run| run.bounds);
                let bounds = bounds.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
                let Some(bounds) = bounds else { return Ok(None) };
                // Tokens that come in several runs may make it more than a segment can hold.
                let records_max = runs.iter().map(Run::records).sum::<u64>().min(RECORDS_END - 1);
                load.write(SegmentPlan { ids, records_max, bounds }, below, |push| {
                    merge(runs, memory, batches, push)
                })
            }
        }
    }

    /// Makes a segment of records that are where they belong, or, if not all of them do,
    /// a run of them. They are a run afterwards in any case.
    fn write_in_place(
        &mut self,
        ids: SegmentIds,
        below: Option<&View>,
    ) -> Result<Option<SegmentEntry>> {
        let Self { load, source, .. } = self;
        let runs = Source::Runs { runs: Vec::new(), memory: Vec::new() };
        let Source::InPlace(records) = std::mem::replace(source, runs) else { return Ok(None) };
        let (count, bounds) = (records.count(), records.bounds());
        let mut kinds_of = |block: &[Record]| match below {
            None => Ok(Some(vec![Kind::Fresh; block.len()])),
            Some(below) => Ok(kinds_above(below, block)?.into_iter().collect()),
        };
        let (run, entry) = match records.into_segment(ids, &mut kinds_of, &mut load.finishing())? {
            Indexed::Segment(entry) => {
                let path = load.disk.path_of(&load.name);
                let file = load.disk.open(&load.name).map_err(Error::io("open", &path))?;
                let end = PAGE_LEN as u64 + count * Record::LEN as u64;
                (Run::of_file(file, path, PAGE_LEN as u64..end, bounds), Some(entry))
            }
            Indexed::Rejected(records) => {
                self.spilled += count;
                (load.first_run(records)?, None)
            }
        };
        let memory = vec![Record::zeroed(); BLOCK_RECORDS];
        self.source = Source::Runs { runs: vec![run], memory };
        Ok(entry)
    }
}

impl Load<'_> {
    /// Writes a segment whose records `fill` pushes, in order and block by block.
    fn write(
        &self,
        plan: SegmentPlan,
        below: Option<&View>,
        fill: impl FnOnce(&mut (dyn FnMut(&[Record]) -> Result<()> + Send)) -> Result<()>,
    ) -> Result<Option<SegmentEntry>> {
        let mut builder = SegmentBuilder::new(self.create()?, self.disk.path_of(&self.name), plan)?;
        let mut early_sync = EarlySync::new(self.disk, &self.name);
        let mut done = 0;
        fill(&mut |records| {
            self.options.report(Phase::Writing, done, Some(plan.records_max))?;
            done += records.len() as u64;
            early_sync.wrote(records.len());
            let Some(below) = below else {
                return records.iter().try_for_each(|record| builder.push(record, Kind::Fresh));
            };
            for (record, kind) in records.iter().zip(kinds_above(below, records)?) {
                if let Some(kind) = kind {
                    builder.push(record, kind)?;
                }
            }
            Ok(())
        })?;
        drop(early_sync);
        builder.finish(&mut self.finishing())
    }
}

/// What records do to what is below; `None` for those that are no newer.
fn kinds_above(below: &View, records: &[Record]) -> Result<Vec<Option<Kind>>> {
    let kind = |record: &Record| -> Result<Option<Kind>> {
        Ok(match below.get(&record.token)? {
            None => Some(Kind::Fresh),
            Some(found) => (found.time() < record.time()).then_some(Kind::Update),
        })
    };
    records.par_iter().with_min_len(LOOKUPS).map(kind).collect()
}
