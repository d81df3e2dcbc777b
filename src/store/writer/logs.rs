//! Which logs there are, as the manifest says.

use std::sync::Arc;

use super::{Flushing, State, Writer, again};
use crate::delta::Delta;
use crate::error::{Error, Result};
use crate::format::log::LogEntry;
use crate::format::manifest::ManifestContents;
use crate::format::names::log_name;
use crate::io::random::random_bytes;
use crate::log::write::{Log, log_for};
use crate::manifest;
use crate::options::Durability;
use crate::report;

impl Writer {
    /// Begins a log with room for a frame, and names it in the manifest. It begins with the
    /// delta, and takes the place of all others but those of what is sealed.
    pub(in crate::store) fn begin_log(&self, state: &mut State, frame_len: usize) -> Result<()> {
        let mut contents = manifest::next(self.disk.as_ref(), &state.contents)?;
        let entries = state.delta.entries()?;
        self.sync_log(state)?;
        let entries: Vec<_> = entries.iter().map(|entry| (entry.record, entry.kind)).collect();
        let room = self.log_room.max(frame_len as u64);
        let (log_id, first_sequence) = (state.contents.next_file_id, state.last_sequence + 1);
        let entry = log_for(log_id, first_sequence, random_bytes()?, entries.len(), room);
        let dropped = contents.logs.split_off(state.sealed_logs.min(contents.logs.len()));
        contents.logs.push(entry);
        let disk = self.disk.as_ref();
        let log = Log::begin(disk, contents.store_id, entry, &entries)?;
        let named = manifest::sync_names(disk).and_then(|()| manifest::replace(disk, &contents));
        self.settle(state, named, &log_name(entry.log_id))?;
        self.monitor.set_logs(&contents.logs);
        self.monitor.count(|written| written.log_bytes += log.offset);
        state.contents = contents;
        state.log = Some(log);
        state.last_sequence = entry.commits_from - 1;
        drop(self.reach(state, state.last_sequence, Durability::Synced));
        report::debug(format_args!("{}: log {} begun", disk.path().display(), entry.log_id));
        self.unlink(&dropped);
        Ok(())
    }

    /// Makes durable what is in the log. Nothing must be in line.
    pub(super) fn sync_log(&self, state: &mut State) -> Result<()> {
        if let Some(log) = &state.log
            && self.reached.durable() < self.reached.published()
        {
            let file = Arc::clone(&log.file);
            if let Err(error) = file.sync() {
                let failed = Error::OutcomeUnknown {
                    path: file.path().to_path_buf(),
                    source: again(&error),
                };
                self.fail(state, file.path(), error);
                return Err(failed);
            }
            drop(self.reach(state, self.reached.published(), Durability::Synced));
        }
        Ok(())
    }

    /// Names no log in the manifest: there is nothing in them.
    pub(super) fn drop_logs(&self, state: &mut State) -> Result<()> {
        let mut contents = manifest::next(self.disk.as_ref(), &state.contents)?;
        contents.logs.clear();
        self.settle(state, manifest::replace(self.disk.as_ref(), &contents), "")?;
        let delta = Delta::new(state.delta.layers().clone());
        self.install(state, contents, delta);
        Ok(())
    }

    /// Goes on with a manifest that names no logs, and a delta that is empty.
    pub(in crate::store) fn install(
        &self,
        state: &mut State,
        contents: ManifestContents,
        delta: Delta,
    ) {
        let dropped = std::mem::replace(&mut state.contents, contents).logs;
        state.delta = delta;
        state.log = None;
        // What there was to be flushed came to nothing.
        state.sealed_logs = 0;
        self.set_flushing(state, Flushing::Idle);
        self.monitor.set_logs(&[]);
        drop(self.reach(state, self.reached.published(), Durability::Synced));
        self.unlink(&dropped);
    }

    /// Where a change failed, removes the file that it was to name, unless that may have
    /// its name after all: then nothing more is written.
    pub(in crate::store) fn settle<T>(
        &self,
        state: &mut State,
        named: Result<T>,
        name: &str,
    ) -> Result<T> {
        match &named {
            Ok(_) => {}
            Err(Error::OutcomeUnknown { path, source }) => {
                let (path, error) = (path.clone(), again(source));
                self.fail(state, &path, error);
            }
            Err(_) => {
                let _ = self.disk.unlink(name);
            }
        }
        named
    }

    pub(super) fn unlink(&self, logs: &[LogEntry]) {
        for log in logs {
            // Whether this works does not matter: the next writer removes it as well.
            let _ = self.disk.unlink(&log_name(log.log_id));
        }
    }
}
