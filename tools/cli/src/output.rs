//! Data, on standard output.

use std::fmt::{self, Display};
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use ringstore::{BlockTime, Record, TokenId};
use ringstore_cli::input::{Format, write_record};
use serde::Serialize;

use crate::exit::Failure;

/// Standard output, as text or as JSON.
///
/// Text and JSON alike are whole lines. What is written is buffered: call
/// [`flush`](Self::flush).
pub(crate) struct Output {
    writer: BufWriter<StdoutLock<'static>>,
    json: bool,
    may_go_unread: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let writer = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        Self { writer, json, may_go_unread: false }
    }

    /// From here on it is no failure that the reader went away. For a command that is run for
    /// its verdict, which is the exit code: that goes on to the end, whoever reads its list.
    pub(crate) fn may_go_unread(&mut self) {
        self.may_go_unread = true;
    }

    /// Whether to write JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether what is written appears on a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.writer.get_ref().is_terminal()
    }

    /// Writes a line of text, or one object on a line of JSON.
    pub(crate) fn line(&mut self, text: impl Display, json: impl Serialize) -> Result<(), Failure> {
        if self.json { self.json_line(&json) } else { self.text(format_args!("{text}\n")) }
    }

    /// Writes a record: `token,block,time`, or an object.
    pub(crate) fn record(&mut self, token: &TokenId, value: &BlockTime) -> Result<(), Failure> {
        let format = if self.json { Format::JsonLines } else { Format::Csv };
        let written = write_record(&mut self.writer, format, &Record::new(*token, *value));
        self.written(written)
    }

    /// Writes text as it is.
    pub(crate) fn text(&mut self, text: fmt::Arguments<'_>) -> Result<(), Failure> {
        let written = self.writer.write_fmt(text);
        self.written(written)
    }

    /// Writes one object on a line of its own.
    pub(crate) fn json_line(&mut self, object: &impl Serialize) -> Result<(), Failure> {
        let written = serde_json::to_writer(&mut self.writer, object)
            .map_err(io::Error::from)
            .and_then(|()| self.writer.write_all(b"\n"));
        self.written(written)
    }

    /// Writes what is still buffered.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        let written = self.writer.flush();
        self.written(written)
    }

    fn written(&self, written: io::Result<()>) -> Result<(), Failure> {
        match written.map_err(Failure::Output) {
            Err(failure) if self.may_go_unread && failure.is_closed_pipe() => Ok(()),
            written => written,
        }
    }
}
