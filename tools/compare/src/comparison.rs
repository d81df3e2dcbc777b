//! One family of keys from its tokens to its figures.
//!
//! Loads of random order come first, then sorted ones, whose databases are kept: they are
//! what is read, at its most compact for every engine. Commits come last, for they change
//! the databases: these are closed, which settles their sizes, and opened anew.

use std::path::Path;

use ringstore::Record;
use ringstore::testing::keys::KeyFamily;

use crate::answers;
use crate::commits;
use crate::data::{self, Queries};
use crate::engines::{Engine, Order};
use crate::exit::Failure;
use crate::keys;
use crate::load::{self, Closed, Loaded, Loads, RAW};
use crate::reads::{self, Effort};
use crate::results::Measured;
use crate::talk::say;
use crate::timing::Times;
use crate::workload::Workload;

/// What is to be measured over one family of keys.
pub(crate) struct Comparison<'a> {
    pub(crate) family: KeyFamily,
    /// At most.
    pub(crate) tokens: usize,
    pub(crate) engines: &'a [&'static dyn Engine],
    pub(crate) workloads: &'a [Workload],
    pub(crate) effort: Effort,
    /// Empty, and empty again in the end.
    pub(crate) directory: &'a Path,
}

impl Comparison<'_> {
    /// Measures everything that is wanted.
    pub(crate) fn measure(&self) -> Result<Vec<Measured>, Failure> {
        let keys = keys::name(self.family);
        say(format_args!("{keys}: making tokens"));
        let mut records = data::records(self.family, self.tokens);
        let queries = Queries::new(&records);
        let mut rows = Rows { keys, tokens: records.len() as u64, measured: Vec::new() };
        let raw_bytes = if self.wants(Workload::LoadSorted) || self.wants(Workload::LoadRandom) {
            load::ringstore_bytes(self.directory, &records)?
        } else {
            0
        };
        if self.wants(Workload::LoadRandom) {
            self.load_random(&mut records, &queries, raw_bytes, &mut rows)?;
        }
        if self.workloads != [Workload::LoadRandom] {
            let databases = self.load_sorted(&records, &queries, raw_bytes, &mut rows)?;
            // Nothing else needs them, and engines may need the memory.
            drop(records);
            self.read(&databases, &queries, &mut rows)?;
            drop(queries);
            let databases = databases.into_iter().map(Loaded::close);
            self.commit(&databases.collect::<Result<Vec<_>, _>>()?, &mut rows)?;
        }
        Ok(rows.measured)
    }

    /// Gives the records back in their order.
    fn load_random(
        &self,
        records: &mut [Record],
        queries: &Queries,
        raw_bytes: u64,
        rows: &mut Rows,
    ) -> Result<(), Failure> {
        let workload = Workload::LoadRandom;
        rows.say(workload);
        data::shuffle(records);
        let (loaded, raw) =
            self.loads(records, Order::Random).in_turns(self.effort.rounds, raw_bytes)?;
        records.sort_unstable_by_key(|record| record.token);
        let (databases, times): (Vec<_>, Vec<_>) = loaded.into_iter().unzip();
        answers::compare(&databases, records, queries)?;
        for (loaded, times) in databases.into_iter().zip(times) {
            let name = loaded.engine.name();
            rows.add(name, workload, &times, Some(loaded.remove()?));
        }
        rows.add(RAW, workload, &raw, Some(raw_bytes));
        Ok(())
    }

    /// Leaves the databases' sizes open.
    fn load_sorted(
        &self,
        records: &[Record],
        queries: &Queries,
        raw_bytes: u64,
        rows: &mut Rows,
    ) -> Result<Vec<Loaded>, Failure> {
        let workload = Workload::LoadSorted;
        rows.say(workload);
        let loads = self.loads(records, Order::Sorted);
        let databases = if self.wants(workload) {
            let (loaded, raw) = loads.in_turns(self.effort.rounds, raw_bytes)?;
            for (loaded, times) in &loaded {
                rows.add(loaded.engine.name(), workload, times, None);
            }
            rows.add(RAW, workload, &raw, Some(raw_bytes));
            loaded.into_iter().map(|(loaded, _)| loaded).collect()
        } else {
            loads.once()?
        };
        answers::compare(&databases, records, queries)?;
        Ok(databases)
    }

    fn read(
        &self,
        databases: &[Loaded],
        queries: &Queries,
        rows: &mut Rows,
    ) -> Result<(), Failure> {
        let reads: Vec<_> = self.workloads.iter().filter(|workload| workload.is_read()).collect();
        if !reads.is_empty() {
            databases.iter().try_for_each(|loaded| loaded.database.warm_up())?;
        }
        for workload in reads {
            rows.say(*workload);
            let times = reads::measure(*workload, databases, queries, self.effort)?;
            for (loaded, times) in databases.iter().zip(&times) {
                rows.add(loaded.engine.name(), *workload, times, None);
            }
        }
        Ok(())
    }

    /// Commits to the databases if that is wanted, tells the sizes that they had before,
    /// and removes them.
    fn commit(&self, databases: &[Closed], rows: &mut Rows) -> Result<(), Failure> {
        let workload = Workload::Commit;
        if self.wants(workload) {
            rows.say(workload);
            for (closed, times) in databases.iter().zip(self.commits(databases, rows.tokens)?) {
                rows.add(closed.engine.name(), workload, &times, None);
            }
        }
        for closed in databases {
            let name = closed.engine.name();
            if self.wants(Workload::Size) {
                rows.add(name, Workload::Size, &Times::new(), None);
            }
            rows.complete(name, closed.bytes);
            closed.remove()?;
        }
        Ok(())
    }

    /// What commits took; nothing of an engine that keeps nothing on disk.
    fn commits(&self, closed: &[Closed], tokens: u64) -> Result<Vec<Times>, Failure> {
        let open = |closed: &Closed| closed.open(tokens as usize);
        let (mut places, mut databases) = (Vec::new(), Vec::new());
        for (place, closed) in closed.iter().enumerate() {
            if let Some(database) = open(closed)? {
                database.warm_up()?;
                places.push(place);
                databases.push(database);
            }
        }
        let all = commits::measure(&mut databases, self.effort)?;
        // What is on disk counts, and not what engines have in memory.
        drop(databases);
        let mut times: Vec<_> = closed.iter().map(|_| Times::new()).collect();
        for (place, committed) in places.into_iter().zip(all) {
            let name = closed[place].engine.name();
            if let Some(database) = open(&closed[place])? {
                answers::compare_commits(name, &database, tokens, committed.commits)?;
            }
            times[place] = committed.times;
        }
        Ok(times)
    }

    fn loads<'a>(&'a self, records: &'a [Record], order: Order) -> Loads<'a> {
        Loads { engines: self.engines, directory: self.directory, records, order }
    }

    fn wants(&self, workload: Workload) -> bool {
        self.workloads.contains(&workload)
    }
}

