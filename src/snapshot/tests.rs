//! Layers of several segments answer as one set of tokens does.

use std::collections::BTreeSet;
use std::fs::File;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Snapshot;
use super::view::View;
use crate::challenge::Leg;
use crate::error::{Error, Result};
use crate::format::PAGE_LEN;
use crate::format::kinds::Kind;
use crate::format::layout::BLOCK_RECORDS;
use crate::io::map::Bytes;
use crate::options::Verification;
use crate::segment::builder::{SegmentBuilder, SegmentIds, SegmentPlan};
use crate::segment::layer::Layer;
use crate::segment::reader::Segment;
use crate::testing::keys::{KeyFamily, with_values};
use crate::testing::oracle::Oracle;
use crate::testing::random::Random;
use crate::token::{BlockTime, PeerId, Record, TokenId};

type Pair = (TokenId, BlockTime);

/// A segment in a file that has no name, and the file.
fn segment(pairs: &[Pair], segment_id: u64) -> (Segment<Bytes>, File) {
    let file = tempfile::tempfile().unwrap();
    let plan = SegmentPlan {
        ids: SegmentIds { store_id: [1; 16], segment_id },
        records_max: pairs.len() as u64,
        bounds: (pairs[0].0, pairs[pairs.len() - 1].0),
    };
    let clone = Box::new(file.try_clone().unwrap());
    let mut builder = SegmentBuilder::new(clone, PathBuf::from("built"), plan).unwrap();
    for pair in pairs {
        builder.push(&Record::from(*pair), Kind::Fresh).unwrap();
    }
    builder.finish(&mut |_| Ok(())).unwrap().unwrap();
    let path = format!("segment {segment_id}");
    let bytes = Bytes::map(&file).unwrap();
    let opened = Segment::open(bytes, Path::new(&path), Verification::FirstTouch);
    (opened.unwrap(), file)
}

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
        let (opened, file) = segment(&pairs[start..end], segment_id);
        segments.push(opened);
        files.push(file);
        start = end;
    }
    assert_eq!(segments.len(), cuts.len() + 1);
    let snapshot = Snapshot::new(Arc::new(View::of_base(Arc::new(Layer::new(segments)))));
    let oracle = pairs.iter().copied().collect();
    Sample { pairs, oracle, cuts, snapshot, files }
}

/// The token before or after this one on the ring.
fn neighbour(token: &TokenId, up: bool) -> TokenId {
    let mut bytes = token.0;
    for byte in bytes.iter_mut().rev() {
        let carries;
        (*byte, carries) = if up { byte.overflowing_add(1) } else { byte.overflowing_sub(1) };
        if !carries {
            break;
        }
    }
    TokenId(bytes)
}

impl Sample {
    /// The ends of the ring and the layer, the tokens around some of the cuts, some
    /// others, and the neighbours of all these, most of them absent.
    fn places(&self) -> Vec<TokenId> {
        let last = self.pairs.len() - 1;
        let mut random = Random::new("places", self.pairs.len() as u64);
        let step = self.cuts.len().div_ceil(5).max(1);
        let mut positions: Vec<usize> =
            self.cuts.iter().step_by(step).flat_map(|&cut| [cut - 1, cut]).collect();
        positions.extend([0, last]);
        positions.extend((0..4).map(|_| random.below(self.pairs.len() as u64) as usize));
        let mut places = vec![TokenId::MIN, TokenId::MAX, random.token()];
        for position in positions {
            let token = self.pairs[position].0;
            places.extend([neighbour(&token, false), token, neighbour(&token, true)]);
        }
        places.sort_unstable();
        places.dedup();
        places
    }

    fn check(&self) -> Result<()> {
        let Self { pairs, oracle, snapshot, .. } = self;
        assert_eq!(snapshot.len(), oracle.len());
        for (rank, (token, value)) in (0..).zip(pairs) {
            assert_eq!(snapshot.get(token)?, Some(*value));
            assert_eq!(snapshot.rank(token)?, rank);
            assert_eq!(snapshot.select(rank)?, Some((*token, *value)));
        }
        for rank in [oracle.len(), oracle.len() + 1, u64::MAX] {
            assert_eq!(snapshot.select(rank)?, None);
        }
        let places = self.places();
        for token in &places {
            assert_eq!(snapshot.get(token)?, oracle.get(token), "{token}");
            assert_eq!(snapshot.contains(token)?, oracle.contains(token), "{token}");
            assert_eq!(snapshot.rank(token)?, oracle.rank(token), "{token}");
            self.check_walks(token)?;
        }
        self.check_bounds((Bound::Unbounded, Bound::Unbounded))?;
        let mut random = Random::new("bounds", oracle.len());
        for _ in 0..20 {
            let mut end = || {
                let token = *random.pick(&places);
                [Bound::Included(token), Bound::Excluded(token), Bound::Unbounded]
                    [random.below(5).min(2) as usize]
            };
            self.check_bounds((end(), end()))?;
        }
        Ok(())
    }

