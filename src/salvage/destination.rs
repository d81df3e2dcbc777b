//! The store that a salvage makes, or leaves no trace of.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::format::names::{LOCK, is_of_store};
use crate::io::Disk;
use crate::io::disk::RealDisk;
use crate::load::options::{LoadOptions, LoadReport};
use crate::options::Options;
use crate::store::Store;
use crate::token::Record;

/// A new store. Unless it is kept it is gone in the end, as are directories made for it.
pub(super) struct Destination {
    /// Until it is kept.
    store: Option<Store>,
    path: PathBuf,
    /// Directories that were not there before, innermost first.
    made: Vec<PathBuf>,
}

impl Destination {
    /// Creates an empty store beside the one that is read.
    pub(super) fn create(path: &Path, damaged: &Path) -> Result<Self> {
        refuse_within(path, damaged)?;
        let above = path.ancestors().take_while(|above| !above.as_os_str().is_empty());
        let made = above.take_while(|above| !above.exists()).map(Path::to_path_buf).collect();
        let mut destination = Self { store: None, path: path.to_path_buf(), made };
        match Store::create(path, &Options::new()) {
            Ok(store) => {
                destination.store = Some(store);
                Ok(destination)
            }
            Err(error) => {
                destination.remove_directories();
                Err(error)
            }
        }
    }

    /// Fills the store.
    pub(super) fn load(
        &self,
        records: impl Iterator<Item = Result<Record>>,
        options: &LoadOptions<'_>,
    ) -> Result<LoadReport> {
        match &self.store {
            Some(store) => store.bulk_load(records, options),
            None => Ok(LoadReport::default()),
        }
    }

    /// Closes the store, which stays.
    pub(super) fn keep(mut self) -> Result<()> {
        let closed = self.store.take().map_or(Ok(()), Store::close);
        if closed.is_err() {
            self.remove();
        }
        closed
    }

    /// Removes the files of the store, and nobody else's, and the directories that were made.
    /// The lock goes last, so that whoever gets it next finds no other file of ours.
    fn remove(&self) {
        let mut names = RealDisk::new(&self.path).list().unwrap_or_default();
        names.retain(|name| is_of_store(name));
        names.sort_by_key(|name| name == LOCK);
        for name in names {
            let _ = fs::remove_file(self.path.join(name));
        }
        self.remove_directories();
    }

    /// Removes the directories that were made, but for those in which somebody else has put
    /// something meanwhile.
    fn remove_directories(&self) {
        for directory in &self.made {
            let _ = fs::remove_dir(directory);
        }
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        // Before the store is closed: until then nobody else can have written to it.
        if self.store.is_some() {
            self.remove();
        }
    }
}

/// Fails where a path lies in the damaged store, or is it.
fn refuse_within(path: &Path, damaged: &Path) -> Result<()> {
    let resolved = |path: &Path| {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        path.canonicalize().ok()
    };
    let above = path.ancestors().find_map(resolved);
    if above.zip(resolved(damaged)).is_some_and(|(above, damaged)| above.starts_with(damaged)) {
        return Err(Error::Unwritable {
            operation: "salvage to",
            path: path.to_path_buf(),
            reason: "it lies in the damaged store, in which nothing is to be changed",
        });
    }
    Ok(())
}
