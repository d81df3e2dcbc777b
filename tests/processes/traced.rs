//! Errors and kills at each call of the system that a short run makes for its files.
//!
//! `strace` fails the n-th call of a kind, or each from the n-th on, or kills the process in
//! place of the n-th. What the process said is then compared with what is found. Calls are
//! counted by thread, as `strace` does, and only those for files of the stores: so nothing
//! befalls the program before it begins.
//!
//! A kill in place of a call is one after the call before it, too: in between nothing happens
//! to the files. Results that are made up (`retval`) are no part of this: a call that says it
//! has written what it has not is no error of a kind that anything could survive.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use crate::program::{Heard, arguments};
use crate::published::system::directory;
use crate::tools::can_trace;

/// Calls that cannot fail, or whose failure means nothing to anybody.
const UNFAILING: [&str; 4] = ["close", "lseek", "fcntl", "munmap"];

/// What a call may fail with once, so that nobody notices.
const RETRIED: &str = "EINTR";

/// What each call may fail with.
const ERRORS: &[(&str, &[&str])] = &[
    ("fallocate", &["EIO", "ENOSPC", "EDQUOT", "EFBIG", RETRIED]),
    ("fchmod", &["EIO", "EPERM", RETRIED]),
    ("fdatasync", &["EIO", "ENOSPC", "EDQUOT", RETRIED]),
    ("flock", &["EIO", "ENOLCK"]),
    ("fstat", &["EIO", "ENOMEM"]),
    ("fsync", &["EIO", "ENOSPC", "EDQUOT", RETRIED]),
    ("ftruncate", &["EIO", "ENOSPC", "EFBIG", RETRIED]),
    ("getdents64", &["EIO", "ENOMEM", RETRIED]),
    ("link", &["EIO", "ENOSPC", "EDQUOT", "EMLINK"]),
    ("linkat", &["EIO", "ENOSPC", "EDQUOT", "EMLINK"]),
    ("mkdir", &["EIO", "ENOSPC", "EDQUOT"]),
    ("mmap", &["ENOMEM", "EPERM", "EAGAIN", "ENFILE"]),
    ("newfstatat", &["EIO", "ENOMEM"]),
    ("openat", &["EIO", "EMFILE", "ENFILE", "ENOSPC", "ENOMEM", RETRIED]),
    ("pread64", &["EIO", "ENOMEM", RETRIED]),
    ("pwrite64", &["EIO", "ENOSPC", "EDQUOT", RETRIED]),
    ("read", &["EIO", "ENOMEM", RETRIED]),
    ("rename", &["EIO", "ENOSPC", "EDQUOT"]),
    ("rmdir", &["EIO"]),
    ("statfs", &["EIO", "ENOSYS"]),
    ("statx", &["EIO", "ENOMEM"]),
    ("sync_file_range", &["EIO", "ENOSPC"]),
    ("unlink", &["EIO", "EPERM"]),
    ("write", &["EIO", "ENOSPC", "EDQUOT", RETRIED]),
];

