//! The bytes of a log.

use std::path::Path;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::hex_of;
use super::kinds::Kind;
use super::segment::StoreIdBytes;
use crate::error::{Damage, Error, Result};
use crate::token::Record;

/// The first bytes of a log.
const MAGIC: [u8; 8] = *b"RINGLOG\n";

/// The newest version of the log format that is known.
pub(crate) const LOG_VERSION: u32 = 1;

/// Header and frames begin at multiples of this: what a disk writes at a time, or not
/// at all.
pub(crate) const BLOCK_LEN: usize = 512;

/// Bytes of a frame before its records.
pub(crate) const FRAME_HEADER_LEN: usize = 32;

/// Bytes of an entry: its record and its kind.
const ENTRY_LEN: usize = Record::LEN + 1;

/// Random bytes that go into every checksum of a log, so that nothing but this log can
/// hold a frame of it.
pub(crate) type Salt = [u8; 8];

/// What the manifest says of one log, and the log of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LogEntry {
    pub(crate) log_id: u64,
    /// The sequence number of the first frame.
    pub(crate) first_sequence: u64,
    /// The sequence number of the first frame that is a commit. Those before are what the
    /// log began with, and were on disk before it was named.
    pub(crate) commits_from: u64,
    pub(crate) file_len: u64,
    pub(crate) salt: Salt,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: [u8; 8],
    version: U32,
    checksum: U32,
    store_id: StoreIdBytes,
    log_id: U64,
    first_sequence: U64,
    commits_from: U64,
    file_len: U64,
    salt: Salt,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawFrame {
    checksum: U32,
    entries: U32,
    sequence: U64,
    durable: U64,
    previous: U32,
    payload_checksum: U32,
}

const _: () = {
    assert!(size_of::<RawHeader>() == 72);
    assert!(size_of::<RawFrame>() == FRAME_HEADER_LEN);
};

impl RawHeader {
    /// The checksum of all of it but the checksum.
    fn compute_checksum(&self) -> u32 {
        let (before, after) = self.as_bytes().split_at(12);
        salted(self.salt, &[before, after.get(4..).unwrap_or(&[])])
    }
}

/// Bytes that a frame of so many entries takes up, up to the next one.
pub(crate) fn frame_len(entries: usize) -> usize {
    (FRAME_HEADER_LEN + entries * ENTRY_LEN).next_multiple_of(BLOCK_LEN)
}

/// The header of a log, and its checksum.
pub(crate) fn encode_header(store_id: StoreIdBytes, entry: &LogEntry) -> ([u8; BLOCK_LEN], u32) {
    let mut raw = RawHeader {
        magic: MAGIC,
        version: LOG_VERSION.into(),
        checksum: 0.into(),
        store_id,
        log_id: entry.log_id.into(),
        first_sequence: entry.first_sequence.into(),
        commits_from: entry.commits_from.into(),
        file_len: entry.file_len.into(),
        salt: entry.salt,
    };
    let sum = raw.compute_checksum();
    raw.checksum = sum.into();
    let mut block = [0; BLOCK_LEN];
    block[..size_of::<RawHeader>()].copy_from_slice(raw.as_bytes());
    (block, sum)
}

/// Makes sure that a log is the one that the manifest names; its header's checksum.
pub(crate) fn decode_header(
    bytes: &[u8],
    store_id: StoreIdBytes,
    entry: &LogEntry,
    path: &Path,
) -> Result<u32> {
    let damaged = |offset, expected: String, found: String| {
        let (path, part) = (path.to_path_buf(), "log header");
        Err(Error::from(Damage { path, part, offset, expected, found }))
    };
    let Some(block) = bytes.first_chunk::<BLOCK_LEN>() else {
        return damaged(0, format!("{BLOCK_LEN} bytes"), format!("{} bytes", bytes.len()));
    };
    let Ok((raw, _)) = RawHeader::ref_from_prefix(block) else {
        return damaged(0, "a header".into(), "none".into());
    };
    if raw.magic != MAGIC {
        return damaged(0, hex_of(&MAGIC), hex_of(&raw.magic));
    }
    let (expected, sum) = encode_header(store_id, entry);
    if *block != expected {
        let found = raw.version.get();
        if found != LOG_VERSION && raw.checksum.get() == raw.compute_checksum() {
            let path = path.to_path_buf();
            return Err(Error::UnknownVersion { path, found, known: LOG_VERSION });
        }
        let what = |block: &[u8; BLOCK_LEN]| hex_of(&block[12..size_of::<RawHeader>()]);
        return damaged(12, what(&expected), what(block));
    }
    Ok(sum)
}

