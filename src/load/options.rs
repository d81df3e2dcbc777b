//! How to load, and what a load did.

use std::ops::ControlFlow;
use std::path::Path;

use crate::error::{Error, Result};
use crate::progress::{OnProgress, Phase, Progress, UNWATCHED};

/// How to load.
///
/// ```
/// use std::ops::ControlFlow;
/// use ringstore::{BlockTime, LoadOptions, Options, Phase, Record, Store, TokenId};
/// # let directory = tempfile::tempdir()?;
/// let store = Store::create(directory.path().join("tokens"), &Options::new())?;
/// let options = LoadOptions::new().memory_bytes(256 << 20).progress(&|progress| {
///     if progress.phase == Phase::Writing {
///         println!("{} of {:?} records", progress.done, progress.total);
///     }
///     ControlFlow::Continue(())
/// });
/// let ids = [7, 9, 7].map(TokenId::from);
/// let report = store.bulk_load(ids.map(|id| Ok(Record::new(id, BlockTime::default()))), &options)?;
/// assert_eq!((report.read, report.stored, report.duplicates), (3, 2, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct LoadOptions<'a> {
    progress: OnProgress<'a>,
    pub(super) memory_bytes: u64,
    pub(super) temporary_directory: Option<&'a Path>,
}

impl<'a> LoadOptions<'a> {
    /// The least memory that a load works with: 64 MiB.
    pub const MEMORY_BYTES_MIN: u64 = 64 << 20;

    /// The memory that a load uses if nothing else is said: 1 GiB.
    pub const MEMORY_BYTES_DEFAULT: u64 = 1 << 30;

    /// The defaults.
    pub fn new() -> Self {
        Self {
            progress: UNWATCHED,
            memory_bytes: Self::MEMORY_BYTES_DEFAULT,
            temporary_directory: None,
        }
    }

    /// Sets who is told how far the load has come, again and again, and may stop it.
    #[must_use]
    pub fn progress(self, progress: OnProgress<'a>) -> Self {
        Self { progress, ..self }
    }

    /// Sets how many bytes of memory the load may use, at least
    /// [`MEMORY_BYTES_MIN`](Self::MEMORY_BYTES_MIN).
    ///
    /// 88 bytes for each record make it unnecessary to write any of them twice. Input
    /// that is in order needs no more than the least, however long it is. In addition to
    /// this the input's own memory is used, and a thousandth of the size of the store.
    #[must_use]
    pub fn memory_bytes(self, memory_bytes: u64) -> Self {
        Self { memory_bytes, ..self }
    }

    /// Sets the directory for temporary files; the store's own if nothing is said. They
    /// take 72 bytes a record where the memory has no room for all, and twice that where
    /// it is far too small. They have no names, and are gone however the load ends.
    #[must_use]
    pub fn temporary_directory(self, directory: &'a Path) -> Self {
        Self { temporary_directory: Some(directory), ..self }
    }

    pub(crate) fn report(&self, phase: Phase, done: u64, total: Option<u64>) -> Result<()> {
        match (self.progress)(Progress { phase, done, total }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Interrupted),
        }
    }
}

impl Default for LoadOptions<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// What a load did. `stored` and `duplicates` come to `read`; both are of when the records were
/// written: what others commit meanwhile changes neither.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LoadReport {
    /// Records taken from the input.
    pub read: u64,
    /// Tokens stored.
    pub stored: u64,
    /// Records dropped because the same token came with a newer time, or came before, or the
    /// store had it and the record was no newer.
    pub duplicates: u64,
    /// Records written to temporary files, because memory had no room for all of them.
    pub spilled: u64,
}
