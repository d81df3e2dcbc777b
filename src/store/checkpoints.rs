//! What a checkpoint holds, and what happens when it cannot be made.

use std::ops::ControlFlow;
use std::path::Path;

use super::flushes::{ENTRIES, contents, put, value};
use super::*;
use crate::compact::policy::LAYERS_MAX;
use crate::format::names::{is_segment, segment_name};
use crate::load::options::LoadOptions;
use crate::progress::{Phase, UNWATCHED};
use crate::store::checkpoint::Checkpoint;
use crate::testing::keys::{KeyFamily, with_values};
use crate::testing::random::Random;
use crate::testing::sim::{Fault, SimDisk};
use crate::token::Record;

/// So many that nobody compacts what lies above them by himself.
const TOKENS: usize = 20 * ENTRIES;

/// Commits something to a store: tokens that are new, others, and removals.
fn change(store: &Store, tokens: &[TokenId], round: u64) {
    let mut random = Random::new("round", round);
    let mut batch = Batch::new();
    for _ in 0..ENTRIES {
        let token = *random.pick(tokens);
        match random.below(4) {
            0 => batch.remove(token),
            _ => batch.put(token, value(round)),
        };
    }
    store.commit(&batch).unwrap();
}

/// A store of so many layers, and a delta.
fn layered(store: Store, layers: usize) -> Store {
    let tokens = KeyFamily::Uniform.generate(TOKENS, 1);
    for round in 0..layers as u64 {
        if round == 0 {
            store.commit(&put(&tokens[..TOKENS / 5 * 4], 0)).unwrap();
        }
        change(&store, &tokens, round);
        store.flush().unwrap();
    }
    change(&store, &tokens, layers as u64);
    assert_eq!(store.stat().layers, layers as u64);
    store
}

fn is_sound(store: &Store) {
    let report = store.verify(UNWATCHED).unwrap();
    assert_eq!(report.damages, []);
    assert!(store.stat().layers <= LAYERS_MAX as u64);
    assert_eq!(store.stat().tokens, contents(store).len() as u64);
}

fn open(path: &Path) -> Store {
    Store::open(path, &Options::new()).unwrap()
}

#[test]
fn it_holds_what_the_store_held_and_each_goes_its_own_way() {
    for layers in 0..LAYERS_MAX {
        let directory = tempfile::tempdir().unwrap();
        let [path, copy] = ["store", "copy"].map(|name| directory.path().join(name));
        let store = layered(Store::create(&path, &Options::new()).unwrap(), layers);
        let tokens = KeyFamily::Uniform.generate(TOKENS, 1);
        let before = contents(&store);
        let stat = store.stat();
        let made = store.checkpoint(&copy, UNWATCHED).unwrap();
        assert_eq!((made.tokens, made.copied_bytes), (before.len() as u64, 0));
        // The store itself is as it was.
        assert_eq!(store.stat(), stat);
        change(&store, &tokens, 100);
        let later = contents(&store);
        let other = open(&copy);
        is_sound(&other);
        assert!(contents(&other) == before);
        let found = other.stat();
        assert_eq!(found.layers, LAYERS_MAX.min(layers + 1) as u64);
        assert_eq!(found.segment_bytes, made.linked_bytes + made.written_bytes);
        change(&other, &tokens, 200);
        let others = contents(&other);
        for store in [&store, &other] {
            store.compact(UNWATCHED).unwrap();
            is_sound(store);
        }
        assert!(contents(&store) == later && contents(&other) == others);
        // And one of that one, without a delta.
        let third = directory.path().join("third");
        let made = other.checkpoint(&third, UNWATCHED).unwrap();
        assert_eq!((made.copied_bytes, made.written_bytes), (0, 0));
        other.close().unwrap();
        drop(store);
        std::fs::remove_dir_all(&path).unwrap();
        std::fs::remove_dir_all(&copy).unwrap();
        assert!(contents(&open(&third)) == others);
    }
}

