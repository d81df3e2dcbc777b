//! Reading a log.
//!
//! A crash may leave anything behind the last frame that was synced: frames that are
//! torn, or some without those before them. So frames are valid up to the first one
//! that is not, and the rest is cut off. Unless that one is known to have been on disk:
//! then it was not torn but damaged since, and leaving it out would lose what was
//! acknowledged. It is known from what later frames say, be they valid in their turn or
//! not, and from the log that follows.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Damage, Error, Result};
use crate::format::log::{BLOCK_LEN, Entries, FrameHeader, LogEntry, Salt, decode_header};
use crate::format::names::log_name;
use crate::format::segment::StoreIdBytes;
use crate::io::{Disk, DiskFile, zeros};

/// Where the frames of a log end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LogEnd {
    /// The sequence number that comes next.
    pub(crate) next_sequence: u64,
    /// Where the next frame would begin.
    pub(crate) offset: u64,
    /// Bytes from there to the last one that is not zero: what a crash left of frames
    /// that were not acknowledged.
    pub(crate) cut_bytes: u64,
    /// Where the next commit goes: a mark at the end makes room for it.
    pub(crate) next_commit: FramePlace,
}

/// Where a frame is to be, and what comes before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FramePlace {
    pub(crate) sequence: u64,
    pub(crate) offset: u64,
    /// The checksum of the frame before, or of the log's header.
    pub(crate) previous: u32,
}

impl FramePlace {
    /// The frame at the start of some bytes, if it is the one that is to be there, and
    /// where the next one is to be.
    pub(super) fn frame<'a>(&self, bytes: &'a [u8], salt: Salt) -> Option<(Entries<'a>, Self)> {
        let header = FrameHeader::decode(bytes, salt)?;
        if (header.sequence, header.previous) != (self.sequence, self.previous) {
            return None;
        }
        let next = Self {
            sequence: self.sequence.checked_add(1)?,
            offset: self.offset + header.frame_len() as u64,
            previous: header.checksum,
        };
        Some((header.entries(bytes, salt)?, next))
    }
}

/// The bytes of a log that the manifest names.
pub(crate) fn read_file(disk: &dyn Disk, entry: &LogEntry) -> Result<Vec<u8>> {
    let (file, path) = open(disk, entry)?;
    let read = zeros(entry.file_len).and_then(|mut bytes| {
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    });
    read.map_err(Error::io("read", &path))
}

/// Opens a log that the manifest names.
pub(super) fn open(disk: &dyn Disk, entry: &LogEntry) -> Result<(Box<dyn DiskFile>, PathBuf)> {
    let name = log_name(entry.log_id);
    let path = disk.path_of(&name);
    let damaged = |expected: String, found: String| {
        Error::from(Damage { path: path.clone(), part: "log", offset: 0, expected, found })
    };
    let file = disk.open(&name).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            damaged("the file that the manifest names".into(), "no such file".into())
        }
        _ => Error::io("open", &path)(error),
    })?;
    // Before there is memory for it: a log never grows or shrinks.
    let len = file.len().map_err(Error::io("measure", &path))?;
    if len != entry.file_len {
        let (expected, found) = (entry.file_len, len);
        return Err(damaged(format!("{expected} bytes"), format!("{found} bytes")));
    }
    Ok((file, path))
}

/// Whether an open log has commits, and so was named by a manifest once.
pub(crate) fn has_commits(file: &dyn DiskFile, entry: &LogEntry) -> bool {
    let len = file.len().unwrap_or(0).min(entry.file_len);
    let mut block = [0; BLOCK_LEN];
    (BLOCK_LEN as u64..len).step_by(BLOCK_LEN).any(|offset| {
        file.read_exact_at(&mut block, offset).is_ok()
            && FrameHeader::decode(&block, entry.salt)
                .is_some_and(|frame| frame.entries > 0 && frame.sequence >= entry.commits_from)
    })
}

/// Goes through the frames of a log, each with its offset. `until` is the sequence
/// number at which the next log goes on, if there is one.
///
/// Takes time proportional to the log, whatever is in it.
pub(crate) fn read_frames(
    bytes: &[u8],
    path: &Path,
    store_id: StoreIdBytes,
    entry: &LogEntry,
    until: Option<u64>,
    visit: &mut dyn FnMut(u64, Entries<'_>) -> Result<()>,
) -> Result<LogEnd> {
    let salt = entry.salt;
    let previous = decode_header(bytes, store_id, entry, path)?;
    let (sequence, offset) = (entry.first_sequence, BLOCK_LEN as u64);
    let mut place = FramePlace { sequence, offset, previous };
    let mut next_commit = place;
    let rest = |offset: u64| bytes.get(offset as usize..).unwrap_or(&[]);
    while until != Some(place.sequence)
        && let Some((entries, next)) = place.frame(rest(place.offset), salt)
    {
        if !entries.is_empty() {
            next_commit = next;
        }
        visit(place.offset, entries)?;
        place = next;
    }
    let FramePlace { sequence, offset, .. } = place;
    let tail = rest(offset);
    let durable = if let Some(next) = until {
        // This log was synced before the next one was begun.
        next.checked_sub(1)
    } else {
        let began_with = entry.commits_from.checked_sub(1);
        tail.chunks(BLOCK_LEN).filter_map(|block| mark(block, salt)).chain(began_with).max()
    };
    if until != Some(sequence) && durable.is_some_and(|durable| durable >= sequence) {
        let known = durable.unwrap_or(sequence);
        return Err(Error::from(Damage {
            path: path.to_path_buf(),
            part: "log frame",
            offset,
            expected: format!("frame {sequence}, as frames up to {known} were on disk"),
            found: match FrameHeader::decode(tail, salt) {
                Some(header) if header.sequence == sequence => "one with other entries".into(),
                Some(header) => format!("frame {}", header.sequence),
                None => "bytes that are no frame".into(),
            },
        }));
    }
    let used = tail.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let cut_bytes = if until.is_none() { used as u64 } else { 0 };
    Ok(LogEnd { next_sequence: sequence, offset, cut_bytes, next_commit })
}

/// Up to where frames were durable, by the header at the start of a block, if there is one.
fn mark(block: &[u8], salt: Salt) -> Option<u64> {
    FrameHeader::decode(block, salt).map(|header| header.durable)
}
