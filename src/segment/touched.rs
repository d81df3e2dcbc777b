//! Which chunks of a file were compared with their checksums already.

use std::sync::atomic::{AtomicU64, Ordering};

/// One bit a chunk, set once the chunk was found to be what was written.
///
/// A bit guards bytes that never change, and says only that somebody has read them
/// before; so nothing needs to be ordered with it.
#[derive(Debug)]
pub(crate) struct Touched {
    words: Box<[AtomicU64]>,
}

impl Touched {
    /// All chunks untouched, or, where nothing is ever to be checked, all touched.
    pub(crate) fn new(chunks: usize, all: bool) -> Self {
        let word = if all { u64::MAX } else { 0 };
        Self { words: (0..chunks.div_ceil(64)).map(|_| AtomicU64::new(word)).collect() }
    }

    #[inline]
    pub(crate) fn contains(&self, chunk: usize) -> bool {
        let word = self.words.get(chunk / 64);
        word.is_some_and(|word| word.load(Ordering::Relaxed) >> (chunk % 64) & 1 == 1)
    }

    pub(crate) fn insert(&self, chunk: usize) {
        if let Some(word) = self.words.get(chunk / 64) {
            word.fetch_or(1 << (chunk % 64), Ordering::Relaxed);
        }
    }
}
