//! How fast layers are made one, what readers feel of it, and what years of updates cost.
//!
//! `cargo bench --bench compaction -- --tokens 10000000 --rounds 5`; `--dir` says
//! where stores go: with `/dev/shm` there is no disk that could be what limits it.

use std::fs::{self, File};
use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ringstore::testing::keys::with_values;
use ringstore::testing::random::Random;
use ringstore::{
    Batch, BlockTime, Durability, Options, Progress, ReDbTokens, Result, Store, TokenId,
};
use stores::{change, loaded};
use turns::Arguments;

#[expect(dead_code, reason = "others need all of it")]
mod stores;
#[expect(dead_code, reason = "others need all of it")]
mod turns;

/// Of so many tokens one is changed before layers are compacted.
const BASE_PARTS: usize = 10;

/// Entries of a batch.
const BATCH: usize = 1_000;

/// redb does this part of the updates: it takes too long for more.
const REDB_PART: usize = 20;

const UNWATCHED: fn(Progress) -> ControlFlow<()> = |_| ControlFlow::Continue(());

fn main() -> Result<()> {
    let Arguments { tokens: count, rounds, directory } = Arguments::of_command();
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let directory = directory.unwrap_or_else(|| temporary.path().to_path_buf());
    let directory = tempfile::tempdir_in(directory).expect("a directory");
    let directory = directory.path();
    println!("{count} random tokens, {rounds} rounds in turns, medians\n");
    let mut random = Random::new("compaction", 1);
    let tokens: Vec<_> = (0..count).map(|_| random.token()).collect();
    // So large that it is one layer that comes of it.
    let options = Options::new().log_bytes(1 << 30).delta_entries(count);
    let store = loaded(&directory.join("layered"), &tokens, &options)?;
    store.pause_compaction()?;
    change(&store, &tokens, &mut random, count / BASE_PARTS, BATCH)?;
    store.flush()?;
    compactions(directory, &store, rounds)?;
    beside_a_compaction(directory, &store, &tokens, rounds)?;
    drop((store, fs::remove_dir_all(directory.join("layered"))));
    updates(directory, &tokens, &mut random)
}

/// Making one layer of two, and copying the same bytes, file by file.
fn compactions(directory: &Path, store: &Store, rounds: usize) -> Result<()> {
    let (mut compacted, mut copied) = (Vec::new(), Vec::new());
    let records: u64 = store.stat().each_layer.iter().map(entries).sum();
    for round in 0..=rounds {
        let (compaction, copy) = (directory.join("compacted"), directory.join("copied"));
        store.checkpoint(&compaction, &UNWATCHED)?;
        let other = Store::open(&compaction, &Options::new())?;
        sync_all(directory);
        let start = Instant::now();
        other.compact(&UNWATCHED)?;
        let compaction_time = start.elapsed();
        assert_eq!(other.stat().layers, 1);
        drop(other);
        let start = Instant::now();
        copy_and_sync(store.path(), &copy);
        let copy_time = start.elapsed();
        for path in [compaction, copy] {
            fs::remove_dir_all(path).expect("a directory that can be removed");
        }
        if round > 0 {
            compacted.push(compaction_time);
            copied.push(copy_time);
        }
    }
    let (compacted, copied) = (median(&mut compacted), median(&mut copied));
    println!("making one layer of two, {records} records; aims: 1.5 x the copy where the disk");
    println!("limits it, 5,000,000 records a second where it does not");
    println!("    {:<28} {:>8.2} s", "files copied and synced", copied.as_secs_f64());
    println!(
        "    {:<28} {:>8.2} s {:>6.2} x {:>12.0} records/s",
        "compaction",
        compacted.as_secs_f64(),
        compacted.as_secs_f64() / copied.as_secs_f64(),
        records as f64 / compacted.as_secs_f64()
    );
    Ok(())
}

fn entries(layer: &ringstore::LayerStat) -> u64 {
    layer.fresh + layer.updates + layer.tombstones
}

/// So that nobody pays for what others wrote.
fn sync_all(directory: &Path) {
    let file = File::create(directory.join("synced")).expect("a file");
    file.sync_all().expect("a sync");
}

