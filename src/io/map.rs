//! Files in memory.
//!
//! A mapped file is as fast as memory and costs none of one's own, on one condition:
//! *nothing else may alter or cut the file while it is mapped.* The store itself
//! never does. If somebody else cuts it, or the medium fails under it, reading ends
//! the process with SIGBUS; if somebody else writes to it, answers may be wrong, or
//! change from one read to the next. Every byte that is read is taken for what it is
//! at that moment and bounds-checked, so that no change to a file can lead to a
//! memory access outside of the map.

use std::fs::File;
use std::io;

use memmap2::Mmap;

/// Bytes that stay where they are: a mapped file, or a buffer.
#[derive(Debug)]
pub(crate) enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Bytes {
    /// Maps a whole file.
    pub(crate) fn map(file: &File) -> io::Result<Self> {
        #[expect(unsafe_code, reason = "a map is unsound if others alter the file")]
        // SAFETY: the contract above is stated in the docs of every way to open a
        // store, and kept by the store itself: segment files are made read-only, and
        // never written or cut once they have a name.
        let map = unsafe { Mmap::map(file) }?;
        Ok(Self::Mapped(map))
    }
}

impl AsRef<[u8]> for Bytes {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}
