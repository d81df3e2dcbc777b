//! What it costs those who read that layers lie above the large one, and that somebody
//! commits and flushes, in turns, in one run.
//!
//! `cargo bench --bench layers -- --tokens 10000000`; `--rounds` and `--dir` (where the
//! stores go, a temporary directory by default) are the other options.

use std::hint::black_box;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use ringstore::testing::random::Random;
use ringstore::{
    Batch, BlockTime, Durability, Options, PeerId, Record, Result, Snapshot, Store, TokenId,
};
use stores::{SCAN, change, linked, loaded, scan_up};
use turns::{Arguments, Workload, run_in_turns};

mod stores;
mod turns;

/// Entries of each of the layers above the large one, as many as a full delta has.
const LAYERS: [usize; 3] = [200_000; 3];

/// Entries above all layers.
const DELTA: usize = 100_000;

/// Entries of a batch.
const BATCH: usize = 1_000;

/// Entries of a batch that is committed beside a reader.
const SMALL_BATCH: usize = 6;

const QUERIES: usize = 1_000_000;

/// Lookups that are timed one by one, beside a writer and without.
const TIMED: usize = 200_000;

fn main() -> Result<()> {
    let Arguments { tokens: count, rounds, directory } = Arguments::of_command();
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let directory = directory.unwrap_or_else(|| temporary.path().to_path_buf());
    println!("{count} random tokens, {rounds} rounds in turns, medians\n");
    let mut random = Random::new("layers", 1);
    let tokens: Vec<_> = (0..count).map(|_| random.token()).collect();
    // So large that nothing is flushed but when it is to be.
    let options = Options::new().log_bytes(64 << 20);
    let clean = loaded(&directory.join("clean"), &tokens, &options)?;
    let layered = linked(&clean, &directory.join("layered"), &options)?;
    // However few tokens there are below them, the layers are to stay.
    layered.pause_compaction()?;
    for entries in LAYERS {
        change(&layered, &tokens, &mut random, entries, BATCH)?;
        layered.flush()?;
    }
    change(&layered, &tokens, &mut random, DELTA, BATCH)?;
    let stat = layered.stat();
    println!("{} layers, {} entries in the delta", stat.layers, stat.delta);
    reads(&clean.snapshot(), &layered.snapshot(), &tokens, rounds);
    handles(&layered, rounds);
    beside_a_writer(&clean, &tokens, rounds);
    Ok(())
}

/// Tokens of a batch.
const READ_BATCH: usize = 256;

fn reads(clean: &Snapshot, layered: &Snapshot, tokens: &[TokenId], rounds: usize) {
    let mut random = Random::new("queries", 1);
    let hits: Vec<_> = (0..QUERIES).map(|_| *random.pick(tokens)).collect();
    let misses: Vec<_> = (0..QUERIES).map(|_| random.token()).collect();
    let peer = PeerId([1; 32]);
    let (hit, miss) = (|i: usize| hits[i % QUERIES], |i: usize| misses[i % QUERIES]);
    let scan_down = |snapshot: &Snapshot, token: TokenId| {
        let range = snapshot.range(..token).rev().take(SCAN);
        black_box(range.fold(0, |sum, item| sum ^ item.expect("a record").1.time));
    };
    let challenges: Vec<_> = hits.iter().map(|token| (*token, peer)).collect();
    let batch = |i: usize| i * READ_BATCH % (QUERIES - READ_BATCH)..;
    let look_up_many = |snapshot: &Snapshot, tokens: &[TokenId], i: usize| {
        let mut values = Vec::new();
        let _ = black_box(snapshot.get_many(&tokens[batch(i)][..READ_BATCH], &mut values));
    };
    let sign_many = |snapshot: &Snapshot, challenges: &[(TokenId, PeerId)], i: usize| {
        let mut signed = Vec::new();
        let _ = black_box(snapshot.sign_many(&challenges[batch(i)][..READ_BATCH], &mut signed));
    };
    let (name, with) = ("clean", "three layers and a delta");
    let mut workloads = [
        Workload::new("lookup, hit", "one token", "at most 2 x")
            .with(name, 200_000, |i| drop(black_box(clean.get(&hit(i)))))
            .with(with, 200_000, |i| drop(black_box(layered.get(&hit(i))))),
        Workload::new("lookup, miss", "one token", "at most 2 x")
            .with(name, 200_000, |i| drop(black_box(clean.get(&miss(i)))))
            .with(with, 200_000, |i| drop(black_box(layered.get(&miss(i))))),
        Workload::new("signature", "a lookup, a hash, a walk, ten records", "at most 2.5 x")
            .with(name, 50_000, |i| drop(black_box(clean.sign(&hit(i), &peer))))
            .with(with, 50_000, |i| drop(black_box(layered.sign(&hit(i), &peer)))),
        Workload::new("lookups, 256 at a time", "256 tokens", "none")
            .with(name, 800, |i| look_up_many(clean, &hits, i))
            .with(with, 800, |i| look_up_many(layered, &hits, i)),
        Workload::new("signatures, 256 at a time", "256 tokens", "none")
            .with(name, 200, |i| sign_many(clean, &challenges, i))
            .with(with, 200, |i| sign_many(layered, &challenges, i)),
        Workload::new("scan up", "1,000 records", "at most 1.5 x")
            .with(name, 1_000, |i| scan_up(clean, hit(i)))
            .with(with, 1_000, |i| scan_up(layered, hit(i))),
        Workload::new("scan down", "1,000 records", "at most 1.5 x")
            .with(name, 1_000, |i| scan_down(clean, hit(i)))
            .with(with, 1_000, |i| scan_down(layered, hit(i))),
        Workload::new("rank", "one token", "none")
            .with(name, 100_000, |i| drop(black_box(clean.rank(&miss(i)))))
            .with(with, 100_000, |i| drop(black_box(layered.rank(&miss(i))))),
    ];
    run_in_turns(&mut workloads, rounds);
}

