//! Suffix postings: the next token, up or down, that ends in given ten bits.
//!
//! The records are cut into blocks. A block of postings holds, for each of the 1,024
//! suffixes, the positions within the block of the records with that suffix, in
//! ascending order; all lists one after the other, behind a table of where each
//! begins. The list of one suffix in a full block of random tokens has 32 entries and
//! fills one cache line. As positions are spread evenly over a list, interpolation
//! says at which entry a search starts.

use std::ops::Range;

use super::gallop::gallop;
use super::simd::{self, Number, WINDOW, prefetch};
use crate::challenge::Direction;
use crate::format::layout::{BLOCK_RECORDS, BLOCK_TABLE_LEN};
use crate::token::SUFFIXES;

/// One block of postings, read from bytes that are not trusted.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a> {
    /// Where the list of each suffix begins.
    table: &'a [Number; SUFFIXES],
    /// In-block positions, at most as many as the block has records.
    entries: &'a [Number],
}

#[inline]
fn value(number: Number) -> usize {
    usize::from(u16::from_le_bytes(number))
}

impl<'a> Block<'a> {
    /// A block in its bytes, or `None` if they hold no whole table.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        let (table, entries) = bytes.split_first_chunk::<BLOCK_TABLE_LEN>()?;
        Some(Self { table: bytemuck::cast_ref(table), entries: entries.as_chunks().0 })
    }

    /// Number of records in the block.
    #[inline]
    pub(crate) fn records(self) -> usize {
        self.entries.len()
    }

    /// Where the list of a suffix begins, or, for the number after the last one, ends.
    #[inline]
    fn start(self, suffix: usize) -> usize {
        self.table.get(suffix).map_or(self.records(), |start| value(*start))
    }

    /// The list of a suffix, ascending; empty for a number that is no suffix.
    #[inline]
    fn list(self, suffix: u16) -> &'a [Number] {
        let suffix = usize::from(suffix);
        self.entries.get(self.start(suffix)..self.start(suffix + 1)).unwrap_or(&[])
    }

    /// Goes through a range of positions and meets suffixes in order; says at which
    /// positions, and, in the end, how many of them were met.
    #[inline]
    pub(crate) fn meet(
        self,
        positions: Range<usize>,
        direction: Direction,
        suffixes: &[u16],
        mut met: impl FnMut(usize),
    ) -> usize {
        let Range { mut start, mut end } = positions;
        for (count, &suffix) in suffixes.iter().enumerate() {
            let list = self.list(suffix);
            let entry = match direction {
                Direction::Up => list.get(count_below(list, start)),
                Direction::Down => list.get(count_below(list, end).wrapping_sub(1)),
            };
            match entry.map(|entry| value(*entry)) {
                Some(position) if start <= position && position < end => {
                    met(position);
                    match direction {
                        Direction::Up => start = position + 1,
                        Direction::Down => end = position,
                    }
                }
                _ => return count,
            }
        }
        suffixes.len()
    }

    /// Asks for that part of the list of a suffix to be brought near in which a search
    /// for a position near `near` will look.
    #[inline]
    pub(crate) fn prefetch_list(self, near: usize, suffix: u16) {
        let list = self.list(suffix);
        let guess = guess(list, near);
        prefetch(list, guess.wrapping_sub(PREFETCH_REACH));
        prefetch(list, guess + PREFETCH_REACH);
    }

    /// All positions in the order of their lists, with the suffix of each, for
    /// comparing them with the records. Lists that do not join are cut short.
    pub(crate) fn all(self) -> impl Iterator<Item = (u16, usize)> + use<'a> {
        (0..SUFFIXES as u16).flat_map(move |suffix| {
            let positions = self.list(suffix).iter().map(|entry| value(*entry));
            positions.filter(move |it| *it < self.records()).map(move |it| (suffix, it))
        })
    }
}

/// Where in a list the first entry at or after a position should be.
#[inline]
fn guess(list: &[Number], position: usize) -> usize {
    // Blocks are full but for the last, and a constant divides by a shift.
    position * list.len() / BLOCK_RECORDS
}

