//! What there is to read at one moment: a bottom layer, and what was written above it.
//!
//! The entries of the bottom layer, the *base*, are all fresh. Those of the *parts*
//! above it, newest first, say what they did to what lies below, so that nothing has to
//! be passed over to be counted: the tokens below a place are the records of the base
//! before it and, for each part, its fresh entries before it less its tombstones.
//!
//! Most tokens are in the base alone. The filter says so at once for nearly all of
//! those, so that a lookup or a walk costs hardly more than it would without parts.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use crate::challenge::Direction;
use crate::delta::filter::Filter;
use crate::delta::layers::Layers;
use crate::delta::part::{Part, PartPlace, newest};
use crate::error::Result;
use crate::format::kinds::Kind;
use crate::segment::find::Found;
use crate::segment::layer::Layer;
use crate::token::{Record, TokenId};

/// A bottom layer and the parts above it. A clone shares them, and has a count of users of its
/// own when it is in an [`Arc`], in a line of the cache that nothing else is in.
#[derive(Clone, Debug)]
#[repr(align(128))]
pub(crate) struct View {
    pub(super) base: Arc<Layer>,
    pub(super) parts: Vec<Part>,
    pub(super) filter: Arc<Filter>,
    /// So many parts are of the delta; the others are of layers on disk.
    delta: usize,
    /// The layers on disk, newest first.
    layers: Vec<Arc<Layer>>,
    len: u64,
}

/// Where an entry is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Source {
    #[default]
    Base,
    Part(usize),
}

/// An entry: where it is, and at which position there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(super) source: Source,
    pub(super) position: usize,
}

impl Place {
    /// Whether it is not the place by default, which is none.
    #[inline]
    pub(super) fn is_somewhere(self) -> bool {
        self.position != usize::MAX
    }
}

impl Default for Place {
    fn default() -> Self {
        Self { source: Source::Base, position: usize::MAX }
    }
}

/// Entries that lie side by side, all of them live.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    pub(super) source: Source,
    pub(super) positions: Range<usize>,
}

/// A cut between tokens: what lies below it.
#[derive(Clone, Debug, Default)]
pub(super) struct Cut {
    /// Number of records of the base.
    pub(super) base: usize,
    /// Number of entries of each part.
    pub(super) parts: Vec<usize>,
    /// Number of tokens.
    pub(super) rank: u64,
}

/// On which side of a token a cut is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Below,
    Above,
}

impl Side {
    /// What lies below a cut at a place that was found.
    #[inline]
    pub(super) fn of(self, found: Found<'_>) -> usize {
        found.position + usize::from(self == Self::Above && found.record.is_some())
    }
}

impl View {
    /// A view of layers and of what the delta has above them, newest first.
    pub(crate) fn new(layers: &Layers, delta: Vec<Part>) -> Result<Self> {
        let (base, filter) = (Arc::clone(layers.base()), Arc::clone(layers.filter()));
        let mut view = Self::of_parts(base, delta, layers.read(), filter)?;
        view.layers = layers.all().cloned().collect();
        Ok(view)
    }

    /// A view of parts, newest first, above a base, first those of the delta. For each entry
    /// in them the filter was told of its suffix and base position before.
    pub(super) fn of_parts(
        base: Arc<Layer>,
        mut parts: Vec<Part>,
        layers: &[Part],
        filter: Arc<Filter>,
    ) -> Result<Self> {
        parts.retain(|part| part.len() > 0);
        let delta = parts.len();
        parts.extend(layers.iter().filter(|part| part.len() > 0).cloned());
        let (mut entries, mut net) = (base.len(), 0i64);
        for part in &parts {
            entries += part.len();
            net = net.saturating_add(part.tokens_before(part.len())?);
        }
        // Kinds that lie make no more tokens than there are entries.
        let len = plus(base.len(), net).min(entries as u64);
        Ok(Self { base, parts, filter, delta, layers: Vec::new(), len })
    }

    /// A view of a base alone.
    #[cfg(test)]
    pub(crate) fn of_base(base: Arc<Layer>) -> Self {
        let len = base.len() as u64;
        Self {
            base,
            parts: Vec::new(),
            filter: Arc::new(Filter::new(0)),
            delta: 0,
            layers: Vec::new(),
            len,
        }
    }

    /// Number of entries above the layers on disk; a token may have several.
    pub(crate) fn delta_len(&self) -> usize {
        self.delta().iter().map(Part::len).sum()
    }

