//! Talk, on standard error.

use std::fmt::Display;
use std::io::{self, Write};

/// Says one line on standard error. If nobody listens, nothing is said.
pub(crate) fn say(message: impl Display) {
    let line = one_line(&format!("ringstore: {message}"));
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// The text on one line, without characters that a terminal would obey.
///
/// Messages quote file names and input, in which anything may stand.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_stay_on_one_line() {
        assert_eq!(one_line("a\nb\t\u{1b}[2Jé'"), "a\\nb\\t\\u{1b}[2Jé'");
    }
}
