//! The storage interface that a node sees, whatever engine is behind it.
//!
//! An engine has to look up, to write, and to walk from a token to either end of
//! the order. Signing is built on that here, by looking at the ring's tokens one by
//! one; an engine with an index for suffixes overrides it.

pub(crate) mod mem;
#[cfg(feature = "redb")]
pub(crate) mod redb;
mod store;

use std::iter;

use crate::challenge::{self, Chunks, Direction, Leg, Passed, Signature, Signed, TokenBlock, Walk};
use crate::error::Result;
use crate::token::{BlockTime, PeerId, TokenId};

/// Tokens with their values on the way through a backend.
pub type RangeIter<'a> = Box<dyn Iterator<Item = Result<(TokenId, BlockTime)>> + 'a>;

/// What a node asks of a store of tokens.
///
/// Usable as `dyn`. Whatever fails in the engine is returned, never swallowed.
///
/// ```
/// use ringstore::{BlockId, BlockTime, MemTokens, TokenId, TokenStorageBackend};
///
/// let mut tokens: Box<dyn TokenStorageBackend> = Box::new(MemTokens::new());
/// let (token, block) = (TokenId::from(7), BlockId::from(1));
/// assert!(tokens.set(&token, BlockTime::new(block, 100))?);
/// assert!(!tokens.set(&token, BlockTime::new(block, 99))?, "older than what is there");
/// assert_eq!(tokens.lookup(&token)?, Some(BlockTime::new(block, 100)));
/// assert_eq!(tokens.range_after(&token)?.count(), 0);
/// # Ok::<(), ringstore::Error>(())
/// ```
pub trait TokenStorageBackend {
    /// The value of `token`.
    ///
    /// # Errors
    ///
    /// What the engine reports.
    fn lookup(&self, token: &TokenId) -> Result<Option<BlockTime>>;

    /// Writes where `token` is absent or `value` is strictly newer, and says whether
    /// it wrote.
    ///
    /// # Errors
    ///
    /// What the engine reports; [`Error::Unwritable`](crate::Error::Unwritable) from
    /// one that cannot write.
    fn set(&mut self, token: &TokenId, value: BlockTime) -> Result<bool>;

    /// The tokens above `start`, ascending. Does not go on at the ring's other end.
    ///
    /// # Errors
    ///
    /// What the engine reports, here or from the iterator.
    fn range_after(&self, start: &TokenId) -> Result<RangeIter<'_>>;

    /// The tokens below `end`, descending. Does not go on at the ring's other end.
    ///
    /// # Errors
    ///
    /// What the engine reports, here or from the iterator.
    fn range_before(&self, end: &TokenId) -> Result<RangeIter<'_>>;

    /// The number of tokens, exactly.
    ///
    /// # Errors
    ///
    /// What the engine reports.
    fn len(&self) -> Result<u64>;

    /// Whether there are no tokens.
    ///
    /// # Errors
    ///
    /// What the engine reports.
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// The walk for a signature: up from `token` for the first five chunks, then
    /// down for the others. The token need not exist.
    ///
    /// As provided, takes time proportional to the tokens passed, about 10,240 for
    /// ten chunks on random tokens.
    ///
    /// # Errors
    ///
    /// What the engine reports.
    fn search_signature(
        &self,
        token: &TokenId,
        chunks: &Chunks,
    ) -> Result<Walk<(TokenId, BlockTime)>> {
        walk(self, token, &Leg::of_signature(chunks))
    }

    /// The answer to the challenge that `peer` poses for `token`; `None` where the
    /// token is absent or some chunk has no match.
    ///
    /// Takes a lookup, a hash and [`search_signature`](Self::search_signature).
    ///
    /// # Errors
    ///
    /// What the engine reports.
    fn sign(&self, token: &TokenId, peer: &PeerId) -> Result<Option<Signed>> {
        let Some(BlockTime { block, .. }) = self.lookup(token)? else {
            return Ok(None);
        };
        let chunks = challenge::chunks(peer, token, &block);
        let walk = self.search_signature(token, &chunks)?;
        let matches: Vec<_> = walk
            .matches
            .iter()
            .map(|&(token, BlockTime { block, .. })| TokenBlock { token, block })
            .collect();
        // Fewer than ten matches are no signature.
        Ok(matches.try_into().ok().map(|matches| Signed {
            signature: Signature { origin: TokenBlock { token: *token, block }, matches },
            chunks,
            steps: walk.steps,
            wrapped: walk.wrapped,
        }))
    }
}

/// Whatever can be done with a backend can be done with one behind a pointer.
impl<B: TokenStorageBackend + ?Sized> TokenStorageBackend for Box<B> {
    fn lookup(&self, token: &TokenId) -> Result<Option<BlockTime>> {
        (**self).lookup(token)
    }

    fn set(&mut self, token: &TokenId, value: BlockTime) -> Result<bool> {
        (**self).set(token, value)
    }

