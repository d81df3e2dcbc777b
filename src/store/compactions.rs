//! What a compaction does, and what happens when it cannot.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::flushes::{ENTRIES, contents, put, value};
use super::monitor::{Background, Written};
use super::*;
use crate::compact::BYTES_PER_RECORD;
use crate::compact::policy::LAYERS_MAX;
use crate::format::names::{is_segment, is_temporary, segment_name};
use crate::load::options::LoadOptions;
use crate::progress::UNWATCHED;
use crate::testing::keys::{KeyFamily, with_values};
use crate::testing::random::Random;
use crate::testing::sim::{Fault, SimDisk};
use crate::token::Record;

/// A store of a layer of removals, of updates, of tokens, and of other tokens, but whose
/// manifest has these in another order; the files of these.
fn misnamed(path: &Path, order: &[usize]) -> Vec<PathBuf> {
    let store = Store::create(path, &Options::new()).unwrap();
    store.pause_compaction().unwrap();
    let tokens = KeyFamily::Uniform.generate(2 * ENTRIES, 1);
    let (others, tokens) = tokens.split_at(ENTRIES);
    let mut remove = Batch::new();
    for token in tokens {
        remove.remove(*token);
    }
    for batch in [&put(others, 1), &put(tokens, 1), &put(tokens, 2), &remove] {
        store.commit(batch).unwrap();
        store.flush().unwrap();
    }
    drop(store);
    let disk = RealDisk::new(path);
    let contents = manifest::read(&disk).unwrap().unwrap();
    let layers: Vec<_> = order.iter().map(|layer| contents.layers[*layer].clone()).collect();
    let paths = layers.iter().map(|layer| path.join(segment_name(layer[0].segment_id))).collect();
    manifest::replace(&disk, &ManifestContents { layers, ..contents }).unwrap();
    paths
}

/// Kinds that cannot be, given what lies below, are damage to the file that has them, though
/// each file is what was written.
#[test]
fn kinds_that_cannot_be_name_their_file() {
    const REMOVALS: usize = 0;
    const UPDATES: usize = 1;
    const TOKENS: usize = 2;
    const OTHERS: usize = 3;
    for (order, wrong) in [
        (&[TOKENS, TOKENS, OTHERS][..], 0),
        (&[UPDATES, TOKENS, TOKENS, OTHERS], 1),
        (&[REMOVALS, TOKENS, TOKENS, OTHERS], 1),
        (&[REMOVALS, REMOVALS, TOKENS, OTHERS], 0),
        (&[UPDATES, REMOVALS, TOKENS, OTHERS], 0),
        (&[REMOVALS, UPDATES, OTHERS], 1),
        (&[OTHERS, OTHERS], 0),
        (&[REMOVALS, UPDATES, OTHERS, OTHERS], 2),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let paths = misnamed(directory.path(), order);
        let compacted = Store::open(directory.path(), &Options::new())
            .and_then(|store| store.compact(UNWATCHED));
        let Err(Error::Damaged(damage)) = compacted else { panic!("{order:?}: {compacted:?}") };
        assert_eq!(damage.path, paths[wrong], "{order:?}: {damage}");
    }
}

/// As many records as are written in many ranges, and synced meanwhile.
#[test]
fn large_layers_become_one() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path(), &Options::new()).unwrap();
    store.pause_compaction().unwrap();
    let tokens = KeyFamily::Uniform.generate(1_200_000, 1);
    let (others, loaded) = tokens.split_at(20 * ENTRIES);
    let records = with_values(loaded.to_vec(), 1).map(|pair| Ok(Record::from(pair)));
    store.bulk_load(records, &LoadOptions::new()).unwrap();
    let mut batch = put(others, 2);
    for token in loaded.iter().step_by(100) {
        batch.remove(*token);
    }
    store.commit(&batch).unwrap();
    let before = contents(&store);
    assert_eq!(before.len(), tokens.len() - loaded.len().div_ceil(100));
    store.resume_compaction().unwrap();
    store.compact(UNWATCHED).unwrap();
    assert_eq!((store.stat().layers, store.stat().tokens), (1, before.len() as u64));
    assert!(contents(&store) == before);
    assert_eq!(store.verify(UNWATCHED).unwrap().damages, []);
}

