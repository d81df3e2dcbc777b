//! The tokens that engines are filled with, and those they are asked for.

use ringstore::testing::keys::{KeyFamily, with_values};
use ringstore::testing::random::Random;
use ringstore::{Record, TokenId};

/// Different questions, at most. More of them than caches hold.
const QUERIES_MAX: usize = 1 << 20;

/// Tokens that are asked for in one call, where it is for many.
pub(crate) const BATCH: usize = 256;

/// So many records of the family, or as many as there are, ascending.
pub(crate) fn records(family: KeyFamily, count: usize) -> Vec<Record> {
    with_values(family.generate(count, 1), 1).map(Record::from).collect()
}

/// All tokens that there are, of which a node stores some.
pub(crate) struct Universe {
    /// Ascending, with values.
    pub(crate) stored: Vec<Record>,
    /// Some of the others.
    absent: Vec<TokenId>,
}

impl Universe {
    /// So many tokens of the family, or as many as there are, each of them stored with this
    /// probability; one at least.
    pub(crate) fn new(family: KeyFamily, count: usize, density: f64) -> Self {
        let mut stored = records(family, count);
        let mut absent = Vec::new();
        if density < 1.0 {
            let mut random = Random::new("density", 1);
            // Of 2^53, for that is what such a number tells apart.
            let bound = (density * (1u64 << 53) as f64) as u64;
            let first = stored[0];
            stored.retain(|record| {
                let is_stored = random.below(1 << 53) < bound;
                if !is_stored && absent.len() < QUERIES_MAX {
                    absent.push(record.token);
                }
                is_stored
            });
            if stored.is_empty() {
                absent.retain(|token| *token != first.token);
                stored.push(first);
            }
            stored.shrink_to_fit();
        }
        Self { stored, absent }
    }
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
    /// Tokens that are not: one that may lie anywhere, or of those there are and that are
    /// not stored, then one that differs from a token that is there in a single byte of the
    /// last half, and so on. Whatever the tokens have in common, every other miss has it too.
    misses: Vec<TokenId>,
}

impl Queries {
    pub(crate) fn new(universe: &Universe) -> Self {
        let Universe { stored: records, absent } = universe;
        let count = records.len().clamp(1_000, QUERIES_MAX).next_multiple_of(BATCH);
        let mut random = Random::new("queries", 1);
        let hits = (0..count).map(|_| random.pick(records).token).collect();
        let mut misses = Vec::with_capacity(count);
        while misses.len() < count {
            let mut token = if absent.is_empty() { random.token() } else { *random.pick(absent) };
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

    /// The tokens for [`BATCH`] operations, of which the first is given.
    #[inline]
    pub(crate) fn batch(&self, operation: usize) -> &[TokenId] {
        let first = operation % self.hits.len() / BATCH * BATCH;
        &self.hits[first..first + BATCH]
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
                let universe = Universe::new(family, count, 1.0);
                let queries = Queries::new(&universe);
                let records = universe.stored;
                assert_eq!(queries.len(), records.len().max(1_000).next_multiple_of(BATCH));
                for operation in 0..2 * queries.len() {
                    assert!(find(&records, queries.hit(operation)).is_ok(), "{family:?}");
                    assert!(find(&records, queries.miss(operation)).is_err(), "{family:?}");
                }
            }
        }
    }

    #[test]
    fn a_density_is_the_share_of_tokens_that_are_stored() {
        let all = records(KeyFamily::Uniform, 20_000);
        for (density, least, most) in [(0.25, 4_700, 5_300), (0.99, 19_740, 19_860), (1e-12, 1, 1)]
        {
            let universe = Universe::new(KeyFamily::Uniform, 20_000, density);
            let (stored, absent) = (&universe.stored, &universe.absent);
            assert!((least..=most).contains(&stored.len()), "{density}: {}", stored.len());
            assert_eq!(stored.len() + absent.len(), all.len());
            assert!(stored.is_sorted_by(|a, b| a.token < b.token));
            assert!(stored.iter().all(|record| find(&all, &record.token).is_ok()));
            assert!(absent.iter().all(|token| find(stored, token).is_err()));
            let queries = Queries::new(&universe);
            for operation in 0..2 * queries.len() {
                assert!(find(stored, queries.hit(operation)).is_ok());
                assert!(find(stored, queries.miss(operation)).is_err());
            }
            // Every other miss is of a token that there is.
            assert!((0..100).all(|at| find(&all, queries.miss(2 * at)).is_ok()));
        }
    }

    #[test]
    fn a_batch_has_the_tokens_of_its_operations() {
        let queries = Queries::new(&Universe::new(KeyFamily::Uniform, 300, 1.0));
        assert_eq!(queries.len(), 1_024);
        for first in [0, BATCH, 2 * BATCH, 9 * BATCH] {
            let batch = queries.batch(first);
            assert_eq!(batch.len(), BATCH);
            for (at, token) in batch.iter().enumerate() {
                assert_eq!(token, queries.hit(first + at));
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
