//! Where the sections of a segment lie.
//!
//! Offsets and lengths follow from four facts: how many records there are, how many
//! lines the directory has, and which of the two optional sections exist. The
//! builder writes by this layout, and the reader accepts no other.

use super::{PAGE_LEN, page_align};
use crate::token::{Record, SUFFIXES};

/// Fewer records than this fit a segment, so that positions fit 32 bits.
pub(crate) const RECORDS_END: u64 = 1 << 32;

/// Records of one block of suffix postings.
pub(crate) const BLOCK_RECORDS: usize = 32_768;

/// Bytes of the table at the start of a block of postings: one u16 a suffix.
pub(crate) const BLOCK_TABLE_LEN: usize = 2 * SUFFIXES;

/// Bytes of a full block of postings: the table, then one u16 a record.
pub(crate) const BLOCK_LEN: usize = BLOCK_TABLE_LEN + 2 * BLOCK_RECORDS;

/// Records whose kinds share one line of the kinds section.
pub(crate) const KINDS_PER_LINE: usize = 192;

/// Bytes of a line of the kinds section.
pub(crate) const KINDS_LINE_LEN: usize = 64;

/// Records from one fence key to the next.
pub(crate) const FENCE_RECORDS: usize = 128;

/// Bytes of a fence key: a whole token.
pub(crate) const FENCE_LEN: usize = 32;

/// Bytes of a line of the directory: where it begins, and a byte for each bucket.
pub(crate) const DIRECTORY_LINE_LEN: usize = 64;

/// Buckets of a line of the directory.
pub(crate) const BUCKETS_PER_LINE: usize = DIRECTORY_LINE_LEN - 4;

/// Records of a line of the directory, on average: one and a half a bucket.
pub(crate) const LINE_RECORDS: u64 = 3 * BUCKETS_PER_LINE as u64 / 2;

/// The same where there are fence keys, which use the room.
pub(crate) const FENCED_LINE_RECORDS: u64 = 2 * BUCKETS_PER_LINE as u64;

/// Bytes of a checksum.
pub(crate) const CHECKSUM_LEN: usize = 4;

/// Bytes of the footer.
pub(crate) const FOOTER_LEN: usize = 64;

/// The sections, in the order in which they lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SectionId {
    Records,
    Postings,
    Directory,
    Kinds,
    Fences,
    Checksums,
    Roots,
}

impl SectionId {
    pub(crate) const COUNT: usize = 7;

    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::Records,
        Self::Postings,
        Self::Directory,
        Self::Kinds,
        Self::Fences,
        Self::Checksums,
        Self::Roots,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Postings => "suffix postings",
            Self::Directory => "prefix directory",
            Self::Kinds => "kinds",
            Self::Fences => "fence keys",
            Self::Checksums => "checksums",
            Self::Roots => "checksums of checksums",
        }
    }

    /// Bytes that share a checksum.
    pub(crate) const fn chunk_len(self) -> usize {
        match self {
            Self::Postings => BLOCK_LEN,
            _ => PAGE_LEN,
        }
    }
}

/// A section: where it lies, and where its chunks are in the order of all chunks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Section {
    pub(crate) offset: usize,
    pub(crate) len: usize,
    /// Number of chunks in the sections before this one.
    pub(crate) first_chunk: usize,
}

/// The facts that the layout follows from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    pub(crate) records: u64,
    /// Lines of the directory.
    pub(crate) lines: u64,
    pub(crate) has_kinds: bool,
    pub(crate) has_fences: bool,
}

/// Where everything lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    sections: [Section; SectionId::COUNT],
    pub(crate) footer: usize,
    pub(crate) file_len: usize,
}

impl Layout {
    /// The layout of a shape, or `None` if no file could be that long.
    pub(crate) fn of(shape: Shape) -> Option<Self> {
        let Shape { records, lines, has_kinds, has_fences } = shape;
        let blocks = records.div_ceil(BLOCK_RECORDS as u64);
        let mut sections = [Section::default(); SectionId::COUNT];
        let mut offset = PAGE_LEN as u64;
        let mut chunks = 0u64;
        let mut checksums_len = 0;
        for id in SectionId::ALL {
            let len = match id {
                SectionId::Records => records.checked_mul(Record::LEN as u64)?,
                SectionId::Postings => {
                    let tables = blocks.checked_mul(BLOCK_TABLE_LEN as u64)?;
                    records.checked_mul(2)?.checked_add(tables)?
                }
                SectionId::Directory => lines.checked_mul(DIRECTORY_LINE_LEN as u64)?,
                SectionId::Kinds if has_kinds => {
                    records.div_ceil(KINDS_PER_LINE as u64) * KINDS_LINE_LEN as u64
                }
                SectionId::Fences if has_fences => {
                    records.div_ceil(FENCE_RECORDS as u64) * FENCE_LEN as u64
                }
                SectionId::Kinds | SectionId::Fences => 0,
                SectionId::Checksums => {
                    checksums_len = chunks.checked_mul(CHECKSUM_LEN as u64)?;
                    checksums_len
                }
                SectionId::Roots => checksums_len.div_ceil(PAGE_LEN as u64) * CHECKSUM_LEN as u64,
            };
            sections[id as usize] = Section {
                offset: usize::try_from(offset).ok()?,
                len: usize::try_from(len).ok()?,
                first_chunk: usize::try_from(chunks).ok()?,
            };
            chunks = chunks.checked_add(len.div_ceil(id.chunk_len() as u64))?;
            offset = page_align(offset.checked_add(len)?)?;
        }
        let footer = usize::try_from(offset).ok()?;
        Some(Self { sections, footer, file_len: footer.checked_add(FOOTER_LEN)? })
    }

