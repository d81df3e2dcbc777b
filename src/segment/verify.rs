//! Checking all that a segment says against all else that it says.
//!
//! Checksums say that the bytes are those that were written. Whether what was written
//! makes sense, that tokens ascend and that every index leads to the records that it
//! should, is seen only by going through all of it, block by block, on all cores.

use std::ops::{ControlFlow, Range};

use rayon::prelude::*;

use super::reader::Segment;
use crate::error::{Damage, Error, Result};
use crate::format::PAGE_LEN;
use crate::format::kinds::{Kind, KindCounts};
use crate::format::layout::{
    BLOCK_LEN, BLOCK_RECORDS, DIRECTORY_LINE_LEN, FENCE_LEN, FENCE_RECORDS, KINDS_LINE_LEN,
    KINDS_PER_LINE, SectionId,
};
use crate::format::segment::Header;
use crate::search::directory::Line;
use crate::token::{BlockTime, Record};

/// Of the damage in one segment, no more than this is listed.
const DAMAGES_MAX: usize = 1_000;

impl<B: AsRef<[u8]> + Sync> Segment<B> {
    /// Compares all chunks with their checksums, in parallel, and looks at what is between
    /// sections.
    pub(crate) fn check_all_chunks(&self) -> Result<()> {
        if let Some(damage) = self.verify_gaps().into_iter().next() {
            return Err(damage.into());
        }
        (0..self.layout.checked_chunks())
            .into_par_iter()
            .try_for_each(|chunk| self.check_chunk(chunk))
    }

    /// Checks everything: all checksums, the order of the records, that every index
    /// agrees with them, and that nothing is written where nothing should be.
    ///
    /// `progress` is told, from any thread, how many bytes more were checked.
    ///
    /// Takes one pass over the file.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] if `progress` says to stop. Damage is no error here, but
    /// the result: what was found, the first thousand of it, by offset.
    pub fn verify(
        &self,
        progress: &(dyn Fn(u64) -> ControlFlow<()> + Sync),
    ) -> Result<Vec<Damage>> {
        let blocks = self.len().div_ceil(BLOCK_RECORDS);
        let bytes_per_block = self.file_len() / blocks as u64;
        let mut damages = self.verify_gaps();
        damages.extend(self.verify_directory_lines());
        damages.extend(self.verify_header());
        let indexes = self.layout.section(SectionId::Directory).first_chunk;
        let indexes = (indexes..self.layout.checked_chunks()).into_par_iter();
        damages.par_extend(indexes.filter_map(|chunk| damage_of(self.check_chunk(chunk))));
        let found: Result<Vec<Vec<Damage>>> = (0..blocks)
            .into_par_iter()
            .map(|block| {
                let mut damages = self.verify_chunks(self.record_chunks(block));
                let postings = self.layout.section(SectionId::Postings).first_chunk + block;
                damages.extend(self.verify_chunks(postings..postings + 1));
                damages.extend(self.verify_block(block));
                match progress(bytes_per_block) {
                    ControlFlow::Continue(()) => Ok(damages),
                    ControlFlow::Break(()) => Err(Error::Interrupted),
                }
            })
            .collect();
        damages.extend(found?.into_iter().flatten());
        damages.sort_by_key(|damage| damage.offset);
        damages.dedup();
        damages.truncate(DAMAGES_MAX);
        Ok(damages)
    }

    /// Header and footer still say what they said when the file was opened.
    fn verify_header(&self) -> Option<Damage> {
        match Header::decode(self.bytes.as_ref(), &self.path) {
            Ok((header, _)) if header == self.header => None,
            Ok(_) => Some(Damage {
                path: self.path.clone(),
                part: "segment header",
                offset: 0,
                expected: "what it said when the file was opened".into(),
                found: "something else".into(),
            }),
            Err(error) => damage_of(Err(error)),
        }
    }

