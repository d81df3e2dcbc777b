//! A disk for `rusty-leveldb` on which what is flushed is synced.
//!
//! The crate has the original's structure and none of its syncs: it flushes where the
//! original syncs, and a flush of a file does nothing. Here it syncs: logs at the end of
//! synced writes, tables when they are finished, manifests with every edit. Of a file that
//! is to be renamed, as the one that names the manifest, the bytes are synced before and
//! the name after, with the names of all new files in the directory.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rusty_leveldb::env::{Env, FileLock, Logger, RandomAccess};
use rusty_leveldb::{PosixDiskEnv, Result};

#[derive(Default)]
pub(super) struct SyncedDisk(PosixDiskEnv);

/// A file that is written to.
struct Synced(File);

impl Write for Synced {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

impl Env for SyncedDisk {
    fn open_writable_file(&self, path: &Path) -> Result<Box<dyn Write>> {
        Ok(Box::new(Synced(File::create(path)?)))
    }

    fn open_appendable_file(&self, path: &Path) -> Result<Box<dyn Write>> {
        Ok(Box::new(Synced(OpenOptions::new().create(true).append(true).open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        File::open(from)?.sync_all()?;
        self.0.rename(from, to)?;
        if let Some(directory) = to.parent() {
            File::open(directory)?.sync_all()?;
        }
        Ok(())
    }

    fn open_sequential_file(&self, path: &Path) -> Result<Box<dyn Read>> {
        self.0.open_sequential_file(path)
    }

    fn open_random_access_file(&self, path: &Path) -> Result<Box<dyn RandomAccess>> {
        self.0.open_random_access_file(path)
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        self.0.exists(path)
    }

    fn children(&self, path: &Path) -> Result<Vec<PathBuf>> {
        self.0.children(path)
    }

    fn size_of(&self, path: &Path) -> Result<usize> {
        self.0.size_of(path)
    }

    fn delete(&self, path: &Path) -> Result<()> {
        self.0.delete(path)
    }

    fn mkdir(&self, path: &Path) -> Result<()> {
        self.0.mkdir(path)
    }

    fn rmdir(&self, path: &Path) -> Result<()> {
        self.0.rmdir(path)
    }

    fn lock(&self, path: &Path) -> Result<FileLock> {
        self.0.lock(path)
    }

    fn unlock(&self, lock: FileLock) -> Result<()> {
        self.0.unlock(lock)
    }

    fn new_logger(&self, path: &Path) -> Result<Logger> {
        self.0.new_logger(path)
    }

    fn micros(&self) -> u64 {
        self.0.micros()
    }

    fn sleep_for(&self, micros: u32) {
        self.0.sleep_for(micros);
    }
}
