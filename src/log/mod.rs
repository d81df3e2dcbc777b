//! The log: what was committed and is in no segment yet.
//!
//! Frame by frame, in the order of their sequence numbers, a log says what each commit
//! did. It is written at its end only, and it is never written again once it was read:
//! what a crash left in it may be torn, or be in the page cache and not on the disk.

pub(crate) mod read;
pub(crate) mod tail;
#[cfg(test)]
mod tests;
pub(crate) mod write;
