//! Every read of a store, against the oracle and redb, over all key families.

use std::ops::Bound;

use proptest::prelude::*;
use ringstore::testing::keys::{KeyFamily, with_values};
use ringstore::testing::oracle::Oracle;
use ringstore::testing::random::Random;
use ringstore::{
    BlockTime, Leg, LoadOptions, Options, PeerId, ReDbTokens, Record, Result, Snapshot, Store,
    TokenId, TokenStorageBackend, chunks,
};
use tempfile::TempDir;

struct Sample {
    _directory: TempDir,
    snapshot: Snapshot,
    oracle: Oracle,
}

/// A store loaded with tokens in a random order.
fn sample(tokens: Vec<TokenId>, seed: u64) -> Sample {
    let directory = tempfile::tempdir().unwrap();
    let oracle: Oracle = with_values(tokens, seed).collect();
    let mut records: Vec<_> =
        oracle.tokens.iter().map(|(token, value)| Record::new(*token, *value)).collect();
    let mut random = Random::new("order", seed);
    for last in (1..records.len()).rev() {
        records.swap(last, random.below(last as u64 + 1) as usize);
    }
    let store = Store::create(directory.path().join("store"), &Options::new()).unwrap();
    store.bulk_load(records.into_iter().map(Ok), &LoadOptions::new()).unwrap();
    Sample { _directory: directory, snapshot: store.snapshot(), oracle }
}

fn before(token: &TokenId) -> TokenId {
    add(token, 0xff)
}

fn after(token: &TokenId) -> TokenId {
    add(token, 1)
}

/// Adds 1, or, with all bytes ff, subtracts it, around the ring.
fn add(token: &TokenId, step: u8) -> TokenId {
    let mut bytes = token.0;
    let mut carry = u16::from(step);
    for byte in bytes.iter_mut().rev() {
        carry += u16::from(*byte);
        *byte = carry as u8;
        carry = (carry >> 8) + if step == 0xff { 0xff } else { 0 };
    }
    TokenId(bytes)
}

/// Tokens at which something may go wrong: the ends of the ring, of the store, of
/// blocks of postings, tokens that are there, and their absent neighbours.
fn places(oracle: &Oracle, seed: u64) -> Vec<TokenId> {
    let tokens: Vec<_> = oracle.tokens.keys().copied().collect();
    let mut random = Random::new("places", seed);
    let mut places = vec![
        TokenId::MIN,
        TokenId::MAX,
        after(&TokenId::MIN),
        before(&TokenId::MAX),
        random.token(),
    ];
    let mut chosen: Vec<_> =
        tokens.iter().take(2).chain(tokens.iter().rev().take(2)).copied().collect();
    chosen.extend([32_767, 32_768, 32_769].iter().filter_map(|&position| tokens.get(position)));
    if !tokens.is_empty() {
        chosen.extend((0..8).map(|_| *random.pick(&tokens)));
    }
    for token in chosen {
        places.extend([before(&token), token, after(&token)]);
    }
    places
}

fn check(sample: &Sample, seed: u64) -> Result<()> {
    let Sample { snapshot, oracle, .. } = sample;
    assert_eq!(snapshot.len(), oracle.len());
    assert_eq!(snapshot.is_empty(), oracle.is_empty());
    assert!(snapshot.range(..).map(Result::unwrap).eq(oracle.range(..)));
    assert!(snapshot.range(..).rev().map(Result::unwrap).eq(oracle.range(..).rev()));
    for (token, value) in &oracle.tokens {
        assert_eq!(snapshot.get(token)?, Some(*value));
    }
    let places = places(oracle, seed);
    for token in &places {
        assert_eq!(snapshot.get(token)?, oracle.get(token), "{token}");
        assert_eq!(snapshot.contains(token)?, oracle.contains(token), "{token}");
        assert_eq!(snapshot.rank(token)?, oracle.rank(token), "{token}");
        let rank = oracle.rank(token);
        assert_eq!(snapshot.select(rank)?, oracle.select(rank));
        check_walks(sample, token)?;
    }
    assert_eq!(snapshot.select(oracle.len())?, None);
    assert_eq!(snapshot.select(u64::MAX)?, None);
    let mut random = Random::new("bounds", seed);
    for _ in 0..12 {
        check_bounds(sample, random.pick(&places), random.pick(&places))?;
    }
    Ok(())
}

