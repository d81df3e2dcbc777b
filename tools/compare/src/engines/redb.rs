//! Tokens in redb, as the library's own reference has them.

use std::path::Path;

use ringstore::{Error, ReDbTokens, Record, Result};

use super::{Database, Engine, Order};

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
        // What it takes on disk, and half as much again.
        let cache_bytes = records.len() * 171 + (64 << 20);
        let mut tokens = ReDbTokens::create_with_cache(directory.join("tokens"), cache_bytes)?;
        let records = records.iter().map(|record| (*record).into());
        match order {
            Order::Sorted => tokens.load_sorted(records)?,
            Order::Random => tokens.set_many(records)?,
        };
        Ok(Box::new(tokens))
    }
}

impl Database for ReDbTokens {}
