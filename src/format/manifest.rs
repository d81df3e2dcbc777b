//! The bytes of a manifest.

use std::path::Path;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::log::{LogEntry, Salt};
use super::segment::StoreIdBytes;
use super::{checksum, hex_of};
use crate::error::{Damage, Error, Result};
use crate::token::TokenId;

/// The first bytes of a manifest.
const MAGIC: [u8; 8] = *b"RINGMAN\n";

/// The newest version of the manifest format that is known. One without logs is written
/// as version 1, which knows of none.
pub(crate) const MANIFEST_VERSION: u32 = 2;

/// What the manifest says of one segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SegmentEntry {
    /// The store that the segment was made under.
    pub(crate) store_id: StoreIdBytes,
    pub(crate) segment_id: u64,
    pub(crate) file_len: u64,
    pub(crate) header_checksum: u32,
    pub(crate) records: u64,
    pub(crate) updates: u64,
    pub(crate) tombstones: u64,
    pub(crate) min: TokenId,
    pub(crate) max: TokenId,
}

/// What a store consists of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ManifestContents {
    pub(crate) store_id: StoreIdBytes,
    /// Grows by one with every manifest of the store.
    pub(crate) generation: u64,
    /// No file with this number or a larger one was ever named.
    pub(crate) next_file_id: u64,
    /// Newest first; the segments of a layer in the order of their keys.
    pub(crate) layers: Vec<Vec<SegmentEntry>>,
    /// Oldest first.
    pub(crate) logs: Vec<LogEntry>,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawManifest {
    magic: [u8; 8],
    version: U32,
    layers: U32,
    store_id: StoreIdBytes,
    generation: U64,
    next_file_id: U64,
    segments: U64,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawEntry {
    layer: U32,
    header_checksum: U32,
    store_id: StoreIdBytes,
    segment_id: U64,
    file_len: U64,
    records: U64,
    updates: U64,
    tombstones: U64,
    min: [u8; 32],
    max: [u8; 32],
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawLog {
    log_id: U64,
    first_sequence: U64,
    commits_from: U64,
    file_len: U64,
    salt: Salt,
}

const CHECKSUM_LEN: usize = 4;

const _: () = {
    assert!(size_of::<RawManifest>() == 56);
    assert!(size_of::<RawEntry>() == 128);
    assert!(size_of::<RawLog>() == 40);
};

impl ManifestContents {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let segments: usize = self.layers.iter().map(Vec::len).sum();
        let raw = RawManifest {
            magic: MAGIC,
            version: if self.logs.is_empty() { 1 } else { MANIFEST_VERSION }.into(),
            layers: (self.layers.len() as u32).into(),
            store_id: self.store_id,
            generation: self.generation.into(),
            next_file_id: self.next_file_id.into(),
            segments: (segments as u64).into(),
        };
        let mut bytes = raw.as_bytes().to_vec();
        for (layer, entries) in (0u32..).zip(&self.layers) {
            for entry in entries {
                let raw = RawEntry {
                    layer: layer.into(),
                    header_checksum: entry.header_checksum.into(),
                    store_id: entry.store_id,
                    segment_id: entry.segment_id.into(),
                    file_len: entry.file_len.into(),
                    records: entry.records.into(),
                    updates: entry.updates.into(),
                    tombstones: entry.tombstones.into(),
                    min: entry.min.0,
                    max: entry.max.0,
                };
                bytes.extend_from_slice(raw.as_bytes());
            }
        }
        for log in &self.logs {
            let raw = RawLog {
                log_id: log.log_id.into(),
                first_sequence: log.first_sequence.into(),
                commits_from: log.commits_from.into(),
                file_len: log.file_len.into(),
                salt: log.salt,
            };
            bytes.extend_from_slice(raw.as_bytes());
        }
        bytes.extend_from_slice(&checksum(&bytes).to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<Self> {
        let damaged = |offset: usize, expected: String, found: String| {
            let path = path.to_path_buf();
            Error::from(Damage { path, part: "manifest", offset: offset as u64, expected, found })
        };
        let Ok((raw, _)) = RawManifest::ref_from_prefix(bytes) else {
            let least = size_of::<RawManifest>() + CHECKSUM_LEN;
            return Err(damaged(
                0,
                format!("at least {least} bytes"),
                format!("{} bytes", bytes.len()),
            ));
        };
        if raw.magic != MAGIC {
            return Err(damaged(0, hex_of(&MAGIC), hex_of(&raw.magic)));
        }
        let Some((body, sum)) = bytes.split_last_chunk::<CHECKSUM_LEN>() else {
            return Err(damaged(
                0,
                "a checksum at the end".into(),
                format!("{} bytes", bytes.len()),
            ));
        };
        let (stored, computed) = (u32::from_le_bytes(*sum), checksum(body));
        if stored != computed {
            return Err(damaged(
                body.len(),
                format!("checksum {stored:#010x}"),
                format!("{computed:#010x}"),
            ));
        }
        if !(1..=MANIFEST_VERSION).contains(&raw.version.get()) {
            return Err(Error::UnknownVersion {
                path: path.to_path_buf(),
                found: raw.version.get(),
                known: MANIFEST_VERSION,
            });
        }
        let lists = body.get(size_of::<RawManifest>()..).unwrap_or(&[]);
        let segments_len = usize::try_from(raw.segments.get())
            .ok()
            .and_then(|segments| segments.checked_mul(size_of::<RawEntry>()));
        let lists = segments_len.and_then(|len| lists.split_at_checked(len)).and_then(|lists| {
            let entries = <[RawEntry]>::ref_from_bytes(lists.0).ok()?;
            let logs = <[RawLog]>::ref_from_bytes(lists.1).ok()?;
            (logs.is_empty() == (raw.version == 1)).then_some((entries, logs))
        });
        let Some((entries, raw_logs)) = lists else {
            return Err(damaged(
                size_of::<RawManifest>(),
                format!("{} segments of {} bytes, and logs", raw.segments, size_of::<RawEntry>()),
                format!("{} bytes", body.len().saturating_sub(size_of::<RawManifest>())),
            ));
        };
        let layers = decode_layers(raw, entries, &damaged)?;
        let logs = decode_logs(raw, raw_logs, &damaged)?;
        Ok(Self {
            store_id: raw.store_id,
            generation: raw.generation.get(),
            next_file_id: raw.next_file_id.get(),
            layers,
            logs,
        })
    }
}

/// Damage at an offset of a manifest: what was expected there, and what was found.
type Damaged<'a> = &'a dyn Fn(usize, String, String) -> Error;

fn decode_layers(
    raw: &RawManifest,
    entries: &[RawEntry],
    damaged: Damaged<'_>,
) -> Result<Vec<Vec<SegmentEntry>>> {
    let mut layers: Vec<Vec<SegmentEntry>> = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let offset = size_of::<RawManifest>() + index * size_of::<RawEntry>();
        let layer = entry.layer.get() as usize;
        let decoded = SegmentEntry {
            store_id: entry.store_id,
            segment_id: entry.segment_id.get(),
            file_len: entry.file_len.get(),
            header_checksum: entry.header_checksum.get(),
            records: entry.records.get(),
            updates: entry.updates.get(),
            tombstones: entry.tombstones.get(),
            min: TokenId(entry.min),
            max: TokenId(entry.max),
        };
        if layer == layers.len() {
            layers.push(Vec::new());
        }
        let count = layers.len();
        match layers.last_mut() {
            Some(segments)
                if layer + 1 == count
                    && segments.last().is_none_or(|last| last.max < decoded.min)
                    && decoded.segment_id < raw.next_file_id.get() =>
            {
                segments.push(decoded);
            }
            _ => {
                return Err(damaged(
                    offset,
                    "segments in order".into(),
                    format!("layer {layer}, {}", decoded.min),
                ));
            }
        }
    }
    if layers.len() != raw.layers.get() as usize {
        return Err(damaged(12, format!("{} layers", raw.layers), format!("{}", layers.len())));
    }
    Ok(layers)
}

fn decode_logs(
    raw: &RawManifest,
    raw_logs: &[RawLog],
    damaged: Damaged<'_>,
) -> Result<Vec<LogEntry>> {
    let mut logs: Vec<LogEntry> = Vec::new();
    for (index, log) in raw_logs.iter().enumerate() {
        let decoded = LogEntry {
            log_id: log.log_id.get(),
            first_sequence: log.first_sequence.get(),
            commits_from: log.commits_from.get(),
            file_len: log.file_len.get(),
            salt: log.salt,
        };
        let is_next = logs.last().is_none_or(|last| {
            last.log_id < decoded.log_id && last.first_sequence <= decoded.first_sequence
        });
        if !is_next || decoded.log_id >= raw.next_file_id.get() {
            return Err(damaged(
                size_of::<RawManifest>() + lists_len(raw.segments.get() as usize, index),
                "logs in order".into(),
                format!("log {}, first frame {}", decoded.log_id, decoded.first_sequence),
            ));
        }
        logs.push(decoded);
    }
    Ok(logs)
}

/// Makes the checksum of a manifest right, whatever bytes it has.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn reseal(bytes: &mut [u8]) {
    if let Some((body, sum)) = bytes.split_last_chunk_mut::<CHECKSUM_LEN>() {
        *sum = checksum(body).to_le_bytes();
    }
}

/// Bytes of so many segments and logs.
fn lists_len(segments: usize, logs: usize) -> usize {
    segments * size_of::<RawEntry>() + logs * size_of::<RawLog>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Too short by less than a checksum, which is right.
    #[test]
    fn few_bytes_with_a_checksum_are_damage() {
        for len in MAGIC.len() + 4..size_of::<RawManifest>() + CHECKSUM_LEN {
            let mut bytes = MAGIC.to_vec();
            bytes.extend(MANIFEST_VERSION.to_le_bytes());
            bytes.resize(len - CHECKSUM_LEN, 0);
            bytes.extend(checksum(&bytes).to_le_bytes());
            assert!(matches!(decode(&bytes), Err(Error::Damaged(_))), "{len} bytes");
        }
        let error = decode(&[]).unwrap_err().to_string();
        assert!(error.contains("at least 60 bytes"), "{error}");
    }

    fn contents() -> ManifestContents {
        let entry = |segment_id: u64, min: u64, max: u64| SegmentEntry {
            store_id: [7; 16],
            segment_id,
            file_len: 4096 * segment_id,
            header_checksum: 99,
            records: 10,
            updates: 1,
            tombstones: 2,
            min: TokenId::from(min),
            max: TokenId::from(max),
        };
        let log = |log_id, first_sequence| LogEntry {
            log_id,
            first_sequence,
            commits_from: first_sequence + 1,
            file_len: 4_608,
            salt: [9; 8],
        };
        ManifestContents {
            store_id: [7; 16],
            generation: 12,
            next_file_id: 40,
            layers: vec![vec![entry(3, 0, 9)], vec![entry(1, 0, 5), entry(2, 6, 20)]],
            logs: vec![log(4, 10), log(7, 12)],
        }
    }

    fn decode(bytes: &[u8]) -> Result<ManifestContents> {
        ManifestContents::decode(bytes, Path::new("MANIFEST"))
    }

    #[test]
    fn contents_come_back() {
        assert_eq!(decode(&contents().encode()).unwrap(), contents());
        let empty = ManifestContents { layers: Vec::new(), ..contents() };
        assert_eq!(decode(&empty.encode()).unwrap(), empty);
        let without_logs = ManifestContents { logs: Vec::new(), ..contents() };
        let bytes = without_logs.encode();
        assert_eq!(bytes[8], 1, "as stores wrote it that had no logs");
        assert_eq!(decode(&bytes).unwrap(), without_logs);
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_damage() {
        let bytes = contents().encode();
        for bit in 0..8 * bytes.len() {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(decode(&flipped), Err(Error::Damaged(_))), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(matches!(decode(&bytes[..len]), Err(Error::Damaged(_))), "length {len}");
        }
        let mut longer = bytes;
        longer.push(0);
        assert!(matches!(decode(&longer), Err(Error::Damaged(_))));
    }

    /// What checksums cannot see is refused all the same, and it is said where it stands.
    #[test]
    fn contents_that_no_store_has_are_damage_where_they_stand() {
        type Change = fn(&mut ManifestContents);
        let segment = |index: u64| 56 + 128 * index;
        let log = |index: u64| segment(3) + 40 * index;
        let cases: [(u64, Change); 9] = [
            (segment(2), |it| it.layers[1][1].min = TokenId::from(5)),
            (segment(0), |it| it.next_file_id = 2),
            (segment(0), |it| it.next_file_id = 3),
            (log(0), |it| it.next_file_id = 4),
            (log(1), |it| it.next_file_id = 7),
            (log(1), |it| it.logs.swap(0, 1)),
            (log(1), |it| it.logs[1].log_id = 4),
            (log(1), |it| it.logs[1].log_id = 3),
            (log(1), |it| it.logs[1].first_sequence = 9),
        ];
        for (index, (offset, change)) in (0..).zip(cases) {
            let mut wrong = contents();
            change(&mut wrong);
            assert_eq!(damaged_at(&wrong.encode()), offset, "case {index}");
        }
        let with_number = |at: u64, number: u32| {
            let mut bytes = contents().encode();
            bytes[at as usize..][..4].copy_from_slice(&number.to_le_bytes());
            reseal(&mut bytes);
            damaged_at(&bytes)
        };
        assert_eq!(with_number(12, 3), 12, "a layer too few");
        assert_eq!(with_number(segment(1), 2), segment(1), "a layer that is left out");
        assert_eq!(with_number(48, 2), 56, "a length that no number of logs has");
        let mut at_once = contents();
        at_once.logs[1].first_sequence = 10;
        assert_eq!(decode(&at_once.encode()).unwrap(), at_once, "a log without a commit");
    }

    fn damaged_at(bytes: &[u8]) -> u64 {
        match decode(bytes) {
            Err(Error::Damaged(damage)) => damage.offset,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_later_version_is_refused_by_number() {
        let mut bytes = contents().encode();
        bytes[8] = 3;
        reseal(&mut bytes);
        assert!(matches!(decode(&bytes), Err(Error::UnknownVersion { found: 3, known: 2, .. })));
    }
}
