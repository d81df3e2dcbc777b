//! What the demo found, as a table.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::HumanCount;
use serde::Serialize;

use super::commits::{Commits, OnDisk};
use super::compare::{Comparison, Each};

#[derive(Serialize)]
pub(super) struct Report {
    pub(super) tokens: u64,
    /// How many of the signatures asked for could be made.
    pub(super) signed: u64,
    pub(super) differences: u64,
    pub(super) load_ns_per_token: OnDisk<f64>,
    pub(super) bytes_per_token: Each<f64>,
    pub(super) operations: Vec<Comparison>,
    pub(super) commits: Commits,
    pub(super) operations_after_commits: Vec<Comparison>,
}

impl Report {
    /// Some of the differences, in words.
    pub(super) fn examples(&self) -> impl Iterator<Item = &String> {
        let after = &self.operations_after_commits;
        let operations = self.operations.iter().chain(after).flat_map(|asked| &asked.examples);
        operations.chain(&self.commits.examples)
    }

    /// How many questions each engine answered.
    fn compared(&self) -> u64 {
        let operations = self.operations.iter().chain(&self.operations_after_commits);
        operations.map(|asked| asked.compared).sum::<u64>() + self.commits.compared
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY);
        table.set_header(["", "compared", "ringstore", "redb", "redb : ringstore", "sorted array"]);
        for asked in &self.operations {
            table.add_row(row(asked.operation.to_string(), asked));
        }
        let OnDisk { ringstore, redb } = self.commits.ns_per_commit;
        table.add_row([
            "commit".to_string(),
            HumanCount(self.commits.compared).to_string(),
            time(ringstore),
            time(redb),
            ratio(redb, ringstore),
            String::new(),
        ]);
        for asked in &self.operations_after_commits {
            table.add_row(row(format!("{} after", asked.operation), asked));
        }
        let OnDisk { ringstore, redb } = self.load_ns_per_token;
        table.add_row([
            "load-sorted".to_string(),
            String::new(),
            time(ringstore),
            time(redb),
            ratio(redb, ringstore),
            String::new(),
        ]);
        let Each { ringstore, redb, array } = self.bytes_per_token;
        table.add_row([
            "bytes per token".to_string(),
            String::new(),
            format!("{ringstore:.2}"),
            format!("{redb:.2}"),
            ratio(redb, ringstore),
            format!("{array:.2}"),
        ]);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(f, "{table}")?;
        write!(
            f,
            "{} answers of each compared, {} signatures among them: {} differences",
            HumanCount(self.compared()),
            HumanCount(self.signed),
            HumanCount(self.differences)
        )
    }
}

fn row(name: String, Comparison { compared, ns, .. }: &Comparison) -> [String; 6] {
    [
        name,
        HumanCount(*compared).to_string(),
        time(ns.ringstore),
        time(ns.redb),
        ratio(ns.redb, ns.ringstore),
        time(ns.array),
    ]
}

fn time(ns: f64) -> String {
    if ns < 1_000.0 { format!("{ns:.0} ns") } else { format!("{:.1} µs", ns / 1_000.0) }
}

fn ratio(one: f64, other: f64) -> String {
    if other > 0.0 { format!("{:.1}", one / other) } else { String::new() }
}
