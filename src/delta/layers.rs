//! The layers on disk, and what is known of them without reading them.
//!
//! The bottom layer, the *base*, holds fresh entries only and most of the tokens. The
//! others are small beside it. Of each of their entries it is found out once where it lies
//! in the base: that makes their outlines, and the filter that says where all of them, and
//! the delta above them, surely hold nothing.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::slice;
use std::sync::Arc;

use super::entry::{Entry, LookedUp, Newest};
use super::filter::Filter;
use super::merge::merge;
use super::outline::{Outline, OutlineBuilder};
use super::part::{MEMORY, Part};
use super::union::{Source, Union};
use crate::error::{Error, Result};
use crate::format::kinds::Kind;
use crate::in_order::{Places, for_each_in_order};
use crate::report;
use crate::segment::layer::Layer;
use crate::token::{Record, TokenId};

/// Layers of no more entries have an outline, and are read as one, however small the base is:
/// that takes tens of mebibytes.
const OUTLINE_ENTRIES: usize = 4 << 20;

/// A layer has an outline, ten bytes an entry, unless it has more than this part of the base's
/// records. Then all layers are about to be made one anyhow.
const OUTLINE_BASE_PARTS: usize = 2;

/// Layers are read as one, fifteen bytes an entry, unless they have more than this part.
const UNION_BASE_PARTS: usize = 8;

/// Entries that one thread looks for in the base at a time.
const CHUNK_ENTRIES: usize = 1 << 14;

/// Layers, the bottom one apart.
#[derive(Clone, Debug)]
pub(crate) struct Layers {
    base: Arc<Layer>,
    /// Newest first.
    upper: Vec<Part>,
    /// The same as they are read: all as one, if there are several.
    read: Vec<Part>,
    /// Of the entries of all upper layers, and of all that is written above them.
    filter: Arc<Filter>,
}

/// Of an entry its base position, suffix and kind.
pub(crate) type Outlined = (usize, u16, Kind);

impl Layers {
    /// Layers, newest first.
    ///
    /// Takes a lookup in the bottom layer for each entry of the others.
    pub(crate) fn new(mut layers: Vec<Arc<Layer>>) -> Result<Self> {
        let base = layers.pop().unwrap_or_default();
        let filter = Arc::new(Filter::new(base.len()));
        Self { base, upper: Vec::new(), read: Vec::new(), filter }.with_upper(layers, None)
    }

    /// Layers, newest first, some of which may be the same as these: what is known of them
    /// is kept, as long as the bottom one is the same.
    pub(crate) fn changed_to(&self, mut layers: Vec<Arc<Layer>>) -> Result<Self> {
        if layers.last().is_none_or(|base| !Arc::ptr_eq(base, &self.base)) {
            return Self::new(layers);
        }
        layers.pop();
        self.with_upper(layers, None)
    }

    /// The same with a newer one above, which is read by itself until layers change again: so this
    /// takes a lookup in the bottom layer for each entry of that one, and no more.
    pub(crate) fn with_newest_apart(&self, newest: Arc<Layer>) -> Result<Self> {
        if self.base.len() == 0 {
            return self.changed_to([newest].into_iter().chain(self.all().cloned()).collect());
        }
        let newest = self.outlined(&Part::Layer(newest, None))?;
        let above = |parts: &[Part]| [slice::from_ref(&newest), parts].concat();
        let (upper, read) = (above(&self.upper), above(&self.read));
        Ok(Self { upper, read, ..self.clone() })
    }

    /// The same, with some that are side by side exchanged for one, or for nothing.
    pub(super) fn exchanged(&self, taken: &[Arc<Layer>], made: Option<Part>) -> Result<Self> {
        let place = self.place_of(taken)?;
        let mut layers: Vec<_> = self.all().cloned().collect();
        let made_layer = made.as_ref().and_then(Part::layer).cloned();
        layers.splice(place, made_layer);
        if layers.last().is_none_or(|base| !Arc::ptr_eq(base, &self.base)) {
            return Self::new(layers);
        }
        layers.pop();
        self.with_upper(layers, made)
    }

