//! What there is to be read of a damaged store, and in which order.
//!
//! The manifest says so. Where it is damaged, or of another store, or an older one, all segments
//! and logs in the directory are taken that belong together, those with higher numbers for the
//! newer ones, as a file gets its number when it is begun. The bottom one may have a higher
//! number than some above: what a compaction made of it and others, while these were flushed or
//! left as they were. It is known by its entries, which are all fresh, as nothing is below; what
//! did anything to them is not.

use super::file::{is_no_file, is_of_medium};
use super::found::{Found, Identity};
use super::report::{Loss, LossReason};
use crate::error::{Error, Result};
use crate::format::log::LogEntry;
use crate::format::manifest::{ManifestContents, SegmentEntry};
use crate::format::names::{log_name, segment_name};
use crate::format::segment::StoreIdBytes;
use crate::io::Disk;
use crate::manifest;
use crate::recover::refuse_older;

/// A segment: its file, and what the manifest says of it, if there is one.
pub(super) struct SegmentSource {
    pub(super) name: String,
    pub(super) entry: Option<SegmentEntry>,
}

/// A log: its file, and what the manifest says of it, or else it says itself.
pub(super) struct LogSource {
    pub(super) name: String,
    pub(super) entry: Option<(StoreIdBytes, LogEntry)>,
}

/// What there is to be read.
pub(super) struct Plan {
    /// Newest first; the segments of a layer in the order of their keys.
    pub(super) layers: Vec<Vec<SegmentSource>>,
    /// Oldest first.
    pub(super) logs: Vec<LogSource>,
    /// Why the manifest is of no use, if it is not.
    pub(super) manifest: Option<String>,
    /// Files that are not read.
    pub(super) left_out: Vec<Loss>,
}

/// A manifest that does not say what there is.
struct Unfit {
    reason: String,
    /// Of which store the files are that are to be taken, if that is known.
    store_id: Option<StoreIdBytes>,
}

impl Plan {
    /// What there is in a directory.
    ///
    /// Fails where there is no store, or one of a version that is not known.
    pub(super) fn of(disk: &dyn Disk) -> Result<Self> {
        let read = manifest::read(disk)
            .and_then(|contents| contents.ok_or_else(|| manifest::missing(disk)));
        let contents = match read {
            Ok(contents) => contents,
            Err(error) => {
                let unfit = Unfit { reason: reason_of(error)?, store_id: None };
                return Ok(Self::of_files(disk, &Found::all(disk, |_| None)?, unfit));
            }
        };
        let len_of = |name: &str| {
            let mut entries = contents.layers.iter().flatten();
            entries.find(|entry| segment_name(entry.segment_id) == name).map(|it| it.file_len)
        };
        let found = Found::all(disk, len_of)?;
        let planned = match refuse_older(disk, &contents) {
            Ok(()) => Self::of_manifest(disk, &contents, &found),
            // Commits would be left out, and nobody told.
            Err(error) => {
                Err(Unfit { reason: reason_of(error)?, store_id: Some(contents.store_id) })
            }
        };
        Ok(planned.unwrap_or_else(|unfit| Self::of_files(disk, &found, unfit)))
    }

    fn of_manifest(
        disk: &dyn Disk,
        contents: &ManifestContents,
        found: &[Found],
    ) -> std::result::Result<Self, Unfit> {
        let mut named = Named { found, are_here: Vec::new(), are_all_here: true };
        let mut segment = |entry: &SegmentEntry| {
            let name = segment_name(entry.segment_id);
            let name = named.file_of(name, &Identity::of_entry(entry));
            SegmentSource { name, entry: Some(entry.clone()) }
        };
        let layers = contents.layers.iter().map(|it| it.iter().map(&mut segment).collect());
        let layers = layers.collect();
        let store_id = contents.store_id;
        let log = |entry: &LogEntry| {
            let name = named.file_of(log_name(entry.log_id), &Identity::Log(store_id, *entry));
            LogSource { name, entry: Some((store_id, *entry)) }
        };
        let logs = contents.logs.iter().map(log).collect();

        let unfit = |what: &str, file: &Found, store_id| {
            let found = format!("{what} than that of {}", file.name);
            Err(Unfit { reason: reason(MANIFEST_OF_THIS_STORE, &found), store_id })
        };
        // A crash may have left it of what was being written, or it came with a later manifest:
        // then what was written in place of others, which are missing, is in it.
        let is_later = |file: &&Found| {
            file.is_whole
                && file.identity.is_some_and(|identity| identity.is_of(&store_id))
                && file.number >= contents.next_file_id
                && !named.are_here.contains(&file.name)
        };
        let later: Vec<_> = found.iter().filter(is_later).collect();
        if !named.are_all_here
            && let Some(file) = later.last()
        {
            return unfit("an older one", file, Some(store_id));
        }
        let is_foreign = |file: &&Found| file.identity.is_some_and(|it| !it.is_of(&store_id));
        if named.are_here.is_empty()
            && let Some(file) = found.iter().find(is_foreign)
        {
            return unfit("one of another store", file, None);
        }
        let left_out = later.iter().map(|file| file.left_out(disk, LossReason::Unnamed));
        let left_out = left_out.collect();
        Ok(Self { layers, logs, manifest: None, left_out })
    }

