//! Commits, and what they cost those who read, in turns, in one run.
//!
//! `cargo bench --bench writes -- --tokens 10000000`; `--rounds` and `--dir` (where the
//! databases go, a temporary directory by default) are the other options. How commits
//! compare with those of LMDB is measured by `tools/compare`, which has a C compiler.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use ringstore::testing::keys::with_values;
use ringstore::testing::random::Random;
use ringstore::{
    Batch, BlockTime, Durability, Options, PeerId, ReDbTokens, Result, Store, TokenId,
};
use stores::{change, linked, loaded, scan_up};
use turns::{Arguments, Workload, run_in_turns};

mod stores;
mod turns;

/// Tokens of a commit: what a block changes.
const COMMIT_TOKENS: usize = 6;

/// Entries that lie above the segments where reads are timed.
const DELTA: usize = 100_000;

const THREADS: usize = 8;

const QUERIES: usize = 1_000_000;

/// A batch of tokens that nobody has yet.
fn batch(random: &mut Random) -> Vec<(TokenId, BlockTime)> {
    (0..COMMIT_TOKENS).map(|_| (random.token(), BlockTime::new(random.bytes().into(), 9))).collect()
}

fn commit(store: &Store, records: &[(TokenId, BlockTime)], durability: Durability) {
    let mut batch = Batch::with_capacity(records.len());
    for (token, value) in records {
        batch.set(*token, *value);
    }
    let committed = store.commit_with(&batch, durability).expect("a commit");
    assert!(committed.applied.iter().all(|applied| *applied));
}

fn main() -> Result<()> {
    let Arguments { tokens: count, rounds, directory } = Arguments::of_command();
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let directory = directory.unwrap_or_else(|| temporary.path().to_path_buf());
    println!("{count} random tokens, {rounds} rounds in turns, medians\n");
    let mut random = Random::new("writes", 1);
    let tokens: Vec<_> = (0..count).map(|_| random.token()).collect();
    commits(&directory, &tokens, rounds)?;
    delta_sizes(&directory, rounds)?;
    reads(&directory, &tokens, rounds)?;
    reopening(&directory)
}

/// Durable commits, each a sync, one after the other and from several threads.
fn commits(directory: &Path, tokens: &[TokenId], rounds: usize) -> Result<()> {
    let store = loaded(&directory.join("commits"), tokens, &Options::new())?;
    let cache_bytes = tokens.len() * 171 + (64 << 20);
    let mut redb = ReDbTokens::create_with_cache(directory.join("redb"), cache_bytes)?;
    let mut sorted: Vec<_> = with_values(tokens.iter().copied(), 1).collect();
    sorted.sort_unstable_by_key(|record| record.0);
    redb.load_sorted(sorted)?;
    let random = |name| Random::new(name, 2);
    let (mut one, mut many, mut buffered, mut other) =
        (random("one"), random("many"), random("buffered"), random("redb"));
    let empty = Batch::new();
    let mut workloads = [
        Workload::new("durable commit", "6 tokens", "4 x redb, 3 x by eight threads")
            .with("ringstore", 200, |_| commit(&store, &batch(&mut one), Durability::Synced))
            .with("ringstore, 8 threads", 1, |_| {
                let batches: Vec<_> = (0..THREADS).map(|_| batches(&mut many)).collect();
                from_threads(&store, &batches);
            })
            .with("redb", 50, |_| {
                redb.set_many(batch(&mut other)).expect("a commit");
            }),
        Workload::new("buffered commit", "6 tokens", "none").with("ringstore", 2_000, |_| {
            commit(&store, &batch(&mut buffered), Durability::Buffered);
        }),
        Workload::new("empty commit", "no token", "under 1 us").with("ringstore", 100_000, |_| {
            drop(black_box(store.commit(&empty)));
        }),
    ];
    println!("(one operation of eight threads is {} commits)", THREADS * THREAD_COMMITS);
    run_in_turns(&mut workloads, rounds);
    Ok(())
}

const THREAD_COMMITS: usize = 1_000;

fn batches(random: &mut Random) -> Vec<Vec<(TokenId, BlockTime)>> {
    (0..THREAD_COMMITS).map(|_| batch(random)).collect()
}

fn from_threads(store: &Store, batches: &[Vec<Vec<(TokenId, BlockTime)>>]) {
    std::thread::scope(|scope| {
        for batches in batches {
            scope.spawn(move || {
                for batch in batches {
                    commit(store, batch, Durability::Synced);
                }
            });
        }
    });
}

