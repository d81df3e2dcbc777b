//! Layers of several segments answer as one set of tokens does.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::reads::Reads;
use super::segments::{Pair, mapped};
use crate::error::{Error, Result};
use crate::format::PAGE_LEN;
use crate::format::layout::BLOCK_RECORDS;
use crate::segment::layer::Layer;
use crate::snapshot::Snapshot;
use crate::snapshot::view::View;
use crate::testing::keys::{KeyFamily, with_values};
use crate::testing::oracle::Oracle;
use crate::testing::random::Random;
use crate::token::{Record, TokenId};

struct Sample {
    pairs: Vec<Pair>,
    oracle: Oracle,
    /// Positions at which a segment ends and the next one begins.
    cuts: BTreeSet<usize>,
    snapshot: Snapshot,
    files: Vec<File>,
}

/// One layer of segments that are cut at these positions.
fn sample(tokens: Vec<TokenId>, cuts: impl IntoIterator<Item = usize>) -> Sample {
    let pairs: Vec<_> = with_values(tokens, 1).collect();
    let cuts: BTreeSet<usize> =
        cuts.into_iter().filter(|cut| (1..pairs.len()).contains(cut)).collect();
    let mut ends: Vec<usize> = cuts.iter().copied().collect();
    ends.push(pairs.len());
    let (mut segments, mut files, mut start) = (Vec::new(), Vec::new(), 0);
    for (segment_id, end) in (1..).zip(ends) {
        let (opened, file) = mapped(&pairs[start..end], segment_id);
        segments.push(opened);
        files.push(file);
        start = end;
    }
    assert_eq!(segments.len(), cuts.len() + 1);
    let snapshot = Snapshot::new(Arc::new(View::of_base(Arc::new(Layer::new(segments)))));
    let oracle = pairs.iter().copied().collect();
    Sample { pairs, oracle, cuts, snapshot, files }
}

impl Sample {
    fn check(&self) -> Result<()> {
        let step = self.cuts.len().div_ceil(5).max(1);
        let cuts = self.cuts.iter().step_by(step).flat_map(|&cut| [cut - 1, cut]);
        let tokens = cuts.map(|position| self.pairs[position].0);
        Reads::around(&self.snapshot, &self.oracle, tokens).check()
    }
}

/// Segments of one token each are all borders.
#[test]
fn small_layers_cut_everywhere() {
    for family in KeyFamily::ALL {
        for count in [2, 3, 10, 60] {
            let tokens = family.generate(count, 3);
            sample(tokens.clone(), 0..count).check().unwrap();
            sample(tokens.clone(), [1]).check().unwrap();
            sample(tokens, [count / 2, count - 1]).check().unwrap();
        }
    }
}

#[test]
fn all_key_families_cut_in_pieces() {
    for family in KeyFamily::ALL {
        let tokens = family.generate(3_000, 4);
        let mut random = Random::new("cuts", 0);
        let cuts: Vec<_> = (0..7).map(|_| random.below(tokens.len() as u64) as usize).collect();
        sample(tokens, cuts).check().unwrap();
    }
}

/// Walks pass from block to block and from segment to segment, both ways.
#[test]
fn borders_of_segments_and_of_blocks() {
    for family in [KeyFamily::Uniform, KeyFamily::Dense64, KeyFamily::OneSuffix] {
        let tokens = family.generate(2 * BLOCK_RECORDS + 100, 5);
        sample(tokens, [BLOCK_RECORDS - 1, BLOCK_RECORDS, BLOCK_RECORDS + 1, 2 * BLOCK_RECORDS])
            .check()
            .unwrap();
    }
}

/// What lies in sound segments is read; what does not is an error, once.
#[test]
fn damage_in_one_segment_leaves_the_others_readable() {
    // The last record of the middle one of three segments.
    let damaged = 199;
    let sample = sample(KeyFamily::Uniform.generate(300, 6), [100, 200]);
    let offset = PAGE_LEN + Record::LEN * (damaged - 100) + 32;
    sample.files[1].write_all_at(&[0xff; 8], offset as u64).unwrap();
    let Sample { pairs, snapshot, .. } = &sample;
    let is_damage = |error: &Error| matches!(error, Error::Damaged(damage) if damage.path == Path::new("segment 2"));
    for (position, (token, value)) in pairs.iter().enumerate() {
        match snapshot.get(token) {
            Ok(found) => assert!(found == Some(*value) && position != damaged, "{position}"),
            Err(error) => assert!(is_damage(&error) && (100..200).contains(&position), "{error}"),
        }
    }
    let check_prefix = |mut items: Vec<Result<Pair>>, right: Vec<Pair>| {
        assert!(items.pop().unwrap().is_err_and(|error| is_damage(&error)));
        // What lies near the damage may fail with it.
        assert!((40..200).contains(&items.len()), "{}", items.len());
        assert!(items.into_iter().map(Result::unwrap).zip(right).all(|(a, b)| a == b));
    };
    let backward: Vec<Pair> = pairs.iter().rev().copied().collect();
    check_prefix(one_by_one(&mut snapshot.range(..)), pairs.clone());
    check_prefix(one_by_one(&mut snapshot.range(..).rev()), backward.clone());
    let (mut folded, mut folded_back) = (Vec::new(), Vec::new());
    snapshot.range(..).for_each(|item| folded.push(item));
    snapshot.range(..).rev().for_each(|item| folded_back.push(item));
    check_prefix(folded, pairs.clone());
    check_prefix(folded_back, backward);
    let mut slices = snapshot.slices(..);
    assert_eq!(slices.next().unwrap().unwrap().len(), 100);
    assert!(slices.next().unwrap().is_err_and(|error| is_damage(&error)));
    assert!(slices.next().is_none() && slices.next_back().is_none());
}

/// All items, taken one at a time until there are none, and none after that.
fn one_by_one(items: &mut dyn Iterator<Item = Result<Pair>>) -> Vec<Result<Pair>> {
    let mut all = Vec::new();
    for item in &mut *items {
        all.push(item);
    }
    assert!((0..3).all(|_| items.next().is_none()));
    all
}
