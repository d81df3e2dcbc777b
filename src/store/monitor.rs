//! What can be said of a store without waiting for those who write it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::error::Error;
use crate::format::log::LogEntry;
use crate::segment::layer::Layer;
use crate::segment::reader::Segment;

/// What is being done in the background.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Background {
    /// Nothing.
    #[default]
    Idle,
    /// A full delta is being written to a layer.
    Flushing,
    /// Layers are being made one.
    Compacting,
    /// It failed for this reason, and nothing is lost. A full delta that could not be written
    /// to a layer is in memory and in logs; the next commit that needs its room tries again,
    /// and so does [`flush`](crate::Store::flush). Layers that could not be made one are as
    /// they were; that is tried again after the next flush, and by
    /// [`compact`](crate::Store::compact). Unless the store is only read since.
    Failed(String),
}

/// Bytes written since the store was opened, and for what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Written {
    /// The records of all changes that were committed, 72 bytes each, also of removals: what
    /// was to be written.
    pub committed_bytes: u64,
    /// To logs.
    pub log_bytes: u64,
    /// To layers, by flushes. Those take small layers together, and write these again.
    pub flush_bytes: u64,
    /// To layers, by compactions.
    pub compaction_bytes: u64,
    /// To layers, by loads; what these wrote for the time being apart.
    pub load_bytes: u64,
}

impl Written {
    /// How many times as much was written for commits as was committed: the *write
    /// amplification* of logs, flushes and compactions. `None` before the first commit.
    pub fn amplification(&self) -> Option<f64> {
        let written = self.log_bytes + self.flush_bytes + self.compaction_bytes;
        (self.committed_bytes > 0).then(|| written as f64 / self.committed_bytes as f64)
    }
}

/// Figures, each of which is changed by itself.
#[derive(Default)]
pub(super) struct Monitor {
    log_bytes: AtomicU64,
    flushes: AtomicU64,
    compactions: AtomicU64,
    written: Mutex<Written>,
    background: Mutex<Background>,
    compaction: Mutex<Background>,
    /// Layers that are in the store no more. Snapshots may have them still.
    retired: Mutex<Vec<Weak<Layer>>>,
}

impl Monitor {
    pub(super) fn set_logs(&self, logs: &[LogEntry]) {
        let bytes = logs.iter().map(|log| log.file_len).sum();
        self.log_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Bytes of all logs.
    pub(super) fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn count_flush(&self) {
        self.flushes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Relaxed)
    }

    /// Counts bytes that were written.
    pub(super) fn count(&self, count: impl FnOnce(&mut Written)) {
        count(&mut self.written.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn written(&self) -> Written {
        *self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn idle(&self) {
        set(&self.background, Background::Idle);
    }

    pub(super) fn flushing(&self) {
        set(&self.background, Background::Flushing);
    }

    pub(super) fn failed(&self, error: &Error) {
        set(&self.background, Background::Failed(error.to_string()));
    }

    pub(super) fn background(&self) -> Background {
        get(&self.background)
    }

    pub(super) fn compacting(&self) {
        set(&self.compaction, Background::Compacting);
    }

    pub(super) fn compacted(&self) {
        self.compactions.fetch_add(1, Ordering::Relaxed);
        set(&self.compaction, Background::Idle);
    }

    pub(super) fn compaction_interrupted(&self) {
        set(&self.compaction, Background::Idle);
    }

    pub(super) fn compaction_failed(&self, error: &Error) {
        set(&self.compaction, Background::Failed(error.to_string()));
    }

    pub(super) fn compaction(&self) -> Background {
        get(&self.compaction)
    }

    pub(super) fn compactions(&self) -> u64 {
        self.compactions.load(Ordering::Relaxed)
    }

    /// Notes which layers there are no more.
    pub(super) fn retire<'a>(
        &self,
        before: impl Iterator<Item = &'a Arc<Layer>>,
        now: impl Iterator<Item = &'a Arc<Layer>>,
    ) {
        let now: Vec<_> = now.collect();
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.retain(|layer| layer.strong_count() > 0);
        let gone = before.filter(|layer| !now.iter().any(|other| Arc::ptr_eq(layer, other)));
        retired.extend(gone.map(Arc::downgrade));
    }

    /// Bytes of segments that are in the store no more, but are kept for snapshots.
    pub(super) fn pinned_bytes(&self) -> u64 {
        let retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        let layers = retired.iter().filter_map(Weak::upgrade);
        layers.map(|layer| layer.segments().iter().map(Segment::file_len).sum::<u64>()).sum()
    }
}

fn set(place: &Mutex<Background>, background: Background) {
    *place.lock().unwrap_or_else(PoisonError::into_inner) = background;
}

fn get(place: &Mutex<Background>) -> Background {
    place.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
