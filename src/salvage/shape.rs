//! What is in a segment, and where.
//!
//! Its header says so. Where that is damaged, the manifest does: it has all counts, and the
//! length of the file, from which all offsets follow but for one choice. A page of the file
//! may be of the directory, or of fence keys behind the kinds, which then begin a page
//! earlier. Of the two places where kinds can begin, only one has counts that add up.

use std::path::Path;

use super::chunks::read_chunk;
use super::file::DamagedFile;
use super::found::Identity;
use super::report::LossReason;
use crate::error::{Error, Result};
use crate::format::PAGE_LEN;
use crate::format::kinds::{KindCounts, KindsLine};
use crate::format::layout::{KINDS_LINE_LEN, KINDS_PER_LINE, Layout, SectionId};
use crate::format::manifest::SegmentEntry;
use crate::format::segment::{Header, header_checksum};
use crate::token::TokenId;

/// What is in a segment, and where.
pub(super) struct Shape {
    pub(super) layout: Layout,
    pub(super) records: usize,
    pub(super) tombstones: u64,
    pub(super) min: TokenId,
    pub(super) max: TokenId,
    /// Whether the file says itself which one it is, and not the manifest alone.
    pub(super) is_identified: bool,
}

/// The shape of a segment, by its header or by what the manifest says of it; or why all of
/// it is lost.
///
/// Fails where its version is not known.
pub(super) fn shape_of(
    file: &DamagedFile,
    path: &Path,
    entry: Option<&SegmentEntry>,
) -> Result<std::result::Result<Shape, LossReason>> {
    let mut page = vec![0; file.len.min(PAGE_LEN as u64) as usize];
    if file.read(&mut page, 0).is_err() {
        page.clear();
    }
    match Header::decode_page(&page, path) {
        Ok((header, layout)) => {
            let sum = header_checksum(&page);
            if entry.is_some_and(|entry| sum != Some(entry.header_checksum)) {
                return Ok(Err(LossReason::Foreign));
            }
            let Header { records, tombstones, min, max, .. } = header;
            let (records, is_identified) = (records as usize, true);
            Ok(Ok(Shape { layout, records, tombstones, min, max, is_identified }))
        }
        Err(Error::Damaged(_)) => {
            let Some(entry) = entry else { return Ok(Err(LossReason::Header)) };
            let said = Identity::at_end(file, &[file.len, entry.file_len]);
            if said.is_some_and(|said| said != Identity::of_entry(entry)) {
                return Ok(Err(LossReason::Foreign));
            }
            Ok(shape_of_entry(file, entry, said.is_some()).ok_or(LossReason::Header))
        }
        Err(error) => Err(error),
    }
}

fn shape_of_entry(file: &DamagedFile, entry: &SegmentEntry, is_identified: bool) -> Option<Shape> {
    let &SegmentEntry { records, updates, tombstones, min, max, .. } = entry;
    let all = KindCounts { stale: updates.checked_add(tombstones)?, tombstones };
    let mut layouts = Layout::of_file(entry.file_len, records, all.stale > 0);
    let records = usize::try_from(records).ok()?;
    if let [a, b] = layouts.as_slice()
        && all.stale > 0
        && is_second(file, [a, b], records, all)
    {
        layouts.swap(0, 1);
    }
    let layout = layouts.into_iter().next()?;
    Some(Shape { layout, records, tombstones, min, max, is_identified })
}

/// Whether the kinds lie by the second of two layouts: the first chunk tells that is one of
/// kinds by one layout only.
fn is_second(file: &DamagedFile, layouts: [&Layout; 2], records: usize, all: KindCounts) -> bool {
    let told = (0..layouts[0].chunks(SectionId::Kinds)).find_map(|chunk| {
        let are_kinds = layouts.map(|layout| {
            read_chunk(file, layout, SectionId::Kinds, chunk)
                .is_ok_and(|bytes| adds_up(&bytes, chunk, records, all))
        });
        (are_kinds[0] != are_kinds[1]).then_some(are_kinds[1])
    });
    told == Some(true)
}

/// Whether these can be lines of kinds: each begins with the counts that the one before
/// ends with, the first with none, and the last ends with all.
fn adds_up(bytes: &[u8], chunk: usize, records: usize, all: KindCounts) -> bool {
    let lines = bytes.as_chunks::<KINDS_LINE_LEN>().0;
    let first = chunk * (PAGE_LEN / KINDS_LINE_LEN);
    let mut counts = (first == 0).then(KindCounts::default);
    for line in lines.iter().map(KindsLine::decode) {
        if counts.is_some_and(|counts| counts != line.before) {
            return false;
        }
        counts = Some(line.counts_before(KINDS_PER_LINE));
    }
    let is_last = first + lines.len() == records.div_ceil(KINDS_PER_LINE);
    !is_last || counts == Some(all)
}
