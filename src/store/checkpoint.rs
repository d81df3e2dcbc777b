//! Checkpoints: a store of its own that holds what this one holds at one moment.
//!
//! Segments never change, so a checkpoint has the same files under names in its own directory,
//! which takes neither time nor room; on another file system it has copies. What is in no
//! segment yet becomes one. All that is durable before the checkpoint's manifest is written,
//! the last of all. The store that it is made of is only read, and no name in it is
//! removed while files are linked.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::directory::{create_directory, lock, refuse_occupied};
use super::layers::{Opening, open_layers, open_segment};
use super::{Access, Store};
use crate::compact::pace::Pace;
use crate::compact::policy::LAYERS_MAX;
use crate::compact::write_layer;
use crate::delta::compaction::Inputs;
use crate::delta::part::Part;
use crate::error::{Error, Result};
use crate::format::manifest::{ManifestContents, SegmentEntry};
use crate::format::names::{LOCK, MANIFEST, UNSYNCED, segment_name, temporary_name};
use crate::format::segment::{StoreIdBytes, descendant_of};
use crate::io::Disk;
use crate::io::disk::RealDisk;
use crate::io::map::Bytes;
use crate::io::random::random_bytes;
use crate::io::unfinished::Unfinished;
use crate::manifest;
use crate::progress::{OnProgress, Phase, Progress};
use crate::segment::builder::SegmentIds;
use crate::segment::layer::Layer;
use crate::segment::reader::Segment;
use crate::snapshot::view::View;

/// Bytes that are copied at a time.
const COPY_LEN: usize = 1 << 20;

/// What [`Store::checkpoint`] made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Checkpoint {
    /// Tokens in it, exactly.
    pub tokens: u64,
    /// Bytes of files that it shares with the store.
    pub linked_bytes: u64,
    /// Bytes of files that had to be copied.
    pub copied_bytes: u64,
    /// Bytes of the layer that was written of what was in no layer yet.
    pub written_bytes: u64,
}

impl Store {
    /// Makes a store of its own in a directory that is empty, or does not exist but could, which
    /// holds what this one holds at one moment: all that was committed before this is called,
    /// durably or not. Once this returns, all of it is durable.
    ///
    /// Files are linked, not copied, where the directory is on the same file system, so it takes
    /// time and room for what was committed since the last [flush](Self::flush) only, and as long
    /// as both stores are there, for what either of them changes. Others read and commit
    /// meanwhile. It may be made of a store that is open [read-only](Self::open_read_only),
    /// while another process writes it: of what that has read by now, see
    /// [`refresh`](Self::refresh). What the writer has replaced since is copied, not linked.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyExists`] if something is in the directory; [`Error::Locked`] if
    /// something else is just being created there; [`Error::NoSpace`], [`Error::Io`];
    /// [`Error::OutcomeUnknown`] where names cannot be made durable; [`Error::Damaged`] where
    /// files are not what they were; [`Error::Interrupted`] if `progress` says to stop;
    /// [`Error::Unwritable`] in a process that was forked from the one that opened the store.
    /// Nothing is left of it then.
    ///
    /// After a crash there may be files without a manifest, which nobody takes for a store:
    /// remove them.
    ///
    /// ```
    /// use ringstore::{BlockTime, Options, Store, TokenId};
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("tokens");
    /// let store = Store::create(&path, &Options::new())?;
    /// store.put(&TokenId::from(7), BlockTime::new(1.into(), 100))?;
    ///
    /// let copy = directory.path().join("copy");
    /// store.checkpoint(&copy, &|_| std::ops::ControlFlow::Continue(()))?;
    /// store.remove(&TokenId::from(7))?;
    /// assert_eq!(Store::open(&copy, &Options::new())?.snapshot().len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn checkpoint(
        &self,
        destination: impl AsRef<Path>,
        progress: OnProgress<'_>,
    ) -> Result<Checkpoint> {
        let path = destination.as_ref();
        let created = create_directory(path)?;
        let made = self.checkpoint_on(&RealDisk::new(path), progress)?;
        created.keep();
        Ok(made)
    }

    pub(crate) fn checkpoint_on(
        &self,
        disk: &dyn Disk,
        progress: OnProgress<'_>,
    ) -> Result<Checkpoint> {
        refuse_occupied(disk)?;
        let _lock = lock(disk)?;
        // Somebody may have been faster.
        refuse_occupied(disk)?;
        let mut unfinished = Unfinished::new(disk, vec![LOCK.into()]);
        let (held, store_id) = match &self.inner.access {
            Access::Write(writer) => {
                writer.refuse_forked("make a checkpoint of")?;
                let state = writer.idle(writer.state());
                let store_id = state.contents.store_id;
                (Some(state), store_id)
            }
            Access::Read(reader) => (None, reader.store_id()),
        };
        let view = self.inner.published.get();
        let making = Making::new(disk, &view, store_id, progress)?;
        unfinished.add_first(making.names());
        let linked = making.link();
        // Up to here nobody could replace the manifest, and remove what it does not name.
        drop(held);
        let made = making.make(&linked)?;
        unfinished.keep();
        Ok(made)
    }
}

/// A checkpoint being made.
struct Making<'a> {
    disk: &'a dyn Disk,
    view: &'a View,
    ids: SegmentIds,
    delta: Vec<Part>,
    /// The layers of it all, newest first, but for those that are made one with the delta.
    layers: Vec<Arc<Layer>>,
    taken: Vec<Arc<Layer>>,
    progress: OnProgress<'a>,
}

