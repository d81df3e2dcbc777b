//! Cursors of engines whose iterators are moved, and then looked at.

use ringstore::{BlockTime, Direction, Result, TokenId};

use super::cursor::Cursor;

/// An iterator that stands somewhere.
pub(super) trait Moved {
    fn move_to_next(&mut self, direction: Direction);

    /// Where it stands; `None` beyond an end. It is not moved from there.
    fn token(&mut self) -> Result<Option<TokenId>>;

    fn value(&self) -> Result<BlockTime>;
}

pub(super) struct MovedCursor<I> {
    iterator: I,
    direction: Direction,
    place: Place,
}

/// Where the iterator stands.
enum Place {
    First,
    Later,
    BeyondEnd,
}

impl<I> MovedCursor<I> {
    /// Goes on from an iterator that stands at the first token of the way.
    pub(super) fn new(iterator: I, direction: Direction) -> Self {
        Self { iterator, direction, place: Place::First }
    }
}

impl<I: Moved> Cursor for MovedCursor<I> {
    #[inline]
    fn next(&mut self) -> Result<Option<TokenId>> {
        match self.place {
            Place::First => self.place = Place::Later,
            Place::Later => self.iterator.move_to_next(self.direction),
            Place::BeyondEnd => return Ok(None),
        }
        let token = self.iterator.token()?;
        if token.is_none() {
            self.place = Place::BeyondEnd;
        }
        Ok(token)
    }

    #[inline]
    fn value(&self) -> Result<BlockTime> {
        self.iterator.value()
    }
}
