//! Millions of answers while a writer commits and flushes: to threads that take snapshots,
//! and to processes that open the store read-only and refresh it. Every one of them is
//! compared with what the writer had committed at that moment.
//!
//! All by itself in its program, so that memory and open files are those of this test.

mod published;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use ringstore::{Durability, Options, Store, TokenId};

use self::published::system::{
    Progress, Reader, ask_parent, bytes, names, open_files, status, store_to_read, tell_parent,
};
use self::published::{Follower, batch, commits, create, tokens};

const TOKENS: usize = 30_000;
const OPERATIONS: u64 = 20_000_000;
const THREADS: u64 = 4;
const THREAD_ANSWERS: u64 = 3_800_000;
const PROCESSES: u64 = 2;
const PROCESS_ANSWERS: u64 = 2_400_000;
const COMPACTIONS: u64 = 20;
const CHECKPOINTS: u64 = 5;

/// Questions to one snapshot.
const QUESTIONS: u64 = 800;

/// Commits from one checkpoint to the next.
const CHECKPOINT_COMMITS: u64 = 4_096;

fn options() -> Options {
    let options = Options::new().durability(Durability::Buffered);
    options.delta_entries(2_000).log_bytes(256 << 10)
}

/// Bytes of memory, open files and threads must not depend on how long all this goes on.
/// Of memory there are the layers that are mapped, and about ten models.
const PEAK_KIB: u64 = 120 << 10;

/// Asks a snapshot all kinds of questions, now and then about all that it holds.
fn question(follower: &mut Follower, snapshot: &ringstore::Snapshot, round: u64) {
    follower.ask(snapshot, QUESTIONS);
    if round.is_multiple_of(64) {
        follower.compare(snapshot);
    }
    if round.is_multiple_of(256) {
        follower.sign(snapshot, 8);
    }
}

/// The processes that read; of no use by itself.
#[test]
fn reader() {
    let Some(path) = store_to_read() else { return };
    let (tokens, mut least) = (tokens(TOKENS), ask_parent(0));
    let files = open_files();
    let store = Store::open_read_only(path, &options()).unwrap();
    let mut follower = Follower::new(&tokens, u64::from(std::process::id()));
    let mut held = store.snapshot();
    follower.meet(&held, least);
    let mut model = follower.model.clone();
    let (mut changed, mut files_max) = (0, 0);
    for round in 0u64.. {
        least = ask_parent(follower.model.commits);
        let is_changed = store.refresh().unwrap();
        let snapshot = store.snapshot();
        let before = follower.model.commits;
        follower.meet(&snapshot, least);
        assert!(is_changed || follower.model.commits == before, "nothing was to be seen");
        changed += u64::from(is_changed);
        question(&mut follower, &snapshot, round);
        if round.is_multiple_of(100) {
            follower.answers += model.compare(&held);
            (held, model) = (snapshot, follower.model.clone());
            files_max = files_max.max(open_files());
        }
        if follower.answers >= PROCESS_ANSWERS {
            break;
        }
    }
    drop((held, store));
    let (answers, seen, peak) = (follower.answers, follower.model.commits, status("VmHWM"));
    assert!(peak < PEAK_KIB, "{peak} KiB");
    assert!(files_max <= files + 4, "{files_max} open files, {files} before");
    assert_eq!(open_files(), files);
    tell_parent(&format!("{answers} answers, {changed} refreshes, {seen} commits, {peak} KiB"));
}

fn read(store: &Store, tokens: &Arc<[TokenId]>, seed: u64, progress: &Progress) -> u64 {
    let mut follower = Follower::new(tokens, seed);
    let mut held = store.snapshot();
    follower.meet(&held, 0);
    let mut model = follower.model.clone();
    for round in 0u64.. {
        let least = progress.acknowledged();
        let snapshot = store.snapshot();
        follower.meet(&snapshot, least);
        let begun = progress.begun();
        assert!(follower.model.commits <= begun, "{} of {begun}", follower.model.commits);
        question(&mut follower, &snapshot, round);
        if round.is_multiple_of(100) {
            // One that was kept meanwhile is as it was.
            follower.answers += model.compare(&held);
            (held, model) = (snapshot, follower.model.clone());
        }
        if follower.answers >= THREAD_ANSWERS {
            break;
        }
    }
    follower.answers
}

/// What the writer saw of the store.
#[derive(Debug, Default)]
struct Seen {
    commits: u64,
    operations: u64,
    layers_max: u64,
    files_max: usize,
    bytes_max: u64,
    open_max: usize,
    pinned_max: u64,
    checkpoints: u64,
}

impl Seen {
    /// Makes a checkpoint, which is a store with all that was committed, and sound.
    fn make_checkpoint(&mut self, store: &Store, tokens: &Arc<[TokenId]>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("checkpoint");
        let made = store.checkpoint(&path, &|_| ControlFlow::Continue(())).unwrap();
        assert_eq!(made.copied_bytes, 0, "{made:?}");
        let other = Store::open(&path, &options()).unwrap();
        let (snapshot, mut follower) = (other.snapshot(), Follower::new(tokens, 0));
        assert_eq!((snapshot.len(), commits(&snapshot)), (made.tokens, self.commits));
        follower.meet(&snapshot, self.commits);
        follower.compare(&snapshot);
        assert_eq!(other.verify(&|_| ControlFlow::Continue(())).unwrap().damages, []);
        self.checkpoints += 1;
    }

