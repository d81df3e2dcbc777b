//! Timing reads, in turns.
//!
//! Each engine has its turn in each round, another one first each time. A turn is timed
//! as a whole, and then some operations one by one for the percentiles, which so include
//! reading the clock. The rounds before the first that counts are for warming up.

use std::hint::black_box;
use std::time::{Duration, Instant};

use ringstore::{BlockTime, PeerId, RangeIter, Result, TokenId, TokenStorageBackend};

use crate::data::Queries;
use crate::load::Loaded;
use crate::timing::Times;
use crate::workload::Workload;

/// Records that are read in a range, if there are so many.
pub(crate) const RANGE_RECORDS: usize = 1_000;

/// Who challenges.
pub(crate) const PEER: PeerId = PeerId([1; 32]);

/// The most operations in a turn. Slow engines have fewer, but one at least.
const OPERATIONS_MAX: usize = 200_000;

/// The most operations that are timed one by one after each turn.
const SINGLES_MAX: usize = 20_000;

/// How long is measured.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// What a turn takes, about.
    pub(crate) turn: Duration,
}

/// Times one of the workloads that read; one result for each database.
///
/// # Panics
///
/// If the workload does not read.
pub(crate) fn measure(
    workload: Workload,
    databases: &[Loaded],
    queries: &Queries,
    effort: Effort,
) -> Result<Vec<Times>> {
    match workload {
        Workload::GetHit => in_turns(databases, effort, |database, i| {
            black_box(database.lookup(queries.hit(i))?);
            Ok(())
        }),
        Workload::GetMiss => in_turns(databases, effort, |database, i| {
            black_box(database.lookup(queries.miss(i))?);
            Ok(())
        }),
        Workload::RangeForward => {
            in_turns(databases, effort, |database, i| scan(database.range_after(queries.hit(i))?))
        }
        Workload::RangeBackward => {
            in_turns(databases, effort, |database, i| scan(database.range_before(queries.hit(i))?))
        }
        Workload::Sign => in_turns(databases, effort, |database, i| {
            black_box(database.sign(queries.hit(i), &PEER)?);
            Ok(())
        }),
        Workload::LoadSorted | Workload::LoadRandom | Workload::Commit | Workload::Size => {
            unreachable!("{workload:?} does not read")
        }
    }
}

fn scan(range: RangeIter<'_>) -> Result<()> {
    let mut sum = 0u64;
    for record in range.take(RANGE_RECORDS) {
        let (TokenId(id), BlockTime { block, time }) = record?;
        // All of the record is looked at.
        sum = sum.wrapping_add(time).wrapping_add(u64::from(id[31] ^ block.0[31]));
    }
    black_box(sum);
    Ok(())
}

/// `operate` is given the number of the operation. Every engine has the same ones, slow
/// engines fewer of them.
fn in_turns(
    databases: &[Loaded],
    effort: Effort,
    operate: impl Fn(&dyn TokenStorageBackend, usize) -> Result<()>,
) -> Result<Vec<Times>> {
    let turn = |loaded: &Loaded, first: usize, operations: usize| -> Result<Duration> {
        let database: &dyn TokenStorageBackend = loaded.database.as_ref();
        let started = Instant::now();
        for operation in first..first + operations {
            operate(database, operation)?;
        }
        Ok(started.elapsed())
    };
    let mut operations = Vec::with_capacity(databases.len());
    for loaded in databases {
        operations.push(operations_in(effort.turn, |first, count| turn(loaded, first, count))?);
    }
    let mut times: Vec<_> = databases.iter().map(|_| Times::new()).collect();
    // Never one that was done before, as long as there are others.
    let mut next = vec![0; databases.len()];
    // One more, to warm up.
    for round in 0..=effort.rounds {
        for offset in 0..databases.len() {
            let at = (round + offset) % databases.len();
            let (loaded, count) = (&databases[at], operations[at]);
            let elapsed = turn(loaded, next[at], count)?;
            next[at] += count;
            if round == 0 {
                continue;
            }
            times[at].add_round(count as u64, elapsed);
            for _ in 0..count.min(SINGLES_MAX) {
                times[at].add_single(turn(loaded, next[at], 1)?);
                next[at] += 1;
            }
        }
    }
    Ok(times)
}

/// How many operations take about `time`, by trying ever more of them.
fn operations_in(
    time: Duration,
    mut run: impl FnMut(usize, usize) -> Result<Duration>,
) -> Result<usize> {
    let mut count = 1;
    loop {
        // Each time others, so that what the last ones left in caches does not count.
        let elapsed = run(count, count)?;
        if elapsed * 4 >= time || count >= OPERATIONS_MAX {
            let fitting = time.as_nanos() * count as u128 / elapsed.as_nanos().max(1);
            return Ok((fitting as usize).clamp(1, OPERATIONS_MAX));
        }
        count *= 2;
    }
}

#[cfg(test)]
mod tests {
    use ringstore::testing::keys::KeyFamily;

    use super::*;
    use crate::data;
    use crate::engines::{self, Order};
    use crate::load::Loads;

    #[test]
    fn every_round_counts_and_the_first_does_not() {
        let temporary = tempfile::tempdir().unwrap();
        let records = data::records(KeyFamily::Uniform, 500);
        let queries = Queries::new(&records);
        let loads = Loads {
            engines: engines::ALL,
            directory: temporary.path(),
            records: &records,
            order: Order::Sorted,
        };
        let databases = loads.once().unwrap();
        let effort = Effort { rounds: 3, turn: Duration::from_micros(100) };
        for workload in Workload::all().iter().filter(|workload| workload.is_read()) {
            let times = measure(*workload, &databases, &queries, effort).unwrap();
            assert_eq!(times.len(), engines::ALL.len());
            for times in times {
                assert!(times.operations() >= 3 && times.operations() % 3 == 0);
                assert!(times.median_ns().is_some() && times.p50_ns().is_some());
            }
        }
    }

    #[test]
    fn a_turn_has_as_many_operations_as_fit() {
        let time = Duration::from_millis(200);
        for (nanos_each, operations) in [
            (1, OPERATIONS_MAX),
            (10_000, 20_000),
            (1_000_000, 200),
            (150_000_000, 1),
            (9_000_000_000, 1),
        ] {
            let run = |_, count: usize| Ok(Duration::from_nanos(nanos_each * count as u64));
            assert_eq!(operations_in(time, run).unwrap(), operations, "{nanos_each}");
        }
    }
}
