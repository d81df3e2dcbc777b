//! Files in memory.
//!
//! A mapped file is as fast as memory and costs none of one's own, on one condition:
//! *nothing else may alter or cut the file while it is mapped.* The store itself
//! never does. If somebody else cuts it, or the medium fails under it, reading ends
//! the process with SIGBUS; if somebody else writes to it, answers may be wrong, or
//! change from one read to the next. Every byte that is read is taken for what it is
//! at that moment and bounds-checked, so that no change to a file can lead to a
//! memory access outside of the map.
//!
//! A read from a place that was not read before waits for two accesses to memory where
//! pages are small, as the address has to be translated first. So maps begin where huge
//! pages can, and the kernel is asked for these. Most file systems of Linux see to the
//! former; others, such as overlays, map a file anywhere.

use std::fs::File;
use std::io;
use std::ops::Range;

use memmap2::{Mmap, MmapMut, MmapOptions};

use super::available;

/// Bytes of a huge page, where processors have those.
pub(crate) const HUGE_PAGE_LEN: usize = 2 << 20;

/// The smallest page there is.
const PAGE_LEN: usize = 4096;

/// Bytes that stay where they are: a mapped file, or a buffer.
#[derive(Debug)]
pub(crate) enum Bytes {
    Mapped(Mmap),
    /// A file, mapped into a part of memory that was set aside.
    Within(Mmap, Range<usize>),
    /// What was in a file, in memory of our own.
    Copied(Mmap),
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
        let len = map.len();
        let is_aligned = map.as_ptr().addr().is_multiple_of(HUGE_PAGE_LEN);
        let bytes = if len < HUGE_PAGE_LEN || is_aligned {
            Self::Mapped(map)
        } else {
            map_aligned(file, len).unwrap_or(Self::Mapped(map))
        };
        // The kernel then reads as much as a huge page whenever a page is missing, which is
        // good where all of it stays in memory, and where not would read much for nothing.
        if len >= HUGE_PAGE_LEN && available::memory_bytes().is_none_or(|all| len as u64 <= all / 2)
        {
            bytes.ask_for_huge_pages();
        }
        Ok(bytes)
    }

    /// Memory of our own for so many bytes, in huge pages if there are any, to be filled by
    /// `fill`.
    pub(crate) fn copy(
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> io::Result<()>,
    ) -> io::Result<Self> {
        let mut map = MmapMut::map_anon(len)?;
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        fill(&mut map)?;
        map.make_read_only().map(Self::Copied)
    }

    /// The map, and the part of it that is the file. `None` for what is no map.
    fn mapped(&self) -> Option<(&Mmap, usize)> {
        match self {
            Self::Mapped(map) | Self::Copied(map) => Some((map, 0)),
            Self::Within(map, part) => Some((map, part.start)),
            Self::Owned(_) => None,
        }
    }

    /// Whether this is a file that is mapped.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self, Self::Mapped(_) | Self::Within(..))
    }

    /// Whether this is a copy of a file.
    pub(crate) fn is_copy(&self) -> bool {
        matches!(self, Self::Copied(_))
    }

    fn ask_for_huge_pages(&self) {
        #[cfg(target_os = "linux")]
        if let Some((map, start)) = self.mapped() {
            // A kernel without them says so, and nothing is lost.
            let _ = map.advise_range(memmap2::Advice::HugePage, start, self.as_ref().len());
        }
    }

    /// Brings a part of a map into memory, if it is not there, and enters its pages, so that
    /// reading it will not have to wait for either.
    pub(crate) fn populate(&self, part: Range<usize>) -> io::Result<()> {
        let Some((map, start)) = self.mapped() else { return Ok(()) };
        let part = self.existing(part);
        match populate(map, start + part.start..start + part.end) {
            Err(error) if error.raw_os_error() == Some(libc::EFAULT) => {
                Err(io::Error::other("the medium failed, or the file was cut"))
            }
            // A kernel that does not know how: each page is read once.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                for page in self.as_ref()[part].chunks(PAGE_LEN) {
                    std::hint::black_box(page[0]);
                }
                Ok(())
            }
            populated => populated,
        }
    }

    /// Whether a part of a file is in memory, as far as the system tells: of files that this
    /// user could not write to, it says so in any case. If not, it is asked for, and comes
    /// while other things are done.
    pub(crate) fn ask_for(&self, part: Range<usize>) -> bool {
        let part = self.existing(part);
        match self.mapped() {
            Some((map, start)) if self.is_file() && !part.is_empty() => {
                let part = start + part.start..start + part.end;
                is_present(map, &part) || {
                    let _ = map.advise_range(memmap2::Advice::WillNeed, part.start, part.len());
                    false
                }
            }
            _ => true,
        }
    }

    /// What there is of a part.
    fn existing(&self, part: Range<usize>) -> Range<usize> {
        let len = self.as_ref().len();
        part.start.min(len)..part.end.min(len)
    }

    /// Keeps a map in memory, whatever else memory is needed for.
    pub(crate) fn lock(&self) -> io::Result<()> {
        if self.mapped().is_none() {
            return Ok(());
        }
        let bytes = self.as_ref();
        #[expect(unsafe_code, reason = "there is no safe form of the call")]
        // SAFETY: the addresses are those of a part of a map, and stay what they are.
        unsafe { rustix::mm::mlock(bytes.as_ptr().cast_mut().cast(), bytes.len()) }?;
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn populate(map: &Mmap, part: Range<usize>) -> io::Result<()> {
    map.advise_range(memmap2::Advice::PopulateRead, part.start, part.len())
}

#[cfg(not(target_os = "linux"))]
fn populate(_: &Mmap, _: Range<usize>) -> io::Result<()> {
    Err(io::ErrorKind::InvalidInput.into())
}

/// Whether all pages of a part of a map, which lies within it, are in memory, be it in no page
/// table of ours.
#[cfg(target_os = "linux")]
fn is_present(map: &Mmap, part: &Range<usize>) -> bool {
    /// Pages that are asked about at a time.
    const PAGES: usize = 64;
    let end = part.end;
    (part.start / PAGE_LEN * PAGE_LEN..end).step_by(PAGES * PAGE_LEN).all(|start| {
        let len = (PAGES * PAGE_LEN).min(end - start);
        let mut present = [1; PAGES];
        let address = map.as_ptr().wrapping_add(start).cast_mut().cast();
        #[expect(unsafe_code, reason = "there is no safe form of the call")]
        // SAFETY: the addresses are those of a part of a map, and there is room for a byte for
        // each of its pages, of 4 KiB or more.
        let told = unsafe { libc::mincore(address, len, present.as_mut_ptr()) };
        told != 0 || present.iter().all(|page| page & 1 == 1)
    })
}

#[cfg(not(target_os = "linux"))]
fn is_present(_: &Mmap, _: &Range<usize>) -> bool {
    true
}

/// Maps a file where a huge page can begin.
fn map_aligned(file: &File, len: usize) -> io::Result<Bytes> {
    use rustix::mm::{MapFlags, ProtFlags, mmap};

    // Sets addresses aside, without any memory behind them.
    let aside = MmapOptions::new().len(len + HUGE_PAGE_LEN).no_reserve_swap().map_anon()?;
    let start = aside.as_ptr().align_offset(HUGE_PAGE_LEN);
    let part = start..start + len;
    let address = aside.as_ptr().wrapping_add(start).cast_mut().cast();
    let flags = MapFlags::SHARED | MapFlags::FIXED;
    #[expect(unsafe_code, reason = "a file is mapped at a given address")]
    // SAFETY: all of the map, rounded up to a page, lies in what was just set aside, which
    // nobody else knows of; what drops that drops this. As to the file, see `Bytes::map`.
    unsafe { mmap(address, len, ProtFlags::READ, flags, file, 0) }?;
    Ok(Bytes::Within(aside.make_read_only()?, part))
}

impl AsRef<[u8]> for Bytes {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) | Self::Copied(map) => map,
            Self::Owned(bytes) => bytes,
            Self::Within(map, part) => part_of(map, part),
        }
    }
}

