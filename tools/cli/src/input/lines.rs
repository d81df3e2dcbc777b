//! Lines of text of bounded length.

use std::io::{BufRead, Read};

use ringstore::{Error, Result};

use super::read_error;

/// The longest line that is read, in bytes without its end. No record and no
/// signature comes near it; binary data taken for text soon passes it.
pub const LINE_BYTES_MAX: usize = 4096;

/// The lines of a text, one at a time, without their ends `\n` or `\r\n`.
///
/// Blank lines are counted and skipped. The last line needs no end. A byte order
/// mark before the first line is dropped.
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    name: String,
    number: u64,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// The lines that `reader` gives. `name` says in errors where they came from.
    pub fn new(name: impl Into<String>, reader: R) -> Self {
        Self { reader, name: name.into(), number: 0, line: Vec::new() }
    }

    /// What `parse` makes of the next line that is not blank, or `None` at the end.
    ///
    /// # Errors
    ///
    /// [`Error::BadInput`] with the number of the line, if it is longer than
    /// [`LINE_BYTES_MAX`], is not UTF-8, holds a NUL, or if `parse` gives a reason
    /// against it. Otherwise what went wrong with reading.
    pub fn parse_next<T>(
        &mut self,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>> {
        while self.fill()? {
            if !self.line.trim_ascii().is_empty() {
                let parsed = self.text().and_then(parse);
                return parsed.map(Some).map_err(|reason| self.bad(reason));
            }
        }
        Ok(None)
    }

    /// The line last read.
    fn text(&self) -> Result<&str, String> {
        let (fault, index) = match std::str::from_utf8(&self.line) {
            Err(error) => ("not UTF-8", error.valid_up_to()),
            Ok(line) => match line.find('\0') {
                Some(index) => ("a NUL byte", index),
                None => return Ok(line),
            },
        };
        Err(format!("{fault} at byte {index} of the line; is this a text file?"))
    }

    /// An error about the line last read.
    fn bad(&self, reason: String) -> Error {
        Error::BadInput { source_name: self.name.clone(), text: true, number: self.number, reason }
    }

    /// Reads a line; false at the end.
    fn fill(&mut self) -> Result<bool> {
        self.line.clear();
        self.number += 1;
        let mark: &[u8] = if self.number == 1 { b"\xef\xbb\xbf" } else { b"" };
        let line_with_end = (mark.len() + LINE_BYTES_MAX + 2) as u64;
        let read = (&mut self.reader)
            .take(line_with_end)
            .read_until(b'\n', &mut self.line)
            .map_err(|error| read_error(&self.name, error))?;
        if self.line.ends_with(b"\n") {
            self.line.pop();
            if self.line.ends_with(b"\r") {
                self.line.pop();
            }
        }
        if self.line.starts_with(mark) {
            self.line.drain(..mark.len());
        }
        if self.line.len() > LINE_BYTES_MAX {
            return Err(
                self.bad(format!("longer than {LINE_BYTES_MAX} bytes; is this a text file?"))
            );
        }
        Ok(read > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Result<Vec<String>> {
        let mut lines = Lines::new("test", text);
        let mut found = Vec::new();
        while let Some(line) = lines.parse_next(|line| Ok(line.to_string()))? {
            found.push(line);
        }
        Ok(found)
    }

    #[test]
    fn ends_and_blanks_are_dropped() {
        for text in ["a\nb\n", "a\nb", "a\r\nb\r\n", "\n\na\n \t\r\nb\n\n", "\u{feff}a\nb"] {
            assert_eq!(all(text.as_bytes()).unwrap(), ["a", "b"], "{text:?}");
        }
        assert!(all(b"").unwrap().is_empty());
        assert_eq!(all(b"a\rb\n").unwrap(), ["a\rb"]);
    }

    #[test]
    fn one_byte_order_mark_is_dropped_and_only_at_the_start() {
        let marked = "\u{feff}a";
        assert_eq!(all("\u{feff}\u{feff}a\n\u{feff}a\n".as_bytes()).unwrap(), [marked, marked]);
        assert_eq!(all("\n\u{feff}a".as_bytes()).unwrap(), [marked]);
    }

    #[test]
    fn the_bound_on_length_is_exact() {
        let longest = "x".repeat(LINE_BYTES_MAX);
        for end in ["", "\n", "\r\n"] {
            for mark in ["", "\u{feff}"] {
                let found = all(format!("{mark}{longest}{end}").as_bytes());
                assert_eq!(found.unwrap(), [longest.as_str()]);
                let error = all(format!("{mark}{longest}x{end}b").as_bytes()).unwrap_err();
                assert!(matches!(error, Error::BadInput { number: 1, text: true, .. }), "{error}");
            }
            let error = all(format!("a\n{longest}x{end}b").as_bytes()).unwrap_err();
            assert!(matches!(error, Error::BadInput { number: 2, text: true, .. }), "{error}");
        }
    }

    #[test]
    fn an_endless_line_is_refused_without_reading_it() {
        let mut lines = Lines::new("test", std::io::BufReader::new(std::io::repeat(b'x')));
        assert!(matches!(lines.parse_next(|_| Ok(())), Err(Error::BadInput { number: 1, .. })));
        assert!(lines.line.capacity() < 4 * LINE_BYTES_MAX);
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for (text, index) in [(&b"ok\nab\0c\n"[..], 2), (b"ok\na\xff\n", 1)] {
            let error = all(text).unwrap_err();
            let Error::BadInput { number: 2, reason, .. } = error else { panic!("{error}") };
            assert!(reason.contains(&format!("at byte {index} ")), "{reason}");
        }
    }
}
