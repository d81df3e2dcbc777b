//! `ringstore sign`, and the signature as it is printed.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use ringstore::{
    BlockId, CHUNKS, CHUNKS_UP, Chunks, PeerId, Signature, Signed, TokenBlock, TokenId,
};
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::talk::say;

const AFTER_HELP: &str = "\
The peer, the token and its block give ten chunks, numbers below 1024. The signature
is the first five tokens above whose last ten bits are the first five chunks, in order,
and then the first five below for the others. Beyond the last token comes the first.

There is no signature, and the exit code is 1, if the token is not in the store, or if
a chunk is not met on the whole way around. The latter is usual in a store of fewer
than about twenty thousand tokens.

`ringstore check` reads what --json prints.

Examples:
  ringstore sign my-store 42 --peer 7
  ringstore --json sign my-store 42 --peer 7 > signature.json
  ringstore --json sign my-store 42 --peer 7 | ringstore check --store my-store";

/// Make the signature that answers a peer's challenge.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Sign {
    /// Directory of the store.
    store: PathBuf,

    /// The token that the challenge is about.
    #[arg(value_name = "ID")]
    token: TokenId,

    /// The peer that poses the challenge.
    #[arg(long, value_name = "ID")]
    peer: PeerId,
}

/// A signature as it is printed, and read again to be checked.
///
/// The steps and the wrap tell how it was found and prove nothing: who writes one
/// for others may leave them out.
#[derive(Serialize, Deserialize)]
pub(super) struct Proof {
    pub(super) token: TokenId,
    pub(super) block: BlockId,
    pub(super) peer: PeerId,
    pub(super) chunks: Chunks,
    pub(super) signature: [TokenBlock; CHUNKS],
    pub(super) steps: Option<u64>,
    pub(super) wrapped: Option<bool>,
}

impl Sign {
    pub(crate) fn run(self, output: &mut Output) -> Result<Exit, Failure> {
        let snapshot = super::open(&self.store)?.snapshot();
        let Self { token, peer, .. } = self;
        if let Some(signed) = snapshot.sign(&token, &peer)? {
            let proof = Proof::new(peer, &signed);
            output.line(&proof, &proof)?;
            Ok(Exit::Done)
        } else {
            if snapshot.contains(&token)? {
                say(format_args!("no signature: not every chunk is met around token {token}"));
            } else {
                say(format_args!("no signature: token {token} is not in the store"));
            }
            Ok(Exit::Negative)
        }
    }
}

impl Proof {
    fn new(peer: PeerId, signed: &Signed) -> Self {
        let Signature { origin, matches } = signed.signature;
        Self {
            token: origin.token,
            block: origin.block,
            peer,
            chunks: signed.chunks,
            signature: matches,
            steps: Some(signed.steps),
            wrapped: Some(signed.wrapped),
        }
    }

    pub(super) fn signature(&self) -> Signature {
        let origin = TokenBlock { token: self.token, block: self.block };
        Signature { origin, matches: self.signature }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "token      {}", self.token)?;
        writeln!(f, "block      {}", self.block)?;
        writeln!(f, "peer       {}", self.peer)?;
        for (index, (chunk, met)) in self.chunks.iter().zip(&self.signature).enumerate() {
            let way = if index < CHUNKS_UP { "up" } else { "down" };
            writeln!(f, "{way:<4} {chunk:>4}  {},{}", met.token, met.block)?;
        }
        let steps = self.steps.unwrap_or_default();
        let wrapped = if self.wrapped == Some(true) { ", around the end of the ring" } else { "" };
        write!(f, "{steps} tokens passed{wrapped}")
    }
}
