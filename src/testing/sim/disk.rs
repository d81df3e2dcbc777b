//! The simulated disk as the store sees it.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::files::{Change, Inode, Target};
use super::history::Operation;
use super::{Effect, SimDisk, State};
use crate::io::map::Bytes;
use crate::io::{Disk, DiskFile};

/// An open file.
struct SimFile {
    disk: SimDisk,
    inode: Inode,
    is_writable: bool,
}

/// A lock that is given back when it is dropped.
struct SimLock {
    disk: SimDisk,
    inode: Inode,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.state().locked.remove(&self.inode);
    }
}

/// Gives a new file a name.
fn create(state: &mut State, name: &str) -> io::Result<Inode> {
    let inode = state.files.add();
    state.perform(Operation::Change(Change::Names(vec![(name.into(), Some(inode))])))?;
    Ok(inode)
}

impl SimDisk {
    pub(super) fn file(&self, inode: Inode, is_writable: bool) -> Box<dyn DiskFile> {
        Box::new(SimFile { disk: self.clone(), inode, is_writable })
    }
}

impl Disk for SimDisk {
    fn path(&self) -> &Path {
        Path::new("simulated")
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        if state.files.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(self.file(create(&mut state, name)?, true))
    }

    fn create_unnamed(&self) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        let inode = state.files.add();
        state.perform(Operation::Nothing("create a file without a name"))?;
        Ok(self.file(inode, true))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.ask("open")?;
        Ok(self.file(state.inode(name)?, false))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.ask("list")?;
        Ok(state.files.names.keys().map(ToString::to_string).collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let inode = state.inode(from)?;
        let names = vec![(from.into(), None), (to.into(), Some(inode))];
        state.perform(Operation::Change(Change::Names(names)))
    }

    /// What the file has is durable where it is, and so here; but this is done in three
    /// operations.
    fn link(&self, from: &Path, name: &str) -> io::Result<()> {
        let beside = self.state().beside.clone();
        let other = beside.ok_or(io::ErrorKind::CrossesDevices)?;
        let from = from.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let bytes = Disk::read(&other, from, usize::MAX)?;
        let file = self.create(name)?;
        file.write_all_at(&bytes, 0)?;
        file.sync()
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.inode(name)?;
        state.perform(Operation::Change(Change::Names(vec![(name.into(), None)])))
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.directory_sync.run(|| self.state().perform(Operation::Sync(Target::Directory)))
    }

    fn free_bytes(&self) -> Option<u64> {
        self.state().free_bytes
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Send + Sync>>> {
        let mut state = self.state();
        state.ask("lock")?;
        let inode = match state.files.names.get(name) {
            Some(inode) => *inode,
            None => create(&mut state, name)?,
        };
        let is_free = state.locked.insert(inode);
        let lock = || Box::new(SimLock { disk: self.clone(), inode }) as Box<dyn Send + Sync>;
        Ok(is_free.then(lock))
    }
}

impl SimFile {
    fn perform(&self, operation: Operation) -> io::Result<()> {
        if self.is_writable {
            self.disk.state().perform(operation)
        } else {
            Err(io::Error::from_raw_os_error(libc::EBADF))
        }
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.ask("measure")?;
        Ok(state.files.contents(self.inode).len() as u64)
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let fault = state.fault_of_read("read");
        let contents = state.files.contents(self.inode);
        let rest = contents.get(offset as usize..).unwrap_or(&[]);
        let mut count = rest.len().min(bytes.len());
        if let Some(fault) = fault {
            count = fault.effect.part_of(count);
        }
        let is_whole = count == bytes.len();
        bytes[..count].copy_from_slice(&rest[..count]);
        match fault {
            // The end of the file, where it should not be.
            Some(fault) if !matches!(fault.effect, Effect::Part(_)) => Err(fault.error()),
            _ if is_whole => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (inode, offset) = (self.inode, offset as usize);
        self.perform(Operation::Change(Change::Write { inode, offset, bytes: Arc::from(bytes) }))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let (inode, len) = (self.inode, len as usize);
        self.perform(Operation::Change(Change::SetLen { inode, len }))
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        let (inode, len) = (self.inode, len as usize);
        self.perform(Operation::Change(Change::Extend { inode, len }))
    }

    fn set_read_only(&self) -> io::Result<()> {
        self.disk.state().perform(Operation::Nothing("set read-only"))
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.state().perform(Operation::Sync(Target::File(self.inode)))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }

    fn map(&self) -> io::Result<Bytes> {
        let mut state = self.disk.state();
        state.ask("map")?;
        Ok(Bytes::Owned(state.files.contents(self.inode).to_vec()))
    }
}
