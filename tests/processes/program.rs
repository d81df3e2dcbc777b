//! A short run of all that a store does, in a process of its own in which something goes
//! wrong; and whether what it said is what is found afterwards.
//!
//! It creates a store, commits, loads, expires, flushes, compacts, makes a checkpoint, closes,
//! opens again and reads, all by itself in one thread. What fails is tried once more, in a
//! store that was opened anew if the outcome is not known. Before each step and after each that
//! is done it says so, and that something failed as well. So whoever runs it knows at the
//! least, and at the most, what must be there.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use ringstore::{Error, Options, Result, Store};

use crate::history::{self, Model, check, steps, unwatched};
use crate::published::system::names;

const STORE: &str = "RINGSTORE_SHORT_RUN_STORE";

/// Enough for two expiries and two loads.
const STEPS: u64 = 36;

pub(crate) fn options() -> Options {
    // The same calls in every run.
    history::options().inline()
}

fn copy_of(store: &Path) -> PathBuf {
    store.with_file_name("copy")
}

fn say(line: std::fmt::Arguments<'_>) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// How something failed that may fail.
#[derive(PartialEq)]
enum Failure {
    /// All is as it was.
    Undone,
    /// It may be done or not: only a store that is opened anew tells.
    Unknown,
}

/// Says what failed, and how; it must be an error that stands for a disk which fails.
fn failure(what: &str, error: &Error) -> Failure {
    say(format_args!("failed {what}: {error}"));
    match error {
        Error::Io { .. } | Error::NoSpace { .. } => Failure::Undone,
        Error::OutcomeUnknown { .. } | Error::Unwritable { .. } => Failure::Unknown,
        other => panic!("{what} failed with what no disk says: {other:?}"),
    }
}

/// Something is left of what failed before, because that could not be removed either.
fn left_over(path: &Path, error: &Error) -> Error {
    let source = std::io::Error::other(error.to_string());
    Error::Io { operation: "make", path: path.into(), source }
}

/// Tries something twice; nothing if it fails again.
fn twice<T>(what: &str, mut attempt: impl FnMut() -> Result<T>) -> Option<T> {
    for _ in 0..2 {
        match attempt() {
            Ok(done) => return Some(done),
            Err(error) => _ = failure(what, &error),
        }
    }
    None
}

struct Run {
    path: PathBuf,
    store: Store,
    /// Steps that are done.
    done: u64,
}

impl Run {
    /// Creates a store, and once more if that failed: nothing is left of it then, unless it
    /// could not be removed.
    fn begin(path: PathBuf) -> Option<Self> {
        let create = || match Store::create(&path, &options()) {
            Err(error @ Error::AlreadyExists { .. }) => Err(left_over(&path, &error)),
            created => created,
        };
        let store = twice("create", create)?;
        let run = Self { path, store, done: 0 };
        run.compare(0);
        say(format_args!("created"));
        Some(run)
    }

    /// Reads must go on, whatever failed, and show what was done, or that and one step more.
    fn compare(&self, possible_steps: u64) -> u64 {
        let snapshot = self.store.snapshot();
        let mut model = Model::default();
        model.follow(&snapshot, self.done);
        assert!(model.steps <= self.done + possible_steps, "{} of {}", model.steps, self.done);
        model.steps
    }

    /// Opens the store anew, in place of one that can only be read.
    fn open_anew(mut self, possible_steps: u64) -> Option<Self> {
        self.compare(possible_steps);
        let Self { path, store, done } = self;
        drop(store);
        let store = twice("open", || Store::open(&path, &options()))?;
        self = Self { path, store, done };
        self.done = self.compare(possible_steps);
        say(format_args!("done {}", self.done));
        Some(self)
    }

    /// Takes a step, if it is not found to be done after it failed.
    fn take(mut self, number: u64) -> Option<Self> {
        for _ in 0..2 {
            say(format_args!("begin {number}"));
            let Err(error) = history::take(&self.store, number) else {
                self.done = number;
                say(format_args!("done {number}"));
                return Some(self);
            };
            if failure("step", &error) == Failure::Undone {
                self.compare(0);
                say(format_args!("undone {number}"));
            } else {
                self = self.open_anew(1)?;
                if self.done == number {
                    return Some(self);
                }
            }
        }
        None
    }

    /// Does what changes nothing that is seen.
    fn attempt(mut self, what: &str, attempt: impl Fn(&Store) -> Result<()>) -> Option<Self> {
        for _ in 0..2 {
            let Err(error) = attempt(&self.store) else { return Some(self) };
            if failure(what, &error) == Failure::Undone {
                self.compare(0);
            } else {
                self = self.open_anew(0)?;
            }
        }
        None
    }

    /// Closes the store and opens it again. Nothing that was done depends on how it is closed.
    fn reopen(self) -> Option<Self> {
        let Self { path, store, done } = self;
        if let Err(error) = store.close() {
            failure("close", &error);
        }
        let store = twice("open", || Store::open(&path, &options()))?;
        let run = Self { path, store, done };
        run.compare(0);
        Some(run)
    }

    fn checkpoint(self) -> Option<Self> {
        let (copy, done) = (copy_of(&self.path), self.done);
        let run = self.attempt("checkpoint", |store| {
            match store.checkpoint(&copy, &unwatched) {
                // One whose last step failed may be there nevertheless.
                Err(Error::AlreadyExists { .. }) if copy.join("MANIFEST").exists() => Ok(()),
                Err(error @ Error::AlreadyExists { .. }) => Err(left_over(&copy, &error)),
                made => made.map(drop),
            }
        })?;
        say(format_args!("copied {done}"));
        Some(run)
    }

    /// Opens the store as another process would that only reads.
    fn read(self) -> Option<Self> {
        let reader = twice("read", || Store::open_read_only(&self.path, &options()))?;
        Model::default().follow(&reader.snapshot(), self.done);
        let run = self.take(STEPS)?;
        twice("refresh", || reader.refresh())?;
        Model::default().follow(&reader.snapshot(), run.done);
        twice("verify", || reader.verify(&unwatched).map(|report| assert_eq!(report.damages, [])))?;
        Some(run)
    }
}

/// All of it, unless something fails again and again.
fn short_run(path: PathBuf) -> Option<()> {
    let mut run = Run::begin(path)?;
    for number in 1..STEPS {
        run = run.take(number)?;
        run = match number {
            5 | 20 => run.attempt("flush", Store::flush)?,
            12 | 30 => run.attempt("compact", |store| store.compact(&unwatched))?,
            14 => run.reopen()?,
            25 => run.checkpoint()?,
            _ => run,
        };
    }
    run = run.read()?.reopen()?;
    if let Err(error) = run.store.close() {
        failure("close", &error);
    }
    Some(())
}

/// The program; of no use by itself.
#[test]
fn run() {
    let Some(path) = std::env::var_os(STORE) else { return };
    let is_whole = short_run(path.into()).is_some();
    say(format_args!("{}", if is_whole { "end" } else { "gave up" }));
}

/// How this program is run once more to do the short run.
pub(crate) fn arguments() -> Vec<PathBuf> {
    let program = std::env::current_exe().unwrap();
    let options = ["--exact", "program::run", "--nocapture", "--test-threads=1"];
    std::iter::once(program).chain(options.map(Into::into)).collect()
}

/// What a short run said.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) status: ExitStatus,
    is_created: bool,
    /// Steps that are there in any case.
    done: u64,
    /// Steps that may be there.
    begun: u64,
    /// The steps in the checkpoint that was made.
    copied: Option<u64>,
    pub(crate) failures: Vec<String>,
    pub(crate) is_whole: bool,
    /// What else there was.
    pub(crate) rest: Vec<String>,
}

