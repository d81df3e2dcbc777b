//! What happens when a store's directory is deleted, moved, or replaced while it is in use.
//!
//! Files are found by the path that the store was opened with. So:
//!
//! - Snapshots read on, whatever happens to names: their files are mapped.
//! - A reader that refreshes, and whoever opens, finds no store there.
//! - A writer commits to the log that it has open, as far as that has room. These commits are
//!   seen, but their file has no name any more. What needs a new file fails, again and again,
//!   with an error that names that file; and closing says so, too.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use ringstore::{Background, Durability, Error, Options, Result, Stat, Store, TokenId};

use crate::opens::options;
use crate::published::system::{Progress, directory, names};
use crate::published::{Follower, batch, commits, create, tokens};

const TOKENS: usize = 600;
const DELETIONS: u64 = 40;

/// Commits up to a number, or to the first error; the last commit that was acknowledged.
fn commit_until(store: &Store, tokens: &[TokenId], from: u64, to: u64) -> (u64, Result<()>) {
    for number in from..=to {
        if let Err(error) = store.commit(&batch(tokens, number)) {
            return (number - 1, Err(error));
        }
    }
    (to, Ok(()))
}

fn is_not_found(error: &Error) -> bool {
    match error {
        Error::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

/// Waits until nothing is written in the background.
fn wait_until_idle(store: &Store) {
    let is_busy = |stat: Stat| {
        stat.background == Background::Flushing || stat.compaction == Background::Compacting
    };
    while is_busy(store.stat()) {
        thread::yield_now();
    }
}

#[test]
fn a_directory_that_is_deleted() {
    let directory = directory();
    let path = directory.path().join("tokens");
    let tokens = tokens(TOKENS);
    let store = create(&path, &options(), &tokens);
    assert!(commit_until(&store, &tokens, 1, 50).1.is_ok());
    let reader = Store::open_read_only(&path, &options()).unwrap();
    let (old, read) = (store.snapshot(), reader.snapshot());
    wait_until_idle(&store);
    fs::remove_dir_all(&path).unwrap();

    // Nobody finds a store there any more.
    assert!(matches!(reader.refresh(), Err(Error::NotAStore { .. })));
    for opened in [Store::open_read_only(&path, &options()), Store::open(&path, &options())] {
        assert!(matches!(opened, Err(Error::NotAStore { .. })), "{opened:?}");
    }
    assert!(!path.exists());
    // The log that is open takes what it has room for, and not more.
    let (last, failed) = commit_until(&store, &tokens, 51, 500);
    assert!(failed.as_ref().is_err_and(is_not_found), "{last}: {failed:?}");
    let mut follower = Follower::new(&tokens, 1);
    for snapshot in [&old, &read, &reader.snapshot()] {
        follower.meet(snapshot, 50);
        follower.compare(snapshot);
        follower.ask(snapshot, 1_000);
    }
    let newest = store.snapshot();
    follower.meet(&newest, last);
    assert_eq!(follower.model.commits, last, "a commit that failed is seen");
    follower.compare(&newest);
    // Trying again fails in the same way. Nothing of it is made anew.
    for _ in 0..3 {
        assert!(store.commit(&batch(&tokens, last + 1)).is_err_and(|error| is_not_found(&error)));
        assert!(store.flush().is_err_and(|error| is_not_found(&error)));
    }
    assert!(!path.exists());
    let stat = store.stat();
    assert!(stat.delta > 0 && stat.layers > 0, "{stat:?}");
    // The layers are whole; the log cannot be found.
    let verified = store.verify(&|_| std::ops::ControlFlow::Continue(()));
    println!("verify: {verified:?}");
    let damages = verified.unwrap().damages;
    assert!(damages.iter().all(|damage| damage.part == "log") && !damages.is_empty());
    reader.close().unwrap();
    assert!(store.close().is_err_and(|error| is_not_found(&error)));
    follower.compare(&newest);
}

/// What may be said to who looks for a store that is just being deleted: that there is
/// none, or not all of it. A file may also go between two steps.
fn is_of_deletion(error: &Error) -> bool {
    matches!(error, Error::NotAStore { .. } | Error::Damaged(_)) || is_not_found(error)
}

#[test]
fn directories_that_are_deleted_under_way() {
    let directory = directory();
    let tokens = tokens(TOKENS);
    let mut ends = [0; 2];
    for round in 0..DELETIONS {
        let path = directory.path().join(round.to_string());
        let store = create(&path, &options(), &tokens);
        let reader = Store::open_read_only(&path, &options()).unwrap();
        let progress = Progress::default();
        thread::scope(|scope| {
            let reader = &reader;
            let (store, progress, tokens, path) = (&store, &progress, &tokens, &path);
            let writer = scope.spawn(move || {
                let _writing = progress.writer();
                for number in 1.. {
                    progress.begun.store(number, Ordering::SeqCst);
                    let durability = match number % 3 {
                        0 => Durability::Synced,
                        _ => Durability::Buffered,
                    };
                    if let Err(error) = store.commit_with(&batch(tokens, number), durability) {
                        return (number, error);
                    }
                    progress.acknowledged.store(number, Ordering::SeqCst);
                }
                unreachable!("there are more numbers");
            });
            let opens = scope.spawn(move || {
                let mut follower = Follower::new(tokens, round);
                loop {
                    let least = progress.acknowledged();
                    match Store::open_read_only(path, &options()) {
                        Ok(store) => {
                            follower.meet(&store.snapshot(), least);
                            follower.ask(&store.snapshot(), 10);
                        }
                        Err(error) => return error,
                    }
                }
            });
            let refreshes = scope.spawn(move || {
                let mut follower = Follower::new(tokens, round);
                loop {
                    let least = progress.acknowledged();
                    let refreshed = reader.refresh();
                    let snapshot = reader.snapshot();
                    follower.meet(&snapshot, if refreshed.is_ok() { least } else { 0 });
                    follower.compare(&snapshot);
                    if let Err(error) = refreshed {
                        return error;
                    }
                }
            });
            progress.more_than(20 + round * 7 % 60);
            // A file that comes meanwhile keeps the directory.
            while let Err(error) = fs::remove_dir_all(path) {
                assert!(
                    matches!(
                        error.kind(),
                        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound
                    ),
                    "{error}"
                );
            }
            let (failed, error) = writer.join().unwrap();
            // A name that could not be given; the next commit is told that nothing is written.
            let is_doubtful =
                matches!(error, Error::OutcomeUnknown { .. } | Error::Unwritable { .. });
            assert!(is_doubtful || is_not_found(&error), "{error}");
            ends[usize::from(is_doubtful)] += 1;
            let (opened, refreshed) = (opens.join().unwrap(), refreshes.join().unwrap());
            assert!(is_of_deletion(&opened), "{opened}");
            assert!(is_of_deletion(&refreshed), "{refreshed}");
            let found = commits(&store.snapshot());
            let acknowledged = progress.acknowledged();
            assert!(found == acknowledged || is_doubtful && found <= failed, "{found}");
        });
        let newest = store.snapshot();
        // It says that it failed, or failed before.
        let closed = store.close();
        assert!(closed.is_err(), "{closed:?}");
        let mut follower = Follower::new(&tokens, round);
        follower.meet(&newest, 0);
        follower.compare(&newest);
        assert!(!path.exists());
    }
    println!("{} writers ended without doubt, {} in doubt", ends[0], ends[1]);
}

/// A directory that is moved is gone, for those who knew it by its old path, and a store as
/// any other under its new one, with all that was committed, be it after the move.
#[test]
fn a_directory_that_is_moved() {
    let directory = directory();
    let (path, moved) = (directory.path().join("tokens"), directory.path().join("moved"));
    let tokens = tokens(TOKENS);
    let store = create(&path, &options(), &tokens);
    assert!(commit_until(&store, &tokens, 1, 50).1.is_ok());
    let reader = Store::open_read_only(&path, &options()).unwrap();
    wait_until_idle(&store);
    fs::rename(&path, &moved).unwrap();
    assert!(matches!(reader.refresh(), Err(Error::NotAStore { .. })));
    let (last, failed) = commit_until(&store, &tokens, 51, 500);
    assert!(failed.as_ref().is_err_and(is_not_found), "{failed:?}");
    // The lock went along.
    assert!(matches!(Store::open(&moved, &options()), Err(Error::Locked { .. })));
    assert_holds(&Store::open_read_only(&moved, &options()).unwrap(), &tokens, last);
    drop(store);
    // Back where it was, the reader finds it again.
    fs::rename(&moved, &path).unwrap();
    assert!(reader.refresh().is_ok());
    assert_holds(&reader, &tokens, last);
    let store = Store::open(&path, &options()).unwrap();
    assert_holds(&store, &tokens, last);
    assert!(commit_until(&store, &tokens, last + 1, last + 100).1.is_ok());
    assert_holds(&store, &tokens, last + 100);
}

fn assert_holds(store: &Store, tokens: &Arc<[TokenId]>, commits: u64) {
    let mut follower = Follower::new(tokens, 1);
    follower.meet(&store.snapshot(), commits);
    assert_eq!(follower.model.commits, commits);
    follower.compare(&store.snapshot());
    assert_eq!(store.verify(&|_| std::ops::ControlFlow::Continue(())).unwrap().damages, []);
}

/// Another store in the place of one that was moved away, or deleted, is not the writer's to
/// change.
#[test]
fn a_store_in_the_place_of_another_one() {
    for is_deleted in [false, true] {
        let directory = directory();
        let (path, moved) = (directory.path().join("tokens"), directory.path().join("moved"));
        let tokens = tokens(TOKENS);
        let store = create(&path, &options(), &tokens);
        assert!(commit_until(&store, &tokens, 1, 50).1.is_ok());
        store.flush().unwrap();
        wait_until_idle(&store);
        if is_deleted {
            fs::remove_dir_all(&path).unwrap();
        } else {
            fs::rename(&path, &moved).unwrap();
        }
        let other = create(&path, &Options::new(), &tokens);
        assert!(commit_until(&other, &tokens, 1, 5).1.is_ok());
        let before = files(&path);
        let (last, failed) = commit_until(&store, &tokens, 51, 500);
        println!("deleted: {is_deleted}; it committed up to {last}: {failed:?}");
        assert!(files(&path) == before, "the files of another store were changed");
        assert!(failed.as_ref().is_err_and(is_not_found), "{failed:?}");
        // What it acknowledged was flushed before.
        store.close().unwrap();
        assert!(files(&path) == before, "the files of another store were changed");
        assert_holds(&other, &tokens, 5);
        assert!(commit_until(&other, &tokens, 6, 500).1.is_ok());
        other.close().unwrap();
        assert_holds(&Store::open(&path, &options()).unwrap(), &tokens, 500);
        if !is_deleted {
            assert_holds(&Store::open(&moved, &options()).unwrap(), &tokens, last);
        }
    }
}

/// All files with their bytes.
fn files(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = names(path).into_iter();
    files.map(|name| (name.clone(), fs::read(path.join(name)).unwrap())).collect()
}
