//! What is measured.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Something that engines do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Loading all tokens in their order, durable at the end
    LoadSorted,
    /// Loading all tokens in no order, durable at the end
    LoadRandom,
    /// Looking up a token that is there
    GetHit,
    /// Looking up a token that is not there
    GetMiss,
    /// Looking up one of 256 tokens that are asked for in one call
    GetMany,
    /// Going to a token and reading the one above it
    Seek,
    /// Reading the 1,000 records above a token
    RangeForward,
    /// Reading the 1,000 records below a token
    RangeBackward,
    /// Signing for a token: a lookup, a hash, a walk, ten records
    Sign,
    /// Signing for one of 256 tokens that are asked for in one call
    SignMany,
    /// Committing six new random tokens, durable, with a sync of their own
    Commit,
    /// Signing nineteen times of twenty, and committing once
    Mixed,
    /// Opening a database that was closed, and looking up a token
    Open,
    /// Signing for a token when nothing of the database is in memory; only if named
    Cold,
    /// Signing for one of 256 tokens in one call when nothing is in memory; only if named
    ColdMany,
    /// Bytes on disk, after a load of sorted tokens
    Size,
}

/// How a workload is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// On new directories.
    Load,
    /// On a loaded database, by one thread or by several.
    Read,
    /// On a database that is closed, and opened anew each time.
    Open,
    /// On a database that was closed and opened, and that is another one then.
    Write,
    /// Not timed.
    Size,
}

impl Workload {
    /// Every workload, in the order of the rows.
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// What is measured where nothing is named: all but what mostly waits for the disk, which
    /// would make every run take much longer.
    pub fn is_default(self) -> bool {
        !matches!(self, Self::Cold | Self::ColdMany)
    }

    /// Its name on the command line, in tables and in results.
    ///
    /// # Panics
    ///
    /// Never: no workload is hidden.
    pub fn name(self) -> String {
        self.to_possible_value().expect("a name").get_name().to_string()
    }

    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::LoadSorted | Self::LoadRandom => Kind::Load,
            Self::GetHit
            | Self::GetMiss
            | Self::GetMany
            | Self::Seek
            | Self::RangeForward
            | Self::RangeBackward
            | Self::Sign
            | Self::SignMany => Kind::Read,
            Self::Open | Self::Cold | Self::ColdMany => Kind::Open,
            Self::Commit | Self::Mixed => Kind::Write,
            Self::Size => Kind::Size,
        }
    }
}
