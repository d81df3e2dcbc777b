//! What a flush does, and what happens when it cannot.

use std::collections::BTreeMap;

use super::monitor::Background;
use super::*;
use crate::compact::policy::LAYERS_MAX;
use crate::format::names::{is_log, is_segment};
use crate::io::watched::WatchedDisk;
use crate::testing::keys::KeyFamily;
use crate::testing::random::Random;
use crate::testing::sim::{Effect, Fault, SimDisk};

/// A delta that is full after so many entries, flushed by whoever fills it.
pub(super) const ENTRIES: usize = 40;

pub(super) fn options() -> Options {
    Options::new().delta_entries(ENTRIES).inline()
}

pub(super) fn value(time: u64) -> BlockTime {
    BlockTime::new(time.into(), time)
}

pub(super) fn put(tokens: &[TokenId], time: u64) -> Batch {
    let mut batch = Batch::new();
    for token in tokens {
        batch.put(*token, value(time));
    }
    batch
}

pub(super) fn contents(store: &Store) -> BTreeMap<TokenId, BlockTime> {
    store.snapshot().range(..).collect::<Result<_>>().unwrap()
}

fn names(disk: &SimDisk, is_it: fn(&str) -> bool) -> usize {
    disk.list().unwrap().iter().filter(|name| is_it(name)).count()
}

#[test]
fn a_delta_that_is_full_is_flushed_by_the_next_commit() {
    let disk = SimDisk::new();
    let store = disk.create_store(&options()).unwrap();
    store.pause_compaction().unwrap();
    let tokens = KeyFamily::Uniform.generate(2 * ENTRIES + 1, 1);
    for (number, token) in tokens.iter().enumerate() {
        store.put(token, value(1)).unwrap();
        let stat = store.stat();
        assert_eq!(stat.flushes as usize, number / ENTRIES);
        assert_eq!((stat.delta as usize, stat.layers), (number % ENTRIES + 1, stat.flushes));
        assert_eq!((names(&disk, is_log), names(&disk, is_segment)), (1, number / ENTRIES));
    }
    assert_eq!(store.stat().background, Background::Idle);
    assert_eq!(contents(&store).into_keys().collect::<Vec<_>>(), tokens);
}

/// What has no room in a log is flushed, unless it is little for so long a log.
#[test]
fn a_log_that_is_full_is_flushed_if_there_is_much_in_it() {
    let disk = SimDisk::new();
    let options = Options::new().log_bytes(64 << 10).inline();
    let store = disk.create_store(&options).unwrap();
    let tokens = KeyFamily::Uniform.generate(1_000, 1);
    for round in 0..2_000 {
        store.commit(&put(&tokens[..6], round)).unwrap();
        assert_eq!(names(&disk, is_log), 1);
    }
    assert_eq!((store.stat().layers, store.stat().flushes), (0, 0));
    for round in 0..40 {
        store.commit(&put(&tokens, round)).unwrap();
    }
    assert!(store.stat().flushes > 10, "{:?}", store.stat());
    assert_eq!(contents(&store).len(), 1_000);
}

#[test]
fn layers_and_their_kinds_are_told() {
    let disk = SimDisk::new();
    let store = disk.create_store(&Options::new()).unwrap();
    store.pause_compaction().unwrap();
    let tokens = KeyFamily::Uniform.generate(100, 1);
    store.commit(&put(&tokens[..60], 1)).unwrap();
    store.flush().unwrap();
    let before = store.snapshot();
    // 40 new ones, 20 with another value, ten that are gone.
    let mut batch = put(&tokens[40..], 2);
    for token in &tokens[..10] {
        batch.remove(*token);
    }
    store.commit(&batch).unwrap();
    store.flush().unwrap();
    let stat = store.stat();
    assert_eq!((stat.tokens, stat.layers, stat.segments, stat.delta), (90, 2, 2, 0));
    let kinds: Vec<_> = stat
        .each_layer
        .iter()
        .map(|layer| (layer.fresh, layer.updates, layer.tombstones))
        .collect();
    assert_eq!(kinds, [(40, 20, 10), (60, 0, 0)]);
    for layer in &stat.each_layer {
        // Two bytes an entry and a table for the block; a line at least.
        let entries = layer.fresh + layer.updates + layer.tombstones;
        assert_eq!(layer.postings_bytes, 2_048 + 2 * entries);
        assert_eq!(layer.directory_bytes % 64, 0);
        assert!(layer.directory_bytes > 0 && layer.segments == 1);
    }
    assert_eq!(stat.segment_bytes, stat.each_layer.iter().map(|layer| layer.bytes).sum::<u64>());
    assert_eq!(stat.log_bytes, 0);
    assert_eq!(before.len(), 60);
}

