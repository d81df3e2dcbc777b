//! What the simulated disk does, call by call, and what a crash leaves of it.

mod faults;
mod random;

use super::*;
use crate::error::Error;
use crate::io::{Disk, DiskFile};

type FilesNow = BTreeMap<String, Vec<u8>>;

/// All that a crash may leave after so many operations.
fn possible(disk: &SimDisk, operations: usize) -> BTreeSet<FilesNow> {
    let images: Vec<_> = disk.images(operations).map(|image| image.files()).collect();
    let different: BTreeSet<_> = images.iter().cloned().collect();
    assert_eq!(different.len(), images.len(), "an image was given twice");
    different
}

/// All that a crash may leave now.
fn possible_now(disk: &SimDisk) -> BTreeSet<FilesNow> {
    possible(disk, disk.operations())
}

fn files(files: &[(&str, &[u8])]) -> FilesNow {
    files.iter().map(|(name, bytes)| (name.to_string(), bytes.to_vec())).collect()
}

/// A disk with an empty file that is durable, and that file.
fn with_file(name: &str) -> (SimDisk, Box<dyn DiskFile>) {
    let disk = SimDisk::new();
    let file = disk.create(name).unwrap();
    disk.sync_directory().unwrap();
    (disk, file)
}

#[test]
fn what_is_not_synced_may_be_there_or_not() {
    let disk = SimDisk::new();
    let file = disk.create("a").unwrap();
    file.write_all_at(b"x", 0).unwrap();
    let (none, empty, zero) = (files(&[]), files(&[("a", b"")]), files(&[("a", b"\0")]));
    let whole = files(&[("a", b"x")]);
    assert_eq!(possible(&disk, 2), [none.clone(), empty.clone(), zero, whole.clone()].into());
    assert_eq!(possible(&disk, 1), [none.clone(), empty].into());
    assert_eq!(possible(&disk, 0), [none.clone()].into());
    file.sync().unwrap();
    assert_eq!(possible(&disk, 3), [none, whole.clone()].into());
    disk.sync_directory().unwrap();
    assert_eq!(possible(&disk, 4), [whole].into());
}

#[test]
fn data_and_length_are_synced_by_either_sync() {
    for sync in [DiskFile::sync, DiskFile::sync_data] {
        let (disk, file) = with_file("a");
        file.preallocate(2).unwrap();
        file.write_all_at(b"x", 0).unwrap();
        sync(file.as_ref()).unwrap();
        assert_eq!(possible_now(&disk), [files(&[("a", b"x\0")])].into());
        file.set_len(1).unwrap();
        sync(file.as_ref()).unwrap();
        assert_eq!(possible_now(&disk), [files(&[("a", b"x")])].into());
    }
}

#[test]
fn a_sync_is_of_one_file_or_of_all_names() {
    let (disk, a) = with_file("a");
    let b = disk.create("b").unwrap();
    disk.sync_directory().unwrap();
    a.write_all_at(b"x", 0).unwrap();
    b.sync().unwrap();
    disk.sync_directory().unwrap();
    assert!(possible_now(&disk).contains(&files(&[("a", b""), ("b", b"")])));
    disk.unlink("b").unwrap();
    a.sync().unwrap();
    let (kept, gone) = (files(&[("a", b"x"), ("b", b"")]), files(&[("a", b"x")]));
    assert_eq!(possible_now(&disk), [kept, gone].into());
}

#[test]
fn room_comes_at_once_as_zeros_and_cuts_nothing() {
    let (disk, file) = with_file("a");
    file.preallocate(3).unwrap();
    assert_eq!(possible_now(&disk), [files(&[("a", b"")]), files(&[("a", &[0; 3])])].into());
    file.preallocate(2).unwrap();
    assert_eq!(disk.files(), files(&[("a", &[0; 3])]));
}

#[test]
fn a_rename_is_whole_or_not_at_all() {
    let disk = SimDisk::with_files(files(&[("a", b"1"), ("b", b"2")]));
    disk.rename("a", "b").unwrap();
    let renamed = files(&[("b", b"1")]);
    assert_eq!(disk.files(), renamed);
    assert_eq!(possible_now(&disk), [files(&[("a", b"1"), ("b", b"2")]), renamed].into());
}

