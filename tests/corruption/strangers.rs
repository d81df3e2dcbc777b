//! Files that are each all right, but not where they are, or not now: of another place in the
//! store, of another store, of another time; and files that are not there.
//!
//! What nobody can see is a state that the store had: a log, as nothing outside of it says how
//! far it went, or the manifest with all that it names, as it was at another time. Segments that
//! came later may lie beside that, as those may that a crash left before they were named; a log
//! that came later may not.

use std::collections::BTreeMap;

use ringstore::testing::oracle::Oracle;
use ringstore::testing::sim::SimDisk;
use ringstore::{Error, Result, Store};

use crate::parts::Kind;
use crate::sample::{Files, layered, options};

/// What opening a store comes to, for readers and writers alike: what it holds, or which file
/// is damaged.
#[track_caller]
fn opened(files: &Files) -> Result<Oracle, String> {
    let read = |store: Result<Store>| match store {
        Ok(store) => {
            let report = store.verify(&|_| std::ops::ControlFlow::Continue(())).unwrap();
            assert_eq!(report.damages, []);
            let snapshot = store.snapshot();
            let oracle: Oracle = snapshot.range(..).map(Result::unwrap).collect();
            assert_eq!(snapshot.len(), oracle.len());
            Ok(oracle)
        }
        Err(Error::Damaged(damage)) => {
            Err(damage.path.file_name().unwrap().to_str().unwrap().to_string())
        }
        Err(error) => panic!("{error}"),
    };
    let disk = SimDisk::with_files(files.clone());
    let seen = read(disk.open_read_only(&options()));
    let written = read(disk.open_store(&options()));
    assert_eq!(seen, written, "readers and writers see the same");
    if written.is_err() {
        assert!(
            disk.files().iter().all(|file| file.0 == "LOCK" || files.get(file.0) == Some(file.1))
        );
    }
    seen
}

fn refused(files: &Files) -> String {
    opened(files).expect_err("refused")
}

/// Not comparing a segment with its header's checksum in the manifest was tried, and made
/// this fail.
#[test]
fn segments_that_are_exchanged() {
    let sample = layered(3);
    let segments = sample.names(Kind::Segment);
    let (mut pairs, mut of_equal_length) = (0, 0);
    for (index, one) in segments.iter().enumerate() {
        for other in &segments[..index] {
            let mut files = sample.with(one, sample.files[*other].clone());
            files.insert((*other).into(), sample.files[*one].clone());
            let named = refused(&files);
            assert!(named == *one || named == *other, "{one}, {other}: {named}");
            pairs += 1;
            of_equal_length += usize::from(files[*one].len() == files[*other].len());
        }
    }
    assert_eq!((pairs, of_equal_length), (6, 2));
}

#[test]
fn every_file_in_the_place_of_every_other() {
    let sample = layered(3);
    for one in sample.all_names() {
        for other in sample.all_names().filter(|other| *other != one) {
            let files = sample.with(one, sample.files[other].clone());
            assert_eq!(refused(&files), one, "{other} in its place");
        }
    }
}

/// The other one has the same contents under the same names: only the ids are others. Not
/// comparing the ids of stores was tried, and made this fail.
#[test]
fn files_of_another_store() {
    let (ours, theirs) = (layered(3), layered(3));
    let names: Vec<_> = ours.all_names().collect();
    assert!(theirs.all_names().eq(names.iter().copied()));
    let mut mixtures = 0;
    for mixture in 1..(1 << names.len()) - 1 {
        let is_theirs = |index: usize| mixture >> index & 1 == 1;
        let files = (0..names.len()).map(|index| {
            let from = if is_theirs(index) { &theirs } else { &ours };
            (names[index].to_string(), from.files[names[index]].clone())
        });
        let named = refused(&files.collect());
        let index = |name: &str| names.iter().position(|it| *it == name).unwrap();
        let (manifest, named) = (index("MANIFEST"), index(&named));
        assert_ne!(is_theirs(named), is_theirs(manifest), "{}", names[named]);
        mixtures += 1;
    }
    println!("{mixtures} mixtures of two stores refused");
    assert_eq!(mixtures, 62);
    // Beside all of ours, under a name that is free.
    for (name, free) in
        [(theirs.names(Kind::Segment)[0], "seg"), (theirs.names(Kind::Log)[0], "log")]
    {
        let free = format!("00000000000000ff.{free}");
        assert_eq!(refused(&ours.with(&free, theirs.files[name].clone())), "MANIFEST");
    }
}

/// Taking a segment that is missing for a file that cannot be opened was tried, and made this
/// fail.
#[test]
fn files_that_are_missing_or_have_another_name() {
    let sample = layered(3);
    for name in sample.all_names() {
        let mut files = sample.files.clone();
        let bytes = files.remove(name).unwrap();
        assert_eq!(refused(&files), name);
        let ending = name.rsplit_once('.').map_or("seg", |it| it.1);
        for other in
            [format!("00000000000000ff.{ending}"), format!("{name}.tmp"), name.to_lowercase() + "_"]
        {
            let mut files = files.clone();
            files.insert(other.clone(), bytes.clone());
            assert_eq!(refused(&files), name, "{other}");
        }
    }
    // It holds nothing, and is made anew.
    let mut files = sample.files.clone();
    files.remove("LOCK").unwrap();
    assert!(opened(&files).unwrap() == sample.oracle);
}

/// Each mixture of what there is and what there was at one moment before, with what was not
/// there gone or not: what a copy has that is made while the store is written, or where single
/// files were put back. It is refused, or the state that the store has, or the one it had then.
/// Not looking for logs that came later was tried, and made this fail.
#[test]
fn files_of_another_time() {
    let sample = layered(3);
    let mut outcomes = BTreeMap::new();
    for (moment, (then, oracle)) in sample.history.iter().enumerate() {
        let now = &sample.files;
        let names = then.keys().chain(now.keys().filter(|name| !then.contains_key(*name)));
        let names: Vec<_> = names.filter(|name| then.get(*name) != now.get(*name)).collect();
        for mixture in 0..1u32 << names.len() {
            let mut files = now.clone();
            for (index, name) in names.iter().enumerate() {
                if mixture >> index & 1 == 1 {
                    match then.get(*name) {
                        Some(bytes) => drop(files.insert((*name).clone(), bytes.clone())),
                        None => drop(files.remove(*name)),
                    }
                }
            }
            let is_all = mixture + 1 == 1 << names.len();
            let outcome = match opened(&files) {
                Ok(found) if found == sample.oracle => "as it is",
                Ok(found) => {
                    assert!(found == *oracle, "moment {moment}, mixture {mixture:b}");
                    let left = files.iter().filter(|(name, bytes)| then.get(*name) != Some(bytes));
                    let is_segment = |name: &String| Kind::of(name) == Kind::Segment;
                    assert!(left.map(|it| it.0).all(is_segment), "moment {moment}: {mixture:b}");
                    if is_all { "as it was, all of it" } else { "as it was, but for segments" }
                }
                Err(_) => {
                    assert!(!is_all && mixture > 0, "moment {moment}, mixture {mixture:b}");
                    "refused"
                }
            };
            *outcomes.entry(outcome).or_insert(0) += 1;
        }
    }
    println!("{} moments: {outcomes:?}", sample.history.len());
    let expected = [
        ("as it is", 19),
        ("as it was, all of it", 12),
        ("as it was, but for segments", 22),
        ("refused", 143),
    ];
    assert_eq!(outcomes, BTreeMap::from(expected));
}
