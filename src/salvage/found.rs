//! What is in a directory, and what each file says it is.
//!
//! A segment says so in its header, and once more at its end; a log in its header. So files are
//! told apart whatever names they have by now.

use std::ops::Bound;

use super::file::DamagedFile;
use super::report::{Loss, LossReason};
use crate::error::{Error, Result};
use crate::format::PAGE_LEN;
use crate::format::layout::{FOOTER_LEN, Layout};
use crate::format::log::{BLOCK_LEN, FrameHeader, LogEntry, identify};
use crate::format::manifest::SegmentEntry;
use crate::format::names::{is_log, is_segment};
use crate::format::segment::{Header, StoreIdBytes, are_related, header_checksum, identify_footer};
use crate::io::Disk;
use crate::token::Record;

/// Which file of which store one is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Identity {
    Segment { store_id: StoreIdBytes, segment_id: u64, header_checksum: u32 },
    Log(StoreIdBytes, LogEntry),
}

impl Identity {
    /// The segment that the manifest means.
    pub(super) fn of_entry(entry: &SegmentEntry) -> Self {
        let &SegmentEntry { store_id, segment_id, header_checksum, .. } = entry;
        Self::Segment { store_id, segment_id, header_checksum }
    }

    /// What the end of a segment says, of which one of these is to be the length. Where a file
    /// was made longer, its end is where it was.
    pub(super) fn at_end(file: &DamagedFile, lens: &[u64]) -> Option<Self> {
        lens.iter().find_map(|len| {
            let mut footer = [0; FOOTER_LEN];
            file.read(&mut footer, len.checked_sub(FOOTER_LEN as u64)?).ok()?;
            let (store_id, segment_id, header_checksum) = identify_footer(&footer)?;
            Some(Self::Segment { store_id, segment_id, header_checksum })
        })
    }

    pub(super) fn store_id(&self) -> &StoreIdBytes {
        match self {
            Self::Segment { store_id, .. } | Self::Log(store_id, _) => store_id,
        }
    }

    /// Whether it is a file of a store, or of one with which that shares files.
    pub(super) fn is_of(&self, store_id: &StoreIdBytes) -> bool {
        are_related(self.store_id(), store_id)
    }

    fn number(&self) -> u64 {
        match self {
            Self::Segment { segment_id, .. } => *segment_id,
            Self::Log(_, entry) => entry.log_id,
        }
    }
}

/// What has the name of a segment or a log.
pub(super) struct Found {
    pub(super) name: String,
    /// Its number, if it says so; or else that in its name.
    pub(super) number: u64,
    len: u64,
    /// Whether it is a file, and can be opened.
    pub(super) is_file: bool,
    pub(super) identity: Option<Identity>,
    /// The header of a segment, if it is right.
    pub(super) header: Option<Header>,
    /// Whether that has the end that belongs to it.
    pub(super) is_whole: bool,
}

impl Found {
    /// All that is in a directory, in the order of their numbers. The manifest may say how long
    /// a segment of a name is to be.
    pub(super) fn all(disk: &dyn Disk, len_of: impl Fn(&str) -> Option<u64>) -> Result<Vec<Self>> {
        let mut names = disk.list().map_err(Error::io("list", disk.path()))?;
        names.retain(|name| is_segment(name) || is_log(name));
        let mut all: Vec<_> = names.into_iter().map(|it| Self::of(disk, it, &len_of)).collect();
        all.sort_by(|a, b| (a.number, &a.name).cmp(&(b.number, &b.name)));
        Ok(all)
    }

    fn of(disk: &dyn Disk, name: String, len_of: impl Fn(&str) -> Option<u64>) -> Self {
        let number = name.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let expected_len = len_of(&name);
        let mut found = Self {
            name,
            number: number.unwrap_or(0),
            len: 0,
            is_file: false,
            identity: None,
            header: None,
            is_whole: false,
        };
        // Where it cannot be opened, whoever reads it says so.
        let Ok(Ok(file)) = DamagedFile::open(disk, &found.name) else { return found };
        (found.is_file, found.len) = (true, file.len);
        if is_log(&found.name) {
            let mut block = [0; BLOCK_LEN];
            let read = file.read(&mut block, 0).ok();
            let said = read.and_then(|()| identify(&block));
            found.identity = said.map(|(store_id, entry)| Identity::Log(store_id, entry));
        } else {
            let at_end = Identity::at_end(&file, &[file.len]);
            let expected_len = expected_len.as_slice();
            found.identity = at_end.or_else(|| Identity::at_end(&file, expected_len));
            if let Some((identity, header, layout)) = header_of(disk, &found.name, &file) {
                found.identity = Some(identity);
                found.is_whole = at_end == Some(identity) && file.len == layout.file_len as u64;
                found.header = Some(header);
            }
        }
        found.number = found.identity.map_or(found.number, |identity| identity.number());
        found
    }

    pub(super) fn is_log(&self) -> bool {
        is_log(&self.name)
    }

    /// How many entries are in it: of a segment as its header says, or as have room; of a log
    /// as its frames say.
    pub(super) fn entries(&self, disk: &dyn Disk) -> u64 {
        let Some(Identity::Log(_, entry)) = self.identity else {
            let room = self.len / Record::LEN as u64;
            return self.header.as_ref().map_or(room, |header| header.records);
        };
        let Ok(Ok(file)) = DamagedFile::open(disk, &self.name) else { return 0 };
        let mut block = [0; BLOCK_LEN];
        let offsets = (BLOCK_LEN as u64..file.len.min(entry.file_len)).step_by(BLOCK_LEN);
        let frames = offsets.filter_map(|offset| {
            file.read(&mut block, offset).ok()?;
            FrameHeader::decode(&block, entry.salt)
        });
        frames.map(|frame| u64::from(frame.entries)).sum()
    }

    /// All that is in it, which was left out.
    pub(super) fn left_out(&self, disk: &dyn Disk, reason: LossReason) -> Loss {
        let keys = self.header.as_ref().map(|header| (header.min, header.max));
        Loss {
            file: self.name.clone(),
            part: if self.is_log() { "log" } else { "segment" },
            bytes: 0..self.len,
            records: self.entries(disk),
            // Whether anything of it counts nobody knows.
            is_exact: false,
            keys: keys.map_or((Bound::Unbounded, Bound::Unbounded), |(min, max)| {
                (Bound::Included(min), Bound::Included(max))
            }),
            frames: None,
            may_revert: reason == LossReason::Unnamed,
            reason,
        }
    }
}

/// What the header of a segment says, if it is right.
fn header_of(
    disk: &dyn Disk,
    name: &str,
    file: &DamagedFile,
) -> Option<(Identity, Header, Layout)> {
    let mut page = [0; PAGE_LEN];
    file.read(&mut page, 0).ok()?;
    let (header, layout) = Header::decode_page(&page, &disk.path_of(name)).ok()?;
    let &Header { store_id, segment_id, .. } = &header;
    let header_checksum = header_checksum(&page)?;
    Some((Identity::Segment { store_id, segment_id, header_checksum }, header, layout))
}
