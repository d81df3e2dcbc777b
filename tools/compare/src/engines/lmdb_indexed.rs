//! Tokens in LMDB with an index by suffix: what a program would do that needs signatures
//! above all, and has twice the disk for them.
//!
//! Two tables. One has the tokens, as in [`lmdb`](super::lmdb), for lookups and ranges. The
//! other's keys are the suffix of a token, then the token, so that the tokens of a suffix
//! lie side by side in their order. A signature takes ten seeks there, one for each chunk,
//! where a walk passes ten thousand tokens. Its values are those of the tokens, for a seek
//! to find all that a signature needs, and not to need another one.
//!
//! A load fills the index after the table, from records sorted for it, which are appended.
//! Both are filled in one transaction, and so is every commit, so that no crash parts them.
//! All that is durable is so as in `lmdb`.

use std::path::Path;

use heed::PutFlags;
use ringstore::{
    BlockTime, CHUNKS, Chunks, Direction, RangeIter, Record, Result, TokenId, TokenStorageBackend,
    Walk,
};

use super::cursor::{LEGS, is_before, no_walk};
use super::lmdb::{Fixed, LmdbTokens, Value, create_table, failed, map_bytes, open};
use super::value::{VALUE_BYTES, decode, encode};
use super::{Database, Durable, Engine, Needs, Order, Reader};

/// LMDB with a second table, by suffix.
pub struct LmdbIndexed;

impl Engine for LmdbIndexed {
    fn name(&self) -> &'static str {
        "lmdb-indexed"
    }

    fn load(
        &self,
        directory: &Path,
        records: &[Record],
        order: Order,
    ) -> Result<Box<dyn Database>> {
        let mut tokens = IndexedTokens::create(directory, records.len())?;
        let flags = match order {
            Order::Sorted => PutFlags::APPEND,
            Order::Random => PutFlags::empty(),
        };
        tokens.load(records, flags)?;
        Ok(Box::new(tokens))
    }

    fn open(&self, directory: &Path, records: usize) -> Result<Option<Box<dyn Durable>>> {
        Ok(Some(Box::new(IndexedTokens::create(directory, records)?)))
    }

    fn counts_steps(&self) -> bool {
        false
    }

    fn needs(&self) -> Needs {
        Needs::per_token(64, 240)
    }
}

/// The suffix as a big-endian number, then the token.
const KEY_BYTES: usize = 34;

struct IndexedTokens {
    tokens: LmdbTokens,
    index: heed::Database<'static, Fixed<KEY_BYTES>, Value>,
}

impl IndexedTokens {
    fn create(directory: &Path, records: usize) -> Result<Self> {
        // Room for the index, too.
        let env = open(directory, 2 * map_bytes(records), 2)?;
        // The table without a name is where LMDB keeps the names.
        let tokens = create_table(&env, Some("tokens")).map_err(failed)?;
        let index = create_table(&env, Some("suffixes")).map_err(failed)?;
        Ok(Self { tokens: LmdbTokens::over(env, tokens), index })
    }

    fn load(&mut self, records: &[Record], flags: PutFlags) -> Result<()> {
        let mut indexed: Vec<_> = (0..records.len() as u32).collect();
        let record = |at: u32| &records[at as usize];
        indexed.sort_unstable_by_key(|at| (record(*at).token.suffix(), record(*at).token));
        let index = self.index;
        self.tokens.put(records, flags, |transaction| {
            for record in indexed.into_iter().map(record) {
                let (key, value) = (key(record.token.suffix(), &record.token), record.value());
                index.put_with_flags(transaction, PutFlags::APPEND, &key, &encode(&value))?;
            }
            Ok(())
        })
    }

    fn set_many(&mut self, records: impl IntoIterator<Item = (TokenId, BlockTime)>) -> Result<u64> {
        let index = self.index;
        self.tokens.set_each(records, |transaction, token, value| {
            index.put(transaction, &key(token.suffix(), token), value)
        })
    }

