//! Loading: many records become the newest layer, while others commit and flush.
//!
//! They are written to a segment above the layers that there are when that begins, but for
//! those that are no newer. These layers stay as they are until the load is there, as the
//! kinds in its segment are true above no others. What was committed since, be it in
//! layers of its own by now or not, is then decided anew: layers are written once more, what is
//! in memory goes to a new log, and one manifest names all of it. Only what is in memory
//! in the end, which is little, is decided while others wait.

use std::ops::Range;
use std::sync::Arc;

use super::compaction::free_layers;
use super::{Flushing, State, Writer};
use crate::compact::pace::Unhindered;
use crate::compact::policy::{LAYERS_MAX, layers_to_leave};
use crate::compact::write_layer;
use crate::delta::Delta;
use crate::delta::compaction::Inputs;
use crate::delta::entry::Entry;
use crate::delta::layers::{Layers, look_below};
use crate::delta::load::{AboveLoad, LayersAboveLoad, settled};
use crate::error::{Error, Result};
use crate::format::kinds::Kind;
use crate::format::manifest::SegmentEntry;
use crate::format::names::segment_name;
use crate::load::in_order;
use crate::load::options::{LoadOptions, LoadReport};
use crate::load::write::InOrder;
use crate::manifest;
use crate::segment::builder::SegmentIds;
use crate::segment::layer::Layer;
use crate::snapshot::view::View;
use crate::sync::MutexGuard;
use crate::token::Record;

const LOAD: &str = "load into";

/// Layers below a load at the most: with it and one of what was flushed meanwhile there are no
/// more than there may be.
const LAYERS_BELOW: usize = LAYERS_MAX - 2;

/// So few entries may be decided anew while others wait.
const FEW_ENTRIES: usize = 1_024;

