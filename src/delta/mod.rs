//! The delta: what was written and is in no segment file yet.
//!
//! The newest entries are in a `BTreeMap`, where the writer finds and changes them.
//! Readers never see it, but a frozen image of it, a small sorted array that is made anew
//! for each change of what they see. When the map has outgrown that, its entries become a
//! *segment in memory*: the very bytes a file would have, read by the same code. Segments
//! in memory are merged with older ones that are not much larger, so that there are few
//! of them and each entry is copied few times.
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
use self::part::Part;
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
    /// Newest first.
    memory: Vec<MemorySegment>,
}

/// What was done to a token last.
#[derive(Clone, Copy)]
struct Newest {
    value: BlockTime,
    kind: Kind,
    base_position: usize,
}

/// Entries that have outgrown the map.
struct MemorySegment {
    layer: Arc<Layer>,
    outline: Option<Arc<Outline>>,
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
        Self { base, filter, newest: BTreeMap::new(), memory: Vec::new() }
    }

    pub(crate) fn base(&self) -> &Arc<Layer> {
        &self.base
    }

    pub(crate) fn filter(&self) -> &Arc<Filter> {
        &self.filter
    }

    /// Whether there are no entries.
    pub(crate) fn is_empty(&self) -> bool {
        self.newest.is_empty() && self.memory.is_empty()
    }

    /// Number of entries; a token may have one in the map and some in memory segments.
    pub(crate) fn len(&self) -> usize {
        self.newest.len() + self.memory.iter().map(|segment| segment.layer.len()).sum::<usize>()
    }

    /// What a token maps to, here or in the layers below.
    pub(crate) fn look_up(&self, token: &TokenId) -> Result<LookedUp> {
        let below = self.base.find(token)?;
        let base_position = below.position;
        let found = |value| Ok(LookedUp { base_position, value });
        if let Some(Newest { value, kind, .. }) = self.newest.get(token) {
            return found((*kind != Kind::Tombstone).then_some(*value));
        }
        if self.filter.may_hold(token.suffix(), base_position..=base_position) {
            for MemorySegment { layer, .. } in &self.memory {
                let entry = layer.find(token)?;
                if let Some(record) = entry.record {
                    let kind = layer.kind(entry.position)?;
                    return found((kind != Kind::Tombstone).then(|| record.value()));
                }
            }
        }
        found(below.record.map(Record::value))
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
    pub(crate) fn freeze(&mut self) -> Result<Vec<Part>> {
        if self.newest.len() > IMAGE_ENTRIES {
            self.spill()?;
        }
        let mut parts = Vec::with_capacity(1 + self.memory.len());
        if !self.newest.is_empty() {
            let image = Image::new(self.newest_entries().map(|entry| (entry.record, entry.kind)));
            let outline = self.outline(self.newest_entries());
            parts.push(Part::Image(Arc::new(image), outline));
        }
        parts.extend(self.memory.iter().map(|MemorySegment { layer, outline }| {
            Part::Layer(Arc::clone(layer), outline.clone())
        }));
        Ok(parts)
    }

    fn newest_entries(&self) -> impl ExactSizeIterator<Item = Entry> {
        self.newest.iter().map(|(token, Newest { value, kind, base_position })| Entry {
            record: Record::new(*token, *value),
            kind: *kind,
            base_position: *base_position,
        })
    }

    fn outline(&self, entries: impl Iterator<Item = Entry>) -> Option<Arc<Outline>> {
        let entries =
            entries.map(|entry| (entry.base_position, entry.record.token.suffix(), entry.kind));
        Outline::new(self.base.len(), entries).map(Arc::new)
    }

    /// Makes a segment in memory of the newest entries and of all older ones that are not
    /// much larger.
    fn spill(&mut self) -> Result<()> {
        let mut entries = self.newest.len();
        let mut merges = 0;
        while let Some(older) = self.memory.get(merges)
            && entries * GROWTH >= older.layer.len()
        {
            entries += older.layer.len();
            merges += 1;
        }
        let entries = self.merged(merges)?;
        let outline = self.outline(entries.iter().copied());
        let segment =
            memory_layer(&entries)?.map(|layer| MemorySegment { layer: Arc::new(layer), outline });
        self.newest.clear();
        self.memory.splice(..merges, segment);
        Ok(())
    }

    /// All entries in the order of their tokens, each token once, with what it did to the
    /// layers on disk.
    pub(crate) fn entries(&self) -> Result<Vec<Entry>> {
        self.merged(self.memory.len())
    }

    /// The newest entries merged with so many segments in memory.
    fn merged(&self, segments: usize) -> Result<Vec<Entry>> {
        let mut entries: Vec<_> = self.newest_entries().collect();
        for older in self.memory.iter().take(segments) {
            entries = merged(&entries, &older.layer, |position, record| {
                match older.outline.as_ref().and_then(|outline| outline.base_position(position)) {
                    Some(base_position) => Ok(base_position),
                    None => Ok(self.base.find(&record.token)?.position),
                }
            })?;
        }
        Ok(entries)
    }
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
