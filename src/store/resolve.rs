//! Deciding what a batch does.
//!
//! Conditions are decided before anything is logged, so that replaying a log needs no
//! decisions: a frame holds one entry for each token that changed, with what it did to
//! the state just before the batch.

use std::collections::BTreeMap;
use std::collections::btree_map;

use crate::batch::Batch;
use crate::delta::Delta;
use crate::delta::entry::{Entry, LookedUp};
use crate::delta::layers;
use crate::error::Result;
use crate::format::kinds::Kind;
use crate::segment::layer::Layer;
use crate::token::{BlockTime, Record, TokenId};

/// What a batch comes to.
pub(super) struct Resolved {
    /// In the order of their tokens.
    pub(super) entries: Vec<Entry>,
    /// Of each operation, whether it took place.
    pub(super) applied: Vec<bool>,
}

/// A token while the operations on it are gone through.
struct Change {
    before: LookedUp,
    now: Option<BlockTime>,
    is_changed: bool,
}

/// What the base says of each operation's token. That takes the longest of it all, and
/// needs no lock.
pub(super) fn look_below(base: &Layer, batch: &Batch) -> Result<Vec<LookedUp>> {
    let tokens = batch.operations().iter().map(|operation| &operation.token);
    tokens.map(|token| layers::look_below(base, token)).collect()
}

/// `below` says what the delta's base says of each operation's token.
pub(super) fn resolve(delta: &Delta, batch: &Batch, below: &[LookedUp]) -> Result<Resolved> {
    let mut changes: BTreeMap<TokenId, Change> = BTreeMap::new();
    let mut applied = Vec::with_capacity(batch.len());
    for (operation, below) in batch.operations().iter().zip(below) {
        let change = match changes.entry(operation.token) {
            btree_map::Entry::Occupied(change) => change.into_mut(),
            btree_map::Entry::Vacant(vacant) => {
                let before = delta.look_up(&operation.token, *below)?;
                vacant.insert(Change { before, now: before.value, is_changed: false })
            }
        };
        let applies = operation.condition.holds(change.now.as_ref())
            && (operation.value.is_some() || change.now.is_some());
        if applies {
            change.now = operation.value;
            change.is_changed = true;
        }
        applied.push(applies);
    }
    let mut resolved = Resolved { entries: Vec::new(), applied };
    for (token, change) in changes.into_iter().filter(|(_, change)| change.is_changed) {
        let kind = match (change.before.value, change.now) {
            (None, None) => continue,
            (None, Some(_)) => Kind::Fresh,
            (Some(_), Some(_)) => Kind::Update,
            (Some(_), None) => Kind::Tombstone,
        };
        let record = Record::new(token, change.now.unwrap_or_default());
        let base_position = change.before.base_position;
        resolved.entries.push(Entry { record, kind, base_position });
    }
    Ok(resolved)
}