/// Whose log it is by its header, and which, if there is one.
pub(crate) fn identify(block: &[u8]) -> Option<(StoreIdBytes, LogEntry)> {
    let (raw, _) = RawHeader::ref_from_prefix(block).ok()?;
    let entry = LogEntry {
        log_id: raw.log_id.get(),
        first_sequence: raw.first_sequence.get(),
        commits_from: raw.commits_from.get(),
        file_len: raw.file_len.get(),
        salt: raw.salt,
    };
    let is_header = raw.magic == MAGIC && raw.checksum.get() == raw.compute_checksum();
    is_header.then_some((raw.store_id, entry))
}

/// What stands before the entries of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FrameHeader {
    /// Of the salt and all that follows of the header, which has the one of the entries.
    pub(crate) checksum: u32,
    pub(crate) entries: u32,
    pub(crate) sequence: u64,
    /// All frames up to this sequence number were known to be durable when this one was
    /// written.
    pub(crate) durable: u64,
    /// The checksum of the frame before, or of the log's header.
    pub(crate) previous: u32,
    payload_checksum: u32,
}

fn salted(salt: Salt, bytes: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt);
    for bytes in bytes {
        hasher.update(bytes);
    }
    hasher.finalize()
}

/// The tag of a kind in a frame.
fn tag(kind: Kind) -> u8 {
    match kind {
        Kind::Fresh => 0,
        Kind::Update => 1,
        Kind::Tombstone => 2,
    }
}

fn kind(tag: u8) -> Option<Kind> {
    [Kind::Fresh, Kind::Update, Kind::Tombstone].into_iter().find(|kind| self::tag(*kind) == tag)
}

/// Appends a frame, padded to whole blocks, and gives its checksum.
pub(crate) fn encode_frame<'a>(
    salt: Salt,
    previous: u32,
    sequence: u64,
    durable: u64,
    entries: impl ExactSizeIterator<Item = (&'a Record, Kind)> + Clone,
    out: &mut Vec<u8>,
) -> u32 {
    let count = entries.len();
    let start = out.len();
    out.resize(start + FRAME_HEADER_LEN, 0);
    for (record, _) in entries.clone() {
        out.extend_from_slice(bytemuck::bytes_of(record));
    }
    out.extend(entries.map(|(_, kind)| tag(kind)));
    let mut raw = RawFrame {
        checksum: 0.into(),
        entries: (count as u32).into(),
        sequence: sequence.into(),
        durable: durable.into(),
        previous: previous.into(),
        payload_checksum: salted(salt, &[&out[start + FRAME_HEADER_LEN..]]).into(),
    };
    let sum = salted(salt, &[&raw.as_bytes()[4..]]);
    raw.checksum = sum.into();
    out[start..start + FRAME_HEADER_LEN].copy_from_slice(raw.as_bytes());
    out.resize(start + frame_len(count), 0);
    sum
}

impl FrameHeader {
    /// The header at the start of some bytes, if it is one of this log.
    pub(crate) fn decode(bytes: &[u8], salt: Salt) -> Option<Self> {
        let (raw, _) = RawFrame::ref_from_prefix(bytes).ok()?;
        let header = Self {
            checksum: raw.checksum.get(),
            entries: raw.entries.get(),
            sequence: raw.sequence.get(),
            durable: raw.durable.get(),
            previous: raw.previous.get(),
            payload_checksum: raw.payload_checksum.get(),
        };
        (header.checksum == salted(salt, &[&raw.as_bytes()[4..]])).then_some(header)
    }

    /// Bytes up to the next frame.
    pub(crate) fn frame_len(&self) -> usize {
        frame_len(self.entries as usize)
    }

    /// The entries of the frame that begins some bytes, if they are what was written.
    pub(crate) fn entries<'a>(&self, bytes: &'a [u8], salt: Salt) -> Option<Entries<'a>> {
        let len = self.entries as usize * ENTRY_LEN;
        let payload = bytes.get(FRAME_HEADER_LEN..FRAME_HEADER_LEN + len)?;
        if bytes.len() < self.frame_len() || salted(salt, &[payload]) != self.payload_checksum {
            return None;
        }
        let (records, kinds) = payload.split_at(self.entries as usize * Record::LEN);
        let records: &[Record] = bytemuck::try_cast_slice(records).ok()?;
        let is_sorted = records.is_sorted_by(|a, b| a.token < b.token);
        (is_sorted && kinds.iter().all(|tag| kind(*tag).is_some()))
            .then_some(Entries { records, kinds })
    }
}

