//! Filling the engines, in turns.
//!
//! What a load takes says little without what the disk takes. So beside the engines
//! stands `raw`, which writes as many bytes as ringstore's files have at the most, one after
//! the other, and syncs them once.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ringstore::Record;
use ringstore::testing::random::Random;

use crate::engines::{Database, Durable, Engine, Order};
use crate::exit::Failure;
use crate::page_cache;
use crate::talk::{self, say};
use crate::timing::Times;
use crate::turns::{guarded, in_turns};

/// The name of what writes bytes and nothing else.
pub(crate) const RAW: &str = "raw";

/// What ringstore's files have at the most, for each token of many.
pub(crate) const RAW_BYTES_PER_TOKEN: u64 = 75;

/// What a file's number of blocks is told in, whatever the file system has.
const BLOCK_BYTES: u64 = 512;

/// Bytes that `raw` writes at once.
const RAW_WRITE_BYTES: usize = 2 << 20;

/// The directory of a database; gone with all that is in it once nobody has it.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        // Where that has to be known, it was removed before.
        let _ = remove(&self.0);
    }
}

/// A database, in a directory of its own.
pub(crate) struct Loaded {
    pub(crate) engine: &'static dyn Engine,
    // Closed before its directory goes.
    pub(crate) database: Box<dyn Database>,
    directory: Directory,
}

impl Loaded {
    /// Closes the database.
    pub(crate) fn close(self) -> Result<Closed, Failure> {
        let Self { engine, database, directory } = self;
        // Some engines give back room when they are closed.
        drop(database);
        // Some have no files.
        let bytes = if directory.0.exists() { bytes_in(&directory.0)? } else { 0 };
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
    directory: Directory,
    /// What its files had when it was closed first.
    pub(crate) bytes: u64,
}

impl Closed {
    /// Opens the database, made of so many records; `None` if its engine keeps nothing.
    pub(crate) fn open(&self, records: usize) -> Result<Option<Box<dyn Durable>>, Failure> {
        Ok(self.engine.open(&self.directory.0, records)?)
    }

    /// Puts the files out of the system's cache; how many bytes of them stay there.
    pub(crate) fn evict(&self) -> Result<u64, Failure> {
        // Some engines have none.
        if self.directory.0.exists() { page_cache::evict(&self.directory.0) } else { Ok(0) }
    }

    /// Removes the database.
    pub(crate) fn remove(&self) -> Result<(), Failure> {
        remove(&self.directory.0)
    }
}

/// What all engines are filled with, and where.
pub(crate) struct Loads<'a> {
    pub(crate) engines: &'a [&'static dyn Engine],
    pub(crate) directory: &'a Path,
    pub(crate) records: &'a [Record],
    pub(crate) order: Order,
}

/// What came of filling one engine: the database of the last round, and how long it took.
pub(crate) type Filled = Result<(Loaded, Times), Failure>;

impl Loads<'_> {
    /// Fills every engine once, and times nothing.
    pub(crate) fn once(&self) -> Vec<Result<Loaded, Failure>> {
        talk::stage(format_args!("loading, {}", self.order), self.engines.len());
        let load = |engine: &&'static dyn Engine| Ok(self.load(*engine)?.0);
        self.engines.iter().map(load).collect()
    }

    /// Fills every engine in each round, another one first each time; then how long it
    /// takes to write as many bytes as ringstore's files have at the most.
    pub(crate) fn in_turns(&self, rounds: usize) -> (Vec<Filled>, Result<Times, Failure>) {
        let contestants = self.engines.len() + 1;
        talk::stage(format_args!("loading, {}", self.order), rounds * contestants);
        let mut times: Vec<_> = (0..contestants).map(|_| Times::new()).collect();
        let mut kept: Vec<_> = self.engines.iter().map(|_| None).collect();
        let outcomes = in_turns(contestants, 0..rounds, |round, at| {
            let elapsed = match self.engines.get(at) {
                None => {
                    talk::turn(RAW);
                    let bytes = self.records.len() as u64 * RAW_BYTES_PER_TOKEN;
                    write_raw(self.directory.join(RAW), bytes)?
                }
                Some(engine) => {
                    let (loaded, elapsed) = self.load(*engine)?;
                    if round + 1 == rounds {
                        kept[at] = Some(loaded);
                    } else {
                        loaded.remove()?;
                    }
                    elapsed
                }
            };
            times[at].add_round(1, elapsed);
            times[at].add_single(elapsed);
            Ok(())
        });
        let mut outcomes: Vec<_> = outcomes
            .into_iter()
            .zip(times)
            .map(|(outcome, times)| outcome.map(|()| times))
            .collect();
        let raw = outcomes.pop().unwrap_or_else(|| unreachable!("one more than engines"));
        let filled = outcomes.into_iter().zip(kept).map(|(times, loaded)| {
            let times = times?;
            let loaded = loaded.unwrap_or_else(|| unreachable!("kept in the last round"));
            Ok((loaded, times))
        });
        (filled.collect(), raw)
    }

    /// Fills an engine. If that fails, nothing is left of it.
    fn load(&self, engine: &'static dyn Engine) -> Result<(Loaded, Duration), Failure> {
        let name = engine.name();
        talk::turn(name);
        let directory = Directory(self.directory.join(format!("{name}-{}", self.order)));
        let started = Instant::now();
        let database = guarded(|| Ok(engine.load(&directory.0, self.records, self.order)?))?;
        let elapsed = started.elapsed();
        say(format_args!("{name} loaded, {}, in {:.2} s", self.order, elapsed.as_secs_f64()));
        Ok((Loaded { engine, database, directory }, elapsed))
    }
}

