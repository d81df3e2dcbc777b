//! `ringstore expire`.

use std::path::PathBuf;

use clap::Args;
use indicatif::HumanCount;
use ringstore::{Expired, Options, Store};

use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::progress::Meter;
use crate::talk::say;

const AFTER_HELP: &str = "\
Looks at all tokens, removes those whose time is below the one that is given, and waits
until that is on disk. Others may read meanwhile. That there are none is no error, nor is a time that
is still to come. At Ctrl-C what was removed by then stays removed, and how much that was is
said, or printed with --json.

Removals take room, and what they remove keeps its own until layers are made one:
`ringstore compact` gives it back.

Examples:
  ringstore expire my-store --before 1700000000
  ringstore expire my-store --before $(date -d '30 days ago' +%s)
  ringstore expire my-store --before 1700000000 && ringstore compact my-store";

/// Remove what is older than a time.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Expire {
    /// Directory of the store.
    store: PathBuf,

    /// Tokens with a time below this are removed: a decimal number below 2^64, in whatever
    /// unit the store has.
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    before: u64,
}

impl Expire {
    pub(crate) fn run(self, output: &mut Output) -> Result<Exit, Failure> {
        let store = super::open_to_write(&self.store, &Options::new())?;
        let expired = expire(&store, self.before)?;
        if output.is_json() {
            output.json_line(&expired)?;
        }
        store.close()?;
        let [examined, removed] = [expired.examined, expired.removed].map(HumanCount);
        if !expired.is_complete {
            say(format_args!("interrupted; {examined} tokens looked at, {removed} removed"));
            return Ok(Exit::Interrupted);
        }
        if !output.is_json() {
            let store = self.store.display();
            say(format_args!("{store}: {examined} tokens looked at, {removed} removed"));
        }
        Ok(Exit::Done)
    }
}

fn expire(store: &Store, before: u64) -> Result<Expired, Failure> {
    let meter = Meter::new();
    Ok(store.expire(before, &|progress| meter.show_library(progress))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interrupt;
    use ringstore::{BlockTime, TokenId};

    /// What is removed then is nothing, as it stops before it looks at anything.
    #[test]
    fn ctrl_c_ends_an_expiry_as_far_as_it_is() {
        let test = "commands::expire::tests::ctrl_c_ends_an_expiry_as_far_as_it_is";
        interrupt::tests::after_ctrl_c(test, || {
            let directory = tempfile::tempdir().unwrap();
            let store = Store::create(directory.path(), &Options::new()).unwrap();
            store.put(&TokenId::from(1), BlockTime::new(2.into(), 3)).unwrap();
            let expired = expire(&store, 4).unwrap();
            assert!(!expired.is_complete);
            assert_eq!((expired.removed, store.stat().tokens), (0, 1));
        });
    }
}
