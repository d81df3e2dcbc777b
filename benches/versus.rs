//! ringstore against redb, in turns, in one run.
//!
//! Absolute times say as much about the machine and the moment as about the code; a
//! ratio of two engines that were timed in turns holds. Every workload runs in rounds:
//! each engine gets the same queries in each round, one after the other, and the
//! medians over the rounds are compared. Before anything is timed the answers are.
//!
//! `cargo bench --bench versus -- --tokens 10000000`; `--rounds` and `--dir` (where the
//! databases go, a temporary directory by default) are the other options.

use std::hint::black_box;
use std::ops::{Bound, ControlFlow};
use std::time::Instant;

use ringstore::testing::keys::with_values;
use ringstore::testing::random::Random;
use ringstore::{
    BlockTime, Direction, Leg, LoadOptions, Options, Passed, PeerId, ReDbTokens, Record, Result,
    Snapshot, Store, TokenId, TokenStorageBackend, Verification, chunks, walk_ring,
};

use turns::{Arguments, Workload, run_in_turns};

mod turns;

const RANGE_RECORDS: usize = 1_000;

/// Tokens of a batch.
const BATCH: usize = 256;

/// Different tokens asked for, in turns.
const QUERIES: usize = 1_000_000;

fn main() -> Result<()> {
    let Arguments { tokens: count, rounds, directory } = Arguments::of_command();
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let directory = directory.unwrap_or_else(|| temporary.path().to_path_buf());
    println!("{count} random tokens, {rounds} rounds in turns, medians\n");

    let mut random = Random::new("versus", 1);
    let tokens: Vec<_> = (0..count).map(|_| random.token()).collect();
    let (store, redb) = load(&directory, &tokens)?;
    report_opening(&store)?;
    let unchecked = Options::new().verification(Verification::Never);
    let unchecked = Store::open_read_only(store.path(), &unchecked)?.snapshot();
    // Touches every chunk: what is timed is a store that has been in use for a while.
    store.verify(&|_| ControlFlow::Continue(()))?;
    let snapshot = store.snapshot();

    let hits: Vec<_> = (0..QUERIES).map(|_| *random.pick(&tokens)).collect();
    let misses: Vec<_> = (0..QUERIES).map(|_| random.token()).collect();
    let peer = PeerId([1; 32]);
    compare(&snapshot, &redb, &hits, &misses, &peer)?;
    let hit = |i: usize| hits[i % QUERIES];
    let miss = |i: usize| misses[i % QUERIES];

    // What one call does for so many tokens is done at the first of them.
    let batch = |i: usize| i.is_multiple_of(BATCH).then_some(i % (QUERIES - BATCH));
    let challenges: Vec<_> = hits.iter().map(|token| (*token, peer)).collect();
    let (mut found, mut missed, mut signed) = (Vec::new(), Vec::new(), Vec::new());

    let mut workloads = [
        Workload::new("lookup, hit", "one token", "10 x redb")
            .with("ringstore", 200_000, |i| drop(black_box(snapshot.get(&hit(i)))))
            .with("ringstore, never checked", 200_000, |i| drop(black_box(unchecked.get(&hit(i)))))
            .with("ringstore, batches", 800 * BATCH, |i| {
                if let Some(at) = batch(i) {
                    let _ = black_box(snapshot.get_many(&hits[at..at + BATCH], &mut found));
                }
            })
            .with("redb", 100_000, |i| drop(black_box(redb.lookup(&hit(i))))),
        Workload::new("lookup, miss", "one token", "10 x redb")
            .with("ringstore", 200_000, |i| drop(black_box(snapshot.get(&miss(i)))))
            .with("ringstore, batches", 800 * BATCH, |i| {
                if let Some(at) = batch(i) {
                    let _ = black_box(snapshot.get_many(&misses[at..at + BATCH], &mut missed));
                }
            })
            .with("redb", 100_000, |i| drop(black_box(redb.lookup(&miss(i))))),
        Workload::new("signature", "a lookup, a hash, a walk, ten records", "500 x redb")
            .with("ringstore", 50_000, |i| drop(black_box(snapshot.sign(&hit(i), &peer))))
            .with("ringstore, never checked", 50_000, |i| {
                drop(black_box(unchecked.sign(&hit(i), &peer)));
            })
            .with("ringstore, batches", 200 * BATCH, |i| {
                if let Some(at) = batch(i) {
                    let _ = black_box(snapshot.sign_many(&challenges[at..at + BATCH], &mut signed));
                }
            })
            .with("redb, iterator walk", 100, |i| sign_by_iterator(&redb, &hit(i), &peer))
            .with("redb, cursor walk", 100, |i| drop(black_box(redb.sign(&hit(i), &peer)))),
        Workload::new("scan up", "1,000 records", "15 x redb")
            .with("ringstore, iterator", 2_000, |i| scan(snapshot.range(hit(i)..)))
            .with("ringstore, slices", 2_000, |i| scan_slices(&snapshot, hit(i)))
            .with("redb, iterator", 300, |i| scan(redb.range(hit(i)..).expect("a range")))
            .with("redb, cursor", 300, |i| scan(redb.range_after(&hit(i)).expect("a range"))),
        Workload::new("scan down", "1,000 records", "15 x redb")
            .with("ringstore, iterator", 2_000, |i| scan(snapshot.range(..hit(i)).rev()))
            .with("redb, iterator", 300, |i| scan(redb.range(..hit(i)).expect("a range").rev()))
            .with("redb, cursor", 300, |i| scan(redb.range_before(&hit(i)).expect("a range"))),
    ];
    run_in_turns(&mut workloads, rounds);
    Ok(())
}

