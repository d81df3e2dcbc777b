//! Asking for what is not in memory before it is read.
//!
//! Reading from a map what is not in memory waits for the disk, one page after the other,
//! though a disk serves many reads in the time of one. So whoever knows several places that
//! it will read asks the kernel for all of them first.
//!
//! Finding out whether something is in memory takes half a microsecond, which would be most
//! of a lookup. So a segment is either taken to be in memory, or asked for. It is asked for
//! from its opening on, and whenever something was missing, until nothing was for a while;
//! and where it is taken to be in memory, one place in some is looked at nevertheless.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use super::reader::Segment;
use crate::format::layout::{BLOCK_LEN, BLOCK_RECORDS, DIRECTORY_LINE_LEN, SectionId};
use crate::io::map::Bytes;
use crate::search::directory::Place;
use crate::token::{Record, SUFFIXES, TokenId};

/// Nothing was missing for so many times: it is taken to be in memory.
const PRESENT_AFTER: u32 = 512;

/// One position in so many is looked at even so.
const LOOKED_AT: usize = 64;

/// To how many records to either side a signature's walk goes, and hardly ever beyond.
const WALK_RECORDS: usize = 8 * SUFFIXES;

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

    fn saw(&self, is_present: bool) {
        let left = match self.left.load(Ordering::Relaxed) {
            left if is_present => left.saturating_sub(1),
            _ => PRESENT_AFTER,
        };
        self.left.store(left, Ordering::Relaxed);
    }
}

impl Segment<Bytes> {
    /// Whether to ask for what will be read.
    #[inline]
    pub(super) fn is_asked_for(&self) -> bool {
        self.presence.left.load(Ordering::Relaxed) > 0
    }

    /// Asks for what [`find`](Self::find) will read of each of some tokens, and for what a walk
    /// from there will read first.
    #[cold]
    pub(super) fn ask_for_tokens<'t>(
        &self,
        tokens: impl Iterator<Item = &'t TokenId> + Clone,
        will_walk: bool,
    ) {
        let line = |place: Place| place.line * DIRECTORY_LINE_LEN;
        for token in tokens.clone().skip(1) {
            let at = line(self.header.map.place(token));
            self.ask_for(SectionId::Directory, at..at + DIRECTORY_LINE_LEN);
        }
        for token in tokens {
            // What is wrong here is so when it is read again.
            let Ok((start, end)) = self.bucket_range(self.header.map.place(token)) else { return };
            self.ask_for_records(start..end.min(start + LOOKED_AT));
            if will_walk {
                let first = start.saturating_sub(WALK_RECORDS) / BLOCK_RECORDS;
                let last = (start + WALK_RECORDS) / BLOCK_RECORDS;
                // All of them, as what is in them is compared with one checksum.
                self.ask_for(SectionId::Postings, first * BLOCK_LEN..(last + 1) * BLOCK_LEN);
            }
        }
    }

    /// Asks for the records at some positions.
    pub(super) fn ask_for_records(&self, positions: Range<usize>) {
        self.ask_for(
            SectionId::Records,
            positions.start * Record::LEN..positions.end * Record::LEN,
        );
    }

    /// Now and then looks whether a record that is about to be read is in memory.
    #[inline]
    pub(super) fn look_at(&self, position: usize) {
        if position.is_multiple_of(LOOKED_AT) {
            self.ask_for_records(position..position + 1);
        }
    }

    fn ask_for(&self, id: SectionId, part: Range<usize>) {
        let section = self.layout.section(id);
        let part = part.start.min(section.len)..part.end.min(section.len);
        let is_present = self.bytes.ask_for(section.offset + part.start..section.offset + part.end);
        self.presence.saw(is_present);
    }
}
