//! Comparisons of engines that fail, and that do not keep what they take.

use std::time::Duration;

use ringstore::{
    BlockTime, Error, MemTokens, Options, RangeIter, Result, Store, TokenId, TokenStorageBackend,
};

use super::*;
use crate::engines::mem::Mem;
use crate::engines::ringstore::Ringstore;
use crate::engines::{self, Database, Durable, Needs, Reader};
use crate::exit::Exit;
use crate::machine::Machine;
use crate::passing::{pass_on, pass_on_all_but_lookups};
use crate::results::{Failed, Measured};

/// Commits in a way of its own.
struct Committing<B> {
    tokens: B,
    commit: fn(&mut B, &[Record]) -> Result<()>,
}

impl<B: TokenStorageBackend> TokenStorageBackend for Committing<B> {
    pass_on!(tokens);
}

impl<B: TokenStorageBackend> Database for Committing<B> {
    fn reader(&self) -> Result<Option<Reader<'_>>> {
        Ok(None)
    }
}

impl<B: TokenStorageBackend> Durable for Committing<B> {
    fn commit(&mut self, records: &[Record]) -> Result<()> {
        (self.commit)(&mut self.tokens, records)
    }
}

/// A store, for commits made into something else.
struct Changeling(fn(Store) -> Box<dyn Durable>);

impl Engine for Changeling {
    fn name(&self) -> &'static str {
        "changeling"
    }

    fn load(&self, path: &Path, records: &[Record], order: Order) -> Result<Box<dyn Database>> {
        Ringstore.load(path, records, order)
    }

    fn open(&self, path: &Path, _: usize) -> Result<Option<Box<dyn Durable>>> {
        Ok(Some((self.0)(Store::open(path, &Options::new())?)))
    }

    fn needs(&self) -> Needs {
        Ringstore.needs()
    }
}

fn committing(tokens: Store, commit: fn(&mut Store, &[Record]) -> Result<()>) -> Box<dyn Durable> {
    Box::new(Committing { tokens, commit })
}

fn measure(engines: &[&'static dyn Engine], workloads: &[Workload]) -> Results {
    let directory = tempfile::tempdir().unwrap();
    let comparison = Comparison {
        family: KeyFamily::Uniform,
        tokens: 1_000,
        density: 1.0,
        engines,
        workloads,
        threads: &[1],
        effort: Effort { rounds: 2, load_rounds: 2, turn: Duration::from_micros(100) },
        directory: directory.path(),
    };
    let mut results = Results {
        machine: Machine::this(),
        tokens: 1_000,
        density: 1.0,
        walks: Vec::new(),
        measured: Vec::new(),
        failed: Vec::new(),
        path: None,
    };
    comparison.measure(&mut results).unwrap();
    assert_eq!(directory.path().read_dir().unwrap().count(), 0);
    results
}

#[test]
fn commits_change_no_size() {
    // Of those that have the same size each time.
    let is_same = |engine: &&'static dyn Engine| {
        ["ringstore", "lmdb", "lmdb-indexed", "redb", "mem"].contains(&engine.name())
    };
    let engines: Vec<_> = engines::ALL.iter().copied().filter(is_same).collect();
    let sizes = |workloads: &[Workload]| -> Vec<_> {
        let rows = measure(&engines, workloads).measured;
        let is_last = |row: &&Measured| row.workload == workloads[workloads.len() - 1];
        let rows = rows.iter().filter(is_last);
        rows.map(|row| (row.engine.clone(), row.bytes_per_token)).collect()
    };
    let before = sizes(&[Workload::Size]);
    assert_eq!(sizes(&[Workload::Commit, Workload::Open, Workload::Size]), before);
    assert_eq!(sizes(&[Workload::Commit]), before);
}

#[test]
fn an_engine_without_durable_commits_has_no_times() {
    let rows = measure(&[&Mem, &Ringstore], &[Workload::Commit]).measured;
    let told: Vec<_> =
        rows.iter().map(|row| (&*row.engine, row.ops.is_some(), row.figure())).collect();
    assert!(matches!(told[..], [("mem", false, None), ("ringstore", true, Some(_))]), "{told:?}");
    assert_eq!((rows[0].p50_ns, rows[0].p99_ns, rows[0].p999_ns), (None, None, None));
    assert_eq!(rows[0].bytes_per_token, None);
}

