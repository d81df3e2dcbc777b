//! Bytes that look random and are the same in every run.

use crate::token::TokenId;

/// An endless stream of bytes, fixed by a name and a seed: the output of Blake3.
pub struct Random {
    bytes: blake3::OutputReader,
}

impl Random {
    /// The stream of this name and seed. Streams that differ in either have nothing
    /// in common.
    pub fn new(name: &str, seed: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.update(name.as_bytes());
        Self { bytes: hasher.finalize_xof() }
    }

    /// The next bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.bytes.fill(&mut bytes);
        bytes
    }

    /// A number; any is as likely as any other.
    pub fn number(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    /// A number below `bound`, by a remainder: fair enough for bounds far below 2^64.
    ///
    /// # Panics
    ///
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    /// A token; any is as likely as any other.
    pub fn token(&mut self) -> TokenId {
        TokenId(self.bytes())
    }

    /// One of `items`.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_fixed_by_name_and_seed() {
        let first = |name, seed| Random::new(name, seed).number();
        assert_eq!(first("a", 1), first("a", 1));
        assert_ne!(first("a", 1), first("b", 1));
        assert_ne!(first("a", 1), first("a", 2));
        let mut random = Random::new("a", 1);
        assert_ne!(random.token(), random.token());
    }

    #[test]
    fn every_item_is_picked() {
        let mut random = Random::new("pick", 0);
        let mut picked = [false; 5];
        for _ in 0..200 {
            picked[*random.pick(&[0, 1, 2, 3, 4])] = true;
        }
        assert_eq!(picked, [true; 5]);
    }
}
