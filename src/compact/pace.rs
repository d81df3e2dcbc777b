//! What holds a compaction up, or stops it, between two pieces of its work.

use std::time::{Duration, Instant};

use crate::error::Result;

/// Is told how far a job is, and may wait, or stop it by an error.
pub(crate) trait Pace {
    /// So many records of about so many are written.
    fn go_on(&self, done: u64, total: u64) -> Result<()>;
}

/// For jobs that nobody holds up.
pub(crate) struct Unhindered;

impl Pace for Unhindered {
    fn go_on(&self, _: u64, _: u64) -> Result<()> {
        Ok(())
    }
}

/// So many bytes a second, and no more, from a moment on.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    began: Instant,
    bytes_per_second: u64,
}

impl Limit {
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self { began: Instant::now(), bytes_per_second: bytes_per_second.max(1) }
    }

    /// How long to wait until so many bytes may have been written.
    pub(crate) fn wait_for(&self, bytes: u64) -> Duration {
        let due = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        due.saturating_sub(self.began.elapsed())
    }
}
