//! A file in memory, for what is read as a file is but does not outlive the process.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::DiskFile;
use super::map::Bytes;

/// A file whose contents its clones share.
#[derive(Clone, Default)]
pub(crate) struct MemoryFile {
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl MemoryFile {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        // No method panics while it holds the lock.
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the contents out; the file is then empty.
    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.bytes())
    }

    /// A copy of the contents.
    #[cfg(test)]
    pub(crate) fn contents(&self) -> Vec<u8> {
        self.bytes().clone()
    }
}

impl DiskFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let contents = self.bytes();
        let from = contents.get(offset as usize..).and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut contents = self.bytes();
        let end = offset as usize + bytes.len();
        if contents.len() < end {
            contents.resize(end, 0);
        }
        contents[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.bytes().resize(len as usize, 0);
        Ok(())
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        let mut bytes = self.bytes();
        let len = bytes.len().max(len as usize);
        bytes.resize(len, 0);
        Ok(())
    }

    fn set_read_only(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn map(&self) -> io::Result<Bytes> {
        Ok(Bytes::Owned(self.bytes().clone()))
    }
}
