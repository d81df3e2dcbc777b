//! `ringstore verify`.

use std::borrow::Cow;
use std::path::PathBuf;

use clap::Args;
use indicatif::HumanCount;
use ringstore::{Damage, Error, VerifyReport};
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::progress::Meter;
use crate::talk::say;

const AFTER_HELP: &str = "\
Reads every file of the store and compares checksums, the order of the tokens, and
every index with the records; and, where each layer is right in itself, whether what
it says of the layers below is true. Takes as long as reading the files. Prints what is
damaged, and the exit code is then 3.

Examples:
  ringstore verify my-store
  ringstore --json verify my-store";

/// Look for damage in a store.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Verify {
    /// Directory of the store.
    store: PathBuf,
}

#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    segments: u64,
    records: u64,
    bytes: u64,
    commits: u64,
    damages: Vec<DamageReport<'a>>,
}

#[derive(Serialize)]
struct DamageReport<'a> {
    path: Cow<'a, str>,
    part: &'a str,
    offset: u64,
    expected: &'a str,
    found: &'a str,
}

impl Verify {
    pub(crate) fn run(self, output: &mut Output) -> Result<Exit, Failure> {
        output.may_go_unread();
        let report = self.verify()?;
        output.line(text_of(&report), json_of(&report))?;
        if report.damages.is_empty() {
            return Ok(Exit::Done);
        }
        say(format_args!("{} is damaged in {} places", self.store.display(), report.damages.len()));
        Ok(Exit::Damage)
    }

    /// What there is to report. Damage that keeps a store from being opened is the first,
    /// and then the only one that is found.
    fn verify(&self) -> Result<VerifyReport, Failure> {
        match super::open(&self.store) {
            Err(Failure::Store(Error::Damaged(damage))) => {
                Ok(VerifyReport { damages: vec![*damage], ..VerifyReport::default() })
            }
            opened => {
                let store = opened?;
                let meter = Meter::new();
                Ok(store.verify(&|progress| meter.show_library(progress))?)
            }
        }
    }
}

fn text_of(report: &VerifyReport) -> String {
    let (records, segments, bytes) =
        (HumanCount(report.records), HumanCount(report.segments), HumanCount(report.bytes));
    let commits = match report.commits {
        0 => String::new(),
        commits => format!(" and {} commits in logs", HumanCount(commits)),
    };
    let checked =
        format!("{records} records in {segments} segments{commits} checked, {bytes} bytes");
    let verdict = match report.damages.len() {
        0 => "no damage".to_string(),
        count => format!("{count} damaged places"),
    };
    let damages = report.damages.iter().map(|damage| format!("{damage}\n"));
    damages.chain([format!("{checked}: {verdict}")]).collect()
}

fn json_of(report: &VerifyReport) -> Report<'_> {
    let VerifyReport { segments, records, bytes, commits, ref damages, .. } = *report;
    let damages: Vec<_> = damages.iter().map(damage_of).collect();
    Report { ok: damages.is_empty(), segments, records, bytes, commits, damages }
}

fn damage_of(damage: &Damage) -> DamageReport<'_> {
    let Damage { path, part, offset, expected, found } = damage;
    DamageReport { path: path.to_string_lossy(), part, offset: *offset, expected, found }
}