/// What befalls a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Blow {
    /// One call fails.
    Once(&'static str),
    /// All from one on fail.
    FromThenOn(&'static str),
    Kill,
}

/// What befalls a run, at which call.
#[derive(Clone, Debug)]
struct Case {
    call: String,
    number: usize,
    blow: Blow,
}

impl Case {
    fn injection(&self) -> String {
        let Self { call, number, blow } = self;
        match blow {
            Blow::Once(error) => format!("inject={call}:error={error}:when={number}"),
            Blow::FromThenOn(error) => format!("inject={call}:error={error}:when={number}+"),
            Blow::Kill => format!("inject={call}:signal=KILL:when={number}"),
        }
    }
}

/// A command that runs the program under `strace`, which writes down what it sees of files of
/// these names, or of all.
pub(crate) fn traced(directory: &TempDir, names: &BTreeSet<String>, options: &[&str]) -> Command {
    let path = directory.path();
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-y", "-o"]).arg(trace_of(path)).args(options);
    for name in names {
        command.arg("-P").arg(path.join(name));
    }
    command.args(arguments());
    command
}

fn trace_of(directory: &Path) -> std::path::PathBuf {
    directory.join("trace")
}

pub(crate) fn trace(directory: &TempDir) -> String {
    std::fs::read_to_string(trace_of(directory.path())).unwrap()
}

/// The files that a run has to do with, by their names in its directory.
fn names() -> BTreeSet<String> {
    let directory = directory();
    let command = traced(&directory, &BTreeSet::new(), &["-e", "trace=%file,%desc"]);
    let heard = Heard::of(command, directory.path());
    assert!(heard.status.success() && heard.is_whole, "{heard:?}");
    heard.check(directory.path());
    let trace = trace(&directory);
    let prefix = directory.path().to_str().unwrap();
    let places = trace.match_indices(prefix).map(|(at, _)| &trace[at + prefix.len()..]);
    let names = places.filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"/.-_#".contains(c));
        let name = rest[..end?].trim_start_matches('/');
        (["store", "copy"].iter().any(|store| name.starts_with(store))).then(|| name.to_string())
    });
    names.collect()
}

/// How often each call is made for these files, by the thread that makes it most often.
fn calls(names: &BTreeSet<String>) -> BTreeMap<String, usize> {
    let directory = directory();
    let heard = Heard::of(traced(&directory, names, &[]), directory.path());
    assert!(heard.status.success() && heard.is_whole, "{heard:?}");
    heard.check(directory.path());
    let mut by_thread = BTreeMap::new();
    for line in trace(&directory).lines() {
        let (thread, rest) = line.split_once(' ').unwrap();
        let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
        if call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            *by_thread.entry((call.to_string(), thread.to_string())).or_insert(0) += 1;
        }
    }
    let mut calls = BTreeMap::new();
    for ((call, _), count) in by_thread {
        let most = calls.entry(call).or_insert(0);
        *most = count.max(*most);
    }
    calls
}

fn cases(calls: &BTreeMap<String, usize>) -> Vec<Case> {
    let mut cases = Vec::new();
    for (call, count) in calls {
        let errors = ERRORS.iter().find(|(name, _)| name == call).map_or(&[][..], |entry| entry.1);
        assert!(
            !errors.is_empty() || UNFAILING.contains(&call.as_str()),
            "nobody has said what {call} may fail with"
        );
        let once = errors.iter().copied().map(Blow::Once);
        // A call that is always interrupted never ends.
        let on = errors.iter().copied().filter(|error| *error != RETRIED).map(Blow::FromThenOn);
        let blows: Vec<_> = once.chain(on).chain([Blow::Kill]).collect();
        for number in 1..=*count {
            let case = |blow| Case { call: call.clone(), number, blow };
            cases.extend(blows.iter().copied().map(case));
        }
    }
    cases
}

/// What came of all runs.
#[derive(Default, Debug)]
struct Counts {
    runs: usize,
    killed: usize,
    /// Went on to the end, and reported nothing.
    unnoticed: usize,
    /// Reported something, and went on to the end.
    overcome: usize,
    gave_up: usize,
}

/// Whether what failed is the sync of a log or a directory, on which something depends that is
/// reported. A file that has no name yet can be made anew, without a word, by whoever needs it.
fn is_last_sync(trace: &str) -> bool {
    trace.lines().filter(|line| line.contains("(INJECTED)")).any(|line| {
        let file = line.split_once("sync(").and_then(|(_, rest)| rest.split_once('>')).unzip().0;
        file.is_some_and(|file| ["/store", "/copy", ".log"].iter().any(|end| file.ends_with(end)))
    })
}

