//! What a load into a store does that holds tokens already, and that others write meanwhile.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::flushes::{ENTRIES, contents, put, value};
use super::monitor::Background;
use super::*;
use crate::compact::policy::LAYERS_MAX;
use crate::format::names::{is_log, is_segment, is_temporary};
use crate::load::options::{LoadOptions, LoadReport};
use crate::progress::{Phase, UNWATCHED};
use crate::testing::keys::KeyFamily;
use crate::testing::random::Random;
use crate::testing::sim::{Fault, SimDisk};
use crate::token::Record;

type Model = BTreeMap<TokenId, BlockTime>;

/// A block that no commit has, so that it is known whose value one is.
fn loaded_value(time: u64) -> BlockTime {
    BlockTime::new(0x10ad.into(), time)
}

/// Every other token, from the first or the second, with times below a bound.
fn load_of(tokens: &[TokenId], random: &mut Random, times: u64) -> Vec<Record> {
    let first = random.below(2) as usize;
    let tokens = tokens.iter().skip(first).step_by(2);
    tokens.map(|token| Record::new(*token, loaded_value(random.below(times)))).collect()
}

/// What a load comes to that comes last; how many records are stored.
fn load_last(model: &mut Model, records: &[Record]) -> u64 {
    let mut stored = 0;
    for record in records {
        if model.get(&record.token).is_none_or(|value| value.time < record.time()) {
            model.insert(record.token, record.value());
            stored += 1;
        }
    }
    stored
}

/// A commit of some tokens, old and new, here and in a model.
fn change(store: &Store, model: &mut Model, tokens: &[TokenId], random: &mut Random, times: u64) {
    let mut batch = Batch::new();
    for _ in 0..ENTRIES {
        let token = *random.pick(tokens);
        if random.below(3) == 0 {
            batch.remove(token);
            model.remove(&token);
        } else {
            let value = value(random.below(times));
            batch.put(token, value);
            model.insert(token, value);
        }
    }
    let durability = *random.pick(&[Durability::Synced, Durability::Buffered]);
    store.commit_with(&batch, durability).unwrap();
}

fn load(store: &Store, records: &[Record]) -> Result<LoadReport> {
    store.bulk_load(records.iter().map(|record| Ok(*record)), &LoadOptions::new())
}

/// Makes sure that a store is what a model says, with all that is counted.
fn check(store: &Store, model: &Model) {
    assert!(contents(store) == *model);
    let snapshot = store.snapshot();
    assert_eq!(snapshot.len(), model.len() as u64);
    for (rank, token) in model.keys().enumerate().step_by(7) {
        assert_eq!(snapshot.rank(token).unwrap(), rank as u64);
        assert_eq!(snapshot.select(rank as u64).unwrap().map(|found| found.0), Some(*token));
    }
    let stat = store.stat();
    assert!(stat.layers <= LAYERS_MAX as u64, "{stat:?}");
    assert_eq!(store.verify(UNWATCHED).unwrap().damages, []);
}

#[test]
fn the_newest_wins_and_equal_times_keep_what_is_there() {
    for family in [KeyFamily::Uniform, KeyFamily::Dense64, KeyFamily::OneSuffix] {
        let disk = SimDisk::new();
        let store = disk.create_store(&Options::new().inline()).unwrap();
        let tokens = family.generate(2_000, 1);
        let (mut model, mut random) = (Model::new(), Random::new("loads", 1));
        for round in 1..=12 {
            for _ in 0..random.below(4) {
                change(&store, &mut model, &tokens, &mut random, 10 * round);
                if random.below(2) == 0 {
                    store.flush().unwrap();
                }
            }
            let records = load_of(&tokens, &mut random, 10 * round);
            let stored = load_last(&mut model, &records);
            let report = load(&store, &records).unwrap();
            assert_eq!((report.read, report.stored), (records.len() as u64, stored));
            assert_eq!(report.duplicates, report.read - stored);
            check(&store, &model);
            // Once more, there is nothing new in it.
            assert_eq!(load(&store, &records).unwrap().stored, 0);
            check(&store, &model);
            let before = store.stat();
            assert_eq!(load(&store, &records).unwrap().stored, 0);
            assert_eq!(store.stat().each_layer, before.each_layer);
        }
        drop(store);
        let store = disk.open_store(&Options::new().inline()).unwrap();
        check(&store, &model);
        store.compact(UNWATCHED).unwrap();
        check(&store, &model);
    }
}

