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

    /// The token in the middle of what has the most records; `None` where nothing has two.
    fn middle(&self, base: Option<&Layer>, parts: &[Part]) -> Result<Option<TokenId>> {
        let middle = |range: &Range<usize>| range.start + range.len() / 2;
        let (longest, of_part) = self.parts.iter().zip(parts).fold(
            (&self.base, None),
            |(longest, of), (range, part)| {
                if range.len() > longest.len() { (range, Some(part)) } else { (longest, of) }
            },
        );
        let record = match (of_part, base) {
            _ if longest.len() < 2 => None,
            (Some(part), _) => part.record(middle(longest))?,
            (None, Some(base)) => base.record(middle(longest))?,
            (None, None) => None,
        };
        Ok(record.map(|record| record.token))
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

/// Cuts all into ranges of no more than so many records, in the order of tokens, however
/// differently these are spread in each part.
///
/// Takes a lookup in each part for each range.
pub(super) fn cut(base: Option<&Layer>, parts: &[Part], records: usize) -> Result<Vec<TokenRange>> {
    let (mut all, mut rest) = (Vec::new(), vec![TokenRange::all(base, parts)]);
    while let Some(range) = rest.pop() {
        match range.middle(base, parts)? {
            Some(token) if range.records() > records => {
                let (below, above) = range.split(base, parts, &token)?;
                if below.records() == 0 || above.records() == 0 {
                    // Out of order: merging it will say so.
                    all.extend([below, above]);
                } else {
                    rest.extend([above, below]);
                }
            }
            _ => all.push(range),
        }
    }
    Ok(all)
}
