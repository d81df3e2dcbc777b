//! Every call of every scenario fails in every way, once and from then on: the store says so,
//! goes on being read, takes commits again unless it cannot know what the disk has, and what
//! is there afterwards is what it said.
//!
//! A call that is interrupted is tried again below the disk, so that here it fails like any
//! other; that nobody notices one that was, is a matter of real system calls.

use std::fmt;

use super::scripts::ALL;
use super::*;
use crate::format::names::{UNSYNCED, is_temporary};
use crate::testing::sim::{Effect, Fault};

/// Images of the power failing after each of them.
const IMAGES: usize = 2;

/// Ways in which a call fails.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Way {
    /// Input and output, nothing being done.
    Io,
    /// The same, most of it being done.
    IoInPart,
    /// The same, all of it being done.
    IoAfterwards,
    NoSpace,
    /// No space for all of it: a short write.
    ShortWrite,
    /// The same after hardly anything.
    ShorterWrite,
    /// The end of the file where there should be more.
    ShortRead,
    /// Too many open files.
    TooManyFiles,
    /// No memory, as when a map is refused.
    NoMemory,
    Interrupted,
}

impl Way {
    const OF_OPERATIONS: [Self; 9] = [
        Self::Io,
        Self::IoInPart,
        Self::IoAfterwards,
        Self::NoSpace,
        Self::ShortWrite,
        Self::ShorterWrite,
        Self::TooManyFiles,
        Self::NoMemory,
        Self::Interrupted,
    ];

    const OF_READS: [Self; 5] =
        [Self::Io, Self::ShortRead, Self::TooManyFiles, Self::NoMemory, Self::Interrupted];

    fn apply(self, fault: Fault) -> Fault {
        let (errno, effect) = match self {
            Self::Io => (libc::EIO, Effect::Nothing),
            Self::IoInPart => (libc::EIO, Effect::Part(255)),
            Self::IoAfterwards => (libc::EIO, Effect::Everything),
            Self::NoSpace => (libc::ENOSPC, Effect::Nothing),
            Self::ShortWrite => (libc::ENOSPC, Effect::Part(128)),
            Self::ShorterWrite => (libc::ENOSPC, Effect::Part(1)),
            Self::ShortRead => (libc::EIO, Effect::Part(128)),
            Self::TooManyFiles => (libc::EMFILE, Effect::Nothing),
            Self::NoMemory => (libc::ENOMEM, Effect::Nothing),
            Self::Interrupted => (libc::EINTR, Effect::Nothing),
        };
        fault.errno(errno).effect(effect)
    }

    fn is_no_space(self) -> bool {
        matches!(self, Self::NoSpace | Self::ShortWrite | Self::ShorterWrite)
    }
}

/// What fails: a call of the disk, which of them, how, and whether those after it do as well.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "the scenario's name is for messages")]
struct Failure {
    scenario: &'static str,
    of_read: bool,
    at: usize,
    way: Way,
    lasts: bool,
}

/// How often something happened.
#[derive(Default)]
struct Counts(BTreeMap<String, usize>);

impl Counts {
    fn add(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    fn get(&self, what: &str) -> usize {
        self.0.get(what).copied().unwrap_or(0)
    }

    fn with(mut self, other: Self) -> Self {
        other.0.into_iter().for_each(|(what, times)| *self.0.entry(what).or_default() += times);
        self
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(what, times)| writeln!(f, "{times:8} {what}"))
    }
}

