//! Parts above a base answer as what they come to does.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::reads::Reads;
use super::segments::in_memory;
use crate::delta::filter::Filter;
use crate::delta::image::Image;
use crate::delta::layers::union;
use crate::delta::outline::Outline;
use crate::delta::part::Part;
use crate::format::kinds::Kind;
use crate::segment::layer::Layer;
use crate::snapshot::Snapshot;
use crate::snapshot::view::View;
use crate::testing::keys::{KeyFamily, with_values};
use crate::testing::oracle::Oracle;
use crate::testing::random::Random;
use crate::token::{BlockId, BlockTime, Record, TokenId};

/// How a part lies in memory.
#[derive(Clone, Copy, Debug)]
enum Form {
    Image,
    Segment,
    Segments,
}

/// What a part does.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// Writes and removes so many tokens, some there and some not.
    Any(usize),
    /// Writes so many tokens.
    Write(usize),
    /// Removes what is there in one piece, a half of all.
    RemoveStretch,
    RemoveAll,
    /// Writes all that were ever there.
    WriteAll,
}

/// A base and parts, and what they come to.
struct Stack {
    base: Arc<Layer>,
    /// Newest first.
    parts: Vec<Part>,
    filter: Arc<Filter>,
    oracle: Oracle,
    /// All tokens that are or could be there.
    tokens: Vec<TokenId>,
    /// Those that any part touched.
    touched: Vec<TokenId>,
    random: Random,
}

impl Stack {
    /// Of these tokens, so many at random are in the base.
    fn new(tokens: Vec<TokenId>, base_len: usize, seed: u64) -> Self {
        let mut random = Random::new("stack", seed);
        let mut in_base = tokens.clone();
        while in_base.len() > base_len {
            // In one piece half of the time.
            let at = match random.below(2) {
                0 => in_base.len() / 2,
                _ => random.below(in_base.len() as u64) as usize,
            };
            in_base.remove(at);
        }
        let oracle: Oracle = with_values(in_base, seed).collect();
        let entries: Vec<_> = entries_of(&oracle);
        let base = Arc::new(layer(&entries, 1 + seed as usize % 3));
        let filter = Arc::new(Filter::new(base.len()));
        Self { base, parts: Vec::new(), filter, oracle, tokens, touched: Vec::new(), random }
    }

    /// Writes or removes tokens one after the other, and puts what that comes to above
    /// all that is there.
    fn push(&mut self, change: Change, form: Form) {
        let mut after = self.oracle.clone();
        let mut touched = BTreeSet::new();
        for (token, writes) in self.operations(change) {
            let value = BlockTime::new(BlockId(self.random.bytes()), self.random.number());
            if writes {
                after.tokens.insert(token, value);
            } else {
                after.tokens.remove(&token);
            }
            touched.insert(token);
        }
        let mut entries = Vec::new();
        for token in touched {
            let kind = match (self.oracle.contains(&token), after.get(&token)) {
                (false, None) => continue,
                (false, Some(_)) => Kind::Fresh,
                (true, Some(_)) => Kind::Update,
                (true, None) => Kind::Tombstone,
            };
            let value = after.get(&token).unwrap_or_default();
            entries.push((Record::new(token, value), kind));
            self.filter.insert(token.suffix(), self.base.find(&token).unwrap().position);
            self.touched.push(token);
        }
        self.oracle = after;
        let outline = (self.random.below(3) > 0).then(|| {
            let all = entries.iter().map(|(record, kind)| {
                let found = self.base.find(&record.token).unwrap();
                (found.position, record.token.suffix(), *kind)
            });
            Arc::new(Outline::new(self.base.len(), all).unwrap())
        });
        let part = match form {
            Form::Image => Part::Image(Arc::new(Image::new(entries.into_iter())), outline),
            Form::Segment => Part::Layer(Arc::new(layer(&entries, 1)), outline),
            Form::Segments => Part::Layer(Arc::new(layer(&entries, 3)), outline),
        };
        self.parts.insert(0, part);
    }

