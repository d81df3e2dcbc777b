//! Locking in memory where the system does not allow it, or not so much.
//!
//! All by itself in its program, as what may be locked is the same for all threads.
#![cfg(target_os = "linux")]

use std::sync::Mutex;

use log::{Level, Log, Metadata, Record as Line};
use ringstore::testing::keys::{KeyFamily, with_values};
use ringstore::{BlockTime, Error, LoadOptions, Options, Record, Residency, Store, TokenId};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

/// What was warned of.
struct Warned(Mutex<Vec<String>>);

static WARNED: Warned = Warned(Mutex::new(Vec::new()));

impl Log for Warned {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn log(&self, line: &Line<'_>) {
        if line.level() == Level::Warn {
            self.0.lock().unwrap().push(line.args().to_string());
        }
    }
    fn flush(&self) {}
}

/// Lets this process lock so many bytes, and no more: nor this thread and those that it
/// starts, as root may.
fn allow(bytes: u64) {
    let maximum = getrlimit(Resource::Memlock).maximum;
    setrlimit(Resource::Memlock, Rlimit { current: Some(bytes), maximum }).unwrap();
    let mut sets = capabilities(None).unwrap();
    sets.effective.remove(CapabilitySet::IPC_LOCK);
    set_capabilities(None, sets).unwrap();
}

#[test]
fn a_lock_that_is_refused_is_told() {
    log::set_logger(&WARNED).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let options = Options::new().residency(Residency::Locked);

    // To open what cannot be locked fails, and says what would help.
    let store = Store::create(&path, &Options::new()).unwrap();
    let records = with_values(KeyFamily::Uniform.generate(5_000, 1), 1);
    store.bulk_load(records.map(|record| Ok(Record::from(record))), &LoadOptions::new()).unwrap();
    let segment_bytes = store.stat().segment_bytes;
    store.close().unwrap();
    for allowed in [0, 64 << 10] {
        allow(allowed);
        for refused in [Store::open(&path, &options), Store::open_read_only(&path, &options)] {
            let error = refused.unwrap_err();
            let said = error.to_string();
            assert!(said.contains(&format!("may lock {allowed} bytes in all")), "{said}");
            assert!(said.contains("ulimit -l"), "{said}");
            let Error::MemoryLock { needed, limit, .. } = error else { panic!("{said}") };
            assert_eq!((needed, limit), (segment_bytes, Some(allowed)));
        }
    }

    // Nothing of it is left.
    let store = Store::open(&path, &Options::new()).unwrap();
    assert_eq!(store.residency().locked_bytes, Some(0));
    store.close().unwrap();

    // What comes to a store that is open is only mapped, and it goes on.
    allow(segment_bytes + 4_095);
    let store = Store::open(&path, &options).unwrap();
    let reader = Store::open_read_only(&path, &Options::new()).unwrap();
    let locked = store.residency();
    assert_eq!((locked.mapped_bytes, locked.locked_bytes), (segment_bytes, Some(segment_bytes)));
    assert_eq!(reader.residency().locked_bytes, Some(0));
    assert_eq!(*WARNED.0.lock().unwrap(), [""; 0]);
    store.put(&TokenId::from(1), BlockTime::new(2.into(), 3)).unwrap();
    store.flush().unwrap();
    let warned = std::mem::take(&mut *WARNED.0.lock().unwrap());
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].contains("cannot lock") && warned[0].ends_with("only mapped"), "{warned:?}");
    let partly = store.residency();
    assert!(partly.mapped_bytes > segment_bytes, "{partly:?}");
    assert_eq!(partly.locked_bytes, Some(segment_bytes));
    assert_eq!(store.snapshot().len(), 5_001);
}
