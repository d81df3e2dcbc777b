//! Files of other stores, and files that have each other's names: what a file says of itself
//! counts.

use std::fs;

use ringstore::testing::keys::KeyFamily;
use ringstore::{BlockTime, LossReason, TokenId};

use crate::sample::{merged, overwrite, sample};
use crate::stores::{Place, all, tokens};

/// The store that most of the entries are of is rescued.
#[test]
fn without_a_manifest_files_of_other_stores_are_left_out() {
    let place = Place::new();
    let ours = tokens(2_000, 1);
    place.store_of(&[&ours]).close().unwrap();
    fs::remove_file(place.manifest()).unwrap();
    let theirs = sample(KeyFamily::Uniform, 300);
    let (segment, log) = (&theirs.segments[2].name, &theirs.log.0);
    for (name, new) in [(segment, "00000000000000aa.seg"), (log, "00000000000000ab.log")] {
        fs::copy(theirs.path().join(name), place.path().join(new)).unwrap();
    }
    let (report, rescued) = place.salvage();
    assert!(rescued == ours, "{report:?}");
    let losses: Vec<_> =
        report.losses.iter().map(|loss| (loss.file.as_str(), loss.records, loss.reason)).collect();
    let entries = theirs.frames().iter().map(|frame| frame.len() as u64).sum();
    let expected = [
        ("00000000000000aa.seg", 300, LossReason::Foreign),
        ("00000000000000ab.log", entries, LossReason::Foreign),
    ];
    assert_eq!(losses, expected);
}

/// A log may have more than the segments of others.
#[test]
fn without_a_manifest_entries_of_logs_count_as_well() {
    let ours = sample(KeyFamily::Uniform, 300);
    fs::remove_file(ours.path().join("MANIFEST")).unwrap();
    for segment in &ours.segments {
        fs::remove_file(ours.path().join(&segment.name)).unwrap();
    }
    let place = Place::new();
    place.store_of(&[&tokens(50, 1)]).close().unwrap();
    fs::copy(&place.segments()[0], ours.path().join("00000000000000aa.seg")).unwrap();
    let (report, rescued) = ours.salvage();
    assert!(rescued == merged(&[], &ours.frames()), "{report:?}");
}

#[test]
fn segments_that_changed_names_are_rescued() {
    let place = Place::new();
    place.store_of(&[&tokens(500, 1), &tokens(500, 2)]).close().unwrap();
    let expected = all(&place.path());
    let [one, other] = &place.segments()[..] else { panic!("{:?}", place.segments()) };
    let aside = place.path().join("aside");
    fs::rename(one, &aside).unwrap();
    fs::rename(other, one).unwrap();
    fs::rename(&aside, other).unwrap();
    let (report, rescued) = place.salvage();
    assert!(rescued == expected && report.is_complete(), "{report:?}");
    // Under a name that nothing has.
    fs::rename(one, place.path().join("00000000000000aa.seg")).unwrap();
    let (report, rescued) = place.salvage();
    assert!(rescued == expected && report.is_complete(), "{report:?}");
    // In the order of the numbers that they say they have.
    fs::remove_file(place.manifest()).unwrap();
    assert!(place.salvage().1 == expected);
}

#[test]
fn a_log_that_has_another_name_is_rescued() {
    let sample = sample(KeyFamily::Uniform, 300);
    let path = sample.path().join(&sample.log.0);
    fs::rename(path, sample.path().join("00000000000000aa.log")).unwrap();
    let (report, rescued) = sample.salvage();
    assert!(report.is_complete(), "{report:?}");
    assert!(rescued == merged(&sample.layers(), &sample.frames()));
}

/// Without a header its end says whose a segment is; that is where the file was to end.
#[test]
fn a_segment_of_another_store_is_none_though_its_header_and_length_are_wrong() {
    let [ours, theirs] = [1, 2].map(|seed| {
        let place = Place::new();
        let mut tokens = tokens(500, seed);
        // So that none of them lies outside of what the manifest says.
        for token in [TokenId::MIN, TokenId::MAX] {
            tokens.insert(token, BlockTime::new(1.into(), 1));
        }
        place.store_of(&[&tokens, &self::tokens(300, 3)]).close().unwrap();
        place
    });
    let mut foreign = fs::read(&theirs.segments()[0]).unwrap();
    foreign[..4_096].fill(0);
    foreign.push(0);
    overwrite(&ours.segments()[0], &foreign);
    let (report, rescued) = ours.salvage();
    assert!(rescued == tokens(300, 3), "{report:?}");
    let reasons: Vec<_> = report.losses.iter().map(|loss| loss.reason).collect();
    assert_eq!(reasons, [LossReason::Foreign]);
}

/// What checks out of it is taken, and nobody says that all is well.
#[test]
fn that_nothing_says_whose_a_segment_is_is_reported() {
    let sample = sample(KeyFamily::Uniform, 300);
    let segment = &sample.segments[1];
    let mut bytes = segment.bytes.clone();
    bytes[..4_096].fill(0);
    let end = bytes.len() - 64;
    bytes[end..].fill(0);
    let (report, rescued) = sample.with_file(&segment.name, &bytes);
    assert!(rescued == merged(&sample.layers(), &sample.frames()));
    let [loss] = report.losses.as_slice() else { panic!("{report:?}") };
    assert_eq!((&loss.file, loss.records), (&segment.name, 0));
    assert_eq!((loss.reason, report.is_complete()), (LossReason::Unidentified, false));
}
