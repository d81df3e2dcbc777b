//! Merging parts that lie one above the other.
//!
//! All are passed through at once. Of several entries for one token the newest gives the
//! value, and their kinds, from the newest to the oldest, say what they come to. On the
//! base nothing is compared: each entry knows where it lies there, so the base's records
//! between two entries go over as they are.

use std::fmt::Display;

use super::entry::Entry;
use super::part::{MEMORY, Part};
use crate::error::{Damage, Error, Result};
use crate::format::kinds::{Kind, Merged};
use crate::segment::layer::Layer;
use crate::token::Record;

/// Records of a part that are looked at at a time.
const RUN_RECORDS: usize = 4_096;

/// Where the record of an entry is that was merged: in which part, and where in it.
#[derive(Clone, Copy)]
pub(super) struct Source {
    pub(super) part: usize,
    pub(super) position: usize,
}

/// Where the entries are that one came of.
#[derive(Clone, Copy)]
pub(super) struct Sources {
    /// The one that has its value.
    pub(super) newest: Source,
    /// The one that says what lies below.
    pub(super) oldest: Source,
}

/// Gives the entries of parts, newest first, each token once and in order, with what was
/// done to it below all of them.
pub(super) fn merge(
    base: &Layer,
    parts: &[Part],
    visit: &mut dyn FnMut(Entry, Sources) -> Result<()>,
) -> Result<()> {
    let cursors: Result<Vec<_>> =
        (0..).zip(parts).map(|(index, part)| Cursor::new(index, part)).collect();
    let mut cursors: Vec<_> = cursors?;
    cursors.retain(|cursor| cursor.next.is_some());
    while let Some(next) = next(&cursors) {
        let token = next.record.token;
        let mut merged: Option<(Entry, Sources)> = None;
        let mut newer: Option<(Kind, Source)> = None;
        let mut is_over = false;
        // Those before it have none of this token.
        for cursor in &mut cursors[next.cursor..] {
            let Some(record) = cursor.next.filter(|record| record.token == token) else { continue };
            let kind = cursor.part.kind(cursor.position)?;
            let source = Source { part: cursor.index, position: cursor.position };
            if let Some((newer, newer_source)) = newer
                && newer.over(kind) == Merged::Impossible
            {
                let expected = format!("what can follow {kind:?} for {token}");
                return Err(kinds_damage(parts, newer_source, &expected, format!("{newer:?}")));
            }
            newer = Some((kind, source));
            merged = match merged {
                None => {
                    let base_position = cursor.base_position(base, record)?;
                    let sources = Sources { newest: source, oldest: source };
                    Some((Entry { record: *record, kind, base_position }, sources))
                }
                Some((entry, sources)) => match entry.kind.over(kind) {
                    Merged::Entry(kind) => {
                        Some((Entry { kind, ..entry }, Sources { oldest: source, ..sources }))
                    }
                    // Impossible it cannot be, as no two that follow one another are.
                    Merged::Nothing | Merged::Impossible => None,
                },
            };
            cursor.advance()?;
            is_over |= cursor.next.is_none();
        }
        if is_over {
            cursors.retain(|cursor| cursor.next.is_some());
        }
        if let Some((entry, sources)) = merged {
            visit(entry, sources)?;
        }
    }
    Ok(())
}

/// What entries come to that lie above the base, in order, and the base.
pub(super) struct OverBase<'a> {
    base: &'a Layer,
    /// Where the entries come from.
    parts: &'a [Part],
    /// Records of the base before this one were given.
    position: usize,
}

impl<'a> OverBase<'a> {
    pub(super) fn new(base: &'a Layer, parts: &'a [Part]) -> Self {
        Self { base, parts, position: 0 }
    }

    /// Gives all records up to the next entry's, and that.
    pub(super) fn push(
        &mut self,
        entry: &Entry,
        sources: Sources,
        visit: &mut dyn FnMut(&Record) -> Result<()>,
    ) -> Result<()> {
        self.pass_to(entry.base_position, visit)?;
        let (token, is_fresh) = (&entry.record.token, entry.kind == Kind::Fresh);
        let below = self.base.record(self.position)?;
        if below.is_some_and(|below| below.token == *token) == is_fresh {
            let there = if is_fresh { "no" } else { "this" };
            let expected = format!("{there} token {token} in the bottom layer");
            return Err(kinds_damage(self.parts, sources.oldest, &expected, "another kind"));
        }
        self.position += usize::from(!is_fresh);
        match entry.kind {
            Kind::Fresh | Kind::Update => visit(&entry.record),
            Kind::Tombstone => Ok(()),
        }
    }

    /// Gives the records after the last entry.
    pub(super) fn finish(mut self, visit: &mut dyn FnMut(&Record) -> Result<()>) -> Result<()> {
        self.pass_to(self.base.len(), visit)
    }

    fn pass_to(
        &mut self,
        position: usize,
        visit: &mut dyn FnMut(&Record) -> Result<()>,
    ) -> Result<()> {
        while self.position < position {
            let run = self.base.first_run(&(self.position..position), RUN_RECORDS)?;
            run.iter().try_for_each(&mut *visit)?;
            self.position += run.len().max(1);
        }
        Ok(())
    }
}

/// Where a merge has come to in a part.
struct Cursor<'a> {
    index: usize,
    part: &'a Part,
    position: usize,
    /// The record there.
    next: Option<&'a Record>,
    /// Those that follow.
    run: &'a [Record],
}

impl<'a> Cursor<'a> {
    fn new(index: usize, part: &'a Part) -> Result<Self> {
        let mut cursor = Self { index, part, position: 0, next: None, run: &[] };
        cursor.take()?;
        Ok(cursor)
    }

    fn advance(&mut self) -> Result<()> {
        self.position += 1;
        self.take()
    }

    fn take(&mut self) -> Result<()> {
        if self.run.is_empty() {
            self.run = self.part.first_run(&(self.position..self.part.len()), RUN_RECORDS)?;
        }
        self.next = self.run.split_off_first();
        Ok(())
    }

    /// Where the next record lies in the base.
    fn base_position(&self, base: &Layer, record: &Record) -> Result<usize> {
        match self.part.outline().and_then(|outline| outline.base_position(self.position)) {
            Some(base_position) => Ok(base_position),
            None => Ok(base.find(&record.token)?.position),
        }
    }
}

/// The smallest token that comes next, and the first cursor that has it.
struct Next<'a> {
    record: &'a Record,
    cursor: usize,
}

#[inline]
fn next<'a>(cursors: &[Cursor<'a>]) -> Option<Next<'a>> {
    let mut smallest: Option<Next<'a>> = None;
    for (cursor, record) in cursors.iter().map(|cursor| cursor.next).enumerate() {
        if let Some(record) = record
            && smallest.as_ref().is_none_or(|smallest| record.token < smallest.record.token)
        {
            smallest = Some(Next { record, cursor });
        }
    }
    smallest
}

/// Damage to the kinds of the part that an entry comes from.
#[cold]
fn kinds_damage(parts: &[Part], source: Source, expected: &str, found: impl Display) -> Error {
    let layer = parts.get(source.part).and_then(Part::layer);
    match layer.and_then(|layer| layer.kinds_damage(source.position, expected, &found)) {
        Some(error) => error,
        None => Error::from(Damage {
            path: MEMORY.into(),
            part: "kinds",
            offset: 0,
            expected: expected.to_string(),
            found: found.to_string(),
        }),
    }
}
