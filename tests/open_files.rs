//! Too many open files for a moment: a commit may fail, but nothing is in doubt.

use std::fs::File;

use ringstore::{BlockTime, Options, Store, TokenId};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Opening the directory anew for each sync was tried, and made this fail.
#[test]
fn too_many_open_files_are_no_disk_that_fails() {
    let directory = tempfile::tempdir().unwrap();
    let value = BlockTime::new(1.into(), 1);
    for spare in 0..6 {
        let path = directory.path().join(spare.to_string());
        let store = Store::create(path, &Options::new()).unwrap();
        let limit = Rlimit { current: Some(64), ..getrlimit(Resource::Nofile) };
        setrlimit(Resource::Nofile, limit).unwrap();
        let mut files = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            files.push(file);
        }
        files.truncate(files.len() - spare);
        let _ = store.put(&TokenId::from(1), value);
        files.clear();
        store.put(&TokenId::from(2), value).expect("there are files again");
    }
}