/// What is undone leaves nothing: no layer, and no log.
#[test]
fn a_flush_of_nothing_makes_no_layer() {
    let disk = SimDisk::new();
    let store = disk.create_store(&Options::new()).unwrap();
    let tokens = KeyFamily::Uniform.generate(3_000, 1);
    store.commit(&put(&tokens, 1)).unwrap();
    let mut batch = Batch::new();
    for token in &tokens {
        batch.remove(*token);
    }
    store.commit(&batch).unwrap();
    store.flush().unwrap();
    store.flush().unwrap();
    let stat = store.stat();
    assert_eq!((stat.tokens, stat.layers, stat.delta, stat.log_bytes), (0, 0, 0, 0));
    assert_eq!(names(&disk, is_segment), 0);
    assert_eq!(names(&disk, is_log), 0);
}

/// Layers are few however many deltas are flushed, and what a snapshot reads is kept for
/// as long as that lives.
#[test]
fn snapshots_keep_what_they_read_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path(), &Options::new().inline()).unwrap();
    let mut random = Random::new("snapshots", 1);
    let tokens = KeyFamily::Uniform.generate(200, 1);
    let mut model = BTreeMap::new();
    let mut kept = Vec::new();
    let mut pinned_max = 0;
    for round in 0..100 {
        let changed: Vec<_> = (0..20).map(|_| *random.pick(&tokens)).collect();
        store.commit_with(&put(&changed, round), Durability::Buffered).unwrap();
        model.extend(changed.iter().map(|token| (*token, value(round))));
        store.flush().unwrap();
        let stat = store.stat();
        assert!(stat.layers <= LAYERS_MAX as u64);
        pinned_max = pinned_max.max(stat.pinned_bytes);
        if round % 7 == 0 {
            kept.push((store.snapshot(), model.clone()));
        }
    }
    assert!(pinned_max > store.stat().segment_bytes);
    for (snapshot, model) in &kept {
        assert!(snapshot.range(..).map(|found| found.unwrap()).eq(model.clone()));
    }
    drop(kept);
    assert_eq!(store.stat().pinned_bytes, 0);
    assert_eq!(contents(&store), model);
}

