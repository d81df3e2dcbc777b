//! Talk, on standard error.

use std::fmt::Display;
use std::io::{self, Write};

/// Says one line on standard error. If nobody listens, nothing is said.
pub fn say(message: impl Display) {
    let _ = writeln!(io::stderr().lock(), "ringstore-compare: {message}");
}
