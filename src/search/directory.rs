//! The prefix directory: where in the records a token must be.
//!
//! Ids are hashes more often than not, so a token's leading bits say where it lies
//! almost exactly. The directory maps them linearly onto *buckets* of one or two records,
//! sixty of which share a *line* of 64 bytes: the position at which the line begins, and,
//! in a byte each, how many records on each bucket ends. So one access to memory says
//! which few records a token can be among.
//!
//! Bits that the tokens share say nothing and are skipped, so that small numbers in 32
//! bytes spread as well as hashes do. A few tokens far from all others do not spoil that:
//! the map is of the others, and those few are in its first and its last bucket.
//!
//! Where keys crowd, a byte cannot count them; it then says 255, *or more*, and a bucket
//! ends where the next line begins. Such buckets are full of records, and the fence keys,
//! the tokens of every 128th record, find the right ones; see
//! [`Segment`](crate::Segment).

use crate::format::layout::{BUCKETS_PER_LINE, DIRECTORY_LINE_LEN};
use crate::format::segment::{BucketMap, shared_bits, span};
use crate::token::TokenId;

/// Where a token falls: a line of the directory, and the fraction of the line below it,
/// in 2^-64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Place {
    pub(crate) line: usize,
    fraction: u64,
}

impl Place {
    /// The bucket of the line, below 60.
    #[inline]
    pub(crate) fn bucket(self) -> usize {
        ((u128::from(self.fraction) * BUCKETS_PER_LINE as u128) >> 64) as usize
    }

    /// Where in a bucket of so many records to look first.
    #[inline]
    pub(crate) fn guess(self, records: usize) -> usize {
        let within = self.fraction.wrapping_mul(BUCKETS_PER_LINE as u64);
        ((u128::from(within) * records as u128) >> 64) as usize
    }
}

impl BucketMap {
    /// A map for about so many records between two tokens, both included, of which so many
    /// share a line on average.
    pub(crate) fn new(records: u64, line_records: u64, min: &TokenId, max: &TokenId) -> Self {
        Self::beyond(0, records, line_records, min, max)
    }

    /// A map for records most of which are between two tokens, and for as many in
    /// proportion as there are in `1 / parts` of that range to either side.
    pub(crate) fn beyond(
        parts: u64,
        records: u64,
        line_records: u64,
        min: &TokenId,
        max: &TokenId,
    ) -> Self {
        // Eight bits fewer, so that those to either side share them too, in all likelihood.
        let spare = if parts == 0 { 0 } else { 8 };
        let skip_bits = shared_bits(min, max).min(255).saturating_sub(spare);
        let (low, high) = span(min, skip_bits);
        let (base, end) = (window(min, skip_bits), window(max, skip_bits));
        let margin = end.saturating_sub(base).checked_div(parts).map_or(0, |part| part + 1);
        let base = base.saturating_sub(margin);
        let range = end.saturating_add(margin).saturating_sub(base);
        let lines = records.div_ceil(line_records).clamp(1, range.max(1));
        let scale = ((u128::from(lines) << 64) / (u128::from(range) + 1)).min(u128::from(u64::MAX));
        Self { skip_bits, low, high, base, scale: scale as u64, lines }
    }

    /// Whether a token has the bits that are skipped, so that its [`key`](Self::key) says
    /// where it stands.
    #[inline]
    pub(crate) fn covers(&self, token: &TokenId) -> bool {
        self.skip_bits == 0 || (self.low <= *token && *token <= self.high)
    }

