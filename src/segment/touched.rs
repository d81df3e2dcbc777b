//! Which chunks of a file were compared with their checksums already.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::format::layout::{Layout, SectionId};

/// One bit a chunk, set once the chunk was found to be what was written; and, so that
/// a section that was read all over costs no access to its bits, how many of each
/// section's chunks are left.
///
/// Bits and counts guard bytes that never change, and say only that somebody has read
/// them before; so nothing needs to be ordered with them.
#[derive(Debug)]
pub(super) struct Touched {
    words: Box<[AtomicU64]>,
    left: [AtomicUsize; SectionId::COUNT],
}

impl Touched {
    /// All chunks untouched.
    pub(super) fn none_of(layout: &Layout) -> Self {
        let words = layout.checked_chunks().div_ceil(64);
        Self {
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
            left: SectionId::ALL.map(|id| AtomicUsize::new(layout.chunks(id))),
        }
    }

    /// Nothing is ever to be checked.
    pub(super) fn all() -> Self {
        Self { words: Box::default(), left: Default::default() }
    }

    /// Whether no chunk of a section is left to check.
    #[inline]
    pub(super) fn is_complete(&self, id: SectionId) -> bool {
        self.left[id as usize].load(Ordering::Relaxed) == 0
    }

    /// How many chunks of a section are left to check.
    #[cfg(test)]
    pub(super) fn left(&self, id: SectionId) -> usize {
        self.left[id as usize].load(Ordering::Relaxed)
    }

    /// Whether a chunk was checked, of a section of which some are left.
    #[inline]
    pub(super) fn contains(&self, chunk: usize) -> bool {
        let word = self.words.get(chunk / 64);
        word.is_some_and(|word| word.load(Ordering::Relaxed) >> (chunk % 64) & 1 == 1)
    }

    /// A chunk of a section is what was written.
    pub(super) fn insert(&self, id: SectionId, chunk: usize) {
        let bit = 1 << (chunk % 64);
        if let Some(word) = self.words.get(chunk / 64)
            && word.fetch_or(bit, Ordering::Relaxed) & bit == 0
        {
            self.left[id as usize].fetch_sub(1, Ordering::Relaxed);
        }
    }
}