/// How long opening takes, and what memory of its own an open store has in the end.
fn report_opening(store: &Store) -> Result<()> {
    let bytes_each = store.stat().bytes_per_token.unwrap_or(0.0);
    println!("segment files: {bytes_each:.2} bytes a token; aim: at most 75.0");
    let before = anonymous_bytes();
    let start = Instant::now();
    let opened = Store::open_read_only(store.path(), &Options::new())?;
    println!("opening: {:.3} ms; aim: under 10", start.elapsed().as_secs_f64() * 1e3);
    // Touches everything.
    let snapshot = opened.snapshot();
    for slice in snapshot.slices(..) {
        black_box(slice?);
    }
    let grown = anonymous_bytes().saturating_sub(before);
    println!(
        "memory of its own once all was read: {:.2} MiB; aim: under 64\n",
        grown as f64 / f64::from(1 << 20)
    );
    Ok(())
}

fn anonymous_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    kibibytes.unwrap_or(0u64) * 1024
}

/// Loads the same tokens into both; redb gets them sorted, as it likes them.
fn load(directory: &std::path::Path, tokens: &[TokenId]) -> Result<(Store, ReDbTokens)> {
    let records = || with_values(tokens.iter().copied(), 1);
    let start = Instant::now();
    let store = Store::create(directory.join("ringstore"), &Options::new())?;
    store.bulk_load(records().map(|record| Ok(Record::from(record))), &LoadOptions::new())?;
    println!("ringstore loaded them unsorted in {:.1} s", start.elapsed().as_secs_f64());

    let mut sorted: Vec<_> = records().collect();
    sorted.sort_unstable_by_key(|record| record.0);
    let start = Instant::now();
    // A cache for all that it holds, and half as much again.
    let cache_bytes = tokens.len() * 171 + (64 << 20);
    let mut redb = ReDbTokens::create_with_cache(directory.join("redb"), cache_bytes)?;
    redb.load_sorted(sorted)?;
    println!("redb loaded them sorted in {:.1} s", start.elapsed().as_secs_f64());
    Ok((store, redb))
}

/// Both give the same answers, or there is nothing to compare.
fn compare(
    snapshot: &Snapshot,
    redb: &ReDbTokens,
    hits: &[TokenId],
    misses: &[TokenId],
    peer: &PeerId,
) -> Result<()> {
    for token in hits.iter().chain(misses).step_by(10) {
        assert_eq!(snapshot.get(token)?, redb.lookup(token)?, "{token}");
    }
    for token in &hits[..200] {
        assert_eq!(snapshot.sign(token, peer)?, redb.sign(token, peer)?, "{token}");
        let up: Vec<_> =
            snapshot.range(token..).skip(1).take(RANGE_RECORDS).collect::<Result<_>>()?;
        let down: Vec<_> =
            snapshot.range(..token).rev().take(RANGE_RECORDS).collect::<Result<_>>()?;
        assert_eq!(up, redb.range_after(token)?.take(RANGE_RECORDS).collect::<Result<Vec<_>>>()?);
        assert_eq!(
            down,
            redb.range_before(token)?.take(RANGE_RECORDS).collect::<Result<Vec<_>>>()?
        );
    }
    println!(
        "the same answers to {} lookups, 200 signatures, 400 scans\n",
        hits.len() + misses.len()
    );
    Ok(())
}

/// The way around the ring through redb's iterators.
fn redb_ring(
    redb: &ReDbTokens,
    origin: TokenId,
    direction: Direction,
) -> Result<impl Iterator<Item = Result<Passed<BlockTime>>>> {
    let above = redb.range((Bound::Excluded(origin), Bound::Unbounded))?;
    let below = redb.range(..origin)?;
    let way: Box<dyn Iterator<Item = _>> = match direction {
        Direction::Up => Box::new(above.chain(below)),
        Direction::Down => Box::new(below.rev().chain(above.rev())),
    };
    Ok(way.map(|item| {
        item.map(|(token, value)| Passed { suffix: token.suffix(), item: value, beyond_end: false })
    }))
}

fn sign_by_iterator(redb: &ReDbTokens, token: &TokenId, peer: &PeerId) {
    let value = redb.lookup(token).expect("an answer").expect("a token");
    let challenge = chunks(peer, token, &value.block);
    let walk = walk_ring(&Leg::of_signature(&challenge), |way| redb_ring(redb, *token, way));
    black_box(walk.expect("a walk"));
}

fn scan(range: impl Iterator<Item = Result<(TokenId, BlockTime)>>) {
    let mut sum = 0u64;
    for item in range.take(RANGE_RECORDS) {
        sum = sum.wrapping_add(item.expect("a record").1.time);
    }
    black_box(sum);
}

fn scan_slices(snapshot: &Snapshot, from: TokenId) {
    let mut left = RANGE_RECORDS;
    let mut sum = 0u64;
    for slice in snapshot.slices(from..) {
        let slice = slice.expect("records");
        let taken = &slice[..left.min(slice.len())];
        sum = taken.iter().fold(sum, |sum, record| sum.wrapping_add(record.time()));
        left -= taken.len();
        if left == 0 {
            break;
        }
    }
    black_box(sum);
}
