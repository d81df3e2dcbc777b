//! Timing reads, in turns, by one thread or by several.
//!
//! A turn is timed as a whole, and then some operations one by one for the percentiles,
//! which so include reading the clock. Several threads begin together, each with questions
//! of its own, and a turn takes what the last of them takes. The rounds before the first
//! that counts are for warming up.

use std::hint::black_box;
use std::ops::Range;
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use ringstore::{BlockTime, PeerId, RangeIter, Result, TokenId};

use crate::data::{BATCH, Queries};
use crate::engines::{Database, Reader};
use crate::exit::Failure;
use crate::load::Loaded;
use crate::talk;
use crate::timing::Times;
use crate::turns::{guarded, in_turns};
use crate::workload::Workload;

/// Records that are read in a range, if there are so many.
pub(crate) const RANGE_RECORDS: usize = 1_000;

/// Who challenges.
pub(crate) const PEER: PeerId = PeerId([1; 32]);

/// The most operations of a thread in a turn. Slow engines have fewer, but one at least.
const OPERATIONS_MAX: usize = 200_000;

/// The most calls of a thread that are timed one by one after each turn.
const SINGLES_MAX: usize = 20_000;

/// How long is measured.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// Of loads.
    pub(crate) load_rounds: usize,
    /// What a turn takes, about.
    pub(crate) turn: Duration,
}

/// Times one of the workloads that read; one result for each database. There are no times
/// where more threads ask than can read it.
///
/// # Panics
///
/// If the workload does not read.
pub(crate) fn measure(
    workload: Workload,
    databases: &[Loaded],
    queries: &Queries,
    threads: usize,
    effort: Effort,
) -> Vec<Result<Times, Failure>> {
    let asking = if threads == 1 { String::new() } else { format!(", {threads} threads") };
    let operate = operation(workload);
    let calls_of = operations_in_a_call(workload);
    talk::stage(workload.name() + &asking, (effort.rounds + 1) * databases.len());
    let mut contestants: Vec<_> = databases
        .iter()
        .map(|loaded| {
            guarded(|| {
                let Some(asking) = Asking::new(loaded.database.as_ref(), threads)? else {
                    return Ok(None);
                };
                let mut contestant = Contestant { asking, queries, operate, next: 0 };
                let count = operations_in(effort.turn, calls_of, |count| contestant.turn(count))?;
                Ok(Some((contestant, count, Times::new())))
            })
        })
        .collect();
    // One more, to warm up.
    let outcomes = in_turns(contestants.len(), 0..=effort.rounds, |round, at| {
        talk::turn(databases[at].engine.name());
        let Ok(Some((contestant, count, times))) = &mut contestants[at] else {
            return Ok(());
        };
        let elapsed = contestant.turn(*count)?;
        if round > 0 {
            times.add_round((*count * threads) as u64, elapsed);
            let calls = (*count / calls_of).min(SINGLES_MAX);
            let singles = contestant.singles(calls, calls_of)?;
            times.add_singles(singles.into_iter().map(|single| single / calls_of as u32));
        }
        Ok(())
    });
    let times = contestants.into_iter().zip(outcomes);
    times
        .map(|(contestant, outcome)| {
            outcome?;
            Ok(contestant?.map_or_else(Times::new, |(_, _, times)| times))
        })
        .collect()
}

/// Does the operations of these numbers.
type Operate = fn(&dyn Database, &Queries, Range<usize>) -> Result<()>;

fn operation(workload: Workload) -> Operate {
    match workload {
        Workload::GetHit => |database, queries, operations| {
            for operation in operations {
                black_box(database.lookup(queries.hit(operation))?);
            }
            Ok(())
        },
        Workload::GetMiss => |database, queries, operations| {
            for operation in operations {
                black_box(database.lookup(queries.miss(operation))?);
            }
            Ok(())
        },
        Workload::GetMany => |database, queries, operations| {
            let mut found = Vec::with_capacity(BATCH);
            for first in operations.step_by(BATCH) {
                database.get_many(queries.batch(first), &mut found)?;
                black_box(&found);
            }
            Ok(())
        },
        Workload::Seek => |database, queries, operations| {
            for operation in operations {
                black_box(database.range_after(queries.hit(operation))?.next().transpose()?);
            }
            Ok(())
        },
        Workload::RangeForward => |database, queries, operations| {
            for operation in operations {
                scan(database.range_after(queries.hit(operation))?)?;
            }
            Ok(())
        },
        Workload::RangeBackward => |database, queries, operations| {
            for operation in operations {
                scan(database.range_before(queries.hit(operation))?)?;
            }
            Ok(())
        },
        Workload::Sign => |database, queries, operations| {
            for operation in operations {
                black_box(database.sign(queries.hit(operation), &PEER)?);
            }
            Ok(())
        },
        Workload::SignMany => |database, queries, operations| {
            let mut signed = Vec::with_capacity(BATCH);
            for first in operations.step_by(BATCH) {
                database.sign_many(queries.batch(first), &PEER, &mut signed)?;
                black_box(&signed);
            }
            Ok(())
        },
        Workload::LoadSorted
        | Workload::LoadRandom
        | Workload::Commit
        | Workload::Mixed
        | Workload::Open
        | Workload::Cold
        | Workload::ColdMany
        | Workload::Size => unreachable!("{workload:?} does not read"),
    }
}

