//! Reading a store that somebody else may write.
//!
//! A reader takes no lock and leaves no trace, so anything may change while it looks: what
//! the manifest names may be gone, and a log half written. It reads the manifest, then what
//! that names, and if something is not as it should be, looks whether there is another
//! manifest by now. Only what is so twice is damage.

use std::cell::RefCell;
use std::sync::{Arc, PoisonError};

use super::layers::{Opening, open_layers};
use super::monitor::Monitor;
use super::published::Published;
use super::writer::merged_and_frozen;
use crate::delta::Delta;
use crate::delta::layers::Layers;
use crate::error::{Error, Result};
use crate::format::manifest::ManifestContents;
use crate::format::segment::StoreIdBytes;
use crate::io::Disk;
use crate::log::read::FramePlace;
use crate::log::tail::{LogTail, TailEnd};
use crate::manifest;
use crate::recover::{Recovery, Replayed, refuse_older, replay, replay_frame};
use crate::snapshot::view::View;
use crate::sync::Mutex;

/// What a reader has read.
pub(super) struct Reader {
    opening: Opening,
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
        opening: Opening,
        monitor: Arc<Monitor>,
    ) -> Result<(Self, Recovery)> {
        let read = read_all(disk, opening, None, &Layers::new(Vec::new())?)?;
        monitor.set_logs(&read.state.contents.logs);
        let published = Arc::new(Published::new(read.view));
        let state = Mutex::new(read.state);
        Ok((Self { opening, published, monitor, state }, read.recovery))
    }

    pub(super) fn store_id(&self) -> StoreIdBytes {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.contents.store_id
    }

    pub(super) fn published(&self) -> &Arc<Published> {
        &self.published
    }

    /// Looks for what was committed since, and says whether there is anything.
    pub(super) fn refresh(&self, disk: &dyn Disk) -> Result<bool> {
        // A thread that panicked in the middle of a commit left no tail.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = manifest::read(disk)?.ok_or_else(|| manifest::missing(disk))?;
        if contents == state.contents {
            match state.follow() {
                Ok(Followed::Nothing) => return Ok(false),
                Ok(Followed::New { view, place }) => {
                    drop(self.published.set(view));
                    self.published.tidy();
                    state.shown = Some(place);
                    return Ok(true);
                }
                Ok(Followed::Other) | Err(Error::Damaged(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let read =
            read_all(disk, self.opening.later(), Some(&state.contents), state.delta.layers())?;
        self.monitor.set_logs(&read.state.contents.logs);
        self.monitor.retire(state.delta.layers().all(), read.state.delta.layers().all());
        let is_new = read.state.contents != state.contents || read.state.shown != state.shown;
        *state = read.state;
        drop(self.published.set(read.view));
        self.published.tidy();
        Ok(is_new)
    }
}

/// What came into the newest log.
enum Followed {
    Nothing,
    /// All that there is now, and how far it goes.
    New {
        view: View,
        place: FramePlace,
    },
    /// What only reading everything can tell.
    Other,
}

impl State {
    /// Enters what came into the newest log. After anything else than that, or nothing, all
    /// is to be read anew: some of it may have been entered.
    fn follow(&mut self) -> Result<Followed> {
        let Some(mut tail) = self.tail.take() else {
            return Ok(if self.contents.logs.is_empty() {
                Followed::Nothing
            } else {
                Followed::Other
            });
        };
        let delta = &mut self.delta;
        let mut commits = 0;
        let path = tail.path().to_path_buf();
        let end = tail.read(&mut |offset, entries| {
            commits += 1;
            replay_frame(delta, &path, offset, entries)
        })?;
        let followed = match end {
            TailEnd::Other => return Ok(Followed::Other),
            TailEnd::Blank if commits == 0 => Followed::Nothing,
            TailEnd::Blank => {
                Followed::New { view: merged_and_frozen(delta)?, place: tail.place() }
            }
        };
        self.tail = Some(tail);
        Ok(followed)
    }
}

/// Reads all there is, but for the layers that are known already, if it is what can have
/// become of what was shown.
fn read_all(
    disk: &dyn Disk,
    opening: Opening,
    shown: Option<&ManifestContents>,
    known: &Layers,
) -> Result<Read> {
    let open: RefCell<Vec<_>> = RefCell::new(known.all().cloned().collect());
    read_steadily(disk, |contents| {
        if let Some(shown) = shown {
            refuse_replaced(disk, shown, &contents)?;
        }
        manifest::refuse_foreign(disk, &contents)?;
        refuse_older(disk, &contents)?;
        let layers = open_layers(disk, &contents, opening, &open.borrow())?;
        // Should the logs be gone by now, they need not be opened, and checked, once more.
        open.borrow_mut().clone_from(&layers);
        let replayed = replay(disk, &contents, known.changed_to(layers)?)?;
        let Replayed { mut delta, recovery, next_commit, .. } = replayed;
        let newest = contents.logs.last().zip(next_commit);
        let tail = newest.map(|(entry, place)| LogTail::open(disk, *entry, place)).transpose()?;
        let view = merged_and_frozen(&mut delta)?;
        let state = State { contents, delta, tail, shown: next_commit };
        Ok(Read { state, view, recovery })
    })
}

/// Fails where the directory has another store by now, or an older state of this one, as
/// when it was restored from a copy.
fn refuse_replaced(
    disk: &dyn Disk,
    shown: &ManifestContents,
    contents: &ManifestContents,
) -> Result<()> {
    let found = if contents.store_id != shown.store_id {
        "there is another store in its place"
    } else if contents.generation <= shown.generation && contents != shown {
        "there is an older state of it in its place"
    } else {
        return Ok(());
    };
    Err(Error::Replaced { path: disk.path().to_path_buf(), found })
}

/// Reads what the manifest names, without keeping a writer from replacing it meanwhile:
/// what is found damaged is read again, until something is twice with one manifest all the
/// while, or the same thing is twice.
pub(super) fn read_steadily<T>(
    disk: &dyn Disk,
    read: impl Fn(ManifestContents) -> Result<T>,
) -> Result<T> {
    let current = || manifest::read(disk)?.ok_or_else(|| manifest::missing(disk));
    let mut contents = current()?;
    let mut before = None;
    loop {
        let damage = match read(contents.clone()) {
            Err(Error::Damaged(damage)) => damage,
            done => return done,
        };
        let now = current()?;
        let is_same = now == contents;
        if before.is_some_and(|(other, was_same)| other == damage || is_same && was_same) {
            return Err(Error::Damaged(damage));
        }
        before = Some((damage, is_same));
        contents = now;
    }
}
