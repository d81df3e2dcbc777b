//! Making a layer of what is sealed.
//!
//! The newest layers may be taken into it, and all of them with the base: then there is a
//! new base, and whatever was written meanwhile has to find its place there. None of that
//! needs a lock, as nothing it reads changes.

use std::sync::Arc;

use super::layers::{Layers, Outlined, outline, outlined};
use super::merge::{OverBase, merge};
use super::part::Part;
use crate::error::Result;
use crate::format::kinds::Kind;
use crate::segment::layer::Layer;
use crate::token::{Record, TokenId};

/// Parts and layers, one above the other, that become one layer.
pub(crate) struct Flush {
    layers: Layers,
    /// Those above the base, newest first.
    parts: Vec<Part>,
    /// How many of them are layers.
    upper: usize,
    takes_base: bool,
}

impl Flush {
    /// What is sealed above layers, and so many of the newest of these. Where there is no
    /// base, this makes one.
    pub(super) fn new(layers: &Layers, sealed: &[Part], count: usize) -> Self {
        let upper = layers.upper().len().min(count);
        let takes_base = count > upper || layers.base().len() == 0;
        let parts = sealed.iter().chain(&layers.upper()[..upper]).cloned().collect();
        Self { layers: layers.clone(), parts, upper, takes_base }
    }

    /// How many of the newest layers are taken.
    pub(crate) fn layers_taken(&self) -> usize {
        self.upper + usize::from(self.takes_base && self.layers.base().len() > 0)
    }

    /// At most so many records come of it.
    pub(crate) fn records_max(&self) -> u64 {
        let base = if self.takes_base { self.layers.base().len() } else { 0 };
        self.parts.iter().map(Part::len).sum::<usize>() as u64 + base as u64
    }

    /// None of their tokens lies outside of these; `None` if there are none.
    pub(crate) fn bounds(&self) -> Result<Option<(TokenId, TokenId)>> {
        let base = Part::Layer(Arc::clone(self.layers.base()), None);
        let base = self.takes_base.then_some(&base);
        let mut bounds: Option<(TokenId, TokenId)> = None;
        for part in self.parts.iter().chain(base) {
            let Some(last) = part.len().checked_sub(1) else { continue };
            if let (Some(first), Some(last)) = (part.record(0)?, part.record(last)?) {
                let (low, high) = bounds.unwrap_or((first.token, last.token));
                bounds = Some((low.min(first.token), high.max(last.token)));
            }
        }
        Ok(bounds)
    }

    /// Gives the layer's records in order, each with its kind. What comes back is for
    /// [`finish`](Self::finish).
    pub(crate) fn run(
        &self,
        visit: &mut dyn FnMut(&Record, Kind) -> Result<()>,
    ) -> Result<Vec<Outlined>> {
        let base = self.layers.base();
        if self.takes_base {
            let mut over = OverBase::new(base, &self.parts);
            let mut visit = |record: &Record| visit(record, Kind::Fresh);
            merge(base, &self.parts, &mut |entry, source| over.push(&entry, source, &mut visit))?;
            over.finish(&mut visit)?;
            return Ok(Vec::new());
        }
        let mut entries = Vec::new();
        merge(base, &self.parts, &mut |entry, _| {
            entries.push(outlined(&entry));
            visit(&entry.record, entry.kind)
        })?;
        Ok(entries)
    }

    /// The layers afterwards; `None` if no record came.
    pub(crate) fn finish(&self, layer: Option<Layer>, outlined: &[Outlined]) -> Result<Flushed> {
        let layer = layer.map(Arc::new);
        let layers = if self.takes_base {
            Layers::new(layer.into_iter().collect())?
        } else {
            let outline = outline(self.layers.base(), outlined);
            let part = layer.map(|layer| Part::Layer(layer, outline));
            self.layers.with_newest(self.upper, part)?
        };
        Ok(Flushed { layers, has_new_base: self.takes_base, moved: Vec::new() })
    }
}

/// The layers after a flush.
pub(crate) struct Flushed {
    layers: Layers,
    has_new_base: bool,
    /// Parts above the old base, and the same above the new one.
    moved: Vec<(Part, Part)>,
}

impl Flushed {
    pub(crate) fn layers(&self) -> &Layers {
        &self.layers
    }

    /// Finds the places that parts have above a new base, if there is one. How many
    /// entries had none before.
    pub(crate) fn prepare(&mut self, parts: &[Part]) -> Result<usize> {
        let mut entries = 0;
        for part in parts.iter().filter(|_| self.has_new_base) {
            if !self.moved.iter().any(|(old, _)| old.is_same(part)) {
                let moved = self.layers.outlined(part)?;
                entries += part.len();
                self.moved.push((part.clone(), moved));
            }
        }
        Ok(entries)
    }

    /// A part with its place above the new base.
    pub(super) fn moved(&self, part: &Part) -> Result<Part> {
        match self.moved.iter().find(|(old, _)| old.is_same(part)) {
            Some((_, moved)) => Ok(moved.clone()),
            None => self.layers.outlined(part),
        }
    }
}
