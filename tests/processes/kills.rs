//! A writer that is killed at any time loses nothing that it reported, and leaves nothing half
//! done; and whoever reads meanwhile never notices.
//!
//! The writer is this very program, run once more. Through a pipe it says what it begins, and
//! what it has done once the store acknowledged it. It commits, synced and buffered, loads,
//! expires, flushes, compacts and makes checkpoints. Some kills are aimed at the beginning of
//! one of these, others come after some reports, whatever is being done then. Readers are
//! processes as well: they open and refresh the store all the time, compare all that they find,
//! and are themselves killed now and then.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use ringstore::Store;
use ringstore::testing::random::Random;

use crate::history::{Model, check, kind, options, steps, take, unwatched};
use crate::published::system::{Progress, Reader, ask_parent, names, store_to_read};

const STORE: &str = "RINGSTORE_KILL_TEST_STORE";

/// Says how many kills the long mode is to have.
const KILLS_WANTED: &str = "RINGSTORE_KILLS";

/// What a writer does, as it calls it.
const KINDS: [&str; 7] = ["open", "commit", "load", "expire", "flush", "compact", "checkpoint"];

/// Says what is being done, in one write.
fn say(line: std::fmt::Arguments<'_>) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn copy_name(steps: u64) -> String {
    format!("copy-{steps}")
}

/// The program that is killed; of no use by itself.
#[test]
fn writer() {
    let Some(path) = std::env::var_os(STORE) else { return };
    let path = PathBuf::from(path);
    say(format_args!("begin open"));
    let store = Store::open(&path, &options()).unwrap();
    say(format_args!("opened"));
    for number in steps(&store.snapshot()) + 1.. {
        let done = number - 1;
        match number % 24 {
            5 | 13 => {
                say(format_args!("begin flush"));
                store.flush().unwrap();
            }
            20 => {
                say(format_args!("begin compact"));
                store.compact(&unwatched).unwrap();
            }
            9 => {
                say(format_args!("begin checkpoint"));
                store.checkpoint(path.with_file_name(copy_name(done)), &unwatched).unwrap();
                say(format_args!("copied {done}"));
            }
            _ => {}
        }
        say(format_args!("begin {}", kind(number)));
        take(&store, number).unwrap();
        say(format_args!("done {number}"));
    }
}

/// What a writer said until it was killed.
#[derive(Default)]
struct Heard {
    /// The last step that it had done.
    done: Option<u64>,
    /// What it was doing.
    doing: Option<&'static str>,
    /// The steps in the checkpoints that it made.
    copies: BTreeSet<u64>,
}

impl Heard {
    fn hear(&mut self, line: &str) {
        match line.split_once(' ') {
            Some(("begin", what)) => self.doing = KINDS.into_iter().find(|kind| *kind == what),
            Some(("done", number)) => (self.done, self.doing) = (number.parse().ok(), None),
            Some(("copied", number)) => _ = self.copies.insert(number.parse().unwrap()),
            None if line == "opened" => self.doing = None,
            _ => panic!("the writer said {line:?}"),
        }
    }
}

