//! Cursors of engines whose iterators are those of Rust.

use std::ops::Bound::{self, Excluded, Included};

use ringstore::{BlockTime, Direction, Result, TokenId};

use super::cursor::Cursor;

/// A cursor over an iterator that goes both ways.
pub(super) struct Iterated<I> {
    records: I,
    direction: Direction,
    value: BlockTime,
}

impl<I> Iterated<I> {
    /// Goes through records, given ascending.
    pub(super) fn new(records: I, direction: Direction) -> Self {
        Self { records, direction, value: BlockTime::default() }
    }
}

impl<I: DoubleEndedIterator<Item = Result<(TokenId, BlockTime)>>> Cursor for Iterated<I> {
    #[inline]
    fn next(&mut self) -> Result<Option<TokenId>> {
        let record = match self.direction {
            Direction::Up => self.records.next(),
            Direction::Down => self.records.next_back(),
        };
        let Some((token, value)) = record.transpose()? else {
            return Ok(None);
        };
        self.value = value;
        Ok(Some(token))
    }

    #[inline]
    fn value(&self) -> Result<BlockTime> {
        Ok(self.value)
    }
}

/// The bounds of what lies ahead of a token, which is left out, or of all tokens.
pub(super) fn bounds(
    direction: Direction,
    from: Option<TokenId>,
) -> (Bound<[u8; 32]>, Bound<[u8; 32]>) {
    match (direction, from) {
        (Direction::Up, Some(from)) => (Excluded(from.0), Included(TokenId::MAX.0)),
        (Direction::Down, Some(from)) => (Included(TokenId::MIN.0), Excluded(from.0)),
        (_, None) => (Included(TokenId::MIN.0), Included(TokenId::MAX.0)),
    }
}