fn check_bounds(sample: &Sample, a: &TokenId, b: &TokenId) -> Result<()> {
    let Sample { snapshot, oracle, .. } = sample;
    let ends =
        |token: &TokenId| [Bound::Unbounded, Bound::Included(*token), Bound::Excluded(*token)];
    for bounds in ends(a).into_iter().flat_map(|start| ends(b).map(|end| (start, end))) {
        let expected: Vec<_> = oracle.range(bounds).collect();
        assert_eq!(snapshot.count(bounds)?, expected.len() as u64, "{bounds:?}");
        let found: Vec<_> = snapshot.range(bounds).collect::<Result<_>>()?;
        assert_eq!(found, expected, "{bounds:?}");
        let mut found: Vec<_> = snapshot.range(bounds).rev().collect::<Result<_>>()?;
        found.reverse();
        assert_eq!(found, expected, "{bounds:?}");
        check_from_both_ends(snapshot, bounds, &expected)?;
        let slices: Vec<&[Record]> = snapshot.slices(bounds).collect::<Result<_>>()?;
        assert!(slices.iter().all(|slice| !slice.is_empty()));
        assert_eq!(pairs(&slices.concat()), expected, "{bounds:?}");
        let mut slices: Vec<&[Record]> = snapshot.slices(bounds).rev().collect::<Result<_>>()?;
        slices.reverse();
        assert_eq!(pairs(&slices.concat()), expected, "{bounds:?}");
    }
    Ok(())
}

fn pairs(records: &[Record]) -> Vec<(TokenId, BlockTime)> {
    records.iter().map(|record| (*record).into()).collect()
}

/// Takes from both ends in turns, skips, and folds what is left.
fn check_from_both_ends(
    snapshot: &Snapshot,
    bounds: (Bound<TokenId>, Bound<TokenId>),
    expected: &[(TokenId, BlockTime)],
) -> Result<()> {
    let mut range = snapshot.range(bounds);
    let mut expected = expected.iter().copied();
    for turn in 0..6 {
        assert_eq!(range.len(), expected.len());
        let (found, right) = match turn {
            0 | 3 => (range.next(), expected.next()),
            1 | 4 => (range.next_back(), expected.next_back()),
            2 => (range.nth(3), expected.nth(3)),
            _ => (range.nth_back(3), expected.nth_back(3)),
        };
        assert_eq!(found.transpose()?, right, "turn {turn}");
    }
    let rest: Vec<_> = expected.collect();
    let mut folded = Vec::new();
    let mut folded_back = Vec::new();
    let second = snapshot.range(bounds);
    range.for_each(|item| folded.push(item.unwrap()));
    second.rev().for_each(|item| folded_back.push(item.unwrap()));
    folded_back.reverse();
    assert_eq!(folded, rest);
    let all: Vec<_> = snapshot.range(bounds).collect::<Result<_>>()?;
    assert_eq!(folded_back, all);
    Ok(())
}

fn check_walks(sample: &Sample, origin: &TokenId) -> Result<()> {
    let Sample { snapshot, oracle, .. } = sample;
    let mut random = Random::new("suffixes", u64::from(origin.suffix()));
    let tokens: Vec<_> = oracle.tokens.keys().take(3_000).collect();
    let suffixes: Vec<u16> = (0..10)
        .map(|_| match tokens.as_slice() {
            [] => random.below(1_024) as u16,
            tokens => random.pick(tokens).suffix(),
        })
        .collect();
    let never = [suffixes[0], 1_024, suffixes[1]];
    for legs in [
        vec![],
        vec![Leg::up(&suffixes[..5]), Leg::down(&suffixes[5..])],
        vec![Leg::down(&suffixes)],
        vec![
            Leg::up(&suffixes[..1]),
            Leg::up(&[]),
            Leg::down(&suffixes[1..3]),
            Leg::up(&suffixes[3..]),
        ],
        vec![Leg::up(&never), Leg::down(&suffixes[..2])],
        vec![Leg::down(&[u16::MAX]), Leg::up(&[])],
    ] {
        assert_eq!(snapshot.walk(origin, &legs)?, oracle.walk(origin, &legs), "{origin} {legs:?}");
    }
    let peer = PeerId([3; 32]);
    let signed = snapshot.sign(origin, &peer)?;
    assert_eq!(signed, oracle.sign(origin, &peer), "{origin}");
    if let Some(signed) = signed {
        assert_eq!(signed.signature.check(&peer), Ok(()));
        assert_eq!(snapshot.check(&signed.signature, &peer)?, Ok(()));
        assert!(snapshot.check(&signed.signature, &PeerId([4; 32]))?.is_err());
    }
    let challenge = chunks(&peer, origin, &snapshot.get(origin)?.unwrap_or_default().block);
    assert_eq!(
        snapshot.search_signature(origin, &challenge)?,
        oracle.search_signature(origin, &challenge)
    );
    Ok(())
}

