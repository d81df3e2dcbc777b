//! Writing what lies in several layers to one.

pub(crate) mod pace;
pub(crate) mod policy;
#[cfg(test)]
mod simulation;

use std::io;

use self::pace::Pace;
use crate::delta::compaction::LayerSource;
use crate::delta::layers::Outlined;
use crate::error::{Damage, Error, Result};
use crate::format::layout::{BLOCK_RECORDS, RECORDS_END};
use crate::format::manifest::SegmentEntry;
use crate::format::names::{segment_name, temporary_name};
use crate::io::Disk;
use crate::io::early_sync::EarlySync;
use crate::io::unfinished::Unfinished;
use crate::manifest::sync_names;
use crate::segment::builder::{SegmentBuilder, SegmentIds, SegmentPlan};

/// A layer has no more records.
pub(crate) const RECORDS_MAX: u64 = RECORDS_END - 1;

/// What a record takes in a segment, with its share of the indexes.
pub(crate) const BYTES_PER_RECORD: u64 = 75;

/// What is wrong where records do not come as they should.
const MERGED: &str = "layers to be merged";

/// Writes what inputs come to as a segment, complete and durable but for the manifest that
/// will name it; `None` if they come to nothing. Nothing is left of it if it fails.
pub(crate) fn write_layer(
    disk: &dyn Disk,
    ids: SegmentIds,
    inputs: &dyn LayerSource,
    pace: &dyn Pace,
) -> Result<Option<(SegmentEntry, Vec<Outlined>)>> {
    let records_max = inputs.records_max()?;
    let needed = records_max.saturating_mul(BYTES_PER_RECORD);
    if disk.free_bytes().is_some_and(|free| free < needed) {
        // Better known now than when the disk is full, and others find no room either.
        let path = disk.path_of(&segment_name(ids.segment_id));
        return Err(Error::NoSpace { path, needed, source: io::ErrorKind::StorageFull.into() });
    }
    write(disk, ids, inputs, records_max, pace).map_err(|error| error.of_taking(needed))
}

fn write(
    disk: &dyn Disk,
    ids: SegmentIds,
    inputs: &dyn LayerSource,
    records_max: u64,
    pace: &dyn Pace,
) -> Result<Option<(SegmentEntry, Vec<Outlined>)>> {
    let Some(bounds) = inputs.bounds()? else { return Ok(None) };
    let name = segment_name(ids.segment_id);
    let temporary = temporary_name(&name);
    let path = disk.path_of(&temporary);
    let mut unfinished = Unfinished::new(disk, vec![temporary.clone(), name.clone()]);
    // A thread that panicked may have left one.
    let _ = disk.unlink(&temporary);
    let file = disk.create(&temporary).map_err(Error::io("create", &path))?;
    let plan = SegmentPlan { ids, records_max, bounds };
    let mut builder = SegmentBuilder::new(file, path.clone(), plan)?;
    let mut early_sync = EarlySync::new(disk, &temporary);
    let mut done = 0;
    let outlined = inputs.run(&mut |record, kind| {
        if done % BLOCK_RECORDS as u64 == 0 {
            pace.go_on(done, records_max)?;
        }
        early_sync.wrote(1);
        done += 1;
        // If there are more, kinds lie, and merging on finds out which.
        if done > records_max {
            return Ok(());
        }
        builder.push(record, kind).map_err(|error| match error {
            Error::OutOfOrder { token, last } => {
                Damage::out_of_order(&path, MERGED, &last, &token).into()
            }
            other => other,
        })
    })?;
    drop(early_sync);
    if done > records_max {
        let expected = format!("{records_max} records, as kinds were counted");
        let found = format!("{done}");
        return Err(Damage { path, part: MERGED, offset: 0, expected, found }.into());
    }
    let Some(entry) = builder.finish(&mut |_| Ok(()))? else { return Ok(None) };
    disk.rename(&temporary, &name).map_err(Error::io("rename", &path))?;
    sync_names(disk)?;
    unfinished.keep();
    Ok(Some((entry, outlined)))
}
