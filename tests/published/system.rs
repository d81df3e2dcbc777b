//! Other processes, and what the operating system says of this one.
//!
//! A reader that is a process is the test's own program, run once more. Through pipes it
//! says how far what it read was, and asks how much was acknowledged by now; so both are
//! checked against what a writer in the parent knows, and nobody waits for a time.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

const STORE: &str = "RINGSTORE_READER_TEST_STORE";

/// What a writer tells others while it commits.
#[derive(Default)]
pub(crate) struct Progress {
    /// The last commit that was begun.
    pub(crate) begun: AtomicU64,
    /// The last one that was acknowledged.
    pub(crate) acknowledged: AtomicU64,
    /// Readers that are not done.
    pub(crate) readers: AtomicUsize,
    /// The writer commits no more.
    pub(crate) is_over: AtomicBool,
}

impl Progress {
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    pub(crate) fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// Counts a reader until what is returned is dropped, be it by a panic.
    pub(crate) fn reader(&self) -> Reading<'_> {
        self.readers.fetch_add(1, Ordering::SeqCst);
        Reading(self)
    }

    pub(crate) fn is_read(&self) -> bool {
        self.readers.load(Ordering::SeqCst) > 0
    }

    /// Says that the writer commits no more once what is returned is dropped, be it by a
    /// panic.
    pub(crate) fn writer(&self) -> Writing<'_> {
        Writing(self)
    }

    /// Waits until more is acknowledged, and says how much.
    pub(crate) fn more_than(&self, commits: u64) -> u64 {
        loop {
            let acknowledged = self.acknowledged();
            if acknowledged > commits {
                return acknowledged;
            }
            assert!(!self.is_over.load(Ordering::SeqCst), "the writer ended");
            std::thread::yield_now();
        }
    }
}

pub(crate) struct Writing<'a>(&'a Progress);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }
}

pub(crate) struct Reading<'a>(&'a Progress);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The store that this program is to read, if it is a reader.
pub(crate) fn store_to_read() -> Option<std::path::PathBuf> {
    std::env::var_os(STORE).map(Into::into)
}

/// Says how far what was read is, and asks how many commits are acknowledged.
pub(crate) fn ask_parent(commits: u64) -> u64 {
    std::io::stderr().write_all(format!("{commits}\n").as_bytes()).unwrap();
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    line.trim().parse().expect("the parent says how many commits are acknowledged")
}

/// Says something else, as the last thing.
pub(crate) fn tell_parent(figures: &str) {
    std::io::stderr().write_all(format!("done {figures}\n").as_bytes()).unwrap();
}

/// How this program is run once more to do what one of its tests does.
pub(crate) fn command(test: &str, store: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(STORE, store);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// A reader that is a process.
pub(crate) struct Reader {
    pub(crate) process: Child,
    input: ChildStdin,
    output: BufReader<ChildStderr>,
}

impl Reader {
    pub(crate) fn spawn(test: &str, store: &Path) -> Self {
        Self::start(&mut command(test, store))
    }

    pub(crate) fn start(command: &mut Command) -> Self {
        let mut process = command.spawn().unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stderr.take().unwrap());
        Self { process, input, output }
    }

    /// How many commits were in what it read, as it says when it asks; or what it said in
    /// the end.
    pub(crate) fn hear(&mut self) -> Result<u64, String> {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        if let Some(figures) = line.strip_prefix("done ") {
            return Err(figures.trim().to_string());
        }
        Ok(line.trim().parse().unwrap_or_else(|_| {
            self.output.read_to_string(&mut line).unwrap();
            panic!("the reader said: {line}");
        }))
    }

    /// Says how many commits are acknowledged.
    pub(crate) fn tell(&mut self, commits: u64) {
        writeln!(self.input, "{commits}").unwrap();
    }

    /// Answers one question, once there is news; what it said, if that was something else.
    pub(crate) fn answer(&mut self, progress: &Progress, told: &mut u64) -> Option<String> {
        self.answer_with(progress, told, |told| progress.more_than(told))
    }

    /// Answers one question with a number of acknowledged commits, given the one before; what
    /// it said, if that was something else. What it read must not be farther than the writer
    /// is, nor less far than it was told before.
    fn answer_with(
        &mut self,
        progress: &Progress,
        told: &mut u64,
        next: impl Fn(u64) -> u64,
    ) -> Option<String> {
        let found = match self.hear() {
            Ok(found) => found,
            Err(figures) => return Some(figures),
        };
        let begun = progress.begun();
        assert!(found <= begun, "{found} commits were read, {begun} begun");
        assert!(found >= *told, "{found} commits were read, {told} acknowledged before");
        *told = next(*told);
        self.tell(*told);
        None
    }

    /// Answers all questions, each when there is news; what it said in the end.
    pub(crate) fn run(self, progress: &Progress) -> String {
        self.run_with(progress, |told| progress.more_than(told))
    }

    /// Answers all questions at once; what it said in the end.
    pub(crate) fn run_without_pause(self, progress: &Progress) -> String {
        self.run_with(progress, |_| progress.acknowledged())
    }

    fn run_with(mut self, progress: &Progress, next: impl Fn(u64) -> u64) -> String {
        // The first thing that it says is that it has read nothing.
        let mut told = 0;
        let figures = loop {
            if let Some(figures) = self.answer_with(progress, &mut told, &next) {
                break figures;
            }
        };
        let ended = self.process.wait().unwrap();
        assert!(ended.success(), "{ended}");
        figures
    }

    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// A directory that is in memory where there is such a place: a thousand flushes sync six
/// thousand times, and what is asked here is not whether a disk is slow.
pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A figure of /proc/self/status, in KiB if it is of memory.
pub(crate) fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).expect(name);
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

pub(crate) fn open_files() -> usize {
    // One of them is the list itself.
    std::fs::read_dir("/proc/self/fd").unwrap().count() - 1
}

pub(crate) fn names(directory: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// How many names end so.
pub(crate) fn count(names: &BTreeSet<String>, end: &str) -> u64 {
    names.iter().filter(|name| name.ends_with(end)).count() as u64
}

/// Bytes of all files that are there by name.
pub(crate) fn bytes(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).unwrap();
    // Some may be gone by now.
    entries.filter_map(|entry| entry.unwrap().metadata().ok()).map(|data| data.len()).sum()
}
