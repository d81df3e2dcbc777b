//! The store itself.

use std::ops::ControlFlow;
use std::path::Path;

use ringstore::{
    Batch, BlockTime, Durability, LoadOptions, Options, PeerId, Record, Residency, Result, Signed,
    Store, TokenId,
};

use super::{Database, Durable, Engine, Needs, Order, Reader};

/// [`Store`], which takes records in any order.
pub struct Ringstore;

/// The same with its files kept in memory in another way.
struct Resident(Residency);

impl Ringstore {
    /// The engine with its files kept in memory like this.
    pub fn with(residency: Residency) -> &'static dyn Engine {
        match residency {
            Residency::Prefault => &Resident(Residency::Prefault),
            Residency::Locked => &Resident(Residency::Locked),
            Residency::HugePages => &Resident(Residency::HugePages),
            _ => &Self,
        }
    }
}

impl Engine for Ringstore {
    fn name(&self) -> &'static str {
        "ringstore"
    }

    fn load(
        &self,
        directory: &Path,
        records: &[Record],
        order: Order,
    ) -> Result<Box<dyn Database>> {
        Resident(Residency::Mapped).load(directory, records, order)
    }

    fn open(&self, directory: &Path, records: usize) -> Result<Option<Box<dyn Durable>>> {
        Resident(Residency::Mapped).open(directory, records)
    }

    fn needs(&self) -> Needs {
        Needs::per_token(150, 160).with_memory_max(1200 << 20)
    }
}

impl Engine for Resident {
    fn name(&self) -> &'static str {
        Ringstore.name()
    }

    fn load(
        &self,
        directory: &Path,
        records: &[Record],
        _order: Order,
    ) -> Result<Box<dyn Database>> {
        let store = Store::create(directory, &Options::new().residency(self.0))?;
        store.bulk_load(records.iter().copied().map(Ok), &LoadOptions::new())?;
        Ok(Box::new(store))
    }

    fn open(&self, directory: &Path, _records: usize) -> Result<Option<Box<dyn Durable>>> {
        Ok(Some(Box::new(Store::open(directory, &Options::new().residency(self.0))?)))
    }

    /// What is locked or copied is memory of its own, besides what a load takes.
    fn needs(&self) -> Needs {
        Needs::per_token(230, 160)
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
