//! The directory that a run has for itself, and those that others left.
//!
//! A run removes what it made, also when it is interrupted. One that is killed cannot: its
//! directory stays, with nobody holding the lock in it, and the next run tells of it.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::{process, thread};

use bytesize::ByteSize;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tempfile::TempDir;

use crate::exit::{Exit, Failure};
use crate::load::bytes_in;
use crate::talk::say;

const PREFIX: &str = "ringstore-compare-";

const LOCK: &str = "lock";

/// How often it is tried to remove what an engine may still be adding to.
const REMOVALS: usize = 20;

/// What is to be removed if the run is interrupted.
static CURRENT: Mutex<Option<PathBuf>> = Mutex::new(None);

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
        remember(Some(directory.path().to_path_buf()));
        Ok(Self { directory, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn remove(self) -> Result<(), Failure> {
        remember(None);
        let path = self.directory.path().to_path_buf();
        self.directory.close().map_err(Failure::io("remove", &path))
    }
}

fn remember(path: Option<PathBuf>) {
    *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = path;
}

/// What there is to be said of directories of other runs.
fn leftovers(parent: &Path) -> Result<Vec<String>, Failure> {
    let mut told = Vec::new();
    for entry in fs::read_dir(parent).map_err(Failure::io("read", parent))? {
        let path = entry.map_err(Failure::io("read", parent))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with(PREFIX) || !path.is_dir() {
            continue;
        }
        let is_held = File::open(path.join(LOCK))
            .is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)));
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

/// Makes Ctrl-C, and a request to terminate, remove the directory and end the command.
pub(crate) fn install() -> Result<(), Failure> {
    let signals = Signals::new([SIGINT, SIGTERM]);
    let mut signals = signals.map_err(Failure::io("handle", Path::new("Ctrl-C")))?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner).take();
            say("interrupted");
            if let Some(path) = current {
                remove_while_in_use(&path);
            }
            process::exit(Exit::Interrupted as i32);
        }
    });
    Ok(())
}

/// Engines go on, and may make files where others were just removed.
fn remove_while_in_use(path: &Path) {
    for _ in 0..REMOVALS {
        if fs::remove_dir_all(path).is_ok() {
            return;
        }
    }
    say(format_args!("cannot remove {}", path.display()));
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

        for (name, file) in [("x", LOCK), ("y", "no-lock")] {
            let left = parent.path().join(format!("{PREFIX}{name}"));
            fs::create_dir(&left).unwrap();
            fs::write(left.join(file), [0; 3_000]).unwrap();
        }
        fs::write(parent.path().join(format!("{PREFIX}a-file")), "").unwrap();
        let told = leftovers(parent.path()).unwrap();
        let killed: Vec<_> = told.iter().filter(|told| told.starts_with("a run that")).collect();
        assert_eq!((told.len(), killed.len()), (3, 2), "{told:?}");
        assert!(killed[0].contains("KiB in ") && killed[0].ends_with("-x; remove it"), "{told:?}");

        let path = scratch.path().to_path_buf();
        scratch.remove().unwrap();
        assert!(!path.exists());
    }
}
