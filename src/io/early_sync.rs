//! Having a file written to the disk while it grows, so that little is left to be waited for
//! in the end.

use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, JoinHandle};

use super::Disk;

/// After so many records, what is written so far is sent on its way to the disk.
const EARLY_RECORDS: usize = 1 << 20;

/// Syncs a file again and again in a thread of its own, which is waited for when this is dropped.
/// A file of few records is left alone.
///
/// What fails meanwhile the last sync will say: each handle of a file is told of it, and this
/// has another one.
pub(crate) struct EarlySync<'a> {
    disk: &'a dyn Disk,
    name: String,
    /// Records since it was synced.
    records: usize,
    /// Once there are many.
    syncing: Option<Syncing>,
}

struct Syncing {
    ask: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl<'a> EarlySync<'a> {
    /// Of a file that is there.
    pub(crate) fn new(disk: &'a dyn Disk, name: &str) -> Self {
        Self { disk, name: name.to_string(), records: 0, syncing: None }
    }

    /// So many records more are about to be written to it.
    #[inline]
    pub(crate) fn wrote(&mut self, records: usize) {
        self.records += records;
        if self.records > EARLY_RECORDS {
            self.sync();
        }
    }

    fn sync(&mut self) {
        self.records = 0;
        if self.syncing.is_none() {
            self.syncing = self.begin();
        }
        if let Some(Syncing { ask, .. }) = &self.syncing {
            // If it is still at it, all is synced in the end.
            let _ = ask.try_send(());
        }
    }

    /// `None` where there can be no other handle or no other thread.
    fn begin(&self) -> Option<Syncing> {
        let file = self.disk.open(&self.name).ok()?;
        let (ask, asked) = mpsc::sync_channel(1);
        let sync = move || asked.iter().for_each(|()| drop(file.sync_data()));
        let thread = thread::Builder::new().name("ringstore-sync".into()).spawn(sync).ok()?;
        Some(Syncing { ask, thread })
    }
}

impl Drop for EarlySync<'_> {
    fn drop(&mut self) {
        if let Some(Syncing { ask, thread }) = self.syncing.take() {
            drop(ask);
            // It does not panic.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::watched::WatchedDisk;

    /// It is synced before the work is over, if there is much of it, and not by whom it has
    /// to be synced in the end.
    #[test]
    fn what_is_written_is_synced_early() {
        let directory = tempfile::tempdir().unwrap();
        let (disk, watch) = WatchedDisk::new(directory.path());
        disk.create("file").unwrap();
        for (records, syncs) in [(EARLY_RECORDS, 0), (EARLY_RECORDS + 1, 1)] {
            watch.lock().unwrap().calls.clear();
            let mut early_sync = EarlySync::new(&disk, "file");
            for _ in 0..records {
                early_sync.wrote(1);
            }
            drop(early_sync);
            let calls = watch.lock().unwrap().calls.clone();
            assert_eq!(calls.len(), syncs, "{calls:?}");
            assert!(calls.iter().all(|call| call == "sync data of file"));
        }
    }
}
