//! What was written above what a load brings.
//!
//! A load is as if it came last: of each token, its record counts where the token is not there,
//! or older. But what was written while it was under way lies above it. So each such entry is
//! decided anew: what it leaves there, against the load's record.

use std::cell::RefCell;

use super::compaction::{Inputs, LayerSource};
use super::layers::Outlined;
use crate::error::Result;
use crate::format::kinds::Kind;
use crate::token::{BlockTime, Record, TokenId};

/// What becomes of an entry above a value, where a load may bring a record of its token;
/// `None` if there is nothing left to be done.
pub(crate) fn settled(
    record: &Record,
    kind: Kind,
    loaded: Option<&Record>,
    below: Option<BlockTime>,
) -> Option<(Record, Kind)> {
    let is_removed = kind == Kind::Tombstone;
    let newer = loaded.filter(|loaded| is_removed || record.time() < loaded.time());
    let record = newer.unwrap_or(record);
    match below {
        _ if is_removed && newer.is_none() => below.map(|_| (*record, Kind::Tombstone)),
        None => Some((*record, Kind::Fresh)),
        Some(below) => (below != record.value()).then_some((*record, Kind::Update)),
    }
}

/// Says what becomes of entries, which come in the order of their tokens.
pub(crate) type Settle<'a> = &'a mut dyn FnMut(&Record, Kind) -> Result<Option<(Record, Kind)>>;

/// Layers that are to lie above a load, as one.
pub(crate) struct LayersAboveLoad<'a> {
    inputs: &'a Inputs,
    settle: RefCell<Settle<'a>>,
}

impl<'a> LayersAboveLoad<'a> {
    pub(crate) fn new(inputs: &'a Inputs, settle: Settle<'a>) -> Self {
        Self { inputs, settle: RefCell::new(settle) }
    }
}

impl LayerSource for LayersAboveLoad<'_> {
    fn records_max(&self) -> Result<u64> {
        self.inputs.records_max()
    }

    fn bounds(&self) -> Result<Option<(TokenId, TokenId)>> {
        self.inputs.bounds()
    }

    fn run(&self, visit: &mut dyn FnMut(&Record, Kind) -> Result<()>) -> Result<Vec<Outlined>> {
        let mut settle = self.settle.borrow_mut();
        // Where they lie in the base is found out anew, as that may be another one.
        self.inputs.run(&mut |record, kind| match settle(record, kind)? {
            Some((record, kind)) => visit(&record, kind),
            None => Ok(()),
        })?;
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(time: u64) -> Record {
        Record::new(7.into(), value(time))
    }

    fn value(time: u64) -> BlockTime {
        BlockTime::new(time.into(), time)
    }

    /// Each entry, above each value, with each record of a load: the state is that of a load
    /// that came last, and the kind is true of what is below.
    #[test]
    fn it_is_as_if_the_load_came_last() {
        let times = [None, Some(1), Some(2), Some(3)];
        for (entry, loaded) in times.into_iter().flat_map(|a| times.map(|b| (a, b))) {
            for below in times {
                let (old, kind) = match entry {
                    Some(time) => (record(time), Kind::Update),
                    None => (record(0), Kind::Tombstone),
                };
                let settled = settled(&old, kind, loaded.map(record).as_ref(), below.map(value));
                // Of equally new ones the one that was there.
                let expected = entry.max(loaded);
                let found = match settled {
                    None => below,
                    Some((_, Kind::Tombstone)) => None,
                    Some((record, _)) => Some(record.time()),
                };
                assert_eq!(found, expected, "{entry:?} {loaded:?} {below:?}");
                if let Some((_, kind)) = settled {
                    assert_eq!(kind == Kind::Fresh, below.is_none());
                }
            }
        }
    }
}
