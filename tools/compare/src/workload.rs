//! What is measured.

use clap::ValueEnum;
use serde::Serialize;

/// Something that engines do. All of them do all of it, but for commits, which need a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
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
    /// Reading the 1,000 records above a token
    RangeForward,
    /// Reading the 1,000 records below a token
    RangeBackward,
    /// Signing for a token: a lookup, a hash, a walk, ten records
    Sign,
    /// Committing six new random tokens, durable, with a sync of their own
    Commit,
    /// Bytes on disk, after a load of sorted tokens
    Size,
}

impl Workload {
    /// Every workload, in the order of the rows.
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// Its name on the command line, in tables and in results.
    ///
    /// # Panics
    ///
    /// Never: no workload is hidden.
    pub fn name(self) -> String {
        self.to_possible_value().expect("a name").get_name().to_string()
    }

    /// Whether it is measured on a loaded database.
    pub(crate) fn is_read(self) -> bool {
        !matches!(self, Self::LoadSorted | Self::LoadRandom | Self::Commit | Self::Size)
    }
}
