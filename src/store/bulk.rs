//! Loading many records at once.

use super::Store;
use crate::error::Result;
use crate::load::options::{LoadOptions, LoadReport};
use crate::token::Record;

impl Store {
    /// Stores records in any order, each where its token is absent or the record newer, in all
    /// or nothing of it.
    ///
    /// Of several records with one token the newest is kept, and of several with the
    /// same time the first, or what the store has. When this returns, everything is on disk;
    /// when it fails, nothing of it is, nor visible, but for [`Error::OutcomeUnknown`].
    ///
    /// Others read and commit meanwhile. What they commit is decided without the load, and the
    /// load is decided, at its end, above all that they committed: it is as if it came last.
    /// The records become the newest layer. Compactions wait until then, and commits for a
    /// moment in the end. Where there are more than three layers, the newest are made one
    /// first, whether compactions are paused or not.
    ///
    /// Takes no more memory than [`LoadOptions::memory_bytes`] allows, and a thousandth of
    /// the size of the store. What does not fit is written twice, and some of it three
    /// times where it is fifty times as much or more; what comes in order is written once, or
    /// twice if not all of it is newer than what is there. Takes a lookup for each record if
    /// the store holds any tokens.
    ///
    /// # Errors
    ///
    /// What the input yields; [`Error::Unwritable`] if the store is open read-only, or is being
    /// loaded into, or if what watches a [compaction](Self::compact) calls this; [`Error::MemoryTooSmall`]; [`Error::TooManyRecords`];
    /// [`Error::Interrupted`]; those of [`flush`](Self::flush), which it begins to write with.
    ///
    /// [`Error::OutcomeUnknown`]: crate::Error::OutcomeUnknown
    /// [`Error::Unwritable`]: crate::Error::Unwritable
    /// [`Error::MemoryTooSmall`]: crate::Error::MemoryTooSmall
    /// [`Error::TooManyRecords`]: crate::Error::TooManyRecords
    /// [`Error::Interrupted`]: crate::Error::Interrupted
    pub fn bulk_load(
        &self,
        records: impl IntoIterator<Item = Result<Record>>,
        options: &LoadOptions<'_>,
    ) -> Result<LoadReport> {
        self.writer("load into")?.load(records, options)
    }
}
