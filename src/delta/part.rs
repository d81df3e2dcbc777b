//! A part of what lies above the bottom layer: an image, or a layer, of the same use.

use std::ops::Range;
use std::sync::Arc;

use super::image::Image;
use super::outline::Outline;
use crate::challenge::Direction;
use crate::error::Result;
use crate::format::kinds::Kind;
use crate::segment::find::Found;
use crate::segment::layer::Layer;
use crate::token::{Record, TokenId};

/// Entries in the order of their tokens, each of which says what it did to what lies
/// below. Positions count them from 0.
///
/// A part may come with its outline over the bottom layer, which makes walks faster.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Image(Arc<Image>, Option<Arc<Outline>>),
    Layer(Arc<Layer>, Option<Arc<Outline>>),
}

impl Part {
    /// Number of entries.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Image(image, _) => image.len(),
            Self::Layer(layer, _) => layer.len(),
        }
    }

    /// The layer, if it is one.
    pub(crate) fn layer(&self) -> Option<&Arc<Layer>> {
        match self {
            Self::Image(..) => None,
            Self::Layer(layer, _) => Some(layer),
        }
    }

    /// The same with another outline.
    pub(super) fn with_outline(&self, outline: Option<Arc<Outline>>) -> Self {
        match self {
            Self::Image(image, _) => Self::Image(Arc::clone(image), outline),
            Self::Layer(layer, _) => Self::Layer(Arc::clone(layer), outline),
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
        }
    }

    /// Finds a token.
    #[inline]
    pub(crate) fn find(&self, token: &TokenId) -> Result<Found<'_>> {
        match self {
            Self::Image(image, _) => Ok(image.find(token)),
            Self::Layer(layer, _) => layer.find(token),
        }
    }

    /// Where a token is. If it is known to be in the base and in no part, its position there
    /// says so without reading a token.
    #[inline]
    pub(crate) fn place_of(&self, token: &TokenId, alone_at: Option<usize>) -> Result<PartPlace> {
        if let (Some(outline), Some(base_position)) = (self.outline(), alone_at) {
            let count = outline.count_through(base_position);
            let tokens = outline.tokens_before(count);
            return Ok(PartPlace { entries: count..count, tokens: tokens..tokens });
        }
        let found = self.find(token)?;
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
        }
    }

    /// The record at a position that was checked before.
    #[inline]
    pub(crate) fn checked_record(&self, position: usize) -> Option<&Record> {
        match self {
            Self::Image(image, _) => image.record(position),
            Self::Layer(layer, _) => layer.checked_record(position),
        }
    }

    /// Checks the records at a range of positions.
    pub(crate) fn check_records(&self, positions: &Range<usize>) -> Result<()> {
        match self {
            Self::Image(..) => Ok(()),
            Self::Layer(layer, _) => layer.check_records(positions),
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
        }
    }

    /// What the entry at a position did to what lies below.
    #[inline]
    pub(crate) fn kind(&self, position: usize) -> Result<Kind> {
        match self {
            Self::Image(image, _) => Ok(image.kind(position)),
            Self::Layer(layer, _) => layer.kind(position),
        }
    }

    /// By how many tokens the first `position` entries change the number of tokens of
    /// what lies below: fresh ones less tombstones.
    #[inline]
    pub(crate) fn tokens_before(&self, position: usize) -> Result<i64> {
        match self {
            Self::Image(image, _) => Ok(image.tokens_before(position)),
            Self::Layer(layer, _) => layer.tokens_before(position),
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
        }
    }
}

/// Where a token is in a part: the position of its entry, or an empty range where that would
/// be, and by how many tokens the entries before and up to there change their number.
pub(crate) struct PartPlace {
    pub(crate) entries: Range<usize>,
    pub(crate) tokens: Range<i64>,
}

/// The newest entry of a token in parts, which come newest first.
pub(crate) fn newest<'a>(parts: &'a [Part], token: &TokenId) -> Result<Option<(&'a Record, Kind)>> {
    for part in parts {
        let found = part.find(token)?;
        if let Some(record) = found.record {
            return Ok(Some((record, part.kind(found.position)?)));
        }
    }
    Ok(None)
}
