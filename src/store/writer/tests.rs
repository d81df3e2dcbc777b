//! Commits that meet failures, merges and loads in the middle. Whoever holds the watch of
//! the disk holds up whoever leads.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use super::*;
use crate::batch::Batch;
use crate::delta::Delta;
use crate::delta::entry::Entry;
use crate::delta::layers::Layers;
use crate::error::Error;
use crate::format::kinds::Kind;
use crate::format::manifest::ManifestContents;
use crate::io::watched::{Watch, WatchedDisk};
use crate::options::Options;
use crate::recover::replay;
use crate::segment::layer::Layer;
use crate::store::directory::lock;
use crate::token::{BlockTime, Record, TokenId};

fn writer() -> (tempfile::TempDir, Arc<Writer>, Arc<Mutex<Watch>>) {
    let directory = tempfile::tempdir().unwrap();
    let (disk, watch) = WatchedDisk::new(directory.path());
    let contents = ManifestContents {
        store_id: [7; 16],
        generation: 1,
        next_file_id: 1,
        layers: Vec::new(),
        logs: Vec::new(),
    };
    crate::manifest::replace(&disk, &contents).unwrap();
    let held = lock(&disk).unwrap();
    let replayed = replay(&disk, &contents, layers(None)).unwrap();
    let (disk, monitor) = (Arc::new(disk), Arc::default());
    let writer = Writer::new(disk, held, &Options::new(), contents, replayed, monitor).unwrap();
    (directory, writer, watch)
}

fn layers(base: Option<Arc<Layer>>) -> Layers {
    Layers::new(base.into_iter().collect()).unwrap()
}

fn put(tokens: impl IntoIterator<Item = u64>) -> Batch {
    let mut batch = Batch::new();
    for id in tokens {
        batch.put(TokenId::from(id), BlockTime::new(1.into(), 1));
    }
    batch
}

fn tokens_seen(writer: &Writer) -> u64 {
    crate::snapshot::Snapshot::new(writer.published.get()).len()
}

/// A merge of something else, that keeps others from merging.
fn other_merge() -> Arc<Merge> {
    let mut delta = Delta::new(layers(None));
    for id in 0..1_025 {
        let record = Record::new(TokenId::from(id), BlockTime::default());
        delta.apply(&Entry { record, kind: Kind::Fresh, base_position: 0 }).unwrap();
    }
    delta.freeze();
    Arc::new(delta.to_merge().unwrap())
}

/// A writer with an image to merge, and that merge, which another thread is at.
fn merging() -> (tempfile::TempDir, Arc<Writer>, Arc<Mutex<Watch>>, Arc<Merge>) {
    let (directory, writer, watch) = writer();
    let other = other_merge();
    writer.state().merging = Arc::downgrade(&other);
    for time in 0..3 {
        writer.commit(&put(time * 1_100..(time + 1) * 1_100), Durability::Synced).unwrap();
    }
    drop(other);
    let merge = writer.state().begin_merge().unwrap();
    (directory, writer, watch, merge)
}

#[test]
fn what_failed_is_not_shown_by_a_merge() {
    let (_directory, writer, watch, merge) = merging();
    {
        let mut watch = watch.lock().unwrap();
        watch.fails_at = Some(watch.calls.len());
        // So that the next write is a call of its own.
        watch.calls.push(String::new());
        watch.fails_at = Some(watch.calls.len());
    }
    let failed = writer.commit(&put([9_999]), Durability::Synced);
    assert!(matches!(failed, Err(Error::OutcomeUnknown { .. })), "{failed:?}");
    assert_eq!(tokens_seen(&writer), 3_300);
    writer.merge(&merge);
    assert_eq!(tokens_seen(&writer), 3_300, "a commit is seen that failed");
}

