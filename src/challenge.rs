//! Challenges and the signatures that answer them.
//!
//! A peer challenges a node to prove that it stores the tokens around one token T.
//! The Blake3 digest of peer ‖ T ‖ block of T gives ten numbers of ten bits, the
//! *chunks*. The node walks up the ring from T until it met five tokens, in order,
//! whose [suffixes](TokenId::suffix) equal chunks 0 to 4, then down from T for
//! chunks 5 to 9. A match comes every 1,024 tokens on average, so the answer can
//! be given at once only by who holds the ten thousand tokens around T.

use std::convert::Infallible;

use crate::error::InvalidSignature;
use crate::token::{BlockId, PeerId, SUFFIXES, TokenId};

/// Number of chunks in a challenge, and of matches in a signature.
pub const CHUNKS: usize = 10;

/// Number of chunks that are matched walking up; the others are matched walking down.
pub const CHUNKS_UP: usize = 5;

/// The ten suffixes that a signature has to meet, each below [`SUFFIXES`].
pub type Chunks = [u16; CHUNKS];

/// The chunks of the challenge that `peer` poses for `token`, mapped to `block`.
///
/// ```
/// use ringstore::{chunks, BlockId, PeerId, TokenId};
/// let chunks = chunks(&PeerId([1; 32]), &TokenId([2; 32]), &BlockId([3; 32]));
/// assert_eq!(chunks, [566, 853, 43, 214, 877, 205, 913, 625, 192, 75]);
/// ```
pub fn chunks(peer: &PeerId, token: &TokenId, block: &BlockId) -> Chunks {
    let mut message = [0; 96];
    message[..32].copy_from_slice(&peer.0);
    message[32..64].copy_from_slice(&token.0);
    message[64..].copy_from_slice(&block.0);
    let digest = blake3::hash(&message);
    let digest = digest.as_bytes();
    std::array::from_fn(|i| {
        let bit = 10 * i;
        let pair = u16::from_le_bytes([digest[bit / 8], digest[bit / 8 + 1]]);
        (pair >> (bit % 8)) & (SUFFIXES as u16 - 1)
    })
}

/// A direction around the ring.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Direction {
    /// Towards larger tokens, from the last on to the first.
    Up,
    /// Towards smaller tokens, from the first on to the last.
    Down,
}

/// One leg of a walk: a direction and the suffixes to meet in it, in order.
///
/// Every leg starts anew at the walk's token and ends with its last suffix met, or
/// after once around the ring. Suffixes that were not met by then are sought by the
/// next leg, before its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leg<'a> {
    /// Where to walk.
    pub direction: Direction,
    /// What to meet. A number of [`SUFFIXES`] or more is never met.
    pub suffixes: &'a [u16],
}

impl<'a> Leg<'a> {
    /// A leg towards larger tokens.
    pub const fn up(suffixes: &'a [u16]) -> Self {
        Self { direction: Direction::Up, suffixes }
    }

    /// A leg towards smaller tokens.
    pub const fn down(suffixes: &'a [u16]) -> Self {
        Self { direction: Direction::Down, suffixes }
    }

    /// The two legs of a signature.
    pub fn of_signature(chunks: &'a Chunks) -> [Self; 2] {
        let (up, down) = chunks.split_at(CHUNKS_UP);
        [Self::up(up), Self::down(down)]
    }
}

/// What a walk met.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Walk<M> {
    /// The matches in the order of the suffixes; all of them if [`complete`](Self::complete).
    pub matches: Vec<M>,
    /// Number of tokens examined, matches included.
    pub steps: u64,
    /// Whether a token beyond an end of the ring was examined.
    pub wrapped: bool,
    /// Whether every suffix was met.
    pub complete: bool,
}

/// A walk that was not made.
impl<M> Default for Walk<M> {
    fn default() -> Self {
        Self { matches: Vec::new(), steps: 0, wrapped: false, complete: false }
    }
}

/// A token on the way around the ring, as [`walk_ring`] examines it.
pub struct Passed<M> {
    /// Its suffix.
    pub suffix: u16,
    /// What to keep of it if it matches.
    pub item: M,
    /// Whether it lies beyond an end of the ring, seen from where the walk started.
    pub beyond_end: bool,
}