/// Makes the checksums of a log right, whatever bytes it has, and chains its frames: as far
/// as they lie one behind the other, up to a block of zeros.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn reseal(file: &mut [u8]) {
    let Ok((header, _)) = RawHeader::mut_from_prefix(file) else { return };
    header.checksum = header.compute_checksum().into();
    let (mut previous, salt) = (header.checksum, header.salt);
    let mut rest = file.get_mut(BLOCK_LEN..).unwrap_or_default();
    while rest.iter().take(BLOCK_LEN).any(|byte| *byte != 0)
        && let Some((header, payload)) = rest.split_at_mut_checked(FRAME_HEADER_LEN)
        && let Ok(header) = RawFrame::mut_from_bytes(header)
    {
        let entries = header.entries.get() as usize;
        if let Some(payload) = payload.get(..entries * ENTRY_LEN) {
            header.payload_checksum = salted(salt, &[payload]).into();
        }
        header.previous = previous;
        header.checksum = salted(salt, &[&header.as_bytes()[4..]]).into();
        previous = header.checksum;
        let Some((_, next)) = rest.split_at_mut_checked(frame_len(entries)) else { return };
        rest = next;
    }
}

/// The entries of a frame, in the order of their tokens.
#[derive(Clone, Copy)]
pub(crate) struct Entries<'a> {
    records: &'a [Record],
    kinds: &'a [u8],
}

