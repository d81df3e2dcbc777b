//! Comparing the chunks of a segment with their checksums, each by itself.
//!
//! Whether the page of checksums that a checksum is in is right as a whole does not matter:
//! a byte of it that is wrong costs one chunk, not a thousand.

use super::file::DamagedFile;
use super::report::LossReason;
use crate::format::checksum;
use crate::format::layout::{CHECKSUM_LEN, Layout, SectionId};

/// Fills bytes with chunks of a section, from one on, and says of each why it is lost, if it
/// is.
pub(super) fn read_chunks(
    file: &DamagedFile,
    layout: &Layout,
    id: SectionId,
    first: usize,
    bytes: &mut [u8],
) -> Vec<Option<LossReason>> {
    let (section, chunk_len) = (layout.section(id), id.chunk_len());
    let mut states = file.read_units(bytes, (section.offset + first * chunk_len) as u64, chunk_len);
    let mut sums = vec![[0; CHECKSUM_LEN]; states.len()];
    let at =
        layout.section(SectionId::Checksums).offset + (section.first_chunk + first) * CHECKSUM_LEN;
    let sum_states = file.read_units(sums.as_flattened_mut(), at as u64, CHECKSUM_LEN);
    let stored = sums.iter().zip(sum_states);
    for ((state, chunk), (sum, lost)) in states.iter_mut().zip(bytes.chunks(chunk_len)).zip(stored)
    {
        if state.is_none() {
            *state = match lost {
                Some(_) => Some(LossReason::NoChecksum),
                None => (checksum(chunk).to_le_bytes() != *sum).then_some(LossReason::Checksum),
            };
        }
    }
    states
}

/// A chunk, or why it is lost.
pub(super) fn read_chunk(
    file: &DamagedFile,
    layout: &Layout,
    id: SectionId,
    chunk: usize,
) -> Result<Vec<u8>, LossReason> {
    let start = chunk * id.chunk_len();
    let end = layout.section(id).len.min(start + id.chunk_len());
    let mut bytes = vec![0; end.saturating_sub(start)];
    match read_chunks(file, layout, id, chunk, &mut bytes).into_iter().flatten().next() {
        Some(reason) => Err(reason),
        None => Ok(bytes),
    }
}