/// Number of entries of a list below a position.
#[inline]
fn count_below(list: &[Number], position: usize) -> usize {
    count_below_near(list, position).unwrap_or_else(|| count_below_any(list, position))
}

/// Number of entries below a position, in a list of any length.
fn count_below_any(list: &[Number], position: usize) -> usize {
    let is_below = |index| list.get(index).is_some_and(|entry| value(*entry) < position);
    gallop(list.len(), guess(list, position), is_below)
}

/// Number of entries below a position, if the entries around the guess show it. In
/// a list of 32 random positions, where one stands is hardly ever more than 8 places from
/// where it should.
#[inline]
fn count_below_near(list: &[Number], position: usize) -> Option<usize> {
    let start =
        guess(list, position).saturating_sub(WINDOW / 2).min(list.len().checked_sub(WINDOW)?);
    let window: &[Number; WINDOW] = list.get(start..)?.first_chunk()?;
    let below = simd::count_below(window, position.min(BLOCK_RECORDS) as u16);
    let is_here = (below > 0 || start == 0) & (below < WINDOW || start + WINDOW == list.len());
    is_here.then_some(start + below)
}

/// Entries to either side of where a search is foreseen that are brought near.
const PREFETCH_REACH: usize = 10;

/// Writes the postings of up to [`BLOCK_RECORDS`] records, given their suffixes.
pub(crate) fn write_block(suffixes: &[u16], out: &mut Vec<u8>) {
    debug_assert!(suffixes.len() <= BLOCK_RECORDS);
    let mut starts = [0u16; SUFFIXES];
    for &suffix in suffixes {
        starts[usize::from(suffix)] += 1;
    }
    let mut sum = 0;
    for start in &mut starts {
        let count = *start;
        *start = sum;
        sum += count;
        out.extend_from_slice(&start.to_le_bytes());
    }
    let entries = out.len();
    out.resize(entries + 2 * suffixes.len(), 0);
    for (position, &suffix) in (0u16..).zip(suffixes) {
        let at = entries + 2 * usize::from(starts[usize::from(suffix)]);
        out[at..at + 2].copy_from_slice(&position.to_le_bytes());
        starts[usize::from(suffix)] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random::Random;

    fn block_of(suffixes: &[u16]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_block(suffixes, &mut bytes);
        assert_eq!(bytes.len(), BLOCK_TABLE_LEN + 2 * suffixes.len());
        bytes
    }

    /// The position that is met first in a range, seen in a direction.
    fn met(
        block: Block<'_>,
        range: Range<usize>,
        direction: Direction,
        suffix: u16,
    ) -> Option<usize> {
        let mut met = None;
        block.meet(range, direction, &[suffix], |position| met = Some(position));
        met
    }

    fn next_of(block: Block<'_>, from: usize, suffix: u16) -> Option<usize> {
        met(block, from..block.records(), Direction::Up, suffix)
    }

    fn previous_of(block: Block<'_>, to: usize, suffix: u16) -> Option<usize> {
        met(block, 0..to.min(block.records()), Direction::Down, suffix)
    }

    fn check(suffixes: &[u16]) {
        let bytes = block_of(suffixes);
        let block = Block::new(&bytes).unwrap();
        assert_eq!(block.records(), suffixes.len());
        let step = (suffixes.len() / 97).max(1);
        for sought in
            [0, 1, 511, 1022, 1023, 1024, u16::MAX, suffixes.first().copied().unwrap_or(3)]
        {
            for at in (0..=suffixes.len()).step_by(step).chain([suffixes.len()]) {
                let next = (at..suffixes.len()).find(|&i| suffixes[i] == sought);
                let previous = (0..at).rev().find(|&i| suffixes[i] == sought);
                assert_eq!(next_of(block, at, sought), next, "next {sought} from {at}");
                assert_eq!(previous_of(block, at, sought), previous, "previous {sought} to {at}");
            }
        }
        assert_eq!(block.all().count(), suffixes.len());
        assert!(block.all().all(|(suffix, position)| suffixes[position] == suffix));
    }

    #[test]
    fn matches_are_found_both_ways() {
        let mixed =
            |len: usize| -> Vec<u16> { (0..len).map(|i| (i * i * 31 % 1024) as u16).collect() };
        for len in [0, 1, 2, 3, 1_000, BLOCK_RECORDS - 1, BLOCK_RECORDS] {
            check(&mixed(len));
            check(&vec![0; len]);
            check(&vec![1023; len]);
            // All matches crowd at one end.
            let mut crowded = vec![511; len];
            crowded[..len / 2].fill(1022);
            check(&crowded);
        }
    }

    #[test]
    fn a_suffix_is_met_as_often_as_it_is_asked_for() {
        let bytes = block_of(&[4, 5, 5, 6, 5]);
        let block = Block::new(&bytes).unwrap();
        let met = |direction, suffixes: &[u16]| {
            let mut met = Vec::new();
            let count = block.meet(0..5, direction, suffixes, |position| met.push(position));
            assert_eq!(count, met.len());
            met
        };
        assert_eq!(met(Direction::Up, &[5, 5, 5, 5]), [1, 2, 4]);
        assert_eq!(met(Direction::Down, &[5, 5, 5, 5]), [4, 2, 1]);
        assert_eq!(met(Direction::Up, &[5, 6, 5, 4]), [1, 3, 4]);
        assert_eq!(met(Direction::Down, &[5, 6, 5, 4]), [4, 3, 2, 0]);
    }

    /// Guesses of all kinds, and windows that show less than they could, were tried, and made this
    /// fail.
    #[test]
    fn entries_of_random_lists_are_where_they_are_guessed() {
        let mut random = Random::new("guesses", 1);
        let (mut shown, mut all) = (0, 0);
        for _ in 0..300 {
            let mut positions: Vec<_> =
                (0..32).map(|_| random.below(BLOCK_RECORDS as u64) as u16).collect();
            positions.sort_unstable();
            let list: Vec<Number> = positions.iter().map(|it| it.to_le_bytes()).collect();
            for at in (0..=BLOCK_RECORDS).step_by(64) {
                let below = positions.iter().filter(|it| usize::from(**it) < at).count();
                let found = count_below_near(&list, at);
                assert!(found.is_none_or(|found| found == below), "{found:?} for {below}");
                assert_eq!(count_below_any(&list, at), below);
                shown += usize::from(found.is_some());
                all += 1;
            }
        }
        assert!(shown * 1_000 >= all * 995, "{shown} of {all}");
    }

    /// Taking a list without looking whether it lies within its block was tried, and made this
    /// fail.
    #[test]
    fn bytes_that_lie_lead_nowhere_else() {
        for fill in [0u8, 1, 0x7f, 0xff] {
            for records in [0, 1, 300] {
                let bytes = vec![fill; BLOCK_TABLE_LEN + 2 * records];
                let block = Block::new(&bytes).unwrap();
                for suffix in [0, 512, 1023, 1024] {
                    for at in [0, 1, records, records + 1] {
                        assert!(next_of(block, at, suffix).is_none_or(|found| found < records));
                        assert!(previous_of(block, at, suffix).is_none_or(|found| found < records));
                    }
                }
                assert!(block.all().count() <= SUFFIXES * records);
            }
        }
        assert!(Block::new(&[0; BLOCK_TABLE_LEN - 1]).is_none());
        let mut bytes = block_of(&[1023; 3]);
        for (entry, count) in [(2u16, 3), (3, 2), (u16::MAX, 2)] {
            bytes[BLOCK_TABLE_LEN..BLOCK_TABLE_LEN + 2].copy_from_slice(&entry.to_le_bytes());
            assert_eq!(Block::new(&bytes).unwrap().all().count(), count, "{entry} of three");
        }
    }
}
