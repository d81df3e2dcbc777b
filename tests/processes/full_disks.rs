//! A file system that is full: what has no room fails with an error that says so, changes
//! nothing, and is done by the same call once there is room.
//!
//! The file system is a small one in memory, which the test mounts for itself. All but so much
//! of it is taken by a file, from nothing left to enough, page by page: so room runs out at
//! each point of each operation. The same is done with the number of files that there can be,
//! and with the size that a file may have.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ringstore::testing::random::Random;
use ringstore::{
    Batch, BlockTime, Error, LoadOptions, Options, Record, Result, Snapshot, Store, TokenId,
    salvage,
};
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use tempfile::TempDir;

use crate::history::unwatched;
use crate::program::{Heard, arguments};
use crate::published::system::{directory, names};
use crate::tools::mounting;

const PLACE: &str = "RINGSTORE_FULL_DISK_PLACE";

const PAGE: u64 = 4_096;

/// What the file system has in all.
const SIZE: &str = "size=4m,nr_inodes=64";

/// So often in a row there was enough, and there will be.
const ENOUGH: usize = 3;

type Contents = BTreeMap<TokenId, BlockTime>;

fn options() -> Options {
    Options::new().log_bytes(16 << 10).delta_entries(400)
}

fn token(number: u64) -> TokenId {
    Random::new("full disk", number).token()
}

fn value(number: u64) -> BlockTime {
    BlockTime::new(number.into(), number)
}

fn contents(numbers: impl Iterator<Item = u64>) -> Contents {
    numbers.map(|number| (token(number), value(number))).collect()
}

fn load(store: &Store, contents: &Contents) -> Result<()> {
    let records = contents.iter().map(|(token, value)| Ok(Record::new(*token, *value)));
    store.bulk_load(records, &LoadOptions::new()).map(drop)
}

/// What a snapshot holds, read in two ways.
fn found(snapshot: &Snapshot) -> Contents {
    let found: Contents = snapshot.range(..).map(Result::unwrap).collect();
    assert_eq!(found.len() as u64, snapshot.len());
    for (token, value) in found.iter().step_by(50) {
        assert_eq!(snapshot.get(token).unwrap(), Some(*value));
    }
    found
}

/// What there is too little of.
#[derive(Clone, Copy)]
enum Scarce {
    /// So many bytes in each step.
    Pages,
    Files,
}

/// Takes all of a file system but so much, until it is dropped.
struct Filler(PathBuf);