/// All layers become one, which has what they had.
#[test]
fn layers_become_one() {
    let directory = tempfile::tempdir().unwrap();
    drop(misnamed(directory.path(), &[0, 1, 2, 3]));
    let store = Store::open(directory.path(), &Options::new()).unwrap();
    let before = contents(&store);
    assert_eq!((before.len(), store.stat().layers), (ENTRIES, 4));
    let snapshot = store.snapshot();
    store.compact(UNWATCHED).unwrap();
    let stat = store.stat();
    assert_eq!((stat.layers, stat.segments, stat.compactions), (1, 1, 1));
    assert_eq!((stat.each_layer[0].fresh, stat.tokens), (ENTRIES as u64, ENTRIES as u64));
    assert!(stat.pinned_bytes > 0);
    assert_eq!(contents(&store), before);
    assert!(snapshot.range(..).map(|found| found.unwrap()).eq(before.clone()));
    drop(snapshot);
    assert_eq!(store.stat().pinned_bytes, 0);
    store.compact(UNWATCHED).unwrap();
    assert_eq!(store.stat().compactions, 1, "there was nothing to do");
    store.close().unwrap();
    assert_eq!(contents(&Store::open(directory.path(), &Options::new()).unwrap()), before);
}

/// Though the flush that it begins with makes layers that ask to be made one, which is done in
/// the background otherwise.
#[test]
fn whoever_asks_for_a_compaction_watches_it_and_may_stop_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path(), &Options::new()).unwrap();
    let tokens = KeyFamily::Uniform.generate(2 * ENTRIES, 1);
    let (base, others) = tokens.split_at(ENTRIES);
    store.commit(&put(base, 1)).unwrap();
    store.flush().unwrap();
    store.commit(&put(others, 1)).unwrap();
    let before = contents(&store);
    let stopped = store.compact(&|_| ControlFlow::Break(()));
    assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
    let stat = store.stat();
    assert_eq!((stat.layers, stat.delta, stat.compactions), (2, 0, 0));
    let told = AtomicU64::new(0);
    store
        .compact(&|_| {
            told.fetch_add(1, Ordering::Relaxed);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(told.into_inner() > 0);
    let stat = store.stat();
    assert_eq!((stat.layers, stat.compactions), (1, 1));
    assert_eq!(contents(&store), before);
}

/// A layer and three above it that are so small that nobody compacts them by himself.
fn layered(disk: &SimDisk) -> Store {
    let store = disk.create_store(&Options::new().inline()).unwrap();
    let tokens = KeyFamily::Uniform.generate(10 * ENTRIES, 1);
    let (base, others) = tokens.split_at(7 * ENTRIES);
    store.commit(&put(base, 1)).unwrap();
    store.flush().unwrap();
    for (tokens, time) in others.chunks(ENTRIES).zip(2..) {
        store.commit(put(tokens, time).remove(base[time as usize])).unwrap();
        store.flush().unwrap();
    }
    assert_eq!(store.stat().layers, 4);
    store
}

fn names(disk: &SimDisk, is_it: fn(&str) -> bool) -> usize {
    disk.list().unwrap().iter().filter(|name| is_it(name)).count()
}

/// Whichever call of a compaction fails: what was there is there, and it can be done when the
/// disk works again, or the store is opened anew.
#[test]
fn a_compaction_says_what_became_of_it() {
    let (mut unknown, mut failed) = (0, 0);
    for call in 0.. {
        let disk = SimDisk::new();
        let store = layered(&disk);
        let before = contents(&store);
        let at = disk.operations() + call;
        disk.fail(Fault::at_operation(at).errno(if call % 2 == 0 {
            libc::EIO
        } else {
            libc::ENOSPC
        }));
        let compacted = store.compact(UNWATCHED);
        let was_reached = disk.operations() > at;
        disk.heal();
        assert_eq!(contents(&store), before);
        match compacted {
            Ok(()) => {}
            Err(Error::Io { .. } | Error::NoSpace { .. }) => {
                failed += 1;
                assert_eq!((names(&disk, is_segment), names(&disk, is_temporary)), (4, 0));
                assert!(matches!(store.stat().compaction, Background::Failed(_)));
                store.compact(UNWATCHED).unwrap();
                assert_eq!(store.stat().compaction, Background::Idle);
            }
            Err(Error::OutcomeUnknown { .. }) => {
                unknown += 1;
                assert!(matches!(store.compact(UNWATCHED), Err(Error::Unwritable { .. })));
            }
            Err(other) => panic!("{}: {other:?}", disk.describe(at)),
        }
        drop(store);
        let store = disk.open_store(&Options::new().inline()).unwrap();
        assert_eq!(contents(&store), before);
        store.compact(UNWATCHED).unwrap();
        assert_eq!((names(&disk, is_segment), store.stat().layers), (1, 1));
        assert_eq!(contents(&store), before);
        if !was_reached {
            break;
        }
    }
    assert!(unknown >= 2 && failed >= 5, "{unknown} {failed}");
}

/// All bytes that are written are counted: frames and marks in logs, and each layer.
#[test]
fn what_is_written_is_counted() {
    const BLOCK: u64 = 512;
    let disk = SimDisk::new();
    let store = disk.create_store(&Options::new().inline()).unwrap();
    assert_eq!(store.stat().written.amplification(), None);
    let tokens = KeyFamily::Uniform.generate(ENTRIES, 1);
    for token in &tokens {
        store.put(token, value(1)).unwrap();
    }
    assert!(!store.remove(&TokenId::MAX).unwrap());
    let count = ENTRIES as u64;
    // A log's header, and of each commit a frame and a mark, which the next frame replaces.
    let mut written = Written {
        committed_bytes: count * Record::LEN as u64,
        log_bytes: BLOCK + count * 2 * BLOCK,
        ..Written::default()
    };
    assert_eq!(store.stat().written, written);
    store.flush().unwrap();
    written.flush_bytes = store.stat().segment_bytes;
    assert_eq!(store.stat().written, written);
    store.put(&tokens[0], value(2)).unwrap();
    let before = store.stat();
    store.flush().unwrap();
    let flushed = store.stat().segment_bytes - before.segment_bytes;
    store.compact(UNWATCHED).unwrap();
    let after = store.stat();
    written = Written {
        flush_bytes: written.flush_bytes + flushed,
        compaction_bytes: after.segment_bytes,
        ..before.written
    };
    assert_eq!(after.written, written);
    let bytes = written.log_bytes + written.flush_bytes + written.compaction_bytes;
    let amplification = bytes as f64 / ((count + 1) * Record::LEN as u64) as f64;
    assert_eq!(written.amplification(), Some(amplification));
    drop(store);
    let loaded = SimDisk::new().create_store(&Options::new().inline()).unwrap();
    let records = with_values(tokens, 1).map(|pair| Ok(Record::from(pair)));
    loaded.bulk_load(records, &LoadOptions::new()).unwrap();
    let load_bytes = loaded.stat().segment_bytes;
    assert_eq!(loaded.stat().written, Written { load_bytes, ..Written::default() });
}

/// However often it is stopped while others flush, or gives way to loads, there are no more
/// layers than there may be, files with larger numbers lie above others, and a checkpoint has all
/// of them.
#[test]
fn no_layer_is_one_too_many() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path().join("store"), &Options::new()).unwrap();
    let tokens = KeyFamily::Uniform.generate(30 * ENTRIES, 1);
    let (base, others) = tokens.split_at(20 * ENTRIES);
    store.commit(&put(base, 1)).unwrap();
    store.flush().unwrap();
    let mut layers = BTreeSet::new();
    for (round, tokens) in others.chunks(ENTRIES / 2).enumerate() {
        let flushes = |rounds: usize| {
            for tokens in tokens.chunks(tokens.len().div_ceil(rounds)) {
                store.commit(&put(tokens, 2)).unwrap();
                store.flush().unwrap();
                assert!(store.stat().layers <= LAYERS_MAX as u64, "{:?}", store.stat());
            }
        };
        let stopped = store.compact(&|_| {
            flushes(1 + round % 3);
            ControlFlow::Break(())
        });
        assert!(matches!(stopped, Ok(()) | Err(Error::Interrupted)), "{stopped:?}");
        flushes(1);
        layers.insert(store.stat().layers);
        if round % 4 == 3 {
            let while_loading = |_| {
                flushes(1);
                ControlFlow::Continue(())
            };
            let options = LoadOptions::new().progress(&while_loading);
            let time = 10 * round as u64;
            let records = tokens.iter().map(|token| Ok(Record::new(*token, value(time))));
            store.bulk_load(records, &options).unwrap();
        }
        let disk = RealDisk::new(store.path());
        let named = manifest::read(&disk).unwrap().unwrap().layers;
        assert!(named.len() <= LAYERS_MAX);
        // But for the bottom one, which may be new, and of old layers.
        let numbers: Vec<_> = named.iter().map(|layer| layer[0].segment_id).collect();
        assert!(numbers[..numbers.len() - 1].is_sorted_by(|a, b| a > b), "{numbers:?}");
        let copy = directory.path().join(round.to_string());
        store.checkpoint(&copy, UNWATCHED).unwrap();
        let other = Store::open(&copy, &Options::new()).unwrap();
        assert!(contents(&other) == contents(&store));
    }
    assert!(layers.contains(&(LAYERS_MAX as u64 - 1)), "{layers:?}");
    store.compact(UNWATCHED).unwrap();
    assert_eq!((store.stat().layers, store.stat().tokens), (1, tokens.len() as u64));
}

