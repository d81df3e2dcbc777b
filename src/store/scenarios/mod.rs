//! What stores go through in their lives, step by step, on a disk that remembers every call;
//! [crashes] and [errors] try each of them at every moment.
//!
//! The state after each step has a number. Of every moment it is known which states were
//! acknowledged as durable and which were begun: what a crash at that moment leaves must come
//! to one of the states between, whole, and to the same one again whatever happens to the
//! recovery.

mod crashes;
mod errors;
mod kills;
mod scripts;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use super::*;
use crate::format::names::{is_log, is_segment};
use crate::load::options::LoadOptions;
use crate::progress::UNWATCHED;
use crate::testing::sim::SimDisk;
use crate::token::Record;

pub(super) type State = BTreeMap<TokenId, BlockTime>;

/// What is done to a store.
#[derive(Clone, Debug)]
enum Step {
    Commit(Batch, Durability),
    Sync,
    Flush,
    Compact,
    /// Of what is older than this.
    Expire(u64),
    Load(Vec<Record>),
    /// Of which all that it holds is compared.
    Checkpoint,
    /// Closed and opened again.
    Reopen,
    /// The process ends in the midst of it, and the next one opens the store.
    Kill,
}

impl Step {
    /// Whether all that was committed is durable when it is done.
    fn makes_durable(&self) -> bool {
        match self {
            Self::Commit(_, durability) => *durability == Durability::Synced,
            Self::Sync | Self::Flush | Self::Expire(_) | Self::Load(_) => true,
            Self::Compact | Self::Checkpoint | Self::Reopen | Self::Kill => false,
        }
    }
}

/// What is flushed is flushed while others commit, or always at the same point; and layers
/// are compacted, or not, so that flushes take the newest ones.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Flushes {
    Background,
    Inline,
    Uncompacted,
}

/// The life of a store, from its creation on.
struct Scenario {
    /// The tokens that are written.
    tokens: Vec<TokenId>,
    flushes: Flushes,
    steps: Vec<Step>,
}

impl Scenario {
    fn options(&self) -> Options {
        options(self.flushes)
    }

    fn create(&self, disk: &SimDisk) -> Result<Store> {
        let store = Store::create_on(disk.clone(), &self.options())?;
        if self.flushes == Flushes::Uncompacted {
            store.pause_compaction()?;
        }
        Ok(store)
    }

    fn compact(&self, store: &Store) -> Result<()> {
        store.resume_compaction()?;
        let done = store.compact(UNWATCHED);
        if self.flushes == Flushes::Uncompacted {
            store.pause_compaction()?;
        }
        done
    }

    /// All that a store holds, read in more than one way.
    fn contents(&self, store: &Store) -> State {
        let snapshot = store.snapshot();
        let found: Result<State> = snapshot.range(..).collect();
        let found = found.unwrap();
        assert_eq!(snapshot.len(), found.len() as u64);
        for token in &self.tokens {
            assert_eq!(snapshot.get(token).unwrap(), found.get(token).copied());
        }
        found
    }