/// Writes and syncs so many bytes in a new file, and removes it.
fn write_raw(directory: PathBuf, bytes: u64) -> Result<Duration, Failure> {
    let mut random = Random::new("raw", 1);
    // Not zeros, which a file system may treat as nothing.
    let buffer: Vec<u8> = (0..RAW_WRITE_BYTES / 64).flat_map(|_| random.bytes::<64>()).collect();
    let directory = Directory(directory);
    fs::create_dir(&directory.0).map_err(Failure::io("create", &directory.0))?;
    let path = directory.0.join("bytes");
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
    remove(&directory.0)?;
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

/// How many bytes the files in a directory have on disk, and those in directories below. A
/// file may be longer than what was written to it: redb's grows by steps, and has room then
/// that takes none.
pub(crate) fn bytes_in(directory: &Path) -> Result<u64, Failure> {
    let failed = || Failure::io("read", directory);
    let mut bytes = 0;
    for entry in fs::read_dir(directory).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let metadata = entry.metadata().map_err(failed())?;
        bytes += if metadata.is_dir() {
            bytes_in(&entry.path())?
        } else {
            metadata.blocks() * BLOCK_BYTES
        };
    }
    Ok(bytes)
}

#[cfg(test)]
impl<'a> Loads<'a> {
    /// Of every engine, in order.
    pub(crate) fn of_all_engines(directory: &'a Path, records: &'a [Record]) -> Self {
        Self { engines: crate::engines::ALL, directory, records, order: Order::Sorted }
    }
}

#[cfg(test)]
mod tests {
    use ringstore::testing::keys::KeyFamily;

    use ringstore::Error;

    use super::*;
    use crate::data;
    use crate::engines::{self, Needs};

    #[test]
    fn every_round_has_every_engine_and_leaves_the_last() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = temporary.path();
        let records = data::records(KeyFamily::Uniform, 1_000);
        let loads = Loads::of_all_engines(directory, &records);
        let (filled, raw) = loads.in_turns(3);
        assert_eq!(raw.unwrap().operations(), 3);
        assert_eq!(filled.len(), engines::ALL.len());
        for (filled, engine) in filled.into_iter().zip(engines::ALL) {
            let (loaded, times) = filled.unwrap();
            assert_eq!(loaded.engine.name(), engine.name());
            assert_eq!(times.operations(), 3);
            assert!(times.p50_ns().is_some() && times.p99_ns().is_none());
            assert_eq!(loaded.database.len().unwrap(), 1_000);
            let bytes = loaded.remove().unwrap();
            assert_eq!(bytes >= 72_000, engine.name() != "mem", "{}: {bytes}", engine.name());
        }
        assert_eq!(fs::read_dir(directory).unwrap().count(), 0);
    }

    #[test]
    fn what_takes_no_room_does_not_count() {
        let temporary = tempfile::tempdir().unwrap();
        fs::create_dir(temporary.path().join("below")).unwrap();
        let file = File::create(temporary.path().join("below/sparse")).unwrap();
        file.set_len(1 << 20).unwrap();
        assert_eq!(bytes_in(temporary.path()).unwrap(), 0);
        fs::write(temporary.path().join("below/full"), [7; 10_000]).unwrap();
        file.sync_all().unwrap();
        let bytes = bytes_in(temporary.path()).unwrap();
        assert!((10_000..100_000).contains(&bytes), "{bytes}");
    }

    /// Fails, or panics, after it has made a file.
    struct Failing(Option<&'static str>);

    impl Engine for Failing {
        fn name(&self) -> &'static str {
            "failing"
        }

        fn load(&self, path: &Path, _: &[Record], _: Order) -> Result<Box<dyn Database>, Error> {
            fs::create_dir(path).unwrap();
            fs::write(path.join("file"), "half").unwrap();
            match self.0 {
                Some(reason) => Err(Error::backend("failing", reason)),
                None => panic!("an assertion failed"),
            }
        }

        fn needs(&self) -> Needs {
            Needs::per_token(0, 0)
        }
    }

    #[test]
    fn an_engine_that_fails_leaves_nothing_and_the_others_are_filled() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = temporary.path();
        let records = data::records(KeyFamily::Uniform, 100);
        let ringstore = engines::named("ringstore").unwrap();
        for (failing, told) in [
            (&Failing(Some("the disk is full")) as &dyn Engine, "failing: the disk is full"),
            (&Failing(None), "panicked: an assertion failed"),
        ] {
            let engines = &[failing, ringstore];
            let loads = Loads { engines, directory, records: &records, order: Order::Random };
            let (filled, raw) = loads.in_turns(2);
            assert_eq!(raw.unwrap().operations(), 2);
            let [failed, filled]: [_; 2] = filled.try_into().ok().unwrap();
            assert!(failed.err().unwrap().to_string().contains(told));
            let (loaded, times) = filled.unwrap();
            assert_eq!((times.operations(), loaded.database.len().unwrap()), (2, 100));
            loaded.remove().unwrap();
            assert_eq!(fs::read_dir(directory).unwrap().count(), 0);
        }
    }
}
