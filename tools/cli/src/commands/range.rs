//! `ringstore range` and `ringstore dump`.

use std::ops::Bound;
use std::path::{Path, PathBuf};

use clap::Args;
use ringstore::TokenId;

use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::progress::{Meter, Unit};

const RANGE_AFTER_HELP: &str = "\
Prints a line token,block,time for each token. The token given with --after or
--before is left out and need not exist. A range ends at the last token of the store,
or with --before at the first; it does not go on around the ring.

Examples:
  ringstore range my-store --limit 10
  ringstore range my-store --after 1000 --limit 10
  ringstore range my-store --before 1000 | head -n 3";

const DUMP_AFTER_HELP: &str = "\
Prints a line token,block,time for each token, ascending. `ringstore load` reads it.

Examples:
  ringstore dump my-store > tokens.csv
  ringstore dump my-store | ringstore load copy-of-my-store - --format csv
  ringstore --json dump my-store > tokens.jsonl";

/// Print tokens in order, upwards or downwards from a token.
#[derive(Args)]
#[command(after_help = RANGE_AFTER_HELP)]
pub(crate) struct Range {
    /// Directory of the store.
    store: PathBuf,

    /// Only tokens above this one, ascending.
    #[arg(long, value_name = "ID", conflicts_with = "before")]
    after: Option<TokenId>,

    /// Only tokens below this one, descending.
    #[arg(long, value_name = "ID")]
    before: Option<TokenId>,

    /// At most this many tokens.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// Print all tokens in order.
#[derive(Args)]
#[command(after_help = DUMP_AFTER_HELP)]
pub(crate) struct Dump {
    /// Directory of the store.
    store: PathBuf,
}

impl Range {
    pub(crate) fn run(self, output: &mut Output) -> Result<Exit, Failure> {
        let after = self.after.map_or(Bound::Unbounded, Bound::Excluded);
        let before = self.before.map_or(Bound::Unbounded, Bound::Excluded);
        print(&self.store, (after, before), self.before.is_some(), self.limit, output)
    }
}

impl Dump {
    pub(crate) fn run(self, output: &mut Output) -> Result<Exit, Failure> {
        print(&self.store, (Bound::Unbounded, Bound::Unbounded), false, None, output)
    }
}

fn print(
    store: &Path,
    bounds: (Bound<TokenId>, Bound<TokenId>),
    descending: bool,
    limit: Option<u64>,
    output: &mut Output,
) -> Result<Exit, Failure> {
    /// A look at the clock a record would be felt.
    const RECORDS_A_REPORT: u64 = 1 << 12;

    let snapshot = super::open(store)?.snapshot();
    let limit = limit.unwrap_or(u64::MAX);
    let total = snapshot.count(bounds)?.min(limit);
    let mut range = snapshot.range(bounds);
    let meter = Meter::new();
    for done in 0..total {
        let next = if descending { range.next_back() } else { range.next() };
        let Some(record) = next else { break };
        let (token, value) = record?;
        output.record(&token, &value)?;
        if done % RECORDS_A_REPORT == 0 && !output.is_terminal() {
            meter.show("printing", Unit::Records, done, Some(total));
        }
    }
    Ok(Exit::Done)
}
