//! `ringstore compact`.

use std::path::PathBuf;

use clap::Args;
use indicatif::HumanCount;
use ringstore::Store;
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::progress::Meter;
use crate::talk::say;

const AFTER_HELP: &str = "\
Writes all layers, and what is in the logs, to one layer, without what was replaced or
removed. So there has to be room for what will be left beside what there is. Others may
read meanwhile. If there is one layer already, nothing is done.

At Ctrl-C the store holds what it held, in the layers that it had; what was in the logs
may be a layer of its own.

Examples:
  ringstore compact my-store
  ringstore --json compact my-store";

/// Make one layer of all, which takes the least room and is read the fastest.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Compact {
    /// Directory of the store.
    store: PathBuf,
}

#[derive(Serialize)]
struct Report {
    tokens: u64,
    layers_before: u64,
    layers: u64,
    segment_bytes_before: u64,
    segment_bytes: u64,
}

impl Compact {
    pub(crate) fn run(self, output: &mut Output) -> Result<Exit, Failure> {
        let store = super::open_with_a_small_log(&self.store)?;
        let before = store.stat();
        compact(&store)?;
        let after = store.stat();
        store.close()?;
        let report = Report {
            tokens: after.tokens,
            layers_before: before.layers,
            layers: after.layers,
            segment_bytes_before: before.segment_bytes,
            segment_bytes: after.segment_bytes,
        };
        if output.is_json() {
            output.json_line(&report)?;
        } else {
            say(format_args!("{}: {}", self.store.display(), text_of(&report)));
        }
        Ok(Exit::Done)
    }
}

fn compact(store: &Store) -> Result<(), Failure> {
    let meter = Meter::new();
    Ok(store.compact(&|progress| meter.show_library(progress))?)
}

fn text_of(report: &Report) -> String {
    let count = HumanCount;
    format!(
        "{} tokens in {} layers, {} before; {} bytes of segments, {} before",
        count(report.tokens),
        count(report.layers),
        count(report.layers_before),
        count(report.segment_bytes),
        count(report.segment_bytes_before),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interrupt;
    use ringstore::{BlockTime, Error, Options, TokenId};

    #[test]
    fn ctrl_c_leaves_the_layers_as_they_are() {
        let test = "commands::compact::tests::ctrl_c_leaves_the_layers_as_they_are";
        interrupt::tests::after_ctrl_c(test, || {
            let directory = tempfile::tempdir().unwrap();
            let store = Store::create(directory.path(), &Options::new()).unwrap();
            for token in [1, 2] {
                store.put(&TokenId::from(token), BlockTime::new(2.into(), 3)).unwrap();
                if token == 1 {
                    store.flush().unwrap();
                }
            }
            let stopped = compact(&store);
            assert!(matches!(stopped, Err(Failure::Store(Error::Interrupted))), "{stopped:?}");
            assert_eq!((store.stat().tokens, store.stat().layers), (2, 2));
        });
    }
}
