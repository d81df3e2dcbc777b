//! How the command ends: its exit codes, and the errors that lead to them.

use std::io;
use std::path::Path;

use ringstore::Error;

use crate::talk::say;

/// The exit codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// Done. That the reader of standard output went away counts as done.
    Done = 0,
    /// The answer is negative: not found, no signature, a check failed.
    Negative = 1,
    /// Wrong usage or bad input, a missing or foreign directory.
    Usage = 2,
    /// Damage, or a format version that is not known; a salvage that lost something.
    Damage = 3,
    /// Another writer has the store.
    Locked = 4,
    /// The operating system failed a call: no space, no permission, …
    Io = 5,
    /// Interrupted, as by Ctrl-C.
    Interrupted = 130,
}

/// Why a command could not be carried out.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The library or a reader of input gave up.
    Store(Error),
    /// The arguments make no sense together, or with what is on disk.
    Usage(String),
    /// Standard output could not be written.
    Output(io::Error),
}

impl Failure {
    /// An I/O error with what was attempted on which file.
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Store(Error::Io { operation, path: path.to_path_buf(), source })
    }

    /// Whether the reader of standard output went away.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Says on standard error what went wrong.
    pub(crate) fn say(&self) -> Exit {
        match self {
            Self::Store(error) => say(error),
            Self::Usage(reason) => say(reason),
            Self::Output(_) if self.is_closed_pipe() => {}
            Self::Output(error) => say(format_args!("cannot write standard output: {error}")),
        }
        self.exit()
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Store(error) => exit_of(error),
            Self::Usage(_) => Exit::Usage,
            Self::Output(_) if self.is_closed_pipe() => Exit::Done,
            Self::Output(_) => Exit::Io,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

fn exit_of(error: &Error) -> Exit {
    match error {
        Error::Io { source, .. } => match source.kind() {
            // A path that leads nowhere was mistyped.
            io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory => Exit::Usage,
            _ => Exit::Io,
        },
        Error::Damaged(_) | Error::UnknownVersion { .. } => Exit::Damage,
        Error::Locked { .. } => Exit::Locked,
        Error::Interrupted => Exit::Interrupted,
        Error::NotAStore { .. }
        | Error::Replaced { .. }
        | Error::AlreadyExists { .. }
        | Error::Unwritable { .. }
        | Error::BadInput { .. }
        | Error::OutOfOrder { .. }
        | Error::MemoryTooSmall { .. }
        | Error::TooManyRecords { .. } => Exit::Usage,
        _ => Exit::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let closed = Failure::Output(io::ErrorKind::BrokenPipe.into());
        assert_eq!(closed.exit(), Exit::Done);
        let full = Failure::Output(io::ErrorKind::StorageFull.into());
        assert_eq!(full.exit(), Exit::Io);
    }

    #[test]
    fn a_commit_that_the_disk_refused_is_no_wrong_usage() {
        let path = Path::new("x").to_path_buf();
        let source = || io::Error::from(io::ErrorKind::NotFound);
        let unknown = Error::OutcomeUnknown { path: path.clone(), source: source() };
        assert_eq!(Failure::from(unknown).exit(), Exit::Io);
        let full = Error::NoSpace { path, needed: 1, source: source() };
        assert_eq!(Failure::from(full).exit(), Exit::Io);
    }

    #[test]
    fn a_mistyped_path_is_wrong_usage_and_a_full_disk_is_not() {
        for (kind, exit) in [
            (io::ErrorKind::NotFound, Exit::Usage),
            (io::ErrorKind::NotADirectory, Exit::Usage),
            (io::ErrorKind::StorageFull, Exit::Io),
            (io::ErrorKind::PermissionDenied, Exit::Io),
            (io::ErrorKind::ReadOnlyFilesystem, Exit::Io),
        ] {
            assert_eq!(Failure::io("open", Path::new("x"))(kind.into()).exit(), exit, "{kind}");
        }
    }
}
