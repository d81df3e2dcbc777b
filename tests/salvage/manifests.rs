//! Manifests that are lost, or are not those of the files beside them.

use std::fs;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use ringstore::testing::keys::KeyFamily;
use ringstore::{Batch, BlockTime, Error, LossReason, Options, Store};

use crate::sample::{go_on, overwrite, sample};
use crate::stores::{Place, all, load, tokens};

/// Six layers, one of which was flushed while a compaction was under way that was stopped;
/// then a load takes some together. The number of what comes of that says where it lies.
#[test]
fn without_a_manifest_an_older_value_is_not_taken_for_the_newest() {
    let place = Place::new();
    let base = tokens(20_000, 1);
    let store = place.store_of(&[&base]);
    let few: Vec<_> = base.keys().copied().take(100).collect();
    let round = |round: u64| {
        let mut batch = Batch::new();
        for token in &few {
            batch.put(*token, BlockTime::new(round.into(), 1_000_000 + round));
        }
        store.commit(&batch).unwrap();
        store.flush().unwrap();
    };
    (1..5).for_each(round);
    let flushed = AtomicBool::new(false);
    let stopped = store.compact(&|_| {
        if !flushed.swap(true, Ordering::SeqCst) {
            round(5);
        }
        ControlFlow::Break(())
    });
    assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
    assert_eq!(store.stat().layers, 6);
    load(&store, &tokens(50, 2));
    store.close().unwrap();
    let expected = all(&place.path());
    fs::remove_file(place.manifest()).unwrap();
    let (report, rescued) = place.salvage();
    assert!(report.losses.is_empty() && rescued == expected, "{report:?}");
}

/// Whatever its number: it may be a higher one than any of ours.
#[test]
fn a_log_of_another_store_does_not_make_the_manifest_an_older_one() {
    let place = Place::new();
    let ours = tokens(500, 1);
    place.store_of(&[&ours]).close().unwrap();
    let theirs = sample(KeyFamily::Uniform, 300);
    fs::copy(theirs.path().join(&theirs.log.0), place.path().join(&theirs.log.0)).unwrap();
    let (report, rescued) = place.salvage();
    assert!(report.is_complete() && rescued == ours, "{report:?}");
}

/// It names what the compaction replaced, and not what has all of it.
#[test]
fn a_manifest_of_before_a_compaction_is_none() {
    let place = Place::new();
    let store = place.store_of(&[&tokens(500, 1), &tokens(500, 2)]);
    let older = fs::read(place.manifest()).unwrap();
    store.compact(&go_on).unwrap();
    store.close().unwrap();
    let expected = all(&place.path());
    overwrite(&place.manifest(), &older);
    // Whatever else is there.
    let theirs = sample(KeyFamily::Uniform, 3_000);
    for name in theirs.segments.iter().map(|segment| &segment.name) {
        fs::copy(theirs.path().join(name), place.path().join(format!("f{}", &name[1..]))).unwrap();
    }
    let (report, rescued) = place.salvage();
    assert!(rescued == expected, "{report:?}");
    assert!(report.manifest.is_some_and(|reason| reason.contains("an older one")));
    assert!(report.losses.iter().all(|loss| loss.reason == LossReason::Foreign));
    assert_eq!(report.losses.len(), 3);
}

/// It could also be what a crash left of a load, so it is not read; but it is said.
#[test]
fn a_whole_segment_that_came_after_the_manifest_is_reported() {
    let place = Place::new();
    let (first, second) = (tokens(500, 1), tokens(300, 2));
    let store = place.store_of(&[&first]);
    let older = fs::read(place.manifest()).unwrap();
    load(&store, &second);
    store.close().unwrap();
    overwrite(&place.manifest(), &older);
    let (report, rescued) = place.salvage();
    assert!(rescued == first && report.manifest.is_none() && !report.is_complete());
    let [loss] = report.losses.as_slice() else { panic!("{report:?}") };
    assert!(place.segments()[1].ends_with(&loss.file), "{report:?}");
    assert_eq!((loss.reason, loss.records, loss.may_revert), (LossReason::Unnamed, 300, true));
    fs::remove_file(place.manifest()).unwrap();
    let (_, rescued) = place.salvage();
    assert!(rescued == first.into_iter().chain(second).collect());
}

/// Be it that it names files which are not there, or others than are there, or none.
#[test]
fn a_manifest_of_another_store_is_none() {
    let place = Place::new();
    let ours = tokens(500, 1);
    place.store_of(&[&ours]).close().unwrap();
    let one = Place::new();
    one.store_of(&[&tokens(400, 2)]).close().unwrap();
    let none = Place::new();
    drop(Store::create(none.path(), &Options::new()).unwrap());
    let others = sample(KeyFamily::Uniform, 300);
    for path in [one.manifest(), none.manifest(), others.path().join("MANIFEST")] {
        overwrite(&place.manifest(), &fs::read(path).unwrap());
        let (report, rescued) = place.salvage();
        assert!(rescued == ours && report.losses.is_empty(), "{report:?}");
        assert!(report.manifest.is_some_and(|reason| reason.contains("another store")));
    }
}
