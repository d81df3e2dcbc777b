//! Where small layers surely hold nothing.
//!
//! Whoever reads many records of the big bottom layer and few of the small layers above
//! it must not pay for asking the latter each time. One bitmap answers for all of them:
//! a row of 1,024 bits, one for each suffix, for each stretch of positions in the bottom
//! layer. An entry sets the bit of its suffix in the row of its *base position*, the
//! number of records of the bottom layer with smaller tokens. So one access to memory
//! rules out nearly every token, and nearly every match of a walk.
//!
//! Positions and not leading bits of the keys make the rows, as the former are spread
//! evenly whatever the keys are.
//!
//! Bits are set and never cleared: a bit too many costs a look in vain. They are set
//! before the entries they stand for are published, and whoever reads those entries
//! came to them by way of that publication; so no order of its own is needed.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::token::SUFFIXES;

const WORD_BITS: usize = 64;

/// A row: 1,024 bits, two cache lines.
const ROW_WORDS: usize = SUFFIXES / WORD_BITS;

/// Rows at the most: half a mebibyte.
const ROWS_MAX: usize = 4_096;

/// A range of positions over more rows than this is not looked at.
const ROWS_LOOKED_AT: usize = 16;

/// Fixed-point digits of the factor from positions to rows.
const FRACTION_BITS: u32 = 32;

/// The bitmap; see above.
#[derive(Debug)]
pub(crate) struct Filter {
    words: Box<[AtomicU64]>,
    base_len: usize,
    /// Rows for each position, in 2^-32.
    scale: usize,
}

impl Filter {
    /// An empty filter over a bottom layer of so many records.
    pub(crate) fn new(base_len: usize) -> Self {
        // Tokens above the last record have a position of their own.
        let positions = base_len.saturating_add(1);
        let rows = positions.min(ROWS_MAX);
        let scale = (rows << FRACTION_BITS) / positions;
        Self { words: (0..rows * ROW_WORDS).map(|_| AtomicU64::new(0)).collect(), base_len, scale }
    }

    /// The row of a position; never descends from one position to a larger one.
    #[inline]
    fn row(&self, base_position: usize) -> usize {
        // At most `rows << FRACTION_BITS`, as the scale was rounded down.
        (base_position.min(self.base_len) * self.scale) >> FRACTION_BITS
    }

    /// The word of a suffix in a row, and the bit in it.
    #[inline]
    fn word(&self, row: usize, suffix: u16) -> Option<(&AtomicU64, u64)> {
        let suffix = usize::from(suffix);
        let word = self.words.get(row * ROW_WORDS + suffix / WORD_BITS)?;
        Some((word, 1 << (suffix % WORD_BITS)))
    }

    /// An entry with this suffix will be there, and so many records of the bottom layer
    /// have smaller tokens.
    pub(crate) fn insert(&self, suffix: u16, base_position: usize) {
        if usize::from(suffix) < SUFFIXES
            && let Some((word, bit)) = self.word(self.row(base_position), suffix)
        {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Whether there may be an entry with this suffix at one of these base positions.
    #[inline]
    pub(crate) fn may_hold(&self, suffix: u16, base_positions: RangeInclusive<usize>) -> bool {
        if usize::from(suffix) >= SUFFIXES || base_positions.is_empty() {
            return false;
        }
        let rows = self.row(*base_positions.start())..=self.row(*base_positions.end());
        rows.end() - rows.start() >= ROWS_LOOKED_AT
            || rows.into_iter().any(|row| match self.word(row, suffix) {
                Some((word, bit)) => word.load(Ordering::Relaxed) & bit != 0,
                None => false,
            })
    }
}
