//! Any bytes, read as CSV, JSON lines, raw records and operations, in pieces of any length.
//!
//! What is read is what a plain reader that has nothing in common with it reads, up to the
//! line at which both end; an error names that line; no byte behind a line is taken before
//! that is asked for, and of a line that is none no more than the longest one has. What is
//! made of records, in all the ways in which they may be written, is read as these records;
//! and what is written as `dump` writes it is read as what it was.

#![no_main]

use std::cell::Cell;
use std::io::{self, BufRead, Read};

use libfuzzer_sys::fuzz_target;
use ringstore::{Error, Record, Result};
use ringstore_cli::input::{
    Format, LINE_BYTES_MAX, Lines, Operation, Records, parse_operation, write_record,
};
use ringstore_fuzz::naive::{self, Item, Kind};
use ringstore_fuzz::texts::Input;

const NAME: &str = "fuzz";

/// A byte order mark, and the end of a line.
const AROUND_LINE: usize = 5;

fuzz_target!(|data: &[u8]| {
    if let Some(input) = Input::read(data) {
        run(&input);
    }
});

fn run(input: &Input) {
    let right = naive::read(input.kind, &input.text);
    check(input.kind, &input.text, input.pieces, &right);
    let items: Vec<_> = right.items.iter().map(|(item, _)| *item).collect();
    if let Some(made) = &input.made {
        assert!(right.wrong.is_none() && items == *made, "not what it was made of");
    }
    // As `dump` writes it.
    let records = items.iter().filter_map(|item| match item {
        Item::Put(record) | Item::Set(record) => Some(*record),
        Item::Remove(_) | Item::Commit => None,
    });
    let records: Vec<Record> = records.collect();
    for format in [Format::Csv, Format::JsonLines, Format::Raw] {
        let mut text = Vec::new();
        for record in &records {
            write_record(&mut text, format, record).expect("room for it");
        }
        let reader = Pieces::new(&text, [input.pieces[1], input.pieces[0]]);
        let read: Result<Vec<_>> = Records::new(format, NAME, reader).collect();
        assert!(read.expect("what was written") == records, "not what was written");
    }
}

/// Reads a text, and compares.
fn check(kind: Kind, text: &[u8], lengths: [u8; 2], right: &naive::Read) {
    let taken = Cell::new(0);
    let reader = Pieces { taken: Some(&taken), ..Pieces::new(text, lengths) };
    let mut reader = Reader::new(kind, reader);
    for (item, end) in &right.items {
        match reader.next() {
            Some(Ok(found)) => assert_eq!(found, *item),
            other => panic!("{other:?} instead of {item:?}"),
        }
        assert_eq!(taken.get(), *end, "bytes are taken line by line");
    }
    match (reader.next(), right.wrong) {
        (None, None) => assert_eq!(taken.get(), text.len(), "not all of it was read"),
        (Some(Err(Error::BadInput { source_name, text, number, reason })), Some((line, start))) => {
            assert_eq!((source_name.as_str(), text), (NAME, kind != Kind::Raw));
            assert_eq!(number, line, "{reason}");
            assert!(!reason.is_empty() && reason.len() < 2 * LINE_BYTES_MAX, "{reason}");
            assert!(taken.get() <= start + LINE_BYTES_MAX + AROUND_LINE, "it was not left off");
        }
        (found, wrong) => panic!("{found:?} at the end, where {wrong:?} is wrong"),
    }
    if kind != Kind::Operations {
        assert!(reader.next().is_none(), "an end, or an error, is the last");
    }
}

/// Whatever is read line by line.
enum Reader<'a> {
    Records(Records<Pieces<'a>>),
    Operations(Lines<Pieces<'a>>),
}

impl<'a> Reader<'a> {
    fn new(kind: Kind, reader: Pieces<'a>) -> Self {
        let format = match kind {
            Kind::Csv => Format::Csv,
            Kind::JsonLines => Format::JsonLines,
            Kind::Raw => Format::Raw,
            Kind::Operations => return Self::Operations(Lines::new(NAME, reader)),
        };
        Self::Records(Records::new(format, NAME, reader))
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<Operation>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Records(records) => records.next().map(|record| record.map(Operation::Put)),
            Self::Operations(lines) => lines.parse_next(parse_operation).transpose(),
        }
    }
}

/// A text that comes in pieces, with an interruption now and then, which means nothing.
struct Pieces<'a> {
    text: &'a [u8],
    lengths: [u8; 2],
    turn: usize,
    /// What is left of this piece.
    left: usize,
    taken: Option<&'a Cell<usize>>,
}

impl<'a> Pieces<'a> {
    fn new(text: &'a [u8], lengths: [u8; 2]) -> Self {
        Self { text, lengths, turn: 0, left: 0, taken: None }
    }
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            self.turn += 1;
            if self.turn.is_multiple_of(5) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            self.left = usize::from(self.lengths[self.turn % 2]) + 1;
        }
        self.left = self.left.min(self.text.len());
        Ok(&self.text[..self.left])
    }

    fn consume(&mut self, amount: usize) {
        self.text = &self.text[amount..];
        self.left -= amount;
        if let Some(taken) = self.taken {
            taken.set(taken.get() + amount);
        }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}
