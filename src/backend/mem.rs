//! Tokens in a `BTreeMap`, for tests and for sets that need not outlive the process.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound::{Excluded, Unbounded};

use super::{RangeIter, TokenStorageBackend};
use crate::error::Result;
use crate::token::{BlockTime, TokenId};

/// A [`TokenStorageBackend`] in memory. It never fails.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MemTokens {
    tokens: BTreeMap<TokenId, BlockTime>,
}

impl MemTokens {
    /// No tokens.
    pub fn new() -> Self {
        Self::default()
    }

    fn set_if_newer(&mut self, token: TokenId, value: BlockTime) -> bool {
        match self.tokens.entry(token) {
            Entry::Vacant(entry) => {
                entry.insert(value);
                true
            }
            Entry::Occupied(mut entry) => {
                let newer = value.time > entry.get().time;
                if newer {
                    entry.insert(value);
                }
                newer
            }
        }
    }
}

/// Of a token that comes more than once, the newest value is kept, and of equally
/// new ones the first.
impl FromIterator<(TokenId, BlockTime)> for MemTokens {
    fn from_iter<I: IntoIterator<Item = (TokenId, BlockTime)>>(records: I) -> Self {
        let mut tokens = Self::new();
        for (token, value) in records {
            tokens.set_if_newer(token, value);
        }
        tokens
    }
}

impl TokenStorageBackend for MemTokens {
    fn lookup(&self, token: &TokenId) -> Result<Option<BlockTime>> {
        Ok(self.tokens.get(token).copied())
    }

    fn set(&mut self, token: &TokenId, value: BlockTime) -> Result<bool> {
        Ok(self.set_if_newer(*token, value))
    }

    fn range_after(&self, start: &TokenId) -> Result<RangeIter<'_>> {
        let range = self.tokens.range((Excluded(start), Unbounded));
        Ok(Box::new(range.map(|(token, value)| Ok((*token, *value)))))
    }

    fn range_before(&self, end: &TokenId) -> Result<RangeIter<'_>> {
        let range = self.tokens.range((Unbounded, Excluded(end)));
        Ok(Box::new(range.rev().map(|(token, value)| Ok((*token, *value)))))
    }

    fn len(&self) -> Result<u64> {
        Ok(self.tokens.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::BlockId;

    #[test]
    fn collecting_keeps_the_newest_then_the_first() -> Result<()> {
        let value = |block: u64, time| BlockTime::new(BlockId::from(block), time);
        let token = TokenId::from(1);
        let values = [value(1, 5), value(2, 7), value(3, 7), value(4, 6)];
        let tokens: MemTokens = values.map(|value| (token, value)).into_iter().collect();
        assert_eq!(tokens.lookup(&token)?, Some(value(2, 7)));
        assert_eq!(tokens.len()?, 1);
        Ok(())
    }
}
