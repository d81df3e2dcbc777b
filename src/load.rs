//! Filling a store in bulk.
//!
//! Records come in any order, are brought in order, and become one segment.

use std::cmp::Reverse;
use std::ops::ControlFlow;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::format::kinds::Kind;
use crate::format::manifest::SegmentEntry;
use crate::format::segment::StoreIdBytes;
use crate::io::Disk;
use crate::manifest::{segment_name, temporary_name};
use crate::progress::{OnProgress, Phase, Progress, UNWATCHED};
use crate::segment::builder::{SegmentBuilder, SegmentPlan};
use crate::token::Record;

/// Records from one word about progress to the next.
const PROGRESS_RECORDS: usize = 1 << 16;

/// How to load.
#[derive(Clone, Copy)]
pub struct LoadOptions<'a> {
    progress: OnProgress<'a>,
}

impl<'a> LoadOptions<'a> {
    /// The defaults.
    pub fn new() -> Self {
        Self { progress: UNWATCHED }
    }

    /// Sets who is told how far the load has come, every 65,536 records, and may stop it.
    #[must_use]
    pub fn progress(self, progress: OnProgress<'a>) -> Self {
        Self { progress }
    }

    fn report(&self, phase: Phase, done: usize, total: Option<usize>) -> Result<()> {
        let progress =
            Progress { phase, done: done as u64, total: total.map(|total| total as u64) };
        match (self.progress)(progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Interrupted),
        }
    }
}

impl Default for LoadOptions<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// What a load did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LoadReport {
    /// Records taken from the input.
    pub read: u64,
    /// Tokens stored.
    pub stored: u64,
    /// Records dropped because the same token came with a newer time, or came before.
    pub duplicates: u64,
}

/// Writes records, in any order, to a segment of its own, complete and durable but for
/// the manifest that will name it. `None` for the segment if there were no records.
///
/// Of several records with one token the newest is kept, and of several with the same
/// time the first.
pub(crate) fn load_segment(
    disk: &dyn Disk,
    store_id: StoreIdBytes,
    segment_id: u64,
    input: impl IntoIterator<Item = Result<Record>>,
    options: &LoadOptions<'_>,
) -> Result<(Option<SegmentEntry>, LoadReport)> {
    let mut records = Vec::new();
    for record in input {
        records.push(record?);
        if records.len() % PROGRESS_RECORDS == 0 {
            options.report(Phase::Reading, records.len(), None)?;
        }
    }
    let read = records.len();
    options.report(Phase::Sorting, 0, Some(read))?;
    // A stable sort: of equal records the first one stays the first.
    records.par_sort_by_key(|record| (record.token, Reverse(record.time())));
    records.dedup_by_key(|record| record.token);
    options.report(Phase::Sorting, read, Some(read))?;
    let report = LoadReport {
        read: read as u64,
        stored: records.len() as u64,
        duplicates: (read - records.len()) as u64,
    };
    let (Some(first), Some(last)) = (records.first(), records.last()) else {
        return Ok((None, report));
    };
    let plan = SegmentPlan {
        store_id,
        segment_id,
        records_max: records.len() as u64,
        bounds: (first.token, last.token),
    };
    let entry = write_segment(disk, plan, &records, options)?;
    Ok((entry, report))
}

/// Writes sorted records to a new segment and gives it its name, durably. Nothing is
/// left of it if that fails.
fn write_segment(
    disk: &dyn Disk,
    plan: SegmentPlan,
    records: &[Record],
    options: &LoadOptions<'_>,
) -> Result<Option<SegmentEntry>> {
    let name = segment_name(plan.segment_id);
    let temporary = temporary_name(&name);
    let path = disk.path_of(&temporary);
    // A thread that panicked may have left one.
    let _ = disk.unlink(&temporary);
    let file = disk.create(&temporary).map_err(Error::io("create", &path))?;
    let written = (|| {
        let mut builder = SegmentBuilder::new(file, path.clone(), plan)?;
        for (index, chunk) in records.chunks(PROGRESS_RECORDS).enumerate() {
            options.report(Phase::Writing, index * PROGRESS_RECORDS, Some(records.len()))?;
            for record in chunk {
                builder.push(record, Kind::Fresh)?;
            }
        }
        options.report(Phase::Writing, records.len(), Some(records.len()))?;
        options.report(Phase::Syncing, 0, None)?;
        let entry = builder.finish()?;
        disk.rename(&temporary, &name).map_err(Error::io("rename", &path))?;
        disk.sync_directory().map_err(Error::io("sync", disk.path()))?;
        Ok(entry)
    })();
    if written.is_err() {
        // Whether these work does not matter: the next writer removes them as well.
        let _ = disk.unlink(&temporary);
        let _ = disk.unlink(&name);
    }
    written
}