impl<'a> Entries<'a> {
    /// Whether this is a mark.
    pub(crate) fn is_empty(self) -> bool {
        self.records.is_empty()
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = (&'a Record, Kind)> {
        self.records.iter().zip(self.kinds.iter().filter_map(|tag| kind(*tag)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random::Random;
    use crate::token::BlockTime;

    const SALT: Salt = *b"saltsalt";

    fn entries(count: usize) -> Vec<(Record, Kind)> {
        let mut random = Random::new("frames", count as u64);
        let mut tokens: Vec<_> = (0..count).map(|_| random.token()).collect();
        tokens.sort_unstable();
        let kinds = [Kind::Fresh, Kind::Update, Kind::Tombstone];
        let kind = |index: usize| kinds[index % kinds.len()];
        let value = BlockTime::new([3; 32].into(), 9);
        tokens.into_iter().zip(0..).map(|(t, i)| (Record::new(t, value), kind(i))).collect()
    }

    fn each(entries: &[(Record, Kind)]) -> impl ExactSizeIterator<Item = (&Record, Kind)> + Clone {
        entries.iter().map(|(record, kind)| (record, *kind))
    }

    fn frame(count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let sum = encode_frame(SALT, 7, 12, 11, each(&entries(count)), &mut bytes);
        assert_eq!(FrameHeader::decode(&bytes, SALT).map(|header| header.checksum), Some(sum));
        bytes
    }

    /// The entries of a frame that is all right.
    fn read(bytes: &[u8], salt: Salt) -> Option<Vec<(Record, Kind)>> {
        let header = FrameHeader::decode(bytes, salt)?;
        assert_eq!((header.sequence, header.durable, header.previous), (12, 11, 7));
        let entries = header.entries(bytes, salt)?;
        Some(entries.iter().map(|(record, kind)| (*record, kind)).collect())
    }

    #[test]
    fn frames_come_back() {
        for count in [0, 1, 6, 7, 100] {
            let bytes = frame(count);
            assert_eq!(bytes.len() % BLOCK_LEN, 0);
            let header = FrameHeader::decode(&bytes, SALT).unwrap();
            assert_eq!(header.entries(&bytes, SALT).unwrap().is_empty(), count == 0);
            assert_eq!(read(&bytes, SALT), Some(entries(count)));
            assert_eq!(read(&bytes, *b"saltsal!"), None);
        }
        assert_eq!(frame(6).len(), BLOCK_LEN, "six entries fit one block");
    }

    #[test]
    fn checksums_are_made_right_as_far_as_there_are_frames() {
        let entry = LogEntry {
            log_id: 3,
            first_sequence: 12,
            commits_from: 12,
            file_len: 8_192,
            salt: SALT,
        };
        let (header, mut previous) = encode_header([1; 16], &entry);
        let mut log = header.to_vec();
        for (sequence, count) in [(12, 3), (13, 0), (14, 9)] {
            let entries = entries(count);
            previous = encode_frame(SALT, previous, sequence, 11, each(&entries), &mut log);
        }
        let valid = [log.as_slice(), &[0; BLOCK_LEN]].concat();
        let mut resealed = valid.clone();
        reseal(&mut resealed);
        assert_eq!(resealed, valid, "nothing is changed that is right");
        let frames = [12, 16, 24, 28].map(|at| BLOCK_LEN + at);
        for at in [12, 40].into_iter().chain(frames) {
            resealed[at] ^= 0xff;
        }
        reseal(&mut resealed);
        let entry = LogEntry { first_sequence: 12, ..entry };
        assert_ne!(resealed, valid);
        let sum = RawHeader::ref_from_prefix(&resealed).unwrap().0.checksum.get();
        let first = FrameHeader::decode(&resealed[BLOCK_LEN..], entry.salt).unwrap();
        assert_eq!((first.previous, first.sequence), (sum, 0xff_0000_000c));
        assert!(first.entries(&resealed[BLOCK_LEN..], entry.salt).is_some());
        for len in 0..valid.len() {
            reseal(&mut valid[..len].to_vec());
        }
    }

    #[test]
    fn a_header_says_whose_log_it_is_and_anything_else_is_none() {
        let entry = LogEntry {
            log_id: 3,
            first_sequence: 12,
            commits_from: 13,
            file_len: 8_192,
            salt: SALT,
        };
        let (block, _) = encode_header([1; 16], &entry);
        assert_eq!(identify(&block), Some(([1; 16], entry)));
        assert_eq!(identify(&block[..size_of::<RawHeader>() - 1]), None);
        for byte in 0..size_of::<RawHeader>() {
            let mut other = block;
            other[byte] ^= 1;
            assert_eq!(identify(&other), None, "byte {byte}");
        }
        let mut other = block;
        other[0] ^= 1;
        reseal(&mut other);
        assert_eq!(identify(&other), None, "the right checksum of something else");
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_seen() {
        let bytes = frame(7);
        let used = FRAME_HEADER_LEN + 7 * ENTRY_LEN;
        for bit in 0..8 * used {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&flipped, SALT), None, "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert_eq!(read(&bytes[..len], SALT), None, "length {len}");
        }
    }

    /// What checksums cannot see is refused all the same.
    #[test]
    fn entries_that_no_writer_makes_are_none() {
        let mut unsorted = entries(3);
        unsorted.swap(0, 1);
        let mut twice = entries(3);
        twice[1] = twice[0];
        for entries in [unsorted, twice] {
            let mut bytes = Vec::new();
            encode_frame(SALT, 7, 12, 11, each(&entries), &mut bytes);
            assert_eq!(read(&bytes, SALT), None);
        }
        let mut bytes = frame(1);
        bytes[FRAME_HEADER_LEN + Record::LEN] = 3;
        let payload = salted(SALT, &[&bytes[FRAME_HEADER_LEN..FRAME_HEADER_LEN + ENTRY_LEN]]);
        bytes[28..32].copy_from_slice(&payload.to_le_bytes());
        let sum = salted(SALT, &[&bytes[4..FRAME_HEADER_LEN]]);
        bytes[..4].copy_from_slice(&sum.to_le_bytes());
        assert!(FrameHeader::decode(&bytes, SALT).is_some());
        assert_eq!(read(&bytes, SALT), None, "a kind that there is not");
    }

    #[test]
    fn a_header_is_that_of_one_log_of_one_store() {
        let entry = LogEntry {
            log_id: 3,
            first_sequence: 50,
            commits_from: 52,
            file_len: 8_192,
            salt: SALT,
        };
        let (block, sum) = encode_header([1; 16], &entry);
        let decode = |bytes: &[u8], store_id, entry: LogEntry| {
            decode_header(bytes, store_id, &entry, Path::new("log"))
        };
        assert_eq!(decode(&block, [1; 16], entry).unwrap(), sum);
        assert!(decode(&block, [2; 16], entry).is_err());
        for other in [
            LogEntry { log_id: 4, ..entry },
            LogEntry { first_sequence: 51, ..entry },
            LogEntry { commits_from: 53, ..entry },
            LogEntry { file_len: 8_704, ..entry },
            LogEntry { salt: *b"saltsal!", ..entry },
        ] {
            assert!(decode(&block, [1; 16], other).is_err(), "{other:?}");
        }
        for bit in 0..8 * BLOCK_LEN {
            let mut flipped = block;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped, [1; 16], entry).is_err(), "bit {bit}");
        }
        assert!(decode(&block[..511], [1; 16], entry).is_err());
        let mut later = block;
        later[8] = 2;
        assert!(matches!(decode(&later, [1; 16], entry), Err(Error::Damaged(_))));
        let sum = salted(SALT, &[&later[..12], &later[16..72]]);
        later[12..16].copy_from_slice(&sum.to_le_bytes());
        let later = decode(&later, [1; 16], entry);
        assert!(matches!(later, Err(Error::UnknownVersion { found: 2, known: 1, .. })));
    }
}