#[test]
fn commits_that_went_wrong_are_told_with_engine_and_question() {
    let told = |engine| {
        let workloads = [Workload::Sign, Workload::Commit, Workload::Size];
        let results = measure(&[&Ringstore, engine], &workloads);
        assert_eq!(results.verdict().unwrap_err().exit(), Exit::Differ);
        // The others' figures stay, and none of its own.
        let rows = results.measured.iter();
        let told: Vec<_> = rows.map(|row| (&*row.engine, row.figure().is_some())).collect();
        let right = [("ringstore", true), ("changeling", false)];
        assert_eq!(told, [right, right, right].concat());
        let [Failed { engine, workload, reason, differs: true, .. }] = &results.failed[..] else {
            panic!("one that differs");
        };
        assert_eq!((&**engine, *workload), ("changeling", Workload::Commit));
        reason.clone()
    };
    let looked_up = |engine| {
        let told = told(engine);
        assert!(told.contains("changeling: lookup of ") && told.contains(", committed"), "{told}");
        told
    };
    // Another way that is right.
    let right: &Changeling = &Changeling(|store| {
        committing(store, |store, records| {
            records.chunks(2).try_for_each(|records| store.commit(records))
        })
    });
    assert!(measure(&[&Ringstore, right], &[Workload::Commit]).verdict().is_ok());

    let lost = looked_up(&Changeling(|store| {
        committing(store, |store, records| store.commit(&records[1..]))
    }));
    assert!(lost.contains("found None"), "{lost}");
    let altered = looked_up(&Changeling(|store| {
        committing(store, |store, records| {
            let mut records = records.to_vec();
            records[5] = Record::new(records[5].token, records[4].value());
            store.commit(&records)
        })
    }));
    assert!(altered.contains("found Some"), "{altered}");
    // What is seen until the database is closed.
    let forgotten = looked_up(&Changeling(|store| {
        let tokens = store.range_after(&TokenId::MIN).unwrap().map(Result::unwrap);
        let tokens = tokens.collect::<MemTokens>();
        Box::new(Committing {
            tokens,
            commit: |tokens, records| {
                for record in records {
                    assert!(tokens.set(&record.token, record.value())?);
                }
                Ok(())
            },
        })
    }));
    assert!(forgotten.contains("found None"), "{forgotten}");

    let too_many = told(&Changeling(|store| {
        committing(store, |store, records| {
            let mut token = records[0].token;
            token.0[0] ^= 1;
            store.commit(&[records, &[Record::new(token, records[0].value())]].concat())
        })
    }));
    assert!(too_many.contains("changeling: len after commits: expected "), "{too_many}");
    let too_few = told(&Changeling(|store| {
        committing(store, |store, records| {
            let first = store.range_after(&TokenId::MIN)?.next().unwrap()?.0;
            assert!(store.remove(&first)?);
            store.commit(records)
        })
    }));
    assert!(too_few.contains("changeling: len after commits: expected "), "{too_few}");
}

/// Fails, or panics, once it does something.
struct Failing(&'static str, fn() -> Result<()>);

struct Doing(Store, &'static str, fn() -> Result<()>);

impl Doing {
    fn when(&self, doing: &str) -> Result<()> {
        if doing == self.1 { (self.2)() } else { Ok(()) }
    }
}

impl TokenStorageBackend for Doing {
    fn lookup(&self, token: &TokenId) -> Result<Option<BlockTime>> {
        self.when("lookup")?;
        self.0.lookup(token)
    }

    pass_on_all_but_lookups!(0);
}

impl Database for Doing {
    fn warm_up(&self) -> Result<()> {
        self.when("warm-up")
    }

    fn reader(&self) -> Result<Option<Reader<'_>>> {
        Ok(None)
    }
}

impl Durable for Doing {
    fn commit(&mut self, records: &[Record]) -> Result<()> {
        self.when("commit")?;
        Durable::commit(&mut self.0, records)
    }
}

impl Engine for Failing {
    fn name(&self) -> &'static str {
        "failing"
    }

    fn load(&self, path: &Path, records: &[Record], _: Order) -> Result<Box<dyn Database>> {
        let store = Store::create(path, &Options::new())?;
        store.bulk_load(records.iter().copied().map(Ok), &ringstore::LoadOptions::new())?;
        let database = Doing(store, self.0, self.1);
        database.when("load")?;
        Ok(Box::new(database))
    }

    fn open(&self, path: &Path, _: usize) -> Result<Option<Box<dyn Durable>>> {
        let database = Doing(Store::open(path, &Options::new())?, self.0, self.1);
        database.when("open")?;
        Ok(Some(Box::new(database)))
    }

    fn needs(&self) -> Needs {
        Ringstore.needs()
    }
}

#[test]
fn an_engine_that_fails_half_way_is_left_out_and_the_others_are_measured() {
    let workloads = [
        Workload::LoadSorted,
        Workload::LoadRandom,
        Workload::GetHit,
        Workload::Sign,
        Workload::Commit,
        Workload::Mixed,
        Workload::Open,
        Workload::Size,
    ];
    let failing = || Err(Error::backend("failing", "the map is full"));
    let panicking = || panic!("no free page");
    for (doing, first) in [
        ("load", Workload::LoadRandom),
        ("lookup", Workload::LoadRandom),
        ("warm-up", Workload::GetHit),
        ("open", Workload::Open),
        ("commit", Workload::Commit),
    ] {
        for (engine, reason) in [
            (&*Box::leak(Box::new(Failing(doing, failing))), "failing: the map is full"),
            (&*Box::leak(Box::new(Failing(doing, panicking))), "panicked: no free page"),
        ] {
            let results = measure(&[engine, &Ringstore], &workloads);
            assert_eq!(results.verdict().unwrap_err().exit(), Exit::Io, "{doing}");
            let [failed] = &results.failed[..] else {
                panic!("left out once: {doing}");
            };
            assert_eq!((&*failed.engine, failed.workload), ("failing", first), "{doing}");
            assert_eq!((&failed.reason[..], failed.differs), (reason, false), "{doing}");
            for workload in workloads {
                let has_figure = |engine: &str| {
                    let is_it =
                        |row: &&Measured| (&*row.engine, row.workload) == (engine, workload);
                    results.measured.iter().find(is_it).is_some_and(|row| row.figure().is_some())
                };
                assert!(has_figure("ringstore"), "{doing}: {workload:?}");
                let never = first == workload || workload == Workload::Mixed;
                assert!(!never || !has_figure("failing"), "{doing}: {workload:?}");
            }
        }
    }
}