#[test]
fn stores_of_few_tokens() {
    for family in KeyFamily::ALL {
        for count in [0, 1, 9, 10, 11] {
            check(&sample(family.generate(count, 1), 1), 1).unwrap();
        }
    }
}

/// Comparing tokens outside of the directory's map by the bits that are compared within it was
/// tried, and made this fail.
#[test]
fn all_key_families() {
    for (seed, family) in (0..).zip(KeyFamily::ALL) {
        check(&sample(family.generate(3_000, seed), seed), seed).unwrap();
    }
}

/// Complete signatures need thousands of tokens; walks pass borders of blocks.
#[test]
fn several_blocks_of_postings() {
    for family in [KeyFamily::Uniform, KeyFamily::Edges, KeyFamily::Dense64, KeyFamily::OneSuffix] {
        check(&sample(family.generate(70_000, 2), 2), 2).unwrap();
    }
}

#[test]
fn ten_tokens_of_the_right_suffixes_are_a_signature() {
    // Nine others around T, in the order of the chunks, and one that is missing.
    let peer = PeerId([3; 32]);
    let origin = TokenId::from(1 << 40);
    let value = BlockTime::new(7.into(), 1);
    let chunks = chunks(&peer, &origin, &value.block);
    let met = |i: usize| {
        let distance = 4_096 * (i as u64 % 5 + 1);
        let base = if i < 5 { (1 << 40) + distance } else { (1 << 40) - distance };
        TokenId::from(base / 1_024 * 1_024 + u64::from(chunks[i]))
    };
    for missing in [None, Some(0), Some(4), Some(9)] {
        let directory = tempfile::tempdir().unwrap();
        let tokens = (0..10).filter(|i| Some(*i) != missing).map(met).chain([origin]);
        let oracle: Oracle = tokens.map(|token| (token, value)).collect();
        let store = Store::create(directory.path(), &Options::new()).unwrap();
        let records = oracle.tokens.iter().map(|(token, value)| Ok(Record::new(*token, *value)));
        store.bulk_load(records, &LoadOptions::new()).unwrap();
        let signed = store.snapshot().sign(&origin, &peer).unwrap();
        assert_eq!(signed, oracle.sign(&origin, &peer));
        assert_eq!(signed.is_some(), missing.is_none());
    }
}

#[test]
fn redb_gives_the_same_answers() -> Result<()> {
    for (seed, family) in (0..).zip(KeyFamily::ALL) {
        let sample = sample(family.generate(20_000, seed), seed);
        let directory = tempfile::tempdir().unwrap();
        let mut redb = ReDbTokens::create(directory.path().join("redb"))?;
        redb.load_sorted(sample.oracle.range(..))?;
        let peer = PeerId([9; 32]);
        for token in places(&sample.oracle, seed) {
            assert_eq!(sample.snapshot.get(&token)?, redb.lookup(&token)?);
            assert_eq!(sample.snapshot.sign(&token, &peer)?, redb.sign(&token, &peer)?);
            let up = sample.snapshot.range((Bound::Excluded(token), Bound::Unbounded)).take(100);
            assert!(
                up.map(Result::unwrap).eq(redb.range_after(&token)?.take(100).map(Result::unwrap))
            );
            let down = sample.snapshot.range(..token).rev().take(100);
            assert!(
                down.map(Result::unwrap)
                    .eq(redb.range_before(&token)?.take(100).map(Result::unwrap))
            );
        }
    }
    Ok(())
}

#[test]
fn iterators_outlive_the_store_and_cross_threads() {
    let sample = sample(KeyFamily::Uniform.generate(1_000, 1), 1);
    let range = sample.snapshot.range(..);
    let Sample { _directory: directory, snapshot, oracle } = sample;
    drop((snapshot, directory));
    let found =
        std::thread::spawn(move || range.collect::<Result<Vec<_>>>().unwrap()).join().unwrap();
    assert!(found.into_iter().eq(oracle.range(..)));
}

#[test]
fn store_and_snapshot_go_to_any_thread() {
    fn shareable<T: Clone + Send + Sync + 'static>() {}
    shareable::<Store>();
    shareable::<Snapshot>();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn any_mixture_of_families(
        parts in prop::collection::vec((0usize..KeyFamily::ALL.len(), 0usize..400, any::<u64>()), 0..4),
        seed in any::<u64>(),
    ) {
        let mut tokens: Vec<_> = parts
            .iter()
            .flat_map(|&(family, count, seed)| KeyFamily::ALL[family].generate(count, seed))
            .collect();
        tokens.sort_unstable();
        tokens.dedup();
        check(&sample(tokens, seed), seed).unwrap();
    }
}
