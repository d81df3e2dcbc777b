//! Writing the kinds of the entries, if there are any but fresh ones.

use super::section::{File, SectionWriter};
use crate::error::Result;
use crate::format::kinds::{Kind, KindCounts, KindsLine};
use crate::format::layout::{KINDS_LINE_LEN, KINDS_PER_LINE, SectionId};

/// The kinds section being written.
pub(super) struct KindsWriter {
    pub(super) section: SectionWriter,
    line: KindsLine,
    pub(super) counts: KindCounts,
}

impl KindsWriter {
    pub(super) fn new(offset: usize) -> Self {
        Self {
            section: SectionWriter::new(SectionId::Kinds, offset),
            line: KindsLine::default(),
            counts: KindCounts::default(),
        }
    }

    /// Whether an entry came that is not fresh.
    pub(super) fn is_needed(&self) -> bool {
        self.counts != KindCounts::default()
    }

    /// Enters the kind of the record at a position, and, if it is the first that is not
    /// fresh, all kinds before it.
    #[inline]
    pub(super) fn push(&mut self, position: u64, kind: Kind, file: &File) -> Result<()> {
        if kind == Kind::Fresh && !self.is_needed() {
            return Ok(());
        }
        let position = position as usize;
        while self.section.len() < position / KINDS_PER_LINE * KINDS_LINE_LEN {
            self.write_line(file)?;
        }
        self.line.set(position % KINDS_PER_LINE, kind);
        self.counts.add(kind);
        Ok(())
    }

    fn write_line(&mut self, file: &File) -> Result<()> {
        self.section.push(&self.line.encode(), file)?;
        self.line = KindsLine::after(self.counts);
        Ok(())
    }

    pub(super) fn finish(&mut self, file: &File) -> Result<()> {
        if self.is_needed() {
            self.write_line(file)?;
        }
        self.section.finish(file)
    }
}