/// Where there is no room for what comes of it, nothing is written at all; removals need none
/// for what they remove.
#[test]
fn a_compaction_looks_for_room_first() {
    let disk = SimDisk::new();
    let store = layered(&disk);
    let before = contents(&store);
    let needed = before.len() as u64 * BYTES_PER_RECORD;
    let operations = disk.operations();
    disk.set_free_bytes(Some(needed - 1));
    let compacted = store.compact(UNWATCHED);
    let Err(Error::NoSpace { needed: found, .. }) = compacted else { panic!("{compacted:?}") };
    assert_eq!((found, disk.operations()), (needed, operations));
    assert!(matches!(store.stat().compaction, Background::Failed(_)));
    disk.set_free_bytes(Some(needed));
    store.compact(UNWATCHED).unwrap();
    let stat = store.stat();
    assert_eq!((stat.layers, stat.compaction), (1, Background::Idle));
    assert_eq!(contents(&store), before);
}

/// Whoever watches it may stop it; nothing is left of it.
#[test]
fn a_compaction_that_is_interrupted() {
    let disk = SimDisk::new();
    let store = layered(&disk);
    let before = contents(&store);
    let paused = store.compact(&|_| ControlFlow::Break(()));
    assert!(matches!(paused, Err(Error::Interrupted)), "{paused:?}");
    let stat = store.stat();
    assert_eq!((stat.layers, stat.compactions, stat.compaction), (4, 0, Background::Idle));
    assert_eq!((names(&disk, is_segment), names(&disk, is_temporary)), (4, 0));
    store.compact(UNWATCHED).unwrap();
    let stat = store.stat();
    assert_eq!((stat.layers, stat.compactions, stat.compaction), (1, 1, Background::Idle));
    assert_eq!(contents(&store), before);
}