#[test]
fn writes_are_torn_between_sectors() {
    let (disk, file) = with_file("a");
    file.write_all_at(&[0; 2_048], 0).unwrap();
    file.sync().unwrap();
    file.write_all_at(&[1; 1_024], 256).unwrap();
    let found = possible_now(&disk);
    // Of the sectors that it covers, two of them in part, every one may be lost.
    let torn = |kept: [u8; 3]| {
        let mut bytes = vec![0; 2_048];
        bytes[256..512].fill(kept[0]);
        bytes[512..1_024].fill(kept[1]);
        bytes[1_024..1_280].fill(kept[2]);
        files(&[("a", &bytes)])
    };
    for kept in [[0, 0, 0], [1, 0, 0], [0, 1, 1], [1, 1, 1]] {
        assert!(found.contains(&torn(kept)), "{kept:?}");
    }
    let all = (0..8).map(|bits| torn([bits & 1, bits >> 1 & 1, bits >> 2]));
    assert!(found.is_subset(&all.collect()));
}

/// A log whose end is torn, and one in whose middle something is missing.
#[test]
fn what_follows_a_torn_write_is_there_or_not() {
    let (disk, file) = with_file("a");
    file.preallocate(3 * 1_024).unwrap();
    file.sync().unwrap();
    for at in 0..3 {
        file.write_all_at(&[1; 1_024], at * 1_024).unwrap();
    }
    let found = possible_now(&disk);
    for (second, third) in [([1, 0], 0), ([1, 0], 1), ([0, 1], 0), ([0, 1], 1)] {
        let mut bytes = vec![1; 3 * 1_024];
        bytes[1_024..1_536].fill(second[0]);
        bytes[1_536..2_048].fill(second[1]);
        bytes[2_048..].fill(third);
        assert!(found.contains(&files(&[("a", &bytes)])), "{second:?} {third}");
    }
}

/// What is not synced is seen by the next process, and can still be lost.
#[test]
fn a_process_that_is_killed_loses_nothing() {
    let (disk, file) = with_file("a");
    file.write_all_at(b"x", 0).unwrap();
    disk.create("b").unwrap();
    file.write_all_at(b"y", 1).unwrap();
    for operations in 0..=disk.operations() {
        let killed = disk.killed(operations);
        assert_eq!(killed.operations(), operations);
        assert_eq!(possible_now(&killed), possible(&disk, operations));
    }
    let killed = disk.killed(4);
    assert_eq!(killed.files(), files(&[("a", b"x"), ("b", b"")]));
    killed.sync_directory().unwrap();
    killed.create("c").unwrap();
    assert!(possible_now(&killed).contains(&files(&[("a", b""), ("b", b"")])));
    assert!(possible_now(&killed).contains(&files(&[("a", b"x"), ("b", b""), ("c", b"")])));
    assert!(disk.files()["a"] == b"xy", "the first disk was changed");
}

#[test]
fn a_lock_is_that_of_a_file_until_it_is_dropped() {
    let disk = SimDisk::new();
    let lock = disk.lock("l").unwrap().expect("nobody has it");
    assert!(disk.lock("l").unwrap().is_none());
    assert!(disk.killed(1).lock("l").unwrap().is_some());
    disk.unlink("l").unwrap();
    let another = disk.lock("l").unwrap().expect("another file of that name");
    drop(lock);
    assert!(disk.lock("l").unwrap().is_none());
    drop(another);
    assert!(disk.lock("l").unwrap().is_some());
}

#[test]
fn some_images_are_taken_from_all_models_alike() {
    let (disk, file) = with_file("a");
    for at in 0..100 {
        file.write_all_at(&[1; 1_024], at * 1_024).unwrap();
    }
    let some = |count, seed| -> Vec<_> {
        disk.some_images(disk.operations(), count, seed).map(|image| image.files()).collect()
    };
    let all = possible_now(&disk).len();
    assert!(all > 700, "{all}");
    let mut different = BTreeSet::new();
    for seed in 0..5 {
        let images = some(MODELS.len(), seed);
        assert_eq!(images.len(), MODELS.len());
        assert_eq!(images, some(MODELS.len(), seed));
        let found: BTreeSet<_> = images.into_iter().collect();
        assert_eq!(found.len(), MODELS.len());
        assert!(found.contains(&files(&[("a", b"")])));
        assert!(found.contains(&disk.files()));
        different.extend(found);
    }
    assert!(different.len() > 2 * MODELS.len());
    assert_eq!(some(0, 0).len(), 0);
    let crashes: BTreeSet<_> = (0..50).map(|seed| disk.crash(102, seed).files()).collect();
    assert!(crashes.len() > 20, "{}", crashes.len());
    assert_eq!(disk.crash(102, 7).files(), disk.crash(102, 7).files());
}

