//! Signatures when nothing of a store is in memory, and when not all of it can be.
//!
//! The tokens are made in order, as a stream, so that neither they nor a sorted copy of them
//! takes memory or disk. Each round puts the files out of the page cache, opens the store anew
//! and signs for tokens that were not asked for before; the more rounds' worth of them, the
//! warmer it is in the end.
//!
//! `cargo bench --bench cold -- --tokens 300000000 --dir DIRECTORY`; without `--dir` the store
//! is in a temporary directory. Files are put out of the cache only if the file system does so
//! when it is told (`POSIX_FADV_DONTNEED`).

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use ringstore::testing::random::Random;
use ringstore::{LoadOptions, Options, PeerId, Record, Result, Snapshot, Store, TokenId};
use rustix::fs::{Advice, fadvise};
use turns::Arguments;

#[allow(dead_code, reason = "other benches use the rest")]
mod turns;

/// Signatures one by one, or in so many batches, in a round.
const SIGNATURES: usize = 1_000;

/// Signatures after a round, when it is no longer all cold.
const WARMER: usize = 200_000;

const PEER: PeerId = PeerId([1; 32]);

fn main() -> Result<()> {
    let Arguments { tokens, rounds, directory } = Arguments::of_command();
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let directory = directory.unwrap_or_else(|| temporary.path().to_path_buf()).join("cold");
    let start = Instant::now();
    let store = Store::create(&directory, &Options::new())?;
    store.bulk_load(records(tokens).map(Ok), &LoadOptions::new())?;
    let bytes = store.stat().segment_bytes as f64 / 1e9;
    println!("{tokens} tokens in order: loaded in {:.1} s, {bytes:.1} GB", seconds(start));
    store.close()?;

    let mut random = Random::new("cold", 1);
    let [mut single, mut batches] = [const { Vec::new() }; 2];
    for _ in 0..rounds {
        let challenges = challenges(&cold(&directory)?, SIGNATURES, &mut random)?;
        let snapshot = cold(&directory)?;
        let start = Instant::now();
        for (token, peer) in &challenges {
            black_box(snapshot.sign(token, peer)?);
        }
        single.push(seconds(start) / SIGNATURES as f64);

        let snapshot = cold(&directory)?;
        let start = Instant::now();
        black_box(snapshot.sign_many(&challenges, &mut Vec::new())?);
        batches.push(seconds(start) / SIGNATURES as f64);
    }
    for (name, mut each) in [("one by one", single), ("in one batch", batches)] {
        each.sort_by(f64::total_cmp);
        let median = each[each.len() / 2];
        println!("cold, {name}: {:.0} us a signature, {:.0} a second", median * 1e6, 1.0 / median);
    }

    let snapshot = cold(&directory)?;
    let mut reported = 0;
    let start = Instant::now();
    for done in (SIGNATURES..=WARMER).step_by(SIGNATURES) {
        let challenges = challenges(&snapshot, SIGNATURES, &mut random)?;
        snapshot.sign_many(&challenges, &mut Vec::new())?;
        if done == WARMER || seconds(start) >= f64::from(reported) {
            println!("{:6.1} s after it was opened: {done} signatures in batches", seconds(start));
            reported += 10;
        }
    }
    let store = Store::open_read_only(&directory, &Options::new())?;
    let prefaulted = Instant::now();
    store.prefault(&|_| ControlFlow::Continue(()))?;
    println!("all of it brought in by `prefault` in {:.1} s", seconds(prefaulted));
    drop(store);
    std::fs::remove_dir_all(&directory).expect("the store removed");
    Ok(())
}

fn seconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64()
}

/// Random tokens in order: one in each of equal parts of the ring.
fn records(count: usize) -> impl Iterator<Item = Record> {
    let part = u64::MAX / count as u64;
    let mut state = 1;
    (0..count as u64).map(move |i| {
        let mut bytes = [0; Record::LEN];
        for word in bytes.as_chunks_mut().0 {
            *word = next(&mut state).to_be_bytes();
        }
        let prefix = i * part + next(&mut state) % part;
        bytes[..8].copy_from_slice(&prefix.to_be_bytes());
        *bytemuck::from_bytes(&bytes)
    })
}

/// Splitmix64 (G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number
/// generators", 2014): a thousand million numbers in a second.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn challenges(
    snapshot: &Snapshot,
    count: usize,
    random: &mut Random,
) -> Result<Vec<(TokenId, PeerId)>> {
    let mut challenges = Vec::with_capacity(count);
    while challenges.len() < count {
        let rank = random.below(snapshot.len());
        challenges.extend(snapshot.select(rank)?.map(|(token, _)| (token, PEER)));
    }
    Ok(challenges)
}

/// The store, opened when none of it was in memory.
fn cold(directory: &Path) -> Result<Snapshot> {
    put_out(directory);
    Ok(Store::open_read_only(directory, &Options::new())?.snapshot())
}

/// Puts the files of a directory out of the page cache.
fn put_out(directory: &Path) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let file = std::fs::File::open(entry.expect("an entry").path()).expect("a file");
        fadvise(&file, 0, None, Advice::DontNeed).expect("a file put out of the cache");
    }
}