/// What is committed and flushed while layers are compacted lies above what comes of it.
#[test]
fn others_go_on_while_layers_are_compacted() {
    for family in [KeyFamily::Uniform, KeyFamily::Dense64] {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(directory.path(), &Options::new()).unwrap();
        store.pause_compaction().unwrap();
        let tokens = family.generate(150_000, 1);
        let (base, new) = tokens.split_at(120_000);
        let records = with_values(base.to_vec(), 1);
        store.bulk_load(records.map(|pair| Ok(Record::from(pair))), &LoadOptions::new()).unwrap();
        store.commit(&put(&new[..10_000], 1)).unwrap();
        store.flush().unwrap();
        store.resume_compaction().unwrap();
        let rounds = AtomicU64::new(0);
        let model = std::sync::Mutex::new(contents(&store));
        store
            .compact(&|_| {
                let round = rounds.fetch_add(1, Ordering::Relaxed) + 2;
                let mut random = Random::new("meanwhile", round);
                let (mut batch, mut model) = (Batch::new(), model.lock().unwrap());
                for _ in 0..3_000 {
                    let token = *random.pick(&tokens);
                    if random.below(3) == 0 {
                        batch.remove(token);
                        model.remove(&token);
                    } else {
                        batch.put(token, value(round));
                        model.insert(token, value(round));
                    }
                }
                store.commit_with(&batch, Durability::Buffered).unwrap();
                if round.is_multiple_of(2) {
                    store.flush().unwrap();
                }
                assert_eq!(store.snapshot().len(), model.len() as u64);
                ControlFlow::Continue(())
            })
            .unwrap();
        let model: BTreeMap<_, _> = model.into_inner().unwrap();
        assert!(rounds.into_inner() >= 3);
        let stat = store.stat();
        assert_eq!((stat.compactions, stat.tokens), (1, model.len() as u64));
        assert!(stat.layers > 1 && stat.layers <= 6, "{stat:?}");
        let snapshot = store.snapshot();
        for (rank, (token, value)) in model.iter().enumerate().step_by(7) {
            assert_eq!(snapshot.get(token).unwrap(), Some(*value));
            assert_eq!(snapshot.rank(token).unwrap(), rank as u64);
        }
        assert!(contents(&store) == model);
        drop(snapshot);
        store.compact(UNWATCHED).unwrap();
        assert!(contents(&store) == model);
        store.close().unwrap();
        assert!(contents(&Store::open(directory.path(), &Options::new()).unwrap()) == model);
    }
}

