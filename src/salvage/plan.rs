//! What there is to be read of a damaged store, and in which order.
//!
//! The manifest says so. Without it all segments and logs in the directory are taken, those
//! with higher numbers for the newer ones, as a file gets its number when it is begun. One
//! may have a lower number and be newer: what was being flushed when a compaction began. That
//! is known by what it did to the layer below, which the lowest one cannot have.

use super::file::{is_no_file, is_of_medium};
use crate::error::{Error, Result};
use crate::format::PAGE_LEN;
use crate::format::log::LogEntry;
use crate::format::manifest::{ManifestContents, SegmentEntry};
use crate::format::names::{is_log, is_segment, log_name, segment_name};
use crate::format::segment::{Header, StoreIdBytes};
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
}

impl Plan {
    /// What there is in a directory.
    ///
    /// Fails where there is no store, or one of a version that is not known.
    pub(super) fn of(disk: &dyn Disk) -> Result<Self> {
        let read = manifest::read(disk).and_then(|contents| {
            let contents = contents.ok_or_else(|| manifest::missing(disk))?;
            // Commits would be left out, and nobody told.
            refuse_older(disk, &contents)?;
            Ok(contents)
        });
        match read {
            Ok(contents) => Ok(Self::of_manifest(contents)),
            Err(Error::Damaged(damage)) => Self::of_files(
                disk,
                format!("expected {}, found {}", damage.expected, damage.found),
            ),
            Err(Error::Io { source, .. }) if is_of_medium(&source) || is_no_file(&source) => {
                Self::of_files(disk, source.to_string())
            }
            Err(error) => Err(error),
        }
    }

    fn of_manifest(contents: ManifestContents) -> Self {
        let segment = |entry: SegmentEntry| {
            let name = segment_name(entry.segment_id);
            SegmentSource { name, entry: Some(entry) }
        };
        let log = |entry: LogEntry| {
            let name = log_name(entry.log_id);
            LogSource { name, entry: Some((contents.store_id, entry)) }
        };
        let layers = contents.layers.into_iter().map(|it| it.into_iter().map(segment).collect());
        Self {
            layers: layers.collect(),
            logs: contents.logs.into_iter().map(log).collect(),
            manifest: None,
        }
    }

    fn of_files(disk: &dyn Disk, reason: String) -> Result<Self> {
        let mut names = disk.list().map_err(Error::io("list", disk.path()))?;
        // By their numbers, as all have the same number of digits.
        names.sort_unstable();
        let log = |name: &String| {
            let file = disk.open(name).ok();
            let entry = file.and_then(|file| manifest::log_identity(file.as_ref()));
            LogSource { name: name.clone(), entry }
        };
        let mut segments: Vec<_> = names.iter().filter(|name| is_segment(name)).collect();
        // An entry that is fresh has nothing below that could come before it, so that of
        // layers of such entries the order does not matter.
        let bottom = segments.iter().position(|name| is_fresh(disk, name)).unwrap_or(0);
        if let Some(lowest) = segments.get_mut(..=bottom) {
            lowest.rotate_right(1);
        }
        let segment = |name: &String| vec![SegmentSource { name: name.clone(), entry: None }];
        Ok(Self {
            layers: segments.into_iter().rev().map(segment).collect(),
            logs: names.iter().filter(|name| is_log(name)).map(log).collect(),
            manifest: Some(reason),
        })
    }
}

/// Whether a segment has fresh entries only, or nobody knows.
fn is_fresh(disk: &dyn Disk, name: &str) -> bool {
    let path = disk.path_of(name);
    let page = disk.read(name, PAGE_LEN).unwrap_or_default();
    let header = Header::decode_page(&page, &path);
    header.map_or(true, |(header, _)| (header.updates, header.tombstones) == (0, 0))
}
