//! Tokens that the directory's map leaves out, in reach of buckets of others.
//!
//! Where a byte of a line says "255 or more", a bucket reaches as far as the next line
//! begins, or begins no later than 255 records into its own: among its records may then
//! be tokens that do not have the bits that the map skips. All three were wrong once.

use super::tests::{build_within, check, fresh, mixed, open};
use crate::format::layout::{BUCKETS_PER_LINE, FENCED_LINE_RECORDS, LINE_RECORDS};
use crate::format::segment::BucketMap;
use crate::token::TokenId;

const COUNT: usize = 20_000;

/// The smallest id from which on tokens are in a bucket, counted from the first line on.
fn first_of(map: &BucketMap, bucket: u64, token: impl Fn(u64) -> TokenId) -> u64 {
    let (mut low, mut high) = (0, 1 << 60);
    while low < high {
        let middle = low + (high - low) / 2;
        let place = map.place(&token(middle));
        if place.line as u64 * BUCKETS_PER_LINE as u64 + (place.bucket() as u64) < bucket {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[test]
fn behind_a_line_that_is_full() {
    let others = 254 + 1 + 2;
    let body = |i: usize| TokenId::from((1 << 50) + ((i as u64) << 20));
    let few = COUNT / 66;
    let map = BucketMap::beyond(64, COUNT as u64, LINE_RECORDS, &body(few), &body(COUNT - 1 - few));
    let last_line = (map.lines - 1) * BUCKETS_PER_LINE as u64;
    let mut tokens: Vec<_> = (0..COUNT - others).map(body).collect();
    for (bucket, count) in [(1, 64), (2, 64), (3, 63), (4, 63), (30, 1)] {
        let first = first_of(&map, last_line + bucket, TokenId::from);
        tokens.extend((1..=count).map(|i| TokenId::from(first + i)));
    }
    for last in [0, 1] {
        let mut token = TokenId::from(last);
        token.0[0] = 0xff;
        tokens.push(token);
    }
    let bounds = (tokens[0], tokens[COUNT - 1]);
    let segment = open(build_within(bounds, &tokens, fresh, 0)).unwrap();
    assert_eq!((segment.header.map, segment.header.has_fences), (map, false));
    check(&segment, &tokens, fresh);
}

#[test]
fn before_a_bucket_that_no_byte_begins() {
    let high = |id: u64| {
        let mut token = TokenId::from(id);
        token.0[0] = 0x80;
        token
    };
    let body = |i: usize| high((1 << 50) + (1 << 40) + ((i as u64) << 20));
    let few = COUNT / 66;
    let (low, most) = (body(few - 258), body(COUNT - 1 - few - 258));
    let map = BucketMap::beyond(64, COUNT as u64, FENCED_LINE_RECORDS, &low, &most);
    let mut tokens: Vec<_> = (0..257u64)
        .map(|i| {
            let mut token = TokenId::MAX;
            token.0[..9].copy_from_slice(&[&[0][..], &i.to_be_bytes()].concat());
            token
        })
        .collect();
    tokens.push(high(first_of(&map, 1, high) + 1));
    tokens.extend((0..COUNT - 258).map(body));
    let bounds = (tokens[0], tokens[COUNT - 1]);
    let segment = open(build_within(bounds, &tokens, fresh, 0)).unwrap();
    assert_eq!((segment.header.map, segment.header.has_fences), (map, true));
    check(&segment, &tokens, fresh);
}

/// Bounds that promise less room for lines than the tokens would take.
#[test]
fn within_bounds_across_a_power_of_two() {
    let mut bounds = (TokenId([0xff; 32]), TokenId::MIN);
    bounds.0.0[0] = 0x7f;
    (bounds.1.0[0], bounds.1.0[8]) = (0x80, 0x7f);
    for count in [200u64, 5_000, 100_000] {
        let token = |i: u64| {
            let mut token = TokenId::MIN;
            token.0[0] = 0x80;
            token.0[8..16].copy_from_slice(&(0x7f00_0000_0000_0000 / count * i).to_be_bytes());
            token
        };
        let tokens: Vec<_> = (0..count).map(token).collect();
        for spare in [1, 1_000_000] {
            let segment = open(build_within(bounds, &tokens, mixed, spare)).unwrap();
            check(&segment, &tokens, mixed);
        }
    }
}
