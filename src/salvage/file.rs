//! Reading a file that may be cut, or that the medium does not give back.
//!
//! It is read, not mapped: where a map fails the process ends, where a read fails the rest
//! of the file is still there.

use std::io;

use rustix::io::Errno;

use super::report::LossReason;
use crate::error::{Error, Result};
use crate::io::{Disk, DiskFile};

/// A file that was opened, in whatever state it is.
pub(super) struct DamagedFile {
    file: Box<dyn DiskFile>,
    pub(super) len: u64,
}

impl DamagedFile {
    /// Opens a file, or says why its contents are lost.
    pub(super) fn open(
        disk: &dyn Disk,
        name: &str,
    ) -> Result<std::result::Result<Self, LossReason>> {
        let opened = disk.open(name).and_then(|file| {
            let len = file.len()?;
            Ok(Self { file, len })
        });
        match opened {
            Ok(file) => Ok(Ok(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Err(LossReason::Missing)),
            Err(error) if is_of_medium(&error) => Ok(Err(LossReason::Unreadable)),
            Err(error) if is_no_file(&error) => Ok(Err(LossReason::Foreign)),
            Err(error) => Err(Error::io("open", &disk.path_of(name))(error)),
        }
    }

    /// Fills bytes from an offset, and says of each unit of them, the last one perhaps
    /// shorter, why it could not be read, if so.
    pub(super) fn read_units(
        &self,
        bytes: &mut [u8],
        offset: u64,
        unit: usize,
    ) -> Vec<Option<LossReason>> {
        if self.read(bytes, offset).is_ok() {
            return vec![None; bytes.len().div_ceil(unit)];
        }
        let units = (offset..).step_by(unit).zip(bytes.chunks_mut(unit));
        units.map(|(at, bytes)| self.read(bytes, at).err()).collect()
    }

    /// Fills bytes from an offset, or says why that cannot be done.
    pub(super) fn read(
        &self,
        bytes: &mut [u8],
        offset: u64,
    ) -> std::result::Result<(), LossReason> {
        if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > self.len) {
            return Err(LossReason::Cut);
        }
        self.file.read_exact_at(bytes, offset).map_err(|_| LossReason::Unreadable)
    }
}

/// Whether it is the medium that failed, rather than what was asked of it.
pub(super) fn is_of_medium(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::IO.raw_os_error())
}

/// Whether there is something that is no file: a directory, a link, a pipe, a socket.
pub(super) fn is_no_file(error: &io::Error) -> bool {
    let errnos = [Errno::LOOP, Errno::NXIO].map(|errno| Some(errno.raw_os_error()));
    error.kind() == io::ErrorKind::InvalidInput || errnos.contains(&error.raw_os_error())
}
