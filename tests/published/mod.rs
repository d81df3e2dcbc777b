//! A store whose contents are known after every commit.
//!
//! Commit number k is fixed by k, and puts k under a token of its own, the counter. So
//! a snapshot says by itself how many commits are in it, and a [`Model`] that went as far
//! has every right answer. It takes a few steps for each change, so each reader has one of
//! its own and waits for nobody.

#![allow(dead_code, reason = "each test that shares this needs another part of it")]

pub(crate) mod system;

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use ringstore::testing::oracle::Oracle;
use ringstore::testing::random::Random;
use ringstore::{Batch, BlockTime, LoadOptions, Options, PeerId, Record, Snapshot, Store, TokenId};

/// Holds the number of commits.
pub(crate) const COUNTER: TokenId = TokenId::MAX;

/// A token that is not there.
const ABSENT: u64 = u64::MAX;

/// Numbers that look random, and cost next to nothing.
pub(crate) struct Mix(pub(crate) u64);

impl Mix {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// The tokens that are ever written, in order; the counter is the last one.
pub(crate) fn tokens(count: usize) -> Arc<[TokenId]> {
    let mut random = Random::new("published", count as u64);
    let mut tokens: Vec<_> = (1..count).map(|_| random.token()).collect();
    tokens.push(COUNTER);
    tokens.sort();
    tokens.into()
}

/// What commit `number` does, in order: to which token, and whether it puts or removes it.
fn operations(count: usize, number: u64) -> impl Iterator<Item = (usize, bool)> {
    let mut mix = Mix(number.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let changes = 1 + mix.below(16);
    let changes = (0..changes).map(move |_| (mix.below(count - 1), mix.below(4) > 0));
    changes.chain([(count - 1, true)])
}

/// What commit `number` puts under a token.
fn value(index: usize, number: u64) -> BlockTime {
    let block = Mix((index as u64) << 40 ^ number).next();
    BlockTime::new(block.into(), number)
}

/// Commit `number`, counted from 1.
pub(crate) fn batch(tokens: &[TokenId], number: u64) -> Batch {
    let mut batch = Batch::with_capacity(17);
    for (at, (index, puts)) in operations(tokens.len(), number).enumerate() {
        match (puts, at % 2) {
            (false, _) => batch.remove(tokens[index]),
            // What is there is older in any case, or the same.
            (true, 0) => batch.set(tokens[index], value(index, number)),
            (true, _) => batch.put(tokens[index], value(index, number)),
        };
    }
    batch
}

/// Creates a store with what there is before the first commit.
pub(crate) fn create(path: &Path, options: &Options, tokens: &Arc<[TokenId]>) -> Store {
    let store = Store::create(path, options).unwrap();
    let model = Model::new(tokens);
    let records = model.contents().map(|(token, value)| Ok(Record::new(token, value)));
    store.bulk_load(records, &LoadOptions::new()).unwrap();
    store
}

/// How many commits a snapshot has.
pub(crate) fn commits(snapshot: &Snapshot) -> u64 {
    snapshot.get(&COUNTER).unwrap().map_or(0, |value| value.time)
}

/// What a store holds after so many commits.
#[derive(Clone)]
pub(crate) struct Model {
    tokens: Arc<[TokenId]>,
    pub(crate) commits: u64,
    /// The commit that put each token.
    written: Vec<u64>,
    /// A Fenwick tree of the tokens that are there.
    tree: Vec<u32>,
    len: u64,
}

impl Model {
    /// Before the first commit, three of four tokens are there.
    pub(crate) fn new(tokens: &Arc<[TokenId]>) -> Self {
        let (written, tree) = (vec![ABSENT; tokens.len()], vec![0; tokens.len() + 1]);
        let mut model = Self { tokens: Arc::clone(tokens), commits: 0, written, tree, len: 0 };
        for index in (0..tokens.len() - 1).filter(|index| index % 4 != 0) {
            model.write(index, 0);
        }
        model
    }

    fn write(&mut self, index: usize, number: u64) {
        let was_there = std::mem::replace(&mut self.written[index], number) != ABSENT;
        if was_there == (number != ABSENT) {
            return;
        }
        self.len = if was_there { self.len - 1 } else { self.len + 1 };
        let mut at = index + 1;
        while let Some(sum) = self.tree.get_mut(at) {
            *sum = if was_there { *sum - 1 } else { *sum + 1 };
            at += at & at.wrapping_neg();
        }
    }

    pub(crate) fn advance_to(&mut self, commits: u64) {
        assert!(commits >= self.commits, "{commits} commits after {}", self.commits);
        for number in self.commits + 1..=commits {
            for (index, puts) in operations(self.tokens.len(), number) {
                self.write(index, if puts { number } else { ABSENT });
            }
        }
        self.commits = commits;
    }

    fn value(&self, index: usize) -> Option<BlockTime> {
        let number = *self.written.get(index)?;
        (number != ABSENT).then(|| value(index, number))
    }

    /// The number of tokens that are there before this place among all.
    fn rank(&self, index: usize) -> u64 {
        let (mut at, mut rank) = (index, 0);
        while at > 0 {
            rank += u64::from(self.tree[at]);
            at &= at - 1;
        }
        rank
    }

    /// The place of the token that has so many before it.
    fn select(&self, rank: u64) -> Option<usize> {
        let (mut at, mut left) = (0, rank);
        for bit in (0..usize::BITS - self.tokens.len().leading_zeros()).rev() {
            let next = at + (1 << bit);
            if let Some(sum) = self.tree.get(next).filter(|sum| u64::from(**sum) <= left) {
                left -= u64::from(*sum);
                at = next;
            }
        }
        (rank < self.len).then_some(at)
    }

    fn contents_from(&self, index: usize) -> impl DoubleEndedIterator<Item = (TokenId, BlockTime)> {
        let rest = index..self.tokens.len();
        rest.filter_map(|index| Some((self.tokens[index], self.value(index)?)))
    }

    pub(crate) fn contents(&self) -> impl DoubleEndedIterator<Item = (TokenId, BlockTime)> {
        self.contents_from(0)
    }

    /// Asks one question, of one kind or another, and compares the answer.
    pub(crate) fn ask(&self, snapshot: &Snapshot, mix: &mut Mix) {
        let index = mix.below(self.tokens.len());
        let token = self.tokens[index];
        let commits = self.commits;
        // No token is its neighbour.
        let mut other = token;
        other.0[31] ^= 1;
        let above = index + usize::from(other > token);
        match mix.below(20) {
            0..8 => {
                let found = snapshot.get(&token).unwrap();
                assert_eq!(found, self.value(index), "{token} after {commits}");
            }
            8..10 => assert_eq!(snapshot.get(&other).unwrap(), None, "{other} after {commits}"),
            10 => {
                let found = snapshot.contains(&token).unwrap();
                assert_eq!(found, self.value(index).is_some(), "{token} after {commits}");
            }
            11..13 => {
                let rank = snapshot.rank(&token).unwrap();
                assert_eq!(rank, self.rank(index), "rank of {token} after {commits}");
            }
            13 => {
                let rank = snapshot.rank(&other).unwrap();
                assert_eq!(rank, self.rank(above), "rank of {other} after {commits}");
            }
            14 => assert_eq!(snapshot.len(), self.len, "after {commits}"),
            15 => {
                let rank = mix.next() % (self.len + 2);
                let expected = self.select(rank).map(|index| (index, self.value(index)));
                let expected = expected.map(|(index, value)| (self.tokens[index], value.unwrap()));
                let found = snapshot.select(rank).unwrap();
                assert_eq!(found, expected, "number {rank} after {commits}");
            }
            16 => {
                let end = mix.below(self.tokens.len());
                let bounds = (Bound::Excluded(token), Bound::Included(self.tokens[end]));
                let count = self.rank(end + 1).saturating_sub(self.rank(index + 1));
                let found = snapshot.count(bounds).unwrap();
                assert_eq!(found, count, "from {token} to {end} after {commits}");
            }
            17 => {
                let found = snapshot.range(token..).take(8).map(Result::unwrap);
                let expected = self.contents_from(index).take(8);
                assert!(found.eq(expected), "up from {token} after {commits}");
            }
            18 => {
                let below = (0..index)
                    .rev()
                    .filter_map(|index| Some((self.tokens[index], self.value(index)?)));
                let found = snapshot.range(..token).rev().take(8).map(Result::unwrap);
                assert!(found.eq(below.take(8)), "down from {token} after {commits}");
            }
            _ => {
                let records = snapshot.slices(token..).next().map_or(&[][..], Result::unwrap);
                let records = records.iter().take(8).map(|record| (record.token, record.value()));
                let records: Vec<_> = records.collect();
                let expected = self.contents_from(index).take(records.len());
                assert!(records.iter().copied().eq(expected), "from {token} after {commits}");
                assert_eq!(records.is_empty(), self.rank(index) == self.len);
            }
        }
    }

    /// Compares all that a snapshot holds, in every way that it can be gone through. How many
    /// answers that were.
    pub(crate) fn compare(&self, snapshot: &Snapshot) -> u64 {
        let commits = self.commits;
        assert_eq!(snapshot.len(), self.len, "after {commits}");
        let found = snapshot.range(..).map(Result::unwrap);
        assert!(found.eq(self.contents()), "range after {commits}");
        let found = snapshot.range(..).rev().map(Result::unwrap);
        assert!(found.eq(self.contents().rev()), "range backwards after {commits}");
        let records = snapshot.slices(..).flat_map(Result::unwrap);
        let found = records.map(|record| (record.token, record.value()));
        assert!(found.eq(self.contents()), "slices after {commits}");
        4
    }

    /// Compares signatures of so many tokens. How many answers that were.
    pub(crate) fn sign(&self, snapshot: &Snapshot, mix: &mut Mix, signatures: usize) -> u64 {
        let oracle = Oracle { tokens: self.contents().collect() };
        for _ in 0..signatures {
            let (index, peer) = (mix.below(self.tokens.len()), PeerId::from(mix.next()));
            let token = &self.tokens[index];
            let signed = snapshot.sign(token, &peer).unwrap();
            // The oracle signs what is there.
            let expected = oracle.contains(token).then(|| oracle.sign(token, &peer)).flatten();
            assert_eq!(signed, expected, "{token} for {peer} after {}", self.commits);
            if let Some(signed) = signed {
                assert_eq!(snapshot.check(&signed.signature, &peer).unwrap(), Ok(()));
            }
        }
        signatures as u64
    }
}

/// A model that follows snapshots which get newer.
pub(crate) struct Follower {
    pub(crate) model: Model,
    pub(crate) mix: Mix,
    pub(crate) answers: u64,
}

impl Follower {
    pub(crate) fn new(tokens: &Arc<[TokenId]>, seed: u64) -> Self {
        Self { model: Model::new(tokens), mix: Mix(seed), answers: 0 }
    }

    /// Looks how far a snapshot is: no less far than the last one, nor than it has to be.
    pub(crate) fn meet(&mut self, snapshot: &Snapshot, least: u64) {
        let found = commits(snapshot);
        assert!(found >= least, "{least} commits were acknowledged before, {found} are there");
        self.model.advance_to(found);
        self.answers += 1;
    }

    pub(crate) fn ask(&mut self, snapshot: &Snapshot, questions: u64) {
        for _ in 0..questions {
            self.model.ask(snapshot, &mut self.mix);
        }
        self.answers += questions;
    }

    pub(crate) fn compare(&mut self, snapshot: &Snapshot) {
        self.answers += self.model.compare(snapshot);
    }

    pub(crate) fn sign(&mut self, snapshot: &Snapshot, signatures: usize) {
        self.answers += self.model.sign(snapshot, &mut self.mix, signatures);
    }
}
