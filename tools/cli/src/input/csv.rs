//! Lines of comma-separated values.
//!
//! None of the three fields can hold a comma, a quote or the end of a line. So a line
//! is a record, every comma parts fields, and quotes only stand around a field: all
//! of CSV that is needed, in bounded memory.

use ringstore::{BlockTime, Record};

pub(super) fn is_header(line: &str) -> bool {
    fields(line).map(str::to_ascii_lowercase).eq(["token", "block", "time"])
}

pub(super) fn record(line: &str) -> Result<Record, String> {
    let mut each = fields(line);
    let (Some(token), Some(block), Some(time), None) =
        (each.next(), each.next(), each.next(), each.next())
    else {
        return Err(format!(
            "expected the 3 fields token,block,time; found {}",
            fields(line).count()
        ));
    };
    let token = token.parse().map_err(|error| format!("token: {error}"))?;
    let block = block.parse().map_err(|error| format!("block: {error}"))?;
    let time = number(time).map_err(|error| format!("time: {error}"))?;
    Ok(Record::new(token, BlockTime::new(block, time)))
}

/// The fields, without the spaces and quotes around them.
fn fields(line: &str) -> impl Iterator<Item = &str> {
    line.split(',').map(|field| {
        let field = field.trim_ascii();
        field.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(field)
    })
}

fn number(text: &str) -> Result<u64, String> {
    // `parse` alone would also take a plus sign.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| {
        let start: String = text.chars().take(24).collect();
        let cut = if start.len() < text.len() { "…" } else { "" };
        format!("'{}{cut}' is no decimal number from 0 to {}", start.escape_debug(), u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use ringstore::{BlockId, TokenId};

    use super::*;

    #[test]
    fn fields_may_be_quoted_and_spaced() {
        let expected = Record::new(TokenId::from(1), BlockTime::new(BlockId::from(2), 3));
        let hex = format!("0x{}", TokenId::from(1));
        for line in
            ["1,2,3", "\"1\",\"2\",\"3\"", " 1 , \"2\" ,\t3 ", "01,002,0003", &format!("{hex},2,3")]
        {
            assert_eq!(record(line), Ok(expected), "{line}");
        }
        let last = record(&format!("1,2,{}", u64::MAX)).unwrap();
        assert_eq!(last.time(), u64::MAX);
    }

    #[test]
    fn reasons_name_the_field() {
        for (line, reason) in [
            ("1", "expected the 3 fields token,block,time; found 1"),
            ("1,2", "found 2"),
            ("1,2,3,", "found 4"),
            ("1,2,3,4", "found 4"),
            ("1;2;3", "found 1"),
            (",2,3", "token: an id has 64 hex digits"),
            ("abc,2,3", "token: an id has 64 hex digits"),
            ("1,,3", "block: an id has 64 hex digits"),
            (
                &format!("1,{}g,3", "0".repeat(63)),
                "block: 'g' at position 63 of the id is no hex digit",
            ),
            ("1,2,", "time: '' is no decimal number"),
            ("1,2,-1", "time: '-1' is no decimal number"),
            ("1,2,+1", "time: '+1' is no decimal number"),
            ("1,2,1.0", "time: '1.0' is no decimal number"),
            ("1,2,0x1", "time: '0x1' is no decimal number"),
            ("1,2,18446744073709551616", "time: '18446744073709551616' is no decimal number"),
            ("1,2,\"3", "time: '\\\"3' is no decimal number"),
            (&format!("1,2,{}", "9".repeat(1000)), "time: '999999999999999999999999…' is no"),
        ] {
            let found = record(line).unwrap_err();
            assert!(found.contains(reason), "{line}: {found}");
        }
    }
}
