//! What every [`TokenStorageBackend`] must do, put to a backend in one call.
//!
//! A [`Suite`] is given a way to build the backend of records, and tries: answers
//! worked out by hand on small rings; every read over sets of every
//! [`KeyFamily`](crate::testing::keys::KeyFamily); and random operations one after
//! another, compared with the [`Oracle`] after each. The backend is used as
//! `dyn TokenStorageBackend` throughout.
//!
//! ```
//! use ringstore::testing::conformance::Suite;
//! use ringstore::{MemTokens, TokenStorageBackend};
//!
//! Suite::new().check(|records| {
//!     let mut tokens = MemTokens::new();
//!     for (token, value) in records {
//!         tokens.set(token, *value)?;
//!     }
//!     Ok(tokens)
//! });
//! ```
//!
//! The first answer that is not as it should be ends the suite with a panic that says
//! what was asked, expected and found; of random operations it shows as few as lead
//! there. Every run asks the same.

use crate::backend::TokenStorageBackend;
use crate::error::Result;
use crate::testing::oracle::Oracle;
use crate::testing::{operations, reads, vectors, walks};
use crate::token::{BlockTime, TokenId};

/// All that is checked of a backend.
#[derive(Clone, Debug)]
#[must_use = "nothing is checked before `check`"]
pub struct Suite {
    cases: u32,
    writes: bool,
}

impl Suite {
    /// The whole suite, with 256 sequences of random operations.
    pub const fn new() -> Self {
        Self { cases: 256, writes: true }
    }

    /// For a backend that is built of records and takes no single writes: every `set`
    /// has to be refused with [`Error::Unwritable`](crate::Error::Unwritable) and
    /// change nothing. All else is checked the same.
    ///
    /// ```
    /// use ringstore::testing::conformance::Suite;
    /// use ringstore::{LoadOptions, Options, Record, Store};
    /// # let directory = tempfile::tempdir()?;
    ///
    /// let mut stores = 0;
    /// Suite::new().read_only().cases(8).check(|records| {
    ///     stores += 1;
    ///     let path = directory.path().join(stores.to_string());
    ///     let store = Store::create(path, &Options::new())?;
    ///     let records = records.iter().map(|record| Ok(Record::from(*record)));
    ///     store.bulk_load(records, &LoadOptions::new())?;
    ///     Store::open_read_only(store.path(), &Options::new())
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub const fn read_only(mut self) -> Self {
        self.writes = false;
        self
    }

    /// Tries so many sequences of random operations.
    pub const fn cases(mut self, cases: u32) -> Self {
        self.cases = cases;
        self
    }

    /// Checks the backends that `make` builds. It is called a few hundred times, with
    /// records in ascending order, each token once, at most 20,000.
    ///
    /// # Panics
    ///
    /// If the backend does not conform, or reports an error.
    #[track_caller]
    pub fn check<B: TokenStorageBackend>(
        &self,
        mut make: impl FnMut(&[(TokenId, BlockTime)]) -> Result<B>,
    ) {
        let mut make = |records: &[_]| Ok(Box::new(make(records)?) as Box<dyn TokenStorageBackend>);
        let outcome = vectors::check(&mut make, self.writes)
            .and_then(|()| walks::check(&mut make))
            .and_then(|()| reads::check_families(&mut make))
            .and_then(|()| operations::check(&mut make, self.cases, self.writes));
        if let Err(differs) = outcome {
            panic!("the backend does not conform: {differs}");
        }
    }
}

impl Default for Suite {
    fn default() -> Self {
        Self::new()
    }
}

/// Checks every read of a backend that holds just what the oracle does: for what a
/// backend became by ways of its own.
///
/// # Panics
///
/// If the backend answers differently from the oracle, or reports an error.
#[track_caller]
pub fn check_reads(backend: &dyn TokenStorageBackend, oracle: &Oracle) {
    if let Err(differs) = reads::check(backend, oracle) {
        panic!("the backend does not conform: {differs}");
    }
}
