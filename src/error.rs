//! What can go wrong, said so that the reader knows what to do.

use std::io;
use std::path::{Path, PathBuf};

use crate::token::TokenId;

/// The result of a fallible operation of the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, where, what was expected and what was found.
///
/// | | what is so | what to do |
/// |---|---|---|
/// | [`NoSpace`](Self::NoSpace), [`MemoryTooSmall`](Self::MemoryTooSmall), [`MemoryLock`](Self::MemoryLock), [`Interrupted`](Self::Interrupted) | nothing has changed | the same call works once there is room, or more is allowed |
/// | [`Io`](Self::Io) | nothing has changed | the message names file and call |
/// | [`OutcomeUnknown`](Self::OutcomeUnknown) | the change may be on disk; no more is written, reads go on | open the store anew, and look |
/// | [`Damaged`](Self::Damaged) | bytes are not what was written | restore a [backup](crate::guide::backups), or [salvage](crate::salvage) |
/// | [`Locked`](Self::Locked) | another writer has the store | close that, or [only read](crate::Store::open_read_only) |
/// | [`NotAStore`](Self::NotAStore), [`AlreadyExists`](Self::AlreadyExists), [`Replaced`](Self::Replaced) | the directory is another one than was thought | look at the path |
/// | [`UnknownVersion`](Self::UnknownVersion) | a later version wrote the file | [upgrade](crate::guide::upgrades) |
/// | [`Unwritable`](Self::Unwritable) | the call makes no sense here: its reason says why | change the program |
/// | [`BadInput`](Self::BadInput), [`OutOfOrder`](Self::OutOfOrder), [`TooManyRecords`](Self::TooManyRecords) | what is to be stored is wrong | mend the input |
/// | [`Backend`](Self::Backend) | another engine failed | see its own error |
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused or failed a call.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was attempted, as a verb: "read", "sync", …
        operation: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },

    /// The last step of a change failed, so that it may be on disk or not.
    #[error(
        "cannot write {} durably: {source}; whether the change is on disk is not known: open the store anew",
        path.display()
    )]
    OutcomeUnknown {
        /// The file or directory that could not be written or synced.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },

    /// There is no room on the disk. Nothing of the change was written; the same call works
    /// once there is room.
    #[error(
        "no room for {needed} bytes of {}: {source}; make room, then do it again",
        path.display()
    )]
    NoSpace {
        /// The file that was to be made.
        path: PathBuf,
        /// Bytes it was to have.
        needed: u64,
        /// What the operating system answered.
        source: io::Error,
    },

    /// The directory is missing, or is not a store.
    #[error("{} is not a ringstore: {found}; create one with `Store::create`, or with `ringstore load`", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
        /// What was found in its place.
        found: &'static str,
    },

    /// A reader's directory holds something else by now than what it read there.
    #[error("{} is not the store that was opened: {found}; open it anew", path.display())]
    Replaced {
        /// The directory.
        path: PathBuf,
        /// What is there.
        found: &'static str,
    },

    /// A store was to be created where something is already.
    #[error("cannot create a store in {}: {found}; name a directory that is empty or does not exist", path.display())]
    AlreadyExists {
        /// The directory.
        path: PathBuf,
        /// What is there.
        found: String,
    },

    /// Bytes in a file are not what was written there.
    #[error(transparent)]
    Damaged(Box<Damage>),

    /// The file was written by a later version of the store.
    #[error(
        "{} has format version {found}, this program knows versions up to {known}; use a newer ringstore",
        path.display()
    )]
    UnknownVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that is known.
        known: u32,
    },

    /// Another process, or another handle in this one, has the store open for writing.
    #[error("{} is locked by another writer; close it, or open the store read-only", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },

    /// The operation writes, and the store was opened read-only or is of a kind that cannot.
    #[error("cannot {operation} {}: {reason}", path.display())]
    Unwritable {
        /// What was attempted, as a verb: "load into", …
        operation: &'static str,
        /// The store.
        path: PathBuf,
        /// Why it cannot be done.
        reason: &'static str,
    },

    /// The system does not let the process lock so much memory as
    /// [`Residency::Locked`](crate::Residency::Locked) takes.
    #[error(
        "cannot lock {needed} bytes of {} in memory: {source}; this process may lock {} in all: \
         raise that with `ulimit -l` or LimitMEMLOCK, or open the store without locking it",
        path.display(), limit.map_or("any number".into(), |bytes| format!("{bytes} bytes"))
    )]
    MemoryLock {
        /// The file.
        path: PathBuf,
        /// Bytes of it.
        needed: u64,
        /// What the process may lock, in bytes, of all files together; `None` if there is no
        /// limit.
        limit: Option<u64>,
        /// What the operating system answered.
        source: io::Error,
    },

    /// Input that is no record.
    #[error("{source_name}, {unit} {number}: {reason}", unit = if *.text { "line" } else { "record" })]
    BadInput {
        /// The file, or a name for where the input came from.
        source_name: String,
        /// Whether `number` counts lines of text rather than binary records.
        text: bool,
        /// Which line or record, counted from 1.
        number: u64,
        /// What is wrong with it.
        reason: String,
    },

    /// Records were to be appended out of order.
    #[error(
        "token {token} comes after {last}, but records must come in ascending order, each token once"
    )]
    OutOfOrder {
        /// The token that came too late.
        token: TokenId,
        /// The token before it.
        last: TokenId,
    },

    /// More records than a segment can hold.
    #[error("a segment holds at most {max} records, {found} were announced; use several segments")]
    TooManyRecords {
        /// The limit.
        max: u64,
        /// The number asked for.
        found: u64,
    },

    /// A load was to use less memory than it can work with.
    #[error("cannot load in {found} bytes of memory; allow at least {min}")]
    MemoryTooSmall {
        /// The least that works.
        min: u64,
        /// What was allowed.
        found: u64,
    },

    /// The operation was asked to stop before it was done; nothing of it is visible.
    #[error("interrupted; nothing of this was kept")]
    Interrupted,

    /// An engine behind [`TokenStorageBackend`](crate::TokenStorageBackend) failed.
    #[error("{engine}: {source}")]
    Backend {
        /// The engine's name.
        engine: &'static str,
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Bytes in a file that are not what was written there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is damaged: {part} at byte {offset}: expected {expected}, found {found}; \
     restore the file from a copy, load the tokens anew, or rescue the rest with \
     `ringstore salvage`",
    path.display()
)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// The part of the file.
    pub part: &'static str,
    /// Where that part, or the damage in it, begins.
    pub offset: u64,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl Error {
    /// For `map_err`: an I/O error with what was attempted on which file.
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, path: path.to_path_buf(), source }
    }

    /// For `map_err`: the same for what takes room on the disk, so many bytes of it.
    pub(crate) fn taking(
        needed: u64,
        operation: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::io(operation, path)(source).of_taking(needed)
    }

    /// For `map_err` of many calls together that take so many bytes on the disk.
    pub(crate) fn of_taking(self, needed: u64) -> Self {
        match self {
            Self::Io { path, source, .. } if is_no_space(&source) => {
                Self::NoSpace { path, needed, source }
            }
            other => other,
        }
    }

    /// An engine's own error, for implementations of
    /// [`TokenStorageBackend`](crate::TokenStorageBackend).
    pub fn backend(
        engine: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Backend { engine, source: source.into() }
    }
}

