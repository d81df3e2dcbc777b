//! Timing what changes a database, in turns: durable commits, and a mix of reads and them.
//!
//! Each engine has its turn in each round, and goes on until its time is up. A commit takes
//! many times what reading the clock does, so each operation is timed by itself; a turn
//! takes what its operations took, without making their tokens. No token is committed twice
//! to one engine, and all engines commit the same ones, slow engines fewer of them. The
//! round before the first that counts is for warming up.

use std::hint::black_box;
use std::time::{Duration, Instant};

use ringstore::testing::random::Random;
use ringstore::{BlockId, BlockTime, Record, Result};

use crate::data::Queries;
use crate::engines::{Durable, Engine};
use crate::exit::Failure;
use crate::reads::{Effort, PEER};
use crate::talk;
use crate::timing::Times;
use crate::turns::in_turns;
use crate::workload::Workload;

/// Tokens in a commit.
pub(crate) const COMMIT_TOKENS: usize = 6;

/// Of so many operations of the mix, one is a commit and the others are signatures.
const MIXED_OPERATIONS: usize = 20;

/// What is committed, one commit after the other, without end. Tokens are random, whatever
/// the family of keys: they are in no family.
pub(crate) struct Commits {
    random: Random,
}

impl Commits {
    /// The same ones each time.
    pub(crate) fn new() -> Self {
        Self { random: Random::new("commits", 1) }
    }
}

impl Iterator for Commits {
    type Item = [Record; COMMIT_TOKENS];

    fn next(&mut self) -> Option<Self::Item> {
        let random = &mut self.random;
        Some(std::array::from_fn(|_| {
            let token = random.token();
            Record::new(token, BlockTime::new(BlockId(random.bytes()), random.number()))
        }))
    }
}

/// A database that was opened to be written to.
pub(crate) struct Written {
    pub(crate) engine: &'static dyn Engine,
    /// `None` if the engine keeps nothing, so that there is nothing to be measured.
    database: Option<Box<dyn Durable>>,
    /// What its files had when it was closed first.
    pub(crate) bytes: u64,
    commits: Commits,
    /// How many commits there were, those for warming up too.
    pub(crate) committed: usize,
    /// How many signatures there were.
    signed: usize,
}

impl Written {
    pub(crate) fn new(
        engine: &'static dyn Engine,
        database: Option<Box<dyn Durable>>,
        bytes: u64,
    ) -> Self {
        Self { engine, database, bytes, commits: Commits::new(), committed: 0, signed: 0 }
    }

    /// Does what the workload consists of until the time is up, but once at least; what
    /// each operation took.
    fn turn(
        &mut self,
        workload: Workload,
        queries: &Queries,
        time: Duration,
    ) -> Result<Vec<Duration>> {
        let mut singles = Vec::new();
        let Some(database) = &mut self.database else {
            return Ok(singles);
        };
        let signatures = if workload == Workload::Mixed { MIXED_OPERATIONS - 1 } else { 0 };
        let mut elapsed = Duration::ZERO;
        let mut add = |started: Instant| {
            let single = started.elapsed();
            elapsed += single;
            singles.push(single);
            elapsed >= time
        };
        for records in &mut self.commits {
            for _ in 0..signatures {
                let token = queries.hit(self.signed);
                self.signed += 1;
                let started = Instant::now();
                black_box(database.sign(token, &PEER)?);
                add(started);
            }
            self.committed += 1;
            let started = Instant::now();
            database.commit(&records)?;
            if add(started) {
                break;
            }
        }
        Ok(singles)
    }
}

