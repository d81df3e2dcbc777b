//! Walking the ring without passing over it.
//!
//! A walk is defined token by token ([`walk_ring`](crate::walk_ring)), but only the
//! tokens that match have to be looked at: the suffix postings say where the next one
//! is, and how many lie between follows from the positions.

use std::ops::Range;

use super::Snapshot;
use super::layer::Layer;
use crate::challenge::{Chunks, Direction, Leg, Walk};
use crate::error::Result;
use crate::segment::reader::Found;
use crate::token::{BlockTime, TokenId};

/// How a walk went, without what it met.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct WalkSummary {
    pub(crate) steps: u64,
    pub(crate) wrapped: bool,
    pub(crate) complete: bool,
}

impl Layer {
    /// Walks the legs from where a token is, or would be, and says at which positions
    /// the suffixes were met, in their order.
    #[inline]
    pub(crate) fn walk(
        &self,
        origin: Found,
        legs: &[Leg<'_>],
        mut met: impl FnMut(usize),
    ) -> Result<WalkSummary> {
        for leg in legs {
            self.prefetch_walk(origin.position, leg.suffixes, leg.direction == Direction::Down);
        }
        let below = 0..origin.position;
        let above = origin.position + usize::from(origin.exact)..self.len();
        let mut summary = WalkSummary::default();
        let mut sought = legs.iter().flat_map(|leg| leg.suffixes).copied().peekable();
        // Suffixes that this leg and those before it have still to meet.
        let mut due = 0;
        for leg in legs {
            due += leg.suffixes.len();
            let regions = match leg.direction {
                Direction::Up => [above.clone(), below.clone()],
                Direction::Down => [below.clone(), above.clone()],
            };
            for (beyond_end, mut region) in regions.into_iter().enumerate() {
                if due == 0 || region.is_empty() {
                    continue;
                }
                summary.wrapped |= beyond_end == 1;
                while due > 0
                    && let Some(&suffix) = sought.peek()
                    && let Some(position) =
                        self.step(&mut region, leg.direction, suffix, &mut summary)?
                {
                    met(position);
                    sought.next();
                    due -= 1;
                }
            }
        }
        summary.complete = due == 0;
        Ok(summary)
    }

    /// Walks on in a region up to the next match, or to its end, and cuts off what was
    /// passed.
    #[inline]
    fn step(
        &self,
        region: &mut Range<usize>,
        direction: Direction,
        suffix: u16,
        summary: &mut WalkSummary,
    ) -> Result<Option<usize>> {
        let len = region.len();
        let met = match direction {
            Direction::Up => {
                let met = self.next_match(region, suffix)?;
                region.start = met.map_or(region.end, |position| position + 1);
                met
            }
            Direction::Down => {
                let met = self.previous_match(region, suffix)?;
                region.end = met.unwrap_or(region.start);
                met
            }
        };
        summary.steps += (len - region.len()) as u64;
        Ok(met)
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
        let layer = self.layer();
        let mut positions = Vec::with_capacity(legs.iter().map(|leg| leg.suffixes.len()).sum());
        let summary = layer.walk(layer.find(token)?, legs, |position| positions.push(position))?;
        layer.prefetch_records(&positions);
        let mut matches = Vec::with_capacity(positions.len());
        for position in positions {
            matches.extend(
                layer.record(position)?.map(|record| <(TokenId, BlockTime)>::from(*record)),
            );
        }
        let WalkSummary { steps, wrapped, complete } = summary;
        Ok(Walk { matches, steps, wrapped, complete })
    }

    /// The walk of a signature: five matches up, five down.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`](crate::Error::Damaged).
    pub fn search_signature(
        &self,
        token: &TokenId,
        chunks: &Chunks,
    ) -> Result<Walk<(TokenId, BlockTime)>> {
        self.walk(token, &Leg::of_signature(chunks))
    }
}
