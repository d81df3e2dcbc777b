//! A disk that is not there, for trying what a crash or an error would leave.
//!
//! It remembers every change in order, and of each whether it was synced. So for every
//! moment it can give the disks that a crash may leave there: what was synced is on all
//! of them, of the rest anything between nothing and everything is, in any order, and
//! writes may be torn between sectors.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use super::map::Bytes;
use super::{Disk, DiskFile};
use crate::testing::random::Random;

/// What a disk writes at a time, or not at all.
const SECTOR_LEN: usize = 512;

/// Arbitrary sets of changes that are tried at each moment.
const SUBSETS: u64 = 8;

/// A file, whatever its name. Its number is its place in the order of creation.
type Inode = usize;

/// A directory in memory. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// What was there in the beginning, all of it synced.
    start: BTreeMap<String, Vec<u8>>,
    operations: Vec<Operation>,
    inodes: Vec<Vec<u8>>,
    names: BTreeMap<String, Inode>,
    locked: BTreeSet<String>,
    fault: Option<Fault>,
}

/// What was done to the disk.
#[derive(Clone)]
enum Operation {
    Change(Change),
    Sync(Inode),
    /// What it should have written is never written by a later sync: the kernel may take
    /// it for clean.
    FailedSync(Inode),
    SyncDirectory,
}

#[derive(Clone)]
enum Change {
    Write {
        inode: Inode,
        offset: usize,
        bytes: Vec<u8>,
    },
    SetLen {
        inode: Inode,
        len: usize,
    },
    /// Names that are given or taken away, all at once.
    Names(Vec<(String, Option<Inode>)>),
}

/// An error to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// At which operation, counted from 0.
    pub(crate) at: usize,
    /// At every operation from then on.
    pub(crate) lasts: bool,
    pub(crate) error: io::ErrorKind,
    /// A write that fails writes half of it before.
    pub(crate) short: bool,
}

