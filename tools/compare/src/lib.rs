//! ringstore and other engines, compared: the same tokens, the same questions, in turns.
//!
//! Every engine is filled with the same records and asked the same things through
//! [`TokenStorageBackend`](ringstore::TokenStorageBackend). The answers are compared
//! before any is timed, and once more after commits. See the package's README for what is fair about it, and
//! [`engines`] for how to add one.

mod answers;
pub mod args;
mod commits;
mod comparison;
mod data;
pub mod engines;
pub mod exit;
pub mod keys;
mod load;
mod machine;
mod reads;
mod results;
mod table;
mod talk;
mod timing;
pub mod walking;
pub mod workload;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};

use crate::args::Args;
use crate::comparison::Comparison;
use crate::exit::Failure;
use crate::machine::Machine;
use crate::results::Results;
pub use crate::talk::say;

/// Carries out the comparison that is asked for.
///
/// # Errors
///
/// [`Failure::Differ`] if an engine gives a wrong answer, else what could not be read or
/// written, or what an engine reports.
pub fn run(args: &Args) -> Result<(), Failure> {
    let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    fs::create_dir_all(&parent).map_err(Failure::io("create", &parent))?;
    let directory = tempfile::Builder::new()
        .prefix("ringstore-compare-")
        .tempdir_in(&parent)
        .map_err(Failure::io("create a directory in", &parent))?;
    if let Some(path) = &args.json {
        // Found out now rather than in the end; what is there stays until then.
        let opened = OpenOptions::new().create(true).append(true).open(path);
        opened.map_err(Failure::io("write", path))?;
    }
    let mut all = Results { machine: Machine::this(), tokens: args.tokens, measured: Vec::new() };
    for family in args.families() {
        let comparison = Comparison {
            family,
            tokens: args.tokens as usize,
            engines: &args.engines(),
            workloads: &args.workloads(),
            effort: args.effort(),
            directory: directory.path(),
        };
        let rows = comparison.measure()?;
        print(&format!("{}\n", table::of_family(&rows)))?;
        all.measured.extend(rows);
        // After each family: the next may take hours.
        if let Some(path) = &args.json {
            let text = serde_json::to_string(&all).map_err(io::Error::from);
            let written = text.and_then(|text| fs::write(path, text + "\n"));
            written.map_err(Failure::io("write", path))?;
        }
    }
    print(&table::verdict(&all.measured))?;
    directory.close().map_err(Failure::io("remove a directory in", &parent))
}

fn print(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).map_err(Failure::Output)
}
