//! What engines do with cursors: ranges, and the walk for a signature in a plain loop that
//! asks for the values of matches alone. No engine is to be held back by how others walk.

use std::iter;

use ringstore::{
    BlockTime, CHUNKS, CHUNKS_UP, Chunks, Direction, RangeIter, Result, TokenId, Walk,
};

/// A way through the tokens, in one direction up to the end of the order.
pub(super) trait Cursor {
    /// Goes on to the next token; `None` at the end.
    fn next(&mut self) -> Result<Option<TokenId>>;

    /// The value of the token that the cursor stands at.
    fn value(&self) -> Result<BlockTime>;
}

/// What the cursor passes.
pub(super) fn records<'a>(mut cursor: impl Cursor + 'a) -> RangeIter<'a> {
    Box::new(iter::from_fn(move || match cursor.next() {
        Ok(Some(token)) => Some(cursor.value().map(|value| (token, value))),
        Ok(None) => None,
        Err(error) => Some(Err(error)),
    }))
}

/// The legs of the walk for a signature: where each goes, and how many matches there are
/// when it ends.
pub(super) const LEGS: [(Direction, usize); 2] =
    [(Direction::Up, CHUNKS_UP), (Direction::Down, CHUNKS)];

/// A walk that has not begun.
pub(super) fn no_walk() -> Walk<(TokenId, BlockTime)> {
    Walk { matches: Vec::with_capacity(CHUNKS), steps: 0, wrapped: false, complete: false }
}

/// The walk for a signature. `open` gives the way from a token, which is left out, or where
/// there is none from the end of the order at which a walk in this direction goes on.
pub(super) fn search_signature<C: Cursor>(
    token: &TokenId,
    chunks: &Chunks,
    open: impl Fn(Direction, Option<TokenId>) -> Result<C>,
) -> Result<Walk<(TokenId, BlockTime)>> {
    let mut walk = no_walk();
    for (direction, leg_end) in LEGS {
        for from in [Some(*token), None] {
            if walk.matches.len() == leg_end {
                break;
            }
            let mut cursor = open(direction, from)?;
            let beyond_end = from.is_none();
            while let Some(passed) = cursor.next()? {
                if beyond_end && !is_before(&passed, token, direction) {
                    break;
                }
                walk.steps += 1;
                walk.wrapped |= beyond_end;
                if passed.suffix() == chunks[walk.matches.len()] {
                    walk.matches.push((passed, cursor.value()?));
                    if walk.matches.len() == leg_end {
                        break;
                    }
                }
            }
        }
    }
    walk.complete = walk.matches.len() == CHUNKS;
    Ok(walk)
}

/// Whether a walk in this direction through the whole order passes one token before the
/// other.
#[inline]
pub(super) fn is_before(one: &TokenId, other: &TokenId, direction: Direction) -> bool {
    match direction {
        Direction::Up => one < other,
        Direction::Down => one > other,
    }
}
