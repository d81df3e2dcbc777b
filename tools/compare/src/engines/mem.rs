//! Tokens in a `BTreeMap`: what a program would do without a database. Nothing of it is
//! on disk.

use std::path::Path;

use ringstore::{MemTokens, Record, Result};

use super::shared::Shared;
use super::{Database, Engine, Needs, Order, Reader};

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

    fn is_durable(&self) -> bool {
        false
    }

    fn needs(&self) -> Needs {
        Needs::per_token(120, 0)
    }
}

impl Database for MemTokens {
    fn reader(&self) -> Result<Option<Reader<'_>>> {
        Ok(Some(Box::new(Shared(self))))
    }
}
