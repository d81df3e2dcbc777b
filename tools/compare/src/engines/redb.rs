//! Tokens in redb, as the library's own reference has them.

use std::path::Path;

use ringstore::{Error, ReDbTokens, Record, Result};

use super::shared::Shared;
use super::{Database, Durable, Engine, Needs, Order, Reader};

/// [`ReDbTokens`], with a cache for all that it holds.
pub struct Redb;

impl Engine for Redb {
    fn name(&self) -> &'static str {
        "redb"
    }

    fn load(
        &self,
        directory: &Path,
        records: &[Record],
        order: Order,
    ) -> Result<Box<dyn Database>> {
        std::fs::create_dir_all(directory).map_err(|source| Error::Io {
            operation: "create",
            path: directory.into(),
            source,
        })?;
        let mut tokens =
            ReDbTokens::create_with_cache(directory.join(FILE), cache_bytes(records.len()))?;
        let records = records.iter().map(|record| (*record).into());
        match order {
            Order::Sorted => drop(tokens.load_sorted(records)?),
            // Not looked for before, for all are different.
            Order::Random => {
                tokens.write_many(records.map(|(token, value)| (token, Some(value))))?;
            }
        }
        Ok(Box::new(tokens))
    }

    fn open(&self, directory: &Path, records: usize) -> Result<Option<Box<dyn Durable>>> {
        let tokens = ReDbTokens::open_with_cache(directory.join(FILE), cache_bytes(records))?;
        Ok(Some(Box::new(tokens)))
    }

    fn needs(&self) -> Needs {
        Needs::per_token(150, 200)
    }
}

const FILE: &str = "tokens";

/// What so many records take on disk, and half as much again.
fn cache_bytes(records: usize) -> usize {
    records * 171 + (64 << 20)
}

impl Database for ReDbTokens {
    fn reader(&self) -> Result<Option<Reader<'_>>> {
        Ok(Some(Box::new(Shared(self))))
    }
}

impl Durable for ReDbTokens {
    fn commit(&mut self, records: &[Record]) -> Result<()> {
        self.set_many(records.iter().map(|record| (*record).into())).map(drop)
    }
}
