//! Checking all that is on disk.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use super::reader::read_steadily;
use super::{Access, Store};
use crate::delta::check::check_kinds;
use crate::error::{Damage, Error, Result};
use crate::progress::{OnProgress, Phase, Progress};
use crate::recover::check_logs;
use crate::snapshot::Snapshot;

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
    /// All damage that was found, up to a thousand places in each file. Of kinds of entries
    /// that are not true of the layers below, up to a thousand in all.
    pub damages: Vec<Damage>,
}

impl Store {
    /// Checks everything: all checksums, that tokens ascend, that every index agrees
    /// with the records, and all frames of the logs. Where each layer is right in itself,
    /// also that what its entries say of the layers below is true: a token that is new to
    /// them is in none, one that has a new value or was removed is there.
    ///
    /// Uses all cores, and takes about as long as reading the files, and a lookup in the
    /// bottom layer for each entry of the others.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] if `progress` says to stop; [`Error::Io`] where a log cannot
    /// be read; for a store that is open [read-only](Self::open_read_only), also
    /// [`Error::NotAStore`] and [`Error::UnknownVersion`], if its directory is not what it was.
    /// Damage is no error here, but the result.
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
        if damages.is_empty() {
            damages = Self::verify_kinds(&snapshot, &mut || match on_bytes(0) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(Error::Interrupted),
            })?;
        }
        match self.verify_logs() {
            Ok(commits) => report.commits = commits,
            Err(Error::Damaged(damage)) => damages.push(*damage),
            Err(error) => return Err(error),
        }
        report.damages = damages;
        Ok(report)
    }

    /// What entries say of the layers below that is not true.
    fn verify_kinds(
        snapshot: &Snapshot,
        on_progress: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Vec<Damage>> {
        let view = snapshot.view();
        match check_kinds(view.base(), &view.above_base(), on_progress) {
            // Of a file that was altered meanwhile.
            Err(Error::Damaged(damage)) => Ok(vec![*damage]),
            checked => checked,
        }
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
