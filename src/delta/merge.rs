//! Merging parts that lie one above the other.
//!
//! All are passed through at once. Of several entries for one token the newest gives the
//! value, and their kinds, from the newest to the oldest, say what they come to. On the
//! base nothing is compared: each entry knows where it lies there, so the base's records
//! between two entries go over as they are.

use std::fmt::Display;
use std::ops::Range;

use super::entry::Entry;
use super::part::{MEMORY, Part};
use super::ranges::TokenRange;
use crate::error::{Damage, Error, Result};
use crate::format::kinds::{Kind, Merged};
use crate::segment::layer::Layer;
use crate::token::{Record, TokenId};

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

/// An entry of a token, and where it is.
#[derive(Clone, Copy)]
pub(super) struct Layered<'a> {
    pub(super) record: &'a Record,
    pub(super) kind: Kind,
    pub(super) source: Source,
}

/// Gives the entries of each token, in the order of tokens: those of one together, newest
/// first, as the parts are. Of each part those at some positions.
pub(super) fn for_each_token<'a>(
    parts: &'a [Part],
    positions: &[Range<usize>],
    visit: &mut dyn FnMut(&[Layered<'a>]) -> Result<()>,
) -> Result<()> {
    let cursors: Result<Vec<_>> = (0..)
        .zip(parts.iter().zip(positions))
        .map(|(index, (part, positions))| Cursor::new(index, part, positions.clone()))
        .collect();
    let mut cursors: Vec<_> = cursors?;
    cursors.retain(|cursor| cursor.next.is_some());
    let mut entries = Vec::with_capacity(parts.len());
    while let Some(next) = next(&cursors) {
        let token = next.record.token;
        let mut is_over = false;
        entries.clear();
        // Those before it have none of this token.
        for cursor in &mut cursors[next.cursor..] {
            let Some(record) = cursor.next.filter(|record| record.token == token) else { continue };
            let kind = cursor.part.kind(cursor.position)?;
            let source = Source { part: cursor.index, position: cursor.position };
            entries.push(Layered { record, kind, source });
            cursor.advance()?;
            is_over |= cursor.next.is_none();
        }
        if is_over {
            cursors.retain(|cursor| cursor.next.is_some());
        }
        visit(&entries)?;
    }
    Ok(())
}

/// Gives the entries of parts, newest first, each token once and in order, with what was
/// done to it below all of them.
pub(super) fn merge(
    base: &Layer,
    parts: &[Part],
    visit: &mut dyn FnMut(Entry, Sources) -> Result<()>,
) -> Result<()> {
    merge_range(base, parts, &TokenRange::all(None, parts), visit)
}

/// The same in a range.
pub(super) fn merge_range(
    base: &Layer,
    parts: &[Part],
    range: &TokenRange,
    visit: &mut dyn FnMut(Entry, Sources) -> Result<()>,
) -> Result<()> {
    for_each_token(parts, &range.parts, &mut |entries| {
        let mut merged: Option<(Layered<'_>, Source)> = None;
        let mut newer: Option<&Layered<'_>> = None;
        for entry in entries {
            if let Some(newer) = newer {
                check_order(parts, newer, entry)?;
            }
            newer = Some(entry);
            merged = match merged {
                None => Some((*entry, entry.source)),
                Some((newest, _)) => match newest.kind.over(entry.kind) {
                    Merged::Entry(kind) => Some((Layered { kind, ..newest }, entry.source)),
                    // Impossible it cannot be, as no two that follow one another are.
                    Merged::Nothing | Merged::Impossible => None,
                },
            };
        }
        let Some((Layered { record, kind, source: newest }, oldest)) = merged else {
            return Ok(());
        };
        let base_position = base_position(base, parts, newest, record)?;
        visit(Entry { record: *record, kind, base_position }, Sources { newest, oldest })
    })
}

/// Fails if an entry cannot have been made above an older one.
pub(super) fn check_order(parts: &[Part], newer: &Layered<'_>, older: &Layered<'_>) -> Result<()> {
    if newer.kind.over(older.kind) != Merged::Impossible {
        return Ok(());
    }
    let expected = format!("what can follow {:?} for {}", older.kind, older.record.token);
    Err(kinds_damage(parts, newer.source, &expected, format!("{:?}", newer.kind)))
}

/// Fails if the oldest entry of a token cannot have been made above a base that has the
/// token, or has not.
pub(super) fn check_oldest(
    parts: &[Part],
    kind: Kind,
    token: &TokenId,
    oldest: Source,
    is_in_base: bool,
) -> Result<()> {
    let is_fresh = kind == Kind::Fresh;
    if is_in_base != is_fresh {
        return Ok(());
    }
    let there = if is_fresh { "no" } else { "this" };
    let expected = format!("{there} token {token} in the bottom layer");
    Err(kinds_damage(parts, oldest, &expected, "another kind"))
}

/// Where an entry lies in the base.
fn base_position(base: &Layer, parts: &[Part], source: Source, record: &Record) -> Result<usize> {
    let outline = parts.get(source.part).and_then(Part::outline);
    match outline.and_then(|outline| outline.base_position(source.position)) {
        Some(base_position) => Ok(base_position),
        None => Ok(base.find(&record.token)?.position),
    }
}

/// What entries come to that lie above the base, in order, and the base.
pub(super) struct OverBase<'a> {
    base: &'a Layer,
    /// Where the entries come from.
    parts: &'a [Part],
    /// Records of the base that were not given yet.
    rest: Range<usize>,
}

impl<'a> OverBase<'a> {
    pub(super) fn new(base: &'a Layer, parts: &'a [Part], records: Range<usize>) -> Self {
        Self { base, parts, rest: records }
    }

    /// Gives all records up to the next entry's, and that.
    pub(super) fn push(
        &mut self,
        entry: &Entry,
        sources: Sources,
        visit: &mut dyn FnMut(&Record) -> Result<()>,
    ) -> Result<()> {
        self.pass_to(entry.base_position, visit)?;
        let below = if self.rest.is_empty() { None } else { self.base.record(self.rest.start)? };
        let is_in_base = below.is_some_and(|below| below.token == entry.record.token);
        check_oldest(self.parts, entry.kind, &entry.record.token, sources.oldest, is_in_base)?;
        self.rest.start += usize::from(is_in_base);
        match entry.kind {
            Kind::Fresh | Kind::Update => visit(&entry.record),
            Kind::Tombstone => Ok(()),
        }
    }

    /// Gives the records after the last entry.
    pub(super) fn finish(mut self, visit: &mut dyn FnMut(&Record) -> Result<()>) -> Result<()> {
        self.pass_to(self.rest.end, visit)
    }

    fn pass_to(
        &mut self,
        position: usize,
        visit: &mut dyn FnMut(&Record) -> Result<()>,
    ) -> Result<()> {
        let end = position.min(self.rest.end);
        while self.rest.start < end {
            let run = self.base.first_run(&(self.rest.start..end), RUN_RECORDS)?;
            run.iter().try_for_each(&mut *visit)?;
            self.rest.start += run.len().max(1);
        }
        Ok(())
    }
}

/// Where a merge has come to in a part.
struct Cursor<'a> {
    index: usize,
    part: &'a Part,
    position: usize,
    end: usize,
    /// The record there.
    next: Option<&'a Record>,
    /// Those that follow.
    run: &'a [Record],
}

impl<'a> Cursor<'a> {
    fn new(index: usize, part: &'a Part, positions: Range<usize>) -> Result<Self> {
        let Range { start: position, end } = positions;
        let mut cursor = Self { index, part, position, end, next: None, run: &[] };
        cursor.take()?;
        Ok(cursor)
    }

    fn advance(&mut self) -> Result<()> {
        self.position += 1;
        self.take()
    }

    fn take(&mut self) -> Result<()> {
        if self.run.is_empty() {
            self.run = self.part.first_run(&(self.position..self.end), RUN_RECORDS)?;
        }
        self.next = self.run.split_off_first();
        Ok(())
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
