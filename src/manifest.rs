//! The one file that says what a store consists of.
//!
//! Whatever is not named in the manifest does not exist. So a change of many files
//! becomes visible all at once, when a new manifest takes the place of the old one:
//! written beside it, synced, renamed over it, the directory synced.
//!
//! If that last sync fails, the kernel may take for clean what it could not write. The new
//! name is then in memory only, where whoever opens the store next reads it, and no later sync
//! of the directory changes that. So an empty file is there from before the rename until after
//! the sync; whoever opens the store for writing and finds it writes the manifest anew.

use std::io;

use crate::error::{Damage, Error, Result};
use crate::format::log::{BLOCK_LEN, LogEntry, identify};
use crate::format::manifest::ManifestContents;
use crate::format::names::{
    MANIFEST, UNSYNCED, is_log, is_segment, is_temporary, log_name, segment_name, temporary_name,
};
use crate::format::segment::{StoreIdBytes, are_related, segment_store_id};
use crate::io::{Disk, DiskFile};

/// No manifest is longer: half a million segments. What is read of a longer file has
/// a checksum that is wrong.
const LEN_MAX: usize = 64 << 20;

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

/// What the next manifest begins with: the same contents, and a file number for itself.
pub(crate) fn next(disk: &dyn Disk, contents: &ManifestContents) -> Result<ManifestContents> {
    let (Some(generation), Some(next_file_id)) =
        (contents.generation.checked_add(1), contents.next_file_id.checked_add(1))
    else {
        return Err(Error::from(Damage {
            path: disk.path_of(MANIFEST),
            part: "manifest",
            offset: 32,
            expected: "a generation and a file number that can grow".into(),
            found: "the last one".into(),
        }));
    };
    Ok(ManifestContents { generation, next_file_id, ..contents.clone() })
}

/// Makes these the contents of the store, durably.
pub(crate) fn replace(disk: &dyn Disk, contents: &ManifestContents) -> Result<()> {
    let temporary = temporary_name(MANIFEST);
    let path = disk.path_of(&temporary);
    // A writer that died, or a thread that panicked, may have left one.
    let _ = disk.unlink(&temporary);
    let bytes = contents.encode();
    let written = disk
        .create(&temporary)
        .map_err(Error::io("create", &path))
        .and_then(|file| {
            file.write_all_at(&bytes, 0).map_err(Error::io("write", &path))?;
            file.sync().map_err(Error::io("sync", &path))
        })
        .and_then(|()| mark_unsynced(disk))
        .map_err(|error| error.of_taking(bytes.len() as u64))
        .and_then(|()| {
            disk.rename(&temporary, MANIFEST)
                .map_err(|source| Error::OutcomeUnknown { path: path.clone(), source })
        });
    if written.is_err() {
        // Whether this works does not matter: the next writer removes it as well.
        let _ = disk.unlink(&temporary);
    }
    written?;
    sync_names(disk)?;
    // If this fails, the next writer replaces the manifest once more.
    let _ = disk.unlink(UNSYNCED);
    Ok(())
}

/// Says that the manifest's name may not be durable. That itself need not be: after the power
/// failed, what is read is on the disk.
fn mark_unsynced(disk: &dyn Disk) -> Result<()> {
    match disk.create(UNSYNCED) {
        Ok(_) => Ok(()),
        // It was so before.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::io("create", &disk.path_of(UNSYNCED))(error)),
    }
}

/// Makes names durable. Where that fails, nobody knows which of them the disk has, and
/// asking again would not tell.
pub(crate) fn sync_names(disk: &dyn Disk) -> Result<()> {
    disk.sync_directory()
        .map_err(|source| Error::OutcomeUnknown { path: disk.path().to_path_buf(), source })
}

/// Fails where there are files of another store, none of which is named: then the manifest
/// is not the one that belongs here. Of a store that this one was made of, or that was made of
/// this one, there may be some that were made before, but none that came later.
pub(crate) fn refuse_foreign(disk: &dyn Disk, contents: &ManifestContents) -> Result<()> {
    for name in unnamed(disk, contents)? {
        // Where it cannot be opened, it was removed meanwhile.
        let Ok(file) = disk.open(&name) else { continue };
        let store_id = if is_log(&name) {
            log_identity(file.as_ref()).map(|(store_id, _)| store_id)
        } else {
            store_id(file.as_ref())
        };
        let is_foreign = |id: &StoreIdBytes| {
            let is_later = is_segment(&name) && name >= segment_name(contents.next_file_id);
            !are_related(id, &contents.store_id) || is_later && *id != contents.store_id
        };
        if store_id.as_ref().is_some_and(is_foreign) {
            let found = format!("one of another store than that of {name}");
            return Err(not_of_this_store(disk, found));
        }
    }
    Ok(())
}

