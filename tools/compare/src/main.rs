//! The `ringstore-compare` command: its arguments, and how it ends.

use std::process::ExitCode;

use clap::Parser;
use ringstore_compare::args::Args;
use ringstore_compare::exit::Exit;
use ringstore_compare::{run, say};

fn main() -> ExitCode {
    // Wrong usage ends the process here, with 2.
    let args = Args::parse();
    let exit = match run(&args) {
        Ok(()) => Exit::Done,
        Err(failure) => {
            let exit = failure.exit();
            if exit != Exit::Done {
                say(failure);
            }
            exit
        }
    };
    ExitCode::from(exit as u8)
}