#[test]
fn what_happens_behind_the_stores_back_is_durable() {
    let (disk, file) = with_file("a");
    file.write_all_at(b"123", 0).unwrap();
    file.sync().unwrap();
    disk.corrupt("a", 1, 0x04);
    disk.put("b", b"45");
    assert_eq!(possible_now(&disk), [files(&[("a", b"163"), ("b", b"45")])].into());
    disk.truncate("a", 2);
    disk.truncate("b", 3);
    assert_eq!(possible_now(&disk), [files(&[("a", b"16"), ("b", b"45\0")])].into());
    disk.remove("a");
    disk.put("b", b"7");
    assert_eq!(possible_now(&disk), [files(&[("b", b"7")])].into());
    assert_eq!(disk.killed(disk.operations()).files(), files(&[("b", b"7")]));
    disk.open("b").unwrap().len().unwrap();
    // A byte that is not yet durable is changed, if it is there.
    let (disk, file) = with_file("a");
    file.write_all_at(b"1", 0).unwrap();
    disk.corrupt("a", 0, 0x02);
    let possible = possible_now(&disk);
    assert!(possible.contains(&files(&[("a", b"3")])) && possible.contains(&files(&[("a", b"")])));
    assert!(!possible.contains(&files(&[("a", b"1")])));
}

#[test]
fn a_file_without_a_name_is_in_no_image() {
    let disk = SimDisk::new();
    let file = disk.create_unnamed().unwrap();
    file.write_all_at(b"x", 0).unwrap();
    // Nor is there a case to try with it.
    assert_eq!(disk.images(disk.operations()).shapes.len(), 0);
    assert_eq!(possible_now(&disk), [files(&[])].into());
    let mut byte = [0];
    file.read_exact_at(&mut byte, 0).unwrap();
    assert_eq!(&byte, b"x");
    let named = disk.create("a").unwrap();
    assert_eq!(named.len().unwrap(), 0);
    // Nor is one that was removed for good.
    let (disk, file) = with_file("a");
    disk.unlink("a").unwrap();
    disk.sync_directory().unwrap();
    file.write_all_at(b"x", 0).unwrap();
    assert_eq!(disk.images(disk.operations()).shapes.len(), 0);
    assert_eq!(possible_now(&disk), [files(&[])].into());
    // But one whose name is in doubt is.
    let file = disk.create("a").unwrap();
    file.write_all_at(b"x", 0).unwrap();
    disk.unlink("a").unwrap();
    assert_eq!(disk.images(disk.operations()).shapes.len(), 3);
}

#[test]
fn operations_are_told_in_words() {
    let disk = SimDisk::with_files(files(&[("z", b"1")]));
    let file = disk.create("a").unwrap();
    file.write_all_at(b"xy", 3).unwrap();
    disk.rename("a", "b").unwrap();
    disk.fail(Fault::at_operation(3));
    disk.fail(Fault::at_operation(4));
    file.sync().unwrap_err();
    disk.unlink("z").unwrap_err();
    file.preallocate(10).unwrap();
    disk.sync_directory().unwrap();
    disk.create_unnamed().unwrap().set_len(4).unwrap();
    disk.corrupt("z", 0, 1);
    let told: Vec<_> = (0..disk.operations()).map(|at| disk.describe(at)).collect();
    let expected = [
        "create a",
        "write 2 bytes at 3 of a",
        "rename a b",
        "fail to sync b",
        "fail to unlink z",
        "preallocate 10 bytes of b",
        "sync the directory",
        "create a file without a name",
        "cut or extend a file without a name to 4 bytes",
        "tamper: change byte 0 of z by 0x01",
    ];
    assert_eq!(told, expected);
    assert_eq!(format!("{disk:?}"), r#"SimDisk { files: ["b", "z"], operations: 10, .. }"#);
}

#[test]
fn a_store_is_made_and_opened() {
    let options = Options::new();
    let disk = SimDisk::new();
    assert!(matches!(disk.open_store(&options), Err(Error::NotAStore { .. })));
    let store = disk.create_store(&options).unwrap();
    assert!(matches!(disk.open_store(&options), Err(Error::Locked { .. })));
    let operations = disk.operations();
    assert!(disk.open_read_only(&options).unwrap().snapshot().is_empty());
    assert_eq!(disk.operations(), operations, "reading left a trace");
    drop(store);
    assert!(disk.open_store(&options).unwrap().snapshot().is_empty());
    let copy = SimDisk::with_files(disk.files());
    assert!(copy.open_store(&options).unwrap().snapshot().is_empty());
    copy.corrupt("MANIFEST", 0, 1);
    assert!(copy.open_store(&options).is_err());
}
