//! Reading a store that somebody else may write.
//!
//! A reader takes no lock and leaves no trace, so anything may change while it looks: what
//! the manifest names may be gone, and a log half written. It reads the manifest, then what
//! that names, and if something is not as it should be, looks whether there is another
//! manifest by now. Only what is still so, with the same manifest, is damage.

use std::sync::Arc;

use super::layers::open_layers;
use super::monitor::Monitor;
use super::published::Published;
use super::writer::merged_and_frozen;
use crate::delta::Delta;
use crate::delta::layers::Layers;
use crate::error::{Error, Result};
use crate::format::manifest::ManifestContents;
use crate::io::Disk;
use crate::log::read::FramePlace;
use crate::log::tail::{LogTail, TailEnd};
use crate::manifest;
use crate::options::Verification;
use crate::recover::{Recovery, Replayed, refuse_older, replay, replay_frame};
use crate::snapshot::view::View;
use crate::sync::Mutex;

/// What a reader has read.
pub(super) struct Reader {
    verification: Verification,
    published: Arc<Published>,
    monitor: Arc<Monitor>,
    state: Mutex<State>,
}

struct State {
    contents: ManifestContents,
    delta: Delta,
    /// How far the newest log was read. `None` if there is none, and where what was read of
    /// it is not known.
    tail: Option<LogTail>,
    /// How far what is shown of it goes.
    shown: Option<FramePlace>,
}

/// What there is at one moment.
struct Read {
    state: State,
    view: View,
    recovery: Recovery,
}

impl Reader {
    pub(super) fn open(
        disk: &dyn Disk,
        verification: Verification,
        monitor: Arc<Monitor>,
    ) -> Result<(Self, Recovery)> {
        let read = read_all(disk, verification, &Layers::new(Vec::new())?)?;
        monitor.set_logs(&read.state.contents.logs);
        let published = Arc::new(Published::new(read.view));
        let state = Mutex::new(read.state);
        Ok((Self { verification, published, monitor, state }, read.recovery))
    }

    pub(super) fn published(&self) -> &Arc<Published> {
        &self.published
    }

    /// Looks for what was committed since, and says whether there is anything.
    pub(super) fn refresh(&self, disk: &dyn Disk) -> Result<bool> {
        let mut state = self.state.lock().unwrap_or_else(|poisoned| {
            // It may have been left in the middle of a commit.
            let mut state = poisoned.into_inner();
            state.tail = None;
            state
        });
        let contents = manifest::read(disk)?.ok_or_else(|| manifest::missing(disk))?;
        if contents == state.contents {
            match state.follow() {
                Ok(Followed { commits: 0, end: TailEnd::Blank }) => return Ok(false),
                Ok(Followed { end: TailEnd::Blank, .. }) => {
                    drop(self.published.set(merged_and_frozen(&mut state.delta)?));
                    self.published.tidy();
                    state.shown = state.tail.as_ref().map(LogTail::place);
                    return Ok(true);
                }
                Ok(Followed { end: TailEnd::Other, .. }) | Err(Error::Damaged(_)) => {}
                Err(error) => {
                    state.tail = None;
                    return Err(error);
                }
            }
        }
        // Some of it may have been entered.
        state.tail = None;
        let read = read_all(disk, self.verification, state.delta.layers())?;
        self.monitor.set_logs(&read.state.contents.logs);
        self.monitor.retire(state.delta.layers().all(), read.state.delta.layers().all());
        let is_new = read.state.contents != state.contents || read.state.shown != state.shown;
        *state = read.state;
        drop(self.published.set(read.view));
        self.published.tidy();
        Ok(is_new)
    }
}

struct Followed {
    commits: u64,
    end: TailEnd,
}

impl State {
    /// Enters what came into the newest log.
    fn follow(&mut self) -> Result<Followed> {
        let Some(tail) = &mut self.tail else {
            let end = if self.contents.logs.is_empty() { TailEnd::Blank } else { TailEnd::Other };
            return Ok(Followed { commits: 0, end });
        };
        let delta = &mut self.delta;
        let mut commits = 0;
        let path = tail.path().to_path_buf();
        let end = tail.read(&mut |offset, entries| {
            commits += 1;
            replay_frame(delta, &path, offset, entries)
        })?;
        Ok(Followed { commits, end })
    }
}

/// Reads all there is, but for the layers that are known already.
fn read_all(disk: &dyn Disk, verification: Verification, known: &Layers) -> Result<Read> {
    let open: Vec<_> = known.all().cloned().collect();
    read_steadily(disk, |contents| {
        manifest::refuse_foreign(disk, &contents)?;
        refuse_older(disk, &contents)?;
        let layers = open_layers(disk, &contents, verification, &open)?;
        let replayed = replay(disk, &contents, known.changed_to(layers)?)?;
        let Replayed { mut delta, recovery, next_commit, .. } = replayed;
        let newest = contents.logs.last().zip(next_commit);
        let tail = newest.map(|(entry, place)| LogTail::open(disk, *entry, place)).transpose()?;
        let view = merged_and_frozen(&mut delta)?;
        let state = State { contents, delta, tail, shown: next_commit };
        Ok(Read { state, view, recovery })
    })
}

/// Reads what the manifest names, without keeping a writer from replacing it meanwhile:
/// what is found damaged is read again, as long as the manifest changes, and once more if
/// it does not.
pub(super) fn read_steadily<T>(
    disk: &dyn Disk,
    read: impl Fn(ManifestContents) -> Result<T>,
) -> Result<T> {
    let current = || manifest::read(disk)?.ok_or_else(|| manifest::missing(disk));
    let mut contents = current()?;
    let mut is_again = false;
    loop {
        match read(contents.clone()) {
            Err(Error::Damaged(_)) if !is_again => {}
            done => return done,
        }
        let now = current()?;
        is_again = now == contents;
        contents = now;
    }
}
