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
    /// A full delta could not be written to a layer, for this reason. It is in memory and in
    /// logs, and nothing is lost. The next commit that needs its room tries again, and so
    /// does [`flush`](crate::Store::flush), unless the store is only read since.
    Failed(String),
}

/// Figures, each of which is changed by itself.
#[derive(Default)]
pub(super) struct Monitor {
    log_bytes: AtomicU64,
    flushes: AtomicU64,
    background: Mutex<Background>,
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

    pub(super) fn idle(&self) {
        self.set_background(Background::Idle);
    }

    pub(super) fn flushing(&self) {
        self.set_background(Background::Flushing);
    }

    pub(super) fn failed(&self, error: &Error) {
        self.set_background(Background::Failed(error.to_string()));
    }

    fn set_background(&self, background: Background) {
        *self.background.lock().unwrap_or_else(PoisonError::into_inner) = background;
    }

    pub(super) fn background(&self) -> Background {
        self.background.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