/// A part of a map; apart, so that it does not lengthen each read where there is none.
#[cold]
fn part_of<'a>(map: &'a Mmap, part: &Range<usize>) -> &'a [u8] {
    map.get(part.clone()).unwrap_or(&[])
}

/// Putting files out of memory, for tests.
#[cfg(all(test, target_os = "linux"))]
pub(crate) mod absence {
    use std::io::Write;
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;

    const TRIES: usize = 10_000;

    /// A file with these bytes, put out of memory; `None` where the system keeps it there.
    pub(crate) fn on_disk(contents: &[u8]) -> Option<File> {
        // Beside the tests, as what is temporary may be in memory.
        let program = std::env::current_exe().unwrap();
        let mut file = tempfile::tempfile_in(program.parent().unwrap()).unwrap();
        file.write_all(contents).unwrap();
        let bytes = Bytes::map(&file).unwrap();
        file.sync_all().unwrap();
        // Such file systems keep all of it, and whatever is done.
        (0..10).any(|_| bytes.is_put_out(&file)).then_some(file)
    }

    impl Bytes {
        /// Puts all of the file, which is mapped here, out of memory.
        pub(crate) fn put_out(&self, file: &File) {
            file.sync_all().unwrap();
            // The system leaves pages in that it has something to do with just then.
            let is_put_out = || {
                sleep(Duration::from_millis(1));
                self.is_put_out(file)
            };
            assert!((0..TRIES).any(|_| is_put_out()), "the file stays in memory");
        }

