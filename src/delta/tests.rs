//! The writer's side of the delta: what it says of a token is what was done to it, and what
//! it comes to is as little as can be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::merge::{OverBase, merge_range};
use super::part::{Part, newest};
use super::*;
use crate::testing::keys::KeyFamily;
use crate::testing::random::Random;
use crate::token::BlockTime;

fn record(token: TokenId, time: u64) -> Record {
    Record::new(token, BlockTime::new(time.into(), time))
}

/// An entry over nothing.
fn entry(record: Record, kind: Kind) -> Entry {
    Entry { record, kind, base_position: 0 }
}

/// A layer of fresh entries, if there are any.
pub(super) fn layer_of(tokens: &[TokenId], time: u64) -> Option<Arc<Layer>> {
    let entries: Vec<_> =
        tokens.iter().map(|token| entry(record(*token, time), Kind::Fresh)).collect();
    memory_layer(&entries).unwrap().map(Arc::new)
}

/// A layer of fifty fresh entries, others for each number.
pub(super) fn some_layer(number: u64) -> Arc<Layer> {
    layer_of(&KeyFamily::Uniform.generate(50, number), number).unwrap()
}

/// Nothing above a layer of fresh entries.
fn delta_over(tokens: &[TokenId]) -> Delta {
    Delta::new(Layers::new(layer_of(tokens, 0).into_iter().collect()).unwrap())
}

/// What a token maps to.
fn look_up(delta: &Delta, token: &TokenId) -> LookedUp {
    delta.look_up(token, look_below(delta.base(), token).unwrap()).unwrap()
}

/// Puts or removes, as a commit of one operation does.
fn change(delta: &mut Delta, token: TokenId, value: Option<u64>) {
    let before = look_up(delta, &token);
    let kind = match (before.value, value) {
        (None, None) => return,
        (None, Some(_)) => Kind::Fresh,
        (Some(_), Some(_)) => Kind::Update,
        (Some(_), None) => Kind::Tombstone,
    };
    let record = value.map_or(Record::new(token, BlockTime::default()), |time| record(token, time));
    let base_position = before.base_position;
    assert_eq!(delta.apply(&Entry { record, kind, base_position }), Ok(()));
}

/// What each token maps to.
type Model = BTreeMap<TokenId, u64>;

fn change_both(delta: &mut Delta, model: &mut Model, token: TokenId, value: Option<u64>) {
    change(delta, token, value);
    match value {
        Some(time) => model.insert(token, time),
        None => model.remove(&token),
    };
}

fn check(delta: &Delta, model: &Model, tokens: &[TokenId]) {
    for token in tokens {
        let expected = model.get(token).map(|time| record(*token, *time).value());
        assert_eq!(look_up(delta, token).value, expected, "{token}");
    }
}

/// What readers see when nothing is left to be merged.
fn frozen(delta: &mut Delta) -> Vec<Part> {
    delta.freeze();
    delta.merge_all().unwrap();
    delta.freeze()
}

#[test]
fn what_was_done_to_a_token_is_what_is_said_of_it() {
    for family in KeyFamily::ALL {
        let tokens = family.generate(6_000, 1);
        let below: Vec<_> = tokens.iter().copied().step_by(3).collect();
        let mut delta = delta_over(&below);
        let mut model: Model = below.into_iter().map(|token| (token, 0)).collect();
        let below = model.clone();
        let mut random = Random::new("delta", 1);
        let mut parts_max = 0;
        for time in 1..12_000 {
            let token = *random.pick(&tokens);
            let value = (random.below(3) > 0).then_some(time);
            change_both(&mut delta, &mut model, token, value);
            if time % 37 == 0 {
                parts_max = parts_max.max(frozen(&mut delta).len());
            }
        }
        assert!(parts_max >= 2 || tokens.len() < 5_000, "{parts_max} parts");
        check(&delta, &model, &tokens);
        // What all of it comes to: one entry a token, and none where nothing changed but
        // back.
        let expected: Vec<_> = tokens
            .iter()
            .filter_map(|token| match (below.get(token), model.get(token)) {
                (None, Some(time)) => Some((record(*token, *time), Kind::Fresh)),
                (Some(_), Some(0)) | (None, None) => None,
                (Some(_), Some(time)) => Some((record(*token, *time), Kind::Update)),
                (Some(_), None) => {
                    Some((Record::new(*token, BlockTime::default()), Kind::Tombstone))
                }
            })
            .collect();
        let entries = delta.entries().unwrap();
        for entry in &entries {
            let position = delta.base().find(&entry.record.token).unwrap().position;
            assert_eq!(entry.base_position, position, "{family:?}");
        }
        let entries = entries.into_iter().map(|entry| (entry.record, entry.kind));
        assert!(entries.eq(expected), "{family:?}");
        let parts = frozen(&mut delta);
        for token in &tokens {
            let found =
                newest(&parts, token, look_below(delta.base(), token).unwrap().base_position)
                    .unwrap()
                    .map(|(record, kind)| (*record, kind));
            let value =
                found.map(|(record, kind)| (kind != Kind::Tombstone).then(|| record.time()));
            let value = value.unwrap_or(below.get(token).copied());
            assert_eq!(value, model.get(token).copied(), "{family:?} {token}");
        }
    }
}