fn handles(store: &Store, rounds: usize) {
    let snapshot = store.snapshot();
    let mut workloads = [Workload::new(
        "handles",
        "taking one and dropping it",
        "under 100 ns, a clone under 50 ns",
    )
    .with("snapshot", 1_000_000, |_| drop(black_box(store.snapshot())))
    .with("clone of a snapshot", 1_000_000, |_| drop(black_box(snapshot.clone())))
    .with("clone of the store", 1_000_000, |_| drop(black_box(store.clone())))];
    run_in_turns(&mut workloads, rounds);
}

/// What another thread does while lookups are timed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    /// Writes as many bytes to a file as a commit does, and waits until they are on disk: what
    /// the machine's syncs alone take from a reader.
    Syncs,
    Commits(Durability),
}

impl Beside {
    const ALL: [(&str, Self); 4] = [
        ("nothing", Self::Nothing),
        ("a file written and synced", Self::Syncs),
        ("durable commits", Self::Commits(Durability::Synced)),
        ("buffered commits", Self::Commits(Durability::Buffered)),
    ];

    /// Until it is to stop; how often it was done.
    fn run(self, store: &Store, random: &mut Random, stops: &AtomicBool) -> u64 {
        let mut file = tempfile::tempfile_in(store.path()).expect("a file");
        let mut done = 0;
        while self != Self::Nothing && !stops.load(Ordering::Relaxed) {
            if let Self::Commits(durability) = self {
                let mut batch = Batch::new();
                for _ in 0..SMALL_BATCH {
                    batch.put(random.token(), BlockTime::new(random.bytes().into(), 9));
                }
                store.commit_with(&batch, durability).expect("a commit");
            } else {
                file.write_all(&[0; SMALL_BATCH * Record::LEN]).expect("bytes written");
                file.sync_data().expect("a sync");
            }
            done += 1;
        }
        done
    }
}

/// Lookups of one thread, each from a snapshot of its own, while another one commits without
/// pause, six tokens at a time, and while it does not.
fn beside_a_writer(store: &Store, tokens: &[TokenId], rounds: usize) {
    let mut random = Random::new("beside", 1);
    let mut all: [Vec<Timed>; Beside::ALL.len()] = Default::default();
    for round in 0..=rounds {
        for ((_, beside), all) in Beside::ALL.into_iter().zip(&mut all) {
            let stops = AtomicBool::new(false);
            let timed = std::thread::scope(|scope| {
                let other = scope
                    .spawn(|| beside.run(store, &mut Random::new("writer", round as u64), &stops));
                let timed = time_lookups(store, tokens, &mut random);
                stops.store(true, Ordering::Relaxed);
                Timed { beside: other.join().expect("what is beside"), ..timed }
            });
            if round > 0 {
                all.push(timed);
            }
        }
    }
    println!("lookups, each from a snapshot of its own, beside what another thread does");
    println!("without pause; aims beside durable commits: p99 at most 2 x, all at most 1.25 x");
    println!("    {:<28} {:>10} {:>17} {:>17} {:>17}", "", "done", "p50", "p99", "all");
    let median = |timed: &[Timed], of: fn(&Timed) -> f64| {
        let mut figures: Vec<_> = timed.iter().map(of).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    for ((name, _), timed) in Beside::ALL.iter().zip(&all) {
        print!("    {name:<28} {:>10}", median(timed, |timed| timed.beside as f64));
        let figures: [fn(&Timed) -> f64; 3] =
            [|timed| timed.p50, |timed| timed.p99, |timed| timed.all];
        for figure in figures {
            let (figure, without) = (median(timed, figure), median(&all[0], figure));
            print!(" {figure:>7.0} ns {:>5.2} x", figure / without);
        }
        println!();
    }
    println!("    the delta has {} entries in the end", store.stat().delta);
}

/// Nanoseconds a lookup, and how often something was done beside.
struct Timed {
    p50: f64,
    p99: f64,
    all: f64,
    beside: u64,
}

fn time_lookups(store: &Store, tokens: &[TokenId], random: &mut Random) -> Timed {
    let tokens: Vec<_> = (0..TIMED).map(|_| *random.pick(tokens)).collect();
    let mut times = Vec::with_capacity(TIMED);
    let start = Instant::now();
    for token in &tokens {
        let start = Instant::now();
        drop(black_box(store.snapshot().get(token)));
        times.push(start.elapsed().as_nanos() as f64);
    }
    let all = start.elapsed().as_nanos() as f64 / TIMED as f64;
    times.sort_by(f64::total_cmp);
    Timed { p50: times[TIMED / 2], p99: times[TIMED * 99 / 100], all, beside: 0 }
}
