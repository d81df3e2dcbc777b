//! The prefix directory: where in the records a token must be.
//!
//! Ids are hashes more often than not, so a token's leading bits say where it lies
//! almost exactly. The directory maps them linearly onto *buckets* of eight records
//! or a few more, and holds the position at which each bucket begins. What the map
//! leaves over, the fraction, is where in the bucket to look first.
//!
//! Bits that the smallest and the largest token share say nothing and are skipped,
//! so that small numbers in 32 bytes spread as well as hashes do. Keys that crowd
//! into few buckets are found by the fence keys instead; see
//! [`Segment`](crate::Segment).

use crate::format::layout::{BUCKET_RECORDS, DIRECTORY_ENTRY_LEN};
use crate::format::segment::BucketMap;
use crate::token::TokenId;

/// Where a token falls: a bucket, and the fraction of the bucket below it in 2^-64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Place {
    pub(crate) bucket: usize,
    fraction: u64,
}

impl Place {
    /// Where in a bucket of so many records to look first.
    #[inline]
    pub(crate) fn guess(self, records: usize) -> usize {
        ((u128::from(self.fraction) * records as u128) >> 64) as usize
    }
}

impl BucketMap {
    /// A map for about so many records between two tokens, both included.
    pub(crate) fn new(records: u64, min: &TokenId, max: &TokenId) -> Self {
        let skip_bits = shared_bits(min, max).min(255);
        let base = window(min, skip_bits);
        let range = window(max, skip_bits).saturating_sub(base);
        let buckets = (records / BUCKET_RECORDS).clamp(1, range.max(1));
        let scale =
            ((u128::from(buckets) << 64) / (u128::from(range) + 1)).min(u128::from(u64::MAX));
        Self { skip_bits, shift: 0, base, scale: scale as u64, buckets }
    }

    /// The same map with every 2^`by` neighbouring buckets made one.
    pub(crate) fn coarser(self, by: u32) -> Self {
        Self { shift: self.shift + by, buckets: self.buckets.div_ceil(1 << by), ..self }
    }

    /// Where a token falls; clamped for tokens outside the range of the map.
    ///
    /// Never descends from a token to a larger one, and the bucket is below
    /// `buckets`, if both share the skipped bits with the tokens of the map.
    #[inline]
    pub(crate) fn place(&self, token: &TokenId) -> Place {
        let offset = window(token, self.skip_bits).saturating_sub(self.base);
        let product = (u128::from(offset) * u128::from(self.scale)) >> self.shift;
        let bucket = (product >> 64) as u64;
        if bucket < self.buckets {
            Place { bucket: bucket as usize, fraction: product as u64 }
        } else {
            Place { bucket: (self.buckets - 1) as usize, fraction: u64::MAX }
        }
    }
}

/// Where among `len` sorted keys, the first `low` and the last about `high`, a token
/// between them should be, if the keys are spread evenly.
pub(crate) fn interpolate(low: &TokenId, high: &TokenId, token: &TokenId, len: usize) -> usize {
    let skip_bits = shared_bits(low, high).min(255);
    let base = window(low, skip_bits);
    let range = u128::from(window(high, skip_bits).saturating_sub(base)) + 1;
    let offset = u128::from(window(token, skip_bits).saturating_sub(base)).min(range);
    (offset * len as u128 / range) as usize
}

/// Number of leading bits in which two tokens agree.
fn shared_bits(a: &TokenId, b: &TokenId) -> u32 {
    let mut bits = 0;
    for (a, b) in a.0.iter().zip(&b.0) {
        let differing = a ^ b;
        bits += differing.leading_zeros();
        if differing != 0 {
            break;
        }
    }
    bits
}

/// The 64 bits after the first `skip_bits`, zeros beyond the end.
#[inline]
fn window(token: &TokenId, skip_bits: u32) -> u64 {
    let bytes = &token.0;
    if skip_bits == 0 {
        return u64::from_be_bytes(*bytes.first_chunk().unwrap_or(&[0; 8]));
    }
    let from = (skip_bits / 8) as usize;
    let mut window = [0; 16];
    for (to, byte) in window.iter_mut().zip(bytes.iter().skip(from).take(9)) {
        *to = *byte;
    }
    (u128::from_be_bytes(window) << (skip_bits % 8) >> 64) as u64
}

