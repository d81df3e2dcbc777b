//! Files that say something else, and whose checksums are right nevertheless; also what the
//! manifest says of them.

use std::ops::Range;

use ringstore::testing::damage::{reseal_log, reseal_manifest, reseal_segment};

use crate::parts::{Kind, u64_at};
use crate::sample::Files;

const SEGMENTS: usize = 56;
const SEGMENT_LEN: usize = 128;
const LOG_LEN: usize = 40;
const PAGE_LEN: usize = 4096;

/// Where the manifest names each segment.
pub(crate) fn segments_of(manifest: &[u8]) -> Vec<usize> {
    let count = u64_at(manifest, 48) as usize;
    (0..count).map(|index| SEGMENTS + SEGMENT_LEN * index).collect()
}

/// Where the manifest names each log.
pub(crate) fn logs_of(manifest: &[u8]) -> Vec<usize> {
    let start = SEGMENTS + SEGMENT_LEN * u64_at(manifest, 48) as usize;
    (start..manifest.len() - 4).step_by(LOG_LEN).collect()
}

/// The number that a file's name is.
fn id_of(name: &str) -> u64 {
    u64::from_str_radix(name.split_once('.').unwrap().0, 16).unwrap()
}

/// Changes a file and makes its checksums right, and no other file.
pub(crate) fn changed(files: &Files, name: &str, change: impl FnOnce(&mut [u8])) -> Files {
    let mut files = files.clone();
    let bytes = files.get_mut(name).unwrap();
    change(bytes);
    match Kind::of(name) {
        Kind::Segment => reseal_segment(bytes),
        Kind::Log => reseal_log(bytes),
        Kind::Manifest => reseal_manifest(bytes),
    }
    files
}

/// The same, and the manifest says of the file what it now says of itself.
pub(crate) fn forged(files: &Files, name: &str, change: impl FnOnce(&mut [u8])) -> Files {
    let files = changed(files, name, change);
    let bytes = files.get(name).unwrap().clone();
    changed(&files, "MANIFEST", |manifest| {
        let mut copy = |to: usize, from: Range<usize>| {
            manifest[to..to + from.len()].copy_from_slice(&bytes[from]);
        };
        if Kind::of(name) == Kind::Segment {
            let id = id_of(name);
            let all = segments_of(&files["MANIFEST"]);
            let at = all.into_iter().find(|at| u64_at(&files["MANIFEST"], at + 24) == id).unwrap();
            copy(at + 4, PAGE_LEN - 4..PAGE_LEN);
            copy(at + 8, 16..40);
            // Length, counts and key range.
            copy(at + 32, 40..136);
        } else if Kind::of(name) == Kind::Log {
            let id = id_of(name);
            let all = logs_of(&files["MANIFEST"]);
            let at = all.into_iter().find(|at| u64_at(&files["MANIFEST"], *at) == id).unwrap();
            copy(at, 32..72);
        }
    })
}
