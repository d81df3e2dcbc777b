//! The `ringstore-compare` command: its arguments, and how it ends.

use std::process::ExitCode;
use std::{panic, thread};

use clap::Parser;
use ringstore_compare::args::Args;
use ringstore_compare::exit::Exit;
use ringstore_compare::{run, say};

/// Room for engines that go deep: `rusty-leveldb` frees its cache by a recursion, one block
/// in another. No more of it is taken than is used.
const STACK_BYTES: usize = 1 << 30;

fn main() -> ExitCode {
    // Wrong usage ends the process here, with 2.
    let args = Args::parse();
    let comparing = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || compare(&args));
    match comparing.map(thread::JoinHandle::join) {
        Ok(Ok(exit)) => ExitCode::from(exit as u8),
        Ok(Err(panic)) => panic::resume_unwind(panic),
        Err(error) => {
            say(format_args!("cannot start a thread: {error}"));
            ExitCode::from(Exit::Io as u8)
        }
    }
}

fn compare(args: &Args) -> Exit {
    match run(args) {
        Ok(()) => Exit::Done,
        Err(failure) => {
            let exit = failure.exit();
            if exit != Exit::Done {
                say(failure);
            }
            exit
        }
    }
}