/// A disk that is full: commits go on as long as the delta has room, then they fail, reads
/// go on, and the same commit works when there is room.
#[test]
fn no_room_for_a_layer_and_then_room() {
    for (errno, effect) in [
        (libc::ENOSPC, Effect::Nothing),
        (libc::ENOSPC, Effect::Part(128)),
        (libc::EIO, Effect::Nothing),
    ] {
        let disk = SimDisk::new();
        let store = disk.create_store(&options()).unwrap();
        let tokens = KeyFamily::Uniform.generate(2 * ENTRIES + 1, 1);
        store.commit(&put(&tokens[..ENTRIES - 1], 1)).unwrap();
        store.put(&tokens[ENTRIES - 1], value(1)).unwrap();
        // The first write of the segment is the one after its file was made.
        disk.fail(Fault::at_operation(disk.operations() + 1).errno(errno).effect(effect));
        store.put(&tokens[ENTRIES], value(1)).unwrap();
        let Background::Failed(reason) = store.stat().background else { panic!("no failure") };
        assert!(reason.contains(".seg"), "{reason}");
        assert_eq!(names(&disk, is_segment) + names(&disk, |name| name.ends_with("tmp")), 0);
        for token in &tokens[ENTRIES + 1..2 * ENTRIES] {
            store.put(token, value(1)).unwrap();
        }
        // Now the second delta is full as well.
        let last = tokens[2 * ENTRIES];
        disk.fail(Fault::at_operation(disk.operations() + 1).errno(errno).effect(effect).lasting());
        for _ in 0..3 {
            let failed = store.put(&last, value(1));
            match failed {
                Err(Error::NoSpace { .. }) if errno == libc::ENOSPC => {}
                Err(Error::Io { .. }) if errno != libc::ENOSPC => {}
                other => panic!("{other:?}"),
            }
            assert!(store.flush().is_err());
            assert_eq!(store.snapshot().len() as usize, 2 * ENTRIES);
            assert_eq!(contents(&store).len(), 2 * ENTRIES);
        }
        // Nothing is lost by a crash meanwhile.
        let image = disk.killed(disk.operations());
        assert_eq!(contents(&image.open_store(&options()).unwrap()).len(), 2 * ENTRIES);
        disk.heal();
        store.put(&last, value(1)).unwrap();
        assert_eq!(store.stat().background, Background::Idle);
        assert_eq!(contents(&store).into_keys().collect::<Vec<_>>(), tokens);
        store.close().unwrap();
    }
}

/// The same while threads wait for room: each of them is told, and goes on when there is some.
#[test]
fn no_room_while_others_wait_for_it() {
    const THREADS: usize = 4;
    let directory = tempfile::tempdir().unwrap();
    drop(Store::create(directory.path(), &Options::new()).unwrap());
    let (disk, watch) = WatchedDisk::new(directory.path());
    let store = Store::open_on(disk, &Options::new().delta_entries(ENTRIES)).unwrap();
    let tokens = KeyFamily::Uniform.generate(THREADS * 3 * ENTRIES, 1);
    watch.lock().unwrap().no_room_for = Some(".seg.tmp");
    let all_were_told = std::sync::Barrier::new(THREADS + 1);
    let commit_all = |tokens: &[TokenId]| {
        let mut times = 0;
        for token in tokens {
            while let Err(error) = store.put(token, value(1)) {
                assert!(matches!(error, Error::NoSpace { .. }), "{error}");
                assert_eq!(store.snapshot().get(token).unwrap(), None);
                times += 1;
                if times == 1 {
                    all_were_told.wait();
                }
            }
        }
        assert!(times > 0);
    };
    std::thread::scope(|scope| {
        for tokens in tokens.chunks(3 * ENTRIES) {
            scope.spawn(|| commit_all(tokens));
        }
        all_were_told.wait();
        // No more than two full deltas, and what one commit of each may add.
        let stat = store.stat();
        assert!((2 * ENTRIES..=2 * ENTRIES + THREADS).contains(&(stat.tokens as usize)));
        assert_eq!((stat.flushes, stat.layers), (0, 0));
        watch.lock().unwrap().no_room_for = None;
    });
    assert_eq!(contents(&store).into_keys().collect::<Vec<_>>(), tokens);
    store.flush().unwrap();
    let stat = store.stat();
    assert_eq!((stat.delta, stat.background), (0, Background::Idle));
    store.close().unwrap();
}

/// Whoever closes the store hears of a flush that failed, as nobody else may; nothing is
/// lost.
#[test]
fn closing_tells_of_a_flush_that_failed() {
    let disk = SimDisk::new();
    let store = disk.create_store(&options()).unwrap();
    let tokens = KeyFamily::Uniform.generate(ENTRIES + 1, 1);
    store.commit(&put(&tokens[..ENTRIES], 1)).unwrap();
    disk.fail(Fault::at_operation(disk.operations()).errno(libc::EACCES));
    store.put(&tokens[ENTRIES], value(1)).unwrap();
    assert!(matches!(store.close(), Err(Error::Io { .. })));
    let store = disk.open_store(&options()).unwrap();
    assert_eq!(contents(&store).into_keys().collect::<Vec<_>>(), tokens);
}

