//! Where small layers surely hold nothing.
//!
//! Whoever reads many records of the big bottom layer and few of the small layers above
//! it must not pay for asking the latter each time. One bitmap answers for all of them:
//! a row of 1,024 bits, one for each suffix, for each stretch of positions in the bottom
//! layer. An entry sets the bit of its suffix in the row of its *base position*, the
//! number of records of the bottom layer with smaller tokens. So one access to memory
//! rules out nearly every token, and nearly every match of a walk.
//!
//! Rows are short, as there are few entries in a short one, and a walk asks about many at a
//! time. So the bits of a suffix in 64 rows lie together, in one word.
//!
//! Positions and not leading bits of the keys make the rows, as the former are spread
//! evenly whatever the keys are.
//!
//! Bits are set and never cleared: a bit too many costs a look in vain. They are set
//! before the entries they stand for are published, and whoever reads those entries
//! came to them by way of that publication; so no order of its own is needed.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::search::simd::prefetch;
use crate::token::SUFFIXES;

/// Rows whose bits of a suffix are a word.
const BLOCK_ROWS: usize = u64::BITS as usize;

/// Positions of a row at the least, and rows at the most: two mebibytes.
const ROW_POSITIONS_MIN: usize = 64;
const ROWS_MAX: usize = 1 << 14;

/// A range of positions over more blocks than this is not looked at.
const BLOCKS_LOOKED_AT: usize = 4;

/// Fixed-point digits of the factor from positions to rows.
const FRACTION_BITS: u32 = 32;

