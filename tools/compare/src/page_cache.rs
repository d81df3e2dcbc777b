//! Putting files out of the system's cache, which takes no rights where their pages are
//! written and nobody maps them, and finding out what is left there. Some file systems,
//! such as those in memory, keep all of it.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::exit::Failure;

/// Puts all files in a directory, and in those below, out of memory; how many bytes of them
/// are still there.
pub(crate) fn evict(directory: &Path) -> Result<u64, Failure> {
    let failed = || Failure::io("read", directory);
    let mut bytes = 0;
    for entry in fs::read_dir(directory).map_err(failed())? {
        let path = entry.map_err(failed())?.path();
        bytes += if path.is_dir() {
            evict(&path)?
        } else {
            evict_file(&path).map_err(Failure::io("put out of memory", &path))?
        };
    }
    Ok(bytes)
}

fn evict_file(path: &Path) -> io::Result<u64> {
    let file = File::open(path)?;
    // What is not written yet stays.
    file.sync_all()?;
    advise(&file)?;
    bytes_in_memory(&file)
}

#[cfg(target_os = "linux")]
fn advise(file: &File) -> io::Result<()> {
    // Up to the end, however long it is.
    Ok(rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?)
}

#[cfg(target_os = "linux")]
fn bytes_in_memory(file: &File) -> io::Result<u64> {
    // An empty one cannot be mapped.
    if file.metadata()?.len() == 0 {
        return Ok(0);
    }
    #[expect(unsafe_code, reason = "a map is unsound if others alter the file")]
    // SAFETY: not one byte of it is read.
    let map = unsafe { memmap2::Mmap::map(file) }?;
    let page_len = rustix::param::page_size();
    let mut pages = vec![0u8; map.len().div_ceil(page_len)];
    let address = map.as_ptr().cast_mut().cast();
    #[expect(unsafe_code, reason = "there is no safe form of the call")]
    // SAFETY: the addresses are those of the map, and there is room for a byte for each of
    // its pages.
    let told = unsafe { libc::mincore(address, map.len(), pages.as_mut_ptr()) };
    if told != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(pages.iter().filter(|page| **page & 1 == 1).count() as u64 * page_len as u64)
}

#[cfg(not(target_os = "linux"))]
fn advise(_: &File) -> io::Result<()> {
    Ok(())
}

/// All of it, as far as is known.
#[cfg(not(target_os = "linux"))]
fn bytes_in_memory(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.len())
}

#[cfg(test)]
pub(crate) mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A directory beside the tests, which are on a disk more often than what is temporary.
    pub(crate) fn on_disk() -> TempDir {
        let program = std::env::current_exe().unwrap();
        tempfile::tempdir_in(program.parent().unwrap()).unwrap()
    }

    /// Whether files in a directory can be put out of memory.
    pub(crate) fn is_tellable(directory: &Path) -> bool {
        let path = directory.join("page");
        fs::write(&path, [7; 4096]).unwrap();
        let bytes = evict_file(&path).unwrap();
        fs::remove_file(&path).unwrap();
        bytes == 0
    }

    #[test]
    fn files_are_put_out_of_memory_and_come_back_when_they_are_read() {
        let directory = on_disk();
        if !is_tellable(directory.path()) {
            return;
        }
        let below = directory.path().join("below");
        fs::create_dir(&below).unwrap();
        let contents: Vec<u8> = (0..3_000_001).map(|at| (at % 251) as u8).collect();
        let path = below.join("file");
        fs::write(&path, &contents).unwrap();
        fs::write(directory.path().join("empty"), []).unwrap();
        let file = File::open(&path).unwrap();
        assert!(bytes_in_memory(&file).unwrap() >= 3_000_001);
        assert_eq!(evict(directory.path()).unwrap(), 0);
        assert_eq!(bytes_in_memory(&file).unwrap(), 0);
        assert!(fs::read(&path).unwrap() == contents);
        assert!(bytes_in_memory(&file).unwrap() >= 3_000_001);
    }

    #[test]
    fn what_is_not_on_disk_stays_and_is_told() {
        let Ok(directory) = tempfile::tempdir_in("/dev/shm") else { return };
        fs::write(directory.path().join("file"), [7; 10_000]).unwrap();
        assert!(evict(directory.path()).unwrap() >= 10_000);
        let missing = directory.path().join("missing");
        assert!(evict(&missing).unwrap_err().to_string().contains("missing"));
    }
}
