//! What a machine works on, and where.

use crate::options::Options;
use crate::testing::keys::KeyFamily;
use crate::token::TokenId;

/// What a machine works on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Fixes what is done, and all tokens and values.
    pub seed: u64,
    /// The family of its tokens.
    pub family: KeyFamily,
    /// How many tokens there are in all, at the most.
    pub tokens: usize,
    /// How many of them are loaded in bulk at first.
    pub base: usize,
    /// Of so many tokens in a row only one is ever changed; all of them if this is 1. The
    /// others stay in the base, or are never there.
    pub spared: usize,
    /// Bytes of a log.
    pub log_bytes: u64,
    /// Entries of the delta at the most.
    pub delta_entries: usize,
    /// Changes of a batch at the most.
    pub batch_max: u64,
    /// Whether the disk fails at times.
    pub has_faults: bool,
    /// Whether the store is opened anew and flushed less often, so that more collects in its
    /// memory.
    pub is_calm: bool,
    /// Whether much goes wrong: faults, where the disk fails at times, ends of all kinds,
    /// loads, expiries, flushes, compactions, checkpoints and readers come one soon after the
    /// other.
    pub is_troubled: bool,
    /// Where the store is.
    pub home: Home,
}

/// Where a store is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Home {
    /// On a simulated disk, which can fail and crash.
    Simulated,
    /// In a directory, which cannot: it is closed and opened instead.
    Directory,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: 1,
            family: KeyFamily::Uniform,
            tokens: 500,
            base: 250,
            spared: 1,
            log_bytes: Options::LOG_BYTES_MIN,
            delta_entries: Options::DELTA_ENTRIES,
            batch_max: 500,
            has_faults: false,
            is_calm: false,
            is_troubled: false,
            home: Home::Simulated,
        }
    }
}

impl Plan {
    pub(super) fn pool(&self) -> Vec<TokenId> {
        self.family.generate(self.tokens, self.seed)
    }
}
