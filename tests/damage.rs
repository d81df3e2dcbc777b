//! Files that are not what was written: the right answer or a typed error, each time.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use ringstore::testing::damage::{flip_bit, newest_segment, reseal_manifest, reseal_segment};
use ringstore::testing::keys::{KeyFamily, with_values};
use ringstore::testing::oracle::Oracle;
use ringstore::{
    Batch, BlockTime, Error, LoadOptions, Options, PeerId, Record, Result, Store, TokenId,
    Verification,
};
use tempfile::TempDir;

const PEER: PeerId = PeerId([7; 32]);

/// A store that was closed, and what it holds.
struct Sample {
    directory: TempDir,
    oracle: Oracle,
}

fn sample(tokens: Vec<TokenId>) -> Sample {
    let directory = tempfile::tempdir().unwrap();
    let oracle: Oracle = with_values(tokens, 1).collect();
    let store = Store::create(directory.path().join("store"), &Options::new()).unwrap();
    let records = oracle.tokens.iter().map(|(token, value)| Ok(Record::new(*token, *value)));
    store.bulk_load(records, &LoadOptions::new()).unwrap();
    Sample { directory, oracle }
}

/// A store of a base and two layers above it, with entries of all kinds.
fn layered() -> Sample {
    let mut sample = sample(KeyFamily::Uniform.generate(80, 3));
    let store = Store::open(sample.path(), &Options::new()).unwrap();
    store.pause_compaction().unwrap();
    let base: Vec<_> = sample.oracle.tokens.keys().copied().collect();
    let new = KeyFamily::Uniform.generate(60, 9);
    for (layer, tokens) in [&base[..40], &base[30..60]].into_iter().enumerate() {
        let value = |number: usize| BlockTime::new((number as u64).into(), layer as u64);
        for (number, token) in tokens.iter().chain(&new[20 * layer..20 * layer + 40]).enumerate() {
            if number % 5 == 0 {
                sample.oracle.tokens.remove(token);
                store.remove(token).unwrap();
            } else {
                sample.oracle.tokens.insert(*token, value(number));
                store.put(token, value(number)).unwrap();
            }
        }
        store.flush().unwrap();
    }
    let stat = store.stat();
    assert_eq!((stat.layers, stat.delta), (3, 0));
    assert!(stat.each_layer[..2].iter().all(|it| it.fresh.min(it.updates).min(it.tombstones) > 0));
    store.close().unwrap();
    sample
}

impl Sample {
    fn path(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    fn file(&self, extension: &str) -> PathBuf {
        let files = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut found = files.filter(|path| path.to_string_lossy().ends_with(extension));
        found.next().expect("such a file")
    }

    /// All segments and the manifest.
    fn files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| !path.ends_with("LOCK")).collect()
    }

    fn open(&self) -> Result<Store> {
        Store::open_read_only(self.path(), &Options::new())
    }

    /// Asks for everything, and counts right answers and errors. Panics at a wrong one.
    fn ask(&self, store: &Store, context: &str) -> (usize, usize) {
        let (mut right, mut errors) = (0, 0);
        let mut judge = |answer: Result<bool>| match answer {
            Ok(true) => right += 1,
            Ok(false) => panic!("{context}: a wrong answer"),
            Err(Error::Damaged(_)) => errors += 1,
            Err(error) => panic!("{context}: {error}"),
        };
        let snapshot = store.snapshot();
        let oracle = &self.oracle;
        judge(Ok(snapshot.len() == oracle.len()));
        for (rank, (token, value)) in (0..).zip(&oracle.tokens) {
            judge(snapshot.get(token).map(|found| found == Some(*value)));
            judge(snapshot.rank(token).map(|found| found == rank));
            judge(snapshot.select(rank).map(|found| found == Some((*token, *value))));
            let mut absent = *token;
            absent.0[31] ^= 0x80;
            judge(snapshot.get(&absent).map(|found| found == oracle.get(&absent)));
        }
        for token in oracle.tokens.keys().step_by(40) {
            judge(snapshot.sign(token, &PEER).map(|found| found == oracle.sign(token, &PEER)));
        }
        let all: Result<Vec<_>> = snapshot.range(..).collect();
        judge(all.map(|found| found.into_iter().eq(oracle.range(..))));
        let all: Result<Vec<_>> = snapshot.range(..).rev().collect();
        judge(all.map(|found| found.into_iter().eq(oracle.range(..).rev())));
        (right, errors)
    }
}

