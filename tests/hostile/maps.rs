//! Files that somebody cuts or writes into while they are mapped.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use ringstore::testing::random::Random;
use ringstore::{Error, Options, PeerId, Residency, Snapshot, Store, Verification};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::sample::{allow_writing, alone, options, place, sample};

const RESIDENCY: &str = "RINGSTORE_HOSTILE_TEST_RESIDENCY";

const SIGBUS: i32 = 7;

/// More than a huge page of records, so that a copy may be made.
const TOKENS: usize = 60_000;

fn newest_segment(store: &Path) -> std::path::PathBuf {
    ringstore::testing::damage::newest_segment(store).unwrap().unwrap()
}

/// The process that reads a file which is cut; of no use by itself.
#[test]
fn reader() {
    let Some(path) = place() else { return };
    // Nobody needs to know what was in memory when it ended.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).unwrap();
    let residency = match std::env::var(RESIDENCY).unwrap().as_str() {
        "copied" => Residency::HugePages,
        _ => Residency::Mapped,
    };
    let options = options().residency(residency);
    let store = Store::open_read_only(&path, &options).unwrap();
    let is_copied = store.residency().copied_bytes > 0;
    eprintln!("{}", if is_copied { "a copy" } else { "a map" });
    let segment = newest_segment(&path);
    allow_writing(&segment);
    File::options().write(true).open(segment).unwrap().set_len(4_096).unwrap();
    let count = store.snapshot().range(..).map(Result::unwrap).count();
    eprintln!("{count} read");
}

/// How a reader ended whose file was cut, and what it said.
fn cut(residency: &str) -> (ExitStatus, String) {
    let sample = sample(TOKENS);
    let mut command = alone("maps::reader", &sample.path());
    command.env(RESIDENCY, residency).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = command.output().unwrap();
    (output.status, String::from_utf8(output.stderr).unwrap())
}

/// What no program can do anything about; and a copy, which is not concerned, where the
/// system gives one.
///
/// A map that is said to be a copy was tried, and made this fail.
#[test]
fn who_cuts_a_mapped_file_ends_the_process_and_a_copy_reads_on() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let (status, said) = cut("mapped");
    assert!(said.starts_with("a map"), "{said}");
    assert_eq!(status.signal(), Some(SIGBUS), "{status}: {said}");
    let (status, said) = cut("copied");
    if said.starts_with("a copy") {
        assert!(status.success(), "{status}: {said}");
        assert!(said.contains("60020 read"), "{said}");
    } else {
        println!("the system gave no huge pages for a copy");
        assert_eq!(status.signal(), Some(SIGBUS), "{status}: {said}");
    }
}

/// What came of questions.
#[derive(Default, Debug)]
struct Answers {
    right: AtomicU64,
    wrong: AtomicU64,
    damage: AtomicU64,
}

impl Answers {
    fn count<T>(&self, answer: ringstore::Result<T>, is_right: impl FnOnce(T) -> bool) {
        let count = match answer.map(is_right) {
            Ok(true) => &self.right,
            Ok(false) => &self.wrong,
            Err(Error::Damaged(_)) => &self.damage,
            Err(error) => panic!("{error}"),
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn ask(snapshot: &Snapshot, oracle: &ringstore::testing::oracle::Oracle, answers: &Answers) {
    let peer = PeerId([7; 32]);
    for (rank, (token, value)) in (0..).zip(&oracle.tokens).step_by(97) {
        answers.count(snapshot.get(token), |found| found == Some(*value));
        answers.count(snapshot.rank(token), |found| found == rank);
        answers.count(snapshot.select(rank), |found| found == Some((*token, *value)));
        answers.count(snapshot.sign(token, &peer), |found| found == oracle.sign(token, &peer));
        let next: ringstore::Result<Vec<_>> = snapshot.range(token..).take(5).collect();
        answers.count(next, |found| found.into_iter().eq(oracle.range(token..).take(5)));
    }
    let mut count = 0;
    for item in snapshot.range(..) {
        answers.count(item, |_| true);
        count += 1;
    }
    assert!(count <= oracle.len(), "{count}");
}

/// Ends the writing, be it by a panic of who reads.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Answers may be wrong then, but they come: no panic, no read beyond the map, no endless
/// loop. Once the bytes are as they were, all answers are right.
///
/// Taking a list of postings without looking whether it lies within its block was tried, and
/// leaving the ends of buckets as the directory says, and each made this fail.
#[test]
fn who_writes_into_a_mapped_file_gets_answers_or_errors() {
    let sample = sample(5_000);
    let path = newest_segment(&sample.path());
    allow_writing(&path);
    let file = File::options().write(true).open(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    for verification in [Verification::Never, Verification::FirstTouch] {
        let answers = Answers::default();
        for round in 0..12 {
            let options = Options::new().verification(verification);
            let store = Store::open_read_only(sample.path(), &options).unwrap();
            let snapshot = store.snapshot();
            let is_over = AtomicBool::new(false);
            let writes = AtomicU64::new(0);
            thread::scope(|scope| {
                scope.spawn(|| {
                    let mut random = Random::new("writes", round);
                    while !is_over.load(Ordering::Relaxed) {
                        let at = random.below(bytes.len() as u64 - 8);
                        let number = match random.below(4) {
                            0 => 0,
                            1 => u64::MAX,
                            2 => 1 << 31,
                            _ => random.number(),
                        };
                        file.write_all_at(&number.to_le_bytes(), at).unwrap();
                        writes.fetch_add(1, Ordering::Relaxed);
                    }
                });
                let _over = Over(&is_over);
                while writes.load(Ordering::Relaxed) < 200 * round {
                    thread::yield_now();
                }
                ask(&snapshot, &sample.oracle, &answers);
            });
            file.write_all_at(&bytes, 0).unwrap();
            let (wrong, damage) = (AtomicU64::new(0), AtomicU64::new(0));
            let after = Answers { wrong, damage, ..Answers::default() };
            ask(&snapshot, &sample.oracle, &after);
            assert_eq!(after.wrong.into_inner() + after.damage.into_inner(), 0, "as it was");
        }
        println!("{verification:?}: {answers:?}");
        let wrong = answers.wrong.into_inner() + answers.damage.into_inner();
        assert!(wrong > 100 && answers.right.into_inner() > 100);
    }
    sample.assert_whole();
}
