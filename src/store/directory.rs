//! The directory of a store: that it is there, and whose it is.

use std::io;
use std::path::Path;

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

/// Creates a directory and all above it that do not exist, durably; whether it did not.
pub(super) fn create_directory(path: &Path) -> Result<bool> {
    let created = match std::fs::create_dir(path) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_directory(parent_of(path))?;
            std::fs::create_dir(path).map_err(Error::io("create", path))?;
            true
        }
        Err(_) if path.is_dir() => false,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory
            ) =>
        {
            let found = "not a directory".into();
            return Err(Error::AlreadyExists { path: path.to_path_buf(), found });
        }
        Err(error) => return Err(Error::io("create", path)(error)),
    };
    if created {
        let parent = parent_of(path);
        RealDisk::new(parent).sync_directory().map_err(Error::io("sync", parent))?;
    }
    Ok(created)
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
