//! `ringstore check`.

use std::path::PathBuf;

use clap::Args;
use ringstore::{Snapshot, TokenId};
use ringstore_cli::input::{Lines, Source, Watch, parse_json};
use serde::Serialize;

use super::sign::Proof;
use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::output::Output;

const AFTER_HELP: &str = "\
Reads what `ringstore --json sign` prints: a JSON object on one line for each signature.
(`jq -c .` puts objects that are spread over lines on one again.)
Without a store it checks that the chunks follow from the challenge, that the tokens
end in the chunks, and that a walk around the ring meets them in this order. With a
store it also signs again and compares.

Prints a line for each signature. The exit code is 1 if any does not hold.

Examples:
  ringstore check signature.json
  ringstore --json sign my-store 42 --peer 7 | ringstore check
  ringstore check --store my-store signatures.jsonl";

/// Check signatures.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Check {
    /// Directory of a store to compare with.
    #[arg(long, value_name = "STORE")]
    store: Option<PathBuf>,

    /// File of signatures; - is standard input.
    #[arg(default_value = "-")]
    file: PathBuf,
}

/// The answer about one signature.
#[derive(Serialize)]
struct Verdict {
    token: TokenId,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Check {
    pub(crate) fn run(self, output: &mut Output) -> Result<Exit, Failure> {
        output.may_go_unread();
        let snapshot = match &self.store {
            Some(store) => Some(super::open(store)?.snapshot()),
            None => None,
        };
        let source = Source::of_arg(self.file);
        let name = source.to_string();
        let mut lines = Lines::new(&name, source.read(Watch::new(interrupt::flag())));
        let mut exit = None;
        while let Some(proof) = lines.parse_next(|line| parse_json::<Proof>(line))? {
            let reason = fault(&proof, snapshot.as_ref())?;
            if reason.is_some() {
                exit = Some(Exit::Negative);
            }
            exit = exit.or(Some(Exit::Done));
            let token = proof.token;
            let text = match &reason {
                None => format!("ok {token}"),
                Some(reason) => format!("failed {token}: {reason}"),
            };
            output.line(text, Verdict { token, ok: reason.is_none(), reason })?;
            // Who writes signatures one by one into a pipe may wait for the answer.
            output.flush()?;
        }
        exit.ok_or_else(|| Failure::Usage(format!("there is no signature in {name}")))
    }
}

/// Why the signature does not hold, if it does not.
fn fault(proof: &Proof, snapshot: Option<&Snapshot>) -> Result<Option<String>, Failure> {
    let expected = ringstore::chunks(&proof.peer, &proof.token, &proof.block);
    if let Some(index) = (0..expected.len()).find(|&index| proof.chunks[index] != expected[index]) {
        let (found, expected) = (proof.chunks[index], expected[index]);
        return Ok(Some(format!(
            "chunk {index} is {found}, but the challenge leads to {expected}"
        )));
    }
    if let Err(invalid) = proof.signature().check(&proof.peer) {
        return Ok(Some(invalid.to_string()));
    }
    let Some(snapshot) = snapshot else { return Ok(None) };
    if let Err(invalid) = snapshot.check(&proof.signature(), &proof.peer)? {
        return Ok(Some(invalid.to_string()));
    }
    let Some(signed) = snapshot.sign(&proof.token, &proof.peer)? else { return Ok(None) };
    if proof.steps.is_some_and(|steps| steps != signed.steps) {
        return Ok(Some(format!("the store's own walk takes {} steps", signed.steps)));
    }
    if proof.wrapped.is_some_and(|wrapped| wrapped != signed.wrapped) {
        let does = if signed.wrapped { "passes" } else { "does not pass" };
        return Ok(Some(format!("the store's own walk {does} an end of the ring")));
    }
    Ok(None)
}