    /// Every way to pass over the tokens within bounds.
    fn check_bounds(&self, bounds: (Bound<TokenId>, Bound<TokenId>)) -> Result<()> {
        let expected: Vec<_> = self.oracle.range(bounds).collect();
        let backward: Vec<_> = expected.iter().rev().copied().collect();
        let range = || self.snapshot.range(bounds);
        assert_eq!(self.snapshot.count(bounds)?, expected.len() as u64, "{bounds:?}");
        assert_eq!(range().len(), expected.len(), "{bounds:?}");
        // `collect` into a result takes one by one, `for_each` folds.
        assert_eq!(range().collect::<Result<Vec<_>>>()?, expected, "{bounds:?}");
        assert_eq!(range().rev().collect::<Result<Vec<_>>>()?, backward, "{bounds:?}");
        let mut folded = Vec::new();
        range().for_each(|item| folded.push(item.unwrap()));
        assert_eq!(folded, expected, "{bounds:?}");
        folded.clear();
        range().rev().for_each(|item| folded.push(item.unwrap()));
        assert_eq!(folded, backward, "{bounds:?}");
        self.check_from_both_ends(bounds, &expected)?;
        let slices: Vec<&[Record]> = self.snapshot.slices(bounds).collect::<Result<_>>()?;
        assert!(slices.iter().all(|slice| !slice.is_empty()), "{bounds:?}");
        assert_eq!(pairs_of(&slices), expected, "{bounds:?}");
        let mut slices: Vec<&[Record]> =
            self.snapshot.slices(bounds).rev().collect::<Result<_>>()?;
        assert!(slices.iter().all(|slice| !slice.is_empty()), "{bounds:?}");
        slices.reverse();
        assert_eq!(pairs_of(&slices), expected, "{bounds:?}");
        Ok(())
    }

    /// Takes and skips at both ends in turns until nothing is left, and folds the rest
    /// on the way there.
    fn check_from_both_ends(
        &self,
        bounds: (Bound<TokenId>, Bound<TokenId>),
        expected: &[Pair],
    ) -> Result<()> {
        let mut random = Random::new("turns", expected.len() as u64);
        let fold_at = random.below(expected.len() as u64 + 1) as usize;
        for backward in [false, true] {
            let mut range = self.snapshot.range(bounds);
            let mut rest = expected.iter().copied();
            while rest.len() > fold_at {
                let skip = random.below(rest.len() as u64 / 4 + 2) as usize;
                let (found, right) = match random.below(4) {
                    0 => (range.next(), rest.next()),
                    1 => (range.next_back(), rest.next_back()),
                    2 => (range.nth(skip), rest.nth(skip)),
                    _ => (range.nth_back(skip), rest.nth_back(skip)),
                };
                assert_eq!(found.transpose()?, right, "{bounds:?}");
                assert_eq!(range.len(), rest.len(), "{bounds:?}");
            }
            let (mut folded, mut right) = (Vec::new(), Vec::new());
            if backward {
                range.rev().for_each(|item| folded.push(item.unwrap()));
                rest.rev().for_each(|item| right.push(item));
            } else {
                range.for_each(|item| folded.push(item.unwrap()));
                rest.for_each(|item| right.push(item));
            }
            assert_eq!(folded, right, "{bounds:?}");
        }
        Ok(())
    }

    fn check_walks(&self, origin: &TokenId) -> Result<()> {
        let Self { pairs, oracle, snapshot, .. } = self;
        let mut random = Random::new("suffixes", u64::from(origin.suffix()));
        let suffixes: Vec<u16> = (0..10).map(|_| random.pick(pairs).0.suffix()).collect();
        let never = [suffixes[0], u16::MAX, suffixes[1]];
        for legs in [
            vec![Leg::up(&suffixes[..5]), Leg::down(&suffixes[5..])],
            vec![Leg::down(&suffixes)],
            vec![Leg::up(&never), Leg::down(&suffixes[..2])],
            vec![Leg::up(&suffixes[..1]), Leg::down(&suffixes[1..3]), Leg::up(&suffixes[3..])],
        ] {
            assert_eq!(snapshot.walk(origin, &legs)?, oracle.walk(origin, &legs), "{origin}");
        }
        let peer = PeerId([3; 32]);
        let signed = snapshot.sign(origin, &peer)?;
        assert_eq!(signed, oracle.sign(origin, &peer), "{origin}");
        if let Some(signed) = signed {
            assert_eq!(snapshot.check(&signed.signature, &peer)?, Ok(()));
        }
        Ok(())
    }
}

fn pairs_of(slices: &[&[Record]]) -> Vec<Pair> {
    slices.concat().into_iter().map(Pair::from).collect()
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
