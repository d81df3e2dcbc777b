//! The header and the footer of a segment.

use std::path::Path;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::layout::{FOOTER_LEN, Layout, RECORDS_END, SectionId, Shape};
use super::{PAGE_LEN, checksum, hex_of};
use crate::error::{Damage, Error, Result};
use crate::token::TokenId;

/// The first bytes of a segment.
const MAGIC: [u8; 8] = *b"RINGSEG\n";

/// The first bytes of a footer.
const FOOTER_MAGIC: [u8; 8] = *b"RINGEND\n";

/// The newest version of the segment format that is known.
pub(crate) const SEGMENT_VERSION: u32 = 1;

/// Records are token (32) ‖ block (32) ‖ time (8, big-endian).
const SCHEMA_TOKEN_BLOCK_TIME: u32 = 1;

/// Identifies a store; every file carries it.
pub(crate) type StoreIdBytes = [u8; 16];

/// Bytes of a store's id that a store has in common with those that were made of it.
const FAMILY_LEN: usize = 8;

/// The id of a store that is made of another one's files.
pub(crate) fn descendant_of(store_id: StoreIdBytes, random: StoreIdBytes) -> StoreIdBytes {
    let mut descendant = random;
    descendant[..FAMILY_LEN].copy_from_slice(&store_id[..FAMILY_LEN]);
    descendant
}

/// Whether a store may have files of the other, as it is that one, or was made of it, or both
/// were made of a third one.
pub(crate) fn are_related(this: &StoreIdBytes, other: &StoreIdBytes) -> bool {
    this[..FAMILY_LEN] == other[..FAMILY_LEN]
}

/// The linear map from tokens to the lines of the directory.
///
/// Of tokens from `low` to `high`, which share their first `skip_bits` bits, the next 64
/// bits, less `base`, times `scale`, are the line in units of 2^-64. Tokens below are at
/// its beginning, tokens above at its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BucketMap {
    pub(crate) skip_bits: u32,
    pub(crate) low: TokenId,
    pub(crate) high: TokenId,
    pub(crate) base: u64,
    pub(crate) scale: u64,
    pub(crate) lines: u64,
}

/// What the header of a segment says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) store_id: StoreIdBytes,
    pub(crate) segment_id: u64,
    pub(crate) records: u64,
    pub(crate) updates: u64,
    pub(crate) tombstones: u64,
    pub(crate) min: TokenId,
    pub(crate) max: TokenId,
    pub(crate) map: BucketMap,
    pub(crate) has_kinds: bool,
    pub(crate) has_fences: bool,
    /// Checksum of the roots section.
    pub(crate) roots_checksum: u32,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawSection {
    offset: U64,
    len: U64,
    chunk_len: U64,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: [u8; 8],
    version: U32,
    schema: U32,
    store_id: StoreIdBytes,
    segment_id: U64,
    file_len: U64,
    records: U64,
    updates: U64,
    tombstones: U64,
    min: [u8; 32],
    max: [u8; 32],
    skip_bits: U32,
    zero_before_base: U32,
    base: U64,
    scale: U64,
    lines: U64,
    sections: [RawSection; SectionId::COUNT],
    low: [u8; 32],
    zero: [u8; PAGE_LEN - 376],
    roots_checksum: U32,
    checksum: U32,
}

const _: () = {
    assert!(size_of::<RawHeader>() == PAGE_LEN);
    assert!(std::mem::offset_of!(RawHeader, store_id) == 16);
    assert!(std::mem::offset_of!(RawHeader, records) == 48);
    assert!(std::mem::offset_of!(RawHeader, min) == 72);
    assert!(std::mem::offset_of!(RawHeader, skip_bits) == 136);
    assert!(std::mem::offset_of!(RawHeader, sections) == 168);
    assert!(std::mem::offset_of!(RawHeader, low) == 336);
    assert!(std::mem::offset_of!(RawHeader, zero) == 368);
    assert!(std::mem::offset_of!(RawHeader, roots_checksum) == 4088);
    assert!(std::mem::offset_of!(RawHeader, checksum) == 4092);
};

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawFooter {
    magic: [u8; 8],
    file_len: U64,
    store_id: StoreIdBytes,
    segment_id: U64,
    zero: [u8; 16],
    header_checksum: U32,
    checksum: U32,
}