    fn range_after(&self, start: &TokenId) -> Result<RangeIter<'_>> {
        (**self).range_after(start)
    }

    fn range_before(&self, end: &TokenId) -> Result<RangeIter<'_>> {
        (**self).range_before(end)
    }

    fn len(&self) -> Result<u64> {
        (**self).len()
    }

    fn is_empty(&self) -> Result<bool> {
        (**self).is_empty()
    }

    fn search_signature(
        &self,
        token: &TokenId,
        chunks: &Chunks,
    ) -> Result<Walk<(TokenId, BlockTime)>> {
        (**self).search_signature(token, chunks)
    }

    fn sign(&self, token: &TokenId, peer: &PeerId) -> Result<Option<Signed>> {
        (**self).sign(token, peer)
    }
}

/// The walk over a backend's ranges.
fn walk<B: TokenStorageBackend + ?Sized>(
    backend: &B,
    origin: &TokenId,
    legs: &[Leg<'_>],
) -> Result<Walk<(TokenId, BlockTime)>> {
    challenge::walk_ring(legs, |direction| ring(backend, *origin, direction))
}

/// The way around the ring from `origin`, which is left out.
fn ring<B: TokenStorageBackend + ?Sized>(
    backend: &B,
    origin: TokenId,
    direction: Direction,
) -> Result<impl Iterator<Item = Result<Passed<(TokenId, BlockTime)>>>> {
    let to_end = match direction {
        Direction::Up => backend.range_after(&origin)?,
        Direction::Down => backend.range_before(&origin)?,
    };
    // Opened only by a walk that gets there: most do not, and opening costs a search.
    let beyond_end = iter::once_with(move || from_other_end(backend, direction))
        .flat_map(|opened| opened.unwrap_or_else(|error| Box::new(iter::once(Err(error)))))
        .take_while(move |passed| match (passed, direction) {
            (Ok((token, _)), Direction::Up) => *token < origin,
            (Ok((token, _)), Direction::Down) => *token > origin,
            (Err(_), _) => true,
        });
    let pass = |beyond_end| {
        move |passed: Result<(TokenId, BlockTime)>| {
            passed.map(|item| Passed { suffix: item.0.suffix(), item, beyond_end })
        }
    };
    Ok(to_end.map(pass(false)).chain(beyond_end.map(pass(true))))
}

/// All tokens, from the end of the order where a walk in `direction` goes on.
///
/// Ranges leave out where they start, so the token at the very end is looked up.
fn from_other_end<B: TokenStorageBackend + ?Sized>(
    backend: &B,
    direction: Direction,
) -> Result<RangeIter<'_>> {
    let (end, others) = match direction {
        Direction::Up => (TokenId::MIN, backend.range_after(&TokenId::MIN)?),
        Direction::Down => (TokenId::MAX, backend.range_before(&TokenId::MAX)?),
    };
    let at_end = backend.lookup(&end)?.map(|value| Ok((end, value)));
    Ok(Box::new(at_end.into_iter().chain(others)))
}

#[cfg(test)]
mod tests {
    use super::mem::MemTokens;
    use super::*;
    use crate::error::Error;
    use crate::testing::keys::{KeyFamily, with_values};
    use crate::testing::oracle::Oracle;
    use crate::testing::random::Random;
    use crate::token::SUFFIXES;

    /// Legs that are not the two of a signature.
    pub(super) fn check_walks(backend: &dyn TokenStorageBackend, oracle: &Oracle) -> Result<()> {
        let tokens: Vec<_> = oracle.tokens.keys().copied().collect();
        let mut random = Random::new("legs", oracle.len());
        let suffixes: Vec<_> = (0..12).map(|_| random.pick(&tokens).suffix()).collect();
        let never = [suffixes[0], SUFFIXES as u16, suffixes[1]];
        let few = [suffixes[2], suffixes[3], suffixes[4]];
        let shapes: [&[Leg<'_>]; 9] = [
            &[],
            &[Leg::up(&[])],
            &[Leg::down(&suffixes[..1])],
            &[Leg::up(&suffixes)],
            &[Leg::up(&few), Leg::up(&suffixes[5..6]), Leg::down(&suffixes[6..])],
            &[Leg::down(&few), Leg::down(&[]), Leg::up(&few), Leg::up(&few)],
            // What was not met is sought again, leg after leg.
            &[Leg::up(&never), Leg::down(&few)],
            &[Leg::down(&never), Leg::up(&[]), Leg::up(&never)],
            &[Leg::up(&[u16::MAX]), Leg::down(&[])],
        ];
        for origin in [TokenId::MIN, TokenId::MAX, tokens[0], *random.pick(&tokens), random.token()]
        {
            for legs in shapes {
                let walk = walk(backend, &origin, legs)?;
                assert_eq!(walk, oracle.walk(&origin, legs), "{legs:?} from {origin}");
            }
        }
        Ok(())
    }

    #[test]
    fn legs_of_any_number_and_length() -> Result<()> {
        for family in KeyFamily::ALL {
            for count in [1, 2, 10, 1_000] {
                let records: Vec<_> = with_values(family.generate(count, 3), 3).collect();
                let backend: MemTokens = records.iter().copied().collect();
                check_walks(&backend, &records.into_iter().collect())?;
            }
        }
        Ok(())
    }

    /// Fails where a test says so.
    struct Fails<'a> {
        tokens: MemTokens,
        range_from: Option<TokenId>,
        lookup_of: Option<TokenId>,
        item: &'a dyn Fn(&TokenId) -> bool,
    }