/// Runs the program while one thing befalls it.
fn strike(names: &BTreeSet<String>, case: &Case, counts: &Mutex<Counts>) {
    let directory = directory();
    let (trace_option, injection) = (format!("trace={}", case.call), case.injection());
    let command = traced(&directory, names, &["-e", &trace_option, "-e", &injection]);
    let heard = Heard::of(command, directory.path());
    let trace = trace(&directory);
    let is_struck = trace.contains("(INJECTED)") || trace.contains("+++ killed by SIGKILL");
    assert!(is_struck, "{case:?} never came: {trace}");
    assert!(heard.rest.is_empty(), "{case:?}: {heard:#?}");
    if case.blow == Blow::Kill {
        assert_eq!(heard.status.signal(), Some(9), "{case:?}: {heard:?}");
    } else {
        assert!(heard.status.success(), "{case:?}: {heard:#?}");
        let Blow::Once(error) = case.blow else { return count(&heard, case, counts, &directory) };
        // Once is not twice: what is tried again is done.
        assert!(heard.is_whole, "{case:?}: {heard:#?}");
        let is_noticed = !heard.failures.is_empty();
        assert!(error != RETRIED || !is_noticed, "{case:?}: {heard:#?}");
        assert!(error == RETRIED || is_noticed || !is_last_sync(&trace), "{case:?}: {trace}");
    }
    count(&heard, case, counts, &directory);
}

fn count(heard: &Heard, case: &Case, counts: &Mutex<Counts>, directory: &TempDir) {
    let checked = catch_unwind(|| heard.check(directory.path()));
    assert!(checked.is_ok(), "{case:?}: {heard:#?}");
    let mut counts = counts.lock().unwrap();
    counts.runs += 1;
    let of = match (case.blow, heard.is_whole, heard.failures.is_empty()) {
        (Blow::Kill, ..) => &mut counts.killed,
        (_, true, true) => &mut counts.unnoticed,
        (_, true, false) => &mut counts.overcome,
        (_, false, _) => &mut counts.gave_up,
    };
    *of += 1;
}

/// Runs the program for the first two calls of each kind, whatever befalls them, and once for
/// each so many of all cases.
fn strike_each(stride: usize) -> Counts {
    let names = names();
    let calls = calls(&names);
    let cases = cases(&calls);
    println!("{} cases at {calls:?}", cases.len());
    let chosen = cases.iter().enumerate();
    let chosen = chosen.filter(|(at, case)| case.number <= 2 || at.is_multiple_of(stride));
    let chosen: Vec<_> = chosen.map(|(_, case)| case).collect();
    let (next, counts) = (AtomicUsize::new(0), Mutex::default());
    let wrong: Mutex<Vec<&Case>> = Mutex::default();
    let workers = std::thread::available_parallelism().unwrap().get();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(case) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let struck = catch_unwind(AssertUnwindSafe(|| strike(&names, case, &counts)));
                    if struck.is_err() {
                        wrong.lock().unwrap().push(case);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {} went wrong: {wrong:#?}", wrong.len(), chosen.len());
    let counts = counts.into_inner().unwrap();
    println!("{counts:?}");
    assert_eq!(counts.runs, chosen.len());
    let Counts { killed, unnoticed, overcome, gave_up, .. } = counts;
    let least = killed.min(unnoticed).min(overcome).min(gave_up);
    assert!(least * 40 > counts.runs, "too few of one kind: {counts:?}");
    counts
}

/// A sync of a log whose error was ignored, room for a log that was not asked for again after a
/// signal, a listing that was not either, and a directory that was said to be none as it could
/// not be looked at were tried, and each made this test fail.
#[test]
fn some_calls_fail_or_are_the_last() {
    if can_trace() {
        let counts = strike_each(61);
        assert!(counts.runs >= 300, "{counts:?}");
    }
}

#[test]
#[ignore = "each call: cargo test --release --test processes -- --ignored --nocapture each_call"]
fn each_call_fails_or_is_the_last() {
    if can_trace() {
        let counts = strike_each(1);
        assert!(counts.runs >= 3_000, "{counts:?}");
    }
}