    /// Tokens to write, or else to remove, in order.
    fn operations(&mut self, change: Change) -> Vec<(TokenId, bool)> {
        let random = &mut self.random;
        let present: Vec<_> = self.oracle.tokens.keys().copied().collect();
        match change {
            Change::Any(count) => {
                (0..count).map(|_| (*random.pick(&self.tokens), random.below(2) == 0)).collect()
            }
            Change::Write(count) => {
                (0..count).map(|_| (*random.pick(&self.tokens), true)).collect()
            }
            Change::RemoveStretch => {
                let start = random.below(present.len() as u64 / 2 + 1) as usize;
                let stretch = &present[start..start + present.len() / 2];
                stretch.iter().map(|token| (*token, false)).collect()
            }
            Change::RemoveAll => present.into_iter().map(|token| (token, false)).collect(),
            Change::WriteAll => self.tokens.iter().map(|token| (*token, true)).collect(),
        }
    }

    fn snapshot(&self) -> Snapshot {
        let (base, filter) = (Arc::clone(&self.base), Arc::clone(&self.filter));
        let mut parts = self.parts.clone();
        // The lowest layers as one, if there are some.
        let is_layer = |part: &&Part| matches!(part, Part::Layer(..));
        let count = parts.iter().rev().take_while(is_layer).count();
        if self.parts.len().is_multiple_of(2) && count > 0 {
            let layers = parts.split_off(parts.len() - count);
            let union = union(&base, &layers).unwrap().unwrap();
            parts.push(Part::Union(Arc::new(union)));
        }
        let view = View::of_parts(base, parts, &[], filter).unwrap();
        assert!(view.parts.iter().all(|part| part.len() > 0));
        Snapshot::new(Arc::new(view))
    }

    fn check(&mut self) {
        let touched = (0..self.touched.len().min(5)).map(|_| *self.random.pick(&self.touched));
        let some: Vec<_> = touched.collect();
        Reads::around(&self.snapshot(), &self.oracle, some).check().unwrap();
    }
}

fn entries_of(oracle: &Oracle) -> Vec<(Record, Kind)> {
    oracle.range(..).map(|pair| (Record::from(pair), Kind::Fresh)).collect()
}

/// A layer of about so many segments in memory.
fn layer(entries: &[(Record, Kind)], segments: usize) -> Layer {
    let len = entries.len().div_ceil(segments).max(1);
    Layer::new(entries.chunks(len).map(in_memory).collect())
}

/// Every kind of change, in any order and form, above bases of few tokens or none.
#[test]
fn small_stacks() {
    for family in KeyFamily::ALL {
        for seed in 0..40 {
            let mut random = Random::new("small stacks", seed);
            let tokens = family.generate(1 + random.below(30) as usize, seed);
            let base_len = random.below(tokens.len() as u64 + 1) as usize;
            let mut stack = Stack::new(tokens, base_len, seed);
            for _ in 0..=random.below(4) {
                let count = random.below(12) as usize;
                let change = *random.pick(&[
                    Change::Any(count),
                    Change::Any(count),
                    Change::Write(count),
                    Change::RemoveStretch,
                    Change::RemoveAll,
                    Change::WriteAll,
                ]);
                let form = *random.pick(&[Form::Image, Form::Segment, Form::Segments]);
                stack.push(change, form);
            }
            stack.check();
        }
    }
}

/// Runs of the base between entries, walks of many steps, skips of hundreds.
#[test]
fn thousands_of_tokens_below_hundreds_of_entries() {
    for (seed, family) in (0..).zip(KeyFamily::ALL) {
        let mut stack = Stack::new(family.generate(2_500, seed), 2_000, seed);
        stack.push(Change::Any(600), Form::Segments);
        stack.push(Change::RemoveStretch, Form::Segment);
        stack.push(Change::Any(100), Form::Segment);
        stack.push(Change::Any(20), Form::Image);
        stack.check();
    }
}

/// Much above little: what is seen is in the parts, most of it in one.
#[test]
fn thousands_of_entries_above_nothing_and_little() {
    for base_len in [0, 1, 10] {
        for (seed, family) in
            (0..).zip([KeyFamily::Uniform, KeyFamily::Dense64, KeyFamily::OneSuffix])
        {
            let mut stack = Stack::new(family.generate(1_500, seed), base_len, seed);
            stack.push(Change::Write(1_500), Form::Segments);
            stack.push(Change::Any(200), Form::Segment);
            stack.push(Change::Any(30), Form::Image);
            stack.check();
        }
    }
}
