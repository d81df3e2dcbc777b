//! Files, as the store uses them.
//!
//! Everything the store does to files goes through [`Disk`], one directory with
//! files in it, so that what is written in which order can be watched, failed and
//! cut short by an implementation that is no real disk.

pub(crate) mod available;
pub(crate) mod directory_sync;
pub(crate) mod disk;
pub(crate) mod early_sync;
pub(crate) mod map;
pub(crate) mod memory;
pub(crate) mod random;
pub(crate) mod residency;
pub(crate) mod smaps;
pub(crate) mod unfinished;
#[cfg(test)]
pub(crate) mod watched;

use std::io;
use std::path::{Path, PathBuf};

use map::Bytes;

/// So many zeros, to read into. An error where there is no memory for them: a file may be long
/// without taking room on the disk, and so may be longer than anything that there is.
pub(crate) fn zeros(len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let reserved = bytes.try_reserve_exact(len as usize);
    reserved.map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    bytes.resize(len as usize, 0);
    Ok(bytes)
}

/// A directory and the files in it, which are named without any path.
///
/// Only regular files are opened, and symbolic links are not followed.
pub(crate) trait Disk: Send + Sync {
    /// The directory.
    fn path(&self) -> &Path;

    /// Makes a file that did not exist, for reading and writing.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Makes a file that has no name, for reading and writing. It is gone when it is
    /// closed, in whatever way the process ends.
    fn create_unnamed(&self) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file for reading.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// The names in the directory, in no order. Names that are not UTF-8 are not ours,
    /// and come with replacement characters in them.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Gives a file a name, replacing what had it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Gives a file of another directory a name in this one, too.
    fn link(&self, from: &Path, name: &str) -> io::Result<()>;

    /// Removes a name.
    fn unlink(&self, name: &str) -> io::Result<()>;

    /// Makes names and their removal survive a crash.
    fn sync_directory(&self) -> io::Result<()>;

    /// Takes the lock of a file, made where it does not exist, until the result is
    /// dropped; `None` if somebody else has it.
    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Send + Sync>>>;

    /// Bytes that can still be written, by whoever runs this; `None` where that is not known.
    fn free_bytes(&self) -> Option<u64>;

    /// The path of a file, for messages.
    fn path_of(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// The whole contents of a small file, and no more than `len_max` bytes of it.
    fn read(&self, name: &str, len_max: usize) -> io::Result<Vec<u8>> {
        let file = self.open(name)?;
        let mut bytes = vec![0; file.len()?.min(len_max as u64) as usize];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

/// An open file.
pub(crate) trait DiskFile: Send + Sync {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Fills `bytes` from an offset.
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at an offset; a gap before it reads as zeros.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts or extends a file that nobody else knows of yet.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Extends a file by zeros up to a length, and makes sure that writing in it will
    /// need no more room.
    fn preallocate(&self, len: u64) -> io::Result<()>;

    /// Takes away the permission to write.
    fn set_read_only(&self) -> io::Result<()>;

    /// Makes contents and length survive a crash.
    fn sync(&self) -> io::Result<()>;

    /// As [`sync`](Self::sync), without what is not needed to read the contents, such as
    /// when they were written.
    fn sync_data(&self) -> io::Result<()>;

    /// The contents in memory.
    fn map(&self) -> io::Result<Bytes>;
}
