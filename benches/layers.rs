//! What it costs those who read that layers lie above the large one, and that somebody
//! commits and flushes, in turns, in one run.
//!
//! `cargo bench --bench layers -- --tokens 10000000`; `--rounds` and `--dir` (where the
//! stores go, a temporary directory by default) are the other options.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ringstore::testing::random::Random;
use ringstore::{Batch, BlockTime, Options, PeerId, Result, Snapshot, Store, TokenId};
use stores::{SCAN, change, loaded, scan_up};
use turns::{Arguments, Workload, run_in_turns};

mod stores;
mod turns;

/// Entries of each of the layers above the large one, as many as a full delta has.
const LAYERS: [usize; 3] = [200_000; 3];

/// Entries above all layers.
const DELTA: usize = 100_000;

/// Entries of a batch.
const BATCH: usize = 1_000;

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
    let layered = loaded(&directory.join("layered"), &tokens, &options)?;
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

/// Lookups of one thread, each from a snapshot of its own, while another one commits without
/// pause, durably, six tokens at a time, and while it does not.
fn beside_a_writer(store: &Store, tokens: &[TokenId], rounds: usize) {
    let mut random = Random::new("beside", 1);
    let mut commits = 0;
    let mut of = [Vec::new(), Vec::new()];
    for round in 0..=rounds {
        for is_written in [false, true] {
            let stops = AtomicBool::new(false);
            let timed = std::thread::scope(|scope| {
                let writer = is_written.then(|| {
                    let mut random = Random::new("writer", round as u64);
                    let stops = &stops;
                    scope.spawn(move || {
                        let mut commits = 0;
                        while !stops.load(Ordering::Relaxed) {
                            let mut batch = Batch::new();
                            for _ in 0..6 {
                                batch.put(random.token(), BlockTime::new(random.bytes().into(), 9));
                            }
                            store.commit(&batch).expect("a commit");
                            commits += 1;
                        }
                        commits
                    })
                });
                let timed = time_lookups(store, tokens, &mut random);
                stops.store(true, Ordering::Relaxed);
                commits += writer.map_or(0, |writer| writer.join().expect("a writer"));
                timed
            });
            if round > 0 {
                of[usize::from(is_written)].push(timed);
            }
        }
    }
    println!(
        "lookups beside a writer that commits without pause ({commits} commits, of which the last delta has {})",
        store.stat().delta
    );
    println!("aims: p99 at most 2 x, throughput at least 0.8 x");
    let median = |timed: &[Timed], of: fn(&Timed) -> Duration| {
        let mut times: Vec<_> = timed.iter().map(of).collect();
        times.sort_unstable();
        times[times.len() / 2].as_nanos() as f64
    };
    let [without, with] = &of;
    for (name, figure) in [
        ("p50", (|timed: &Timed| timed.p50) as fn(&Timed) -> Duration),
        ("p99", |timed| timed.p99),
        ("p99.9", |timed| timed.p999),
        ("all", |timed| timed.all),
    ] {
        let (without, with) = (median(without, figure), median(with, figure));
        println!(
            "    {name:<10} {without:>12.0} ns without {with:>12.0} ns with {:>8.2} x",
            with / without
        );
    }
}

struct Timed {
    p50: Duration,
    p99: Duration,
    p999: Duration,
    all: Duration,
}

fn time_lookups(store: &Store, tokens: &[TokenId], random: &mut Random) -> Timed {
    let tokens: Vec<_> = (0..TIMED).map(|_| *random.pick(tokens)).collect();
    let mut times = Vec::with_capacity(TIMED);
    let start = Instant::now();
    for token in &tokens {
        let start = Instant::now();
        drop(black_box(store.snapshot().get(token)));
        times.push(start.elapsed());
    }
    let all = start.elapsed();
    times.sort_unstable();
    let quantile = |per_mille: usize| times[times.len() * per_mille / 1_000];
    Timed { p50: quantile(500), p99: quantile(990), p999: quantile(999), all }
}
