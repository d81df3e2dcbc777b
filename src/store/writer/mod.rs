//! Writing: one commit after the other, many of them with one sync.
//!
//! A commit is decided and put in line under a lock, in the order in which the log will
//! hold it; one of those who wait writes and syncs all that are in line, outside of the
//! lock.
//!
//! After a write or a sync that failed, nobody knows what the disk has. Asking it again
//! would not tell, as the kernel may take for clean what it could not write; so nothing
//! more is written until the store is opened anew.

mod compaction;
mod flush;
mod gathers;
mod install;
mod line;
mod load;
mod logs;
#[cfg(all(test, not(shuttle)))]
mod tests;
mod waiting;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, Weak};

use self::gathers::Gathers;
use self::waiting::{Reached, Waiting};
use super::layers::{Opening, open_segment};
use super::monitor::Monitor;
use super::published::Published;
use super::resolve::{Resolved, look_below, resolve};
use crate::batch::{Batch, Committed};
use crate::delta::{Delta, Impossible, Merge};
use crate::error::{Damage, Error, Result};
use crate::format::log::{FRAME_HEADER_LEN, frame_len};
use crate::format::manifest::{ManifestContents, SegmentEntry};
use crate::io::Disk;
use crate::log::write::Log;
use crate::options::{Durability, Options};
use crate::recover::Replayed;
use crate::report;
use crate::segment::layer::Layer;
use crate::snapshot::view::View;
use crate::sync::thread::{JoinHandle, ThreadId};
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::token::Record;

/// The right to write a store, and all that is needed for it.
pub(super) struct Writer {
    disk: Arc<dyn Disk>,
    published: Arc<Published>,
    monitor: Arc<Monitor>,
    /// Bytes that a new log has room for.
    log_room: u64,
    /// Entries of the delta at the most, but for what a single commit adds.
    delta_entries: usize,
    opening: Opening,
    /// Whether what is done in the background is done by the thread that made that necessary.
    is_inline: bool,
    compaction_bytes_per_second: Option<u64>,
    /// The process that opened the store. A child that it forks has the lock as well, but
    /// not the right to write.
    process: u32,
    state: Mutex<State>,
    /// How far frames are written and synced.
    reached: Reached,
    /// The line, or whether somebody leads, changed: for those who wait until nothing is in
    /// line, and for those who wait for these.
    changed: Condvar,
    /// Released when the store is closed, or when the process ends in any way.
    _lock: Box<dyn Send + Sync>,
}

#[expect(clippy::struct_excessive_bools, reason = "each answers a question of its own")]
pub(super) struct State {
    pub(super) contents: ManifestContents,
    /// With all that is in line.
    pub(super) delta: Delta,
    log: Option<Log>,
    /// Frames in line, and where in the log they go.
    line: Vec<u8>,
    line_offset: u64,
    /// The number of the last frame in line, or before.
    last_sequence: u64,
    /// Up to where somebody waits for frames to be synced.
    sync_wanted: u64,
    /// Who waits for frames.
    waiting: Waiting,
    /// Somebody writes, or syncs, what was in line.
    is_led: bool,
    /// Somebody merges parts of the delta.
    merging: Weak<Merge>,
    /// Something was merged that readers do not see yet.
    is_to_show: bool,
    /// What readers saw before they saw what they see now, if that was of the same layers.
    replaced: Vec<Arc<View>>,
    flushing: Flushing,
    /// So many logs hold what is sealed; they come first.
    sealed_logs: usize,
    /// The one that flushes, or that flushed last.
    thread: Option<JoinHandle<()>>,
    /// Layers that a flush takes into its own. They are the newest.
    flush_takes: Vec<Arc<Layer>>,
    /// Layers that are being made one, newest first; they are side by side.
    compacting: Vec<Arc<Layer>>,
    /// The one that compacts, or that compacted last.
    compaction_thread: Option<JoinHandle<()>>,
    /// The thread that waits for what it asked to be compacted.
    watched_by: Option<ThreadId>,
    /// So many are about to compact, so that none is begun in the background.
    pub(super) compactions_wanted: usize,
    is_paused: bool,
    /// Nothing is begun any more in the background.
    is_closing: bool,
    is_closed: bool,
    /// Frames that were led last, or came into line meanwhile: so many may come again.
    expected: u64,
    /// Whether somebody is to wait for them before it leads.
    gathers: Gathers,
    /// Somebody does: until this frame is in line.
    gathering: Option<u64>,
    /// So many wait until nothing is in line.
    idle_wanted: usize,
    /// A load is under way.
    is_loading: bool,
    /// It waits for a compaction to give way.
    is_load_waiting: bool,
    /// All that was there when it began to be written is to stay as it is until it is there:
    /// no layers are compacted.
    is_load_above: bool,
    failed: Option<Failed>,
}

