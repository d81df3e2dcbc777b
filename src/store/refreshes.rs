//! What readers see that look again and again, while others write.

use std::cell::Cell;
use std::os::unix::fs::FileExt;

use super::flushes::{ENTRIES, contents, options, put, value};
use super::reader::read_steadily;
use super::*;
use crate::error::Damage;
use crate::format::names::is_log;
use crate::recover::check_logs;
use crate::testing::keys::KeyFamily;
use crate::testing::random::Random;
use crate::testing::sim::SimDisk;

/// A store that is opened for reading at every step of what flushes do sees a state that
/// there was; and from there on, what came to be.
#[test]
fn a_reader_at_every_step_of_a_flush() {
    let disk = SimDisk::new();
    let store = disk.create_store(&options()).unwrap();
    let tokens = KeyFamily::Uniform.generate(3 * ENTRIES, 1);
    let mut states = vec![contents(&store)];
    let mut numbers = vec![0..=0; disk.operations()];
    for (number, tokens) in tokens.chunks(9).enumerate() {
        let before = states.len() - 1;
        store.commit(&put(tokens, number as u64)).unwrap();
        states.push(contents(&store));
        numbers.resize(disk.operations(), before..=states.len() - 1);
    }
    assert!(store.stat().flushes > 1);
    for (moment, allowed) in numbers.into_iter().enumerate() {
        let reader = match disk.killed(moment).open_read_only(&Options::new()) {
            Err(Error::NotAStore { .. }) => {
                assert_eq!(allowed, 0..=0);
                continue;
            }
            opened => opened.unwrap(),
        };
        let found = contents(&reader);
        assert!(allowed.clone().any(|number| states[number] == found), "moment {moment}");
        assert!(!reader.refresh().unwrap());
    }
}

/// A store that is read by others is refreshed over commits, logs, flushes and merges.
#[test]
fn a_reader_follows() {
    let disk = SimDisk::new();
    let store = disk.create_store(&options()).unwrap();
    let (always, seldom) = (
        disk.open_read_only(&Options::new()).unwrap(),
        disk.open_read_only(&Options::new()).unwrap(),
    );
    let mut random = Random::new("follows", 1);
    let tokens = KeyFamily::Uniform.generate(300, 1);
    for round in 0..200 {
        let mut batch = Batch::new();
        for _ in 0..=random.below(12) {
            batch.put(*random.pick(&tokens), value(round)).remove(*random.pick(&tokens));
        }
        store.commit_with(&batch, Durability::Buffered).unwrap();
        let operations = disk.operations();
        let before = always.snapshot();
        let of_before = contents(&always);
        always.refresh().unwrap();
        assert!(!always.refresh().unwrap(), "nothing is new");
        assert_eq!(contents(&always), contents(&store), "round {round}");
        assert_eq!(always.snapshot().len(), store.snapshot().len());
        assert!(before.range(..).map(|found| found.unwrap()).eq(of_before));
        if round % 31 == 0 {
            assert_eq!(seldom.refresh().unwrap(), round > 0 || !store.snapshot().is_empty());
            assert_eq!(contents(&seldom), contents(&store));
        }
        assert_eq!(disk.operations(), operations, "a reader left a trace");
        assert!(!store.refresh().unwrap(), "who writes has the newest");
    }
    let stat = always.stat();
    assert!(stat.layers > 1 && stat.delta > 0, "{stat:?}");
    assert!(matches!(always.flush(), Err(Error::Unwritable { .. })));
    drop((store, always, seldom));
}

/// What a writer left that was killed in the middle of a commit is nothing new, however often
/// it is looked at; and a commit that is half there becomes one when it is whole.
#[test]
fn a_reader_and_half_a_commit() {
    let disk = SimDisk::new();
    let store = disk.create_store(&Options::new()).unwrap();
    let tokens = KeyFamily::Uniform.generate(200, 1);
    store.commit(&put(&tokens[..10], 1)).unwrap();
    let before = disk.operations();
    store.commit(&put(&tokens, 2)).unwrap();
    let log = |disk: &SimDisk| {
        disk.files().into_iter().find(|(name, _)| is_log(name)).expect("there is a log")
    };
    let (name, first) = log(&disk.killed(before));
    let (_, second) = log(&disk);
    let end = second.iter().rposition(|byte| *byte != 0).unwrap();
    for part in [512, 4_096, end / 2] {
        let start = first.iter().rposition(|byte| *byte != 0).unwrap() / 512 * 512 + 512;
        let mut half = first.clone();
        half[start..start + part].copy_from_slice(&second[start..start + part]);
        let directory = tempfile::tempdir().unwrap();
        for (name, bytes) in disk.killed(before).files() {
            std::fs::write(directory.path().join(name), bytes).unwrap();
        }
        let file = std::fs::OpenOptions::new().write(true).open(directory.path().join(&name));
        let file = file.unwrap();
        file.write_all_at(&half, 0).unwrap();
        let reader = Store::open_read_only(directory.path(), &Options::new()).unwrap();
        for _ in 0..3 {
            assert!(!reader.refresh().unwrap());
            assert_eq!(contents(&reader).len(), 10);
        }
        file.write_all_at(&second, 0).unwrap();
        assert!(reader.refresh().unwrap());
        assert_eq!(contents(&reader), contents(&store));
        assert!(!reader.refresh().unwrap());
    }
}

