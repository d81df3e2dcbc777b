//! The directory of a store: that it is there, and whose it is.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::format::names::{LOCK, is_temporary};
use crate::io::Disk;
use crate::io::disk::RealDisk;

/// Fails where a directory holds anything but what a writer left that died before it
/// had created a store.
pub(super) fn refuse_occupied(disk: &dyn Disk) -> Result<()> {
    let names = disk.list().map_err(Error::io("list", disk.path()))?;
    match names.iter().filter(|name| *name != LOCK && !is_temporary(name)).min() {
        None => Ok(()),
        Some(name) => Err(Error::AlreadyExists {
            path: disk.path().to_path_buf(),
            found: format!("it holds {name}"),
        }),
    }
}

/// Directories that were created. Unless they are kept, those of them that are empty are removed
/// when this is dropped.
#[derive(Default)]
pub(super) struct Created {
    /// Each below the one before.
    paths: Vec<PathBuf>,
}

impl Created {
    pub(super) fn keep(mut self) {
        self.paths.clear();
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        for path in self.paths.iter().rev() {
            // Fails where somebody else has put something into it.
            let _ = std::fs::remove_dir(path);
        }
    }
}

/// Creates a directory and all above it that do not exist, durably.
pub(super) fn create_directory(path: &Path) -> Result<Created> {
    let mut created = match std::fs::create_dir(path) {
        Ok(()) => Created::default(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = create_directory(parent_of(path))?;
            std::fs::create_dir(path).map_err(Error::io("create", path))?;
            above
        }
        Err(error) => match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => return Ok(Created::default()),
            _ if !is_taken(&error) => return Err(Error::io("create", path)(error)),
            // That it cannot be looked at does not say what is there.
            Err(error) if !leads_nowhere(&error) => return Err(Error::io("look at", path)(error)),
            _ => {
                let found = "not a directory".into();
                return Err(Error::AlreadyExists { path: path.to_path_buf(), found });
            }
        },
    };
    created.paths.push(path.to_path_buf());
    let parent = parent_of(path);
    RealDisk::new(parent).sync_directory().map_err(Error::io("sync", parent))?;
    Ok(created)
}

/// Whether a directory cannot be made because something else has its place.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory)
}

/// Whether there is nothing at a path, or cannot be anything.
fn leads_nowhere(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

pub(super) fn lock(disk: &dyn Disk) -> Result<Box<dyn Send + Sync>> {
    let path = disk.path_of(LOCK);
    let lock = disk.lock(LOCK).map_err(Error::io("lock", &path))?;
    lock.ok_or(Error::Locked { path })
}
