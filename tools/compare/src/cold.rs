//! Timing signatures when nothing of a database is in memory, in turns.
//!
//! In each round a database is closed, its files are put out of the system's cache, it is
//! opened, and signs for some tokens, other ones in each round and the same ones of every
//! engine. Neither closing nor opening is timed. What an engine reads to open, it has.
//!
//! Each call is timed by itself, and percentiles are of the same ones: there are no more
//! calls to be had of a round, as each leaves some of the files in memory.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::data::{BATCH, Queries};
use crate::exit::Failure;
use crate::load::Closed;
use crate::reads::{Effort, PEER};
use crate::talk::{self, say};
use crate::timing::Times;
use crate::turns::in_turns;
use crate::workload::Workload;

/// One result for each database; no times of those that keep nothing, or whose files stay in
/// memory.
pub(crate) fn measure(
    workload: Workload,
    closed: &[Closed],
    records: usize,
    queries: &Queries,
    effort: Effort,
) -> Vec<Result<Times, Failure>> {
    let mut all: Vec<_> = closed.iter().map(|_| Some(Times::new())).collect();
    talk::stage(workload.name(), (effort.rounds + 1) * closed.len());
    // One more, to warm up all but what is measured.
    let outcomes = in_turns(closed.len(), 0..=effort.rounds, |round, at| {
        let name = closed[at].engine.name();
        talk::turn(name);
        let Some(times) = &mut all[at] else { return Ok(()) };
        let bytes = closed[at].evict()?;
        if bytes > 0 {
            say(format_args!("{name} has no {}: {bytes} bytes stay in memory", workload.name()));
            all[at] = None;
            return Ok(());
        }
        let Some(database) = closed[at].open(records)? else { return Ok(()) };
        let tokens = queries.batch(round * BATCH);
        let mut signed = Vec::with_capacity(BATCH);
        let mut singles = Vec::with_capacity(BATCH);
        if workload == Workload::ColdMany {
            let started = Instant::now();
            database.sign_many(tokens, &PEER, &mut signed)?;
            singles.push(started.elapsed());
            black_box(&signed);
        } else {
            for token in tokens {
                let started = Instant::now();
                black_box(database.sign(token, &PEER)?);
                singles.push(started.elapsed());
            }
        }
        if round > 0 {
            times.add_round(BATCH as u64, singles.iter().sum::<Duration>());
            let tokens_of_call = (BATCH / singles.len()) as u32;
            times.add_singles(singles.into_iter().map(|single| single / tokens_of_call));
        }
        Ok(())
    });
    let all = all.into_iter().map(|times| times.unwrap_or_else(Times::new));
    outcomes.into_iter().zip(all).map(|(outcome, times)| outcome.map(|()| times)).collect()
}

#[cfg(test)]
mod tests {
    use ringstore::testing::keys::KeyFamily;

    use super::*;
    use crate::data::Universe;
    use crate::engines::{self, Order};
    use crate::load::{Loaded, Loads};
    use crate::page_cache;

    #[test]
    fn every_engine_on_disk_signs_for_a_batch_in_each_round_that_counts() {
        let temporary = page_cache::tests::on_disk();
        let universe = Universe::new(KeyFamily::Uniform, 2_000, 1.0);
        let queries = Queries::new(&universe);
        let loads = Loads::of_all_engines(temporary.path(), &universe.stored);
        let loaded = loads.once().into_iter().map(Result::unwrap);
        let closed: Vec<_> = loaded.map(Loaded::close).map(Result::unwrap).collect();
        let effort = Effort { rounds: 2, load_rounds: 1, turn: Duration::ZERO };
        let is_tellable = page_cache::tests::is_tellable(temporary.path());
        for (workload, calls) in [(Workload::Cold, 2 * BATCH), (Workload::ColdMany, 2)] {
            let all = measure(workload, &closed, 2_000, &queries, effort);
            for (times, engine) in all.into_iter().zip(engines::ALL) {
                let (times, name) = (times.unwrap(), engine.name());
                let is_timed = is_tellable && name != "mem";
                let operations = if is_timed { 2 * BATCH as u64 } else { 0 };
                assert_eq!(times.operations(), operations, "{name}");
                assert_eq!(times.median_ns().is_some(), is_timed, "{name}");
                // Percentiles of a hundred calls or more.
                assert_eq!(times.p99_ns().is_some(), is_timed && calls >= 100, "{name}");
            }
        }
    }

    #[test]
    fn what_stays_in_memory_has_no_times_and_is_left_as_it_is() {
        let Ok(temporary) = tempfile::tempdir_in("/dev/shm") else { return };
        let universe = Universe::new(KeyFamily::Uniform, 1_000, 1.0);
        let queries = Queries::new(&universe);
        let engines = &[engines::named("ringstore").unwrap()];
        let records = &universe.stored;
        let loads = Loads { engines, directory: temporary.path(), records, order: Order::Sorted };
        let closed: Vec<_> =
            loads.once().into_iter().map(|loaded| loaded.unwrap().close().unwrap()).collect();
        let effort = Effort { rounds: 2, load_rounds: 1, turn: Duration::ZERO };
        let [times]: [_; 1] =
            measure(Workload::Cold, &closed, 1_000, &queries, effort).try_into().ok().unwrap();
        let times = times.unwrap();
        assert_eq!((times.operations(), times.median_ns()), (0, None));
        let database = closed[0].open(1_000).unwrap().unwrap();
        assert_eq!(database.len().unwrap(), 1_000);
    }
}
