//! Sets of tokens that are easy to get wrong or slow.
//!
//! Indexes over sorted keys guess: that keys are spread evenly, that their leading
//! bytes differ, that a bucket holds a few. Each family here breaks such a guess.

use crate::testing::random::Random;
use crate::token::{BlockTime, TokenId};

/// A kind of token set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeyFamily {
    /// Every token as likely as every other.
    Uniform,
    /// All equal but for the last byte: 256 tokens at most.
    SharedPrefix31,
    /// All equal in the leading 64 bits, random after.
    EqualLeading64,
    /// 00…00 and ff…ff, and random tokens between.
    Edges,
    /// The powers of two and their neighbours.
    ExponentialGaps,
    /// Consecutive 64-bit ids, and ff…ff far above them.
    OutlierOverDense64,
    /// Sixteen clusters, with from one to sixteen leading bytes in common.
    Clusters,
    /// Nine tenths within a part of 2^-40 of the whole, where a linear map of keys to
    /// buckets puts one bucket; the others random.
    PoisonedCdf,
    /// Consecutive 64-bit ids.
    Dense64,
    /// Random, but all with one suffix.
    OneSuffix,
    /// Twelve clusters, each within a part of 2^-20 of the one before.
    NestedClusters,
}

/// How to make the token of an index, out of it or of random bytes.
type Draw = Box<dyn FnMut(u64, &mut Random) -> TokenId>;

impl KeyFamily {
    /// Every family.
    pub const ALL: [Self; 11] = [
        Self::Uniform,
        Self::SharedPrefix31,
        Self::EqualLeading64,
        Self::Edges,
        Self::ExponentialGaps,
        Self::OutlierOverDense64,
        Self::Clusters,
        Self::PoisonedCdf,
        Self::Dense64,
        Self::OneSuffix,
        Self::NestedClusters,
    ];

    /// The most tokens there are in the family.
    pub fn limit(self) -> usize {
        match self {
            Self::SharedPrefix31 => 256,
            _ => usize::MAX,
        }
    }

    /// `count` different tokens, or [as many as there are](Self::limit), ascending;
    /// the same ones for the same seed.
    pub fn generate(self, count: usize, seed: u64) -> Vec<TokenId> {
        let count = count.min(self.limit());
        let mut random = Random::new(&format!("{self:?}"), seed);
        let mut draw = self.drawing(&mut random);
        let mut tokens = Vec::with_capacity(count);
        let mut index = 0;
        // Some come twice; those are drawn anew.
        while tokens.len() < count {
            for _ in tokens.len()..count {
                tokens.push(draw(index, &mut random));
                index += 1;
            }
            tokens.sort_unstable();
            tokens.dedup();
        }
        tokens
    }

    /// Settles what the family's tokens have in common.
    fn drawing(self, random: &mut Random) -> Draw {
        let common = random.token();
        let first_id = random.below(1 << 32);
        let dense = move |index| TokenId::from(first_id + index);
        match self {
            Self::Uniform => Box::new(|_, random| random.token()),
            Self::SharedPrefix31 => Box::new(move |_, random| graft(&common, 248, random)),
            Self::EqualLeading64 => Box::new(move |_, random| graft(&common, 64, random)),
            Self::Edges => Box::new(|index, random| match index {
                0 => TokenId::MIN,
                1 => TokenId::MAX,
                _ => random.token(),
            }),
            Self::ExponentialGaps => Box::new(|index, _| near_power_of_two(index)),
            Self::OutlierOverDense64 => Box::new(move |index, _| match index {
                0 => TokenId::MAX,
                _ => dense(index),
            }),
            Self::Clusters => {
                let centres: [TokenId; 16] = std::array::from_fn(|_| random.token());
                Box::new(move |_, random| {
                    let cluster = random.below(16) as usize;
                    graft(&centres[cluster], 8 * (cluster as u32 + 1), random)
                })
            }
            Self::PoisonedCdf => Box::new(move |index, random| match index % 10 {
                0 => random.token(),
                _ => graft(&common, 40, random),
            }),
            Self::Dense64 => Box::new(move |index, _| dense(index)),
            Self::OneSuffix => Box::new(move |_, random| {
                let mut token = random.token();
                token.0[30] = token.0[30] & !3 | common.0[30] & 3;
                token.0[31] = common.0[31];
                token
            }),
            Self::NestedClusters => {
                Box::new(move |index, random| graft(&common, 20 * (index % 12) as u32, random))
            }
        }
    }
}

/// A random token whose leading `bits` are those of `stem`.
fn graft(stem: &TokenId, bits: u32, random: &mut Random) -> TokenId {
    let mut token = random.token();
    for bit in 0..bits {
        let (byte, mask) = (bit as usize / 8, 0x80 >> (bit % 8));
        token.0[byte] = token.0[byte] & !mask | stem.0[byte] & mask;
    }
    token
}

/// First every power of two, then every one less one, plus one, less two, and so on,
/// around the ring where that goes below 0. The exponents are spread from the start.
fn near_power_of_two(index: u64) -> TokenId {
    let exponent = (index % 256) as u8;
    let exponent = exponent.reverse_bits();
    let mut token = TokenId::MIN;
    token.0[31 - usize::from(exponent / 8)] = 1 << (exponent % 8);
    let round = index / 256;
    let distance = i128::from(round.div_ceil(2)) * if round.is_multiple_of(2) { 1 } else { -1 };
    // Adds the distance's two's complement, byte by byte.
    let mut carry = distance;
    for byte in token.0.iter_mut().rev() {
        carry += i128::from(*byte);
        *byte = carry.to_le_bytes()[0];
        carry >>= 8;
    }
    token
}

