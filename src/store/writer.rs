//! Writing: one commit after the other, many of them with one sync.
//!
//! A commit is decided and put in line under a lock, in the order in which the log will
//! hold it. The first one in line *leads*: it takes all that are in line by then, writes
//! and syncs them outside of the lock, makes them visible, and wakes those who wait; what
//! came into line meanwhile is led by one of those. So eight threads that commit together
//! wait for one or two syncs, not for eight, and a thread alone waits for nobody.
//!
//! After a write or a sync that failed, nobody knows what the disk has. Asking it again
//! would not tell, as the kernel may take for clean what it could not write; so nothing
//! more is written until the store is opened anew.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::directory::random_bytes;
use super::published::Published;
use super::resolve::{Resolved, resolve};
use crate::batch::{Batch, Committed};
use crate::delta::{Delta, Impossible};
use crate::error::{Damage, Error, Result};
use crate::format::log::{FRAME_HEADER_LEN, LogEntry, frame_len};
use crate::format::manifest::ManifestContents;
use crate::format::names::log_name;
use crate::io::Disk;
use crate::log::write::{Log, LogFile, log_for};
use crate::manifest;
use crate::options::{Durability, Options};
use crate::recover::Replayed;
use crate::snapshot::view::View;
use crate::token::Record;

/// The right to write a store, and all that is needed for it.
pub(super) struct Writer {
    disk: Arc<dyn Disk>,
    published: Arc<Published>,
    /// Bytes that a new log has room for.
    log_room: u64,
    /// Bytes of all logs.
    log_bytes: AtomicU64,
    /// The process that opened the store. A child that it forks has the lock as well, but
    /// not the right to write.
    process: u32,
    state: Mutex<State>,
    /// Something in the state changed that somebody may wait for.
    changed: Condvar,
    /// Released when the store is closed, or when the process ends in any way.
    _lock: Box<dyn Send + Sync>,
}

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
    /// Up to where frames are written and visible.
    published: u64,
    /// Up to where frames are synced.
    durable: u64,
    /// Up to where somebody waits for that.
    sync_wanted: u64,
    /// Somebody writes, or syncs, what was in line.
    is_led: bool,
    is_closed: bool,
    /// Frames that were led together the last time.
    led_last: u64,
    /// So many wait until nothing is in line.
    idle_wanted: usize,
    /// A load is under way.
    pub(super) is_loading: bool,
    failed: Option<Failed>,
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
    ) -> Result<Self> {
        let view = frozen(&mut replayed.delta)?;
        let (last_sequence, replayed_log_bytes) = (replayed.last_sequence, replayed.log_bytes);
        let state = State {
            contents,
            delta: replayed.delta,
            log: None,
            line: Vec::new(),
            line_offset: 0,
            last_sequence,
            published: last_sequence,
            durable: last_sequence,
            sync_wanted: last_sequence,
            is_led: false,
            is_closed: false,
            led_last: 0,
            idle_wanted: 0,
            is_loading: false,
            failed: None,
        };
        let writer = Self {
            disk,
            published: Arc::new(Published::new(view)),
            log_room: options.log_bytes,
            log_bytes: AtomicU64::new(replayed_log_bytes),
            process: std::process::id(),
            state: Mutex::new(state),
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
        Ok(writer)
    }

    pub(super) fn published(&self) -> &Arc<Published> {
        &self.published
    }

    /// Bytes of all logs.
    pub(super) fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
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
        self.state.lock().unwrap_or_else(|poisoned| self.poisoned(poisoned))
    }

    fn wait_for_change<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(|poisoned| self.poisoned(poisoned))
    }

    /// A thread panicked in the middle of a change: it cannot be known what was changed.
    fn poisoned<'a>(&self, poisoned: PoisonError<MutexGuard<'a, State>>) -> MutexGuard<'a, State> {
        let mut state = poisoned.into_inner();
        self.fail(&mut state, self.disk.path(), io::Error::other("a thread panicked"));
        state
    }

    /// Fails where nothing may be written any more.
    pub(super) fn refuse_failed(&self, state: &State, operation: &'static str) -> Result<()> {
        if state.failed.is_none() {
            return Ok(());
        }
        let (path, reason) = (self.disk.path().to_path_buf(), POISONED);
        Err(Error::Unwritable { operation, path, reason })
    }

    /// Makes the changes of a batch together, and waits until they are as durable as asked.
    pub(super) fn commit(&self, batch: &Batch, durability: Durability) -> Result<Committed> {
        if batch.is_empty() {
            return Ok(Committed::default());
        }
        self.refuse_forked(WRITE)?;
        let mut state = self.state();
        loop {
            // Whoever waits until nothing is in line must not wait for ever.
            while state.idle_wanted > 0 && state.failed.is_none() {
                state = self.wait_for_change(state);
            }
            self.refuse_failed(&state, WRITE)?;
            let mut resolved = resolve(&state.delta, batch)?;
            let len = frame_len(resolved.entries.len());
            let sequence = if resolved.entries.is_empty() {
                // What decided that nothing changes is to be as durable as a change would.
                Some(state.last_sequence)
            } else if state.log.as_ref().is_some_and(|log| log.has_room(len)) {
                Some(self.put_in_line(&mut state, &resolved)?)
            } else {
                None
            };
            if let Some(sequence) = sequence {
                self.wait(state, sequence, durability)?;
                return Ok(Committed { applied: std::mem::take(&mut resolved.applied) });
            }
            // What is in line goes to the old log.
            state = self.idle(state);
            self.refuse_failed(&state, WRITE)?;
            if state.log.as_ref().is_none_or(|log| !log.has_room(len)) {
                self.begin_log(&mut state, len)?;
            }
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

    /// Syncs what was committed and says in the log that it is synced.
    pub(super) fn close(&self) -> Result<()> {
        if self.is_forked() {
            return Ok(());
        }
        self.sync()?;
        let mut state = self.state();
        if std::mem::replace(&mut state.is_closed, true) {
            return Ok(());
        }
        let Some(log) = &state.log else { return Ok(()) };
        let Some(mark) = log.mark(state.last_sequence + 1, state.durable) else { return Ok(()) };
        let (file, offset) = (Arc::clone(&log.file), log.offset);
        write(&file, &mark, offset, true).map_err(|source| {
            let closed = Error::io("write", file.path())(again(&source));
            self.fail(&mut state, file.path(), source);
            closed
        })
    }

    fn put_in_line(&self, state: &mut State, resolved: &Resolved) -> Result<u64> {
        let entered = state.put_in_line(resolved);
        if let Err(error) = &entered {
            // Some of it may have been entered.
            self.fail(state, self.disk.path(), io::Error::other(error.to_string()));
        }
        entered
    }

    /// Waits, and leads where nobody does, until a frame is as durable as asked.
    fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        sequence: u64,
        durability: Durability,
    ) -> Result<()> {
        if durability == Durability::Synced {
            state.sync_wanted = state.sync_wanted.max(sequence);
        }
        loop {
            let reached = match durability {
                Durability::Synced => state.durable,
                Durability::Buffered => state.published,
            };
            if reached >= sequence {
                return Ok(());
            }
            if let Some(failed) = &state.failed {
                return Err(failed.error_of(sequence, self.disk.path()));
            }
            state = if state.is_led { self.wait_for_change(state) } else { self.lead(state) };
        }
    }

    /// Writes what is in line, syncs it if anybody waits for that, and makes it visible.
    fn lead<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state = self.gather(state);
        let Some(log) = &state.log else { return state };
        let (file, offset, end) = (Arc::clone(&log.file), state.line_offset, state.last_sequence);
        let syncs = state.sync_wanted > state.durable;
        let view = (!state.line.is_empty()).then(|| frozen(&mut state.delta)).transpose();
        let view = match view {
            Ok(view) => view,
            Err(error) => {
                self.fail_at(&mut state, file.path(), io::Error::other(error.to_string()), end);
                return state;
            }
        };
        let frames = std::mem::take(&mut state.line);
        state.is_led = true;
        drop(state);
        let led = Led { writer: self };
        let written = write(&file, &frames, offset, syncs);
        let mut state = self.state();
        std::mem::forget(led);
        state.is_led = false;
        match written {
            Ok(()) => {
                state.led_last = end - state.published;
                state.published = end;
                if syncs {
                    state.durable = end;
                }
                if let Some(view) = view {
                    self.published.set(view);
                }
                if syncs && state.line.is_empty() {
                    state.mark();
                }
            }
            Err(error) => self.fail_at(&mut state, file.path(), error, end),
        }
        self.changed.notify_all();
        state
    }

    /// Lets those come into line who were led last and are about to commit again: one sync
    /// for all of them, instead of one for each half in turns.
    fn gather<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        for _ in 0..GATHER_YIELDS {
            let in_line = state.last_sequence - state.published;
            if in_line == 0 || in_line >= state.led_last || state.failed.is_some() {
                break;
            }
            state.is_led = true;
            drop(state);
            std::thread::yield_now();
            state = self.state();
            state.is_led = false;
        }
        state
    }

    /// Nothing is written from now on.
    fn fail(&self, state: &mut State, path: &Path, error: io::Error) {
        let unknown = state.last_sequence;
        self.fail_at(state, path, error, unknown);
    }

    fn fail_at(&self, state: &mut State, path: &Path, error: io::Error, unknown: u64) {
        if state.failed.is_some() {
            return;
        }
        let said = error.to_string();
        state.failed = Some(Failed { path: path.to_path_buf(), error, unknown });
        self.changed.notify_all();
        // The last thing, as what others do with it may panic.
        ::log::error!("{} is only read from now on: {said}", self.disk.path().display());
    }

    /// Begins a log with room for a frame, and names it in the manifest. Where the delta
    /// is small, it goes into the new log and takes the place of all others; so logs take
    /// no more than a few times the room of what is in them.
    fn begin_log(&self, state: &mut State, frame_len: usize) -> Result<()> {
        if let Some(log) = &state.log
            && state.durable < state.published
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
            state.durable = state.published;
        }
        let log_bytes = self.log_bytes();
        let delta_bytes = (state.delta.len() * (Record::LEN + 1) + FRAME_HEADER_LEN) as u64;
        // What was read is never written again.
        let takes_all = state.log.is_none() || delta_bytes <= log_bytes / 2;
        let entries = if takes_all { state.delta.entries()? } else { Vec::new() };
        let entries: Vec<_> = entries.iter().map(|entry| (entry.record, entry.kind)).collect();
        let room = self.log_room.max(frame_len as u64);
        let (log_id, first_sequence) = (state.contents.next_file_id, state.last_sequence + 1);
        let entry = log_for(log_id, first_sequence, random_bytes()?, entries.len(), room);
        let mut contents = manifest::next(self.disk.as_ref(), &state.contents)?;
        let kept = if takes_all { Vec::new() } else { std::mem::take(&mut contents.logs) };
        let dropped = std::mem::replace(&mut contents.logs, kept);
        contents.logs.push(entry);
        let disk = self.disk.as_ref();
        let log = Log::begin(disk, contents.store_id, entry, &entries)?;
        let named = manifest::sync_names(disk).and_then(|()| manifest::replace(disk, &contents));
        self.settle(state, named, &log_name(entry.log_id))?;
        let kept_bytes = if takes_all { 0 } else { log_bytes };
        self.log_bytes.store(kept_bytes + entry.file_len, Ordering::Relaxed);
        state.contents = contents;
        state.log = Some(log);
        state.last_sequence = entry.commits_from - 1;
        state.published = state.last_sequence;
        state.durable = state.last_sequence;
        ::log::debug!("{}: log {} begun", disk.path().display(), entry.log_id);
        self.unlink(&dropped);
        Ok(())
    }

    /// Names no log in the manifest: there is nothing in them.
    fn drop_logs(&self, state: &mut State) -> Result<()> {
        let mut contents = manifest::next(self.disk.as_ref(), &state.contents)?;
        contents.logs.clear();
        self.settle(state, manifest::replace(self.disk.as_ref(), &contents), "")?;
        let delta = Delta::new(Arc::clone(state.delta.base()));
        self.install(state, contents, delta);
        Ok(())
    }

    /// Goes on with a manifest that names no logs, and a delta that is empty.
    pub(super) fn install(&self, state: &mut State, contents: ManifestContents, delta: Delta) {
        let dropped = std::mem::replace(&mut state.contents, contents).logs;
        state.delta = delta;
        state.log = None;
        self.log_bytes.store(0, Ordering::Relaxed);
        state.durable = state.published;
        self.unlink(&dropped);
    }

    /// Where a change failed, removes the file that it was to name, unless that may have
    /// its name after all: then nothing more is written.
    pub(super) fn settle<T>(&self, state: &mut State, named: Result<T>, name: &str) -> Result<T> {
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

    fn unlink(&self, logs: &[LogEntry]) {
        for log in logs {
            // Whether this works does not matter: the next writer removes it as well.
            let _ = self.disk.unlink(&log_name(log.log_id));
        }
    }

    /// Waits until nothing is in line, or nothing will be written any more.
    pub(super) fn idle<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.idle_wanted += 1;
        loop {
            state = if state.is_led {
                self.wait_for_change(state)
            } else if state.line.is_empty() || state.failed.is_some() {
                state.idle_wanted -= 1;
                self.changed.notify_all();
                return state;
            } else {
                self.lead(state)
            };
        }
    }
}