fn overwrite(path: &Path, bytes: &[u8]) {
    // Segments are read-only, so they are replaced, as a bad disk would not bother to.
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Flips one bit of every byte of all files, one at a time, or of one in so many.
fn flip_bytes(sample: &Sample, one_of: usize) {
    let whole = sample.ask(&sample.open().unwrap(), "undamaged");
    assert_eq!(whole.1, 0);
    let (mut refused, mut noticed, mut unnoticed) = (0, 0, 0);
    for path in sample.files() {
        let bytes = fs::read(&path).unwrap();
        for at in (0..bytes.len()).step_by(one_of) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at * 5 % 8);
            overwrite(&path, &flipped);
            let context = format!("byte {at} of {}", path.display());
            match sample.open() {
                Err(Error::Damaged(_)) => refused += 1,
                Err(error) => panic!("{context}: {error}"),
                Ok(store) => match sample.ask(&store, &context) {
                    (_, 0) => unnoticed += 1,
                    _ => noticed += 1,
                },
            }
        }
        overwrite(&path, &bytes);
    }
    println!("{refused} flips refused at open, {noticed} noticed by a read, {unnoticed} harmless");
    assert!(refused > 4096 / one_of && noticed > 72 * sample.oracle.tokens.len() / one_of);
    assert_eq!(sample.ask(&sample.open().unwrap(), "mended"), whole);
}

/// Not comparing chunks with their checksums was tried, and made this fail.
#[test]
fn any_flipped_byte_gives_right_answers_or_errors() {
    flip_bytes(&sample(KeyFamily::Uniform.generate(150, 3)), 1);
}

/// The same with fence keys in the file.
#[test]
fn any_flipped_byte_of_crowded_keys_gives_right_answers_or_errors() {
    flip_bytes(&sample(KeyFamily::OutlierOverDense64.generate(150, 3)), 1);
}

/// The same with layers above each other.
#[test]
fn any_flipped_byte_of_layers_gives_right_answers_or_errors() {
    flip_bytes(&layered(), 7);
}

/// Whoever flushed a layer knows all of it without reading it. What is read is what is in the
/// file, though, and so it is checked.
#[test]
fn a_byte_flipped_in_a_layer_just_flushed_is_found_by_every_read() {
    let Sample { directory, oracle } = sample(KeyFamily::Uniform.generate(20_000, 3));
    let path = directory.path().join("store");
    let store = Store::open(&path, &Options::new()).unwrap();
    // Far from each other, so that none has to be compared with the next.
    let tokens: Vec<_> = oracle.tokens.keys().step_by(20).collect();
    let mut batch = Batch::new();
    for token in &tokens {
        batch.put(**token, BlockTime::new(1u64.into(), 2));
    }
    store.commit(&batch).unwrap();
    store.flush().unwrap();
    assert_eq!(store.stat().layers, 2);
    // Not at an end, which was read to be opened.
    let token = *tokens[500];
    let newest = newest_segment(&path).unwrap().unwrap();
    let bytes = fs::read(&newest).unwrap();
    let at = bytes.windows(32).position(|window| window == token.0).unwrap();
    // In the block that the token maps to, and in place, as the store has the file mapped.
    flip_bit(&newest, at as u64 + 40).unwrap();
    let snapshot = store.snapshot();
    assert!(matches!(snapshot.get(&token), Err(Error::Damaged(_))));
    let (all, below) = (|| snapshot.range(..), || snapshot.range(..=token));
    assert!(matches!(all().find(Result::is_err), Some(Err(Error::Damaged(_)))));
    assert!(matches!(below().next_back(), Some(Err(Error::Damaged(_)))));
    assert!(matches!(all().try_fold(0, |sum, item| item.map(|_| sum + 1)), Err(Error::Damaged(_))));
    assert!(snapshot.slices(..).any(|slice| slice.is_err()));
}

