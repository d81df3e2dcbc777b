//! Records from text and from bytes.
//!
//! A record comes in one of three [formats](Format), from a file or from standard
//! input, through the same code. [`Records`] is an iterator that ends with the first
//! error, needs the same memory whatever the length of the input, and says which
//! line or record is wrong and why. Lines of [operations](Operation) on a store are read
//! as lines of records are.

mod csv;
mod json;
mod lines;
mod operations;
mod raw;
mod source;
mod write;

use std::ffi::OsStr;
use std::io::{self, BufRead};
use std::path::Path;

use ringstore::{Error, Record, Result};

pub use json::parse_json;
pub use lines::{LINE_BYTES_MAX, Lines};
pub use operations::{Operation, parse_operation};
pub use source::{Source, SourceReader, Watch};
pub use write::write_record;

/// How records are written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Format {
    /// Lines `token,block,time`.
    ///
    /// The first line may be the header `token,block,time`. Fields may be quoted, and
    /// spaces around them are dropped. The time is a decimal number below 2^64.
    Csv,
    /// Lines `{"token":…,"block":…,"time":…}`, the fields in any order.
    ///
    /// Ids are strings, or numbers below 2^64. The time is a number below 2^64.
    JsonLines,
    /// 72 bytes a record: token, block, and time as a big-endian number.
    Raw,
}

impl Format {
    /// The format that a file's ending names: `.csv`, `.jsonl` or `.ndjson`, `.raw`
    /// or `.bin`.
    pub fn of_path(path: &Path) -> Option<Self> {
        let ending = path.extension().and_then(OsStr::to_str)?.to_ascii_lowercase();
        match ending.as_str() {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            "raw" | "bin" => Some(Self::Raw),
            _ => None,
        }
    }

    /// Whether an input of so many bytes can be whole records: better known before all of it
    /// was read.
    ///
    /// # Errors
    ///
    /// [`Error::BadInput`] if the last one is cut.
    pub fn check_len(self, name: &str, len: u64) -> Result<()> {
        if self == Self::Raw { raw::check_len(name, len) } else { Ok(()) }
    }
}

/// The records of an input, in its order.
#[derive(Debug)]
pub struct Records<R> {
    decoder: Decoder<R>,
    ended: bool,
}

#[derive(Debug)]
enum Decoder<R> {
    Csv { lines: Lines<R>, header_may_come: bool },
    JsonLines { lines: Lines<R> },
    Raw(raw::RawReader<R>),
}

impl<R: BufRead> Records<R> {
    /// The records that `reader` gives. `name` says in errors where they came from.
    pub fn new(format: Format, name: impl Into<String>, reader: R) -> Self {
        let decoder = match format {
            Format::Csv => Decoder::Csv { lines: Lines::new(name, reader), header_may_come: true },
            Format::JsonLines => Decoder::JsonLines { lines: Lines::new(name, reader) },
            Format::Raw => Decoder::Raw(raw::RawReader::new(name, reader)),
        };
        Self { decoder, ended: false }
    }
}

impl<R: BufRead> Decoder<R> {
    fn read(&mut self) -> Result<Option<Record>> {
        match self {
            Self::Csv { lines, header_may_come } => {
                let header_may_come = std::mem::take(header_may_come);
                let line = lines.parse_next(|line| {
                    if header_may_come && csv::is_header(line) {
                        Ok(None)
                    } else {
                        csv::record(line).map(Some)
                    }
                })?;
                match line {
                    Some(None) => lines.parse_next(csv::record),
                    line => Ok(line.flatten()),
                }
            }
            Self::JsonLines { lines } => lines.parse_next(json::record),
            Self::Raw(reader) => reader.read(),
        }
    }
}

impl<R: BufRead> Iterator for Records<R> {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.decoder.read().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

/// An I/O error of a reader, or the interruption that came as one.
fn read_error(name: &str, source: io::Error) -> Error {
    if source::was_stopped(&source) {
        Error::Interrupted
    } else {
        Error::Io { operation: "read", path: name.into(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_name_formats() {
        for (path, format) in [
            ("a.csv", Some(Format::Csv)),
            ("a.CSV", Some(Format::Csv)),
            ("x/b.jsonl", Some(Format::JsonLines)),
            ("b.ndjson", Some(Format::JsonLines)),
            ("c.raw", Some(Format::Raw)),
            ("c.bin", Some(Format::Raw)),
            ("c.csv.gz", None),
            ("csv", None),
            (".csv", None),
            ("-", None),
        ] {
            assert_eq!(Format::of_path(Path::new(path)), format, "{path}");
        }
    }

    fn count(format: Format, text: &str) -> Result<usize> {
        let mut count = 0;
        for record in Records::new(format, "test", text.as_bytes()) {
            record?;
            count += 1;
        }
        Ok(count)
    }

    #[test]
    fn a_header_is_taken_only_where_it_may_stand() {
        assert_eq!(count(Format::Csv, "token,block,time\n1,2,3\n").unwrap(), 1);
        assert_eq!(count(Format::Csv, "\n\"Token\", BLOCK ,time\r\n1,2,3").unwrap(), 1);
        assert_eq!(count(Format::Csv, "token,block,time\n").unwrap(), 0);
        assert_eq!(count(Format::Csv, "").unwrap(), 0);
        for text in ["1,2,3\ntoken,block,time\n", "token,block,time\ntoken,block,time\n"] {
            let error = count(Format::Csv, text).unwrap_err();
            assert!(matches!(error, Error::BadInput { number: 2, .. }), "{error}");
        }
        assert!(count(Format::Csv, "token,time,block\n").is_err());
    }

    #[test]
    fn the_first_error_ends_the_records() {
        for (format, text) in [
            (Format::Csv, "1,2,3\nbad\n4,5,6\n".to_string()),
            (Format::JsonLines, "{\"token\":1,\"block\":2,\"time\":3}\nbad\n{}".to_string()),
            (Format::Raw, "x".repeat(Record::LEN + 5)),
        ] {
            let mut records = Records::new(format, "test", text.as_bytes());
            assert!(records.next().unwrap().is_ok());
            assert!(matches!(records.next(), Some(Err(Error::BadInput { number: 2, .. }))));
            assert!(records.next().is_none());
            assert!(records.next().is_none());
        }
    }
}