/// A token that is put and removed forever leaves nothing.
#[test]
fn what_is_undone_leaves_nothing() {
    let token = TokenId::from(7);
    let mut delta = delta_over(&[]);
    for time in 0..10_000 {
        change(&mut delta, token, Some(time));
        change(&mut delta, token, None);
        assert!(delta.is_empty());
    }
    assert!(frozen(&mut delta).is_empty());
    // Where it was spilled in between, too.
    let mut tokens = KeyFamily::Uniform.generate(3_000, 1);
    tokens.sort_unstable();
    for token in &tokens {
        change(&mut delta, *token, Some(1));
    }
    assert!(matches!(frozen(&mut delta).as_slice(), [Part::Layer(..)]));
    for token in &tokens {
        change(&mut delta, *token, None);
    }
    assert!(frozen(&mut delta).is_empty() && delta.is_empty());
}

/// However many entries there are, they are in few parts, and an image is small.
#[test]
fn parts_are_few() {
    let tokens = KeyFamily::Uniform.generate(60_000, 3);
    let mut shuffled = tokens.clone();
    let mut random = Random::new("parts", 1);
    for last in (1..shuffled.len()).rev() {
        shuffled.swap(last, random.below(last as u64 + 1) as usize);
    }
    let mut delta = delta_over(&[]);
    for (count, token) in shuffled.into_iter().enumerate() {
        change(&mut delta, token, Some(1));
        if count % 6 == 0 {
            let parts = frozen(&mut delta);
            assert!(parts.len() <= 4, "{} parts", parts.len());
            let image = parts.iter().find(|part| matches!(part, Part::Image(..)));
            assert!(image.is_none_or(|image| image.len() <= IMAGE_ENTRIES));
        }
    }
    assert_eq!(delta.len(), tokens.len());
}

/// A merge takes its time: what is written, frozen and removed meanwhile stays as it is.
#[test]
fn others_write_while_parts_are_merged() {
    for family in KeyFamily::ALL {
        let tokens = family.generate(9_000, 1);
        let mut delta = delta_over(&tokens[..tokens.len() / 3]);
        let mut model: Model = tokens[..tokens.len() / 3].iter().map(|token| (*token, 0)).collect();
        let mut random = Random::new("merging", 1);
        let mut merging: Option<(Merge, Option<Part>)> = None;
        let mut images_max = 0;
        for time in 1..30_000 {
            let token = *random.pick(&tokens);
            let value = (random.below(3) > 0).then_some(time);
            change_both(&mut delta, &mut model, token, value);
            if time % 50 == 0 {
                let parts = delta.freeze();
                let is_image = |part: &&Part| matches!(part, Part::Image(..));
                images_max = images_max.max(parts.iter().filter(is_image).count());
            }
            if random.below(3_000) == 0 {
                if let Some((merge, merged)) = merging.take() {
                    delta.install(&merge, merged);
                }
                merging = delta.to_merge().map(|merge| {
                    let merged = merge.run().unwrap();
                    (merge, merged)
                });
            }
        }
        assert!(images_max > 2 || tokens.len() < 5_000, "{family:?}: {images_max} images");
        check(&delta, &model, &tokens);
    }
}