/// Gives every token a value, the same one for the same seed.
pub fn with_values(
    tokens: impl IntoIterator<Item = TokenId>,
    seed: u64,
) -> impl Iterator<Item = (TokenId, BlockTime)> {
    let mut random = Random::new("values", seed);
    tokens.into_iter().map(move |token| {
        let block = random.bytes().into();
        (token, BlockTime::new(block, random.number()))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// The number of leading bits that two tokens share.
    fn shared_bits(a: &TokenId, b: &TokenId) -> u32 {
        let differing = (0..32).find(|&i| a.0[i] != b.0[i]);
        differing.map_or(256, |i| 8 * i as u32 + (a.0[i] ^ b.0[i]).leading_zeros())
    }

    fn ends_share(tokens: &[TokenId]) -> u32 {
        shared_bits(&tokens[0], &tokens[tokens.len() - 1])
    }

    #[test]
    fn every_family_gives_the_count_sorted_and_the_same_each_time() {
        for family in KeyFamily::ALL {
            for count in [0, 1, 2, 9, 256, 2_000] {
                let tokens = family.generate(count, 5);
                assert_eq!(tokens.len(), count.min(family.limit()), "{family:?}");
                assert!(tokens.is_sorted_by(|a, b| a < b), "{family:?}");
                assert_eq!(tokens, family.generate(count, 5), "{family:?}");
            }
        }
    }

    #[test]
    fn seeds_give_different_tokens() {
        for family in KeyFamily::ALL {
            let fixed = family == KeyFamily::ExponentialGaps;
            let (a, b) = (family.generate(100, 1), family.generate(100, 2));
            assert_eq!(a == b, fixed, "{family:?}");
        }
    }

    #[test]
    fn prefixes_are_shared_as_said() {
        assert!(ends_share(&KeyFamily::SharedPrefix31.generate(256, 1)) >= 248);
        let equal = ends_share(&KeyFamily::EqualLeading64.generate(1_000, 1));
        assert!((64..70).contains(&equal), "{equal}");
        assert!(ends_share(&KeyFamily::Uniform.generate(1_000, 1)) < 6);
    }

    #[test]
    fn edges_and_outlier_are_there() {
        let edges = KeyFamily::Edges.generate(100, 1);
        assert_eq!((edges[0], edges[99]), (TokenId::MIN, TokenId::MAX));
        let outlier = KeyFamily::OutlierOverDense64.generate(100, 1);
        assert_eq!(outlier[99], TokenId::MAX);
        assert!(outlier[98] < TokenId::from(u64::MAX));
        for ids in [&outlier[..99], &KeyFamily::Dense64.generate(99, 1)] {
            let id = |token: &TokenId| u64::from_be_bytes(token.0[24..].try_into().unwrap());
            assert!(ids.windows(2).all(|pair| id(&pair[1]) == id(&pair[0]) + 1));
        }
    }

    #[test]
    fn powers_of_two_and_their_neighbours() {
        let powers = KeyFamily::ExponentialGaps.generate(256, 1);
        assert_eq!((powers[0], powers[1]), (1.into(), 2.into()));
        assert_eq!(powers[255].0[0], 0x80);
        let more: HashSet<_> = KeyFamily::ExponentialGaps.generate(1_200, 1).into_iter().collect();
        for near in [65_534_u64, 65_535, 65_536, 65_537, 65_538] {
            assert!(more.contains(&near.into()), "{near}");
        }
        let mut below_half = [0xff; 32];
        below_half[0] = 0x7f;
        assert!(more.contains(&TokenId(below_half)));
    }

    #[test]
    fn crowds_are_crowded() {
        let poisoned = KeyFamily::PoisonedCdf.generate(1_000, 1);
        let crowded = |bits| {
            let pairs = poisoned.windows(2);
            pairs.filter(|pair| shared_bits(&pair[0], &pair[1]) >= bits).count()
        };
        assert_eq!(crowded(40), 899);
        let clusters = KeyFamily::Clusters.generate(1_000, 1);
        let heads: HashSet<_> = clusters.iter().map(|token| token.0[0]).collect();
        assert!((12..=16).contains(&heads.len()), "{}", heads.len());
    }

    #[test]
    fn one_suffix_is_one() {
        let tokens = KeyFamily::OneSuffix.generate(500, 1);
        assert!(tokens.iter().all(|token| token.suffix() == tokens[0].suffix()));
        assert!(ends_share(&tokens) < 6);
    }

    #[test]
    fn clusters_nest() {
        // What lies within 2^-20 of the whole is again what lies within 2^-40, and a rest.
        let mut tokens = KeyFamily::NestedClusters.generate(1_200, 1);
        for level in 1..12 {
            let middle = tokens[tokens.len() / 2];
            let before = tokens.len();
            tokens.retain(|token| shared_bits(token, &middle) >= 20 * level);
            assert!(
                tokens.len() + 80 < before && tokens.len() >= 100 * (12 - level as usize),
                "level {level}"
            );
        }
    }
}