    /// Where layers are, side by side, counted from the newest; at the top, if it is none.
    pub(crate) fn place_of(&self, taken: &[Arc<Layer>]) -> Result<Range<usize>> {
        let Some(first) = taken.first() else { return Ok(0..0) };
        let start = self.all().position(|layer| Arc::ptr_eq(layer, first));
        let there = self.all().skip(start.unwrap_or(0)).take(taken.len());
        if let Some(start) = start
            && there.count() == taken.len()
            && self.all().skip(start).zip(taken).all(|(layer, taken)| Arc::ptr_eq(layer, taken))
        {
            return Ok(start..start + taken.len());
        }
        // Nobody else takes them meanwhile. If somebody did, going on would lose what they have.
        let path = first.segments().first().map_or(Path::new(MEMORY), |segment| segment.path());
        Err(Error::io("find its layer for", path)(io::ErrorKind::NotFound.into()))
    }

    /// The same base below others, one of which may come with its outline.
    fn with_upper(&self, layers: Vec<Arc<Layer>>, made: Option<Part>) -> Result<Self> {
        let made = made.filter(|made| made.outline().is_some());
        let (base, filter) = (Arc::clone(&self.base), Arc::clone(&self.filter));
        let part = |layer| {
            let part = Part::Layer(layer, None);
            if let Some(known) = self.upper.iter().chain(&made).find(|known| known.is_same(&part)) {
                return Ok(known.clone());
            }
            match self.outlined(&part) {
                Err(Error::Damaged(damage)) => {
                    // What can be read is read; who meets the damage is told.
                    report::error(format_args!("{damage}"));
                    filter.insert_everything();
                    Ok(part)
                }
                outlined => outlined,
            }
        };
        let upper: Result<_> = layers.into_iter().map(part).collect();
        Self::read_as_one(base, upper?, filter)
    }

    pub(crate) fn base(&self) -> &Arc<Layer> {
        &self.base
    }

    /// The layers above the base, newest first.
    pub(crate) fn upper(&self) -> &[Part] {
        &self.upper
    }

    pub(crate) fn filter(&self) -> &Arc<Filter> {
        &self.filter
    }

    /// All of them, newest first; a base without records is none.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Layer>> {
        let upper = self.upper.iter().filter_map(Part::layer);
        upper.chain((self.base.len() > 0).then_some(&self.base))
    }

    fn read_as_one(base: Arc<Layer>, upper: Vec<Part>, filter: Arc<Filter>) -> Result<Self> {
        let entries: usize = upper.iter().map(Part::len).sum();
        // Where one has no outline, it is damaged, or too large.
        let are_known = upper.iter().all(|part| part.outline().is_some());
        let are_small = are_few(entries, base.len() / UNION_BASE_PARTS);
        let union =
            if upper.len() > 1 && are_known && are_small { union(&base, &upper)? } else { None };
        let read = match union {
            Some(union) => vec![Part::Union(Arc::new(union))],
            None => upper.clone(),
        };
        Ok(Self { base, upper, read, filter })
    }

    /// What is to be read of the layers above the base, newest first.
    pub(crate) fn read(&self) -> &[Part] {
        &self.read
    }

    /// A part with its outline over the base of these layers.
    pub(super) fn outlined(&self, part: &Part) -> Result<Part> {
        let outline = outline_of(&self.base, &self.filter, part)?;
        Ok(part.with_outline(outline))
    }

    /// A newest entry as it lies above the base of these layers.
    pub(super) fn placed(&self, token: &TokenId, entry: Newest) -> Result<Newest> {
        let base_position = self.base.find(token)?.position;
        self.filter.insert(token.suffix(), base_position);
        Ok(Newest { base_position, ..entry })
    }
}

/// Whether so many entries above a base have an outline.
fn has_outline(base_len: usize, entries: usize) -> bool {
    are_few(entries, base_len / OUTLINE_BASE_PARTS)
}

/// Whether there are no more entries than a part of a base has records, or few of them anyhow.
fn are_few(entries: usize, part_len: usize) -> bool {
    entries <= OUTLINE_ENTRIES.max(part_len)
}

/// What a token maps to in the base.
pub(crate) fn look_below(base: &Layer, token: &TokenId) -> Result<LookedUp> {
    let found = base.find(token)?;
    Ok(LookedUp { base_position: found.position, value: found.record.map(Record::value) })
}

