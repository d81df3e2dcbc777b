//! One family of keys from its tokens to its figures.
//!
//! Loads of random order come first, then sorted ones, whose databases are kept: they are
//! what is read, at its most compact for every engine. Then the databases are closed, which
//! settles their sizes, and opened anew, again and again. What writes comes last, for it
//! changes them.
//!
//! An engine that fails is left out of all that follows, and the others go on.

#[cfg(test)]
mod tests;

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
