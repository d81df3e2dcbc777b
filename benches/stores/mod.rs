//! Stores to be timed, and what is done to them and read of them.

use std::hint::black_box;
use std::path::Path;

use ringstore::testing::keys::with_values;
use ringstore::testing::random::Random;
use ringstore::{
    Batch, BlockTime, Durability, LoadOptions, Options, Record, Result, Snapshot, Store, TokenId,
};

/// Records of a scan.
pub(super) const SCAN: usize = 1_000;

/// A store of tokens, all of it in memory and checked.
pub(super) fn loaded(path: &Path, tokens: &[TokenId], options: &Options) -> Result<Store> {
    let store = Store::create(path, options)?;
    let records = with_values(tokens.iter().copied(), 1);
    store.bulk_load(records.map(|record| Ok(Record::from(record))), &LoadOptions::new())?;
    make_near(&store)?;
    Ok(store)
}

/// Another store with the segment files of one that nothing writes to. The same pages in memory
/// serve both, so that where these lie makes no difference between the two.
pub(super) fn linked(store: &Store, path: &Path, options: &Options) -> Result<Store> {
    std::fs::create_dir(path).expect("a directory");
    for entry in std::fs::read_dir(store.path()).expect("a directory") {
        let from = entry.expect("a name in the directory").path();
        let to = path.join(from.file_name().expect("a name"));
        if from.extension().is_some_and(|extension| extension == "seg") {
            std::fs::hard_link(from, to).expect("a link");
        } else {
            std::fs::copy(from, to).expect("a copy");
        }
    }
    let store = Store::open(path, options)?;
    make_near(&store)?;
    Ok(store)
}

/// Brings all of a store into memory, checked.
fn make_near(store: &Store) -> Result<()> {
    store.verify(&|_| std::ops::ControlFlow::Continue(()))?;
    for records in store.snapshot().slices(..) {
        black_box(records?);
    }
    Ok(())
}

/// So many entries in batches: new tokens, updates of old ones, removals.
pub(super) fn change(
    store: &Store,
    tokens: &[TokenId],
    random: &mut Random,
    entries: usize,
    batch_entries: usize,
) -> Result<()> {
    for number in 0..entries / batch_entries {
        let mut batch = Batch::new();
        for _ in 0..batch_entries / 2 {
            batch.put(random.token(), BlockTime::new(random.bytes().into(), 9));
            let old = *random.pick(tokens);
            match number % 4 {
                0 => batch.remove(old),
                _ => batch.put(old, BlockTime::new(random.bytes().into(), 9)),
            };
        }
        store.commit_with(&batch, Durability::Buffered)?;
    }
    Ok(())
}

/// Passes over records from a token upwards.
pub(super) fn scan_up(snapshot: &Snapshot, token: TokenId) {
    let range = snapshot.range(token..).take(SCAN);
    black_box(range.fold(0, |sum, item| sum ^ item.expect("a record").1.time));
}
