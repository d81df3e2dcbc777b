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
        let mut due = VecDeque::new();
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
