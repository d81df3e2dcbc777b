//! A store of several layers with a log, any of whose files were changed, cut, extended,
//! exchanged, removed, or joined by others.
//!
//! It is opened for reading at every level of verification and for writing at one, and asked
//! for everything; and written to, flushed, compacted, expired, copied, opened again and
//! rescued. Whatever the files are, there are answers and errors of the kinds that are
//! documented, never a panic, an endless loop, or more records than the files have room for.
//!
//! - Where nothing was changed but files that the store does not name, everything is right.
//! - Where checksums are as they were made, what was lost is known: if it opens, then with
//!   what the intact frames of the log come to; and at the levels `OnOpen` and `FirstTouch`
//!   every answer is right, or an error. At `OnOpen` there are no errors any more.
//! - Where checksums were made right and `verify` finds no damage, all answers fit
//!   together: what a range holds says what all others have to be.
//! - What is rescued from a store with its checksums as they were made was once written.

#![no_main]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ringstore::testing::oracle::Oracle;
use ringstore::testing::sim::SimDisk;
use ringstore::{Batch, BlockTime, Error, Options, Record, Result, Store, TokenId, Verification};
use ringstore_fuzz::asking::{Known, Questions, all, ask};
use ringstore_fuzz::layered::{EVER, LAYERED, Layered};
use ringstore_fuzz::mutations::{Input, reseal_file};
use ringstore_fuzz::stores::{Files, Remains, State, has_new_frames, options};

const LEVELS: [Verification; 3] =
    [Verification::Never, Verification::OnOpen, Verification::FirstTouch];

fuzz_target!(
    init: {
        ringstore_fuzz::use_one_thread();
        LazyLock::force(&EVER);
    },
    |data: &[u8]| {
        if let Some(input) = Input::read(data, LAYERED.as_slice()) {
            run(&input);
        }
    }
);

/// What there is to expect of files.
enum Expected<'a> {
    /// No store.
    Refused,
    /// A store that holds this, unless it is refused.
    Perhaps(&'a State),
    /// A store that holds this.
    Whole(&'a State),
    /// Nobody knows what, as checksums are right.
    Unknown,
}

fn expected<'a>(input: &'a Input<'a>) -> Expected<'a> {
    let files = &input.files;
    let Some(manifest) = files.get("MANIFEST") else { return Expected::Refused };
    if input.is_resealed {
        return Expected::Unknown;
    }
    let mut stores = LAYERED.iter();
    let Some(Layered { written, .. }) = stores.find(|it| it.written.files["MANIFEST"] == *manifest)
    else {
        // A fuzzer may find out a checksum by itself.
        return if is_sealed("MANIFEST", files) { Expected::Unknown } else { Expected::Refused };
    };
    if has_new_frames(written, files) {
        return Expected::Unknown;
    }
    let is_of_others = |name: &str| name.ends_with(".seg") || name.ends_with(".log");
    let mut others = files.keys().filter(|name| !written.files.contains_key(*name));
    let is_there = |name: &str| name == "LOCK" || files.get(name) == written.files.get(name);
    let is_whole =
        !others.any(|name| is_of_others(name)) && written.files.keys().all(|name| is_there(name));
    match written.remains(files) {
        Remains::Nothing => Expected::Refused,
        Remains::Part(state) => Expected::Perhaps(state),
        Remains::All(state) if is_whole => Expected::Whole(state),
        Remains::All(state) => Expected::Perhaps(state),
    }
}

fn is_sealed(name: &str, files: &Files) -> bool {
    files.get(name).is_some_and(|bytes| {
        let mut sealed = bytes.clone();
        reseal_file(name, &mut sealed);
        sealed == *bytes
    })
}

fn run(input: &Input) {
    let expected = expected(input);
    let bytes: usize = input.files.values().map(Vec::len).sum();
    let questions = Questions {
        tokens: &input.store.tokens,
        seed: input.questions.into(),
        suffixes: input.suffixes,
        // Those of the commits that are made here, too.
        records_max: bytes / Record::LEN + 8,
    };
    let disk = SimDisk::with_files(input.files.clone());
    let mut opened = Vec::new();
    for level in LEVELS {
        let store = usable(disk.open_read_only(&options().verification(level)), input, &expected);
        if let Some(store) = &store {
            judge(store, level, &expected, &questions);
        }
        opened.push(store.is_some());
    }
    assert_eq!(disk.operations(), 0, "who only reads leaves no trace");
    // Who checks nothing may take damage for layers that contradict each other, and refuse them.
    let [_, on_open, first_touch] = opened[..] else { unreachable!("one for each level") };
    assert!(first_touch >= on_open, "what checks more refuses more");
    if input.salvages {
        salvage(&disk, input, &expected);
    }
    let level = input.verification;
    let options = options().verification(level);
    if let Some(store) = usable(disk.open_store(&options), input, &expected) {
        let known = judge(&store, level, &expected, &questions);
        Writing { disk, options, known, questions, input }.run(store);
    }
}

/// A store, or `None` where it is refused and may be.
fn usable(opened: Result<Store>, input: &Input, expected: &Expected<'_>) -> Option<Store> {
    match opened {
        Ok(store) => {
            assert!(!matches!(expected, Expected::Refused), "something is missing");
            return Some(store);
        }
        Err(Error::Damaged(_)) => {}
        // A version is believed where its checksum is right.
        Err(Error::UnknownVersion { path, .. }) => {
            let name = path.file_name().and_then(|name| name.to_str()).expect("a file's name");
            assert!(is_sealed(name, &input.files), "an unknown version of {name}");
        }
        Err(Error::NotAStore { .. }) => assert!(!input.files.contains_key("MANIFEST")),
        Err(error) => panic!("{error}"),
    }
    assert!(!matches!(expected, Expected::Whole(_)), "refused, though it is whole");
    None
}

/// Asks a store, verifies it, and asks it again; says what is known of it then.
fn judge(
    store: &Store,
    level: Verification,
    expected: &Expected<'_>,
    questions: &Questions<'_>,
) -> Known {
    let snapshot = store.snapshot();
    let right = match expected {
        Expected::Whole(state) | Expected::Perhaps(state) => {
            Some(Oracle { tokens: (*state).clone() })
        }
        _ => None,
    };
    let was_checked = right.is_some() && level == Verification::OnOpen;
    let is_clean = was_checked || matches!(expected, Expected::Whole(_));
    let is_checked = is_clean || level != Verification::Never;
    // First, so that nothing was checked by `verify` before.
    let mut known = Known { right: right.clone().filter(|_| is_checked), is_clean };
    ask(&snapshot, &known, questions);
    let interrupted = store.verify(&|_| ControlFlow::Break(()));
    assert!(matches!(interrupted, Err(Error::Interrupted)) || store.stat().segments == 0);
    let report = store.verify(&|_| ControlFlow::Continue(())).expect("nothing interrupts it");
    assert!(!is_clean || report.damages.is_empty(), "{:?}", report.damages);
    if report.damages.is_empty() && !is_clean {
        known.is_clean = true;
        let found = || {
            let all = all(&snapshot, &known, questions.records_max).expect("it is clean");
            assert!(all.is_sorted_by(|a, b| a.0 < b.0), "out of order");
            all.into_iter().collect()
        };
        known.right = Some(right.unwrap_or_else(found));
        ask(&snapshot, &known, questions);
    }
    known
}

/// Writing to a store, and what it should hold.
struct Writing<'a> {
    disk: SimDisk,
    options: Options,
    known: Known,
    questions: Questions<'a>,
    input: &'a Input<'a>,
}

