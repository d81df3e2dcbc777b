//! The part of the `ringstore` command that other programs can use too: its readers
//! of records and operations.
//!
//! Tests and fuzzers reach them here; the command itself is the binary `ringstore`.

pub mod input;
