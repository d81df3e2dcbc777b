//! Bytes that were never written like this give errors or wrong answers, nothing else.

use std::path::Path;
use std::sync::Arc;

use super::segments::{bytes_of, in_memory};
use crate::challenge::Leg;
use crate::delta::filter::Filter;
use crate::delta::image::Image;
use crate::delta::outline::Outline;
use crate::delta::part::Part;
use crate::format::PAGE_LEN;
use crate::format::kinds::Kind;
use crate::io::map::Bytes;
use crate::options::Verification;
use crate::segment::layer::Layer;
use crate::segment::reader::Segment;
use crate::snapshot::Snapshot;
use crate::snapshot::view::View;
use crate::testing::keys::{KeyFamily, with_values};
use crate::testing::random::Random;
use crate::token::{PeerId, Record, TokenId};

/// Reads in every way; each ends, and gives no more than there are entries.
fn read_all(snapshot: &Snapshot, tokens: &[TokenId]) {
    let parts = &snapshot.view().parts;
    let entries = snapshot.view().base().len() + parts.iter().map(Part::len).sum::<usize>();
    assert!(snapshot.len() <= entries as u64);
    let mut random = Random::new("reads", entries as u64);
    let _ = snapshot.get_many(tokens, &mut Vec::new());
    let challenges: Vec<_> = tokens.iter().map(|token| (*token, PeerId([5; 32]))).collect();
    let _ = snapshot.sign_many(&challenges, &mut Vec::new());
    let suffixes: [u16; 3] = std::array::from_fn(|_| random.pick(tokens).suffix());
    let legs = [Leg::up(&suffixes), Leg::down(&suffixes)];
    let origins: Vec<_> = tokens.iter().map(|token| (*token, &legs[..])).collect();
    let _ = snapshot.walk_many(&origins, &mut Vec::new());
    for token in tokens {
        let _ = snapshot.get(token);
        assert!(snapshot.rank(token).map_or(true, |rank| rank <= snapshot.len()));
        let _ = snapshot.select(random.below(snapshot.len() + 1));
        let _ = snapshot.sign(token, &PeerId([5; 32]));
        let suffixes: [u16; 4] = std::array::from_fn(|_| random.pick(tokens).suffix());
        let _ = snapshot.walk(token, &[Leg::up(&suffixes[..3]), Leg::down(&suffixes)]);
        let (start, end) = (*random.pick(tokens), *random.pick(tokens));
        let _ = snapshot.count(start..end);
        for bounds in [start.min(end)..start.max(end), start..end, TokenId::MIN..TokenId::MAX] {
            let range = || snapshot.range(bounds.clone());
            assert!(range().len() <= entries + 1);
            assert!(range().count() <= entries + 1);
            let mut count = 0;
            range().for_each(|_| count += 1);
            range().rev().for_each(|_| count += 1);
            assert!(count <= 2 * entries + 2);
            let mut range = range();
            let mut taken = 0;
            while let Some(_item) = match random.below(4) {
                0 => range.next(),
                1 => range.next_back(),
                2 => range.nth(random.below(300) as usize),
                _ => range.nth_back(random.below(3) as usize),
            } {
                taken += 1;
                assert!(taken <= entries + 1);
            }
            let slices = || snapshot.slices(bounds.clone());
            assert!(slices().flatten().map(<[Record]>::len).sum::<usize>() <= entries);
            assert!(slices().rev().flatten().map(<[Record]>::len).sum::<usize>() <= entries);
        }
    }
}

fn entries(tokens: &[TokenId], random: &mut Random) -> Vec<(Record, Kind)> {
    let kinds = [Kind::Fresh, Kind::Update, Kind::Tombstone];
    let some: Vec<_> = tokens.iter().copied().filter(|_| random.below(3) > 0).collect();
    with_values(some, 1).map(|pair| (Record::from(pair), *random.pick(&kinds))).collect()
}

