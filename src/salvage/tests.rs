//! What a medium does not give back is lost page by page, and logs that follow each other.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use super::report::LossReason;
use super::*;
use crate::format::PAGE_LEN;
use crate::format::kinds::Kind;
use crate::format::log::{BLOCK_LEN, LogEntry, encode_frame, encode_header};
use crate::format::manifest::ManifestContents;
use crate::format::names::{MANIFEST, log_name, segment_name};
use crate::io::watched::WatchedDisk;
use crate::manifest;
use crate::options::Options;
use crate::progress::UNWATCHED;
use crate::segment::builder::{SegmentBuilder, SegmentIds, SegmentPlan};
use crate::store::Store;
use crate::testing::keys::{KeyFamily, with_values};
use crate::token::{BlockTime, TokenId};

type Tokens = BTreeMap<TokenId, BlockTime>;

/// What a salvage to a directory, which is removed, comes to.
fn salvaged(disk: &dyn Disk, destination: &Path) -> (SalvageReport, Tokens) {
    let report = salvage_on(disk, destination, UNWATCHED).unwrap();
    let store = Store::open_read_only(destination, &Options::new()).unwrap();
    let tokens: Result<Tokens> = store.snapshot().range(..).collect();
    std::fs::remove_dir_all(destination).unwrap();
    (report, tokens.unwrap())
}

#[test]
fn a_page_that_cannot_be_read_costs_what_is_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let (path, destination) = (directory.path().join("store"), directory.path().join("rescued"));
    let store = Store::create(&path, &Options::new()).unwrap();
    let all: Tokens = with_values(KeyFamily::Uniform.generate(1_000, 3), 1).collect();
    let tokens: Vec<_> = all.keys().copied().collect();
    let records = all.iter().map(|(token, value)| Ok(Record::new(*token, *value)));
    store.bulk_load(records, &LoadOptions::new()).unwrap();
    store.close().unwrap();
    let (disk, watch) = WatchedDisk::new(&path);
    let entry = manifest::read(&disk).unwrap().unwrap().layers[0][0].clone();
    let name = segment_name(entry.segment_id);
    let checksums_at = {
        let bytes = std::fs::read(path.join(&name)).unwrap();
        u64::from_le_bytes(bytes[168 + 5 * 24..][..8].try_into().unwrap())
    };
    let end = (PAGE_LEN + 1_000 * Record::LEN) as u64;
    for start in (0..entry.file_len).step_by(PAGE_LEN) {
        watch.lock().unwrap().unreadable = Some((name.clone(), start..start + PAGE_LEN as u64));
        let (report, rescued) = salvaged(&disk, &destination);
        let lost = if (PAGE_LEN as u64..end).contains(&start) {
            let at = start as usize - PAGE_LEN;
            at / Record::LEN..(at + PAGE_LEN).div_ceil(Record::LEN).min(1_000)
        } else if start == checksums_at {
            0..1_000
        } else {
            0..0
        };
        let mut left = all.clone();
        left.retain(|token, _| !tokens[lost.clone()].contains(token));
        assert!(rescued == left, "{start}: {report:?}");
        assert_eq!((report.lost(), report.rescued), (lost.len() as u64, left.len() as u64));
        let reasons: Vec<_> = report.losses.iter().map(|loss| loss.reason).collect();
        let expected: &[_] = match (lost.len(), start == checksums_at) {
            (0, _) => &[],
            (_, true) => &[LossReason::NoChecksum],
            _ => &[LossReason::Unreadable],
        };
        assert_eq!(reasons, expected, "{start}");
    }
    watch.lock().unwrap().unreadable = Some((MANIFEST.into(), 0..1));
    let (report, rescued) = salvaged(&disk, &destination);
    assert!(rescued == all && report.manifest.is_some());
}

#[test]
fn a_page_of_a_log_that_cannot_be_read_is_no_torn_end() {
    let directory = tempfile::tempdir().unwrap();
    let (path, destination) = (directory.path().join("store"), directory.path().join("rescued"));
    let store = Store::create(&path, &Options::new()).unwrap();
    let value = BlockTime::new(1.into(), 1);
    for token in 0..10 {
        store.put(&token.into(), value).unwrap();
    }
    let contents = manifest::read(&RealDisk::new(&path)).unwrap().unwrap();
    let name = log_name(contents.logs[0].log_id);
    // As it is where a writer is killed: without a mark at its end.
    let log = std::fs::read(path.join(&name)).unwrap();
    store.close().unwrap();
    std::fs::write(path.join(&name), log).unwrap();
    let (disk, watch) = WatchedDisk::new(&path);
    // Header and seven frames, then three frames.
    for (page, left) in [(0, vec![7, 8, 9]), (1, vec![0, 1, 2, 3, 4, 5, 6])] {
        let bytes = page * PAGE_LEN as u64..(page + 1) * PAGE_LEN as u64;
        watch.lock().unwrap().unreadable = Some((name.clone(), bytes));
        let (report, rescued) = salvaged(&disk, &destination);
        assert!(rescued.into_keys().eq(left.into_iter().map(TokenId::from)), "{report:?}");
        assert!(report.losses.iter().all(|loss| loss.reason == LossReason::Unreadable));
        assert!(report.lost() >= 3, "{report:?}");
    }
}

