//! A reader needs no right to write, and does not make use of one that it has.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;

use ringstore::{Error, Options, Store};

use crate::opens::options;
use crate::published::system::{command, store_to_read, tell_parent};
use crate::published::{Follower, batch, create, tokens};

const TOKENS: usize = 600;
const COMMITS: u64 = 40;

/// Nobody, on most systems: what root is in the test, as nothing binds root.
const NOBODY: u32 = 65_534;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Everything that a trace in a directory would change.
fn state(directory: &Path) -> BTreeMap<String, ([i64; 4], u64, u64)> {
    let of = |path: &Path| {
        let data = fs::metadata(path).unwrap();
        let times = [data.mtime(), data.mtime_nsec(), data.ctime(), data.ctime_nsec()];
        (times, data.len(), data.ino())
    };
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.map(|path| (path.display().to_string(), of(&path)));
    let directory = (directory.display().to_string(), of(directory));
    files.chain([directory]).collect()
}

fn read(path: &Path) {
    let store = Store::open_read_only(path, &Options::new()).unwrap();
    let mut follower = Follower::new(&tokens(TOKENS), 1);
    assert!(!store.refresh().unwrap());
    let snapshot = store.snapshot();
    follower.meet(&snapshot, COMMITS);
    assert_eq!(follower.model.commits, COMMITS);
    follower.compare(&snapshot);
    follower.ask(&snapshot, 1_000);
    assert_eq!(store.verify(&|_| std::ops::ControlFlow::Continue(())).unwrap().damages, []);
    store.close().unwrap();
}

/// The process that has no right to write; of no use by itself.
#[test]
fn reader() {
    let Some(path) = store_to_read() else { return };
    if fs::metadata(&path).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
        // Temporary files are where it may not even look.
        return tell_parent("shut out");
    }
    let created = fs::File::create(path.join("trace"));
    assert_eq!(created.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    read(&path);
    // Who wants to write is told why that does not go.
    match Store::open(&path, &Options::new()) {
        Err(Error::Io { operation: "lock", source, .. }) => {
            assert_eq!(source.kind(), io::ErrorKind::PermissionDenied);
        }
        other => panic!("{other:?}"),
    }
    tell_parent("read");
}

/// A reader that made a file of its own in the directory, where it could, was tried, and made
/// this fail.
#[test]
fn a_reader_needs_no_right_to_write() {
    let directory = tempfile::tempdir().unwrap();
    set_mode(directory.path(), 0o755);
    let path = directory.path().join("tokens");
    let tokens = tokens(TOKENS);
    let store = create(&path, &options(), &tokens);
    store.pause_compaction().unwrap();
    for number in 1..=COMMITS {
        store.commit(&batch(&tokens, number)).unwrap();
    }
    // With layers and with a log.
    assert!(store.stat().layers > 1 && store.stat().delta > 0, "{:?}", store.stat());
    store.close().unwrap();
    for entry in fs::read_dir(&path).unwrap() {
        set_mode(&entry.unwrap().path(), 0o444);
    }
    set_mode(&path, 0o555);
    let before = state(&path);
    // Whoever this is: root leaves no trace either, though it could.
    read(&path);
    assert_eq!(state(&path), before);

    let mut reader = command("rights::reader", &path);
    if rustix::process::geteuid().is_root() {
        reader.uid(NOBODY).gid(NOBODY).current_dir("/");
    }
    match reader.spawn() {
        Ok(mut reader) => {
            let mut said = String::new();
            reader.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            assert!(reader.wait().unwrap().success(), "{said}");
            println!("the reader: {said}");
            assert!(said.starts_with("done "), "{said}");
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            println!("nobody may not run {:?}", std::env::current_exe().unwrap());
        }
        Err(error) => panic!("{error}"),
    }
    assert_eq!(state(&path), before);
    // So that it can be removed.
    set_mode(&path, 0o755);
}
