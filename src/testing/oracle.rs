//! The answers, computed so plainly that one sees they are right.
//!
//! Nothing here is shared with what it is compared with: no index, no merge, no
//! [`walk_ring`](crate::walk_ring), not even the way suffixes and chunks are cut out.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};
use std::ops::RangeBounds;

use crate::challenge::{
    CHUNKS, CHUNKS_UP, Chunks, Direction, Leg, Signature, Signed, TokenBlock, Walk,
};
use crate::token::{BlockTime, PeerId, TokenId};

/// A set of tokens that answers everything a snapshot does, most of it by looking at
/// every token.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Oracle {
    /// The tokens. Put into them and remove from them at will.
    pub tokens: BTreeMap<TokenId, BlockTime>,
}

/// Of a token that comes more than once, the newest value is kept, and of equally
/// new ones the first.
impl FromIterator<(TokenId, BlockTime)> for Oracle {
    fn from_iter<I: IntoIterator<Item = (TokenId, BlockTime)>>(records: I) -> Self {
        let mut oracle = Self::default();
        for (token, value) in records {
            oracle.set(&token, value);
        }
        oracle
    }
}

impl Oracle {
    /// Writes where the token is absent or the value strictly newer; whether it wrote.
    pub fn set(&mut self, token: &TokenId, value: BlockTime) -> bool {
        let writes = match self.tokens.get(token) {
            None => true,
            Some(found) => found.time < value.time,
        };
        if writes {
            self.tokens.insert(*token, value);
        }
        writes
    }

    /// The token's value.
    pub fn get(&self, token: &TokenId) -> Option<BlockTime> {
        self.tokens.get(token).copied()
    }

    /// Whether the token is there.
    pub fn contains(&self, token: &TokenId) -> bool {
        self.get(token).is_some()
    }