/// A store while something fails.
struct Run<'a> {
    scenario: &'a Scenario,
    failure: Failure,
    disk: SimDisk,
    /// Reads of earlier processes.
    reads: usize,
    state: State,
    /// What may be there as well when the store is opened anew.
    maybe: Option<State>,
    /// What was told of already.
    told: Vec<String>,
    counts: Counts,
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario, failure: Failure) -> Self {
        let run = Self {
            scenario,
            failure,
            disk: SimDisk::default(),
            reads: 0,
            state: State::new(),
            maybe: None,
            told: Vec::new(),
            counts: Counts::default(),
        };
        run.arm();
        run
    }

    fn arm(&self) {
        let Failure { of_read, at, way, lasts, .. } = self.failure;
        let fault = match of_read {
            true if at < self.reads => return,
            true => Fault::at_read(at - self.reads),
            false => Fault::at_operation(at),
        };
        let fault = way.apply(fault);
        self.disk.fail(if lasts { fault.lasting() } else { fault });
    }

    /// Whether anything has failed yet.
    fn is_struck(&self) -> bool {
        if self.failure.of_read {
            self.reads + self.disk.reads() > self.failure.at
        } else {
            self.disk.operations() > self.failure.at
        }
    }

    /// The call that failed, in a word.
    fn struck(&self) -> String {
        let at = self.failure.at;
        let words = match self.failure.of_read {
            true if at < self.reads => "read before a kill".to_string(),
            true => self.disk.describe_read(at - self.reads).to_string(),
            false => self.disk.describe(at),
        };
        words.trim_start_matches("fail to ").split(' ').next().unwrap_or_default().to_string()
    }

    /// An error is one that can be, and says what failed.
    fn judge(&mut self, error: &Error) {
        assert!(self.is_struck(), "{error}");
        let Failure { way, lasts, .. } = self.failure;
        // What fails once is one error, which a store that is closed repeats if what failed was
        // not done since; unless it is only read from then on.
        if !matches!(error, Error::Unwritable { .. } | Error::OutcomeUnknown { .. }) {
            let is_one = self.told.iter().all(|told| *told == error.to_string());
            assert!(lasts || is_one, "{:?}: {error}, after {:?}", self.failure, self.told);
        }
        self.told.push(error.to_string());
        self.counts.add(match error {
            Error::Io { .. } => "failed",
            Error::OutcomeUnknown { .. } => "unknown outcomes",
            Error::NoSpace { .. } if way.is_no_space() => "without space",
            Error::Unwritable { .. } => "refused after an unknown outcome",
            error => panic!("{:?}: {error}", self.failure),
        });
    }

    /// A new process opens the store; if it cannot, the disk is mended first.
    fn reopen(&mut self) -> Store {
        let options = self.scenario.options();
        let store = Store::open_on(self.disk.clone(), &options).unwrap_or_else(|error| {
            self.judge(&error);
            self.disk.heal();
            Store::open_on(self.disk.clone(), &options).unwrap()
        });
        let found = self.scenario.contents(&store);
        let is_right = found == self.state || Some(&found) == self.maybe.as_ref();
        assert!(is_right, "{:?}: {:?}", self.failure, self.told);
        (self.state, self.maybe) = (found, None);
        store
    }

    fn step(&mut self, store: Store, step: &Step) -> Store {
        let (next, was_struck) = (after(&self.state, step), self.is_struck());
        let done = match step {
            Step::Commit(batch, durability) => store.commit_with(batch, *durability).map(drop),
            Step::Sync => store.sync(),
            Step::Flush => store.flush(),
            Step::Compact => self.scenario.compact(&store),
            Step::Expire(before) => store.expire(*before, UNWATCHED).map(drop),
            Step::Load(records) => load(&store, records),
            Step::Checkpoint => {
                let beside = self.disk.beside();
                let made = beside.checkpoint(&store, UNWATCHED);
                let names = beside.list().unwrap();
                match made {
                    Ok(_) => assert!(self.scenario.recover(&beside).as_ref() == Some(&self.state)),
                    Err(_) => assert_eq!(names, [""; 0], "{:?}", self.failure),
                }
                made.map(drop)
            }
            Step::Reopen => {
                if let Err(error) = store.close() {
                    self.judge(&error);
                }
                return self.reopen();
            }
            Step::Kill => {
                let killed = self.disk.killed(self.disk.operations());
                self.reads += self.disk.reads();
                self.disk = killed;
                self.arm();
                return self.reopen();
            }
        };
        let found = self.scenario.contents(&store);
        match done {
            Ok(()) => {
                self.state = next;
                if self.is_struck() && !was_struck && step.makes_durable() {
                    self.fail_power(Some(&self.state.clone()));
                }
            }
            Err(error) => {
                self.judge(&error);
                self.look_for_leftovers();
                if !matches!(error, Error::OutcomeUnknown { .. }) || next == self.state {
                    // Nothing was done.
                } else if found == next {
                    // An expiry whose removals were committed, and not synced.
                    assert!(matches!(step, Step::Expire(_)), "{:?}: {step:?}", self.failure);
                    self.maybe = Some(std::mem::replace(&mut self.state, next));
                } else {
                    self.maybe = Some(next);
                }
            }
        }
        assert!(found == self.state, "{:?} in {step:?}", self.failure);
        store
    }

    /// Nothing is left of what was not finished, unless removing it is what failed; but what
    /// says that a manifest may not be durable stays until there is one that is.
    fn look_for_leftovers(&self) {
        if !self.failure.lasts && self.struck() != "unlink" {
            let names = self.disk.list().unwrap();
            let is_left = |name: &&String| is_temporary(name) && *name != UNSYNCED;
            let left: Vec<_> = names.iter().filter(is_left).collect();
            assert!(left.is_empty(), "{:?}: {left:?} are left", self.failure);
        }
    }

    /// If the power fails now, this is what is there.
    fn fail_power(&mut self, expected: Option<&State>) {
        for image in self.disk.some_images(self.disk.operations(), IMAGES, 1) {
            self.counts.add("images of the power failing afterwards");
            let found = self.scenario.recover(&image);
            assert!(found.as_ref() == expected, "{:?}: the power failed", self.failure);
        }
    }

    /// What is there in the end is what was said, also after the power fails.
    fn end(mut self) -> Counts {
        self.disk.heal();
        let found = self.scenario.recover(&self.disk);
        let is_right = found.as_ref() == Some(&self.state) || found == self.maybe;
        assert!(is_right, "{:?}: {:?}", self.failure, self.told);
        self.fail_power(found.as_ref());
        if self.is_struck() {
            let Failure { of_read, way, lasts, .. } = self.failure;
            let when = if lasts { "from then on" } else { "once" };
            let kind = if of_read { "read" } else { "operation" };
            self.counts.add(format!("{kind} {}: {way:?}, {when}", self.struck()));
            self.counts.add("runs");
        }
        self.counts
    }

    /// Goes through all of it; `None` once nothing fails any more.
    fn run(mut self) -> Option<Counts> {
        match self.scenario.create(&self.disk) {
            Ok(mut store) => {
                for step in &self.scenario.steps {
                    store = self.step(store, step);
                }
                drop(store);
            }
            Err(error) => {
                self.judge(&error);
                self.disk.heal();
                let found = self.scenario.recover(&self.disk);
                // What is left of it can be removed, unless that fails as well.
                let is_gone = found.is_none() || self.failure.lasts;
                assert!(is_gone, "{:?}: {error}", self.failure);
                if found.is_none() {
                    drop(self.scenario.create(&self.disk).unwrap());
                }
            }
        }
        let is_struck = self.is_struck();
        let counts = self.end();
        is_struck.then_some(counts)
    }
}

