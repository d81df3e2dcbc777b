//! Getting wrong bytes past checksums.
//!
//! A file whose bytes were changed at random is refused for its checksums, and nothing
//! behind them is reached. With the checksums made right again, it is read.

use std::path::Path;

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
