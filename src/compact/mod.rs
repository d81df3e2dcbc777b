//! Writing what lies in several layers to one.

pub(crate) mod pace;
pub(crate) mod policy;
#[cfg(test)]
mod simulation;

use std::sync::mpsc;
use std::{io, thread};

use self::pace::Pace;
use crate::delta::compaction::LayerSource;
use crate::delta::layers::Outlined;
use crate::error::{Damage, Error, Result};
use crate::format::layout::{BLOCK_RECORDS, RECORDS_END};
use crate::format::manifest::SegmentEntry;
use crate::format::names::{segment_name, temporary_name};
use crate::io::Disk;
use crate::io::unfinished::Unfinished;
use crate::manifest::sync_names;
use crate::segment::builder::{SegmentBuilder, SegmentIds, SegmentPlan};

/// A layer has no more records.
pub(crate) const RECORDS_MAX: u64 = RECORDS_END - 1;

/// What a record takes in a segment, with its share of the indexes.
pub(crate) const BYTES_PER_RECORD: u64 = 75;

/// After so many records, what is written so far is sent on its way to the disk.
const EARLY_RECORDS: u64 = 1 << 20;

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

/// Does something that can have what is in a file so far written to the disk while it goes on, so
/// that little is left to be waited for in the end. A file of few records is left alone.
///
/// What fails meanwhile the last sync will say: each handle of a file is told of it.
fn early_synced<T>(
    disk: &dyn Disk,
    name: &str,
    records: u64,
    work: impl FnOnce(&dyn Fn()) -> T,
) -> T {
    let file = if records > EARLY_RECORDS { disk.open(name).ok() } else { None };
    let Some(file) = file else { return work(&|| ()) };
    thread::scope(|scope| {
        let (ask, asked) = mpsc::sync_channel(1);
        let sync = move || asked.iter().for_each(|()| drop(file.sync_data()));
        let syncing = thread::Builder::new().spawn_scoped(scope, sync);
        work(&move || {
            // If there is no such thread, or it is still at it, all is synced in the end.
            let _ = syncing.is_ok() && ask.try_send(()).is_ok();
        })
    })
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
    let mut done = 0;
    let outlined = early_synced(disk, &temporary, records_max, |sync_early| {
        inputs.run(&mut |record, kind| {
            if done % BLOCK_RECORDS as u64 == 0 {
                pace.go_on(done, records_max)?;
            }
            if done % EARLY_RECORDS == EARLY_RECORDS - 1 {
                sync_early();
            }
            done += 1;
            // If there are more, kinds lie, and merging on finds out which.
            if done <= records_max { builder.push(record, kind) } else { Ok(()) }
        })
    })?;
    if done > records_max {
        let expected = format!("{records_max} records, as kinds were counted");
        let found = format!("{done}");
        return Err(Damage { path, part: "layers to be merged", offset: 0, expected, found }.into());
    }
    let Some(entry) = builder.finish(&mut |_| Ok(()))? else { return Ok(None) };
    disk.rename(&temporary, &name).map_err(Error::io("rename", &path))?;
    sync_names(disk)?;
    unfinished.keep();
    Ok(Some((entry, outlined)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::watched::WatchedDisk;

    /// Whoever asks for it has it synced before the work is over, if there is much of it.
    #[test]
    fn what_is_written_is_synced_early() {
        let directory = tempfile::tempdir().unwrap();
        let (disk, watch) = WatchedDisk::new(directory.path());
        disk.create("file").unwrap();
        for (records, syncs) in [(EARLY_RECORDS, 0), (EARLY_RECORDS + 1, 1)] {
            watch.lock().unwrap().calls.clear();
            let done = early_synced(&disk, "file", records, |sync_early| {
                sync_early();
                records
            });
            assert_eq!(done, records);
            let calls = watch.lock().unwrap().calls.clone();
            assert_eq!(calls.len(), syncs, "{calls:?}");
            assert!(calls.iter().all(|call| call.contains("sync") && call.ends_with("file")));
        }
    }
}