/// All that can fail in one way, one after the other.
fn fail_everywhere(
    (name, scenario): &(&'static str, Scenario),
    of_read: bool,
    way: Way,
    lasts: bool,
) -> Counts {
    let failures = (0..).map(|at| Failure { scenario: name, of_read, at, way, lasts });
    let runs = failures.map_while(|failure| Run::new(scenario, failure).run());
    runs.fold(Counts::default(), Counts::with)
}

/// Ignoring the failed sync of a commit, taking want of space for a failed write, and leaving
/// behind the manifest of a store that could not be created, or what a compaction had written,
/// were tried, and made this fail.
#[test]
fn an_error_at_any_call_is_reported_and_loses_nothing() {
    let scenarios = ALL.map(|(name, scenario)| (name, scenario()));
    let of_operations = Way::OF_OPERATIONS.map(|way| (false, way)).into_iter();
    let ways: Vec<_> = of_operations.chain(Way::OF_READS.map(|way| (true, way))).collect();
    let mut all = Vec::new();
    for scenario in scenarios.iter().filter(|(_, it)| it.flushes != Flushes::Background) {
        for (of_read, way) in &ways {
            all.extend([false, true].map(|lasts| (scenario, *of_read, *way, lasts)));
        }
    }
    let counts = on_all_cores(&all, |(scenario, of_read, way, lasts)| {
        fail_everywhere(scenario, *of_read, *way, *lasts)
    });
    let counts = counts.into_iter().fold(Counts::default(), Counts::with);
    print!("{counts}");
    for (what, least) in [
        ("runs", 10_000),
        ("unknown outcomes", 1_000),
        ("without space", 1_000),
        ("refused after an unknown outcome", 1_000),
        ("operation sync: Io, once", 100),
        ("operation write: ShortWrite, once", 100),
        ("operation rename: IoAfterwards, from then on", 10),
        ("operation create: TooManyFiles, once", 10),
        ("read map: NoMemory, once", 10),
        ("read read: ShortRead, once", 10),
        ("read open: TooManyFiles, from then on", 10),
        ("read open: Interrupted, once", 10),
    ] {
        assert!(counts.get(what) >= least, "{what}: {}", counts.get(what));
    }
}

/// Who only reads fails as well, says so, leaves no trace, and sees all of it the next time.
///
/// Going on with a log that could not be read was tried, and made this fail.
#[test]
fn an_error_at_any_call_of_a_reader() {
    let mut failures = 0;
    for (_, scenario) in ALL {
        let scenario = scenario();
        let Played { disk, states, .. } = scenario.play();
        let options = scenario.options();
        let files = disk.files();
        for way in Way::OF_READS {
            for at in 0.. {
                let first = disk.reads();
                disk.fail(way.apply(Fault::at_read(first + at)));
                let opened = disk.open_read_only(&options);
                let is_struck = disk.reads() > first + at;
                disk.heal();
                match opened {
                    Ok(store) => assert!(Some(&scenario.contents(&store)) == states.last()),
                    Err(Error::Io { .. }) => failures += 1,
                    Err(error) => panic!("{error}"),
                }
                assert!(disk.files() == files, "who only reads leaves no trace");
                if !is_struck {
                    break;
                }
            }
        }
    }
    println!("{failures} failures");
    assert!(failures > 500, "{failures}");
}
