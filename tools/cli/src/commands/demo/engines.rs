//! The engines that are compared.

use std::collections::BTreeMap;

use ringstore::{
    BlockTime, CHUNKS, CHUNKS_UP, Direction, PeerId, ReDbTokens, Record, Result, Signature, Signed,
    Snapshot, TokenBlock, TokenId, TokenStorageBackend, chunks,
};

use super::changes::Change;

/// What the demo asks of an engine.
pub(super) trait Engine {
    fn get(&self, token: &TokenId) -> Result<Option<BlockTime>>;

    fn sign(&self, token: &TokenId, peer: &PeerId) -> Result<Option<Signed>>;

    /// Appends up to `count` records beyond `from`, in the order met.
    fn range(
        &self,
        from: &TokenId,
        way: Direction,
        count: usize,
        into: &mut Vec<Found>,
    ) -> Result<()>;
}

/// A token with its value.
pub(super) type Found = (TokenId, BlockTime);

impl Engine for Snapshot {
    fn get(&self, token: &TokenId) -> Result<Option<BlockTime>> {
        Snapshot::get(self, token)
    }

    fn sign(&self, token: &TokenId, peer: &PeerId) -> Result<Option<Signed>> {
        Snapshot::sign(self, token, peer)
    }

    fn range(
        &self,
        from: &TokenId,
        way: Direction,
        count: usize,
        into: &mut Vec<Found>,
    ) -> Result<()> {
        match way {
            Direction::Up => {
                let above = (std::ops::Bound::Excluded(*from), std::ops::Bound::Unbounded);
                append(into, Snapshot::range(self, above).take(count))
            }
            Direction::Down => append(into, Snapshot::range(self, ..from).rev().take(count)),
        }
    }
}

impl Engine for ReDbTokens {
    fn get(&self, token: &TokenId) -> Result<Option<BlockTime>> {
        self.lookup(token)
    }

    fn sign(&self, token: &TokenId, peer: &PeerId) -> Result<Option<Signed>> {
        TokenStorageBackend::sign(self, token, peer)
    }

    fn range(
        &self,
        from: &TokenId,
        way: Direction,
        count: usize,
        into: &mut Vec<Found>,
    ) -> Result<()> {
        match way {
            Direction::Up => append(into, self.range_after(from)?.take(count)),
            Direction::Down => append(into, self.range_before(from)?.take(count)),
        }
    }
}

fn append(into: &mut Vec<Found>, records: impl Iterator<Item = Result<Found>>) -> Result<()> {
    for record in records {
        into.push(record?);
    }
    Ok(())
}

/// Sorted records in memory, searched and walked as plainly as can be: what the
/// others' answers are judged by.
pub(super) struct NaiveArray(pub(super) Vec<Record>);

impl NaiveArray {
    /// The value of a token.
    pub(super) fn find(&self, token: &TokenId) -> Option<BlockTime> {
        let found = self.0.binary_search_by_key(token, |record| record.token);
        found.ok().map(|at| self.0[at].value())
    }

    /// Makes the changes of all batches; says of each change whether it took place.
    pub(super) fn apply(&mut self, batches: &[Vec<Change>]) -> Vec<Vec<bool>> {
        let mut changed: BTreeMap<TokenId, Option<BlockTime>> = BTreeMap::new();
        let mut apply = |change: &Change| {
            let token = change.token();
            let value = changed.entry(token).or_insert_with(|| self.find(&token));
            let takes_place = change.takes_place(value.as_ref());
            if takes_place {
                *value = change.value();
            }
            takes_place
        };
        let applied = batches.iter().map(|batch| batch.iter().map(&mut apply).collect()).collect();
        self.0.retain(|record| !changed.contains_key(&record.token));
        let left = |(token, value): (_, Option<_>)| Some(Record::new(token, value?));
        self.0.extend(changed.into_iter().filter_map(left));
        self.0.sort_by_key(|record| record.token);
        applied
    }

    /// The records below and those above a token.
    fn around(&self, token: &TokenId) -> (&[Record], &[Record]) {
        let Self(records) = self;
        match records.binary_search_by_key(token, |record| record.token) {
            Ok(at) => (&records[..at], &records[at + 1..]),
            Err(at) => records.split_at(at),
        }
    }
}

impl Engine for NaiveArray {
    fn get(&self, token: &TokenId) -> Result<Option<BlockTime>> {
        Ok(self.find(token))
    }

    fn sign(&self, token: &TokenId, peer: &PeerId) -> Result<Option<Signed>> {
        let Some(BlockTime { block, .. }) = self.find(token) else { return Ok(None) };
        let chunks = chunks(peer, token, &block);
        let (below, above) = self.around(token);
        let mut met = Vec::with_capacity(CHUNKS);
        let mut steps = 0;
        let mut wrapped = false;

        let mut pass =
            |records: &mut dyn Iterator<Item = &Record>, until: usize, beyond_end: bool| {
                while met.len() < until {
                    let Some(record) = records.next() else { return };
                    steps += 1;
                    wrapped |= beyond_end;
                    if record.token.suffix() == chunks[met.len()] {
                        met.push(TokenBlock { token: record.token, block: record.block });
                    }
                }
            };
        pass(&mut above.iter(), CHUNKS_UP, false);
        pass(&mut below.iter(), CHUNKS_UP, true);
        pass(&mut below.iter().rev(), CHUNKS, false);
        pass(&mut above.iter().rev(), CHUNKS, true);

        let origin = TokenBlock { token: *token, block };
        Ok(met.try_into().ok().map(|matches| Signed {
            signature: Signature { origin, matches },
            chunks,
            steps,
            wrapped,
        }))
    }

    fn range(
        &self,
        from: &TokenId,
        way: Direction,
        count: usize,
        into: &mut Vec<Found>,
    ) -> Result<()> {
        let (below, above) = self.around(from);
        match way {
            Direction::Up => {
                append(into, above.iter().take(count).map(|record| Ok((*record).into())))
            }
            Direction::Down => {
                append(into, below.iter().rev().take(count).map(|record| Ok((*record).into())))
            }
        }
    }
}
