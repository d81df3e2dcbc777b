//! The disk of the operating system.

use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::directory_sync::DirectorySync;
use super::map::Bytes;
use super::{Disk, DiskFile};

/// A directory of the operating system.
pub(crate) struct RealDisk {
    path: PathBuf,
    /// Once it was synced: so that syncing it does not fail for want of open files, which
    /// would be taken for a disk that fails.
    directory: OnceLock<File>,
    directory_sync: DirectorySync,
    /// The file that is locked, once one is: its name, and what it is.
    locked: OnceLock<(String, FileId)>,
}

/// Device and inode.
type FileId = (u64, u64);

fn file_id(metadata: &Metadata) -> FileId {
    (metadata.dev(), metadata.ino())
}

impl RealDisk {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            directory: OnceLock::new(),
            directory_sync: DirectorySync::default(),
            locked: OnceLock::new(),
        }
    }
}

/// Opens neither what a link leads to nor waits for the other end of a pipe.
fn plain(options: &mut OpenOptions) -> &mut OpenOptions {
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
    }
}

impl Disk for RealDisk {
    fn path(&self) -> &Path {
        &self.path
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.refuse_other()?;
        let mut options = OpenOptions::new();
        let file =
            plain(options.read(true).write(true).create_new(true)).open(self.path_of(name))?;
        Ok(Box::new(file))
    }

    fn create_unnamed(&self) -> io::Result<Box<dyn DiskFile>> {
        self.refuse_other()?;
        Ok(Box::new(tempfile::tempfile_in(&self.path)?))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = plain(OpenOptions::new().read(true)).open(self.path_of(name))?;
        Ok(Box::new(regular(file)?))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let name = |entry: io::Result<std::fs::DirEntry>| Ok(lossy(&entry?.file_name()));
        loop {
            // Opening a directory is the one thing that the standard library does not do again.
            match std::fs::read_dir(&self.path).and_then(|entries| entries.map(name).collect()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                listed => return listed,
            }
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.refuse_other()?;
        std::fs::rename(self.path_of(from), self.path_of(to))
    }

    fn link(&self, from: &Path, name: &str) -> io::Result<()> {
        self.refuse_other()?;
        std::fs::hard_link(from, self.path_of(name))
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        self.refuse_other()?;
        std::fs::remove_file(self.path_of(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        let directory = if let Some(directory) = self.directory.get() {
            directory
        } else {
            let opened = File::open(&self.path)?;
            self.directory.get_or_init(|| opened)
        };
        self.directory_sync.run(|| directory.sync_all())
    }

    fn free_bytes(&self) -> Option<u64> {
        let stat = rustix::fs::statvfs(&self.path).ok()?;
        // Some that have no limit say that they have no blocks at all.
        (stat.f_blocks > 0).then(|| stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Send + Sync>>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        loop {
            let file = regular(plain(&mut options).open(self.path_of(name))?)?;
            let id = file_id(&file.metadata()?);
            match fs2::FileExt::try_lock_exclusive(&file) {
                Ok(()) if self.is_named(id, name)? => {
                    self.locked.get_or_init(|| (name.to_string(), id));
                    return Ok(Some(Box::new(Lock { file, process: std::process::id() })));
                }
                // Whoever had the lock failed to create a store, and removed the file.
                Ok(()) => {}
                Err(error) if error.kind() == fs2::lock_contended_error().kind() => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl RealDisk {
    /// Whether a name is that of an open file.
    fn is_named(&self, id: FileId, name: &str) -> io::Result<bool> {
        match std::fs::symlink_metadata(self.path_of(name)) {
            Ok(named) => Ok(file_id(&named) == id),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Fails where the file that was locked is not there any more: then the directory was
    /// deleted or moved, and there may be another one in its place, and a store of others.
    fn refuse_other(&self) -> io::Result<()> {
        match self.locked.get() {
            Some((name, id)) if !self.is_named(*id, name)? => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the directory was deleted or moved: its lock is not there any more",
            )),
            _ => Ok(()),
        }
    }
}

/// A lock on a file. Children have it as well, and one that was just forked may outlive it:
/// so it is given back, not only the file closed, and by none but who took it.
struct Lock {
    file: File,
    process: u32,
}

impl Drop for Lock {
    fn drop(&mut self) {
        if std::process::id() == self.process {
            // If that fails, it ends with the file.
            let _ = fs2::FileExt::unlock(&self.file);
        }
    }
}

fn lossy(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}

/// Takes room where the file system has no call for it.
fn write_zeros(file: &File, len: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut at = DiskFile::len(file)?;
    while at < len {
        let count = zeros.len().min((len - at) as usize);
        FileExt::write_all_at(file, &zeros[..count], at)?;
        at += count as u64;
    }
    Ok(())
}

impl DiskFile for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, bytes, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        loop {
            match rustix::fs::fallocate(self, FallocateFlags::empty(), 0, len) {
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => return write_zeros(self, len),
                allocated => return Ok(allocated?),
            }
        }
    }

    fn set_read_only(&self) -> io::Result<()> {
        let mut permissions = self.metadata()?.permissions();
        permissions.set_mode(permissions.mode() & !0o222);
        self.set_permissions(permissions)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn map(&self) -> io::Result<Bytes> {
        Bytes::map(self)
    }
}
