//! The tokens that engines are filled with, and those they are asked for.

use ringstore::testing::keys::{KeyFamily, with_values};
use ringstore::testing::random::Random;
use ringstore::{Record, TokenId};

/// Different questions, at most. More of them than caches hold.
const QUERIES_MAX: usize = 1 << 20;

/// So many records of the family, or as many as there are, ascending.
pub(crate) fn records(family: KeyFamily, count: usize) -> Vec<Record> {
    with_values(family.generate(count, 1), 1).map(Record::from).collect()
}

/// Brings records into no order, the same one each time.
pub(crate) fn shuffle(records: &mut [Record]) {
    let mut random = Random::new("shuffle", 1);
    for last in (1..records.len()).rev() {
        records.swap(last, random.below(last as u64 + 1) as usize);
    }
}

/// What all engines are asked for, in turns.
pub(crate) struct Queries {
    /// Tokens that are there.
    hits: Vec<TokenId>,
    /// Tokens that are not: one that may lie anywhere, then one that differs from a token
    /// that is there in a single byte of the last half, and so on. Whatever the tokens
    /// have in common, every other miss has it too.
    misses: Vec<TokenId>,
}

impl Queries {
    /// Queries for ascending records, of which there must be some.
    pub(crate) fn new(records: &[Record]) -> Self {
        let count = records.len().clamp(1_000, QUERIES_MAX);
        let mut random = Random::new("queries", 1);
        let hits = (0..count).map(|_| random.pick(records).token).collect();
        let mut misses = Vec::with_capacity(count);
        while misses.len() < count {
            let mut token = random.token();
            if misses.len() % 2 == 1 {
                token = random.pick(records).token;
                token.0[16 + random.below(16) as usize] ^= 1 + random.below(255) as u8;
            }
            if find(records, &token).is_err() {
                misses.push(token);
            }
        }
        Self { hits, misses }
    }

    /// How many different ones there are, of each kind.
    pub(crate) fn len(&self) -> usize {
        self.hits.len()
    }

    /// The token for this operation; after the last one comes the first again.
    #[inline]
    pub(crate) fn hit(&self, operation: usize) -> &TokenId {
        &self.hits[operation % self.hits.len()]
    }

    /// The same of tokens that are not there.
    #[inline]
    pub(crate) fn miss(&self, operation: usize) -> &TokenId {
        &self.misses[operation % self.misses.len()]
    }
}

/// Where the token is in ascending records, or would be.
pub(crate) fn find(records: &[Record], token: &TokenId) -> Result<usize, usize> {
    records.binary_search_by_key(token, |record| record.token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_are_there_and_misses_are_not() {
        for family in KeyFamily::ALL {
            for count in [1, 300, 2_000] {
                let records = records(family, count);
                let queries = Queries::new(&records);
                assert_eq!(queries.len(), count.clamp(1_000, 2_000).min(records.len().max(1_000)));
                for operation in 0..2 * queries.len() {
                    assert!(find(&records, queries.hit(operation)).is_ok(), "{family:?}");
                    assert!(find(&records, queries.miss(operation)).is_err(), "{family:?}");
                }
            }
        }
    }

    #[test]
    fn shuffled_records_are_the_same_in_no_order() {
        let sorted = records(KeyFamily::Uniform, 1_000);
        let mut shuffled = sorted.clone();
        shuffle(&mut shuffled);
        let in_place = sorted.iter().zip(&shuffled).filter(|(a, b)| a == b).count();
        assert!(in_place < 20, "{in_place}");
        shuffled.sort_unstable_by_key(|record| record.token);
        assert!(shuffled == sorted);
    }
}