        fn is_put_out(&self, file: &File) -> bool {
            let (map, start) = self.mapped().unwrap();
            // Out of page tables first, as what is in one stays.
            #[expect(unsafe_code, reason = "there is no safe form of the call")]
            // SAFETY: of a file that is mapped to be shared, all comes back as it is there.
            unsafe {
                let (advice, len) = (memmap2::UncheckedAdvice::DontNeed, self.as_ref().len());
                map.unchecked_advise_range(advice, start, len).unwrap();
            }
            rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
            (0..self.as_ref().len()).step_by(PAGE_LEN).all(|at| !self.is_there(at..at + 1))
        }

        /// Whether a part of the file is in memory.
        pub(crate) fn is_there(&self, part: Range<usize>) -> bool {
            let (map, start) = self.mapped().unwrap();
            let part = self.existing(part);
            is_present(map, &(start + part.start..start + part.end))
        }

        /// Whether a part of the file, which was asked for, comes.
        pub(crate) fn comes(&self, part: Range<usize>) -> bool {
            (0..TRIES).any(|_| {
                sleep(Duration::from_millis(1));
                self.is_there(part.clone())
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_is_mapped_into_memory_set_aside_is_the_file() {
        for len in [1, PAGE_LEN, HUGE_PAGE_LEN - 1, HUGE_PAGE_LEN + 1, 3 * HUGE_PAGE_LEN] {
            let mut file = tempfile::tempfile().unwrap();
            let contents: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            file.write_all(&contents).unwrap();
            let bytes = map_aligned(&file, len).unwrap();
            assert!(bytes.as_ref().as_ptr().addr().is_multiple_of(HUGE_PAGE_LEN));
            assert_eq!(bytes.as_ref(), contents);
            bytes.populate(len / 2..len).unwrap();
            assert!(bytes.is_file() && !bytes.is_copy());
        }
    }

    #[test]
    fn every_map_begins_where_a_huge_page_can() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; HUGE_PAGE_LEN]).unwrap();
        let maps: Vec<_> = (0..5).map(|_| Bytes::map(&file).unwrap()).collect();
        for bytes in &maps {
            assert!(bytes.as_ref().as_ptr().addr().is_multiple_of(HUGE_PAGE_LEN));
        }
    }

