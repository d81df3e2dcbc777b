//! Loading: many records become the newest layer, while others commit and flush.
//!
//! They are written to a segment above the layers that there are when that begins, but for
//! those that are no newer. These layers stay as they are until the load is there, as the
//! kinds in its segment are true above no others. What was flushed since is then decided anew
//! above it, in layers of its own, and one manifest names all of it.
//!
//! That is done three times: for what was flushed while the load was written, which may be
//! much; for what came while that was decided; and, while commits wait, once more for that
//! with what came meanwhile, which both are little. So it ends, however much others commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::compaction::free_layers;
use super::{Flushing, State, Writer};
use crate::compact::pace::{Pace, Unhindered};
use crate::compact::policy::LAYERS_MAX;
use crate::compact::write_layer;
use crate::delta::Delta;
use crate::delta::compaction::Inputs;
use crate::delta::layers::Layers;
use crate::delta::load::{LayersAboveLoad, settled};
use crate::error::{Error, Result};
use crate::format::kinds::Kind;
use crate::format::manifest::SegmentEntry;
use crate::format::names::segment_name;
use crate::io::unfinished::Unfinished;
use crate::load::in_order;
use crate::load::options::{LoadOptions, LoadReport};
use crate::load::write::{Finder, InOrder};
use crate::manifest;
use crate::progress::Phase;
use crate::segment::builder::SegmentIds;
use crate::segment::layer::Layer;
use crate::snapshot::view::View;
use crate::sync::MutexGuard;
use crate::token::{Record, TokenId};

const LOAD: &str = "load into";

/// Layers below a load at the most: with it and the two that are decided anew above it there
/// are no more than there may be.
const LAYERS_BELOW: usize = LAYERS_MAX - 3;

impl Writer {
    pub(in crate::store) fn load(
        self: &Arc<Self>,
        records: impl IntoIterator<Item = Result<Record>>,
        options: &LoadOptions<'_>,
    ) -> Result<LoadReport> {
        self.refuse_forked(LOAD)?;
        let number = self.begin_load()?;
        // However this ends, be it by a panic of the input.
        let _loading = Loading { writer: self };
        let mut records = in_order(self.disk.as_ref(), number, records, options)?;
        let (ids, below) = self.reserve_layers(number, options)?;
        let view = View::new(&below, Vec::new())?;
        let written = records.write(ids, (view.len() > 0).then_some(&view));
        let entry = self.settle(&mut self.state(), written, &segment_name(ids.segment_id))?;
        let stored = entry.as_ref().map_or(0, |entry| entry.records);
        let bytes = entry.as_ref().map_or(0, |entry| entry.file_len);
        self.monitor.count(|written| written.load_bytes += bytes);
        let unfinished = Unfinished::new(self.disk.as_ref(), Vec::new());
        let mut load =
            Load { writer: self, records: &mut records, options, unfinished, written: Vec::new() };
        let installed = load.install(entry.as_ref(), below);
        if let Ok(()) | Err(Error::OutcomeUnknown { .. }) = &installed {
            // They are named, or may be.
            load.unfinished.keep();
        }
        installed.map(|()| load.records.report(stored))
    }

    /// Makes sure that a load may begin, and gives it a number for its file.
    fn begin_load(&self) -> Result<u64> {
        let mut state = self.state();
        self.refuse_failed(&state, LOAD)?;
        state.refuse_watched(LOAD, self.disk.path())?;
        if state.is_loading {
            let reason = "another load into it is under way";
            let path = self.disk.path().to_path_buf();
            return Err(Error::Unwritable { operation: LOAD, path, reason });
        }
        let ids = state.next_segment(self.disk.as_ref())?;
        state.is_loading = true;
        Ok(ids.segment_id)
    }

