//! What a compaction does, and what happens when it cannot.

use std::path::{Path, PathBuf};

use super::flushes::{ENTRIES, contents, put};
use super::*;
use crate::format::names::segment_name;
use crate::progress::UNWATCHED;
use crate::testing::keys::KeyFamily;

/// A store of a layer of removals, of updates, of tokens, and of other tokens, but whose
/// manifest has these in another order; the files of these.
fn misnamed(path: &Path, order: &[usize]) -> Vec<PathBuf> {
    let store = Store::create(path, &Options::new()).unwrap();
    store.pause_compaction().unwrap();
    let tokens = KeyFamily::Uniform.generate(2 * ENTRIES, 1);
    let (others, tokens) = tokens.split_at(ENTRIES);
    let mut remove = Batch::new();
    for token in tokens {
        remove.remove(*token);
    }
    for batch in [&put(others, 1), &put(tokens, 1), &put(tokens, 2), &remove] {
        store.commit(batch).unwrap();
        store.flush().unwrap();
    }
    drop(store);
    let disk = RealDisk::new(path);
    let contents = manifest::read(&disk).unwrap().unwrap();
    let layers: Vec<_> = order.iter().map(|layer| contents.layers[*layer].clone()).collect();
    let paths = layers.iter().map(|layer| path.join(segment_name(layer[0].segment_id))).collect();
    manifest::replace(&disk, &ManifestContents { layers, ..contents }).unwrap();
    paths
}

/// Kinds that cannot be, given what lies below, are damage to the file that has them, though
/// each file is what was written.
#[test]
fn kinds_that_cannot_be_name_their_file() {
    const REMOVALS: usize = 0;
    const UPDATES: usize = 1;
    const TOKENS: usize = 2;
    const OTHERS: usize = 3;
    for (order, wrong) in [
        (&[TOKENS, TOKENS, OTHERS][..], 0),
        (&[UPDATES, TOKENS, TOKENS, OTHERS], 1),
        (&[REMOVALS, TOKENS, TOKENS, OTHERS], 1),
        (&[REMOVALS, REMOVALS, TOKENS, OTHERS], 0),
        (&[UPDATES, REMOVALS, TOKENS, OTHERS], 0),
        (&[REMOVALS, UPDATES, OTHERS], 1),
        (&[OTHERS, OTHERS], 0),
        (&[REMOVALS, UPDATES, OTHERS, OTHERS], 2),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let paths = misnamed(directory.path(), order);
        let compacted = Store::open(directory.path(), &Options::new())
            .and_then(|store| store.compact(UNWATCHED));
        let Err(Error::Damaged(damage)) = compacted else { panic!("{order:?}: {compacted:?}") };
        assert_eq!(damage.path, paths[wrong], "{order:?}: {damage}");
    }
}

/// All layers become one, which has what they had.
#[test]
fn layers_become_one() {
    let directory = tempfile::tempdir().unwrap();
    drop(misnamed(directory.path(), &[0, 1, 2, 3]));
    let store = Store::open(directory.path(), &Options::new()).unwrap();
    let before = contents(&store);
    assert_eq!((before.len(), store.stat().layers), (ENTRIES, 4));
    let snapshot = store.snapshot();
    store.compact(UNWATCHED).unwrap();
    let stat = store.stat();
    assert_eq!((stat.layers, stat.segments, stat.compactions), (1, 1, 1));
    assert_eq!((stat.each_layer[0].fresh, stat.tokens), (ENTRIES as u64, ENTRIES as u64));
    assert!(stat.pinned_bytes > 0);
    assert_eq!(contents(&store), before);
    assert!(snapshot.range(..).map(|found| found.unwrap()).eq(before.clone()));
    drop(snapshot);
    assert_eq!(store.stat().pinned_bytes, 0);
    store.compact(UNWATCHED).unwrap();
    assert_eq!(store.stat().compactions, 1, "there was nothing to do");
    store.close().unwrap();
    assert_eq!(contents(&Store::open(directory.path(), &Options::new()).unwrap()), before);
}
