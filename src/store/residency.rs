//! How much of a store is in memory, and bringing all of it there.

use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Store;
use crate::error::{Error, Result};
use crate::io::map::Bytes;
use crate::io::residency::{addresses, prefault};
use crate::io::smaps::resident;
use crate::progress::{OnProgress, Phase, Progress};
use crate::segment::reader::Segment;

/// How much of a store's segment files is in memory, as this process sees it. What the system
/// does not tell is `None`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ResidencyReport {
    /// Bytes of files that are mapped.
    pub mapped_bytes: u64,
    /// Bytes of files of which this process has a copy, which is read in their place.
    pub copied_bytes: u64,
    /// Bytes, of both, that are in memory and that this process can read without asking the
    /// system. What is in the system's cache beside that is read without the disk.
    pub resident_bytes: Option<u64>,
    /// Bytes of these that are in huge pages.
    pub huge_bytes: Option<u64>,
    /// Bytes of these that the system will not take away.
    pub locked_bytes: Option<u64>,
}

impl Store {
    /// How much of the segment files is in memory, in which form: what became of the
    /// [`Residency`](crate::Residency) that was asked for.
    ///
    /// Takes about ten milliseconds for each gigabyte that this process has in memory in small
    /// pages, of the store or not, as the kernel looks at every one.
    pub fn residency(&self) -> ResidencyReport {
        let snapshot = self.snapshot();
        let segments = || snapshot.view().layers().flat_map(|layer| layer.segments());
        let bytes_of = |is_it: fn(&Bytes) -> bool| -> u64 {
            let of_kind = segments().filter(|segment| is_it(segment.map()));
            of_kind.map(Segment::file_len).sum()
        };
        let (mapped_bytes, copied_bytes) = (bytes_of(Bytes::is_file), bytes_of(Bytes::is_copy));
        let addresses: Vec<_> = segments().map(|segment| addresses(segment.map())).collect();
        let resident = resident(&addresses);
        // Memory comes in pages, and files end where they end.
        let no_more = |bytes: u64| bytes.min(mapped_bytes + copied_bytes);
        ResidencyReport {
            mapped_bytes,
            copied_bytes,
            resident_bytes: resident.map(|resident| no_more(resident.bytes)),
            huge_bytes: resident.map(|resident| no_more(resident.huge_bytes)),
            locked_bytes: resident.map(|resident| no_more(resident.locked_bytes)),
        }
    }

    /// Brings all segment files into memory, on all cores, and says how many bytes they have:
    /// what [`Residency::Prefault`](crate::Residency::Prefault) does at opening, for when it
    /// is to be seen how far it is. Files that come later are read when they are needed.
    ///
    /// Takes as long as reading what is not in the system's cache, and some milliseconds for
    /// each gigabyte that is.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] if `progress` says to stop, with what is in memory by then left
    /// there; [`Error::Io`] where a file cannot be read.
    pub fn prefault(&self, progress: OnProgress<'_>) -> Result<u64> {
        let snapshot = self.snapshot();
        let segments: Vec<_> =
            snapshot.view().layers().rev().flat_map(|layer| layer.segments()).collect();
        let total = segments.iter().map(|segment| segment.file_len()).sum();
        let done = AtomicU64::new(0);
        let on_bytes = |bytes: u64| -> ControlFlow<()> {
            let done = done.fetch_add(bytes, Ordering::Relaxed) + bytes;
            progress(Progress { phase: Phase::Prefaulting, done, total: Some(total) })
        };
        for segment in segments {
            prefault(segment.map(), &on_bytes).map_err(|error| match error.kind() {
                io::ErrorKind::Interrupted => Error::Interrupted,
                _ => Error::io("read", segment.path())(error),
            })?;
        }
        Ok(total)
    }
}
