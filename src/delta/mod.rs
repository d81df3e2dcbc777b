//! The delta: what was written and is in no segment file yet.
//!
//! The newest entries are in a `BTreeMap`, where the writer finds and changes them.
//! Readers never see it, but a frozen image of it, a small sorted array that is made anew
//! for each change of what they see. When the map has outgrown that, it begins anew, and
//! the image stays as it is until it is merged into a *segment in memory*: the very bytes
//! a file would have, read by the same code. Segments in memory are merged with older ones
//! that are not much larger, so that there are few of them and each entry is copied few
//! times. What is merged does not change, so others go on writing meanwhile.
//!
//! Each entry's kind says what it did to everything below: to the segments in memory and
//! to the layers on disk.

pub(crate) mod entry;
pub(crate) mod filter;
pub(crate) mod image;
mod merge;
pub(crate) mod outline;
pub(crate) mod part;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::entry::Entry;
use self::filter::Filter;
use self::image::Image;
use self::merge::merged;
use self::outline::Outline;
use self::part::{Part, newest};
use crate::error::Result;
use crate::format::kinds::{Kind, Merged};
use crate::io::map::Bytes;
use crate::io::memory::MemoryFile;
use crate::options::Verification;
use crate::segment::builder::{SegmentBuilder, SegmentIds, SegmentPlan};
use crate::segment::layer::Layer;
use crate::segment::reader::Segment;
use crate::token::{BlockTime, Record, TokenId};

/// Entries of an image at the most, but for what a single commit adds.
const IMAGE_ENTRIES: usize = 1_024;

/// A segment in memory is merged with the next older one unless that is so many times
/// as large: each entry is copied about so many times for each sixteenfold growth.
const GROWTH: usize = 16;

/// What was written above the layers on disk.
pub(crate) struct Delta {
    base: Arc<Layer>,
    filter: Arc<Filter>,
    newest: BTreeMap<TokenId, Newest>,
    /// What has outgrown the map, newest first: images, then segments in memory.
    older: Vec<Part>,
}

/// What was done to a token last.
#[derive(Clone, Copy)]
struct Newest {
    value: BlockTime,
    kind: Kind,
    base_position: usize,
}

/// What a token maps to, and its place in the layer below.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LookedUp {
    /// Number of records of the base with smaller tokens.
    pub(crate) base_position: usize,
    pub(crate) value: Option<BlockTime>,
}

/// An entry whose kind cannot be, given the one below it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Impossible;

impl Delta {
    /// Nothing above a layer.
    pub(crate) fn new(base: Arc<Layer>) -> Self {
        let filter = Arc::new(Filter::new(base.len()));
        Self { base, filter, newest: BTreeMap::new(), older: Vec::new() }
    }

    pub(crate) fn base(&self) -> &Arc<Layer> {
        &self.base
    }

    pub(crate) fn filter(&self) -> &Arc<Filter> {
        &self.filter
    }

    /// Whether there are no entries.
    pub(crate) fn is_empty(&self) -> bool {
        self.newest.is_empty() && self.older.is_empty()
    }

    /// Number of entries; a token may have one in the map and some in older parts.
    pub(crate) fn len(&self) -> usize {
        self.newest.len() + self.older.iter().map(Part::len).sum::<usize>()
    }

    /// What a token maps to, here or, as `below` says, in the base.
    pub(crate) fn look_up(&self, token: &TokenId, below: LookedUp) -> Result<LookedUp> {
        let value = if let Some(Newest { value, kind, .. }) = self.newest.get(token) {
            (*kind != Kind::Tombstone).then_some(*value)
        } else if self.may_hold(token, below.base_position)
            && let Some((record, kind)) = newest(&self.older, token)?
        {
            (kind != Kind::Tombstone).then(|| record.value())
        } else {
            below.value
        };
        Ok(LookedUp { value, ..below })
    }

    fn may_hold(&self, token: &TokenId, base_position: usize) -> bool {
        self.filter.may_hold(token.suffix(), base_position..=base_position)
    }

    /// Enters what a commit did to a token.
    pub(crate) fn apply(&mut self, entry: &Entry) -> std::result::Result<(), Impossible> {
        let Entry { record, kind, base_position } = *entry;
        let token = record.token;
        // Before any reader can see the entry.
        self.filter.insert(token.suffix(), base_position);
        let newest = |kind| Newest { value: record.value(), kind, base_position };
        match self.newest.entry(token) {
            btree_map::Entry::Vacant(vacant) => {
                vacant.insert(newest(kind));
            }
            btree_map::Entry::Occupied(mut older) => match kind.over(older.get().kind) {
                Merged::Entry(kind) => {
                    older.insert(newest(kind));
                }
                Merged::Nothing => {
                    older.remove();
                }
                Merged::Impossible => return Err(Impossible),
            },
        }
        Ok(())
    }