/// How far the flush of what is sealed has come.
enum Flushing {
    /// It is over, or nothing is sealed.
    Idle,
    Running,
    /// What is sealed could not be written. Whoever needs that it is tries again.
    Failed(Error),
}

/// Why nothing more is written.
struct Failed {
    path: PathBuf,
    error: io::Error,
    /// Up to where frames may be on disk or not.
    unknown: u64,
}

impl Writer {
    /// Takes over what was read of the logs, which are not written again: what they come
    /// to goes into a log of its own.
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        lock: Box<dyn Send + Sync>,
        options: &Options,
        contents: ManifestContents,
        mut replayed: Replayed,
        monitor: Arc<Monitor>,
    ) -> Result<Arc<Self>> {
        let view = merged_and_frozen(&mut replayed.delta)?;
        let last_sequence = replayed.last_sequence;
        let state = State {
            contents,
            delta: replayed.delta,
            log: None,
            line: Vec::new(),
            line_offset: 0,
            last_sequence,
            sync_wanted: last_sequence,
            waiting: Waiting::default(),
            is_led: false,
            merging: Weak::new(),
            is_to_show: false,
            replaced: Vec::new(),
            flushing: Flushing::Idle,
            sealed_logs: 0,
            thread: None,
            flush_takes: Vec::new(),
            compacting: Vec::new(),
            compaction_thread: None,
            watched_by: None,
            compactions_wanted: 0,
            is_paused: false,
            is_closing: false,
            is_closed: false,
            expected: 0,
            gathers: Gathers::default(),
            gathering: None,
            idle_wanted: 0,
            is_loading: false,
            is_load_waiting: false,
            is_load_above: false,
            failed: None,
        };
        let writer = Self {
            disk,
            published: Arc::new(Published::new(view)),
            monitor,
            log_room: options.log_bytes,
            delta_entries: options.delta_entries,
            opening: Opening::new(options).written(),
            is_inline: options.is_inline,
            compaction_bytes_per_second: options.compaction_bytes_per_second,
            process: std::process::id(),
            state: Mutex::new(state),
            reached: Reached::new(last_sequence),
            changed: Condvar::new(),
            _lock: lock,
        };
        let mut state = writer.state();
        if !state.contents.logs.is_empty() {
            if state.delta.is_empty() {
                writer.drop_logs(&mut state)?;
            } else {
                writer.begin_log(&mut state, 0)?;
            }
        }
        drop(state);
        Ok(Arc::new(writer))
    }

    pub(super) fn published(&self) -> &Arc<Published> {
        &self.published
    }

    /// The number of the last frame that was written.
    pub(super) fn last_published(&self) -> u64 {
        self.reached.published()
    }

    /// A layer of a segment that was just written.
    fn open_layer(&self, entry: &SegmentEntry) -> Result<Layer> {
        let segment = open_segment(self.disk.as_ref(), entry, self.opening)?;
        Ok(Layer::new(vec![segment]))
    }

    /// Whether this is not the process that opened the store. Then its locks may never be
    /// given back: the thread that held one when the process forked is not in this one.
    pub(super) fn is_forked(&self) -> bool {
        std::process::id() != self.process
    }

    /// Fails in a process that was forked from the one that opened the store.
    pub(super) fn refuse_forked(&self, operation: &'static str) -> Result<()> {
        if !self.is_forked() {
            return Ok(());
        }
        let reason = "this process was forked from the one that opened it; open it here";
        Err(Error::Unwritable { operation, path: self.disk.path().to_path_buf(), reason })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| self.panicked(poisoned))
    }

    fn wait_for_change<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(|poisoned| self.panicked(poisoned))
    }

    /// A thread panicked in the middle of a change: it cannot be known what was changed.
    fn panicked<'a>(&self, poisoned: PoisonError<MutexGuard<'a, State>>) -> MutexGuard<'a, State> {
        let mut state = poisoned.into_inner();
        self.fail(&mut state, self.disk.path(), io::Error::other("a thread panicked"));
        state
    }

    /// Fails where nothing may be written any more.
    pub(super) fn refuse_failed(&self, state: &State, operation: &'static str) -> Result<()> {
        if state.failed.is_none() { Ok(()) } else { Err(self.poisoned(operation)) }
    }

    fn poisoned(&self, operation: &'static str) -> Error {
        Error::Unwritable { operation, path: self.disk.path().to_path_buf(), reason: POISONED }
    }

    /// Makes the changes of a batch together, and waits until they are as durable as asked.
    pub(super) fn commit(
        self: &Arc<Self>,
        batch: &Batch,
        durability: Durability,
    ) -> Result<Committed> {
        if batch.is_empty() {
            return Ok(Committed::default());
        }
        self.refuse_forked(WRITE)?;
        // Before the lock is taken, so that those who commit together look up together.
        let mut base = Arc::clone(self.published.get().base());
        let mut below = look_below(&base, batch)?;
        let mut state = self.state();
        loop {
            // Whoever waits until nothing is in line must not wait for ever.
            while state.idle_wanted > 0 && state.failed.is_none() {
                state = self.wait_for_change(state);
            }
            self.refuse_failed(&state, WRITE)?;
            if !Arc::ptr_eq(&base, state.delta.base()) {
                base = Arc::clone(state.delta.base());
                below = look_below(&base, batch)?;
            }
            let mut resolved = resolve(&state.delta, batch, &below)?;
            let len = frame_len(resolved.entries.len());
            let sequence = if resolved.entries.is_empty() {
                // What decided that nothing changes is to be as durable as a change would.
                Some(state.last_sequence)
            } else if state.has_room(len, self.delta_entries) {
                Some(self.put_in_line(&mut state, &resolved)?)
            } else {
                None
            };
            if let Some(sequence) = sequence {
                self.wait(state, sequence, durability)?;
                return Ok(Committed { applied: std::mem::take(&mut resolved.applied) });
            }
            state = self.make_room(state, len)?;
        }
    }

    /// Makes durable all that was committed.
    pub(super) fn sync(&self) -> Result<()> {
        self.refuse_forked("sync")?;
        let state = self.state();
        self.refuse_failed(&state, "sync")?;
        let sequence = state.last_sequence;
        self.wait(state, sequence, Durability::Synced)
    }

    /// The same for who closes the store, and is to know whether that was ever in doubt.
    pub(super) fn sync_at_last(&self) -> Result<()> {
        self.sync().map_err(|error| match &self.state().failed {
            Some(failed) => failed.outcome_unknown(),
            None => error,
        })
    }

    /// Syncs what was committed and says in the log that it is synced.
    pub(super) fn close(&self) -> Result<()> {
        if self.is_forked() {
            return Ok(());
        }
        let mut state = self.state();
        state.is_closing = true;
        self.changed.notify_all();
        drop(state);
        let synced = self.sync_at_last().and_then(|()| self.mark_end());
        let mut state = self.state();
        let thread = state.thread.take();
        drop(state);
        if let Some(thread) = thread {
            // It keeps the lock on the directory as long as it runs. A panic was noted.
            let _ = thread.join();
        }
        // That one may have begun this one.
        let compaction_thread = self.state().compaction_thread.take();
        if let Some(thread) = compaction_thread {
            let _ = thread.join();
        }
        let mut state = self.state();
        match std::mem::replace(&mut state.flushing, Flushing::Idle) {
            // It is in the logs; but it is better known.
            Flushing::Failed(error) => synced.and(Err(error)),
            _ => synced,
        }
    }

    fn mark_end(&self) -> Result<()> {
        let mut state = self.state();
        if std::mem::replace(&mut state.is_closed, true) {
            return Ok(());
        }
        let Some(log) = &state.log else { return Ok(()) };
        let Some(mark) = log.mark(state.last_sequence + 1, self.reached.durable()) else {
            return Ok(());
        };
        let (file, offset) = (Arc::clone(&log.file), log.offset);
        self.monitor.count(|written| written.log_bytes += mark.len() as u64);
        file.write(&mark, offset).and_then(|()| file.sync()).map_err(|source| {
            let closed = Error::io("write", file.path())(again(&source));
            self.fail(&mut state, file.path(), source);
            closed
        })
    }

    /// Says in the log how far it is durable: where the next frame goes, so that it takes
    /// no room. What is lost with it is not known to have been durable, nothing else.
    fn mark(&self, state: &State, durable: u64) {
        if let Some(log) = &state.log
            && let Some(mark) = log.mark(state.last_sequence + 1, durable)
        {
            self.monitor.count(|written| written.log_bytes += mark.len() as u64);
            let _ = log.file.write(&mark, log.offset);
        }
    }

    fn put_in_line(&self, state: &mut State, resolved: &Resolved) -> Result<u64> {
        let entered = state.put_in_line(resolved, self.reached.durable());
        let bytes = (resolved.entries.len() * Record::LEN) as u64;
        self.monitor.count(|written| written.committed_bytes += bytes);
        if let Err(error) = &entered {
            // Some of it may have been entered.
            self.fail(state, self.disk.path(), io::Error::other(error.to_string()));
        }
        entered
    }

    /// Nothing is written from now on.
    fn fail(&self, state: &mut State, path: &Path, error: io::Error) {
        let unknown = state.last_sequence;
        self.fail_at(state, path, error, unknown);
    }

    fn fail_at(&self, state: &mut State, path: &Path, error: io::Error, unknown: u64) {
        // Those who wait for the one that leads, too, if it is not the first to fail.
        drop(state.waiting.leave_all());
        self.changed.notify_all();
        if state.failed.is_some() {
            return;
        }
        let said = error.to_string();
        state.failed = Some(Failed { path: path.to_path_buf(), error, unknown });
        // The last thing, as what others do with it may panic.
        report::error(format_args!(
            "{} is only read from now on: {said}",
            self.disk.path().display()
        ));
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.is_forked() {
            // That thread is not in this process; nor, perhaps, the one that has the lock.
            if let Ok(mut state) = self.state.try_lock() {
                std::mem::forget(state.thread.take());
                std::mem::forget(state.compaction_thread.take());
            }
        }
    }
}