    /// The next token of this suffix from one on, which is left out, or from the end of the
    /// order where a walk in this direction goes on.
    fn next(
        &self,
        suffix: u16,
        direction: Direction,
        from: Option<&TokenId>,
    ) -> Result<Option<(TokenId, &[u8; VALUE_BYTES])>> {
        let (reader, index) = (self.tokens.reader()?, &self.index);
        let entry = match (direction, from) {
            (Direction::Up, Some(from)) => index.get_greater_than(reader, &key(suffix, from)),
            (Direction::Down, Some(from)) => index.get_lower_than(reader, &key(suffix, from)),
            (Direction::Up, None) => {
                index.get_greater_than_or_equal_to(reader, &key(suffix, &TokenId::MIN))
            }
            (Direction::Down, None) => {
                index.get_lower_than_or_equal_to(reader, &key(suffix, &TokenId::MAX))
            }
        };
        let of_suffix = |key: &[u8; KEY_BYTES]| {
            let token = key.strip_prefix(&suffix.to_be_bytes())?.try_into().ok()?;
            Some(TokenId(token))
        };
        let entry = entry.map_err(failed)?;
        Ok(entry.and_then(|(key, value)| Some((of_suffix(key)?, value))))
    }
}

fn key(suffix: u16, token: &TokenId) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    key[..2].copy_from_slice(&suffix.to_be_bytes());
    key[2..].copy_from_slice(token.as_bytes());
    key
}

impl Database for IndexedTokens {
    /// Reads both tables.
    fn warm_up(&self) -> Result<()> {
        self.tokens.warm_up()?;
        let mut entries = self.index.iter(self.tokens.reader()?).map_err(failed)?;
        entries.try_for_each(|entry| entry.map(drop).map_err(failed))
    }

    fn reader(&self) -> Result<Option<Reader<'_>>> {
        Ok(Some(Box::new(Self { tokens: self.tokens.another(), index: self.index })))
    }
}

impl Durable for IndexedTokens {
    fn commit(&mut self, records: &[Record]) -> Result<()> {
        self.set_many(records.iter().map(|record| (*record).into())).map(drop)
    }
}

impl TokenStorageBackend for IndexedTokens {
    fn lookup(&self, token: &TokenId) -> Result<Option<BlockTime>> {
        self.tokens.lookup(token)
    }

    fn set(&mut self, token: &TokenId, value: BlockTime) -> Result<bool> {
        Ok(self.set_many([(*token, value)])? == 1)
    }

    fn range_after(&self, start: &TokenId) -> Result<RangeIter<'_>> {
        self.tokens.range_after(start)
    }

    fn range_before(&self, end: &TokenId) -> Result<RangeIter<'_>> {
        self.tokens.range_before(end)
    }

    /// Goes from match to match. What it tells as steps is their number.
    fn search_signature(
        &self,
        token: &TokenId,
        chunks: &Chunks,
    ) -> Result<Walk<(TokenId, BlockTime)>> {
        let mut walk = no_walk();
        for (direction, leg_end) in LEGS {
            let (mut at, mut beyond_end) = (*token, false);
            while walk.matches.len() < leg_end {
                let chunk = chunks[walk.matches.len()];
                let mut found = self.next(chunk, direction, Some(&at))?;
                if found.is_none() && !beyond_end {
                    beyond_end = true;
                    found = self.next(chunk, direction, None)?;
                }
                let is_ahead = |found: &TokenId| !beyond_end || is_before(found, token, direction);
                let Some((found, value)) = found.filter(|(found, _)| is_ahead(found)) else {
                    // A walk would have gone once around, if there is more than one way to go.
                    walk.wrapped |= match direction {
                        Direction::Up => self.range_before(token)?.next(),
                        Direction::Down => self.range_after(token)?.next(),
                    }
                    .transpose()?
                    .is_some();
                    break;
                };
                walk.wrapped |= beyond_end;
                walk.matches.push((found, decode(value)));
                at = found;
            }
        }
        walk.steps = walk.matches.len() as u64;
        walk.complete = walk.matches.len() == CHUNKS;
        Ok(walk)
    }

    fn len(&self) -> Result<u64> {
        self.tokens.len()
    }
}
