//! Records as they are written, which is one of the ways in which they are read.

use std::io::{self, Write};

use ringstore::{BlockId, Record, TokenId};
use serde::Serialize;

use super::Format;

/// Writes a record in any of the formats in which records are read.
///
/// # Errors
///
/// Those of the writer.
pub fn write_record(writer: &mut impl Write, format: Format, record: &Record) -> io::Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        token: &'a TokenId,
        block: &'a BlockId,
        time: u64,
    }

    let (token, block, time) = (&record.token, &record.block, record.time());
    match format {
        Format::Raw => writer.write_all(bytemuck::bytes_of(record)),
        Format::Csv => writeln!(writer, "{token},{block},{time}"),
        Format::JsonLines => {
            serde_json::to_writer(&mut *writer, &Line { token, block, time })?;
            writer.write_all(b"\n")
        }
    }
}