/// Commits while it reads, writes and is installed, flushed or not: the load comes last, and
/// what is committed is decided without it.
#[test]
fn others_go_on_while_a_load_is_under_way() {
    for (seed, has_tokens) in (0..12).zip([true, true, false].into_iter().cycle()) {
        let directory = tempfile::tempdir().unwrap();
        let options = Options::new().delta_entries(4 * ENTRIES);
        let store = Store::create(directory.path(), &options).unwrap();
        let tokens = KeyFamily::ALL[seed as usize % KeyFamily::ALL.len()].generate(2_000, 1);
        let model = Mutex::new((Model::new(), Random::new("meanwhile", seed)));
        let commit = |flushes: bool| {
            let (model, random) = &mut *model.lock().unwrap();
            for _ in 0..random.below(9) {
                change(&store, model, &tokens, random, 20);
            }
            if flushes && random.below(2) == 0 {
                store.flush().unwrap();
            }
        };
        if has_tokens {
            (0..6).for_each(|_| commit(true));
        }
        for _ in 0..4 {
            let records = load_of(&tokens, &mut model.lock().unwrap().1, 20);
            let phases = Mutex::new(Vec::new());
            let progress = |progress: crate::progress::Progress| {
                phases.lock().unwrap().push(progress.phase);
                commit(true);
                ControlFlow::Continue(())
            };
            let input = records.iter().enumerate().map(|(number, record)| {
                if number % 300 == 0 {
                    commit(true);
                }
                Ok(*record)
            });
            store.bulk_load(input, &LoadOptions::new().progress(&progress)).unwrap();
            let phases = phases.into_inner().unwrap();
            assert!(phases.contains(&Phase::Reading) && phases.contains(&Phase::Syncing));
            let (model, _) = &mut *model.lock().unwrap();
            load_last(model, &records);
            check(&store, model);
        }
        let (model, _) = model.into_inner().unwrap();
        let reader = Store::open_read_only(directory.path(), &Options::new()).unwrap();
        check(&reader, &model);
        store.close().unwrap();
        let store = Store::open(directory.path(), &options).unwrap();
        check(&store, &model);
        store.compact(UNWATCHED).unwrap();
        check(&store, &model);
    }
}

/// A token that was removed while it was loaded again, however old that is.
#[test]
fn what_was_removed_meanwhile_is_loaded() {
    let store = SimDisk::new().create_store(&Options::new().inline()).unwrap();
    let tokens = KeyFamily::Uniform.generate(100, 1);
    store.commit(&put(&tokens, 50)).unwrap();
    let records: Vec<_> = tokens.iter().map(|token| Record::new(*token, loaded_value(9))).collect();
    let removes = |progress: crate::progress::Progress| {
        if progress.phase == Phase::Writing {
            store.remove(&tokens[7]).unwrap();
            store.put(&tokens[8], value(3)).unwrap();
            store.put(&tokens[9], value(9)).unwrap();
        }
        ControlFlow::Continue(())
    };
    let options = LoadOptions::new().progress(&removes);
    store.bulk_load(records.iter().map(|record| Ok(*record)), &options).unwrap();
    let mut expected: Model = tokens.iter().map(|token| (*token, value(50))).collect();
    expected.insert(tokens[7], loaded_value(9));
    expected.insert(tokens[8], loaded_value(9));
    expected.insert(tokens[9], value(9));
    check(&store, &expected);
}

