//! Several layers as if they were one.
//!
//! Whoever reads pays for each layer that may hold something, so the layers above the base
//! are read as one: of each token that any of them has an entry of, it is known which has
//! the newest, where, and what all of them come to. The records stay where they are; what
//! is kept in memory is fourteen bytes an entry, and half a byte for finding it.

use std::ops::Range;
use std::sync::Arc;

use super::outline::Outline;
use crate::error::Result;
use crate::format::kinds::Kind;
use crate::search::simd::prefetch;
use crate::segment::find::Found;
use crate::segment::layer::Layer;
use crate::token::{Record, TokenId};

/// Where the record of an entry is: in which layer, and at which position there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source(u32);

impl Source {
    /// Digits of the position; the others are the layer's.
    const POSITION_BITS: u32 = 28;

    /// `None` for numbers that are too large.
    pub(super) fn new(layer: usize, position: usize) -> Option<Self> {
        let is_small =
            layer < 1 << (u32::BITS - Self::POSITION_BITS) && position < 1 << Self::POSITION_BITS;
        is_small.then_some(Self((layer << Self::POSITION_BITS | position) as u32))
    }

    #[inline]
    fn layer(self) -> usize {
        (self.0 >> Self::POSITION_BITS) as usize
    }

    #[inline]
    fn position(self) -> usize {
        (self.0 & ((1 << Self::POSITION_BITS) - 1)) as usize
    }
}

/// Layers that lie one above the other, merged but for their records.
#[derive(Debug)]
pub(crate) struct Union {
    /// Newest first.
    layers: Vec<Arc<Layer>>,
    /// Of each entry where its record is.
    sources: Vec<Source>,
    outline: Outline,
}

impl Union {
    /// The union of layers, newest first, of each of whose entries the source is known, and
    /// what is known of it without its record.
    pub(super) fn new(layers: Vec<Arc<Layer>>, sources: Vec<Source>, outline: Outline) -> Self {
        Self { layers, sources, outline }
    }

    #[inline]
    pub(super) fn outline(&self) -> &Outline {
        &self.outline
    }

    /// Number of entries.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.sources.len()
    }

    #[inline]
    fn source(&self, position: usize) -> Option<(&Layer, usize)> {
        let source = *self.sources.get(position)?;
        Some((self.layers.get(source.layer())?, source.position()))
    }

    /// The record at a position; `None` beyond the end.
    #[inline]
    pub(super) fn record(&self, position: usize) -> Result<Option<&Record>> {
        match self.source(position) {
            Some((layer, position)) => layer.record(position),
            None => Ok(None),
        }
    }

    /// Brings near what says where the record at a position is.
    #[inline]
    pub(super) fn prefetch_source(&self, position: usize) {
        prefetch(&self.sources, position);
    }

    /// Brings the record at a position near.
    #[inline]
    pub(super) fn prefetch_record(&self, position: usize) {
        if let Some((layer, position)) = self.source(position) {
            layer.prefetch_record(position);
        }
    }

    /// The record at a position that was checked before.
    #[inline]
    pub(super) fn checked_record(&self, position: usize) -> Option<&Record> {
        let (layer, position) = self.source(position)?;
        layer.checked_record(position)
    }

    /// The record at a position, as a slice; empty beyond the end.
    pub(super) fn run_at(&self, position: usize) -> Result<&[Record]> {
        Ok(self.record(position)?.map_or(&[], std::slice::from_ref))
    }

    /// What all entries of a token did to the base; fresh beyond the end.
    #[inline]
    pub(super) fn kind(&self, position: usize) -> Kind {
        self.outline.kind(position).unwrap_or(Kind::Fresh)
    }

    /// Finds a token among the entries at some positions.
    pub(super) fn find_in(&self, token: &TokenId, positions: Range<usize>) -> Result<Found<'_>> {
        let Range { mut start, mut end } = positions;
        while start < end {
            let middle = start + (end - start) / 2;
            let Some(record) = self.record(middle)? else { break };
            if record.token == *token {
                return Ok(Found { position: middle, record: Some(record) });
            }
            if record.token < *token {
                start = middle + 1;
            } else {
                end = middle;
            }
        }
        Ok(Found { position: start, record: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_what_it_was_made_of() {
        for (layer, position) in [(0, 0), (15, 0), (0, (1 << 28) - 1), (15, (1 << 28) - 1), (6, 7)]
        {
            let source = Source::new(layer, position).unwrap();
            assert_eq!((source.layer(), source.position()), (layer, position));
        }
        assert!(Source::new(16, 0).is_none() && Source::new(0, 1 << 28).is_none());
    }
}