    /// The eight bytes in which tokens from `low` to `high` differ first, as a number:
    /// its order is theirs, but for tokens that are equal there.
    #[inline]
    pub(crate) fn key(&self, token: &TokenId) -> u64 {
        let from = (self.skip_bits / 8).min(24) as usize;
        let bytes = token.0.get(from..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    /// Where a token falls; clamped for tokens outside the range of the map.
    ///
    /// Never descends from a token to a larger one, and the line is below `lines`.
    #[inline]
    pub(crate) fn place(&self, token: &TokenId) -> Place {
        if self.skip_bits > 0 {
            if *token < self.low {
                return Place { line: 0, fraction: 0 };
            }
            if *token > self.high {
                return Place { line: (self.lines - 1) as usize, fraction: u64::MAX };
            }
        }
        let offset = window(token, self.skip_bits).saturating_sub(self.base);
        let product = u128::from(offset) * u128::from(self.scale);
        let line = (product >> 64) as u64;
        if line < self.lines {
            Place { line: line as usize, fraction: product as u64 }
        } else {
            Place { line: (self.lines - 1) as usize, fraction: u64::MAX }
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

/// The 64 bits after the first `skip_bits`, zeros beyond the end.
#[inline]
pub(crate) fn window(token: &TokenId, skip_bits: u32) -> u64 {
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

/// A line of the directory, read from bytes that are not trusted, or being filled.
#[derive(Clone, Copy, bytemuck::TransparentWrapper)]
#[repr(transparent)]
pub(crate) struct Line([u8; DIRECTORY_LINE_LEN]);

/// Bytes of the position at which a line begins.
const START_LEN: usize = 4;

impl Line {
    /// From so many records of a line on, a byte cannot say where a bucket ends.
    pub(crate) const RECORDS_END: usize = u8::MAX as usize;

    /// The line of a number, if the directory has one.
    #[inline]
    pub(crate) fn read(directory: &[u8], line: usize) -> Option<&Self> {
        let at = line * DIRECTORY_LINE_LEN;
        let bytes: &[u8; DIRECTORY_LINE_LEN] =
            directory.get(at..at + DIRECTORY_LINE_LEN)?.first_chunk()?;
        Some(bytemuck::TransparentWrapper::wrap_ref(bytes))
    }

    /// A line that begins at a position and has no records yet.
    pub(crate) fn starting_at(position: usize) -> Self {
        let mut bytes = [0; DIRECTORY_LINE_LEN];
        bytes[..START_LEN].copy_from_slice(&(position as u32).to_le_bytes());
        Self(bytes)
    }

    /// Says that a line begins so many positions later.
    pub(crate) fn move_by(&mut self, records: usize) {
        let start = self.start() + records;
        self.0[..START_LEN].copy_from_slice(&(start as u32).to_le_bytes());
    }

    /// Says that a bucket, and so each one after it, ends after so many records of the
    /// line, or more than a byte can say.
    pub(crate) fn end_at(&mut self, bucket: usize, records: usize) {
        self.0[START_LEN + bucket..].fill(records.min(Self::RECORDS_END) as u8);
    }

    pub(crate) fn bytes(&self) -> &[u8; DIRECTORY_LINE_LEN] {
        &self.0
    }

    /// The position of the first record.
    #[inline]
    pub(crate) fn start(&self) -> usize {
        u32::from_le_bytes(*self.0.first_chunk::<START_LEN>().unwrap_or(&[0; START_LEN])) as usize
    }

    /// After how many records of the line a bucket ends; `None` if a byte cannot say.
    #[inline]
    fn end(&self, bucket: usize) -> Option<usize> {
        self.0.get(START_LEN + bucket).copied().filter(|&end| end < u8::MAX).map(usize::from)
    }

    /// Whether the ends of the buckets ascend to so many records, as far as bytes say.
    pub(crate) fn is_ascending(&self, records: usize) -> bool {
        let ends = &self.0[START_LEN..];
        ends.is_sorted()
            && usize::from(ends[BUCKETS_PER_LINE - 1]) == records.min(Self::RECORDS_END)
    }

    /// The positions at which a bucket begins and ends, clamped to `records`. `next`
    /// says where the next line begins, and is asked only if need be.
    #[inline]
    pub(crate) fn range(
        &self,
        bucket: usize,
        records: usize,
        next: impl FnOnce() -> usize,
    ) -> (usize, usize) {
        let line = self.start();
        let start = match bucket.checked_sub(1) {
            Some(before) => line + self.end(before).unwrap_or(Self::RECORDS_END),
            None => line,
        };
        let end = match self.end(bucket) {
            Some(end) => line + end,
            None => next(),
        };
        let start = start.min(records);
        (start, end.clamp(start, records))
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::layout::{FENCED_LINE_RECORDS, LINE_RECORDS};
    use crate::testing::keys::KeyFamily;

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
        // Between any two tokens; the others are at the ends of such a map.
        let [low, high] = [tokens.len() / 3, tokens.len() * 2 / 3].map(|at| &tokens[at]);
        for (records, parts, (min, max)) in [1, 7, 8, 64, 1_000, 1 << 20, (1 << 32) - 1]
            .into_iter()
            .flat_map(|records| [(records, 0, (min, max)), (records, 64, (low, high))])
        {
            let map = BucketMap::beyond(parts, records, LINE_RECORDS, min, max);
            assert!(map.lines >= 1 && map.lines <= records.div_ceil(LINE_RECORDS));
            let mut last = None;
            for token in [&TokenId::MIN].into_iter().chain(tokens).chain([&TokenId::MAX]) {
                let place = map.place(token);
                assert!((place.line as u64) < map.lines && place.bucket() < BUCKETS_PER_LINE);
                assert!(Some(place) >= last, "{token} falls before its predecessor");
                for records in [1, 8, 1_000] {
                    assert!(place.guess(records) < records);
                }
                last = Some(place);
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
        for family in KeyFamily::ALL {
            check_map(&family.generate(500, 1));
        }
    }

    #[test]
    fn a_span_is_all_tokens_with_the_same_leading_bits() {
        let token = TokenId([0x5a; 32]);
        assert_eq!(span(&token, 0), (TokenId::MIN, TokenId::MAX));
        assert_eq!(span(&token, 256), (token, token));
        let (low, high) = span(&token, 13);
        assert_eq!(
            (low.0[..3].to_vec(), high.0[..3].to_vec()),
            (vec![0x5a, 0x58, 0], vec![0x5a, 0x5f, 0xff])
        );
        for bits in 0..=256 {
            let (low, high) = span(&token, bits);
            assert!(low <= token && token <= high);
            assert!(bits == 256 || shared_bits(&low, &high) == bits, "{bits}");
        }
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
        let map = BucketMap::new(4_096, FENCED_LINE_RECORDS, &tokens[0], &tokens[4_095]);
        let mut counts = vec![[0; BUCKETS_PER_LINE]; map.lines as usize];
        for token in &tokens {
            let place = map.place(token);
            counts[place.line][place.bucket()] += 1;
        }
        assert!(counts.iter().flatten().all(|&count| (1..=3).contains(&count)), "{counts:?}");
    }

    #[test]
    fn buckets_of_a_line_join() {
        let mut line = Line::starting_at(1_000);
        line.end_at(3, 2);
        line.end_at(7, 5);
        line.end_at(59, 6);
        let read = *Line::read(line.bytes(), 0).unwrap();
        let mut position = 1_000;
        for bucket in 0..BUCKETS_PER_LINE {
            let (start, end) = read.range(bucket, 2_000, || unreachable!());
            assert_eq!(start, position);
            assert_eq!(
                end - start,
                [(3, 2), (7, 3), (59, 1)].iter().find(|at| at.0 == bucket).map_or(0, |at| at.1)
            );
            position = end;
        }
    }

    #[test]
    fn more_than_a_byte_can_say_ends_with_the_line() {
        let mut line = Line::starting_at(10);
        line.end_at(5, 3);
        line.end_at(6, 400);
        assert_eq!(line.range(5, 5_000, || unreachable!()), (10, 13));
        assert_eq!(line.range(6, 5_000, || 700), (13, 700));
        assert_eq!(line.range(7, 5_000, || 700), (265, 700));
        assert_eq!(line.range(59, 5_000, || 700), (265, 700));
    }

    /// Leaving ends as lines say was tried, and made this fail.
    #[test]
    fn lines_that_lie_are_clamped() {
        let mut line = Line::starting_at(900);
        line.end_at(0, 50);
        assert_eq!(line.range(0, 100, || 0), (100, 100));
        assert_eq!(line.range(0, 920, || 0), (900, 920));
        line.0[START_LEN..].fill(255);
        assert_eq!(line.range(1, 2_000, || 7), (1_155, 1_155));
        line.0[START_LEN] = 9;
        line.0[START_LEN + 1] = 3;
        assert_eq!(line.range(1, 2_000, || 7), (909, 909));
        assert!(Line::read(&line.0, 1).is_none());
    }

    /// Each half of this was left out, and made this fail.
    #[test]
    fn a_line_ascends_to_its_records() {
        let mut line = Line::starting_at(7);
        line.end_at(2, 3);
        line.end_at(9, 40);
        assert!(line.is_ascending(40) && !line.is_ascending(39) && !line.is_ascending(41));
        let mut down = line;
        down.0[START_LEN + 5] = 2;
        assert!(!down.is_ascending(40));
        line.end_at(59, 300);
        assert!(line.is_ascending(300) && line.is_ascending(255) && !line.is_ascending(254));
    }

    #[test]
    fn a_bucket_is_searched_first_where_the_token_falls() {
        for step in 0..600u64 {
            let place = Place { line: 0, fraction: u64::MAX / 1_200 * (2 * step + 1) };
            let part = (f64::from(step as u32) + 0.5) / 600.0 * BUCKETS_PER_LINE as f64;
            for records in [1usize, 10, 200] {
                let expected = part.fract() * records as f64;
                let guess = place.guess(records) as f64;
                assert!((guess - expected + 0.5).abs() < 0.51, "{guess} for {expected}");
            }
        }
    }

    /// Where tokens share bits, they are found by what differs.
    #[test]
    fn a_key_stands_for_the_tokens_that_are_covered() {
        let token = |byte: u8, last: u8| {
            let mut token = TokenId([0x5a; 32]);
            (token.0[4], token.0[12]) = (byte, last);
            token
        };
        let map = BucketMap::new(200, 8, &token(0x10, 0), &token(0x1f, 0));
        assert_eq!(map.skip_bits, 36);
        assert!(map.covers(&token(0x10, 0)) && map.covers(&map.low) && map.covers(&map.high));
        assert!(!map.covers(&token(0x0f, 0)) && !map.covers(&token(0x20, 0)));
        assert!(!map.covers(&TokenId::MIN) && !map.covers(&TokenId::MAX));
        assert_eq!(map.key(&token(0x12, 7)), 0x125a_5a5a_5a5a_5a5a);
        assert_eq!(map.key(&token(0x12, 7)), map.key(&token(0x12, 8)));
        let everything = BucketMap::new(200, 8, &TokenId::MIN, &TokenId::MAX);
        assert!(everything.covers(&TokenId::MIN) && everything.covers(&TokenId::MAX));
    }

    #[test]
    fn a_map_has_a_margin_to_either_side() {
        let number = |token: u64| {
            TokenId([token.to_be_bytes(), [0; 8], [0; 8], [0; 8]].concat()[..].try_into().unwrap())
        };
        let base =
            |parts, min, max| BucketMap::beyond(parts, 100, 8, &number(min), &number(max)).base;
        let (min, max) = (0x1234_0000_0000_0000, 0x8234_0000_0000_0000);
        assert_eq!(base(0, min, max), min);
        assert_eq!(base(64, min, max), min - (max - min) / 64 - 1);
        assert_eq!(base(64, 1, u64::MAX), 0);
    }
}
