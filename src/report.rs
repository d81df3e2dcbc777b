//! Telling the program's log what nobody else is told.
//!
//! Whoever is told may panic, as a logger does that writes to a full disk. Here that is
//! nobody's concern: others may be waiting for what comes next.

use std::fmt::Arguments;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ::log::Level;

#[cold]
fn report(level: Level, said: Arguments<'_>) {
    let _ = catch_unwind(AssertUnwindSafe(|| ::log::log!(level, "{said}")));
}

/// Something failed, and whoever asked for it may not be there to be told.
pub(crate) fn error(said: Arguments<'_>) {
    report(Level::Error, said);
}

/// Something is worth knowing.
pub(crate) fn warn(said: Arguments<'_>) {
    report(Level::Warn, said);
}

/// Something was done.
pub(crate) fn debug(said: Arguments<'_>) {
    report(Level::Debug, said);
}
