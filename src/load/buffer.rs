//! Records in memory, brought in order.
//!
//! What is sorted is not the records, but sixteen bytes for each: the eight bytes in which
//! tokens differ first, and where the record is. Tokens that are equal in those are
//! sorted among themselves by the next eight in which they differ, so that tokens with
//! long common prefixes cost a few rounds more, never one comparison of whole records
//! after the other.
//!
//! Where all is to be written at once these keys are only brought in groups at first, each of
//! the tokens of one range. The groups are sorted one after the other while the records of
//! those before are gathered and written.

use std::cmp::Reverse;
use std::ops::Range;

use rayon::prelude::*;

use crate::error::Result;
use crate::format::segment::shared_bits;
use crate::in_order::{Places, for_each_in_order};
use crate::search::directory::window;
use crate::token::{Record, TokenId};

/// Groups of no more keys are sorted by comparing whole tokens.
const SMALL: usize = 32;

/// Keys of a group, if tokens are spread evenly and there are not too many groups.
const GROUP_KEYS: usize = 1 << 12;

/// There are no more groups, so that a table of them takes little memory.
const GROUPS_MAX: usize = 1 << 12;

/// Records whose keys are brought in groups by themselves; or, if there are many more, so
/// many parts of them are.
const CHUNK_RECORDS: usize = 1 << 18;
const CHUNKS_MAX: usize = 64;

/// Keys that are sorted, in whole groups, while as many records are written.
const WAVE_KEYS: usize = 1 << 17;

/// Records that one thread gathers at a time.
const PIECE_RECORDS: usize = 1 << 13;

/// A part of a token, and where its record is: their order is that of the tokens, and
/// for equal parts that of the input.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    part: u64,
    index: u32,
}

/// Bytes that a record takes here.
pub(super) const BYTES_PER_RECORD: usize = Record::LEN + size_of::<Key>();

/// Records that were gathered.
pub(super) struct Piece(Vec<Record>);

impl Default for Piece {
    fn default() -> Self {
        Self(Vec::with_capacity(PIECE_RECORDS))
    }
}

/// Records in the order of the input.
#[derive(Default)]
pub(crate) struct Buffer {
    records: Vec<Record>,
    /// The order of the records; none if they are in order as they are, or in groups.
    keys: Vec<Key>,
    groups: Vec<Chunk>,
    ranges: Ranges,
    bounds: Option<(TokenId, TokenId)>,
}

/// Which tokens are in which group: ranges of equal length.
#[derive(Clone, Copy, Default)]
struct Ranges {
    skip_bits: u32,
    low: u64,
    /// Groups for each part of a token, in 2^-64.
    scale: u128,
}

impl Ranges {
    fn new(count: usize, min: &TokenId, max: &TokenId) -> Self {
        let skip_bits = shared_bits(min, max);
        let (low, high) = (window(min, skip_bits), window(max, skip_bits));
        Self { skip_bits, low, scale: ((count as u128) << 64) / (u128::from(high - low) + 1) }
    }

    /// The part of a token by which groups are made.
    fn part(self, token: &TokenId) -> u64 {
        window(token, self.skip_bits)
    }

    fn group_of(self, part: u64) -> usize {
        ((u128::from(part - self.low) * self.scale) >> 64) as usize
    }
}

/// The keys of a stretch of records, group by group, and where each group begins and ends.
struct Chunk {
    keys: Vec<Key>,
    ends: Vec<usize>,
}

impl Chunk {
    fn new(
        keys: impl Iterator<Item = Key> + Clone,
        count: usize,
        of: impl Fn(&Key) -> usize,
    ) -> Self {
        let mut ends = vec![0; count + 1];
        keys.clone().for_each(|key| ends[of(&key) + 1] += 1);
        for group in 0..count {
            ends[group + 1] += ends[group];
        }
        let mut next = ends.clone();
        let mut grouped = vec![Key { part: 0, index: 0 }; ends[count]];
        for key in keys {
            let next = &mut next[of(&key)];
            grouped[*next] = key;
            *next += 1;
        }
        Self { keys: grouped, ends }
    }

    fn group(&self, group: usize) -> &[Key] {
        &self.keys[self.ends[group]..self.ends[group + 1]]
    }
}

impl Buffer {
    pub(super) fn push(&mut self, record: Record) {
        self.records.push(record);
    }

