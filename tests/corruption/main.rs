//! Files that are not what was written, one thing after another that can be wrong with them:
//! the right answer or a typed error, each time.

mod bits;
mod parts;
mod questions;
mod sample;
mod threads;
mod lengths;
mod strangers;
