//! Finding a token by its prefix, and the next one by its suffix.
//!
//! Both searches work on plain slices and know nothing of files. Both start from a
//! good guess and [gallop](gallop) from it, so that evenly spread keys cost one or
//! two accesses and any others a logarithmic number. What they read is not trusted:
//! every number from an index is bounded by the length of what it points into.

pub(crate) mod directory;
pub(crate) mod gallop;
pub(crate) mod postings;
pub(crate) mod simd;