    fn of_files(disk: &dyn Disk, found: &[Found], unfit: Unfit) -> Self {
        let store_id = unfit.store_id.or_else(|| main_store(disk, found));
        let is_foreign = |file: &&Found| {
            store_id.zip(file.identity).is_some_and(|(store_id, it)| !it.is_of(&store_id))
        };
        let (foreign, ours): (Vec<_>, Vec<_>) = found.iter().partition(is_foreign);
        let (logs, mut segments): (Vec<&Found>, Vec<_>) =
            ours.into_iter().partition(|file| file.is_log());
        let bottom = segments.iter().position(|file| is_fresh(file)).unwrap_or(0);
        if let Some(lowest) = segments.get_mut(..=bottom) {
            lowest.rotate_right(1);
        }
        let segment = |file: &Found| vec![SegmentSource { name: file.name.clone(), entry: None }];
        let log = |file: &Found| {
            let entry = match file.identity {
                Some(Identity::Log(store_id, entry)) => Some((store_id, entry)),
                _ => None,
            };
            LogSource { name: file.name.clone(), entry }
        };
        let left_out = foreign.into_iter().map(|file| file.left_out(disk, LossReason::Foreign));
        Self {
            layers: segments.into_iter().rev().map(segment).collect(),
            logs: logs.into_iter().map(log).collect(),
            manifest: Some(unfit.reason),
            left_out: left_out.collect(),
        }
    }
}

/// Which files are those that the manifest names.
struct Named<'a> {
    found: &'a [Found],
    /// Those that are there. Of some nobody knows whether they are.
    are_here: Vec<String>,
    are_all_here: bool,
}

impl Named<'_> {
    /// The name that a file has by now: its own, unless another file says that it is the one,
    /// and what is there does not.
    fn file_of(&mut self, name: String, identity: &Identity) -> String {
        let is_it = |file: &&Found| file.identity.as_ref() == Some(identity);
        let may_be_it =
            |file: &&Found| file.name == name && file.is_file && file.identity.is_none();
        let known = self.found.iter().filter(is_it).max_by_key(|file| file.name == name);
        if let Some(file) = known.or_else(|| self.found.iter().find(may_be_it)) {
            self.are_here.push(file.name.clone());
            file.name.clone()
        } else {
            self.are_all_here = false;
            name
        }
    }
}

/// The store that has most of the entries, where there are files of several.
fn main_store(disk: &dyn Disk, found: &[Found]) -> Option<StoreIdBytes> {
    let mut stores: Vec<StoreIdBytes> = Vec::new();
    for identity in found.iter().filter_map(|file| file.identity) {
        if !stores.iter().any(|store_id| identity.is_of(store_id)) {
            stores.push(*identity.store_id());
        }
    }
    if let [] | [_] = stores.as_slice() {
        return stores.first().copied();
    }
    let entries = |store_id: &StoreIdBytes| -> u64 {
        let is_of = |file: &&Found| file.identity.is_some_and(|it| it.is_of(store_id));
        found.iter().filter(is_of).map(|file| file.entries(disk)).sum()
    };
    stores.into_iter().max_by_key(entries)
}

/// Whether a segment has fresh entries only, or nobody knows.
fn is_fresh(file: &Found) -> bool {
    let header = file.header.as_ref();
    header.is_none_or(|header| (header.updates, header.tombstones) == (0, 0))
}

const MANIFEST_OF_THIS_STORE: &str = "the manifest of this store";

fn reason(expected: &str, found: &str) -> String {
    format!("expected {expected}, found {found}")
}

/// Why a manifest cannot be used, unless nothing can be done without it.
fn reason_of(error: Error) -> Result<String> {
    match error {
        Error::Damaged(damage) => Ok(reason(&damage.expected, &damage.found)),
        Error::Io { source, .. } if is_of_medium(&source) || is_no_file(&source) => {
            Ok(source.to_string())
        }
        error => Err(error),
    }
}
