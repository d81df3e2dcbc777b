//! Whether all engines give the right answers, before any is timed, and whether what was
//! committed to them is there.
//!
//! Lookups and ranges are compared with the records that the engines were filled with,
//! walks and signatures with what a walk through the ranges of the first engine meets, and
//! each signature with the challenge that it answers. After commits, in which one engine gets further than
//! another, every token of each of them is looked up, and all tokens are counted.

use std::fmt::Debug;

use ringstore::{
    BlockTime, CHUNKS, Record, Result, Signed, TokenId, TokenStorageBackend, Walk, chunks,
};

use crate::commits::{COMMIT_TOKENS, Commits};
use crate::data::{Queries, find};
use crate::exit::Failure;
use crate::load::Loaded;
use crate::reads::{PEER, RANGE_RECORDS};
use crate::walking::Walking;

const LOOKUPS_MAX: usize = 100_000;
const RANGES_MAX: usize = 200;
const SIGNATURES_MAX: usize = 200;

/// Tokens that are passed in walks, after which no other walk is begun: where a suffix
/// is missing each of them goes round the whole ring.
const STEPS_MAX: u64 = 10_000_000;

/// Compares a sample of the answers of all databases, which were filled with these
/// records, given ascending.
pub(crate) fn compare(
    databases: &[Loaded],
    records: &[Record],
    queries: &Queries,
) -> Result<(), Failure> {
    for loaded in databases {
        let (name, database) = (loaded.engine.name(), &loaded.database);
        expect(name, "len", &database.len()?, &(records.len() as u64))?;
        let lookup = |token: &TokenId| database.lookup(token);
        for operation in 0..queries.len().min(LOOKUPS_MAX) {
            for token in [queries.hit(operation), queries.miss(operation)] {
                let right = find(records, token).ok().map(|at| records[at].value());
                expect(name, format_args!("lookup of {token}"), &lookup(token)?, &right)?;
            }
        }
        for operation in 0..queries.len().min(RANGES_MAX) {
            for token in [queries.hit(operation), queries.miss(operation)] {
                let (below, above) = around(records, token);
                let up = database.range_after(token)?.take(RANGE_RECORDS);
                let up = up.collect::<Result<Vec<_>>>()?;
                let right: Vec<_> = above.iter().take(RANGE_RECORDS).map(pair).collect();
                expect(name, format_args!("range above {token}"), &up, &right)?;
                let down = database.range_before(token)?.take(RANGE_RECORDS);
                let down = down.collect::<Result<Vec<_>>>()?;
                let right: Vec<_> = below.iter().rev().take(RANGE_RECORDS).map(pair).collect();
                expect(name, format_args!("range below {token}"), &down, &right)?;
            }
        }
    }
    compare_walks(databases, records, queries)
}

fn compare_walks(
    databases: &[Loaded],
    records: &[Record],
    queries: &Queries,
) -> Result<(), Failure> {
    let Some(first) = databases.first() else {
        return Ok(());
    };
    let mut steps = 0;
    for operation in 0..queries.len().min(SIGNATURES_MAX) {
        if steps > STEPS_MAX {
            break;
        }
        let token = queries.hit(operation);
        let block = find(records, token).ok().map(|at| records[at].block).unwrap_or_default();
        let challenge = chunks(&PEER, token, &block);
        // Token by token, whatever the engine does instead.
        let walking = Walking(&first.database);
        let walk = walking.search_signature(token, &challenge)?;
        let signed = walking.sign(token, &PEER)?;
        steps += walk.steps;
        let name = first.engine.name();
        expect(
            name,
            format_args!("whether {token} is signed for"),
            &signed.is_some(),
            &(walk.complete && walk.matches.len() == CHUNKS),
        )?;
        if let Some(signed) = &signed {
            let checked = signed.signature.check(&PEER);
            expect(name, format_args!("signature for {token}"), &checked, &Ok(()))?;
        }
        for loaded in databases {
            let (name, counts_steps) = (loaded.engine.name(), loaded.engine.counts_steps());
            let steps = |steps, matches: usize| if counts_steps { steps } else { matches as u64 };
            let right = Walk { steps: steps(walk.steps, walk.matches.len()), ..walk.clone() };
            let its_walk = loaded.database.search_signature(token, &challenge)?;
            expect(name, format_args!("walk from {token}"), &its_walk, &right)?;
            let right =
                signed.map(|signed| Signed { steps: steps(signed.steps, CHUNKS), ..signed });
            let its_signed = loaded.database.sign(token, &PEER)?;
            expect(name, format_args!("signature for {token}"), &its_signed, &right)?;
        }
    }
    Ok(())
}

