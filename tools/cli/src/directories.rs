//! Directories that are made for a store, and go again if it comes to nothing; and its files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A directory and those above it that do not exist, innermost first.
pub(crate) struct Missing(Vec<PathBuf>);

impl Missing {
    pub(crate) fn above(path: &Path) -> Self {
        let above = path.ancestors().take_while(|above| !above.as_os_str().is_empty());
        Self(above.take_while(|above| !above.exists()).map(Path::to_path_buf).collect())
    }

    /// Removes those that were made meanwhile, but for those in which somebody else has put
    /// something.
    pub(crate) fn remove(&self) {
        for directory in &self.0 {
            let _ = fs::remove_dir(directory);
        }
    }
}

/// Removes the files of a store, and nobody else's: its lock last, so that whoever gets it next
/// finds no other file of the store.
pub(crate) fn remove_store(directory: &Path) -> io::Result<()> {
    let entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    let mut names: Vec<_> = entries.iter().map(fs::DirEntry::file_name).collect();
    names.retain(|name| name.to_str().is_some_and(is_of_store));
    names.sort_by_key(|name| name == LOCK);
    names.iter().try_for_each(|name| fs::remove_file(directory.join(name)))
}

const LOCK: &str = "LOCK";

/// Whether a store gives this name to a file: that of its lock, that of its manifest, also with
/// `.unsynced`, or a number with the ending of a segment or a log. What is being written has one
/// ending more.
fn is_of_store(name: &str) -> bool {
    let name = name.strip_suffix(".tmp").unwrap_or(name);
    let number = [".seg", ".log"].iter().find_map(|ending| name.strip_suffix(ending));
    let is_number = |it: &str| {
        it.len() == 16 && it.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    [LOCK, "MANIFEST", "MANIFEST.unsynced"].contains(&name) || number.is_some_and(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_of_the_store_stays() {
        let directory = tempfile::tempdir().unwrap();
        let ours =
            ["LOCK", "MANIFEST", "MANIFEST.tmp", "MANIFEST.unsynced", "00000000000000fa.seg.tmp"];
        let others = ["MANIFEST.old", "fa.seg", "letter.txt", "x.tmp", "00000000000000FA.log"];
        for name in ours.iter().chain(&others) {
            fs::write(directory.path().join(name), "").unwrap();
        }
        fs::create_dir(directory.path().join("photos")).unwrap();
        remove_store(directory.path()).unwrap();
        let entries = fs::read_dir(directory.path()).unwrap();
        let mut left: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(
            left,
            ["00000000000000FA.log", "MANIFEST.old", "fa.seg", "letter.txt", "photos", "x.tmp"]
        );
    }
}
