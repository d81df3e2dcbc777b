//! Copies of a store that were made file by file while it was written.
//!
//! A file that goes meanwhile is left out, as `cp` would. Whatever comes of that is refused
//! with an error, or holds a state that the store had: one between the first and the last
//! moment of the copying. More than that depends on the order:
//!
//! - Manifest first, or last: if no flush ended and no log was begun meanwhile, the copy
//!   opens, else it is refused, most often as something is missing that the manifest names.
//! - Manifest last, and it is what it was before the first file was copied: then all that it
//!   names was there all the time. Such a copy opens, but for one case: where commits are
//!   synced while the log is copied, a frame may be missing in the copy that a later one says
//!   is on disk, and that is refused as damage. Then it has to be copied again.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use ringstore::{Durability, Error, Options, Store, TokenId};

use crate::published::system::{Progress, directory, names};
use crate::published::{Follower, Model, batch, commits, create, tokens};

const TOKENS: usize = 600;

/// Copies of each kind.
const COPIES: usize = 150;

/// When the manifest is copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    First,
    Last,
    /// Last, and it is the same as before the first file.
    Steady,
}

fn options() -> Options {
    let options = Options::new().durability(Durability::Buffered);
    options.delta_entries(150).log_bytes(64 << 10)
}

/// Copies a file, if it is still there.
fn copy(from: &Path, to: &Path, name: &str) {
    match fs::copy(from.join(name), to.join(name)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => panic!("{name}: {error}"),
    }
}

/// Copies a directory; whether it is as the order asks for.
fn copy_all(from: &Path, to: &Path, order: Order) -> bool {
    fs::create_dir(to).unwrap();
    let manifest = || fs::read(from.join("MANIFEST")).unwrap();
    let before = manifest();
    if order == Order::First {
        copy(from, to, "MANIFEST");
    }
    for name in names(from).iter().filter(|name| *name != "MANIFEST") {
        copy(from, to, name);
    }
    if order != Order::First {
        copy(from, to, "MANIFEST");
    }
    order != Order::Steady || manifest() == before
}

/// What came of copies.
#[derive(Debug, Default)]
struct Judged {
    opened: usize,
    refused: usize,
    /// Copies that were thrown away, as the manifest changed.
    again: usize,
}

/// Opens a copy, or finds it refused for a reason; whether it opens.
fn judge(path: &Path, least: u64, most: u64, follower: &mut Follower) -> Result<(), Error> {
    let opened = Store::open_read_only(path, &options());
    if let Err(error) = opened {
        // Nor can it be written.
        assert!(Store::open(path, &options()).is_err(), "{error}");
        return Err(error);
    }
    let reader = opened.unwrap();
    let snapshot = reader.snapshot();
    let found = commits(&snapshot);
    assert!((least..=most).contains(&found), "{found} of {least} to {most} commits");
    follower.meet(&snapshot, least);
    follower.compare(&snapshot);
    follower.ask(&snapshot, 200);
    assert_eq!(reader.verify(&|_| ControlFlow::Continue(())).unwrap().damages, []);

    // It is a store as any other, to be written on.
    let store = Store::open(path, &options()).unwrap();
    let mut model = follower.model.clone();
    model.compare(&store.snapshot());
    write_on(&store, &mut model);
    store.flush().unwrap();
    assert!(reader.refresh().unwrap());
    model.compare(&reader.snapshot());
    store.close().unwrap();
    model.compare(&Store::open(path, &options()).unwrap().snapshot());
    Ok(())
}

fn write_on(store: &Store, model: &mut Model) {
    let tokens = tokens(TOKENS);
    for number in model.commits + 1..model.commits + 4 {
        store.commit(&batch(&tokens, number)).unwrap();
    }
    model.advance_to(model.commits + 3);
}

