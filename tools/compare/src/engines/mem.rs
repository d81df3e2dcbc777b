//! Tokens in a `BTreeMap`: what a program would do without a database. Nothing of it is
//! on disk.

use std::path::Path;

use ringstore::{MemTokens, Record, Result};

use super::{Database, Engine, Order};

/// [`MemTokens`].
pub struct Mem;

impl Engine for Mem {
    fn name(&self) -> &'static str {
        "mem"
    }

    fn load(
        &self,
        _directory: &Path,
        records: &[Record],
        _order: Order,
    ) -> Result<Box<dyn Database>> {
        let records = records.iter().map(|record| (*record).into());
        Ok(Box::new(records.collect::<MemTokens>()))
    }
}

impl Database for MemTokens {}
