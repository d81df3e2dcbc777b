//! The test kit: what the store's own tests, and those of other backends, compare
//! with. **Outside semver**: it may change in any release.
//!
//! - [`Oracle`] answers every question that a snapshot does, slowly and obviously.
//! - [`KeyFamily`] makes sets of tokens that indexes find hard.
//! - [`Random`] gives the bytes that all of it is made of, the same in every run.
//! - [`conformance`] tries a backend against the oracle.

pub mod conformance;
mod keys;
mod oracle;
mod random;

pub use keys::{KeyFamily, with_values};
pub use oracle::Oracle;
pub use random::Random;
