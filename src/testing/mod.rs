//! The test kit: what the store's own tests, and those of other backends, compare
//! with. **Outside semver**: it may change in any release.
//!
//! - [`Oracle`](oracle::Oracle) answers every question that a snapshot does, slowly and
//!   obviously.
//! - [`KeyFamily`](keys::KeyFamily) makes sets of tokens that indexes find hard.
//! - [`Random`](random::Random) gives the bytes that all of it is made of, the same in
//!   every run.
//! - [`conformance`] tries a backend against the oracle.
//! - [`damage`] gets wrong bytes past checksums.

pub mod conformance;
pub mod damage;
pub mod keys;
pub mod oracle;
pub mod random;
