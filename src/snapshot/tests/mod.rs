//! All reads of a snapshot against the oracle.

mod bases;
mod lies;
mod reads;
mod segments;
mod stacks;
