//! Writing a log.
//!
//! A log has all its room from the beginning, so that a commit finds that the disk is
//! full before anything of it is written, and syncing one changes nothing but blocks
//! that are there already.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::kinds::Kind;
use crate::format::log::{BLOCK_LEN, LogEntry, Salt, encode_frame, encode_header, frame_len};
use crate::format::names::log_name;
use crate::format::segment::StoreIdBytes;
use crate::io::{Disk, DiskFile};
use crate::token::Record;

/// Entries of a frame at the most, where they are not all of one commit.
const FRAME_ENTRIES: usize = 4_096;

/// A log that begins with so many entries and has room for so many bytes more.
pub(crate) fn log_for(
    log_id: u64,
    first_sequence: u64,
    salt: Salt,
    entries: usize,
    room: u64,
) -> LogEntry {
    let (full, rest) = (entries / FRAME_ENTRIES, entries % FRAME_ENTRIES);
    let frames = full + usize::from(rest > 0);
    let last_len = if rest > 0 { frame_len(rest) } else { 0 };
    let len = BLOCK_LEN + full * frame_len(FRAME_ENTRIES) + last_len;
    LogEntry {
        log_id,
        first_sequence,
        commits_from: first_sequence + frames as u64,
        file_len: len as u64 + room.next_multiple_of(BLOCK_LEN as u64),
        salt,
    }
}

/// The file of a log, which is written and synced while more frames are made.
pub(crate) struct LogFile {
    file: Box<dyn DiskFile>,
    path: PathBuf,
}

impl LogFile {
    pub(crate) fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    /// Makes all that was written durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }
}

/// A log that is being written, and where its next frame goes.
pub(crate) struct Log {
    pub(crate) file: Arc<LogFile>,
    pub(crate) entry: LogEntry,
    pub(crate) offset: u64,
    /// The checksum of the last frame, or of the header.
    previous: u32,
}

impl Log {
    /// Begins a log with entries in the order of their tokens, synced but for its name.
    /// Nothing is left of it if it fails.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`] before anything is written.
    pub(crate) fn begin(
        disk: &dyn Disk,
        store_id: StoreIdBytes,
        entry: LogEntry,
        entries: &[(Record, Kind)],
    ) -> Result<Self> {
        let name = log_name(entry.log_id);
        // A thread that panicked may have left one.
        let _ = disk.unlink(&name);
        let begun = Self::begin_named(disk, &name, store_id, entry, entries);
        if begun.is_err() {
            // Whether this works does not matter: the next writer removes it as well.
            let _ = disk.unlink(&name);
        }
        begun
    }

    fn begin_named(
        disk: &dyn Disk,
        name: &str,
        store_id: StoreIdBytes,
        entry: LogEntry,
        entries: &[(Record, Kind)],
    ) -> Result<Self> {
        let path = disk.path_of(name);
        let file = disk.create(name).map_err(Error::io("create", &path))?;
        let len = entry.file_len;
        file.preallocate(len).map_err(Error::taking(len, "allocate", &path))?;
        let (header, previous) = encode_header(store_id, &entry);
        let mut log = Self {
            file: Arc::new(LogFile { file, path }),
            entry,
            offset: BLOCK_LEN as u64,
            previous,
        };
        log.write(&header, 0)?;
        let mut bytes = Vec::new();
        for (sequence, entries) in (entry.first_sequence..).zip(entries.chunks(FRAME_ENTRIES)) {
            let at = log.offset;
            bytes.clear();
            let entries = entries.iter().map(|(record, kind)| (record, *kind));
            log.push(sequence, sequence - 1, entries, &mut bytes);
            log.write(&bytes, at)?;
        }
        log.file.file.sync().map_err(Error::io("sync", log.file.path()))?;
        Ok(log)
    }

    fn write(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file.write(bytes, offset).map_err(Error::io("write", self.file.path()))
    }

    /// Whether a frame of so many bytes has room.
    pub(crate) fn has_room(&self, frame_len: usize) -> bool {
        self.entry.file_len - self.offset >= frame_len as u64
    }

    /// Appends a frame to what will be written at this log's offset, and moves it on.
    pub(crate) fn push<'a>(
        &mut self,
        sequence: u64,
        durable: u64,
        entries: impl ExactSizeIterator<Item = (&'a Record, Kind)> + Clone,
        bytes: &mut Vec<u8>,
    ) {
        let start = bytes.len();
        let salt = self.entry.salt;
        self.previous = encode_frame(salt, self.previous, sequence, durable, entries, bytes);
        self.offset += (bytes.len() - start) as u64;
    }

    /// A frame without entries, to be written at this log's offset: it says how far the
    /// log is durable, until the next frame takes its place. `None` if it has no room.
    pub(crate) fn mark(&self, sequence: u64, durable: u64) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        encode_frame(
            self.entry.salt,
            self.previous,
            sequence,
            durable,
            std::iter::empty(),
            &mut bytes,
        );
        self.has_room(bytes.len()).then_some(bytes)
    }
}