/// The walk as it is defined: every token of the ring is looked at, one by one.
///
/// `ring` gives the way around the ring in a direction, from the walk's token up to,
/// never including, itself. This is what the provided methods of backends do, and
/// what makes a signature checkable without a store.
///
/// Takes time proportional to the tokens passed, about 1,024 a suffix on random
/// tokens.
///
/// ```
/// use std::convert::Infallible;
/// use ringstore::{Direction, Leg, Passed, walk_ring};
/// // A ring of three tokens, walked from the one with suffix 5.
/// let walk = walk_ring::<_, Infallible, _>(&[Leg::up(&[9, 2])], |direction| {
///     let mut others = vec![("nine", 9, false), ("two", 2, true)];
///     if direction == Direction::Down {
///         others.reverse();
///     }
///     Ok(others.into_iter().map(|(item, suffix, beyond_end)| {
///         Ok(Passed { suffix, item, beyond_end })
///     }))
/// })?;
/// assert_eq!((walk.matches, walk.steps), (vec!["nine", "two"], 2));
/// assert!(walk.complete && walk.wrapped);
/// # Ok::<(), Infallible>(())
/// ```
///
/// # Errors
///
/// The first error that `ring` or what it gives yields.
pub fn walk_ring<M, E, I>(
    legs: &[Leg<'_>],
    mut ring: impl FnMut(Direction) -> Result<I, E>,
) -> Result<Walk<M>, E>
where
    I: Iterator<Item = Result<Passed<M>, E>>,
{
    let mut walk = Walk::default();
    let mut sought = legs.iter().flat_map(|leg| leg.suffixes).copied();
    let mut next = sought.next();
    let mut leg_end = 0;
    for leg in legs {
        leg_end += leg.suffixes.len();
        if walk.matches.len() == leg_end {
            continue;
        }
        for passed in ring(leg.direction)? {
            let passed = passed?;
            walk.steps += 1;
            walk.wrapped |= passed.beyond_end;
            if Some(passed.suffix) == next {
                walk.matches.push(passed.item);
                next = sought.next();
                if walk.matches.len() == leg_end {
                    break;
                }
            }
        }
    }
    walk.complete = next.is_none();
    Ok(walk)
}

/// A token with its block, as a signature carries it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TokenBlock {
    /// The token.
    pub token: TokenId,
    /// The block it maps to.
    pub block: BlockId,
}

/// The answer to a challenge: the token with its block, and the ten tokens met.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Signature {
    /// The token that the challenge was about.
    pub origin: TokenBlock,
    /// The tokens met, in the order of the chunks.
    pub matches: [TokenBlock; CHUNKS],
}

/// A signature with how it was found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Signed {
    /// The signature.
    pub signature: Signature,
    /// The challenge it answers.
    pub chunks: Chunks,
    /// Number of tokens passed, matches included.
    pub steps: u64,
    /// Whether the walk passed an end of the ring.
    pub wrapped: bool,
}

impl Signature {
    /// Checks the signature by itself, without a store.
    ///
    /// Tokens of which nothing is known cannot be checked. What can be: that the
    /// challenge of `peer` leads to these suffixes; and that they lie on the ring in
    /// an order in which a walk meets them. The latter is so exactly if the walk over
    /// no other tokens than these meets just these: leaving out of the ring tokens
    /// that do not match changes nothing that a walk meets.
    ///
    /// Takes a hash and at most twenty steps. That the signature is about the token that was
    /// asked for, and that its block is that token's, is for the caller to compare: see
    /// [`guide::verifying`](crate::guide::verifying).
    ///
    /// # Errors
    ///
    /// The first match that is not what the challenge leads to:
    /// [`InvalidSignature::Suffix`], [`Order`](InvalidSignature::Order) or
    /// [`Blocks`](InvalidSignature::Blocks).
    pub fn check(&self, peer: &PeerId) -> Result<(), InvalidSignature> {
        let chunks = chunks(peer, &self.origin.token, &self.origin.block);
        for (index, (met, &chunk)) in self.matches.iter().zip(&chunks).enumerate() {
            let found = met.token.suffix();
            if found != chunk {
                return Err(InvalidSignature::Suffix {
                    index,
                    token: met.token,
                    expected: chunk,
                    found,
                });
            }
        }
        let mut ring = self.matches;
        ring.sort_unstable_by_key(|met| met.token);
        if let Some(pair) = ring
            .windows(2)
            .find(|pair| pair[0].token == pair[1].token && pair[0].block != pair[1].block)
        {
            return Err(InvalidSignature::Blocks { token: pair[0].token });
        }
        let Ok(walk) = walk_ring(&Leg::of_signature(&chunks), |direction| {
            Ok::<_, Infallible>(around(&ring, &self.origin.token, direction).map(Ok))
        });
        let met = walk.matches.iter().map(Some).chain(std::iter::repeat(None));
        match self.matches.iter().zip(met).position(|(claimed, met)| met != Some(claimed)) {
            None => Ok(()),
            Some(index) => Err(InvalidSignature::Order { index, token: self.matches[index].token }),
        }
    }
}