    /// Waits until all is flushed and nothing is being compacted, and keeps it so. What there is
    /// then, and the number of the segment above: a larger one than all below have, as ever.
    fn reserve_layers(
        self: &Arc<Self>,
        number: u64,
        options: &LoadOptions<'_>,
    ) -> Result<(SegmentIds, Layers)> {
        self.flush()?;
        let mut state = self.state();
        // Of what is flushed meanwhile there may be one layer more each time.
        for more in 1.. {
            state.is_load_waiting = true;
            self.changed.notify_all();
            while !state.compacting.is_empty() || matches!(state.flushing, Flushing::Running) {
                state = self.wait_for_change(state);
            }
            self.refuse_failed(&state, LOAD)?;
            state.is_load_waiting = false;
            let layers = state.delta.layers().all().count();
            if layers <= LAYERS_BELOW {
                break;
            }
            if !matches!(state.flushing, Flushing::Idle) {
                drop(state);
                self.flush()?;
                state = self.state();
                continue;
            }
            if layers == LAYERS_MAX {
                state = self.take_two_together(state)?;
            }
            let layers = state.delta.layers().all().count();
            let count = (layers.saturating_sub(LAYERS_BELOW) + more).min(layers - 1);
            state = self.take_together(state, count, &Watched { options })?;
        }
        let ids = if state.contents.next_file_id == number + 1 {
            SegmentIds { store_id: state.contents.store_id, segment_id: number }
        } else {
            state.next_segment(self.disk.as_ref())?
        };
        state.is_load_above = true;
        state.compacting = state.delta.layers().all().cloned().collect();
        Ok((ids, state.delta.layers().clone()))
    }

    /// Makes one layer of the newest two, which were flushed last. There is no room for a layer
    /// of what would be flushed meanwhile, so that waits.
    fn take_two_together<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> Result<MutexGuard<'a, State>> {
        self.set_flushing(&mut state, Flushing::Running);
        let held_up = FlushesHeldUp { writer: self };
        // Whoever watches the load may flush, and would wait for this.
        let mut state = self.take_together(state, 2, &Unhindered)?;
        std::mem::forget(held_up);
        self.set_flushing(&mut state, Flushing::Idle);
        Ok(state)
    }

    /// Makes one layer of so many of the newest.
    fn take_together<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        count: usize,
        pace: &dyn Pace,
    ) -> Result<MutexGuard<'a, State>> {
        let ids = state.next_segment(self.disk.as_ref())?;
        let inputs = state.delta.to_compact(0..count);
        state.is_load_above = true;
        state.compacting = inputs.taken().to_vec();
        drop(state);
        let made = self.make_and_install(inputs, ids, pace, false);
        let mut state = self.state();
        state.compacting.clear();
        self.changed.notify_all();
        self.settle(&mut state, made, &segment_name(ids.segment_id))?;
        Ok(state)
    }
}

/// Nothing is flushed. Should that end by a panic or an error, it goes on.
struct FlushesHeldUp<'a> {
    writer: &'a Writer,
}

impl Drop for FlushesHeldUp<'_> {
    fn drop(&mut self) {
        self.writer.set_flushing(&mut self.writer.state(), Flushing::Idle);
    }
}

/// A load under way; at its end another one may begin, and compactions go on.
struct Loading<'a> {
    writer: &'a Arc<Writer>,
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        let mut state = self.writer.state();
        (state.is_loading, state.is_load_waiting) = (false, false);
        if std::mem::replace(&mut state.is_load_above, false) {
            // What it took together, or what it lies above; nobody else takes any meanwhile.
            state.compacting.clear();
        }
        self.writer.changed.notify_all();
        drop(self.writer.compact_if_due(state));
    }
}

/// While this is there, commits wait.
struct Held<'a> {
    writer: &'a Writer,
}

impl<'a> Held<'a> {
    fn new(writer: &'a Writer) -> Self {
        writer.state().idle_wanted += 1;
        Self { writer }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.writer.state().idle_wanted -= 1;
        self.writer.changed.notify_all();
    }
}

/// Whoever loads is told, and may stop it.
struct Watched<'a> {
    options: &'a LoadOptions<'a>,
}

impl Pace for Watched<'_> {
    fn go_on(&self, done: u64, total: u64) -> Result<()> {
        self.options.report(Phase::Writing, done, Some(total))
    }
}

/// A load whose segment is written.
struct Load<'a, 'b> {
    writer: &'a Arc<Writer>,
    records: &'a mut InOrder<'b>,
    options: &'a LoadOptions<'a>,
    /// All segments that were written.
    written: Vec<SegmentEntry>,
    unfinished: Unfinished<'a>,
}

