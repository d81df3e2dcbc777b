//! Flushes and compactions, which change no answer, and what is on the disk after them.

use super::machine::Machine;
use super::reads::tokens_of;
use crate::error::{Error, Result};
use crate::format::names::{LOCK, MANIFEST, is_log, is_segment};
use crate::progress::UNWATCHED;
use crate::store::Store;
use crate::store::monitor::Background;
use crate::store::stat::Stat;
use crate::testing::answers::{Outcome, answer, same};

impl Machine {
    pub(super) fn flush(&mut self) -> Outcome {
        let before = self.store().stat();
        if self.change_layers("flush", Store::flush)? {
            let stat = self.store().stat();
            self.counts.add_if("flushes", stat.flushes > before.flushes);
            self.counts.add_if("flushes that merged layers", stat.layers < before.layers);
        }
        Ok(())
    }

    pub(super) fn compact(&mut self) -> Outcome {
        let before = self.store().stat();
        if self.change_layers("compact", |store| store.compact(UNWATCHED))? {
            let stat = self.store().stat();
            self.counts.add_if("compactions", stat.compactions > before.compactions);
            same(format_args!("at most one layer"), Ok(stat.layers.max(1)), &1)?;
            let stale = stat.each_layer.iter().map(|layer| layer.updates + layer.tombstones).sum();
            same(format_args!("fresh entries only"), Ok(stale), &0u64)?;
        }
        Ok(())
    }

    /// Changes how what there is is stored; whether that was done.
    fn change_layers(
        &mut self,
        name: &'static str,
        change: impl FnOnce(&Store) -> Result<()>,
    ) -> Outcome<bool> {
        let begins = self.place.operations();
        let before = self.store().stat();
        match change(self.store()) {
            Err(Error::Unwritable { .. }) if self.poisoned.is_some() => {
                return self.refused().map(|()| false);
            }
            Err(Error::OutcomeUnknown { .. } | Error::Unwritable { .. })
                if self.is_armed && self.poisoned.is_none() =>
            {
                self.poison(None);
                return Ok(false);
            }
            Err(Error::Io { .. } | Error::NoSpace { .. }) if self.is_armed => {
                self.counts.add("flushes that failed");
                let stat = self.store().stat();
                return same(format_args!("tokens"), Ok(stat.tokens), &before.tokens)
                    .map(|()| false);
            }
            changed => answer(format_args!("{name}"), changed)?,
        }
        self.history.synced(begins, self.place.operations());
        let stat = self.store().stat();
        same(format_args!("delta after a {name}"), Ok(stat.delta), &0)?;
        same(format_args!("tokens of all layers"), Ok(tokens_of(&stat)), &stat.tokens)?;
        same(format_args!("tokens"), Ok(stat.tokens), &(self.model.len() as u64))?;
        Ok(true)
    }

    /// The store's files are those that it says it has.
    pub(super) fn check_files(&self) -> Outcome {
        let is_busy = |stat: Stat| {
            stat.background == Background::Flushing || stat.compaction == Background::Compacting
        };
        while is_busy(self.store().stat()) {
            std::thread::yield_now();
        }
        let (mut log_bytes, mut segment_bytes, mut others) = (0, 0, Vec::new());
        for (name, len) in self.place.file_lens() {
            if is_log(&name) {
                log_bytes += len;
            } else if is_segment(&name) {
                segment_bytes += len;
            } else {
                others.push(name);
            }
        }
        same(format_args!("other files"), Ok(others), &vec![LOCK.into(), MANIFEST.into()])?;
        let stat = self.store().stat();
        same(format_args!("bytes of logs"), Ok(log_bytes), &stat.log_bytes)?;
        same(format_args!("bytes of segments"), Ok(segment_bytes), &stat.segment_bytes)
    }
}
