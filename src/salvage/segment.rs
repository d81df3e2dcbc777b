//! The records of a segment whose chunks check out.
//!
//! They are read a stretch at a time: as many as share a chunk of kinds, which is a whole
//! number of their own chunks. A record that lies in two chunks needs both. Kinds are asked
//! only where a record has no value: any other was put, whatever it did to the layers below.

use std::ops::Range;
use std::path::Path;

use bytemuck::Zeroable;

use super::chunks::{read_chunk, read_chunks};
use super::file::DamagedFile;
use super::losses::Losses;
use super::report::{Loss, LossReason};
use super::shape::{Shape, shape_of};
use crate::error::Result;
use crate::format::PAGE_LEN;
use crate::format::kinds::{Kind, KindsLine};
use crate::format::layout::{KINDS_LINE_LEN, KINDS_PER_LINE, SectionId};
use crate::format::manifest::SegmentEntry;
use crate::token::{BlockTime, Record, TokenId};

/// Records of a stretch.
const STRETCH_RECORDS: usize = PAGE_LEN / KINDS_LINE_LEN * KINDS_PER_LINE;

const _: () = assert!((STRETCH_RECORDS * Record::LEN).is_multiple_of(PAGE_LEN));

/// An entry that was rescued.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) record: Record,
    /// Whether it removes its token.
    pub(super) is_tombstone: bool,
}

/// A segment being read.
pub(super) struct SegmentReader {
    file: DamagedFile,
    shape: Shape,
    /// Records before this one were read.
    position: usize,
    /// Those of the stretch that was read last.
    records: Vec<Record>,
    /// The last token that was in order.
    last: Option<TokenId>,
    losses: Losses,
}

impl SegmentReader {
    /// Begins to read a segment of which the manifest may know, or says why all of it is
    /// lost. `path` is for messages only.
    pub(super) fn open(
        file: DamagedFile,
        path: &Path,
        entry: Option<&SegmentEntry>,
        losses_of: impl FnOnce(TokenId, TokenId) -> Losses,
    ) -> Result<std::result::Result<Self, LossReason>> {
        Ok(shape_of(&file, path, entry)?.map(|shape| {
            let losses = losses_of(shape.min, shape.max);
            Self { file, shape, position: 0, records: Vec::new(), last: None, losses }
        }))
    }

    /// Whether the file says itself which segment it is.
    pub(super) fn is_identified(&self) -> bool {
        self.shape.is_identified
    }

    /// Whether all records were read.
    pub(super) fn is_over(&self) -> bool {
        self.position >= self.shape.records
    }

    /// Reads the next stretch and appends what is good of it; gives the number of bytes read.
    pub(super) fn read_stretch(&mut self, entries: &mut Vec<Entry>) -> u64 {
        let start = self.position;
        let count = STRETCH_RECORDS.min(self.shape.records.saturating_sub(start));
        let first_chunk = start * Record::LEN / PAGE_LEN;
        let (id, layout) = (SectionId::Records, &self.shape.layout);
        let mut records = std::mem::take(&mut self.records);
        records.resize(count, Record::zeroed());
        let bytes = bytemuck::cast_slice_mut(&mut records);
        let states = read_chunks(&self.file, layout, id, first_chunk, bytes);
        let lost = |index: usize| {
            let bytes = index * Record::LEN..(index + 1) * Record::LEN;
            let mut chunks = bytes.start / PAGE_LEN..=(bytes.end - 1) / PAGE_LEN;
            chunks.find_map(|chunk| Some((chunk, states.get(chunk).copied().flatten()?)))
        };
        let mut kinds = None;
        for (index, record) in records.iter().enumerate() {
            if let Some((chunk, reason)) = lost(index) {
                self.losses.push(self.bytes_of(id, first_chunk + chunk), reason);
                continue;
            }
            let next = records.get(index + 1).filter(|_| lost(index + 1).is_none());
            let token = record.token;
            if !self.is_in_order(&token, next) {
                let at = self.shape.layout.section(id).offset + (start + index) * Record::LEN;
                let bytes = at as u64..(at + Record::LEN) as u64;
                self.losses.push_token(token, id.name(), bytes, LossReason::Order);
                continue;
            }
            self.losses.pass(&token);
            self.last = Some(token);
            let may_remove = self.shape.tombstones > 0 && record.value() == BlockTime::default();
            let kind = if may_remove {
                let stretch = start / STRETCH_RECORDS;
                let read = || read_chunk(&self.file, &self.shape.layout, SectionId::Kinds, stretch);
                kind_at(kinds.get_or_insert_with(read), index)
            } else {
                // Whether it is new or not does not matter here.
                Ok(Kind::Fresh)
            };
            match kind {
                Ok(kind) => {
                    let is_tombstone = kind == Kind::Tombstone;
                    entries.push(Entry { record: *record, is_tombstone });
                }
                Err(reason) => {
                    let (id, chunk) = (SectionId::Kinds, start / STRETCH_RECORDS);
                    let bytes = self.bytes_of(id, chunk);
                    self.losses.push_token(token, id.name(), bytes, reason);
                }
            }
        }
        self.position += count.max(1);
        self.records = records;
        (count * Record::LEN) as u64
    }

    /// What was lost, once all records were read.
    pub(super) fn finish(mut self) -> Vec<Loss> {
        self.losses.finish()
    }

    /// Whether a token may come now: of two that are not in order, the one that fits the
    /// tokens before is taken.
    fn is_in_order(&self, token: &TokenId, next: Option<&Record>) -> bool {
        let is_after = |token: &TokenId| self.last.is_none_or(|last| last < *token);
        let is_peak = next.is_some_and(|next| next.token <= *token && is_after(&next.token));
        (self.shape.min..=self.shape.max).contains(token) && is_after(token) && !is_peak
    }

    /// The bytes of a chunk in the file.
    fn bytes_of(&self, id: SectionId, chunk: usize) -> Range<u64> {
        let section = self.shape.layout.section(id);
        let start = chunk * id.chunk_len();
        let end = section.len.min(start + id.chunk_len());
        (section.offset + start) as u64..(section.offset + end) as u64
    }
}

/// The kind of a record of a stretch, by its chunk of kinds.
fn kind_at(kinds: &Result<Vec<u8>, LossReason>, index: usize) -> Result<Kind, LossReason> {
    let lines = kinds.as_ref().map_err(|reason| *reason)?.as_chunks::<KINDS_LINE_LEN>().0;
    let line = lines.get(index / KINDS_PER_LINE).map(KindsLine::decode);
    line.and_then(|line| line.kind(index % KINDS_PER_LINE)).ok_or(LossReason::Kind)
}
