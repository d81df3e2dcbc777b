//! Writing what lies in several layers to one.

pub(crate) mod policy;

use crate::delta::flush::Flush;
use crate::delta::layers::Outlined;
use crate::error::{Error, Result, is_no_space};
use crate::format::layout::RECORDS_END;
use crate::format::manifest::SegmentEntry;
use crate::format::names::{segment_name, temporary_name};
use crate::io::Disk;
use crate::io::unfinished::Unfinished;
use crate::manifest::sync_names;
use crate::segment::builder::{SegmentBuilder, SegmentIds, SegmentPlan};

/// A layer has no more records.
pub(crate) const RECORDS_MAX: u64 = RECORDS_END - 1;

/// What a record takes in a segment, with its share of the indexes.
const BYTES_PER_RECORD: u64 = 75;

/// Writes what a flush comes to as a segment, complete and durable but for the manifest that
/// will name it; `None` if it comes to nothing. Nothing is left of it if it fails.
pub(crate) fn write_layer(
    disk: &dyn Disk,
    ids: SegmentIds,
    flush: &Flush,
) -> Result<Option<(SegmentEntry, Vec<Outlined>)>> {
    let written = write(disk, ids, flush);
    written.map_err(|error| match error {
        Error::Io { path, source, .. } if is_no_space(&source) => {
            let needed = flush.records_max().saturating_mul(BYTES_PER_RECORD);
            Error::NoSpace { path, needed, source }
        }
        other => other,
    })
}

fn write(
    disk: &dyn Disk,
    ids: SegmentIds,
    flush: &Flush,
) -> Result<Option<(SegmentEntry, Vec<Outlined>)>> {
    let Some(bounds) = flush.bounds()? else { return Ok(None) };
    let name = segment_name(ids.segment_id);
    let temporary = temporary_name(&name);
    let path = disk.path_of(&temporary);
    let unfinished = Unfinished::new(disk, vec![&temporary, &name]);
    // A thread that panicked may have left one.
    let _ = disk.unlink(&temporary);
    let file = disk.create(&temporary).map_err(Error::io("create", &path))?;
    let plan = SegmentPlan { ids, records_max: flush.records_max(), bounds };
    let mut builder = SegmentBuilder::new(file, path.clone(), plan)?;
    let outlined = flush.run(&mut |record, kind| builder.push(record, kind))?;
    let Some(entry) = builder.finish(&mut |_| Ok(()))? else { return Ok(None) };
    disk.rename(&temporary, &name).map_err(Error::io("rename", &path))?;
    sync_names(disk)?;
    unfinished.keep();
    Ok(Some((entry, outlined)))
}
