//! The newest entries as readers see them: a small sorted array.
//!
//! One is made at each commit, so making it is little more than a copy. It is searched
//! without an index: a thousand keys of eight bytes, or suffixes of two, are a few
//! cache lines.

use std::ops::Range;

use super::suffixes;
use crate::challenge::Direction;
use crate::format::kinds::Kind;
use crate::search::simd::prefetch;
use crate::segment::find::Found;
use crate::token::{Record, TokenId};

/// Leading bytes of a token that a key can leave out at the most.
const SKIP_MAX: usize = TokenId::MIN.0.len() - size_of::<u64>();

/// Entries in ascending order of their tokens. Positions count them from 0.
#[derive(Debug, Default)]
pub(crate) struct Image {
    records: Vec<Record>,
    kinds: Vec<Kind>,
    suffixes: Vec<u16>,
    /// By how many tokens the entries before each, and, at the end, all of them, change
    /// the number of tokens of the layers below.
    tokens_before: Vec<i64>,
    /// Eight bytes of each token, as a number.
    keys: Vec<u64>,
    /// Leading bytes that all tokens share and that the keys leave out.
    skip: usize,
    /// The smallest and the largest token.
    min: TokenId,
    max: TokenId,
}

impl Image {
    /// An image of entries in ascending order of their tokens, no two with the same one.
    pub(crate) fn new(entries: impl Iterator<Item = (Record, Kind)>) -> Self {
        let (records, kinds): (Vec<Record>, Vec<Kind>) = entries.unzip();
        debug_assert!(records.is_sorted_by(|a, b| a.token < b.token));
        let mut sum = 0;
        let tokens_before = kinds.iter().map(|kind| {
            sum += match kind {
                Kind::Fresh => 1,
                Kind::Update => 0,
                Kind::Tombstone => -1,
            };
            sum
        });
        let tokens_before = std::iter::once(0).chain(tokens_before).collect();
        let min = records.first().map_or(TokenId::MAX, |record| record.token);
        let max = records.last().map_or(TokenId::MIN, |record| record.token);
        let same = min.0.iter().zip(&max.0).take_while(|(a, b)| a == b).count();
        let skip = same.min(SKIP_MAX);
        Self {
            suffixes: records.iter().map(|record| record.token.suffix()).collect(),
            keys: records.iter().map(|record| key(&record.token, skip)).collect(),
            records,
            kinds,
            tokens_before,
            skip,
            min,
            max,
        }
    }

    /// Number of entries.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Finds a token.
    pub(crate) fn find(&self, token: &TokenId) -> Found<'_> {
        if *token < self.min {
            return Found { position: 0, record: None };
        }
        if *token > self.max {
            return Found { position: self.len(), record: None };
        }
        // It shares what the others share.
        let key = key(token, self.skip);
        let start = self.keys.partition_point(|other| *other < key);
        if self.keys.get(start) != Some(&key) {
            return Found { position: start, record: None };
        }
        let same = self.keys[start..].partition_point(|other| *other == key);
        let below =
            self.records[start..start + same].partition_point(|record| record.token < *token);
        let position = start + below;
        let record = self.records.get(position).filter(|record| record.token == *token);
        Found { position, record }
    }

    /// The record at a position; `None` beyond the end. That of a tombstone has no value.
    #[inline]
    pub(crate) fn record(&self, position: usize) -> Option<&Record> {
        self.records.get(position)
    }

    /// Brings the record at a position near.
    #[inline]
    pub(crate) fn prefetch_record(&self, position: usize) {
        prefetch(&self.records, position);
    }

    /// The records at a range of positions, cut to those that exist.
    #[inline]
    pub(crate) fn records(&self, positions: Range<usize>) -> &[Record] {
        let end = positions.end.min(self.len());
        &self.records[positions.start.min(end)..end]
    }

    /// What the entry at a position did to the layers below; fresh beyond the end.
    #[inline]
    pub(crate) fn kind(&self, position: usize) -> Kind {
        self.kinds.get(position).copied().unwrap_or(Kind::Fresh)
    }

    /// By how many tokens the first `position` entries change the number of tokens of
    /// the layers below.
    #[inline]
    pub(crate) fn tokens_before(&self, position: usize) -> i64 {
        self.tokens_before.get(position.min(self.len())).copied().unwrap_or(0)
    }

    /// The first position in a range, seen in a direction, whose token has this suffix.
    pub(crate) fn nearest_match(
        &self,
        positions: Range<usize>,
        direction: Direction,
        suffix: u16,
    ) -> Option<usize> {
        suffixes::nearest(&self.suffixes, &positions, direction, suffix)
    }
}

