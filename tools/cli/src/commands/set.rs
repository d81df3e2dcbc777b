//! `ringstore set`.

use std::path::PathBuf;

use clap::Args;
use ringstore::{BlockId, BlockTime, TokenId};
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::talk::say;

const AFTER_HELP: &str = "\
Writes where the token is not in the store, or is there with an earlier time, and waits
until that is on disk. Otherwise nothing changes, the exit code is 1, and what is there
is named. With --json it prints what the store holds afterwards, and whether this set it.

`ringstore apply` makes many changes, and can replace what is newer.

Examples:
  ringstore set my-store 42 7 1700000000
  ringstore --json set my-store 42 7 1700000000";

/// Map a token to a block and a time, if that is newer than what is there.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Set {
    /// Directory of the store.
    store: PathBuf,

    /// The token.
    #[arg(value_name = "ID")]
    token: TokenId,

    /// The block that it maps to.
    block: BlockId,

    /// The time that it maps to, a decimal number below 2^64.
    #[arg(allow_negative_numbers = true)]
    time: u64,
}

/// What the store holds afterwards.
#[derive(Serialize)]
struct Answer {
    token: TokenId,
    block: BlockId,
    time: u64,
    set: bool,
}

impl Set {
    pub(crate) fn run(self, output: &mut Output) -> Result<Exit, Failure> {
        let Self { token, block, time, .. } = self;
        let value = BlockTime::new(block, time);
        let store = super::open_with_a_small_log(&self.store)?;
        let set = store.set(&token, value)?;
        let BlockTime { block, time } = store.snapshot().get(&token)?.unwrap_or(value);
        if output.is_json() {
            output.json_line(&Answer { token, block, time, set })?;
        }
        store.close()?;
        if set {
            if !output.is_json() {
                say(format_args!("token {token} set"));
            }
            Ok(Exit::Done)
        } else {
            say(format_args!("token {token} not set: it has block {block} and time {time}"));
            Ok(Exit::Negative)
        }
    }
}
