//! The one file that says what a store consists of.
//!
//! Whatever is not named in the manifest does not exist. So a change of many files
//! becomes visible all at once, when a new manifest takes the place of the old one:
//! written beside it, synced, renamed over it, the directory synced.

use std::io;

use crate::error::{Damage, Error, Result};
use crate::format::manifest::ManifestContents;
use crate::io::Disk;

/// The manifest's name.
pub(crate) const MANIFEST: &str = "MANIFEST";

/// How names end of files that are being written.
const TEMPORARY: &str = ".tmp";

/// The name of a segment's file.
pub(crate) fn segment_name(id: u64) -> String {
    format!("{id:016x}.seg")
}

/// The name of a file until it is complete.
pub(crate) fn temporary_name(name: &str) -> String {
    format!("{name}{TEMPORARY}")
}

/// Whether a name is one that the store gives to what may be left over after a crash:
/// a temporary file, or a segment.
fn is_ours(name: &str) -> bool {
    let id = |name: &str| {
        name.strip_suffix(".seg").is_some_and(|id| {
            id.len() == 16 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    match name.strip_suffix(TEMPORARY) {
        Some(name) => name == MANIFEST || id(name),
        None => id(name),
    }
}

/// Reads the manifest; `None` if there is none.
pub(crate) fn read(disk: &dyn Disk) -> Result<Option<ManifestContents>> {
    let path = disk.path_of(MANIFEST);
    match disk.read(MANIFEST) {
        Ok(bytes) => ManifestContents::decode(&bytes, &path).map(Some),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(None)
        }
        Err(error) => Err(Error::io("read", &path)(error)),
    }
}

/// Makes these the contents of the store, durably.
pub(crate) fn replace(disk: &dyn Disk, contents: &ManifestContents) -> Result<()> {
    let temporary = temporary_name(MANIFEST);
    let path = disk.path_of(&temporary);
    let written = disk
        .create(&temporary)
        .map_err(Error::io("create", &path))
        .and_then(|file| {
            file.write_all_at(&contents.encode(), 0).map_err(Error::io("write", &path))?;
            file.sync().map_err(Error::io("sync", &path))
        })
        .and_then(|()| disk.rename(&temporary, MANIFEST).map_err(Error::io("rename", &path)));
    if written.is_err() {
        // Whether this works does not matter: the next writer removes it as well.
        let _ = disk.unlink(&temporary);
    }
    written?;
    disk.sync_directory().map_err(Error::io("sync", disk.path()))
}

/// Removes what a writer left behind that died: files of ours that are not named.
pub(crate) fn remove_leftovers(disk: &dyn Disk, contents: &ManifestContents) -> Result<()> {
    let named: Vec<_> =
        contents.layers.iter().flatten().map(|entry| segment_name(entry.segment_id)).collect();
    for name in disk.list().map_err(Error::io("list", disk.path()))? {
        if is_ours(&name) && !named.contains(&name) {
            disk.unlink(&name).map_err(Error::io("remove", &disk.path_of(&name)))?;
        }
    }
    Ok(())
}

/// Why there is no manifest where one was looked for.
pub(crate) fn missing(disk: &dyn Disk) -> Error {
    let path = disk.path().to_path_buf();
    let found = match disk.list() {
        Ok(names) if names.iter().any(|name| is_ours(name)) => {
            return Error::from(Damage {
                path: disk.path_of(MANIFEST),
                part: "manifest",
                offset: 0,
                expected: "a file".into(),
                found: "none, though files of a store are there".into(),
            });
        }
        Ok(names) if names.is_empty() => "an empty directory",
        Ok(_) => "a directory with other things in it",
        Err(error) if error.kind() == io::ErrorKind::NotFound => "no such directory",
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => "not a directory",
        Err(error) => return Error::io("list", &path)(error),
    };
    Error::NotAStore { path, found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_ours() {
        for name in ["00000000000000ff.seg", "00000000000000ff.seg.tmp", "MANIFEST.tmp"] {
            assert!(is_ours(name), "{name}");
        }
        for name in [
            "MANIFEST",
            "LOCK",
            "ff.seg",
            "00000000000000FF.seg",
            "00000000000000ff.seg.bak",
            "../x.seg",
            "x.tmp",
        ] {
            assert!(!is_ours(name), "{name}");
        }
        assert!(is_ours(&segment_name(u64::MAX)) && is_ours(&temporary_name(&segment_name(0))));
    }
}
