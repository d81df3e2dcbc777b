//! What every [`TokenStorageBackend`] must do, tried against the oracle.
//!
//! A backend's own test calls [`check_families`] and, if it can write,
//! [`check_writes`]. What does not conform panics with what was asked; what the
//! backend itself reports is returned.

use std::ops::Bound::{Excluded, Unbounded};

use crate::backend::TokenStorageBackend;
use crate::challenge::{CHUNKS, Chunks};
use crate::error::Result;
use crate::testing::keys::{KeyFamily, with_values};
use crate::testing::oracle::Oracle;
use crate::testing::random::Random;
use crate::token::{BlockTime, PeerId, SUFFIXES, TokenId};

/// Sets around the ten of a signature, and one that a walk takes a while to round.
const COUNTS: [usize; 6] = [0, 1, 9, 10, 11, 1_000];

/// What the reads led to. A suite that never saw one of these proved little.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    /// Walks that met all chunks.
    pub complete: u64,
    /// Walks that did not.
    pub incomplete: u64,
    /// Walks that passed an end of the ring.
    pub wrapped: u64,
    /// Walks that did not.
    pub unwrapped: u64,
    /// Signatures made.
    pub signed: u64,
    /// Signatures refused although the token was there.
    pub refused: u64,
}

/// Checks all reads over sets of every family, which `make` is to build from records
/// in ascending order.
///
/// # Errors
///
/// What the backend reports.
///
/// # Panics
///
/// If the backend answers differently from the oracle.
pub fn check_families<B: TokenStorageBackend>(
    mut make: impl FnMut(&[(TokenId, BlockTime)]) -> Result<B>,
) -> Result<()> {
    let mut seen = Seen::default();
    let mut check = |family: KeyFamily, count, seen: &mut Seen| {
        let tokens = family.generate(count, count as u64);
        let records: Vec<_> = with_values(tokens, 1).collect();
        let oracle = records.iter().copied().collect();
        check_reads(&make(&records)?, &oracle, seen)
    };
    for family in KeyFamily::ALL {
        for count in COUNTS {
            check(family, count, &mut seen)?;
        }
    }
    // Every suffix comes three times at least, so that all signatures are found.
    check(KeyFamily::OutlierOverDense64, 3 * SUFFIXES + 1, &mut seen)?;
    // Enough for walks that end before they wrapped.
    check(KeyFamily::Uniform, 40_000, &mut seen)?;
    let Seen { complete, incomplete, wrapped, unwrapped, signed, refused } = seen;
    let rarest = [complete, incomplete, wrapped, unwrapped, signed, refused];
    assert!(rarest.iter().all(|&times| times > 10), "{seen:?}");
    Ok(())
}

/// Checks every read of the backend, which holds just what the oracle does.
///
/// # Errors
///
/// What the backend reports.
///
/// # Panics
///
/// If the backend answers differently from the oracle.
pub fn check_reads(
    backend: &dyn TokenStorageBackend,
    oracle: &Oracle,
    seen: &mut Seen,
) -> Result<()> {
    assert_eq!(backend.len()?, oracle.len(), "len");
    assert_eq!(backend.is_empty()?, oracle.is_empty(), "is_empty");
    let mut random = Random::new("conformance", oracle.len());
    let tokens: Vec<_> = oracle.tokens.keys().copied().collect();
    for token in &origins(&tokens, &mut random) {
        assert_eq!(backend.lookup(token)?, oracle.get(token), "lookup {token}");
        let after: Vec<_> = backend.range_after(token)?.collect::<Result<_>>()?;
        let expected = oracle.range((Excluded(*token), Unbounded));
        assert!(after.into_iter().eq(expected), "range after {token}");
        let before: Vec<_> = backend.range_before(token)?.collect::<Result<_>>()?;
        let expected = oracle.range(..token).rev();
        assert!(before.into_iter().eq(expected), "range before {token}");
        for chunks in challenges(&tokens, &mut random) {
            let walk = backend.search_signature(token, &chunks)?;
            let expected = oracle.search_signature(token, &chunks);
            assert_eq!(walk, expected, "walk from {token} for {chunks:?}");
            seen.complete += u64::from(walk.complete);
            seen.incomplete += u64::from(!walk.complete);
            seen.wrapped += u64::from(walk.wrapped);
            seen.unwrapped += u64::from(!walk.wrapped && walk.steps > 0);
        }
        for _ in 0..3 {
            let peer = PeerId(random.bytes());
            let signed = backend.sign(token, &peer)?;
            assert_eq!(signed, oracle.sign(token, &peer), "{token} signed for {peer}");
            seen.signed += u64::from(signed.is_some());
            seen.refused += u64::from(signed.is_none() && oracle.contains(token));
            if let Some(signed) = signed {
                assert_eq!(signed.signature.check(&peer), Ok(()), "{token} for {peer}");
            }
        }
    }
    Ok(())
}

/// Tokens to start from: the ends of the order and of the set, some that are there,
/// some that are not.
fn origins(tokens: &[TokenId], random: &mut Random) -> Vec<TokenId> {
    let mut origins = vec![TokenId::MIN, TokenId::MAX, random.token()];
    if let (Some(first), Some(last)) = (tokens.first(), tokens.last()) {
        let (one, other) = (*random.pick(tokens), *random.pick(tokens));
        let mut neighbour = other;
        neighbour.0[31] ^= 1;
        origins.extend([*first, *last, one, other, neighbour]);
    }
    origins
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

/// Checks writing into the backend, which is empty, and the reads between writes.
///
/// # Errors
///
/// What the backend reports.
///
/// # Panics
///
/// If the backend answers differently from the oracle.
pub fn check_writes(backend: &mut dyn TokenStorageBackend) -> Result<()> {
    let mut oracle = Oracle::default();
    let mut random = Random::new("writes", 0);
    let tokens = KeyFamily::Edges.generate(20, 0);
    let mut kept = 0;
    for turn in 0..200 {
        let token = random.pick(&tokens);
        // Few times, so that equal ones come often.
        let value = BlockTime::new(random.bytes().into(), random.below(8));
        let written = oracle.set(token, value);
        assert_eq!(backend.set(token, value)?, written, "set {turn}: {token}");
        assert_eq!(backend.lookup(token)?, oracle.get(token), "set {turn}: {token}");
        assert_eq!(backend.len()?, oracle.len(), "set {turn}: {token}");
        kept += u64::from(!written);
    }
    assert_eq!(oracle.len(), 20, "every token was set");
    assert!(kept > 20, "older values were tried");
    check_reads(backend, &oracle, &mut Seen::default())
}