    /// Puts another record in the place of the first one.
    pub(super) fn set_first(&mut self, record: Record) {
        if let Some(first) = self.records.first_mut() {
            *first = record;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Gives memory back that is beyond so many records.
    pub(super) fn shrink_to(&mut self, records: usize) {
        self.records.shrink_to(records);
        self.keys.shrink_to(records);
    }

    /// The smallest and the largest token, once they are in groups; `None` if there are no
    /// records.
    pub(super) fn bounds(&self) -> Option<(TokenId, TokenId)> {
        self.bounds
    }

    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.clear_order();
    }

    /// The memory that it has, to be used for something else.
    pub(super) fn into_memory(self) -> Vec<Record> {
        self.records
    }

    /// Brings the records in groups, or in order where most would be in few groups.
    pub(super) fn group(&mut self) {
        let records = self.records.as_slice();
        self.bounds = records.first().zip(records.last()).map(|ends| (ends.0.token, ends.1.token));
        if is_in_order(records) {
            self.clear_order();
            return;
        }
        let widest = |a: (TokenId, TokenId), b: (TokenId, TokenId)| (a.0.min(b.0), a.1.max(b.1));
        let chunk_len = CHUNK_RECORDS.max(records.len().div_ceil(CHUNKS_MAX));
        let bounds = records.par_chunks(chunk_len).filter_map(bounds_of).reduce_with(widest);
        let Some((min, max)) = bounds else { return };
        self.bounds = bounds;
        let count = (records.len() / GROUP_KEYS).clamp(1, GROUPS_MAX);
        let ranges = Ranges::new(count, &min, &max);
        self.ranges = ranges;
        let group_of = |key: &Key| ranges.group_of(key.part);
        let chunk = |(number, chunk): (usize, &[Record])| {
            let keys = (number * chunk_len..).zip(chunk).map(|(index, record)| {
                let part = ranges.part(&record.token);
                Key { part, index: index as u32 }
            });
            Chunk::new(keys, count, group_of)
        };
        self.keys.clear();
        self.groups = records.par_chunks(chunk_len).enumerate().map(chunk).collect();
        let len_of =
            |group| self.groups.iter().map(|chunk| chunk.group(group).len()).sum::<usize>();
        if (0..count).any(|group| len_of(group) > WAVE_KEYS) {
            self.sort();
        }
    }

    /// Brings the records in order. Of several with one token the newest is kept, and of
    /// several with the same time the first.
    pub(super) fn sort(&mut self) -> Sorted<'_> {
        self.clear_order();
        let records = self.records.as_slice();
        if !is_in_order(records) {
            let indexes = (0..records.len() as u32).into_par_iter();
            self.keys.par_extend(indexes.map(|index| Key { part: 0, index }));
            sort(&mut self.keys, records);
            keep_one_each(&mut self.keys, records);
        }
        self.sorted()
    }

    /// The record of a token, once they are in order or in groups: that which
    /// [`visit`](Self::visit) gives.
    ///
    /// Looks at all keys of a group, some thousand, and needs no other thread: commits may be
    /// waiting for this, made by all threads of a pool.
    pub(super) fn find(&self, token: &TokenId) -> Option<&Record> {
        if self.groups.is_empty() {
            return self.sorted().find(token);
        }
        self.bounds.filter(|(min, max)| min <= token && token <= max)?;
        let part = self.ranges.part(token);
        let group = self.ranges.group_of(part);
        let keys = self.groups.iter().flat_map(|chunk| chunk.group(group));
        let same =
            keys.filter(|key| key.part == part && record_of(&self.records, key).token == *token);
        let best =
            same.min_by_key(|key| (Reverse(record_of(&self.records, key).time()), key.index));
        best.map(|key| record_of(&self.records, key))
    }

    /// Gives the records in order, as [`sort`](Self::sort) brings them, some after the other,
    /// while the next ones are sorted and gathered.
    pub(super) fn visit(
        &self,
        mut visit: impl FnMut(&[Record]) -> Result<()> + Send,
    ) -> Result<()> {
        let mut places = Places::default();
        let Some(Chunk { ends, .. }) = self.groups.first() else {
            return self.sorted().for_each_piece(&mut places, &mut visit);
        };
        let mut groups = 0..ends.len() - 1;
        let (mut ready, mut next) = (Vec::new(), Vec::new());
        loop {
            let sorted = Sorted { records: &self.records, order: Some(&ready) };
            let ((), visited) = rayon::join(
                || self.sort_wave(&mut groups, &mut next),
                || sorted.for_each_piece(&mut places, &mut visit),
            );
            visited?;
            if next.is_empty() {
                return Ok(());
            }
            std::mem::swap(&mut ready, &mut next);
        }
    }

    /// Sorts the keys of the next few groups.
    fn sort_wave(&self, groups: &mut Range<usize>, keys: &mut Vec<Key>) {
        keys.clear();
        let mut lens = Vec::new();
        while keys.len() < WAVE_KEYS
            && let Some(group) = groups.next()
        {
            let start = keys.len();
            self.groups.iter().for_each(|chunk| keys.extend_from_slice(chunk.group(group)));
            lens.push(keys.len() - start);
        }
        let mut rest = keys.as_mut_slice();
        let mut slices = Vec::with_capacity(lens.len());
        for len in lens {
            let (group, after) = rest.split_at_mut(len);
            slices.push(group);
            rest = after;
        }
        slices.into_par_iter().for_each(|group| sort_by_parts(group, &self.records));
        keep_one_each(keys, &self.records);
    }

