//! The commands, each in a file with its arguments and its help.

mod apply;
mod check;
mod checkpoint;
mod compact;
mod completions;
mod demo;
mod expire;
mod generate;
mod get;
mod load;
mod range;
mod remove;
mod salvage;
mod set;
mod sign;
mod stat;
mod verify;

use std::path::Path;

use clap::Subcommand;
use ringstore::{Options, Store};

use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::output::Output;
use crate::talk::say;

#[derive(Subcommand)]
pub(crate) enum Command {
    Demo(demo::Demo),
    Generate(generate::Generate),
    Load(load::Load),
    Get(get::Get),
    Set(set::Set),
    Remove(remove::Remove),
    Apply(apply::Apply),
    Range(range::Range),
    Sign(sign::Sign),
    Check(check::Check),
    Stat(stat::Stat),
    Verify(verify::Verify),
    Compact(compact::Compact),
    Expire(expire::Expire),
    Checkpoint(checkpoint::Checkpoint),
    Salvage(salvage::Salvage),
    Dump(range::Dump),
    Completions(completions::Completions),
}

/// Carries out a command. `definition` is that of the command line, for who has to
/// know all of it.
pub(crate) fn run(
    command: Command,
    json: bool,
    definition: fn() -> clap::Command,
) -> Result<Exit, Failure> {
    let mut output = Output::new(json);
    let exit = match command {
        Command::Demo(demo) => demo.run(&mut output),
        Command::Generate(generate) => generate.run(&mut output),
        Command::Load(load) => load.run(&mut output),
        Command::Get(get) => get.run(&mut output),
        Command::Set(set) => set.run(&mut output),
        Command::Remove(remove) => remove.run(&mut output),
        Command::Apply(apply) => apply.run(&mut output),
        Command::Range(range) => range.run(&mut output),
        Command::Sign(sign) => sign.run(&mut output),
        Command::Check(check) => check.run(&mut output),
        Command::Stat(stat) => stat.run(&mut output),
        Command::Verify(verify) => verify.run(&mut output),
        Command::Compact(compact) => compact.run(&mut output),
        Command::Expire(expire) => expire.run(&mut output),
        Command::Checkpoint(checkpoint) => checkpoint.run(&mut output),
        Command::Salvage(salvage) => salvage.run(&mut output),
        Command::Dump(dump) => dump.run(&mut output),
        Command::Completions(completions) => completions.run(&mut output, definition()),
    };
    // What was found before an error is worth printing. That nobody reads it changes no
    // verdict.
    match output.flush() {
        Err(failure) if exit.is_ok() && !failure.is_closed_pipe() => Err(failure),
        _ => exit,
    }
}

/// Opens a store to read it.
fn open(path: &Path) -> Result<Store, Failure> {
    Ok(Store::open_read_only(path, &Options::new())?)
}

/// Opens a store to write to it. From here on Ctrl-C comes between commits.
fn open_to_write(path: &Path, options: &Options) -> Result<Store, Failure> {
    interrupt::defer();
    let store = Store::open(path, options)?;
    let cut_bytes = store.stat().recovery.cut_bytes;
    if cut_bytes > 0 {
        // Who opens the store next no longer finds them.
        say(format_args!(
            "{}: left out {cut_bytes} bytes of commits that a crash cut off, none of them acknowledged",
            path.display()
        ));
    }
    interrupt::check()?;
    Ok(store)
}

/// Opens a store for a command that commits little or nothing: the log that opening begins
/// need have no room for more.
fn open_with_a_small_log(path: &Path) -> Result<Store, Failure> {
    open_to_write(path, &Options::new().log_bytes(Options::LOG_BYTES_MIN))
}
