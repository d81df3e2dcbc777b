//! Bringing files into memory, as was asked for.
//!
//! What is read, is read in pieces by as many threads as there are cores. They are threads of
//! their own, and not of a pool that is shared: all of a pool's may be waiting to commit, for
//! a flush that brings in what it has written.

use std::io;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;

use rustix::process::{Resource, getrlimit};

use super::DiskFile;
use super::available::available_bytes;
use super::map::{Bytes, HUGE_PAGE_LEN};
use super::smaps::{Resident, resident};
use crate::error::{Error, Result};
use crate::options::Residency;
use crate::report;

/// What one thread brings in at a time: some huge pages.
const PIECE_LEN: usize = 8 << 20;

/// Is told how many bytes more are in memory, and says whether to go on.
pub(crate) type OnBytes<'a> = &'a (dyn Fn(u64) -> ControlFlow<()> + Sync);

/// Brings a file that was mapped into memory; a copy, if there is to be one, is to be read in
/// its place. With what is no map there is nothing to do.
pub(crate) fn bring_in(
    bytes: &Bytes,
    file: &dyn DiskFile,
    path: &Path,
    residency: Residency,
) -> Result<Option<Bytes>> {
    if !bytes.is_file() || residency == Residency::Mapped {
        return Ok(None);
    }
    prefault(bytes, &|_| ControlFlow::Continue(())).map_err(Error::io("read", path))?;
    match residency {
        Residency::Locked => {
            bytes.lock().map_err(|source| Error::MemoryLock {
                path: path.to_path_buf(),
                needed: bytes.as_ref().len() as u64,
                limit: getrlimit(Resource::Memlock).current,
                source,
            })?;
            Ok(None)
        }
        Residency::HugePages if !is_huge(bytes) => copy(bytes.as_ref().len(), file, path),
        _ => Ok(None),
    }
}

/// Brings all of a map into memory and this process's page tables. Fails with
/// [`Interrupted`](io::ErrorKind::Interrupted) if `progress` says to stop.
pub(crate) fn prefault(bytes: &Bytes, progress: OnBytes<'_>) -> io::Result<()> {
    let len = bytes.as_ref().len();
    let pieces = (0..len).step_by(PIECE_LEN).map(|start| start..len.min(start + PIECE_LEN));
    share_out(pieces, |piece| {
        let piece_len = piece.len() as u64;
        bytes.populate(piece)?;
        match progress(piece_len) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(io::ErrorKind::Interrupted.into()),
        }
    })
}

/// The addresses that bytes are at.
pub(crate) fn addresses(bytes: &Bytes) -> Range<usize> {
    let start = bytes.as_ref().as_ptr().addr();
    start..start + bytes.as_ref().len()
}

/// Whether seven eighths of what could be in huge pages are; also where the system does not
/// tell, as it does not give any then.
fn is_huge(bytes: &Bytes) -> bool {
    let possible = bytes.as_ref().len() / HUGE_PAGE_LEN * HUGE_PAGE_LEN;
    resident(&[addresses(bytes)])
        .is_none_or(|Resident { huge_bytes, .. }| huge_bytes >= possible as u64 / 8 * 7)
}

/// A copy of a file of so many bytes in huge pages; `None` where there is no memory for that.
fn copy(len: usize, file: &dyn DiskFile, path: &Path) -> Result<Option<Bytes>> {
    // An eighth of what there is stays for others.
    let has_room = available_bytes().is_none_or(|available| len as u64 <= available / 8 * 7);
    let copy = || {
        Bytes::copy(len, |copy| {
            let pieces = copy.chunks_mut(PIECE_LEN).enumerate();
            share_out(pieces, |(at, piece)| file.read_exact_at(piece, (at * PIECE_LEN) as u64))
        })
    };
    let why = match has_room.then(copy) {
        Some(Ok(copy)) if is_huge(&copy) => return Ok(Some(copy)),
        Some(Ok(_)) => "the kernel gave no huge pages for a copy",
        Some(Err(error)) if error.kind() != io::ErrorKind::OutOfMemory => {
            return Err(Error::io("read", path)(error));
        }
        _ => "there is no memory for a copy in huge pages",
    };
    report::warn(format_args!("{}: {why}, so it is only mapped", path.display()));
    Ok(None)
}