/// When a writer is killed.
enum Aim {
    /// When it says that it begins this.
    Begun(&'static str),
    /// When it has said so much.
    Lines(u64),
}

/// Runs a writer and kills it.
fn run_and_kill(path: &Path, aim: &Aim, progress: &Progress) -> Heard {
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kills::writer", "--nocapture"])
        .env(STORE, path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(writer.stderr.take().unwrap());
    let (mut heard, mut line) = (Heard::default(), String::new());
    for lines in 0.. {
        let is_hit = match aim {
            Aim::Begun(kind) => heard.doing == Some(kind),
            Aim::Lines(count) => lines >= *count,
        };
        if is_hit {
            break;
        }
        line.clear();
        output.read_line(&mut line).unwrap();
        heard.hear(line.trim_end());
        progress.acknowledged.fetch_max(heard.done.unwrap_or(0), Ordering::SeqCst);
    }
    writer.kill().unwrap();
    writer.wait().unwrap();
    // The last line may be cut.
    let rest = std::io::read_to_string(output).unwrap();
    let whole = rest.rsplit_once('\n').map_or("", |(lines, _)| lines);
    whole.lines().for_each(|line| heard.hear(line));
    heard
}

/// The processes that read; of no use by itself.
#[test]
fn reader() {
    let Some(path) = store_to_read() else { return };
    let kept = Store::open_read_only(&path, &options()).unwrap();
    let mut model = Model::default();
    for round in 0u64.. {
        let least = ask_parent(model.steps);
        kept.refresh().unwrap();
        model.follow(&kept.snapshot(), least);
        if round.is_multiple_of(2) {
            let opened = Store::open_read_only(&path, &options()).unwrap();
            model.follow(&opened.snapshot(), least);
        }
    }
}

/// What readers did.
#[derive(Default)]
struct Reads {
    /// The most steps that any has seen.
    seen: AtomicU64,
    looks: AtomicU64,
    killed: AtomicU64,
}

/// Has a process read until the writers are over, and kills it now and then.
fn read(path: &Path, seed: u64, progress: &Progress, reads: &Reads) {
    let mut random = Random::new("reader's end", seed);
    let is_over = || progress.is_over.load(Ordering::SeqCst);
    while !is_over() {
        let mut reader = Reader::spawn("kills::reader", path);
        let mut told = 0;
        for _ in 0..random.below(2_000) {
            // It is killed while it does what it was just told to.
            let found = reader.hear().expect("it never ends");
            assert!(found == 0 || found >= told, "{found} steps were read, {told} told before");
            reads.seen.fetch_max(found, Ordering::SeqCst);
            reads.looks.fetch_add(u64::from(found > 0), Ordering::SeqCst);
            told = progress.acknowledged();
            reader.tell(told);
            if is_over() {
                break;
            }
        }
        reader.kill();
        reads.killed.fetch_add(1, Ordering::SeqCst);
    }
}

/// Looks at all checkpoints that were made, or begun, and removes them.
fn check_copies(directory: &Path, heard: &Heard) -> u64 {
    let mut checked = 0;
    for name in names(directory) {
        let Some(at) = name.strip_prefix("copy-") else { continue };
        let (path, at) = (directory.join(&name), at.parse().unwrap());
        // One that was not finished is no store, or whole.
        if heard.copies.contains(&at) || path.join("MANIFEST").exists() {
            check(&Store::open(&path, &options()).unwrap(), at, at);
            checked += 1;
        }
        std::fs::remove_dir_all(path).unwrap();
    }
    assert!(checked >= heard.copies.len() as u64, "a checkpoint is gone");
    checked
}

/// What came of all kills.
#[derive(Default, Debug)]
struct Counts {
    kills: u64,
    steps: u64,
    /// Steps that were done, but not reported.
    unreported: u64,
    /// Commits that were read from logs.
    recovered: u64,
    checkpoints: u64,
    /// What the writers were doing when they were killed.
    doing: BTreeMap<&'static str, u64>,
    looks: u64,
    readers_killed: u64,
}

fn kill_and_look(kills: u64, readers: u64) -> Counts {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens");
    Store::create(&path, &options()).unwrap().close().unwrap();
    let (progress, reads) = (Progress::default(), Reads::default());
    let mut counts = Counts::default();
    thread::scope(|scope| {
        let _writing = progress.writer();
        for seed in 0..readers {
            let (path, progress, reads) = (&path, &progress, &reads);
            let reading = progress.reader();
            scope.spawn(move || (read(path, seed, progress, reads), drop(reading)));
        }
        let (mut random, mut model) = (Random::new("kills", 1), Model::default());
        for kill in 0..kills {
            let aim = match kill % 2 {
                0 => Aim::Begun(KINDS[random.below(KINDS.len() as u64) as usize]),
                _ => Aim::Lines(random.below(100) * random.below(4)),
            };
            let heard = run_and_kill(&path, &aim, &progress);
            assert_eq!(progress.readers.load(Ordering::SeqCst) as u64, readers, "one failed");
            let reported = heard.done.unwrap_or(model.steps);
            // Every other time, somebody only looks first, and changes nothing.
            let seen = reads.seen.load(Ordering::SeqCst).max(reported);
            let looked = (random.below(2) == 0).then(|| {
                let store = Store::open_read_only(&path, &options()).unwrap();
                model.follow(&store.snapshot(), seen);
                model.steps
            });
            let store = Store::open(&path, &options()).unwrap();
            model.follow(&store.snapshot(), seen);
            assert!(looked.is_none_or(|looked| looked == model.steps), "{looked:?} steps before");
            counts.unreported += model.steps - reported;
            assert_eq!(store.verify(&unwatched).unwrap().damages, []);
            counts.recovered += store.stat().recovery.commits;
            drop(store);
            progress.acknowledged.store(model.steps, Ordering::SeqCst);
            counts.checkpoints += check_copies(directory.path(), &heard);
            *counts.doing.entry(heard.doing.unwrap_or("nothing")).or_default() += 1;
            counts.kills += 1;
            if counts.kills.is_multiple_of(100) {
                println!("{} kills, {} steps", counts.kills, model.steps);
            }
        }
        counts.steps = model.steps;
    });
    counts.looks = reads.looks.into_inner();
    counts.readers_killed = reads.killed.into_inner();
    println!("{counts:?}");
    for kind in KINDS {
        let hits = counts.doing.get(kind).copied().unwrap_or(0);
        assert!(hits > kills / 200, "{hits} kills hit {kind}: {counts:?}");
    }
    assert!(counts.recovered >= 2 * kills && counts.steps >= 4 * kills, "{counts:?}");
    assert!(counts.looks >= kills && counts.checkpoints >= kills / 20, "{counts:?}");
    counts
}

/// A buffered commit that was acknowledged before it was written, and a reader that took a file
/// which was gone for damage, without looking for another manifest, were tried, and each made
/// this test fail.
#[test]
fn killed_at_any_time() {
    let counts = kill_and_look(200, 1);
    assert_eq!(counts.kills, 200);
}

/// `RINGSTORE_KILLS` asks for another number of kills than 1,200.
#[test]
#[ignore = "1,200 kills: cargo test --release --test processes -- --ignored --nocapture killed"]
fn killed_a_thousand_times() {
    let kills = std::env::var(KILLS_WANTED).map_or(1_200, |kills| kills.parse().unwrap());
    let counts = kill_and_look(kills, 3);
    assert!(counts.readers_killed >= kills / 20, "{counts:?}");
}
