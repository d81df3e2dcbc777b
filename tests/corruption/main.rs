//! Files that are not what was written, one thing after another that can be wrong with them:
//! the right answer or a typed error, each time.

mod allocations;
mod bits;
mod forge;
mod lengths;
mod lies;
mod parts;
mod questions;
mod sample;
mod strangers;
mod threads;
