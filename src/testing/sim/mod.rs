//! A disk that is not there, for trying what a crash or an error would leave.
//!
//! It remembers every change in order, and of each whether it was synced. So for every
//! moment it can give the disks that a crash may leave there, its *images*: what was
//! synced is on all of them; of the rest anything between nothing and everything is, in
//! any order, and writes are torn between sectors of 512 bytes.
//!
//! - What was written to a file, its length, and names are independent of each other. A
//!   file's length is synced with it, names only with the directory. A rename is whole or
//!   not at all.
//! - What a sync should have written that failed is never written by a later one: the
//!   kernel takes it for clean. Whoever reads it sees it, until the power fails.
//! - A call that failed may have done nothing, some of its work or all of it.
//! - No call is interrupted (EINTR), as the standard library and the store's own calls of
//!   the system try again by themselves.
//!
//! *Operations* are the calls that change something: creating, writing, setting a length
//! or permissions, renaming, unlinking, syncing. *Reads* are all others: opening, locking,
//! listing, measuring, reading, mapping. Both are counted from 0, each by itself, so any of
//! them [can be made to fail](SimDisk::fail).
//!
//! ```
//! use ringstore::testing::sim::SimDisk;
//! use ringstore::{Error, Options};
//!
//! let disk = SimDisk::new();
//! drop(disk.create_store(&Options::new())?);
//! for moment in 0..=disk.operations() {
//!     for image in disk.images(moment) {
//!         match image.open_store(&Options::new()) {
//!             Ok(store) => assert!(store.snapshot().is_empty()),
//!             Err(Error::NotAStore { .. }) => assert!(moment < disk.operations()),
//!             Err(error) => panic!("{error}"),
//!         }
//!     }
//! }
//! # Ok::<(), Error>(())
//! ```

mod disk;
mod files;
mod history;
mod models;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use crate::error::Result;
use crate::io::directory_sync::DirectorySync;
use crate::options::Options;
use crate::progress::OnProgress;
use crate::salvage::report::SalvageReport;
use crate::salvage::salvage_on;
use crate::store::Store;
use crate::store::checkpoint::Checkpoint;
use crate::sync::{Mutex, MutexGuard};
use crate::testing::random::Random;
use files::{Change, Files, Inode};
use history::{Moment, Operation};
use models::{Fate, MODELS, Shape};

/// A directory in memory. Clones share it, as processes do: a store that one of them opened is
/// to another what a store of another process is.
///
/// After a sync of the directory that failed, all further ones of the same clone, and of stores
/// opened on it, fail too, as they do on the disk: what was lost then would not be told again.
/// Clones taken before or after have nothing of that, as another process has not.
#[derive(Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    directory_sync: DirectorySync,
}

impl Clone for SimDisk {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), directory_sync: DirectorySync::default() }
    }
}

#[derive(Default)]
struct State {
    /// What was there in the beginning, all of it synced.
    start: Files,
    operations: Vec<Operation>,
    /// What was read so far, in a word each.
    reads: Vec<&'static str>,
    /// What is there now for those who read.
    files: Files,
    locked: BTreeSet<Inode>,
    faults: Vec<Fault>,
    /// The one whose files can be linked to this one.
    beside: Option<SimDisk>,
    /// What whoever asks is told.
    free_bytes: Option<u64>,
}

/// An error to come: input and output fails (EIO) and nothing is done, unless more is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Whether it strikes a read, not an operation.
    of_read: bool,
    at: usize,
    lasts: bool,
    errno: i32,
    effect: Effect,
}

/// What a call does that fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Nothing. Of what a sync should have made durable, anything may be.
    Nothing,
    /// So many parts of 256 of a write or of what a file is to be extended by; nothing of
    /// anything else. Of a read it gives the first part, and then the end of the file.
    Part(u8),
    /// Everything, and reports that it failed.
    Everything,
}

impl Effect {
    fn part_of(self, count: usize) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Part(parts) => (count as u64 * u64::from(parts) / 256) as usize,
            Self::Everything => count,
        }
    }
}

impl Fault {
    fn new(of_read: bool, at: usize) -> Self {
        Self { of_read, at, lasts: false, errno: libc::EIO, effect: Effect::Nothing }
    }

    /// Strikes an [operation](SimDisk::operations), counted from 0.
    pub fn at_operation(at: usize) -> Self {
        Self::new(false, at)
    }

