//! The line: many commits with one sync.
//!
//! One of those who wait *leads*: it takes all that are in line by then, writes and syncs
//! them outside of the lock, makes them visible, and wakes the others; what came into line
//! meanwhile is led by one of those. A thread that could lead first *gathers*, for as long
//! as a fast disk takes to sync, those who committed together the last time: or each half
//! of them would wait for a sync of its own and for that of the other half. It sleeps
//! meanwhile, and the last one who comes leads at once. A thread alone waits for nobody.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::waiting::Woken;
use super::{State, Writer, frozen};
use crate::delta::Merge;
use crate::error::Result;
use crate::log::write::LogFile;
use crate::options::Durability;
use crate::snapshot::view::View;
use crate::sync::{MutexGuard, park_timeout, thread};

/// How long the first one in line waits for others.
const GATHER: Duration = Duration::from_micros(200);

/// What to do while a frame is not reached.
enum Turn {
    Lead,
    Sleep,
    /// To wait for a while until this frame is in line, and then to lead.
    Gather(u64),
}

impl Writer {
    /// Waits, and leads where nobody does, until a frame is as durable as asked.
    pub(super) fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        sequence: u64,
        durability: Durability,
    ) -> Result<()> {
        if durability == Durability::Synced {
            state.sync_wanted = state.sync_wanted.max(sequence);
        }
        loop {
            if self.reached.is(sequence, durability) {
                return Ok(());
            }
            if let Some(failed) = &state.failed {
                return Err(failed.error_of(sequence, self.disk.path()));
            }
            match self.turn(&mut state) {
                Turn::Lead => self.lead_and_merge(state),
                Turn::Sleep => {
                    state.waiting.enter(sequence, durability);
                    drop(state);
                    thread::park();
                }
                Turn::Gather(all) => {
                    state.gathering = Some(all);
                    state.waiting.enter(sequence, durability);
                    drop(state);
                    park_timeout(GATHER);
                    let mut state = self.state();
                    // Unless the last one of them came and led, or it failed meanwhile.
                    if state.gathering == Some(all) && state.failed.is_none() {
                        state.gathers.end(false);
                        self.lead_and_merge(state);
                    }
                }
            }
            if self.reached.is(sequence, durability) {
                return Ok(());
            }
            state = self.state();
        }
    }

    /// What a thread is to do that waits.
    fn turn(&self, state: &mut State) -> Turn {
        match state.gathering {
            _ if state.is_led => Turn::Sleep,
            Some(all) if state.last_sequence < all => Turn::Sleep,
            Some(_) => {
                state.gathers.end(true);
                Turn::Lead
            }
            None => {
                let all = self.reached.published() + state.expected;
                let is_worth_it = state.last_sequence < all
                    && !state.line.is_empty()
                    && state.sync_wanted > self.reached.durable();
                if is_worth_it && state.gathers.begin() { Turn::Gather(all) } else { Turn::Lead }
            }
        }
    }

    /// Writes what is in line, syncs it if anybody waits for that, and makes it visible.
    /// Says what is to be merged then.
    fn lead(&self, mut state: MutexGuard<'_, State>) -> Option<Arc<Merge>> {
        state.gathering = None;
        let log = state.log.as_ref()?;
        let (file, offset, end) = (Arc::clone(&log.file), state.line_offset, state.last_sequence);
        let syncs = state.sync_wanted > self.reached.durable();
        state.is_to_show &= state.line.is_empty();
        let view = (!state.line.is_empty()).then(|| frozen(&mut state.delta)).transpose();
        let view = match view {
            Ok(view) => view,
            Err(error) => {
                let error = io::Error::other(error.to_string());
                self.fail_at(&mut state, file.path(), error, end);
                return None;
            }
        };
        let frames = std::mem::take(&mut state.line);
        state.is_led = true;
        drop(state);
        let led = Led { writer: self };
        let written = write(&file, &frames, offset, syncs);
        self.monitor.count(|written| written.log_bytes += frames.len() as u64);
        let mut state = self.state();
        std::mem::forget(led);
        state.is_led = false;
        if let Err(error) = written {
            self.fail_at(&mut state, file.path(), error, end);
            return None;
        }
        let view = if state.is_to_show && state.line.is_empty() && state.failed.is_none() {
            // Merged meanwhile.
            state.is_to_show = false;
            match frozen(&mut state.delta) {
                Ok(view) => Some(view),
                Err(error) => {
                    let error = io::Error::other(error.to_string());
                    self.fail(&mut state, self.disk.path(), error);
                    view
                }
            }
        } else {
            view
        };
        let is_whole = state.failed.is_none();
        let before = view.map(|view| self.publish(&mut state, view));
        state.expected = state.last_sequence - self.reached.published();
        let durability = if syncs { Durability::Synced } else { Durability::Buffered };
        let woken = self.reach(&mut state, end, durability);
        if syncs && state.line.is_empty() && is_whole {
            self.mark(&state, end);
        }
        let merge = if is_whole { state.begin_merge() } else { None };
        self.changed.notify_all();
        drop(state);
        drop(woken);
        // What nobody sees any more is freed when all the others go on.
        drop(before);
        self.published.tidy();
        merge
    }

    fn lead_and_merge(&self, state: MutexGuard<'_, State>) {
        if let Some(merge) = self.lead(state) {
            self.merge(&merge);
        }
    }

    /// Notes how far frames are written and, perhaps, synced, and wakes those who waited for
    /// that. Always one of the others, too: or nobody might lead.
    pub(super) fn reach(&self, state: &mut State, sequence: u64, durability: Durability) -> Woken {
        self.reached.set(sequence, durability);
        state.waiting.leave(&self.reached)
    }

    /// Merges parts of the delta, while others commit.
    pub(super) fn merge(&self, merge: &Merge) {
        let merged = merge.run();
        let mut state = self.state();
        if state.failed.is_some() {
            // Of what failed some is in the delta, and must never be seen.
            return;
        }
        let view = merged.and_then(|merged| {
            state.delta.install(merge, merged);
            self.show(&mut state)
        });
        match view {
            Ok(before) => {
                drop(state);
                drop(before);
                self.published.tidy();
            }
            Err(error) => {
                let error = io::Error::other(error.to_string());
                self.fail(&mut state, self.disk.path(), error);
            }
        }
    }

    /// Shows readers what was committed. What comes back is best freed without the lock.
    fn publish(&self, state: &mut State, view: View) -> Vec<Arc<View>> {
        let before = self.published.set(view);
        let now = self.published.get();
        // A reader that has the view before is done with it soon, and should not be the one
        // that frees it: so it is kept until the next one is replaced, unless it keeps files.
        let (kept, mut freed): (Vec<_>, Vec<_>) =
            before.into_iter().partition(|before| before.has_layers_of(&now));
        freed.append(&mut std::mem::replace(&mut state.replaced, kept));
        freed
    }

    /// Shows readers what was merged or flushed. What was shown before is best freed without
    /// the lock.
    pub(super) fn show(&self, state: &mut State) -> Result<Vec<Arc<View>>> {
        // What is in line must not be seen yet; who leads it shows this in the end.
        state.is_to_show = !state.line.is_empty() || state.is_led;
        if state.is_to_show {
            return Ok(Vec::new());
        }
        let mut before = self.published.set(frozen(&mut state.delta)?);
        before.append(&mut state.replaced);
        Ok(before)
    }

    /// Waits until nothing is in line, or nothing will be written any more.
    pub(in crate::store) fn idle<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        state.idle_wanted += 1;
        loop {
            state = if state.is_led {
                self.wait_for_change(state)
            } else if state.line.is_empty() || state.failed.is_some() {
                state.idle_wanted -= 1;
                self.changed.notify_all();
                return state;
            } else {
                // All the others wait: what is to be merged is left to the next one.
                drop(self.lead(state));
                self.state()
            };
        }
    }
}

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
