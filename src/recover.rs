//! Making the delta again out of the logs.

use std::path::Path;

use crate::delta::layers::Layers;
use crate::delta::{Delta, Impossible};
use crate::error::{Damage, Error, Result};
use crate::format::log::{Entries, LogEntry};
use crate::format::manifest::ManifestContents;
use crate::format::names::{is_log, log_name};
use crate::format::segment::are_related;
use crate::io::Disk;
use crate::log::read::{FramePlace, has_commits, read_file, read_frames};
use crate::manifest::{log_identity, not_of_this_store, unnamed};

/// Frames are numbered below this: there is no end to commits.
const SEQUENCE_END: u64 = 1 << 62;

/// What opening a store found in its logs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Recovery {
    /// Commits that were read.
    pub commits: u64,
    /// Bytes behind the last of them that a crash left of commits which were not
    /// acknowledged. They were left out.
    pub cut_bytes: u64,
}

/// What the logs come to.
pub(crate) struct Replayed {
    pub(crate) delta: Delta,
    /// The number of the last frame, or the one before the first.
    pub(crate) last_sequence: u64,
    pub(crate) recovery: Recovery,
    /// Where the newest log goes on, if there is one.
    pub(crate) next_commit: Option<FramePlace>,
}

/// Reads all logs that the manifest names, over the layers that it names. Changes nothing
/// on the disk.
///
/// Takes time proportional to the logs, and memory for the largest one and the delta.
pub(crate) fn replay(
    disk: &dyn Disk,
    contents: &ManifestContents,
    layers: Layers,
) -> Result<Replayed> {
    let mut replayed = Replayed {
        delta: Delta::new(layers),
        last_sequence: 0,
        recovery: Recovery::default(),
        next_commit: None,
    };
    for (index, entry) in contents.logs.iter().enumerate() {
        let until = contents.logs.get(index + 1).map(|next| next.first_sequence);
        replayed.read(disk, contents, entry, until)?;
    }
    Ok(replayed)
}

impl Replayed {
    fn read(
        &mut self,
        disk: &dyn Disk,
        contents: &ManifestContents,
        entry: &LogEntry,
        until: Option<u64>,
    ) -> Result<()> {
        let path = disk.path_of(&log_name(entry.log_id));
        if !(1..SEQUENCE_END).contains(&entry.first_sequence) {
            return Err(Error::from(Damage {
                path,
                part: "log header",
                offset: 0,
                expected: format!("a first frame from 1 to {}", SEQUENCE_END - 1),
                found: entry.first_sequence.to_string(),
            }));
        }
        let bytes = read_file(disk, entry)?;
        let delta = &mut self.delta;
        let mut commits = 0;
        let end =
            read_frames(&bytes, &path, contents.store_id, entry, until, &mut |offset, entries| {
                commits += u64::from(!entries.is_empty());
                replay_frame(delta, &path, offset, entries)
            })?;
        self.last_sequence = end.next_sequence - 1;
        self.next_commit = Some(end.next_commit);
        self.recovery.commits += commits;
        self.recovery.cut_bytes += end.cut_bytes;
        Ok(())
    }
}

/// Enters what a frame says was done.
pub(crate) fn replay_frame(
    delta: &mut Delta,
    path: &Path,
    offset: u64,
    entries: Entries<'_>,
) -> Result<()> {
    entries.iter().try_for_each(|(record, kind)| {
        delta.replay(record, kind)?.map_err(|Impossible| {
            Error::from(Damage {
                path: path.to_path_buf(),
                part: "log entry",
                offset,
                expected: format!("what can be done to token {}", record.token),
                found: format!("{kind:?}"),
            })
        })
    })
}

/// Fails where there is a log that is not named, but was named once by a manifest of the same
/// store that came later: then this one is an older one, and commits would be lost.
pub(crate) fn refuse_older(disk: &dyn Disk, contents: &ManifestContents) -> Result<()> {
    for name in unnamed(disk, contents)?.into_iter().filter(|name| is_log(name)) {
        // Where it cannot be opened, it was removed meanwhile.
        let Ok(file) = disk.open(&name) else { continue };
        let is_later = log_identity(file.as_ref()).is_some_and(|(store_id, entry)| {
            are_related(&store_id, &contents.store_id)
                && entry.log_id >= contents.next_file_id
                && has_commits(file.as_ref(), &entry)
        });
        if is_later {
            return Err(not_of_this_store(disk, format!("an older one than that of {name}")));
        }
    }
    Ok(())
}

/// Reads all frames of all logs, and says how many of them are commits. Up to a number, or
/// as far as the logs themselves say, they must be what was written.
pub(crate) fn check_logs(
    disk: &dyn Disk,
    contents: &ManifestContents,
    last_sequence: Option<u64>,
) -> Result<u64> {
    let mut commits = 0;
    let nexts = contents.logs.iter().skip(1).map(|next| Some(next.first_sequence));
    let end = last_sequence.map(|last| last + 1);
    for (entry, until) in contents.logs.iter().zip(nexts.chain([end])) {
        let path = disk.path_of(&log_name(entry.log_id));
        let bytes = read_file(disk, entry)?;
        read_frames(&bytes, &path, contents.store_id, entry, until, &mut |_, entries| {
            commits += u64::from(!entries.is_empty());
            Ok(())
        })?;
    }
    Ok(commits)
}
