//! What a salvage rescued, and what was lost.

use std::fmt;
use std::ops::{Bound, Range};

use crate::token::TokenId;

/// What a [salvage](crate::salvage) rescued, and what was lost.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SalvageReport {
    /// Entries that were rescued, of all layers and logs. A token may have had several: the
    /// newest counts.
    pub rescued: u64,
    /// Tokens in the new store.
    pub tokens: u64,
    /// Why the manifest was of no use, if it was not: it is missing or damaged, or one of
    /// another store, or an older one. Then all segments and logs in the directory were taken,
    /// or, where some are of another store, those of the one that has most of the entries.
    ///
    /// Those with higher numbers were taken for the newer ones, which they are, but for the
    /// bottom one. That was taken to be the first of which every entry is new. Files that are
    /// missing are not missed, and of files that a crash left over older values, and tokens
    /// that had been removed, may have come back.
    pub manifest: Option<String>,
    /// All that was lost, the newest first: of the logs, then of each layer; then files that
    /// were left out.
    pub losses: Vec<Loss>,
}

impl SalvageReport {
    /// Whether nothing was lost, as far as anybody can know.
    pub fn is_complete(&self) -> bool {
        self.manifest.is_none() && self.losses.is_empty()
    }

    /// Entries that were lost, at most.
    pub fn lost(&self) -> u64 {
        self.losses.iter().fold(0, |sum, loss| sum.saturating_add(loss.records))
    }
}

/// Entries of a file, one behind the other, that were lost for one reason.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Loss {
    /// The name of the file.
    pub file: String,
    /// The part of the file that is damaged.
    pub part: &'static str,
    /// The bytes of the file that are damaged: those that are checked together, so that not
    /// each of them has to be wrong.
    pub bytes: Range<u64>,
    /// How many entries were lost, or, unless that [is exact](Self::is_exact), at most.
    pub records: u64,
    /// Whether the number of entries is known.
    pub is_exact: bool,
    /// Where the tokens of these entries lie: between those of the neighbours that were
    /// rescued, if there are any.
    pub keys: (Bound<TokenId>, Bound<TokenId>),
    /// The sequence numbers of the frames that were lost, of a log.
    pub frames: Option<Range<u64>>,
    /// Whether there is something older, so that of a token among [`keys`](Self::keys) an
    /// older value may have come back, or a token that had been removed.
    pub may_revert: bool,
    /// Why.
    pub reason: LossReason,
}

/// Why entries could not be rescued.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum LossReason {
    /// The file is missing.
    Missing,
    /// Another file has its place, or what is no file; or, where there is no manifest, it is
    /// one of another store.
    Foreign,
    /// Neither its header nor a manifest says what is in the file.
    Header,
    /// The file is too short.
    Cut,
    /// The medium does not give the bytes back.
    Unreadable,
    /// The bytes are not those that the checksum was made of, or it is itself damaged.
    Checksum,
    /// The checksum is cut off or unreadable, so that nobody knows whether the bytes are right.
    NoChecksum,
    /// The checksums are right, but the tokens do not ascend.
    Order,
    /// Without kinds nobody knows whether this put a value of zeros or removed the token.
    Kind,
    /// A frame of the log is not what was written.
    Frame,
    /// Nothing in the file says which one it is. What checks out of it was taken for what the
    /// manifest says, so that it may be of another store.
    Unidentified,
    /// The segment is whole, and was begun later than the manifest, which does not name it. A
    /// crash may have left it of what was being written, and then nothing is lost; or the
    /// manifest is an older one. To have what is in it, move the manifest away.
    Unnamed,
}

impl fmt::Display for LossReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Missing => "the file is missing",
            Self::Foreign => "not the file that belongs here",
            Self::Header => "nothing says what is in the file",
            Self::Cut => "cut off",
            Self::Unreadable => "cannot be read",
            Self::Checksum => "wrong checksum",
            Self::NoChecksum => "its checksum is gone",
            Self::Order => "out of order",
            Self::Kind => "put or removed, nobody knows",
            Self::Frame => "no frame",
            Self::Unidentified => "nothing says which file it is",
            Self::Unnamed => "later than the manifest",
        })
    }
}
