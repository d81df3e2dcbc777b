//! A disk on which every change is written down, and any one of them can be made to fail; and
//! which need not give back all that is on it.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use super::disk::RealDisk;
use super::map::Bytes;
use super::{Disk, DiskFile};

/// Is told what is about to be done.
type Hook = dyn Fn(&str) + Send + Sync;

/// What was done, and what is to fail.
#[derive(Default)]
pub(crate) struct Watch {
    pub(crate) calls: Vec<String>,
    /// Which call is to fail, counted from 0.
    pub(crate) fails_at: Option<usize>,
    /// There is no room for files whose names end so.
    pub(crate) no_room_for: Option<&'static str>,
    /// Of the file of this name, these bytes cannot be read.
    pub(crate) unreadable: Option<(String, Range<u64>)>,
    /// Is told of each call before it is made.
    pub(crate) before: Option<Arc<Hook>>,
}

impl Watch {
    fn call(watch: &Mutex<Self>, what: String) -> io::Result<()> {
        let before = watch.lock().unwrap().before.clone();
        if let Some(before) = before {
            before(&what);
        }
        let mut watch = watch.lock().unwrap();
        if watch.no_room_for.is_some_and(|end| what.ends_with(end)) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        watch.calls.push(what);
        match watch.fails_at {
            Some(at) if at + 1 == watch.calls.len() => Err(io::Error::other("made to fail")),
            _ => Ok(()),
        }
    }
}

/// A disk whose changes are watched.
pub(crate) struct WatchedDisk {
    disk: RealDisk,
    watch: Arc<Mutex<Watch>>,
}

struct WatchedFile {
    file: Box<dyn DiskFile>,
    name: String,
    watch: Arc<Mutex<Watch>>,
}

impl WatchedDisk {
    /// Watches a directory.
    pub(crate) fn new(path: &Path) -> (Self, Arc<Mutex<Watch>>) {
        let watch = Arc::new(Mutex::new(Watch::default()));
        (Self { disk: RealDisk::new(path), watch: Arc::clone(&watch) }, watch)
    }
}

impl Disk for WatchedDisk {
    fn path(&self) -> &Path {
        self.disk.path()
    }
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Watch::call(&self.watch, format!("create {name}"))?;
        let (file, name) = (self.disk.create(name)?, name.to_string());
        Ok(Box::new(WatchedFile { file, name, watch: Arc::clone(&self.watch) }))
    }
    fn create_unnamed(&self) -> io::Result<Box<dyn DiskFile>> {
        Watch::call(&self.watch, "create unnamed".into())?;
        let (file, name) = (self.disk.create_unnamed()?, "unnamed".into());
        Ok(Box::new(WatchedFile { file, name, watch: Arc::clone(&self.watch) }))
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let (file, name) = (self.disk.open(name)?, name.to_string());
        Ok(Box::new(WatchedFile { file, name, watch: Arc::clone(&self.watch) }))
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Watch::call(&self.watch, format!("rename {from} {to}"))?;
        self.disk.rename(from, to)
    }
    fn link(&self, from: &Path, name: &str) -> io::Result<()> {
        Watch::call(&self.watch, format!("link {name}"))?;
        self.disk.link(from, name)
    }
    fn unlink(&self, name: &str) -> io::Result<()> {
        self.disk.unlink(name)
    }
    fn sync_directory(&self) -> io::Result<()> {
        Watch::call(&self.watch, "sync directory".into())?;
        self.disk.sync_directory()
    }
    fn free_bytes(&self) -> Option<u64> {
        self.disk.free_bytes()
    }
    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Send + Sync>>> {
        self.disk.lock(name)
    }
}

impl WatchedFile {
    /// Writes that follow one another count as one.
    fn call(&self, what: &str) -> io::Result<()> {
        let call = format!("{what} {}", self.name);
        if self.watch.lock().unwrap().calls.last() == Some(&call) {
            return Ok(());
        }
        Watch::call(&self.watch, call)
    }
}

impl DiskFile for WatchedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset + bytes.len() as u64;
        let is_bad = |(name, bad): &(String, Range<u64>)| {
            *name == self.name && bad.start < end && offset < bad.end
        };
        if self.watch.lock().unwrap().unreadable.as_ref().is_some_and(is_bad) {
            return Err(Errno::IO.into());
        }
        self.file.read_exact_at(bytes, offset)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.call("write")?;
        self.file.write_all_at(bytes, offset)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.call("write")?;
        self.file.set_len(len)
    }
    fn preallocate(&self, len: u64) -> io::Result<()> {
        self.call("preallocate")?;
        self.file.preallocate(len)
    }
    fn set_read_only(&self) -> io::Result<()> {
        self.call("protect")?;
        self.file.set_read_only()
    }
    fn sync(&self) -> io::Result<()> {
        self.call("sync")?;
        self.file.sync()
    }
    fn sync_data(&self) -> io::Result<()> {
        self.call("sync data of")?;
        self.file.sync_data()
    }
    fn map(&self) -> io::Result<Bytes> {
        self.file.map()
    }
}
