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

pub(crate) mod check;
pub(crate) mod compaction;
pub(crate) mod entry;
pub(crate) mod exchange;
pub(crate) mod filter;
pub(crate) mod image;
pub(crate) mod layers;
pub(crate) mod load;
mod merge;
pub(crate) mod outline;
pub(crate) mod part;
mod ranges;
mod suffixes;
#[cfg(test)]
mod tests;
mod union;

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::compaction::Inputs;
use self::entry::{Entry, LookedUp, Newest};
use self::exchange::Exchange;
use self::image::Image;
use self::layers::{Layers, look_below, outline, outlined};
use self::merge::merge;
use self::part::{MEMORY, Part, newest};
use crate::error::Result;
use crate::format::kinds::{Kind, Merged};
use crate::io::map::Bytes;
use crate::io::memory::MemoryFile;
use crate::options::Verification;
use crate::segment::builder::{SegmentBuilder, SegmentIds, SegmentPlan};
use crate::segment::layer::Layer;
use crate::segment::reader::Segment;
use crate::token::{Record, TokenId};

/// Entries of an image at the most, but for what a single commit adds.
const IMAGE_ENTRIES: usize = 1_024;

/// A segment in memory is merged with the next older one unless that is so many times
/// as large: each entry is copied about so many times for each sixteenfold growth.
const GROWTH: usize = 16;

/// What was written above the layers on disk, and these.
pub(crate) struct Delta {
    layers: Layers,
    /// What is being written to a layer: parts, newest first, which change no more.
    sealed: Vec<Part>,
    newest: BTreeMap<TokenId, Newest>,
    /// What has outgrown the map, newest first: images, then segments in memory.
    older: Vec<Part>,
}

/// An entry whose kind cannot be, given the one below it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Impossible;

impl Delta {
    /// Nothing above layers.
    pub(crate) fn new(layers: Layers) -> Self {
        Self { layers, sealed: Vec::new(), newest: BTreeMap::new(), older: Vec::new() }
    }

    pub(crate) fn layers(&self) -> &Layers {
        &self.layers
    }

    pub(crate) fn base(&self) -> &Arc<Layer> {
        self.layers.base()
    }

    /// Whether there are no entries but those that are sealed.
    pub(crate) fn is_empty(&self) -> bool {
        self.newest.is_empty() && self.older.is_empty()
    }

    /// Number of entries that are sealed, counted likewise.
    pub(crate) fn sealed_len(&self) -> usize {
        self.sealed.iter().map(Part::len).sum()
    }

    /// Number of entries but those that are sealed. A token may have one in the map and some
    /// in older parts.
    pub(crate) fn len(&self) -> usize {
        self.newest.len() + self.older.iter().map(Part::len).sum::<usize>()
    }

    /// What a token maps to, here or, as `below` says, in the base.
    pub(crate) fn look_up(&self, token: &TokenId, below: LookedUp) -> Result<LookedUp> {
        let position = below.base_position;
        let value = if let Some(Newest { value, kind, .. }) = self.newest.get(token) {
            (*kind != Kind::Tombstone).then_some(*value)
        } else if !self.may_hold(token, position) {
            below.value
        } else {
            let parts = self.older.iter().chain(&self.sealed).chain(self.layers.read());
            match newest(parts, token, position)? {
                None => below.value,
                Some((record, kind)) => (kind != Kind::Tombstone).then(|| record.value()),
            }
        };
        Ok(LookedUp { value, ..below })
    }

    fn may_hold(&self, token: &TokenId, base_position: usize) -> bool {
        self.layers.filter().may_hold(token.suffix(), base_position..=base_position)
    }

