//! What the demo found, as a table.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::HumanCount;
use serde::Serialize;

use super::compare::{Comparison, Each};

#[derive(Serialize)]
pub(super) struct Report {
    pub(super) tokens: u64,
    /// How many of the signatures asked for could be made.
    pub(super) signed: u64,
    pub(super) differences: u64,
    pub(super) load_ns_per_token: Loaded,
    pub(super) bytes_per_token: Each<f64>,
    pub(super) operations: Vec<Comparison>,
}

/// Only these two write what they load to disk.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Loaded {
    pub(super) ringstore: f64,
    pub(super) redb: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY);
        table.set_header(["", "compared", "ringstore", "redb", "redb : ringstore", "sorted array"]);
        for Comparison { operation, compared, ns, .. } in &self.operations {
            table.add_row([
                (*operation).to_string(),
                HumanCount(*compared).to_string(),
                time(ns.ringstore),
                time(ns.redb),
                ratio(ns.redb, ns.ringstore),
                time(ns.array),
            ]);
        }
        let Loaded { ringstore, redb } = self.load_ns_per_token;
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
        let compared = self.operations.iter().map(|compared| compared.compared).sum();
        write!(
            f,
            "{} answers of each compared, {} signatures among them: {} differences",
            HumanCount(compared),
            HumanCount(self.signed),
            HumanCount(self.differences)
        )
    }
}

fn time(ns: f64) -> String {
    if ns < 1_000.0 { format!("{ns:.0} ns") } else { format!("{:.1} µs", ns / 1_000.0) }
}

fn ratio(one: f64, other: f64) -> String {
    if other > 0.0 { format!("{:.1}", one / other) } else { String::new() }
}
