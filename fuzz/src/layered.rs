//! Stores of several layers with a log above them, the same bytes in every run, and all that
//! was ever written to them.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::sync::LazyLock;

use ringstore::testing::keys::{KeyFamily, with_values};
use ringstore::testing::sim::{Fault, SimDisk};
use ringstore::{Batch, BlockTime, Durability, LoadOptions, Record, Result, Store, TokenId};

use crate::number;
use crate::stores::{FixedIds, State, Written, contents, options};

/// A store, and tokens to ask it for, some of which it never had.
pub struct Layered {
    pub written: Written,
    pub tokens: Vec<TokenId>,
}

/// The [layered stores](layered_stores), made once.
pub static LAYERED: LazyLock<[Layered; 4]> = LazyLock::new(layered_stores);

/// Every value that a token had in any of them.
pub static EVER: LazyLock<BTreeMap<TokenId, HashSet<BlockTime>>> = LazyLock::new(|| {
    let mut ever: BTreeMap<TokenId, HashSet<BlockTime>> = BTreeMap::new();
    for Layered { written, tokens } in LAYERED.iter() {
        for time in 0..=TIME_MAX {
            tokens.iter().for_each(|token| _ = ever.entry(*token).or_default().insert(at(time)));
        }
        // With values that were loaded.
        for (token, value) in loaded(tokens) {
            ever.entry(token).or_default().insert(value);
        }
        for (token, value) in written.last() {
            assert!(ever[token].contains(value), "a value that nobody wrote");
        }
    }
    ever
});

/// No token is written at a later time.
const TIME_MAX: u64 = 9;

fn at(time: u64) -> BlockTime {
    BlockTime::new(time.into(), time)
}

/// Two of three tokens, for the bottom layer.
fn loaded(tokens: &[TokenId]) -> State {
    let all = with_values(tokens.to_vec(), 1);
    (0..).zip(all).filter(|(index, _)| index % 3 != 0).map(|(_, pair)| pair).collect()
}

/// Evenly spread tokens; some that crowd, so that there are fence keys; a checkpoint of the
/// first, which went on; and all suffixes, so that there are signatures, with two logs. Each
/// has three layers of all kinds, the last two of the bottom layer's tokens among them.
pub fn layered_stores() -> [Layered; 4] {
    let even = KeyFamily::Uniform.generate(200, 7);
    let crowded = KeyFamily::OutlierOverDense64.generate(330, 7);
    let all_suffixes = KeyFamily::Dense64.generate(1_700, 7);

    let mut ids = FixedIds::default();
    let (disk, base) = layers(&even);
    let store = disk.open_store(&options()).expect("it is whole");
    let beside = disk.beside();
    beside.checkpoint(&store, &|_| ControlFlow::Continue(())).expect("nothing fails");
    write_frames(&store, &even).expect("commits");
    let first = Written::on(&disk, base.clone(), &mut ids);
    let store = beside.open_store(&options()).expect("it is whole");
    store.put(&even[0], at(8)).expect("a commit");
    let checkpoint = Written::on(&beside, base, &mut ids);

    let (disk, base) = layers(&crowded);
    let store = disk.open_store(&options()).expect("it is whole");
    write_frames(&store, &crowded).expect("commits");
    let second = Written::on(&disk, base, &mut ids);

    let (disk, base) = layers(&all_suffixes);
    let store = disk.open_store(&options()).expect("it is whole");
    write_logs(&disk, &store, &all_suffixes).expect("commits");
    let last = Written::on(&disk, base, &mut ids);

    let stores = [first, second, checkpoint, last];
    let counts = stores.each_ref().map(|store| (layers_of(store), store.logs.len()));
    assert_eq!(counts, [(3, 1), (3, 1), (3, 1), (3, 2)], "layers and logs");
    let tokens = [even.clone(), crowded, even, all_suffixes];
    let mut tokens = tokens.into_iter();
    stores.map(|written| Layered { written, tokens: tokens.next().expect("of each") })
}

/// A disk with a store of three layers, and what is in them.
fn layers(tokens: &[TokenId]) -> (SimDisk, State) {
    let disk = SimDisk::new();
    let store = disk.create_store(&options()).expect("a store");
    let base = loaded(tokens).into_iter().map(|pair| Ok(Record::from(pair)));
    store.bulk_load(base, &LoadOptions::new()).expect("tokens in it");
    store.pause_compaction().expect("it is open");
    for time in 1..3 {
        let mut batch = Batch::new();
        for (index, token) in (time as usize..).zip(tokens).skip(time as usize) {
            match index % 11 {
                0 | 6 => _ = batch.put(*token, at(time)),
                4 => _ = batch.remove(*token),
                _ => {}
            }
        }
        store.commit(&batch).expect("a commit");
        store.flush().expect("a layer");
    }
    for layer in &store.stat().each_layer[..2] {
        assert!(layer.fresh.min(layer.updates).min(layer.tombstones) > 0, "all kinds in each");
    }
    let base = contents(&store);
    store.close().expect("nothing fails");
    (disk, base)
}

/// Frames of all kinds, those at the end buffered.
fn write_frames(store: &Store, tokens: &[TokenId]) -> Result<()> {
    let mut batch = Batch::new();
    tokens[3..12].iter().for_each(|token| _ = batch.put(*token, at(3)));
    store.commit(batch.remove(tokens[20]))?;
    store.remove(&tokens[5])?;
    store.put(&tokens[5], at(5))?;
    for (token, time) in tokens[20..].iter().zip(6..8) {
        store.commit_with(Batch::new().put(*token, at(time)), Durability::Buffered)?;
    }
    Ok(())
}

/// A full log that cannot be flushed, so that it stays beside the next one.
fn write_logs(disk: &SimDisk, store: &Store, tokens: &[TokenId]) -> Result<()> {
    store.pause_compaction()?;
    let mut batch = Batch::new();
    tokens[..48].iter().for_each(|token| _ = batch.put(*token, at(3)));
    store.commit(&batch)?;
    store.remove(&tokens[50])?;
    disk.fail(Fault::at_operation(disk.operations()));
    (5..9).try_for_each(|time| store.put(&tokens[45 + time as usize], at(time)))
}

/// How many layers the manifest names.
fn layers_of(store: &Written) -> u64 {
    number(&store.files["MANIFEST"], 8) >> 32
}
