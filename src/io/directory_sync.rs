//! Syncs of a directory, none of which hides that another one failed.
//!
//! A sync that fails takes with it the names that others wait to be made durable: the kernel
//! may take them for clean, and tells of an error but once. The sync of another thread would
//! then succeed with nothing left to do. So there is one at a time, and none after one that
//! failed.
//!
//! The kernel's side of it: [PostgreSQL's fsync() surprise](https://lwn.net/Articles/752063/).

use std::io;
use std::sync::PoisonError;

use crate::sync::Mutex;

/// Whether a sync of a directory failed, for all that sync it.
#[derive(Default)]
pub(crate) struct DirectorySync {
    has_failed: Mutex<bool>,
}

impl DirectorySync {
    /// Syncs, unless that failed before.
    pub(crate) fn run(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut has_failed = self.has_failed.lock().unwrap_or_else(PoisonError::into_inner);
        if *has_failed {
            return Err(io::Error::other("an earlier sync of the directory failed"));
        }
        let synced = sync();
        *has_failed = synced.is_err();
        synced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_after_one_that_failed() {
        let directory = DirectorySync::default();
        directory.run(|| Ok(())).unwrap();
        directory.run(|| Ok(())).unwrap();
        directory.run(|| Err(io::ErrorKind::StorageFull.into())).unwrap_err();
        let mut was_asked = false;
        directory
            .run(|| {
                was_asked = true;
                Ok(())
            })
            .unwrap_err();
        assert!(!was_asked);
    }
}
