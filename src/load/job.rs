//! A load under way: what it is allowed, and where its files go.

use super::buffer::BYTES_PER_RECORD;
use super::options::LoadOptions;
use super::runs::Run;
use crate::error::{Error, Result};
use crate::io::disk::RealDisk;
use crate::io::{Disk, DiskFile};
use crate::progress::Phase;
use crate::segment::records::{Finishing, RecordsWriter};
use crate::token::Record;

/// What a load needs besides the records it sorts or merges: blocks on their way from
/// there to the file, and the file's buffers.
const WORKING_BYTES: u64 = 32 << 20;

/// A run is read in pieces that are no smaller.
const PIECE_BYTES: u64 = 256 << 10;

/// The memory for records, in records.
#[derive(Clone, Copy)]
pub(super) struct Memory {
    /// Records that are brought in order at a time.
    pub(super) sort_records: usize,
    /// Records of all runs together that are held while they are merged: more than there
    /// may be runs.
    pub(super) merge_records: usize,
    /// Runs that are merged at a time.
    pub(super) runs_max: usize,
}

impl Memory {
    pub(super) fn of(options: &LoadOptions<'_>) -> Result<Self> {
        let found = options.memory_bytes;
        let min = LoadOptions::MEMORY_BYTES_MIN;
        if found < min {
            return Err(Error::MemoryTooSmall { min, found });
        }
        let bytes = found - WORKING_BYTES;
        let records = (bytes / BYTES_PER_RECORD as u64).min(u32::MAX.into()) as usize;
        Ok(Self {
            sort_records: records,
            merge_records: records,
            runs_max: (bytes / PIECE_BYTES) as usize,
        })
    }
}

/// What so many records take on the disk, without any index.
pub(super) fn bytes_of(records: u64) -> u64 {
    records.saturating_mul(Record::LEN as u64)
}

/// A load under way.
pub(super) struct Load<'a> {
    pub(super) disk: &'a dyn Disk,
    /// Where files without names go, if that is elsewhere.
    pub(super) temporary: Option<RealDisk>,
    pub(super) memory: Memory,
    pub(super) options: &'a LoadOptions<'a>,
    /// The segment's file until it is complete.
    pub(super) name: String,
}

impl Load<'_> {
    pub(super) fn temporary(&self) -> &dyn Disk {
        self.temporary.as_ref().map_or(self.disk, |disk| disk)
    }

    /// The records that were to be the segment's, as a run like any other.
    pub(super) fn first_run(&self, records: RecordsWriter) -> Result<Run> {
        let bounds = records.bounds();
        let (file, path, bytes) = records.into_file()?;
        // The file lives on without its name until it was read.
        self.disk.unlink(&self.name).map_err(Error::io("remove", &path))?;
        Ok(Run::of_file(file, path, bytes, bounds))
    }

    /// Reports what is done in the end.
    pub(super) fn finishing(&self) -> impl FnMut(Finishing) -> Result<()> {
        |finishing| match finishing {
            Finishing::Reading { done, total } => {
                self.options.report(Phase::Indexing, done, Some(total))
            }
            Finishing::Syncing => self.options.report(Phase::Syncing, 0, None),
        }
    }

    /// The segment's file.
    pub(super) fn create(&self) -> Result<Box<dyn DiskFile>> {
        // A thread that panicked may have left one.
        let _ = self.disk.unlink(&self.name);
        let path = self.disk.path_of(&self.name);
        self.disk.create(&self.name).map_err(Error::io("create", &path))
    }
}
