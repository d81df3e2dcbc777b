//! Whether there is enough disk and memory for what is asked, found out before hours are
//! spent on it.
//!
//! What engines need is what they were seen to need with ten million random tokens, rounded
//! up. All databases are there at the same time, in each order once.

use std::path::Path;

use bytesize::ByteSize;
use ringstore::{Record, TokenId};
use sysinfo::{MemoryRefreshKind, System};

use crate::engines::Engine;
use crate::exit::Failure;
use crate::load::RAW_BYTES_PER_TOKEN;
use crate::talk::say;

/// Whatever the number of tokens is: the questions, logs, buffers.
const MEMORY_BYTES: u64 = 256 << 20;
const DISK_BYTES_PER_ENGINE: u64 = 64 << 20;

/// What is needed, or what there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Room {
    /// Of the program's own.
    memory: u64,
    disk: u64,
}

impl Room {
    /// What it takes to make so many tokens, and to store a share of them in these engines.
    pub(crate) fn needed(all: u64, density: f64, engines: &[&'static dyn Engine]) -> Self {
        let tokens = (all as f64 * density) as u64;
        let needs = || engines.iter().map(|engine| engine.needs());
        let memory: u64 = needs().map(|needs| needs.memory_bytes(tokens)).sum();
        let disk: u64 = needs().map(|needs| needs.disk_bytes(tokens)).sum();
        let [id, record] = [size_of::<TokenId>(), size_of::<Record>()].map(|bytes| bytes as u64);
        // Tokens are made, then records of them, of which some are stored.
        let making = all * (id + record);
        Self {
            memory: MEMORY_BYTES + making.max(tokens * record + memory),
            disk: DISK_BYTES_PER_ENGINE * engines.len() as u64
                + tokens * RAW_BYTES_PER_TOKEN
                + disk,
        }
    }

    /// What there is in this directory, and of memory.
    pub(crate) fn available(directory: &Path) -> Result<Self, Failure> {
        let disk = fs2::available_space(directory);
        let disk = disk.map_err(Failure::io("tell the free space of", directory))?;
        let mut system = System::new();
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let memory = system.available_memory();
        // In a container there may be less. What the system caches of files can be had.
        let limit = system.cgroup_limits();
        let limit = limit.map_or(u64::MAX, |limit| limit.total_memory.saturating_sub(limit.rss));
        Ok(Self { memory: memory.min(limit), disk })
    }

    /// Fails if more is needed than there is, and warns if not all will be in memory.
    pub(crate) fn check(self, available: Self) -> Result<(), Failure> {
        let bytes = |bytes| ByteSize(bytes).to_string();
        let mut lacking = Vec::new();
        for (what, needed, available) in
            [("memory", self.memory, available.memory), ("disk", self.disk, available.disk)]
        {
            if needed > available {
                let (needed, available) = (bytes(needed), bytes(available));
                lacking.push(format!("{needed} of {what} are needed, and {available} are free"));
            }
        }
        if lacking.is_empty() {
            if self.memory + self.disk / 2 > available.memory {
                say("memory may not hold all files: some figures may be those of the disk");
            }
            return Ok(());
        }
        Err(Failure::Room(format!(
            "{}; take fewer --tokens or --engines, or another --dir, or try it in any case with \
             --ignore-room",
            lacking.join("; ")
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::{self, Needs, mem::Mem, ringstore::Ringstore};

    #[test]
    fn more_tokens_and_more_engines_need_more() {
        let ringstore = Room::needed(1_000_000, 1.0, &[&Ringstore]);
        let both = Room::needed(1_000_000, 1.0, &[&Ringstore, &Mem]);
        assert!(both.memory > ringstore.memory && both.disk >= ringstore.disk);
        let all = Room::needed(1_000_000, 1.0, engines::ALL);
        assert!(all.memory >= both.memory && all.disk >= both.disk);
        let tenfold = Room::needed(10_000_000, 1.0, &[&Ringstore]);
        assert!(tenfold.disk > 5 * ringstore.disk && tenfold.disk < 20 * ringstore.disk);
        // All are made, however few are stored.
        let few = Room::needed(1_000_000_000, 1e-9, &[&Ringstore]);
        assert!(few.memory > 100_000_000_000 && few.disk < 1 << 30, "{few:?}");
        let bounded = Needs::per_token(100, 0).with_memory_max(500);
        assert_eq!([3, 5, 7].map(|tokens| bounded.memory_bytes(tokens)), [300, 500, 500]);
    }

    #[test]
    fn this_machine_has_some() {
        let room = Room::available(&std::env::temp_dir()).unwrap();
        assert!(room.memory > 0 && room.disk > 0, "{room:?}");
        let nowhere = Room::available(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(nowhere.to_string().contains("/nowhere/at/all"), "{nowhere}");
    }

    #[test]
    fn what_is_lacking_is_told() {
        let gib = |memory: u64, disk: u64| Room { memory: memory << 30, disk: disk << 30 };
        assert!(gib(4, 10).check(gib(4, 10)).is_ok());
        let told = |needed: Room| needed.check(gib(4, 10)).unwrap_err().to_string();
        let memory = told(gib(5, 10));
        assert!(memory.contains("5.0 GiB of memory are needed, and 4.0 GiB are free"), "{memory}");
        assert!(!memory.contains("of disk"), "{memory}");
        let disk = told(gib(4, 11));
        assert!(disk.contains("11.0 GiB of disk are needed, and 10.0 GiB are free"), "{disk}");
        let both = told(gib(5, 11));
        assert!(both.contains("of memory") && both.contains("of disk"), "{both}");
        assert!(both.contains("--ignore-room"), "{both}");
    }
}