/// Not comparing chunks with their checksums was tried, and made this fail.
#[test]
fn damage_is_found_at_open_where_that_is_asked_for() {
    let sample = sample(KeyFamily::Uniform.generate(2_000, 4));
    let path = sample.file(".seg");
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096 + 72 * 1_000] ^= 1;
    overwrite(&path, &bytes);
    let options = Options::new().verification(Verification::OnOpen);
    match Store::open_read_only(sample.path(), &options) {
        Err(Error::Damaged(damage)) => assert_eq!((damage.part, damage.path), ("records", path)),
        other => panic!("{other:?}"),
    }
    // Not by default, and then only by who reads that very place.
    let store = sample.open().unwrap();
    let (right, errors) = sample.ask(&store, "one byte");
    assert!(errors > 0 && right > 4 * errors, "{right} right, {errors} errors");
}

/// Not comparing chunks with their checksums was tried, and made this fail.
#[test]
fn verify_names_file_section_and_offset() {
    let sample = sample(KeyFamily::Uniform.generate(2_000, 4));
    let path = sample.file(".seg");
    let mut bytes = fs::read(&path).unwrap();
    let at = 4096 + 72 * 1_000 + 40;
    bytes[at] ^= 1;
    overwrite(&path, &bytes);
    let report = sample.open().unwrap().verify(&|_| std::ops::ControlFlow::Continue(())).unwrap();
    let [damage] = report.damages.as_slice() else { panic!("{report:?}") };
    assert_eq!((damage.part, &damage.path), ("records", &path));
    assert_eq!(damage.offset, at as u64 / 4096 * 4096);
}

#[test]
fn cut_and_extended_files_are_refused_by_name() {
    let sample = layered();
    for path in sample.files() {
        let bytes = fs::read(&path).unwrap();
        let mut longer = bytes.clone();
        longer.push(0);
        let cuts = (0..bytes.len()).step_by(if path.ends_with("MANIFEST") { 1 } else { 61 });
        for wrong in cuts.map(|len| &bytes[..len]).chain([longer.as_slice()]) {
            overwrite(&path, wrong);
            match sample.open() {
                Err(Error::Damaged(damage)) => {
                    assert_eq!(damage.path, path, "{} bytes", wrong.len());
                }
                other => panic!("{} of {} bytes: {other:?}", wrong.len(), bytes.len()),
            }
        }
        overwrite(&path, &bytes);
    }
    assert!(sample.open().is_ok());
}

#[test]
fn a_segment_of_another_store_is_refused() {
    let (ours, theirs) =
        (sample(KeyFamily::Uniform.generate(100, 6)), sample(KeyFamily::Uniform.generate(100, 6)));
    let path = ours.file(".seg");
    overwrite(&path, &fs::read(theirs.file(".seg")).unwrap());
    match ours.open() {
        Err(Error::Damaged(damage)) => {
            assert_eq!(damage.path, path);
            assert!(damage.found.contains("another"), "{damage}");
        }
        other => panic!("{other:?}"),
    }
}

/// Taking a segment that is missing for a file that cannot be opened was tried, and made this
/// fail.
#[test]
fn a_missing_file_is_named() {
    let sample = sample(KeyFamily::Uniform.generate(100, 7));
    let path = sample.file(".seg");
    fs::remove_file(&path).unwrap();
    assert!(matches!(sample.open(), Err(Error::Damaged(damage)) if damage.path == path));
}

/// Taking a directory without a manifest for no store, whatever else is in it, was tried, and
/// made this fail.
#[test]
fn a_store_that_lost_its_manifest_is_damaged_and_not_made_anew() {
    let sample = sample(KeyFamily::Uniform.generate(100, 7));
    let path = sample.file("MANIFEST");
    fs::remove_file(&path).unwrap();
    assert!(matches!(sample.open(), Err(Error::Damaged(damage)) if damage.path == path));
    let opened = Store::open_or_create(sample.path(), &Options::new());
    assert!(matches!(opened, Err(Error::Damaged(_))), "{opened:?}");
}

/// Versions are read before anything else is believed.
#[test]
fn versions_that_are_not_known_are_refused_by_number() {
    let sample = sample(KeyFamily::Uniform.generate(100, 8));
    for (extension, sealed, newest) in [("MANIFEST", None, 2), (".seg", Some(4096), 1)] {
        let path = sample.file(extension);
        let bytes = fs::read(&path).unwrap();
        let mut later = bytes.clone();
        later[8] = 77;
        let body = sealed.unwrap_or(later.len()) - 4;
        let checksum = crc32fast::hash(&later[..body]);
        later[body..body + 4].copy_from_slice(&checksum.to_le_bytes());
        overwrite(&path, &later);
        match sample.open() {
            Err(Error::UnknownVersion { found: 77, known, path: named }) => {
                assert_eq!((known, named), (newest, path.clone()));
            }
            other => panic!("{extension}: {other:?}"),
        }
        overwrite(&path, &bytes);
    }
}

