//! What changes many tokens at once, or copies all of them.

use std::cell::Cell;

use super::machine::Machine;
use super::reads::is_same;
use super::state::{Change, When};
use crate::error::Error;
use crate::load::options::LoadOptions;
use crate::options::Options;
use crate::progress::UNWATCHED;
use crate::store::Store;
use crate::store::expire::BATCH_REMOVALS;
use crate::testing::answers::{Outcome, answer, same};
use crate::token::{BlockTime, Record};

impl Machine {
    /// A load is as a batch of as many changes would be.
    pub(super) fn load(&mut self, changes: &[Change]) -> Outcome {
        let value = |change: &Change| change.value.unwrap_or_default();
        self.counts.add_if("loads", !changes.is_empty());
        self.write(changes, true, usize::MAX, |store| {
            let records = changes.iter().map(|change| Ok(Record::new(change.token, value(change))));
            let report = store.bulk_load(records, &LoadOptions::new())?;
            // No two values are the same.
            let snapshot = store.snapshot();
            let took_place = |change: &Change| -> crate::error::Result<bool> {
                Ok(snapshot.get(&change.token)? == Some(value(change)))
            };
            let took_place: Vec<_> = changes.iter().map(took_place).collect::<Result<_, _>>()?;
            let stored = took_place.iter().filter(|took_place| **took_place).count() as u64;
            assert_eq!((report.read, report.stored), (changes.len() as u64, stored));
            Ok(took_place)
        })
    }

    /// An expiry is as some batches of removals would be, and a sync.
    pub(super) fn expire(&mut self, before: u64) -> Outcome {
        let is_older = |value: &BlockTime| value.time < before;
        let tokens = self.model.oracle.tokens.iter().filter(|(_, value)| is_older(value));
        let removal = |token| Change { token, value: None, when: When::Older(before) };
        let changes: Vec<_> = tokens.map(|(token, _)| removal(*token)).collect();
        if self.is_armed && changes.len() > BATCH_REMOVALS {
            // How many of the batches a fault would leave is not known.
            return Ok(());
        }
        self.counts.add_if("expiries", !changes.is_empty());
        self.counts.add_if("expiries of several batches", changes.len() > BATCH_REMOVALS);
        let examined = self.model.len() as u64;
        let left = examined - changes.len() as u64;
        let begins = self.place.operations();
        // Where there was no room, it is tried again without faults.
        let may_fail = Cell::new(self.is_armed);
        // Whether what was removed is durable, once it was removed.
        let is_durable = Cell::new(None);
        self.write(&changes, false, BATCH_REMOVALS, |store| {
            let may_fail = may_fail.take();
            match store.expire(before, UNWATCHED) {
                Ok(expired) => {
                    is_durable.set(Some(true));
                    assert_eq!((expired.examined, expired.is_complete), (examined, true));
                    Ok(vec![true; expired.removed as usize])
                }
                // They were removed, and only then it was not known whether the disk has that.
                Err(Error::OutcomeUnknown { .. } | Error::Unwritable { .. })
                    if may_fail && left < examined && store.snapshot().len() == left =>
                {
                    is_durable.set(Some(false));
                    Ok(vec![true; changes.len()])
                }
                Err(error) => Err(error),
            }
        })?;
        match is_durable.get() {
            Some(true) => self.history.synced(begins, self.place.operations()),
            Some(false) => {
                self.counts.add("expiries that could not be synced");
                self.poison(None);
            }
            None => {}
        }
        Ok(())
    }

    /// A checkpoint holds the same, and changes nothing.
    pub(super) fn checkpoint(&mut self) -> Outcome {
        let begins = self.place.operations();
        let question = format_args!("a checkpoint");
        let directory;
        let (made, opened) = if let Some(disk) = self.place.simulated() {
            let copy = disk.beside();
            let made = answer(question, copy.checkpoint(self.store(), UNWATCHED))?;
            (made, copy.open_store(&Options::new().inline()))
        } else {
            directory = tempfile::tempdir().map_err(|error| error.to_string())?;
            let path = directory.path().join("copy");
            let made = answer(question, self.store().checkpoint(&path, UNWATCHED))?;
            (made, Store::open(&path, &Options::new().inline()))
        };
        let other = answer(question, opened)?;
        same(question, Ok(is_same(&other.snapshot(), &self.model)), &true)?;
        same(question, Ok(other.snapshot().len()), &made.tokens)?;
        let report = answer(question, other.verify(UNWATCHED))?;
        same(format_args!("damage to a checkpoint"), Ok(report.damages), &Vec::new())?;
        self.counts.add("checkpoints");
        self.counts.add_if("checkpoints with a delta", made.written_bytes > 0);
        same(format_args!("traces of a checkpoint"), Ok(self.place.operations() - begins), &0)
    }
}
