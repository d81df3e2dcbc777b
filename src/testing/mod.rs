//! The test kit: what the store's own tests, and those of other backends, compare
//! with. **Outside semver**: it may change in any release.
//!
//! - [`Oracle`](oracle::Oracle) answers every question that a snapshot does, slowly and
//!   obviously.
//! - [`KeyFamily`](keys::KeyFamily) makes sets of tokens that indexes find hard.
//! - [`Random`](random::Random) gives the bytes that all of it is made of, the same in
//!   every run.
//! - [`conformance`] puts a backend through everything that one must do.
//! - [`damage`] gets wrong bytes past checksums.
//! - [`sim`] is a disk that crashes at any moment and fails at any call.

pub(crate) mod answers;
pub mod conformance;
pub mod damage;
pub mod keys;
mod operations;
pub mod oracle;
pub mod random;
pub(crate) mod reads;
pub mod sim;
mod vectors;
mod walks;
