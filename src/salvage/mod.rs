//! Rescuing what is left of a damaged store.
//!
//! A store that is damaged is opened, and read wherever it is not damaged; but compacting it,
//! or listing all of it, fails. What checks out of it is rescued into a new store: every
//! record whose chunk has the right checksum, whatever else is wrong with its file, and every
//! frame of the logs. What does not is listed.

mod chunks;
mod destination;
mod file;
mod found;
mod layer;
mod logs;
mod losses;
mod merge;
mod plan;
pub(crate) mod report;
mod segment;
mod shape;
#[cfg(test)]
mod tests;

use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use self::destination::Destination;
use self::layer::{LayerReader, Reading};
use self::logs::Logged;
use self::merge::Merge;
use self::plan::{Plan, SegmentSource};
use self::report::SalvageReport;
use crate::error::{Error, Result};
use crate::format::names::LOCK;
use crate::io::Disk;
use crate::io::disk::RealDisk;
use crate::load::options::{LoadOptions, LoadReport};
use crate::progress::{OnProgress, Phase, Progress};
use crate::token::Record;

/// Rescues all records that still check out of a damaged store into a new one, and lists what
/// was lost.
///
/// Each chunk of 4 KiB is compared with its checksum by itself, so that one wrong byte costs
/// the records of one chunk, which are 57 or 58. A segment whose header is damaged is read by
/// what the manifest says of it. Without the manifest, or with one that is of another store or
/// older than the files, all files that belong together are taken, and the report
/// [says so](SalvageReport::manifest). Of each token the newest entry counts that was rescued:
/// where an entry of an upper layer was lost, an older value may come back, or a token that had
/// been removed, and the report [says so](crate::Loss::may_revert).
///
/// The damaged store is not changed. If a writer has it open, this fails; where its lock
/// cannot be taken for want of permission to write, nobody is asked. The destination must be
/// an empty directory, or not exist, and not lie in the damaged store. If this fails, nothing
/// of it is left there; if the process is killed, there may be an empty store, which is to be
/// removed.
///
/// `progress` is told how many bytes of the segments were read, then how far their indexes
/// are written.
///
/// Takes time in proportion to the damaged store, 64 MiB of memory, 2 MB for each layer, and
/// what the logs hold.
///
/// ```
/// use std::ops::ControlFlow;
/// use ringstore::{BlockTime, Options, Store, TokenId};
/// # let directory = tempfile::tempdir()?;
/// # let (damaged, rescued) = (directory.path().join("damaged"), directory.path().join("rescued"));
/// let store = Store::create(&damaged, &Options::new())?;
/// store.put(&TokenId::from(7), BlockTime::new(1.into(), 100))?;
/// store.close()?;
/// std::fs::remove_file(damaged.join("MANIFEST"))?;
///
/// let report = ringstore::salvage(&damaged, &rescued, &|_| ControlFlow::Continue(()))?;
/// assert_eq!((report.tokens, report.losses.len()), (1, 0));
/// // Were a file missing, nobody would know.
/// assert!(report.manifest.is_some() && !report.is_complete());
/// assert_eq!(Store::open(&rescued, &Options::new())?.snapshot().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`Error::NotAStore`] where there is nothing to rescue; [`Error::Locked`];
/// [`Error::UnknownVersion`]; [`Error::AlreadyExists`] and [`Error::Unwritable`] for a
/// destination that will not do; [`Error::TooManyRecords`] where there are more tokens than a
/// segment can hold; [`Error::NoSpace`]; [`Error::OutcomeUnknown`] where the new store could not
/// be made durable; [`Error::Interrupted`] if `progress` says to stop; [`Error::Io`], but not
/// where the medium fails: that is a loss.
pub fn salvage(
    store: impl AsRef<Path>,
    destination: impl AsRef<Path>,
    progress: OnProgress<'_>,
) -> Result<SalvageReport> {
    salvage_on(&RealDisk::new(store.as_ref()), destination.as_ref(), progress)
}

pub(crate) fn salvage_on(
    disk: &dyn Disk,
    destination: &Path,
    progress: OnProgress<'_>,
) -> Result<SalvageReport> {
    let _lock = lock(disk)?;
    let Plan { layers, logs, manifest, mut left_out } = Plan::of(disk)?;
    let destination = Destination::create(destination, disk.path())?;

    let lens = layers.iter().flatten().map(|segment| len_of(disk, segment));
    let reading = Reading::new(disk, progress, lens.fold(0, u64::saturating_add));
    let mut logged = Logged::new(!layers.is_empty());
    logged.read_all(disk, &logs)?;
    let mut report =
        SalvageReport { rescued: logged.rescued, manifest, ..SalvageReport::default() };
    report.losses.append(&mut logged.losses);
    let mut readers = vec![LayerReader::of_entries(&reading, logged.into_entries())];
    let layers_below = (0..layers.len()).rev();
    for (segments, below) in layers.into_iter().zip(layers_below) {
        readers.push(LayerReader::new(&reading, segments, below > 0)?);
    }
    let mut merge = Merge::new(readers);
    let shown = |loading: Progress| match loading.phase {
        // What is read was counted in bytes already.
        Phase::Reading | Phase::Sorting | Phase::Spilling => ControlFlow::Continue(()),
        _ => progress(loading),
    };
    // As they come in order, more memory would be of no use.
    let options = LoadOptions::new().memory_bytes(LoadOptions::MEMORY_BYTES_MIN).progress(&shown);
    let LoadReport { stored, .. } = destination.load(&mut merge, &options)?;
    destination.keep()?;
    let (rescued, mut losses) = merge.finish();
    report.tokens = stored;
    report.rescued += rescued;
    report.losses.append(&mut losses);
    report.losses.append(&mut left_out);
    Ok(report)
}

/// Takes the lock of a store, if it has one, and it can be asked for.
fn lock(disk: &dyn Disk) -> Result<Option<Box<dyn Send + Sync>>> {
    if disk.open(LOCK).is_err() {
        // Asking for it would make it.
        return Ok(None);
    }
    let path = disk.path_of(LOCK);
    match disk.lock(LOCK) {
        Ok(Some(lock)) => Ok(Some(lock)),
        Ok(None) => Err(Error::Locked { path }),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(Error::io("lock", &path)(error)),
    }
}

/// Bytes of records that a segment has, at most.
fn len_of(disk: &dyn Disk, source: &SegmentSource) -> u64 {
    match &source.entry {
        Some(entry) => entry.records.saturating_mul(Record::LEN as u64),
        None => disk.open(&source.name).and_then(|file| file.len()).unwrap_or(0),
    }
}
