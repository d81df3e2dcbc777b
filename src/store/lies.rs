//! Stores whose files are each all right, but whose layers contradict each other.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::error::Damage;
use crate::format::kinds::Kind;
use crate::format::names::segment_name;
use crate::segment::builder::{SegmentBuilder, SegmentIds, SegmentPlan};
use crate::token::Record;

/// A layer: tokens in order, each with what its entry says to have done below.
type Entries<'a> = &'a [(u64, Kind)];

/// Makes a store of layers, newest first, by hand; nobody compares one with another.
fn store_of(path: &Path, layers: &[Entries<'_>]) -> Result<Store> {
    drop(Store::create(path, &Options::new())?);
    let disk = RealDisk::new(path);
    let mut contents = manifest::read(&disk)?.expect("a manifest");
    contents.logs.clear();
    for entries in layers {
        let ids = SegmentIds { store_id: contents.store_id, segment_id: contents.next_file_id };
        let name = segment_name(ids.segment_id);
        let (first, last) = (entries[0].0.into(), entries[entries.len() - 1].0.into());
        let plan = SegmentPlan { ids, records_max: entries.len() as u64, bounds: (first, last) };
        let file = disk.create(&name).unwrap();
        let mut builder = SegmentBuilder::new(file, disk.path_of(&name), plan)?;
        for (token, kind) in *entries {
            let time = if *kind == Kind::Tombstone { 0 } else { 7 };
            let value = BlockTime::new(0.into(), time);
            builder.push(&Record::new((*token).into(), value), *kind)?;
        }
        contents.layers.push(builder.finish(&mut |_| Ok(()))?.into_iter().collect());
        contents = manifest::next(&disk, &contents)?;
    }
    manifest::replace(&disk, &contents)?;
    Store::open_read_only(path, &Options::new())
}

fn damages(layers: &[Entries<'_>]) -> Vec<Damage> {
    let directory = tempfile::tempdir().unwrap();
    let store = store_of(directory.path(), layers).unwrap();
    let report = store.verify(&|_| ControlFlow::Continue(())).unwrap();
    // None of the files is damaged.
    for segment in store.snapshot().view().layers().flat_map(|layer| layer.segments()) {
        assert_eq!(segment.verify(&|_| ControlFlow::Continue(())).unwrap(), []);
    }
    for damage in &report.damages {
        assert_eq!(damage.part, "kinds");
        assert!(damage.path.starts_with(directory.path()), "{damage}");
    }
    report.damages
}

use Kind::{Fresh, Tombstone, Update};

const BASE: Entries<'_> = &[(10, Fresh), (20, Fresh), (30, Fresh), (40, Fresh)];

#[test]
fn kinds_that_are_true_are_no_damage() {
    assert_eq!(damages(&[BASE]), []);
    assert_eq!(damages(&[&[(10, Update), (15, Fresh), (20, Tombstone)], BASE]), []);
    let upper = &[(10, Tombstone), (15, Update), (20, Fresh), (35, Tombstone)];
    let middle = &[(10, Update), (15, Fresh), (20, Tombstone), (35, Fresh)];
    assert_eq!(damages(&[upper, middle, BASE]), []);
}

#[test]
fn every_kind_that_the_bottom_layer_contradicts_is_damage() {
    let lies = &[(10, Fresh), (15, Update), (20, Update), (25, Tombstone), (30, Fresh)];
    let found: Vec<_> = damages(&[lies, BASE]).into_iter().map(|it| it.expected).collect();
    let expected = [(10, "no"), (15, "this"), (25, "this"), (30, "no")].map(|(token, there)| {
        format!("{there} token {} in the bottom layer", TokenId::from(token))
    });
    assert_eq!(found, expected);
}

/// Entries that come to nothing together say something of the base all the same.
#[test]
fn what_two_layers_cancel_is_compared_with_the_bottom_layer() {
    let [damage] = damages(&[&[(10, Tombstone)], &[(10, Fresh)], BASE]).try_into().unwrap();
    assert!(damage.expected.contains("no token"), "{damage}");
    // It is the older one that lies.
    assert!(damage.path.ends_with(segment_name(2)), "{damage}");
}

/// The place is that of the line of kinds that the entry's is in.
#[test]
fn the_damage_is_where_the_kind_is() {
    let mut entries: Vec<_> = (1..=400).map(|token| (100 * token, Fresh)).collect();
    entries[3].1 = Update;
    entries[300].1 = Update;
    let base = &[(400, Fresh)];
    let [damage] = damages(&[&entries, base]).try_into().unwrap();
    // Header, records, a block of postings, directory; then kinds, in the second line.
    let pages = [1, (400 * Record::LEN).div_ceil(4096), 1, 1];
    assert_eq!(damage.offset as usize, 4096 * pages.iter().sum::<usize>() + 64, "{damage}");
}

/// Layers above the base are read as one, which shows lies between them when it is made.
#[test]
fn layers_that_contradict_each_other_are_not_opened() {
    for (newer, older) in [(Fresh, Update), (Fresh, Fresh), (Update, Tombstone)] {
        let directory = tempfile::tempdir().unwrap();
        let opened = store_of(directory.path(), &[&[(10, newer)], &[(10, older)], BASE]);
        let Err(Error::Damaged(damage)) = opened else { panic!("{opened:?}") };
        assert!(damage.path.ends_with(segment_name(1)), "{damage}");
    }
}

#[test]
fn a_check_of_kinds_is_interrupted() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_of(directory.path(), &[&[(10, Update)], BASE]).unwrap();
    let calls = AtomicUsize::new(0);
    let stopped = store.verify(&|_| match calls.fetch_add(1, Ordering::Relaxed) {
        // One for each segment, which are of one block each.
        0 | 1 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    });
    assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
}