fn copy_and_sync(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let from = entry.expect("a name in the directory").path();
        if from.extension().is_some_and(|extension| extension == "seg") {
            let to = to.join(from.file_name().expect("a name"));
            fs::copy(from, &to).expect("a copy");
            File::open(to).and_then(|file| file.sync_all()).expect("a sync");
        }
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Lookups of one thread, timed one by one, while layers are compacted without pause and while
/// they are not.
fn beside_a_compaction(
    directory: &Path,
    store: &Store,
    tokens: &[TokenId],
    rounds: usize,
) -> Result<()> {
    const LOOKUPS: usize = 1_000_000;
    let (mut idle, mut busy) = (Vec::new(), Vec::new());
    let mut random = Random::new("beside", 1);
    for round in 0..=rounds {
        let without = p99(store, tokens, &mut random, LOOKUPS);
        let compacted = directory.join("compacted");
        store.checkpoint(&compacted, &UNWATCHED)?;
        let other = Store::open(&compacted, &Options::new())?;
        let is_over = AtomicBool::new(false);
        let with = std::thread::scope(|scope| {
            scope.spawn(|| {
                other.compact(&UNWATCHED).expect("a compaction");
                is_over.store(true, Ordering::Relaxed);
            });
            let mut all = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                all.push(p99(&other, tokens, &mut random, LOOKUPS / 10));
            }
            median(&mut all)
        });
        drop(other);
        fs::remove_dir_all(compacted).expect("a directory that can be removed");
        if round > 0 {
            idle.push(without);
            busy.push(with);
        }
    }
    let (idle, busy) = (median(&mut idle), median(&mut busy));
    println!("\na lookup's p99; aim: at most 2 x beside a compaction");
    println!("    {:<28} {:>8} ns", "nothing beside it", idle.as_nanos());
    let ratio = busy.as_secs_f64() / idle.as_secs_f64();
    println!("    {:<28} {:>8} ns {ratio:>6.2} x", "a compaction beside it", busy.as_nanos());
    Ok(())
}

fn p99(store: &Store, tokens: &[TokenId], random: &mut Random, count: usize) -> Duration {
    let snapshot = store.snapshot();
    let mut times: Vec<_> = (0..count)
        .map(|_| {
            let token = random.pick(tokens);
            let start = Instant::now();
            drop(black_box(snapshot.get(token)));
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[count * 99 / 100]
}

/// A batch of updates of random tokens.
fn batch(tokens: &[TokenId], random: &mut Random) -> Vec<(TokenId, BlockTime)> {
    (0..BATCH).map(|_| (*random.pick(tokens), BlockTime::new(random.bytes().into(), 9))).collect()
}

/// As many updates as there are tokens, in durable batches. What commits take, not to speak of
/// making what is committed.
fn updates(directory: &Path, tokens: &[TokenId], random: &mut Random) -> Result<()> {
    println!("\n{} updates of random tokens in durable batches of {BATCH}", tokens.len());
    println!("aims: less than 6 times as much written as committed, never more than six layers,");
    println!("10 x redb");
    let options = Options::new().durability(Durability::Synced);
    let store = loaded(&directory.join("updated"), tokens, &options)?;
    let mut layers_max = 0;
    let mut time = Duration::ZERO;
    for _ in 0..tokens.len() / BATCH {
        let updates = batch(tokens, random);
        let start = Instant::now();
        let mut changes = Batch::with_capacity(BATCH);
        for (token, value) in updates {
            changes.put(token, value);
        }
        store.commit(&changes)?;
        time += start.elapsed();
        layers_max = layers_max.max(store.stat().layers);
    }
    let rate = tokens.len() as f64 / time.as_secs_f64();
    store.flush()?;
    while store.stat().compaction != ringstore::Background::Idle {
        std::thread::sleep(Duration::from_millis(10));
    }
    let stat = store.stat();
    let amplification = stat.written.amplification().unwrap_or_default();
    println!("    {:<28} {rate:>12.0} updates/s", "ringstore");
    println!(
        "    {amplification:.2} times as much written as committed, at most {layers_max} layers,"
    );
    println!("    {} flushes, {} compactions: {:?}", stat.flushes, stat.compactions, stat.written);
    drop(store);
    fs::remove_dir_all(directory.join("updated")).expect("a directory that can be removed");
    redb_updates(directory, tokens, random, rate)
}

fn redb_updates(
    directory: &Path,
    tokens: &[TokenId],
    random: &mut Random,
    rate: f64,
) -> Result<()> {
    let mut redb = ReDbTokens::create(directory.join("tokens.redb"))?;
    let mut sorted = tokens.to_vec();
    sorted.sort_unstable();
    redb.load_sorted(with_values(sorted, 1))?;
    let mut time = Duration::ZERO;
    let batches = tokens.len() / BATCH / REDB_PART;
    for _ in 0..batches {
        let updates = batch(tokens, random);
        let start = Instant::now();
        redb.write_many(updates.into_iter().map(|(token, value)| (token, Some(value))))?;
        time += start.elapsed();
    }
    let other = (batches * BATCH) as f64 / time.as_secs_f64();
    println!("    {:<28} {other:>12.0} updates/s, {:.1} x", "redb", rate / other);
    Ok(())
}
