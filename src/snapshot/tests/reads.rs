//! Comparing every read with the oracle.

use std::ops::Bound;

use super::segments::Pair;
use crate::challenge::{Leg, chunks};
use crate::error::Result;
use crate::snapshot::Snapshot;
use crate::testing::oracle::Oracle;
use crate::testing::random::Random;
use crate::token::{BlockTime, PeerId, Record, TokenId};

/// A snapshot, and what it should hold.
pub(super) struct Reads<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) oracle: &'a Oracle,
    pairs: Vec<Pair>,
    /// Tokens to look around at; there or not.
    places: Vec<TokenId>,
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

impl<'a> Reads<'a> {
    /// Looks at the ends of the ring and of the set, at these tokens, at some others, and
    /// at the neighbours of all of them, most of which are absent.
    pub(super) fn around(
        snapshot: &'a Snapshot,
        oracle: &'a Oracle,
        tokens: impl IntoIterator<Item = TokenId>,
    ) -> Self {
        let pairs: Vec<_> = oracle.range(..).collect();
        let mut random = Random::new("places", oracle.len());
        let mut places = vec![TokenId::MIN, TokenId::MAX, random.token()];
        let mut tokens: Vec<_> = tokens.into_iter().collect();
        tokens.extend(pairs.first().into_iter().chain(pairs.last()).map(|pair| pair.0));
        if !pairs.is_empty() {
            tokens.extend((0..4).map(|_| random.pick(&pairs).0));
        }
        for token in tokens {
            places.extend([neighbour(&token, false), token, neighbour(&token, true)]);
        }
        places.sort_unstable();
        places.dedup();
        Self { snapshot, oracle, pairs, places }
    }

    pub(super) fn check(&self) -> Result<()> {
        let Self { snapshot, oracle, pairs, places } = self;
        assert_eq!(snapshot.len(), oracle.len());
        assert_eq!(snapshot.is_empty(), oracle.is_empty());
        for (rank, (token, value)) in (0..).zip(pairs) {
            assert_eq!(snapshot.get(token)?, Some(*value));
            assert_eq!(snapshot.rank(token)?, rank);
            assert_eq!(snapshot.select(rank)?, Some((*token, *value)));
        }
        for rank in [oracle.len(), oracle.len() + 1, u64::MAX] {
            assert_eq!(snapshot.select(rank)?, None);
        }
        for token in places {
            assert_eq!(snapshot.get(token)?, oracle.get(token), "{token}");
            assert_eq!(snapshot.contains(token)?, oracle.contains(token), "{token}");
            assert_eq!(snapshot.rank(token)?, oracle.rank(token), "{token}");
            self.check_walks(token)?;
        }
        self.check_bounds((Bound::Unbounded, Bound::Unbounded))?;
        let mut random = Random::new("bounds", oracle.len());
        for _ in 0..20 {
            let mut end = || {
                let token = *random.pick(places);
                [Bound::Included(token), Bound::Excluded(token), Bound::Unbounded]
                    [random.below(5).min(2) as usize]
            };
            self.check_bounds((end(), end()))?;
        }
        self.check_batches(&mut random)
    }

    /// Batches answer as one call after the other does, in buffers that were used before.
    fn check_batches(&self, random: &mut Random) -> Result<()> {
        let Self { snapshot, oracle, places, .. } = self;
        let (mut values, mut walks) = (vec![Some(BlockTime::default()); 3], Vec::new());
        let mut signatures = Vec::new();
        for len in [0, 1, 15, 16, 17, places.len(), 3 * places.len()] {
            let tokens: Vec<_> = (0..len).map(|_| *random.pick(places)).collect();
            snapshot.get_many(&tokens, &mut values)?;
            assert!(values.iter().copied().eq(tokens.iter().map(|token| oracle.get(token))));

            let challenges: Vec<_> =
                tokens.iter().map(|token| (*token, PeerId(random.bytes()))).collect();
            snapshot.sign_many(&challenges, &mut signatures)?;
            let expected = challenges.iter().map(|(token, peer)| oracle.sign(token, peer));
            assert!(signatures.iter().copied().eq(expected));

            let suffixes: Vec<_> = (0..9).map(|_| random.pick(places).suffix()).collect();
            let all_legs = [
                vec![],
                vec![Leg::up(&suffixes[..4]), Leg::down(&suffixes[2..])],
                vec![Leg::down(&suffixes), Leg::up(&[u16::MAX])],
                vec![Leg::up(&suffixes[7..]), Leg::down(&suffixes[..1]), Leg::up(&suffixes[2..5])],
            ];
            let origins: Vec<_> =
                tokens.iter().map(|token| (*token, &random.pick(&all_legs)[..])).collect();
            snapshot.walk_many(&origins, &mut walks)?;
            assert_eq!(walks.len(), len);
            for ((origin, legs), walk) in origins.iter().zip(&walks) {
                assert_eq!(*walk, oracle.walk(origin, legs), "{origin}");
            }
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
        assert_eq!(range().count(), expected.len(), "{bounds:?}");
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
        self.check_slices(bounds, &expected)
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
        // Beyond what there is, and after that.
        let mut range = self.snapshot.range(bounds);
        let skip = expected.len() - fold_at;
        assert_eq!(range.nth_back(skip).transpose()?, expected[..fold_at].last().copied());
        let left = fold_at.saturating_sub(1);
        assert_eq!(range.len(), left, "{bounds:?}");
        assert!(range.nth(left).is_none() && range.nth(0).is_none() && range.next_back().is_none());
        assert_eq!(range.len(), 0, "{bounds:?}");
        Ok(())
    }

    fn check_slices(
        &self,
        bounds: (Bound<TokenId>, Bound<TokenId>),
        expected: &[Pair],
    ) -> Result<()> {
        let mut random = Random::new("slices", expected.len() as u64);
        for backward_of_four in [0, 4, 1, 3] {
            let (mut front, mut back) = (Vec::new(), Vec::new());
            let mut slices = self.snapshot.slices(bounds);
            loop {
                let (slice, taken) = if random.below(4) < backward_of_four {
                    (slices.next_back(), &mut back)
                } else {
                    (slices.next(), &mut front)
                };
                let Some(slice) = slice.transpose()? else { break };
                assert!(!slice.is_empty(), "{bounds:?}");
                taken.push(slice);
            }
            assert!(slices.next().is_none() && slices.next_back().is_none(), "{bounds:?}");
            back.reverse();
            front.extend(back);
            assert_eq!(pairs_of(&front), expected, "{bounds:?}");
        }
        Ok(())
    }

    fn check_walks(&self, origin: &TokenId) -> Result<()> {
        let Self { snapshot, oracle, places, .. } = self;
        let mut random = Random::new("suffixes", u64::from(origin.suffix()));
        // Of tokens that are there, and of some that are not, or no more.
        let suffixes: Vec<u16> = (0..10)
            .map(|_| match random.below(4) {
                0 => random.pick(places).suffix(),
                _ if self.pairs.is_empty() => 7,
                _ => random.pick(&self.pairs).0.suffix(),
            })
            .collect();
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
        let chunks = chunks(&peer, origin, &oracle.get(origin).unwrap_or_default().block);
        let walk = snapshot.search_signature(origin, &chunks)?;
        assert_eq!(walk, oracle.search_signature(origin, &chunks), "{origin}");
        Ok(())
    }
}

fn pairs_of(slices: &[&[Record]]) -> Vec<Pair> {
    slices.concat().into_iter().map(Pair::from).collect()
}
