//! How often things happened that a run is meant to make happen.

use std::collections::BTreeMap;
use std::fmt;

/// Numbers, each with the name of what it counts.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Counts {
    counts: BTreeMap<&'static str, u64>,
}

impl Counts {
    pub(super) fn add(&mut self, name: &'static str) {
        self.add_many(name, 1);
    }

    pub(super) fn add_many(&mut self, name: &'static str, count: u64) {
        *self.counts.entry(name).or_default() += count;
    }

    pub(super) fn add_if(&mut self, name: &'static str, happened: bool) {
        if happened {
            self.add(name);
        }
    }

    /// How often this happened.
    pub fn get(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }
}

impl std::ops::AddAssign<&Self> for Counts {
    fn add_assign(&mut self, other: &Self) {
        for (name, count) in &other.counts {
            self.add_many(name, *count);
        }
    }
}

/// A line for each.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counts.iter().try_for_each(|(name, count)| writeln!(f, "{count:>10} {name}"))
    }
}
