//! ringstore and other engines, compared: the same tokens, the same questions, in turns.
//!
//! Every engine is filled with the same records and asked the same things through
//! [`TokenStorageBackend`](ringstore::TokenStorageBackend). The answers are compared
//! before any is timed, and once more after commits. See the package's README for what is
//! fair about it, and [`engines`] for how to add one.

mod answers;
pub mod args;
mod cold;
mod comparison;
mod data;
pub mod engines;
pub mod exit;
mod interrupt;
pub mod keys;
mod load;
mod machine;
mod opens;
mod page_cache;
#[cfg(test)]
mod passing;
mod plots;
mod reads;
mod regressions;
mod report;
mod results;
mod room;
mod rows;
mod scratch;
mod table;
mod talk;
mod timing;
mod turns;
pub mod workload;
mod writes;

use std::fs::{self, OpenOptions};

use crate::args::{Args, Command};
use crate::comparison::Comparison;
use crate::exit::Failure;
use crate::machine::Machine;
use crate::results::{Measured, Results};
use crate::room::Room;
use crate::scratch::Scratch;
use crate::talk::print;
pub use crate::talk::say;

/// Carries out the comparison that is asked for, or tells of earlier ones.
///
/// # Errors
///
/// What could not be read or written. Once all else was measured, [`Failure::LeftOut`] if an
/// engine gave a wrong answer, or failed, and [`Failure::Regressed`] if that was asked for.
pub fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Some(Command::Report(wanted)) => return report::run(wanted),
        Some(Command::Regressions(wanted)) => return regressions::run(wanted),
        None => interrupt::install()?,
    }
    // That nobody reads the tables is no reason to stop.
    let mut printed = Ok(());
    let results = measure(args, |rows| {
        for rows in table::groups(rows) {
            if printed.is_ok() {
                printed = print(&format!("{}\n", table::of(&rows)));
            }
        }
    })?;
    printed = printed.and_then(|()| print(&table::verdict(&results.measured)));
    if let Some(path) = &args.plots {
        plots::write(&results.measured, path)?;
    }
    results.verdict()?;
    printed
}

/// Measures what is asked for. `tell` is given the results of each family of keys.
fn measure(args: &Args, mut tell: impl FnMut(&[Measured])) -> Result<Results, Failure> {
    let parent = args.how.dir.clone().unwrap_or_else(std::env::temp_dir);
    let scratch = Scratch::in_directory(&parent)?;
    let engines = args.engines();
    if !args.how.ignore_room {
        let needed = Room::needed(args.tokens.into(), args.density, &engines);
        needed.check(Room::available(scratch.path())?)?;
    }
    if let Some(path) = &args.json {
        // Found out now rather than later; what is there stays until then.
        let opened = OpenOptions::new().create(true).append(true).open(path);
        opened.map_err(Failure::io("write", path))?;
    }
    if let Some(path) = &args.plots {
        fs::create_dir_all(path).map_err(Failure::io("create", path))?;
    }
    let mut results = Results {
        machine: Machine::this().with(args.residency),
        tokens: args.tokens,
        density: args.density,
        walks: Vec::new(),
        measured: Vec::new(),
        failed: Vec::new(),
        path: args.json.clone(),
    };
    if args.json.as_ref().is_some_and(|path| path.metadata().is_ok_and(|file| file.len() == 0)) {
        results.save()?;
    }
    for family in args.families() {
        let first = results.measured.len();
        let comparison = Comparison {
            family,
            tokens: args.tokens as usize,
            density: args.density,
            engines: &engines,
            workloads: &args.workloads(),
            threads: &args.threads(),
            effort: args.how.effort(),
            directory: scratch.path(),
        };
        let measured = comparison.measure(&mut results);
        talk::end();
        tell(&results.measured[first..]);
        measured?;
    }
    scratch.remove()?;
    Ok(results)
}
