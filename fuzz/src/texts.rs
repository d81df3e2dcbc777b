//! The input of `import_text`: a text, and in which pieces it is read.
//!
//! A head of four bytes, then the text, or what texts are [made of](Line).
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 1 | bits 0 and 1: CSV, JSON lines, raw records or operations; bit 2: lines that are made, not a text; bit 3: some bytes of it are changed |
//! | 1 | 1 | bit 0: a byte order mark; bit 1: a header; bit 2: no end of the last line |
//! | 2 | 2 | lengths of the pieces, by turns |
//!
//! A change is of three bytes at the end of the input: an offset (2, little-endian) and what
//! to write there; there are as many as the two lowest bits of the second length say.

use std::fmt::Write;

use arbitrary::{Arbitrary, Unstructured};
use ringstore::{BlockId, BlockTime, Record, TokenId};

use crate::naive::{Item, Kind};

const HEAD_LEN: usize = 4;
const CHANGE_LEN: usize = 3;

/// What to read.
pub struct Input {
    pub kind: Kind,
    pub text: Vec<u8>,
    /// What it was made of, unless it was changed since, or is a text of its own.
    pub made: Option<Vec<Item>>,
    /// Lengths of the pieces in which it comes.
    pub pieces: [u8; 2],
}

impl Input {
    /// The input that these bytes say; `None` if they are too few.
    pub fn read(data: &[u8]) -> Option<Self> {
        let (&[options, marks, one, other], mut rest) = data.split_first_chunk::<HEAD_LEN>()?;
        let kind = match options & 3 {
            0 => Kind::Csv,
            1 => Kind::JsonLines,
            2 => Kind::Raw,
            _ => Kind::Operations,
        };
        let pieces = [one, other];
        if options & 4 == 0 {
            return Some(Self { kind, text: rest.to_vec(), made: None, pieces });
        }
        let mut changes: &[[u8; CHANGE_LEN]] = &[];
        if options & 8 != 0 {
            let count = usize::from(other & 3) + 1;
            let at = rest.len().checked_sub(CHANGE_LEN * count)?;
            let (lines, end) = rest.split_at(at);
            (rest, changes) = (lines, end.as_chunks().0);
        }
        let lines = Vec::<Line>::arbitrary_take_rest(Unstructured::new(rest)).ok()?;
        let made = lines.iter().map(|line| line.item(kind)).collect();
        let mut text = text(kind, marks, &lines);
        for &[low, high, byte] in changes {
            let at = usize::from(u16::from_le_bytes([low, high])).checked_rem(text.len());
            at.into_iter().for_each(|at| text[at] = byte);
        }
        Some(Self { kind, text, made: Some(made).filter(|_| changes.is_empty()), pieces })
    }

    /// The bytes of an input that has a text in it.
    pub fn of_text(kind: u8, pieces: [u8; 2], text: &[u8]) -> Vec<u8> {
        [&[kind, 0], pieces.as_slice(), text].concat()
    }

    /// The bytes of an input of which lines are made.
    pub fn of_lines(kind: u8, marks: u8, pieces: [u8; 2], bytes: &[u8]) -> Vec<u8> {
        [&[kind | 4, marks], pieces.as_slice(), bytes].concat()
    }
}

/// A well-formed line, written in one of the ways in which one may be.
#[derive(Arbitrary, Debug)]
struct Line {
    operation: u8,
    token: Id,
    block: Id,
    time: u64,
    /// Decides one thing after the other, two bits at a time.
    style: u64,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Id {
    Number(u64),
    Bytes([u8; 32]),
}

impl Id {
    fn bytes(self) -> [u8; 32] {
        match self {
            Self::Number(number) => TokenId::from(number).0,
            Self::Bytes(bytes) => bytes,
        }
    }

    /// In one of the ways in which it can be written.
    fn write(self, style: &mut Style) -> String {
        let hex: String =
            self.bytes().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        match (style.next(), self) {
            (0, Self::Number(number)) => number.to_string(),
            (1, Self::Number(number)) => format!("{number:020}"),
            (2, _) => hex.to_ascii_uppercase(),
            (3, _) => format!("0x{hex}"),
            _ => hex,
        }
    }
}

struct Style(u64);

impl Style {
    fn next(&mut self) -> u64 {
        let next = self.0 & 3;
        self.0 = self.0.rotate_right(2);
        next
    }

