//! What the layers of a damaged store come to: the newest entry of each token, in order.

use super::layer::LayerReader;
use super::report::Loss;
use crate::error::Result;
use crate::token::Record;

/// Layers, newest first, being merged.
pub(super) struct Merge<'a> {
    layers: Vec<LayerReader<'a>>,
}

impl<'a> Merge<'a> {
    pub(super) fn new(layers: Vec<LayerReader<'a>>) -> Self {
        Self { layers }
    }

    /// How many entries were rescued of the layers, and what was lost of them, the newest
    /// first.
    pub(super) fn finish(self) -> (u64, Vec<Loss>) {
        let rescued = self.layers.iter().map(|layer| layer.rescued).sum();
        (rescued, self.layers.into_iter().flat_map(|layer| layer.losses).collect())
    }

    /// The newest entry of the next token, unless that removes it.
    fn next_record(&mut self) -> Result<Option<Record>> {
        loop {
            // Of equal tokens the first is the newest.
            let next = self.layers.iter().filter_map(LayerReader::entry);
            let Some(next) = next.min_by_key(|entry| entry.record.token).copied() else {
                return Ok(None);
            };
            for layer in &mut self.layers {
                if layer.entry().is_some_and(|entry| entry.record.token == next.record.token) {
                    layer.advance()?;
                }
            }
            if !next.is_tombstone {
                return Ok(Some(next.record));
            }
        }
    }
}

impl Iterator for Merge<'_> {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Result<Record>> {
        self.next_record().transpose()
    }
}