/// With a delta above as many layers as there may be, the newest are taken into its own.
#[test]
fn it_has_no_more_layers_than_others() {
    let directory = tempfile::tempdir().unwrap();
    let [path, copy] = ["store", "copy"].map(|name| directory.path().join(name));
    let store = layered(Store::create(&path, &Options::new()).unwrap(), LAYERS_MAX - 2);
    store.flush().unwrap();
    let tokens = KeyFamily::Uniform.generate(TOKENS, 1);
    // All are being compacted, so there is one more for what is written meanwhile.
    let before = std::sync::Mutex::new(None);
    store
        .compact(&|_| {
            let mut before = before.lock().unwrap();
            if before.is_none() {
                change(&store, &tokens, 50);
                store.flush().unwrap();
                change(&store, &tokens, 51);
                assert_eq!(store.stat().layers, LAYERS_MAX as u64);
                let made = store.checkpoint(&copy, UNWATCHED).unwrap();
                assert!(made.linked_bytes > 0 && made.written_bytes > 0);
                *before = Some(contents(&store));
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    let other = open(&copy);
    is_sound(&other);
    assert_eq!(other.stat().layers, LAYERS_MAX as u64);
    assert!(before.into_inner().unwrap() == Some(contents(&other)));
}

/// A writer of a checkpoint that died before it had removed what it had replaced: files that
/// were made under the other store.
#[test]
fn files_of_the_other_store_are_no_strangers() {
    let directory = tempfile::tempdir().unwrap();
    let [path, copy, third] = ["store", "copy", "third"].map(|name| directory.path().join(name));
    let store = layered(Store::create(&path, &Options::new()).unwrap(), 2);
    store.checkpoint(&copy, UNWATCHED).unwrap();
    let other = open(&copy);
    let segments = |path: &Path| {
        let mut names = RealDisk::new(path).list().unwrap();
        names.retain(|name| is_segment(name));
        names
    };
    let linked: Vec<_> = segments(&path);
    other.compact(UNWATCHED).unwrap();
    other.checkpoint(&third, UNWATCHED).unwrap();
    other.close().unwrap();
    for copy in [&copy, &third] {
        for name in &linked {
            std::fs::hard_link(path.join(name), copy.join(name)).unwrap();
        }
        let reader = Store::open_read_only(copy, &Options::new()).unwrap();
        let before = contents(&reader);
        let other = open(copy);
        is_sound(&other);
        assert!(contents(&other) == before);
        assert_eq!(segments(copy).len(), 1);
        other.close().unwrap();
    }
    // Those of any other store are.
    let stranger = Store::create(directory.path().join("stranger"), &Options::new()).unwrap();
    change(&stranger, &KeyFamily::Uniform.generate(TOKENS, 1), 1);
    stranger.flush().unwrap();
    std::fs::copy(
        directory.path().join("stranger").join(segment_name(2)),
        copy.join(segment_name(77)),
    )
    .unwrap();
    let refused = Store::open(&copy, &Options::new());
    assert!(matches!(refused, Err(Error::Damaged(_))), "{refused:?}");
}

/// While others commit, and files are replaced and removed all the time: each checkpoint is of
/// one moment, and shares all its files.
#[test]
fn checkpoints_of_a_store_that_is_written() {
    const ROUNDS: u64 = 40;
    let directory = tempfile::tempdir().unwrap();
    let options = Options::new().durability(Durability::Buffered);
    let store = Store::create(directory.path().join("store"), &options).unwrap();
    let tokens = KeyFamily::Uniform.generate(4_000, 1);
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let all_at = |round: u64| put(&tokens, round);
    store.commit(&all_at(0)).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut round = 0;
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                round += 1;
                // All tokens have one time at each moment.
                store.commit(&all_at(round)).unwrap();
                store.flush().unwrap();
                if round % 3 == 0 {
                    store.compact(UNWATCHED).unwrap();
                }
            }
            round
        });
        let mut newest = 0;
        for round in 0..ROUNDS {
            let path = directory.path().join(format!("copy{round}"));
            let made = store.checkpoint(&path, UNWATCHED).unwrap();
            assert_eq!((made.tokens, made.copied_bytes), (tokens.len() as u64, 0));
            let held = contents(&open(&path));
            let time = held.values().next().unwrap().time;
            assert!(held.values().all(|value| value.time == time) && time >= newest);
            assert_eq!(held.len(), tokens.len());
            newest = time;
            std::fs::remove_dir_all(&path).unwrap();
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(writer.join().unwrap() >= newest && newest > 0);
    });
}

