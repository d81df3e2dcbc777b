//! Filling an empty store.

use super::Store;
use super::layers::open_layers;
use super::writer::{State, Writer, frozen};
use crate::delta::Delta;
use crate::delta::layers::Layers;
use crate::error::{Error, Result};
use crate::format::names::segment_name;
use crate::load::load_segment;
use crate::load::options::{LoadOptions, LoadReport};
use crate::manifest;
use crate::segment::builder::SegmentIds;
use crate::token::Record;

impl Store {
    /// Fills an empty store with records in any order.
    ///
    /// Of several records with one token the newest is kept, and of several with the
    /// same time the first. When this returns, everything is on disk; when it fails,
    /// nothing of it is, nor visible, but for [`Error::OutcomeUnknown`].
    ///
    /// Takes no more memory than [`LoadOptions::memory_bytes`] allows, and a thousandth of
    /// the size of the store. What does not fit is written twice, and some of it three
    /// times where it is fifty times as much or more; what comes in order is written once.
    ///
    /// # Errors
    ///
    /// What the input yields; [`Error::Unwritable`] if the store is open read-only, holds
    /// tokens already, gets some meanwhile, or is being loaded into;
    /// [`Error::MemoryTooSmall`];
    /// [`Error::TooManyRecords`]; [`Error::Interrupted`];
    /// [`Error::Io`]; [`Error::OutcomeUnknown`], after which the store is only read until
    /// it is opened anew.
    pub fn bulk_load(
        &self,
        records: impl IntoIterator<Item = Result<Record>>,
        options: &LoadOptions<'_>,
    ) -> Result<LoadReport> {
        let writer = self.writer(LOAD)?;
        writer.refuse_forked(LOAD)?;
        let disk = self.inner.disk.as_ref();
        let ids = self.begin_load(&mut writer.state())?;
        // However this ends, be it by a panic of the input.
        let _loading = Loading { writer };
        let name = segment_name(ids.segment_id);
        let loaded = load_segment(disk, ids, records, options);
        let (entry, report) = writer.settle(&mut writer.state(), loaded, &name)?;
        let Some(entry) = entry else {
            return Ok(report);
        };
        self.inner.monitor.count(|written| written.load_bytes += entry.file_len);
        // A flush under way goes by the layers that there were when it began.
        let mut state = writer.unflushed(writer.state());
        let opened = self.refuse_tokens(&state).and_then(|()| {
            let mut contents = manifest::next(disk, &state.contents)?;
            contents.layers = vec![vec![entry]];
            // What is in them comes to nothing, and could not be done to these layers.
            contents.logs.clear();
            let layers = open_layers(disk, &contents, writer.verification(), &[])?;
            Ok((contents, Layers::new(layers)?))
        });
        let (contents, layers) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let _ = disk.unlink(&name);
                return Err(error);
            }
        };
        let mut delta = Delta::new(layers);
        let view = frozen(&mut delta)?;
        let named = manifest::replace(disk, &contents);
        writer.settle(&mut state, named, &name)?;
        writer.install(&mut state, contents, delta);
        let before = self.inner.published.set(view);
        drop(state);
        drop(before);
        self.inner.published.tidy();
        Ok(report)
    }

    /// Makes sure that a load may begin, and gives it a number.
    fn begin_load(&self, state: &mut State) -> Result<SegmentIds> {
        self.refuse_tokens(state)?;
        if state.is_loading {
            return self.refuse_load("another load into it is under way");
        }
        let segment_id = state.contents.next_file_id;
        let next = manifest::next(self.inner.disk.as_ref(), &state.contents)?;
        state.contents.next_file_id = next.next_file_id;
        state.is_loading = true;
        Ok(SegmentIds { store_id: state.contents.store_id, segment_id })
    }

    fn refuse_tokens(&self, state: &State) -> Result<()> {
        self.writer(LOAD)?.refuse_failed(state, LOAD)?;
        // Entries may have come to nothing and lie in memory all the same.
        let has_none = state.contents.layers.is_empty() && state.delta.sealed_len() == 0;
        if has_none && state.delta.entries()?.is_empty() {
            return Ok(());
        }
        self.refuse_load("it holds tokens already; load into a new one")
    }

    fn refuse_load<T>(&self, reason: &'static str) -> Result<T> {
        Err(Error::Unwritable { operation: LOAD, path: self.path().into(), reason })
    }
}

const LOAD: &str = "load into";

/// A load under way; at its end another one may begin.
struct Loading<'a> {
    writer: &'a Writer,
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        self.writer.state().is_loading = false;
    }
}