fn operations_in_a_call(workload: Workload) -> usize {
    if matches!(workload, Workload::GetMany | Workload::SignMany) { BATCH } else { 1 }
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

/// The threads that ask a database.
enum Asking<'a> {
    /// This one, without another way in.
    Alone(&'a dyn Database),
    Together(Vec<Reader<'a>>),
}

impl<'a> Asking<'a> {
    /// `None` if the database is for one thread alone.
    fn new(database: &'a dyn Database, threads: usize) -> Result<Option<Self>> {
        if threads == 1 {
            return Ok(Some(Self::Alone(database)));
        }
        let readers: Option<Vec<_>> = (0..threads)
            .map(|_| database.reader().transpose())
            .collect::<Option<Result<_>>>()
            .transpose()?;
        Ok(readers.map(Self::Together))
    }

    fn threads(&self) -> usize {
        match self {
            Self::Alone(_) => 1,
            Self::Together(readers) => readers.len(),
        }
    }

    /// Has every thread do something, all from the same moment on: what it gave in each, and
    /// how long it took until the last one was done.
    fn time<T: Send>(
        &mut self,
        work: impl Fn(&dyn Database, usize) -> Result<T> + Sync,
    ) -> Result<(Vec<T>, Duration)> {
        match self {
            Self::Alone(database) => {
                let started = Instant::now();
                let done = work(*database, 0)?;
                Ok((vec![done], started.elapsed()))
            }
            Self::Together(readers) => {
                let (gate, ready) = (RwLock::new(()), AtomicUsize::new(0));
                let count = readers.len();
                let work = |reader: &mut Reader<'_>, thread| {
                    ready.fetch_add(1, Ordering::SeqCst);
                    // It opens for those who wait, too, if a thread cannot be had.
                    drop(gate.read().unwrap_or_else(PoisonError::into_inner));
                    let started = Instant::now();
                    let done = work(reader.as_ref(), thread);
                    (done, started, Instant::now())
                };
                let all: Vec<_> = thread::scope(|scope| {
                    let closed = gate.write().unwrap_or_else(PoisonError::into_inner);
                    let work = &work;
                    let spawn = |(thread, reader)| scope.spawn(move || work(reader, thread));
                    let threads: Vec<_> = readers.iter_mut().enumerate().map(spawn).collect();
                    while ready.load(Ordering::SeqCst) < count {
                        thread::yield_now();
                    }
                    drop(closed);
                    let join = |thread: thread::ScopedJoinHandle<'_, _>| {
                        thread.join().unwrap_or_else(|reason| panic::resume_unwind(reason))
                    };
                    threads.into_iter().map(join).collect()
                });
                let started = all.iter().map(|(_, started, _)| *started).min();
                let ended = all.iter().map(|(_, _, ended)| *ended).max();
                let elapsed = started.zip(ended).map(|(started, ended)| ended - started);
                let done: Result<Vec<_>> = all.into_iter().map(|(done, ..)| done).collect();
                Ok((done?, elapsed.unwrap_or_default()))
            }
        }
    }
}

/// A database with those who ask it, and how far they got.
struct Contestant<'a> {
    asking: Asking<'a>,
    queries: &'a Queries,
    operate: Operate,
    /// The number of each thread's next operation, counted from its first. One thread alone
    /// does none twice, as long as there are others.
    next: usize,
}