/// The positions at which a bucket begins and ends, clamped to `records`.
#[inline]
pub(crate) fn bucket_range(directory: &[u8], bucket: usize, records: usize) -> (usize, usize) {
    let entry = |index: usize| {
        let at = index * DIRECTORY_ENTRY_LEN;
        match directory.get(at..at + DIRECTORY_ENTRY_LEN).and_then(<[u8]>::first_chunk) {
            Some(bytes) => (u32::from_le_bytes(*bytes) as usize).min(records),
            None => records,
        }
    };
    let start = entry(bucket);
    (start, entry(bucket + 1).max(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_bits_are_counted() {
        let a = TokenId::from(0b1000);
        assert_eq!(shared_bits(&a, &a), 256);
        assert_eq!(shared_bits(&a, &TokenId::from(0b1001)), 255);
        assert_eq!(shared_bits(&a, &TokenId::from(0)), 252);
        assert_eq!(shared_bits(&TokenId::MIN, &TokenId::MAX), 0);
    }

    #[test]
    fn the_window_is_the_bits_after_the_skipped() {
        let token = TokenId(std::array::from_fn(|i| i as u8 + 1));
        assert_eq!(window(&token, 0), 0x0102_0304_0506_0708);
        assert_eq!(window(&token, 8), 0x0203_0405_0607_0809);
        assert_eq!(window(&token, 4), 0x1020_3040_5060_7080);
        assert_eq!(window(&token, 248), 0x2000_0000_0000_0000);
        assert_eq!(window(&token, 255), 0);
        assert_eq!(window(&TokenId::MAX, 255), 1 << 63);
    }

    fn check_map(tokens: &[TokenId]) {
        let (min, max) = (tokens.first().unwrap(), tokens.last().unwrap());
        for records in [1, 7, 8, 64, 1_000, 1 << 20, (1 << 32) - 1] {
            for coarser in 0..3 {
                let map = BucketMap::new(records, min, max).coarser(coarser);
                assert!(map.buckets >= 1 && map.buckets <= records);
                let mut last = None;
                for token in tokens {
                    let place = map.place(token);
                    assert!((place.bucket as u64) < map.buckets);
                    assert!(Some(place) >= last, "{token} falls before its predecessor");
                    for records in [0, 1, 8, 1_000] {
                        assert!(place.guess(records) <= records);
                    }
                    last = Some(place);
                }
            }
        }
    }

    #[test]
    fn places_ascend_with_tokens() {
        let dense: Vec<_> = (0..2_000).map(TokenId::from).collect();
        let powers: Vec<_> = (0..64).map(|bit| TokenId::from(1 << bit)).collect();
        let mut middle = vec![TokenId([0x7f; 32]), TokenId([0x80; 32])];
        middle[0].0[1..].fill(0xff);
        check_map(&dense);
        check_map(&powers);
        check_map(&middle);
        check_map(&[TokenId::MIN]);
        check_map(&[TokenId::MIN, TokenId::from(1), TokenId::MAX]);
        check_map(&[TokenId([0x55; 32]), TokenId::MAX]);
    }

    #[test]
    fn even_keys_are_interpolated_to_where_they_are() {
        let token = |i: u64| TokenId::from(1_000 + 3 * i);
        for i in 0..100 {
            let guess = interpolate(&token(0), &token(99), &token(i), 100);
            assert!(guess.abs_diff(i as usize) <= 1, "{guess} for {i}");
        }
        assert_eq!(interpolate(&token(5), &token(9), &token(0), 100), 0);
        assert_eq!(interpolate(&token(5), &token(9), &TokenId::MAX, 100), 100);
        assert_eq!(interpolate(&token(5), &token(5), &token(5), 0), 0);
    }

    #[test]
    fn dense_numbers_spread_over_all_buckets() {
        let tokens: Vec<_> = (1..=4_096).map(TokenId::from).collect();
        let map = BucketMap::new(4_096, &tokens[0], &tokens[4_095]);
        let mut counts = vec![0u32; map.buckets as usize];
        for token in &tokens {
            counts[map.place(token).bucket] += 1;
        }
        assert!(counts.iter().all(|&count| count <= 2 * BUCKET_RECORDS as u32), "{counts:?}");
    }

    #[test]
    fn entries_that_lie_are_clamped() {
        let entries: Vec<u8> = [5u32, 900, 3].iter().flat_map(|e| e.to_le_bytes()).collect();
        assert_eq!(bucket_range(&entries, 0, 100), (5, 100));
        assert_eq!(bucket_range(&entries, 1, 100), (100, 100));
        assert_eq!(bucket_range(&entries, 2, 100), (3, 100));
        assert_eq!(bucket_range(&entries, 7, 100), (100, 100));
    }
}