    #[test]
    fn a_part_beyond_the_end_is_nothing_to_wait_for() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 5_000]).unwrap();
        let bytes = Bytes::map(&file).unwrap();
        bytes.populate(0..usize::MAX).unwrap();
        bytes.populate(5_000..6_000).unwrap();
        Bytes::Owned(vec![1; 10]).populate(0..10).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_not_in_memory_is_said_to_be_missing_and_comes_when_asked_for() {
        // Mapped as it is, and within memory that was set aside.
        for pages in [300, HUGE_PAGE_LEN / PAGE_LEN + 3] {
            let Some(file) = absence::on_disk(&vec![7; pages * PAGE_LEN]) else { return };
            let len = pages * PAGE_LEN;
            let within = map_aligned(&file, len).unwrap();
            for bytes in [Bytes::map(&file).unwrap(), within] {
                bytes.put_out(&file);
                assert!(!bytes.ask_for(70_000..70_001), "{pages}");
                assert!(bytes.comes(70_000..70_001), "{pages}");
                // More than are asked about at a time, across the end.
                assert!(!bytes.ask_for(60_000..len + 9_999), "{pages}");
                assert!(bytes.comes(60_000..len + 9_999), "{pages}");
                assert!(bytes.as_ref().iter().all(|byte| *byte == 7));
                assert!(bytes.ask_for(0..usize::MAX), "{pages}");
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn one_page_that_is_missing_is_enough() {
        let Some(file) = absence::on_disk(&vec![7; 200 * PAGE_LEN]) else { return };
        let bytes = Bytes::map(&file).unwrap();
        let (first, last) = (0..PAGE_LEN, 199 * PAGE_LEN..200 * PAGE_LEN);
        assert!(!bytes.ask_for(first.clone()));
        assert!(bytes.comes(first.clone()));
        assert!(!bytes.ask_for(first.start..last.end));
        assert!(bytes.comes(first.start..last.end));
        // The last one alone.
        let (from, len) = (last.start as u64, std::num::NonZeroU64::new(PAGE_LEN as u64));
        rustix::fs::fadvise(&file, from, len, rustix::fs::Advice::DontNeed).unwrap();
        assert!(bytes.ask_for(first.start..last.start));
        assert!(!bytes.ask_for(first.start..last.end));
        assert!(bytes.comes(last));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn nothing_is_asked_for_beyond_the_end_or_of_what_is_no_file() {
        let Some(file) = absence::on_disk(&vec![7; 2 * PAGE_LEN]) else { return };
        let bytes = Bytes::map(&file).unwrap();
        let end = 2 * PAGE_LEN;
        for part in [0..0, 5_000..5_000, end..end, end..end + 1, 9 * end..usize::MAX] {
            assert!(bytes.ask_for(part.clone()), "{part:?}");
        }
        // Damaged bytes may say so.
        assert!(bytes.ask_for(5_000..std::hint::black_box(4_000)));
        // None of this has brought it in.
        assert!(!bytes.ask_for(end - 1..usize::MAX));
        for bytes in [
            Bytes::Owned(vec![1; 10]),
            Bytes::Owned(Vec::new()),
            Bytes::copy(3 * PAGE_LEN, |_| Ok(())).unwrap(),
        ] {
            assert!(bytes.ask_for(0..10) && bytes.ask_for(0..usize::MAX));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_was_cut_stays_missing_and_may_be_asked_for() {
        let Some(file) = absence::on_disk(&vec![7; 4 * PAGE_LEN]) else { return };
        let bytes = Bytes::map(&file).unwrap();
        file.set_len(PAGE_LEN as u64).unwrap();
        for part in [0..4 * PAGE_LEN, 2 * PAGE_LEN..3 * PAGE_LEN, 0..usize::MAX] {
            assert!(!bytes.ask_for(part.clone()), "{part:?}");
        }
        assert!(bytes.comes(0..PAGE_LEN));
        assert!(!bytes.ask_for(0..4 * PAGE_LEN));
    }

    #[test]
    fn what_is_not_in_memory_is_asked_for_and_what_is_is_not() {
        let len = HUGE_PAGE_LEN + 5_000;
        let file = tempfile::tempfile().unwrap();
        // Nothing that was never written nor read is in memory.
        file.set_len(len as u64).unwrap();
        for bytes in [Bytes::map(&file).unwrap(), map_aligned(&file, len).unwrap()] {
            assert!(bytes.ask_for(7..7) && bytes.ask_for(len..len), "nothing is asked for");
            for part in [0..1, 4_095..4_097, len - 1..len, 0..len] {
                file.set_len(0).unwrap();
                file.set_len(len as u64).unwrap();
                assert_eq!(bytes.ask_for(part.clone()), !cfg!(target_os = "linux"), "{part:?}");
                bytes.populate(part.clone()).unwrap();
                assert!(bytes.ask_for(part.clone()), "{part:?}");
            }
        }
        assert!(Bytes::Owned(vec![1; 10]).ask_for(0..10));
    }

    /// And not what was set aside around it, which would count, too.
    #[test]
    #[cfg(target_os = "linux")]
    fn nothing_but_the_file_is_locked() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(HUGE_PAGE_LEN as u64 + 1).unwrap();
        let bytes = map_aligned(&file, HUGE_PAGE_LEN + 1).unwrap();
        bytes.lock().unwrap();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
        // No other test here locks anything.
        let kibibytes: usize = locked.trim().strip_suffix(" kB").unwrap().parse().unwrap();
        assert!((HUGE_PAGE_LEN / 1024..HUGE_PAGE_LEN / 1024 + 65).contains(&kibibytes), "{locked}");
    }

    /// Taking what the system says of such a page for success was tried, and made this fail.
    #[test]
    fn what_was_cut_is_an_error_and_no_end_of_the_process() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 3 * PAGE_LEN]).unwrap();
        let bytes = Bytes::map(&file).unwrap();
        file.set_len(PAGE_LEN as u64).unwrap();
        bytes.populate(0..PAGE_LEN).unwrap();
        if cfg!(target_os = "linux") {
            assert!(bytes.populate(0..3 * PAGE_LEN).is_err());
        }
    }
}
