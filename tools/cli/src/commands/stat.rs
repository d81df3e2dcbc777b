//! `ringstore stat`.

use std::path::PathBuf;

use clap::Args;
use indicatif::HumanCount;

use crate::exit::{Exit, Failure};
use crate::output::Output;

const AFTER_HELP: &str = "\
The delta is what was committed and is in no segment yet. It is held in memory, and in
logs, which are replayed whenever the store is opened. What a crash cut off of them
belongs to commits that were not acknowledged; the next writer leaves it out.

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
        ("commits replayed", count(stat.recovery.commits)),
        ("bytes cut off", count(stat.recovery.cut_bytes)),
    ];
    lines.map(|(name, figure)| format!("{name:<16}{figure:>20}")).join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringstore::{Options, Store};

    #[test]
    fn every_figure_has_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let mut stat = Store::create(directory.path(), &Options::new()).unwrap().stat();
        (stat.tokens, stat.layers, stat.segments, stat.delta) = (1_001, 2, 3, 4);
        (stat.segment_bytes, stat.log_bytes, stat.bytes_per_token) = (5, 6, Some(7.0));
        (stat.recovery.commits, stat.recovery.cut_bytes) = (8, 9);
        let lines = [
            "tokens                         1,001",
            "layers                             2",
            "segments                           3",
            "delta                              4",
            "segment bytes                      5",
            "log bytes                          6",
            "bytes per token                7.000",
            "commits replayed                   8",
            "bytes cut off                      9",
        ];
        assert_eq!(text_of(&stat), lines.join("\n"));
    }
}