/// A batch that is larger than the delta and the log may be.
#[test]
fn a_batch_larger_than_everything() {
    let disk = SimDisk::new();
    let options = options().log_bytes(Options::LOG_BYTES_MIN);
    let store = disk.create_store(&options).unwrap();
    let tokens = KeyFamily::Uniform.generate(5_000, 1);
    for time in 0..3 {
        store.commit(&put(&tokens, time)).unwrap();
        store.put(&tokens[0], value(10)).unwrap();
    }
    assert_eq!(store.stat().flushes, 3);
    drop(store);
    let store = disk.open_store(&options).unwrap();
    assert_eq!(contents(&store).into_keys().collect::<Vec<_>>(), tokens);
}

/// Whichever call of a flush fails: what it says is what it did, and the store can be
/// opened again with all that was committed.
#[test]
fn a_flush_says_what_became_of_it() {
    let tokens = KeyFamily::Uniform.generate(ENTRIES, 1);
    let (mut unknown, mut failed) = (0, 0);
    for call in 0.. {
        let disk = SimDisk::new();
        let store = disk.create_store(&Options::new().inline()).unwrap();
        store.commit(&put(&tokens, 1)).unwrap();
        let at = disk.operations() + call;
        disk.fail(Fault::at_operation(at));
        let flushed = store.flush();
        let was_reached = disk.operations() > at;
        let closed = match flushed {
            Ok(()) => store.close().err(),
            Err(Error::Io { .. }) => {
                failed += 1;
                assert!(matches!(store.stat().background, Background::Failed(_)));
                store.flush().unwrap();
                store.close().err()
            }
            Err(Error::OutcomeUnknown { .. }) => {
                unknown += 1;
                assert!(matches!(store.flush(), Err(Error::Unwritable { .. })));
                assert!(matches!(store.put(&tokens[0], value(2)), Err(Error::Unwritable { .. })));
                store.close().err().filter(|error| !matches!(error, Error::OutcomeUnknown { .. }))
            }
            Err(other) => panic!("{}: {other:?}", disk.describe(at)),
        };
        assert!(closed.is_none(), "{}: {closed:?}", disk.describe(at));
        disk.heal();
        assert_eq!(contents(&disk.open_store(&options()).unwrap()).len(), ENTRIES);
        if !was_reached {
            break;
        }
    }
    assert!(unknown >= 3 && failed >= 5, "{unknown} {failed}");
}

/// Once a flush is done, nothing keeps the layers that it took but snapshots.
#[test]
fn nothing_is_pinned_after_a_flush() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path(), &Options::new().inline()).unwrap();
    let tokens = KeyFamily::Uniform.generate(ENTRIES, 1);
    for round in 0..100 {
        store.commit_with(&put(&tokens, round), Durability::Buffered).unwrap();
        store.flush().unwrap();
        assert_eq!(store.stat().pinned_bytes, 0, "round {round}");
    }
}

/// Closing tells each of the clones whether something was ever in doubt, and nobody what is
/// not: that the log could not be marked is no doubt.
#[test]
fn closing_tells_of_doubt_and_of_nothing_else() {
    let disk = SimDisk::new();
    let store = disk.create_store(&options()).unwrap();
    store.put(&TokenId::from(1), value(1)).unwrap();
    disk.fail(Fault::at_operation(disk.operations() + 1));
    assert!(matches!(store.put(&TokenId::from(2), value(1)), Err(Error::OutcomeUnknown { .. })));
    assert!(matches!(store.clone().close(), Err(Error::OutcomeUnknown { .. })));
    assert!(matches!(store.close(), Err(Error::OutcomeUnknown { .. })));
    for call in 0..2 {
        let disk = SimDisk::new();
        let store = disk.create_store(&options()).unwrap();
        store.put(&TokenId::from(1), value(1)).unwrap();
        disk.fail(Fault::at_operation(disk.operations() + call));
        let closed = store.close();
        assert!(matches!(closed, Err(Error::Io { .. })), "{closed:?}");
    }
}