/// What was flushed meanwhile, and what is to be in its place above the load.
struct Flushed {
    /// Newest first.
    layers: Vec<Arc<Layer>>,
    /// If there is anything.
    settled: Option<(SegmentEntry, Arc<Layer>)>,
}

impl Flushed {
    fn is_of(&self, layers: &[Arc<Layer>]) -> bool {
        self.layers.len() == layers.len()
            && self.layers.iter().zip(layers).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    fn layer(&self) -> Option<Arc<Layer>> {
        self.settled.as_ref().map(|(_, layer)| Arc::clone(layer))
    }
}

impl Load<'_, '_> {
    /// Puts the load, if there is anything of it, above what was there, and below what was
    /// committed meanwhile.
    fn install(&mut self, entry: Option<&SegmentEntry>, below: Layers) -> Result<()> {
        let writer = self.writer;
        self.note(entry);
        let loaded = entry.map(|entry| writer.open_layer(entry)).transpose()?;
        let loaded = loaded.map(Arc::new);
        let layers = with_newest(below, loaded.clone())?;
        let watched = Watched { options: self.options };
        let mut known = Known::default();

        let flushed = self.flushed(true)?;
        let early = self.settle(flushed, loaded.as_deref(), &layers, None, &watched)?;
        let layers = with_newest(layers, early.layer())?;

        writer.flush()?;
        let flushed = self.flushed(false)?;
        let late = self.settle(flushed, loaded.as_deref(), &layers, Some(&mut known), &watched)?;

        let _held = Held::new(writer);
        let mut last = late;
        loop {
            writer.flush()?;
            let flushed = self.flushed(false)?;
            if !last.is_of(&flushed) {
                let known = Some(&mut known);
                last = self.settle(flushed, loaded.as_deref(), &layers, known, &Unhindered)?;
            }
            let layers = match last.layer() {
                Some(newest) => layers.with_newest_apart(newest)?,
                None => layers.clone(),
            };
            // There is nothing left to be flushed, but whoever does may take layers together.
            if self.name(entry, [&last, &early], layers)? {
                return Ok(());
            }
        }
    }

    /// A segment was written, and nobody names it yet.
    fn note(&mut self, entry: Option<&SegmentEntry>) {
        self.written.extend(entry.cloned());
        self.unfinished.extend(entry.map(|entry| segment_name(entry.segment_id)));
    }

    /// The layers that were flushed and are not kept as they are, newest first. From now on
    /// they are, if so asked.
    fn flushed(&self, are_kept: bool) -> Result<Vec<Arc<Layer>>> {
        let mut state = self.writer.unflushed(self.writer.state());
        self.writer.refuse_failed(&state, LOAD)?;
        let all: Vec<_> = state.delta.layers().all().cloned().collect();
        let flushed = all[..free_layers(&all, &state.compacting)].to_vec();
        if are_kept {
            state.compacting.splice(..0, flushed.iter().cloned());
        }
        Ok(flushed)
    }

    /// Writes what was flushed as it is above the load, which is the newest of layers but for
    /// what was decided before.
    fn settle(
        &mut self,
        flushed: Vec<Arc<Layer>>,
        loaded: Option<&Layer>,
        layers: &Layers,
        known: Option<&mut Known>,
        pace: &dyn Pace,
    ) -> Result<Flushed> {
        if flushed.is_empty() {
            return Ok(Flushed { layers: flushed, settled: None });
        }
        let writer = self.writer;
        let ids = writer.state().next_segment(writer.disk.as_ref())?;
        let inputs = Inputs::of_layers(&flushed);
        let below = View::new(layers, Vec::new())?;
        let finder = self.records.finder()?;
        let mut settling = Settling { loaded, below, finder, known };
        let mut settle = |record: &Record, kind| settling.settle(record, kind);
        let source = LayersAboveLoad::new(&inputs, &mut settle);
        let written = write_layer(writer.disk.as_ref(), ids, &source, pace);
        let written = writer.settle(&mut writer.state(), written, &segment_name(ids.segment_id))?;
        let Some((entry, _)) = written else {
            return Ok(Flushed { layers: flushed, settled: None });
        };
        writer.monitor.count(|written| written.flush_bytes += entry.file_len);
        self.note(Some(&entry));
        let layer = Arc::new(writer.open_layer(&entry)?);
        Ok(Flushed { layers: flushed, settled: Some((entry, layer)) })
    }