    /// The layouts of files of this length with so many records: one with fence keys, one
    /// without, as far as there are any.
    ///
    /// They hold for all numbers of lines of the directory that make a file so long, as
    /// sections begin, and the chunks of the directory are cut, at whole pages.
    pub(crate) fn of_file(file_len: u64, records: u64, has_kinds: bool) -> Vec<Self> {
        if !(1..RECORDS_END).contains(&records) {
            return Vec::new();
        }
        let with_fences = |has_fences| {
            let layout = |lines| Self::of(Shape { records, lines, has_kinds, has_fences });
            let is_shorter =
                |lines| layout(lines).is_some_and(|layout| (layout.file_len as u64) < file_len);
            // The least number of lines that makes the file long enough.
            let (mut low, mut high) = (1, records);
            while low < high {
                let middle = low.midpoint(high);
                if is_shorter(middle) { low = middle + 1 } else { high = middle }
            }
            layout(low).filter(|layout| layout.file_len as u64 == file_len)
        };
        [false, true].into_iter().filter_map(with_fences).collect()
    }

    #[inline]
    pub(crate) fn section(&self, id: SectionId) -> Section {
        self.sections[id as usize]
    }

    /// Number of chunks of a section.
    pub(crate) fn chunks(&self, id: SectionId) -> usize {
        self.section(id).len.div_ceil(id.chunk_len())
    }

    /// Number of chunks whose checksum the checksums section holds.
    pub(crate) fn data_chunks(&self) -> usize {
        self.section(SectionId::Checksums).first_chunk
    }

    /// Number of all chunks that are checked when touched: data and checksums.
    pub(crate) fn checked_chunks(&self) -> usize {
        self.section(SectionId::Roots).first_chunk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(records: u64) -> Option<Layout> {
        let lines = records.div_ceil(LINE_RECORDS);
        Layout::of(Shape { records, lines, has_kinds: false, has_fences: false })
    }

    #[test]
    fn sections_lie_in_order_on_pages_without_overlap() {
        for records in [1, 127, 128, 32_768, 32_769, 1_000_000, u64::from(u32::MAX)] {
            let layout = layout(records).unwrap();
            let mut end = PAGE_LEN;
            for id in SectionId::ALL {
                let section = layout.section(id);
                assert_eq!(section.offset, end, "{records} {id:?}");
                end = (section.offset + section.len).next_multiple_of(PAGE_LEN);
            }
            assert_eq!(layout.footer, end);
            let (data, checksums) = SectionId::ALL.split_at(SectionId::Checksums as usize);
            let data_chunks: usize = data.iter().map(|id| layout.chunks(*id)).sum();
            assert_eq!(layout.data_chunks(), data_chunks);
            assert_eq!(layout.checked_chunks(), data_chunks + layout.chunks(checksums[0]));
            assert_eq!(layout.file_len, end + FOOTER_LEN);
        }
    }

    #[test]
    fn the_length_of_a_file_tells_where_its_sections_lie() {
        for records in [1u64, 2, 500, 12_289, 40_000, 1_000_000] {
            for (has_kinds, has_fences) in [(false, false), (true, false), (true, true)] {
                for lines in [1, records / 120 + 1, records.div_ceil(LINE_RECORDS), records] {
                    let shape = Shape { records, lines, has_kinds, has_fences };
                    let layout = Layout::of(shape).unwrap();
                    let found = Layout::of_file(layout.file_len as u64, records, has_kinds);
                    let lies_like_it = |other: &&Layout| {
                        let mut ids = SectionId::ALL.into_iter();
                        ids.all(|id| {
                            let (a, b) = (layout.section(id), other.section(id));
                            let is_directory = id == SectionId::Directory;
                            (a.offset, a.first_chunk) == (b.offset, b.first_chunk)
                                && (a.len == b.len || is_directory)
                        })
                    };
                    assert_eq!(found.iter().filter(lies_like_it).count(), 1, "{shape:?}");
                    assert_eq!(Layout::of_file(layout.file_len as u64 + 1, records, true), []);
                }
            }
        }
        for records in [0, RECORDS_END, u64::MAX] {
            assert_eq!(Layout::of_file(1 << 20, records, true), []);
        }
    }

    #[test]
    fn a_million_records_take_at_most_75_bytes_each() {
        for records in [1_000_000u64, 10_000_000, u64::from(u32::MAX)] {
            let bytes = layout(records).unwrap().file_len as f64 / records as f64;
            assert!(bytes <= 75.0, "{bytes} bytes a record");
        }
    }

    #[test]
    fn lines_for_more_records_and_fences_stay_in_the_budget() {
        let records = 1_000_000u64;
        // A fifteenth more lines than needed is the most that is left as it is.
        let announced = records * 16 / 15;
        for (lines, has_fences) in [
            (announced.div_ceil(LINE_RECORDS), false),
            (records.div_ceil(FENCED_LINE_RECORDS), true),
        ] {
            let shape = Shape { records, lines, has_kinds: false, has_fences };
            let bytes = Layout::of(shape).unwrap().file_len as f64 / records as f64;
            assert!(bytes <= 75.0, "{bytes} bytes a record");
        }
    }

    #[test]
    fn lengths_that_overflow_have_no_layout() {
        assert_eq!(layout(u64::MAX), None);
        assert_eq!(layout(u64::MAX / 72), None);
        let shape = Shape { records: 1, lines: u64::MAX, has_kinds: true, has_fences: true };
        assert_eq!(Layout::of(shape), None);
    }
}
