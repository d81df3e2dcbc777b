//! Whether a segment is taken to be in memory.
//!
//! Finding out whether something is in memory takes half a microsecond, which would be most
//! of a lookup. So a segment is either taken to be in memory, or asked for. It is asked for
//! from its opening on, and whenever something was missing, until nothing was for a while;
//! and where it is taken to be in memory, one place in some is looked at nevertheless.

use std::sync::atomic::{AtomicU32, Ordering};

/// Nothing was missing for so many times: it is taken to be in memory.
pub(super) const PRESENT_AFTER: u32 = 512;

/// Whether a segment is asked for.
#[derive(Debug)]
pub(super) struct Presence {
    /// How many times more nothing must be missing; 0 where it is taken to be in memory.
    ///
    /// Threads may miscount for each other, and then ask some times more or less.
    left: AtomicU32,
}

impl Presence {
    pub(super) fn unknown() -> Self {
        Self { left: AtomicU32::new(PRESENT_AFTER) }
    }

    /// Whether to ask for what will be read.
    #[inline]
    pub(super) fn is_asked_for(&self) -> bool {
        self.left.load(Ordering::Relaxed) > 0
    }

    /// What was about to be read was in memory, or was not.
    pub(super) fn saw(&self, is_present: bool) {
        let before = self.left.load(Ordering::Relaxed);
        let left = if is_present { before.saturating_sub(1) } else { PRESENT_AFTER };
        // All threads read it, so it is left alone where nothing changes.
        if left != before {
            self.left.store(left, Ordering::Relaxed);
        }
    }
}