#[test]
fn who_gathers_does_not_write_when_it_failed() {
    let (_directory, writer, watch) = writer();
    writer.commit(&put([0]), Durability::Synced).unwrap();
    for id in 1.. {
        let seen = tokens_seen(&writer);
        {
            let mut state = writer.state();
            (state.expected, state.gathers) = (2, Gathers::default());
        }
        let calls = thread::scope(|scope| {
            let commit = scope.spawn(|| writer.commit(&put([id]), Durability::Synced));
            let mut calls = 0;
            while !commit.is_finished() {
                let mut state = writer.state();
                if state.gathering.is_some() {
                    // As a load does whose file could not be named.
                    writer.fail(&mut state, Path::new("x"), io::Error::other("failed"));
                    calls = watch.lock().unwrap().calls.len();
                    break;
                }
            }
            let committed = commit.join().unwrap();
            if calls > 0 {
                let now = watch.lock().unwrap().calls[calls..].to_vec();
                assert!(now.is_empty() && committed.is_err(), "{committed:?}, {now:?}");
            }
            calls
        });
        if calls > 0 {
            assert_eq!(tokens_seen(&writer), seen);
            return;
        }
    }
}

#[test]
fn who_waits_until_nothing_is_in_line_is_woken_by_the_second_failure() {
    let (_directory, writer, watch) = writer();
    writer.commit(&put([0]), Durability::Synced).unwrap();
    let writer: &'static Arc<Writer> = Box::leak(Box::new(writer));
    let mut held = watch.lock().unwrap();
    held.calls.push(String::new());
    held.fails_at = Some(held.calls.len());
    let commit = thread::spawn(|| writer.commit(&put([1]), Durability::Synced));
    while !writer.state().is_led {}
    let (done, is_done) = channel();
    thread::spawn(move || {
        drop(writer.idle(writer.state()));
        done.send(()).unwrap();
    });
    while writer.state().idle_wanted == 0 {}
    // As a load does whose file could not be named.
    writer.fail(&mut writer.state(), Path::new("x"), io::Error::other("failed"));
    // It goes back to sleep, as somebody leads.
    thread::sleep(Duration::from_millis(100));
    drop(held);
    assert!(commit.join().unwrap().is_err());
    // Or this waits for ever.
    is_done.recv().unwrap();
}

#[test]
fn what_is_merged_is_shown_by_who_leads() {
    let (_directory, writer, watch, merge) = merging();
    assert_eq!(writer.published.get().delta_parts(), 3);
    thread::scope(|scope| {
        let held = watch.lock().unwrap();
        let commit = scope.spawn(|| writer.commit(&put([5_000]), Durability::Synced));
        while !writer.state().is_led {}
        writer.merge(&merge);
        assert_eq!(tokens_seen(&writer), 3_300, "what is not written is seen");
        drop(held);
        commit.join().unwrap().unwrap();
    });
    assert_eq!(writer.published.get().delta_parts(), 2);
}

/// A commit whose tokens were looked up before a load came between.
#[test]
fn what_was_looked_up_in_another_base_is_looked_up_again() {
    let (_directory, writer, _watch) = writer();
    let entries = other_merge().run().unwrap().unwrap();
    let crate::delta::part::Part::Layer(base, _) = entries else { unreachable!() };
    thread::scope(|scope| {
        let mut state = writer.state();
        let empty = Arc::clone(state.delta.base());
        let users = Arc::strong_count(&empty);
        let commit = scope.spawn(|| writer.commit(&put([7]), Durability::Synced));
        while Arc::strong_count(&empty) == users {}
        let mut delta = Delta::new(layers(Some(base)));
        let view = frozen(&mut delta).unwrap();
        let contents = state.contents.clone();
        writer.install(&mut state, contents, delta);
        writer.published.set(view);
        drop(state);
        commit.join().unwrap().unwrap();
    });
    assert_eq!(tokens_seen(&writer), 1_025);
}

#[test]
fn parts_are_merged_by_one_at_a_time_and_are_few() {
    let (_directory, writer, _watch, merge) = merging();
    assert!(writer.state().begin_merge().is_none(), "somebody merges");
    writer.merge(&merge);
    drop(merge);
    for time in 3..20 {
        writer.commit(&put(time * 1_100..(time + 1) * 1_100), Durability::Synced).unwrap();
        assert!(writer.published.get().delta_parts() <= 2);
    }
}
