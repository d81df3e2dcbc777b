//! How a store ends, and what must be there when it is opened again.

use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;

use super::counts::Counts;
use super::history::{Crash, Found};
use super::machine::Machine;
use super::operation::Question;
use super::place::Place;
use super::reads::{ask, is_same};
use crate::error::Error;
use crate::store::Store;
use crate::store::monitor::Background;
use crate::testing::answers::{Outcome, answer, same};
use crate::testing::sim::SimDisk;
use crate::token::TokenId;

/// A disk that remembers more operations than this is exchanged for one that does not, when
/// the store is closed.
const REMEMBERED_OPERATIONS: usize = 6_000;

/// Stores that are open for reading at the most.
const READERS_MAX: usize = 3;

impl Machine {
    /// Opens the store for reading and writing. Where a fault may strike, it may fail, and
    /// must work once there is none.
    pub(super) fn open(&mut self) -> Outcome {
        let mut opened = self.place.open(&self.options);
        if let (
            Err(Error::Io { .. } | Error::NoSpace { .. } | Error::OutcomeUnknown { .. }),
            true,
        ) = (&opened, self.is_armed)
        {
            self.counts.add("opens that failed");
            self.heal();
            opened = self.place.open(&self.options);
        }
        self.store = Some(answer(format_args!("opening the store"), opened)?);
        Ok(())
    }

    /// Makes sure that one of these states was opened, and that it is whole.
    pub(super) fn check_opened(&mut self, allowed: &RangeInclusive<u64>) -> Outcome {
        let store = self.store.as_ref().expect("it was just opened");
        let snapshot = store.snapshot();
        let maybe = self.poisoned.take().and_then(|poisoned| poisoned.maybe);
        let model = Arc::make_mut(&mut self.model);
        let found =
            self.history.find(model, maybe.as_ref(), allowed, |model| is_same(&snapshot, model));
        let Some(Found { is_maybe, undone, tokens }) = found else {
            return Err(format!("it holds none of the states {allowed:?}: {:?}", store.stat()));
        };
        if is_maybe {
            self.counts.add("unknown outcomes that were found");
            let maybe = maybe.unwrap_or_default();
            self.untold.extend(maybe.kinds.keys().chain(self.model.kinds.keys()));
            self.model = Arc::new(maybe);
        }
        self.counts.add_if("crashes that lost commits", undone > 0);
        self.untold.extend(tokens);
        let stat = store.stat();
        self.counts.add_if("opens that read commits", stat.recovery.commits > 0);
        self.counts.add_if("opens that cut a torn tail", stat.recovery.cut_bytes > 0);
        self.may_have_leftovers = self.is_armed;
        if self.is_armed {
            return Ok(());
        }
        self.check_files()?;
        if self.counts.get("operations").is_multiple_of(4) {
            let report = self.store().verify(&|_| ControlFlow::Continue(()));
            let report = answer(format_args!("verify"), report)?;
            same(format_args!("damage"), Ok(report.damages), &Vec::new())?;
        }
        Ok(())
    }

    pub(super) fn reopen(&mut self) -> Outcome {
        let begins = self.place.operations();
        let failed = matches!(self.store().stat().background, Background::Failed(_));
        let closed = self.store.take().map_or(Ok(()), Store::close);
        match closed {
            Err(Error::Io { .. } | Error::NoSpace { .. }) if failed => {
                self.counts.add("ends that told of a flush that failed");
            }
            Ok(()) if self.poisoned.is_none() => {
                self.history.synced(begins, self.place.operations());
                self.counts.add("clean ends");
            }
            Err(_) if self.is_armed || self.poisoned.is_some() => {
                self.counts.add("ends that were not clean");
                self.heal();
            }
            closed => answer(format_args!("close"), closed)?,
        }
        if let Some(disk) = self.place.simulated()
            && begins > REMEMBERED_OPERATIONS
            && self.poisoned.is_none()
        {
            self.place = Place::Simulated(SimDisk::with_files(disk.files()));
            self.readers.clear();
            self.is_armed = false;
            self.history.all_is_durable(0);
        }
        let moment = self.place.operations();
        let allowed = self.history.allowed(moment, Crash::Kill);
        let was_poisoned = self.poisoned.is_some();
        self.open()?;
        self.check_opened(&allowed)?;
        let ends = self.place.operations();
        if was_poisoned || self.place.simulated().is_none() {
            self.history.all_is_durable(ends);
        } else {
            self.history.synced(moment, ends);
        }
        self.counts.add("reopens");
        Ok(())
    }