    /// The chunks of the records of a block: a whole number of them.
    fn record_chunks(&self, block: usize) -> Range<usize> {
        const BLOCK_CHUNKS: usize = BLOCK_RECORDS * Record::LEN / PAGE_LEN;
        const { assert!(BLOCK_CHUNKS * PAGE_LEN == BLOCK_RECORDS * Record::LEN) };
        let start = block * BLOCK_CHUNKS;
        start..self.layout.chunks(SectionId::Records).min(start + BLOCK_CHUNKS)
    }

    fn verify_chunks(&self, chunks: Range<usize>) -> Vec<Damage> {
        chunks.filter_map(|chunk| damage_of(self.check_chunk(chunk))).collect()
    }

    /// Bytes between sections are zero.
    fn verify_gaps(&self) -> Vec<Damage> {
        let mut damages = Vec::new();
        for id in SectionId::ALL {
            let section = self.layout.section(id);
            let end = section.offset + section.len;
            let gap = self.bytes.as_ref().get(end..end.next_multiple_of(PAGE_LEN)).unwrap_or(&[]);
            if let Some(at) = gap.iter().position(|&byte| byte != 0) {
                damages.extend(damage_of(Err(self.damage(
                    id,
                    section.len + at,
                    "zeros after the section",
                    "other bytes",
                ))));
            }
        }
        damages
    }

    /// The lines of the directory begin where the ones before end, from 0 to the number
    /// of records, and so do the buckets of each.
    fn verify_directory_lines(&self) -> Option<Damage> {
        let directory = self.section(SectionId::Directory);
        let mut position = 0;
        for index in 0..self.header.map.lines as usize {
            let line = Line::read(directory, index)?;
            let next = Line::read(directory, index + 1).map_or(self.len(), Line::start);
            if line.start() != position
                || !(position..=self.len()).contains(&next)
                || !line.is_ascending(next - position)
            {
                let at = index * DIRECTORY_LINE_LEN;
                let expected = format!("buckets of the records from {position} on, ascending");
                return damage_of(Err(self.damage(SectionId::Directory, at, &expected, "others")));
            }
            position = next;
        }
        None
    }

    /// The records of one block, and all that the indexes say of them.
    fn verify_block(&self, block: usize) -> Vec<Damage> {
        let start = block * BLOCK_RECORDS;
        let end = self.len().min(start + BLOCK_RECORDS);
        let Ok(records) = self.records(start..end) else {
            // Found by its checksum already, and no use to compare anything with.
            return Vec::new();
        };
        let found = [
            self.verify_order(start, records),
            self.verify_buckets(start, records),
            self.verify_fences(start, records),
            self.verify_postings(block, records),
            self.verify_kinds(start, records),
        ];
        found.into_iter().filter_map(damage_of).collect()
    }

    fn verify_order(&self, start: usize, records: &[Record]) -> Result<()> {
        let wrong = |index: usize, expected: &str| {
            let token = &records[index].token;
            self.damage(SectionId::Records, (start + index) * Record::LEN, expected, token)
        };
        if start == 0 && records.first().is_some_and(|first| first.token != *self.min()) {
            return Err(wrong(0, "the smallest token of the header"));
        }
        if start + records.len() == self.len()
            && records.last().is_some_and(|last| last.token != *self.max())
        {
            return Err(wrong(records.len() - 1, "the largest token of the header"));
        }
        // The first record is compared with the last one of the block before.
        let before = match start.checked_sub(1) {
            Some(before) => self.records(before..start)?.first(),
            None => None,
        };
        if let (Some(before), Some(first)) = (before, records.first())
            && before.token >= first.token
        {
            return Err(wrong(0, "tokens in ascending order"));
        }
        match records.windows(2).position(|pair| pair[0].token >= pair[1].token) {
            Some(index) => Err(wrong(index + 1, "tokens in ascending order")),
            None => Ok(()),
        }
    }

    /// Every record is where the directory says that it can be.
    fn verify_buckets(&self, start: usize, records: &[Record]) -> Result<()> {
        for (position, record) in (start..).zip(records) {
            let place = self.header.map.place(&record.token);
            let (from, to) = self.bucket_range(place)?;
            let at = place.line * DIRECTORY_LINE_LEN;
            if !(from..to).contains(&position) {
                let expected = format!("a bucket with record {position}");
                let found = format!("records {from} to {to}");
                return Err(self.damage(SectionId::Directory, at, &expected, found));
            }
            if to - from > FENCE_RECORDS && !self.header.has_fences {
                return Err(self.damage(
                    SectionId::Directory,
                    at,
                    "fence keys for a full bucket",
                    "none",
                ));
            }
        }
        Ok(())
    }

