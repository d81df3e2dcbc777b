//! The changes that all engines make alike.

use std::array;

use ringstore::{BlockTime, Record, TokenId};

use crate::random::RandomRecords;

/// Changes of a batch.
pub(super) const BATCH_LEN: usize = 6;

/// A change of a token.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Put(Record),
    Set(Record),
    Remove(TokenId),
}

impl Change {
    pub(super) fn token(&self) -> TokenId {
        match *self {
            Self::Put(record) | Self::Set(record) => record.token,
            Self::Remove(token) => token,
        }
    }

    /// What the token maps to once the change took place.
    pub(super) fn value(&self) -> Option<BlockTime> {
        match self {
            Self::Put(record) | Self::Set(record) => Some(record.value()),
            Self::Remove(_) => None,
        }
    }

    /// Whether it takes place where the token has this value, or none.
    pub(super) fn takes_place(&self, found: Option<&BlockTime>) -> bool {
        match self {
            Self::Put(_) => true,
            Self::Set(record) => found.is_none_or(|found| found.time < record.time()),
            Self::Remove(_) => found.is_some(),
        }
    }
}

/// Batches of changes of some of these tokens, and of some of them several times.
pub(super) fn make_batches(
    tokens: &[TokenId],
    count: usize,
    random: RandomRecords,
) -> Vec<Vec<Change>> {
    let changes = random.map(|random| {
        let index = u64::from_be_bytes(array::from_fn(|at| random.token.0[at]));
        let token = tokens[(index % tokens.len() as u64) as usize];
        let record = Record::new(token, random.value());
        match random.token.0[31] % 3 {
            0 => Change::Put(record),
            1 => Change::Set(record),
            _ => Change::Remove(token),
        }
    });
    let changes: Vec<_> = changes.take(count * BATCH_LEN).collect();
    changes.chunks(BATCH_LEN).map(<[_]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::super::engines::NaiveArray;
    use super::*;

    #[test]
    fn batches_hold_every_kind_of_change() {
        let tokens: Vec<_> = (0..20).map(TokenId::from).collect();
        let batches = make_batches(&tokens, 50, RandomRecords::new(1));
        assert_eq!(batches.len(), 50);
        assert!(batches.iter().all(|batch| batch.len() == BATCH_LEN));
        let expected = NaiveArray(Vec::new()).apply(&batches);
        for (name, kind) in [("put", 0), ("set", 1), ("remove", 2)] {
            let of_kind = |change: &Change| match change {
                Change::Put(_) => kind == 0,
                Change::Set(_) => kind == 1,
                Change::Remove(_) => kind == 2,
            };
            let changes = batches.iter().flatten().zip(expected.iter().flatten());
            let (made, not): (Vec<_>, Vec<_>) =
                changes.filter(|(change, _)| of_kind(change)).partition(|(_, made)| **made);
            assert!(made.len() > 20, "{name}");
            assert_eq!(not.is_empty(), kind == 0, "{name}");
        }
    }
}