    /// Opens what a crash left, as its owner would, and says what is there: all of it right,
    /// and nothing else on the disk. `None` where no store was made yet.
    fn recover(&self, disk: &SimDisk) -> Option<State> {
        let store = match open(disk) {
            Ok(store) => store,
            Err(Error::NotAStore { .. }) => return None,
            // Its first manifest was not there yet.
            Err(Error::Damaged(damage)) if manifest::read(disk).unwrap().is_none() => {
                assert_eq!(damage.part, "manifest");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        let report = store.verify(&|_| ControlFlow::Continue(())).unwrap();
        assert_eq!(report.damages, []);
        let names: BTreeSet<_> = disk.list().unwrap().into_iter().collect();
        let named = manifest::read(disk).unwrap().unwrap();
        assert_eq!(names.iter().filter(|name| is_log(name)).count(), named.logs.len());
        let segments = named.layers.iter().flatten().count();
        assert_eq!(names.iter().filter(|name| is_segment(name)).count(), segments);
        assert_eq!(names.len(), 2 + named.logs.len() + segments, "{names:?}");
        Some(self.contents(&store))
    }
}

fn options(flushes: Flushes) -> Options {
    let options = Options::new().log_bytes(Options::LOG_BYTES_MIN);
    match flushes {
        Flushes::Background => options,
        Flushes::Inline | Flushes::Uncompacted => options.inline(),
    }
}

fn open(disk: &SimDisk) -> Result<Store> {
    Store::open_on(disk.clone(), &options(Flushes::Inline))
}

/// Does something with each of many, on all cores.
///
/// Not in the pool in which stores do their work: what waits there for a store's own threads
/// would take the place of what they wait for.
fn on_all_cores<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let take = || std::iter::from_fn(|| items.get(next.fetch_add(1, Relaxed)));
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let run = || scope.spawn(|| take().map(&work).collect::<Vec<_>>());
        let threads: Vec<_> = (0..cores).map(|_| run()).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

fn load(store: &Store, records: &[Record]) -> Result<()> {
    store.bulk_load(records.iter().map(|record| Ok(*record)), &LoadOptions::new()).map(drop)
}

/// What a step makes of a state.
fn after(state: &State, step: &Step) -> State {
    let mut state = state.clone();
    match step {
        Step::Commit(batch, _) => {
            for operation in batch.operations() {
                if operation.condition.holds(state.get(&operation.token)) {
                    match operation.value {
                        Some(value) => state.insert(operation.token, value),
                        None => state.remove(&operation.token),
                    };
                }
            }
        }
        Step::Expire(before) => state.retain(|_, value| value.time >= *before),
        Step::Load(records) => {
            for record in records {
                // The first of equally new ones counts, and what the store has comes first.
                if state.get(&record.token).is_none_or(|found| found.time < record.time()) {
                    state.insert(record.token, record.value());
                }
            }
        }
        _ => {}
    }
    state
}

/// What a crash at a moment may leave.
#[derive(Clone)]
struct Allowed {
    states: RangeInclusive<usize>,
    /// Whether there may be no store at all.
    is_absent: bool,
}

/// What was done, and what each moment may lead to.
struct Played {
    disk: SimDisk,
    states: Vec<State>,
    /// By the number of operations on the disk before it.
    allowed: Vec<Allowed>,
    /// The number of the state after so many operations, where a step ended with them.
    reached: BTreeMap<usize, usize>,
}

impl Played {
    /// How many files there were at a time, at the most.
    fn most(&self, is_it: fn(&str) -> bool) -> usize {
        let names = |moment| self.disk.killed(moment).list().unwrap();
        let count = |moment| names(moment).iter().filter(|name| is_it(name)).count();
        (0..self.allowed.len()).map(count).max().unwrap_or(0)
    }
}

impl Scenario {
    fn play(&self) -> Played {
        let mut disk = SimDisk::default();
        let mut store = self.create(&disk).unwrap();
        let mut states = vec![State::new()];
        let mut durable = 0;
        let mut allowed = vec![Allowed { states: 0..=0, is_absent: true }; disk.operations()];
        let mut reached = BTreeMap::from([(disk.operations(), 0)]);
        for step in &self.steps {
            let before = durable;
            states.push(after(&states[states.len() - 1], step));
            let last = states.len() - 1;
            match step {
                Step::Commit(batch, durability) => {
                    store.commit_with(batch, *durability).unwrap();
                    if *durability == Durability::Synced {
                        durable = last;
                    }
                }
                Step::Sync => store.sync().unwrap(),
                Step::Flush => store.flush().unwrap(),
                Step::Compact => self.compact(&store).unwrap(),
                Step::Expire(before) => assert!(store.expire(*before, UNWATCHED).is_ok()),
                Step::Load(records) => load(&store, records).unwrap(),
                Step::Checkpoint => {
                    let beside = disk.beside();
                    beside.checkpoint(&store, UNWATCHED).unwrap();
                    assert!(self.recover(&beside).as_ref() == states.last());
                }
                Step::Reopen => {
                    store.close().unwrap();
                    store = Store::open_on(disk.clone(), &self.options()).unwrap();
                }
                Step::Kill => {
                    disk = disk.killed(disk.operations());
                    store = Store::open_on(disk.clone(), &self.options()).unwrap();
                }
            }
            match step {
                Step::Commit(..) | Step::Compact | Step::Checkpoint => {}
                _ => durable = last,
            }
            assert!(self.contents(&store) == states[last]);
            let allowed_here = Allowed { states: before..=last, is_absent: false };
            allowed.resize(disk.operations(), allowed_here);
            reached.insert(disk.operations(), last);
        }
        // What is done in the background is done by then.
        store.close().unwrap();
        let last = states.len() - 1;
        let mut at_the_end = Allowed { states: durable..=last, is_absent: false };
        allowed.resize(disk.operations(), at_the_end.clone());
        at_the_end.states = last..=last;
        allowed.push(at_the_end);
        Played { disk, states, allowed, reached }
    }
}