/// A filter that was told of some entries only.
fn filter(parts: &[Vec<(Record, Kind)>], base: &Layer, random: &mut Random) -> Arc<Filter> {
    let filter = Filter::new(base.len());
    for (record, _) in parts.iter().flatten().filter(|_| random.below(3) > 0) {
        let position = base.find(&record.token).map_or(0, |found| found.position);
        filter.insert(record.token.suffix(), position);
    }
    Arc::new(filter)
}

/// No outline, or one of other entries.
fn outline(list: &[(Record, Kind)], base: &Layer, random: &mut Random) -> Option<Arc<Outline>> {
    let kinds = [Kind::Fresh, Kind::Update, Kind::Tombstone];
    let others = list.iter().map(|(record, _)| {
        let position = random.below(2 * base.len() as u64) as usize;
        (position, record.token.suffix(), *random.pick(&kinds))
    });
    let others: Vec<_> = others.collect();
    let outline = Outline::new(base.len(), others.into_iter());
    outline.filter(|_| random.below(2) == 0).map(Arc::new)
}

fn base_entries(tokens: &[TokenId]) -> Vec<(Record, Kind)> {
    let pairs = with_values(tokens.iter().copied().step_by(2), 1);
    pairs.map(|pair| (Record::from(pair), Kind::Fresh)).collect()
}

/// A layer in whose bytes some bits were flipped; of no segment, if that cannot be opened.
fn damaged(entries: &[(Record, Kind)], verification: Verification, random: &mut Random) -> Layer {
    let mut bytes = bytes_of(entries);
    // Behind the header, which is always checked, as are the checksums' checksums.
    for _ in 0..1 << random.below(10) {
        let at = PAGE_LEN + random.below((bytes.len() - PAGE_LEN) as u64) as usize;
        bytes[at] ^= 1 << random.below(8);
    }
    let opened = Segment::open(Bytes::Owned(bytes), Path::new("damaged"), verification);
    Layer::new(opened.into_iter().collect())
}

#[test]
fn kinds_that_are_not_so() {
    for family in KeyFamily::ALL {
        for seed in 0..4 {
            let mut random = Random::new("kinds", seed);
            let tokens = family.generate(40 + 200 * (seed as usize / 3), seed);
            let base = Arc::new(Layer::new(vec![in_memory(&base_entries(&tokens))]));
            let lists = [(); 3].map(|()| entries(&tokens, &mut random));
            let filter = filter(&lists, &base, &mut random);
            let parts = lists.map(|list| {
                let outline = outline(&list, &base, &mut random);
                if random.below(2) == 0 {
                    Part::Image(Arc::new(Image::new(list.into_iter())), outline)
                } else {
                    let segments = list.chunks(30).map(in_memory).collect();
                    Part::Layer(Arc::new(Layer::new(segments)), outline)
                }
            });
            let view = View::of_parts(base, parts.into(), &[], filter).unwrap();
            read_all(&Snapshot::new(Arc::new(view)), &tokens[..tokens.len().min(20)]);
        }
    }
}

#[test]
fn bytes_that_are_not_what_was_written() {
    for family in KeyFamily::ALL {
        for seed in 0..12 {
            let mut random = Random::new("bytes", seed);
            let tokens = family.generate(60, seed);
            let verification = [Verification::Never, Verification::FirstTouch][seed as usize % 2];
            let base = base_entries(&tokens);
            let base = if random.below(2) == 0 {
                Arc::new(damaged(&base, verification, &mut random))
            } else {
                Arc::new(Layer::new(vec![in_memory(&base)]))
            };
            let lists = [(); 2].map(|()| entries(&tokens, &mut random));
            let filter = filter(&lists, &base, &mut random);
            let parts = lists.map(|list| {
                let outline = outline(&list, &base, &mut random);
                Part::Layer(Arc::new(damaged(&list, verification, &mut random)), outline)
            });
            if let Ok(view) = View::of_parts(base, parts.into(), &[], filter) {
                read_all(&Snapshot::new(Arc::new(view)), &tokens[..20]);
            }
        }
    }
}
