//! Lines of JSON objects.

use std::fmt;
use std::str::FromStr;

use ringstore::{BlockId, BlockTime, InvalidId, Record, TokenId};
use serde::de::{self, Deserialize, Deserializer, Visitor};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    token: Id<TokenId>,
    block: Id<BlockId>,
    time: u64,
}

pub(super) fn record(line: &str) -> Result<Record, String> {
    let Line { token, block, time } = parse_json(line)?;
    Ok(Record::new(token.0, BlockTime::new(block.0, time)))
}

/// Parses one line that is a JSON object, for [`Lines::parse_next`](super::Lines::parse_next).
///
/// # Errors
///
/// What is wrong with it, and at which column.
pub fn parse_json<'a, T: Deserialize<'a>>(line: &'a str) -> Result<T, String> {
    let parsed = serde_json::from_str(line).map_err(|error| {
        // Lines are counted by who read this one.
        let place = format!(" at line {} column {}", error.line(), error.column());
        let text = error.to_string();
        match text.strip_suffix(&place) {
            Some(reason) => format!("column {}: {reason}", error.column()),
            None => text,
        }
    })?;
    // Fields without names, in the order in which they happen to be declared, would do too.
    match line.find(|c: char| !c.is_ascii_whitespace()) {
        Some(start) if line[start..].starts_with('[') => {
            Err(format!("column {}: invalid type: sequence, expected an object", start + 1))
        }
        _ => Ok(parsed),
    }
}

/// An id as a string, or as a number below 2^64.
#[derive(Clone, Copy)]
pub(super) struct Id<T>(pub(super) T);

impl<'de, T: FromStr<Err = InvalidId> + From<u64>> Deserialize<'de> for Id<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor<T>(std::marker::PhantomData<T>);

        impl<T: FromStr<Err = InvalidId> + From<u64>> Visitor<'_> for IdVisitor<T> {
            type Value = Id<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id: 64 hex digits in quotes, or a number below 2^64")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Id<T>, E> {
                text.parse().map(Id).map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, id: u64) -> Result<Id<T>, E> {
                Ok(Id(T::from(id)))
            }
        }

        deserializer.deserialize_any(IdVisitor(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_in_any_order() {
        let expected = Record::new(TokenId::from(1), BlockTime::new(BlockId::from(2), 3));
        for line in [
            &format!(
                r#"{{"token":"{}","block":"0x{}","time":3}}"#,
                TokenId::from(1),
                TokenId::from(2)
            ),
            r#" { "time" : 3, "block" : "2" , "token" : 1 } "#,
        ] {
            assert_eq!(record(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn reasons_name_the_field_or_the_column() {
        for (line, reason) in [
            ("{}", "missing field `token`"),
            (r#"{"token":1,"block":2}"#, "missing field `time`"),
            (r#"{"token":1,"block":2,"time":3,"more":4}"#, "unknown field `more`"),
            (r#"{"token":1,"token":1,"block":2,"time":3}"#, "duplicate field `token`"),
            (r#"{"token":"12ab","block":2,"time":3}"#, "an id has 64 hex digits"),
            (r#"{"token":-1,"block":2,"time":3}"#, "expected an id: 64 hex digits"),
            (r#"{"token":1.5,"block":2,"time":3}"#, "expected an id: 64 hex digits"),
            (
                r#"{"token":18446744073709551616,"block":2,"time":3}"#,
                "expected an id: 64 hex digits",
            ),
            (r#"{"token":1,"block":null,"time":3}"#, "expected an id: 64 hex digits"),
            (r#"{"token":1,"block":2,"time":-3}"#, "invalid value: integer `-3`, expected u64"),
            (r#"{"token":1,"block":2,"time":18446744073709551616}"#, "expected u64"),
            (r#"{"token":1,"block":2,"time":"3"}"#, "invalid type: string \"3\", expected u64"),
            (r#"{"token":1,"block":2,"time":3} {}"#, "column 32: trailing characters"),
            ("[1,2,3", "column 6: EOF while parsing a list"),
            (" [1,2,3]", "column 2: invalid type: sequence, expected an object"),
            ("1,2,3", "column 1: invalid type: integer `1`"),
        ] {
            let found = record(line).unwrap_err();
            assert!(found.contains(reason), "{line}: {found}");
            assert!(!found.contains("line"), "{line}: {found}");
        }
    }
}