/// A log of frames with one token each, and what the manifest says of it.
fn log(log_id: u64, first_sequence: u64, tokens: &[u64]) -> (LogEntry, Vec<u8>) {
    let salt = [log_id as u8; 8];
    let file_len = 16 * BLOCK_LEN as u64;
    let entry = LogEntry { log_id, first_sequence, commits_from: first_sequence, file_len, salt };
    let (header, mut previous) = encode_header([7; 16], &entry);
    let mut bytes = header.to_vec();
    for (sequence, token) in (first_sequence..).zip(tokens) {
        let record = Record::new((*token).into(), BlockTime::new(2.into(), sequence));
        let entries = [(&record, Kind::Fresh)].into_iter();
        previous = encode_frame(salt, previous, sequence, 0, entries, &mut bytes);
    }
    bytes.resize(file_len as usize, 0);
    (entry, bytes)
}

/// Tokens that are rescued where a byte of one of two logs is wrong, and, of the loss, the
/// frames.
fn of_two_logs(damaged: Option<(usize, usize)>) -> (Vec<u64>, Vec<(u64, u64)>) {
    let directory = tempfile::tempdir().unwrap();
    let (path, destination) = (directory.path().join("store"), directory.path().join("rescued"));
    std::fs::create_dir(&path).unwrap();
    let disk = RealDisk::new(&path);
    let mut logs = [log(1, 10, &[1, 2, 3]), log(2, 13, &[4, 5])];
    if let Some((log, at)) = damaged {
        logs[log].1[at] ^= 1;
    }
    for (entry, bytes) in &logs {
        std::fs::write(path.join(log_name(entry.log_id)), bytes).unwrap();
    }
    let contents = ManifestContents {
        store_id: [7; 16],
        generation: 1,
        next_file_id: 3,
        layers: Vec::new(),
        logs: logs.map(|(entry, _)| entry).to_vec(),
    };
    manifest::replace(&disk, &contents).unwrap();
    let (report, rescued) = salvaged(&disk, &destination);
    let number = |token: TokenId| u64::from_be_bytes(token.0[24..].try_into().unwrap());
    let frames = report
        .losses
        .into_iter()
        .filter_map(|loss| loss.frames)
        .map(|it| (it.start, it.end))
        .collect();
    (rescued.into_keys().map(number).collect(), frames)
}

/// The next log says how far the one before went; behind the last one may be a torn end.
#[test]
fn a_log_that_another_one_follows_has_no_torn_end() {
    let frame = |number: usize| BLOCK_LEN * (1 + number);
    assert_eq!(of_two_logs(None), (vec![1, 2, 3, 4, 5], vec![]));
    for at in [4, 40] {
        assert_eq!(of_two_logs(Some((0, frame(0) + at))), (vec![2, 3, 4, 5], vec![(10, 11)]));
        assert_eq!(of_two_logs(Some((0, frame(2) + at))), (vec![1, 2, 4, 5], vec![(12, 13)]));
        assert_eq!(of_two_logs(Some((1, frame(1) + at))), (vec![1, 2, 3, 4], vec![]));
    }
    for log in [0, 1] {
        assert_eq!(of_two_logs(Some((log, 30))), (vec![1, 2, 3, 4, 5], vec![]));
    }
}

/// A loss is one of many that a long salvage may find: it is stopped all the same.
#[test]
fn a_salvage_of_nothing_but_damage_is_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let (path, destination) = (directory.path().join("store"), directory.path().join("rescued"));
    let store = Store::create(&path, &Options::new()).unwrap();
    let records = (0..40_000u64).map(|id| Ok(Record::new(id.into(), BlockTime::default())));
    store.bulk_load(records, &LoadOptions::new()).unwrap();
    store.close().unwrap();
    let (disk, watch) = WatchedDisk::new(&path);
    let name = segment_name(1);
    watch.lock().unwrap().unreadable = Some((name, 4_096..u64::MAX));
    let stop = |progress: Progress| match progress.done {
        0 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    };
    let stopped = salvage_on(&disk, &destination, &stop);
    assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
    let (report, rescued) = salvaged(&disk, &destination);
    assert_eq!((report.losses.len(), report.lost(), rescued.len()), (1, 40_000, 0));
}

/// The segment of a compaction has a higher number than what was being flushed when that
/// began, and lies below it all the same.
#[test]
fn without_a_manifest_a_layer_with_updates_is_not_the_bottom_one() {
    let directory = tempfile::tempdir().unwrap();
    let (path, destination) = (directory.path().join("store"), directory.path().join("rescued"));
    drop(Store::create(&path, &Options::new()).unwrap());
    std::fs::remove_file(path.join(MANIFEST)).unwrap();
    let disk = RealDisk::new(&path);
    let (new, old) = (BlockTime::new(1.into(), 9), BlockTime::new(1.into(), 5));
    let none = BlockTime::default();
    let flushed = [(10u64, new, Kind::Update), (20, none, Kind::Tombstone)];
    let compacted = [10, 20, 30].map(|token| (token, old, Kind::Fresh));
    for (segment_id, entries) in [(7, flushed.as_slice()), (8, &compacted)] {
        let name = segment_name(segment_id);
        let plan = SegmentPlan {
            ids: SegmentIds { store_id: [1; 16], segment_id },
            records_max: entries.len() as u64,
            bounds: (TokenId::MIN, TokenId::MAX),
        };
        let file = disk.create(&name).unwrap();
        let mut builder = SegmentBuilder::new(file, disk.path_of(&name), plan).unwrap();
        for (token, value, kind) in entries {
            builder.push(&Record::new((*token).into(), *value), *kind).unwrap();
        }
        builder.finish(&mut |_| Ok(())).unwrap();
    }
    let (report, rescued) = salvaged(&disk, &destination);
    assert!(report.manifest.is_some() && report.losses.is_empty(), "{report:?}");
    assert!(rescued == Tokens::from([(10.into(), new), (30.into(), old)]), "{rescued:?}");
}
