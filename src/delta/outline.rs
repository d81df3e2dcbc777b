//! The entries of a part as seen from the bottom layer.
//!
//! Once it is known how many records of the bottom layer come before each entry, it can be
//! told without reading a token where in the part a record of the bottom layer would be,
//! how many tokens the entries before it add, and whether entries with some suffix come
//! between two records. A few bytes an entry, side by side in memory, say so.

use std::ops::{Range, RangeInclusive};

use super::suffixes;
use crate::challenge::Direction;
use crate::format::kinds::Kind;
use crate::search::simd::prefetch;

/// Entries of a row, on average.
const ROW_ENTRIES: usize = 8;

/// Fixed-point digits of the factor from base positions to rows.
const FRACTION_BITS: u32 = 32;

/// The base position and the suffix of each entry, and what the entries add.
#[derive(Debug)]
pub(crate) struct Outline {
    entries: Vec<Entry>,
    suffixes: Vec<u16>,
    /// Number of entries before each row, and, at the end, of all. Rows are stretches of
    /// base positions of equal length.
    rows: Vec<u32>,
    /// Rows for each position, in 2^-32.
    scale: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    base_position: u32,
    /// By how many tokens this entry and those before change the number of tokens.
    tokens_through: i32,
}

/// An outline being made of entries in order.
#[derive(Debug)]
pub(super) struct OutlineBuilder {
    base_len: usize,
    entries: Vec<Entry>,
    suffixes: Vec<u16>,
    /// Numbers are too large for an outline.
    is_beyond: bool,
}

impl OutlineBuilder {
    pub(super) fn new(base_len: usize) -> Self {
        let is_beyond = base_len >= u32::MAX as usize;
        Self { base_len, entries: Vec::new(), suffixes: Vec::new(), is_beyond }
    }

    /// Adds an entry: its base position, suffix and kind.
    pub(super) fn push(&mut self, (base_position, suffix, kind): (usize, u16, Kind)) {
        let last = self.entries.last().copied().unwrap_or_default();
        let change = match kind {
            Kind::Fresh => 1,
            Kind::Update => 0,
            Kind::Tombstone => -1,
        };
        let Some(tokens_through) = last.tokens_through.checked_add(change) else {
            self.is_beyond = true;
            return;
        };
        if !self.is_beyond {
            // Ascending whatever was read.
            let base_position = last.base_position.max(base_position.min(self.base_len) as u32);
            self.entries.push(Entry { base_position, tokens_through });
            self.suffixes.push(suffix);
        }
    }

    /// `None` for numbers that are too large for it.
    pub(super) fn finish(self) -> Option<Outline> {
        let Self { base_len, entries, suffixes, is_beyond } = self;
        if is_beyond {
            return None;
        }
        let positions = base_len + 1;
        let row_count = (entries.len() / ROW_ENTRIES + 1).min(positions);
        let scale = (row_count << FRACTION_BITS) / positions;
        let mut rows = Vec::with_capacity(row_count + 1);
        for (count, entry) in (0..).zip(&entries) {
            let row = (entry.base_position as usize * scale) >> FRACTION_BITS;
            while rows.len() <= row {
                rows.push(count);
            }
        }
        rows.resize(row_count + 1, u32::try_from(entries.len()).ok()?);
        Some(Outline { entries, suffixes, rows, scale })
    }
}

impl Outline {
    /// The outline of entries in order, of each its base position, suffix and kind;
    /// `None` for numbers that are too large for it.
    pub(crate) fn new(
        base_len: usize,
        all: impl Iterator<Item = (usize, u16, Kind)>,
    ) -> Option<Self> {
        let mut outline = OutlineBuilder::new(base_len);
        outline.entries.reserve(all.size_hint().0);
        outline.suffixes.reserve(all.size_hint().0);
        all.for_each(|entry| outline.push(entry));
        outline.finish()
    }

    #[inline]
    fn row(&self, base_position: usize) -> usize {
        base_position.saturating_mul(self.scale) >> FRACTION_BITS
    }

    /// Number of entries that come before the record of the bottom layer at a position,
    /// or that are of its token.
    #[inline]
    pub(crate) fn count_through(&self, base_position: usize) -> usize {
        let row = self.row(base_position);
        let (Some(&start), Some(&end)) = (self.rows.get(row), self.rows.get(row + 1)) else {
            return self.entries.len();
        };
        let (start, end) = (start as usize, end as usize);
        let entries = self.entries.get(start..end).unwrap_or(&[]);
        start + entries.partition_point(|entry| entry.base_position as usize <= base_position)
    }

    /// Brings near what says how many entries come before a record of the bottom layer.
    #[inline]
    pub(crate) fn prefetch(&self, base_position: usize) {
        let row = self.row(base_position);
        if let (Some(&start), Some(&end)) = (self.rows.get(row), self.rows.get(row + 1)) {
            // A row is about as long as a line of the cache, and seldom begins with one.
            prefetch(&self.entries, start as usize);
            prefetch(&self.entries, end as usize);
        }
    }

    /// Brings near which suffixes the entries have that lie at a base position and behind.
    #[inline]
    pub(crate) fn prefetch_suffixes(&self, base_position: usize) {
        if let Some(&start) = self.rows.get(self.row(base_position)) {
            prefetch(&self.suffixes, start as usize);
        }
    }