    /// What lies above the layers on disk, newest first.
    pub(crate) fn delta(&self) -> &[Part] {
        self.parts.get(..self.delta).unwrap_or(&[])
    }

    /// All that lies above the base, newest first, each layer as it is on disk.
    pub(crate) fn above_base(&self) -> Vec<Part> {
        let is_upper = |layer: &&Arc<Layer>| !Arc::ptr_eq(layer, &self.base);
        let layers = self.layers().filter(is_upper).map(|layer| Part::Layer(layer.clone(), None));
        self.parts.iter().take(self.delta).cloned().chain(layers).collect()
    }

    /// Number of parts above the layers on disk.
    #[cfg(any(test, all(feature = "redb", feature = "testing")))]
    pub(crate) fn delta_parts(&self) -> usize {
        self.delta
    }

    /// The layers on disk, newest first.
    pub(crate) fn layers(&self) -> impl DoubleEndedIterator<Item = &Arc<Layer>> {
        self.layers.iter()
    }

    /// Whether both are of the same layers on disk.
    pub(crate) fn has_layers_of(&self, other: &Self) -> bool {
        let (mut layers, mut others) = (self.layers(), other.layers());
        loop {
            match (layers.next(), others.next()) {
                (None, None) => return true,
                (Some(layer), Some(other)) if Arc::ptr_eq(layer, other) => {}
                _ => return false,
            }
        }
    }

    /// The bottom layer.
    pub(crate) fn base(&self) -> &Arc<Layer> {
        &self.base
    }

