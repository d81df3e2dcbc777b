//! Thousands of read-only opens and refreshes under a writer that flushes all the time.
//! None of them may fail, whatever was unlinked between two steps of it.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, ScopedJoinHandle};

use ringstore::testing::random::Random;
use ringstore::{Durability, Options, Store, TokenId, Verification};

use crate::published::system::{
    Progress, Reader, ask_parent, command, count, directory, names, store_to_read, tell_parent,
};
use crate::published::{Follower, batch, create, tokens};

const TOKENS: usize = 600;

/// Of each of two threads and two processes, and as many refreshes.
const OPENS: u64 = 2_600;

/// In the long mode, of all together.
const OPENS_LONG: u64 = 1_000_000;

/// Tells a process that reads how often it is to open the store.
const OPENS_WANTED: &str = "RINGSTORE_READER_TEST_OPENS";

/// Says how far the long mode is after so many opens of one reader.
const OPENS_REPORTED: u64 = 25_000;

const KILLS: u64 = 60;

pub(crate) fn options() -> Options {
    let options = Options::new().durability(Durability::Buffered);
    options.delta_entries(30).log_bytes(8 << 10)
}

/// Commits and flushes as long as somebody reads.
pub(crate) fn write(store: &Store, tokens: &[TokenId], progress: &Progress) -> u64 {
    let _writing = progress.writer();
    let mut number = 0;
    while progress.is_read() {
        number += 1;
        progress.begun.store(number, Ordering::SeqCst);
        store.commit(&batch(tokens, number)).unwrap();
        progress.acknowledged.store(number, Ordering::SeqCst);
        if number.is_multiple_of(16) {
            store.flush().unwrap();
        }
    }
    number
}

/// Opens a store that is written, and looks whether all is right in it.
fn open(path: &Path, follower: &mut Follower, least: u64, round: u64) {
    let verification = match round % 3 {
        0 => Verification::OnOpen,
        1 => Verification::FirstTouch,
        _ => Verification::Never,
    };
    let store = Store::open_read_only(path, &options().verification(verification)).unwrap();
    look(&store, follower, least, round);
    assert!(store.stat().layers <= 6);
    if round.is_multiple_of(100) {
        let report = store.verify(&|_| std::ops::ControlFlow::Continue(())).unwrap();
        assert_eq!(report.damages, []);
    }
}

fn look(store: &Store, follower: &mut Follower, least: u64, round: u64) {
    let snapshot = store.snapshot();
    follower.meet(&snapshot, least);
    follower.ask(&snapshot, 12);
    if round.is_multiple_of(20) {
        follower.compare(&snapshot);
    }
}

/// Opens again and again, then refreshes what it opened last; `ask` tells how far the
/// reader is, and what is acknowledged by now.
fn read(path: &Path, seed: u64, ask: &mut dyn FnMut(u64) -> u64) -> u64 {
    let mut follower = Follower::new(&tokens(TOKENS), seed);
    for round in 0..OPENS {
        let least = ask(follower.model.commits);
        open(path, &mut follower, least, round);
    }
    let store = Store::open_read_only(path, &options()).unwrap();
    look(&store, &mut follower, 0, 0);
    let mut changed = 0;
    for round in 0..OPENS {
        let (least, before) = (ask(follower.model.commits), follower.model.commits);
        let is_changed = store.refresh().unwrap();
        changed += u64::from(is_changed);
        look(&store, &mut follower, least, round);
        assert!(is_changed || follower.model.commits == before, "nothing was to be seen");
    }
    changed
}

/// Opens so often, and counts the opens that saw more than the one before.
fn read_anew(path: &Path, seed: u64, opens: u64, ask: &mut dyn FnMut(u64) -> u64) -> u64 {
    let mut follower = Follower::new(&tokens(TOKENS), seed);
    let mut changed = 0;
    for round in 0..opens {
        let (least, before) = (ask(follower.model.commits), follower.model.commits);
        open(path, &mut follower, least, round);
        changed += u64::from(follower.model.commits > before);
    }
    changed
}

/// The processes that open a store without pause; of no use by itself.
#[test]
fn opener() {
    let (Some(path), Ok(opens)) = (store_to_read(), std::env::var(OPENS_WANTED)) else { return };
    let (seed, opens) = (u64::from(std::process::id()), opens.parse().unwrap());
    tell_parent(&read_anew(&path, seed, opens, &mut ask_parent).to_string());
}

/// The processes that read; of no use by itself.
#[test]
fn reader() {
    let Some(path) = store_to_read() else { return };
    let changed = read(&path, u64::from(std::process::id()), &mut ask_parent);
    tell_parent(&changed.to_string());
}

/// The process that is killed; of no use by itself.
#[test]
fn endless_reader() {
    let Some(path) = store_to_read() else { return };
    let mut follower = Follower::new(&tokens(TOKENS), u64::from(std::process::id()));
    let kept = Store::open_read_only(&path, &options()).unwrap();
    for round in 0u64.. {
        let least = ask_parent(follower.model.commits);
        kept.refresh().unwrap();
        look(&kept, &mut follower, least, round);
        open(&path, &mut follower, least, round);
    }
}

