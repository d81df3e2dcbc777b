//! Flushing: what the delta has goes to a layer while others commit.
//!
//! When a log is full, or the delta is, the delta is *sealed*: it changes no more, the
//! next commit begins a new log, and a thread of its own writes what is sealed to a
//! segment. Then one manifest names the segment and no more the logs that it stands for,
//! readers are shown the layer in place of the parts, and the logs are removed.
//!
//! One delta is sealed at a time. If another one is full before the first is in its layer,
//! commits wait; if the first could not be written, whoever needs room tries once more, and
//! is told if that fails. Nothing is lost meanwhile, as the logs are still there.

use std::io;
use std::sync::Arc;

use super::{Flushing, State, WRITE, Writer, again};
use crate::compact::policy::layers_to_take;
use crate::compact::{RECORDS_MAX, write_layer};
use crate::delta::flush::{Flush, Flushed};
use crate::error::{Error, Result};
use crate::format::manifest::SegmentEntry;
use crate::format::names::segment_name;
use crate::manifest;
use crate::segment::builder::SegmentIds;
use crate::sync::{MutexGuard, thread};

const FLUSH: &str = "flush";

/// So few entries may look for their places above a new base while others wait.
const FEW_ENTRIES: usize = 4_096;

impl Writer {
    /// Makes room for a frame: begins a log, or seals the delta, or waits until that can be
    /// done. There may still be none when this returns.
    pub(super) fn make_room<'a>(
        self: &'a Arc<Self>,
        state: MutexGuard<'a, State>,
        frame_len: usize,
    ) -> Result<MutexGuard<'a, State>> {
        // What is in line goes to the old log.
        let mut state = self.idle(state);
        self.refuse_failed(&state, WRITE)?;
        if state.has_room(frame_len, self.delta_entries) {
            return Ok(state);
        }
        if state.log.is_none() {
            self.begin_log(&mut state, frame_len)?;
            Ok(state)
        } else if !matches!(state.flushing, Flushing::Idle) {
            self.flushed(state, WRITE, true)
        } else if state.is_full(self.delta_entries) {
            self.seal(state)
        } else {
            self.begin_log(&mut state, frame_len)?;
            Ok(state)
        }
    }

    /// Seals all there is, and waits until it is in a layer.
    pub(in crate::store) fn flush(self: &Arc<Self>) -> Result<()> {
        self.refuse_forked(FLUSH)?;
        // What was sealed before, first.
        let state = self.flushed(self.state(), FLUSH, true)?;
        let mut state = self.idle(state);
        self.refuse_failed(&state, FLUSH)?;
        self.sync_log(&mut state)?;
        // A log is not needed for what comes to nothing.
        let is_something = state.log.is_some() || !state.delta.is_empty();
        if matches!(state.flushing, Flushing::Idle) && is_something {
            state = self.seal(state)?;
        }
        // Somebody else may have sealed what was there.
        self.flushed(state, FLUSH, false).map(drop)
    }

    /// Waits until what is sealed is in a layer. If that was tried and failed, tries again
    /// first, if so asked.
    fn flushed<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
        operation: &'static str,
        mut tries_again: bool,
    ) -> Result<MutexGuard<'a, State>> {
        loop {
            if let Flushing::Failed(error) = &state.flushing
                && !tries_again
            {
                return Err(self.same(error, operation));
            }
            self.refuse_failed(&state, operation)?;
            state = match &state.flushing {
                Flushing::Idle => return Ok(state),
                Flushing::Running => self.wait_for_change(state),
                Flushing::Failed(_) => {
                    tries_again = false;
                    self.start(state)
                }
            };
        }
    }

    /// Waits until nothing is in line, and no flush is under way.
    pub(in crate::store) fn unflushed<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        loop {
            state = self.idle(state);
            if !matches!(state.flushing, Flushing::Running) {
                return state;
            }
            state = self.wait_for_change(state);
        }
    }

    /// Seals the delta and has it flushed. Nothing must be in line.
    fn seal<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
    ) -> Result<MutexGuard<'a, State>> {
        self.sync_log(&mut state)?;
        state.delta.seal();
        state.log = None;
        state.sealed_logs = state.contents.logs.len();
        Ok(self.start(state))
    }

    fn start<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let (flush, ids) = match self.plan(&mut state) {
            Ok(planned) => planned,
            Err(error) => {
                self.set_flushing(&mut state, Flushing::Failed(error));
                return state;
            }
        };
        self.set_flushing(&mut state, Flushing::Running);
        if self.is_inline {
            drop(state);
            self.run_flush(flush, ids);
            return self.state();
        }
        if let Some(before) = state.thread.take() {
            // It said that it is done, which was the last that it did. A panic was noted.
            let _ = before.join();
        }
        let writer = Arc::clone(self);
        let builder = thread::Builder::new().name("ringstore-flush".into());
        match builder.spawn(move || writer.run_flush(flush, ids)) {
            Ok(thread) => state.thread = Some(thread),
            Err(error) => {
                let error = Error::io("start a thread for", self.disk.path())(error);
                self.set_flushing(&mut state, Flushing::Failed(error));
            }
        }
        state
    }

    /// What is to be flushed, and to which file.
    fn plan(&self, state: &mut State) -> Result<(Flush, SegmentIds)> {
        let next = manifest::next(self.disk.as_ref(), &state.contents)?;
        let (store_id, segment_id) = (state.contents.store_id, state.contents.next_file_id);
        state.contents.next_file_id = next.next_file_id;
        let lens: Vec<_> = state.delta.layers().all().map(|layer| layer.len() as u64).collect();
        let count = layers_to_take(state.delta.sealed_len() as u64, &lens, RECORDS_MAX);
        Ok((state.delta.to_flush(count), SegmentIds { store_id, segment_id }))
    }

    pub(super) fn set_flushing(&self, state: &mut State, flushing: Flushing) {
        match &flushing {
            Flushing::Idle => self.monitor.idle(),
            Flushing::Running => self.monitor.flushing(),
            Flushing::Failed(error) => self.monitor.failed(error),
        }
        state.flushing = flushing;
        self.changed.notify_all();
    }

    fn run_flush(&self, flush: Flush, ids: SegmentIds) {
        let running = Running { writer: self };
        let result = self.make_layer(&flush, ids).and_then(|made| self.install_layer(&flush, made));
        std::mem::forget(running);
        // Whoever waits for this is to find no layer kept for it.
        drop(flush);
        let name = segment_name(ids.segment_id);
        let mut state = self.state();
        let result = self.settle(&mut state, result, &name);
        let path = self.disk.path().display();
        match &result {
            Ok(()) => ::log::debug!("{path}: flushed to {name}"),
            Err(error) => ::log::error!("{path}: what is in memory cannot be flushed: {error}"),
        }
        self.set_flushing(&mut state, result.map_or_else(Flushing::Failed, |()| Flushing::Idle));
    }

    /// Writes the layer, and finds out what will be there once it is installed.
    fn make_layer(
        &self,
        flush: &Flush,
        ids: SegmentIds,
    ) -> Result<(Option<SegmentEntry>, Flushed)> {
        let written = write_layer(self.disk.as_ref(), ids, flush)?;
        let (entry, outlined) = written.unzip();
        let layer = entry.as_ref().map(|entry| self.open_layer(entry)).transpose()?;
        let mut flushed = flush.finish(layer, &outlined.unwrap_or_default())?;
        // Of what others commit meanwhile there is little in the end.
        loop {
            let parts = self.state().delta.older().to_vec();
            if flushed.prepare(&parts)? <= FEW_ENTRIES {
                return Ok((entry, flushed));
            }
        }
    }

    fn install_layer(
        &self,
        flush: &Flush,
        (entry, flushed): (Option<SegmentEntry>, Flushed),
    ) -> Result<()> {
        let disk = self.disk.as_ref();
        let mut state = self.state();
        self.refuse_failed(&state, FLUSH)?;
        let mut contents = manifest::next(disk, &state.contents)?;
        let layer = entry.map(|entry| vec![entry]);
        let taken: Vec<_> = contents.layers.splice(..flush.layers_taken(), layer).collect();
        let logs: Vec<_> = contents.logs.drain(..state.sealed_logs).collect();
        manifest::replace(disk, &contents)?;
        self.monitor.set_logs(&contents.logs);
        self.monitor.count_flush();
        self.monitor.retire(state.delta.layers().all(), flushed.layers().all());
        state.contents = contents;
        state.sealed_logs = 0;
        let shown = state.delta.install_flushed(&flushed).and_then(|()| self.show(&mut state));
        let before = shown.unwrap_or_else(|error| {
            self.fail(&mut state, disk.path(), io::Error::other(error.to_string()));
            Vec::new()
        });
        drop(state);
        drop(before);
        self.published.tidy();
        self.unlink(&logs);
        for segment in taken.iter().flatten() {
            let _ = disk.unlink(&segment_name(segment.segment_id));
        }
        Ok(())
    }
}

impl Writer {
    /// The same error once more, for an operation that needs what was flushed.
    fn same(&self, error: &Error, operation: &'static str) -> Error {
        match error {
            // Of a commit that was still to come it is known that it is not there.
            Error::OutcomeUnknown { path, source } if operation == FLUSH => {
                Error::OutcomeUnknown { path: path.clone(), source: again(source) }
            }
            Error::OutcomeUnknown { .. } | Error::Unwritable { .. } => self.poisoned(operation),
            Error::Io { operation, path, source } => Error::io(operation, path)(again(source)),
            Error::NoSpace { path, needed, source } => {
                Error::NoSpace { path: path.clone(), needed: *needed, source: again(source) }
            }
            Error::Damaged(damage) => Error::Damaged(damage.clone()),
            other => Error::io(FLUSH, self.disk.path())(io::Error::other(other.to_string())),
        }
    }
}

/// A flush under way. Should it end by a panic, nobody waits for it in vain.
struct Running<'a> {
    writer: &'a Writer,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let error = io::Error::other("a thread panicked");
        let error = Error::io(FLUSH, self.writer.disk.path())(error);
        let mut state = self.writer.state();
        self.writer.set_flushing(&mut state, Flushing::Failed(error));
    }
}
