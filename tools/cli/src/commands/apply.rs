//! `ringstore apply`.

use std::io::BufRead;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ringstore::{Batch, Durability, Error, Options, Store};
use ringstore_cli::input::{Lines, Operation, Source, Watch, parse_operation};
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::output::Output;
use crate::talk::say;

const AFTER_HELP: &str = "\
Reads JSON objects from standard input, one a line:
  {\"op\":\"put\",\"token\":…,\"block\":…,\"time\":…}   map the token, whatever is there
  {\"op\":\"set\",\"token\":…,\"block\":…,\"time\":…}   only where it is absent or the time later
  {\"op\":\"remove\",\"token\":…}                   remove the token, if it is there
  {\"op\":\"commit\"}                             make all changes since the last commit
Ids are strings of 64 hex digits, with or without 0x, or of a decimal number, or numbers;
the time is a number. Both are below 2^64 as numbers.

The operations of a commit take effect together, in their order, and are held in memory
until then. Once they are durable, a line {\"committed\":N} is printed, N being the number
of operations; the next line is read after that. Durable means on disk; with
`--durability buffered`, which is much faster, it means that they survive this process
but perhaps not the power, until the input has ended.

What was answered stays, whatever comes later. If a line is wrong, it is named, the exit
code is 2, and the operations since the last commit are dropped. It is the same if the
input ends with operations that were not committed, and at Ctrl-C, but for the exit code.

Examples:
  ringstore apply my-store < operations.jsonl
  my-node --changes | ringstore apply my-store --durability buffered
  ringstore load my-store /dev/null --format csv    (creates an empty store)";

/// Apply batches of changes from standard input.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Apply {
    /// Directory of the store.
    store: PathBuf,

    /// When a commit is answered: once it is on disk, or once the operating system has it.
    #[arg(long, value_name = "DURABILITY", default_value = "synced")]
    durability: DurabilityArg,
}

#[derive(Clone, Copy, ValueEnum)]
enum DurabilityArg {
    Synced,
    Buffered,
}

impl From<DurabilityArg> for Durability {
    fn from(durability: DurabilityArg) -> Self {
        match durability {
            DurabilityArg::Synced => Self::Synced,
            DurabilityArg::Buffered => Self::Buffered,
        }
    }
}

#[derive(Serialize)]
struct Answer {
    committed: usize,
}

impl Apply {
    pub(crate) fn run(self, output: &mut Output) -> Result<Exit, Failure> {
        let options = Options::new().durability(self.durability.into());
        let store = super::open_to_write(&self.store, &options)?;
        let source = Source::Stdin;
        let mut lines = Lines::new(source.to_string(), source.read(Watch::new(interrupt::flag())));
        let mut batch = Batch::new();
        let applied = apply(&mut lines, &store, &mut batch, output);
        let closed = store.close();
        let dropped = match batch.len() {
            1 => "1 operation was".to_string(),
            count => format!("{count} operations were"),
        };
        match applied {
            Err(Failure::Store(Error::Interrupted)) => {
                say(format_args!("interrupted; {dropped} not committed"));
                closed?;
                Ok(Exit::Interrupted)
            }
            Ok(()) if !batch.is_empty() => {
                say(format_args!("standard input ended within a batch; {dropped} not committed"));
                closed?;
                Ok(Exit::Usage)
            }
            applied => {
                applied?;
                closed?;
                Ok(Exit::Done)
            }
        }
    }
}

/// Applies operations, line by line. What is left in the batch was not committed.
fn apply(
    lines: &mut Lines<impl BufRead>,
    store: &Store,
    batch: &mut Batch,
    output: &mut Output,
) -> Result<(), Failure> {
    while let Some(operation) = lines.parse_next(parse_operation)? {
        match operation {
            Operation::Put(record) => batch.put(record.token, record.value()),
            Operation::Set(record) => batch.set(record.token, record.value()),
            Operation::Remove(token) => batch.remove(token),
            Operation::Commit => {
                store.commit(batch)?;
                output.json_line(&Answer { committed: batch.len() })?;
                output.flush()?;
                batch.clear();
                // What was read at once may hold many commits.
                interrupt::check()?;
                continue;
            }
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringstore::TokenId;

    /// The second commit was read together with the first.
    #[test]
    fn ctrl_c_comes_between_two_commits() {
        let test = "commands::apply::tests::ctrl_c_comes_between_two_commits";
        interrupt::tests::after_ctrl_c(test, || {
            let directory = tempfile::tempdir().unwrap();
            let store = Store::create(directory.path(), &Options::new()).unwrap();
            let input = r#"{"op":"put","token":1,"block":2,"time":3}
                {"op":"commit"}
                {"op":"put","token":4,"block":5,"time":6}
                {"op":"commit"}"#;
            let mut lines = Lines::new("test", input.as_bytes());
            let mut output = Output::new(true);
            let ended = apply(&mut lines, &store, &mut Batch::new(), &mut output);
            assert!(matches!(ended, Err(Failure::Store(Error::Interrupted))));
            let snapshot = store.snapshot();
            let has = |token| snapshot.contains(&TokenId::from(token)).unwrap();
            assert!(has(1) && !has(4));
        });
    }
}