/// Makes copies of a store while it is written; so many commits of a hundred are synced.
fn copies(order: Order, synced: u64) -> Judged {
    let directory = directory();
    let path = directory.path().join("tokens");
    let (tokens, progress) = (tokens(TOKENS), Progress::default());
    let store = create(&path, &options(), &tokens);
    let mut judged = Judged::default();
    thread::scope(|scope| {
        let reading = progress.reader();
        let (store, progress, tokens) = (&store, &progress, &tokens);
        scope.spawn(move || write(store, tokens, progress, synced));
        let _reading = reading;
        let mut follower = Follower::new(tokens, 1);
        for copied in 0..COPIES {
            let to = directory.path().join(copied.to_string());
            let mut least = progress.more_than(progress.acknowledged());
            while !copy_all(&path, &to, order) {
                judged.again += 1;
                fs::remove_dir_all(&to).unwrap();
                least = progress.acknowledged();
            }
            let most = progress.begun();
            match judge(&to, least, most, &mut follower) {
                Ok(()) => judged.opened += 1,
                Err(Error::Damaged(damage)) => {
                    let is_log_frame = damage.part == "log frame";
                    assert!(order != Order::Steady || synced > 0 && is_log_frame, "{damage}");
                    judged.refused += 1;
                }
                Err(error) => panic!("{error}"),
            }
            fs::remove_dir_all(&to).unwrap();
        }
    });
    println!(
        "{order:?}, {synced} of a hundred synced: {judged:?}, {} flushes",
        store.stat().flushes
    );
    judged
}

fn write(store: &Store, tokens: &Arc<[TokenId]>, progress: &Progress, synced: u64) {
    let _writing = progress.writer();
    let mut number = 0;
    while progress.is_read() {
        number += 1;
        progress.begun.store(number, Ordering::SeqCst);
        let is_synced = number % 100 < synced;
        let durability = if is_synced { Durability::Synced } else { Durability::Buffered };
        store.commit_with(&batch(tokens, number), durability).unwrap();
        progress.acknowledged.store(number, Ordering::SeqCst);
    }
}

#[test]
fn copies_with_the_manifest_first() {
    for synced in [0, 50] {
        let judged = copies(Order::First, synced);
        assert!(judged.opened > 0, "{judged:?}");
    }
}

#[test]
fn copies_with_the_manifest_last() {
    for synced in [0, 50] {
        let judged = copies(Order::Last, synced);
        assert!(judged.opened > 0, "{judged:?}");
    }
}

#[test]
fn copies_with_a_manifest_that_was_not_replaced_meanwhile() {
    assert_eq!(copies(Order::Steady, 0).refused, 0);
    assert!(copies(Order::Steady, 50).opened > 0);
}

/// The same without chance: a flush ends between the manifest and the rest.
#[test]
fn a_flush_while_the_files_are_copied() {
    for order in [Order::First, Order::Last] {
        let directory = directory();
        let (path, to) = (directory.path().join("tokens"), directory.path().join("copy"));
        let tokens = tokens(TOKENS);
        let store = create(&path, &options(), &tokens);
        store.commit(&batch(&tokens, 1)).unwrap();
        fs::create_dir(&to).unwrap();
        let rest = || {
            for name in names(&path).iter().filter(|name| *name != "MANIFEST") {
                copy(&path, &to, name);
            }
        };
        let manifest = || copy(&path, &to, "MANIFEST");
        let flush = || {
            store.flush().unwrap();
            store.commit(&batch(&tokens, 2)).unwrap();
        };
        if order == Order::First {
            manifest();
            flush();
            rest();
        } else {
            rest();
            flush();
            manifest();
        }
        // Of the first, the log is missing; but it is said first that a later log is there.
        let part = if order == Order::First { "manifest" } else { "segment" };
        match judge(&to, 1, 2, &mut Follower::new(&tokens, 1)) {
            Err(Error::Damaged(damage)) => assert_eq!(damage.part, part, "{damage}"),
            other => panic!("{order:?}: {other:?}"),
        }
    }
}
