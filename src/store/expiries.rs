//! What an expiry removes, and what it leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Mutex;

use super::flushes::{contents, value};
use super::*;
use crate::load::options::LoadOptions;
use crate::progress::{Phase, UNWATCHED};
use crate::store::expire::{BATCH_REMOVALS, Expired};
use crate::testing::keys::KeyFamily;
use crate::testing::random::Random;
use crate::testing::sim::{Fault, SimDisk};
use crate::token::Record;

/// More than are looked at in one snapshot.
const TOKENS: usize = 150_000;

/// Times are below this.
const TIMES: u64 = 100;

fn records(tokens: &[TokenId]) -> Vec<Record> {
    let mut random = Random::new("times", 1);
    tokens.iter().map(|token| Record::new(*token, value(random.below(TIMES)))).collect()
}

fn loaded(records: &[Record]) -> Store {
    let store = SimDisk::new().create_store(&Options::new().inline()).unwrap();
    store.bulk_load(records.iter().map(|record| Ok(*record)), &LoadOptions::new()).unwrap();
    store
}

fn complete(examined: usize, removed: usize) -> Expired {
    Expired { examined: examined as u64, removed: removed as u64, is_complete: true }
}

#[test]
fn what_is_older_goes_and_all_else_stays() {
    for family in [KeyFamily::Uniform, KeyFamily::Dense64, KeyFamily::OneSuffix] {
        let records = records(&family.generate(TOKENS, 1));
        let store = loaded(&records);
        let mut left: BTreeMap<_, _> = records.iter().map(|record| (*record).into()).collect();
        for (round, before) in [0, 1, 50, 20, 99].into_iter().enumerate() {
            let examined = left.len();
            left.retain(|_, value| value.time >= before);
            let expired = store.expire(before, UNWATCHED).unwrap();
            assert_eq!(expired, complete(examined, examined - left.len()), "before {before}");
            assert!(contents(&store) == left, "{family:?}: before {before}");
            assert_eq!(store.stat().tokens, left.len() as u64);
            if round % 2 == 0 {
                store.compact(UNWATCHED).unwrap();
                assert_eq!(store.stat().each_layer[0].fresh, left.len() as u64);
            }
        }
        // A time in the future.
        assert_eq!(store.expire(u64::MAX, UNWATCHED).unwrap(), complete(left.len(), left.len()));
        assert_eq!(store.expire(u64::MAX, UNWATCHED).unwrap(), complete(0, 0));
        store.compact(UNWATCHED).unwrap();
        let stat = store.stat();
        assert_eq!((stat.tokens, stat.layers, stat.segment_bytes), (0, 0, 0));
    }
}

