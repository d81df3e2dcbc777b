//! A part of what lies above the bottom layer: an image, or a layer, of the same use.

use std::ops::Range;
use std::sync::Arc;

use super::image::Image;
use super::outline::Outline;
use super::union::Union;
use crate::challenge::Direction;
use crate::error::Result;
use crate::format::kinds::Kind;
use crate::segment::find::Found;
use crate::segment::layer::Layer;
use crate::token::{Record, TokenId};

/// Where what is in no file is, for messages.
pub(super) const MEMORY: &str = "memory";

/// Entries in the order of their tokens, each of which says what it did to what lies
/// below. Positions count them from 0.
///
/// A part may come with its outline over the bottom layer, which makes walks faster.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Image(Arc<Image>, Option<Arc<Outline>>),
    Layer(Arc<Layer>, Option<Arc<Outline>>),
    Union(Arc<Union>),
}

impl Part {
    /// Number of entries.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Image(image, _) => image.len(),
            Self::Layer(layer, _) => layer.len(),
            Self::Union(union) => union.len(),
        }
    }

    /// The layer, if it is one.
    pub(crate) fn layer(&self) -> Option<&Arc<Layer>> {
        match self {
            Self::Image(..) | Self::Union(_) => None,
            Self::Layer(layer, _) => Some(layer),
        }
    }

    /// The same with another outline.
    pub(super) fn with_outline(&self, outline: Option<Arc<Outline>>) -> Self {
        match self {
            Self::Image(image, _) => Self::Image(Arc::clone(image), outline),
            Self::Layer(layer, _) => Self::Layer(Arc::clone(layer), outline),
            Self::Union(_) => self.clone(),
        }
    }

    /// Whether both are one, not only alike.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Image(this, _), Self::Image(other, _)) => Arc::ptr_eq(this, other),
            (Self::Layer(this, _), Self::Layer(other, _)) => Arc::ptr_eq(this, other),
            _ => false,
        }
    }

    /// What is known of the entries without reading them.
    #[inline]
    pub(crate) fn outline(&self) -> Option<&Outline> {
        match self {
            Self::Image(_, outline) | Self::Layer(_, outline) => outline.as_deref(),
            Self::Union(union) => Some(union.outline()),
        }
    }

    /// Finds a token.
    #[inline]
    pub(crate) fn find(&self, token: &TokenId) -> Result<Found<'_>> {
        match self {
            Self::Image(image, _) => Ok(image.find(token)),
            Self::Layer(layer, _) => layer.find(token),
            Self::Union(union) => union.find_in(token, 0..union.len()),
        }
    }

    /// Finds a token whose place in the base is known.
    #[inline]
    pub(crate) fn find_at(&self, token: &TokenId, base_position: usize) -> Result<Found<'_>> {
        let Some(outline) = self.outline() else { return self.find(token) };
        let entries = outline.entries(base_position..=base_position);
        match self {
            Self::Union(union) => union.find_in(token, entries),
            _ if entries.is_empty() => Ok(Found { position: entries.start, record: None }),
            _ => self.find(token),
        }
    }

    /// Where a token is whose place in the base is known. If it is there and in no part,
    /// that is found without reading a token.
    #[inline]
    pub(crate) fn place_of(
        &self,
        token: &TokenId,
        base_position: usize,
        is_alone: bool,
    ) -> Result<PartPlace> {
        if let Some(outline) = self.outline()
            && is_alone
        {
            let count = outline.count_through(base_position);
            let tokens = outline.tokens_before(count);
            return Ok(PartPlace { entries: count..count, tokens: tokens..tokens });
        }
        let found = self.find_at(token, base_position)?;
        let (start, is_there) = (found.position, found.record.is_some());
        let entries = start..start + usize::from(is_there);
        let before = self.tokens_before(start)?;
        let through = if is_there { self.tokens_before(entries.end)? } else { before };
        Ok(PartPlace { entries, tokens: before..through })
    }

    /// The record at a position; `None` beyond the end.
    #[inline]
    pub(crate) fn record(&self, position: usize) -> Result<Option<&Record>> {
        match self {
            Self::Image(image, _) => Ok(image.record(position)),
            Self::Layer(layer, _) => layer.record(position),
            Self::Union(union) => union.record(position),
        }
    }

    /// Brings near what says where the record at a position is, unless that is known.
    #[inline]
    pub(crate) fn prefetch_source(&self, position: usize) {
        if let Self::Union(union) = self {
            union.prefetch_source(position);
        }
    }

    /// Brings the record at a position near.
    #[inline]
    pub(crate) fn prefetch_record(&self, position: usize) {
        match self {
            Self::Image(image, _) => image.prefetch_record(position),
            Self::Layer(layer, _) => layer.prefetch_record(position),
            Self::Union(union) => union.prefetch_record(position),
        }
    }

    /// The record at a position that was checked before.
    #[inline]
    pub(crate) fn checked_record(&self, position: usize) -> Option<&Record> {
        match self {
            Self::Image(image, _) => image.record(position),
            Self::Layer(layer, _) => layer.checked_record(position),
            Self::Union(union) => union.checked_record(position),
        }
    }

    /// Checks the records at a range of positions.
    #[inline]
    pub(crate) fn check_records(&self, positions: &Range<usize>) -> Result<()> {
        match self {
            Self::Layer(layer, _) => layer.check_records(positions),
            // In memory, or read, and so checked, when the union was made of them.
            Self::Image(..) | Self::Union(_) => Ok(()),
        }
    }

    /// The first records of a range of positions: as many as lie in one piece, and no
    /// more than `records_max`. Empty only if the range is.
    pub(crate) fn first_run(
        &self,
        positions: &Range<usize>,
        records_max: usize,
    ) -> Result<&[Record]> {
        match self {
            Self::Image(image, _) => {
                let len = positions.len().min(records_max);
                Ok(image.records(positions.start..positions.start + len))
            }
            Self::Layer(layer, _) => layer.first_run(positions, records_max),
            Self::Union(union) => union.run_at(positions.start),
        }
    }

    /// The last records of a range of positions, as [`first_run`](Self::first_run).
    pub(crate) fn last_run(
        &self,
        positions: &Range<usize>,
        records_max: usize,
    ) -> Result<&[Record]> {
        match self {
            Self::Image(image, _) => {
                let len = positions.len().min(records_max);
                Ok(image.records(positions.end - len..positions.end))
            }
            Self::Layer(layer, _) => layer.last_run(positions, records_max),
            Self::Union(union) => union.run_at(positions.end.saturating_sub(1)),
        }
    }

    /// What the entry at a position did to what lies below.
    #[inline]
    pub(crate) fn kind(&self, position: usize) -> Result<Kind> {
        match self {
            Self::Image(image, _) => Ok(image.kind(position)),
            Self::Layer(layer, _) => layer.kind(position),
            Self::Union(union) => Ok(union.kind(position)),
        }
    }

    /// By how many tokens the first `position` entries change the number of tokens of
    /// what lies below: fresh ones less tombstones.
    #[inline]
    pub(crate) fn tokens_before(&self, position: usize) -> Result<i64> {
        match self {
            Self::Image(image, _) => Ok(image.tokens_before(position)),
            Self::Layer(layer, _) => layer.tokens_before(position),
            Self::Union(union) => Ok(union.outline().tokens_before(position)),
        }
    }

    /// The first position in a range, seen in a direction, whose token has this suffix.
    pub(crate) fn nearest_match(
        &self,
        positions: Range<usize>,
        direction: Direction,
        suffix: u16,
    ) -> Result<Option<usize>> {
        match self {
            Self::Image(image, _) => Ok(image.nearest_match(positions, direction, suffix)),
            Self::Layer(layer, _) => layer.nearest_match(positions, direction, suffix),
            Self::Union(union) => Ok(union.outline().nearest_match(&positions, direction, suffix)),
        }
    }
}

/// Where a token is in a part: the position of its entry, or an empty range where that would
/// be, and by how many tokens the entries before and up to there change their number.
pub(crate) struct PartPlace {
    pub(crate) entries: Range<usize>,
    pub(crate) tokens: Range<i64>,
}

/// The newest entry of a token in parts, which come newest first; its place in the base is
/// known.
pub(crate) fn newest<'a>(
    parts: impl IntoIterator<Item = &'a Part>,
    token: &TokenId,
    base_position: usize,
) -> Result<Option<(&'a Record, Kind)>> {
    for part in parts {
        let found = part.find_at(token, base_position)?;
        if let Some(record) = found.record {
            return Ok(Some((record, part.kind(found.position)?)));
        }
    }
    Ok(None)
}
