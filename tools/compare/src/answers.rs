//! Whether all engines give the right answers, before any is timed, and whether what was
//! committed to them is there.
//!
//! Lookups, ranges, walks and signatures are compared with what is found by looking at the
//! records, one by one, that the engines were filled with; each signature also with the
//! challenge that it answers. After commits, in which one engine gets further than another,
//! every token of each of them is looked up, and all tokens are counted.

use std::fmt::Debug;

use ringstore::{
    BlockTime, CHUNKS, Chunks, Error, RangeIter, Record, Result, Signed, TokenId,
    TokenStorageBackend, Walk, chunks,
};

use crate::data::{BATCH, Queries, find};
use crate::engines::Database;
use crate::exit::Failure;
use crate::load::Loaded;
use crate::reads::{PEER, RANGE_RECORDS};
use crate::talk;
use crate::turns::guarded;
use crate::writes::{COMMIT_TOKENS, Commits};

const LOOKUPS_MAX: usize = 100_000;
const RANGES_MAX: usize = 200;
const SIGNATURES_MAX: usize = 200;
const BATCH_SIGNATURES: usize = 16;

/// Tokens that are passed in walks, after which no other walk is begun: where a suffix
/// is missing each of them goes round the whole ring.
const STEPS_MAX: u64 = 10_000_000;

/// What came of comparing answers.
pub(crate) struct Compared {
    /// Of each database.
    pub(crate) outcomes: Vec<Result<(), Failure>>,
    /// Tokens that are passed for each match of a walk, in the mean; `None` if none was
    /// found.
    pub(crate) steps_per_match: Option<f64>,
}

/// Compares a sample of the answers of all databases, which were filled with these
/// records, given ascending.
pub(crate) fn compare(databases: &[Loaded], records: &[Record], queries: &Queries) -> Compared {
    talk::stage("comparing answers", databases.len());
    let walks = walks(records, queries);
    let (steps, matches) = walks.iter().fold((0, 0), |(steps, matches), walked| {
        (steps + walked.walk.steps, matches + walked.walk.matches.len())
    });
    let compare = |loaded: &Loaded| {
        let (name, database) = (loaded.engine.name(), loaded.database.as_ref());
        talk::turn(name);
        guarded(|| {
            compare_lookups(name, database, records, queries)?;
            compare_ranges(name, database, records, queries)?;
            compare_walks(name, database, &walks, loaded.engine.counts_steps())?;
            compare_batches(name, database, records, queries)?;
            match database.reader()? {
                // Each thread has the way in that this one has.
                Some(reader) => compare_batches(name, reader.as_ref(), records, queries),
                None => Ok(()),
            }
        })
    };
    Compared {
        outcomes: databases.iter().map(compare).collect(),
        steps_per_match: (matches > 0).then(|| steps as f64 / matches as f64),
    }
}

fn compare_lookups(
    name: &str,
    database: &dyn Database,
    records: &[Record],
    queries: &Queries,
) -> Result<(), Failure> {
    expect(name, "len", &database.len()?, &(records.len() as u64))?;
    for operation in 0..queries.len().min(LOOKUPS_MAX) {
        for token in [queries.hit(operation), queries.miss(operation)] {
            let right = Sorted(records).lookup(token)?;
            expect(name, format_args!("lookup of {token}"), &database.lookup(token)?, &right)?;
        }
    }
    Ok(())
}

fn compare_ranges(
    name: &str,
    database: &dyn Database,
    records: &[Record],
    queries: &Queries,
) -> Result<(), Failure> {
    let read = |range: RangeIter<'_>| range.take(RANGE_RECORDS).collect::<Result<Vec<_>>>();
    for operation in 0..queries.len().min(RANGES_MAX) {
        for token in [queries.hit(operation), queries.miss(operation)] {
            let up = read(database.range_after(token)?)?;
            let right = read(Sorted(records).range_after(token)?)?;
            expect(name, format_args!("range above {token}"), &up, &right)?;
            let down = read(database.range_before(token)?)?;
            let right = read(Sorted(records).range_before(token)?)?;
            expect(name, format_args!("range below {token}"), &down, &right)?;
        }
    }
    Ok(())
}

/// A walk, and the signature for which it is made.
struct Walked {
    token: TokenId,
    challenge: Chunks,
    walk: Walk<(TokenId, BlockTime)>,
    signed: Option<Signed>,
}