/// The same where memory has no room for the load, so that what is not in its segment is looked
/// for in sorted runs.
#[test]
fn what_was_removed_meanwhile_is_found_in_runs() {
    let store = SimDisk::new().create_store(&Options::new().inline()).unwrap();
    let tokens = KeyFamily::Uniform.generate(1_000_000, 1);
    let old: Vec<_> =
        tokens.iter().step_by(2).map(|token| Record::new(*token, value(50))).collect();
    load(&store, &old).unwrap();
    let mut records: Vec<_> =
        tokens.iter().map(|token| Record::new(*token, loaded_value(9))).collect();
    // In an order that has nothing to do with tokens.
    records.sort_by_key(|record| record.token.0[16..].to_vec());
    let mut expected: Model = tokens.iter().map(|token| (*token, loaded_value(9))).collect();
    expected.extend(old.iter().map(|record| (record.token, record.value())));
    let removed: Vec<_> = tokens.iter().step_by(6).copied().collect();
    expected.extend(removed.iter().map(|token| (*token, loaded_value(9))));
    let rest = Mutex::new(removed.as_slice());
    let removes = |progress: crate::progress::Progress| {
        if progress.phase == Phase::Writing {
            let mut rest = rest.lock().unwrap();
            let (some, others) = rest.split_at(rest.len().min(20_000));
            let mut batch = Batch::new();
            for token in some {
                batch.remove(*token);
            }
            store.commit(&batch).unwrap();
            *rest = others;
        }
        ControlFlow::Continue(())
    };
    let options = LoadOptions::new().memory_bytes(LoadOptions::MEMORY_BYTES_MIN).progress(&removes);
    let report = store.bulk_load(records.iter().map(|record| Ok(*record)), &options).unwrap();
    assert!(report.spilled > 0 && rest.lock().unwrap().is_empty(), "{report:?}");
    check(&store, &expected);
}

/// However much others commit and flush while it is installed: it ends, and what it was written
/// for in vain is not there any more.
#[test]
fn it_ends_though_others_never_stop() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path(), &Options::new()).unwrap();
    // Or there may be the file of one just when they are counted.
    store.pause_compaction().unwrap();
    let tokens = KeyFamily::Uniform.generate(2_000, 1);
    let model = Mutex::new((Model::new(), Random::new("never", 1)));
    let installing = AtomicUsize::new(0);
    let flushes = |progress: crate::progress::Progress| {
        let (model, random) = &mut *model.lock().unwrap();
        change(&store, model, &tokens, random, 20);
        store.flush().unwrap();
        installing.fetch_add(usize::from(progress.phase == Phase::Writing), Ordering::Relaxed);
        ControlFlow::Continue(())
    };
    let records = load_of(&tokens, &mut Random::new("never", 2), 20);
    let options = LoadOptions::new().progress(&flushes);
    store.bulk_load(records.iter().map(|record| Ok(*record)), &options).unwrap();
    // Once while it is written, and in two of three rounds.
    assert_eq!(installing.into_inner(), 3);
    let (mut model, _) = model.into_inner().unwrap();
    load_last(&mut model, &records);
    check(&store, &model);
    let names = RealDisk::new(directory.path()).list().unwrap();
    let segments = names.iter().filter(|name| is_segment(name)).count();
    assert_eq!(segments as u64, store.stat().segments, "{names:?}");
}

/// What another thread commits without pause is all there, whatever moment of a load it was.
#[test]
fn nothing_that_others_commit_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path(), &Options::new()).unwrap();
    let tokens = KeyFamily::Uniform.generate(100_000, 1);
    let (base, others) = tokens.split_at(1_000);
    store.commit(&put(base, 1)).unwrap();
    let is_over = AtomicBool::new(false);
    let committed = std::thread::scope(|scope| {
        let committing = scope.spawn(|| {
            let mut committed = 0;
            for token in others.chunks(1).take_while(|_| !is_over.load(Ordering::Relaxed)) {
                store.commit_with(&put(token, 1), Durability::Buffered).unwrap();
                committed += 1;
            }
            committed
        });
        for time in 2..30 {
            let records = base.iter().map(|token| Ok(Record::new(*token, loaded_value(time))));
            store.bulk_load(records, &LoadOptions::new()).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        committing.join().unwrap()
    });
    assert!(committed > 28);
    let mut model: Model = base.iter().map(|token| (*token, loaded_value(29))).collect();
    model.extend(others[..committed].iter().map(|token| (*token, value(1))));
    check(&store, &model);
    drop(store);
    check(&Store::open(directory.path(), &Options::new()).unwrap(), &model);
}