impl SimDisk {
    /// A disk with files on it that are synced.
    fn with(start: BTreeMap<String, Vec<u8>>) -> Self {
        let names = start.keys().cloned().zip(0..).collect();
        let inodes = start.values().cloned().collect();
        let state = State { start, inodes, names, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Number of operations so far.
    pub(crate) fn operations(&self) -> usize {
        self.state().operations.len()
    }

    pub(crate) fn fail(&self, fault: Fault) {
        self.state().fault = Some(fault);
    }

    /// The disk after so many operations, with the power still on: nothing is lost yet of
    /// what was not synced.
    pub(crate) fn killed(&self, operations: usize) -> Self {
        let now = self.state();
        let killed = Self::with(now.start.clone());
        let mut state = killed.state();
        state.inodes.resize(now.inodes.len(), Vec::new());
        for operation in &now.operations[..operations] {
            state.enter(operation.clone());
        }
        drop(state);
        killed
    }

    /// The disks that a crash may leave after so many operations, each once.
    pub(crate) fn images(&self, operations: usize) -> Vec<Self> {
        let images = self.state().images(operations);
        images.into_iter().map(Self::with).collect()
    }
}

impl State {
    /// Does something that the fault, if there is one, makes fail.
    fn perform(&mut self, operation: Operation) -> io::Result<()> {
        let fault = self.fault.filter(|fault| {
            let at = self.operations.len();
            at == fault.at || fault.lasts && at > fault.at
        });
        let Some(fault) = fault else {
            self.enter(operation);
            return Ok(());
        };
        match operation {
            Operation::Change(Change::Write { inode, offset, mut bytes }) if fault.short => {
                bytes.truncate(bytes.len() / 2);
                self.enter(Operation::Change(Change::Write { inode, offset, bytes }));
            }
            Operation::Sync(inode) => self.enter(Operation::FailedSync(inode)),
            // Counted, so that the next one is another one.
            _ => self.enter(Operation::Change(Change::Names(Vec::new()))),
        }
        Err(fault.error.into())
    }

    fn enter(&mut self, operation: Operation) {
        if let Operation::Change(change) = &operation {
            apply(change, &mut self.inodes, &mut self.names);
        }
        self.operations.push(operation);
    }

    fn images(&self, operations: usize) -> BTreeSet<BTreeMap<String, Vec<u8>>> {
        let mut names: BTreeMap<String, Inode> = self.start.keys().cloned().zip(0..).collect();
        let mut inodes: Vec<Vec<u8>> = self.start.values().cloned().collect();
        inodes.resize(self.inodes.len(), Vec::new());
        // What is not synced, and whether it still can be.
        let mut pending: Vec<(&Change, bool)> = Vec::new();
        for operation in &self.operations[..operations] {
            match operation {
                Operation::Change(change) => pending.push((change, true)),
                Operation::FailedSync(inode) => {
                    for (change, can_sync) in &mut pending {
                        *can_sync &= change.inode() != Some(*inode);
                    }
                }
                Operation::Sync(_) | Operation::SyncDirectory => {
                    let synced = match operation {
                        Operation::Sync(inode) => Some(*inode),
                        _ => None,
                    };
                    pending.retain(|(change, can_sync)| {
                        let is_synced = *can_sync && change.inode() == synced;
                        if is_synced {
                            apply(change, &mut inodes, &mut names);
                        }
                        !is_synced
                    });
                }
            }
        }
        let pending: Vec<&Change> = pending.into_iter().map(|(change, _)| change).collect();
        sets(&pending, operations as u64)
            .into_iter()
            .map(|changes| {
                let (mut inodes, mut names) = (inodes.clone(), names.clone());
                for change in &changes {
                    apply(change, &mut inodes, &mut names);
                }
                names.into_iter().map(|(name, inode)| (name, inodes[inode].clone())).collect()
            })
            .collect()
    }
}

/// The sets of changes that may be on disk.
fn sets(pending: &[&Change], seed: u64) -> Vec<Vec<Change>> {
    let chosen = |choose: &mut dyn FnMut(usize) -> bool| -> Vec<Change> {
        let chosen = pending.iter().enumerate().filter(|(index, _)| choose(*index));
        chosen.map(|(_, change)| (*change).clone()).collect()
    };
    let is_data = |index: usize| matches!(pending[index], Change::Write { .. });
    let mut sets = vec![chosen(&mut |index| !is_data(index)), chosen(&mut |index| is_data(index))];
    for end in 0..=pending.len() {
        // A prefix, one alone, all others.
        sets.push(chosen(&mut |index| index < end));
        sets.push(chosen(&mut |index| index == end));
        sets.push(chosen(&mut |index| index != end));
    }
    let mut random = Random::new("crash", seed);
    for _ in 0..SUBSETS {
        sets.push(chosen(&mut |_| random.below(2) == 0));
    }
    // Everything, but with one write torn: only its first sectors, its last, or some.
    for (index, change) in pending.iter().enumerate() {
        let Change::Write { inode, offset, bytes } = change else { continue };
        let mut keeps: [Box<dyn FnMut(usize) -> bool>; 3] = [
            Box::new(|at| at < bytes.len() / 2),
            Box::new(|at| at >= bytes.len() / 2),
            Box::new(|_| random.below(2) == 0),
        ];
        for keep in &mut keeps {
            let mut torn = Vec::new();
            for (other, change) in pending.iter().enumerate() {
                if other != index {
                    torn.push((*change).clone());
                    continue;
                }
                // Sectors are those of the file.
                let mut at = 0;
                while at < bytes.len() {
                    let end =
                        bytes.len().min((offset + at + 1).next_multiple_of(SECTOR_LEN) - offset);
                    if keep(at) {
                        let bytes = bytes[at..end].to_vec();
                        torn.push(Change::Write { inode: *inode, offset: offset + at, bytes });
                    }
                    at = end;
                }
            }
            sets.push(torn);
        }
    }
    sets
}

impl Change {
    /// The file that it is in; `None` for the directory.
    fn inode(&self) -> Option<Inode> {
        match self {
            Self::Write { inode, .. } | Self::SetLen { inode, .. } => Some(*inode),
            Self::Names(_) => None,
        }
    }
}

fn apply(change: &Change, inodes: &mut Vec<Vec<u8>>, names: &mut BTreeMap<String, Inode>) {
    match change {
        Change::Write { inode, offset, bytes } => {
            let contents = &mut inodes[*inode];
            let end = offset + bytes.len();
            contents.resize(contents.len().max(end), 0);
            contents[*offset..end].copy_from_slice(bytes);
        }
        Change::SetLen { inode, len } => inodes[*inode].resize(*len, 0),
        Change::Names(changes) => {
            for (name, inode) in changes {
                match inode {
                    Some(inode) => {
                        names.insert(name.clone(), *inode);
                        inodes.resize(inodes.len().max(inode + 1), Vec::new());
                    }
                    None => {
                        names.remove(name);
                    }
                }
            }
        }
    }
}

/// An open file.
struct SimFile {
    disk: SimDisk,
    inode: Inode,
}

/// A lock that is given back when it is dropped.
struct SimLock {
    disk: SimDisk,
    name: String,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.state().locked.remove(&self.name);
    }
}

impl SimDisk {
    fn file(&self, inode: Inode) -> Box<dyn DiskFile> {
        Box::new(SimFile { disk: self.clone(), inode })
    }
}

impl Disk for SimDisk {
    fn path(&self) -> &Path {
        Path::new("simulated")
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = state.inodes.len();
        state.inodes.push(Vec::new());
        let named = Change::Names(vec![(name.to_string(), Some(inode))]);
        state.perform(Operation::Change(named))?;
        Ok(self.file(inode))
    }

