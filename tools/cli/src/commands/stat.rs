//! `ringstore stat`.

use std::path::PathBuf;

use clap::Args;
use indicatif::HumanCount;
use ringstore::LayerStat;

use crate::exit::{Exit, Failure};
use crate::output::Output;

const AFTER_HELP: &str = "\
The delta is what was committed and is in no segment yet. It is held in memory, and in
logs, which are replayed whenever the store is opened. When a log or the delta is full, it
becomes a layer of its own. What a crash cut off of the logs belongs to commits that were
not acknowledged; the next writer leaves it out.

Layers are listed with the newest first. An entry of a layer is fresh, or it updates or
removes a token of a layer below.

With --json there is also what a process that has the store open keeps of older layers,
does in the background, and has written; of other processes that is not known.

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
    let sum = |of: fn(&LayerStat) -> u64| count(stat.each_layer.iter().map(of).sum());
    let lines = [
        ("tokens", count(stat.tokens)),
        ("layers", count(stat.layers)),
        ("segments", count(stat.segments)),
        ("delta", count(stat.delta)),
        ("segment bytes", count(stat.segment_bytes)),
        ("of postings", sum(|layer| layer.postings_bytes)),
        ("of directories", sum(|layer| layer.directory_bytes)),
        ("log bytes", count(stat.log_bytes)),
        ("bytes per token", stat.bytes_per_token.map_or("-".into(), |bytes| format!("{bytes:.3}"))),
        ("commits replayed", count(stat.recovery.commits)),
        ("bytes cut off", count(stat.recovery.cut_bytes)),
    ];
    let lines = lines.iter().map(|(name, figure)| format!("{name:<16}{figure:>20}"));
    let title = ["layer", "fresh", "updates", "removals", "bytes"];
    let row = |cells: [&str; 5]| {
        let [name, fresh, updates, removals, bytes] = cells;
        format!("{name:<6}{fresh:>16}{updates:>14}{removals:>14}{bytes:>20}")
    };
    let layers = stat.each_layer.iter().zip(1..).map(|(layer, number)| {
        let figures = [layer.fresh, layer.updates, layer.tombstones, layer.bytes].map(count);
        let [fresh, updates, removals, bytes] = figures.each_ref().map(String::as_str);
        row([&count(number), fresh, updates, removals, bytes])
    });
    let table = [String::new(), row(title)].into_iter().chain(layers);
    let has_layers = stat.layers > 0;
    lines.chain(table.filter(|_| has_layers)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringstore::{BlockTime, Options, Store, TokenId};

    #[test]
    fn every_figure_has_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let mut stat = Store::create(directory.path(), &Options::new()).unwrap().stat();
        (stat.tokens, stat.layers, stat.segments, stat.delta) = (1_001, 0, 3, 4);
        (stat.segment_bytes, stat.log_bytes, stat.bytes_per_token) = (5, 6, Some(7.0));
        (stat.recovery.commits, stat.recovery.cut_bytes) = (8, 9);
        let lines = [
            "tokens                         1,001",
            "layers                             0",
            "segments                           3",
            "delta                              4",
            "segment bytes                      5",
            "of postings                        0",
            "of directories                     0",
            "log bytes                          6",
            "bytes per token                7.000",
            "commits replayed                   8",
            "bytes cut off                      9",
        ];
        assert_eq!(text_of(&stat), lines.join("\n"));
    }

    #[test]
    fn every_layer_has_its_line() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(directory.path(), &Options::new()).unwrap();
        store.pause_compaction().unwrap();
        let (token, value) = (TokenId::from(1), BlockTime::new(2.into(), 3));
        store.put(&token, value).unwrap();
        store.put(&TokenId::from(2), value).unwrap();
        store.flush().unwrap();
        store.put(&token, BlockTime::default()).unwrap();
        store.remove(&TokenId::from(2)).unwrap();
        store.flush().unwrap();
        let text = text_of(&store.stat());
        let lines: Vec<_> = text.lines().rev().take(3).map(|line| &line[..50]).collect();
        assert_eq!(
            lines,
            [
                "2                    2             0             0",
                "1                    0             1             1",
                "layer            fresh       updates      removals",
            ]
        );
    }
}