/// What others write while it is under way: newer tokens stay, also those that were old when
/// they were looked at; what was removed is counted exactly.
#[test]
fn tokens_that_are_written_again_meanwhile() {
    const BEFORE: u64 = 60;
    let tokens = KeyFamily::Uniform.generate(TOKENS, 1);
    let records = records(&tokens);
    let store = loaded(&records);
    let model: BTreeMap<_, _> = records.iter().map(|record| (*record).into()).collect();
    let (model, round) = (Mutex::new(model), Mutex::new(0));
    let expired = store
        .expire(BEFORE, &|progress| {
            let mut round = round.lock().unwrap();
            *round += 1;
            let mut random = Random::new("meanwhile", *round);
            let mut batch = Batch::new();
            for _ in 0..2_000 {
                // Older than what is looked for, newer, or gone.
                let (token, time) = (*random.pick(&tokens), random.below(TIMES));
                if time % 5 == 0 {
                    batch.remove(token);
                } else {
                    batch.put(token, value(time));
                }
            }
            let before = contents(&store);
            store.commit_with(&batch, Durability::Buffered).unwrap();
            let after = contents(&store);
            let mut model = model.lock().unwrap();
            // What is gone by now, and is not gone by this batch, was old.
            let gone: Vec<_> =
                model.keys().filter(|token| !before.contains_key(*token)).copied().collect();
            for token in &gone {
                assert!(model.remove(token).is_some_and(|value| value.time < BEFORE));
            }
            assert!(*model == before, "{progress:?}");
            *model = after;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(*round.lock().unwrap() >= 3 && expired.is_complete);
    let (mut model, left) = (model.into_inner().unwrap(), contents(&store));
    model.retain(|token, value| {
        let is_left = left.contains_key(token);
        assert!(is_left || value.time < BEFORE);
        is_left
    });
    assert!(left == model);
    assert_eq!(store.stat().tokens, left.len() as u64);
    // Those that were written behind it.
    let again = store.expire(BEFORE, UNWATCHED).unwrap();
    assert!(again.removed > 0);
    assert_eq!(store.stat().tokens, left.len() as u64 - again.removed);
    assert!(contents(&store).values().all(|value| value.time >= BEFORE));
}

/// Two at once remove each token once.
#[test]
fn two_at_once() {
    let records = records(&KeyFamily::Uniform.generate(TOKENS, 1));
    let store = loaded(&records);
    let removed = std::thread::scope(|scope| {
        let expire = || store.expire(50, UNWATCHED).unwrap().removed;
        let threads = [scope.spawn(expire), scope.spawn(expire)];
        threads.map(|thread| thread.join().unwrap()).iter().sum::<u64>()
    });
    let left = records.iter().filter(|record| record.time() >= 50).count() as u64;
    assert_eq!((removed, store.stat().tokens), (TOKENS as u64 - left, left));
}

#[test]
fn whoever_watches_it_may_stop_it() {
    let records = records(&KeyFamily::Uniform.generate(TOKENS, 1));
    let store = loaded(&records);
    let expired = store
        .expire(50, &|progress| {
            assert_eq!(progress.phase, Phase::Expiring);
            assert!(progress.total.is_some_and(|total| total >= progress.done));
            if progress.done == 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .unwrap();
    assert!(!expired.is_complete && expired.removed > 0 && expired.examined < TOKENS as u64);
    assert_eq!(store.stat().tokens, TOKENS as u64 - expired.removed);
    let rest = store.expire(50, UNWATCHED).unwrap();
    assert!(rest.is_complete && rest.removed > 0);
}

/// Whichever call fails: nothing is gone but old tokens, those that were counted durably, and
/// it can be done once more.
#[test]
fn an_expiry_whose_calls_fail() {
    const FEW: usize = 6_000;
    let records = records(&KeyFamily::Uniform.generate(FEW, 1));
    let options = Options::new().inline().delta_entries(1_500).log_bytes(Options::LOG_BYTES_MIN);
    let mut failures = 0;
    for call in (0..).step_by(3) {
        let disk = SimDisk::new();
        let store = disk.create_store(&options).unwrap();
        store.bulk_load(records.iter().map(|record| Ok(*record)), &LoadOptions::new()).unwrap();
        let at = disk.operations() + call;
        let errno = if call % 2 == 0 { libc::EIO } else { libc::ENOSPC };
        disk.fail(Fault::at_operation(at).errno(errno));
        let expired = store.expire(50, UNWATCHED);
        let was_reached = disk.operations() > at;
        disk.heal();
        let left = contents(&store);
        for record in &records {
            assert!(record.time() < 50 || left.contains_key(&record.token));
        }
        assert_eq!(store.stat().tokens, left.len() as u64);
        match expired {
            Ok(expired) => assert_eq!(expired.removed, (FEW - left.len()) as u64),
            Err(_) => failures += 1,
        }
        drop(store);
        let store = disk.open_store(&options).unwrap();
        store.expire(50, UNWATCHED).unwrap();
        let newer = records.iter().filter(|record| record.time() >= 50).count();
        assert_eq!((contents(&store).len(), store.stat().tokens), (newer, newer as u64));
        if !was_reached {
            break;
        }
    }
    assert!(failures >= 5, "{failures}");
}

/// At whatever moment the power fails: some of its batches are there, the first ones, and all
/// of them when it is done.
#[test]
fn a_crash_in_an_expiry() {
    const FEW: usize = 5_000;
    const IMAGES: usize = 20;
    let records = records(&KeyFamily::Uniform.generate(FEW, 1));
    let options = Options::new().inline().delta_entries(1_500).log_bytes(Options::LOG_BYTES_MIN);
    let disk = SimDisk::new();
    let store = disk.create_store(&options).unwrap();
    store.bulk_load(records.iter().map(|record| Ok(*record)), &LoadOptions::new()).unwrap();
    let begin = disk.operations();
    let expired = store.expire(50, UNWATCHED).unwrap();
    let end = disk.operations();
    drop(store);
    let old: Vec<_> = records.iter().filter(|record| record.time() < 50).collect();
    assert_eq!(expired, complete(FEW, old.len()));
    let (mut images, mut found) = (0, BTreeSet::new());
    for moment in begin..=end {
        for image in disk.some_images(moment, IMAGES, 1) {
            images += 1;
            let store = image.open_store(&options).unwrap();
            let left = contents(&store);
            let removed = FEW - left.len();
            assert_eq!(store.stat().tokens, left.len() as u64);
            assert!(removed.is_multiple_of(BATCH_REMOVALS) || removed == old.len(), "{removed}");
            assert!(moment < end || removed == old.len());
            for (number, record) in old.iter().enumerate() {
                assert_eq!(left.contains_key(&record.token), number >= removed);
            }
            found.insert(removed);
        }
    }
    println!("{images} images of {} moments, {found:?}", end - begin + 1);
    assert!(images > 100 && found.len() > 2, "{images} {found:?}");
}

#[test]
fn a_reader_removes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    drop(Store::create(directory.path(), &Options::new()).unwrap());
    let reader = Store::open_read_only(directory.path(), &Options::new()).unwrap();
    let refused = reader.expire(1, UNWATCHED);
    assert!(matches!(refused, Err(Error::Unwritable { .. })), "{refused:?}");
}