/// Following links was tried, and made this fail.
#[test]
fn links_and_pipes_are_not_followed() {
    let sample = sample(KeyFamily::Uniform.generate(100, 9));
    let path = sample.file(".seg");
    let elsewhere = sample.directory.path().join("elsewhere");
    fs::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    assert!(matches!(sample.open(), Err(Error::Io { path: named, .. }) if named == path));
    fs::remove_file(&path).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    assert!(matches!(sample.open(), Err(Error::Io { path: named, .. }) if named == path));
}

#[test]
fn the_default_value_is_no_answer_for_damage() {
    // Were a damaged record read as absent or empty, this would not tell.
    let sample = sample(KeyFamily::Uniform.generate(60, 10));
    let path = sample.file(".seg");
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096..4096 + 72 * 50].fill(0);
    overwrite(&path, &bytes);
    let snapshot = sample.open().unwrap().snapshot();
    // The first chunk holds the first 56 records whole.
    for (token, value) in sample.oracle.tokens.iter().take(56) {
        assert_ne!(value, &BlockTime::default());
        assert!(snapshot.get(token).is_err(), "{token}");
    }
}

/// Puts bytes in the place of a segment, with the checksums that they should have, there and
/// in the manifest.
fn seal(sample: &Sample, path: &Path, mut bytes: Vec<u8>) {
    let header_checksum = |bytes: &[u8]| -> [u8; 4] { bytes[4_092..4_096].try_into().unwrap() };
    let before = header_checksum(&bytes);
    reseal_segment(&mut bytes);
    overwrite(path, &bytes);
    let manifest = sample.file("MANIFEST");
    let mut named = fs::read(&manifest).unwrap();
    let at = named.windows(4).position(|window| window == before).unwrap();
    named[at..at + 4].copy_from_slice(&header_checksum(&bytes));
    reseal_manifest(&mut named);
    overwrite(&manifest, &named);
}

/// A token that is far too large for its place, in each layer at one place after the other.
///
/// Before, compacting such a store said that records had been given in the wrong order, as if
/// by the caller, and an expiry went around without end.
#[test]
fn tokens_out_of_order_with_right_checksums_are_damage_to_whoever_passes_them() {
    let sample = layered();
    let files: Vec<_> =
        sample.files().into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    let (mut refused, mut expired, mut compacted) = (0, 0, 0);
    for (bytes, path) in files.iter().filter(|(_, path)| !path.ends_with("MANIFEST")) {
        for position in (1..60).step_by(5) {
            let mut wrong = bytes.clone();
            wrong[4_096 + Record::LEN * position] = 0xff;
            seal(&sample, path, wrong);
            if let Ok(store) = Store::open(sample.path(), &Options::new()) {
                let is_damage = |result: Result<()>, count: &mut u32| match result {
                    Ok(()) => {}
                    Err(Error::Damaged(_)) => *count += 1,
                    Err(error) => panic!("record {position} of {}: {error}", path.display()),
                };
                let rounds = AtomicUsize::new(0);
                let result = store.expire(1, &|_| {
                    assert!(rounds.fetch_add(1, Ordering::Relaxed) < 9, "it goes around");
                    ControlFlow::Continue(())
                });
                is_damage(result.map(|_| ()), &mut expired);
                is_damage(store.compact(&|_| ControlFlow::Continue(())), &mut compacted);
            } else {
                refused += 1;
            }
            for path in sample.files() {
                fs::remove_file(path).unwrap();
            }
            for (bytes, path) in &files {
                fs::write(path, bytes).unwrap();
            }
        }
    }
    println!("{expired} expiries failed, {compacted} compactions, {refused} were not opened");
    assert!(expired >= 10 && compacted >= 10, "{expired} {compacted} {refused}");
    assert_eq!(sample.ask(&sample.open().unwrap(), "mended").1, 0);
}
