//! The one file that says what a store consists of.
//!
//! Whatever is not named in the manifest does not exist. So a change of many files
//! becomes visible all at once, when a new manifest takes the place of the old one:
//! written beside it, synced, renamed over it, the directory synced.

use std::io;

use crate::error::{Damage, Error, Result};
use crate::format::manifest::ManifestContents;
use crate::format::segment::{StoreIdBytes, segment_store_id};
use crate::io::{Disk, DiskFile};

/// The manifest's name.
pub(crate) const MANIFEST: &str = "MANIFEST";

/// No manifest is longer: half a million segments. What is read of a longer file has
/// a checksum that is wrong.
const LEN_MAX: usize = 64 << 20;

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

/// Whether a name is that of a segment.
fn is_segment(name: &str) -> bool {
    name.strip_suffix(".seg").is_some_and(|id| {
        id.len() == 16 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Whether a name is one that the store gives to files that are being written.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.strip_suffix(TEMPORARY).is_some_and(|name| name == MANIFEST || is_segment(name))
}

/// Reads the manifest; `None` if there is none.
pub(crate) fn read(disk: &dyn Disk) -> Result<Option<ManifestContents>> {
    let path = disk.path_of(MANIFEST);
    match disk.read(MANIFEST, LEN_MAX) {
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
    // A writer that died, or a thread that panicked, may have left one.
    let _ = disk.unlink(&temporary);
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
    disk.sync_directory()
        .map_err(|source| Error::OutcomeUnknown { path: disk.path().to_path_buf(), source })
}

/// Fails where there are segments of another store, none of which is named: then the
/// manifest is not the one that belongs here.
pub(crate) fn refuse_foreign(disk: &dyn Disk, contents: &ManifestContents) -> Result<()> {
    for name in unnamed(disk, contents)? {
        let foreign = match disk.open(&name) {
            Ok(file) => store_id(file.as_ref()).is_some_and(|id| id != contents.store_id),
            // Removed meanwhile.
            Err(_) => false,
        };
        if foreign {
            return Err(Error::from(Damage {
                path: disk.path_of(MANIFEST),
                part: "manifest",
                offset: 0,
                expected: "the manifest of this store".into(),
                found: format!("one of another store than that of {name}"),
            }));
        }
    }
    Ok(())
}

/// Segments that the manifest does not name.
fn unnamed(disk: &dyn Disk, contents: &ManifestContents) -> Result<Vec<String>> {
    let named: Vec<_> =
        contents.layers.iter().flatten().map(|entry| segment_name(entry.segment_id)).collect();
    let mut names = disk.list().map_err(Error::io("list", disk.path()))?;
    names.retain(|name| is_segment(name) && !named.contains(name));
    Ok(names)
}

/// The id of the store that a segment says it was made under.
fn store_id(file: &dyn DiskFile) -> Option<StoreIdBytes> {
    let mut header = [0; 32];
    file.read_exact_at(&mut header, 0).ok()?;
    segment_store_id(&header)
}

/// Removes what a writer left behind that died: files of ours that are not named.
pub(crate) fn remove_leftovers(disk: &dyn Disk, contents: &ManifestContents) -> Result<()> {
    let names = disk.list().map_err(Error::io("list", disk.path()))?;
    let temporary = names.into_iter().filter(|name| is_temporary(name));
    for name in temporary.chain(unnamed(disk, contents)?) {
        disk.unlink(&name).map_err(Error::io("remove", &disk.path_of(&name)))?;
    }
    Ok(())
}

/// Why there is no manifest where one was looked for.
pub(crate) fn missing(disk: &dyn Disk) -> Error {
    let path = disk.path().to_path_buf();
    let found = match disk.list() {
        Ok(names) if names.iter().any(|name| is_segment(name)) => {
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
            assert!(is_segment(name) || is_temporary(name), "{name}");
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
            assert!(!is_segment(name) && !is_temporary(name), "{name}");
        }
        assert!(is_segment(&segment_name(u64::MAX)));
        assert!(is_temporary(&temporary_name(&segment_name(0))));
    }
}
