//! Immutable files of sorted records, with the indexes that find them.
//!
//! A segment is built once, in one pass over records in order, and then only read.
//! The bytes it consists of are specified in [`format`](crate::format); reading works
//! the same over a mapped file, a buffer, or bytes that somebody made up.

mod ask;
mod block;
pub(crate) mod builder;
mod check;
mod directory;
#[cfg(test)]
mod effort;
pub(crate) mod find;
mod kinds;
pub(crate) mod layer;
pub(crate) mod matches;
#[cfg(test)]
mod outliers;
mod presence;
pub(crate) mod reader;
pub(crate) mod records;
mod section;
#[cfg(test)]
mod tests;
mod touched;
mod verify;
