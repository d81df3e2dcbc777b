//! The `ringstore` command.
//!
//! Data goes to standard output, talk and progress to standard error, and the exit
//! code says how it ended; see [`exit::Exit`].

mod args;
mod commands;
mod directories;
mod exit;
mod interrupt;
mod output;
mod progress;
mod random;
mod talk;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::args::Args;

fn main() -> ExitCode {
    let exit = match Args::try_parse() {
        Ok(args) => interrupt::install()
            .and_then(|()| commands::run(args.command, args.json, Args::command))
            .unwrap_or_else(|failure| failure.say()),
        Err(error) => args::say_error(&error),
    };
    ExitCode::from(exit as u8)
}