const _: () = assert!(size_of::<RawFooter>() == FOOTER_LEN);

/// Number of leading bits in which two tokens agree.
pub(crate) fn shared_bits(a: &TokenId, b: &TokenId) -> u32 {
    let mut bits = 0;
    for (a, b) in a.0.iter().zip(&b.0) {
        let differing = a ^ b;
        bits += differing.leading_zeros();
        if differing != 0 {
            break;
        }
    }
    bits
}

/// The smallest and the largest token with the same leading bits as this one.
pub(crate) fn span(token: &TokenId, bits: u32) -> (TokenId, TokenId) {
    let (mut low, mut high) = (*token, *token);
    for (index, (low, high)) in (0u32..).zip(low.0.iter_mut().zip(&mut high.0)) {
        let rest = u8::MAX.checked_shr(bits.saturating_sub(8 * index)).unwrap_or(0);
        *low &= !rest;
        *high |= rest;
    }
    (low, high)
}

impl Header {
    /// Where everything lies in the file.
    pub(crate) fn layout(&self) -> Option<Layout> {
        Layout::of(Shape {
            records: self.records,
            lines: self.map.lines,
            has_kinds: self.has_kinds,
            has_fences: self.has_fences,
        })
    }

    /// The bytes of the header's page and of the footer.
    pub(crate) fn encode(&self, layout: &Layout) -> ([u8; PAGE_LEN], [u8; FOOTER_LEN]) {
        let mut header = RawHeader {
            magic: MAGIC,
            version: SEGMENT_VERSION.into(),
            schema: SCHEMA_TOKEN_BLOCK_TIME.into(),
            store_id: self.store_id,
            segment_id: self.segment_id.into(),
            file_len: (layout.file_len as u64).into(),
            records: self.records.into(),
            updates: self.updates.into(),
            tombstones: self.tombstones.into(),
            min: self.min.0,
            max: self.max.0,
            skip_bits: self.map.skip_bits.into(),
            zero_before_base: U32::ZERO,
            base: self.map.base.into(),
            scale: self.map.scale.into(),
            lines: self.map.lines.into(),
            sections: raw_sections(layout),
            low: self.map.low.0,
            zero: [0; PAGE_LEN - 376],
            roots_checksum: self.roots_checksum.into(),
            checksum: U32::ZERO,
        };
        header.checksum = checksum(&header.as_bytes()[..PAGE_LEN - 4]).into();
        let mut footer = RawFooter {
            magic: FOOTER_MAGIC,
            file_len: header.file_len,
            store_id: self.store_id,
            segment_id: header.segment_id,
            zero: [0; 16],
            header_checksum: header.checksum,
            checksum: U32::ZERO,
        };
        footer.checksum = checksum(&footer.as_bytes()[..FOOTER_LEN - 4]).into();
        let mut pages = ([0; PAGE_LEN], [0; FOOTER_LEN]);
        pages.0.copy_from_slice(header.as_bytes());
        pages.1.copy_from_slice(footer.as_bytes());
        pages
    }

