//! Files that are said to be enormous, and are, though they take no room on the disk.

use std::fs::{self, File};
use std::ops::ControlFlow;

use ringstore::testing::damage::{reseal_log, reseal_manifest};
use ringstore::{Error, Options, Result, Store, salvage};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::sample::{allow_writing, alone, place, sample};

/// More than there is memory for.
const LOG_BYTES: u64 = 8 << 30;
const MEMORY_BYTES: u64 = 2 << 30;

/// Where the header of a log says how long it is.
const LENGTH_AT: usize = 56;

/// The process that has little memory; of no use by itself.
#[test]
fn inside() {
    let Some(path) = place() else { return };
    let limit = Rlimit { current: Some(MEMORY_BYTES), maximum: Some(MEMORY_BYTES) };
    setrlimit(Resource::As, limit).unwrap();
    let is_told = |done: Result<()>| match done {
        Err(Error::Io { path, source, .. }) => {
            assert!(path.extension().is_some_and(|it| it == "log"), "{}", path.display());
            assert_eq!(source.kind(), std::io::ErrorKind::OutOfMemory);
        }
        other => panic!("{other:?}"),
    };
    is_told(Store::open_read_only(&path, &Options::new()).map(drop));
    is_told(Store::open(&path, &Options::new()).map(drop));
    let rescued = path.with_extension("rescued");
    is_told(salvage(&path, rescued, &|_| ControlFlow::Continue(())).map(drop));
}

/// A hole in a file costs nothing, and a log is read into memory. That there is none for it is
/// an error; before, it was the end of the process.
#[test]
fn a_log_that_there_is_no_memory_for_is_an_error() {
    let sample = sample(100);
    let (log_path, manifest_path) = (sample.file(".log"), sample.file("MANIFEST"));
    let (mut log, mut manifest) = (fs::read(&log_path).unwrap(), fs::read(&manifest_path).unwrap());
    let before = (log.len() as u64).to_le_bytes();
    log[LENGTH_AT..LENGTH_AT + 8].copy_from_slice(&LOG_BYTES.to_le_bytes());
    reseal_log(&mut log);
    let named = manifest.windows(8).rposition(|window| window == before).unwrap();
    manifest[named..named + 8].copy_from_slice(&LOG_BYTES.to_le_bytes());
    reseal_manifest(&mut manifest);
    allow_writing(&log_path);
    fs::write(&log_path, log).unwrap();
    File::options().write(true).open(&log_path).unwrap().set_len(LOG_BYTES).unwrap();
    fs::write(&manifest_path, manifest).unwrap();
    let output = alone("memory::inside", &sample.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{said}");
}