/// The bitmap; see above.
#[derive(Debug)]
pub(crate) struct Filter {
    /// Of each block of rows a word for each suffix.
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
        let rows = positions.div_ceil(ROW_POSITIONS_MIN).min(ROWS_MAX);
        let scale = (rows << FRACTION_BITS) / positions;
        let words = rows.div_ceil(BLOCK_ROWS) * SUFFIXES;
        Self { words: (0..words).map(|_| AtomicU64::new(0)).collect(), base_len, scale }
    }

    /// The row of a position; never descends from one position to a larger one.
    #[inline]
    fn row(&self, base_position: usize) -> usize {
        // At most `rows << FRACTION_BITS`, as the scale was rounded down.
        (base_position.min(self.base_len) * self.scale) >> FRACTION_BITS
    }

    /// The bits of a suffix in a block of rows.
    #[inline]
    fn word(&self, block: usize, suffix: u16) -> Option<&AtomicU64> {
        self.words.get(block * SUFFIXES + usize::from(suffix))
    }

    /// An entry with this suffix will be there, and so many records of the bottom layer
    /// have smaller tokens.
    pub(crate) fn insert(&self, suffix: u16, base_position: usize) {
        let row = self.row(base_position);
        if usize::from(suffix) < SUFFIXES
            && let Some(word) = self.word(row / BLOCK_ROWS, suffix)
        {
            word.fetch_or(1 << (row % BLOCK_ROWS), Ordering::Relaxed);
        }
    }

    /// There may be any entry anywhere.
    pub(crate) fn insert_everything(&self) {
        self.words.iter().for_each(|word| word.store(u64::MAX, Ordering::Relaxed));
    }

    /// Brings near what says so of a suffix at and around a base position.
    #[inline]
    pub(crate) fn prefetch(&self, suffix: u16, base_position: usize) {
        let block = self.row(base_position) / BLOCK_ROWS;
        prefetch(&self.words, block * SUFFIXES + usize::from(suffix));
    }

    /// Whether there may be an entry with this suffix at one of these base positions.
    #[inline]
    pub(crate) fn may_hold(&self, suffix: u16, base_positions: RangeInclusive<usize>) -> bool {
        if usize::from(suffix) >= SUFFIXES || base_positions.is_empty() {
            return false;
        }
        let (first, last) = (self.row(*base_positions.start()), self.row(*base_positions.end()));
        let (first_block, last_block) = (first / BLOCK_ROWS, last / BLOCK_ROWS);
        let holds = |block| {
            let bits = self.word(block, suffix).map_or(0, |word| word.load(Ordering::Relaxed));
            let start = if block == first_block { first % BLOCK_ROWS } else { 0 };
            let end = if block == last_block { last % BLOCK_ROWS } else { BLOCK_ROWS - 1 };
            bits & (u64::MAX << start) & (u64::MAX >> (BLOCK_ROWS - 1 - end)) != 0
        };
        last_block - first_block >= BLOCKS_LOOKED_AT || (first_block..=last_block).any(holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random::Random;

    const LENS: [usize; 8] = [0, 1, 2, 100, ROWS_MAX - 1, ROWS_MAX, 10_000_000, 1 << 40];

    #[test]
    fn what_was_told_may_be_there() {
        for len in LENS {
            for position in [0, 1, len / 3, len.saturating_sub(1), len, len + 1, usize::MAX] {
                for suffix in [0, 63, 64, 500, 1_023] {
                    let filter = Filter::new(len);
                    filter.insert(suffix, position);
                    for start in [0, position / 2, position.saturating_sub(1), position] {
                        for end in [position, position.saturating_add(1), len.max(position)] {
                            assert!(filter.may_hold(suffix, start..=end), "{position} of {len}");
                        }
                    }
                    let all = || 0..=usize::MAX;
                    assert!(!filter.may_hold(suffix + 1024, all()), "no suffix");
                    for other in (0..1_024).filter(|other| *other != suffix) {
                        assert!(!filter.may_hold(other, position..=position), "{other}");
                        assert!(len > 10 || !filter.may_hold(other, all()), "{other}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_a_stretch_away_is_ruled_out() {
        for len in LENS {
            // As long as a row, or a little more where the factor is rounded much.
            let stretch = (len / ROWS_MAX).max(ROW_POSITIONS_MIN) / 8 * 9 + 2;
            let filter = Filter::new(len);
            let position = len / 2;
            filter.insert(7, position);
            for away in [stretch, 3 * stretch] {
                let above = (position + away).min(len);
                let below = position.saturating_sub(away);
                assert!(above - position < stretch || !filter.may_hold(7, above..=above), "{len}");
                assert!(position - below < stretch || !filter.may_hold(7, below..=below), "{len}");
                // So do ranges over a few rows; over many it would take too long.
                let end = above + 3 * stretch;
                assert!(above - position < stretch || !filter.may_hold(7, above..=end), "{len}");
            }
        }
        // Of 610 positions a row, 39,062 a block.
        let filter = Filter::new(10_000_000);
        assert!(filter.may_hold(7, 0..=10_000_000) && filter.may_hold(7, 30_000..=180_000));
        assert!(!filter.may_hold(7, 0..=150_000) && !filter.may_hold(7, 40_000..=190_000));
    }

    #[test]
    fn a_range_holds_what_a_position_in_it_holds() {
        let mut random = Random::new("ranges", 1);
        for len in [5_000, 10_000_000] {
            for _ in 0..2_000 {
                let filter = Filter::new(len);
                let position = random.below(len as u64) as usize;
                filter.insert(7, position);
                let start = random.below(len as u64) as usize;
                let end = start + random.below(len as u64 / 200) as usize;
                let row_of_it = |at: usize| filter.row(at) == filter.row(position);
                let holds = (start..=end).contains(&position) || row_of_it(start) || row_of_it(end);
                assert_eq!(filter.may_hold(7, start..=end), holds, "{position} in {start}..={end}");
            }
        }
    }

    #[test]
    fn everything_is_everywhere() {
        for len in LENS {
            let filter = Filter::new(len);
            filter.insert_everything();
            for position in [0, len / 2, len] {
                assert!((0..1_024).all(|suffix| filter.may_hold(suffix, position..=position)));
            }
        }
    }

    #[test]
    fn no_positions_hold_nothing() {
        let filter = Filter::new(100);
        (0..=100).for_each(|position| filter.insert(3, position));
        #[expect(clippy::reversed_empty_ranges, reason = "that is what is asked")]
        let reversed = 60..=50;
        assert!(!filter.may_hold(3, reversed));
    }

    #[test]
    fn memory_is_bounded() {
        for len in LENS {
            let bytes = size_of_val(&*Filter::new(len).words);
            assert!(bytes <= (2 << 20), "{bytes} bytes for {len}");
        }
    }
}