    /// What is said of records and directory can be true of some segment.
    fn check_counts(&self) -> Result<(), &'static str> {
        if !(1..RECORDS_END).contains(&self.records) {
            return Err("a number of records that no segment has");
        }
        let entries = self.updates.checked_add(self.tombstones);
        if entries.is_none_or(|entries| entries > self.records)
            || self.has_kinds != (entries != Some(0))
        {
            return Err("counts of kinds that do not add up");
        }
        if self.min > self.max || (self.min == self.max) != (self.records == 1) {
            return Err("a key range that does not fit the number of records");
        }
        if !(1..=self.records).contains(&self.map.lines) {
            return Err("a directory that does not fit the number of records");
        }
        if self.map.skip_bits > 255 || span(&self.map.low, self.map.skip_bits).0 != self.map.low {
            return Err("a directory of tokens that share no such bits");
        }
        Ok(())
    }

    /// Reads and checks header and footer of a whole file.
    ///
    /// Whatever the bytes are, the layout that comes back fits them.
    pub(crate) fn decode(file: &[u8], path: &Path) -> Result<(Self, Layout)> {
        let (header, layout) = Self::decode_page(file, path)?;
        let damaged = |part, offset: usize, expected: String, found: String| {
            let (path, offset) = (path.to_path_buf(), offset as u64);
            Error::from(Damage { path, part, offset, expected, found })
        };
        let lens = (layout.file_len, file.len());
        if lens.0 != lens.1 {
            let [expected, found] = [lens.0, lens.1].map(|len| format!("{len} bytes"));
            return Err(damaged("segment length", file.len(), expected, found));
        }
        let (_, footer) = header.encode(&layout);
        if footer != file[layout.footer..] {
            return Err(damaged(
                "segment footer",
                layout.footer,
                "the footer of this header".into(),
                hex_of(&file[layout.footer..]),
            ));
        }
        Ok((header, layout))
    }

    /// Reads and checks the header's page at the start of a file, of which no more need be
    /// there.
    pub(crate) fn decode_page(file: &[u8], path: &Path) -> Result<(Self, Layout)> {
        let damaged = |expected: String, found: String| {
            let (path, part, offset) = (path.to_path_buf(), "segment header", 0);
            Error::from(Damage { path, part, offset, expected, found })
        };
        let Ok((raw, _)) = RawHeader::read_from_prefix(file) else {
            let found = format!("{} bytes", file.len());
            return Err(damaged(format!("a header of {PAGE_LEN} bytes"), found));
        };
        if raw.magic != MAGIC {
            return Err(damaged(hex_of(&MAGIC), hex_of(&raw.magic)));
        }
        let computed = checksum(&raw.as_bytes()[..PAGE_LEN - 4]);
        if raw.checksum != computed {
            // A later version may have a header of another shape, but it keeps magic
            // and version; so a version that is not known is only believed if the
            // header checks out.
            let found = format!("{computed:#010x}");
            return Err(damaged(format!("checksum {:#010x}", raw.checksum), found));
        }
        if raw.version != SEGMENT_VERSION {
            return Err(Error::UnknownVersion {
                path: path.to_path_buf(),
                found: raw.version.get(),
                known: SEGMENT_VERSION,
            });
        }
        let wrong = |what: &str| damaged("a header that fits the file".into(), what.into());
        if raw.schema != SCHEMA_TOKEN_BLOCK_TIME {
            return Err(wrong("an unknown schema"));
        }
        let header = Self {
            store_id: raw.store_id,
            segment_id: raw.segment_id.get(),
            records: raw.records.get(),
            updates: raw.updates.get(),
            tombstones: raw.tombstones.get(),
            min: TokenId(raw.min),
            max: TokenId(raw.max),
            map: BucketMap {
                skip_bits: raw.skip_bits.get(),
                low: TokenId(raw.low),
                high: span(&TokenId(raw.low), raw.skip_bits.get()).1,
                base: raw.base.get(),
                scale: raw.scale.get(),
                lines: raw.lines.get(),
            },
            has_kinds: raw.sections[SectionId::Kinds as usize].len != 0,
            has_fences: raw.sections[SectionId::Fences as usize].len != 0,
            roots_checksum: raw.roots_checksum.get(),
        };
        header.check_counts().map_err(wrong)?;
        let layout = header.layout().ok_or_else(|| wrong("sections longer than any file"))?;
        // Everything that was not looked at, the file's length too, follows from what was.
        let (page, _) = header.encode(&layout);
        if page != raw.as_bytes() {
            return Err(wrong("sections or other bytes that do not fit the counts"));
        }
        Ok((header, layout))
    }
}

