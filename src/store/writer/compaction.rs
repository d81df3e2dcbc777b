//! Compaction: all layers become one, while others commit, flush and read.
//!
//! A thread of its own does it where the layers above the base have grown to a good part
//! of it, or whoever asks for it. It changes nothing until it is done, and then one manifest
//! names its layer in place of those that it was made of. If it fails, they are left as they
//! are, and it is tried again when the next delta is flushed.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{State, Writer};
use crate::compact::BYTES_PER_RECORD;
use crate::compact::pace::Pace;
use crate::compact::policy::{is_to_compact, layers_to_leave};
use crate::delta::compaction::Inputs;
use crate::error::{Error, Result};
use crate::format::names::segment_name;
use crate::progress::{OnProgress, Phase, Progress, UNWATCHED};
use crate::report;
use crate::segment::builder::SegmentIds;
use crate::segment::layer::Layer;
use crate::sync::{MutexGuard, thread};

const COMPACT: &str = "compact";

/// Who waits, as it is paused or too fast, looks so often whether to go on, or to stop.
const LOOK: Duration = Duration::from_millis(50);

/// How a compaction ended that did not fail.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Done,
    /// A load needs the layers as they are.
    GaveWay,
}

/// A compaction to be done.
struct Compaction {
    inputs: Inputs,
    ids: SegmentIds,
    /// Of all layers.
    is_of_all: bool,
}

impl Writer {
    /// Has the layers compacted in the background if they ask for it.
    pub(super) fn compact_if_due<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        let is_held_up = state.is_paused || state.is_closing || state.failed.is_some();
        if is_held_up
            || state.compactions_wanted > 0
            || state.are_layers_reserved()
            || !is_to_compact(&lens(&state))
        {
            return state;
        }
        let compaction = match self.begin_compaction(&mut state) {
            Ok(compaction) => compaction,
            Err(error) => {
                self.monitor.compaction_failed(&error);
                return state;
            }
        };
        if self.is_inline {
            drop(state);
            let _ = self.run_compaction(compaction, UNWATCHED);
            return self.state();
        }
        if let Some(before) = state.compaction_thread.take() {
            // It said that it is done, which was the last that it did. A panic was noted.
            let _ = before.join();
        }
        let writer = Arc::clone(self);
        let builder = thread::Builder::new().name("ringstore-compact".into());
        // What it fails with is noted.
        match builder.spawn(move || drop(writer.run_compaction(compaction, UNWATCHED))) {
            Ok(thread) => state.compaction_thread = Some(thread),
            Err(error) => {
                let error = Error::io("start a thread for", self.disk.path())(error);
                self.end_compaction(&mut state, Err(&error));
            }
        }
        state
    }

    /// Flushes what was committed, and makes one layer of all.
    pub(in crate::store) fn compact(self: &Arc<Self>, progress: OnProgress<'_>) -> Result<()> {
        self.refuse_forked(COMPACT)?;
        // What the flush would have begun in the background nobody could watch, or stop.
        let _wanted = Wanted::new(self)?;
        self.flush()?;
        loop {
            let mut state = self.state();
            while state.are_layers_reserved() {
                state = self.wait_for_change(state);
            }
            self.refuse_failed(&state, COMPACT)?;
            if lens(&state).len() <= 1 {
                return Ok(());
            }
            let compaction = self.begin_compaction(&mut state)?;
            let is_last = compaction.is_of_all;
            drop(state);
            let _watching = Watching::new(self);
            if self.run_compaction(compaction, progress)? == Ended::Done && is_last {
                return Ok(());
            }
        }
    }

    /// Holds up compactions, or lets them go on.
    pub(in crate::store) fn pause_compaction(self: &Arc<Self>, is_paused: bool) -> Result<()> {
        self.refuse_forked(COMPACT)?;
        let mut state = self.state();
        state.is_paused = is_paused;
        self.changed.notify_all();
        drop(self.compact_if_due(state));
        Ok(())
    }

    fn begin_compaction(&self, state: &mut State) -> Result<Compaction> {
        let ids = state.next_segment(self.disk.as_ref())?;
        let layers = state.delta.layers().all().count();
        let left = layers_to_leave(layers);
        let inputs = state.delta.to_compact(left..layers);
        state.compacting = inputs.taken().to_vec();
        self.monitor.compacting();
        Ok(Compaction { inputs, ids, is_of_all: left == 0 })
    }

    fn run_compaction(&self, compaction: Compaction, progress: OnProgress<'_>) -> Result<Ended> {
        let running = Running { writer: self };
        let Compaction { inputs, ids, .. } = compaction;
        let gave_way = Cell::new(false);
        let pace =
            CompactionPace { writer: self, progress, done: Cell::new(0), gave_way: &gave_way };
        let result = self.make_and_install(inputs, ids, &pace, false);
        std::mem::forget(running);
        let name = segment_name(ids.segment_id);
        let mut state = self.state();
        let result = self.settle(&mut state, result, &name);
        let path = self.disk.path().display();
        match &result {
            Ok(()) => report::debug(format_args!("{path}: compacted to {name}")),
            Err(Error::Interrupted) => {
                report::debug(format_args!("{path}: a compaction was interrupted"));
            }
            Err(error) => {
                report::error(format_args!("{path}: layers cannot be compacted: {error}"));
            }
        }
        self.end_compaction(&mut state, result.as_ref().copied());
        match result {
            Err(Error::Interrupted) if gave_way.get() => Ok(Ended::GaveWay),
            result => result.map(|()| Ended::Done),
        }
    }

    fn end_compaction(&self, state: &mut State, result: Result<(), &Error>) {
        // Whoever waits for this is to find no layer kept for it.
        state.compacting.clear();
        match result {
            Ok(()) => self.monitor.compacted(),
            Err(Error::Interrupted) => self.monitor.compaction_interrupted(),
            Err(error) => self.monitor.compaction_failed(error),
        }
        self.changed.notify_all();
    }
}

