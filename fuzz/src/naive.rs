//! Texts of records and of operations, read plainly: all of the text at once, each line by
//! itself, each character once. Shares nothing with `ringstore_cli::input`.

use ringstore::{BlockId, BlockTime, Record, TokenId};
use ringstore_cli::input::{LINE_BYTES_MAX, Operation};

/// How a text is to be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Csv,
    JsonLines,
    Raw,
    Operations,
}

/// What is read: a record is what is put.
pub type Item = Operation;

/// What a text says.
#[derive(Default)]
pub struct Read {
    /// Items, and where in the text each one ends with its line.
    pub items: Vec<(Item, usize)>,
    /// The number of the line, or record, at which reading ends because it is none, and where
    /// it begins.
    pub wrong: Option<(u64, usize)>,
}

pub fn read(kind: Kind, text: &[u8]) -> Read {
    let mut read = Read::default();
    if kind == Kind::Raw {
        let (records, rest) = text.as_chunks::<{ Record::LEN }>();
        let ends = (1..).map(|number| number * Record::LEN);
        read.items = records.iter().map(raw).zip(ends).collect();
        let number = records.len() as u64 + 1;
        read.wrong = (!rest.is_empty()).then_some((number, text.len() - rest.len()));
        return read;
    }
    let mut header_may_come = kind == Kind::Csv;
    let mut end = 0;
    for (number, with_end) in (1..).zip(text.split_inclusive(|byte| *byte == b'\n')) {
        let start = end;
        end += with_end.len();
        let mut line = match with_end {
            [line @ .., b'\r', b'\n'] | [line @ .., b'\n'] | line => line,
        };
        if number == 1 && line.starts_with(&[0xef, 0xbb, 0xbf]) {
            line = &line[3..];
        }
        let is_blank = line.iter().all(|byte| is_space(*byte));
        if is_blank && line.len() <= LINE_BYTES_MAX {
            continue;
        }
        let text = std::str::from_utf8(line).ok();
        let text = text.filter(|text| text.len() <= LINE_BYTES_MAX && !text.contains('\0'));
        let is_first = std::mem::take(&mut header_may_come);
        if is_first && text.is_some_and(is_header) {
            continue;
        }
        let item = text.and_then(|text| match kind {
            Kind::Csv => csv(text),
            Kind::JsonLines => object(text, false),
            Kind::Operations => object(text, true),
            Kind::Raw => None,
        });
        match item {
            Some(item) => read.items.push((item, end)),
            None => {
                read.wrong = Some((number, start));
                break;
            }
        }
    }
    read
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)
}

fn raw(bytes: &[u8; Record::LEN]) -> Item {
    let at = |from: usize| std::array::from_fn(|index| bytes[from + index]);
    let time = bytes[64..].iter().fold(0, |time: u64, byte| time << 8 | u64::from(*byte));
    Item::Put(Record::new(TokenId(at(0)), BlockTime::new(BlockId(at(32)), time)))
}

fn fields(line: &str) -> Vec<&str> {
    let bare = |field: &str| {
        let start = field.bytes().take_while(|byte| is_space(*byte)).count();
        let end = field.bytes().rev().take_while(|byte| is_space(*byte)).count();
        start..(field.len() - end).max(start)
    };
    let bare = line.split(',').map(|field| &field[bare(field)]);
    bare.map(|field| match field.len() {
        2.. if field.starts_with('"') && field.ends_with('"') => &field[1..field.len() - 1],
        _ => field,
    })
    .collect()
}

fn is_header(line: &str) -> bool {
    let fields = fields(line);
    fields.len() == 3
        && fields
            .iter()
            .zip(["token", "block", "time"])
            .all(|(field, name)| field.len() == name.len() && field.to_ascii_lowercase() == name)
}

fn csv(line: &str) -> Option<Item> {
    let [token, block, time] = fields(line)[..] else { return None };
    let value = BlockTime::new(BlockId(id(block)?), number(time)?);
    Some(Item::Put(Record::new(TokenId(id(token)?), value)))
}

/// Digits, as many as there are, below 2^64.
fn number(text: &str) -> Option<u64> {
    let mut number = 0u64;
    for digit in text.chars() {
        number = number.checked_mul(10)?.checked_add(digit.to_digit(10)?.into())?;
    }
    (!text.is_empty()).then_some(number)
}