    fn clear_order(&mut self) {
        self.keys.clear();
        self.groups.clear();
    }

    /// The records as they were brought in order, if they are not in groups.
    pub(super) fn sorted(&self) -> Sorted<'_> {
        let order = (!self.keys.is_empty()).then_some(self.keys.as_slice());
        Sorted { records: &self.records, order }
    }
}

#[inline]
fn record_of<'a>(records: &'a [Record], key: &Key) -> &'a Record {
    &records[key.index as usize]
}

/// The smallest and the largest token.
fn bounds_of(records: &[Record]) -> Option<(TokenId, TokenId)> {
    let (first, rest) = records.split_first()?;
    let (mut min, mut max) = (&first.token, &first.token);
    for Record { token, .. } in rest {
        (min, max) = (min.min(token), max.max(token));
    }
    Some((*min, *max))
}

fn is_in_order(records: &[Record]) -> bool {
    records.is_sorted_by(|a, b| a.token < b.token)
}

/// Of the keys of one token, which are in order, only the first.
fn keep_one_each(keys: &mut Vec<Key>, records: &[Record]) {
    keys.dedup_by(|later, first| {
        later.part == first.part
            && record_of(records, later).token == record_of(records, first).token
    });
}

/// Sorts keys by their parts, and those with equal parts by token.
fn sort_by_parts(keys: &mut [Key], records: &[Record]) {
    let has_equal_part = |a: &Key, b: &Key| a.part == b.part;
    let sort_equal = |keys: &mut [Key]| {
        if keys.len() > 1 {
            sort(keys, records);
        }
    };
    if keys.len() <= 4 * GROUP_KEYS {
        keys.sort_unstable();
        keys.chunk_by_mut(has_equal_part).for_each(sort_equal);
    } else {
        keys.par_sort_unstable();
        keys.par_chunk_by_mut(has_equal_part).for_each(sort_equal);
    }
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
    sort_by_parts(keys, records);
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

    /// Gives the records in order, some at a time, and gathers the next ones meanwhile.
    pub(super) fn for_each_piece(
        self,
        places: &mut Places<Piece>,
        visit: &mut dyn FnMut(&[Record]) -> Result<()>,
    ) -> Result<()> {
        let Some(keys) = self.order else {
            return self.records.chunks(PIECE_RECORDS).try_for_each(visit);
        };
        let pieces: Vec<_> = keys.chunks(PIECE_RECORDS).collect();
        let gather = |keys: &&[Key], piece: &mut Piece| {
            piece.0.clear();
            piece.0.extend(keys.iter().map(|key| record_of(self.records, key)));
            Ok(())
        };
        for_each_in_order(&pieces, places, &gather, &mut |piece: &mut Piece| visit(&piece.0))
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier, mpsc};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::testing::random::Random;
    use crate::token::{BlockId, BlockTime};

    /// Commits wait while what was flushed in the meantime is decided anew, and all threads of
    /// the pool may be among those that commit.
    #[test]
    fn records_are_looked_for_without_threads_of_a_pool() {
        let mut random = Random::new("records", 1);
        let mut tokens: Vec<_> = (0..20_000).map(|_| random.token()).collect();
        // Some several times, with times that are equal now and then.
        tokens.extend_from_within(..5_000);
        tokens.extend_from_within(..1_000);
        let mut buffer = Buffer::default();
        for token in &tokens {
            let value = BlockTime::new(BlockId(random.bytes()), random.below(3));
            buffer.push(Record::new(*token, value));
        }
        tokens.extend((0..1_000).map(|_| random.token()).chain([TokenId::MIN, TokenId::MAX]));
        let sorted = buffer.sort();
        let expected: Vec<_> = tokens.iter().map(|token| sorted.find(token).copied()).collect();
        buffer.group();
        assert!(!buffer.groups.is_empty(), "they are in groups, and not sorted as yet");

        let gate = Arc::new(Barrier::new(rayon::current_num_threads() + 1));
        let other = Arc::clone(&gate);
        rayon::spawn_broadcast(move |_| {
            other.wait();
            other.wait();
        });
        // All of them wait by now.
        gate.wait();
        let (done, is_done) = mpsc::channel();
        thread::spawn(move || {
            let found: Vec<_> = tokens.iter().map(|token| buffer.find(token).copied()).collect();
            let _ = done.send(found);
        });
        let found = is_done.recv_timeout(Duration::from_secs(60));
        gate.wait();
        assert!(found.expect("it waits for threads that wait for it") == expected);
    }
}
