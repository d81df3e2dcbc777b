//! Meeting suffixes, in order, without passing over the records between.
//!
//! A walk goes block by block: in one block of postings it meets as many suffixes as it
//! can, and takes the one that is not there on to the next block.

use std::ops::Range;

use super::reader::Segment;
use crate::challenge::Direction;
use crate::error::Result;
use crate::format::layout::BLOCK_RECORDS;
use crate::token::SUFFIXES;

impl<B: AsRef<[u8]>> Segment<B> {
    /// The first position in a range whose token has this suffix.
    ///
    /// Two accesses to memory, and two more for each block of 32,768 records passed
    /// without a match.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`](crate::Error::Damaged).
    pub fn next_match(&self, positions: Range<usize>, suffix: u16) -> Result<Option<usize>> {
        let mut met = None;
        self.meet(positions, Direction::Up, &[suffix], |position| met = Some(position))?;
        Ok(met)
    }

    /// The last position in a range whose token has this suffix.
    ///
    /// Costs what [`next_match`](Self::next_match) costs.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`](crate::Error::Damaged).
    pub fn previous_match(&self, positions: Range<usize>, suffix: u16) -> Result<Option<usize>> {
        let mut met = None;
        self.meet(positions, Direction::Down, &[suffix], |position| met = Some(position))?;
        Ok(met)
    }

    /// Goes through a range of positions and meets suffixes in order; says at which
    /// positions, and, in the end, how many of them were met.
    #[inline]
    pub(crate) fn meet(
        &self,
        positions: Range<usize>,
        direction: Direction,
        suffixes: &[u16],
        mut met: impl FnMut(usize),
    ) -> Result<usize> {
        let mut rest = positions.start..positions.end.min(self.len());
        let mut count = 0;
        while !rest.is_empty() && count < suffixes.len() {
            let index = match direction {
                Direction::Up => rest.start,
                Direction::Down => rest.end - 1,
            } / BLOCK_RECORDS;
            let start = index * BLOCK_RECORDS;
            let end = start + BLOCK_RECORDS;
            let within = rest.start.max(start) - start..rest.end.min(end) - start;
            let block = self.postings(index)?;
            count += block.meet(within, direction, &suffixes[count..], |place| met(start + place));
            match direction {
                Direction::Up => rest.start = end,
                Direction::Down => rest.end = start,
            }
        }
        Ok(count)
    }

    /// Brings near what a walk from a position will read to meet these suffixes, all at
    /// once, as the walk itself learns of each place only after the one before: for
    /// each suffix its list in the block where it will be met, if tokens are random.
    #[inline]
    pub(crate) fn prefetch_lists(&self, position: usize, direction: Direction, suffixes: &[u16]) {
        let mut place = position;
        let mut index = usize::MAX;
        let mut block = None;
        for &suffix in suffixes {
            // From one match to the next there are as many tokens as suffixes, on average.
            place = match direction {
                Direction::Up => place + SUFFIXES,
                Direction::Down if place < SUFFIXES => return,
                Direction::Down => place - SUFFIXES,
            };
            if index != place / BLOCK_RECORDS {
                index = place / BLOCK_RECORDS;
                // Unchecked: what is only brought near may be anything.
                block = self.postings_unchecked(index);
            }
            let Some(block) = block else { return };
            block.prefetch_list(place % BLOCK_RECORDS, suffix);
        }
    }
}