    impl Fails<'_> {
        fn of(tokens: impl IntoIterator<Item = u64>) -> Self {
            Self {
                tokens: tokens.into_iter().map(|id| (id.into(), BlockTime::default())).collect(),
                range_from: None,
                lookup_of: None,
                item: &|_| false,
            }
        }

        fn unless(is_failing: bool) -> Result<()> {
            if is_failing { Err(Error::backend("fails", "as it should")) } else { Ok(()) }
        }

        fn items<'b>(&'b self, range: RangeIter<'b>) -> RangeIter<'b> {
            Box::new(range.map(|item| {
                let (token, value) = item?;
                Self::unless((self.item)(&token))?;
                Ok((token, value))
            }))
        }
    }

    impl TokenStorageBackend for Fails<'_> {
        fn lookup(&self, token: &TokenId) -> Result<Option<BlockTime>> {
            Self::unless(self.lookup_of == Some(*token))?;
            self.tokens.lookup(token)
        }

        fn set(&mut self, token: &TokenId, value: BlockTime) -> Result<bool> {
            self.tokens.set(token, value)
        }

        fn range_after(&self, start: &TokenId) -> Result<RangeIter<'_>> {
            Self::unless(self.range_from == Some(*start))?;
            Ok(self.items(self.tokens.range_after(start)?))
        }

        fn range_before(&self, end: &TokenId) -> Result<RangeIter<'_>> {
            Self::unless(self.range_from == Some(*end))?;
            Ok(self.items(self.tokens.range_before(end)?))
        }

        fn len(&self) -> Result<u64> {
            self.tokens.len()
        }
    }

    #[test]
    fn what_lies_beyond_an_end_is_not_asked_for_before_it_is_needed() -> Result<()> {
        let mut backend = Fails::of(0..100);
        for (leg, end) in [(Leg::up(&[60, 70]), TokenId::MIN), (Leg::down(&[40, 30]), TokenId::MAX)]
        {
            backend.lookup_of = Some(end);
            backend.range_from = Some(end);
            let walk = walk(&backend, &50.into(), &[leg])?;
            assert!(walk.complete && !walk.wrapped);
            assert_eq!(walk.steps, 20);
        }
        Ok(())
    }

    #[test]
    fn a_token_at_the_very_end_is_met_beyond_it() -> Result<()> {
        let tokens = [TokenId::MIN, 500.into(), TokenId::MAX];
        let backend: MemTokens =
            tokens.map(|token| (token, BlockTime::default())).into_iter().collect();
        let (zero, ones) = (TokenId::MIN.suffix(), TokenId::MAX.suffix());
        let up = walk(&backend, &500.into(), &[Leg::up(&[ones, zero])])?;
        let down = walk(&backend, &500.into(), &[Leg::down(&[zero, ones])])?;
        for walk in [up, down] {
            assert!(walk.complete && walk.wrapped);
            assert_eq!(walk.steps, 2);
        }
        Ok(())
    }

    #[test]
    fn every_failure_comes_out() {
        let origin = TokenId::from(50);
        let chunks = [SUFFIXES as u16; 10];
        let all = Fails::of(0..100);
        assert!(all.search_signature(&origin, &chunks).is_ok());
        for end in [TokenId::MIN, TokenId::MAX] {
            let lookup = Fails { lookup_of: Some(end), ..Fails::of(0..100) };
            assert!(lookup.search_signature(&origin, &chunks).is_err());
            let range = Fails { range_from: Some(end), ..Fails::of(0..100) };
            assert!(range.search_signature(&origin, &chunks).is_err());
        }
        let near = Fails { range_from: Some(origin), ..Fails::of(0..100) };
        assert!(near.search_signature(&origin, &chunks).is_err());
        for id in [1, 49, 51, 99] {
            let item = Fails { item: &|token| *token == id.into(), ..Fails::of(0..100) };
            assert!(item.search_signature(&origin, &chunks).is_err(), "token {id}");
        }
        let peer = PeerId::default();
        let origin_lookup = Fails { lookup_of: Some(origin), ..Fails::of(0..100) };
        assert!(origin_lookup.sign(&origin, &peer).is_err());
        assert!(near.sign(&origin, &peer).is_err());
    }
}
