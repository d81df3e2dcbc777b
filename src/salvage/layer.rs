//! The entries of a layer that were rescued, segment after segment.

use std::cell::Cell;
use std::ops::{Bound, ControlFlow};
use std::vec;

use super::file::DamagedFile;
use super::losses::Losses;
use super::plan::SegmentSource;
use super::report::{Loss, LossReason};
use super::segment::{Entry, SegmentReader};
use crate::error::{Error, Result};
use crate::io::Disk;
use crate::progress::{OnProgress, Phase, Progress};
use crate::token::Record;

/// Where the files are, and who is told how many of their bytes were read.
pub(super) struct Reading<'a> {
    pub(super) disk: &'a dyn Disk,
    progress: OnProgress<'a>,
    done: Cell<u64>,
    total: u64,
}

impl<'a> Reading<'a> {
    /// Nothing was read yet of so many bytes.
    pub(super) fn new(disk: &'a dyn Disk, progress: OnProgress<'a>, total: u64) -> Self {
        Self { disk, progress, done: Cell::new(0), total }
    }

    /// Says that so many bytes more were read.
    pub(super) fn add(&self, bytes: u64) -> Result<()> {
        self.done.set(self.done.get().saturating_add(bytes));
        let (done, total) = (self.done.get(), Some(self.total));
        match (self.progress)(Progress { phase: Phase::Verifying, done, total }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Interrupted),
        }
    }
}

/// A layer being read.
pub(super) struct LayerReader<'a> {
    reading: &'a Reading<'a>,
    segments: vec::IntoIter<SegmentSource>,
    segment: Option<SegmentReader>,
    /// Entries that were read, and how many of them were passed.
    entries: Vec<Entry>,
    passed: usize,
    /// Whether there is a layer below.
    may_revert: bool,
    pub(super) rescued: u64,
    pub(super) losses: Vec<Loss>,
}

impl<'a> LayerReader<'a> {
    /// A layer of segments in the order of their keys.
    pub(super) fn new(
        reading: &'a Reading<'a>,
        segments: Vec<SegmentSource>,
        may_revert: bool,
    ) -> Result<Self> {
        let mut layer = Self {
            reading,
            segments: segments.into_iter(),
            segment: None,
            entries: Vec::new(),
            passed: 0,
            may_revert,
            rescued: 0,
            losses: Vec::new(),
        };
        layer.fill()?;
        Ok(layer)
    }

    /// A layer of entries in order, of which nothing is lost.
    pub(super) fn of_entries(reading: &'a Reading<'a>, entries: Vec<Entry>) -> Self {
        Self {
            reading,
            segments: Vec::new().into_iter(),
            segment: None,
            entries,
            passed: 0,
            may_revert: false,
            rescued: 0,
            losses: Vec::new(),
        }
    }

    /// The entry that comes next; `None` at the end.
    #[inline]
    pub(super) fn entry(&self) -> Option<&Entry> {
        self.entries.get(self.passed)
    }

    /// Goes on to the next entry.
    #[inline]
    pub(super) fn advance(&mut self) -> Result<()> {
        self.passed += 1;
        if self.passed < self.entries.len() { Ok(()) } else { self.fill() }
    }

    /// Reads on until there is an entry, or nothing more.
    fn fill(&mut self) -> Result<()> {
        self.entries.clear();
        self.passed = 0;
        while self.entries.is_empty() {
            if let Some(segment) = &mut self.segment {
                if segment.is_over() {
                    self.losses
                        .extend(self.segment.take().into_iter().flat_map(SegmentReader::finish));
                    continue;
                }
                self.reading.add(segment.read_stretch(&mut self.entries))?;
                self.rescued += self.entries.len() as u64;
            } else if let Some(source) = self.segments.next() {
                self.reading.add(0)?;
                self.open(&source)?;
            } else {
                break;
            }
        }
        Ok(())
    }

    fn open(&mut self, source: &SegmentSource) -> Result<()> {
        let SegmentSource { name, entry } = source;
        let (disk, may_revert) = (self.reading.disk, self.may_revert);
        let mut len = 0;
        let opened = match DamagedFile::open(disk, name)? {
            Ok(file) => {
                len = file.len;
                let losses = |min, max| Losses::new(name.clone(), may_revert, min, max);
                SegmentReader::open(file, &disk.path_of(name), entry.as_ref(), losses)?
            }
            Err(reason) => Err(reason),
        };
        match opened {
            Ok(segment) => {
                if !segment.is_identified() {
                    let whole = self.whole(source, len, LossReason::Unidentified);
                    // None of it is lost, as far as anybody knows.
                    self.losses.push(Loss { records: 0, ..whole });
                }
                self.segment = Some(segment);
            }
            Err(reason) => self.losses.push(self.whole(source, len, reason)),
        }
        Ok(())
    }

    /// All of a segment is lost: what the manifest says of it, or what has room in it.
    fn whole(&self, source: &SegmentSource, len: u64, reason: LossReason) -> Loss {
        let entry = source.entry.as_ref();
        let all = (Bound::Unbounded, Bound::Unbounded);
        let keys = |(min, max)| (Bound::Included(min), Bound::Included(max));
        Loss {
            file: source.name.clone(),
            part: "segment",
            bytes: 0..entry.map_or(len, |entry| entry.file_len),
            records: entry.map_or(len / Record::LEN as u64, |entry| entry.records),
            is_exact: entry.is_some(),
            keys: entry.map_or(all, |entry| keys((entry.min, entry.max))),
            frames: None,
            may_revert: self.may_revert,
            reason,
        }
    }
}