    /// Number of records of the bottom layer with smaller tokens than an entry has.
    #[inline]
    pub(crate) fn base_position(&self, position: usize) -> Option<usize> {
        self.entries.get(position).map(|entry| entry.base_position as usize)
    }

    /// The first position in a range, seen in a direction, whose token has this suffix.
    pub(crate) fn nearest_match(
        &self,
        positions: &Range<usize>,
        direction: Direction,
        suffix: u16,
    ) -> Option<usize> {
        suffixes::nearest(&self.suffixes, positions, direction, suffix)
    }

    /// The number of records of the bottom layer with smaller tokens than an entry has, and
    /// what it did to what lies below.
    #[inline]
    pub(crate) fn entry(&self, position: usize) -> Option<(usize, Kind)> {
        let entry = self.entries.get(position)?;
        let kind = match i64::from(entry.tokens_through) - self.tokens_before(position) {
            1.. => Kind::Fresh,
            0 => Kind::Update,
            ..0 => Kind::Tombstone,
        };
        Some((entry.base_position as usize, kind))
    }

    /// What an entry did to what lies below.
    #[inline]
    pub(crate) fn kind(&self, position: usize) -> Option<Kind> {
        Some(self.entry(position)?.1)
    }

    /// By how many tokens the first `count` entries change the number of tokens.
    #[inline]
    pub(crate) fn tokens_before(&self, count: usize) -> i64 {
        let last = count.checked_sub(1).and_then(|last| self.entries.get(last));
        last.map_or(0, |entry| i64::from(entry.tokens_through))
    }

    /// The entries at some base positions.
    #[inline]
    pub(crate) fn entries(&self, base_positions: RangeInclusive<usize>) -> Range<usize> {
        let start = match base_positions.start().checked_sub(1) {
            Some(before) => self.count_through(before),
            None => 0,
        };
        start..self.count_through(*base_positions.end()).max(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::keys::KeyFamily;
    use crate::testing::random::Random;
    use crate::token::TokenId;

    #[test]
    fn entries_are_where_counting_says() {
        for family in KeyFamily::ALL {
            for (above, below) in [(0, 50), (1, 0), (40, 1), (7, 200), (200, 7), (150, 150)] {
                let mut random = Random::new("outline", 1);
                let all = family.generate(above + below, 1);
                // Some are in both.
                let base: Vec<_> = all.iter().copied().filter(|_| random.below(3) > 0).collect();
                let tokens: Vec<_> = all.iter().copied().filter(|_| random.below(2) > 0).collect();
                let base_position =
                    |token: &TokenId| base.iter().filter(|other| *other < token).count();
                let kind_of = |index| [Kind::Fresh, Kind::Tombstone, Kind::Update][index % 3];
                let entries = tokens
                    .iter()
                    .enumerate()
                    .map(|(index, token)| (base_position(token), token.suffix(), kind_of(index)));
                let outline = Outline::new(base.len(), entries).unwrap();
                for (position, token) in tokens.iter().enumerate() {
                    assert_eq!(outline.base_position(position), Some(base_position(token)));
                    assert_eq!(outline.kind(position), Some(kind_of(position)));
                }
                assert_eq!(outline.kind(tokens.len()), None);
                assert_eq!(outline.kind(usize::MAX), None);
                for count in 0..=tokens.len() {
                    // One comes, one goes, one stays.
                    assert_eq!(outline.tokens_before(count), i64::from(count % 3 == 1));
                }
                for position in (0..base.len() + 3).chain([usize::MAX]) {
                    let through =
                        tokens.iter().filter(|token| base_position(token) <= position).count();
                    assert_eq!(outline.count_through(position), through, "{family:?}");
                    for end in [position, position.saturating_add(5)] {
                        let is_in =
                            |token: &&TokenId| (position..=end).contains(&base_position(token));
                        let entries = outline.entries(position..=end);
                        assert!(tokens[entries].iter().eq(tokens.iter().filter(is_in)));
                        for suffix in tokens.iter().step_by(9).map(TokenId::suffix).chain([1_024]) {
                            let is_match = |token: &TokenId| token.suffix() == suffix;
                            let entries = outline.entries(position..=end);
                            let within = &tokens[entries.clone()];
                            let first = within.iter().position(is_match);
                            let last = within.iter().rposition(is_match);
                            for (direction, place) in
                                [(Direction::Up, first), (Direction::Down, last)]
                            {
                                assert_eq!(
                                    outline.nearest_match(&entries, direction, suffix),
                                    place.map(|place| entries.start + place),
                                    "{family:?}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }

    /// Fewer rows, or rows of uneven lengths, were tried, and made this fail: a lookup looks
    /// through one of them.
    #[test]
    fn a_row_has_a_few_entries() {
        for (base_len, entries) in [(100_000, 10_000), (1_000, 10_000), (1_000_000, 9), (9, 0)] {
            let base_position = |index: usize| index * (base_len + 1) / entries;
            let all = (0..entries).map(|index| (base_position(index), 7, Kind::Fresh));
            let rows = Outline::new(base_len, all).unwrap().rows;
            assert_eq!(rows.len() - 1, (entries / ROW_ENTRIES + 1).min(base_len + 1));
            let at_once = entries / (base_len + 1) + 1;
            for row in rows.windows(2) {
                let len = (row[1] - row[0]) as usize;
                assert!(len <= (ROW_ENTRIES + 1).max(2 * at_once), "{len} of {entries}");
            }
        }
    }
}