impl Filler {
    fn leave(disk: &Path, scarce: Scarce, steps: u64) -> Self {
        let path = disk.join("filler");
        fs::create_dir(&path).unwrap();
        let stat = statvfs(disk).unwrap();
        match scarce {
            Scarce::Pages => {
                let file = File::create(path.join("bytes")).unwrap();
                let taken = (stat.f_bavail * stat.f_frsize).checked_sub(steps * PAGE);
                let taken = taken.expect("the file system is too small");
                if taken > 0 {
                    fallocate(&file, FallocateFlags::empty(), 0, taken).unwrap();
                }
            }
            Scarce::Files => {
                let taken = stat.f_favail.checked_sub(steps).expect("there can be too few files");
                for number in 0..taken {
                    File::create(path.join(number.to_string())).unwrap();
                }
            }
        }
        Self(path)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Where an operation is done.
struct Place {
    /// The small file system.
    disk: PathBuf,
    /// Another one, with a store of the contents before.
    elsewhere: PathBuf,
}

impl Place {
    fn store(&self) -> PathBuf {
        self.disk.join("store")
    }

    fn copy(&self) -> PathBuf {
        self.disk.join("copy")
    }
}

/// Something that takes room.
struct Operation {
    name: &'static str,
    before: Contents,
    after: Contents,
    /// Whether some of it may be done, and the rest not.
    is_gradual: bool,
    /// Makes the store that holds what there is before; none where it is to be made.
    prepare: fn(&Place, &Contents) -> Option<Store>,
    attempt: fn(&Place, Option<&Store>, &Contents) -> Result<()>,
    /// The store that then holds what there is after.
    result: fn(&Place) -> PathBuf,
    /// Refusals that there are at the least where pages are scarce.
    refused: usize,
}

fn is_no_space(error: &Error) -> bool {
    match error {
        Error::NoSpace { source, .. } | Error::Io { source, .. } => {
            source.kind() == io::ErrorKind::StorageFull
        }
        _ => false,
    }
}

/// No file is left of what was not done.
fn assert_tidy(store: &Path) {
    let is_ours = |name: &String| {
        let extension = name.rsplit_once('.').map(|(_, extension)| extension);
        matches!(extension, Some("seg" | "log")) || ["LOCK", "MANIFEST"].contains(&&**name)
    };
    let names = names(store);
    assert!(names.iter().all(is_ours), "{names:?}");
}

impl Operation {
    /// Does it with so much room, and once more with enough if that fails. Whether it did.
    fn is_refused(&self, place: &Place, scarce: Scarce, steps: u64) -> bool {
        let name = self.name;
        let store = (self.prepare)(place, &self.before);
        let filler = Filler::leave(&place.disk, scarce, steps);
        let attempt = || (self.attempt)(place, store.as_ref(), &self.after);
        let result = attempt();
        if let Err(error) = &result {
            assert!(is_no_space(error), "{name} with room for {steps}: {error:?}");
            let is_right = |contents: &Contents| {
                let keeps = |(token, value)| contents.get(token) == Some(value);
                let is_within = || {
                    self.after.iter().all(keeps)
                        && contents
                            .iter()
                            .all(|(token, value)| self.before.get(token) == Some(value))
                };
                *contents == self.before || self.is_gradual && is_within()
            };
            if let Some(store) = &store {
                assert!(is_right(&found(&store.snapshot())), "{name} with room for {steps}");
                let reader = Store::open_read_only(store.path(), &options()).unwrap();
                assert!(is_right(&found(&reader.snapshot())), "{name} with room for {steps}");
            } else {
                assert!(!(self.result)(place).exists() || self.name == "open");
            }
        }
        drop(filler);
        if result.is_err() {
            attempt().unwrap_or_else(|error| panic!("{name} after {steps}, with room: {error}"));
        }
        if let Some(store) = store {
            store.compact(&unwatched).unwrap();
            store.close().unwrap();
        }
        let store = Store::open((self.result)(place), &options()).unwrap();
        assert!(found(&store.snapshot()) == self.after, "{name} with room for {steps}");
        assert_eq!(store.verify(&unwatched).unwrap().damages, []);
        assert_tidy(store.path());
        store.close().unwrap();
        for path in [place.store(), place.copy()] {
            let _ = fs::remove_dir_all(path);
        }
        result.is_err()
    }

    /// Does it again and again, with more and more room, until there is enough.
    fn sweep(&self, place: &Place, scarce: Scarce) {
        let (mut refused, mut enough, mut steps) = (0, 0, 0);
        while enough < ENOUGH {
            let is_refused = self.is_refused(place, scarce, steps);
            refused += usize::from(is_refused);
            enough = if is_refused { 0 } else { enough + 1 };
            steps += 1;
        }
        let what = match scarce {
            Scarce::Pages => "pages",
            Scarce::Files => "files",
        };
        println!("{}: {refused} refused in {steps} steps of {what}", self.name);
        let least = match scarce {
            Scarce::Pages => self.refused,
            Scarce::Files => 1,
        };
        assert!(refused >= least, "{}: {refused} refused, not {least}", self.name);
    }
}

#[expect(clippy::unnecessary_wraps, reason = "one of those that prepare an operation")]
fn loaded(place: &Place, contents: &Contents) -> Option<Store> {
    let store = Store::create(place.store(), &options()).unwrap();
    load(&store, contents).unwrap();
    Some(store)
}

/// A part of it in layers above the large one, and some of it in memory; nothing of it is still
/// being done.
#[expect(clippy::unnecessary_wraps, reason = "one of those that prepare an operation")]
fn layered(place: &Place, contents: &Contents) -> Option<Store> {
    let store = Store::create(place.store(), &options().inline()).unwrap();
    let mut records = contents.iter().map(|(token, value)| (*token, *value));
    load(&store, &records.by_ref().take(contents.len() / 2).collect()).unwrap();
    let rest: Vec<_> = records.collect();
    for (number, records) in rest.chunks(rest.len().div_ceil(4)).enumerate() {
        for records in records.chunks(50) {
            let mut batch = Batch::new();
            for (token, value) in records {
                batch.put(*token, *value);
            }
            store.commit(&batch).unwrap();
        }
        if number < 3 {
            store.flush().unwrap();
        }
    }
    store.close().unwrap();
    Some(Store::open(place.store(), &options()).unwrap())
}

/// A store on the other file system, which stays.
fn elsewhere(place: &Place, contents: &Contents) {
    if !place.elsewhere.exists() {
        let store = Store::create(&place.elsewhere, &options()).unwrap();
        load(&store, contents).unwrap();
        store.close().unwrap();
    }
}

fn operations() -> Vec<Operation> {
    let base = || contents(0..2_000);
    let same = |name, refused| Operation {
        name,
        before: base(),
        after: base(),
        is_gradual: false,
        prepare: layered,
        attempt: |_, _, _| Ok(()),
        result: Place::store,
        refused,
    };
    vec![
        Operation {
            before: Contents::new(),
            after: Contents::new(),
            prepare: |_, _| None,
            attempt: |place, _, _| Store::create(place.store(), &options())?.close(),
            ..same("create", 1)
        },
        Operation {
            prepare: |place, contents| layered(place, contents)?.close().ok().and(None),
            attempt: |place, _, _| Store::open(place.store(), &options())?.close(),
            ..same("open", 2)
        },
        Operation {
            after: contents(0..5_000),
            prepare: loaded,
            attempt: |_, store, contents| load(store.unwrap(), contents),
            ..same("load", 50)
        },
        Operation {
            after: contents(0..2_300),
            prepare: loaded,
            attempt: |_, store, _| {
                let mut batch = Batch::new();
                for number in 2_000..2_300 {
                    batch.put(token(number), value(number));
                }
                store.unwrap().commit(&batch).map(drop)
            },
            ..same("commit", 4)
        },
        Operation { attempt: |_, store, _| store.unwrap().flush(), ..same("flush", 4) },
        Operation {
            attempt: |_, store, _| store.unwrap().compact(&unwatched),
            ..same("compact", 30)
        },
        Operation {
            after: contents(1_900..2_000),
            is_gradual: true,
            prepare: loaded,
            attempt: |_, store, _| store.unwrap().expire(1_900, &unwatched).map(drop),
            ..same("expire", 10)
        },
        Operation {
            attempt: |place, store, _| {
                store.unwrap().checkpoint(place.copy(), &unwatched).map(drop)
            },
            result: Place::copy,
            ..same("checkpoint", 4)
        },
        Operation {
            prepare: |place, contents| (elsewhere(place, contents), None).1,
            attempt: |place, _, _| {
                let store = Store::open_read_only(&place.elsewhere, &options())?;
                store.checkpoint(place.copy(), &unwatched).map(drop)
            },
            result: Place::copy,
            ..same("checkpoint from elsewhere", 30)
        },
        Operation {
            prepare: |place, contents| (elsewhere(place, contents), None).1,
            attempt: |place, _, _| salvage(&place.elsewhere, place.copy(), &unwatched).map(drop),
            result: Place::copy,
            ..same("salvage", 30)
        },
    ]
}

/// All of it, where a file system can be mounted; of no use by itself.
#[test]
fn inside() {
    let Some(place) = std::env::var_os(PLACE).map(PathBuf::from) else { return };
    let place = Place { disk: place.join("disk"), elsewhere: place.join("elsewhere") };
    fs::create_dir(&place.disk).unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(&place.disk);
    assert!(mount.status().unwrap().success());
    for operation in operations() {
        operation.sweep(&place, Scarce::Pages);
        operation.sweep(&place, Scarce::Files);
    }
    println!("all operations done");
}

/// A writer that was of no more use after a log had no room, a log without room of its own from
/// the beginning, and a checkpoint that left its files when it failed were tried, and each made
/// this test fail.
#[test]
fn what_has_no_room_changes_nothing_and_is_done_when_there_is() {
    let Some(mut command) = mounting() else { return };
    let place = directory();
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", "full_disks::inside", "--nocapture"]).env(PLACE, place.path());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}", output.status);
    assert!(said.contains("all operations done"));
}

/// Runs the short run where no file may have more than so many blocks, as the shell counts
/// them.
fn run_limited(blocks: u64) -> (TempDir, Heard) {
    let directory = directory();
    // What is ignored by a shell is ignored by what it turns into.
    let script = "trap '' XFSZ && ulimit -f \"$0\" && exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, &blocks.to_string()]).args(arguments());
    let heard = Heard::of(command, directory.path());
    (directory, heard)
}

#[test]
fn files_that_may_not_grow_change_nothing() {
    let (mut refused, mut whole, mut blocks) = (0, 0, 0);
    while whole < ENOUGH {
        let (directory, heard) = run_limited(blocks);
        assert!(heard.status.success() && heard.rest.is_empty(), "{blocks}: {heard:#?}");
        assert!(heard.failures.iter().all(|line| line.contains("File too large")), "{heard:#?}");
        heard.check(directory.path());
        refused += usize::from(!heard.failures.is_empty());
        whole = if heard.is_whole && heard.failures.is_empty() { whole + 1 } else { 0 };
        blocks += 3;
    }
    println!("{refused} runs refused, up to {blocks} blocks");
    assert!(refused >= 10, "{refused}");
}
