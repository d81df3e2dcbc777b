//! What a store is asked, and the answers, found beforehand.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use ringstore::testing::oracle::Oracle;
use ringstore::{
    BlockTime, CHUNKS, CHUNKS_UP, Chunks, Error, Leg, PeerId, Result, Signed, Snapshot, TokenId,
    Walk,
};

type Pair = (TokenId, BlockTime);

/// Walks that are asked for.
const WALKS: usize = 12;

const PEER: PeerId = PeerId([7; 32]);

/// What becomes of answers.
pub(crate) struct Judge<'a> {
    /// For messages.
    pub(crate) case: &'a dyn Debug,
    /// Whether an error is one that there may be.
    pub(crate) may_be: &'a dyn Fn(&Error) -> bool,
    /// Whether answers may be wrong, if they only come.
    pub(crate) is_lenient: bool,
    pub(crate) right: u64,
    pub(crate) wrong: u64,
    pub(crate) errors: u64,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(case: &'a dyn Debug, may_be: &'a dyn Fn(&Error) -> bool) -> Self {
        Self { case, may_be, is_lenient: false, right: 0, wrong: 0, errors: 0 }
    }

    pub(crate) fn lenient(self) -> Self {
        Self { is_lenient: true, ..self }
    }

    #[track_caller]
    pub(crate) fn answer<T: PartialEq + Debug>(&mut self, found: Result<T>, expected: &T) {
        match found {
            Ok(found) if found == *expected => self.right += 1,
            Ok(_) if self.is_lenient => self.wrong += 1,
            Ok(found) => panic!("{:?}: {found:?} in place of {expected:?}", self.case),
            Err(error) if (self.may_be)(&error) => self.errors += 1,
            Err(error) => panic!("{:?}: {error}", self.case),
        }
    }
}

/// What is asked about a token, be it there or not.
struct Near {
    value: Option<BlockTime>,
    rank: u64,
    selected: Option<Pair>,
    after: Vec<Pair>,
    before: Vec<Pair>,
    /// Where a walk begins that has to do with it.
    origin: TokenId,
    walk: Walk<Pair>,
}

/// Everything that there is to ask.
pub(crate) struct Questions {
    len: u64,
    all: Vec<Pair>,
    near: BTreeMap<TokenId, Near>,
    walks: Vec<(TokenId, Chunks, Walk<Pair>)>,
    all_walks: Vec<Walk<Pair>>,
    challenges: Vec<(TokenId, PeerId)>,
    signed: Vec<Option<Signed>>,
    tokens: Vec<TokenId>,
    values: Vec<Option<BlockTime>>,
}

impl Questions {
    /// About what there is, and about tokens that are not there, or are.
    pub(crate) fn new(oracle: &Oracle, others: impl IntoIterator<Item = TokenId>) -> Self {
        let mut tokens: BTreeSet<TokenId> = oracle.tokens.keys().copied().collect();
        // What is next to one that is there has the same neighbours in every index.
        let absent: Vec<_> = tokens.iter().step_by(5).map(|token| flipped(*token)).collect();
        tokens.extend(absent);
        tokens.extend(others);
        tokens.extend([TokenId::MIN, TokenId::MAX]);
        let near = tokens.iter().map(|token| (*token, Near::new(oracle, token))).collect();
        let walks = walks(oracle);
        let challenges: Vec<_> = walks.iter().map(|it| (it.0, PEER)).collect();
        let signed = challenges.iter().map(|(token, peer)| oracle.sign(token, peer)).collect();
        let tokens: Vec<_> = tokens.into_iter().collect();
        Self {
            len: oracle.len(),
            all: oracle.range(..).collect(),
            near,
            all_walks: walks.iter().map(|it| it.2.clone()).collect(),
            walks,
            challenges,
            signed,
            values: tokens.iter().map(|token| oracle.get(token)).collect(),
            tokens,
        }
    }

    /// What has to do with one of the tokens, and how many there are.
    pub(crate) fn ask_near(&self, snapshot: &Snapshot, token: &TokenId, judge: &mut Judge<'_>) {
        let near = &self.near[token];
        judge.answer(Ok(snapshot.len()), &self.len);
        judge.answer(snapshot.get(token), &near.value);
        judge.answer(snapshot.rank(token), &near.rank);
        judge.answer(snapshot.select(near.rank), &near.selected);
        let after = snapshot.range(token..).take(near.after.len());
        judge.answer(after.collect(), &near.after);
        let before = snapshot.range(..=token).rev().take(near.before.len());
        judge.answer(before.collect(), &near.before);
        let suffix = [token.suffix()];
        let walk = snapshot.walk(&near.origin, &[Leg::up(&suffix), Leg::down(&suffix)]);
        judge.answer(walk, &near.walk);
    }

