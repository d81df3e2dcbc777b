//! Putting a layer in the place of what it was made of, while others commit, flush and
//! compact.

use std::io;

use super::{State, Writer};
use crate::compact::pace::Pace;
use crate::compact::write_layer;
use crate::delta::compaction::{Inputs, Made};
use crate::delta::exchange::Exchange;
use crate::error::Result;
use crate::format::manifest::SegmentEntry;
use crate::format::names::segment_name;
use crate::io::Disk;
use crate::manifest;
use crate::segment::builder::SegmentIds;
use crate::sync::MutexGuard;

/// So few entries may look for their places above a new base while others wait.
const FEW_ENTRIES: usize = 4_096;

impl Writer {
    /// Makes one layer of inputs and puts it in their place. `is_flush` says whether what is
    /// sealed is among them.
    pub(super) fn make_and_install(
        &self,
        inputs: Inputs,
        ids: SegmentIds,
        pace: &dyn Pace,
        is_flush: bool,
    ) -> Result<()> {
        let written = write_layer(self.disk.as_ref(), ids, &inputs, pace)?;
        let (entry, outlined) = written.unzip();
        let bytes = entry.as_ref().map_or(0, |entry| entry.file_len);
        self.monitor.count(|written| {
            let of =
                if is_flush { &mut written.flush_bytes } else { &mut written.compaction_bytes };
            *of += bytes;
        });
        let layer = entry.as_ref().map(|entry| self.open_layer(entry)).transpose()?;
        let made = inputs.made(layer, &outlined.unwrap_or_default());
        loop {
            let exchange = self.exchange(&made)?;
            let state = self.state();
            if exchange.is_of(state.delta.layers()) {
                return self.install_layer(state, &made, entry, &exchange, is_flush);
            }
        }
    }

    /// Finds out what will be there once a layer is installed, if nothing else changes.
    fn exchange(&self, made: &Made) -> Result<Exchange> {
        let before = self.state().delta.layers().clone();
        let mut exchange = Exchange::new(before, made)?;
        // Of what others commit meanwhile there is little in the end.
        loop {
            let parts: Vec<_> = self.state().delta.older().cloned().collect();
            if exchange.prepare(&parts)? <= FEW_ENTRIES {
                return Ok(exchange);
            }
        }
    }

    fn install_layer(
        &self,
        mut state: MutexGuard<'_, State>,
        made: &Made,
        entry: Option<SegmentEntry>,
        exchange: &Exchange,
        is_flush: bool,
    ) -> Result<()> {
        let disk = self.disk.as_ref();
        self.refuse_failed(&state, "write a layer of")?;
        let mut contents = manifest::next(disk, &state.contents)?;
        let place = state.delta.layers().place_of(made.taken())?;
        let layer = entry.map(|entry| vec![entry]);
        let taken: Vec<_> = contents.layers.splice(place, layer).collect();
        let sealed_logs = if is_flush { state.sealed_logs } else { 0 };
        let logs: Vec<_> = contents.logs.drain(..sealed_logs).collect();
        // Before others go on: what is on the disk may be one more than they know.
        self.settle(&mut state, manifest::replace(disk, &contents), "")?;
        self.monitor.set_logs(&contents.logs);
        self.monitor.retire(state.delta.layers().all(), exchange.layers().all());
        state.contents = contents;
        state.sealed_logs -= sealed_logs;
        let changed = state.delta.exchange(exchange, is_flush);
        let shown = changed.and_then(|()| self.show(&mut state));
        let before = shown.unwrap_or_else(|error| {
            self.fail(&mut state, disk.path(), io::Error::other(error.to_string()));
            Vec::new()
        });
        drop(state);
        drop(before);
        self.published.tidy();
        self.unlink(&logs);
        for segment in taken.iter().flatten() {
            let _ = disk.unlink(&segment_name(segment.segment_id));
        }
        Ok(())
    }
}

impl State {
    /// The number of the next segment.
    pub(super) fn next_segment(&mut self, disk: &dyn Disk) -> Result<SegmentIds> {
        let next = manifest::next(disk, &self.contents)?;
        let (store_id, segment_id) = (self.contents.store_id, self.contents.next_file_id);
        self.contents.next_file_id = next.next_file_id;
        Ok(SegmentIds { store_id, segment_id })
    }
}
