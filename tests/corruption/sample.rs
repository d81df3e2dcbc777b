//! A store that was closed, with all that the format knows in use, and what it holds.

use std::collections::BTreeMap;

use ringstore::testing::keys::{KeyFamily, with_values};
use ringstore::testing::oracle::Oracle;
use ringstore::testing::sim::{Fault, SimDisk};
use ringstore::{Batch, BlockTime, LoadOptions, Options, Record, Stat, Store, TokenId};

use crate::parts::{Class, Kind, Parts, SECTIONS};

/// Files by their names.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// What a store is to be at least, all its files together.
const FILES_LEN_MIN: usize = 96 << 10;

/// A store that was closed.
pub(crate) struct Sample {
    pub(crate) files: Files,
    pub(crate) oracle: Oracle,
    pub(crate) stat: Stat,
    /// What there was after each step that led to this, and at last this.
    pub(crate) history: Vec<(Files, Oracle)>,
}

/// As small as it can be, and all in one thread, so that each run makes the same files.
pub(crate) fn options() -> Options {
    Options::new().log_bytes(8 << 10).inline()
}

/// A store being made, and what it is to hold.
struct Making {
    disk: SimDisk,
    store: Option<Store>,
    oracle: Oracle,
    history: Vec<(Files, Oracle)>,
}

impl Making {
    fn new() -> Self {
        let disk = SimDisk::new();
        let store = Some(disk.create_store(&options()).unwrap());
        Self { disk, store, oracle: Oracle::default(), history: Vec::new() }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    /// Remembers what there is.
    fn step(&mut self) {
        self.history.push((self.disk.files(), self.oracle.clone()));
    }

    fn load(&mut self, tokens: Vec<TokenId>) {
        self.oracle.tokens.extend(with_values(tokens, 1));
        let records = self.oracle.tokens.iter();
        let records = records.map(|(token, value)| Ok(Record::new(*token, *value)));
        self.store().bulk_load(records, &LoadOptions::new()).unwrap();
        self.step();
    }

    /// Removes a third of these tokens, as far as they are there, and gives the others a
    /// value.
    fn commit(&mut self, tokens: impl IntoIterator<Item = TokenId>, time: u64) {
        let mut batch = Batch::new();
        for (number, token) in (1..).zip(tokens) {
            if number % 3 == 0 {
                batch.remove(token);
                self.oracle.tokens.remove(&token);
            } else {
                let value = BlockTime::new((1_000 * time + number).into(), time);
                batch.put(token, value);
                self.oracle.tokens.insert(token, value);
            }
        }
        self.store().commit(&batch).unwrap();
        self.step();
    }

    fn flush(&mut self) {
        self.store().flush().unwrap();
        self.step();
    }

    fn close(&mut self) {
        self.store.take().unwrap().close().unwrap();
        self.step();
    }

    fn reopen(&mut self) {
        self.store = Some(self.disk.open_store(&options()).unwrap());
        self.store().pause_compaction().unwrap();
        self.step();
    }

    /// Whether commits fill the log, so that there is not even room for a mark.
    fn is_log_full(&self) -> bool {
        let files = self.disk.files();
        let (name, log) = files.iter().rfind(|(name, _)| Kind::of(name) == Kind::Log).unwrap();
        let parts = Parts::read(name, log);
        parts.iter().all(|part| part.1 != "mark" && part.1 != "behind the mark")
    }

    fn sample(self) -> Sample {
        let stat = self.disk.open_read_only(&options()).unwrap().stat();
        Sample { files: self.disk.files(), oracle: self.oracle, stat, history: self.history }
    }
}

/// A base with fence keys, three layers above it, two of them of files of the same length,
/// and a log with frames that it took over from another one, commits and a mark. The seed
/// decides which tokens; of each there are as many.
pub(crate) fn layered(seed: u64) -> Sample {
    let mut making = Making::new();
    making.store().pause_compaction().unwrap();
    let base = KeyFamily::PoisonedCdf.generate(200, seed);
    let new = KeyFamily::Uniform.generate(300, seed + 1);
    making.load(base.clone());
    let both = |part: std::ops::Range<usize>| base[part.clone()].iter().chain(&new[part]).copied();
    // More than a line of kinds has room for.
    making.commit(both(0..120), 2);
    making.flush();
    for (part, time) in [(105..130, 3), (122..147, 4)] {
        making.commit(both(part), time);
        making.flush();
    }
    making.commit(both(140..144), 5);
    making.close();
    making.reopen();
    for (part, time) in [(1..2, 6), (142..150, 7), (0..1, 8)] {
        making.commit(both(part), time);
    }
    making.close();
    making.sample()
}

/// A log that is full and could not be flushed, followed by another one. Such a store is
/// closed with a report of that failure, and all is in the logs.
pub(crate) fn two_logs() -> Sample {
    let mut making = Making::new();
    let tokens = KeyFamily::Uniform.generate(120, 5);
    making.load(tokens[..20].to_vec());
    making.commit(tokens[10..100].iter().copied(), 2);
    while !making.is_log_full() {
        making.commit(tokens[100..101].iter().copied(), 3);
    }
    making.disk.fail(Fault::at_operation(making.disk.operations()));
    for part in [95..100, 99..120, 100..104] {
        making.commit(tokens[part].iter().copied(), 4);
    }
    assert!(making.store.take().unwrap().close().is_err(), "the flush failed");
    making.disk.heal();
    making.step();
    making.sample()
}

impl Sample {
    pub(crate) fn len(&self) -> usize {
        self.files.values().map(Vec::len).sum()
    }