impl State {
    /// Whether layers are being made one, or are to stay as they are.
    fn are_layers_reserved(&self) -> bool {
        !self.compacting.is_empty()
            || !self.flush_takes.is_empty()
            || self.is_load_waiting
            || self.is_load_above
    }

    /// Whether a frame of so many bytes can go in line, if the delta may have so many
    /// entries.
    fn has_room(&self, frame_len: usize, delta_entries: usize) -> bool {
        self.delta.len() < delta_entries
            && self.log.as_ref().is_some_and(|log| log.has_room(frame_len))
    }

    /// Whether the delta is to go to a layer, as its log is full, or it is. A small one goes to
    /// a new log.
    fn is_full(&self, delta_entries: usize) -> bool {
        let log_bytes: u64 = self.contents.logs.iter().map(|log| log.file_len).sum();
        let delta_bytes = (self.delta.len() * (Record::LEN + 1) + FRAME_HEADER_LEN) as u64;
        self.delta.len() >= delta_entries || delta_bytes > log_bytes / 2
    }

    /// Enters a commit, and gives its number.
    fn put_in_line(&mut self, resolved: &Resolved, durable: u64) -> Result<u64> {
        let Some(log) = &mut self.log else { return Ok(self.last_sequence) };
        for entry in &resolved.entries {
            self.delta.apply(entry).map_err(|Impossible| {
                Error::from(Damage {
                    path: log.file.path().to_path_buf(),
                    part: "log entry",
                    offset: log.offset,
                    expected: format!("an entry that can follow on {}", entry.record.token),
                    found: format!("{:?}", entry.kind),
                })
            })?;
        }
        if self.line.is_empty() {
            self.line_offset = log.offset;
        }
        self.last_sequence += 1;
        let entries = resolved.entries.iter().map(|entry| (&entry.record, entry.kind));
        log.push(self.last_sequence, durable, entries, &mut self.line);
        Ok(self.last_sequence)
    }

