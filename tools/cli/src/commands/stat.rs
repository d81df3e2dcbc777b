//! `ringstore stat`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use indicatif::HumanCount;
use ringstore::{LayerStat, Options, Residency, ResidencyReport, Store};
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::progress::Meter;

const AFTER_HELP: &str = "\
The delta is what was committed and is in no segment yet. It is held in memory, and in
logs, which are replayed whenever the store is opened. When a log or the delta is full, it
becomes a layer of its own. What a crash cut off of the logs belongs to commits that were
not acknowledged; the next writer leaves it out.

Layers are listed with the newest first. An entry of a layer is fresh, or it updates or
removes a token of a layer below.

What is in memory is so for this command, which by itself reads little more than the
beginnings of files. With --residency it keeps them in memory as a program does that opens
the store with that option: so it is seen how much of them the system then has in huge
pages, has to copy, or lets be locked. Whatever is read for that is in the system's cache
from then on, for all programs.

With --json there is also what a process that has the store open keeps of older layers,
does in the background, and has written; of other processes that is not known.

Examples:
  ringstore stat my-store
  ringstore stat my-store --residency prefault
  ringstore --json stat my-store";

/// Print what a store holds and what room it takes.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Stat {
    /// Directory of the store.
    store: PathBuf,

    /// How the files are kept in memory meanwhile.
    #[arg(long, value_name = "MODE", default_value = "mapped")]
    #[arg(value_parser = PossibleValuesParser::new(MODES).map(|name| residency(&name)))]
    residency: Residency,
}

const MODES: [&str; 4] = ["mapped", "prefault", "locked", "huge-pages"];

fn residency(name: &str) -> Residency {
    let mut all = Residency::ALL.into_iter();
    all.find(|residency| residency.to_string() == name).unwrap_or_default()
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    stat: ringstore::Stat,
    residency: ResidencyReport,
}

impl Stat {
    pub(crate) fn run(self, output: &mut Output) -> Result<Exit, Failure> {
        let store = self.open()?;
        let (stat, residency) = (store.stat(), store.residency());
        output.line(text_of(&stat, &residency), Report { stat, residency })?;
        Ok(Exit::Done)
    }

    fn open(&self) -> Result<Store, Failure> {
        let store = super::open(&self.store)?;
        if self.residency == Residency::Mapped {
            return Ok(store);
        }
        // What takes long is done first, with a bar.
        let meter = Meter::new();
        store.prefault(&|progress| meter.show_library(progress))?;
        let options = Options::new().residency(self.residency);
        Ok(Store::open_read_only(&self.store, &options)?)
    }
}

fn text_of(stat: &ringstore::Stat, residency: &ResidencyReport) -> String {
    let count = |count| HumanCount(count).to_string();
    let known = |bytes: Option<u64>| bytes.map_or("-".into(), count);
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
        ("mapped bytes", count(residency.mapped_bytes)),
        ("copied bytes", count(residency.copied_bytes)),
        ("in memory", known(residency.resident_bytes)),
        ("in huge pages", known(residency.huge_bytes)),
        ("locked", known(residency.locked_bytes)),
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
    use ringstore::{BlockTime, TokenId};

    #[test]
    fn every_mode_has_its_name() {
        assert_eq!(MODES.map(residency), Residency::ALL);
        assert_eq!(Residency::ALL.map(|residency| residency.to_string()), MODES);
    }

    #[test]
    fn every_figure_has_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(directory.path(), &Options::new()).unwrap();
        let (mut stat, mut residency) = (store.stat(), store.residency());
        (stat.tokens, stat.layers, stat.segments, stat.delta) = (1_001, 0, 3, 4);
        (stat.segment_bytes, stat.log_bytes, stat.bytes_per_token) = (5, 6, Some(7.0));
        (stat.recovery.commits, stat.recovery.cut_bytes) = (8, 9);
        (residency.mapped_bytes, residency.copied_bytes) = (10, 11);
        residency.resident_bytes = Some(12);
        (residency.huge_bytes, residency.locked_bytes) = (Some(1_300), None);
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
            "mapped bytes                      10",
            "copied bytes                      11",
            "in memory                         12",
            "in huge pages                  1,300",
            "locked                             -",
        ];
        assert_eq!(text_of(&stat, &residency), lines.join("\n"));
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
        let text = text_of(&store.stat(), &store.residency());
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
