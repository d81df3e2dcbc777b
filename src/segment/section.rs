//! Writing a section, and the checksums of its chunks along with it.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::format::layout::SectionId;
use crate::io::DiskFile;
use crate::io::map::HUGE_PAGE_LEN;

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

/// A section being written, and the checksums of its chunks.
pub(super) struct SectionWriter {
    pub(super) id: SectionId,
    /// Where in the file the section begins.
    pub(super) offset: usize,
    /// Bytes written to the file.
    pub(super) written: usize,
    buffer: Vec<u8>,
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

    pub(super) fn push(&mut self, bytes: &[u8], file: &File) -> Result<()> {
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
        self.put(bytes, file)
    }

    /// Appends chunks whose checksums are known. The last one may be shorter if no other
    /// follows.
    pub(super) fn append(&mut self, chunks: &[u8], checksums: &[u32], file: &File) -> Result<()> {
        debug_assert_eq!(self.hashed, 0);
        self.checksums.extend_from_slice(checksums);
        self.put(chunks, file)
    }

    /// Writes what is left, the last chunk perhaps shorter.
    pub(super) fn finish(&mut self, file: &File) -> Result<()> {
        if self.hashed > 0 {
            self.checksums.push(std::mem::take(&mut self.hasher).finalize());
            self.hashed = 0;
        }
        self.write_buffer(file)
    }

    /// Writes up to multiples of a huge page at a time, in one call each, so that the page
    /// cache holds the file in pieces that the processor maps with one entry.
    #[inline]
    fn put(&mut self, mut bytes: &[u8], file: &File) -> Result<()> {
        loop {
            let at = self.offset + self.written;
            let len = (at + 1).next_multiple_of(HUGE_PAGE_LEN) - at;
            let missing = len - self.buffer.len();
            if bytes.len() < missing {
                self.buffer.extend_from_slice(bytes);
                return Ok(());
            }
            let (first, rest) = bytes.split_at(missing);
            bytes = rest;
            if self.buffer.is_empty() {
                file.write(first, at)?;
                self.written += len;
            } else {
                self.buffer.extend_from_slice(first);
                self.write_buffer(file)?;
            }
        }
    }

    fn write_buffer(&mut self, file: &File) -> Result<()> {
        file.write(&self.buffer, self.offset + self.written)?;
        self.written += self.buffer.len();
        self.buffer.clear();
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
