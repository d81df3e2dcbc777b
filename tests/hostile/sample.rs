//! A store with a segment and a log, what it holds, and this program run once more by itself.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ringstore::testing::keys::{KeyFamily, with_values};
use ringstore::testing::oracle::Oracle;
use ringstore::{BlockTime, LoadOptions, Options, Record, Store, TokenId};
use tempfile::TempDir;

/// Where the store is that another process is to open.
const PLACE: &str = "RINGSTORE_HOSTILE_TEST_STORE";

/// Of the log, which has more entries than its first block.
const LOGGED: u64 = 20;

pub(crate) struct Sample {
    pub(crate) directory: TempDir,
    pub(crate) oracle: Oracle,
}

/// As small a log as there can be.
pub(crate) fn options() -> Options {
    Options::new().log_bytes(Options::LOG_BYTES_MIN)
}

/// A store that was closed.
pub(crate) fn sample(tokens: usize) -> Sample {
    let directory = tempfile::tempdir().unwrap();
    let mut oracle: Oracle = with_values(KeyFamily::Uniform.generate(tokens, 1), 1).collect();
    let store = Store::create(directory.path().join("store"), &options()).unwrap();
    let records = oracle.tokens.iter().map(|(token, value)| Ok(Record::new(*token, *value)));
    store.bulk_load(records, &LoadOptions::new()).unwrap();
    for id in 0..LOGGED {
        let (token, value) = (TokenId::from(id), BlockTime::new(id.into(), id));
        store.put(&token, value).unwrap();
        oracle.tokens.insert(token, value);
    }
    store.close().unwrap();
    Sample { directory, oracle }
}

impl Sample {
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    /// The one file of the store whose name ends like this.
    pub(crate) fn file(&self, ending: &str) -> PathBuf {
        let files = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut found = files.filter(|path| path.to_string_lossy().ends_with(ending));
        found.next().expect("such a file")
    }

    /// All that the store holds is there, and nothing else.
    #[track_caller]
    pub(crate) fn assert_whole(&self) {
        for store in
            [Store::open_read_only(self.path(), &options()), Store::open(self.path(), &options())]
        {
            let found: Oracle = store.unwrap().snapshot().range(..).map(Result::unwrap).collect();
            assert!(found == self.oracle);
        }
    }
}

/// Makes it possible to write to a file.
pub(crate) fn allow_writing(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
}

/// This program once more, to run one of its tests alone.
pub(crate) fn alone(test: &str, place: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(PLACE, place).stdin(Stdio::null());
    command
}

/// The store that this process is to open, if another one asked for that.
pub(crate) fn place() -> Option<PathBuf> {
    std::env::var_os(PLACE).map(PathBuf::from)
}