/// What was merged for a delta that is no more is forgotten.
/// What was not flushed lies above a new base where its tokens are in that one.
///
/// Leaving entries of the map, or parts, where they were above the old one was tried, and made
/// this fail.
#[test]
fn entries_find_their_places_above_a_new_base() {
    let all = KeyFamily::Uniform.generate(300, 1);
    let [below, above] = [0, 1].map(|n| all.iter().copied().skip(n).step_by(3).collect::<Vec<_>>());
    let [upper, base] = [&above, &below].map(|tokens| layer_of(tokens, 0).unwrap());
    let layers = Layers::new(vec![Arc::clone(&upper), base]).unwrap();
    let mut delta = Delta::new(layers.clone());
    let mut model: Model = above.iter().chain(&below).map(|token| (*token, 0)).collect();
    let mut write = |delta: &mut Delta, seed: usize| {
        for (token, index) in all.iter().skip(seed).step_by(7).zip(0..) {
            change_both(delta, &mut model, *token, (index % 3 > 0).then_some(1 + index));
        }
    };
    write(&mut delta, 0);
    // As if it had outgrown the map.
    delta.older = vec![delta.image()];
    delta.newest.clear();
    write(&mut delta, 3);
    let tokens: BTreeSet<_> = above.iter().chain(&below).copied().collect();
    let made = layer_of(&tokens.into_iter().collect::<Vec<_>>(), 0).unwrap();
    let inputs = compaction::Inputs::new(&layers, &[], 0..2);
    let made = compaction::Made { layer: Some(made), ..inputs.made(None, &[]) };
    delta.exchange(&Exchange::new(layers, &made).unwrap(), false).unwrap();
    for entry in delta.newest_entries() {
        let position = delta.base().find(&entry.record.token).unwrap().position;
        assert_eq!(entry.base_position, position);
    }
    check(&delta, &model, &all);
    let parts = delta.freeze();
    assert_eq!(parts.len(), 2);
    for part in &parts {
        let outline = part.outline().unwrap();
        for position in 0..part.len() {
            let token = part.record(position).unwrap().unwrap().token;
            let found = delta.base().find(&token).unwrap();
            assert_eq!(outline.base_position(position), Some(found.position));
        }
    }
}

#[test]
fn a_merge_that_comes_too_late_does_nothing() {
    let mut delta = delta_over(&[]);
    for token in KeyFamily::Uniform.generate(IMAGE_ENTRIES + 1, 1) {
        change(&mut delta, token, Some(1));
    }
    delta.freeze();
    let merge = delta.to_merge().unwrap();
    let merged = merge.run().unwrap();
    let mut other = delta_over(&[]);
    other.install(&merge, merged.clone());
    assert!(other.is_empty());
    delta.install(&merge, merged.clone());
    let len = delta.len();
    delta.install(&merge, merged);
    assert_eq!(delta.len(), len);
    assert!(delta.to_merge().is_none());
}

#[test]
fn entries_that_cannot_follow_one_another_are_refused() {
    let token = TokenId::from(7);
    let mut delta = delta_over(&[]);
    assert_eq!(delta.apply(&entry(record(token, 1), Kind::Fresh)), Ok(()));
    assert_eq!(delta.apply(&entry(record(token, 2), Kind::Fresh)), Err(Impossible));
    let older = memory_layer(&[entry(record(token, 1), Kind::Tombstone)]).unwrap().unwrap();
    let newer = memory_layer(&[entry(record(token, 2), Kind::Update)]).unwrap().unwrap();
    let parts = [newer, older].map(|layer| Part::Layer(Arc::new(layer), None));
    let merged = merged(delta.base(), &parts);
    assert!(matches!(merged, Err(crate::error::Error::Damaged(_))));
}

/// What parts come to in ranges of about so many records, with the base below or not; and how
/// many records and entries the ranges have.
fn merged_in_ranges(
    base: &Layer,
    parts: &[Part],
    takes_base: bool,
    records: usize,
) -> (Vec<(Record, Kind)>, usize) {
    let (mut merged, mut all) = (Vec::new(), 0);
    for range in ranges::cut(takes_base.then_some(base), parts, records).unwrap() {
        all += range.base.len() + range.parts.iter().map(Range::len).sum::<usize>();
        let mut over = OverBase::new(base, parts, range.base.clone());
        let mut visit = |record: &Record| {
            merged.push((*record, Kind::Fresh));
            Ok(())
        };
        if takes_base {
            let mut push = |entry, sources| over.push(&entry, sources, &mut visit);
            merge_range(base, parts, &range, &mut push).unwrap();
            over.finish(&mut visit).unwrap();
        } else {
            let mut push = |entry: Entry, _| {
                merged.push((entry.record, entry.kind));
                Ok(())
            };
            merge_range(base, parts, &range, &mut push).unwrap();
        }
    }
    (merged, all)
}