/// Four threads that read, each with a number, beside one that writes: how often that one
/// committed, and how often the others saw something new.
fn read_beside(
    store: &Store,
    tokens: &[TokenId],
    progress: &Progress,
    read: impl Fn(u64) -> u64 + Sync,
) -> (u64, u64) {
    let readings: Vec<_> = (0..4).map(|_| progress.reader()).collect();
    thread::scope(|scope| {
        let read = &read;
        let readers = readings.into_iter().zip(0..4).map(|(reading, seed)| {
            scope.spawn(move || {
                let _reading = reading;
                read(seed)
            })
        });
        let readers: Vec<ScopedJoinHandle<'_, u64>> = readers.collect();
        let number = write(store, tokens, progress);
        (number, readers.into_iter().map(|reader| reader.join().unwrap()).sum())
    })
}

/// A reader that gave up at the first damage, without looking for another manifest, was tried,
/// and made this fail.
#[test]
fn ten_thousand_opens_and_refreshes_of_a_store_that_is_flushed() {
    let directory = directory();
    let path = directory.path().join("tokens");
    let (tokens, progress) = (tokens(TOKENS), Arc::new(Progress::default()));
    let store = create(&path, &options(), &tokens);
    let (number, changed) = read_beside(&store, &tokens, &progress, |seed| {
        if seed % 2 == 0 {
            let mut told = 0;
            return read(&path, seed, &mut |_| {
                told = progress.more_than(told);
                told
            });
        }
        Reader::spawn("opens::reader", &path).run(&progress).parse().unwrap()
    });
    let stat = store.stat();
    println!("{number} commits, {} flushes, {changed} refreshes saw something", stat.flushes);
    // Or nothing was ever in the way.
    assert!(stat.flushes >= 1_000, "{} flushes", stat.flushes);
    assert!(changed >= 3 * OPENS, "{changed} refreshes");
    assert_no_traces(&store);
}

/// `RINGSTORE_READER_TEST_OPENS` asks for another number of opens than a million.
///
/// A reader that took a file which was gone for damage, without looking for another manifest,
/// was tried, and failed within a few opens.
#[test]
#[ignore = "a million opens: cargo test --release --test readers -- --ignored --nocapture a_million"]
fn a_million_opens_of_a_store_that_is_flushed_and_compacted_without_pause() {
    let opens = std::env::var(OPENS_WANTED).map_or(OPENS_LONG, |opens| opens.parse().unwrap());
    let directory = directory();
    let path = directory.path().join("tokens");
    let (tokens, progress) = (tokens(TOKENS), Progress::default());
    let store = create(&path, &options(), &tokens);
    let (number, changed) = read_beside(&store, &tokens, &progress, |seed| {
        if seed % 2 == 0 {
            let mut asked = 0;
            return read_anew(&path, seed, opens / 4, &mut |_| {
                if asked % OPENS_REPORTED == 0 {
                    println!("thread {seed} opened the store {asked} times");
                }
                asked += 1;
                progress.acknowledged()
            });
        }
        let mut command = command("opens::opener", &path);
        command.env(OPENS_WANTED, (opens / 4).to_string());
        Reader::start(&mut command).run_without_pause(&progress).parse().unwrap()
    });
    let stat = store.stat();
    let (flushes, compactions) = (stat.flushes, stat.compactions);
    println!("{opens} opens, {changed} saw something new");
    println!("{number} commits, {flushes} flushes, {compactions} compactions");
    // Or nothing was ever in the way.
    assert!(flushes >= opens / 100 && compactions >= opens / 1_000, "{flushes} {compactions}");
    assert!(changed >= opens / 4, "{changed} opens");
    assert_no_traces(&store);
}

/// There are the files of the store, and no others.
pub(crate) fn assert_no_traces(store: &Store) {
    // All that is left to do in the background is done then.
    store.compact(&|_| ControlFlow::Continue(())).unwrap();
    let (stat, names) = (store.stat(), names(store.path()));
    assert!(names.contains("MANIFEST") && names.contains("LOCK"), "{names:?}");
    assert_eq!(count(&names, ".seg"), stat.segments, "{names:?}");
    assert!(count(&names, ".log") <= 1, "{names:?}");
    assert_eq!(names.len() as u64, 2 + stat.segments + count(&names, ".log"), "{names:?}");
}

/// A reader that made a file of its own in the directory was tried, and made this fail.
#[test]
fn readers_that_are_killed_leave_nothing_behind() {
    let directory = directory();
    let path = directory.path().join("tokens");
    let (tokens, progress) = (tokens(TOKENS), Progress::default());
    let store = create(&path, &options(), &tokens);
    let number = thread::scope(|scope| {
        let reading = progress.reader();
        let (path, progress, tokens) = (&path, &progress, &tokens);
        let killer = scope.spawn(move || {
            let _reading = reading;
            let mut random = Random::new("killed readers", 1);
            for kill in 0..KILLS {
                let mut reader = Reader::spawn("opens::endless_reader", path);
                let mut told = 0;
                // It is killed while it does what it was just told to.
                for _ in 0..=random.below(12) {
                    assert_eq!(reader.answer(progress, &mut told), None);
                }
                reader.kill();
                // Others read on, and the writer too.
                let mut follower = Follower::new(tokens, kill);
                open(path, &mut follower, progress.acknowledged(), kill);
                progress.more_than(progress.acknowledged());
            }
        });
        let number = write(&store, tokens, progress);
        killer.join().unwrap();
        number
    });
    println!("{KILLS} readers killed, {number} commits, {} flushes", store.stat().flushes);
    assert_no_traces(&store);
    store.close().unwrap();
    // They had no lock either.
    let store = Store::open(&path, &options()).unwrap();
    let mut follower = Follower::new(&tokens, 0);
    follower.meet(&store.snapshot(), number);
    follower.compare(&store.snapshot());
}
