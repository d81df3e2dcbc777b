//! Making segments.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::format::kinds::Kind;
use crate::io::DiskFile;
use crate::io::map::Bytes;
use crate::io::memory::MemoryFile;
use crate::options::Verification;
use crate::segment::builder::{SegmentBuilder, SegmentIds, SegmentPlan};
use crate::segment::reader::Segment;
use crate::token::{BlockTime, Record, TokenId};

pub(super) type Pair = (TokenId, BlockTime);

fn build(file: Box<dyn DiskFile>, entries: &[(Record, Kind)], segment_id: u64) {
    let plan = SegmentPlan {
        ids: SegmentIds { store_id: [1; 16], segment_id },
        records_max: entries.len() as u64,
        bounds: (entries[0].0.token, entries[entries.len() - 1].0.token),
    };
    let mut builder = SegmentBuilder::new(file, PathBuf::from("built"), plan).unwrap();
    for (record, kind) in entries {
        builder.push(record, *kind).unwrap();
    }
    builder.finish(&mut |_| Ok(())).unwrap().unwrap();
}

/// A segment of fresh entries in a file that has no name, and the file.
pub(super) fn mapped(pairs: &[Pair], segment_id: u64) -> (Segment<Bytes>, File) {
    let file = tempfile::tempfile().unwrap();
    let entries: Vec<_> = pairs.iter().map(|pair| (Record::from(*pair), Kind::Fresh)).collect();
    build(Box::new(file.try_clone().unwrap()), &entries, segment_id);
    let path = format!("segment {segment_id}");
    let bytes = Bytes::map(&file).unwrap();
    let opened = Segment::open(bytes, Path::new(&path), Verification::FirstTouch);
    (opened.unwrap(), file)
}

/// The bytes of a segment.
pub(super) fn bytes_of(entries: &[(Record, Kind)]) -> Vec<u8> {
    let file = MemoryFile::default();
    build(Box::new(file.clone()), entries, 1);
    file.contents()
}

/// A segment in memory.
pub(super) fn in_memory(entries: &[(Record, Kind)]) -> Segment<Bytes> {
    let bytes = Bytes::Owned(bytes_of(entries));
    Segment::open(bytes, Path::new("memory"), Verification::FirstTouch).unwrap()
}
