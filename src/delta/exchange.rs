//! Exchanging layers for the one that was made of them.
//!
//! Others commit, flush and compact meanwhile. So it is made for the layers that there are
//! at one moment, without any lock, and holds as long as there are no others. What lies above
//! a base has to find its place above a new one.

use std::sync::Arc;

use super::compaction::Made;
use super::layers::Layers;
use super::part::Part;
use crate::error::Result;
use crate::segment::layer::Layer;

/// The layers after an exchange.
pub(crate) struct Exchange {
    before: Layers,
    layers: Layers,
    /// Parts above the old base, and the same above the new one.
    moved: Vec<(Part, Part)>,
}

impl Exchange {
    /// Of some of these layers for what was made of them.
    pub(crate) fn new(before: Layers, made: &Made) -> Result<Self> {
        let is_above_base = Arc::ptr_eq(before.base(), &made.base);
        let outline = made.outline.clone().filter(|_| is_above_base);
        let layer = made.layer.as_ref();
        let part = layer.map(|layer| Part::Layer(Arc::clone(layer), outline));
        let layers = before.exchanged(&made.taken, part)?;
        Ok(Self { before, layers, moved: Vec::new() })
    }

    pub(crate) fn layers(&self) -> &Layers {
        &self.layers
    }

    /// Whether it is of these layers.
    pub(crate) fn is_of(&self, layers: &Layers) -> bool {
        let is_same = |(this, other): (&Arc<Layer>, &Arc<Layer>)| Arc::ptr_eq(this, other);
        self.before.all().count() == layers.all().count()
            && self.before.all().zip(layers.all()).all(is_same)
    }

    pub(super) fn has_new_base(&self) -> bool {
        !Arc::ptr_eq(self.before.base(), self.layers.base())
    }

    /// Finds the places that parts have above a new base, if there is one. How many
    /// entries had none before.
    pub(crate) fn prepare(&mut self, parts: &[Part]) -> Result<usize> {
        let mut entries = 0;
        if !self.has_new_base() {
            return Ok(0);
        }
        for part in parts {
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

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::delta::compaction::Inputs;
    use crate::delta::tests::some_layer as layer;

    fn layers(all: &[&Arc<Layer>]) -> Layers {
        Layers::new(all.iter().map(|layer| Arc::clone(layer)).collect()).unwrap()
    }

    fn exchange(before: &Layers, taken: Range<usize>, made: Arc<Layer>) -> Exchange {
        let inputs = Inputs::new(before, &[], taken);
        let made = Made { layer: Some(made), ..inputs.made(None, &[]) };
        Exchange::new(before.clone(), &made).unwrap()
    }

    /// What others flushed meanwhile would be lost. Looking at the number of layers only, and at
    /// the layers only as far as both have them, was tried, and made this fail.
    #[test]
    fn an_exchange_is_of_the_very_same_layers() {
        let [base, old, new, other] = [1, 2, 3, 4].map(layer);
        let before = layers(&[&old, &base]);
        let exchange = exchange(&before, 0..1, layer(5));
        assert!(exchange.is_of(&before) && exchange.is_of(&layers(&[&old, &base])));
        for others in [
            layers(&[&new, &old, &base]),
            layers(&[&old, &base, &other]),
            layers(&[&new, &base]),
            layers(&[&old, &other]),
            layers(&[&base]),
            layers(&[]),
        ] {
            assert!(!exchange.is_of(&others));
        }
    }

    /// Each part finds its place above a new base once, without a lock, and above an old one
    /// never.
    #[test]
    fn parts_move_to_a_new_base_once() {
        let [base, old, new] = [1, 2, 3].map(layer);
        let before = layers(&[&old, &base]);
        let parts = [4, 5].map(|seed| before.outlined(&Part::Layer(layer(seed), None)).unwrap());
        let mut upper = exchange(&before, 0..1, Arc::clone(&new));
        assert!(!upper.has_new_base());
        assert_eq!((upper.prepare(&parts).unwrap(), upper.moved.len()), (0, 0));
        let mut all = exchange(&before, 0..2, new);
        assert!(all.has_new_base());
        assert_eq!((all.prepare(&parts[..1]).unwrap(), all.moved.len()), (50, 1));
        assert_eq!((all.prepare(&parts).unwrap(), all.moved.len()), (50, 2));
        assert_eq!((all.prepare(&parts).unwrap(), all.moved.len()), (0, 2));
        for part in &parts {
            assert!(all.moved(part).unwrap().is_same(part));
        }
    }
}
