//! Filling the engines, in turns.
//!
//! What a load takes says little without what the disk takes. So beside the engines
//! stands `raw`, which writes as many bytes as ringstore's files have, one after the
//! other, and syncs them once.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ringstore::Record;
use ringstore::testing::random::Random;

use crate::engines::{self, Database, Durable, Engine, Order};
use crate::exit::Failure;
use crate::talk::say;
use crate::timing::Times;

/// The name of what writes bytes and nothing else.
pub(crate) const RAW: &str = "raw";

/// Bytes that `raw` writes at once.
const RAW_WRITE_BYTES: usize = 2 << 20;

/// A database, in a directory of its own.
pub(crate) struct Loaded {
    pub(crate) engine: &'static dyn Engine,
    pub(crate) database: Box<dyn Database>,
    directory: PathBuf,
}

impl Loaded {
    /// Closes the database.
    pub(crate) fn close(self) -> Result<Closed, Failure> {
        let Self { engine, database, directory } = self;
        // Some engines give back room when they are closed.
        drop(database);
        // Some have no files.
        let bytes = if directory.exists() { bytes_in(&directory)? } else { 0 };
        Ok(Closed { engine, directory, bytes })
    }

    /// Closes the database and removes it; how many bytes its files had.
    pub(crate) fn remove(self) -> Result<u64, Failure> {
        let closed = self.close()?;
        closed.remove()?;
        Ok(closed.bytes)
    }
}

/// A database that was closed, in its directory.
pub(crate) struct Closed {
    pub(crate) engine: &'static dyn Engine,
    directory: PathBuf,
    /// What its files had when it was closed first.
    pub(crate) bytes: u64,
}

impl Closed {
    /// Opens the database, made of so many records; `None` if its engine keeps nothing.
    pub(crate) fn open(&self, records: usize) -> Result<Option<Box<dyn Durable>>, Failure> {
        Ok(self.engine.open(&self.directory, records)?)
    }

    /// Removes the database.
    pub(crate) fn remove(&self) -> Result<(), Failure> {
        remove(&self.directory)
    }
}

/// What all engines are filled with, and where.
pub(crate) struct Loads<'a> {
    pub(crate) engines: &'a [&'static dyn Engine],
    pub(crate) directory: &'a Path,
    pub(crate) records: &'a [Record],
    pub(crate) order: Order,
}

impl Loads<'_> {
    /// Fills every engine once, and times nothing.
    pub(crate) fn once(&self) -> Result<Vec<Loaded>, Failure> {
        let load = |engine| Ok(self.load(engine)?.0);
        self.engines.iter().map(|engine| load(*engine)).collect()
    }

    /// Fills every engine in each round, another one first each time. Gives the databases
    /// of the last round, with how long each engine took; then how long it takes to
    /// write `raw_bytes`.
    pub(crate) fn in_turns(
        &self,
        rounds: usize,
        raw_bytes: u64,
    ) -> Result<(Vec<(Loaded, Times)>, Times), Failure> {
        let mut times: Vec<_> = self.engines.iter().map(|_| Times::new()).collect();
        let mut raw = Times::new();
        let mut kept: Vec<_> = self.engines.iter().map(|_| None).collect();
        let contestants = self.engines.len() + 1;
        for round in 0..rounds {
            for turn in 0..contestants {
                let at = (round + turn) % contestants;
                let Some(engine) = self.engines.get(at) else {
                    let elapsed = write_raw(&self.directory.join(RAW), raw_bytes)?;
                    raw.add_round(1, elapsed);
                    raw.add_single(elapsed);
                    continue;
                };
                let (loaded, elapsed) = self.load(*engine)?;
                times[at].add_round(1, elapsed);
                times[at].add_single(elapsed);
                if round + 1 == rounds {
                    kept[at] = Some(loaded);
                } else {
                    loaded.remove()?;
                }
            }
        }
        Ok((kept.into_iter().flatten().zip(times).collect(), raw))
    }

    fn load(&self, engine: &'static dyn Engine) -> Result<(Loaded, std::time::Duration), Failure> {
        let directory = self.directory.join(format!("{}-{:?}", engine.name(), self.order));
        let started = Instant::now();
        let database = engine.load(&directory, self.records, self.order)?;
        let elapsed = started.elapsed();
        let (name, order) = (engine.name(), self.order);
        say(format_args!("{name} loaded, {order:?} order, in {:.2} s", elapsed.as_secs_f64()));
        Ok((Loaded { engine, database, directory }, elapsed))
    }
}

