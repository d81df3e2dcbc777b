//! Where a salvage takes from, and where it puts what it rescues.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

use ringstore::testing::damage::{reseal_manifest, reseal_segment};
use ringstore::testing::keys::KeyFamily;
use ringstore::{Error, LossReason, Options, Progress, Store, salvage};

use crate::sample::{contents, go_on, overwrite, sample};

#[test]
fn what_is_no_store_or_of_another_version_is_refused() {
    let sample = sample(KeyFamily::Uniform, 100);
    let fails = |path: &Path| salvage(path, sample.destination(), &go_on).unwrap_err();
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(fails(empty.path()), Error::NotAStore { .. }));
    assert!(matches!(fails(&empty.path().join("missing")), Error::NotAStore { .. }));
    assert!(matches!(fails(&sample.path().join("MANIFEST")), Error::NotAStore { .. }));
    for name in ["MANIFEST", &sample.segments[1].name] {
        let path = sample.path().join(name);
        let good = fs::read(&path).unwrap();
        let mut later = good.clone();
        later[8] = 77;
        if name == "MANIFEST" {
            reseal_manifest(&mut later);
        } else {
            reseal_segment(&mut later);
        }
        overwrite(&path, &later);
        assert!(matches!(fails(&sample.path()), Error::UnknownVersion { found: 77, .. }));
        overwrite(&path, &good);
    }
    assert!(!sample.destination().exists());
}

#[test]
fn a_store_in_use_is_locked() {
    let sample = sample(KeyFamily::Uniform, 100);
    let store = Store::open(sample.path(), &Options::new()).unwrap();
    let refused = salvage(sample.path(), sample.destination(), &go_on);
    assert!(matches!(refused, Err(Error::Locked { .. })), "{refused:?}");
    assert!(!sample.destination().exists());
    drop(store);
    // None is made where there is none.
    fs::remove_file(sample.path().join("LOCK")).unwrap();
    assert!(salvage(sample.path(), sample.destination(), &go_on).unwrap().is_complete());
    assert!(!sample.path().join("LOCK").exists());
}

#[test]
fn a_destination_is_new_and_elsewhere() {
    let sample = sample(KeyFamily::Uniform, 100);
    let (path, elsewhere) = (sample.path(), sample.directory.path());
    let before = contents(&path);
    fs::create_dir(elsewhere.join("occupied")).unwrap();
    fs::write(elsewhere.join("occupied/letter"), "Dear Sir").unwrap();
    std::os::unix::fs::symlink(&path, elsewhere.join("link")).unwrap();
    for (destination, is_within) in [
        (path.clone(), true),
        (path.join("a/b"), true),
        (elsewhere.join("link/c"), true),
        (elsewhere.join("occupied"), false),
        (path.join("MANIFEST"), true),
        (elsewhere.join("occupied/letter"), false),
    ] {
        match salvage(&path, &destination, &go_on) {
            Err(Error::Unwritable { .. }) if is_within => {}
            Err(Error::AlreadyExists { .. }) if !is_within => {}
            other => panic!("{}: {other:?}", destination.display()),
        }
    }
    assert!(contents(&path) == before);
    assert_eq!(fs::read(elsewhere.join("occupied/letter")).unwrap(), b"Dear Sir");
    // An empty one will do, and directories above are made.
    fs::create_dir(elsewhere.join("empty")).unwrap();
    for destination in ["empty", "x/y/z"] {
        assert!(salvage(&path, elsewhere.join(destination), &go_on).unwrap().is_complete());
    }
}

#[test]
fn a_salvage_that_is_stopped_leaves_nothing() {
    let sample = sample(KeyFamily::Uniform, 20_000);
    let elsewhere = sample.directory.path();
    fs::create_dir(elsewhere.join("empty")).unwrap();
    let words = std::sync::atomic::AtomicUsize::new(0);
    let count = |limit: usize| {
        let words = &words;
        move |_: Progress| match words.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            said if said < limit => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    };
    salvage(sample.path(), elsewhere.join("all"), &count(usize::MAX)).unwrap();
    fs::remove_dir_all(elsewhere.join("all")).unwrap();
    let all = words.swap(0, std::sync::atomic::Ordering::Relaxed);
    assert!(all > 8, "{all}");
    for limit in 0..all {
        for destination in ["a/b/c", "empty"] {
            words.store(0, std::sync::atomic::Ordering::Relaxed);
            let stopped = salvage(sample.path(), elsewhere.join(destination), &count(limit));
            assert!(matches!(stopped, Err(Error::Interrupted)), "{limit}: {stopped:?}");
        }
        assert!(!elsewhere.join("a").exists(), "{limit}");
        assert_eq!(fs::read_dir(elsewhere.join("empty")).unwrap().count(), 0, "{limit}");
    }
}

/// What somebody else has put into the destination meanwhile stays there.
#[test]
fn a_salvage_that_is_stopped_removes_its_own_files_only() {
    let sample = sample(KeyFamily::Uniform, 300);
    let letter = sample.destination().join("letter.txt");
    let stop = |_: Progress| {
        fs::write(&letter, "Dear Sir").unwrap();
        ControlFlow::Break(())
    };
    let stopped = salvage(sample.path(), sample.destination(), &stop);
    assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
    assert!(contents(&sample.destination()).into_keys().eq([letter]));
}

/// It costs what was in the file that had its name.
#[test]
fn what_is_no_file_is_lost_and_the_rest_is_rescued() {
    let sample = sample(KeyFamily::Uniform, 300);
    let put = |kind: &str, path: &Path| match kind {
        "link" => std::os::unix::fs::symlink("/nowhere", path).unwrap(),
        "directory" => fs::create_dir(path).unwrap(),
        "pipe" => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
        _ => drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
    };
    for kind in ["link", "directory", "pipe", "socket"] {
        for name in [&sample.segments[1].name, &sample.log.0, "MANIFEST"] {
            let path = sample.path().join(name);
            let good = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            put(kind, &path);
            let report = salvage(sample.path(), sample.destination(), &go_on).unwrap();
            fs::remove_dir_all(sample.destination()).unwrap();
            let reasons: Vec<_> = report.losses.iter().map(|loss| loss.reason).collect();
            if name == "MANIFEST" {
                assert!(report.manifest.is_some() && reasons.is_empty(), "{kind}: {report:?}");
            } else {
                assert_eq!(reasons, [LossReason::Foreign], "{kind}: {report:?}");
            }
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
            fs::write(&path, good).unwrap();
        }
    }
}