    /// Strikes a [read](SimDisk::reads), counted from 0.
    pub fn at_read(at: usize) -> Self {
        Self::new(true, at)
    }

    /// Strikes everything that comes later, too.
    #[must_use]
    pub fn lasting(mut self) -> Self {
        self.lasts = true;
        self
    }

    /// Sets the number of the error, such as 28 (ENOSPC) or 24 (EMFILE).
    #[must_use]
    pub fn errno(mut self, errno: i32) -> Self {
        self.errno = errno;
        self
    }

    /// Sets what is done nevertheless.
    #[must_use]
    pub fn effect(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    fn strikes(&self, of_read: bool, at: usize) -> bool {
        self.of_read == of_read && (at == self.at || self.lasts && at > self.at)
    }

    fn error(&self) -> io::Error {
        io::Error::from_raw_os_error(self.errno)
    }
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk with these files on it, all of them durable.
    pub fn with_files(files: BTreeMap<String, Vec<u8>>) -> Self {
        Self::with(Files::named(files))
    }

    fn with(start: Files) -> Self {
        let state = State { files: start.clone(), start, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), ..Self::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A thread that panicked with it had changed nothing, or everything.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates a store, as [`Store::create`] does in a directory.
    ///
    /// # Errors
    ///
    /// Those of [`Store::create`].
    pub fn create_store(&self, options: &Options) -> Result<Store> {
        Store::create_on(self.clone(), options)
    }

    /// Opens the store, as [`Store::open`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Store::open`].
    pub fn open_store(&self, options: &Options) -> Result<Store> {
        Store::open_on(self.clone(), options)
    }

    /// Opens the store for reading, as [`Store::open_read_only`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Store::open_read_only`].
    pub fn open_read_only(&self, options: &Options) -> Result<Store> {
        Store::open_read_only_on(self.clone(), options)
    }

    /// Number of operations so far, and the index of the next one.
    pub fn operations(&self) -> usize {
        self.state().operations.len()
    }

    /// Number of reads so far, and the index of the next one.
    pub fn reads(&self) -> usize {
        self.state().reads.len()
    }

    /// An operation in words, such as "rename a b".
    ///
    /// # Panics
    ///
    /// If there were not so many.
    pub fn describe(&self, operation: usize) -> String {
        let state = self.state();
        history::describe(&state.start, &state.operations[..=operation])
    }

    /// A read in a word: "open", "list", "lock", "measure", "read" or "map".
    ///
    /// # Panics
    ///
    /// If there were not so many.
    pub fn describe_read(&self, read: usize) -> &'static str {
        self.state().reads[read]
    }

    /// Makes calls fail. Of several faults that strike one call the first given counts.
    pub fn fail(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Takes back all faults.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// An empty disk that a [checkpoint](Store::checkpoint) can link the files of this one to.
    #[must_use]
    pub fn beside(&self) -> Self {
        let disk = Self::new();
        disk.state().beside = Some(self.clone());
        disk
    }

    /// Makes a [checkpoint](Store::checkpoint) of a store on this disk, which must be empty.
    ///
    /// # Errors
    ///
    /// Those of a checkpoint.
    pub fn checkpoint(&self, store: &Store, progress: OnProgress<'_>) -> Result<Checkpoint> {
        store.checkpoint_on(&self.clone(), progress)
    }

    /// [Rescues](crate::salvage) what is left of the store into a directory that is not
    /// simulated.
    ///
    /// # Errors
    ///
    /// Those of a salvage.
    pub fn salvage(&self, destination: &Path, progress: OnProgress<'_>) -> Result<SalvageReport> {
        salvage_on(self, destination, progress)
    }

    /// Says how many bytes can still be written, which is not known at first, to whoever asks.
    /// It is all that this does: writing more is not refused.
    pub fn set_free_bytes(&self, bytes: Option<u64>) {
        self.state().free_bytes = bytes;
    }

    /// What the process that is killed after so many operations leaves to the next one,
    /// while the power stays on: nothing is lost of what was not synced, but it can still
    /// be lost, and what could not be synced any more still cannot be. Locks are free.
    /// Operations count on.
    ///
    /// # Panics
    ///
    /// If there were not so many.
    #[must_use]
    pub fn killed(&self, operations: usize) -> Self {
        let now = self.state();
        let killed = Self::with(now.start.clone());
        let mut state = killed.state();
        for operation in &now.operations[..operations] {
            state.enter(operation.clone());
        }
        drop(state);
        killed
    }

    /// The disks that a crash may leave after so many operations, each once, made when they
    /// are asked for. They are the same in every run. All have everything that was synced.
    /// What else they have is one of these:
    ///
    /// - nothing; everything; what came up to each change;
    /// - each change, or all changes of a file, or all names, alone; or all but these;
    /// - names and lengths without data, and the reverse;
    /// - some changes, at random; all of their subsets if there are at most four;
    /// - of each change all, nothing, or some of its sectors, at random;
    /// - of one write the first half of the sectors, the second half, or some of them, with
    ///   all that came before it, and with or without what came after it.
    ///
    /// There are about ten for each change that is not synced.
    ///
    /// # Panics
    ///
    /// If there were not so many operations.
    pub fn images(&self, operations: usize) -> Images {
        self.some_images(operations, usize::MAX, 0)
    }

    /// As [`images`](Self::images), but not more than `count` of them, from all ways of
    /// losing changes alike. The seed decides which.
    ///
    /// # Panics
    ///
    /// If there were not so many operations.
    pub fn some_images(&self, operations: usize, count: usize, seed: u64) -> Images {
        let state = self.state();
        let moment = Moment::after(&state.start, &state.operations[..operations]);
        let shapes = moment.shapes();
        let cases = |model: &models::Model| match shapes.len() {
            0 => Vec::new(),
            _ => (0..(model.cases)(&shapes)).collect(),
        };
        let mut untried: Vec<Vec<usize>> = MODELS.iter().map(cases).collect();
        if shapes.is_empty() {
            // There is one image, which any model gives.
            untried[0].push(0);
        }
        let random = Random::new(&format!("crash after {operations}"), seed);
        Images {
            moment,
            shapes,
            untried,
            round: Vec::new(),
            random,
            tried: HashSet::new(),
            made: HashSet::new(),
            count,
        }
    }

    /// One of the disks that a crash may leave after so many operations, made without the
    /// others. The seed decides which.
    ///
    /// # Panics
    ///
    /// If there were not so many operations.
    #[must_use]
    pub fn crash(&self, operations: usize, seed: u64) -> Self {
        let mut images = self.some_images(operations, 1, seed);
        let fates = images.next_fates().expect("each moment has a case");
        Self::with(images.moment.image(&fates))
    }

    /// Names and contents of all files, as they are read now.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.state().files.all()
    }

    /// Changes a byte on the disk behind the store's back: those bits that are set in
    /// `xor`. Like all that is done behind its back, this never fails, is durable at once,
    /// is counted among the operations, and is seen by all that read the file later, but
    /// not in what is mapped already.
    ///
    /// # Panics
    ///
    /// If there is no such file, or it ends before.
    pub fn corrupt(&self, name: &str, offset: usize, xor: u8) {
        let mut state = self.state();
        let inode = state.inode(name).expect(name);
        let len = state.files.contents(inode).len();
        assert!(offset < len, "{name} has {len} bytes, and none at {offset}");
        state.enter(Operation::Tampered(Change::Xor { inode, offset, xor }));
    }

    /// Cuts a file behind the store's back, or extends it by zeros.
    ///
    /// # Panics
    ///
    /// If there is no such file.
    pub fn truncate(&self, name: &str, len: usize) {
        let mut state = self.state();
        let inode = state.inode(name).expect(name);
        state.enter(Operation::Tampered(Change::SetLen { inode, len }));
    }

    /// Removes a file behind the store's back.
    ///
    /// # Panics
    ///
    /// If there is no such file.
    pub fn remove(&self, name: &str) {
        let mut state = self.state();
        state.inode(name).expect(name);
        state.enter(Operation::Tampered(Change::Names(vec![(name.into(), None)])));
    }

    /// Puts a file there behind the store's back, in place of what had its name: perhaps
    /// one of the [`files`](Self::files) of another disk.
    pub fn put(&self, name: &str, contents: &[u8]) {
        let mut state = self.state();
        let inode = state.files.add();
        let write = Change::Write { inode, offset: 0, bytes: contents.into() };
        state.enter(Operation::Tampered(write));
        state.enter(Operation::Tampered(Change::Names(vec![(name.into(), Some(inode))])));
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let names: Vec<_> = state.files.names.keys().collect();
        f.debug_struct("SimDisk")
            .field("files", &names)
            .field("operations", &state.operations.len())
            .finish_non_exhaustive()
    }
}

impl State {
    fn inode(&self, name: &str) -> io::Result<Inode> {
        self.files.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Does something, which the fault, if there is one, makes fail.
    fn perform(&mut self, operation: Operation) -> io::Result<()> {
        let at = self.operations.len();
        let Some(fault) = self.faults.iter().find(|fault| fault.strikes(false, at)).copied() else {
            self.enter(operation);
            return Ok(());
        };
        let done = match (operation, fault.effect) {
            (operation, Effect::Everything) => operation,
            (Operation::Sync(target), _) => Operation::FailedSync(target),
            (Operation::Change(change), Effect::Part(_)) => self.part(change, fault.effect),
            (Operation::Change(change), Effect::Nothing) => Operation::Failed(change),
            (operation, _) => operation,
        };
        self.enter(done);
        Err(fault.error())
    }

    /// What is done of a change that fails on the way.
    fn part(&self, change: Change, effect: Effect) -> Operation {
        match change {
            Change::Write { inode, offset, bytes } => {
                let bytes = bytes[..effect.part_of(bytes.len())].into();
                Operation::Change(Change::Write { inode, offset, bytes })
            }
            Change::Extend { inode, len } => {
                let before = self.files.contents(inode).len();
                let len = before + effect.part_of(len.saturating_sub(before));
                Operation::Change(Change::Extend { inode, len })
            }
            change => Operation::Failed(change),
        }
    }

    fn enter(&mut self, operation: Operation) {
        if let Operation::Change(change) | Operation::Tampered(change) = &operation {
            self.files.apply(change);
        }
        self.operations.push(operation);
    }

    /// Counts a read, and gives the fault that strikes it.
    fn fault_of_read(&mut self, what: &'static str) -> Option<Fault> {
        let at = self.reads.len();
        self.reads.push(what);
        self.faults.iter().find(|fault| fault.strikes(true, at)).copied()
    }

    /// Counts a read that either fails or does not.
    fn ask(&mut self, what: &'static str) -> io::Result<()> {
        self.fault_of_read(what).map_or(Ok(()), |fault| Err(fault.error()))
    }
}

/// Disks that a crash may leave, each once; of [`SimDisk::images`].
pub struct Images {
    moment: Moment,
    shapes: Vec<Shape>,
    /// Of each model the cases that are left.
    untried: Vec<Vec<usize>>,
    /// The models that are left in this round, in which each has one turn.
    round: Vec<usize>,
    random: Random,
    /// Hashes of what became of the changes in the cases so far.
    tried: HashSet<u64>,
    /// Hashes of those that were given.
    made: HashSet<u64>,
    /// How many more may be given.
    count: usize,
}

impl Images {
    /// What becomes of the changes in a case of the model that has its turn.
    fn next_fates(&mut self) -> Option<Vec<Fate>> {
        if self.round.is_empty() {
            let models = 0..self.untried.len();
            self.round = models.filter(|model| !self.untried[*model].is_empty()).collect();
        }
        let random = &mut self.random;
        let mut draw = |items: &mut Vec<usize>| {
            let len = items.len() as u64;
            (len > 0).then(|| items.swap_remove(random.below(len) as usize))
        };
        let model = draw(&mut self.round)?;
        let case = draw(&mut self.untried[model])?;
        Some((MODELS[model].fates)(&self.shapes, case, &mut |end| random.below(end)))
    }
}

impl Iterator for Images {
    type Item = SimDisk;

    fn next(&mut self) -> Option<SimDisk> {
        while self.count > 0 {
            let fates = self.next_fates()?;
            let mut hasher = DefaultHasher::new();
            fates.hash(&mut hasher);
            if !self.tried.insert(hasher.finish()) {
                continue;
            }
            let files = self.moment.image(&fates);
            // Losing different changes may come to the same.
            if self.made.insert(self.moment.hash(&files)) {
                self.count -= 1;
                return Some(SimDisk::with(files));
            }
        }
        None
    }
}
