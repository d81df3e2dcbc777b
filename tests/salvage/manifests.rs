//! Files without the manifest that belongs to them, and among them some of other stores.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use ringstore::testing::keys::{KeyFamily, with_values};
use ringstore::{
    Batch, BlockTime, Error, LoadOptions, Options, Record, Result, Store, TokenId, salvage,
};

use crate::sample::{go_on, sample};

type Tokens = BTreeMap<TokenId, BlockTime>;

/// A place for a store, and one for what is rescued of it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("store")
    }

    fn rescued(&self) -> PathBuf {
        self.0.path().join("rescued")
    }

    /// Makes a store of a layer for each of these.
    fn store_of(&self, layers: &[&Tokens]) -> Store {
        let store = Store::create(self.path(), &Options::new()).unwrap();
        layers.iter().for_each(|tokens| load(&store, tokens));
        store
    }
}

fn load(store: &Store, tokens: &Tokens) {
    let records = tokens.iter().map(|(token, value)| Ok(Record::new(*token, *value)));
    store.bulk_load(records, &LoadOptions::new()).unwrap();
}

fn tokens(count: usize, seed: u64) -> Tokens {
    with_values(KeyFamily::Uniform.generate(count, seed), seed).collect()
}

/// All that a store holds.
fn all(path: &Path) -> Tokens {
    let store = Store::open_read_only(path, &Options::new()).unwrap();
    store.snapshot().range(..).collect::<Result<_>>().unwrap()
}

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
    fs::remove_file(place.path().join("MANIFEST")).unwrap();
    let report = salvage(place.path(), place.rescued(), &go_on).unwrap();
    assert!(report.losses.is_empty(), "{report:?}");
    assert!(all(&place.rescued()) == expected);
}

/// Whatever its number: it may be a higher one than any of ours.
#[test]
fn a_log_of_another_store_does_not_make_the_manifest_an_older_one() {
    let place = Place::new();
    let ours = tokens(500, 1);
    place.store_of(&[&ours]).close().unwrap();
    let theirs = sample(KeyFamily::Uniform, 300);
    fs::copy(theirs.path().join(&theirs.log.0), place.path().join(&theirs.log.0)).unwrap();
    let report = salvage(place.path(), place.rescued(), &go_on).unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert!(all(&place.rescued()) == ours);
}