/// Eight bytes of a token as a number, so many of the leading ones left out.
#[inline]
fn key(token: &TokenId, skip: usize) -> u64 {
    let bytes = token.0.get(skip..).and_then(<[u8]>::first_chunk);
    bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::keys::{KeyFamily, with_values};
    use crate::testing::random::Random;

    fn kind_at(index: usize) -> Kind {
        [Kind::Fresh, Kind::Tombstone, Kind::Update, Kind::Fresh, Kind::Tombstone, Kind::Tombstone]
            [index * index % 6]
    }

    /// Every answer, by looking at all entries.
    fn check(family: KeyFamily, count: usize, others: &[TokenId]) {
        let records: Vec<_> = with_values(family.generate(count, 2), 3).map(Record::from).collect();
        let entries: Vec<_> = records.iter().copied().zip((0..).map(kind_at)).collect();
        let image = Image::new(entries.iter().copied());
        assert_eq!(image.len(), entries.len());
        let mut tokens = 0;
        for (position, (record, kind)) in entries.iter().enumerate() {
            assert_eq!(image.record(position), Some(record));
            assert_eq!(image.kind(position), *kind);
            assert_eq!(image.tokens_before(position), tokens);
            let found = image.find(&record.token);
            assert_eq!(found, Found { position, record: Some(record) }, "{family:?}");
            tokens += match kind {
                Kind::Fresh => 1,
                Kind::Update => 0,
                Kind::Tombstone => -1,
            };
        }
        for beyond in [count, count + 1, usize::MAX] {
            assert_eq!(image.record(beyond.max(image.len())), None);
            assert_eq!(image.tokens_before(beyond.max(image.len())), tokens);
        }
        for token in others {
            let position = entries.iter().filter(|(record, _)| record.token < *token).count();
            let record = records.get(position).filter(|record| record.token == *token);
            assert_eq!(image.find(token), Found { position, record }, "{family:?} {token}");
        }
        let mut random = Random::new("ranges", count as u64);
        for _ in 0..50 {
            let mut end = || random.below(entries.len() as u64 + 2) as usize;
            let (a, b) = (end(), end());
            let range = a.min(b)..a.max(b);
            let inside = || {
                let all = records.iter().enumerate();
                all.filter(|(position, _)| range.contains(position))
            };
            assert!(image.records(range.clone()).iter().eq(inside().map(|(_, record)| record)));
            let suffix = match records.get(random.below(count as u64 + 1) as usize) {
                Some(record) => record.token.suffix(),
                None => random.below(1_030) as u16,
            };
            let mut met = inside().filter(|(_, record)| record.token.suffix() == suffix);
            let first = met.clone().next().map(|(position, _)| position);
            let last = met.next_back().map(|(position, _)| position);
            let nearest = |way| image.nearest_match(range.clone(), way, suffix);
            assert_eq!(nearest(Direction::Up), first, "{family:?} {range:?} {suffix}");
            assert_eq!(nearest(Direction::Down), last, "{family:?} {range:?} {suffix}");
        }
    }

    #[test]
    fn all_key_families_are_found_counted_and_met() {
        let mut others = vec![TokenId::MIN, TokenId::MAX];
        for family in KeyFamily::ALL {
            others.extend(family.generate(60, 2));
            others.extend(family.generate(5, 9));
        }
        for family in KeyFamily::ALL {
            for count in [0, 1, 2, 31, 32, 33, 200] {
                check(family, count, &others);
            }
        }
    }
}