/// The outline of a part, unless that is too large to have one. The filter is told of its
/// entries.
fn outline_of(base: &Layer, filter: &Filter, part: &Part) -> Result<Option<Arc<Outline>>> {
    let starts: Vec<_> = (0..part.len()).step_by(CHUNK_ENTRIES).collect();
    let look_up = |start: &usize, entries: &mut Vec<Outlined>| {
        let end = (start + CHUNK_ENTRIES).min(part.len());
        *entries = outlined_in(base, part, *start..end)?;
        for (base_position, suffix, _) in entries {
            filter.insert(*suffix, *base_position);
        }
        Ok(())
    };
    let mut outline = has_outline(base.len(), part.len()).then(|| OutlineBuilder::new(base.len()));
    let mut enter = |entries: &mut Vec<Outlined>| {
        if let Some(outline) = &mut outline {
            for entry in entries.iter() {
                outline.push(*entry);
            }
        }
        Ok(())
    };
    for_each_in_order(&starts, &mut Places::default(), &look_up, &mut enter)?;
    Ok(outline.and_then(OutlineBuilder::finish).map(Arc::new))
}

fn outlined_in(base: &Layer, part: &Part, mut positions: Range<usize>) -> Result<Vec<Outlined>> {
    let mut entries = Vec::with_capacity(positions.len());
    while !positions.is_empty() {
        for record in part.first_run(&positions, positions.len())? {
            let base_position = base.find(&record.token)?.position;
            entries.push((base_position, record.token.suffix(), part.kind(positions.start)?));
            positions.start += 1;
        }
    }
    Ok(entries)
}

/// The outline of entries in order, unless there are too many.
pub(super) fn outline(base: &Layer, entries: &[Outlined]) -> Option<Arc<Outline>> {
    let has_outline = has_outline(base.len(), entries.len());
    let outline = has_outline.then(|| Outline::new(base.len(), entries.iter().copied()));
    outline.flatten().map(Arc::new)
}

/// Layers above a base as one, newest first; `None` for numbers that are too large for it.
///
/// Takes one pass over them.
pub(crate) fn union(base: &Layer, parts: &[Part]) -> Result<Option<Union>> {
    let layers: Vec<_> = parts.iter().filter_map(Part::layer).cloned().collect();
    let (mut sources, mut entries) = (Vec::new(), Vec::new());
    merge(base, parts, &mut |entry, of| {
        sources.extend(Source::new(of.newest.part, of.newest.position));
        entries.push(outlined(&entry));
        Ok(())
    })?;
    let is_whole = layers.len() == parts.len() && sources.len() == entries.len();
    let outline = Outline::new(base.len(), entries.into_iter()).filter(|_| is_whole);
    Ok(outline.map(|outline| Union::new(layers, sources, outline)))
}

/// What an outline has to know of an entry.
pub(super) fn outlined(entry: &Entry) -> Outlined {
    (entry.base_position, entry.record.token.suffix(), entry.kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::tests::some_layer as layer;

    #[test]
    fn entries_have_an_outline_unless_they_are_more_than_half_of_a_large_base() {
        let few = 4 << 20;
        assert!(has_outline(0, few) && !has_outline(0, few + 1));
        assert!(has_outline(2 * few + 2, few + 1) && !has_outline(2 * few + 1, few + 1));
    }

    /// Reading each by itself gives the same answers, more slowly.
    #[test]
    fn several_layers_are_read_as_one() {
        let all = [1, 2, 3].map(layer);
        let is_union = |part: &Part| matches!(part, Part::Union(_));
        let two = Layers::new(all[1..].to_vec()).unwrap();
        assert!(two.read().len() == 1 && !is_union(&two.read()[0]), "one above a base");
        let three = Layers::new(all.to_vec()).unwrap();
        assert!(three.read().len() == 1 && is_union(&three.read()[0]), "two above a base");
        assert_eq!((three.upper().len(), three.read()[0].len()), (2, 100));
        let four = three.with_newest_apart(layer(4)).unwrap();
        assert_eq!((four.upper().len(), four.read().len()), (3, 2));
        assert!(!is_union(&four.read()[0]) && is_union(&four.read()[1]));
        let first = Layers::new(Vec::new()).unwrap().with_newest_apart(layer(4)).unwrap();
        assert_eq!((first.base().len(), first.upper().len()), (50, 0));
        assert!(outline(&all[2], &[(7, 0, Kind::Fresh)]).is_some());
    }
}
