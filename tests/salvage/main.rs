//! What is rescued of a damaged store, record by record, and what is said of the rest.

mod logs;
mod manifests;
mod places;
mod sample;
mod segments;
mod stores;
mod strangers;

use std::collections::BTreeMap;
use std::fs;

use ringstore::testing::keys::KeyFamily;
use ringstore::testing::random::Random;
use ringstore::{BlockTime, Error, Loss, LossReason, Options, Store, salvage};

use crate::sample::{Entries, contents, flipped, go_on, merged, overwrite, read, sample};

#[test]
fn of_a_store_that_is_all_right_everything_is_rescued() {
    let sample = sample(KeyFamily::Uniform, 2_000);
    let (report, rescued) = sample.salvage();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(rescued, merged(&sample.layers(), &sample.frames()));
    let entries: usize = sample.layers().iter().chain(&sample.frames()).map(BTreeMap::len).sum();
    assert_eq!(report.rescued, entries as u64);
}

/// With or without a header of its own.
#[test]
fn nothing_of_another_store_is_rescued() {
    let [ours, theirs] = [300, 310].map(|count| sample(KeyFamily::Uniform, count));
    for is_headless in [false, true] {
        let mut foreign = theirs.segments[0].bytes.clone();
        if is_headless {
            foreign[..4_096].fill(0);
        }
        let (report, rescued) = ours.with_file(&ours.segments[0].name, &foreign);
        let [loss] = report.losses.as_slice() else { panic!("{report:?}") };
        assert_eq!(loss.reason, LossReason::Foreign);
        assert!(
            rescued
                == merged(
                    &[vec![Entries::new()], ours.layers().split_off(1)].concat(),
                    &ours.frames()
                )
        );
    }
    let log = fs::read(theirs.path().join(&theirs.log.0)).unwrap();
    let (report, rescued) = ours.with_file(&ours.log.0, &log);
    let [loss] = report.losses.as_slice() else { panic!("{report:?}") };
    assert_eq!((loss.part, loss.reason), ("log", LossReason::Foreign));
    assert!(rescued == merged(&ours.layers(), &[]));
}

#[test]
fn without_a_manifest_the_files_in_the_directory_count() {
    let sample = sample(KeyFamily::Uniform, 500);
    let all = merged(&sample.layers(), &sample.frames());
    let path = sample.path().join("MANIFEST");
    let manifest = fs::read(&path).unwrap();
    let damaged = (0..manifest.len()).step_by(13).map(|at| flipped(&manifest, at));
    for bytes in damaged.chain([Vec::new(), manifest[..100].to_vec()]) {
        let (report, rescued) = sample.with_file("MANIFEST", &bytes);
        assert!(rescued == all && report.losses.is_empty(), "{report:?}");
        assert!(report.manifest.is_some() && !report.is_complete());
    }
    fs::remove_file(&path).unwrap();
    let (report, rescued) = sample.salvage();
    assert!(rescued == all && report.losses.is_empty() && report.manifest.is_some(), "{report:?}");
    // Then a header is all that says what is in a file.
    let segment = &sample.segments[1];
    let (report, _) = sample.with_file(&segment.name, &flipped(&segment.bytes, 60));
    let [loss] = report.losses.as_slice() else { panic!("{report:?}") };
    assert_eq!(
        (&loss.file, loss.reason, loss.is_exact),
        (&segment.name, LossReason::Header, false)
    );
    assert!(loss.records >= segment.records.len() as u64);
    let log = fs::read(sample.path().join(&sample.log.0)).unwrap();
    let (report, rescued) = sample.with_file(&sample.log.0, &flipped(&log, 60));
    assert!(rescued == merged(&sample.layers(), &[]));
    assert!(matches!(report.losses.as_slice(), [Loss { reason: LossReason::Header, .. }]));
}

/// One that was restored from a copy names neither what was committed since, nor, perhaps,
/// anything that is still there.
#[test]
fn a_manifest_that_is_too_old_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    drop(Store::create(&path, &Options::new()).unwrap());
    let older = fs::read(path.join("MANIFEST")).unwrap();
    let store = Store::open(&path, &Options::new()).unwrap();
    for id in 0..10u64 {
        store.put(&id.into(), BlockTime::new(id.into(), id)).unwrap();
    }
    store.close().unwrap();
    overwrite(&path.join("MANIFEST"), &older);
    let (report, rescued) = read(directory).salvage();
    assert!(report.manifest.is_some_and(|reason| reason.contains("older")));
    assert_eq!(rescued.len(), 10);
}

/// Many wrong bytes, zeroed stretches and cut files: no panic, and the report is true.
#[test]
fn whatever_happened_to_the_files_the_report_is_true() {
    let sample = sample(KeyFamily::Uniform, 700);
    let mut random = Random::new("salvage", 1);
    let good = contents(&sample.path());
    let files: Vec<_> = good.keys().filter(|path| !path.ends_with("LOCK")).cloned().collect();
    let (mut complete, mut whole) = (0, 0);
    for _ in 0..150 {
        for _ in 0..=random.below(3) {
            let path = random.pick(&files);
            let Ok(mut bytes) = fs::read(path) else { continue };
            let used = bytes.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1) as u64;
            match random.below(6) {
                0 => bytes.truncate(random.below(used) as usize),
                1 => {
                    let start = random.below(used) as usize;
                    let end = bytes.len().min(start + random.below(20_000) as usize);
                    bytes[start..end].fill(random.below(2) as u8);
                }
                2 => drop(fs::remove_file(path)),
                _ => {
                    for _ in 0..=random.below(20) {
                        let at = random.below(used.min(bytes.len().max(1) as u64)) as usize;
                        if let Some(byte) = bytes.get_mut(at) {
                            *byte ^= 1 << random.below(8);
                        }
                    }
                }
            }
            // Without the mark at its end what was damaged last would be torn.
            let mark = sample.log.1[sample.log.1.len() - 1].0.clone();
            if path.ends_with(&sample.log.0) && bytes.len() >= mark.end {
                bytes[mark.clone()].copy_from_slice(&good[path][mark]);
            }
            if path.exists() {
                overwrite(path, &bytes);
            }
        }
        match salvage(sample.path(), sample.destination(), &go_on) {
            Ok(_) => {
                fs::remove_dir_all(sample.destination()).unwrap();
                let (report, _) = sample.salvage();
                complete += u32::from(report.is_complete());
                whole += u32::from(report.losses.is_empty());
            }
            // Nothing was left of it.
            Err(Error::NotAStore { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        for (path, bytes) in &good {
            let _ = fs::remove_file(path);
            fs::write(path, bytes).unwrap();
        }
    }
    assert!(complete < 100 && whole < 120, "{complete} {whole}");
}

/// A store without tokens, and one of which nothing is left.
#[test]
fn nothing_is_rescued_where_there_is_nothing() {
    let directory = tempfile::tempdir().unwrap();
    drop(Store::create(directory.path().join("store"), &Options::new()).unwrap());
    let sample = read(directory);
    let (report, rescued) = sample.salvage();
    assert!(report.is_complete() && rescued.is_empty());
}
