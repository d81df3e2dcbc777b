//! Stores of a few layers, whose files are then lost, exchanged or given other names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ringstore::testing::keys::{KeyFamily, with_values};
use ringstore::{
    BlockTime, LoadOptions, Options, Record, Result, SalvageReport, Store, TokenId, salvage,
};

use crate::sample::go_on;

pub(crate) type Tokens = BTreeMap<TokenId, BlockTime>;

/// A place for a store, and one for what is rescued of it.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("store")
    }

    pub(crate) fn rescued(&self) -> PathBuf {
        self.0.path().join("rescued")
    }

    /// Makes a store of a layer for each of these.
    pub(crate) fn store_of(&self, layers: &[&Tokens]) -> Store {
        let store = Store::create(self.path(), &Options::new()).unwrap();
        for tokens in layers {
            load(&store, tokens);
        }
        store
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.path().join("MANIFEST")
    }

    /// The segments, those with lower numbers first.
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().path());
        let is_segment = |path: &PathBuf| path.extension().is_some_and(|it| it == "seg");
        let mut segments: Vec<_> = files.filter(is_segment).collect();
        segments.sort();
        segments
    }

    /// What a salvage says and rescues.
    pub(crate) fn salvage(&self) -> (SalvageReport, Tokens) {
        let report = salvage(self.path(), self.rescued(), &go_on).unwrap();
        let rescued = all(&self.rescued());
        fs::remove_dir_all(self.rescued()).unwrap();
        (report, rescued)
    }
}

pub(crate) fn load(store: &Store, tokens: &Tokens) {
    let records = tokens.iter().map(|(token, value)| Ok(Record::new(*token, *value)));
    store.bulk_load(records, &LoadOptions::new()).unwrap();
}

pub(crate) fn tokens(count: usize, seed: u64) -> Tokens {
    with_values(KeyFamily::Uniform.generate(count, seed), seed).collect()
}

/// All that a store holds.
pub(crate) fn all(path: &Path) -> Tokens {
    let store = Store::open_read_only(path, &Options::new()).unwrap();
    store.snapshot().range(..).collect::<Result<_>>().unwrap()
}