/// What the footer of a segment says of whose it is: the store that it was made under, its
/// id, and its header's checksum. `None` if it is none.
pub(crate) fn identify_footer(bytes: &[u8]) -> Option<(StoreIdBytes, u64, u32)> {
    let footer = RawFooter::ref_from_bytes(bytes).ok()?;
    let is_footer = footer.magic == FOOTER_MAGIC
        && footer.checksum == checksum(&footer.as_bytes()[..FOOTER_LEN - 4]);
    is_footer.then(|| (footer.store_id, footer.segment_id.get(), footer.header_checksum.get()))
}

/// The checksum of a header's page, by which the manifest knows a segment.
pub(crate) fn header_checksum(file: &[u8]) -> Option<u32> {
    RawHeader::ref_from_prefix(file).ok().map(|(header, _)| header.checksum.get())
}

/// The id of its store, of the first bytes of what may be a segment.
pub(crate) fn segment_store_id(bytes: &[u8; 32]) -> Option<StoreIdBytes> {
    (bytes[..8] == MAGIC).then(|| *bytes.last_chunk().unwrap_or(&[0; 16]))
}

fn raw_sections(layout: &Layout) -> [RawSection; SectionId::COUNT] {
    SectionId::ALL.map(|id| {
        let section = layout.section(id);
        RawSection {
            offset: (section.offset as u64).into(),
            len: (section.len as u64).into(),
            chunk_len: (id.chunk_len() as u64).into(),
        }
    })
}