/// 64 hex digits, perhaps behind `0x`; or up to twenty decimal ones.
fn id(text: &str) -> Option<[u8; 32]> {
    let mut id = [0; 32];
    let hex = text.strip_prefix("0x").unwrap_or(text);
    if hex.len() != 64 {
        let number = number(text).filter(|_| text.len() <= 20)?;
        id[24..].copy_from_slice(&number.to_be_bytes());
        return Some(id);
    }
    for (place, digit) in hex.chars().enumerate() {
        id[place / 2] = id[place / 2] << 4 | digit.to_digit(16)? as u8;
    }
    Some(id)
}

/// A value in JSON, of those that are of any use.
enum Value {
    Text(String),
    Number(u64),
}

impl Value {
    fn id(&self) -> Option<[u8; 32]> {
        match self {
            Self::Text(text) => id(text),
            Self::Number(number) => id(&number.to_string()),
        }
    }
}

/// A record, or an operation: an object of each field once, in any order.
fn object(line: &str, has_operation: bool) -> Option<Item> {
    let mut rest = line.chars().peekable();
    let rest = &mut rest;
    let (mut op, mut token, mut block, mut time) = (None, None, None, None);
    expect(rest, '{')?;
    let mut is_first = true;
    while peek(rest)? != '}' {
        if !is_first {
            expect(rest, ',')?;
        }
        is_first = false;
        let name = string(rest)?;
        expect(rest, ':')?;
        let value = value(rest)?;
        let was_there = match (name.as_str(), value) {
            ("op", Value::Text(text)) if has_operation => op.replace(text).is_some(),
            ("token", value) => token.replace(value.id()?).is_some(),
            ("block", value) => block.replace(value.id()?).is_some(),
            ("time", Value::Number(number)) => time.replace(number).is_some(),
            _ => return None,
        };
        if was_there {
            return None;
        }
    }
    expect(rest, '}')?;
    if peek(rest).is_some() {
        return None;
    }
    let record = || Some(Record::new(TokenId(token?), BlockTime::new(BlockId(block?), time?)));
    match op.as_deref() {
        None => record().filter(|_| !has_operation).map(Item::Put),
        Some("put") => record().map(Item::Put),
        Some("set") => record().map(Item::Set),
        Some("remove") => token.map(|token| Item::Remove(TokenId(token))),
        Some("commit") => {
            (token.is_none() && block.is_none() && time.is_none()).then_some(Item::Commit)
        }
        Some(_) => None,
    }
}

type Rest<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// The next character that is no space.
fn peek(rest: &mut Rest<'_>) -> Option<char> {
    while rest.next_if(|c| matches!(c, ' ' | '\t' | '\r' | '\n')).is_some() {}
    rest.peek().copied()
}

fn expect(rest: &mut Rest<'_>, expected: char) -> Option<()> {
    (peek(rest)? == expected).then(|| _ = rest.next())
}

/// A string. One with characters in it that no field has is none.
fn string(rest: &mut Rest<'_>) -> Option<String> {
    expect(rest, '"')?;
    let mut text = String::new();
    loop {
        match rest.next()? {
            '"' => return Some(text),
            '\\' => {
                let escape = rest.next().filter(|escape| *escape == 'u').map(|_| {
                    (0..4).try_fold(0, |code, _| Some(code << 4 | rest.next()?.to_digit(16)?))
                });
                text.push(char::from_u32(escape??).filter(char::is_ascii_alphanumeric)?);
            }
            c => text.push(Some(c).filter(char::is_ascii_alphanumeric)?),
        }
    }
}

fn value(rest: &mut Rest<'_>) -> Option<Value> {
    if peek(rest)? == '"' {
        return string(rest).map(Value::Text);
    }
    let mut digits = String::new();
    while let Some(digit) = rest.next_if(char::is_ascii_digit) {
        digits.push(digit);
    }
    let is_number = digits == "0" || !digits.starts_with('0');
    let ends = matches!(peek(rest)?, ',' | '}');
    number(&digits).filter(|_| is_number && ends).map(Value::Number)
}