/// The way around a ring of sorted tokens from `origin`, which is left out.
fn around<'a>(
    ring: &'a [TokenBlock],
    origin: &TokenId,
    direction: Direction,
) -> impl Iterator<Item = Passed<TokenBlock>> + use<'a> {
    let below = ring.partition_point(|met| met.token < *origin);
    let above = ring.partition_point(|met| met.token <= *origin);
    let up = ring[above..].iter().chain(&ring[..below]);
    let way: Box<dyn Iterator<Item = &TokenBlock>> = match direction {
        Direction::Up => Box::new(up),
        Direction::Down => Box::new(up.rev()),
    };
    way.map(|met| Passed { suffix: met.token.suffix(), item: *met, beyond_end: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(id: u64) -> TokenBlock {
        TokenBlock { token: TokenId::from(id), block: BlockId::from(id + 7) }
    }

    /// A signature made by walking over the multiples of seven below three million.
    fn signature(origin: u64, peer: &PeerId) -> Signature {
        let ring: Vec<_> = (0..3_000_000 / 7).map(|i| token(7 * i)).collect();
        let origin = token(origin);
        let chunks = chunks(peer, &origin.token, &origin.block);
        let Ok(walk) = walk_ring(&Leg::of_signature(&chunks), |direction| {
            Ok::<_, Infallible>(around(&ring, &origin.token, direction).map(Ok))
        });
        Signature { origin, matches: walk.matches.try_into().unwrap() }
    }

    #[test]
    fn chunks_follow_the_vector() {
        let chunks = chunks(&PeerId([1; 32]), &TokenId([2; 32]), &BlockId([3; 32]));
        assert_eq!(chunks, [566, 853, 43, 214, 877, 205, 913, 625, 192, 75]);
    }

    #[test]
    fn a_signature_of_a_walk_checks() {
        for peer in 0..50 {
            let peer = PeerId::from(peer);
            for origin in [0, 7, 700_000, 1_400_000, 2_999_990] {
                assert_eq!(signature(origin, &peer).check(&peer), Ok(()));
            }
        }
    }

    #[test]
    fn a_signature_of_another_peer_or_block_does_not() {
        let peer = PeerId::from(1);
        let good = signature(1_400_000, &peer);
        assert!(matches!(good.check(&PeerId::from(2)), Err(InvalidSignature::Suffix { .. })));
        let mut other = good;
        other.origin.block = BlockId::from(0);
        assert!(matches!(other.check(&peer), Err(InvalidSignature::Suffix { .. })));
    }

    #[test]
    fn a_match_that_a_walk_meets_at_another_turn_is_found() {
        let peer = PeerId::from(1);
        let good = signature(1_400_000, &peer);
        for index in 0..CHUNKS {
            if index == CHUNKS_UP - 1 || index == CHUNKS - 1 {
                // The last match of a leg may lie anywhere farther on.
                continue;
            }
            // The same suffix, but on the far side of all others.
            for id in [1 << 40, 0] {
                let mut bad = good;
                let suffix = u64::from(good.matches[index].token.suffix());
                bad.matches[index].token = TokenId::from(id + suffix);
                assert!(
                    matches!(bad.check(&peer), Err(InvalidSignature::Order { .. })),
                    "match {index} moved to {id}"
                );
            }
        }
        let mut bad = good;
        bad.matches.swap(0, 1);
        assert!(bad.check(&peer).is_err());
    }

    #[test]
    fn one_token_with_two_blocks_is_found() {
        let peer = PeerId::from(3);
        let origin = token(0);
        let chunks = chunks(&peer, &origin.token, &origin.block);
        // Ten tokens, one a chunk, right above the origin and so also right below it.
        let ring: Vec<_> =
            (0..10).map(|i| token(1_024 * (i + 1) + u64::from(chunks[i as usize]))).collect();
        let Ok(walk) = walk_ring(&Leg::of_signature(&chunks), |direction| {
            Ok::<_, Infallible>(around(&ring, &origin.token, direction).map(Ok))
        });
        assert!(!walk.complete, "the downward chunks ascend");
        let leg = [chunks[0]];
        let Ok(walk) = walk_ring(&[Leg::up(&leg), Leg::down(&leg)], |direction| {
            Ok::<_, Infallible>(around(&ring, &origin.token, direction).map(Ok))
        });
        assert_eq!(walk.matches, [ring[0], ring[0]], "a token may be met once in each direction");
    }
}