/// So often what was committed meanwhile is flushed, if that is more.
const FLUSHES: usize = 4;

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
        let (ids, below) = self.reserve_layers(number)?;
        let view = View::new(&below, Vec::new())?;
        let written = records.write(ids, (view.len() > 0).then_some(&view));
        let entry = self.settle(&mut self.state(), written, &segment_name(ids.segment_id))?;
        let stored = entry.as_ref().map_or(0, |entry| entry.records);
        let bytes = entry.as_ref().map_or(0, |entry| entry.file_len);
        self.monitor.count(|written| written.load_bytes += bytes);
        let mut load = Load { writer: self, records: &records, below, segments: Vec::new() };
        let installed = load.install(entry);
        match &installed {
            // They may have been named.
            Ok(()) | Err(Error::OutcomeUnknown { .. }) => {}
            Err(_) => load.remove(),
        }
        installed.map(|()| records.report(stored))
    }

    /// Makes sure that a load may begin, and gives it a number for its file.
    fn begin_load(&self) -> Result<u64> {
        let mut state = self.state();
        self.refuse_failed(&state, LOAD)?;
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
    fn reserve_layers(self: &Arc<Self>, number: u64) -> Result<(SegmentIds, Layers)> {
        self.flush()?;
        let mut state = self.state();
        loop {
            state.is_load_waiting = true;
            self.changed.notify_all();
            while !state.compacting.is_empty() || matches!(state.flushing, Flushing::Running) {
                state = self.wait_for_change(state);
            }
            self.refuse_failed(&state, LOAD)?;
            state.is_load_waiting = false;
            let layers = state.delta.layers().all().count();
            let excess = layers.saturating_sub(LAYERS_BELOW);
            if excess == 0 {
                break;
            }
            let left = layers_to_leave(layers);
            state = self.take_together(state, left..left + excess + 1)?;
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

    /// Makes one layer of some that are side by side.
    fn take_together<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        layers: Range<usize>,
    ) -> Result<MutexGuard<'a, State>> {
        let ids = state.next_segment(self.disk.as_ref())?;
        let inputs = state.delta.to_compact(layers);
        state.is_load_above = true;
        state.compacting = inputs.taken().to_vec();
        drop(state);
        let made = self.make_and_install(inputs, ids, &Unhindered, false);
        let mut state = self.state();
        state.compacting.clear();
        self.changed.notify_all();
        self.settle(&mut state, made, &segment_name(ids.segment_id))?;
        Ok(state)
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

/// A load whose segment is written.
struct Load<'a> {
    writer: &'a Arc<Writer>,
    records: &'a InOrder<'a>,
    /// The layers that it lies above.
    below: Layers,
    /// Of those that were written and are not in the store yet.
    segments: Vec<SegmentEntry>,
}

/// What was flushed meanwhile, and what is in its place above the load.
struct Flushed {
    /// Newest first.
    layers: Vec<Arc<Layer>>,
    /// If there is anything.
    settled: Option<(SegmentEntry, Arc<Layer>)>,
}

impl Load<'_> {
    /// Puts the load, if there is anything of it, above what was there, and below what was
    /// committed meanwhile.
    fn install(&mut self, entry: Option<SegmentEntry>) -> Result<()> {
        let writer = self.writer;
        self.segments.extend(entry.clone());
        let layer = entry.as_ref().map(|entry| writer.open_layer(entry)).transpose()?;
        let layer = layer.map(Arc::new);
        let loaded = layer.into_iter().chain(self.below.all().cloned()).collect();
        let loaded = self.below.changed_to(loaded)?;
        let mut flushed = Flushed { layers: Vec::new(), settled: None };
        let mut layers = loaded.clone();
        let mut flushes = 0;
        loop {
            let state = writer.unflushed(writer.state());
            writer.refuse_failed(&state, LOAD)?;
            let all: Vec<_> = state.delta.layers().all().cloned().collect();
            let above = &all[..free_layers(&all, &state.compacting)];
            let is_settled = above.len() == flushed.layers.len()
                && above.iter().zip(&flushed.layers).all(|(a, b)| Arc::ptr_eq(a, b));
            if !is_settled {
                let above = above.to_vec();
                drop(state);
                flushed = self.settle_layers(above, &loaded)?;
                let settled = flushed.settled.iter().map(|(_, layer)| layer);
                layers = loaded.changed_to(settled.chain(loaded.all()).cloned().collect())?;
            } else if state.delta.len() > FEW_ENTRIES && flushes < FLUSHES {
                drop(state);
                writer.flush()?;
                flushes += 1;
            } else {
                return self.install_above(state, entry, &flushed, layers);
            }
        }
    }

    /// Writes what was flushed meanwhile as it is above the load.
    fn settle_layers(&mut self, layers: Vec<Arc<Layer>>, loaded: &Layers) -> Result<Flushed> {
        let writer = self.writer;
        let disk = writer.disk.as_ref();
        let ids = writer.state().next_segment(disk)?;
        let inputs = Inputs::above(self.below.base(), &[], &layers);
        let view = View::new(loaded, Vec::new())?;
        let load = Decided { records: self.records, below: &view };
        let source = LayersAboveLoad { inputs: &inputs, load: &load };
        let written = write_layer(disk, ids, &source, &Unhindered);
        let written = writer.settle(&mut writer.state(), written, &segment_name(ids.segment_id))?;
        let Some((entry, _)) = written else { return Ok(Flushed { layers, settled: None }) };
        writer.monitor.count(|written| written.flush_bytes += entry.file_len);
        self.segments.push(entry.clone());
        let layer = Arc::new(writer.open_layer(&entry)?);
        Ok(Flushed { layers, settled: Some((entry, layer)) })
    }

    /// Decides anew what is in memory, and names everything.
    fn install_above(
        &mut self,
        mut state: MutexGuard<'_, State>,
        entry: Option<SegmentEntry>,
        flushed: &Flushed,
        layers: Layers,
    ) -> Result<()> {
        let writer = self.writer;
        let disk = writer.disk.as_ref();
        let view = View::new(&layers, Vec::new())?;
        let load = Decided { records: self.records, below: &view };
        let mut entries = Vec::new();
        for entry in state.delta.all_entries()? {
            if let Some((record, kind)) = load.settle(&entry.record, entry.kind)? {
                let base_position = look_below(layers.base(), &record.token)?.base_position;
                entries.push(Entry { record, kind, base_position });
            }
        }
        let delta = Delta::with_entries(layers, &entries);
        let mut contents = manifest::next(disk, &state.contents)?;
        let settled = flushed.settled.as_ref().map(|(entry, _)| vec![entry.clone()]);
        let named = settled.into_iter().chain(entry.map(|entry| vec![entry]));
        let replaced: Vec<_> = contents.layers.splice(..flushed.layers.len(), named).collect();
        let before: Vec<_> = state.delta.layers().all().cloned().collect();
        if entries.is_empty() {
            contents.logs.clear();
            let named = manifest::replace(disk, &contents);
            writer.settle(&mut state, named, "")?;
            writer.install(&mut state, contents, delta);
        } else {
            writer.begin_log_in(&mut state, contents, &entries, 0, 0)?;
            state.delta = delta;
            // What there was to be flushed is in the log.
            state.sealed_logs = 0;
            writer.set_flushing(&mut state, Flushing::Idle);
        }
        writer.monitor.retire(before.iter(), state.delta.layers().all());
        let unnamed = self
            .segments
            .iter()
            .filter(|entry| !state.contents.layers.iter().flatten().any(|it| it == *entry));
        let unnamed: Vec<_> = unnamed.chain(replaced.iter().flatten()).cloned().collect();
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
        Ok(())
    }

    /// Removes what was written.
    fn remove(&self) {
        for segment in &self.segments {
            // Whether this works does not matter: the next writer removes it as well.
            let _ = self.writer.disk.unlink(&segment_name(segment.segment_id));
        }
    }
}

/// A load's records, above what they lie on with the load.
struct Decided<'a> {
    records: &'a InOrder<'a>,
    below: &'a View,
}

impl AboveLoad for Decided<'_> {
    fn settle(&self, record: &Record, kind: Kind) -> Result<Option<(Record, Kind)>> {
        match self.records.find(&record.token)? {
            None => Ok(Some((*record, kind))),
            Some(loaded) => {
                let below = self.below.get(&record.token)?.map(Record::value);
                Ok(settled(record, kind, &loaded, below))
            }
        }
    }
}
