//! An entry above the base.

use crate::format::kinds::Kind;
use crate::token::Record;

/// What was done to a token, and its place in the layer below.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) record: Record,
    pub(crate) kind: Kind,
    /// Number of records of the base with smaller tokens.
    pub(crate) base_position: usize,
}
