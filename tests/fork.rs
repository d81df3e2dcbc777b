//! A child that a writer's process forks has its lock, but not the right to write; and its
//! end does not give the lock away.

#![expect(unsafe_code, reason = "there is no other way to fork")]

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use ringstore::{Batch, BlockTime, Error, Options, Store, TokenId};

/// Held by each test as long as it runs: a child has the locks of all stores that are open,
/// be they another test's.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs something in a forked child, and says whether it did what it should.
fn in_child(child: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child only asks the store and ends. It may wait for a lock that another
    // thread holds; then it is ended by its alarm.
    let process = unsafe { libc::fork() };
    assert!(process >= 0, "cannot fork");
    if process == 0 {
        // SAFETY: takes no pointer.
        unsafe { libc::alarm(20) };
        let is_right = child();
        // SAFETY: ends the process at once, as the test is the parent's.
        unsafe { libc::_exit(i32::from(!is_right)) }
    }
    let mut status = 0;
    // SAFETY: `status` is ours, and the process is our child.
    let waited = unsafe { libc::waitpid(process, &raw mut status, 0) };
    waited == process && libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
}

/// Letting children write, and giving the lock back whoever drops it, were tried, and each made
/// this fail.
#[test]
fn a_child_does_not_write_and_does_not_unlock() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens");
    let store = Store::create(&path, &Options::new()).unwrap();
    let (token, value) = (TokenId::from(7), BlockTime::new(7.into(), 7));
    store.put(&token, value).unwrap();
    let log_bytes = || {
        let logs = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
        let log = logs.into_iter().find(|path| path.extension().is_some_and(|e| e == "log"));
        std::fs::read(log.unwrap()).unwrap()
    };
    let before = log_bytes();
    assert!(in_child(|| {
        let reads = store.snapshot().get(&token).unwrap() == Some(value);
        let written = store.commit(Batch::new().remove(token));
        let synced = store.sync();
        let closed = store.clone().close();
        drop(store.clone());
        reads
            && matches!(written, Err(Error::Unwritable { reason, .. }) if reason.contains("fork"))
            && matches!(synced, Err(Error::Unwritable { .. }))
            && closed.is_err()
    }));
    // A child that closes the store as it would at its end.
    let child = store.clone();
    assert!(in_child(move || child.close().is_err()));
    // And one that has no other handle left: this process has it still.
    let mut store = Some(store);
    assert!(in_child(|| {
        drop(store.take());
        true
    }));
    let store = store.expect("the child had a copy");
    assert!(before == log_bytes(), "a child wrote into the log");
    let opened = Store::open(&path, &Options::new());
    assert!(matches!(opened, Err(Error::Locked { .. })), "{opened:?}");
    store.remove(&token).unwrap();
    store.close().unwrap();
    assert_eq!(Store::open(&path, &Options::new()).unwrap().snapshot().len(), 0);
}

/// Another thread may hold the writer's lock at that moment, and is not in the child.
///
/// Letting children write was tried, and made this fail.
#[test]
fn a_child_that_is_forked_during_a_commit_waits_for_nobody() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path(), &Options::new().log_bytes(4_096)).unwrap();
    let value = BlockTime::new(7.into(), 7);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for id in (0..50).cycle().take_while(|_| !is_over.load(Ordering::Relaxed)) {
                store.put(&TokenId::from(id), value).unwrap();
            }
        });
        for _ in 0..30 {
            let is_right = in_child(|| {
                let _ = (store.stat(), store.verify(&|_| ControlFlow::Continue(())));
                matches!(store.put(&TokenId::from(1), value), Err(Error::Unwritable { .. }))
                    && store.sync().is_err()
            });
            // So that the other thread ends as well.
            is_over.store(!is_right, Ordering::Relaxed);
            assert!(is_right, "a child hung, or wrote");
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

/// A child has the lock's file as long as it has not begun another program, and there are
/// children at any time where another thread starts programs. A store that is closed is
/// unlocked nevertheless.
///
/// Leaving it to the end of the file to give the lock back was tried, and made this fail.
#[test]
fn a_store_that_is_closed_is_unlocked_whatever_children_there_are() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path(), &Options::new()).unwrap();
    store.put(&TokenId::from(7), BlockTime::new(7.into(), 7)).unwrap();
    let (mut child_reads, parent_writes) = std::io::pipe().unwrap();
    // SAFETY: the child only waits for the end of a pipe and ends.
    let process = unsafe { libc::fork() };
    assert!(process >= 0, "cannot fork");
    if process == 0 {
        // SAFETY: takes no pointer.
        unsafe { libc::alarm(20) };
        drop(parent_writes);
        let _ = std::io::Read::read(&mut child_reads, &mut [0]);
        // SAFETY: ends the process at once, as the test is the parent's.
        unsafe { libc::_exit(0) }
    }
    store.close().unwrap();
    let opened = Store::open(directory.path(), &Options::new());
    drop(parent_writes);
    let mut status = 0;
    // SAFETY: `status` is ours, and the process is our child.
    let waited = unsafe { libc::waitpid(process, &raw mut status, 0) };
    assert!(waited == process && libc::WIFEXITED(status));
    assert_eq!(opened.unwrap().snapshot().len(), 1);
}