/// The manifest is not the one that belongs here.
pub(crate) fn not_of_this_store(disk: &dyn Disk, found: String) -> Error {
    Error::from(Damage {
        path: disk.path_of(MANIFEST),
        part: "manifest",
        offset: 0,
        expected: "the manifest of this store".into(),
        found,
    })
}

/// The store that a log says it was made under, and what it says of itself.
pub(crate) fn log_identity(file: &dyn DiskFile) -> Option<(StoreIdBytes, LogEntry)> {
    let mut block = [0; BLOCK_LEN];
    file.read_exact_at(&mut block, 0).ok()?;
    identify(&block)
}

/// Segments and logs that the manifest does not name.
pub(crate) fn unnamed(disk: &dyn Disk, contents: &ManifestContents) -> Result<Vec<String>> {
    let segments = contents.layers.iter().flatten().map(|entry| segment_name(entry.segment_id));
    let named: Vec<_> =
        segments.chain(contents.logs.iter().map(|entry| log_name(entry.log_id))).collect();
    let mut names = disk.list().map_err(Error::io("list", disk.path()))?;
    names.retain(|name| (is_segment(name) || is_log(name)) && !named.contains(name));
    Ok(names)
}

/// The id of the store that a segment says it was made under.
fn store_id(file: &dyn DiskFile) -> Option<StoreIdBytes> {
    let mut header = [0; 32];
    file.read_exact_at(&mut header, 0).ok()?;
    segment_store_id(&header)
}

/// Removes what a writer left behind that died: files of ours that are not named. The
/// manifest as it should be on disk before, if there are any.
pub(crate) fn remove_leftovers(
    disk: &dyn Disk,
    contents: ManifestContents,
) -> Result<ManifestContents> {
    let names = disk.list().map_err(Error::io("list", disk.path()))?;
    let mut leftovers = unnamed(disk, &contents)?;
    leftovers.extend(names.into_iter().filter(|name| is_temporary(name)));
    if leftovers.is_empty() {
        return Ok(contents);
    }
    // What was read may have its name in memory only, after a sync that failed. What is built
    // on it would not outlive the power, and the one on disk may name what is to be removed.
    let contents = next(disk, &contents)?;
    replace(disk, &contents)?;
    // These are gone by now.
    let is_of_manifest = |name: &str| name == UNSYNCED || name == temporary_name(MANIFEST);
    for name in leftovers.iter().filter(|name| !is_of_manifest(name)) {
        disk.unlink(name).map_err(Error::io("remove", &disk.path_of(name)))?;
    }
    Ok(contents)
}

/// Why there is no manifest where one was looked for.
pub(crate) fn missing(disk: &dyn Disk) -> Error {
    let path = disk.path().to_path_buf();
    let found = match disk.list() {
        Ok(names) if names.iter().any(|name| is_segment(name) || is_log(name)) => {
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
    use crate::io::disk::RealDisk;
    use crate::testing::sim::{Fault, SimDisk};

    /// What is in the place of a store, in words.
    #[test]
    fn why_there_is_no_manifest_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let found = |place: &str| match missing(&RealDisk::new(&directory.path().join(place))) {
            Error::NotAStore { path, found } => {
                assert_eq!(path, directory.path().join(place));
                found
            }
            other => panic!("{other}"),
        };
        assert_eq!(found(""), "an empty directory");
        std::fs::write(directory.path().join("file"), "").unwrap();
        assert_eq!(found(""), "a directory with other things in it");
        assert_eq!(found("file"), "not a directory");
        assert_eq!(found("nowhere"), "no such directory");
        for name in [segment_name(1), log_name(2)] {
            let disk = SimDisk::new();
            disk.put(&name, b"");
            assert!(matches!(missing(&disk), Error::Damaged(_)), "{name}");
            disk.fail(Fault::at_read(disk.reads()).errno(libc::EIO));
            assert!(matches!(missing(&disk), Error::Io { operation: "list", .. }), "{name}");
        }
    }
}
