//! All reads of a backend against the oracle, over sets of every key family.

use crate::backend::TokenStorageBackend;
use crate::challenge::{CHUNKS, Chunks};
use crate::testing::answers::{self, Make, Outcome, build};
use crate::testing::keys::{KeyFamily, with_values};
use crate::testing::oracle::Oracle;
use crate::testing::random::Random;
use crate::token::{PeerId, SUFFIXES, TokenId};

/// Sets around the ten of a signature, and one that a walk takes a while to round.
const COUNTS: [usize; 6] = [0, 1, 9, 10, 11, 1_000];

/// The sets that [`check_families`] goes through.
fn sets() -> impl Iterator<Item = (KeyFamily, usize)> {
    let small = KeyFamily::ALL.into_iter().flat_map(|family| COUNTS.map(|count| (family, count)));
    small.chain([
        // Every suffix comes three times at least, so that all signatures are found.
        (KeyFamily::OutlierOverDense64, 3 * SUFFIXES + 1),
        // Enough for walks that end before they wrapped.
        (KeyFamily::Uniform, 20_000),
    ])
}

/// The oracle over one of the sets.
fn oracle((family, count): (KeyFamily, usize)) -> Oracle {
    with_values(family.generate(count, count as u64), 1).collect()
}

pub(super) fn check_families(make: &mut Make<'_>) -> Outcome {
    for set in sets() {
        let oracle = oracle(set);
        let records: Vec<_> = oracle.range(..).collect();
        check(&*build(make, &records)?, &oracle)
            .map_err(|differs| format!("{differs}\nin {} tokens of {:?}", records.len(), set.0))?;
    }
    Ok(())
}

/// Asks a backend that holds what the oracle does.
pub(super) fn check(backend: &dyn TokenStorageBackend, oracle: &Oracle) -> Outcome {
    let Questions { origins, walks, signatures } = Questions::about(oracle);
    answers::len(backend, oracle.len())?;
    for token in &origins {
        answers::lookup(backend, token, oracle.get(token))?;
        answers::range_after(backend, token, oracle.range_after(token))?;
        answers::range_before(backend, token, oracle.range_before(token))?;
    }
    answers::ranges_at_once(backend, oracle, &origins, 12)?;
    for (origin, chunks) in &walks {
        answers::walk(backend, origin, chunks, &oracle.search_signature(origin, chunks))?;
    }
    for (token, peer) in &signatures {
        answers::sign(backend, token, peer, oracle.sign(token, peer).as_ref())?;
    }
    Ok(())
}

/// What to ask about a set.
struct Questions {
    origins: Vec<TokenId>,
    walks: Vec<(TokenId, Chunks)>,
    signatures: Vec<(TokenId, PeerId)>,
}

impl Questions {
    fn about(oracle: &Oracle) -> Self {
        let mut random = Random::new("conformance", oracle.len());
        let tokens: Vec<_> = oracle.tokens.keys().copied().collect();
        let origins = origins(&tokens, &mut random);
        let (mut walks, mut signatures) = (Vec::new(), Vec::new());
        for origin in &origins {
            walks.extend(challenges(&tokens, &mut random).map(|chunks| (*origin, chunks)));
            signatures.extend([(); 3].map(|()| (*origin, PeerId(random.bytes()))));
        }
        Self { origins, walks, signatures }
    }
}

/// Tokens to start from: the ends of the order and of the set, some that are there,
/// and what lies beside them.
fn origins(tokens: &[TokenId], random: &mut Random) -> Vec<TokenId> {
    let mut origins = vec![TokenId::MIN, TokenId::MAX, random.token()];
    if let (Some(&first), Some(&last)) = (tokens.first(), tokens.last()) {
        origins.extend([first, last, above(first), below(last)]);
        let (one, other) = (*random.pick(tokens), *random.pick(tokens));
        origins.extend([one, above(other), below(other)]);
    }
    origins.sort_unstable();
    origins.dedup();
    origins
}

/// The next id; after ff…ff comes 00…00.
pub(crate) fn above(mut token: TokenId) -> TokenId {
    for byte in token.0.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            break;
        }
    }
    token
}

/// The id before; before 00…00 comes ff…ff.
pub(crate) fn below(token: TokenId) -> TokenId {
    let complement = |token: TokenId| TokenId(token.0.map(|byte| !byte));
    complement(above(complement(token)))
}

/// Chunks that the set meets, that it may not meet, and that nothing does.
fn challenges(tokens: &[TokenId], random: &mut Random) -> [Chunks; 6] {
    let any: Chunks = std::array::from_fn(|_| random.below(SUFFIXES as u64) as u16);
    let mut there = || match tokens {
        [] => any,
        _ => std::array::from_fn(|_| random.pick(tokens).suffix()),
    };
    let (mut stuck_up, mut stuck_down, mut stuck_last) = (there(), there(), there());
    stuck_up[2] = SUFFIXES as u16;
    stuck_down[7] = u16::MAX;
    stuck_last[CHUNKS - 1] += SUFFIXES as u16;
    [any, there(), there(), stuck_up, stuck_down, stuck_last]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_neighbours() {
        let id = |id: u64| TokenId::from(id);
        let mut carried = TokenId::MIN;
        carried.0[23] = 1;
        for (low, high) in
            [(id(0), id(1)), (id(0x1ff), id(0x200)), (id(u64::MAX), carried), (TokenId::MAX, id(0))]
        {
            assert_eq!(above(low), high);
            assert_eq!(below(high), low);
        }
    }

    /// Questions that all have one answer would prove little.
    #[test]
    fn the_questions_have_all_kinds_of_answers() {
        let (mut complete, mut incomplete, mut wrapped, mut unwrapped) = (0, 0, 0, 0);
        let (mut twice, mut carried_over) = (0, 0);
        let (mut signed, mut refused, mut absent) = (0, 0, 0);
        for set in sets() {
            let oracle = oracle(set);
            let Questions { walks, signatures, .. } = Questions::about(&oracle);
            for (origin, chunks) in walks {
                let walk = oracle.search_signature(&origin, &chunks);
                complete += u32::from(walk.complete);
                incomplete += u32::from(!walk.complete);
                wrapped += u32::from(walk.wrapped);
                unwrapped += u32::from(!walk.wrapped && walk.steps > 0);
                let mut met: Vec<_> = walk.matches.iter().map(|(token, _)| token).collect();
                met.sort_unstable();
                met.dedup();
                twice += u32::from(met.len() < walk.matches.len());
                let up = oracle.walk(&origin, &[crate::challenge::Leg::up(&chunks[..5])]);
                carried_over += u32::from(!up.complete && walk.matches.len() > up.matches.len());
            }
            for (token, peer) in signatures {
                let signature = oracle.sign(&token, &peer);
                signed += u32::from(signature.is_some());
                refused += u32::from(signature.is_none() && oracle.contains(&token));
                absent += u32::from(!oracle.contains(&token));
            }
        }
        let counts = [complete, incomplete, wrapped, unwrapped, twice, carried_over];
        assert!(counts.iter().all(|&count| count >= 20), "{counts:?}");
        assert!(
            [signed, refused, absent].iter().all(|&count| count >= 10),
            "{signed} {refused} {absent}"
        );
    }
}
