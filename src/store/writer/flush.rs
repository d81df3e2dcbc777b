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

use super::compaction::free_layers;
use super::{Flushing, State, WRITE, Writer, again};
use crate::compact::RECORDS_MAX;
use crate::compact::pace::Unhindered;
use crate::compact::policy::layers_to_take;
use crate::delta::compaction::Inputs;
use crate::error::{Error, Result};
use crate::format::names::segment_name;
use crate::report;
use crate::segment::builder::SegmentIds;
use crate::sync::{MutexGuard, thread};

const FLUSH: &str = "flush";

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
        let (inputs, ids) = match self.plan(&mut state) {
            Ok(planned) => planned,
            Err(error) => {
                self.set_flushing(&mut state, Flushing::Failed(error));
                return state;
            }
        };
        self.set_flushing(&mut state, Flushing::Running);
        if self.is_inline {
            drop(state);
            self.run_flush(inputs, ids);
            return self.state();
        }
        if let Some(before) = state.thread.take() {
            // It said that it is done, which was the last that it did. A panic was noted.
            let _ = before.join();
        }
        let writer = Arc::clone(self);
        let builder = thread::Builder::new().name("ringstore-flush".into());
        match builder.spawn(move || writer.run_flush(inputs, ids)) {
            Ok(thread) => state.thread = Some(thread),
            Err(error) => {
                let error = Error::io("start a thread for", self.disk.path())(error);
                self.set_flushing(&mut state, Flushing::Failed(error));
            }
        }
        state
    }

    /// What is to be flushed, and to which file.
    fn plan(&self, state: &mut State) -> Result<(Inputs, SegmentIds)> {
        let ids = state.next_segment(self.disk.as_ref())?;
        let layers: Vec<_> = state.delta.layers().all().cloned().collect();
        let lens: Vec<_> = layers.iter().map(|layer| layer.len() as u64).collect();
        // The base is for compactions.
        let upper = state.delta.layers().upper().len();
        let (free, others) = lens.split_at(free_layers(&layers, &state.compacting).min(upper));
        let entries = state.delta.sealed_len() as u64;
        // Where nothing is written, no layer comes.
        let count = match entries {
            0 => 0,
            _ => layers_to_take(entries, free, others.len(), RECORDS_MAX),
        };
        let inputs = state.delta.to_flush(count);
        state.flush_takes = inputs.taken().to_vec();
        Ok((inputs, ids))
    }

    pub(super) fn set_flushing(&self, state: &mut State, flushing: Flushing) {
        match &flushing {
            Flushing::Idle => self.monitor.idle(),
            Flushing::Running => self.monitor.flushing(),
            Flushing::Failed(error) => self.monitor.failed(error),
        }
        if !matches!(flushing, Flushing::Running) {
            state.flush_takes.clear();
        }
        state.flushing = flushing;
        self.changed.notify_all();
    }

    fn run_flush(self: &Arc<Self>, inputs: Inputs, ids: SegmentIds) {
        let running = Running { writer: self };
        let result = self.make_and_install(inputs, ids, &Unhindered, true);
        std::mem::forget(running);
        let name = segment_name(ids.segment_id);
        let mut state = self.state();
        let result = self.settle(&mut state, result, &name);
        let path = self.disk.path().display();
        match &result {
            Ok(()) => report::debug(format_args!("{path}: flushed to {name}")),
            Err(error) => {
                report::error(format_args!("{path}: what is in memory cannot be flushed: {error}"));
            }
        }
        state.flush_takes.clear();
        if result.is_ok() {
            self.monitor.count_flush();
            // Before whoever waits for the flush could think that all is done.
            state = self.compact_if_due(state);
        }
        self.set_flushing(&mut state, result.map_or_else(Flushing::Failed, |()| Flushing::Idle));
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
