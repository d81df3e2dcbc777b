//! `ringstore remove`.

use std::path::PathBuf;

use clap::Args;
use ringstore::TokenId;
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::talk::say;

const AFTER_HELP: &str = "\
Waits until that is on disk. If the token is not in the store, the exit code is 1.

Examples:
  ringstore remove my-store 42
  ringstore --json remove my-store 42";

/// Remove a token.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Remove {
    /// Directory of the store.
    store: PathBuf,

    /// The token.
    #[arg(value_name = "ID")]
    token: TokenId,
}

#[derive(Serialize)]
struct Answer {
    token: TokenId,
    removed: bool,
}

impl Remove {
    pub(crate) fn run(self, output: &mut Output) -> Result<Exit, Failure> {
        let token = self.token;
        let store = super::open_with_a_small_log(&self.store)?;
        let removed = store.remove(&token)?;
        if output.is_json() {
            output.json_line(&Answer { token, removed })?;
        }
        store.close()?;
        if removed {
            if !output.is_json() {
                say(format_args!("token {token} removed"));
            }
            Ok(Exit::Done)
        } else {
            say(format_args!("token {token} is not in the store"));
            Ok(Exit::Negative)
        }
    }
}
