//! The entries of logs whose frames check out.
//!
//! A frame carries its number, and checksums that no other log has. So what is one is known by
//! itself, wherever it is: all are looked for at each block, and taken in the order of their
//! numbers. Of one whose entries alone are damaged it is known how many they are, and where the
//! next one is. Up to where later frames say that the log was synced, what is missing is lost;
//! behind that it is what a crash tore, as when the store is opened, and no loss.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::path::Path;

use super::file::DamagedFile;
use super::plan::LogSource;
use super::report::{Loss, LossReason};
use super::segment::Entry;
use crate::error::{Error, Result};
use crate::format::PAGE_LEN;
use crate::format::kinds::Kind;
use crate::format::log::{
    BLOCK_LEN, FRAME_HEADER_LEN, FrameHeader, LogEntry, decode_header, encode_header, identify,
};
use crate::format::segment::StoreIdBytes;
use crate::io::{Disk, zeros};
use crate::token::{BlockTime, Record, TokenId};

/// Bytes of an entry in a frame: its record, and its kind.
const ENTRY_LEN: u64 = Record::LEN as u64 + 1;

/// What logs come to.
#[derive(Default)]
pub(super) struct Logged {
    /// What was done to each token last; `None` if it was removed.
    newest: BTreeMap<TokenId, Option<BlockTime>>,
    /// Entries that were read.
    pub(super) rescued: u64,
    pub(super) losses: Vec<Loss>,
    /// Whether there is anything below the logs.
    has_layers: bool,
}

/// The bytes of a log, as far as they could be read; others are zeros.
struct LogBytes {
    bytes: Vec<u8>,
    /// Of each page, why it could not be read, if so.
    pages: Vec<Option<LossReason>>,
}

/// Where a frame is to be.
struct Place {
    sequence: u64,
    offset: u64,
    /// The checksum of what is before it, if that is known.
    previous: Option<u32>,
}

impl Place {
    /// Where the next frame is to be, if this one is here.
    fn after(&self, frame: &FrameHeader) -> Self {
        Self {
            sequence: self.sequence.saturating_add(1),
            offset: self.offset + frame.frame_len() as u64,
            previous: Some(frame.checksum),
        }
    }
}

impl Logged {
    /// Nothing yet.
    pub(super) fn new(has_layers: bool) -> Self {
        Self { has_layers, ..Self::default() }
    }

    /// Reads the logs, oldest first.
    ///
    /// Takes memory for the largest one, and what all come to.
    pub(super) fn read_all(&mut self, disk: &dyn Disk, logs: &[LogSource]) -> Result<()> {
        for (index, log) in logs.iter().enumerate() {
            let next = logs.get(index + 1).and_then(|next| next.entry);
            self.read(disk, log, next.map(|(_, next)| next.first_sequence))?;
        }
        Ok(())
    }

    /// The newest entries, in the order of their tokens.
    pub(super) fn into_entries(self) -> Vec<Entry> {
        let entry = |(token, value): (TokenId, Option<BlockTime>)| Entry {
            record: Record::new(token, value.unwrap_or_default()),
            is_tombstone: value.is_none(),
        };
        self.newest.into_iter().map(entry).collect()
    }

    /// Reads a log, which goes on up to this sequence number if another one follows.
    fn read(&mut self, disk: &dyn Disk, log: &LogSource, until: Option<u64>) -> Result<()> {
        let path = disk.path_of(&log.name);
        let file = match DamagedFile::open(disk, &log.name)? {
            Ok(file) => file,
            Err(reason) => {
                let len = log.entry.map_or(0, |(_, entry)| entry.file_len);
                self.lose_log(log, len, until, reason);
                return Ok(());
            }
        };
        let Some((store_id, entry)) = log.entry else {
            self.lose_log(log, file.len, until, LossReason::Header);
            return Ok(());
        };
        let len = file.len.min(entry.file_len);
        let mut bytes = zeros(len).map_err(Error::io("read", &path))?;
        let pages = file.read_units(&mut bytes, 0, PAGE_LEN);
        if is_foreign(&bytes, store_id, &entry, &path)? {
            self.lose_log(log, entry.file_len, until, LossReason::Foreign);
            return Ok(());
        }
        self.read_frames(&log.name, &LogBytes { bytes, pages }, store_id, &entry, until);
        Ok(())
    }

