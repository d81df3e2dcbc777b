//! Walking the ring without passing over it.
//!
//! A walk is defined token by token ([`walk_ring`](crate::walk_ring)), but only the
//! tokens that match have to be looked at: the suffix postings say where the next one
//! is, and how many lie between follows from the positions.

use super::Snapshot;
use super::view::{Place, Source, View};
use crate::challenge::{CHUNKS, CHUNKS_UP, Chunks, Direction, Leg, Walk};
use crate::error::Result;
use crate::segment::find::Found;
use crate::segment::layer::Layer;
use crate::token::{BlockTime, TokenId};

/// How a walk went, without what it met.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct WalkSummary {
    pub(crate) steps: u64,
    pub(crate) wrapped: bool,
    pub(crate) complete: bool,
    /// Number of suffixes met.
    pub(crate) count: usize,
}

/// A leg of a walk: its direction, and up to which of all suffixes it seeks.
pub(crate) type Turn = (Direction, usize);

/// The two legs of a signature.
pub(crate) const SIGNATURE_TURNS: [Turn; 2] =
    [(Direction::Up, CHUNKS_UP), (Direction::Down, CHUNKS)];

impl Layer {
    /// Walks from where a token is, or would be, and says at which positions the
    /// suffixes were met, in their order.
    #[inline]
    pub(crate) fn walk(
        &self,
        origin: Found<'_>,
        turns: &[Turn],
        suffixes: &[u16],
        mut met: impl FnMut(usize),
    ) -> Result<WalkSummary> {
        let below = 0..origin.position;
        let above = origin.position + usize::from(origin.record.is_some())..self.len();
        let mut summary = WalkSummary::default();
        let mut count = 0;
        for &(direction, end) in turns {
            let regions = match direction {
                Direction::Up => [&above, &below],
                Direction::Down => [&below, &above],
            };
            for (beyond_end, region) in regions.into_iter().enumerate() {
                if count == end || region.is_empty() {
                    continue;
                }
                summary.wrapped |= beyond_end == 1;
                let mut last = region.start;
                count +=
                    self.meet(region.clone(), direction, &suffixes[count..end], |position| {
                        last = position;
                        met(position);
                    })?;
                let passed = match direction {
                    _ if count < end => region.len(),
                    Direction::Up => last + 1 - region.start,
                    Direction::Down => region.end - last,
                };
                summary.steps += passed as u64;
            }
        }
        summary.complete = count == suffixes.len();
        summary.count = count;
        Ok(summary)
    }
}

/// The turns of a walk, and all that it seeks.
pub(super) fn plan(legs: &[Leg<'_>]) -> (Vec<Turn>, Vec<u16>) {
    let mut suffixes = Vec::new();
    let mut turns = Vec::with_capacity(legs.len());
    for leg in legs {
        suffixes.extend_from_slice(leg.suffixes);
        turns.push((leg.direction, suffixes.len()));
    }
    (turns, suffixes)
}

/// A walk to be made: from where, and what it seeks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course<'a> {
    pub(crate) token: &'a TokenId,
    /// Where the token is in the base.
    pub(crate) found: Found<'a>,
    pub(crate) turns: &'a [Turn],
    pub(crate) suffixes: &'a [u16],
}

impl Course<'_> {
    /// Each turn, with the suffixes that it is to meet.
    #[inline]
    pub(super) fn legs(&self) -> impl Iterator<Item = (Direction, &[u16])> {
        let mut first = 0;
        self.turns.iter().map(move |&(direction, end)| {
            let suffixes = self.suffixes.get(first..end).unwrap_or(&[]);
            first = end;
            (direction, suffixes)
        })
    }
}

impl View {
    /// Brings near what a walk will read first, for all suffixes at once. Whoever makes many
    /// walks does this for all of them before the first is made.
    #[inline]
    pub(crate) fn prefetch_walk(&self, course: &Course<'_>) {
        let position = course.found.position;
        for (direction, suffixes) in course.legs() {
            self.base.prefetch_lists(position, direction, suffixes);
        }
        if self.has_parts() {
            for &suffix in course.suffixes {
                self.filter.prefetch(suffix, position);
            }
            self.prefetch_rank(position);
        }
    }

