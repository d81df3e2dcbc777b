//! What was written above what a load brings.
//!
//! A load is as if it came last: of each token, its record counts where the token is not there,
//! or older. But what was written while it was under way lies above it. So each such entry is
//! decided anew: what it leaves there, against the load's record.

use super::compaction::{Inputs, LayerSource};
use super::layers::Outlined;
use crate::error::Result;
use crate::format::kinds::Kind;
use crate::token::{BlockTime, Record, TokenId};

/// What a load makes of an entry: its record, and its kind above what is below with the
/// load. `None` if that is right without it.
pub(crate) trait AboveLoad {
    fn settle(&self, record: &Record, kind: Kind) -> Result<Option<(Record, Kind)>>;
}

/// What becomes of an entry of a token that a load brings as well, above a value.
pub(crate) fn settled(
    record: &Record,
    kind: Kind,
    loaded: &Record,
    below: Option<BlockTime>,
) -> Option<(Record, Kind)> {
    let is_older = kind == Kind::Tombstone || record.time() < loaded.time();
    let record = if is_older { loaded } else { record };
    match below {
        None => Some((*record, Kind::Fresh)),
        Some(below) => (below != record.value()).then_some((*record, Kind::Update)),
    }
}

/// Layers that are to lie above a load, as one.
pub(crate) struct LayersAboveLoad<'a> {
    pub(crate) inputs: &'a Inputs,
    pub(crate) load: &'a dyn AboveLoad,
}

impl LayerSource for LayersAboveLoad<'_> {
    fn records_max(&self) -> Result<u64> {
        self.inputs.records_max()
    }

    fn bounds(&self) -> Result<Option<(TokenId, TokenId)>> {
        self.inputs.bounds()
    }

    fn run(&self, visit: &mut dyn FnMut(&Record, Kind) -> Result<()>) -> Result<Vec<Outlined>> {
        // Where they lie in the base is found out anew, as that may be another one.
        self.inputs.run(&mut |record, kind| match self.load.settle(record, kind)? {
            Some((record, kind)) => visit(&record, kind),
            None => Ok(()),
        })?;
        Ok(Vec::new())
    }
}