/// Records of each layer, newest first.
fn lens(state: &State) -> Vec<u64> {
    state.delta.layers().all().map(|layer| layer.len() as u64).collect()
}

/// How many of the newest layers are not being compacted.
pub(super) fn free_layers(layers: &[Arc<Layer>], compacting: &[Arc<Layer>]) -> usize {
    let first = compacting.first();
    let taken = first.and_then(|first| layers.iter().position(|layer| Arc::ptr_eq(layer, first)));
    taken.unwrap_or(layers.len())
}

/// Stops where the store is closed, waits where compaction is paused, or too fast.
struct CompactionPace<'a> {
    writer: &'a Writer,
    progress: OnProgress<'a>,
    /// Records that were written when it was asked before.
    done: Cell<u64>,
    gave_way: &'a Cell<bool>,
}

impl CompactionPace<'_> {
    /// Whether it is paused, unless it is to end.
    fn is_paused(&self) -> Result<bool> {
        let state = self.writer.state();
        self.gave_way.set(state.is_load_waiting);
        if state.is_closing || state.is_load_waiting {
            return Err(Error::Interrupted);
        }
        self.writer.refuse_failed(&state, COMPACT)?;
        Ok(state.is_paused)
    }
}

impl Pace for CompactionPace<'_> {
    fn go_on(&self, done: u64, total: u64) -> Result<()> {
        let bytes = (done - self.done.replace(done)) * BYTES_PER_RECORD;
        let limit = self.writer.compaction_bytes_per_second;
        // As long as that takes at this rate, not to speak of what the writing itself took.
        let mut wait = limit
            .map_or(Duration::ZERO, |limit| Duration::from_secs_f64(bytes as f64 / limit as f64));
        loop {
            let progress = Progress { phase: Phase::Writing, done, total: Some(total) };
            if (self.progress)(progress).is_break() {
                return Err(Error::Interrupted);
            }
            if self.is_paused()? {
                thread::sleep(LOOK);
            } else if wait.is_zero() {
                return Ok(());
            } else {
                thread::sleep(wait.min(LOOK));
                wait = wait.saturating_sub(LOOK);
            }
        }
    }
}

/// Somebody who is about to compact.
struct Wanted<'a> {
    writer: &'a Writer,
}

impl<'a> Wanted<'a> {
    fn new(writer: &'a Writer) -> Result<Self> {
        let mut state = writer.state();
        state.refuse_watched(COMPACT, writer.disk.path())?;
        if state.is_loading {
            // It may be called by what watches that, and would wait for ever.
            let (path, reason) = (writer.disk.path().to_path_buf(), "a load into it is under way");
            return Err(Error::Unwritable { operation: COMPACT, path, reason });
        }
        state.compactions_wanted += 1;
        Ok(Self { writer })
    }
}

/// A compaction that the thread watches which asked for it.
struct Watching<'a> {
    writer: &'a Writer,
}

impl<'a> Watching<'a> {
    fn new(writer: &'a Writer) -> Self {
        writer.state().watched_by = Some(thread::current().id());
        Self { writer }
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        let mut state = self.writer.state();
        // Another one may have begun by now.
        state.watched_by = state.watched_by.filter(|other| *other != thread::current().id());
    }
}

impl State {
    /// Fails where a compaction is under way that is watched by the thread that calls: it would
    /// wait for itself.
    pub(super) fn refuse_watched(&self, operation: &'static str, store: &Path) -> Result<()> {
        if self.watched_by != Some(thread::current().id()) {
            return Ok(());
        }
        let reason = "this thread watches a compaction of it";
        Err(Error::Unwritable { operation, path: store.to_path_buf(), reason })
    }
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.writer.state().compactions_wanted -= 1;
    }
}

/// A compaction under way. Should it end by a panic, nobody waits for it in vain.
struct Running<'a> {
    writer: &'a Writer,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let error = std::io::Error::other("a thread panicked");
        let error = Error::io(COMPACT, self.writer.disk.path())(error);
        let mut state = self.writer.state();
        self.writer.end_compaction(&mut state, Err(&error));
    }
}
