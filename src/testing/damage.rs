//! Wrong bytes, and getting them past checksums.
//!
//! A file whose bytes were changed at random is refused for its checksums, and nothing
//! behind them is reached. With the checksums made right again, it is read.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::format::manifest::ManifestContents;
use crate::format::{log, manifest, segment};

/// Makes all checksums of a segment right for whatever bytes it has. Bytes that are too
/// few for what the header says are left as far as they go.
pub fn reseal_segment(file: &mut [u8]) {
    segment::reseal(file);
}

/// Makes all checksums of a log right for whatever bytes it has, and those right that say
/// which frame came before: of as many frames as lie one behind the other.
pub fn reseal_log(file: &mut [u8]) {
    log::reseal(file);
}

/// Makes the checksum of a manifest right for whatever bytes it has.
pub fn reseal_manifest(file: &mut [u8]) {
    manifest::reseal(file);
}

/// Reads a manifest, and writes what it says.
///
/// # Errors
///
/// Those of opening a store with it that concern it alone.
pub fn rewritten_manifest(file: &[u8]) -> Result<Vec<u8>> {
    ManifestContents::decode(file, Path::new("MANIFEST")).map(|contents| contents.encode())
}

/// The newest segment file of a store; `None` if it has none.
///
/// # Errors
///
/// That the directory cannot be listed.
pub fn newest_segment(store: &Path) -> io::Result<Option<PathBuf>> {
    let paths = fs::read_dir(store)?.map(|entry| entry.map(|entry| entry.path()));
    let paths = paths.collect::<io::Result<Vec<_>>>()?;
    // Names are numbers of equal length.
    Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|it| it == "seg")).max())
}

/// Changes a bit of a file at an offset, in place, so that whoever has mapped it sees that;
/// be it read-only.
///
/// # Errors
///
/// That the file cannot be opened, read there or written.
pub fn flip_bit(path: &Path, offset: u64) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    let file = File::options().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset)?;
    file.write_all_at(&[byte[0] ^ 1], offset)
}