/// What all come to, they come to range by range, be that one of a few records.
#[test]
fn ranges_come_to_what_all_come_to() {
    for family in KeyFamily::ALL {
        let tokens = family.generate(3_000, 1);
        let below: Vec<_> = tokens.iter().copied().step_by(2).collect();
        let mut delta = delta_over(&below);
        let mut model: Model = below.into_iter().map(|token| (token, 0)).collect();
        let mut random = Random::new("ranges", 1);
        for time in 1..4_000 {
            let value = (random.below(3) > 0).then_some(time);
            change_both(&mut delta, &mut model, *random.pick(&tokens), value);
            if time % 500 == 0 {
                delta.freeze();
            }
        }
        let (base, parts) = (Arc::clone(delta.base()), delta.freeze());
        assert!(parts.len() > 1 || tokens.len() < 1_000, "{family:?}");
        for takes_base in [true, false] {
            let whole = merged_in_ranges(&base, &parts, takes_base, usize::MAX);
            for records in [1, 2, 7, 100, 2_000] {
                let merged = merged_in_ranges(&base, &parts, takes_base, records);
                assert!(merged == whole, "{family:?} {records}");
            }
            let expected = model.iter().map(|(token, time)| record(*token, *time));
            let found = whole.0.into_iter().map(|(record, _)| record);
            assert!(!takes_base || found.eq(expected), "{family:?}");
        }
    }
}

/// However tokens are spread, what one thread holds in memory at a time is bounded.
#[test]
fn no_range_is_much_larger_than_asked_for() {
    use super::ranges::cut;
    // A base of random tokens, and a layer of 64-bit ids, all of which are before the base's first.
    let base = layer_of(&KeyFamily::Uniform.generate(200_000, 1), 0).unwrap();
    let ids: Vec<_> = (0..199_000_u64).map(TokenId::from).collect();
    let upper = Part::Layer(layer_of(&ids, 1).unwrap(), None);
    let ranges = cut(Some(&base), &[upper], 1_000).unwrap();
    let lens = ranges.iter().map(|range| range.base.len() + range.parts[0].len());
    let largest = lens.max().unwrap();
    assert!(largest <= 10_000, "{largest} records in one of {} ranges", ranges.len());
    let fewest = 399;
    assert!(ranges.len() <= 4 * fewest, "{} ranges", ranges.len());
}

/// All parts' ranges together are all of them, in order, whatever they hold.
#[test]
fn ranges_are_all_there_is() {
    use super::ranges::{TokenRange, cut};
    let mut random = Random::new("ranges", 1);
    let edge = |byte| TokenId([byte; 32]);
    for family in KeyFamily::ALL {
        for parts in 0..4 {
            let mut all = family.generate(3_000, 1);
            all.extend([edge(0), edge(255)]);
            all.sort();
            all.dedup();
            let layer = |random: &mut Random, share: u64| {
                let entries: Vec<_> = all
                    .iter()
                    .filter(|_| random.below(share) == 0)
                    .map(|token| entry(record(*token, 0), Kind::Fresh))
                    .collect();
                memory_layer(&entries).unwrap().unwrap_or_default()
            };
            let base = layer(&mut random, 2);
            let parts: Vec<_> = (0..parts)
                .map(|n| Part::Layer(Arc::new(layer(&mut random, 1 + 20 * n)), None))
                .collect();
            for records in [1, 7, 100, 100_000] {
                for base in [None, Some(&base)] {
                    let ranges = cut(base, &parts, records).unwrap();
                    let whole = TokenRange::all(base, &parts);
                    let mut at = TokenRange::all(base, &parts);
                    at.base.end = 0;
                    at.parts.iter_mut().for_each(|part| part.end = 0);
                    let mut last: Option<TokenId> = None;
                    for range in &ranges {
                        assert_eq!(range.base.start, at.base.end);
                        at.base.end = range.base.end;
                        let mut tokens = Vec::new();
                        if let Some(base) = base {
                            tokens.extend(
                                range.base.clone().map(|p| base.record(p).unwrap().unwrap().token),
                            );
                        }
                        for (n, part) in range.parts.iter().enumerate() {
                            assert_eq!(part.start, at.parts[n].end);
                            at.parts[n].end = part.end;
                            tokens.extend(
                                part.clone().map(|p| parts[n].record(p).unwrap().unwrap().token),
                            );
                        }
                        if let (Some(last), Some(min)) = (last, tokens.iter().min()) {
                            assert!(last < *min);
                        }
                        last = tokens.iter().max().copied().or(last);
                    }
                    assert!(at == whole, "{family:?}");
                }
            }
        }
    }
}
