//! Changes that are made together or not at all.

use crate::token::{BlockTime, TokenId};

/// When an operation of a batch takes place, decided by what its token maps to at that
/// moment: after the batch's earlier operations, and after all earlier batches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Condition {
    /// In any case.
    Always,
    /// If the token is not there.
    Absent,
    /// If the token is there.
    Present,
    /// If the token is there and its time is below this one.
    Older(u64),
    /// If the token is not there, or its time is below this one.
    AbsentOrOlder(u64),
    /// If the token is there with exactly this value.
    Equals(BlockTime),
}

impl Condition {
    /// Whether it holds for a token with this value, or with none.
    pub fn holds(&self, found: Option<&BlockTime>) -> bool {
        match (self, found) {
            (Self::Always, _)
            | (Self::Absent | Self::AbsentOrOlder(_), None)
            | (Self::Present, Some(_)) => true,
            (Self::Older(time) | Self::AbsentOrOlder(time), Some(found)) => found.time < *time,
            (Self::Equals(value), Some(found)) => value == found,
            (Self::Absent, Some(_)) | (Self::Present | Self::Older(_) | Self::Equals(_), None) => {
                false
            }
        }
    }
}

/// One change of one token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Operation {
    pub(crate) token: TokenId,
    /// `None` removes the token.
    pub(crate) value: Option<BlockTime>,
    pub(crate) condition: Condition,
}

/// Changes that [`Store::commit`](crate::Store::commit) makes together: whatever happens,
/// all of them are there afterwards or none.
///
/// Operations take effect in their order, so of several on one token the last one counts.
///
/// ```
/// use ringstore::{Batch, BlockId, BlockTime, Condition, TokenId};
/// let (token, block) = (TokenId::from(7), BlockId::from(1));
/// let mut batch = Batch::new();
/// batch
///     .put(token, BlockTime::new(block, 100))
///     .set(TokenId::from(8), BlockTime::new(block, 100))
///     .remove_if(TokenId::from(9), Condition::Older(50));
/// assert_eq!(batch.len(), 3);
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    operations: Vec<Operation>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty batch with room for so many operations.
    pub fn with_capacity(operations: usize) -> Self {
        Self { operations: Vec::with_capacity(operations) }
    }

    /// Maps a token to a value, whatever was there.
    pub fn put(&mut self, token: TokenId, value: BlockTime) -> &mut Self {
        self.put_if(token, value, Condition::Always)
    }

    /// Maps a token to a value where the token is absent or the value strictly newer.
    pub fn set(&mut self, token: TokenId, value: BlockTime) -> &mut Self {
        self.put_if(token, value, Condition::AbsentOrOlder(value.time))
    }

    /// Removes a token.
    pub fn remove(&mut self, token: TokenId) -> &mut Self {
        self.remove_if(token, Condition::Always)
    }

    /// Maps a token to a value if a condition holds.
    pub fn put_if(&mut self, token: TokenId, value: BlockTime, condition: Condition) -> &mut Self {
        self.operations.push(Operation { token, value: Some(value), condition });
        self
    }

    /// Removes a token if a condition holds.
    pub fn remove_if(&mut self, token: TokenId, condition: Condition) -> &mut Self {
        self.operations.push(Operation { token, value: None, condition });
        self
    }

    /// Number of operations.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there are no operations.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Takes all operations out, so that the batch can be filled anew.
    pub fn clear(&mut self) {
        self.operations.clear();
    }

    pub(crate) fn operations(&self) -> &[Operation] {
        &self.operations
    }
}

/// What became of a batch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Committed {
    /// Of each operation, whether it took place: its condition held, and, if it removes,
    /// the token was there.
    pub applied: Vec<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_hold_or_do_not() {
        let value = |time: u64| BlockTime::new(time.into(), time);
        let (old, new) = (value(5), value(7));
        let cases = [
            (Condition::Always, [true, true, true]),
            (Condition::Absent, [true, false, false]),
            (Condition::Present, [false, true, true]),
            (Condition::Older(7), [false, true, false]),
            (Condition::Older(5), [false, false, false]),
            (Condition::AbsentOrOlder(7), [true, true, false]),
            (Condition::AbsentOrOlder(8), [true, true, true]),
            (Condition::Equals(old), [false, true, false]),
            (Condition::Equals(BlockTime::new(old.block, 7)), [false, false, false]),
        ];
        for (condition, expected) in cases {
            let found = [None, Some(&old), Some(&new)].map(|found| condition.holds(found));
            assert_eq!(found, expected, "{condition:?}");
        }
    }
}
