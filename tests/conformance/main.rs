//! The conformance suite, passed by every backend of the crate, and by no backend that
//! breaks a rule.

mod mutant;
mod mutants;

use ringstore::testing::conformance::Suite;
use ringstore::{
    Batch, Durability, LoadOptions, MemTokens, Options, ReDbTokens, Record, Store,
    TokenStorageBackend,
};

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

/// Filled in bulk, by commits, and half by one and half by the other; in one layer, or some.
#[test]
fn the_store_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let (mut stores, mut layers_max) = (0, 0);
    // Whether a commit is on disk is no question of this suite.
    let options = Options::new().durability(Durability::Buffered).log_bytes(64 << 10);
    for loaded in [0, 1, 2] {
        Suite::new().check(|records| {
            stores += 1;
            let store = Store::create(directory.path().join(stores.to_string()), &options)?;
            if stores % 2 == 0 {
                store.pause_compaction()?;
            }
            let (loads, commits) = records.split_at(records.len() * loaded / 2);
            let loads = loads.iter().map(|record| Ok(Record::from(*record)));
            store.bulk_load(loads, &LoadOptions::new())?;
            for records in commits.chunks(500) {
                let mut batch = Batch::with_capacity(records.len());
                for (token, value) in records {
                    batch.set(*token, *value);
                }
                store.commit(&batch)?;
            }
            layers_max = layers_max.max(store.stat().layers);
            Ok(store)
        });
    }
    assert!(layers_max > 2, "{layers_max} layers");
}