/// Looks up everything that the first so many commits brought to a database, which had so
/// many tokens before them, and no other commits.
pub(crate) fn compare_commits(
    engine: &str,
    database: &dyn TokenStorageBackend,
    tokens: u64,
    commits: usize,
) -> Result<(), Failure> {
    for record in Commits::new().take(commits).flatten() {
        let token = &record.token;
        let right = Some(record.value());
        let found = database.lookup(token)?;
        expect(engine, format_args!("lookup of {token}, committed"), &found, &right)?;
    }
    let right = tokens + (commits * COMMIT_TOKENS) as u64;
    expect(engine, "len after commits", &database.len()?, &right)
}

/// The records below and those above a token.
fn around<'a>(records: &'a [Record], token: &TokenId) -> (&'a [Record], &'a [Record]) {
    match find(records, token) {
        Ok(at) => (&records[..at], &records[at + 1..]),
        Err(at) => records.split_at(at),
    }
}

fn pair(record: &Record) -> (TokenId, BlockTime) {
    (*record).into()
}

fn expect<A: PartialEq + Debug>(
    engine: &str,
    what: impl std::fmt::Display,
    found: &A,
    right: &A,
) -> Result<(), Failure> {
    if found == right {
        return Ok(());
    }
    let told = |answer: &A| format!("{answer:?}").chars().take(300).collect::<String>();
    let (found, right) = (told(found), told(right));
    Err(Failure::Differ(format!("{engine}: {what}: expected {right}, found {found}")))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ringstore::testing::keys::KeyFamily;
    use ringstore::{Chunks, MemTokens, RangeIter, TokenStorageBackend};

    use super::*;
    use crate::data;
    use crate::engines::mem::Mem;
    use crate::engines::{self, Database, Engine, Order};
    use crate::exit::Exit;
    use crate::load::Loads;

    /// Keeps other records than it was given.
    struct Forger(fn(&mut Vec<Record>));

    impl Engine for Forger {
        fn name(&self) -> &'static str {
            "forger"
        }

        fn load(&self, path: &Path, records: &[Record], order: Order) -> Result<Box<dyn Database>> {
            let mut records = records.to_vec();
            (self.0)(&mut records);
            Mem.load(path, &records, order)
        }
    }

    /// Miscounts what it passes.
    struct Miscounter;

    impl Engine for Miscounter {
        fn name(&self) -> &'static str {
            "miscounter"
        }

        fn load(&self, _: &Path, records: &[Record], _: Order) -> Result<Box<dyn Database>> {
            Ok(Box::new(Miscounted(records.iter().map(pair).collect())))
        }
    }

    struct Miscounted(MemTokens);

    impl Database for Miscounted {}

    impl TokenStorageBackend for Miscounted {
        fn lookup(&self, token: &TokenId) -> Result<Option<BlockTime>> {
            self.0.lookup(token)
        }

        fn set(&mut self, token: &TokenId, value: BlockTime) -> Result<bool> {
            self.0.set(token, value)
        }

        fn range_after(&self, start: &TokenId) -> Result<RangeIter<'_>> {
            self.0.range_after(start)
        }

        fn range_before(&self, end: &TokenId) -> Result<RangeIter<'_>> {
            self.0.range_before(end)
        }

        fn len(&self) -> Result<u64> {
            self.0.len()
        }

        fn search_signature(
            &self,
            token: &TokenId,
            chunks: &Chunks,
        ) -> Result<Walk<(TokenId, BlockTime)>> {
            let walk = self.0.search_signature(token, chunks)?;
            Ok(Walk { steps: walk.steps + 1, ..walk })
        }
    }

    /// What is said of these engines.
    fn verdict(engines: &[&'static dyn Engine]) -> Result<(), String> {
        let directory = tempfile::tempdir().unwrap();
        let records = data::records(KeyFamily::Uniform, 5_000);
        let queries = Queries::new(&records);
        let order = Order::Sorted;
        let loads = Loads { engines, directory: directory.path(), records: &records, order };
        compare(&loads.once().unwrap(), &records, &queries).map_err(|failure| {
            assert_eq!(failure.exit(), Exit::Differ, "{failure}");
            failure.to_string()
        })
    }

    #[test]
    fn right_answers_are_accepted() {
        assert_eq!(verdict(engines::ALL), Ok(()));
        assert_eq!(verdict(&[]), Ok(()));
    }

    #[test]
    fn wrong_answers_are_told_with_engine_and_question() {
        let told = |engines| verdict(engines).unwrap_err();
        let lost = told(&[&Mem, &Forger(|records| records.truncate(4_999))]);
        assert!(lost.contains("forger: len: expected 5000, found 4999"), "{lost}");
        let altered = told(&[&Forger(|records| {
            for record in records {
                *record = Record::new(record.token, BlockTime::default());
            }
        })]);
        assert!(altered.contains("forger: lookup of "), "{altered}");
        let miscounted = told(&[&Mem, &Miscounter]);
        assert!(miscounted.contains("miscounter: walk from "), "{miscounted}");
    }
}