impl<'a> Making<'a> {
    fn new(
        disk: &'a dyn Disk,
        view: &'a View,
        store_id: StoreIdBytes,
        progress: OnProgress<'a>,
    ) -> Result<Self> {
        let delta = view.delta().to_vec();
        let mut taken: Vec<_> = view.layers().cloned().collect();
        // With the one that is written there may not be more than others have; and where there
        // are too many, one is written of some.
        let is_written = !delta.is_empty() || taken.len() > LAYERS_MAX;
        let excess = (taken.len() + usize::from(is_written)).saturating_sub(LAYERS_MAX);
        let layers = taken.split_off(excess);
        let largest = segments(view.layers()).map(|segment| segment.entry().segment_id).max();
        let store_id = descendant_of(store_id, random_bytes()?);
        let ids = SegmentIds { store_id, segment_id: largest.unwrap_or(0) + 1 };
        Ok(Self { disk, view, ids, delta, layers, taken, progress })
    }

    /// Of what may be there before it is complete; first what makes it a store.
    fn names(&self) -> Vec<String> {
        let copied = segments(&self.layers).map(|segment| temporary_name(&name_of(segment)));
        let named = segments(&self.layers).map(name_of);
        let layer = segment_name(self.ids.segment_id);
        let manifest = [MANIFEST, UNSYNCED].map(String::from);
        manifest.into_iter().chain(copied).chain(named).chain([layer]).collect()
    }

    /// Gives segments names in the directory too; of each, whether that could be done.
    fn link(&self) -> Vec<bool> {
        // Where it cannot, for whatever reason, it is copied, and what keeps that from being
        // done is an error. By its path a reader may come to a file of another store by now.
        let link = |segment: &Segment<Bytes>| {
            let name = name_of(segment);
            if self.disk.link(segment.path(), &name).is_err() {
                return false;
            }
            let opened = open_segment(self.disk, &segment.entry(), Opening::to_check());
            if opened.is_err() {
                let _ = self.disk.unlink(&name);
            }
            opened.is_ok()
        };
        segments(&self.layers).map(link).collect()
    }

    /// Makes what is missing once files are linked.
    fn make(&self, linked: &[bool]) -> Result<Checkpoint> {
        let (copied, shared): (Vec<_>, Vec<_>) =
            segments(&self.layers).zip(linked).partition(|(_, is_linked)| !**is_linked);
        let bytes = |segments: &[(&Segment<Bytes>, _)]| -> u64 {
            segments.iter().map(|(segment, _)| segment.file_len()).sum()
        };
        let (copied_bytes, linked_bytes) = (bytes(&copied), bytes(&shared));
        let mut done = 0;
        for (segment, _) in &copied {
            self.copy(segment, |len| {
                done += len;
                self.report(Phase::Copying, done, copied_bytes)
            })?;
        }
        let layer = self.write_delta()?;
        let written_bytes = layer.iter().map(|entry| entry.file_len).sum();
        let entries = |layer: &Arc<Layer>| layer.segments().iter().map(Segment::entry).collect();
        let contents = ManifestContents {
            store_id: self.ids.store_id,
            generation: 1,
            next_file_id: self.ids.segment_id + u64::from(layer.is_some()),
            layers: layer
                .map(|it| vec![it])
                .into_iter()
                .chain(self.layers.iter().map(entries))
                .collect(),
            logs: Vec::new(),
        };
        manifest::sync_names(self.disk)?;
        // These are what the manifest means.
        open_layers(self.disk, &contents, Opening::to_check(), &[])?;
        manifest::replace(self.disk, &contents)?;
        Ok(Checkpoint { tokens: self.view.len(), linked_bytes, copied_bytes, written_bytes })
    }

    fn copy(
        &self,
        segment: &Segment<Bytes>,
        mut report: impl FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        let name = name_of(segment);
        let temporary = temporary_name(&name);
        let path = self.disk.path_of(&temporary);
        let needed = segment.file_len();
        if self.disk.free_bytes().is_some_and(|free| free < needed) {
            let source = io::ErrorKind::StorageFull.into();
            return Err(Error::NoSpace { path, needed, source });
        }
        // Whoever died while making one may have left it.
        let _ = self.disk.unlink(&temporary);
        let file = self.disk.create(&temporary).map_err(Error::io("create", &path))?;
        let mut offset = 0;
        for bytes in segment.bytes().chunks(COPY_LEN) {
            file.write_all_at(bytes, offset).map_err(Error::taking(needed, "write", &path))?;
            offset += bytes.len() as u64;
            report(bytes.len() as u64)?;
        }
        file.set_read_only().map_err(Error::io("make read-only", &path))?;
        file.sync().map_err(Error::io("sync", &path))?;
        self.disk.rename(&temporary, &name).map_err(Error::io("rename", &path))
    }

    /// Writes what is in no layer yet, and perhaps the newest layers, to one.
    fn write_delta(&self) -> Result<Option<SegmentEntry>> {
        if self.delta.is_empty() && self.taken.is_empty() {
            return Ok(None);
        }
        let inputs = Inputs::above(self.view.base(), &self.delta, &self.taken);
        Ok(write_layer(self.disk, self.ids, &inputs, self)?.map(|(entry, _)| entry))
    }

    fn report(&self, phase: Phase, done: u64, total: u64) -> Result<()> {
        match (self.progress)(Progress { phase, done, total: Some(total) }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Interrupted),
        }
    }
}

impl Pace for Making<'_> {
    fn go_on(&self, done: u64, total: u64) -> Result<()> {
        self.report(Phase::Writing, done, total)
    }
}

fn segments<'a>(
    layers: impl IntoIterator<Item = &'a Arc<Layer>>,
) -> impl Iterator<Item = &'a Segment<Bytes>> {
    layers.into_iter().flat_map(|layer| layer.segments())
}

fn name_of(segment: &Segment<Bytes>) -> String {
    segment_name(segment.entry().segment_id)
}