    /// Everything, each in the ways that there are.
    pub(crate) fn ask_all(&self, snapshot: &Snapshot, judge: &mut Judge<'_>) {
        for token in &self.tokens {
            self.ask_near(snapshot, token, judge);
        }
        judge.answer(snapshot.range(..).collect(), &self.all);
        let down: Vec<_> = self.all.iter().copied().rev().collect();
        judge.answer(snapshot.range(..).rev().collect(), &down);
        let slices: Result<Vec<_>> = snapshot.slices(..).collect();
        let pairs = slices.map(|slices| {
            slices.concat().into_iter().map(|record| (record.token, record.value())).collect()
        });
        judge.answer(pairs, &self.all);
        let mut values = Vec::new();
        let found = snapshot.get_many(&self.tokens, &mut values).map(|()| values);
        judge.answer(found, &self.values);
        let legs: Vec<_> = self.walks.iter().map(|it| Leg::of_signature(&it.1)).collect();
        let origins = self.walks.iter().zip(&legs).map(|(it, legs)| (it.0, &legs[..]));
        let origins: Vec<(_, &[_])> = origins.collect();
        let mut walks = Vec::new();
        let found = snapshot.walk_many(&origins, &mut walks).map(|()| walks);
        judge.answer(found, &self.all_walks);
        for (token, chunks, walk) in &self.walks {
            judge.answer(snapshot.search_signature(token, chunks), walk);
        }
        let mut signed = Vec::new();
        let found = snapshot.sign_many(&self.challenges, &mut signed).map(|()| signed);
        judge.answer(found, &self.signed);
    }

    /// The contents alone, all of them.
    pub(crate) fn ask_contents(&self, snapshot: &Snapshot, judge: &mut Judge<'_>) {
        judge.answer(Ok(snapshot.len()), &self.len);
        judge.answer(snapshot.range(..).collect(), &self.all);
    }

    /// A token that is asked about.
    pub(crate) fn token(&self, number: usize) -> &TokenId {
        &self.tokens[number % self.tokens.len()]
    }
}

impl Near {
    fn new(oracle: &Oracle, token: &TokenId) -> Self {
        let rank = oracle.rank(token);
        let before: Vec<_> = oracle.range(..=token).rev().take(3).collect();
        let origin = before.last().map_or(TokenId::MAX, |pair| pair.0);
        let suffix = [token.suffix()];
        Self {
            value: oracle.get(token),
            rank,
            selected: oracle.select(rank),
            after: oracle.range(token..).take(3).collect(),
            before,
            origin,
            walk: oracle.walk(&origin, &[Leg::up(&suffix), Leg::down(&suffix)]),
        }
    }
}

/// A neighbour with the same suffix.
fn flipped(mut token: TokenId) -> TokenId {
    token.0[30] ^= 0x80;
    token
}

/// Walks as for signatures, that meet all that they look for. Of so few tokens hardly any
/// signature can be made; so the suffixes are those of tokens on the way.
fn walks(oracle: &Oracle) -> Vec<(TokenId, Chunks, Walk<Pair>)> {
    let tokens: Vec<_> = oracle.tokens.keys().copied().collect();
    let walk = |number: usize| {
        // Eighths of the ring.
        let at = |parts: usize| tokens[(number + parts * tokens.len() / 8) % tokens.len()].suffix();
        let up = (1..=CHUNKS_UP).map(at);
        let down = (1..=CHUNKS - CHUNKS_UP).map(|parts| at(8 - parts));
        let chunks: Vec<_> = up.chain(down).collect();
        let chunks: Chunks = chunks.try_into().unwrap();
        (tokens[number], chunks, oracle.search_signature(&tokens[number], &chunks))
    };
    let walks: Vec<_> = (0..tokens.len()).step_by(tokens.len().div_ceil(WALKS)).map(walk).collect();
    assert!(walks.iter().filter(|it| it.2.complete).count() >= WALKS / 2);
    walks
}