#[test]
fn two_at_once() {
    let store = SimDisk::new().create_store(&Options::new().inline()).unwrap();
    let tokens = KeyFamily::Uniform.generate(100, 1);
    let records: Vec<_> = tokens.iter().map(|token| Record::new(*token, loaded_value(9))).collect();
    let input = records.iter().map(|record| {
        let other = load(&store, &records);
        assert!(matches!(other, Err(Error::Unwritable { .. })), "{other:?}");
        Ok(*record)
    });
    store.bulk_load(input, &LoadOptions::new()).unwrap();
    assert_eq!(store.stat().tokens, 100);
    load(&store, &records).unwrap();
}

/// A compaction gives way to a load, be it held up or slow, and is done after it.
#[test]
fn a_compaction_gives_way() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options::new().compaction_bytes_per_second(1);
    let store = Store::create(directory.path(), &options).unwrap();
    // It is asked how it gets on every 32,768 records.
    let tokens = KeyFamily::Uniform.generate(82_000, 1);
    let (others, tokens) = tokens.split_at(80_000);
    for tokens in others.chunks(40_000) {
        store.commit(&put(tokens, 1)).unwrap();
        store.flush().unwrap();
    }
    // Begun before the flush was over, and it would take days.
    assert_eq!(store.stat().compaction, Background::Compacting);
    let records: Vec<_> = tokens.iter().map(|token| Record::new(*token, loaded_value(9))).collect();
    load(&store, &records[..1_000]).unwrap();
    assert_eq!((store.stat().tokens, store.stat().layers), (81_000, 3));
    store.pause_compaction().unwrap();
    std::thread::scope(|scope| {
        // Who asked for it gets it in the end.
        let compacted = scope.spawn(|| store.compact(UNWATCHED));
        while store.writer("ask").unwrap().state().compactions_wanted == 0 {
            std::thread::yield_now();
        }
        let next_file = || {
            let contents = manifest::read(&RealDisk::new(directory.path())).unwrap().unwrap();
            contents.next_file_id
        };
        let before = next_file();
        load(&store, &records[1_000..]).unwrap();
        // It does not try again and again as long as the load waits.
        assert!(next_file() - before < 10, "{} {before}", next_file());
        assert_eq!((store.stat().tokens, store.stat().layers), (82_000, 4));
        store.writer("close").unwrap().close().unwrap();
        assert!(matches!(compacted.join().unwrap(), Err(Error::Interrupted)));
    });
}

/// So that a disk is copied in no time.
fn small_logs() -> Options {
    Options::new().log_bytes(Options::LOG_BYTES_MIN).inline()
}

/// A store of two layers and a delta.
struct Busy {
    disk: SimDisk,
    store: Store,
    tokens: Vec<TokenId>,
    model: Model,
    records: Vec<Record>,
}

/// What came of a load of old and new tokens while more was committed, and flushed.
struct Outcome {
    loaded: Result<LoadReport>,
    /// What may be there without it: more than one if that of a commit is not known.
    without: Vec<Model>,
    /// Operations of the disk up to the last commit.
    committed: usize,
}

impl Busy {
    fn new(disk: &SimDisk) -> Self {
        let store = disk.create_store(&small_logs()).unwrap();
        let tokens = KeyFamily::Uniform.generate(60, 1);
        let (mut model, mut random) = (Model::new(), Random::new("busy", 1));
        for _ in 0..2 {
            change(&store, &mut model, &tokens, &mut random, 20);
            store.flush().unwrap();
        }
        store.pause_compaction().unwrap();
        let records = load_of(&tokens, &mut random, 20);
        Self { disk: disk.clone(), store, tokens, model, records }
    }

    fn load(&self) -> Outcome {
        let without = Mutex::new(vec![self.model.clone()]);
        let committed = AtomicUsize::new(0);
        let progress = |progress: crate::progress::Progress| {
            if progress.phase == Phase::Writing {
                self.commit_all(&mut without.lock().unwrap());
                committed.store(self.disk.operations(), Ordering::Relaxed);
            }
            ControlFlow::Continue(())
        };
        let options = LoadOptions::new().progress(&progress);
        let records = self.records.iter().map(|record| Ok(*record));
        let loaded = self.store.bulk_load(records, &options);
        let (without, committed) = (without.into_inner().unwrap(), committed.into_inner());
        Outcome { loaded, without, committed }
    }