impl Contestant<'_> {
    /// How long it takes until each thread has done so many operations.
    fn turn(&mut self, count: usize) -> Result<Duration> {
        let (queries, operate) = (self.queries, self.operate);
        let (next, threads) = (self.next, self.asking.threads());
        self.next += count;
        let (_, elapsed) = self.asking.time(|database, thread| {
            let first = next + share(queries, thread, threads);
            operate(database, queries, first..first + count)
        })?;
        Ok(elapsed)
    }

    /// What each of so many calls of every thread takes.
    fn singles(&mut self, calls: usize, operations: usize) -> Result<Vec<Duration>> {
        let (queries, operate) = (self.queries, self.operate);
        let (next, threads) = (self.next, self.asking.threads());
        self.next += calls * operations;
        let (singles, _) = self.asking.time(|database, thread| {
            let first = next + share(queries, thread, threads);
            let singles = (0..calls).map(|call| {
                let first = first + call * operations;
                let started = Instant::now();
                operate(database, queries, first..first + operations)?;
                Ok(started.elapsed())
            });
            singles.collect::<Result<Vec<_>>>()
        })?;
        Ok(singles.concat())
    }
}

/// Where a thread begins in the questions, each in another part of them.
fn share(queries: &Queries, thread: usize, threads: usize) -> usize {
    thread * queries.len() / threads / BATCH * BATCH
}

/// How many operations take about `time`, a multiple of `least`, by trying ever more.
fn operations_in(
    time: Duration,
    least: usize,
    mut run: impl FnMut(usize) -> Result<Duration>,
) -> Result<usize> {
    let mut count = least;
    loop {
        let elapsed = run(count)?;
        if elapsed * 4 >= time || count >= OPERATIONS_MAX {
            let fitting = time.as_nanos() * count as u128 / elapsed.as_nanos().max(1);
            let fitting = (fitting as usize).clamp(least, OPERATIONS_MAX);
            return Ok(fitting / least * least);
        }
        count *= 2;
    }
}

#[cfg(test)]
mod tests {
    use ringstore::testing::keys::KeyFamily;

    use super::*;
    use crate::data::Universe;
    use crate::engines;
    use crate::load::Loads;
    use crate::workload::Kind;

    #[test]
    fn every_round_counts_and_the_first_does_not() {
        let temporary = tempfile::tempdir().unwrap();
        let universe = Universe::new(KeyFamily::Uniform, 500, 1.0);
        let queries = Queries::new(&universe);
        let loads = Loads::of_all_engines(temporary.path(), &universe.stored);
        let databases: Vec<_> = loads.once().into_iter().map(Result::unwrap).collect();
        let effort = Effort { rounds: 3, load_rounds: 1, turn: Duration::from_micros(100) };
        for workload in Workload::all().iter().filter(|workload| workload.kind() == Kind::Read) {
            for threads in [1, 2, 3] {
                let all = measure(*workload, &databases, &queries, threads, effort);
                assert_eq!(all.len(), engines::ALL.len());
                for (times, engine) in all.into_iter().zip(engines::ALL) {
                    let times = times.unwrap();
                    let calls_of = operations_in_a_call(*workload);
                    if engine.name() == "leveldb" && threads > 1 {
                        assert_eq!((times.operations(), times.median_ns()), (0, None));
                        continue;
                    }
                    let least = (3 * threads * calls_of) as u64;
                    assert!(times.operations() >= least && times.operations() % least == 0);
                    assert!(times.median_ns().is_some() && times.p50_ns().is_some());
                }
            }
        }
    }

    #[test]
    fn a_turn_has_as_many_operations_as_fit() {
        let time = Duration::from_millis(200);
        for (nanos_each, operations, in_calls) in [
            (1, OPERATIONS_MAX, OPERATIONS_MAX / BATCH * BATCH),
            (10_000, 20_000, 20_000 / BATCH * BATCH),
            (1_000_000, 200, BATCH),
            (150_000_000, 1, BATCH),
            (9_000_000_000, 1, BATCH),
        ] {
            let run = |count: usize| Ok(Duration::from_nanos(nanos_each * count as u64));
            assert_eq!(operations_in(time, 1, run).unwrap(), operations, "{nanos_each}");
            assert_eq!(operations_in(time, BATCH, run).unwrap(), in_calls, "{nanos_each}");
        }
    }

    #[test]
    fn threads_ask_at_the_same_time() {
        use std::sync::Barrier;

        let tokens = ringstore::MemTokens::new();
        let mut asking = Asking::new(&tokens, 3).unwrap().unwrap();
        let (inside, barrier) = (AtomicUsize::new(0), Barrier::new(3));
        let (seen, _) = asking
            .time(|database, thread| {
                inside.fetch_add(1, Ordering::SeqCst);
                // None goes on before all are here.
                barrier.wait();
                assert_eq!(database.len()?, 0);
                Ok((thread, inside.load(Ordering::SeqCst)))
            })
            .unwrap();
        assert_eq!(seen, [(0, 3), (1, 3), (2, 3)]);
    }
}
