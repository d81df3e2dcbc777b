//! Cutting what is to be merged into ranges of tokens, which can be merged each by itself.

use std::ops::Range;

use super::part::Part;
use crate::error::Result;
use crate::segment::layer::Layer;
use crate::token::TokenId;

/// A range of tokens: which records of a base, and which entries of each part, have them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct TokenRange {
    pub(super) base: Range<usize>,
    pub(super) parts: Vec<Range<usize>>,
}

impl TokenRange {
    /// All tokens there are.
    pub(super) fn all(base: Option<&Layer>, parts: &[Part]) -> Self {
        let parts = parts.iter().map(|part| 0..part.len()).collect();
        Self { base: 0..base.map_or(0, Layer::len), parts }
    }

    fn records(&self) -> usize {
        self.base.len() + self.parts.iter().map(Range::len).sum::<usize>()
    }

    /// Splits it where a token would be: what has smaller ones, and the others.
    fn split(self, base: Option<&Layer>, parts: &[Part], token: &TokenId) -> Result<(Self, Self)> {
        let cut = |range: Range<usize>, position: usize| {
            // Whatever is read, nothing is left out, and nothing comes twice.
            let position = position.clamp(range.start, range.end);
            (range.start..position, position..range.end)
        };
        let in_base = base.map_or(Ok(0), |base| base.find(token).map(|found| found.position))?;
        let (base, base_after) = cut(self.base, in_base);
        let mut split = (Vec::new(), Vec::new());
        for (range, part) in self.parts.into_iter().zip(parts) {
            let (below, above) = cut(range, part.find(token)?.position);
            split.0.push(below);
            split.1.push(above);
        }
        Ok((Self { base, parts: split.0 }, Self { base: base_after, parts: split.1 }))
    }
}

/// Cuts all into ranges of about so many records, if tokens are spread alike; in the order of
/// tokens.
///
/// Takes a lookup in each part for each range.
pub(super) fn cut(base: Option<&Layer>, parts: &[Part], records: usize) -> Result<Vec<TokenRange>> {
    let mut rest = TokenRange::all(base, parts);
    // The largest says where.
    let largest = parts.iter().max_by_key(|part| part.len());
    let base_len = base.map_or(0, Layer::len);
    let guide_len = base_len.max(largest.map_or(0, Part::len));
    let token_at = |position| match (base, largest) {
        (Some(base), _) if base_len == guide_len => base.record(position),
        (_, Some(largest)) => largest.record(position),
        _ => Ok(None),
    };
    let ranges = rest.records().div_ceil(records).max(1);
    let step = guide_len.div_ceil(ranges).max(1);
    let mut all = Vec::with_capacity(ranges);
    for position in (step..guide_len).step_by(step) {
        let Some(record) = token_at(position)? else { break };
        let (below, above) = rest.split(base, parts, &record.token)?;
        all.push(below);
        rest = above;
    }
    all.push(rest);
    Ok(all)
}
