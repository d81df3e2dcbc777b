//! Where the choices come from that make a run what it is.

use crate::testing::random::Random;

/// Gives numbers to choose by.
pub trait Source {
    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: u64) -> u64;
}

impl Source for Random {
    fn below(&mut self, bound: u64) -> u64 {
        Self::below(self, bound)
    }
}

/// Bytes that somebody else made, such as a fuzzer: no more of them for each number than
/// its bound takes. After the last one all numbers are 0.
pub struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    /// These bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether there are no more.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

impl Source for Bytes<'_> {
    fn below(&mut self, bound: u64) -> u64 {
        let bits = u64::BITS - (bound - 1).leading_zeros();
        let len = (bits.div_ceil(8) as usize).min(self.0.len());
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_used_up_as_bounds_ask() {
        let mut bytes = Bytes::new(&[7, 1, 2, 250, 9]);
        assert_eq!(bytes.below(1), 0);
        assert_eq!(bytes.below(256), 7);
        assert_eq!(bytes.below(257), 0x102 % 257);
        assert_eq!(bytes.below(100), 50);
        assert!(!bytes.is_over());
        assert_eq!(bytes.below(u64::MAX), 9, "fewer than asked for");
        assert!(bytes.is_over());
        assert_eq!(bytes.below(10), 0);
    }
}
