//! Answering challenges, and checking answers against a store.

use crate::challenge::{CHUNKS, Signature, Signed, TokenBlock, chunks};
use crate::error::{InvalidSignature, Result};
use crate::snapshot::Snapshot;
use crate::snapshot::view::Place;
use crate::snapshot::walk::SIGNATURE_TURNS;
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
        let view = self.view();
        let found = view.base().find(token)?;
        let Some(record) = view.newest(token, found)? else {
            return Ok(None);
        };
        let origin = token_block(record);
        let chunks = chunks(peer, &origin.token, &origin.block);
        let mut places = [Place::default(); CHUNKS];
        let summary = view.walk(token, found, &SIGNATURE_TURNS, &chunks, &mut places)?;
        if !summary.complete {
            return Ok(None);
        }
        view.prefetch_records(&places);
        let matches = [TokenBlock::default(); CHUNKS];
        let mut signed = Signed {
            signature: Signature { origin, matches },
            chunks,
            steps: summary.steps,
            wrapped: summary.wrapped,
        };
        for (met, place) in signed.signature.matches.iter_mut().zip(places) {
            if let Some(record) = view.record(place)? {
                *met = token_block(record);
            }
        }
        Ok(Some(signed))
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