    /// What is to be merged, if nobody does already.
    fn begin_merge(&mut self) -> Option<Arc<Merge>> {
        if self.merging.strong_count() > 0 {
            return None;
        }
        let merge = Arc::new(self.delta.to_merge()?);
        self.merging = Arc::downgrade(&merge);
        Some(merge)
    }
}

impl Failed {
    /// What a commit with this number is told.
    fn error_of(&self, sequence: u64, store: &Path) -> Error {
        if sequence <= self.unknown {
            self.outcome_unknown()
        } else {
            let (path, reason) = (store.to_path_buf(), POISONED);
            Error::Unwritable { operation: WRITE, path, reason }
        }
    }

    fn outcome_unknown(&self) -> Error {
        Error::OutcomeUnknown { path: self.path.clone(), source: again(&self.error) }
    }
}

const WRITE: &str = "write to";

const POISONED: &str = "a write or sync failed, and what is on disk is not known; open it anew";

/// What readers are to see from now on.
pub(super) fn frozen(delta: &mut Delta) -> Result<View> {
    let parts = delta.freeze();
    View::new(delta.layers(), parts)
}

/// What readers are to see of a delta that was read from logs.
pub(super) fn merged_and_frozen(delta: &mut Delta) -> Result<View> {
    delta.freeze();
    delta.merge_all()?;
    frozen(delta)
}

/// The same error once more.
fn again(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