/// What was measured of the family so far.
struct Rows {
    keys: String,
    tokens: u64,
    measured: Vec<Measured>,
}

impl Rows {
    fn say(&self, workload: Workload) {
        say(format_args!("{}: {}", self.keys, workload.name()));
    }

    fn add(&mut self, engine: &'static str, workload: Workload, times: &Times, bytes: Option<u64>) {
        self.measured.push(Measured {
            keys: self.keys.clone(),
            tokens: self.tokens,
            engine,
            workload,
            threads: 1,
            ops: times.operations(),
            ns_per_op: times.median_ns(),
            p50_ns: times.p50_ns(),
            p99_ns: times.p99_ns(),
            p999_ns: times.p999_ns(),
            bytes_per_token: bytes.and_then(|bytes| self.per_token(bytes)),
        });
    }

    /// Tells the size where it was left open.
    fn complete(&mut self, engine: &str, bytes: u64) {
        let bytes_per_token = self.per_token(bytes);
        let of_engine = self.measured.iter_mut().filter(|row| row.engine == engine);
        for row in of_engine.filter(|row| row.workload != Workload::LoadRandom) {
            row.bytes_per_token = bytes_per_token;
        }
    }

    /// `None` for what is not on disk.
    fn per_token(&self, bytes: u64) -> Option<f64> {
        (bytes > 0).then(|| bytes as f64 / self.tokens as f64)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ringstore::{
        BlockTime, MemTokens, Options, RangeIter, Result, Store, TokenId, TokenStorageBackend,
    };

    use super::*;
    use crate::engines::mem::Mem;
    use crate::engines::ringstore::Ringstore;
    use crate::engines::{self, Database, Durable};
    use crate::exit::Exit;

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

    impl<B: TokenStorageBackend> Database for Committing<B> {}

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
    }

    fn committing(
        tokens: Store,
        commit: fn(&mut Store, &[Record]) -> Result<()>,
    ) -> Box<dyn Durable> {
        Box::new(Committing { tokens, commit })
    }

    fn measure(
        engines: &[&'static dyn Engine],
        workloads: &[Workload],
    ) -> Result<Vec<Measured>, Failure> {
        let directory = tempfile::tempdir().unwrap();
        let comparison = Comparison {
            family: KeyFamily::Uniform,
            tokens: 1_000,
            engines,
            workloads,
            effort: Effort { rounds: 2, turn: Duration::from_micros(100) },
            directory: directory.path(),
        };
        let measured = comparison.measure();
        if measured.is_ok() {
            assert_eq!(directory.path().read_dir().unwrap().count(), 0);
        }
        measured
    }

    #[test]
    fn commits_change_no_size() {
        let sizes = |workloads: &[Workload]| -> Vec<_> {
            let rows = measure(engines::ALL, workloads).unwrap();
            let is_last = |row: &&Measured| row.workload == workloads[workloads.len() - 1];
            let rows = rows.iter().filter(is_last);
            rows.map(|row| (row.engine, row.bytes_per_token)).collect()
        };
        let before = sizes(&[Workload::Size]);
        assert_eq!(sizes(&[Workload::Commit, Workload::Size]), before);
        assert_eq!(sizes(&[Workload::Commit]), before);
    }

    #[test]
    fn an_engine_without_durable_commits_has_no_times() {
        let rows = measure(&[&Mem, &Ringstore], &[Workload::Commit]).unwrap();
        let told: Vec<_> = rows.iter().map(|row| (row.engine, row.ops > 0, row.figure())).collect();
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
            let failure = measure(&[&Ringstore, engine], &[Workload::Commit]).err().unwrap();
            assert_eq!(failure.exit(), Exit::Differ, "{failure}");
            failure.to_string()
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
        assert!(measure(&[&Ringstore, right], &[Workload::Commit]).is_ok());

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
}
