//! `ringstore salvage`.

use std::ops::Bound;
use std::path::PathBuf;

use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use indicatif::HumanCount;
use ringstore::{Loss, SalvageReport, TokenId};
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::output::Output;
use crate::progress::Meter;
use crate::talk::say;

const AFTER_HELP: &str = "\
Copies every record that still checks out to a new store, and lists what was lost. One
wrong byte costs the records of one chunk of 4 KiB, 57 or 58 of them. Nothing of STORE is
changed; DEST must not exist, or be an empty directory.

Where an entry of an upper layer or of a log was lost, an older value of its token may
come back, or a token that had been removed: the list says where.

Without a MANIFEST, or with one that is damaged, older than the files or of another store,
all files in the directory that belong together are taken, the higher their number the
newer. A whole segment that came later than the MANIFEST is listed, but not read: a crash
may have left it. If that MANIFEST is an old copy, move it away and do it again.

If anything was lost, the exit code is 3; DEST is there all the same, with the rest. If
anything goes wrong before DEST is complete, or at Ctrl-C, nothing is left of it. A salvage
that is killed may leave an empty store: remove it. If the list cannot be written, as on a
full disk, the exit code is 5, and DEST is there.

With --json the list has whole tokens, and the numbers of frames that were lost of logs.

Examples:
  ringstore salvage my-store rescued
  ringstore --json salvage my-store rescued > losses.json";

/// Rescue what is left of a damaged store into a new one.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Salvage {
    /// Directory of the damaged store.
    store: PathBuf,

    /// Directory of the new store.
    #[arg(value_name = "DEST")]
    destination: PathBuf,
}

#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    #[serde(flatten)]
    report: &'a SalvageReport,
}

impl Salvage {
    pub(crate) fn run(self, output: &mut Output) -> Result<Exit, Failure> {
        output.may_go_unread();
        interrupt::defer();
        let meter = Meter::new();
        let show = |progress| meter.show_library(progress);
        let report = ringstore::salvage(&self.store, &self.destination, &show)?;
        let ok = report.is_complete();
        output.line(text_of(&report), Report { ok, report: &report })?;
        if ok {
            return Ok(Exit::Done);
        }
        say(format_args!(
            "{} is damaged; what is left of it is in {}",
            self.store.display(),
            self.destination.display()
        ));
        Ok(Exit::Damage)
    }
}

fn text_of(report: &SalvageReport) -> String {
    let SalvageReport { rescued, tokens, manifest, losses, .. } = report;
    let mut lines = Vec::new();
    if let Some(reason) = manifest {
        lines.push(format!("no manifest, so all files were taken: {reason}"));
    }
    if !losses.is_empty() {
        lines.push(table_of(losses).to_string());
    }
    let lost = match (report.lost(), losses.iter().all(|loss| loss.is_exact)) {
        (0, true) => "nothing".to_string(),
        (lost, true) => format!("{} entries", HumanCount(lost)),
        (lost, false) => format!("up to {} entries", HumanCount(lost)),
    };
    let [tokens, rescued] = [*tokens, *rescued].map(HumanCount);
    lines.push(format!("{tokens} tokens of {rescued} entries rescued, {lost} lost"));
    lines.join("\n")
}

fn table_of(losses: &[Loss]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(["file", "part", "bytes", "lost", "tokens", "older values", "why"]);
    for loss in losses {
        let at_most = if loss.is_exact { "" } else { "≤ " };
        table.add_row([
            loss.file.clone(),
            loss.part.to_string(),
            format!("{}–{}", loss.bytes.start, loss.bytes.end),
            format!("{at_most}{}", HumanCount(loss.records)),
            keys_of(loss),
            if loss.may_revert { "maybe" } else { "no" }.to_string(),
            loss.reason.to_string(),
        ]);
    }
    if let Some(column) = table.column_mut(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Digits of a token that are shown.
const DIGITS: usize = 12;

/// The tokens that a loss is among, each by its first digits; or by its last ones, where the
/// first are those of the other token too, or zeros, as of 64-bit ids.
fn keys_of(loss: &Loss) -> String {
    let tokens = [&loss.keys.0, &loss.keys.1].map(|bound| match bound {
        Bound::Included(token) | Bound::Excluded(token) => Some(token.to_string()),
        Bound::Unbounded => None,
    });
    let heads = tokens.each_ref().map(|token| token.as_ref().map(|digits| &digits[..DIGITS]));
    let are_alike = heads[0] == heads[1];
    let is_zero = |head: &str| head.bytes().all(|digit| digit == b'0');
    let by_last = are_alike || heads.iter().flatten().all(|head| is_zero(head));
    let short = |token: &TokenId| {
        let digits = token.to_string();
        if by_last {
            format!("…{}", &digits[digits.len() - DIGITS..])
        } else {
            format!("{}…", &digits[..DIGITS])
        }
    };
    let start = match &loss.keys.0 {
        Bound::Included(token) => format!("from {}", short(token)),
        Bound::Excluded(token) => format!("after {}", short(token)),
        Bound::Unbounded => String::new(),
    };
    let end = match &loss.keys.1 {
        Bound::Included(token) => format!("to {}", short(token)),
        Bound::Excluded(token) => format!("before {}", short(token)),
        Bound::Unbounded => String::new(),
    };
    match (start.as_str(), end.as_str()) {
        ("", "") => "any".to_string(),
        _ => format!("{start} {end}").trim().to_string(),
    }
}
