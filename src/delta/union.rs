//! Several layers as if they were one.
//!
//! Whoever reads pays for each layer that may hold something, so the layers above the base
//! are read as one: of each token that any of them has an entry of, it is known which has
//! the newest, where, and what all of them come to. The records stay where they are; what
//! is kept in memory is fifteen bytes an entry.

use std::ops::Range;
use std::sync::Arc;

use super::outline::Outline;
use crate::challenge::Direction;
use crate::error::Result;
use crate::format::kinds::Kind;
use crate::segment::find::Found;
use crate::segment::layer::Layer;
use crate::token::{Record, TokenId};

/// Layers that lie one above the other, merged but for their records.
#[derive(Debug)]
pub(crate) struct Union {
    /// Newest first.
    layers: Vec<Arc<Layer>>,
    /// Of each entry the layer that has its record, and the position there.
    sources: Vec<(u8, u32)>,
    outline: Outline,
}

impl Union {
    /// The union of layers, newest first, of each of whose entries the source is known, and
    /// what is known of it without its record.
    pub(super) fn new(layers: Vec<Arc<Layer>>, sources: Vec<(u8, u32)>, outline: Outline) -> Self {
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
        let (layer, position) = *self.sources.get(position)?;
        Some((self.layers.get(usize::from(layer))?, position as usize))
    }

    /// The record at a position; `None` beyond the end.
    #[inline]
    pub(super) fn record(&self, position: usize) -> Result<Option<&Record>> {
        match self.source(position) {
            Some((layer, position)) => layer.record(position),
            None => Ok(None),
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

    /// The first position in a range, seen in a direction, whose token has this suffix.
    pub(super) fn nearest_match(
        &self,
        positions: &Range<usize>,
        direction: Direction,
        suffix: u16,
    ) -> Option<usize> {
        self.outline.nearest_match(positions, direction, suffix)
    }
}
