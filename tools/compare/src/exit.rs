//! How the command ends: its exit codes, and the failures that lead to them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use ringstore::Error;

/// The exit codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Done. That the reader of standard output went away counts as done.
    Done = 0,
    /// Engines gave different answers, or something regressed.
    Differ = 1,
    /// Wrong usage, or a file that is not of this command.
    Usage = 2,
    /// An engine or the operating system failed a call: no space, no permission, …
    Io = 5,
    /// Interrupted.
    Interrupted = 130,
}

/// Why the comparison could not be carried out.
#[derive(Debug)]
pub enum Failure {
    /// An engine answered wrongly: there is nothing to compare.
    Differ(String),
    /// A file that is to be told of is of another kind.
    NoResults {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There are no figures to compare with.
    NothingKept {
        /// Where they should be.
        path: PathBuf,
    },
    /// A file's results cannot be compared with the kept ones.
    Unlike {
        /// Which one.
        path: PathBuf,
        /// What is different, and what helps.
        reason: String,
    },
    /// Something takes more than it took.
    Regressed {
        /// The workloads.
        regressed: String,
        /// Those without figures now.
        missing: String,
        /// By how much they may grow.
        threshold_percent: f64,
    },
    /// An engine, or a call on its files, failed.
    Engine(Error),
    /// An engine panicked, with this message.
    Panic(String),
    /// There is too little disk or memory for what is asked.
    Room(String),
    /// Engines were left out, for they failed or answered wrongly; all else was measured.
    LeftOut {
        /// Their names.
        engines: String,
        /// Whether one of them answered wrongly.
        differ: bool,
    },
    /// Standard output could not be written.
    Output(io::Error),
}

impl Failure {
    /// An I/O error with what was attempted on which file.
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Engine(Error::Io { operation, path: path.to_path_buf(), source })
    }

    /// How the command ends after this.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Differ(_) | Self::LeftOut { differ: true, .. } | Self::Regressed { .. } => {
                Exit::Differ
            }
            Self::NoResults { .. } | Self::Unlike { .. } => Exit::Usage,
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Self::NothingKept { .. }
            | Self::Engine(_)
            | Self::Panic(_)
            | Self::Room(_)
            | Self::LeftOut { .. }
            | Self::Output(_) => Exit::Io,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differ(what) => write!(f, "ANSWERS DIFFER: {what}"),
            Self::NoResults { path, reason } => {
                let path = path.display();
                write!(f, "{path} has no results: {reason}; name a file that --json has written")
            }
            Self::NothingKept { path } => {
                let path = path.display();
                write!(
                    f,
                    "there is no file {path} to compare with; name it with --kept, or make it: \
                     ringstore-compare --engines ringstore,lmdb --json {path}"
                )
            }
            Self::Unlike { path, reason } => {
                write!(f, "cannot compare {}: {reason}", path.display())
            }
            Self::Regressed { regressed, missing, threshold_percent } => {
                if !regressed.is_empty() {
                    write!(f, "regressed by more than {threshold_percent} %: {regressed}")?;
                }
                let between = if regressed.is_empty() { "" } else { "; " };
                if !missing.is_empty() {
                    write!(f, "{between}missing: {missing}")?;
                }
                Ok(())
            }
            Self::Engine(error) => error.fmt(f),
            Self::Panic(message) => write!(f, "panicked: {message}"),
            Self::Room(what) => f.write_str(what),
            Self::LeftOut { engines, .. } => {
                write!(f, "not all was measured, for these failed: {engines}")
            }
            Self::Output(error) => write!(f, "cannot write standard output: {error}"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_exit_code() {
        let output = |kind: io::ErrorKind| Failure::Output(kind.into());
        let full = Failure::io("write", Path::new("x"))(io::ErrorKind::StorageFull.into());
        for (failure, exit) in [
            (Failure::Differ("lmdb".into()), Exit::Differ),
            (Failure::NoResults { path: "x".into(), reason: "none".into() }, Exit::Usage),
            (Failure::NothingKept { path: "x".into() }, Exit::Io),
            (Failure::Unlike { path: "x".into(), reason: "tokens".into() }, Exit::Usage),
            (
                Failure::Regressed {
                    regressed: "sign".into(),
                    missing: String::new(),
                    threshold_percent: 10.0,
                },
                Exit::Differ,
            ),
            (Error::backend("lmdb", "the map is full").into(), Exit::Io),
            (Failure::Panic("no free page".into()), Exit::Io),
            (Failure::Room("too little memory".into()), Exit::Io),
            (Failure::LeftOut { engines: "sled".into(), differ: false }, Exit::Io),
            (Failure::LeftOut { engines: "sled".into(), differ: true }, Exit::Differ),
            (full, Exit::Io),
            (output(io::ErrorKind::StorageFull), Exit::Io),
            (output(io::ErrorKind::BrokenPipe), Exit::Done),
        ] {
            assert_eq!(failure.exit(), exit, "{failure}");
        }
    }
}
