//! Answering challenges, and checking answers against a store.

mod hash;

use std::array::from_fn;

use self::hash::{LANES, Message, chunks_of, chunks_of_one};
use crate::challenge::{CHUNKS, Chunks, Signature, Signed, TokenBlock};
use crate::error::{InvalidSignature, Result};
use crate::segment::find::Found;
use crate::snapshot::Snapshot;
use crate::snapshot::many::in_groups;
use crate::snapshot::view::Place;
use crate::snapshot::walk::{Course, SIGNATURE_TURNS, WalkSummary};
use crate::token::{PeerId, Record, TokenId};

impl Snapshot {
    /// The signature of a token for a peer, or `None` if the token is not there or not
    /// all ten chunks are met.
    ///
    /// A hash and about two dozen accesses to memory, most of them at the same time.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`](crate::Error::Damaged).
    pub fn sign(&self, token: &TokenId, peer: &PeerId) -> Result<Option<Signed>> {
        let mut signed = [None];
        let chunks_of = |[message]: &[_; 1]| [chunks_of_one(message)];
        self.sign_all(&[(*token, *peer)], &mut signed, chunks_of)?;
        let [signed] = signed;
        Ok(signed)
    }

    /// Answers many challenges, each a token and the peer that asks, in their order: the
    /// signature of the token for the peer, or `None` as [`sign`](Self::sign) has it.
    ///
    /// What was in `signatures` is replaced; its memory is used again. As to speed and cores,
    /// see [`get_many`](Self::get_many).
    ///
    /// ```
    /// # use ringstore::{BlockTime, LoadOptions, Options, PeerId, Record, Store, TokenId};
    /// # let directory = tempfile::tempdir()?;
    /// # let store = Store::create(directory.path().join("tokens"), &Options::new())?;
    /// # let records = (0..100_000u64).map(|i| Ok(Record::new(TokenId::from(i), BlockTime::default())));
    /// # store.bulk_load(records, &LoadOptions::new())?;
    /// let peer = PeerId([1; 32]);
    /// let challenges = [5_000, 9_999_999, 7].map(|token| (TokenId::from(token), peer));
    /// let mut signatures = Vec::new();
    /// store.snapshot().sign_many(&challenges, &mut signatures)?;
    /// assert!(signatures[0].is_some_and(|signed| signed.signature.check(&peer).is_ok()));
    /// assert_eq!(signatures[1], None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`](crate::Error::Damaged), even if only one of them cannot be answered.
    /// What is in `signatures` then has no meaning.
    pub fn sign_many(
        &self,
        challenges: &[(TokenId, PeerId)],
        signatures: &mut Vec<Option<Signed>>,
    ) -> Result<()> {
        in_groups(LANES, challenges, signatures, |challenges, signatures| {
            self.sign_all::<LANES>(challenges, signatures, chunks_of)
        })
    }

    /// Answers up to `N` challenges at once: none of their accesses to memory waits for
    /// another one's.
    #[inline]
    fn sign_all<const N: usize>(
        &self,
        challenges: &[(TokenId, PeerId)],
        answers: &mut [Option<Signed>],
        chunks_of: impl FnOnce(&[Message; N]) -> [Chunks; N],
    ) -> Result<()> {
        let view = self.view();
        let tokens = challenges.iter().map(|(token, _)| token);
        let found: [Found<'_>; N] = view.find_all(tokens, true)?;
        let mut origins = [None; N];
        let mut messages = [Message::default(); N];
        for (i, (token, peer)) in challenges.iter().enumerate().take(N) {
            if let Some(record) = view.newest(token, found[i])? {
                origins[i] = Some(record);
                messages[i] = [peer.0, token.0, record.block.0];
            }
        }
        if origins.iter().all(Option::is_none) {
            answers.fill(None);
            return Ok(());
        }
        let suffixes = chunks_of(&messages);
        let courses: [_; N] = from_fn(|i| {
            let turns = &SIGNATURE_TURNS;
            let (token, found, suffixes) = (&origins[i]?.token, found[i], &suffixes[i]);
            Some(Course { token, found, turns, suffixes })
        });
        let mut places = [[Place::default(); CHUNKS]; N];
        let mut summaries = [WalkSummary::default(); N];
        // Each step some challenges after the one before, so that what it reads has come
        // meanwhile, and what it asks for comes while others have something to do.
        let ahead = N / 3;
        let looks_ahead = view.has_parts();
        let steps_after = 2 + usize::from(looks_ahead);
        for i in 0..N + steps_after * ahead {
            if let Some(Some(course)) = courses.get(i) {
                view.prefetch_walk(course);
            }
            let mut i = i.wrapping_sub(ahead);
            if looks_ahead {
                if let Some(Some(course)) = courses.get(i) {
                    view.look_ahead(course, &mut places[i])?;
                }
                i = i.wrapping_sub(ahead);
            }
            if let Some(Some(course)) = courses.get(i) {
                summaries[i] = view.walk(course, &mut places[i])?;
                view.prefetch_records(&places[i]);
            }
            let i = i.wrapping_sub(ahead);
            let Some(answer) = answers.get_mut(i) else { continue };
            *answer = None;
            let (Some(origin), true) = (origins[i], summaries[i].complete) else { continue };
            let WalkSummary { steps, wrapped, .. } = summaries[i];
            let (origin, matches) = (token_block(origin), [TokenBlock::default(); CHUNKS]);
            let signature = Signature { origin, matches };
            let signed = Signed { signature, chunks: suffixes[i], steps, wrapped };
            let matches = &mut answer.insert(signed).signature.matches;
            for (met, &place) in matches.iter_mut().zip(&places[i]) {
                if let Some(record) = view.record(place)? {
                    *met = token_block(record);
                }
            }
        }
        Ok(())
    }

    /// Checks a signature against the tokens that are here: by itself first, then by
    /// signing again and comparing.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`](crate::Error::Damaged); that the signature is not valid is no
    /// error here, but the result.
    pub fn check(
        &self,
        signature: &Signature,
        peer: &PeerId,
    ) -> Result<Result<(), InvalidSignature>> {
        if let Err(invalid) = signature.check(peer) {
            return Ok(Err(invalid));
        }
        let token = &signature.origin.token;
        Ok(match self.sign(token, peer)? {
            None => Err(store_differs(format!("it makes none for token {token}"))),
            Some(own) if own.signature.origin != signature.origin => {
                let block = own.signature.origin.block;
                Err(store_differs(format!("token {token} maps to block {block}")))
            }
            Some(own) => {
                let pairs = own.signature.matches.iter().zip(&signature.matches);
                match pairs.enumerate().find(|(_, (own, claimed))| own != claimed) {
                    None => Ok(()),
                    Some((index, (own, _))) => Err(store_differs(format!(
                        "match {index} is token {} with block {}",
                        own.token, own.block
                    ))),
                }
            }
        })
    }
}

fn token_block(record: &Record) -> TokenBlock {
    TokenBlock { token: record.token, block: record.block }
}

fn store_differs(reason: String) -> InvalidSignature {
    InvalidSignature::Store { reason }
}
