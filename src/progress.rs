//! How far something long has come.

use std::fmt;
use std::ops::ControlFlow;

/// What is being done.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Phase {
    /// Taking records from the input, and writing meanwhile those that memory has no room for;
    /// counted in records taken.
    Reading,
    /// Bringing them in order; counted in records.
    Sorting,
    /// Writing sorted runs of them to a temporary file while none are taken, or reading and
    /// merging some where there are too many; counted in records.
    Spilling,
    /// Writing them and their indexes; counted in records.
    Writing,
    /// Reading what was written once more, for its indexes; counted in records.
    Indexing,
    /// Waiting for the disk.
    Syncing,
    /// Checking what is on disk; counted in bytes.
    Verifying,
    /// Copying files; counted in bytes.
    Copying,
    /// Bringing files into memory; counted in bytes.
    Prefaulting,
    /// Looking for tokens that are too old, and removing them; counted in tokens.
    Expiring,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Reading => "reading",
            Self::Sorting => "sorting",
            Self::Spilling => "spilling",
            Self::Writing => "writing",
            Self::Indexing => "indexing",
            Self::Syncing => "syncing",
            Self::Verifying => "verifying",
            Self::Copying => "copying",
            Self::Prefaulting => "prefaulting",
            Self::Expiring => "expiring",
        })
    }
}

/// How far something long has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// How much of it is done, in the unit of the phase.
    pub done: u64,
    /// How much there is to do, once that is known.
    pub total: Option<u64>,
}

/// Is told the progress, from any thread, and says whether to go on.
///
/// It is called often, so let it be quick. What is told to stop fails
/// with [`Error::Interrupted`](crate::Error::Interrupted), but for an expiry, which keeps what
/// it has done.
///
/// ```
/// use std::ops::ControlFlow;
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use ringstore::{Options, Store};
/// # let directory = tempfile::tempdir()?;
/// let store = Store::create(directory.path().join("tokens"), &Options::new())?;
/// // Perhaps set by Ctrl-C.
/// let is_stopped = AtomicBool::new(true);
/// let expired = store.expire(7, &|_| match is_stopped.load(Ordering::Relaxed) {
///     true => ControlFlow::Break(()),
///     false => ControlFlow::Continue(()),
/// })?;
/// assert!(!expired.is_complete);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type OnProgress<'a> = &'a (dyn Fn(Progress) -> ControlFlow<()> + Sync);

/// For those who do not want to know.
pub(crate) const UNWATCHED: OnProgress<'static> = &|_| ControlFlow::Continue(());