    /// Enters what a commit did to a token.
    pub(crate) fn apply(&mut self, entry: &Entry) -> std::result::Result<(), Impossible> {
        let Entry { record, kind, base_position } = *entry;
        let token = record.token;
        // Before any reader can see the entry.
        self.layers.filter().insert(token.suffix(), base_position);
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

    /// Enters what a log says of a token, if it can be.
    pub(crate) fn replay(
        &mut self,
        record: &Record,
        kind: Kind,
    ) -> Result<std::result::Result<(), Impossible>> {
        let before = self.look_up(&record.token, look_below(self.base(), &record.token)?)?;
        if before.value.is_some() != (kind != Kind::Fresh) {
            return Ok(Err(Impossible));
        }
        let base_position = before.base_position;
        Ok(self.apply(&Entry { record: *record, kind, base_position }))
    }

    /// What readers are to see from now on above the layers, newest first.
    pub(crate) fn freeze(&mut self) -> Vec<Part> {
        let mut parts = Vec::with_capacity(1 + self.older.len() + self.sealed.len());
        if !self.newest.is_empty() {
            parts.push(self.image());
        }
        parts.extend_from_slice(&self.older);
        if self.newest.len() > IMAGE_ENTRIES {
            self.newest.clear();
            self.older.clone_from(&parts);
        }
        parts.extend_from_slice(&self.sealed);
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
        (count > 0).then(|| Merge { base: Arc::clone(self.base()), parts })
    }

    /// Puts what a merge came to in the place of what was merged, unless that is there no
    /// more, or lies above another base.
    pub(crate) fn install(&mut self, merge: &Merge, merged: Option<Part>) {
        let Some(first) = merge.parts.first() else { return };
        let start = self.older.iter().position(|part| part.is_same(first));
        if let Some(start) = start
            && Arc::ptr_eq(&merge.base, self.base())
        {
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

    /// Begins anew: all entries so far change no more until they are in a layer. Nothing
    /// else must be sealed.
    pub(crate) fn seal(&mut self) {
        // Those that are sealed already come last.
        self.sealed = self.freeze();
        self.newest.clear();
        self.older.clear();
    }

    /// What is sealed, together with so many of the newest layers, to become a layer.
    pub(crate) fn to_flush(&self, layers: usize) -> Inputs {
        Inputs::new(&self.layers, &self.sealed, 0..layers)
    }

    /// These layers, counted from the newest, to become one.
    pub(crate) fn to_compact(&self, layers: Range<usize>) -> Inputs {
        Inputs::new(&self.layers, &[], layers)
    }

    /// What has outgrown the map.
    pub(crate) fn older(&self) -> impl Iterator<Item = &Part> {
        self.older.iter().chain(&self.sealed)
    }

    /// Goes on above other layers, which have what is sealed if it was flushed.
    pub(crate) fn exchange(&mut self, exchange: &Exchange, is_flushed: bool) -> Result<()> {
        if is_flushed {
            self.sealed.clear();
        }
        let layers = exchange.layers().clone();
        if exchange.has_new_base() {
            for part in self.older.iter_mut().chain(&mut self.sealed) {
                *part = exchange.moved(part)?;
            }
            for (token, newest) in &mut self.newest {
                *newest = layers.placed(token, *newest)?;
            }
        }
        self.layers = layers;
        Ok(())
    }

    /// The map as readers see it.
    fn image(&self) -> Part {
        let image = Image::new(self.newest_entries().map(|entry| (entry.record, entry.kind)));
        let entries: Vec<_> = self.newest_entries().map(|entry| outlined(&entry)).collect();
        Part::Image(Arc::new(image), outline(self.base(), &entries))
    }

    fn newest_entries(&self) -> impl ExactSizeIterator<Item = Entry> {
        self.newest.iter().map(|(token, newest)| newest.of(*token))
    }

    /// All entries but those that are sealed, in the order of their tokens, each token once,
    /// with what it did to all below.
    pub(crate) fn entries(&self) -> Result<Vec<Entry>> {
        let mut parts = vec![self.image()];
        parts.extend_from_slice(&self.older);
        merged(self.base(), &parts)
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
        let entries = merged(&self.base, &self.parts)?;
        let outlined: Vec<_> = entries.iter().map(outlined).collect();
        let outline = outline(&self.base, &outlined);
        Ok(memory_layer(&entries)?.map(|layer| Part::Layer(Arc::new(layer), outline)))
    }
}

/// The entries of all, each token once.
fn merged(base: &Layer, parts: &[Part]) -> Result<Vec<Entry>> {
    let mut entries = Vec::with_capacity(parts.iter().map(Part::len).sum());
    merge(base, parts, &mut |entry, _| {
        entries.push(entry);
        Ok(())
    })?;
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