/// What is damaged twice, but not with the same manifest, is read once more.
#[test]
fn a_reader_that_is_overtaken_again() {
    let disk = SimDisk::new();
    let store = disk.create_store(&Options::new()).unwrap();
    store.commit(&put(&KeyFamily::Uniform.generate(ENTRIES, 1), 1)).unwrap();
    let times = Cell::new(0);
    let half_a_frame = |offset| {
        Error::from(Damage {
            path: "log".into(),
            part: "log frame",
            offset,
            expected: "a whole frame".into(),
            found: "half of one".into(),
        })
    };
    let read = read_steadily(&disk, |contents| {
        times.set(times.get() + 1);
        match times.get() {
            time @ (1 | 3) => Err(half_a_frame(time)),
            // Between the manifest and the log.
            2 => {
                store.flush().unwrap();
                check_logs(&disk, &contents, None)
            }
            _ => check_logs(&disk, &contents, None),
        }
    });
    assert_eq!((read.unwrap(), times.get()), (0, 4));
}

/// Damage in a file that every manifest names is said however many of them there are.
#[test]
fn damage_that_stays_beside_a_writer_is_damage() {
    let disk = SimDisk::new();
    let store = disk.create_store(&Options::new().inline()).unwrap();
    let times = Cell::new(0);
    let read = read_steadily(&disk, |_| -> Result<()> {
        times.set(times.get() + 1);
        store.put(&TokenId::from(1), value(times.get())).unwrap();
        store.flush().unwrap();
        Err(Error::from(Damage {
            path: "base".into(),
            part: "header",
            offset: 0,
            expected: "a header".into(),
            found: "none".into(),
        }))
    });
    assert!(matches!(read, Err(Error::Damaged(_))));
    assert_eq!(times.get(), 2);
}

/// Damage that stays is said after the second look.
#[test]
fn damage_that_stays_is_damage() {
    let disk = SimDisk::new();
    let store = disk.create_store(&Options::new()).unwrap();
    store.commit(&put(&KeyFamily::Uniform.generate(ENTRIES, 1), 1)).unwrap();
    let reader = disk.open_read_only(&Options::new()).unwrap();
    let files = disk.files();
    let (name, _) = files.iter().find(|(name, _)| is_log(name)).unwrap();
    disk.corrupt(name, 600, 0xff);
    let opened = disk.open_read_only(&Options::new());
    assert!(matches!(opened, Err(Error::Damaged(_))), "{opened:?}");
    assert_eq!(contents(&reader).len(), ENTRIES);
}

/// A reader does not go over to what has taken the place of what it opened; what it has read
/// it can read on.
#[test]
fn a_reader_does_not_change_stores() {
    let directory = tempfile::tempdir().unwrap();
    let [path, before, copy] = ["store", "before", "copy"].map(|name| directory.path().join(name));
    let tokens = KeyFamily::Uniform.generate(ENTRIES, 1);
    let store = Store::create(&path, &Options::new()).unwrap();
    store.put(&tokens[0], value(1)).unwrap();
    std::fs::create_dir(&copy).unwrap();
    for entry in std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap()) {
        std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    store.commit(&put(&tokens, 2)).unwrap();
    store.flush().unwrap();
    let reader = Store::open_read_only(&path, &Options::new()).unwrap();
    drop(store);
    let is_refused = || {
        let refused = reader.refresh();
        assert!(matches!(refused, Err(Error::Replaced { .. })), "{refused:?}");
        assert_eq!(contents(&reader).len(), ENTRIES);
    };

    std::fs::rename(&path, &before).unwrap();
    let other = Store::create(&path, &Options::new()).unwrap();
    for time in 3..10 {
        other.put(&tokens[1], value(time)).unwrap();
        other.flush().unwrap();
    }
    is_refused();
    drop(other);

    std::fs::remove_dir_all(&path).unwrap();
    std::fs::rename(&copy, &path).unwrap();
    is_refused();
    // Which has a manifest of the same number now.
    drop(Store::open(&path, &Options::new()).unwrap());
    is_refused();

    std::fs::remove_dir_all(&path).unwrap();
    std::fs::rename(&before, &path).unwrap();
    assert!(!reader.refresh().unwrap());
    let store = Store::open(&path, &Options::new()).unwrap();
    store.put(&tokens[2], value(3)).unwrap();
    assert!(reader.refresh().unwrap());
    assert_eq!(contents(&reader), contents(&store));
}