/// One that is held up goes on when it is resumed.
#[test]
fn a_compaction_that_is_paused() {
    let disk = SimDisk::new();
    let store = layered(&disk);
    let before = contents(&store);
    store.pause_compaction().unwrap();
    std::thread::scope(|scope| {
        let compacted = scope.spawn(|| store.compact(UNWATCHED));
        while store.stat().compaction != Background::Compacting {
            std::thread::yield_now();
        }
        // As long as it is paused it cannot be done.
        assert_eq!((store.stat().layers, store.stat().compactions), (4, 0));
        store.resume_compaction().unwrap();
        compacted.join().unwrap().unwrap();
    });
    assert_eq!((store.stat().layers, store.stat().compactions), (1, 1));
    assert_eq!(contents(&store), before);
}

/// While it is held up, whoever watches it may stop it all the same.
#[test]
fn a_compaction_that_is_paused_and_stopped() {
    let store = layered(&SimDisk::new());
    store.pause_compaction().unwrap();
    let told = AtomicU64::new(0);
    let stopped = store.compact(&|_| match told.fetch_add(1, Ordering::Relaxed) {
        0..3 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    });
    assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
    assert_eq!(store.stat().layers, 4);
}

/// What watches a compaction, or a load, cannot ask for what would wait for that.
#[test]
fn nobody_waits_for_himself() {
    let store = layered(&SimDisk::new());
    let record = Record::new(TokenId::MAX, value(1));
    let load = |options: &LoadOptions<'_>| store.bulk_load([Ok(record)], options);
    let calls = AtomicU64::new(0);
    let asks = |_| {
        calls.fetch_add(1, Ordering::Relaxed);
        let refused = store.compact(UNWATCHED);
        assert!(matches!(refused, Err(Error::Unwritable { .. })), "{refused:?}");
        let refused = load(&LoadOptions::new());
        assert!(matches!(refused, Err(Error::Unwritable { .. })), "{refused:?}");
        ControlFlow::Continue(())
    };
    store.compact(&asks).unwrap();
    assert!(calls.swap(0, Ordering::Relaxed) > 0);
    load(&LoadOptions::new().progress(&asks)).unwrap();
    assert!(calls.into_inner() > 0);
    load(&LoadOptions::new()).unwrap();
    store.compact(UNWATCHED).unwrap();
    assert_eq!(store.stat().layers, 1);
}

/// Closing a store does not wait for what may take hours.
#[test]
fn a_store_that_is_closed_while_it_is_compacted() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options::new().compaction_bytes_per_second(1);
    let store = Store::create(directory.path(), &options).unwrap();
    let tokens = KeyFamily::Uniform.generate(100_000, 1);
    for tokens in tokens.chunks(50_000) {
        store.commit(&put(tokens, 1)).unwrap();
        store.flush().unwrap();
    }
    // Begun before the flush was over.
    assert_eq!(store.stat().compaction, Background::Compacting);
    store.close().unwrap();
    let names = RealDisk::new(directory.path()).list().unwrap();
    assert_eq!(names.iter().filter(|name| is_segment(name)).count(), 2);
    assert!(!names.iter().any(|name| is_temporary(name)), "{names:?}");
    let store = Store::open(directory.path(), &Options::new()).unwrap();
    store.compact(UNWATCHED).unwrap();
    assert_eq!((store.stat().layers, store.stat().tokens), (1, 100_000));
}
