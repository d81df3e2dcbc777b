//! Asking for what is not in memory before it is read.
//!
//! Reading from a map what is not in memory waits for the disk, one page after the other,
//! though a disk serves many reads in the time of one. So whoever knows several places that
//! it will read asks the kernel for all of them first, unless the segment is taken to be in
//! [memory](super::presence).

use std::ops::Range;

use super::reader::Segment;
use crate::format::layout::{BLOCK_LEN, BLOCK_RECORDS, DIRECTORY_LINE_LEN, SectionId};
use crate::io::map::Bytes;
use crate::search::directory::Place;
use crate::token::{Record, SUFFIXES, TokenId};

/// One position in so many is looked at even where a segment is taken to be in memory.
const LOOKED_AT: usize = 64;

/// To how many records to either side a signature's walk goes, and hardly ever beyond.
const WALK_RECORDS: usize = 8 * SUFFIXES;

impl Segment<Bytes> {
    /// Whether to ask for what will be read.
    #[inline]
    pub(super) fn is_asked_for(&self) -> bool {
        self.presence.is_asked_for()
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
        // But for the first, which is read at once.
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::File;
    use std::path::Path;
    use std::thread;

    use super::super::presence::PRESENT_AFTER;
    use super::*;
    use crate::format::PAGE_LEN;
    use crate::io::map::absence;
    use crate::options::Verification;
    use crate::segment::layer::Layer;
    use crate::segment::tests::{build_within, fresh};
    use crate::testing::keys::KeyFamily;

    fn bytes_of(tokens: &[TokenId]) -> Vec<u8> {
        build_within((tokens[0], tokens[tokens.len() - 1]), tokens, fresh, 0)
    }

    fn segment(bytes: Bytes) -> Segment<Bytes> {
        // Reading checksums would bring in what is near them.
        Segment::open(bytes, Path::new("opened"), Verification::Never).unwrap()
    }

    /// A segment in a file on disk, and the file.
    fn on_disk(tokens: &[TokenId]) -> Option<(Segment<Bytes>, File)> {
        let file = absence::on_disk(&bytes_of(tokens))?;
        Some((segment(Bytes::map(&file).unwrap()), file))
    }

    /// Finds a token from which a walk begins.
    fn find(layer: &Layer, token: &TokenId) -> usize {
        let [found] = layer.find_all([token].into_iter(), true, |_, _| ()).unwrap();
        found.position
    }

    /// Reads everything, and asks until nothing was missing for a while.
    fn read_all(layer: &Layer, tokens: &[TokenId]) {
        layer.segments()[0].bytes.populate(0..usize::MAX).unwrap();
        for _ in 0..PRESENT_AFTER {
            find(layer, &tokens[0]);
        }
    }

    /// Where a part of a section is in the file.
    fn part_of(segment: &Segment<Bytes>, id: SectionId, part: Range<usize>) -> Range<usize> {
        let section = segment.layout.section(id);
        section.offset + part.start..section.offset + part.end.min(section.len)
    }

    /// Brings in the directory alone, as the first read of it would what is near it, too.
    fn bring_directory(segment: &Segment<Bytes>) {
        let directory = part_of(segment, SectionId::Directory, 0..usize::MAX);
        segment.bytes.ask_for(directory.clone());
        assert!(segment.bytes.comes(directory));
    }

    #[test]
    fn a_segment_is_asked_for_until_nothing_was_missing_for_a_while() {
        let tokens = KeyFamily::Uniform.generate(2_000, 1);
        let bytes = bytes_of(&tokens);
        let copied = Bytes::copy(bytes.len(), |to| {
            to.copy_from_slice(&bytes);
            Ok(())
        });
        for bytes in [Bytes::Owned(bytes), copied.unwrap()] {
            let layer = Layer::new(vec![segment(bytes)]);
            let segment = &layer.segments()[0];
            // Each asks for records and for postings.
            for _ in 1..PRESENT_AFTER / 2 {
                find(&layer, &tokens[700]);
                assert!(segment.is_asked_for());
            }
            for token in &tokens {
                find(&layer, token);
                assert!(!segment.is_asked_for());
            }
        }
    }

    #[test]
    fn a_segment_that_went_out_of_memory_is_asked_for_again() {
        let tokens = KeyFamily::Uniform.generate(2_000, 1);
        let Some((segment, file)) = on_disk(&tokens) else { return };
        let layer = Layer::new(vec![segment]);
        let segment = &layer.segments()[0];
        read_all(&layer, &tokens);
        assert!(!segment.is_asked_for());
        segment.bytes.put_out(&file);
        bring_directory(segment);
        assert!(!segment.is_asked_for());
        // At a position that is looked at.
        assert_eq!(find(&layer, &tokens[0]), 0);
        assert!(segment.is_asked_for());
        read_all(&layer, &tokens);
        assert!(!segment.is_asked_for());
    }

    #[test]
    fn what_is_missing_comes_when_tokens_are_asked_for() {
        let tokens = KeyFamily::Uniform.generate(2 * BLOCK_RECORDS + 100, 1);
        let Some((segment, file)) = on_disk(&tokens) else { return };
        let last = tokens.len() - 1;
        let blocks = |first: usize, end: usize| first * BLOCK_LEN..end * BLOCK_LEN;
        for (positions, postings) in [
            (vec![0], blocks(0, 1)),
            (vec![BLOCK_RECORDS / 2], blocks(0, 1)),
            (vec![BLOCK_RECORDS + 1], blocks(0, 2)),
            (vec![last, 5, 2 * BLOCK_RECORDS], blocks(0, 3)),
        ] {
            segment.bytes.put_out(&file);
            bring_directory(&segment);
            segment.ask_for_tokens(positions.iter().map(|at| &tokens[*at]), true);
            for at in positions {
                let record = at * Record::LEN..(at + 1) * Record::LEN;
                assert!(segment.bytes.comes(part_of(&segment, SectionId::Records, record)), "{at}");
            }
            assert!(segment.bytes.comes(part_of(&segment, SectionId::Postings, postings)));
        }
        assert!(segment.is_asked_for());
    }

    #[test]
    fn tokens_and_positions_beyond_all_that_is_there_may_be_asked_for() {
        let tokens = KeyFamily::Uniform.generate(500, 1);
        let Some((mapped, file)) = on_disk(&tokens) else { return };
        let owned = segment(Bytes::Owned(bytes_of(&tokens)));
        for segment in [&mapped, &owned] {
            segment.ask_for_tokens([&TokenId::MIN, &TokenId::MAX].into_iter(), true);
            segment.ask_for_tokens([].into_iter(), true);
            for positions in [0..0, 499..500, 499..600, 500..501, 7_000..9_000_000_000] {
                segment.ask_for_records(positions);
            }
            // Nothing, though there is something behind the section.
            mapped.bytes.put_out(&file);
            segment.ask_for_records(500..100_000);
            let len = mapped.bytes.as_ref().len();
            let mut pages = (0..len).step_by(PAGE_LEN);
            assert!(pages.all(|at| !mapped.bytes.is_there(at..at + 1)));
        }
    }

    #[test]
    fn layers_of_no_segment_and_of_several_are_asked_for_as_far_as_they_go() {
        let empty = Layer::new(Vec::new());
        assert_eq!(find(&empty, &TokenId::MAX), 0);
        empty.prefetch_record(0);

        let tokens = KeyFamily::Uniform.generate(3_000, 1);
        let (low, high) = tokens.split_at(1_000);
        let (Some((low, low_file)), Some((high, high_file))) = (on_disk(low), on_disk(high)) else {
            return;
        };
        let layer = Layer::new(vec![low, high]);
        let [low, high] = layer.segments() else { panic!("two") };
        low.bytes.put_out(&low_file);
        high.bytes.put_out(&high_file);
        for position in [999, 1_000, 2_999, 3_000, usize::MAX] {
            layer.prefetch_record(position);
        }
        for (segment, at) in [(low, 999), (high, 0), (high, 1_999)] {
            let record = at * Record::LEN..(at + 1) * Record::LEN;
            assert!(segment.bytes.comes(part_of(segment, SectionId::Records, record)), "{at}");
        }
        for (position, token) in tokens.iter().enumerate() {
            assert_eq!(find(&layer, token), position);
        }
    }

    #[test]
    fn threads_that_ask_at_the_same_time_find_all() {
        let tokens = KeyFamily::Uniform.generate(20_000, 1);
        let Some((segment, file)) = on_disk(&tokens) else { return };
        segment.bytes.put_out(&file);
        let layer = Layer::new(vec![segment]);
        thread::scope(|scope| {
            for first in 0..4 {
                let (layer, tokens) = (&layer, &tokens);
                scope.spawn(move || {
                    for position in (first * 4_999..tokens.len()).chain(0..first * 4_999) {
                        assert_eq!(find(layer, &tokens[position]), position);
                    }
                });
            }
        });
        read_all(&layer, &tokens);
        assert!(!layer.segments()[0].is_asked_for());
    }
}
