//! The directory that a run has for itself, and those that others left.
//!
//! A run removes what it made, also when it is interrupted. One that is killed cannot: its
//! directory stays, with nobody holding the lock in it, and the next run tells of it.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use bytesize::ByteSize;
use tempfile::TempDir;

use crate::exit::Failure;
use crate::interrupt::on_interrupt_remove;
use crate::load::bytes_in;
use crate::talk::say;

const PREFIX: &str = "ringstore-compare-";

const LOCK: &str = "lock";

/// A directory that is removed in the end.
pub(crate) struct Scratch {
    directory: TempDir,
    _lock: File,
}

impl Scratch {
    /// Makes a directory in `parent`, which is made if it is not there, and tells what other
    /// runs left there.
    pub(crate) fn in_directory(parent: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(parent).map_err(Failure::io("create", parent))?;
        leftovers(parent)?.iter().for_each(say);
        let directory = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(parent)
            .map_err(Failure::io("create a directory in", parent))?;
        let path = directory.path().join(LOCK);
        let lock = File::create(&path).map_err(Failure::io("create", &path))?;
        lock.lock().map_err(Failure::io("lock", &path))?;
        on_interrupt_remove(Some(directory.path().to_path_buf()));
        Ok(Self { directory, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn remove(self) -> Result<(), Failure> {
        let path = self.directory.path().to_path_buf();
        let removed = self.directory.close().map_err(Failure::io("remove", &path));
        on_interrupt_remove(None);
        removed
    }
}

/// What there is to be said of directories of other runs.
fn leftovers(parent: &Path) -> Result<Vec<String>, Failure> {
    let mut told = Vec::new();
    for entry in fs::read_dir(parent).map_err(Failure::io("read", parent))? {
        let path = entry.map_err(Failure::io("read", parent))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let lock = File::open(path.join(LOCK));
        // Another program may have a directory of such a name.
        let Some(lock) = lock.ok().filter(|_| name.starts_with(PREFIX)) else {
            continue;
        };
        let is_held = matches!(lock.try_lock(), Err(TryLockError::WouldBlock));
        told.push(if is_held {
            format!(
                "another run is under way in {}: the figures of both will suffer",
                path.display()
            )
        } else {
            let size = bytes_in(&path).map_or_else(|_| "some".into(), |b| ByteSize(b).to_string());
            format!("a run that was killed left {size} in {}; remove it", path.display())
        });
    }
    told.sort();
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_left_is_told_and_what_is_in_use() {
        let parent = tempfile::tempdir().unwrap();
        assert!(leftovers(parent.path()).unwrap().is_empty());
        let scratch = Scratch::in_directory(parent.path()).unwrap();
        let told = leftovers(parent.path()).unwrap();
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("another run is under way in "), "{told:?}");
        assert!(told[0].contains(&scratch.path().display().to_string()), "{told:?}");

        for (name, file) in [("x", LOCK), ("target", "debug")] {
            let left = parent.path().join(format!("{PREFIX}{name}"));
            fs::create_dir(&left).unwrap();
            fs::write(left.join(file), [7; 3_000]).unwrap();
        }
        fs::write(parent.path().join(format!("{PREFIX}a-file")), "").unwrap();
        let told = leftovers(parent.path()).unwrap();
        let killed: Vec<_> = told.iter().filter(|told| told.starts_with("a run that")).collect();
        assert_eq!((told.len(), killed.len()), (2, 1), "{told:?}");
        assert!(killed[0].contains("KiB in ") && killed[0].ends_with("-x; remove it"), "{told:?}");

        let path = scratch.path().to_path_buf();
        scratch.remove().unwrap();
        assert!(!path.exists());
    }
}
