//! `ringstore generate`.

use std::borrow::Cow;
use std::fs;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{HumanBytes, HumanCount};
use ringstore_cli::input::{Format, write_record};
use serde::Serialize;
use tempfile::NamedTempFile;

use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::output::Output;
use crate::progress::{Meter, Unit};
use crate::random::RandomRecords;
use crate::talk::say;

const AFTER_HELP: &str = "\
The ending of the file says what is written: .raw or .bin 72 bytes a record, .csv lines
token,block,time, .jsonl or .ndjson JSON lines. Every byte of token, block and time is
random. The same seed gives the same records on every machine and in every version,
and fewer tokens of a seed are the first ones of more. A file of that name is replaced
once all is written.

Examples:
  ringstore generate --tokens 1000000 --out tokens.raw
  ringstore generate --tokens 1000 --seed 7 --out tokens.csv";

/// Write a file of random tokens.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Generate {
    /// How many tokens.
    #[arg(long, value_name = "N")]
    tokens: u64,

    /// Which of 2^64 different files.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,

    /// File to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Serialize)]
struct Report<'a> {
    tokens: u64,
    seed: u64,
    file: Cow<'a, str>,
    bytes: u64,
}

impl Generate {
    pub(crate) fn run(self, output: &mut Output) -> Result<Exit, Failure> {
        let out = &self.out;
        let Some(format) = Format::of_path(out) else {
            return Err(Failure::Usage(format!(
                "the ending of {} names no format; use .raw, .csv or .jsonl",
                out.display()
            )));
        };
        // A rename onto a device would replace it.
        if fs::metadata(out).is_ok_and(|there| !there.is_file()) {
            return Err(Failure::Usage(format!("{} exists and is not a file", out.display())));
        }
        interrupt::defer();
        let bytes = self.write(format)?;
        if output.is_json() {
            let Self { tokens, seed, .. } = self;
            output.json_line(&Report { tokens, seed, file: out.to_string_lossy(), bytes })?;
        } else {
            let (tokens, bytes) = (HumanCount(self.tokens), HumanBytes(bytes));
            say(format_args!("{tokens} tokens written to {}, {bytes}", out.display()));
        }
        Ok(Exit::Done)
    }

    /// Writes under a temporary name, which goes if anything fails, and renames.
    fn write(&self, format: Format) -> Result<u64, Failure> {
        let out = &self.out;
        let directory = match out.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let file = temporary_file(directory).map_err(Failure::io("create a file in", directory))?;
        let mut writer = BufWriter::with_capacity(1 << 16, file);
        let meter = Meter::new();
        for (done, record) in (0..self.tokens).zip(RandomRecords::new(self.seed)) {
            if done % 4096 == 0 {
                interrupt::check()?;
                meter.show("writing", Unit::Records, done, Some(self.tokens));
            }
            write_record(&mut writer, format, &record).map_err(Failure::io("write", out))?;
        }
        let file =
            writer.into_inner().map_err(|error| Failure::io("write", out)(error.into_error()))?;
        let bytes = file.as_file().metadata().map_err(Failure::io("read", out))?.len();
        interrupt::check()?;
        file.persist(out).map_err(|error| Failure::io("rename a file to", out)(error.error))?;
        Ok(bytes)
    }
}

fn temporary_file(directory: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".ringstore-generate-");
    // As any new file: the process's mask decides who may read it.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(directory)
}
