//! A byte of a segment costs the records of the chunk that it is in.

use std::fs;
use std::ops::Bound;

use ringstore::testing::damage::{reseal_manifest, reseal_segment};
use ringstore::testing::keys::KeyFamily;
use ringstore::{LossReason, salvage};

use crate::sample::{CHECKSUMS, KINDS, RECORDS, Sample, flipped, go_on, merged, overwrite, sample};

/// Flips a byte of each chunk of the segments, and of what is between them.
fn flip_each_chunk(sample: &Sample) {
    let frames = sample.frames();
    let (mut harmless, mut harmful) = (0, 0);
    for (index, segment) in sample.segments.iter().enumerate() {
        let checksums = segment.sections[CHECKSUMS].bytes.clone();
        let places =
            (0..segment.bytes.len()).step_by(4_096).map(|page| page + page / 4_096 % 4_000);
        for at in places.chain(checksums.step_by(29)).filter(|at| *at < segment.bytes.len()) {
            let lost = segment.lost_by(at);
            let (report, rescued) = sample.with_file(&segment.name, &flipped(&segment.bytes, at));
            let mut layers = sample.layers();
            for record in &lost {
                layers[index].remove(&segment.records[*record].token);
            }
            let context = format!("byte {at} of {}", segment.name);
            assert!(rescued == merged(&layers, &frames), "{context}");
            assert_eq!(report.lost(), lost.len() as u64, "{context}: {report:?}");
            if lost.is_empty() {
                assert!(report.is_complete(), "{context}: {report:?}");
                harmless += 1;
                continue;
            }
            harmful += 1;
            let [loss] = report.losses.as_slice() else { panic!("{context}: {report:?}") };
            assert_eq!((&loss.file, loss.is_exact), (&segment.name, true), "{context}");
            assert_eq!(loss.may_revert, index + 1 < layers.len(), "{context}");
            if loss.part == "records" {
                let neighbour = |at: Option<usize>| {
                    at.and_then(|at| segment.records.get(at)).map(|it| it.token)
                };
                let (first, last) = (lost[0], lost[lost.len() - 1]);
                let before = neighbour(first.checked_sub(1)).map(Bound::Excluded);
                let after = neighbour(Some(last + 1)).map(Bound::Excluded);
                let [first, last] =
                    [first, last].map(|it| Bound::Included(segment.records[it].token));
                assert_eq!(
                    loss.keys,
                    (before.unwrap_or(first), after.unwrap_or(last)),
                    "{context}"
                );
            } else {
                let ends = [lost[0], lost[lost.len() - 1]];
                let [first, last] = ends.map(|it| Bound::Included(segment.records[it].token));
                assert_eq!((loss.part, loss.keys), ("kinds", (first, last)), "{context}");
            }
        }
    }
    assert!(harmful > 30 && harmless > 10, "{harmful} {harmless}");
}

#[test]
fn a_byte_costs_the_records_of_its_chunk_and_no_more() {
    flip_each_chunk(&sample(KeyFamily::Uniform, 2_000));
}

/// The same with fence keys.
#[test]
fn a_byte_of_crowded_keys_costs_the_records_of_its_chunk_and_no_more() {
    flip_each_chunk(&sample(KeyFamily::OutlierOverDense64, 1_000));
}

/// What the manifest says is enough, whichever sections there are.
#[test]
fn a_segment_without_its_header_is_rescued_whole() {
    for (family, count) in [
        (KeyFamily::Uniform, 2_000),
        (KeyFamily::OutlierOverDense64, 3_000),
        (KeyFamily::Uniform, 40_000),
    ] {
        let sample = sample(family, count);
        let all = merged(&sample.layers(), &sample.frames());
        for segment in &sample.segments {
            let mut headless = segment.bytes.clone();
            headless[..4_096].fill(0);
            let (report, rescued) = sample.with_file(&segment.name, &headless);
            assert!(report.is_complete() && rescued == all, "{family:?} {count}: {report:?}");
        }
    }
}

#[test]
fn large_segments_lose_a_chunk_at_a_time() {
    let sample = sample(KeyFamily::Uniform, 60_000);
    let segment = &sample.segments[0];
    let kinds = &segment.sections[KINDS];
    assert!(kinds.chunks() >= 3);
    for at in [
        kinds.chunk(1).start + 9,
        kinds.chunk(kinds.chunks() - 1).start + 70,
        segment.sections[RECORDS].chunk(216).start,
        segment.sections[RECORDS].chunk(215).start,
    ] {
        let lost = segment.lost_by(at);
        assert!(lost.len() > 10);
        let mut layers = sample.layers();
        for record in &lost {
            layers[0].remove(&segment.records[*record].token);
        }
        for is_headless in [false, true] {
            let mut bytes = flipped(&segment.bytes, at);
            if is_headless {
                bytes[..4_096].fill(7);
            }
            let (report, rescued) = sample.with_file(&segment.name, &bytes);
            assert_eq!(report.lost(), lost.len() as u64, "{at}");
            assert!(rescued == merged(&layers, &sample.frames()), "{at}");
        }
    }
}

