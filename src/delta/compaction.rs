//! Making one layer of several parts that lie one above the other.
//!
//! What is sealed becomes a layer, perhaps together with the newest layers; or layers become
//! one. Where the base is among them, their entries are settled against it, and what comes
//! of it is a base. None of that needs a lock, as nothing it reads changes.

use std::iter;
use std::ops::Range;
use std::sync::Arc;

use super::layers::{Layers, Outlined, outline, outlined};
use super::merge::{OverBase, merge_range};
use super::outline::Outline;
use super::part::Part;
use super::ranges::{TokenRange, cut};
use crate::error::Result;
use crate::format::kinds::Kind;
use crate::in_order::{Places, for_each_in_order};
use crate::segment::layer::Layer;
use crate::token::{Record, TokenId};

/// What becomes one layer.
pub(crate) trait LayerSource {
    /// At most so many records come of it.
    fn records_max(&self) -> Result<u64>;

    /// None of their tokens lies outside of these; `None` if there are none.
    fn bounds(&self) -> Result<Option<(TokenId, TokenId)>>;

    /// Gives the layer's records in order, each with its kind. What comes back is for
    /// [`Inputs::made`].
    fn run(&self, visit: &mut dyn FnMut(&Record, Kind) -> Result<()>) -> Result<Vec<Outlined>>;
}

/// Records that are merged at a time by one thread.
const RANGE_RECORDS: usize = 1 << 14;

/// What a range came to: records in order, with their kinds, if they are not all fresh.
#[derive(Default)]
struct Merged {
    records: Vec<Record>,
    kinds: Vec<Kind>,
    outlined: Vec<Outlined>,
}

/// Parts, one above the other, that become one layer.
pub(crate) struct Inputs {
    base: Arc<Layer>,
    /// Those above the base, newest first.
    parts: Vec<Part>,
    takes_base: bool,
    taken: Vec<Arc<Layer>>,
}

/// What inputs came to.
pub(crate) struct Made {
    pub(super) taken: Vec<Arc<Layer>>,
    /// None if no record came.
    pub(super) layer: Option<Arc<Layer>>,
    /// Over this base.
    pub(super) outline: Option<Arc<Outline>>,
    pub(super) base: Arc<Layer>,
}

impl Made {
    /// The layers that it stands for, newest first.
    pub(crate) fn taken(&self) -> &[Arc<Layer>] {
        &self.taken
    }
}

impl Inputs {
    /// What is sealed above layers, and those of the layers that have these numbers, counted
    /// from the newest. Where there is no base, this makes one.
    pub(super) fn new(layers: &Layers, sealed: &[Part], taken: Range<usize>) -> Self {
        let upper = layers.upper();
        let takes_base = taken.end > upper.len() || layers.base().len() == 0;
        let start = taken.start.min(upper.len());
        let end = taken.end.clamp(start, upper.len());
        let parts = sealed.iter().chain(&upper[start..end]).cloned().collect();
        let taken = layers.all().skip(taken.start).take(taken.len()).cloned().collect();
        Self { base: Arc::clone(layers.base()), parts, takes_base, taken }
    }

    /// A delta, newest part first, and the newest of the layers below it, above a base. Where
    /// that has no records, this makes one.
    pub(crate) fn above(base: &Arc<Layer>, delta: &[Part], taken: &[Arc<Layer>]) -> Self {
        let layers = taken.iter().map(|layer| Part::Layer(Arc::clone(layer), None));
        let parts = delta.iter().cloned().chain(layers).collect();
        let takes_base = base.len() == 0;
        Self { base: Arc::clone(base), parts, takes_base, taken: taken.to_vec() }
    }

    /// Layers that lie one above the other, newest first, with what they did to all below.
    pub(crate) fn of_layers(layers: &[Arc<Layer>]) -> Self {
        let parts = layers.iter().map(|layer| Part::Layer(Arc::clone(layer), None)).collect();
        Self { base: Arc::default(), parts, takes_base: false, taken: layers.to_vec() }
    }

    /// The layers among them, newest first.
    pub(crate) fn taken(&self) -> &[Arc<Layer>] {
        &self.taken
    }

    /// The layer that was written of them, if any.
    pub(crate) fn made(self, layer: Option<Layer>, outlined: &[Outlined]) -> Made {
        let Self { base, takes_base, taken, .. } = self;
        let outline = if takes_base { None } else { outline(&base, outlined) };
        Made { taken, layer: layer.map(Arc::new), outline, base }
    }
}

impl LayerSource for Inputs {
    /// No fewer if the base is among them, unless that is none.
    fn records_max(&self) -> Result<u64> {
        let entries: usize = self.parts.iter().map(Part::len).sum();
        if !self.takes_base {
            return Ok(entries as u64);
        }
        // What is left of all is tokens.
        let base = self.base.len() as u64;
        let mut tokens = base.cast_signed();
        for part in &self.parts {
            tokens = tokens.saturating_add(part.tokens_before(part.len())?);
        }
        // Kinds that lie may say anything; where they do, merging them says so.
        let most = (base + entries as u64).max(1).cast_signed();
        Ok(tokens.clamp(1, most).cast_unsigned())
    }

    fn bounds(&self) -> Result<Option<(TokenId, TokenId)>> {
        let base = Part::Layer(Arc::clone(&self.base), None);
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

    fn run(&self, visit: &mut dyn FnMut(&Record, Kind) -> Result<()>) -> Result<Vec<Outlined>> {
        let base = self.takes_base.then_some(self.base.as_ref());
        let ranges = cut(base, &self.parts, RANGE_RECORDS)?;
        let mut outlined = Vec::new();
        let merge = |range: &TokenRange, merged: &mut Merged| self.merge_range(range, merged);
        for_each_in_order(&ranges, &mut Places::default(), &merge, &mut |merged: &mut Merged| {
            outlined.append(&mut merged.outlined);
            // What takes in the base is of fresh records only.
            let kinds = merged.kinds.iter().copied().chain(iter::repeat(Kind::Fresh));
            merged.records.iter().zip(kinds).try_for_each(|(record, kind)| visit(record, kind))
        })?;
        Ok(outlined)
    }
}

impl Inputs {
    fn merge_range(&self, range: &TokenRange, merged: &mut Merged) -> Result<()> {
        let Merged { records, kinds, outlined: all } = merged;
        records.clear();
        kinds.clear();
        all.clear();
        if self.takes_base {
            let mut over = OverBase::new(&self.base, &self.parts, range.base.clone());
            let mut visit = |record: &Record| {
                records.push(*record);
                Ok(())
            };
            merge_range(&self.base, &self.parts, range, &mut |entry, sources| {
                over.push(&entry, sources, &mut visit)
            })?;
            return over.finish(&mut visit);
        }
        merge_range(&self.base, &self.parts, range, &mut |entry, _| {
            records.push(entry.record);
            kinds.push(entry.kind);
            // Above nothing, no entry has a place.
            if self.base.len() > 0 {
                all.push(outlined(&entry));
            }
            Ok(())
        })
    }
}