/// How many bytes the files of ringstore have for these records.
pub(crate) fn ringstore_bytes(directory: &Path, records: &[Record]) -> Result<u64, Failure> {
    let engines: &[&'static dyn Engine] = &[&engines::ringstore::Ringstore];
    let loads = Loads { engines, directory, records, order: Order::Sorted };
    loads.once()?.into_iter().map(Loaded::remove).sum()
}

/// Writes and syncs so many bytes in a new file, and removes it.
fn write_raw(directory: &Path, bytes: u64) -> Result<std::time::Duration, Failure> {
    let mut random = Random::new("raw", 1);
    // Not zeros, which a file system may treat as nothing.
    let buffer: Vec<u8> = (0..RAW_WRITE_BYTES / 64).flat_map(|_| random.bytes::<64>()).collect();
    fs::create_dir(directory).map_err(Failure::io("create", directory))?;
    let path = directory.join("bytes");
    let started = Instant::now();
    let mut file = File::create(&path).map_err(Failure::io("create", &path))?;
    let mut left = bytes;
    while left > 0 {
        let length = left.min(buffer.len() as u64);
        file.write_all(&buffer[..length as usize]).map_err(Failure::io("write", &path))?;
        left -= length;
    }
    file.sync_all().map_err(Failure::io("sync", &path))?;
    let elapsed = started.elapsed();
    drop(file);
    say(format_args!("{bytes} bytes written and synced in {:.2} s", elapsed.as_secs_f64()));
    remove(directory)?;
    Ok(elapsed)
}

/// Removes a directory, which need not exist. What there is to be written for that is
/// written, so that it falls to nobody's next turn.
fn remove(directory: &Path) -> Result<(), Failure> {
    if !directory.exists() {
        return Ok(());
    }
    fs::remove_dir_all(directory).map_err(Failure::io("remove", directory))?;
    let parent = directory.parent().unwrap_or(directory);
    let synced = File::open(parent).and_then(|parent| parent.sync_all());
    synced.map_err(Failure::io("sync", parent))
}

fn bytes_in(directory: &Path) -> Result<u64, Failure> {
    let failed = || Failure::io("read", directory);
    let mut bytes = 0;
    for entry in fs::read_dir(directory).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let metadata = entry.metadata().map_err(failed())?;
        bytes += if metadata.is_dir() { bytes_in(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use ringstore::testing::keys::KeyFamily;

    use super::*;
    use crate::data;

    #[test]
    fn every_round_has_every_engine_and_leaves_the_last() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = temporary.path();
        let records = data::records(KeyFamily::Uniform, 1_000);
        let loads =
            Loads { engines: engines::ALL, directory, records: &records, order: Order::Sorted };
        let (loaded, raw) = loads.in_turns(3, 5_000_000).unwrap();
        assert_eq!(raw.operations(), 3);
        assert_eq!(loaded.len(), engines::ALL.len());
        for ((loaded, times), engine) in loaded.into_iter().zip(engines::ALL) {
            assert_eq!(loaded.engine.name(), engine.name());
            assert_eq!(times.operations(), 3);
            assert!(times.p50_ns().is_some() && times.p99_ns().is_none());
            assert_eq!(loaded.database.len().unwrap(), 1_000);
            let bytes = loaded.remove().unwrap();
            assert_eq!(bytes >= 72_000, engine.name() != "mem", "{}: {bytes}", engine.name());
        }
        assert_eq!(fs::read_dir(directory).unwrap().count(), 0);
        let bytes = ringstore_bytes(directory, &records).unwrap();
        assert!((72_000..200_000).contains(&bytes), "{bytes}");
        assert_eq!(fs::read_dir(directory).unwrap().count(), 0);
    }
}
