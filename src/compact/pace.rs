//! What holds a compaction up, or stops it, between two pieces of its work.

use crate::error::Result;

/// Is told how far a job is, and may wait, or stop it by an error.
pub(crate) trait Pace {
    /// So many records of at most so many are written.
    fn go_on(&self, done: u64, total: u64) -> Result<()>;
}

/// For jobs that nobody holds up.
pub(crate) struct Unhindered;

impl Pace for Unhindered {
    fn go_on(&self, _: u64, _: u64) -> Result<()> {
        Ok(())
    }
}
