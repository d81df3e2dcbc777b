//! The conformance suite, passed by every backend of the crate, and by no backend that
//! breaks a rule.

mod mutant;
mod mutants;

use ringstore::testing::conformance::Suite;
use ringstore::{LoadOptions, MemTokens, Options, ReDbTokens, Record, Store, TokenStorageBackend};

#[test]
fn tokens_in_memory_conform() {
    Suite::new().cases(1_000).check(|records| Ok(records.iter().copied().collect::<MemTokens>()));
}

#[test]
fn a_backend_behind_a_pointer_conforms() {
    Suite::new().check(|records| {
        let tokens: Box<dyn TokenStorageBackend> =
            Box::new(records.iter().copied().collect::<MemTokens>());
        Ok(tokens)
    });
}

#[test]
fn tokens_in_redb_conform() {
    let directory = tempfile::tempdir().unwrap();
    let mut databases = 0;
    Suite::new().cases(48).check(|records| {
        databases += 1;
        let mut tokens = ReDbTokens::create(directory.path().join(databases.to_string()))?;
        tokens.load_sorted(records.iter().copied())?;
        Ok(tokens)
    });
}

/// Loaded in bulk: the store takes no single writes.
#[test]
fn the_store_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let mut stores = 0;
    Suite::new().read_only().check(|records| {
        stores += 1;
        let store = Store::create(directory.path().join(stores.to_string()), &Options::new())?;
        let records = records.iter().map(|record| Ok(Record::from(*record)));
        store.bulk_load(records, &LoadOptions::new())?;
        Ok(store)
    });
}
