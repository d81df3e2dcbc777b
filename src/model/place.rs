//! Where the store is: on a simulated disk, or in a directory.

use std::collections::BTreeMap;

use tempfile::TempDir;

use crate::error::Result;
use crate::options::Options;
use crate::store::Store;
use crate::testing::sim::SimDisk;

pub(super) enum Place {
    Simulated(SimDisk),
    Directory(TempDir),
}

impl Place {
    pub(super) fn open(&self, options: &Options) -> Result<Store> {
        match self {
            Self::Simulated(disk) => disk.open_store(options),
            Self::Directory(directory) => Store::open(directory.path(), options),
        }
    }

    pub(super) fn open_read_only(&self, options: &Options) -> Result<Store> {
        match self {
            Self::Simulated(disk) => disk.open_read_only(options),
            Self::Directory(directory) => Store::open_read_only(directory.path(), options),
        }
    }

    /// Operations so far; those on a directory are not counted.
    pub(super) fn operations(&self) -> usize {
        self.simulated().map_or(0, SimDisk::operations)
    }

    pub(super) fn simulated(&self) -> Option<&SimDisk> {
        match self {
            Self::Simulated(disk) => Some(disk),
            Self::Directory(_) => None,
        }
    }

    /// Names and lengths of all files.
    ///
    /// # Panics
    ///
    /// If the directory cannot be read.
    pub(super) fn file_lens(&self) -> BTreeMap<String, u64> {
        match self {
            Self::Simulated(disk) => {
                disk.files().into_iter().map(|(name, bytes)| (name, bytes.len() as u64)).collect()
            }
            Self::Directory(directory) => std::fs::read_dir(directory.path())
                .expect("the directory is there")
                .map(|entry| {
                    let entry = entry.expect("its files are");
                    let len = entry.metadata().expect("nobody removes them").len();
                    (entry.file_name().to_string_lossy().into_owned(), len)
                })
                .collect(),
        }
    }
}