/// Walks through the records token by token.
fn walks(records: &[Record], queries: &Queries) -> Vec<Walked> {
    let mut walks = Vec::new();
    let mut steps = 0;
    for operation in 0..queries.len().min(SIGNATURES_MAX) {
        if steps > STEPS_MAX {
            break;
        }
        let (token, records) = (*queries.hit(operation), Sorted(records));
        let block = records.lookup(&token).ok().flatten().unwrap_or_default().block;
        let challenge = chunks(&PEER, &token, &block);
        if let (Ok(walk), Ok(signed)) =
            (records.search_signature(&token, &challenge), records.sign(&token, &PEER))
        {
            steps += walk.steps;
            walks.push(Walked { token, challenge, walk, signed });
        }
    }
    walks
}

fn compare_walks(
    name: &str,
    database: &dyn Database,
    walks: &[Walked],
    counts_steps: bool,
) -> Result<(), Failure> {
    let steps = |steps, matches: usize| if counts_steps { steps } else { matches as u64 };
    for Walked { token, challenge, walk, signed } in walks {
        let found = database.search_signature(token, challenge)?;
        let right = Walk { steps: steps(walk.steps, walk.matches.len()), ..walk.clone() };
        expect(name, format_args!("walk from {token}"), &found, &right)?;
        let found = database.sign(token, &PEER)?;
        let right = signed.map(|signed| Signed { steps: steps(signed.steps, CHUNKS), ..signed });
        expect(name, format_args!("signature for {token}"), &found, &right)?;
        // Whoever poses the challenge is content as well.
        if let Some(signed) = found {
            let checked = signed.signature.check(&PEER);
            expect(name, format_args!("signature for {token}"), &checked, &Ok(()))?;
        }
    }
    Ok(())
}

