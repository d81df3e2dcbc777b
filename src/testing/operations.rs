//! Random operations one after another, against the oracle.
//!
//! Tokens come from a small pool, so that operations meet, and the pool from every
//! key family, so that what meets is as unlike as can be. What fails is made smaller
//! and shown as the operations that led to it. Every run tries the same cases.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use proptest::collection::{btree_map, vec};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::backend::TokenStorageBackend;
use crate::challenge::{CHUNKS, Chunks};
use crate::testing::answers::{self, Make, Outcome, build};
use crate::testing::keys::{KeyFamily, with_values};
use crate::testing::oracle::Oracle;
use crate::testing::reads::{above, below};
use crate::token::{BlockId, BlockTime, PeerId, SUFFIXES, TokenId};

/// Tries so many cases. Those for a backend that cannot write only read.
pub(super) fn check(make: &mut Make<'_>, cases: u32, writes: bool) -> Outcome {
    let make = RefCell::new(make);
    runner(cases)
        .run(&case(writes), |case| case.run(&mut **make.borrow_mut()).map_err(TestCaseError::fail))
        .map_err(|error| match error {
            TestError::Fail(differs, case) => format!("{differs}\n{case}"),
            TestError::Abort(reason) => reason.to_string(),
        })
}

/// The same cases in every run, and no file that remembers them.
fn runner(cases: u32) -> TestRunner {
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[derive(Clone, Debug)]
enum Operation {
    Set(TokenId, BlockTime),
    Lookup(TokenId),
    RangeAfter(TokenId),
    RangeBefore(TokenId),
    /// Both ranges of all these, so many items of each.
    RangesAtOnce(Vec<TokenId>, usize),
    SearchSignature(TokenId, Chunks),
    Sign(TokenId, PeerId),
}

/// What a backend is built of, and what is done with it then.
#[derive(Clone)]
struct Case {
    records: BTreeMap<TokenId, BlockTime>,
    /// Whether [`every_suffix`] is there too, which it takes to find signatures.
    every_suffix: bool,
    operations: Vec<Operation>,
}

impl Case {
    /// What the backend is built of.
    fn oracle(&self) -> Oracle {
        let mut oracle = Oracle { tokens: self.records.clone() };
        if self.every_suffix {
            for (token, value) in every_suffix() {
                oracle.tokens.entry(token).or_insert(value);
            }
        }
        oracle
    }

    fn run(&self, make: &mut Make<'_>) -> Outcome {
        let mut oracle = self.oracle();
        let records: Vec<_> = oracle.range(..).collect();
        let mut backend = build(make, &records)?;
        for (index, operation) in self.operations.iter().enumerate() {
            operation
                .run(&mut *backend, &mut oracle)
                .map_err(|differs| format!("{differs}\nin operation {index}"))?;
        }
        let last = |differs| format!("{differs}\nafter the last operation");
        answers::lookup(&*backend, &TokenId::MIN, oracle.get(&TokenId::MIN)).map_err(last)?;
        answers::range_after(&*backend, &TokenId::MIN, oracle.range_after(&TokenId::MIN))
            .map_err(last)
    }
}

impl Operation {
    fn run(&self, backend: &mut dyn TokenStorageBackend, oracle: &mut Oracle) -> Outcome {
        match self {
            Self::Set(token, value) => {
                answers::set(backend, token, *value, oracle.set(token, *value))?;
                answers::lookup(backend, token, oracle.get(token))?;
            }
            Self::Lookup(token) => answers::lookup(backend, token, oracle.get(token))?,
            Self::RangeAfter(start) => {
                answers::range_after(backend, start, oracle.range_after(start))?;
            }
            Self::RangeBefore(end) => {
                answers::range_before(backend, end, oracle.range_before(end))?;
            }
            Self::RangesAtOnce(tokens, items) => {
                answers::ranges_at_once(backend, oracle, tokens, *items)?;
            }
            Self::SearchSignature(origin, chunks) => {
                let expected = oracle.search_signature(origin, chunks);
                answers::walk(backend, origin, chunks, &expected)?;
            }
            Self::Sign(token, peer) => {
                answers::sign(backend, token, peer, oracle.sign(token, peer).as_ref())?;
            }
        }
        answers::len(backend, oracle.len())
    }
}

/// How to do it again.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "built of these {} records:", self.records.len())?;
        for (token, value) in &self.records {
            writeln!(f, "  {token}: {value:?}")?;
        }
        if self.every_suffix {
            writeln!(f, "  and {EVERY_SUFFIX} more, three of every suffix")?;
        }
        writeln!(f, "then:")?;
        for (index, operation) in self.operations.iter().enumerate() {
            writeln!(f, "  {index}: {operation:?}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const EVERY_SUFFIX: usize = 3 * SUFFIXES;

fn every_suffix() -> impl Iterator<Item = (TokenId, BlockTime)> {
    with_values(KeyFamily::Dense64.generate(EVERY_SUFFIX, 1), 1)
}

/// Some tokens of every family. Those of [`KeyFamily::Dense64`] are of
/// [`every_suffix`]; those of [`few_suffixes`] share theirs.
fn pool() -> Vec<TokenId> {
    let mut pool = few_suffixes();
    for family in KeyFamily::ALL {
        pool.extend(family.generate(6, 1));
    }
    pool.sort_unstable();
    pool.dedup();
    pool
}

/// Two suffixes that many tokens have, so that walks over few tokens are completed.
fn few_suffixes() -> Vec<TokenId> {
    [2, 3].map(|seed| KeyFamily::OneSuffix.generate(20, seed)).concat()
}

/// Made smaller in this order: what takes longest to try comes first.
fn case(writes: bool) -> impl Strategy<Value = Case> {
    let every_suffix = proptest::bool::weighted(0.2);
    let operations = vec(operation(writes), 1..40);
    let records = btree_map(select(pool()), value(), 0..80);
    (every_suffix, operations, records).prop_map(|(every_suffix, operations, records)| Case {
        records,
        every_suffix,
        operations,
    })
}

fn operation(writes: bool) -> impl Strategy<Value = Operation> {
    prop_oneof![
        if writes { 6 } else { 0 } => (token(), value()).prop_map(|(t, v)| Operation::Set(t, v)),
        2 => token().prop_map(Operation::Lookup),
        1 => token().prop_map(Operation::RangeAfter),
        1 => token().prop_map(Operation::RangeBefore),
        1 => (vec(token(), 1..4), 0..8_usize).prop_map(|(t, n)| Operation::RangesAtOnce(t, n)),
        3 => (token(), chunks()).prop_map(|(t, c)| Operation::SearchSignature(t, c)),
        2 => (token(), any::<[u8; 32]>().no_shrink()).prop_map(|(t, p)| Operation::Sign(t, PeerId(p))),
    ]
}

/// One of the pool, or beside one.
fn token() -> impl Strategy<Value = TokenId> {
    prop_oneof![
        8 => select(pool()),
        1 => select(pool()).prop_map(above),
        1 => select(pool()).prop_map(below),
    ]
}

/// Few times, so that equal ones come often, and the ends of time.
fn value() -> impl Strategy<Value = BlockTime> {
    let time = prop_oneof![6 => 0..4_u64, 1 => Just(u64::MAX - 1), 1 => Just(u64::MAX)];
    (0..4_u64, time).prop_map(|(block, time)| BlockTime::new(BlockId::from(block), time))
}

/// Chunks that many tokens have, that some have, any number, and what is no suffix.
fn chunks() -> impl Strategy<Value = Chunks> {
    let suffix = |tokens| select(tokens).prop_map(|token: TokenId| token.suffix());
    let chunks = |few: u32, any: u32, never: u32| {
        proptest::array::uniform10(prop_oneof![
            few => suffix(few_suffixes()),
            any => suffix(pool()),
            any => 0..SUFFIXES as u16,
            never => SUFFIXES as u16..=u16::MAX,
        ])
    };
    let one = suffix(few_suffixes()).prop_map(|suffix| [suffix; CHUNKS]);
    prop_oneof![one, chunks(1, 0, 0), chunks(8, 1, 0), chunks(1, 1, 0), chunks(16, 4, 1)]
}

#[cfg(test)]
mod tests {
    use proptest::strategy::ValueTree;

    use super::*;

    /// Cases that all have one answer would prove little.
    #[test]
    fn the_cases_lead_to_all_kinds_of_answers() {
        let (mut added, mut renewed, mut kept, mut kept_equal) = (0, 0, 0, 0);
        let (mut complete, mut incomplete, mut unwrapped) = (0, 0, 0);
        let (mut signed, mut refused) = (0, 0);
        let mut runner = runner(0);
        let strategy = case(true);
        for _ in 0..256 {
            let case = strategy.new_tree(&mut runner).unwrap().current();
            let mut oracle = case.oracle();
            for operation in &case.operations {
                match operation {
                    Operation::Set(token, value) => {
                        let found = oracle.get(token);
                        let written = oracle.set(token, *value);
                        added += u32::from(written && found.is_none());
                        renewed += u32::from(written && found.is_some());
                        kept += u32::from(!written);
                        kept_equal += u32::from(found.is_some_and(|found| {
                            found.time == value.time && found.block != value.block
                        }));
                    }
                    Operation::SearchSignature(origin, chunks) => {
                        let walk = oracle.search_signature(origin, chunks);
                        complete += u32::from(walk.complete);
                        incomplete += u32::from(!walk.complete);
                        unwrapped += u32::from(!walk.wrapped && walk.steps > 0);
                    }
                    Operation::Sign(token, peer) => {
                        let signature = oracle.sign(token, peer);
                        signed += u32::from(signature.is_some());
                        refused += u32::from(signature.is_none() && oracle.contains(token));
                    }
                    _ => {}
                }
            }
        }
        let counts = [added, renewed, kept, kept_equal, complete, incomplete, unwrapped];
        assert!(counts.iter().all(|&count| count >= 15), "{counts:?}");
        assert!(signed >= 15 && refused >= 15, "{signed} {refused}");
    }

    #[test]
    fn cases_for_a_backend_that_cannot_write_only_read() {
        let mut runner = runner(0);
        let strategy = case(false);
        for _ in 0..64 {
            let case = strategy.new_tree(&mut runner).unwrap().current();
            assert!(!case.operations.iter().any(|done| matches!(done, Operation::Set(..))));
        }
    }
}