    /// Whether there is anything above the base.
    #[inline]
    pub(crate) fn has_parts(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Number of tokens.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The record of a token.
    #[inline]
    pub(crate) fn get(&self, token: &TokenId) -> Result<Option<&Record>> {
        let found = self.base.find(token)?;
        self.newest(token, found)
    }

    /// Seeks up to `N` tokens in the base at once, to walk from there or not, and brings near
    /// what says whether they are anywhere else.
    #[inline]
    pub(crate) fn find_all<'a, 't, const N: usize>(
        &'a self,
        tokens: impl Iterator<Item = &'t TokenId> + Clone,
        will_walk: bool,
    ) -> Result<[Found<'a>; N]> {
        let has_parts = self.has_parts();
        self.base.find_all(tokens, will_walk, |token, position| {
            if has_parts && N > 1 {
                self.filter.prefetch(token.suffix(), position);
            }
        })
    }

    /// The record of a token that was sought in the base.
    #[inline]
    pub(crate) fn newest<'a>(
        &'a self,
        token: &TokenId,
        found: Found<'a>,
    ) -> Result<Option<&'a Record>> {
        let position = found.position;
        if !self.has_parts() || !self.filter.may_hold(token.suffix(), position..=position) {
            return Ok(found.record);
        }
        match newest(&self.parts, token, position)? {
            None => Ok(found.record),
            Some((_, Kind::Tombstone)) => Ok(None),
            Some((record, Kind::Fresh | Kind::Update)) => Ok(Some(record)),
        }
    }

    /// Number of tokens below a cut beside a token.
    #[inline]
    pub(super) fn rank(&self, token: &TokenId, side: Side) -> Result<u64> {
        let found = self.base.find(token)?;
        let base = side.of(found);
        if !self.has_parts() {
            return Ok(base as u64);
        }
        let is_alone = self.is_alone(token, found);
        let mut net = 0i64;
        for part in &self.parts {
            let place = part.place_of(token, found.position, is_alone)?;
            net = net.saturating_add(match side {
                Side::Below => place.tokens.start,
                Side::Above => place.tokens.end,
            });
        }
        Ok(self.total(base, net))
    }

    /// The number of tokens that so many records of the base and a change by the parts
    /// come to.
    #[inline]
    pub(super) fn total(&self, base: usize, net: i64) -> u64 {
        plus(base, net).min(self.len)
    }

    /// The cut below all tokens.
    pub(super) fn bottom(&self) -> Cut {
        Cut { base: 0, parts: vec![0; self.parts.len()], rank: 0 }
    }

    /// The cut above all tokens.
    pub(super) fn top(&self) -> Cut {
        let parts = self.parts.iter().map(Part::len).collect();
        Cut { base: self.base.len(), parts, rank: self.len }
    }

    /// A cut beside a token.
    pub(super) fn cut(&self, token: &TokenId, side: Side) -> Result<Cut> {
        let found = self.base.find(token)?;
        let is_alone = self.is_alone(token, found);
        let mut parts = Vec::with_capacity(self.parts.len());
        let mut net = 0i64;
        for part in &self.parts {
            let PartPlace { entries, tokens } = part.place_of(token, found.position, is_alone)?;
            let (below, tokens) = match side {
                Side::Below => (entries.start, tokens.start),
                Side::Above => (entries.end, tokens.end),
            };
            net = net.saturating_add(tokens);
            parts.push(below);
        }
        let base = side.of(found);
        Ok(Cut { base, parts, rank: self.total(base, net) })
    }

    /// Whether a token that was sought in the base is there, and surely in no part. Brings
    /// near what says where it would be in them.
    #[inline]
    pub(super) fn is_alone(&self, token: &TokenId, found: Found<'_>) -> bool {
        let position = found.position;
        self.prefetch_rank(position);
        found.record.is_some() && !self.filter.may_hold(token.suffix(), position..=position)
    }

    /// The record at a place.
    #[inline]
    pub(crate) fn record(&self, place: Place) -> Result<Option<&Record>> {
        match place.source {
            Source::Base => self.base.record(place.position),
            Source::Part(index) => match self.parts.get(index) {
                Some(part) => part.record(place.position),
                None => Ok(None),
            },
        }
    }

    /// The record at a place that was checked before.
    #[inline]
    pub(super) fn checked_record(&self, place: Place) -> Option<&Record> {
        match place.source {
            Source::Base => self.base.checked_record(place.position),
            Source::Part(index) => self.parts.get(index)?.checked_record(place.position),
        }
    }

    /// Checks the records of a run.
    pub(super) fn check_records(&self, run: &Run) -> Result<()> {
        match run.source {
            Source::Base => self.base.check_records(&run.positions),
            Source::Part(index) => match self.parts.get(index) {
                Some(part) => part.check_records(&run.positions),
                None => Ok(()),
            },
        }
    }

    /// The records of a run from one of its ends on, as many as lie in one piece, and no
    /// more than `records_max`. Empty only if the run is.
    pub(super) fn records(
        &self,
        run: &Run,
        direction: Direction,
        records_max: usize,
    ) -> Result<&[Record]> {
        let positions = &run.positions;
        match (run.source, direction) {
            (Source::Base, Direction::Up) => self.base.first_run(positions, records_max),
            (Source::Base, Direction::Down) => self.base.last_run(positions, records_max),
            (Source::Part(index), _) => match (self.parts.get(index), direction) {
                (Some(part), Direction::Up) => part.first_run(positions, records_max),
                (Some(part), Direction::Down) => part.last_run(positions, records_max),
                (None, _) => Ok(&[]),
            },
        }
    }

    /// Brings the records at places near, all at once. One by one, as a walk meets them,
    /// each would hold it up until its address is translated.
    #[inline]
    pub(crate) fn prefetch_records(&self, places: &[Place]) {
        for place in places {
            match place.source {
                Source::Base => self.base.prefetch_record(place.position),
                Source::Part(index) => {
                    self.parts.get(index).inspect(|part| part.prefetch_record(place.position));
                }
            }
        }
    }

    /// Brings near what says which entries lie at some base positions.
    #[inline]
    pub(super) fn prefetch_entries(&self, base_positions: &RangeInclusive<usize>) {
        for outline in self.parts.iter().filter_map(Part::outline) {
            outline.prefetch(*base_positions.start());
            outline.prefetch(*base_positions.end());
            outline.prefetch_suffixes(*base_positions.start());
        }
    }

    /// Brings near what says how many tokens lie below a record of the base.
    #[inline]
    pub(super) fn prefetch_rank(&self, base_position: usize) {
        for outline in self.parts.iter().filter_map(Part::outline) {
            outline.prefetch(base_position);
        }
    }
}

#[inline]
fn plus(base: usize, net: i64) -> u64 {
    (base as u64).saturating_add_signed(net)
}

/// Whether a token comes before another one in a direction.
#[inline]
pub(super) fn is_nearer(token: &TokenId, other: &TokenId, direction: Direction) -> bool {
    match direction {
        Direction::Up => token < other,
        Direction::Down => token > other,
    }
}

/// Cuts so many positions, or as many as there are, off the end that comes first in a
/// direction.
#[inline]
pub(super) fn cut_off(
    positions: &mut Range<usize>,
    direction: Direction,
    count: usize,
) -> Range<usize> {
    let count = count.min(positions.len());
    match direction {
        Direction::Up => {
            let start = positions.start;
            positions.start += count;
            start..positions.start
        }
        Direction::Down => {
            let end = positions.end;
            positions.end -= count;
            positions.end..end
        }
    }
}
