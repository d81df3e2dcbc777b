//! Following a log that somebody else writes.
//!
//! What is behind the last frame may be half of the next one at any moment, so whatever is
//! no frame is the end for now. Whether it is damage, only reading the whole log tells.

use std::path::{Path, PathBuf};

use super::read::{FramePlace, open};
use crate::error::{Error, Result};
use crate::format::log::{BLOCK_LEN, Entries, FrameHeader, LogEntry};
use crate::io::{Disk, DiskFile};

/// Bytes that are read at a time, but for a frame that is longer.
const READ_LEN: usize = 64 << 10;

/// A log, and how far it was read.
pub(crate) struct LogTail {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    entry: LogEntry,
    place: FramePlace,
}

/// What was behind the last frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TailEnd {
    /// Nothing, or a mark.
    Blank,
    /// Something that is no frame that may be there, or not yet.
    Other,
}

impl LogTail {
    /// Opens a log to go on from a place.
    pub(crate) fn open(disk: &dyn Disk, entry: LogEntry, place: FramePlace) -> Result<Self> {
        let (file, path) = open(disk, &entry)?;
        Ok(Self { file, path, entry, place })
    }

    /// Where the next commit is to be.
    pub(crate) fn place(&self) -> FramePlace {
        self.place
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Goes through the commits that came since.
    ///
    /// Takes time in proportion to them.
    pub(crate) fn read(
        &mut self,
        visit: &mut dyn FnMut(u64, Entries<'_>) -> Result<()>,
    ) -> Result<TailEnd> {
        let mut len = READ_LEN;
        loop {
            let bytes = self.bytes(len)?;
            let start = self.place.offset;
            let mut rest = bytes.as_slice();
            while let Some((entries, next)) = self.place.frame(rest, self.entry.salt)
                && !entries.is_empty()
            {
                visit(self.place.offset, entries)?;
                rest = rest.get((next.offset - self.place.offset) as usize..).unwrap_or(&[]);
                self.place = next;
            }
            let is_all = self.place.offset + rest.len() as u64 >= self.entry.file_len;
            match FrameHeader::decode(rest, self.entry.salt) {
                Some(header) if header.entries == 0 => return Ok(TailEnd::Blank),
                // More of it than was read.
                Some(header) if header.frame_len() > rest.len() && !is_all => {
                    len = header.frame_len().max(READ_LEN);
                }
                None if rest.len() < BLOCK_LEN && !is_all => len = READ_LEN,
                None if rest.iter().take(BLOCK_LEN).all(|byte| *byte == 0) => {
                    return Ok(TailEnd::Blank);
                }
                // If anything came meanwhile, it may be whole by now.
                _ if self.place.offset > start => len = READ_LEN,
                _ => return Ok(TailEnd::Other),
            }
        }
    }

    /// What comes next, so many bytes of it, or as many as there are.
    fn bytes(&self, len: usize) -> Result<Vec<u8>> {
        let left = self.entry.file_len.saturating_sub(self.place.offset);
        let mut bytes = vec![0; left.min(len as u64) as usize];
        let read = self.file.read_exact_at(&mut bytes, self.place.offset);
        read.map_err(Error::io("read", &self.path))?;
        Ok(bytes)
    }
}