    fn read_frames(
        &mut self,
        name: &str,
        log: &LogBytes,
        store_id: StoreIdBytes,
        entry: &LogEntry,
        until: Option<u64>,
    ) {
        // Whatever the header is now, this is its checksum as it was written.
        let (_, previous) = encode_header(store_id, entry);
        let mut place = Place {
            sequence: entry.first_sequence,
            offset: BLOCK_LEN as u64,
            previous: Some(previous),
        };
        let durable = match until {
            Some(next) => next.checked_sub(1),
            None => log.durable(entry),
        };
        let frames = log.whole_frames(entry, until);
        let mut is_marked = false;
        while until != Some(place.sequence) {
            let is_lost = durable.is_some_and(|durable| durable >= place.sequence);
            let here = log.frame_at(&place, entry);
            let whole = here
                .filter(|frame| frame.entries(log.rest(place.offset), entry.salt).is_some())
                .map(|frame| (place.offset, frame))
                .or_else(|| frames.get(&place.sequence).copied());
            if let Some((offset, frame)) = whole {
                if let Some(entries) = frame.entries(log.rest(offset), entry.salt) {
                    is_marked = entries.is_empty();
                    for (record, kind) in entries.iter() {
                        let value = (kind != Kind::Tombstone).then(|| record.value());
                        self.newest.insert(record.token, value);
                        self.rescued += 1;
                    }
                }
                place = Place { offset, ..place }.after(&frame);
            } else if let Some(frame) = here {
                let next = place.after(&frame);
                if !is_lost && log.reason_at(place.offset..next.offset).is_none() {
                    break;
                }
                let bytes = place.offset..next.offset.min(entry.file_len);
                let mut loss = self.loss(name, bytes, place.sequence..next.sequence, log);
                (loss.records, loss.is_exact) = (frame.entries.into(), true);
                self.losses.push(loss);
                is_marked = false;
                place = next;
            } else if !is_lost {
                break;
            } else if let Some((&sequence, &(offset, _))) = frames.range(place.sequence..).next() {
                // It may have been written to a place before, too, where nobody knows how much
                // there was between.
                let end = if offset > place.offset { offset } else { log.used() };
                let bytes = place.offset..end.max(place.offset);
                self.losses.push(self.loss(name, bytes, place.sequence..sequence, log));
                place = Place { sequence, offset, previous: None };
            } else {
                let rest = place.offset..entry.file_len;
                let end = log.reason_at(rest).map_or_else(|| log.used(), |_| entry.file_len);
                let known = durable.map_or(place.sequence, |durable| durable.saturating_add(1));
                let bytes = place.offset..end.max(place.offset);
                self.losses.push(self.loss(name, bytes, place.sequence..known, log));
                return;
            }
        }
        // Where it cannot be read, nobody knows whether there were frames that were synced,
        // unless the last one is a mark, behind which there is none.
        let is_over = is_marked || until == Some(place.sequence);
        let bytes = place.offset..entry.file_len;
        if !is_over && !bytes.is_empty() && log.reason_at(bytes.clone()).is_some() {
            self.losses.push(self.loss(name, bytes, place.sequence..place.sequence, log));
        }
    }

    /// What can be said of frames that are lost: at most as many entries as they have room
    /// for.
    fn loss(&self, name: &str, bytes: Range<u64>, frames: Range<u64>, log: &LogBytes) -> Loss {
        let headers = (frames.end - frames.start).max(1).saturating_mul(FRAME_HEADER_LEN as u64);
        let records = (bytes.end - bytes.start).saturating_sub(headers) / ENTRY_LEN;
        Loss {
            file: name.to_string(),
            part: "log frame",
            records,
            is_exact: false,
            keys: (Bound::Unbounded, Bound::Unbounded),
            frames: Some(frames),
            may_revert: self.has_layers || !self.newest.is_empty(),
            reason: log.reason_at(bytes.clone()).unwrap_or(LossReason::Frame),
            bytes,
        }
    }