#[test]
fn directories_that_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = layered(Store::create(&path, &Options::new()).unwrap(), 2);
    let before = contents(&store);
    let place = |name: &str| directory.path().join(name);
    std::fs::create_dir(place("full")).unwrap();
    std::fs::write(place("full").join("something"), "of somebody").unwrap();
    std::fs::write(place("file"), "of somebody").unwrap();
    let other = Store::create(place("other"), &Options::new()).unwrap();
    for name in ["full", "file", "other", "store"] {
        let made = store.checkpoint(place(name), UNWATCHED);
        assert!(matches!(made, Err(Error::AlreadyExists { .. })), "{name}: {made:?}");
    }
    assert_eq!(std::fs::read_dir(place("full")).unwrap().count(), 1);
    // Somebody makes something of it just now.
    std::fs::create_dir(place("taken")).unwrap();
    let held = lock(&RealDisk::new(&place("taken"))).unwrap();
    let made = store.checkpoint(place("taken"), UNWATCHED);
    assert!(matches!(made, Err(Error::Locked { .. })), "{made:?}");
    drop(held);
    store.checkpoint(place("taken"), UNWATCHED).unwrap();
    // Within the store is no place like any other, but one.
    store.checkpoint(path.join("within"), UNWATCHED).unwrap();
    drop(other);
    store.close().unwrap();
    for path in [path.clone(), path.join("within"), place("taken")] {
        assert!(contents(&open(&path)) == before);
    }
}

/// Of a store that is open for reading, and of one whose disk failed.
#[test]
fn whoever_can_read_can_make_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = layered(Store::create(&path, &Options::new()).unwrap(), 2);
    let reader = Store::open_read_only(&path, &Options::new()).unwrap();
    let before = contents(&store);
    // What the reader has is gone by now.
    store.compact(UNWATCHED).unwrap();
    store.remove(before.keys().next().unwrap()).unwrap();
    let copy = directory.path().join("copy");
    let made = reader.checkpoint(&copy, UNWATCHED).unwrap();
    assert!(made.linked_bytes == 0 && made.copied_bytes > 0 && made.written_bytes > 0);
    is_sound(&open(&copy));
    assert!(contents(&open(&copy)) == before);

    let disk = SimDisk::new();
    let store = layered(disk.create_store(&Options::new()).unwrap(), 2);
    let before = contents(&store);
    disk.fail(Fault::at_operation(disk.operations()).lasting());
    assert!(store.put(&TokenId::MAX, value(1)).is_err());
    let copy = directory.path().join("rescued");
    store.checkpoint(&copy, UNWATCHED).unwrap();
    assert!(contents(&open(&copy)) == before);
}

/// A reader has the files of its store, whatever has taken the place of that.
#[test]
fn the_store_of_a_reader_was_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let [path, moved, copy] = ["store", "moved", "copy"].map(|name| directory.path().join(name));
    drop(layered(Store::create(&path, &Options::new()).unwrap(), 2));
    let reader = Store::open_read_only(&path, &Options::new()).unwrap();
    std::fs::rename(&path, &moved).unwrap();
    let other = Store::create(&path, &Options::new()).unwrap();
    drop(layered(other, 3));
    let made = reader.checkpoint(&copy, UNWATCHED).unwrap();
    assert!(made.linked_bytes == 0 && made.copied_bytes > 0, "{made:?}");
    let copy = open(&copy);
    is_sound(&copy);
    assert!(contents(&copy) == contents(&reader));
}

/// The manifest of a checkpoint is none of the store that it was made of, which went on.
#[test]
fn a_manifest_that_is_taken_for_the_other_stores() {
    let directory = tempfile::tempdir().unwrap();
    let [path, copy] = ["store", "copy"].map(|name| directory.path().join(name));
    let store = Store::create(&path, &Options::new()).unwrap();
    let tokens = KeyFamily::Uniform.generate(TOKENS, 1);
    store.commit(&put(&tokens, 1)).unwrap();
    store.flush().unwrap();
    store.checkpoint(&copy, UNWATCHED).unwrap();
    store.commit(&put(&tokens[..ENTRIES], 2)).unwrap();
    store.flush().unwrap();
    store.close().unwrap();
    std::fs::copy(copy.join(MANIFEST), path.join(MANIFEST)).unwrap();
    let opened = Store::open(&path, &Options::new());
    let Err(Error::Damaged(damage)) = opened else { panic!("{opened:?}") };
    assert_eq!(damage.path, path.join(MANIFEST), "{damage}");
}

#[test]
fn whoever_watches_it_may_stop_it() {
    let directory = tempfile::tempdir().unwrap();
    let above = directory.path().join("above");
    let copy = above.join("as well").join("copy");
    let empty = directory.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let store = layered(SimDisk::new().create_store(&Options::new()).unwrap(), 2);
    for stop in [Phase::Copying, Phase::Writing] {
        for place in [&copy, &empty] {
            let made = store.checkpoint(place, &|progress| match progress.phase {
                phase if phase == stop => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            });
            assert!(matches!(made, Err(Error::Interrupted)), "{made:?}");
            assert!(!above.exists());
            assert_eq!(std::fs::read_dir(&empty).unwrap().count(), 0);
        }
    }
}

