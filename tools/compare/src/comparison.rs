//! One family of keys from its tokens to its figures.
//!
//! Loads of random order come first, then sorted ones, whose databases are kept: they are
//! what is read, at its most compact for every engine.

use std::path::Path;

use ringstore::Record;
use ringstore::testing::keys::KeyFamily;

use crate::answers;
use crate::data::{self, Queries};
use crate::engines::{Engine, Order};
use crate::exit::Failure;
use crate::keys;
use crate::load::{self, Loaded, Loads, RAW};
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
            self.read(databases, &queries, &mut rows)?;
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

    /// Reads from the databases, closes and removes them, and tells their sizes.
    fn read(
        &self,
        databases: Vec<Loaded>,
        queries: &Queries,
        rows: &mut Rows,
    ) -> Result<(), Failure> {
        let reads: Vec<_> = self.workloads.iter().filter(|workload| workload.is_read()).collect();
        if !reads.is_empty() {
            databases.iter().try_for_each(|loaded| loaded.database.warm_up())?;
        }
        for workload in reads {
            rows.say(*workload);
            let times = reads::measure(*workload, &databases, queries, self.effort)?;
            for (loaded, times) in databases.iter().zip(&times) {
                rows.add(loaded.engine.name(), *workload, times, None);
            }
        }
        for loaded in databases {
            let name = loaded.engine.name();
            if self.wants(Workload::Size) {
                rows.add(name, Workload::Size, &Times::new(), None);
            }
            rows.complete(name, loaded.remove()?);
        }
        Ok(())
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
