//! The store itself.

use std::ops::ControlFlow;
use std::path::Path;

use ringstore::{
    Batch, BlockTime, Durability, LoadOptions, Options, PeerId, Record, Result, Signed, Store,
    TokenId,
};

use super::{Database, Durable, Engine, Needs, Order, Reader};

/// [`Store`], which takes records in any order.
pub struct Ringstore;

impl Engine for Ringstore {
    fn name(&self) -> &'static str {
        "ringstore"
    }

    fn load(
        &self,
        directory: &Path,
        records: &[Record],
        _order: Order,
    ) -> Result<Box<dyn Database>> {
        let store = Store::create(directory, &Options::new())?;
        store.bulk_load(records.iter().copied().map(Ok), &LoadOptions::new())?;
        Ok(Box::new(store))
    }

    fn open(&self, directory: &Path, _records: usize) -> Result<Option<Box<dyn Durable>>> {
        Ok(Some(Box::new(Store::open(directory, &Options::new())?)))
    }

    fn needs(&self) -> Needs {
        Needs::per_token(150, 160).with_memory_max(1200 << 20)
    }
}

impl Database for Store {
    /// Compares all checksums, as reads of everything would in time.
    fn warm_up(&self) -> Result<()> {
        let report = self.verify(&|_| ControlFlow::Continue(()))?;
        report.damages.into_iter().next().map_or(Ok(()), |damage| Err(damage.into()))
    }

    fn get_many(&self, tokens: &[TokenId], found: &mut Vec<Option<BlockTime>>) -> Result<()> {
        self.snapshot().get_many(tokens, found)
    }

    fn sign_many(
        &self,
        tokens: &[TokenId],
        peer: &PeerId,
        signed: &mut Vec<Option<Signed>>,
    ) -> Result<()> {
        let challenges: Vec<_> = tokens.iter().map(|token| (*token, *peer)).collect();
        self.snapshot().sign_many(&challenges, signed)
    }

    fn reader(&self) -> Result<Option<Reader<'_>>> {
        Ok(Some(Box::new(self.clone())))
    }
}

impl Durable for Store {
    fn commit(&mut self, records: &[Record]) -> Result<()> {
        let mut batch = Batch::with_capacity(records.len());
        for record in records {
            batch.set(record.token, record.value());
        }
        self.commit_with(&batch, Durability::Synced).map(drop)
    }
}
