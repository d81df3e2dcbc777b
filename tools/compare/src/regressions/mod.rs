//! Runs that are compared with figures that were kept, and what regressed since.

mod change;

use std::io;
use std::path::Path;

use serde::Serialize;

use self::change::{Change, Scale, Unit, Verdict};
use crate::args::{Args, Regressions};
use crate::exit::Failure;
use crate::interrupt;
use crate::results::{self, Failed, Measured, Results};
use crate::table::{self, BASE};
use crate::talk::{print, say};

/// All of it, as it is written to a file.
#[derive(Serialize)]
struct Told<'a> {
    kept: &'a Path,
    tokens: u32,
    peer: Option<&'a str>,
    threshold_percent: f64,
    changes: &'a [Change],
}

/// Compares, and prints the table.
///
/// # Errors
///
/// [`Failure::Regressed`]; files that say something else, or are of something else; what could
/// not be read, written or measured.
pub(crate) fn run(wanted: &Regressions) -> Result<(), Failure> {
    let kept = read(&wanted.kept).map_err(|failure| missing(&wanted.kept, failure))?;
    let unlike = |reason| Failure::Unlike { path: wanted.kept.clone(), reason };
    let peer = engines(&kept).map_err(unlike)?;
    let scale = Scale {
        peer: Some(peer).filter(|_| !wanted.absolute),
        threshold_percent: wanted.threshold,
    };
    if scale.changes(&kept.measured, &[]).is_empty() {
        return Err(unlike("no workload has figures in it".into()));
    }
    let mut runs = if wanted.files.is_empty() {
        let args = Args::again(&kept, &wanted.how).map_err(unlike)?;
        interrupt::install()?;
        (1..=wanted.runs)
            .map(|run| {
                say(format_args!("run {run} of {}", wanted.runs));
                crate::measure(&args, |_| {})
            })
            .collect::<Result<Vec<_>, _>>()?
    } else {
        let files = wanted.files.iter();
        files.map(|path| read_like(path, &kept, &wanted.kept, &scale)).collect::<Result<_, _>>()?
    };
    let measured: Vec<_> = runs.iter().map(|run| &run.measured[..]).collect();
    let changes = scale.changes(&kept.measured, &measured);
    let printed = print(&format!("{}\n", table(&changes, &scale, kept.tokens)));
    if let Some(path) = &wanted.json {
        let (peer, threshold_percent) = (scale.peer, wanted.threshold);
        let (kept, tokens, changes) = (&*wanted.kept, kept.tokens, &changes[..]);
        results::write(path, &Told { kept, tokens, peer, threshold_percent, changes })?;
    }
    verdict(&changes, wanted)?;
    if wanted.keep {
        let medians = scale.medians(&measured);
        if let Some(last) = runs.pop() {
            let path = Some(wanted.kept.clone());
            Results { measured: medians, path, ..last }.save()?;
            say(format_args!("kept in {}", wanted.kept.display()));
        }
    }
    printed
}

fn read(path: &Path) -> Result<Results, Failure> {
    results::read(path, |results: &Results| &results.measured)
}

/// Whoever has no kept figures is to learn how they are made.
fn missing(path: &Path, failure: Failure) -> Failure {
    match failure {
        Failure::Engine(ringstore::Error::Io { source, .. })
            if source.kind() == io::ErrorKind::NotFound =>
        {
            Failure::NothingKept { path: path.to_path_buf() }
        }
        other => other,
    }
}

/// The engine that ringstore is compared with: the first other one.
fn engines(kept: &Results) -> Result<&str, String> {
    let rows = || kept.measured.iter().map(|row| &*row.engine);
    let is_other = |engine: &&str| ![BASE, crate::load::RAW].contains(engine);
    if !rows().any(|engine| engine == BASE) {
        return Err(format!("there is no {BASE} in it; measure with --engines {BASE},lmdb"));
    }
    rows().find(is_other).ok_or_else(|| {
        format!("there is no engine beside {BASE} in it; measure with --engines {BASE},lmdb")
    })
}

