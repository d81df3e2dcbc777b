//! Finding the token with so many others below it.
//!
//! The base alone would be counted off. Each part changes that by its entries before the
//! place sought; how many those are, a binary search by rank says, as ranks only grow
//! from entry to entry.

use super::view::{Cut, Place, Side, Source, View};
use crate::error::Result;
use crate::format::kinds::Kind;
use crate::token::{Record, TokenId};

impl View {
    /// The record with so many tokens below it, if there are as many.
    pub(super) fn select(&self, rank: u64) -> Result<Option<&Record>> {
        if rank >= self.len() {
            return Ok(None);
        }
        if self.parts.is_empty() {
            return self.base.record(rank as usize);
        }
        let (_, place) = self.seek(rank)?;
        self.record(place)
    }

    /// The cut below the token with so many others below it, and where that token is.
    pub(super) fn seek(&self, rank: u64) -> Result<(Cut, Place)> {
        let mut below = vec![0; self.parts.len()];
        let mut largest_first: Vec<usize> = (0..self.parts.len()).collect();
        largest_first.sort_by_key(|&index| std::cmp::Reverse(self.parts[index].len()));
        // Ranks of entries up to the first are no larger, of those from the other on are.
        let (mut last_below, mut first_above): (Option<TokenId>, Option<TokenId>) = (None, None);
        for index in largest_first {
            let part = &self.parts[index];
            let start = match &last_below {
                Some(token) => Side::Above.of(part.find(token)?),
                None => 0,
            };
            let end = match &first_above {
                Some(token) => part.find(token)?.position,
                None => part.len(),
            };
            let count = self.count_up_to(rank, index, start, end)?;
            below[index] = count;
            if let Some(token) = self.token_before(index, count)? {
                last_below = last_below.max(Some(token));
            }
            if let Some(record) = part.record(count)? {
                let token = record.token;
                first_above = Some(first_above.map_or(token, |first| first.min(token)));
            }
        }
        // The last entry up to the rank: where it is live it is that token, or one below.
        if let Some(token) = last_below
            && self.rank(&token, Side::Below)? == rank
            && let Some(place) = self.newest_up_to(&below, &token)?
        {
            for (index, count) in below.iter_mut().enumerate() {
                let found = self.parts[index].find(&token)?;
                *count = (*count).min(found.position);
            }
            let base = self.base.find(&token)?.position;
            return Ok((Cut { base, parts: below, rank }, place));
        }
        let mut net = 0i64;
        for (part, &count) in self.parts.iter().zip(&below) {
            net = net.saturating_add(part.tokens_before(count)?);
        }
        let base = rank.saturating_add_signed(net.saturating_neg()).min(self.base.len() as u64);
        let base = base as usize;
        let place = Place { source: Source::Base, position: base };
        Ok((Cut { base, parts: below, rank }, place))
    }

    /// Of the entries of a part at positions from `start` to `end`, and all before, the
    /// number of those with no more than so many tokens below them.
    fn count_up_to(&self, rank: u64, index: usize, start: usize, end: usize) -> Result<usize> {
        let (mut start, mut end) = (start, end);
        while start < end {
            let middle = start + (end - start) / 2;
            let Some(record) = self.parts[index].record(middle)? else { break };
            if self.rank(&record.token, Side::Below)? <= rank {
                start = middle + 1;
            } else {
                end = middle;
            }
        }
        Ok(start)
    }

    /// The token of the entry before a position of a part.
    fn token_before(&self, index: usize, position: usize) -> Result<Option<TokenId>> {
        match position.checked_sub(1) {
            Some(last) => Ok(self.parts[index].record(last)?.map(|record| record.token)),
            None => Ok(None),
        }
    }

    /// Where the newest entry of a token is, the last one of its part among so many; none
    /// if it is a tombstone.
    fn newest_up_to(&self, below: &[usize], token: &TokenId) -> Result<Option<Place>> {
        for (index, &count) in below.iter().enumerate() {
            if self.token_before(index, count)?.is_some_and(|other| other == *token) {
                let position = count - 1;
                let is_live = self.parts[index].kind(position)? != Kind::Tombstone;
                return Ok(is_live.then_some(Place { source: Source::Part(index), position }));
            }
        }
        Ok(None)
    }
}
