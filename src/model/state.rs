//! What the store should hold.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};

use crate::format::kinds::Kind;
use crate::testing::oracle::Oracle;
use crate::token::{BlockTime, TokenId};

/// When a change takes place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum When {
    Always,
    Absent,
    Present,
    Older(u64),
    AbsentOrOlder(u64),
    /// While the token has the value that it had before the batch, or, if it had none, in
    /// no case.
    Unchanged,
}

/// A change of one token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Change {
    pub(super) token: TokenId,
    /// `None` removes the token.
    pub(super) value: Option<BlockTime>,
    pub(super) when: When,
}

/// What a token was before a batch changed it.
pub(super) struct Undo {
    pub(super) token: TokenId,
    value: Option<BlockTime>,
    kind: Option<Kind>,
}

/// What became of a batch.
#[derive(Default)]
pub(super) struct Applied {
    /// Of each change, whether it took place.
    pub(super) took_place: Vec<bool>,
    /// Of each token that was written, what it was before.
    pub(super) undo: Vec<Undo>,
    /// Of tokens that had been written since the base was loaded, and were again: what was
    /// done to them before, and now.
    pub(super) merged: Vec<(Kind, Kind)>,
}

/// All tokens, as the simplest structures hold them that can be right.
#[derive(Clone, Default)]
pub(super) struct Model {
    pub(super) oracle: Oracle,
    /// The oracle's tokens. Their places are their ranks.
    tokens: Vec<TokenId>,
    /// What the writes since the base was loaded come to.
    pub(super) kinds: BTreeMap<TokenId, Kind>,
}

impl Model {
    /// A base that was just loaded.
    pub(super) fn new(base: impl IntoIterator<Item = (TokenId, BlockTime)>) -> Self {
        let oracle: Oracle = base.into_iter().collect();
        let tokens = oracle.tokens.keys().copied().collect();
        Self { oracle, tokens, kinds: BTreeMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(super) fn get(&self, token: &TokenId) -> Option<BlockTime> {
        self.oracle.get(token)
    }

    pub(super) fn rank(&self, token: &TokenId) -> usize {
        self.tokens.partition_point(|other| other < token)
    }

    pub(super) fn select(&self, rank: usize) -> Option<(TokenId, BlockTime)> {
        let token = *self.tokens.get(rank)?;
        Some((token, self.oracle.tokens[&token]))
    }

    /// The tokens within bounds, in order.
    pub(super) fn within(&self, bounds: &(Bound<TokenId>, Bound<TokenId>)) -> &[TokenId] {
        let start = match bounds.start_bound() {
            Bound::Unbounded => 0,
            Bound::Included(token) => self.rank(token),
            Bound::Excluded(token) => self.tokens.partition_point(|other| other <= token),
        };
        let end = match bounds.end_bound() {
            Bound::Unbounded => self.len(),
            Bound::Included(token) => self.tokens.partition_point(|other| other <= token),
            Bound::Excluded(token) => self.rank(token),
        };
        self.tokens.get(start..end).unwrap_or(&[])
    }

    /// Does what a batch does, one change after the other.
    pub(super) fn apply(&mut self, changes: &[Change]) -> Applied {
        let mut before = BTreeMap::new();
        let mut written = BTreeMap::new();
        let mut applied = Vec::with_capacity(changes.len());
        for change in changes {
            let token = change.token;
            let now = self.get(&token);
            let first = *before.entry(token).or_insert(now);
            let holds = match (change.when, now) {
                (When::Always, _)
                | (When::Absent | When::AbsentOrOlder(_), None)
                | (When::Present, Some(_)) => true,
                (When::Older(time) | When::AbsentOrOlder(time), Some(now)) => now.time < time,
                (When::Unchanged, Some(now)) => Some(now) == first,
                (When::Absent, Some(_))
                | (When::Present | When::Older(_) | When::Unchanged, None) => false,
            };
            let applies = holds && (change.value.is_some() || now.is_some());
            if applies {
                written.insert(token, first);
                self.write(token, change.value);
            }
            applied.push(applies);
        }
        let mut outcome = Applied { took_place: applied, ..Applied::default() };
        for (token, value) in written {
            let kind = match (value, self.get(&token)) {
                (None, None) => continue,
                (None, Some(_)) => Kind::Fresh,
                (Some(_), Some(_)) => Kind::Update,
                (Some(_), None) => Kind::Tombstone,
            };
            let older = self.kinds.get(&token).copied();
            outcome.undo.push(Undo { token, value, kind: older });
            outcome.merged.extend(older.map(|older| (older, kind)));
            match (older, kind) {
                (None, kind) => _ = self.kinds.insert(token, kind),
                // It is as it was before anything was written.
                (Some(Kind::Fresh), Kind::Tombstone) => _ = self.kinds.remove(&token),
                (Some(Kind::Fresh), _) => {}
                (Some(_), Kind::Tombstone) => _ = self.kinds.insert(token, Kind::Tombstone),
                (Some(_), _) => _ = self.kinds.insert(token, Kind::Update),
            }
        }
        outcome
    }

    /// Takes a batch back.
    pub(super) fn undo(&mut self, changes: &[Undo]) {
        for change in changes {
            self.write(change.token, change.value);
            match change.kind {
                Some(kind) => self.kinds.insert(change.token, kind),
                None => self.kinds.remove(&change.token),
            };
        }
    }

    fn write(&mut self, token: TokenId, value: Option<BlockTime>) {
        let rank = self.rank(&token);
        match value {
            Some(value) => {
                if self.oracle.tokens.insert(token, value).is_none() {
                    self.tokens.insert(rank, token);
                }
            }
            None => {
                if self.oracle.tokens.remove(&token).is_some() {
                    self.tokens.remove(rank);
                }
            }
        }
    }
}