    /// The number of tokens.
    pub fn len(&self) -> u64 {
        self.tokens.len() as u64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The tokens within the bounds, in order. Bounds that are the wrong way round
    /// hold nothing.
    pub fn range(
        &self,
        bounds: impl RangeBounds<TokenId>,
    ) -> impl DoubleEndedIterator<Item = (TokenId, BlockTime)> {
        let all = self.tokens.iter().map(|(token, value)| (*token, *value));
        all.filter(move |(token, _)| bounds.contains(token))
    }

    /// The tokens above `start`, ascending.
    pub fn range_after(&self, start: &TokenId) -> impl Iterator<Item = (TokenId, BlockTime)> {
        let range = self.tokens.range((Excluded(start), Unbounded));
        range.map(|(token, value)| (*token, *value))
    }

    /// The tokens below `end`, descending.
    pub fn range_before(&self, end: &TokenId) -> impl Iterator<Item = (TokenId, BlockTime)> {
        let range = self.tokens.range((Unbounded, Excluded(end)));
        range.rev().map(|(token, value)| (*token, *value))
    }

    /// The number of tokens below this one.
    pub fn rank(&self, token: &TokenId) -> u64 {
        self.range(..token).count() as u64
    }

    /// The token that has `index` others below it.
    pub fn select(&self, index: u64) -> Option<(TokenId, BlockTime)> {
        self.range(..).nth(usize::try_from(index).ok()?)
    }

    /// The number of tokens within the bounds.
    pub fn count(&self, bounds: impl RangeBounds<TokenId>) -> u64 {
        self.range(bounds).count() as u64
    }

    /// The walk from `origin`, which need not be there and is never examined.
    pub fn walk(&self, origin: &TokenId, legs: &[Leg<'_>]) -> Walk<(TokenId, BlockTime)> {
        let (mut matches, mut steps, mut wrapped) = (Vec::new(), 0, false);
        let mut due = VecDeque::<u16>::new();
        for leg in legs {
            due.extend(leg.suffixes);
            let above = self.tokens.range((Excluded(origin), Unbounded));
            let below = self.tokens.range((Unbounded, Excluded(origin)));
            let ring: Box<dyn Iterator<Item = _>> = match leg.direction {
                Direction::Up => Box::new(above.chain(below)),
                Direction::Down => Box::new(below.rev().chain(above.rev())),
            };
            for (token, value) in ring {
                let Some(suffix) = due.front() else { break };
                steps += 1;
                wrapped |= match leg.direction {
                    Direction::Up => token < origin,
                    Direction::Down => token > origin,
                };
                if u16::from_be_bytes([token.0[30], token.0[31]]) % 1024 == *suffix {
                    matches.push((*token, *value));
                    due.pop_front();
                }
            }
        }
        Walk { matches, steps, wrapped, complete: due.is_empty() }
    }

    /// The walk for a signature: five chunks up, five down.
    pub fn search_signature(
        &self,
        origin: &TokenId,
        chunks: &Chunks,
    ) -> Walk<(TokenId, BlockTime)> {
        let legs = [
            Leg { direction: Direction::Up, suffixes: &chunks[..CHUNKS_UP] },
            Leg { direction: Direction::Down, suffixes: &chunks[CHUNKS_UP..] },
        ];
        self.walk(origin, &legs)
    }

    /// The signature, which exists only where the token does and all ten matched.
    ///
    /// # Panics
    ///
    /// Never: a complete walk has ten matches.
    pub fn sign(&self, token: &TokenId, peer: &PeerId) -> Option<Signed> {
        let origin = TokenBlock { token: *token, block: self.get(token)?.block };
        let chunks = chunks(peer, &origin);
        let walk = self.search_signature(token, &chunks);
        if !walk.complete {
            return None;
        }
        assert_eq!(walk.matches.len(), CHUNKS);
        let matches = std::array::from_fn(|i| {
            let (token, value) = walk.matches[i];
            TokenBlock { token, block: value.block }
        });
        Some(Signed {
            signature: Signature { origin, matches },
            chunks,
            steps: walk.steps,
            wrapped: walk.wrapped,
        })
    }
}

/// The digest's bits, lowest of each byte first, ten to a chunk, lowest first.
fn chunks(peer: &PeerId, origin: &TokenBlock) -> Chunks {
    let mut message = Vec::new();
    message.extend(peer.0);
    message.extend(origin.token.0);
    message.extend(origin.block.0);
    let digest = blake3::hash(&message);
    let mut chunks = [0; CHUNKS];
    for bit in 0..10 * CHUNKS {
        if digest.as_bytes()[bit / 8] & (1 << (bit % 8)) != 0 {
            chunks[bit / 10] |= 1 << (bit % 10);
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    use std::ops::Bound::{self, Included};

    use super::*;
    use crate::token::BlockId;

    fn record(id: u64) -> (TokenId, BlockTime) {
        (id.into(), BlockTime::new(BlockId::from(id + 1), id + 2))
    }

    /// Suffixes 0, 5, 5, 9, 0 around the ring.
    const IDS: [u64; 5] = [1_024, 1_029, 2_053, 3_081, 4_096];

    fn oracle() -> Oracle {
        IDS.map(record).into_iter().collect()
    }

    #[test]
    fn ranges_ranks_and_counts() {
        let oracle = oracle();
        let ids = |bounds: (Bound<u64>, Bound<u64>)| {
            let bounds = (bounds.0.map(TokenId::from), bounds.1.map(TokenId::from));
            let range: Vec<_> = oracle.range(bounds).collect();
            let mut back: Vec<_> = oracle.range(bounds).rev().collect();
            back.reverse();
            assert_eq!(range, back);
            assert_eq!(oracle.count(bounds), range.len() as u64);
            range
        };
        assert_eq!(ids((Unbounded, Unbounded)), IDS.map(record));
        assert_eq!(ids((Included(1_029), Included(3_081))), IDS.map(record)[1..4]);
        assert_eq!(ids((Excluded(1_029), Excluded(3_081))), IDS.map(record)[2..3]);
        assert_eq!(ids((Included(1_030), Unbounded)), IDS.map(record)[2..]);
        assert_eq!(ids((Excluded(1_029), Excluded(1_029))), []);
        assert_eq!(ids((Included(4_000), Included(1_000))), []);
        assert!(oracle.range_after(&1_029.into()).eq(IDS.map(record)[2..].iter().copied()));
        assert!(oracle.range_before(&2_053.into()).eq([IDS[1], IDS[0]].map(record)));
        assert_eq!(
            [0, 1_024, 1_025, 4_096, 5_000].map(|id| oracle.rank(&id.into())),
            [0, 0, 1, 4, 5]
        );
        assert_eq!(
            [0, 2, 4, 5, u64::MAX].map(|i| oracle.select(i)),
            [Some(record(IDS[0])), Some(record(IDS[2])), Some(record(IDS[4])), None, None,]
        );
    }

    /// Ids met, steps, wrapped, complete.
    fn walked(origin: u64, legs: &[Leg<'_>]) -> (Vec<u64>, u64, bool, bool) {
        let walk = oracle().walk(&origin.into(), legs);
        let met = walk.matches.iter().map(|(_, value)| value.time - 2).collect();
        (met, walk.steps, walk.wrapped, walk.complete)
    }

    #[test]
    fn walks_counted_by_hand() {
        // 1029 is a match, 2053 and 3081 are passed, 4096 is one, then 1024 beyond the end.
        let walk = walked(1_024, &[Leg::up(&[5, 0])]);
        assert_eq!(walk, (vec![1_029, 4_096], 4, false, true));
        // From a token that is not there; the last match lies beyond the end.
        let walk = walked(2_000, &[Leg::up(&[9, 5])]);
        assert_eq!(walk, (vec![3_081, 1_029], 5, true, true));
        let walk = walked(2_000, &[Leg::down(&[0, 0])]);
        assert_eq!(walk, (vec![1_024, 4_096], 3, true, true));
        // The origin is never met, though its suffix is sought.
        let walk = walked(3_081, &[Leg::up(&[9])]);
        assert_eq!(walk, (vec![], 4, true, false));
        // What the first leg did not meet, the second seeks before its own.
        let walk = walked(3_081, &[Leg::up(&[0, 9]), Leg::down(&[5])]);
        assert_eq!(walk, (vec![4_096], 8, true, false));
        let walk = walked(1_024, &[Leg::up(&[9, 5]), Leg::down(&[5])]);
        assert_eq!(walk, (vec![3_081, 2_053, 1_029], 4 + 4, true, true));
        // Two matches fill the first two legs: the second examines nothing.
        let walk = walked(1_024, &[Leg::up(&[5, 9]), Leg::down(&[]), Leg::up(&[5])]);
        assert_eq!(walk, (vec![1_029, 3_081, 1_029], 3 + 1, false, true));
    }

    #[test]
    fn a_token_may_be_met_once_in_each_direction() {
        let walk = walked(2_000, &[Leg::up(&[9]), Leg::down(&[5, 9])]);
        assert_eq!(walk, (vec![3_081, 1_029, 3_081], 2 + 4, true, true));
    }

    #[test]
    fn walks_that_pass_nothing() {
        assert_eq!(walked(1_029, &[]), (vec![], 0, false, true));
        assert_eq!(walked(1_029, &[Leg::up(&[])]), (vec![], 0, false, true));
        let walk = Oracle::default().search_signature(&TokenId::MIN, &[0; CHUNKS]);
        assert_eq!((walk.steps, walk.wrapped, walk.complete), (0, false, false));
    }

    #[test]
    fn chunks_follow_the_vector() {
        let origin = TokenBlock { token: TokenId([2; 32]), block: BlockId([3; 32]) };
        let chunks = chunks(&PeerId([1; 32]), &origin);
        assert_eq!(chunks, [566, 853, 43, 214, 877, 205, 913, 625, 192, 75]);
    }

    #[test]
    fn a_signature_exists_only_where_the_token_does_and_all_matched() {
        let peer = PeerId([1; 32]);
        assert_eq!(oracle().sign(&1_024.into(), &peer), None);
        let full: Oracle = (0..2_048).map(record).collect();
        assert_eq!(full.sign(&2_048.into(), &peer), None);
        let signed = full.sign(&7.into(), &peer).unwrap();
        assert_eq!(signed.signature.origin.block, BlockId::from(8));
        assert_eq!(signed.signature.matches.map(|met| met.token.suffix()), signed.chunks);
        assert_eq!(signed.signature.check(&peer), Ok(()));
    }
}