    /// Enters what a log says of a token, if it can be. All that was entered before is in
    /// the map.
    pub(crate) fn replay(
        &mut self,
        record: &Record,
        kind: Kind,
    ) -> Result<std::result::Result<(), Impossible>> {
        let below = self.base.find(&record.token)?;
        let is_first = !self.newest.contains_key(&record.token);
        if is_first && below.record.is_some() != (kind != Kind::Fresh) {
            return Ok(Err(Impossible));
        }
        let base_position = below.position;
        Ok(self.apply(&Entry { record: *record, kind, base_position }))
    }

    /// What readers are to see from now on, newest first.
    pub(crate) fn freeze(&mut self) -> Vec<Part> {
        let mut parts = Vec::with_capacity(1 + self.older.len());
        if !self.newest.is_empty() {
            let image = Image::new(self.newest_entries().map(|entry| (entry.record, entry.kind)));
            let outline = outline(&self.base, self.newest_entries());
            parts.push(Part::Image(Arc::new(image), outline));
        }
        parts.extend_from_slice(&self.older);
        if self.newest.len() > IMAGE_ENTRIES {
            self.newest.clear();
            self.older.clone_from(&parts);
        }
        parts
    }

    /// What is to be merged, if there is anything: the images, and all segments in memory
    /// that are not much larger.
    pub(crate) fn to_merge(&self) -> Option<Merge> {
        let is_image = |part: &&Part| matches!(part, Part::Image(..));
        let mut count = self.older.iter().take_while(is_image).count();
        let mut entries: usize = self.older.iter().take(count).map(Part::len).sum();
        while count > 0
            && let Some(older) = self.older.get(count)
            && entries * GROWTH >= older.len()
        {
            entries += older.len();
            count += 1;
        }
        let parts = self.older.get(..count)?.to_vec();
        (count > 0).then(|| Merge { base: Arc::clone(&self.base), parts })
    }

    /// Puts what a merge came to in the place of what was merged, unless that is there no
    /// more.
    pub(crate) fn install(&mut self, merge: &Merge, merged: Option<Part>) {
        let Some(first) = merge.parts.first() else { return };
        let start = self.older.iter().position(|part| part.is_same(first));
        if let Some(start) = start {
            self.older.splice(start..start + merge.parts.len(), merged);
        }
    }

    /// Merges all that is to be merged now.
    pub(crate) fn merge_all(&mut self) -> Result<()> {
        while let Some(merge) = self.to_merge() {
            let merged = merge.run()?;
            self.install(&merge, merged);
        }
        Ok(())
    }

    fn newest_entries(&self) -> impl ExactSizeIterator<Item = Entry> {
        self.newest.iter().map(|(token, Newest { value, kind, base_position })| Entry {
            record: Record::new(*token, *value),
            kind: *kind,
            base_position: *base_position,
        })
    }

    /// All entries in the order of their tokens, each token once, with what it did to the
    /// layers on disk.
    pub(crate) fn entries(&self) -> Result<Vec<Entry>> {
        merged_all(&self.base, self.newest_entries().collect(), &self.older)
    }
}

/// Parts that lie one above the other, to be merged.
pub(crate) struct Merge {
    base: Arc<Layer>,
    parts: Vec<Part>,
}

impl Merge {
    /// What they come to: a segment in memory, or nothing.
    pub(crate) fn run(&self) -> Result<Option<Part>> {
        let entries = merged_all(&self.base, Vec::new(), &self.parts)?;
        let outline = outline(&self.base, entries.iter().copied());
        Ok(memory_layer(&entries)?.map(|layer| Part::Layer(Arc::new(layer), outline)))
    }
}

fn outline(base: &Layer, entries: impl Iterator<Item = Entry>) -> Option<Arc<Outline>> {
    let entries =
        entries.map(|entry| (entry.base_position, entry.record.token.suffix(), entry.kind));
    Outline::new(base.len(), entries).map(Arc::new)
}

/// The entries of all, each token once.
fn merged_all(base: &Layer, mut entries: Vec<Entry>, older: &[Part]) -> Result<Vec<Entry>> {
    for part in older {
        entries = merged(&entries, part, |position, record| {
            match part.outline().and_then(|outline| outline.base_position(position)) {
                Some(base_position) => Ok(base_position),
                None => Ok(base.find(&record.token)?.position),
            }
        })?;
    }
    Ok(entries)
}

/// A layer of one segment in memory; `None` without entries.
fn memory_layer(entries: &[Entry]) -> Result<Option<Layer>> {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
        return Ok(None);
    };
    let plan = SegmentPlan {
        ids: SegmentIds { store_id: Default::default(), segment_id: 0 },
        records_max: entries.len() as u64,
        bounds: (first.record.token, last.record.token),
    };
    let file = MemoryFile::default();
    let mut builder = SegmentBuilder::new(Box::new(file.clone()), PathBuf::from(MEMORY), plan)?;
    entries.iter().try_for_each(|entry| builder.push(&entry.record, entry.kind))?;
    builder.finish(&mut |_| Ok(()))?;
    // It was just made, and nobody else can reach it.
    let segment = Segment::open(Bytes::Owned(file.take()), Path::new(MEMORY), Verification::Never)?;
    Ok(Some(Layer::new(vec![segment])))
}

/// Where a segment in memory is, for messages.
const MEMORY: &str = "memory";