impl Writing<'_> {
    fn run(&mut self, store: Store) {
        let tokens = self.questions.tokens;
        let value = BlockTime::new(9.into(), 9);
        let seed = self.input.questions;
        let [new, old, gone] = [7, 11, 2].map(|factor| tokens[factor * seed % tokens.len()]);
        let mut batch = Batch::new();
        batch.put(new, value).set(old, value).remove(gone);
        let committed = self.done(store.commit(&batch)).is_some();
        self.change(committed, |oracle| {
            oracle.tokens.insert(new, value);
            oracle.set(&old, value);
            oracle.tokens.remove(&gone);
        });
        self.look(&store);
        self.done(store.flush());
        self.look(&store);
        let before = 4 + seed as u64 % 3;
        match self.done(store.expire(before, &|_| ControlFlow::Continue(()))) {
            Some(_) => {
                self.change(true, |it| it.tokens.retain(|_, value| value.time >= before));
            }
            // Of many commits some were made.
            None => self.known.right = None,
        }
        self.look(&store);
        self.checkpoint(&store);
        self.done(store.compact(&|_| ControlFlow::Continue(())));
        self.look(&store);
        let is_put = self.done(store.put(&TokenId::MAX, value)).is_some();
        self.change(is_put, |oracle| _ = oracle.tokens.insert(TokenId::MAX, value));
        self.done(store.close());
        if let Some(store) = self.done(self.disk.open_store(&self.options)) {
            self.look(&store);
        }
    }

    /// What was done, or `None` where damage kept it from that.
    fn done<T>(&self, result: Result<T>) -> Option<T> {
        match result {
            // Numbers in a manifest that cannot grow are found by who makes the next one.
            Err(Error::Damaged(damage)) if self.input.is_resealed && is_manifest(&damage.path) => {
                None
            }
            result => self.known.answer(result),
        }
    }

    fn change(&mut self, is_done: bool, change: impl FnOnce(&mut Oracle)) {
        if let Some(oracle) = self.known.right.as_mut().filter(|_| is_done) {
            change(oracle);
        }
    }

    fn look(&self, store: &Store) {
        ask(&store.snapshot(), &self.known, &self.questions);
    }

    fn checkpoint(&self, store: &Store) {
        let beside = self.disk.beside();
        let made = beside.checkpoint(store, &|_| ControlFlow::Continue(()));
        if self.done(made).is_none() {
            assert!(beside.files().is_empty(), "nothing is left of it");
        } else if let Some(store) = self.done(beside.open_read_only(&self.options)) {
            self.look(&store);
        }
    }
}

fn is_manifest(path: &Path) -> bool {
    path.ends_with("MANIFEST")
}

/// Rescues what there is.
fn salvage(disk: &SimDisk, input: &Input, expected: &Expected<'_>) {
    // Where syncs cost nothing, if there is such a place.
    let memory = Path::new("/dev/shm");
    let directory =
        if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let directory = directory.expect("a directory");
    let path = directory.path().join("rescued");
    let report = match disk.salvage(&path, &|_| ControlFlow::Continue(())) {
        Ok(report) => report,
        Err(Error::NotAStore { .. } | Error::UnknownVersion { .. }) => {
            assert!(!matches!(expected, Expected::Whole(_) | Expected::Perhaps(_)));
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let store = Store::open_read_only(&path, &Options::new()).expect("it was made just now");
    let rescued: State =
        store.snapshot().range(..).map(|item| item.expect("it is whole")).collect();
    assert_eq!(report.tokens, rescued.len() as u64);
    if !input.is_resealed && !matches!(expected, Expected::Unknown) {
        for (token, value) in &rescued {
            assert!(EVER.get(token).is_some_and(|ever| ever.contains(value)), "{token} {value:?}");
        }
    }
    if let Expected::Whole(state) = expected {
        assert!(rescued == **state, "not all of it: {report:?}");
    }
    drop(store);
}
