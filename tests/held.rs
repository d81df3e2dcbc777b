//! Snapshots that are held while a thousand deltas are flushed: they answer as they did,
//! what they keep is in the figures, and once they are dropped nothing is left of it.
//!
//! All by itself in its program, so that what is mapped is what this test holds.

mod published;

use std::collections::BTreeMap;
use std::path::Path;

use ringstore::testing::random::Random;
use ringstore::{Durability, Options, Snapshot, Store};

use self::published::system::{bytes, count, directory, names, open_files, status};
use self::published::{Follower, Model, batch, create, tokens};

const TOKENS: usize = 2_000;
const FLUSHES: u64 = 1_000;

/// Snapshots that are held at the same time.
const HELD: usize = 12;

fn options() -> Options {
    // Inline, so that the same layers come and go in every run.
    let options = Options::new().durability(Durability::Buffered).inline();
    options.delta_entries(60).log_bytes(16 << 10)
}

/// Segments in a directory that are mapped, but have no name any more, with their bytes.
fn mapped_without_name(directory: &Path) -> BTreeMap<String, u64> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let of_store = maps.lines().filter(|line| line.contains(directory.to_str().unwrap()));
    let mut mapped = BTreeMap::new();
    for line in of_store.filter_map(|line| line.strip_suffix(" (deleted)")) {
        let mut words = line.split_whitespace();
        let (start, end) = words.next().unwrap().split_once('-').unwrap();
        let number = |hex| u64::from_str_radix(hex, 16).unwrap();
        *mapped.entry(words.last().unwrap().into()).or_default() += number(end) - number(start);
    }
    mapped
}

/// The files of a store that rests are those that it consists of.
fn assert_no_other_files(store: &Store) {
    let (stat, names) = (store.stat(), names(store.path()));
    assert_eq!(count(&names, ".seg"), stat.segments, "{names:?}");
    assert!(count(&names, ".log") <= 1, "{names:?}");
    // Manifest and lock.
    assert_eq!(names.len() as u64, stat.segments + count(&names, ".log") + 2, "{names:?}");
    assert!(stat.layers <= 6, "{stat:?}");
}

/// What is pinned is what is mapped without a name, but that maps are of whole pages.
fn assert_pinned(store: &Store) -> u64 {
    let pinned = store.stat().pinned_bytes;
    let mapped = mapped_without_name(store.path());
    let (bytes, rounded) = (mapped.values().sum::<u64>(), mapped.len() as u64 * 4_095);
    assert!(pinned <= bytes && pinned + rounded >= bytes, "{pinned} bytes, mapped: {mapped:?}");
    pinned
}

/// Never letting go of views that were replaced was tried, and made this fail.
#[test]
fn snapshots_are_held_over_a_thousand_flushes() {
    let directory = directory();
    let path = directory.path().join("tokens");
    let tokens = tokens(TOKENS);
    let store = create(&path, &options(), &tokens);
    let mut follower = Follower::new(&tokens, 1);
    let mut random = Random::new("held", 1);
    let mut held: Vec<(Snapshot, Model)> = Vec::new();
    let files = open_files();
    let (mut pinned_max, mut bytes_max, mut segment_bytes_max) = (0, 0, 0);
    let mut anonymous = Vec::new();
    let (mut flushes, mut number) = (0, 0);
    while flushes < FLUSHES {
        number += 1;
        store.commit(&batch(&tokens, number)).unwrap();
        let stat = store.stat();
        if stat.flushes == flushes {
            continue;
        }
        flushes = stat.flushes;
        assert_no_other_files(&store);
        segment_bytes_max = segment_bytes_max.max(stat.segment_bytes);
        bytes_max = bytes_max.max(bytes(&path));
        if flushes.is_multiple_of(20) {
            let snapshot = store.snapshot();
            follower.meet(&snapshot, number);
            let kept = (snapshot, follower.model.clone());
            // The first one is held to the end, others for as long as it happens.
            match held.len() {
                HELD => held[1 + random.below(HELD as u64 - 1) as usize] = kept,
                _ => held.push(kept),
            }
        }
        if flushes.is_multiple_of(50) {
            pinned_max = pinned_max.max(assert_pinned(&store));
            for (snapshot, model) in &held {
                follower.answers += model.compare(snapshot);
                (0..50).for_each(|_| model.ask(snapshot, &mut follower.mix));
                follower.answers += 50 + model.sign(snapshot, &mut follower.mix, 1);
            }
            anonymous.push(status("RssAnon"));
        }
    }
    println!(
        "{number} commits, {} answers, up to {pinned_max} bytes pinned, {bytes_max} by name; \
         {segment_bytes_max} in segments; {anonymous:?} KiB",
        follower.answers
    );
    // Each keeps no more than there was when it was taken.
    assert!(pinned_max > segment_bytes_max, "{pinned_max} bytes pinned");
    assert!(pinned_max <= HELD as u64 * segment_bytes_max, "{pinned_max} bytes pinned");
    // The files of a store, and the one log.
    assert!(bytes_max < segment_bytes_max + (64 << 10), "{bytes_max} bytes");
    assert!(open_files() <= files + 1, "{} open files, {files} before", open_files());
    // All that are held were there after the first quarter.
    let (early, late) = (anonymous[anonymous.len() / 4], anonymous[anonymous.len() - 1]);
    assert!(late < early + (8 << 10), "{early} KiB of memory early, {late} late");

    // Each that goes takes with it what it alone kept.
    let (first, model) = held.remove(0);
    let mut pinned = assert_pinned(&store);
    while held.pop().is_some() {
        let now = assert_pinned(&store);
        assert!(now <= pinned && now > 0, "{now} bytes after {pinned}");
        pinned = now;
    }
    // A clone and an iterator keep as much as a snapshot, and no more.
    let (clone, mut range) = (first.clone(), first.range(..));
    drop(first);
    assert_eq!(assert_pinned(&store), pinned);
    model.compare(&clone);
    drop(clone);
    assert_eq!(assert_pinned(&store), pinned);
    assert!(range.by_ref().map(Result::unwrap).eq(model.contents()));
    drop(range);
    assert_eq!(assert_pinned(&store), 0);
    assert_eq!(mapped_without_name(&path), BTreeMap::new());
    assert_no_other_files(&store);

    // A store that is only read pins what it saw.
    let reader = Store::open_read_only(&path, &options()).unwrap();
    let snapshot = reader.snapshot();
    assert_eq!(reader.stat().pinned_bytes, 0);
    let base = store.stat().each_layer.last().copied();
    while store.stat().each_layer.last().copied() == base {
        number += 1;
        store.commit(&batch(&tokens, number)).unwrap();
    }
    assert!(reader.refresh().unwrap());
    assert!(reader.stat().pinned_bytes > 0);
    let newest = reader.snapshot();
    follower.meet(&newest, number);
    follower.compare(&newest);
    drop(snapshot);
    assert_eq!(reader.stat().pinned_bytes, 0);
}
