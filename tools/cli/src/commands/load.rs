//! `ringstore load`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use clap::{Args, ValueEnum};
use indicatif::HumanCount;
use ringstore::{Error, LoadOptions, LoadReport, Options, Store};
use ringstore_cli::input::{Format, Records, Source, Watch};
use serde::Serialize;

use crate::directories::{Missing, remove_store};
use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::output::Output;
use crate::progress::Meter;
use crate::talk::say;

const AFTER_HELP: &str = "\
Reads the files one after the other, and creates the store if its directory is missing or
empty. The records may come in any order. Of records of the same token the newest counts;
of equally new ones that of the store, if it has the token, or else the first. All others
are reported as duplicates.

What is added to a store becomes a layer of its own. Others may read meanwhile, and see all
of it or nothing. `ringstore compact` makes one layer of all.

Formats:
  csv    lines token,block,time; a first line with these words may stand above
  jsonl  lines {\"token\":…,\"block\":…,\"time\":…}
  raw    72 bytes a record: token, block, time as a big-endian number
Ids are 64 hex digits, with or without 0x, or a decimal number below 2^64; the time is
a decimal number below 2^64. Lines end in \\n or \\r\\n, the last one need not; blank
lines are skipped.

A load that the memory has room for, 88 bytes a record, is the fastest. Of a larger one
the records are written to temporary files first, unless they come in order; 64 MiB are
enough for any. Temporary files have no names and are gone however the load ends.

The ending of a file says its format: .csv, .jsonl or .ndjson, .raw or .bin. If a line
is wrong, or at Ctrl-C, nothing is kept of any file, and a store that was there holds what
it held.

Examples:
  ringstore load my-store tokens.csv
  ringstore load my-store part1.raw part2.raw
  zcat tokens.csv.gz | ringstore load my-store - --format csv
  ringstore load my-store huge.raw --memory 8GiB --temp-dir /mnt/scratch";

/// Load tokens into a store, or into a new one.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Load {
    /// Directory of the store.
    store: PathBuf,

    /// Files to load; - is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Format of all files, whatever their endings.
    #[arg(long)]
    format: Option<FormatArg>,

    /// Memory to use, such as 500MB or 4GiB.
    #[arg(long, value_name = "BYTES", default_value_t = default_memory(), value_parser = memory)]
    memory: ByteSize,

    /// Directory for temporary files, where the memory has no room for all records;
    /// that of the store if nothing is said.
    #[arg(long, value_name = "DIRECTORY")]
    temp_dir: Option<PathBuf>,
}

fn default_memory() -> ByteSize {
    ByteSize(LoadOptions::MEMORY_BYTES_DEFAULT)
}

fn memory(text: &str) -> Result<ByteSize, &'static str> {
    text.parse().map_err(|_| "a number of bytes is written as 500MB, 4GiB or 4294967296")
}

#[derive(Clone, Copy, ValueEnum)]
enum FormatArg {
    Csv,
    #[value(alias = "ndjson", alias = "json")]
    Jsonl,
    #[value(alias = "bin")]
    Raw,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Csv => Self::Csv,
            FormatArg::Jsonl => Self::JsonLines,
            FormatArg::Raw => Self::Raw,
        }
    }
}

/// A file to load.
struct Input {
    source: Source,
    format: Format,
    /// Its length, where it has one.
    bytes: Option<u64>,
}

#[derive(Serialize)]
struct Report {
    read: u64,
    stored: u64,
    duplicates: u64,
    spilled: u64,
    /// Memory that this process had at most, all in all; `null` where that is not known.
    peak_memory_bytes: Option<u64>,
}

impl Load {
    pub(crate) fn run(self, output: &mut Output) -> Result<Exit, Failure> {
        let format = self.format.map(Format::from);
        let inputs: Vec<_> =
            self.files.iter().map(|file| Input::of_arg(file, format)).collect::<Result<_, _>>()?;
        if inputs.iter().filter(|input| input.source == Source::Stdin).count() > 1 {
            return Err(Failure::Usage("standard input can be read only once".to_string()));
        }
        interrupt::defer();
        let mut options = LoadOptions::new().memory_bytes(self.memory.as_u64());
        if let Some(directory) = &self.temp_dir {
            options = options.temporary_directory(directory);
        }
        let target = Target::open(&self.store)?;
        let LoadReport { read, stored, duplicates, spilled } = target.load(inputs, options)?;
        if output.is_json() {
            let peak_memory_bytes = peak_memory_bytes();
            output.json_line(&Report { read, stored, duplicates, spilled, peak_memory_bytes })?;
        } else {
            let [read, stored, duplicates] = [read, stored, duplicates].map(HumanCount);
            say(format_args!(
                "{stored} tokens stored in {}, {read} records read, {duplicates} duplicates",
                self.store.display()
            ));
        }
        Ok(Exit::Done)
    }
}

