//! One family of keys from its tokens to its figures.
//!
//! Loads of random order come first, then sorted ones, whose databases are kept: they are
//! what is read, at its most compact for every engine. Then the databases are closed, which
//! settles their sizes, and opened anew, again and again. What writes comes last, for it
//! changes them.
//!
//! An engine that fails is left out of all that follows, and the others go on.

use std::path::Path;

use ringstore::Record;
use ringstore::testing::keys::KeyFamily;

use crate::answers;
use crate::cold;
use crate::data::{self, Queries, Universe};
use crate::engines::{Engine, Order};
use crate::exit::Failure;
use crate::keys;
use crate::load::{Closed, Loaded, Loads};
use crate::opens;
use crate::reads::{self, Effort};
use crate::results::{Results, Walks};
use crate::rows::{Named, Rows};
use crate::talk::{self, say};
use crate::timing::Times;
use crate::turns::guarded;
use crate::workload::{Kind, Workload};
use crate::writes::{self, Written};

/// What is to be measured over one family of keys.
pub(crate) struct Comparison<'a> {
    pub(crate) family: KeyFamily,
    /// At most.
    pub(crate) tokens: usize,
    /// The share of them that is stored.
    pub(crate) density: f64,
    pub(crate) engines: &'a [&'static dyn Engine],
    pub(crate) workloads: &'a [Workload],
    /// How many ask, where several can.
    pub(crate) threads: &'a [usize],
    pub(crate) effort: Effort,
    /// What is made here is removed in the end.
    pub(crate) directory: &'a Path,
}

