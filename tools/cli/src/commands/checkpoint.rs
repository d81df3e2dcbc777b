//! `ringstore checkpoint`.

use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::HumanCount;
use ringstore::{Checkpoint as Made, Store};

use crate::directories::Missing;
use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::output::Output;
use crate::progress::Meter;
use crate::talk::say;

const AFTER_HELP: &str = "\
The new store holds what this one holds at one moment, even while another process writes to
it. It goes its own way from then on. Its directory must be missing or empty.

On the same file system the files of both are linked, which takes neither time nor room; on
another one they are copied. What is in logs only is written anew. When it ends, all of it
is on disk; if it fails, or at Ctrl-C, nothing is left of it. Whether files are damaged is
not looked at: `ringstore verify` does that.

Examples:
  ringstore checkpoint my-store my-store-yesterday
  ringstore checkpoint my-store /mnt/backup/my-store
  ringstore checkpoint my-store copy && ringstore verify copy";

/// Make a store of its own of what a store holds now.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Checkpoint {
    /// Directory of the store.
    store: PathBuf,

    /// Directory of the new store.
    #[arg(value_name = "DEST")]
    destination: PathBuf,
}

impl Checkpoint {
    pub(crate) fn run(self, output: &mut Output) -> Result<Exit, Failure> {
        let Self { store: path, destination } = self;
        interrupt::defer();
        let store = super::open(&path)?;
        refuse_inside(&path, &destination)?;
        let made = make(&store, &destination)?;
        let Made { tokens, linked_bytes, copied_bytes, written_bytes, .. } = made;
        if output.is_json() {
            output.json_line(&made)?;
        } else {
            let [tokens, linked, copied, written] =
                [tokens, linked_bytes, copied_bytes, written_bytes].map(HumanCount);
            say(format_args!(
                "{tokens} tokens in {}: {linked} bytes linked, {copied} copied, {written} written",
                destination.display()
            ));
        }
        Ok(Exit::Done)
    }
}

/// Fails where the new store would be a directory within the old one, which is for its own
/// files.
fn refuse_inside(store: &Path, destination: &Path) -> Result<(), Failure> {
    let store = store.canonicalize().map_err(Failure::io("open", store))?;
    let mut above = destination.ancestors().skip(1).map(|above| match above.as_os_str().len() {
        0 => Path::new("."),
        _ => above,
    });
    // What does not exist yet is as far inside as where it is to be made.
    let Some(Ok(above)) = above.find(|above| above.exists()).map(Path::canonicalize) else {
        return Ok(());
    };
    if above.starts_with(&store) {
        let (destination, store) = (destination.display(), store.display());
        return Err(Failure::Usage(format!(
            "{destination} is in the directory of the store, {store}; name one elsewhere"
        )));
    }
    Ok(())
}

/// Makes all of it, or nothing.
fn make(store: &Store, destination: &Path) -> Result<Made, Failure> {
    let missing = Missing::above(destination);
    let meter = Meter::new();
    let made = store.checkpoint(destination, &|progress| meter.show_library(progress));
    if made.is_err() {
        missing.remove();
    }
    Ok(made?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringstore::{BlockTime, Error, Options, TokenId};

    #[test]
    fn a_checkpoint_that_is_interrupted_leaves_nothing() {
        let test = "commands::checkpoint::tests::a_checkpoint_that_is_interrupted_leaves_nothing";
        interrupt::tests::after_ctrl_c(test, || {
            let directory = tempfile::tempdir().unwrap();
            let store = Store::create(directory.path().join("store"), &Options::new()).unwrap();
            store.put(&TokenId::from(1), BlockTime::new(2.into(), 3)).unwrap();
            let stopped = make(&store, &directory.path().join("a/new/copy"));
            assert!(matches!(stopped, Err(Failure::Store(Error::Interrupted))), "{stopped:?}");
            assert!(!directory.path().join("a").exists());
            let there = directory.path().join("there");
            std::fs::create_dir(&there).unwrap();
            let stopped = make(&store, &there);
            assert!(matches!(stopped, Err(Failure::Store(Error::Interrupted))), "{stopped:?}");
            assert_eq!(std::fs::read_dir(&there).unwrap().count(), 0);
        });
    }
}