    /// Opens the store for reading, beside the writer.
    pub(super) fn look(&mut self, question: &Question) -> Outcome {
        if self.poisoned.is_some() {
            return Ok(());
        }
        let begins = self.place.operations();
        let store = match self.place.open_read_only(&self.options) {
            Err(Error::Io { .. }) if self.is_armed => return Ok(()),
            opened => answer(format_args!("opening for reading"), opened)?,
        };
        same(format_args!("traces left"), Ok(self.place.operations() - begins), &0)?;
        let snapshot = store.snapshot();
        let looks_same = is_same(&snapshot, &self.model);
        same(format_args!("a reader sees the same"), Ok(looks_same), &true)?;
        ask(&snapshot, &self.model, question, &mut self.counts)?;
        let refreshed = answer(format_args!("refreshing"), store.refresh());
        same(format_args!("something new"), refreshed.or(Ok(false)), &false)?;
        let refused = matches!(store.remove(&TokenId::MIN), Err(Error::Unwritable { .. }));
        same(format_args!("a reader writes nothing"), Ok(refused), &true)?;
        self.counts.add("stores opened for reading");
        if self.readers.len() == READERS_MAX {
            self.readers.remove(READERS_MAX / 2);
        }
        self.readers.push((store, Arc::clone(&self.model)));
        Ok(())
    }

    /// Has a store that is open for reading look for what is new.
    pub(super) fn refresh(&mut self, index: usize, question: &Question) -> Outcome {
        if self.readers.is_empty() || self.poisoned.is_some() {
            return Ok(());
        }
        let index = index % self.readers.len();
        let begins = self.place.operations();
        let (store, model) = &mut self.readers[index];
        let before = store.stat();
        match store.refresh() {
            Err(Error::Io { .. }) if self.is_armed => {
                self.counts.add("refreshes that failed");
                let snapshot = store.snapshot();
                return same(format_args!("as before"), Ok(is_same(&snapshot, model)), &true);
            }
            refreshed => {
                let is_new = answer(format_args!("refresh"), refreshed)?;
                self.counts.add_if("refreshes that found something", is_new);
                let is_over_flush = store.stat().each_layer != before.each_layer;
                self.counts.add_if("refreshes over a flush", is_over_flush);
            }
        }
        *model = Arc::clone(&self.model);
        same(format_args!("traces left"), Ok(self.place.operations() - begins), &0)?;
        let snapshot = store.snapshot();
        let looks_same = is_same(&snapshot, &self.model);
        same(format_args!("a reader sees the same after a refresh"), Ok(looks_same), &true)?;
        ask(&snapshot, &self.model, question, &mut self.counts)
    }

    /// Asks a store that is open for reading, whatever was done since it was refreshed.
    pub(super) fn ask_reader(&mut self, index: usize, question: &Question) -> Outcome {
        if self.readers.is_empty() {
            return Ok(());
        }
        let (store, model) = &self.readers[index % self.readers.len()];
        self.counts.add("questions to readers");
        ask(&store.snapshot(), model, question, &mut Counts::default())
    }

    /// The moment so many operations ago, as far back as is remembered.
    fn moment(&self, disk: &SimDisk, ago: usize) -> usize {
        disk.operations().saturating_sub(ago).max(self.history.start())
    }

    pub(super) fn kill(&mut self, ago: usize) -> Outcome {
        let Some(disk) = self.place.simulated() else { return self.reopen() };
        let moment = self.moment(disk, ago);
        let allowed = self.history.allowed(moment, Crash::Kill);
        let durable = *self.history.allowed(moment, Crash::PowerFailure).start();
        let killed = disk.killed(moment);
        self.store = None;
        self.readers.clear();
        self.place = Place::Simulated(killed);
        self.is_armed = false;
        self.open()?;
        let was_poisoned = self.poisoned.is_some();
        self.check_opened(&allowed)?;
        let ends = self.place.operations();
        if was_poisoned {
            self.history.all_is_durable(ends);
        } else {
            self.history.restart(moment, durable);
            self.history.synced(moment, ends);
        }
        self.counts.add("kills");
        Ok(())
    }

    pub(super) fn power_failure(&mut self, ago: usize, seed: u64, again: Option<usize>) -> Outcome {
        let Some(disk) = self.place.simulated() else { return self.reopen() };
        let moment = self.moment(disk, ago);
        let allowed = self.history.allowed(moment, Crash::PowerFailure);
        let image = disk.crash(moment, seed);
        self.store = None;
        self.readers.clear();
        self.is_armed = false;
        self.place = Place::Simulated(image.clone());
        if seed.is_multiple_of(4) {
            // Somebody only looks first, which changes nothing.
            let looked = self.place.open_read_only(&self.options);
            answer(format_args!("opening for reading after a crash"), looked)?;
            same(format_args!("traces left"), Ok(image.operations()), &0)?;
        }
        self.open()?;
        self.check_opened(&allowed)?;
        self.counts.add("power failures");
        if let Some(after) = again {
            self.store = None;
            let again = image.crash(after.min(image.operations()), seed + 1);
            self.place = Place::Simulated(again);
            self.open()?;
            self.history.all_is_durable(0);
            let allowed = self.history.allowed(0, Crash::PowerFailure);
            self.check_opened(&allowed)?;
            self.counts.add("power failures while opening");
        }
        self.history.all_is_durable(0);
        self.history.synced(0, self.place.operations());
        Ok(())
    }
}
