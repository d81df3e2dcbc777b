//! Writing a section, and the checksums of its chunks along with it.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::format::layout::SectionId;
use crate::io::DiskFile;

/// A file that has no name yet that anybody would look for, and its path for messages.
pub(super) struct File {
    pub(super) file: Box<dyn DiskFile>,
    pub(super) path: PathBuf,
}

impl File {
    pub(super) fn write(&self, bytes: &[u8], offset: usize) -> Result<()> {
        self.file.write_all_at(bytes, offset as u64).map_err(Error::io("write", &self.path))
    }

    pub(super) fn read(&self, bytes: &mut [u8], offset: usize) -> Result<()> {
        self.file.read_exact_at(bytes, offset as u64).map_err(Error::io("read back", &self.path))
    }
}

/// Files are written up to multiples of this at a time, in one call each, so that the
/// page cache holds them in pieces that the processor maps with one entry.
const HUGE_PAGE_LEN: usize = 2 << 20;

/// A section being written, and the checksums of its chunks.
pub(super) struct SectionWriter {
    pub(super) id: SectionId,
    /// Where in the file the section begins.
    pub(super) offset: usize,
    /// Bytes written to the file.
    pub(super) written: usize,
    pub(super) buffer: Vec<u8>,
    pub(super) checksums: Vec<u32>,
    /// The checksum of the chunk that is not complete yet, and how much it has of it.
    hasher: crc32fast::Hasher,
    hashed: usize,
}

impl SectionWriter {
    pub(super) fn new(id: SectionId, offset: usize) -> Self {
        Self {
            id,
            offset,
            written: 0,
            buffer: Vec::new(),
            checksums: Vec::new(),
            hasher: crc32fast::Hasher::new(),
            hashed: 0,
        }
    }

    #[inline]
    pub(super) fn push(&mut self, bytes: &[u8], file: &File) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        let at = self.offset + self.written;
        let len = (at + 1).next_multiple_of(HUGE_PAGE_LEN) - at;
        if self.buffer.len() >= len { self.write_first(len, file) } else { Ok(()) }
    }

    /// Writes what is left, the last chunk perhaps shorter.
    pub(super) fn finish(&mut self, file: &File) -> Result<()> {
        self.write_first(self.buffer.len(), file)?;
        if self.hashed > 0 {
            self.checksums.push(std::mem::take(&mut self.hasher).finalize());
            self.hashed = 0;
        }
        Ok(())
    }

    fn write_first(&mut self, len: usize, file: &File) -> Result<()> {
        let bytes = &self.buffer[..len];
        let mut rest = bytes;
        while !rest.is_empty() {
            let (part, after) = rest.split_at(rest.len().min(self.id.chunk_len() - self.hashed));
            self.hasher.update(part);
            self.hashed += part.len();
            if self.hashed == self.id.chunk_len() {
                self.checksums.push(std::mem::take(&mut self.hasher).finalize());
                self.hashed = 0;
            }
            rest = after;
        }
        file.write(bytes, self.offset + self.written)?;
        self.written += len;
        self.buffer.drain(..len);
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.written + self.buffer.len()
    }

    /// Moves a finished section to a lower offset.
    pub(super) fn move_down(&mut self, offset: usize, file: &File) -> Result<()> {
        if offset == self.offset {
            return Ok(());
        }
        let mut bytes = vec![0; 1 << 20];
        for done in (0..self.written).step_by(bytes.len()) {
            let len = bytes.len().min(self.written - done);
            file.read(&mut bytes[..len], self.offset + done)?;
            file.write(&bytes[..len], offset + done)?;
        }
        self.offset = offset;
        Ok(())
    }
}