/// Makes all checksums of a segment right for whatever bytes it has, so that tests get
/// past them. Bytes that are too few for what the header says keep those they have.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn reseal(file: &mut [u8]) {
    let Ok((raw, _)) = RawHeader::read_from_prefix(file) else { return };
    let shape = Shape {
        records: raw.records.get(),
        lines: raw.lines.get(),
        has_kinds: raw.sections[SectionId::Kinds as usize].len != 0,
        has_fences: raw.sections[SectionId::Fences as usize].len != 0,
    };
    let mut roots_checksum = raw.roots_checksum;
    if let Some(layout) = Layout::of(shape).filter(|layout| layout.file_len == file.len()) {
        let seal = |file: &mut [u8], ids: &[SectionId], into: SectionId| {
            let mut sums = Vec::new();
            for &id in ids {
                let section = layout.section(id);
                let chunks = file[section.offset..][..section.len].chunks(id.chunk_len());
                sums.extend(chunks.flat_map(|chunk| checksum(chunk).to_le_bytes()));
            }
            let section = layout.section(into);
            file[section.offset..][..section.len].copy_from_slice(&sums);
            checksum(&sums)
        };
        let (data, _) = SectionId::ALL.split_at(SectionId::Checksums as usize);
        seal(file, data, SectionId::Checksums);
        roots_checksum = seal(file, &[SectionId::Checksums], SectionId::Roots).into();
    }
    let (page, rest) = file.split_at_mut(PAGE_LEN);
    page[PAGE_LEN - 8..PAGE_LEN - 4].copy_from_slice(roots_checksum.as_bytes());
    let header_checksum = checksum(&page[..PAGE_LEN - 4]).to_le_bytes();
    page[PAGE_LEN - 4..].copy_from_slice(&header_checksum);
    if let Some(footer) = rest.last_chunk_mut::<FOOTER_LEN>() {
        footer[FOOTER_LEN - 8..FOOTER_LEN - 4].copy_from_slice(&header_checksum);
        let sum = checksum(&footer[..FOOTER_LEN - 4]).to_le_bytes();
        footer[FOOTER_LEN - 4..].copy_from_slice(&sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let low = TokenId::from(0);
        Header {
            store_id: [7; 16],
            segment_id: 3,
            records: 10,
            updates: 1,
            tombstones: 2,
            min: TokenId::from(1),
            max: TokenId::from(9),
            map: BucketMap {
                skip_bits: 8,
                low,
                high: span(&low, 8).1,
                base: 0,
                scale: 5,
                lines: 2,
            },
            has_kinds: true,
            has_fences: false,
            roots_checksum: 99,
        }
    }

    /// What is read of a page that holds this header, be there such a segment or not.
    fn decode(wanted: &Header) -> Result<Header> {
        let layout = wanted.layout().or(header().layout()).unwrap();
        let (page, _) = wanted.encode(&layout);
        Header::decode_page(&page, Path::new("segment")).map(|(found, _)| found)
    }

    #[test]
    fn headers_come_back() {
        let all_kinds = Header { updates: 8, ..header() };
        let no_kinds = Header { updates: 0, tombstones: 0, has_kinds: false, ..header() };
        let with_fences = Header { has_fences: true, ..header() };
        let map = BucketMap { lines: 1, ..header().map };
        let one_record = Header { records: 1, max: header().min, map, ..no_kinds.clone() };
        for header in [header(), all_kinds, no_kinds, with_fences, one_record] {
            assert_eq!(decode(&header).unwrap(), header);
        }
    }

    /// What checksums cannot see is refused all the same, and it is said what it is.
    #[test]
    fn headers_that_no_segment_has_are_damage() {
        const RECORDS: &str = "a number of records that no segment has";
        const KINDS: &str = "counts of kinds that do not add up";
        const KEYS: &str = "a key range that does not fit the number of records";
        const LINES: &str = "a directory that does not fit the number of records";
        const BITS: &str = "a directory of tokens that share no such bits";
        type Change = fn(&mut Header);
        let cases: [(&str, Change); 15] = [
            (RECORDS, |it| it.records = 0),
            (RECORDS, |it| it.records = RECORDS_END),
            (KINDS, |it| it.updates = 9),
            (KINDS, |it| it.tombstones = 10),
            (KINDS, |it| it.updates = u64::MAX),
            (KINDS, |it| (it.updates, it.tombstones) = (0, 0)),
            (KINDS, |it| it.has_kinds = false),
            (KEYS, |it| (it.min, it.max) = (it.max, it.min)),
            (KEYS, |it| it.max = it.min),
            (KEYS, |it| (it.records, it.updates, it.tombstones) = (1, 1, 0)),
            (LINES, |it| it.map.lines = 0),
            (LINES, |it| it.map.lines = 11),
            (BITS, |it| it.map.skip_bits = 256),
            (BITS, |it| it.map.low.0[31] = 1),
            (BITS, |it| it.map.low.0[1] = 0x80),
        ];
        for (index, (what, change)) in (0..).zip(cases) {
            let mut wrong = header();
            change(&mut wrong);
            match decode(&wrong) {
                Err(Error::Damaged(damage)) => assert_eq!(damage.found, what, "case {index}"),
                other => panic!("case {index}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_footer_says_whose_it_is_and_anything_else_is_none() {
        let (page, footer) = header().encode(&header().layout().unwrap());
        let sum = header_checksum(&page).unwrap();
        assert_eq!(identify_footer(&footer), Some(([7; 16], 3, sum)));
        assert_eq!(identify_footer(&footer[1..]), None);
        for byte in 0..FOOTER_LEN {
            let mut other = footer;
            other[byte] ^= 1;
            assert_eq!(identify_footer(&other), None, "byte {byte}");
        }
        let mut other = footer;
        other[0] ^= 1;
        let sum = checksum(&other[..FOOTER_LEN - 4]).to_le_bytes();
        other[FOOTER_LEN - 4..].copy_from_slice(&sum);
        assert_eq!(identify_footer(&other), None, "the right checksum of something else");
    }

    #[test]
    fn stores_are_related_to_those_that_are_made_of_them() {
        let (store, other) = ([7; 16], [8; 16]);
        let descendant = descendant_of(store, other);
        assert_ne!(descendant, store);
        assert!(are_related(&store, &store) && are_related(&descendant, &store));
        assert!(!are_related(&store, &other) && !are_related(&descendant, &other));
    }
}