    /// Makes walks, each step of all of them together, and reads what they met.
    pub(super) fn make_walks(
        &self,
        courses: &[Course<'_>],
        walks: &mut [Walk<(TokenId, BlockTime)>],
    ) -> Result<()> {
        for course in courses {
            self.prefetch_walk(course);
        }
        let mut met = Vec::with_capacity(courses.len());
        for course in courses {
            let mut places = vec![Place::default(); course.suffixes.len()];
            self.look_ahead(course, &mut places)?;
            let summary = self.walk(course, &mut places)?;
            places.truncate(summary.count);
            self.prefetch_records(&places);
            met.push((summary, places));
        }
        for ((summary, places), walk) in met.into_iter().zip(walks) {
            let WalkSummary { steps, wrapped, complete, .. } = summary;
            (walk.steps, walk.wrapped, walk.complete) = (steps, wrapped, complete);
            walk.matches.clear();
            for place in places {
                let record = self.record(place)?;
                walk.matches.extend(record.map(|record| <(TokenId, BlockTime)>::from(*record)));
            }
        }
        Ok(())
    }

    /// Walks, and says where the suffixes were met, in their order. The places are as they are
    /// by default, or as [`look_ahead`](Self::look_ahead) left them for the same course.
    #[inline]
    pub(crate) fn walk(&self, course: &Course<'_>, places: &mut [Place]) -> Result<WalkSummary> {
        if self.has_parts() {
            return self.walk_layers(course, places);
        }
        let mut free = places.iter_mut();
        self.base.walk(course.found, course.turns, course.suffixes, |position| {
            if let Some(free) = free.next() {
                *free = Place { source: Source::Base, position };
            }
        })
    }
}

impl Snapshot {
    /// Walks around the ring from a token, which need not be there and is not met
    /// itself, in any number of legs of either direction.
    ///
    /// Two or three accesses to memory for each suffix met, and two more for each
    /// 32,768 tokens passed without meeting it.
    ///
    /// ```
    /// # use ringstore::{BlockTime, Leg, LoadOptions, Options, Record, Store, TokenId};
    /// # let directory = tempfile::tempdir()?;
    /// # let store = Store::create(directory.path().join("tokens"), &Options::new())?;
    /// # let records = (0..100_000u64).map(|i| Ok(Record::new(TokenId::from(i), BlockTime::default())));
    /// # store.bulk_load(records, &LoadOptions::new())?;
    /// // Tokens 0 to 99,999: two up, then one down, by the last ten bits.
    /// let walk = store.snapshot().walk(&TokenId::from(5_000), &[Leg::up(&[7, 6]), Leg::down(&[1])])?;
    /// let met: Vec<_> = walk.matches.iter().map(|(token, _)| *token).collect();
    /// assert_eq!(met, [5_127, 6_150, 4_097].map(TokenId::from));
    /// assert_eq!(walk.steps, 1_150 + 903);
    /// assert!(walk.complete && !walk.wrapped);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`](crate::Error::Damaged).
    pub fn walk(&self, token: &TokenId, legs: &[Leg<'_>]) -> Result<Walk<(TokenId, BlockTime)>> {
        let (turns, suffixes) = plan(legs);
        self.walk_turns(token, &turns, &suffixes)
    }

    fn walk_turns(
        &self,
        token: &TokenId,
        turns: &[Turn],
        suffixes: &[u16],
    ) -> Result<Walk<(TokenId, BlockTime)>> {
        let view = self.view();
        let [found] = view.find_all([token].into_iter(), true)?;
        let course = Course { token, found, turns, suffixes };
        let mut walk = Walk::default();
        view.make_walks(&[course], std::slice::from_mut(&mut walk))?;
        Ok(walk)
    }

    /// The walk of a signature: five matches up, five down. What [`sign`](Self::sign) makes,
    /// for chunks that are known already, and a token that need not be there.
    ///
    /// Costs what [`walk`](Self::walk) costs.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`](crate::Error::Damaged).
    pub fn search_signature(
        &self,
        token: &TokenId,
        chunks: &Chunks,
    ) -> Result<Walk<(TokenId, BlockTime)>> {
        self.walk_turns(token, &SIGNATURE_TURNS, chunks)
    }
}