/// Asks for many tokens at once, and for each by itself.
fn compare_batches(
    name: &str,
    database: &dyn Database,
    records: &[Record],
    queries: &Queries,
) -> Result<(), Failure> {
    let (mut found, mut signed) = (Vec::new(), Vec::new());
    let hits = queries.batch(0);
    let misses: Vec<_> = (0..BATCH).map(|operation| *queries.miss(operation)).collect();
    for tokens in [hits, &misses, &[]] {
        database.get_many(tokens, &mut found)?;
        let right: Result<Vec<_>> =
            tokens.iter().map(|token| Sorted(records).lookup(token)).collect();
        expect(name, "lookups in a batch", &found, &right?)?;
    }
    // As many as are compared one by one.
    for tokens in [&hits[..BATCH_SIGNATURES], &misses[..1], &[]] {
        database.sign_many(tokens, &PEER, &mut signed)?;
        let right: Result<Vec<_>> =
            tokens.iter().map(|token| database.sign(token, &PEER)).collect();
        expect(name, "signatures in a batch", &signed, &right?)?;
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

/// Ascending records, which are looked at one by one.
struct Sorted<'a>(&'a [Record]);

impl TokenStorageBackend for Sorted<'_> {
    fn lookup(&self, token: &TokenId) -> Result<Option<BlockTime>> {
        Ok(find(self.0, token).ok().map(|at| self.0[at].value()))
    }

    fn set(&mut self, _token: &TokenId, _value: BlockTime) -> Result<bool> {
        Err(Error::backend("records", "they are only read"))
    }

    fn range_after(&self, start: &TokenId) -> Result<RangeIter<'_>> {
        let first = find(self.0, start).map_or_else(|at| at, |at| at + 1);
        Ok(Box::new(self.0[first..].iter().map(|record| Ok(pair(record)))))
    }

    fn range_before(&self, end: &TokenId) -> Result<RangeIter<'_>> {
        let (Ok(end) | Err(end)) = find(self.0, end);
        Ok(Box::new(self.0[..end].iter().rev().map(|record| Ok(pair(record)))))
    }

    fn len(&self) -> Result<u64> {
        Ok(self.0.len() as u64)
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

    use ringstore::MemTokens;
    use ringstore::testing::keys::KeyFamily;

    use super::*;
    use crate::data::Universe;
    use crate::engines::mem::Mem;
    use crate::engines::{self, Engine, Needs, Order, Reader};
    use crate::exit::Exit;
    use crate::load::Loads;
    use crate::passing::pass_on;

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

        fn needs(&self) -> Needs {
            Needs::per_token(0, 0)
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

        fn needs(&self) -> Needs {
            Needs::per_token(0, 0)
        }
    }

    struct Miscounted(MemTokens);

    impl Database for Miscounted {
        fn reader(&self) -> Result<Option<Reader<'_>>> {
            Ok(None)
        }
    }

    impl TokenStorageBackend for Miscounted {
        pass_on!(0);

        fn search_signature(
            &self,
            token: &TokenId,
            chunks: &Chunks,
        ) -> Result<Walk<(TokenId, BlockTime)>> {
            let walk = self.0.search_signature(token, chunks)?;
            Ok(Walk { steps: walk.steps + 1, ..walk })
        }
    }

    /// Has its batches in another order, or signs for nobody in them.
    struct Muddler {
        signs: bool,
    }

    impl Engine for Muddler {
        fn name(&self) -> &'static str {
            "muddler"
        }

        fn load(&self, _: &Path, records: &[Record], _: Order) -> Result<Box<dyn Database>> {
            let tokens = records.iter().map(pair).collect();
            Ok(Box::new(Muddled { tokens, signs: self.signs }))
        }

        fn needs(&self) -> Needs {
            Needs::per_token(0, 0)
        }
    }

    struct Muddled {
        tokens: MemTokens,
        signs: bool,
    }

    impl TokenStorageBackend for Muddled {
        pass_on!(tokens);
    }

    impl Database for Muddled {
        fn get_many(&self, tokens: &[TokenId], found: &mut Vec<Option<BlockTime>>) -> Result<()> {
            self.tokens.get_many(tokens, found)?;
            if !self.signs {
                found.reverse();
            }
            Ok(())
        }

        fn sign_many(
            &self,
            tokens: &[TokenId],
            _: &ringstore::PeerId,
            signed: &mut Vec<Option<Signed>>,
        ) -> Result<()> {
            signed.clear();
            signed.extend(tokens.iter().map(|_| None));
            Ok(())
        }

        fn reader(&self) -> Result<Option<Reader<'_>>> {
            Ok(None)
        }
    }

    /// What is said of these engines, and how far they walk for a match.
    fn compared(engines: &[&'static dyn Engine]) -> (Vec<Result<(), String>>, Option<f64>) {
        let directory = tempfile::tempdir().unwrap();
        let universe = Universe::new(KeyFamily::Uniform, 5_000, 1.0);
        let queries = Queries::new(&universe);
        let records = &universe.stored;
        let loads = Loads { engines, directory: directory.path(), records, order: Order::Sorted };
        let databases: Vec<_> = loads.once().into_iter().map(Result::unwrap).collect();
        let Compared { outcomes, steps_per_match } = compare(&databases, records, &queries);
        let told = |failure: Failure| {
            assert_eq!(failure.exit(), Exit::Differ, "{failure}");
            failure.to_string()
        };
        (outcomes.into_iter().map(|outcome| outcome.map_err(told)).collect(), steps_per_match)
    }

    #[test]
    fn right_answers_are_accepted() {
        let (outcomes, steps_per_match) = compared(engines::ALL);
        assert_eq!(outcomes, vec![Ok(()); engines::ALL.len()]);
        // A walk that has to go round the whole ring finds nothing at its end.
        assert!(steps_per_match.is_some_and(|steps| (700.0..1_400.0).contains(&steps)));
        assert!(compared(&[]).0.is_empty());
    }

    #[test]
    fn wrong_answers_are_told_with_engine_and_question_and_the_others_are_right() {
        let told = |engine: &'static dyn Engine| {
            for engines in [[&Mem, engine], [engine, &Mem]] {
                let (mut outcomes, _) = compared(&engines);
                let wrong = usize::from(engines[1].name() == engine.name());
                assert_eq!(outcomes[1 - wrong], Ok(()));
                if wrong == 0 {
                    return outcomes.swap_remove(0).unwrap_err();
                }
                outcomes.swap_remove(1).unwrap_err();
            }
            unreachable!()
        };
        let lost = told(&Forger(|records| records.truncate(4_999)));
        assert!(lost.contains("forger: len: expected 5000, found 4999"), "{lost}");
        let altered = told(&Forger(|records| {
            for record in records {
                *record = Record::new(record.token, BlockTime::default());
            }
        }));
        assert!(altered.contains("forger: lookup of "), "{altered}");
        let miscounted = told(&Miscounter);
        assert!(miscounted.contains("miscounter: walk from "), "{miscounted}");
        let muddled = told(&Muddler { signs: false });
        assert!(muddled.contains("muddler: lookups in a batch: "), "{muddled}");
        let unsigned = told(&Muddler { signs: true });
        assert!(unsigned.contains("muddler: signatures in a batch: "), "{unsigned}");
    }
}