/// Whatever the length: a chunk counts as long as it and its checksum are there.
#[test]
fn a_segment_that_is_cut_keeps_what_can_be_checked() {
    let sample = sample(KeyFamily::Uniform, 2_000);
    let frames = sample.frames();
    for (index, segment) in sample.segments.iter().enumerate() {
        let checksums = segment.sections[CHECKSUMS].bytes.clone();
        let lens = (0..segment.bytes.len()).step_by(10_007).chain(checksums.clone().step_by(31));
        for len in lens.chain([checksums.end, segment.bytes.len() - 1]) {
            let can_check = |record: &usize| {
                let chunks = record * 72 / 4_096..=(record * 72 + 71) / 4_096;
                checksums.start + 4 * (chunks.end() + 1) <= len
            };
            let kinds = &segment.sections[KINDS];
            let has_kinds = checksums.start + 4 * (kinds.first_chunk + 1) <= len;
            let undecided = if has_kinds { Vec::new() } else { segment.undecided_of(0) };
            let lost =
                (0..segment.records.len()).filter(|it| !can_check(it) || undecided.contains(it));
            let lost: Vec<_> = lost.collect();
            let mut layers = sample.layers();
            for record in &lost {
                layers[index].remove(&segment.records[*record].token);
            }
            let (report, rescued) = sample.with_file(&segment.name, &segment.bytes[..len]);
            assert!(rescued == merged(&layers, &frames), "{len} of {}: {report:?}", segment.name);
            assert_eq!(report.lost(), lost.len() as u64, "{len}: {report:?}");
        }
        let (report, rescued) =
            sample.with_file(&segment.name, &[&segment.bytes[..], &[1; 5_000]].concat());
        assert!(report.is_complete() && rescued == merged(&sample.layers(), &frames));
    }
}

#[test]
fn of_a_segment_that_is_missing_the_manifest_tells() {
    let sample = sample(KeyFamily::Uniform, 300);
    for (index, segment) in sample.segments.iter().enumerate() {
        let path = sample.path().join(&segment.name);
        fs::remove_file(&path).unwrap();
        let (report, rescued) = sample.salvage();
        fs::write(&path, &segment.bytes).unwrap();
        let mut layers = sample.layers();
        layers[index].clear();
        assert!(rescued == merged(&layers, &sample.frames()));
        let [loss] = report.losses.as_slice() else { panic!("{report:?}") };
        let [first, .., last] = segment.records.as_slice() else { panic!("no records") };
        assert_eq!(loss.keys, (Bound::Included(first.token), Bound::Included(last.token)));
        assert_eq!((loss.records, loss.is_exact), (segment.records.len() as u64, true));
        assert_eq!(loss.reason, LossReason::Missing);
    }
}

/// Checksums are right, and the tokens are not: those that fit are taken.
#[test]
fn records_out_of_order_are_lost_one_by_one() {
    let sample = sample(KeyFamily::Uniform, 500);
    let base = &sample.segments[2];
    let records = base.sections[RECORDS].bytes.start;
    for (position, other) in [(100, 90), (100, 300), (0, 5), (499, 20), (100, 100 + 56)] {
        let mut bytes = base.bytes.clone();
        let at = records + 72 * position;
        bytes[at..at + 32].copy_from_slice(&base.records[other].token.0);
        reseal_segment(&mut bytes);
        // The manifest knows the file by its header, which has another checksum now.
        let manifest = fs::read(sample.path().join("MANIFEST")).unwrap();
        let mut resealed = manifest.clone();
        let known = manifest.windows(4).position(|it| it == &base.bytes[4_092..4_096]).unwrap();
        resealed[known..known + 4].copy_from_slice(&bytes[4_092..4_096]);
        reseal_manifest(&mut resealed);
        overwrite(&sample.path().join("MANIFEST"), &resealed);
        let path = sample.path().join(&base.name);
        overwrite(&path, &bytes);
        let report = salvage(sample.path(), sample.destination(), &go_on).unwrap();
        fs::remove_dir_all(sample.destination()).unwrap();
        overwrite(&path, &base.bytes);
        overwrite(&sample.path().join("MANIFEST"), &manifest);
        let [loss] = report.losses.as_slice() else { panic!("{position}: {report:?}") };
        assert_eq!((loss.records, loss.reason), (1, LossReason::Order), "{position}");
        assert_eq!(loss.bytes, at as u64..at as u64 + 72);
    }
}
