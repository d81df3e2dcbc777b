//! Timing durable commits, in turns.
//!
//! Each engine has its turn in each round, another one first each time, and commits until
//! its time is up. A commit takes many times what reading the clock does, so each is timed
//! by itself; a turn takes what its commits took, without making their tokens. No token is
//! committed twice to one engine, and all engines commit the same ones, slow engines fewer
//! of them. The round before the first that counts is for warming up.

use std::time::{Duration, Instant};

use ringstore::testing::random::Random;
use ringstore::{BlockId, BlockTime, Record, Result};

use crate::engines::Durable;
use crate::reads::Effort;
use crate::timing::Times;

/// Tokens in a commit.
pub(crate) const COMMIT_TOKENS: usize = 6;

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

/// What came of committing to one database.
pub(crate) struct Committed {
    pub(crate) times: Times,
    /// All of them, those for warming up too.
    pub(crate) commits: usize,
}

/// Times commits; one result for each database.
pub(crate) fn measure(
    databases: &mut [Box<dyn Durable>],
    effort: Effort,
) -> Result<Vec<Committed>> {
    let start = || (Commits::new(), Committed { times: Times::new(), commits: 0 });
    let mut all: Vec<_> = databases.iter().map(|_| start()).collect();
    let contestants = databases.len();
    // One more, to warm up.
    for round in 0..=effort.rounds {
        for offset in 0..contestants {
            let at = (round + offset) % contestants;
            let (commits, committed) = &mut all[at];
            let singles = turn(databases[at].as_mut(), commits, effort.turn)?;
            committed.commits += singles.len();
            if round > 0 {
                committed.times.add_round(singles.len() as u64, singles.iter().sum());
                for single in singles {
                    committed.times.add_single(single);
                }
            }
        }
    }
    Ok(all.into_iter().map(|(_, committed)| committed).collect())
}

/// Commits until the time is up, but once at least; what each commit took.
fn turn(
    database: &mut dyn Durable,
    commits: &mut Commits,
    time: Duration,
) -> Result<Vec<Duration>> {
    let mut singles = Vec::new();
    let mut elapsed = Duration::ZERO;
    for records in commits {
        let started = Instant::now();
        database.commit(&records)?;
        let single = started.elapsed();
        singles.push(single);
        elapsed += single;
        if elapsed >= time {
            break;
        }
    }
    Ok(singles)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use ringstore::testing::keys::KeyFamily;

    use super::*;
    use crate::data;
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
        let records = data::records(KeyFamily::Uniform, TOKENS);
        let loads = Loads {
            engines: engines::ALL,
            directory: temporary.path(),
            records: &records,
            order: Order::Sorted,
        };
        let closed = loads.once().unwrap().into_iter().map(Loaded::close);
        let closed: Vec<Closed> = closed.collect::<Result<_, _>>().unwrap();
        let open = || closed.iter().filter_map(|closed| closed.open(TOKENS).unwrap());
        let mut databases: Vec<_> = open().collect();
        // All but `mem`.
        assert_eq!(databases.len(), engines::ALL.len() - 1);
        let effort = Effort { rounds: 3, turn: Duration::from_micros(100) };
        let all = measure(&mut databases, effort).unwrap();
        assert_eq!(all.len(), databases.len());
        drop(databases);
        for (Committed { times, commits }, database) in all.into_iter().zip(open()) {
            assert!(times.operations() >= 3 && times.operations() < commits as u64);
            assert!(times.median_ns().is_some() && times.p50_ns().is_some());
            assert_eq!(database.len().unwrap(), (TOKENS + commits * COMMIT_TOKENS) as u64);
        }
    }

    #[test]
    fn a_turn_has_as_many_commits_as_fit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        let ringstore = engines::named("ringstore").unwrap();
        drop(ringstore.load(&path, &data::records(KeyFamily::Uniform, 10), Order::Sorted).unwrap());
        let mut database = ringstore.open(&path, 10).unwrap().unwrap();
        let mut commits = Commits::new();
        let mut turn = |time| turn(database.as_mut(), &mut commits, time).unwrap();
        assert_eq!(turn(Duration::ZERO).len(), 1);
        let time = Duration::from_millis(20);
        let singles = turn(time);
        // The last one ended the turn, and those before it did not.
        let (_, before) = singles.split_last().unwrap();
        assert!(singles.iter().sum::<Duration>() >= time);
        assert!(before.iter().sum::<Duration>() < time);
    }
}
