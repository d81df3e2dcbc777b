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
use super::simd::prefetch;
use crate::challenge::Direction;
use crate::format::layout::{BLOCK_RECORDS, BLOCK_TABLE_LEN};
use crate::token::SUFFIXES;

/// One block of postings, read from bytes that are not trusted.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a> {
    table: &'a [u8; BLOCK_TABLE_LEN],
    /// In-block positions, two bytes each, at most as many as the block has records.
    entries: &'a [u8],
}

impl<'a> Block<'a> {
    /// A block in its bytes, or `None` if they hold no whole table.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        let (table, entries) = bytes.split_first_chunk()?;
        Some(Self { table, entries })
    }

    /// Number of records in the block.
    #[inline]
    pub(crate) fn records(self) -> usize {
        self.entries.len() / 2
    }

    #[inline]
    fn start(self, suffix: usize) -> usize {
        let at = 2 * suffix;
        match self.table.get(at..at + 2) {
            Some(start) => {
                usize::from(u16::from_le_bytes([start[0], start[1]])).min(self.records())
            }
            None => self.records(),
        }
    }

    /// The bytes of the list of a suffix; empty for a number that is no suffix.
    #[inline]
    fn list(self, suffix: u16) -> List<'a> {
        let suffix = usize::from(suffix);
        let start = self.start(suffix);
        let end = self.start(suffix + 1);
        List {
            block_records: self.records(),
            entries: self.entries.get(2 * start..2 * end).unwrap_or(&[]),
        }
    }

    /// The first position at or after `from` whose record has this suffix.
    #[inline]
    fn next(self, from: usize, suffix: u16) -> Option<usize> {
        let list = self.list(suffix);
        list.entry(list.count_below(from))
    }

    /// The last position before `to` whose record has this suffix.
    #[inline]
    fn previous(self, to: usize, suffix: u16) -> Option<usize> {
        let list = self.list(suffix);
        list.entry(list.count_below(to).checked_sub(1)?)
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
            let position = match direction {
                Direction::Up => self.next(start, suffix),
                Direction::Down => self.previous(end, suffix),
            };
            match position {
                Some(position) if (start..end).contains(&position) => {
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

    /// Asks for the table entry of a suffix to be brought near.
    #[inline]
    pub(crate) fn prefetch_table(self, suffix: u16) {
        prefetch(self.table, 2 * usize::from(suffix));
    }

    /// Asks for that part of the list of a suffix to be brought near in which a search
    /// for a position near `near` will look.
    #[inline]
    pub(crate) fn prefetch_list(self, near: usize, suffix: u16) {
        let list = self.list(suffix);
        let guess = list.guess(near);
        let last = list.entries.len().saturating_sub(1);
        prefetch(list.entries, (2 * guess).saturating_sub(PREFETCH_REACH).min(last));
        prefetch(list.entries, (2 * guess + PREFETCH_REACH).min(last));
    }

    /// All positions in the order of their lists, with the suffix of each, for
    /// comparing them with the records. Lists that do not join are cut short.
    pub(crate) fn all(self) -> impl Iterator<Item = (u16, usize)> + use<'a> {
        (0..SUFFIXES as u16).flat_map(move |suffix| {
            let list = self.list(suffix);
            (0..list.len()).filter_map(move |index| Some((suffix, list.entry(index)?)))
        })
    }
}

/// The positions of one suffix in a block.
#[derive(Clone, Copy)]
struct List<'a> {
    block_records: usize,
    entries: &'a [u8],
}

impl List<'_> {
    #[inline]
    fn len(self) -> usize {
        self.entries.len() / 2
    }

    /// An entry; `None` beyond the end, or where it points out of the block.
    #[inline]
    fn entry(self, index: usize) -> Option<usize> {
        let bytes = self.entries.get(2 * index..2 * index + 2)?;
        let position = usize::from(u16::from_le_bytes([bytes[0], bytes[1]]));
        (position < self.block_records).then_some(position)
    }

    /// Where the first entry at or after a position should be.
    #[inline]
    fn guess(self, position: usize) -> usize {
        // Blocks are full but for the last, and a constant divides by a shift.
        position * self.len() / BLOCK_RECORDS
    }

    /// Number of entries below a position.
    #[inline]
    fn count_below(self, position: usize) -> usize {
        let guess = self.guess(position);
        self.count_below_near(guess, position).unwrap_or_else(|| {
            gallop(self.len(), guess, |index| {
                self.entry(index).is_some_and(|entry| entry < position)
            })
        })
    }

    /// Number of entries below a position, if the window of entries around a guess
    /// shows it.
    #[inline]
    fn count_below_near(self, guess: usize, position: usize) -> Option<usize> {
        let start = guess.saturating_sub(WINDOW / 2).min(self.len().checked_sub(WINDOW)?);
        let window: &[[u8; 2]; WINDOW] =
            self.entries.as_chunks::<2>().0.get(start..)?.first_chunk()?;
        let position = position.min(BLOCK_RECORDS) as u16;
        let below = window.map(|entry| u16::from(u16::from_le_bytes(entry) < position));
        let below = usize::from(below.iter().sum::<u16>());
        let is_here = (below > 0 || start == 0) & (below < WINDOW || start + WINDOW == self.len());
        is_here.then_some(start + below)
    }
}

/// Entries that are looked at together. In a list of 32 random positions, where one
/// stands is hardly ever more than 8 places from where it should.
const WINDOW: usize = 16;

/// Bytes to either side of where a search is foreseen that are brought near.
const PREFETCH_REACH: usize = 20;

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

    fn block_of(suffixes: &[u16]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_block(suffixes, &mut bytes);
        assert_eq!(bytes.len(), BLOCK_TABLE_LEN + 2 * suffixes.len());
        bytes
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
                assert_eq!(block.next(at, sought), next, "next {sought} from {at}");
                assert_eq!(block.previous(at, sought), previous, "previous {sought} to {at}");
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
    fn bytes_that_lie_lead_nowhere_else() {
        for fill in [0u8, 1, 0x7f, 0xff] {
            for records in [0, 1, 300] {
                let bytes = vec![fill; BLOCK_TABLE_LEN + 2 * records];
                let block = Block::new(&bytes).unwrap();
                for suffix in [0, 512, 1023, 1024] {
                    for at in [0, 1, records, records + 1] {
                        assert!(block.next(at, suffix).is_none_or(|found| found < records));
                        assert!(block.previous(at, suffix).is_none_or(|found| found < records));
                    }
                }
                assert!(block.all().count() <= SUFFIXES * records);
            }
        }
        assert!(Block::new(&[0; BLOCK_TABLE_LEN - 1]).is_none());
    }
}