/// What a commit costs does not depend on how much was committed before.
fn delta_sizes(directory: &Path, rounds: usize) -> Result<()> {
    let sizes = [1_000, 200_000];
    let mut stores = Vec::new();
    for size in sizes {
        // So large that nothing is flushed.
        let options = Options::new().log_bytes(64 << 20).delta_entries(1_000_000);
        let store = Store::create(directory.join(format!("delta-{size}")), &options)?;
        fill(&store, size)?;
        stores.push((store, Random::new("delta", size as u64)));
    }
    // So few that neither grows much.
    let operations = 30;
    let mut workload =
        Workload::new("durable commit into a delta", "6 tokens", "within 1.5 x for 200,000");
    for ((store, random), name) in stores.iter_mut().zip(["1,000 entries", "200,000 entries"]) {
        workload = workload.with(name, operations, move |_| {
            commit(store, &batch(random), Durability::Synced);
        });
    }
    run_in_turns(&mut [workload], rounds);
    Ok(())
}

fn fill(store: &Store, entries: usize) -> Result<()> {
    let mut random = Random::new("fill", entries as u64);
    for _ in 0..entries / COMMIT_TOKENS {
        commit(store, &batch(&mut random), Durability::Buffered);
    }
    store.sync()
}

/// What reads cost above a store with and without a delta.
fn reads(directory: &Path, tokens: &[TokenId], rounds: usize) -> Result<()> {
    let clean = loaded(&directory.join("clean"), tokens, &Options::new())?;
    let store = linked(&clean, &directory.join("changed"), &Options::new())?;
    let mut random = Random::new("changes", 1);
    change(&store, tokens, &mut random, DELTA, COMMIT_TOKENS)?;
    let stat = store.stat();
    println!("{} entries above {} tokens", stat.delta, tokens.len());
    let (clean, changed) = (clean.snapshot(), store.snapshot());
    let hits: Vec<_> = (0..QUERIES).map(|_| *random.pick(tokens)).collect();
    let misses: Vec<_> = (0..QUERIES).map(|_| random.token()).collect();
    let peer = PeerId([1; 32]);
    let hit = |i: usize| hits[i % QUERIES];
    let miss = |i: usize| misses[i % QUERIES];
    let (name, with) = ("no delta", "delta of 100,000");
    let mut workloads = [
        Workload::new("lookup, hit", "one token", "at most 1.3 x")
            .with(name, 200_000, |i| drop(black_box(clean.get(&hit(i)))))
            .with(with, 200_000, |i| drop(black_box(changed.get(&hit(i))))),
        Workload::new("lookup, miss", "one token", "at most 1.3 x")
            .with(name, 200_000, |i| drop(black_box(clean.get(&miss(i)))))
            .with(with, 200_000, |i| drop(black_box(changed.get(&miss(i))))),
        Workload::new("signature", "a lookup, a hash, a walk, ten records", "at most 1.5 x")
            .with(name, 50_000, |i| drop(black_box(clean.sign(&hit(i), &peer))))
            .with(with, 50_000, |i| drop(black_box(changed.sign(&hit(i), &peer)))),
        Workload::new("rank", "one token", "none")
            .with(name, 100_000, |i| drop(black_box(clean.rank(&miss(i)))))
            .with(with, 100_000, |i| drop(black_box(changed.rank(&miss(i))))),
        Workload::new("scan up", "1,000 records", "none")
            .with(name, 1_000, |i| scan_up(&clean, hit(i)))
            .with(with, 1_000, |i| scan_up(&changed, hit(i))),
    ];
    run_in_turns(&mut workloads, rounds);
    Ok(())
}

/// How long it takes to open a store that was not closed, with a log that is full.
fn reopening(directory: &Path) -> Result<()> {
    let path = directory.join("reopened");
    let store = Store::create(&path, &Options::new())?;
    let mut random = Random::new("reopening", 1);
    // A frame of six entries takes 512 bytes.
    for _ in 0..Options::LOG_BYTES / 512 {
        commit(&store, &batch(&mut random), Durability::Buffered);
    }
    store.sync()?;
    let delta = store.stat().delta;
    let mut times = Vec::new();
    for round in 0..7 {
        // As a crash leaves it: the files, without a clean end.
        let copy = directory.join(format!("reopened-{round}"));
        std::fs::create_dir(&copy).expect("a directory");
        for entry in std::fs::read_dir(&path).expect("a store") {
            let entry = entry.expect("a file");
            std::fs::copy(entry.path(), copy.join(entry.file_name())).expect("a copy");
        }
        rustix::fs::sync();
        let start = Instant::now();
        let opened = Store::open(&copy, &Options::new())?;
        times.push(start.elapsed());
        assert_eq!(opened.stat().delta, delta);
    }
    times.sort_unstable();
    println!(
        "opening after a crash, {delta} entries in a full log: {:.0} ms; aim: under 300",
        times[times.len() / 2].as_secs_f64() * 1e3
    );
    Ok(())
}