impl Input {
    /// Finds out what can be known before anything is created.
    fn of_arg(file: &Path, format: Option<Format>) -> Result<Self, Failure> {
        let source = Source::of_arg(file.to_path_buf());
        let Some(format) = format.or_else(|| Format::of_path(file)) else {
            return Err(Failure::Usage(format!(
                "the format of {source} is not known; give it with --format csv, jsonl or raw"
            )));
        };
        let mut bytes = None;
        if source != Source::Stdin {
            let metadata = fs::metadata(file).map_err(Failure::io("read", file))?;
            if metadata.is_dir() {
                return Err(Failure::io("read", file)(io::ErrorKind::IsADirectory.into()));
            }
            bytes = metadata.is_file().then_some(metadata.len());
            if let Some(bytes) = bytes {
                format.check_len(&source.to_string(), bytes)?;
            }
        }
        Ok(Self { source, format, bytes })
    }
}

/// The store to load into, and what to do if the load fails.
struct Target {
    store: Store,
    path: PathBuf,
    before: Before,
}

/// What was at the path before.
enum Before {
    /// Nothing; the directories that have to be made.
    Nothing(Missing),
    EmptyDirectory,
    Store,
}

impl Target {
    fn open(path: &Path) -> Result<Self, Failure> {
        let before = if path.exists() {
            Before::EmptyDirectory
        } else {
            Before::Nothing(Missing::above(path))
        };
        // Only who created a store may remove it, so `open_or_create` would say too little.
        let (store, before) = match Store::create(path, &Options::new()) {
            Err(exists @ Error::AlreadyExists { .. }) => match super::open_with_a_small_log(path) {
                Err(Failure::Store(Error::NotAStore { .. })) => return Err(exists.into()),
                opened => (opened?, Before::Store),
            },
            Err(error) => {
                before.remove_directories();
                return Err(error.into());
            }
            Ok(created) => (created, before),
        };
        Ok(Self { store, path: path.to_path_buf(), before })
    }

    /// Loads all inputs, or leaves everything as it was.
    fn load(self, inputs: Vec<Input>, options: LoadOptions<'_>) -> Result<LoadReport, Failure> {
        let Self { store, path, before } = self;
        let loaded = load(&store, inputs, options);
        if loaded.is_err() && !matches!(before, Before::Store) {
            // Before the store is closed: until then nobody else can have loaded into it.
            if let Err(error) = remove_store(&path) {
                say(format_args!("cannot remove {}: {error}", path.display()));
            }
            before.remove_directories();
        }
        let closed = store.close();
        let report = loaded?;
        closed?;
        Ok(report)
    }
}

impl Before {
    fn remove_directories(&self) {
        if let Self::Nothing(missing) = self {
            missing.remove();
        }
    }
}

fn load(store: &Store, inputs: Vec<Input>, options: LoadOptions<'_>) -> Result<LoadReport, Error> {
    let bytes = inputs.iter().map(|input| input.bytes).sum();
    let watch = Watch::new(interrupt::flag());
    let records = inputs.into_iter().flat_map(|Input { source, format, .. }| {
        let name = source.to_string();
        Records::new(format, name, source.read(watch.clone()))
    });
    let meter = Meter::new();
    store
        .bulk_load(records, &options.progress(&|progress| meter.show_load(progress, &watch, bytes)))
}

/// As Linux says it.
fn peak_memory_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    kibibytes.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without inputs nothing is read: what stops is the sorting.
    #[test]
    fn a_load_that_has_read_everything_stops_after_ctrl_c() {
        let test = "commands::load::tests::a_load_that_has_read_everything_stops_after_ctrl_c";
        interrupt::tests::after_ctrl_c(test, || {
            let directory = tempfile::tempdir().unwrap();
            let target = Target::open(&directory.path().join("a/new/store")).unwrap();
            let stopped = target.load(Vec::new(), LoadOptions::new());
            assert!(matches!(stopped, Err(Failure::Store(Error::Interrupted))));
            assert!(!directory.path().join("a").exists());
        });
    }
}