    fn create_unnamed(&self) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        let inode = state.inodes.len();
        state.inodes.push(Vec::new());
        state.perform(Operation::Change(Change::Names(Vec::new())))?;
        Ok(self.file(inode))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let inode = self.state().names.get(name).copied();
        inode.map(|inode| self.file(inode)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let inode = state.names.get(from).copied().ok_or(io::ErrorKind::NotFound)?;
        let names = vec![(from.to_string(), None), (to.to_string(), Some(inode))];
        state.perform(Operation::Change(Change::Names(names)))
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.perform(Operation::Change(Change::Names(vec![(name.to_string(), None)])))
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.state().perform(Operation::SyncDirectory)
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Send + Sync>>> {
        if !self.state().names.contains_key(name) {
            self.create(name)?;
        }
        let is_free = self.state().locked.insert(name.to_string());
        let lock = || SimLock { disk: self.clone(), name: name.to_string() };
        Ok(is_free.then(|| Box::new(lock()) as Box<dyn Send + Sync>))
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().inodes[self.inode].len() as u64)
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.disk.state();
        let rest = state.inodes[self.inode].get(offset as usize..);
        let from = rest.and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (inode, offset, bytes) = (self.inode, offset as usize, bytes.to_vec());
        self.disk.state().perform(Operation::Change(Change::Write { inode, offset, bytes }))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let (inode, len) = (self.inode, len as usize);
        self.disk.state().perform(Operation::Change(Change::SetLen { inode, len }))
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        let (inode, len) = (self.inode, len as usize);
        let mut state = self.disk.state();
        let len = len.max(state.inodes[inode].len());
        state.perform(Operation::Change(Change::SetLen { inode, len }))
    }

    fn set_read_only(&self) -> io::Result<()> {
        // What a file may be used for is not modelled; that it can fail is.
        self.disk.state().perform(Operation::Change(Change::Names(Vec::new())))
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.state().perform(Operation::Sync(self.inode))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }

    fn map(&self) -> io::Result<Bytes> {
        Ok(Bytes::Owned(self.disk.state().inodes[self.inode].clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(image: &SimDisk, name: &str) -> Option<Vec<u8>> {
        let state = image.state();
        state.names.get(name).map(|inode| state.inodes[*inode].clone())
    }

    /// All that a file may hold, or that it may be missing, after so many operations.
    fn possible(disk: &SimDisk, operations: usize, name: &str) -> BTreeSet<Option<Vec<u8>>> {
        disk.images(operations).iter().map(|image| contents(image, name)).collect()
    }

    #[test]
    fn what_is_not_synced_may_be_there_or_not() {
        let disk = SimDisk::default();
        let file = disk.create("a").unwrap();
        file.write_all_at(b"x", 0).unwrap();
        let both = [None, Some(vec![]), Some(b"x".to_vec())];
        assert_eq!(possible(&disk, 2, "a"), both.into());
        file.sync().unwrap();
        assert_eq!(possible(&disk, 3, "a"), [None, Some(b"x".to_vec())].into());
        disk.sync_directory().unwrap();
        assert_eq!(possible(&disk, 4, "a"), [Some(b"x".to_vec())].into());
        assert_eq!(possible(&disk, 0, "a"), [None].into());
    }

    #[test]
    fn a_rename_is_whole_or_not_at_all() {
        let disk = SimDisk::default();
        for (name, bytes) in [("a", b"1"), ("b", b"2")] {
            let file = disk.create(name).unwrap();
            file.write_all_at(bytes, 0).unwrap();
            file.sync().unwrap();
        }
        disk.sync_directory().unwrap();
        disk.rename("a", "b").unwrap();
        let images = disk.images(disk.operations());
        let found: BTreeSet<_> =
            images.iter().map(|image| (contents(image, "a"), contents(image, "b"))).collect();
        let (one, two) = (Some(b"1".to_vec()), Some(b"2".to_vec()));
        assert_eq!(found, [(one.clone(), two), (None, one)].into());
    }

    #[test]
    fn writes_are_torn_between_sectors() {
        let disk = SimDisk::default();
        let file = disk.create("a").unwrap();
        file.write_all_at(&[0; 2_048], 0).unwrap();
        file.sync().unwrap();
        disk.sync_directory().unwrap();
        file.write_all_at(&[1; 1_024], 256).unwrap();
        let found = possible(&disk, disk.operations(), "a");
        let mut halves = [vec![0; 2_048], vec![0; 2_048]];
        // Sectors that the write covers in part: 256 to 512, 512 to 1,024, 1,024 to 1,280.
        halves[0][256..1_024].fill(1);
        halves[1][1_024..1_280].fill(1);
        assert!(halves.map(Some).iter().all(|half| found.contains(half)));
        assert!(found.iter().flatten().all(|bytes| bytes.len() == 2_048));
    }

    #[test]
    fn a_sync_that_failed_is_not_made_good_by_the_next() {
        let disk = SimDisk::default();
        let file = disk.create("a").unwrap();
        disk.sync_directory().unwrap();
        file.write_all_at(b"x", 0).unwrap();
        let error = io::ErrorKind::Other;
        disk.fail(Fault { at: disk.operations(), lasts: false, error, short: false });
        assert!(file.sync().is_err());
        file.sync().unwrap();
        let either = [Some(vec![]), Some(b"x".to_vec())];
        assert_eq!(possible(&disk, disk.operations(), "a"), either.into());
    }
}