    /// Names everything, newest first, if what was flushed is what was decided anew, and there is
    /// nothing else; whether it is.
    fn name(
        &self,
        loaded: Option<&SegmentEntry>,
        flushed: [&Flushed; 2],
        layers: Layers,
    ) -> Result<bool> {
        let writer = self.writer;
        let disk = writer.disk.as_ref();
        let mut state = writer.unflushed(writer.state());
        writer.refuse_failed(&state, LOAD)?;
        let before: Vec<_> = state.delta.layers().all().cloned().collect();
        let is_decided = flushed[0].is_of(&before[..free_layers(&before, &state.compacting)]);
        if !is_decided || !state.delta.is_empty() || state.delta.sealed_len() > 0 {
            return Ok(false);
        }
        let replaced: usize = flushed.iter().map(|flushed| flushed.layers.len()).sum();
        let mut contents = manifest::next(disk, &state.contents)?;
        let settled = flushed.iter().filter_map(|flushed| flushed.settled.as_ref());
        let named = settled.map(|(entry, _)| entry).chain(loaded);
        let named = named.map(|entry| vec![entry.clone()]);
        let replaced: Vec<_> = contents.layers.splice(..replaced, named).collect();
        contents.logs.clear();
        let named = manifest::replace(disk, &contents);
        writer.settle(&mut state, named, "")?;
        writer.install(&mut state, contents, Delta::new(layers));
        writer.monitor.retire(before.iter(), state.delta.layers().all());
        let is_named = |entry: &&SegmentEntry| {
            state.contents.layers.iter().flatten().any(|named| named == *entry)
        };
        let unnamed = self.written.iter().chain(replaced.iter().flatten());
        let unnamed: Vec<_> = unnamed.filter(|entry| !is_named(entry)).cloned().collect();
        let shown = writer.show(&mut state).unwrap_or_else(|error| {
            writer.fail(&mut state, disk.path(), std::io::Error::other(error.to_string()));
            Vec::new()
        });
        drop(state);
        drop(shown);
        writer.published.tidy();
        for segment in unnamed {
            let _ = disk.unlink(&segment_name(segment.segment_id));
        }
        Ok(true)
    }
}

/// Layers with a newer one, if there is any.
fn with_newest(layers: Layers, newest: Option<Arc<Layer>>) -> Result<Layers> {
    let Some(newest) = newest else { return Ok(layers) };
    layers.changed_to([newest].into_iter().chain(layers.all().cloned()).collect())
}

/// What was found of records that are not in the load's segment.
type Known = BTreeMap<TokenId, Option<Record>>;

/// Entries that are decided anew, in the order of their tokens.
struct Settling<'a> {
    loaded: Option<&'a Layer>,
    /// All below, with the load.
    below: View,
    finder: Finder<'a>,
    /// For a later time that they are decided anew.
    known: Option<&'a mut Known>,
}

impl Settling<'_> {
    fn settle(&mut self, record: &Record, kind: Kind) -> Result<Option<(Record, Kind)>> {
        let token = &record.token;
        let below = self.below.get(token)?.map(Record::value);
        let found = self.loaded.map(|loaded| loaded.find(token)).transpose()?;
        let mut loaded = found.and_then(|found| found.record).copied();
        // One that was no newer than what was there is not in the segment; where nothing was,
        // there is none. It counts only if what was there is removed, or older by now.
        if let Some(below) = below
            && loaded.is_none()
            && (kind == Kind::Tombstone || record.time() < below.time)
        {
            loaded = self.find(token)?;
        }
        Ok(settled(record, kind, loaded.as_ref(), below))
    }

    fn find(&mut self, token: &TokenId) -> Result<Option<Record>> {
        if let Some(known) = self.known.as_ref().and_then(|known| known.get(token)) {
            return Ok(*known);
        }
        let found = self.finder.find(token)?;
        if let Some(known) = &mut self.known {
            known.insert(*token, found);
        }
        Ok(found)
    }
}
