//! Checking all that is on disk.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use super::reader::read_steadily;
use super::{Access, Store};
use crate::error::{Damage, Error, Result};
use crate::progress::{OnProgress, Phase, Progress};
use crate::recover::check_logs;

/// What [`Store::verify`] found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VerifyReport {
    /// Segments checked.
    pub segments: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Commits in the logs checked.
    pub commits: u64,
    /// All damage that was found, up to a thousand places in each file.
    pub damages: Vec<Damage>,
}

impl Store {
    /// Checks everything: all checksums, that tokens ascend, that every index agrees
    /// with the records, and all frames of the logs. Uses all cores, and takes about as
    /// long as reading the files.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] if `progress` says to stop; [`Error::Io`] where a log cannot
    /// be read. Damage is no error here, but the result.
    pub fn verify(&self, progress: OnProgress<'_>) -> Result<VerifyReport> {
        let snapshot = self.snapshot();
        let segments: Vec<_> =
            snapshot.view().layers().rev().flat_map(|layer| layer.segments()).collect();
        let mut report = VerifyReport {
            segments: segments.len() as u64,
            records: segments.iter().map(|segment| segment.len() as u64).sum(),
            bytes: segments.iter().map(|segment| segment.file_len()).sum(),
            commits: 0,
            damages: Vec::new(),
        };
        let done = AtomicU64::new(0);
        let on_bytes = |bytes: u64| -> ControlFlow<()> {
            let done = done.fetch_add(bytes, Ordering::Relaxed) + bytes;
            progress(Progress { phase: Phase::Verifying, done, total: Some(report.bytes) })
        };
        let mut damages = Vec::new();
        for segment in segments {
            damages.extend(segment.verify(&on_bytes)?);
        }
        match self.verify_logs() {
            Ok(commits) => report.commits = commits,
            Err(Error::Damaged(damage)) => damages.push(*damage),
            Err(error) => return Err(error),
        }
        report.damages = damages;
        Ok(report)
    }

    /// Reads all logs, and says how many commits are in them.
    fn verify_logs(&self) -> Result<u64> {
        let disk = self.inner.disk.as_ref();
        if let Access::Write(writer) = &self.inner.access
            && !writer.is_forked()
        {
            // Nobody writes while the lock is held and nothing is in line.
            let state = writer.idle(writer.state());
            return check_logs(disk, &state.contents, Some(writer.last_published()));
        }
        read_steadily(disk, |contents| check_logs(disk, &contents, None))
    }
}