    /// All files but the one that is locked, which is empty.
    pub(crate) fn all_names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str).filter(|name| *name != "LOCK")
    }

    /// Files of a kind, oldest first.
    pub(crate) fn names(&self, kind: Kind) -> Vec<&str> {
        self.all_names().filter(|name| Kind::of(name) == kind).collect()
    }

    pub(crate) fn parts(&self) -> BTreeMap<&str, Parts> {
        let files = self.files.iter();
        files.map(|(name, bytes)| (name.as_str(), Parts::read(name, bytes))).collect()
    }

    /// The files with other bytes in the place of one of them.
    pub(crate) fn with(&self, name: &str, bytes: Vec<u8>) -> Files {
        let mut files = self.files.clone();
        files.insert(name.into(), bytes);
        files
    }

    /// All that the store is said to have is there.
    pub(crate) fn assert_uses_everything(&self) {
        assert!(self.len() >= FILES_LEN_MIN, "{} bytes", self.len());
        let stat = &self.stat;
        assert_eq!((stat.layers, stat.segments), (4, 4));
        let (base, upper) = stat.each_layer.split_last().unwrap();
        assert_eq!((base.fresh, base.updates, base.tombstones), (200, 0, 0));
        assert!(upper.iter().all(|it| it.fresh.min(it.updates).min(it.tombstones) > 5), "{stat:?}");
        assert_eq!(upper[0].bytes, upper[1].bytes, "files that can be exchanged");
        assert!(stat.delta > 10, "{} entries in the log", stat.delta);
        assert_eq!((stat.recovery.commits, stat.recovery.cut_bytes), (4, 0));
        let parts = self.parts();
        let of = |name: &'static str| {
            parts.values().flat_map(Parts::iter).filter(move |it| it.1 == name)
        };
        for section in SECTIONS {
            assert!(of(section).any(|it| it.0.len() > 4), "{section}");
        }
        // Chunks of a section that are checked one by one, and lines that add up.
        let chunks = of("records").filter(|it| matches!(it.2, Class::Checked)).count();
        assert!(chunks > 8, "{chunks} chunks of records");
        assert!(of("kinds").any(|it| it.0.len() == 128), "two lines of kinds");
        assert_eq!(of("log frame").count(), 4);
        assert_eq!(of("mark").count(), 1);
        assert!(of("behind the mark").all(|it| it.0.len() > 512), "room in the log");
    }
}