/// Reads a run that can be compared with what is kept.
fn read_like(
    path: &Path,
    kept: &Results,
    kept_path: &Path,
    scale: &Scale<'_>,
) -> Result<Results, Failure> {
    let run = read(path)?;
    let unlike = |reason| Err(Failure::Unlike { path: path.to_path_buf(), reason });
    let kept_path = kept_path.display();
    let Results { tokens, density, .. } = kept;
    if run.tokens != *tokens {
        let now = run.tokens;
        return unlike(format!(
            "it is of {now} tokens, and {kept_path} of {tokens}; measure with --tokens {tokens}"
        ));
    }
    if run.density.to_bits() != density.to_bits() {
        let now = run.density;
        return unlike(format!(
            "it is of density {now}, and {kept_path} of {density}; measure with --density {density}"
        ));
    }
    for engine in [BASE].into_iter().chain(scale.peer) {
        let is_there = |row: &Measured| row.engine == engine;
        let has_failed = |failed: &Failed| failed.engine == engine;
        if !run.measured.iter().any(is_there) && !run.failed.iter().any(has_failed) {
            let peer = scale.peer.map(|peer| format!(",{peer}")).unwrap_or_default();
            return unlike(format!(
                "there is no {engine} in it; measure with --engines {BASE}{peer}"
            ));
        }
    }
    for Failed { keys, engine, workload, reason, .. } in &run.failed {
        let (path, workload) = (path.display(), workload.name());
        say(format_args!("{path}: {engine} is left out of {keys} from {workload} on: {reason}"));
    }
    Ok(run)
}

/// Fails if something regressed, or, where all else is to be kept, if something is missing.
fn verdict(changes: &[Change], wanted: &Regressions) -> Result<(), Failure> {
    let of = |verdict: Verdict| {
        let those = changes.iter().filter(|change| change.verdict == verdict).map(name);
        those.collect::<Vec<_>>().join("; ")
    };
    let regressed = if wanted.keep { String::new() } else { of(Verdict::Regressed) };
    let missing = of(Verdict::Missing);
    if regressed.is_empty() && missing.is_empty() {
        return Ok(());
    }
    Err(Failure::Regressed { regressed, missing, threshold_percent: wanted.threshold })
}

/// What was measured, in words.
fn name(change: &Change) -> String {
    let keys = if change.keys == "uniform" { String::new() } else { format!(", {}", change.keys) };
    let threads = match change.threads {
        1 => String::new(),
        threads => format!(", {threads} threads"),
    };
    format!("{}{keys}{threads}", change.workload.name())
}

/// What regressed is bold.
fn table(changes: &[Change], scale: &Scale<'_>, tokens: u32) -> String {
    let peer = scale.peer.map(|peer| format!(" / {peer}")).unwrap_or_default();
    let header = [&*format!("{BASE}{peer}, {tokens} tokens"), "kept", "now", "runs", "change", ""];
    let lines = changes.iter().map(|change| {
        let figure = |figure: f64| match change.unit {
            Unit::Ratio => ratio(figure),
            Unit::Ns | Unit::BytesPerToken => table::human(change.workload, figure),
        };
        let among = |pick: fn(f64, f64) -> f64| change.runs.iter().copied().reduce(pick);
        let runs = match (among(f64::min), among(f64::max)) {
            (Some(least), Some(most)) if change.runs.len() > 1 => {
                format!("{} – {}", figure(least), figure(most))
            }
            _ => String::new(),
        };
        let (verdict, is_bad) = match change.verdict {
            Verdict::Same => ("same", false),
            Verdict::Improved => ("improved", false),
            Verdict::Regressed => ("regressed", true),
            Verdict::Missing => ("missing", true),
        };
        let percent = change.percent.map(|percent| format!("{percent:+.1} %"));
        let cells = [
            name(change),
            figure(change.kept),
            change.now.map(figure).unwrap_or_default(),
            runs,
            percent.unwrap_or_default(),
            verdict.to_string(),
        ];
        cells.into_iter().map(|cell| (cell, is_bad)).collect()
    });
    table::plain(&header.map(ToString::to_string), &lines.collect::<Vec<_>>())
}

/// Three digits, or more of large numbers.
fn ratio(ratio: f64) -> String {
    let decimals = (2.0 - ratio.log10().floor()).clamp(0.0, 12.0);
    format!("{ratio:.*}", decimals as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_have_three_digits() {
        let told = [1e-300, 0.005_914, 0.1, 0.9996, 1.0, 12.345, 123.45, 12_345.6].map(ratio);
        assert_eq!(
            told,
            ["0.000000000000", "0.00591", "0.100", "1.000", "1.00", "12.3", "123", "12346"]
        );
    }
}