    /// A commit for each token; half of them go to a layer.
    fn commit_all(&self, models: &mut Vec<Model>) {
        let mut random = Random::new("while it is loaded", 1);
        for (number, token) in self.tokens.iter().enumerate() {
            let value = (number % 3 != 1).then(|| value(random.below(20)));
            let done = match value {
                Some(value) => self.store.put(token, value),
                None => self.store.remove(token).map(drop),
            };
            let mut model = models[0].clone();
            match value {
                Some(value) => model.insert(*token, value),
                None => model.remove(token),
            };
            match done {
                Ok(()) => models[0] = model,
                Err(Error::OutcomeUnknown { .. }) => models.push(model),
                Err(_) => {}
            }
            if number == 30 {
                let _ = self.store.flush();
            }
        }
    }

    /// The same with the load.
    fn with(&self, without: &[Model]) -> Vec<Model> {
        let mut models = without.to_vec();
        for model in &mut models {
            load_last(model, &self.records);
        }
        models
    }
}

/// Whichever call fails: it is there as a whole, or nothing is left of it.
#[test]
fn a_load_whose_calls_fail() {
    let (mut failures, mut unknown) = (0, 0);
    for call in 0.. {
        let disk = SimDisk::new();
        let busy = Busy::new(&disk);
        let at = disk.operations() + call;
        let errno = if call % 2 == 0 { libc::EIO } else { libc::ENOSPC };
        disk.fail(Fault::at_operation(at).errno(errno));
        let Outcome { loaded, without, .. } = busy.load();
        let was_reached = disk.operations() > at;
        disk.heal();
        let with = busy.with(&without);
        let found = contents(&busy.store);
        let allowed = match &loaded {
            Ok(_) => with,
            Err(Error::OutcomeUnknown { .. } | Error::Unwritable { .. }) => {
                unknown += 1;
                assert_eq!(found, without[0]);
                [without, with].concat()
            }
            Err(Error::Io { .. } | Error::NoSpace { .. }) => {
                failures += 1;
                let names = disk.list().unwrap();
                let count =
                    |is_it: fn(&str) -> bool| names.iter().filter(|name| is_it(name)).count();
                assert_eq!(count(is_segment), busy.store.stat().layers as usize, "{names:?}");
                assert_eq!(count(is_temporary), 0, "{names:?}");
                without
            }
            Err(other) => panic!("{}: {other:?}", disk.describe(at)),
        };
        check(&busy.store, &found);
        drop(busy);
        let store = disk.open_store(&small_logs()).unwrap();
        let found = contents(&store);
        assert!(allowed.contains(&found), "{}", disk.describe(at.min(disk.operations() - 1)));
        check(&store, &found);
        if !was_reached {
            break;
        }
    }
    println!("{failures} failed, {unknown} unknown");
    assert!(failures > 20 && unknown > 10, "{failures} {unknown}");
}

/// At whatever moment the power fails from its last commit on: all of it is there, or none.
#[test]
fn a_crash_while_a_load_is_installed() {
    const IMAGES: usize = 40;
    let disk = SimDisk::new();
    let busy = Busy::new(&disk);
    let Outcome { loaded, without, committed: begin } = busy.load();
    loaded.unwrap();
    let end = disk.operations();
    let with = busy.with(&without);
    check(&busy.store, &with[0]);
    drop(busy);
    let (mut images, mut whole) = (0, 0);
    for moment in begin..=end {
        for image in disk.some_images(moment, IMAGES, 1) {
            images += 1;
            let store = image.open_store(&small_logs()).unwrap();
            let found = contents(&store);
            assert!(found == without[0] || found == with[0], "moment {moment}");
            check(&store, &found);
            whole += usize::from(found == with[0]);
            let names = image.list().unwrap();
            assert!(names.iter().filter(|name| is_log(name)).count() <= 1, "{names:?}");
            assert!(moment < end || found == with[0]);
        }
    }
    println!("{images} images of {} moments, {whole} whole", end - begin + 1);
    assert!(images > 100 && whole > 10 && whole < images, "{images} {whole}");
}