/// Does something with each of many items, on all cores. Where it fails for one, it may go on
/// for others.
fn share_out<T>(
    items: impl ExactSizeIterator<Item = T> + Send,
    each: impl Fn(T) -> io::Result<()> + Sync,
) -> io::Result<()> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(items.len());
    let items = Mutex::new(items);
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some(item) = next() {
            each(item)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        // What there is no thread for, this one does.
        let spawn = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..threads).filter_map(spawn).collect();
        others.into_iter().fold(work(), |done, other| {
            let panicked = |_| Err(io::Error::other("a thread panicked"));
            done.and(other.join().unwrap_or_else(panicked))
        })
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::io::memory::MemoryFile;

    fn file_of(len: usize) -> File {
        let mut file = tempfile::tempfile().unwrap();
        let contents: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        file.write_all(&contents).unwrap();
        file
    }

    fn brought_in(bytes: &Bytes, file: &dyn DiskFile, residency: Residency) -> Option<Bytes> {
        bring_in(bytes, file, Path::new("file"), residency).unwrap()
    }

    #[test]
    fn a_copy_is_what_the_file_is() {
        for len in [1, 4_096, HUGE_PAGE_LEN, 2 * PIECE_LEN + 4_097] {
            let file = file_of(len);
            let mapped = Bytes::map(&file).unwrap();
            for residency in [Residency::Prefault, Residency::HugePages] {
                if let Some(copy) = brought_in(&mapped, &file, residency) {
                    assert!(copy.is_copy() && residency == Residency::HugePages);
                    assert!(copy.as_ref() == mapped.as_ref(), "{len} bytes");
                }
            }
            if let Some(copy) = copy(len, &file, Path::new("file")).unwrap() {
                assert!(copy.is_copy() && copy.as_ref() == mapped.as_ref(), "{len} bytes");
            }
        }
    }

    #[test]
    fn all_of_a_file_that_is_brought_in_is_in_the_page_tables() {
        let file = file_of(PIECE_LEN + 4_097);
        let bytes = Bytes::map(&file).unwrap();
        assert!(brought_in(&bytes, &file, Residency::Prefault).is_none());
        if let Some(found) = resident(&[addresses(&bytes)]) {
            assert!(found.bytes >= bytes.as_ref().len() as u64, "{found:?}");
        }
    }

    #[test]
    fn what_is_too_small_for_a_huge_page_is_not_copied() {
        let file = file_of(HUGE_PAGE_LEN - 1);
        let bytes = Bytes::map(&file).unwrap();
        assert!(brought_in(&bytes, &file, Residency::HugePages).is_none());
    }

    #[test]
    fn no_copy_is_made_of_what_there_is_no_memory_for() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 42).unwrap();
        if available_bytes().is_some() {
            assert!(copy(1 << 42, &file, Path::new("file")).unwrap().is_none());
        }
    }

    #[test]
    fn a_file_that_cannot_be_copied_is_an_error() {
        // It is empty.
        let refused = copy(3 * HUGE_PAGE_LEN, &MemoryFile::default(), Path::new("file"));
        assert!(matches!(refused, Err(Error::Io { operation: "read", .. })), "{refused:?}");
    }

    #[test]
    fn with_what_is_no_map_there_is_nothing_to_do() {
        let residencies = [Residency::Prefault, Residency::Locked, Residency::HugePages];
        for residency in residencies {
            let bytes = Bytes::Owned(vec![1; 3 * HUGE_PAGE_LEN]);
            assert!(brought_in(&bytes, &MemoryFile::default(), residency).is_none());
        }
    }

    #[test]
    fn progress_is_told_and_can_stop_it() {
        let file = file_of(3 * PIECE_LEN + 1);
        let bytes = Bytes::map(&file).unwrap();
        let told = AtomicU64::new(0);
        prefault(&bytes, &|more| {
            told.fetch_add(more, Ordering::Relaxed);
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(told.into_inner(), 3 * PIECE_LEN as u64 + 1);
        let stopped = prefault(&bytes, &|_| ControlFlow::Break(()));
        assert_eq!(stopped.unwrap_err().kind(), io::ErrorKind::Interrupted);
    }

    #[test]
    fn a_failure_of_any_thread_is_told() {
        for bad in 0..20 {
            let shared = share_out(0..20, |item| {
                if item == bad { Err(io::ErrorKind::NotFound.into()) } else { Ok(()) }
            });
            assert_eq!(shared.unwrap_err().kind(), io::ErrorKind::NotFound);
        }
        let done = AtomicU64::new(0);
        let items: Vec<u64> = (0..100).collect();
        share_out(items.into_iter(), |item| {
            done.fetch_add(item, Ordering::Relaxed);
            Ok(())
        })
        .unwrap();
        assert_eq!(done.into_inner(), 4_950);
        share_out(std::iter::empty::<u64>(), |_| Err(io::ErrorKind::Other.into())).unwrap();
    }
}
