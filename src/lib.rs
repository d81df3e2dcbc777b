//! A memory-mapped store of sorted, immutable segment files for 32-byte token ids
//! and the block and time that each maps to.
//!
//! It is made for nodes that prove what they store. A challenge names a token; the
//! answer takes a lookup and a walk around the ring of tokens, five matches up and
//! five down, ten thousand tokens long ([`challenge`](chunks)). A [`Store`] finds the
//! ten matches in two accesses to memory each.
//!
//! ```
//! use ringstore::{BlockId, BlockTime, LoadOptions, Options, PeerId, Record, Store, TokenId};
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("tokens");
//!
//! let store = Store::create(&path, &Options::new())?;
//! let records = (0..100_000u64).map(|i| {
//!     Ok(Record::new(TokenId::from(i), BlockTime::new(BlockId::from(i / 6), i)))
//! });
//! store.bulk_load(records, &LoadOptions::new())?;
//!
//! let peer = PeerId([1; 32]);
//! let snapshot = store.snapshot();
//! let signed = snapshot.sign(&TokenId::from(5_000), &peer)?.expect("the token is there");
//! assert_eq!(signed.signature.check(&peer), Ok(()));
//! assert_eq!(snapshot.check(&signed.signature, &peer)?, Ok(()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It is written while it is read: a [`Batch`] of changes is [committed](Store::commit)
//! as a whole, durably.
//!
//! Where to go from here: [`Snapshot`] has all reads, [`Store`] all that changes what
//! there is to read. The [`guide`] has whole programs, sizes and limits, and what to know of
//! containers, file systems and new versions; [`mod@format`] specifies the files byte by byte.
//! An engine of your own is a [`TokenStorageBackend`]; the feature `testing` has the
//! suite that every one has to pass (`testing::conformance`).

#[cfg(not(unix))]
compile_error!("ringstore runs on Linux and other Unix systems; Windows is not supported yet");
#[cfg(not(target_pointer_width = "64"))]
compile_error!("ringstore maps whole files into memory and needs a 64-bit target");

mod backend;
mod batch;
mod challenge;
mod compact;
mod delta;
mod error;
pub mod format;
pub mod guide;
mod in_order;
mod io;
mod load;
mod log;
mod manifest;
#[cfg(all(feature = "redb", any(test, feature = "testing")))]
pub mod model;
mod options;
mod progress;
mod recover;
mod report;
mod salvage;
mod search;
mod segment;
mod sign;
mod snapshot;
mod store;
mod sync;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod token;

pub use backend::mem::MemTokens;
#[cfg(feature = "redb")]
pub use backend::redb::ReDbTokens;
pub use backend::{RangeIter, TokenStorageBackend};
pub use batch::{Batch, Committed, Condition};
pub use challenge::{
    CHUNKS, CHUNKS_UP, Chunks, Direction, Leg, Passed, Signature, Signed, TokenBlock, Walk, chunks,
    walk_ring,
};
pub use error::{Damage, Error, InvalidSignature, Result};
pub use format::kinds::Kind;
pub use load::options::{LoadOptions, LoadReport};
pub use options::{Durability, Options, Residency, Verification};
pub use progress::{OnProgress, Phase, Progress};
pub use recover::Recovery;
pub use salvage::report::{Loss, LossReason, SalvageReport};
pub use salvage::salvage;
pub use segment::find::Found;
pub use segment::reader::Segment;
pub use snapshot::Snapshot;
pub use snapshot::range::{Range, Slices};
pub use store::Store;
pub use store::checkpoint::Checkpoint;
pub use store::expire::Expired;
pub use store::monitor::{Background, Written};
pub use store::residency::ResidencyReport;
pub use store::stat::{LayerStat, Stat};
pub use store::verify::VerifyReport;
pub use token::{BlockId, BlockTime, InvalidId, PeerId, Record, SUFFIX_BITS, SUFFIXES, TokenId};
