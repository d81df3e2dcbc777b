//! A machine that does anything to a store, in any order, and knows what must come of it.
//!
//! It commits batches of all kinds, keeps snapshots, asks whatever can be asked, closes
//! and opens the store, opens it for reading beside the writer, kills it, cuts its power
//! at any moment and makes the disk fail. Beside it goes a model, a `BTreeMap` and
//! little more, and every answer is compared with the model's. After a crash the store
//! must hold one of the states that it may: none before the last that was acknowledged
//! as durable, whole, and the same one if recovery crashes as well. From time to time
//! everything is compared with redb too.
//!
//! A run is fixed by its [`Plan`] and by a [`Source`] of choices: [`Random`] for long
//! runs, [`Bytes`] where somebody else chooses, and makes what failed smaller.
//!
//! ```
//! use ringstore::testing::model::{Plan, run};
//!
//! let counts = run(&Plan { tokens: 200, base: 100, ..Plan::default() }, 500);
//! assert_eq!(counts.get("operations"), 500);
//! assert!(counts.get("writes") > 150);
//! ```

mod counts;
mod ends;
mod history;
mod machine;
mod operation;
mod place;
mod reads;
mod source;
mod state;

pub use self::counts::Counts;
pub use self::machine::{Loaded, Machine};
pub use self::source::{Bytes, Source};
use crate::options::Options;
use crate::testing::keys::KeyFamily;
use crate::testing::random::Random;
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
    /// Changes of a batch at the most.
    pub batch_max: u64,
    /// Whether the disk fails at times.
    pub has_faults: bool,
    /// Whether the store is opened anew less often, so that more collects in its memory.
    pub is_calm: bool,
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
            batch_max: 500,
            has_faults: false,
            is_calm: false,
            home: Home::Simulated,
        }
    }
}

impl Plan {
    fn pool(&self) -> Vec<TokenId> {
        self.family.generate(self.tokens, self.seed)
    }
}

/// Runs a machine for so many operations, with everything compared at the end; what
/// happened how often.
///
/// # Panics
///
/// If anything differs from what should be. The message says which plan it was and which
/// operation.
#[track_caller]
pub fn run(plan: &Plan, operations: u64) -> Counts {
    let mut said = Said { plan, operation: 0 };
    let mut source = Random::new("model", plan.seed);
    let outcome = Loaded::new(plan).and_then(|loaded| {
        let mut machine = loaded.machine()?;
        for operation in 0..operations {
            said.operation = operation;
            machine.step(&mut source)?;
        }
        said.operation = operations;
        machine.finish()
    });
    match outcome {
        Ok(counts) => counts,
        Err(differs) => panic!("{differs}"),
    }
}

/// Says where it was when there is a panic, be it the store's own.
struct Said<'a> {
    plan: &'a Plan,
    operation: u64,
}

impl Drop for Said<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in operation {} of {:?}", self.operation, self.plan);
        }
    }
}