    fn look(&mut self, store: &Store) {
        let stat = store.stat();
        self.layers_max = self.layers_max.max(stat.layers);
        self.pinned_max = self.pinned_max.max(stat.pinned_bytes);
        self.files_max = self.files_max.max(names(store.path()).len());
        self.bytes_max = self.bytes_max.max(bytes(store.path()));
        self.open_max = self.open_max.max(open_files());
    }
}

/// Commits as long as somebody reads.
fn write(store: &Store, tokens: &Arc<[TokenId]>, progress: &Progress) -> Seen {
    let _writing = progress.writer();
    let mut seen = Seen::default();
    while progress.is_read() {
        seen.commits += 1;
        let batch = batch(tokens, seen.commits);
        progress.begun.store(seen.commits, Ordering::SeqCst);
        if seen.commits.is_multiple_of(512) {
            store.commit_with(&batch, Durability::Synced).unwrap();
            seen.look(store);
        } else {
            store.commit(&batch).unwrap();
        }
        progress.acknowledged.store(seen.commits, Ordering::SeqCst);
        seen.operations += batch.len() as u64;
        if seen.commits.is_multiple_of(CHECKPOINT_COMMITS) {
            seen.make_checkpoint(store, tokens);
        }
    }
    seen
}

#[test]
fn every_answer_is_right_while_layers_come_and_go() {
    if store_to_read().is_some() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens");
    let (tokens, progress) = (tokens(TOKENS), Progress::default());
    // Threads that merge are started once, and stay.
    let first = create(&directory.path().join("first"), &options(), &tokens);
    assert_eq!(first.verify(&|_| ControlFlow::Continue(())).unwrap().damages, []);
    drop(first);
    let (files_before, threads_before) = (open_files(), status("Threads"));
    let store = create(&path, &options(), &tokens);
    let (seen, answers, figures) = thread::scope(|scope| {
        let (store, tokens, progress, path) = (&store, &tokens, &progress, &path);
        // Counted from here on, so that the writer does not end before they begin.
        let threads: Vec<_> = (0..THREADS)
            .map(|seed| (seed, progress.reader()))
            .map(|(seed, reading)| {
                scope.spawn(move || (read(store, tokens, seed, progress), drop(reading)).0)
            })
            .collect();
        let processes: Vec<_> = (0..PROCESSES)
            .map(|_| progress.reader())
            .map(|reading| {
                scope.spawn(move || (Reader::spawn("reader", path).run(progress), drop(reading)).0)
            })
            .collect();
        let seen = write(store, tokens, progress);
        let answers: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        let figures: Vec<_> = processes.into_iter().map(|thread| thread.join().unwrap()).collect();
        (seen, answers, figures)
    });
    let of_processes = figures.iter().map(|figures| {
        let answers = figures.split(' ').next().unwrap();
        answers.parse::<u64>().unwrap()
    });
    let operations = answers + of_processes.sum::<u64>() + seen.operations;
    // All that is left to do in the background is done.
    store.compact(&|_| ControlFlow::Continue(())).unwrap();
    let stat = store.stat();
    assert_eq!((stat.pinned_bytes, stat.delta), (0, 0));
    let amplification = stat.written.amplification().unwrap();
    let live_bytes = stat.tokens * 72;
    store.close().unwrap();
    let (files_after, threads_after) = (open_files(), status("Threads"));
    let (peak, anonymous) = (status("VmHWM"), status("RssAnon"));
    for figures in figures {
        println!("a process: {figures}");
    }
    let (flushes, compactions) = (stat.flushes, stat.compactions);
    println!("{operations} operations, {flushes} flushes, {compactions} compactions, {seen:?}");
    println!("{amplification:.2} times as much written as committed: {:?}", stat.written);
    println!("{files_before} open files before, {files_after} after; {live_bytes} bytes live");
    println!("{peak} KiB at the most, {anonymous} KiB anonymous at the end");

    assert!(operations >= OPERATIONS, "{operations} operations");
    assert!(flushes >= 20 && compactions >= COMPACTIONS, "{flushes} {compactions}");
    assert!(amplification < 6.0, "{amplification}");
    assert!(seen.checkpoints >= CHECKPOINTS, "{seen:?}");
    assert!(seen.layers_max <= 6 && seen.layers_max > 1, "{seen:?}");
    // Six layers, as many that are just being replaced, their logs, manifest and lock.
    assert!(seen.files_max <= 18, "{seen:?}");
    assert!(seen.bytes_max < 6 * live_bytes, "{seen:?}");
    assert!(seen.pinned_max > 0, "no snapshot was ever held over a flush: {seen:?}");
    assert!(seen.open_max <= files_before + 16, "{seen:?}");
    assert_eq!((files_after, threads_after), (files_before, threads_before));
    assert!(peak < PEAK_KIB, "{peak} KiB");

    let store = Store::open(&path, &options()).unwrap();
    let (snapshot, mut follower) = (store.snapshot(), Follower::new(&tokens, 0));
    assert_eq!(commits(&snapshot), seen.commits);
    follower.meet(&snapshot, seen.commits);
    follower.compare(&snapshot);
    assert_eq!(store.verify(&|_| ControlFlow::Continue(())).unwrap().damages, []);
}