#[test]
fn where_there_is_no_room() {
    let store = layered(SimDisk::new().create_store(&Options::new()).unwrap(), 2);
    let disk = SimDisk::new();
    disk.set_free_bytes(Some(1));
    let made = disk.checkpoint(&store, UNWATCHED);
    assert!(matches!(made, Err(Error::NoSpace { .. })), "{made:?}");
    assert_eq!(disk.list().unwrap(), [""; 0]);
    disk.set_free_bytes(None);
    disk.checkpoint(&store, UNWATCHED).unwrap();
    assert!(contents(&disk.open_store(&Options::new()).unwrap()) == contents(&store));
}

/// A store, and disks to which its files are linked, and copied.
fn linked_and_copied() -> (Store, impl Iterator<Item = impl Fn() -> SimDisk>) {
    let disk = SimDisk::new();
    let store = layered(disk.create_store(&Options::new()).unwrap(), 2);
    let make = move |is_beside| {
        let disk = disk.clone();
        move || if is_beside { disk.beside() } else { SimDisk::new() }
    };
    (store, [true, false].into_iter().map(make))
}

/// At whatever moment the power fails: it is there as a whole, or nobody takes it for a store.
#[test]
fn a_crash_while_it_is_made() {
    let (store, disks) = linked_and_copied();
    let before = contents(&store);
    for disk in disks.map(|make| make()) {
        let made = disk.checkpoint(&store, UNWATCHED).unwrap();
        assert!((made.linked_bytes == 0) != (made.copied_bytes == 0));
        let (mut images, mut whole) = (0, 0);
        for moment in 0..=disk.operations() {
            for image in disk.images(moment) {
                images += 1;
                match image.open_store(&Options::new()) {
                    Ok(found) => {
                        is_sound(&found);
                        assert!(contents(&found) == before, "moment {moment}");
                        whole += 1;
                    }
                    Err(Error::NotAStore { .. }) => assert!(moment < disk.operations()),
                    Err(Error::Damaged(damage)) => {
                        assert!(moment < disk.operations(), "{damage}");
                        assert_eq!(damage.part, "manifest");
                        assert_eq!(manifest::read(&image).unwrap(), None, "{damage}");
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
        println!("{images} images of {} moments, {whole} whole", disk.operations() + 1);
        assert!(images > 100 && whole > 1, "{images} {whole}");
    }
}

/// Whichever call fails: nothing is left, and it can be made once more.
#[test]
fn an_error_while_it_is_made() {
    let (store, disks) = linked_and_copied();
    let before = contents(&store);
    for make in disks {
        let mut failures = 0;
        for call in 0.. {
            let disk = make();
            let errno = if call % 2 == 0 { libc::EIO } else { libc::ENOSPC };
            disk.fail(Fault::at_operation(call).errno(errno));
            let made = disk.checkpoint(&store, UNWATCHED);
            let was_reached = disk.operations() > call;
            disk.heal();
            if let Err(error) = made {
                failures += 1;
                let is_told = matches!(
                    error,
                    Error::Io { .. } | Error::NoSpace { .. } | Error::OutcomeUnknown { .. }
                );
                assert!(is_told, "{}: {error:?}", disk.describe(call));
                assert_eq!(disk.list().unwrap(), [""; 0], "{}", disk.describe(call));
                disk.checkpoint(&store, UNWATCHED).unwrap();
            }
            assert!(contents(&disk.open_store(&Options::new()).unwrap()) == before);
            if !was_reached {
                break;
            }
        }
        assert!(failures >= 10, "{failures}");
    }
}

/// What was loaded is shared as well, and as large.
#[test]
fn a_large_one_takes_no_room() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path().join("store"), &Options::new()).unwrap();
    let records = with_values(KeyFamily::Uniform.generate(100_000, 1), 1);
    store.bulk_load(records.map(|pair| Ok(Record::from(pair))), &LoadOptions::new()).unwrap();
    let copy = directory.path().join("copy");
    let made = store.checkpoint(&copy, UNWATCHED).unwrap();
    let linked_bytes = store.stat().segment_bytes;
    let tokens = 100_000;
    assert_eq!(made, Checkpoint { tokens, linked_bytes, ..Checkpoint::default() });
}
