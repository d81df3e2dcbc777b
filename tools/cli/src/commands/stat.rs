//! `ringstore stat`.

use std::path::PathBuf;

use clap::Args;
use indicatif::HumanCount;

use crate::exit::{Exit, Failure};
use crate::output::Output;

const AFTER_HELP: &str = "\
Examples:
  ringstore stat my-store
  ringstore --json stat my-store";

/// Print what a store holds and what room it takes.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Stat {
    /// Directory of the store.
    store: PathBuf,
}

impl Stat {
    pub(crate) fn run(self, output: &mut Output) -> Result<Exit, Failure> {
        let stat = super::open(&self.store)?.stat();
        output.line(text_of(&stat), stat)?;
        Ok(Exit::Done)
    }
}

fn text_of(stat: &ringstore::Stat) -> String {
    let count = |count| HumanCount(count).to_string();
    let lines = [
        ("tokens", count(stat.tokens)),
        ("layers", count(stat.layers)),
        ("segments", count(stat.segments)),
        ("delta", count(stat.delta)),
        ("segment bytes", count(stat.segment_bytes)),
        ("log bytes", count(stat.log_bytes)),
        ("bytes per token", stat.bytes_per_token.map_or("-".into(), |bytes| format!("{bytes:.3}"))),
    ];
    lines.map(|(name, figure)| format!("{name:<16}{figure:>20}")).join("\n")
}