impl Damage {
    /// Of records that do not ascend.
    pub(crate) fn out_of_order(
        path: &Path,
        part: &'static str,
        last: &TokenId,
        token: &TokenId,
    ) -> Self {
        let expected = format!("a token after {last}");
        Self { path: path.to_path_buf(), part, offset: 0, expected, found: token.to_string() }
    }
}

impl From<Damage> for Error {
    fn from(damage: Damage) -> Self {
        Self::Damaged(Box::new(damage))
    }
}

/// Whether there was no room on the disk.
pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Why a signature does not answer its challenge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSignature {
    /// A match does not have the suffix that the challenge asks for.
    #[error(
        "match {index}, {token}, ends in {found}, but chunk {index} of the challenge is {expected}"
    )]
    Suffix {
        /// Which match, counted from 0.
        index: usize,
        /// Its token.
        token: TokenId,
        /// The chunk.
        expected: u16,
        /// The token's suffix.
        found: u16,
    },
    /// The walk would not have met this match at its turn.
    #[error("match {index}, {token}, is not what a walk around these tokens meets at its turn")]
    Order {
        /// Which match, counted from 0.
        index: usize,
        /// Its token.
        token: TokenId,
    },
    /// One token appears with two blocks.
    #[error("token {token} appears with two different blocks")]
    Blocks {
        /// The token.
        token: TokenId,
    },
    /// The store does not make this signature for this token and peer.
    #[error("the store's own signature differs: {reason}")]
    Store {
        /// How.
        reason: String,
    },
}