    fn verify_fences(&self, start: usize, records: &[Record]) -> Result<()> {
        if !self.header.has_fences {
            return Ok(());
        }
        let fences = self.section(SectionId::Fences).as_chunks::<FENCE_LEN>().0;
        for (index, record) in (start / FENCE_RECORDS..).zip(records.iter().step_by(FENCE_RECORDS))
        {
            if fences.get(index) != Some(record.token.as_bytes()) {
                return Err(self.damage(
                    SectionId::Fences,
                    index * FENCE_LEN,
                    "the token of a record",
                    "another",
                ));
            }
        }
        Ok(())
    }

    /// Every record stands once, in ascending order, in the list of its suffix.
    fn verify_postings(&self, block: usize, records: &[Record]) -> Result<()> {
        let wrong = |found: String| {
            self.damage(
                SectionId::Postings,
                block * BLOCK_LEN,
                "every record once, under its suffix",
                found,
            )
        };
        let postings = self.postings_unchecked(block).ok_or_else(|| wrong("no block".into()))?;
        let mut listed = 0;
        let mut last = (0, None);
        for (suffix, position) in postings.all() {
            if records.get(position).is_none_or(|record| record.token.suffix() != suffix) {
                return Err(wrong(format!("record {position} under suffix {suffix}")));
            }
            if last >= (suffix, Some(position)) {
                return Err(wrong(format!("record {position} out of order under suffix {suffix}")));
            }
            last = (suffix, Some(position));
            listed += 1;
        }
        if listed != records.len() {
            return Err(wrong(format!("{listed} of {} records", records.len())));
        }
        Ok(())
    }

    /// Counts of kinds add up, and tombstones have no value.
    fn verify_kinds(&self, start: usize, records: &[Record]) -> Result<()> {
        if !self.header.has_kinds {
            return Ok(());
        }
        // A block need not begin with a line; the lines that begin in it are checked.
        let lines =
            start.div_ceil(KINDS_PER_LINE)..(start + records.len()).div_ceil(KINDS_PER_LINE);
        for index in lines {
            let wrong = |expected: &str, found: String| {
                self.damage(SectionId::Kinds, index * KINDS_LINE_LEN, expected, found)
            };
            let line = self.kinds_line(index)?;
            let first = index * KINDS_PER_LINE;
            let last = self.len().min(first + KINDS_PER_LINE);
            let mut counts = line.before;
            for (position, record) in (first..last).zip(self.records(first..last)?) {
                let kind = self.kind(position)?;
                counts.add(kind);
                if kind == Kind::Tombstone && record.value() != BlockTime::default() {
                    return Err(wrong(
                        "tombstones without a value",
                        format!("a value at record {position}"),
                    ));
                }
            }
            if (last - first..KINDS_PER_LINE).any(|place| line.kind(place) != Some(Kind::Fresh)) {
                return Err(wrong("nothing after the last record", "kinds".into()));
            }
            if index == 0 && line.before != KindCounts::default() {
                return Err(wrong("counts that begin with 0", format!("{:?}", line.before)));
            }
            let expected = if last == self.len() {
                let stale = self.header.updates.wrapping_add(self.header.tombstones);
                KindCounts { stale, tombstones: self.header.tombstones }
            } else {
                self.kinds_line(index + 1)?.before
            };
            if counts != expected {
                return Err(wrong(&format!("counts {expected:?}"), format!("{counts:?}")));
            }
        }
        Ok(())
    }
}

/// What is damage of a result. Nothing else can go wrong with bytes in memory.
fn damage_of(result: Result<()>) -> Option<Damage> {
    match result {
        Err(Error::Damaged(damage)) => Some(*damage),
        _ => None,
    }
}
