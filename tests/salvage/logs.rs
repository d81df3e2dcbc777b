//! A byte of a log costs the frame that it is in, and what a crash tore is no loss.

use std::fs;

use ringstore::testing::keys::KeyFamily;
use ringstore::{LossReason, Options, Result, Store, salvage};

use crate::sample::{contents, flipped, go_on, merged, overwrite, sample};

#[test]
fn a_byte_of_a_log_costs_its_frame_and_no_more() {
    let sample = sample(KeyFamily::Uniform, 500);
    let (name, frames) = &sample.log;
    let log = fs::read(sample.path().join(name)).unwrap();
    let layers = sample.layers();
    let end = frames[frames.len() - 1].0.end;
    assert!(frames.len() >= 7 && frames[frames.len() - 1].1.is_empty(), "no mark at the end");
    for at in (0..end + 512).step_by(16).map(|at| at + at / 16 % 16) {
        let (report, rescued) = sample.with_file(name, &flipped(&log, at));
        let context = format!("byte {at}: {report:?}");
        // Behind the entries is nothing.
        let hit = frames.iter().position(|(bytes, entries)| {
            (bytes.start..bytes.start + 32 + 73 * entries.len()).contains(&at)
        });
        let hit = hit.filter(|hit| !frames[*hit].1.is_empty());
        let mut left = sample.frames();
        if let Some(hit) = hit {
            let (bytes, entries) = &frames[hit];
            left.remove(hit);
            let [loss] = report.losses.as_slice() else { panic!("{context}") };
            let bytes = bytes.start as u64..bytes.end as u64;
            assert_eq!((&loss.file, &loss.bytes), (name, &bytes), "{context}");
            assert_eq!(loss.frames.as_ref().map(|it| it.end - it.start), Some(1), "{context}");
            let is_header = at < bytes.start as usize + 32;
            assert_eq!(loss.is_exact, !is_header, "{context}");
            let count = entries.len() as u64;
            assert!(loss.records == count || is_header && loss.records >= count, "{context}");
            assert!(loss.may_revert, "{context}");
        } else {
            assert!(report.is_complete(), "{context}");
        }
        assert!(rescued == merged(&layers, &left), "{context}");
    }
}

/// Without what says that they were acknowledged, the last frames are a torn end.
#[test]
fn a_torn_end_is_no_loss() {
    let sample = sample(KeyFamily::Uniform, 500);
    let (name, frames) = &sample.log;
    let mut log = fs::read(sample.path().join(name)).unwrap();
    let [.., (last, _), (mark, _)] = frames.as_slice() else { panic!("{frames:?}") };
    log[mark.clone()].fill(0);
    log[last.start + 40] ^= 1;
    let path = sample.path().join(name);
    overwrite(&path, &log);
    let before = contents(&sample.path());
    let report = salvage(sample.path(), sample.destination(), &go_on).unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert!(contents(&sample.path()) == before);
    // As when the store is opened.
    let [opened, rescued] = [sample.path(), sample.destination()].map(|path| {
        let store = Store::open_read_only(path, &Options::new()).unwrap();
        store.snapshot().range(..).collect::<Result<Vec<_>>>().unwrap()
    });
    assert!(opened == rescued && opened.len() > 100);
}

#[test]
fn several_frames_in_a_row_are_counted() {
    let sample = sample(KeyFamily::Uniform, 500);
    let (name, frames) = &sample.log;
    let mut log = fs::read(sample.path().join(name)).unwrap();
    let lost = frames[1].0.start..frames[4].0.end;
    log[lost.clone()].fill(0xa5);
    let (report, rescued) = sample.with_file(name, &log);
    let mut left = sample.frames();
    left.drain(1..5);
    assert!(rescued == merged(&sample.layers(), &left));
    let [loss] = report.losses.as_slice() else { panic!("{report:?}") };
    assert_eq!(loss.bytes, lost.start as u64..lost.end as u64);
    assert_eq!(loss.frames.as_ref().map(|frames| frames.end - frames.start), Some(4));
    let entries: usize = frames[1..5].iter().map(|(_, entries)| entries.len()).sum();
    assert!(loss.records >= entries as u64 && !loss.is_exact);
}

/// A frame, or its header, a second time within one that is damaged: each that is whole where it
/// was counts.
#[test]
fn blocks_that_were_written_twice_cost_no_frame_that_is_whole() {
    let sample = sample(KeyFamily::Uniform, 500);
    let (name, frames) = &sample.log;
    let log = fs::read(sample.path().join(name)).unwrap();
    let damaged = frames.iter().position(|(bytes, _)| bytes.len() > 512).unwrap();
    let start = frames[damaged].0.start;
    let mut left = sample.frames();
    left.remove(damaged);
    let left = merged(&sample.layers(), &left);
    for (other, _) in frames.iter().filter(|(bytes, _)| bytes.start != start) {
        let mut log = log.clone();
        log[start + 8] ^= 1;
        log.copy_within(other.start..other.start + 512, start + 512);
        let (report, rescued) = sample.with_file(name, &log);
        assert!(rescued == left, "{other:?}: {report:?}");
        assert_eq!(report.losses.len(), 1, "{other:?}: {report:?}");
        assert!(report.lost() >= frames[damaged].1.len() as u64, "{other:?}: {report:?}");
    }
}

#[test]
fn a_log_that_is_cut_or_missing_says_what_may_be_lost() {
    let sample = sample(KeyFamily::Uniform, 500);
    let (name, frames) = &sample.log;
    let path = sample.path().join(name);
    let log = fs::read(&path).unwrap();
    let end = frames[frames.len() - 1].0.end;
    for len in (0..end + 1_024).step_by(256) {
        let (report, rescued) = sample.with_file(name, &log[..len]);
        let whole = frames.iter().take_while(|(bytes, _)| bytes.end <= len).count();
        assert!(rescued == merged(&sample.layers(), &sample.frames()[..whole]), "{len}");
        // With a mark at the end it is known that no more came.
        assert_eq!(report.losses.is_empty(), whole == frames.len(), "{len}: {report:?}");
        let lost: usize = frames[whole..].iter().map(|(_, entries)| entries.len()).sum();
        assert!(report.lost() >= lost as u64, "{len}: {report:?}");
        assert!(report.losses.iter().all(|loss| loss.reason == LossReason::Cut));
    }
    fs::remove_file(&path).unwrap();
    let (report, rescued) = sample.salvage();
    assert!(rescued == merged(&sample.layers(), &[]));
    let [loss] = report.losses.as_slice() else { panic!("{report:?}") };
    assert_eq!((&loss.file, loss.reason), (name, LossReason::Missing));
    assert!(loss.records >= 118 && loss.may_revert, "{report:?}");
}