impl Comparison<'_> {
    /// Measures everything that is wanted. Fails where results cannot be kept, and not where
    /// an engine fails.
    pub(crate) fn measure(&self, results: &mut Results) -> Result<(), Failure> {
        let keys = keys::name(self.family);
        say(format_args!("{keys}: making tokens"));
        let mut universe = Universe::new(self.family, self.tokens, self.density);
        let queries = Queries::new(&universe);
        let tokens = universe.stored.len() as u64;
        let first = results.measured.len();
        let mut rows = Rows { keys, tokens, first, results };
        if self.wants(Workload::LoadRandom) {
            self.load_random(&mut universe.stored, &queries, &mut rows)?;
        }
        if self.workloads != [Workload::LoadRandom] {
            let databases = self.load_sorted(&universe.stored, &queries, &mut rows)?;
            // Nothing else needs them, and engines may need the memory.
            drop(universe);
            let databases = self.read(databases, &queries, &mut rows)?;
            let mut closed = Vec::new();
            for loaded in databases {
                let engine = loaded.engine.name();
                closed.extend(rows.sort_out(engine, Workload::Open, guarded(|| loaded.close())));
            }
            self.write(closed, &queries, &mut rows)?;
        }
        Ok(())
    }

    /// Gives the records back in their order.
    fn load_random(
        &self,
        records: &mut [Record],
        queries: &Queries,
        rows: &mut Rows<'_>,
    ) -> Result<(), Failure> {
        let workload = Workload::LoadRandom;
        data::shuffle(records);
        let loads = self.loads(self.engines, records, Order::Random);
        let (filled, raw) = loads.in_turns(self.effort.load_rounds);
        records.sort_unstable_by_key(|record| record.token);
        let (mut databases, mut times) = (Vec::new(), Vec::new());
        for (engine, filled) in self.engines.iter().zip(filled) {
            if let Some((loaded, its_times)) = rows.sort_out(engine.name(), workload, filled) {
                databases.push(loaded);
                times.push(its_times);
            }
        }
        let outcomes = answers::compare(&databases, records, queries).outcomes;
        for ((loaded, times), outcome) in databases.into_iter().zip(times).zip(outcomes) {
            let loaded_engine = loaded.engine;
            let name = loaded_engine.name();
            let bytes = outcome.and_then(|()| guarded(|| loaded.remove()));
            if let Some(bytes) = rows.sort_out(name, workload, bytes) {
                rows.add_load(loaded_engine, workload, &times, Some(bytes));
            }
        }
        rows.add_raw(workload, raw);
        rows.results.save()
    }

    /// Leaves the databases' sizes open.
    fn load_sorted(
        &self,
        records: &[Record],
        queries: &Queries,
        rows: &mut Rows<'_>,
    ) -> Result<Vec<Loaded>, Failure> {
        let workload = Workload::LoadSorted;
        let is_there = |engine: &&&dyn Engine| !rows.is_left_out(engine.name());
        let engines: Vec<_> = self.engines.iter().filter(is_there).copied().collect();
        let loads = self.loads(&engines, records, Order::Sorted);
        let mut databases = Vec::new();
        if self.wants(workload) {
            let (filled, raw) = loads.in_turns(self.effort.load_rounds);
            for (engine, filled) in engines.iter().zip(filled) {
                let filled = rows.sort_out(engine.name(), workload, filled);
                if let Some((loaded, times)) = filled {
                    rows.add_load(*engine, workload, &times, None);
                    databases.push(loaded);
                }
            }
            rows.add_raw(workload, raw);
            rows.results.save()?;
        } else {
            for (engine, loaded) in engines.iter().zip(loads.once()) {
                databases.extend(rows.sort_out(engine.name(), workload, loaded));
            }
        }
        let compared = answers::compare(&databases, records, queries);
        if let Some(steps_per_match) = compared.steps_per_match {
            let keys = rows.keys.clone();
            say(format_args!("{keys}: a match every {steps_per_match:.0} stored tokens"));
            rows.results.walks.push(Walks { keys, steps_per_match });
        }
        Ok(rows.sort_out_all(databases, workload, compared.outcomes))
    }

    fn read(
        &self,
        mut databases: Vec<Loaded>,
        queries: &Queries,
        rows: &mut Rows<'_>,
    ) -> Result<Vec<Loaded>, Failure> {
        let reads = self.wanted(Kind::Read);
        if let Some(first) = reads.first() {
            talk::stage("warming up", databases.len());
            let warm_up = |loaded: &Loaded| {
                talk::turn(loaded.engine.name());
                guarded(|| Ok(loaded.database.warm_up()?))
            };
            let outcomes = databases.iter().map(warm_up).collect();
            databases = rows.sort_out_all(databases, *first, outcomes);
        }
        for workload in reads {
            for threads in self.threads {
                let all = reads::measure(workload, &databases, queries, *threads, self.effort);
                let mut outcomes = Vec::new();
                for (loaded, times) in databases.iter().zip(all) {
                    outcomes.push(times.map(|times| {
                        rows.add(loaded.engine.name(), workload, *threads, &times, None);
                    }));
                }
                databases = rows.sort_out_all(databases, workload, outcomes);
                rows.results.save()?;
            }
        }
        Ok(databases)
    }

    /// Opens the databases and writes to them, as far as that is wanted, tells the sizes
    /// that they had before, and removes them.
    fn write(
        &self,
        mut closed: Vec<Closed>,
        queries: &Queries,
        rows: &mut Rows<'_>,
    ) -> Result<(), Failure> {
        for closed in &closed {
            let name = closed.engine.name();
            if self.wants(Workload::Size) {
                rows.add(name, Workload::Size, 1, &Times::new(), None);
            }
            rows.complete(name, closed.bytes);
        }
        for workload in self.wanted(Kind::Open) {
            let tokens = rows.tokens as usize;
            let all = match workload {
                Workload::Open => opens::measure(&closed, tokens, queries, self.effort),
                _ => cold::measure(workload, &closed, tokens, queries, self.effort),
            };
            let mut outcomes = Vec::new();
            for (closed, times) in closed.iter().zip(all) {
                outcomes.push(times.map(|times| {
                    let (name, bytes) = (closed.engine.name(), Some(closed.bytes));
                    rows.add(name, workload, 1, &times, bytes);
                }));
            }
            closed = rows.sort_out_all(closed, workload, outcomes);
            rows.results.save()?;
        }
        let writes = self.wanted(Kind::Write);
        if !writes.is_empty() {
            self.change(&mut closed, &writes, queries, rows)?;
        }
        for closed in closed {
            // What was measured is there.
            if let Err(failure) = closed.remove() {
                say(failure);
            }
        }
        rows.results.save()
    }

    /// Measures what changes databases; no times of an engine that keeps nothing on disk.
    fn change(
        &self,
        closed: &mut Vec<Closed>,
        workloads: &[Workload],
        queries: &Queries,
        rows: &mut Rows<'_>,
    ) -> Result<(), Failure> {
        let tokens = rows.tokens;
        let open = |closed: &Closed| closed.open(tokens as usize);
        let mut databases = Vec::new();
        talk::stage("opening and warming up", closed.len());
        for closed in closed.iter() {
            let name = closed.engine.name();
            talk::turn(name);
            let opened = guarded(|| {
                let opened = open(closed)?;
                opened.iter().try_for_each(|database| database.warm_up())?;
                Ok(Written::new(closed.engine, opened, closed.bytes))
            });
            databases.extend(rows.sort_out(name, workloads[0], opened));
        }
        for workload in workloads {
            let all = writes::measure(*workload, &mut databases, queries, self.effort);
            let mut outcomes = Vec::new();
            for (written, times) in databases.iter().zip(all) {
                let (name, bytes) = (written.name(), Some(written.bytes));
                outcomes.push(times.map(|times| rows.add(name, *workload, 1, &times, bytes)));
            }
            databases = rows.sort_out_all(databases, *workload, outcomes);
            // Others may need the room.
            closed.retain(|closed| !rows.is_left_out(closed.engine.name()));
            rows.results.save()?;
        }
        // What is on disk counts, and not what engines have in memory.
        let mut committed = Vec::new();
        for written in databases {
            let (name, commits) = (written.name(), written.committed);
            let dropped = guarded(|| {
                drop(written);
                Ok((name, commits))
            });
            committed.extend(rows.sort_out(name, workloads[0], dropped));
        }
        talk::stage("comparing what was committed", committed.len());
        for (name, commits) in committed {
            talk::turn(name);
            let compared = guarded(|| {
                let closed = closed.iter().find(|closed| closed.engine.name() == name);
                match closed.map(open).transpose()?.flatten() {
                    Some(database) => answers::compare_commits(name, &database, tokens, commits),
                    None => Ok(()),
                }
            });
            rows.sort_out(name, workloads[0], compared);
        }
        Ok(())
    }

    fn loads<'a>(
        &'a self,
        engines: &'a [&'static dyn Engine],
        records: &'a [Record],
        order: Order,
    ) -> Loads<'a> {
        Loads { engines, directory: self.directory, records, order }
    }

    fn wanted(&self, kind: Kind) -> Vec<Workload> {
        self.workloads.iter().copied().filter(|workload| workload.kind() == kind).collect()
    }

    fn wants(&self, workload: Workload) -> bool {
        self.workloads.contains(&workload)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ringstore::{
        BlockTime, Error, MemTokens, Options, RangeIter, Result, Store, TokenId,
        TokenStorageBackend,
    };

    use super::*;
    use crate::engines::mem::Mem;
    use crate::engines::ringstore::Ringstore;
    use crate::engines::{self, Database, Durable, Needs, Reader};
    use crate::exit::Exit;
    use crate::machine::Machine;
    use crate::results::{Failed, Measured};

    /// Commits in a way of its own.
    struct Committing<B> {
        tokens: B,
        commit: fn(&mut B, &[Record]) -> Result<()>,
    }

    impl<B: TokenStorageBackend> TokenStorageBackend for Committing<B> {
        fn lookup(&self, token: &TokenId) -> Result<Option<BlockTime>> {
            self.tokens.lookup(token)
        }

        fn set(&mut self, token: &TokenId, value: BlockTime) -> Result<bool> {
            self.tokens.set(token, value)
        }

        fn range_after(&self, start: &TokenId) -> Result<RangeIter<'_>> {
            self.tokens.range_after(start)
        }

        fn range_before(&self, end: &TokenId) -> Result<RangeIter<'_>> {
            self.tokens.range_before(end)
        }

        fn len(&self) -> Result<u64> {
            self.tokens.len()
        }
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

    fn committing(
        tokens: Store,
        commit: fn(&mut Store, &[Record]) -> Result<()>,
    ) -> Box<dyn Durable> {
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
        assert!(
            matches!(told[..], [("mem", false, None), ("ringstore", true, Some(_))]),
            "{told:?}"
        );
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
            let [Failed { engine, workload, reason, differs: true, .. }] = &results.failed[..]
            else {
                panic!("one that differs");
            };
            assert_eq!((&**engine, *workload), ("changeling", Workload::Commit));
            reason.clone()
        };
        let looked_up = |engine| {
            let told = told(engine);
            assert!(
                told.contains("changeling: lookup of ") && told.contains(", committed"),
                "{told}"
            );
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

        fn set(&mut self, token: &TokenId, value: BlockTime) -> Result<bool> {
            self.0.set(token, value)
        }

        fn range_after(&self, start: &TokenId) -> Result<RangeIter<'_>> {
            self.0.range_after(start)
        }

        fn range_before(&self, end: &TokenId) -> Result<RangeIter<'_>> {
            self.0.range_before(end)
        }

        fn len(&self) -> Result<u64> {
            TokenStorageBackend::len(&self.0)
        }
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
                        results
                            .measured
                            .iter()
                            .find(is_it)
                            .is_some_and(|row| row.figure().is_some())
                    };
                    assert!(has_figure("ringstore"), "{doing}: {workload:?}");
                    let never = first == workload || workload == Workload::Mixed;
                    assert!(!never || !has_figure("failing"), "{doing}: {workload:?}");
                }
            }
        }
    }
}