    /// All of a log is lost.
    fn lose_log(&mut self, log: &LogSource, len: u64, until: Option<u64>, reason: LossReason) {
        let first = log.entry.map(|(_, entry)| entry.first_sequence);
        let frames = first.map(|first| first..until.unwrap_or(first).max(first));
        let room = len.saturating_sub((BLOCK_LEN + FRAME_HEADER_LEN) as u64);
        self.losses.push(Loss {
            file: log.name.clone(),
            part: "log",
            bytes: 0..len,
            records: room / ENTRY_LEN,
            is_exact: false,
            keys: (Bound::Unbounded, Bound::Unbounded),
            frames,
            may_revert: self.has_layers || !self.newest.is_empty(),
            reason,
        });
    }
}

/// Whether this is another log than the one that was looked for. One whose header is damaged
/// is not: its frames are read by what is known of it.
fn is_foreign(bytes: &[u8], store_id: StoreIdBytes, entry: &LogEntry, path: &Path) -> Result<bool> {
    match decode_header(bytes, store_id, entry, path) {
        Ok(_) => Ok(false),
        Err(Error::Damaged(_)) => Ok(identify(bytes).is_some_and(|it| it != (store_id, *entry))),
        Err(error) => Err(error),
    }
}

impl LogBytes {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn rest(&self, offset: u64) -> &[u8] {
        self.bytes.get(offset as usize..).unwrap_or(&[])
    }

    /// The header of the frame that is to be at a place, if it is there.
    fn frame_at(&self, place: &Place, entry: &LogEntry) -> Option<FrameHeader> {
        let frame = FrameHeader::decode(self.rest(place.offset), entry.salt)?;
        let follows = place.previous.is_none_or(|previous| previous == frame.previous);
        (frame.sequence == place.sequence && follows).then_some(frame)
    }

    /// All frames whose entries check out, by their sequence numbers, and where they are. Of
    /// one that was written to several places it is the last, so that of what is lost before it
    /// nothing is left out.
    fn whole_frames(
        &self,
        entry: &LogEntry,
        until: Option<u64>,
    ) -> BTreeMap<u64, (u64, FrameHeader)> {
        let mut frames = BTreeMap::new();
        let mut offset = BLOCK_LEN as u64;
        while offset < self.len() {
            let rest = self.rest(offset);
            let frame = FrameHeader::decode(rest, entry.salt);
            let Some(frame) = frame.filter(|it| it.entries(rest, entry.salt).is_some()) else {
                offset += BLOCK_LEN as u64;
                continue;
            };
            if (entry.first_sequence..until.unwrap_or(u64::MAX)).contains(&frame.sequence) {
                frames.insert(frame.sequence, (offset, frame));
            }
            offset += frame.frame_len() as u64;
        }
        frames
    }

    /// Up to which sequence number the log is known to have been on disk, if any.
    fn durable(&self, entry: &LogEntry) -> Option<u64> {
        let blocks = self.rest(BLOCK_LEN as u64).chunks(BLOCK_LEN);
        let marks = blocks.filter_map(|block| FrameHeader::decode(block, entry.salt));
        marks.map(|frame| frame.durable).chain(entry.commits_from.checked_sub(1)).max()
    }

    /// Where the last byte ends that is not zero.
    fn used(&self) -> u64 {
        self.bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
    }

    /// Why some of these bytes could not be read, if so.
    fn reason_at(&self, bytes: Range<u64>) -> Option<LossReason> {
        if bytes.end > self.len() {
            return Some(LossReason::Cut);
        }
        let pages = bytes.start as usize / PAGE_LEN..(bytes.end as usize).div_ceil(PAGE_LEN);
        self.pages.get(pages)?.iter().copied().flatten().next()
    }
}