impl Heard {
    /// Runs a command that runs the program on a store in a directory.
    pub(crate) fn of(mut command: Command, directory: &Path) -> Self {
        command.env(STORE, directory.join("store")).env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (mut is_created, mut is_whole, mut copied) = (false, false, None);
        let (mut done, mut begun, mut failures, mut rest) = (0, 0, vec![], vec![]);
        for line in BufReader::new(process.stderr.take().unwrap()).lines() {
            let line = line.unwrap();
            let (word, number) = line.split_once(' ').unwrap_or((&line, ""));
            let number = number.parse().ok();
            match (word, number) {
                ("created", None) => is_created = true,
                ("begin", Some(number)) => begun = number,
                ("done", Some(number)) => (done, begun) = (number, number),
                ("undone", Some(number)) => begun = number - 1,
                ("copied", Some(number)) => copied = Some(number),
                ("failed", None) => failures.push(line),
                ("gave", None) => {}
                ("end", None) => is_whole = true,
                _ => rest.push(line),
            }
        }
        let status = process.wait().unwrap();
        Self { status, is_created, done, begun, copied, failures, is_whole, rest }
    }

    /// Looks whether what was said is there, whether it is whole, and whether a writer can go
    /// on with it.
    pub(crate) fn check(&self, directory: &Path) {
        let path = directory.join("store");
        let store = if self.is_created {
            Store::open(&path, &options()).unwrap()
        } else {
            Store::open_or_create(&path, &options()).unwrap()
        };
        let model = check(&store, self.done, self.begun);
        history::take(&store, model.steps + 1).unwrap();
        store.compact(&unwatched).unwrap();
        check(&store, model.steps + 1, model.steps + 1);
        store.close().unwrap();
        let names = names(&path);
        let ours = |name: &String| matches!(name.rsplit_once('.'), Some((_, "seg" | "log")));
        let others: Vec<_> = names.iter().filter(|name| !ours(name)).collect();
        assert_eq!(others, ["LOCK", "MANIFEST"], "{names:?}");
        // A checkpoint without a manifest is none, and files that it left are to be removed.
        let copy = copy_of(&path);
        if copy.join("MANIFEST").exists() {
            let copy = Store::open(copy, &options()).unwrap();
            let copied = self.copied.unwrap_or_else(|| steps(&copy.snapshot()));
            check(&copy, copied, copied);
        } else {
            assert_eq!(self.copied, None);
        }
    }
}
