//! `ringstore get`.

use std::path::PathBuf;

use clap::Args;
use ringstore::TokenId;

use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::talk::say;

const AFTER_HELP: &str = "\
Prints a line token,block,time for each token found, in the order asked for. The
others are named on standard error, and the exit code is then 1.

Examples:
  ringstore get my-store 42
  ringstore get my-store 00000000000000000000000000000000000000000000000000000000000000ff
  ringstore --json get my-store 42 43 44";

/// Look tokens up.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Get {
    /// Directory of the store.
    store: PathBuf,

    /// Tokens to look up.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<TokenId>,
}

impl Get {
    pub(crate) fn run(self, output: &mut Output) -> Result<Exit, Failure> {
        output.may_go_unread();
        let snapshot = super::open(&self.store)?.snapshot();
        let mut exit = Exit::Done;
        for token in &self.ids {
            if let Some(value) = snapshot.get(token)? {
                output.record(token, &value)?;
            } else {
                say(format_args!("token {token} is not in the store"));
                exit = Exit::Negative;
            }
        }
        Ok(exit)
    }
}