    fn space(&mut self) -> &'static str {
        ["", "", " ", "\t "][self.next() as usize]
    }
}

impl Line {
    fn record(&self) -> Record {
        let value = BlockTime::new(BlockId(self.block.bytes()), self.time);
        Record::new(TokenId(self.token.bytes()), value)
    }

    fn item(&self, kind: Kind) -> Item {
        let record = self.record();
        match self.operation % 4 {
            _ if kind != Kind::Operations => Item::Put(record),
            0 => Item::Put(record),
            1 => Item::Set(record),
            2 => Item::Remove(record.token),
            _ => Item::Commit,
        }
    }

    fn csv(&self, style: &mut Style) -> String {
        let time = [self.time.to_string(), format!("{:030}", self.time)];
        let fields = [
            self.token.write(style),
            self.block.write(style),
            time[style.next() as usize % 2].clone(),
        ];
        let written = fields.map(|field| {
            let quote = ["", "\""][style.next() as usize % 2];
            format!("{}{quote}{field}{quote}{}", style.space(), style.space())
        });
        written.join(",")
    }

    /// Fields in any order.
    fn object(&self, item: &Item, has_operation: bool, style: &mut Style) -> String {
        let mut fields = Vec::new();
        let id = |id: Id, style: &mut Style| match (style.next(), id) {
            (0, Id::Number(number)) => number.to_string(),
            _ => quoted(&id.write(style), style),
        };
        let op = match item {
            Item::Put(_) => "put",
            Item::Set(_) => "set",
            Item::Remove(_) => "remove",
            Item::Commit => "commit",
        };
        if has_operation {
            fields.push(("op", quoted(op, style)));
        }
        if *item != Item::Commit {
            fields.push(("token", id(self.token, style)));
        }
        let may_be_left_out = matches!(item, Item::Remove(_));
        if matches!(item, Item::Put(_) | Item::Set(_)) || may_be_left_out && style.next() == 0 {
            fields.push(("block", id(self.block, style)));
            fields.push(("time", self.time.to_string()));
        }
        for end in (1..fields.len()).rev() {
            fields.swap(end, style.next() as usize % (end + 1));
        }
        let mut line = format!("{}{{", style.space());
        for (index, (name, value)) in fields.into_iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let name = quoted(name, style);
            let (before, after) = (style.space(), style.space());
            write!(line, "{comma}{before}{name}{after}:{before}{value}{after}").expect("a string");
        }
        line + "}" + style.space()
    }
}

/// A string, perhaps with one of its characters escaped.
fn quoted(text: &str, style: &mut Style) -> String {
    let escaped = |c: char| format!("\\u{:04x}", u32::from(c));
    let first = text.chars().next().filter(|_| style.next() == 3);
    match first {
        Some(first) => format!("\"{}{}\"", escaped(first), &text[1..]),
        None => format!("\"{text}\""),
    }
}

/// The text that lines make.
fn text(kind: Kind, marks: u8, lines: &[Line]) -> Vec<u8> {
    if kind == Kind::Raw {
        let bytes = |line: &Line| {
            let record = line.record();
            [record.token.0, record.block.0].concat().into_iter().chain(record.time().to_be_bytes())
        };
        return lines.iter().flat_map(bytes).collect();
    }
    let mut text = String::new();
    if marks & 1 != 0 {
        text.push('\u{feff}');
    }
    if marks & 2 != 0 && kind == Kind::Csv {
        text.push_str("Token, \"block\",TIME\n");
    }
    for line in lines {
        let style = &mut Style(line.style);
        text.push_str(["", "", "\n", " \t\r\n"][style.next() as usize]);
        text += &match kind {
            Kind::Csv => line.csv(style),
            _ => line.object(&line.item(kind), kind == Kind::Operations, style),
        };
        text.push_str(["\n", "\n", "\n", "\r\n"][style.next() as usize]);
    }
    if marks & 4 != 0 {
        text.truncate(text.trim_end_matches(['\n', '\r']).len());
    }
    text.into_bytes()
}