/// Times one of the workloads that write; one result for each database.
pub(crate) fn measure(
    workload: Workload,
    databases: &mut [Written],
    queries: &Queries,
    effort: Effort,
) -> Vec<Result<Times, Failure>> {
    let mut all: Vec<_> = databases.iter().map(|_| Times::new()).collect();
    talk::stage(workload.name(), (effort.rounds + 1) * databases.len());
    // One more, to warm up.
    let outcomes = in_turns(databases.len(), 0..=effort.rounds, |round, at| {
        talk::turn(databases[at].engine.name());
        let singles = databases[at].turn(workload, queries, effort.turn)?;
        if round > 0 && !singles.is_empty() {
            all[at].add_round(singles.len() as u64, singles.iter().sum());
            all[at].add_singles(singles);
        }
        Ok(())
    });
    outcomes.into_iter().zip(all).map(|(outcome, times)| outcome.map(|()| times)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use ringstore::testing::keys::KeyFamily;

    use super::*;
    use crate::data::{self, Universe};
    use crate::engines::{self, Order};
    use crate::load::{Closed, Loaded, Loads};

    #[test]
    fn commits_are_the_same_each_time_of_tokens_that_are_nowhere_yet() {
        let mut tokens = HashSet::new();
        for family in KeyFamily::ALL {
            tokens.extend(data::records(family, 2_000).iter().map(|record| record.token));
        }
        for (records, again) in Commits::new().zip(Commits::new()).take(1_000) {
            assert_eq!(records, again);
            assert!(records.iter().all(|record| tokens.insert(record.token)));
        }
    }

    #[test]
    fn every_round_counts_and_the_first_does_not() {
        const TOKENS: usize = 500;
        let temporary = tempfile::tempdir().unwrap();
        let universe = Universe::new(KeyFamily::Uniform, TOKENS, 1.0);
        let queries = Queries::new(&universe);
        let loads = Loads::of_all_engines(temporary.path(), &universe.stored);
        let closed = loads.once().into_iter().map(|loaded| Loaded::close(loaded?));
        let closed: Vec<Closed> = closed.collect::<Result<_, _>>().unwrap();
        let open = || {
            let open = |closed: &Closed| {
                Written::new(closed.engine, closed.open(TOKENS).unwrap(), closed.bytes)
            };
            closed.iter().map(open)
        };
        let mut databases: Vec<_> = open().collect();
        let effort = Effort { rounds: 3, load_rounds: 1, turn: Duration::from_micros(100) };
        for workload in [Workload::Commit, Workload::Mixed] {
            let before: Vec<_> = databases.iter().map(|database| database.committed).collect();
            let all = measure(workload, &mut databases, &queries, effort);
            assert_eq!(all.len(), databases.len());
            for ((times, database), before) in all.into_iter().zip(&databases).zip(before) {
                let times = times.unwrap();
                if database.engine.name() == "mem" {
                    assert_eq!((times.operations(), times.median_ns()), (0, None));
                    continue;
                }
                assert!(times.median_ns().is_some() && times.p50_ns().is_some());
                let share = if workload == Workload::Mixed { MIXED_OPERATIONS } else { 1 };
                assert_eq!(times.operations() as usize % share, 0);
                let commits = times.operations() as usize / share;
                assert!(commits >= 3 && commits < database.committed - before);
                assert_eq!(database.signed > 0, workload == Workload::Mixed);
            }
        }
        let committed: Vec<_> = databases.into_iter().map(|database| database.committed).collect();
        for (commits, Written { database, .. }) in committed.into_iter().zip(open()) {
            let Some(database) = database else { continue };
            assert_eq!(database.len().unwrap(), (TOKENS + commits * COMMIT_TOKENS) as u64);
        }
    }

    #[test]
    fn a_turn_has_as_many_commits_as_fit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        let ringstore = engines::named("ringstore").unwrap();
        let universe = Universe::new(KeyFamily::Uniform, 10, 1.0);
        drop(ringstore.load(&path, &universe.stored, Order::Sorted).unwrap());
        let database = ringstore.open(&path, 10).unwrap();
        let mut written = Written::new(ringstore, database, 0);
        let queries = Queries::new(&universe);
        let mut turn = |time| written.turn(Workload::Commit, &queries, time).unwrap();
        assert_eq!(turn(Duration::ZERO).len(), 1);
        let time = Duration::from_millis(20);
        let singles = turn(time);
        // The last one ended the turn, and those before it did not.
        let (_, before) = singles.split_last().unwrap();
        assert!(singles.iter().sum::<Duration>() >= time);
        assert!(before.iter().sum::<Duration>() < time);
    }
}
