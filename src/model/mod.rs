//! A machine that does anything to a store, in any order, and knows what must come of it.
//!
//! It commits batches of all kinds, flushes and compacts, keeps snapshots, asks whatever can
//! be asked, closes and opens the store, opens it for reading beside the writer, kills it,
//! cuts its power at any moment and makes the disk fail. Beside it goes a model, a `BTreeMap`
//! and little more, and every answer is compared with the model's. After a crash the store
//! must hold one of the states that it may: none before the last that was acknowledged
//! as durable, whole, and the same one if recovery crashes as well. From time to time
//! everything is compared with redb too.
//!
//! A run is fixed by its [`Plan`](plan::Plan) and by a [`Source`](source::Source) of choices: [`Random`](crate::testing::random::Random) for long
//! runs, [`Bytes`](source::Bytes) where somebody else chooses, and makes what failed smaller.
//!
//! ```
//! use ringstore::model::{plan::Plan, run::run};
//!
//! let counts = run(&Plan { tokens: 200, base: 100, ..Plan::default() }, 500);
//! assert_eq!(counts.get("operations"), 500);
//! assert!(counts.get("writes") > 150);
//! ```

mod bulk;
pub mod counts;
mod ends;
#[cfg(test)]
mod faults;
mod history;
mod layers;
pub mod machine;
mod operation;
mod place;
pub mod plan;
mod reads;
pub mod run;
pub mod source;
mod state;
