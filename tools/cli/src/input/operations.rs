//! Lines of operations on a store.

use std::borrow::Cow;

use ringstore::{BlockId, BlockTime, Record, TokenId};
use serde::{Deserialize, Deserializer};

use super::json::{Id, parse_json};

/// What a line asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// To map a token to a value, whatever is there.
    Put(Record),
    /// To map a token to a value where it is absent or the value strictly newer.
    Set(Record),
    /// To remove a token.
    Remove(TokenId),
    /// To make what the lines since the last commit asked for.
    Commit,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(default, deserialize_with = "given")]
    token: Option<Id<TokenId>>,
    #[serde(default, deserialize_with = "given")]
    block: Option<Id<BlockId>>,
    #[serde(default, deserialize_with = "given")]
    time: Option<u64>,
}

/// A field that may be left out, but is no `null`.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(field: D) -> Result<Option<T>, D::Error> {
    T::deserialize(field).map(Some)
}

/// Parses a line `{"op":"put","token":…,"block":…,"time":…}`, where `op` is `put`, `set`,
/// `remove` or `commit`, for [`Lines::parse_next`](super::Lines::parse_next).
///
/// A removal needs only the token. It may have a block and a time, which do not matter, so
/// that all operations can be written alike.
///
/// # Errors
///
/// What is wrong with it.
pub fn parse_operation(line: &str) -> Result<Operation, String> {
    let Line { op, token, block, time } = parse_json(line)?;
    let is_bare = token.is_none() && block.is_none() && time.is_none();
    let token = || token.map(|id| id.0).ok_or_else(|| missing(&op, "token"));
    let record = || {
        let token = token()?;
        let block = block.ok_or_else(|| missing(&op, "block"))?.0;
        let time = time.ok_or_else(|| missing(&op, "time"))?;
        Ok(Record::new(token, BlockTime::new(block, time)))
    };
    match op.as_ref() {
        "put" => record().map(Operation::Put),
        "set" => record().map(Operation::Set),
        "remove" => token().map(Operation::Remove),
        "commit" if is_bare => Ok(Operation::Commit),
        "commit" => Err("a commit has no other fields".to_string()),
        _ => Err(format!("unknown operation `{op}`, expected put, set, remove or commit")),
    }
}

fn missing(op: &str, field: &str) -> String {
    format!("missing field `{field}`, which a {op} needs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_its_line() {
        let record = Record::new(TokenId::from(1), BlockTime::new(BlockId::from(2), 3));
        let hex = TokenId::from(1).to_string();
        for (line, expected) in [
            (r#"{"op":"put","token":1,"block":2,"time":3}"#, Operation::Put(record)),
            (r#" { "time":3 , "block":"2", "token":"1", "op":"set" } "#, Operation::Set(record)),
            (r#"{"op":"\u0070ut","token":1,"block":2,"time":3}"#, Operation::Put(record)),
            (r#"{"op":"remove","token":1}"#, Operation::Remove(record.token)),
            (&format!(r#"{{"token":"0x{hex}","op":"remove"}}"#), Operation::Remove(record.token)),
            (r#"{"op":"remove","token":1,"block":2,"time":3}"#, Operation::Remove(record.token)),
            (r#"{"op":"commit"}"#, Operation::Commit),
        ] {
            assert_eq!(parse_operation(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn reasons_name_what_is_wrong() {
        for (line, reason) in [
            ("{}", "column 2: missing field `op`"),
            (r#"{"op":"frob"}"#, "unknown operation `frob`, expected put, set, remove or commit"),
            (r#"{"op":"PUT","token":1,"block":2,"time":3}"#, "unknown operation `PUT`"),
            (r#"{"op":""}"#, "unknown operation ``"),
            (r#"{"op":1}"#, "invalid type: integer `1`, expected a string"),
            (r#"{"op":null}"#, "invalid type: null, expected a string"),
            (r#"{"op":{"commit":null}}"#, "invalid type: map, expected a string"),
            (r#"["commit"]"#, "column 1: invalid type: sequence, expected an object"),
            (r#"["put",1,2,3]"#, "invalid type: sequence"),
            (r#""commit""#, "invalid type: string"),
            (r#"{"op":"put","op":"put"}"#, "duplicate field `op`"),
            (r#"{"op":"put","block":2,"time":3}"#, "missing field `token`, which a put needs"),
            (r#"{"op":"put","token":1,"time":3}"#, "missing field `block`, which a put needs"),
            (r#"{"op":"set","token":1,"block":2}"#, "missing field `time`, which a set needs"),
            (r#"{"op":"remove"}"#, "missing field `token`, which a remove needs"),
            (r#"{"op":"commit","token":1}"#, "a commit has no other fields"),
            (r#"{"op":"commit","block":1}"#, "a commit has no other fields"),
            (r#"{"op":"commit","time":1}"#, "a commit has no other fields"),
            (r#"{"op":"commit","more":1}"#, "unknown field `more`"),
            (r#"{"op":"remove","token":null}"#, "invalid type: null, expected an id"),
            (r#"{"op":"remove","token":1,"time":null}"#, "invalid type: null, expected u64"),
            (r#"{"op":"remove","token":1,"block":"x"}"#, "an id has 64 hex digits"),
            (r#"{"op":"remove","token":"12ab"}"#, "an id has 64 hex digits"),
            (r#"{"op":"put","token":1,"block":2,"time":-3}"#, "integer `-3`, expected u64"),
            (r#"{"op":"commit"} {"op":"commit"}"#, "column 17: trailing characters"),
            (r#"{"op":"commit""#, "column 14: EOF"),
        ] {
            let found = parse_operation(line).unwrap_err();
            assert!(found.contains(reason), "{line}: {found}");
        }
    }
}