impl State {
    /// Enters a commit, and gives its number.
    fn put_in_line(&mut self, resolved: &Resolved) -> Result<u64> {
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
        log.push(self.last_sequence, self.durable, entries, &mut self.line);
        Ok(self.last_sequence)
    }

    /// Says in the log how far it is durable: where the next frame goes, so that it takes
    /// no room. What is lost with it is not known to have been durable, nothing else.
    fn mark(&self) {
        if let Some(log) = &self.log
            && let Some(mark) = log.mark(self.last_sequence + 1, self.durable)
        {
            let _ = log.file.write(&mark, log.offset);
        }
    }

    /// The number of the last frame that was written.
    pub(super) fn published(&self) -> u64 {
        self.published
    }
}

impl Failed {
    /// What a commit with this number is told.
    fn error_of(&self, sequence: u64, store: &Path) -> Error {
        if sequence <= self.unknown {
            let (path, source) = (self.path.clone(), again(&self.error));
            Error::OutcomeUnknown { path, source }
        } else {
            let (path, reason) = (store.to_path_buf(), POISONED);
            Error::Unwritable { operation: WRITE, path, reason }
        }
    }
}

/// How often a leader lets others go first who may come into line.
const GATHER_YIELDS: usize = 4;

const WRITE: &str = "write to";

const POISONED: &str = "a write or sync failed, and what is on disk is not known; open it anew";

/// Somebody leads. Should that end by a panic, nobody waits for it in vain.
struct Led<'a> {
    writer: &'a Writer,
}

impl Drop for Led<'_> {
    fn drop(&mut self) {
        let mut state = self.writer.state();
        state.is_led = false;
        let path = self.writer.disk.path();
        self.writer.fail(&mut state, path, io::Error::other("a thread panicked"));
    }
}

fn write(file: &LogFile, frames: &[u8], offset: u64, syncs: bool) -> io::Result<()> {
    if !frames.is_empty() {
        file.write(frames, offset)?;
    }
    if syncs { file.sync() } else { Ok(()) }
}

/// What readers are to see from now on.
pub(super) fn frozen(delta: &mut Delta) -> Result<View> {
    let parts = delta.freeze()?;
    View::new(Arc::clone(delta.base()), parts, Arc::clone(delta.filter()))
}

/// The same error once more.
fn again(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
