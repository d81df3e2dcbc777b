//! An entry above the base.

use crate::format::kinds::Kind;
use crate::token::{BlockTime, Record, TokenId};

/// What was done to a token, and its place in the layer below.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) record: Record,
    pub(crate) kind: Kind,
    /// Number of records of the base with smaller tokens.
    pub(crate) base_position: usize,
}

/// What was done to a token last, without the token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newest {
    pub(super) value: BlockTime,
    pub(super) kind: Kind,
    pub(super) base_position: usize,
}

impl Newest {
    pub(super) fn of(self, token: TokenId) -> Entry {
        let Self { value, kind, base_position } = self;
        Entry { record: Record::new(token, value), kind, base_position }
    }
}

/// What a token maps to, and its place in the base.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LookedUp {
    /// Number of records of the base with smaller tokens.
    pub(crate) base_position: usize,
    pub(crate) value: Option<BlockTime>,
}
