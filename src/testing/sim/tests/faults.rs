//! Calls that fail, and syncs that did not do what they should.

use super::*;

type Call = fn(&SimDisk, &dyn DiskFile) -> io::Result<()>;

/// Each operation that changes something, on a disk with the files "a", open and of two
/// bytes, and "b".
const CHANGES: [(&str, Call); 6] = [
    ("create", |disk, _| disk.create("c").map(drop)),
    ("rename", |disk, _| disk.rename("b", "c")),
    ("unlink", |disk, _| disk.unlink("b")),
    ("write", |_, file| file.write_all_at(&[1; 256], 0)),
    ("preallocate", |_, file| file.preallocate(258)),
    ("set_len", |_, file| file.set_len(1)),
];

fn prepared() -> (SimDisk, Box<dyn DiskFile>) {
    let (disk, file) = with_file("a");
    file.write_all_at(b"xy", 0).unwrap();
    file.sync().unwrap();
    disk.create("b").unwrap();
    disk.sync_directory().unwrap();
    (disk, file)
}

/// What is seen after a call that fails.
fn after(call: Call, effect: Effect) -> FilesNow {
    let (disk, file) = prepared();
    let operations = disk.operations();
    disk.fail(Fault::at_operation(operations).errno(libc::ENOSPC).effect(effect));
    let error = call(&disk, file.as_ref()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
    assert_eq!(disk.operations(), operations + 1);
    assert!(possible_now(&disk).contains(&disk.files()));
    disk.files()
}

#[test]
fn a_call_that_fails_may_have_done_all_or_nothing() {
    for (name, call) in CHANGES {
        let (disk, file) = prepared();
        let before = disk.files();
        call(&disk, file.as_ref()).unwrap();
        assert_ne!(disk.files(), before, "{name}");
        assert_eq!(after(call, Effect::Nothing), before, "{name}");
        assert_eq!(after(call, Effect::Everything), disk.files(), "{name}");
    }
}

#[test]
fn writes_and_room_may_be_cut_short_anywhere() {
    let a = |call: usize, parts| after(CHANGES[call].1, Effect::Part(parts)).remove("a").unwrap();
    for parts in [0, 1, 2, 3, 128, 255] {
        let mut written = vec![1; usize::from(parts)];
        written.extend_from_slice(&b"xy"[written.len().min(2)..]);
        assert_eq!(a(3, parts), written);
        assert_eq!(a(4, parts).len(), 2 + usize::from(parts));
    }
    for (name, call) in [CHANGES[0], CHANGES[1], CHANGES[2], CHANGES[5]] {
        assert_eq!(after(call, Effect::Part(128)), prepared().0.files(), "{name}");
    }
}

#[test]
fn faults_strike_once_or_last_until_they_are_healed() {
    let (disk, file) = with_file("a");
    let write = || file.write_all_at(b"x", 0);
    disk.fail(Fault::at_operation(3));
    assert!(write().is_ok());
    assert_eq!(write().unwrap_err().raw_os_error(), Some(libc::EIO));
    assert!(write().is_ok());
    disk.fail(Fault::at_operation(6).lasting());
    disk.fail(Fault::at_operation(7).errno(libc::ENOSPC));
    assert!(write().is_ok());
    for _ in 0..3 {
        assert_eq!(write().unwrap_err().raw_os_error(), Some(libc::EIO));
    }
    disk.heal();
    assert!(write().is_ok());
    assert_eq!(disk.operations(), 10);
}

#[test]
fn what_is_not_modelled_can_fail() {
    let (disk, file) = with_file("a");
    disk.fail(Fault::at_operation(disk.operations()).lasting());
    assert!(file.set_read_only().is_err());
    assert!(disk.create_unnamed().is_err());
    assert!(disk.lock("l").is_err());
    disk.heal();
    assert!(disk.lock("l").unwrap().is_some(), "a lock was left");
    assert_eq!(disk.operations(), 6);
}

#[test]
fn a_sync_that_failed_is_not_made_good_by_the_next() {
    let (disk, file) = with_file("a");
    file.write_all_at(b"x", 0).unwrap();
    disk.fail(Fault::at_operation(disk.operations()));
    assert!(file.sync().is_err());
    file.sync().unwrap();
    let (lost, zero) = (files(&[("a", b"")]), files(&[("a", b"\0")]));
    assert_eq!(possible_now(&disk), [lost, zero, files(&[("a", b"x")])].into());
    // What was written after it is.
    file.write_all_at(b"y", 1).unwrap();
    file.sync().unwrap();
    assert_eq!(possible_now(&disk), [files(&[("a", b"\0y")]), files(&[("a", b"xy")])].into());
    // And it stays where it came over what could not be written.
    file.write_all_at(b"z", 0).unwrap();
    file.sync().unwrap();
    assert_eq!(possible_now(&disk), [files(&[("a", b"zy")])].into());
}

/// That of another process; in the same one it fails.
#[test]
fn a_sync_of_the_directory_that_failed_is_not_made_good_by_the_next() {
    let disk = SimDisk::with_files(files(&[("b", b"1")]));
    disk.create("a").unwrap();
    disk.fail(Fault::at_operation(1));
    assert!(disk.sync_directory().is_err());
    assert!(disk.sync_directory().is_err());
    let disk = disk.clone();
    disk.unlink("b").unwrap();
    disk.sync_directory().unwrap();
    assert_eq!(possible_now(&disk), [files(&[]), files(&[("a", b"")])].into());
    // A name that is given anew is another change.
    disk.rename("a", "b").unwrap();
    disk.sync_directory().unwrap();
    assert_eq!(possible_now(&disk), [files(&[("b", b"")])].into());
}

/// The failed sync of a file says nothing about names, nor that of the directory about
/// files.
#[test]
fn a_sync_that_failed_is_of_one_file_or_of_all_names() {
    for of_file in [false, true] {
        let (disk, file) = with_file("a");
        file.write_all_at(b"x", 0).unwrap();
        disk.create("b").unwrap();
        disk.fail(Fault::at_operation(disk.operations()));
        let failed = if of_file { file.sync() } else { disk.sync_directory() };
        assert!(failed.is_err());
        file.sync().unwrap();
        disk.clone().sync_directory().unwrap();
        let possible = possible_now(&disk);
        assert_eq!(possible.iter().all(|files| files.contains_key("b")), of_file);
        assert_eq!(possible.iter().all(|files| files["a"] == b"x"), !of_file);
    }
}

#[test]
fn a_sync_may_do_everything_and_fail() {
    let (disk, file) = with_file("a");
    file.write_all_at(b"x", 0).unwrap();
    disk.fail(Fault::at_operation(disk.operations()).effect(Effect::Everything));
    assert!(file.sync().is_err());
    assert_eq!(possible_now(&disk), [files(&[("a", b"x")])].into());
}

/// The kernel shows what it could not write, and does not try again.
#[test]
fn what_a_failed_sync_left_is_seen_until_the_power_fails() {
    let (disk, file) = with_file("a");
    file.write_all_at(b"x", 0).unwrap();
    disk.create("b").unwrap();
    disk.fail(Fault::at_operation(4).lasting());
    assert!(file.sync().is_err());
    assert!(disk.sync_directory().is_err());
    let killed = disk.killed(disk.operations());
    let all = files(&[("a", b"x"), ("b", b"")]);
    assert_eq!(killed.files(), all);
    // The fault went with the process, and the next one syncs all that it sees.
    killed.sync_directory().unwrap();
    let possible = possible_now(&killed);
    assert!(possible.contains(&files(&[("a", b"")])), "{possible:?}");
    assert!(possible.contains(&all), "{possible:?}");
    // What a crash left is as it is found.
    for image in killed.images(killed.operations()) {
        assert_eq!(possible_now(&image), [image.files()].into());
    }
}

#[test]
fn every_read_can_fail_and_is_counted_by_itself() {
    let reads: [(&str, Call); 6] = [
        ("open", |disk, _| disk.open("a").map(drop)),
        ("list", |disk, _| disk.list().map(drop)),
        ("lock", |disk, _| disk.lock("b").map(drop)),
        ("len", |_, file| file.len().map(drop)),
        ("read", |_, file| file.read_exact_at(&mut [0; 2], 0)),
        ("map", |_, file| file.map().map(drop)),
    ];
    for (name, read) in reads {
        let (disk, file) = prepared();
        let before = (disk.files(), disk.operations(), disk.reads());
        read(&disk, file.as_ref()).unwrap();
        disk.fail(Fault::at_operation(disk.operations()).lasting());
        disk.fail(Fault::at_read(disk.reads() + 1).errno(libc::EMFILE));
        read(&disk, file.as_ref()).unwrap();
        let error = read(&disk, file.as_ref()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{name}");
        read(&disk, file.as_ref()).unwrap();
        disk.fail(Fault::at_read(disk.reads()).lasting());
        assert!(read(&disk, file.as_ref()).is_err(), "{name}");
        assert!(read(&disk, file.as_ref()).is_err(), "{name}");
        disk.heal();
        read(&disk, file.as_ref()).unwrap();
        assert_eq!((disk.files(), disk.operations(), disk.reads() - 7), before, "{name}");
    }
}

#[test]
fn a_read_may_be_cut_short() {
    let (disk, file) = with_file("a");
    file.write_all_at(b"123456789", 0).unwrap();
    let read = |offset, effect: Option<Effect>| {
        if let Some(effect) = effect {
            disk.fail(Fault::at_read(disk.reads()).effect(effect));
        }
        let mut bytes = [b'-'; 8];
        let result = file.read_exact_at(&mut bytes, offset);
        (bytes, result.map_err(|error| (error.kind(), error.raw_os_error())))
    };
    let end = Err((io::ErrorKind::UnexpectedEof, None));
    assert_eq!(read(1, None), (*b"23456789", Ok(())));
    assert_eq!(read(1, Some(Effect::Part(64))), (*b"23------", end));
    assert_eq!(read(1, Some(Effect::Part(0))), (*b"--------", end));
    assert_eq!(read(2, None).1, end);
    assert_eq!(read(9, None).1, end);
    assert_eq!(read(100, None).1, end);
    let (bytes, failed) = read(1, Some(Effect::Nothing));
    assert_eq!((bytes, failed.unwrap_err().1), (*b"--------", Some(libc::EIO)));
}

#[test]
fn what_is_open_for_reading_is_not_written() {
    let (disk, file) = with_file("a");
    let operations = disk.operations();
    let reader = disk.open("a").unwrap();
    assert!(reader.write_all_at(b"x", 0).is_err());
    assert!(reader.set_len(1).is_err());
    assert!(reader.preallocate(1).is_err());
    assert_eq!(disk.operations(), operations);
    file.write_all_at(b"x", 0).unwrap();
    assert_eq!(reader.len().unwrap(), 1);
}

#[test]
fn what_is_not_there_is_an_error() {
    let (disk, _) = with_file("a");
    let operations = disk.operations();
    let kind = |result: io::Result<()>| result.unwrap_err().kind();
    assert_eq!(kind(disk.create("a").map(drop)), io::ErrorKind::AlreadyExists);
    assert_eq!(kind(disk.open("b").map(drop)), io::ErrorKind::NotFound);
    assert_eq!(kind(disk.rename("b", "a")), io::ErrorKind::NotFound);
    assert_eq!(kind(disk.unlink("b")), io::ErrorKind::NotFound);
    assert_eq!(disk.operations(), operations);
}
