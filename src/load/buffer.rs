//! Records in memory, brought in order.
//!
//! What is sorted is not the records, but sixteen bytes for each: the eight bytes in which
//! tokens differ first, and where the record is. Tokens that are equal in those are
//! sorted among themselves by the next eight in which they differ, so that tokens with
//! long common prefixes cost a few rounds more, never one comparison of whole records
//! after the other.

use std::cmp::Reverse;

use rayon::prelude::*;

use super::batches::Batches;
use crate::error::Result;
use crate::format::layout::BLOCK_RECORDS;
use crate::format::segment::shared_bits;
use crate::search::directory::window;
use crate::token::{Record, TokenId};

/// Groups of no more keys are sorted by comparing whole tokens.
const SMALL: usize = 32;

/// Records that are gathered together.
const BATCH_RECORDS: usize = 2 * BLOCK_RECORDS;

/// A part of a token, and where its record is: their order is that of the tokens, and
/// for equal parts that of the input.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    part: u64,
    index: u32,
}

/// Bytes that a record takes here.
pub(super) const BYTES_PER_RECORD: usize = Record::LEN + size_of::<Key>();

/// Records in the order of the input.
#[derive(Default)]
pub(super) struct Buffer {
    records: Vec<Record>,
    keys: Vec<Key>,
}

impl Buffer {
    pub(super) fn push(&mut self, record: Record) {
        self.records.push(record);
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.keys.clear();
    }

    /// The memory that it has, to be used for something else.
    pub(super) fn into_memory(self) -> Vec<Record> {
        self.records
    }

    /// Brings the records in order. Of several with one token the newest is kept, and of
    /// several with the same time the first.
    pub(super) fn sort(&mut self) -> Sorted<'_> {
        let records = self.records.as_slice();
        self.keys.clear();
        if records.is_sorted_by(|a, b| a.token < b.token) {
            return self.sorted();
        }
        let indexes = (0..records.len() as u32).into_par_iter();
        self.keys.par_extend(indexes.map(|index| Key { part: 0, index }));
        sort(&mut self.keys, records);
        self.keys.dedup_by(|later, first| {
            later.part == first.part
                && record_of(records, later).token == record_of(records, first).token
        });
        self.sorted()
    }

    /// The records as they were brought in order.
    pub(super) fn sorted(&self) -> Sorted<'_> {
        let order = (!self.keys.is_empty()).then_some(self.keys.as_slice());
        Sorted { records: &self.records, order }
    }
}

#[inline]
fn record_of<'a>(records: &'a [Record], key: &Key) -> &'a Record {
    &records[key.index as usize]
}

/// Sorts keys by token, those of one token with the one to keep first.
fn sort(keys: &mut [Key], records: &[Record]) {
    if keys.len() <= SMALL {
        keys.sort_unstable_by_key(|key| {
            let record = record_of(records, key);
            (record.token, Reverse(record.time()), key.index)
        });
        return;
    }
    let tokens = || keys.par_iter().map(|key| record_of(records, key).token);
    let (Some(min), Some(max)) = (tokens().min(), tokens().max()) else { return };
    if min == max {
        // Only the one to keep has to be where it belongs.
        let rank = |(_, key): &(usize, &Key)| (Reverse(record_of(records, key).time()), key.index);
        if let Some((best, _)) = keys.par_iter().enumerate().min_by_key(rank) {
            keys.swap(0, best);
        }
        return;
    }
    let skip_bits = shared_bits(&min, &max);
    keys.par_iter_mut()
        .for_each(|key| key.part = window(&record_of(records, key).token, skip_bits));
    keys.par_sort_unstable();
    keys.par_chunk_by_mut(|a, b| a.part == b.part)
        .filter(|group| group.len() > 1)
        .for_each(|group| sort(group, records));
}

/// Records in the order of their tokens, each token once.
#[derive(Clone, Copy)]
pub(crate) struct Sorted<'a> {
    records: &'a [Record],
    /// Which record comes when; `None` if they are in order as they are.
    order: Option<&'a [Key]>,
}

impl<'a> Sorted<'a> {
    /// The record of a token.
    pub(super) fn find(self, token: &TokenId) -> Option<&'a Record> {
        let found = match self.order {
            None => self.records.binary_search_by_key(token, |record| record.token),
            Some(keys) => {
                let found =
                    keys.binary_search_by_key(token, |key| record_of(self.records, key).token);
                found.map(|found| keys[found].index as usize)
            }
        };
        self.records.get(found.ok()?)
    }

    pub(super) fn len(self) -> usize {
        self.order.map_or(self.records.len(), <[Key]>::len)
    }

    /// The smallest and the largest token; `None` if there are no records.
    pub(super) fn bounds(self) -> Option<(TokenId, TokenId)> {
        let ends = match self.order {
            None => (self.records.first()?, self.records.last()?),
            Some(keys) => {
                (record_of(self.records, keys.first()?), record_of(self.records, keys.last()?))
            }
        };
        Some((ends.0.token, ends.1.token))
    }

    /// Gives the records in order, a block at a time, and gathers the next ones meanwhile.
    pub(super) fn for_each_block(
        self,
        batches: &mut Batches,
        mut visit: impl FnMut(&[Record]) -> Result<()> + Send,
    ) -> Result<()> {
        let Some(keys) = self.order else {
            return self.records.chunks(BLOCK_RECORDS).try_for_each(visit);
        };
        let mut rest = keys;
        let gather = |batch: &mut Vec<Record>| {
            let (keys, after) = rest.split_at(rest.len().min(BATCH_RECORDS));
            rest = after;
            batch.par_extend(keys.par_iter().map(|key| *record_of(self.records, key)));
            Ok(())
        };
        batches.overlap(gather, |batch| batch.chunks(BLOCK_RECORDS).try_for_each(&mut visit))
    }

    /// The last record, and all before it.
    pub(super) fn split_last(self) -> Option<(Record, Self)> {
        match self.order {
            None => {
                let (last, records) = self.records.split_last()?;
                Some((*last, Self { records, order: None }))
            }
            Some(keys) => {
                let (last, keys) = keys.split_last()?;
                Some((*record_of(self.records, last), Self { order: Some(keys), ..self }))
            }
        }
    }
}
