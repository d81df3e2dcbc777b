//! What changed between kept figures and those of runs.
//!
//! A figure by itself says as much of the machine and the hour as of the code. What is compared
//! is what ringstore takes, divided by what another engine takes in the same run; a size is what
//! it is, on every machine. Of several runs the one counts whose figure is the median one, of an
//! even number the lower of both: one run alone moves by a tenth by itself.

use serde::Serialize;

use crate::results::Measured;
use crate::table::BASE;
use crate::workload::Workload;

/// What is compared, and when it counts.
pub(crate) struct Scale<'a> {
    /// The engine that times are divided by, if any.
    pub(crate) peer: Option<&'a str>,
    pub(crate) threshold_percent: f64,
}

/// What became of one workload.
#[derive(Serialize)]
pub(crate) struct Change {
    pub(crate) keys: String,
    pub(crate) workload: Workload,
    pub(crate) threads: u32,
    pub(crate) unit: Unit,
    pub(crate) kept: f64,
    /// That of the median run.
    pub(crate) now: Option<f64>,
    /// One of each run, as long as none is missing.
    pub(crate) runs: Vec<f64>,
    pub(crate) percent: Option<f64>,
    pub(crate) verdict: Verdict,
}

/// What figures are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unit {
    /// To the other engine's time.
    Ratio,
    Ns,
    BytesPerToken,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    Same,
    Improved,
    Regressed,
    /// One of the engines has no figure now, in a run at least.
    Missing,
}

impl Scale<'_> {
    /// What became of each workload that figures are kept of, in their order.
    pub(crate) fn changes(&self, kept: &[Measured], runs: &[&[Measured]]) -> Vec<Change> {
        let own = kept.iter().filter(|row| row.engine == BASE);
        own.filter_map(|row| Some(self.change(row, self.figure(kept, row)?, runs))).collect()
    }

    fn change(&self, row: &Measured, kept: f64, runs: &[&[Measured]]) -> Change {
        let figures = self.figures(runs, row);
        let now = figures.as_deref().and_then(|figures| Some(figures[median(figures)?]));
        let percent = now.map(|now| (now / kept - 1.0) * 100.0);
        let verdict = match percent {
            None => Verdict::Missing,
            Some(percent) if percent > self.threshold_percent => Verdict::Regressed,
            Some(percent) if percent < -self.threshold_percent => Verdict::Improved,
            Some(_) => Verdict::Same,
        };
        let unit = match (row.workload, self.peer) {
            (Workload::Size, _) => Unit::BytesPerToken,
            (_, Some(_)) => Unit::Ratio,
            (_, None) => Unit::Ns,
        };
        let (keys, workload, threads) = (row.keys.clone(), row.workload, row.threads);
        let runs = figures.unwrap_or_default();
        Change { keys, workload, threads, unit, kept, now, runs, percent, verdict }
    }

    /// What all runs together measured: of each workload the rows of its median run.
    pub(crate) fn medians(&self, runs: &[&[Measured]]) -> Vec<Measured> {
        let rows = runs.first().copied().unwrap_or_default().iter();
        rows.map(|row| {
            let figures = self.figures(runs, row);
            let run = figures.as_deref().and_then(median).and_then(|at| runs.get(at));
            run.and_then(|run| find(run, row, &row.engine)).unwrap_or(row).clone()
        })
        .collect()
    }

    /// Those of all runs, if none is missing.
    fn figures(&self, runs: &[&[Measured]], of: &Measured) -> Option<Vec<f64>> {
        runs.iter().map(|run| self.figure(run, of)).collect()
    }

    /// What is compared of a workload.
    fn figure(&self, rows: &[Measured], of: &Measured) -> Option<f64> {
        let figure = |engine: &str| {
            let figure = find(rows, of, engine)?.figure()?;
            (figure.is_normal() && figure > 0.0).then_some(figure)
        };
        match self.peer {
            Some(peer) if of.workload != Workload::Size => Some(figure(BASE)? / figure(peer)?),
            _ => figure(BASE),
        }
    }
}

/// What an engine has in the same place of another run, or beside a row.
fn find<'a>(rows: &'a [Measured], of: &Measured, engine: &str) -> Option<&'a Measured> {
    let place = |row: &Measured| (row.workload, row.threads);
    let is_it =
        |row: &&Measured| row.engine == engine && row.keys == of.keys && place(row) == place(of);
    rows.iter().find(is_it)
}

/// Where the median is; `None` of nothing.
fn median(figures: &[f64]) -> Option<usize> {
    let mut order: Vec<_> = (0..figures.len()).collect();
    order.sort_by(|one, other| figures[*one].total_cmp(&figures[*other]));
    order.get(figures.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATIOS: Scale<'_> = Scale { peer: Some("lmdb"), threshold_percent: 10.0 };
    const TIMES: Scale<'_> = Scale { peer: None, threshold_percent: 10.0 };

    fn row(engine: &'static str, workload: Workload, figure: impl Into<Option<f64>>) -> Measured {
        let figure = figure.into();
        Measured {
            keys: "uniform".into(),
            tokens: 7,
            engine: engine.into(),
            workload,
            threads: 1,
            ops: None,
            ns_per_op: figure,
            p50_ns: None,
            p99_ns: None,
            p999_ns: None,
            bytes_per_token: figure,
        }
    }

    /// Lookups of ringstore and of LMDB.
    fn lookups(own: impl Into<Option<f64>>, other: impl Into<Option<f64>>) -> Vec<Measured> {
        vec![row("ringstore", Workload::GetHit, own), row("lmdb", Workload::GetHit, other)]
    }

    fn verdicts(scale: &Scale<'_>, kept: &[Measured], runs: &[&[Measured]]) -> Vec<Verdict> {
        scale.changes(kept, runs).iter().map(|change| change.verdict).collect()
    }

    #[test]
    fn more_than_the_threshold_is_a_regression() {
        let kept = lookups(200.0, 1_000.0);
        for (own, other, verdict) in [
            (222.0, 1_000.0, Verdict::Regressed),
            (218.0, 1_000.0, Verdict::Same),
            (182.0, 1_000.0, Verdict::Same),
            (178.0, 1_000.0, Verdict::Improved),
            // A machine that is half as fast, and one that is faster.
            (400.0, 2_000.0, Verdict::Same),
            (444.0, 2_000.0, Verdict::Regressed),
            (200.0, 890.0, Verdict::Regressed),
        ] {
            let now = lookups(own, other);
            assert_eq!(verdicts(&RATIOS, &kept, &[&now]), [verdict], "{own} {other}");
        }
        let [change] = &RATIOS.changes(&kept, &[&lookups(222.0, 1_000.0)])[..] else {
            panic!("one workload");
        };
        assert_eq!((change.unit, change.kept, change.now), (Unit::Ratio, 0.2, Some(0.222)));
        assert!((change.percent.unwrap() - 11.0).abs() < 1e-9);
        let strict = Scale { threshold_percent: 5.0, ..RATIOS };
        assert_eq!(verdicts(&strict, &kept, &[&lookups(218.0, 1e3)]), [Verdict::Regressed]);
    }

    #[test]
    fn absolute_figures_need_no_other_engine() {
        let kept = lookups(200.0, None);
        assert_eq!(verdicts(&TIMES, &kept, &[&lookups(222.0, 9.0)]), [Verdict::Regressed]);
        assert_eq!(verdicts(&TIMES, &kept, &[&lookups(218.0, None)]), [Verdict::Same]);
        assert_eq!(TIMES.changes(&kept, &[&kept])[0].unit, Unit::Ns);
    }

    #[test]
    fn sizes_are_compared_as_they_are() {
        let sizes = |own: f64, other: f64| {
            vec![row("ringstore", Workload::Size, own), row("lmdb", Workload::Size, other)]
        };
        let kept = sizes(75.0, 84.0);
        assert_eq!(verdicts(&RATIOS, &kept, &[&sizes(75.0, 42.0)]), [Verdict::Same]);
        assert_eq!(verdicts(&RATIOS, &kept, &[&sizes(83.0, 168.0)]), [Verdict::Regressed]);
        assert_eq!(RATIOS.changes(&kept, &[&kept])[0].unit, Unit::BytesPerToken);
    }

    #[test]
    fn what_is_missing_now_is_told() {
        let kept = lookups(200.0, 1_000.0);
        let other = [row("ringstore", Workload::Sign, 1.0), row("lmdb", Workload::Sign, 1.0)];
        let of_two = lookups(200.0, 1_000.0).into_iter().map(|row| Measured { threads: 2, ..row });
        for now in [
            Vec::new(),
            other.to_vec(),
            lookups(None, 1_000.0),
            lookups(200.0, None),
            lookups(0.0, 1_000.0),
            kept[..1].to_vec(),
            kept[1..].to_vec(),
            of_two.collect(),
        ] {
            assert_eq!(verdicts(&RATIOS, &kept, &[&now]), [Verdict::Missing]);
            // Whatever other runs have.
            assert_eq!(verdicts(&RATIOS, &kept, &[&kept, &now, &kept]), [Verdict::Missing]);
        }
    }

    #[test]
    fn what_was_never_there_is_not_looked_for() {
        let kept = [lookups(200.0, None), lookups(None, 1_000.0)].concat();
        assert_eq!(verdicts(&RATIOS, &kept[..2], &[&[]]), []);
        assert_eq!(verdicts(&RATIOS, &kept[2..], &[&[]]), []);
        assert_eq!(verdicts(&TIMES, &kept[2..], &[&[]]), []);
        let more = [lookups(200.0, 1e3), vec![row("ringstore", Workload::Sign, 1.0)]].concat();
        assert_eq!(verdicts(&RATIOS, &lookups(200.0, 1e3), &[&more]), [Verdict::Same]);
    }

    #[test]
    fn the_median_of_runs_counts() {
        let kept = lookups(200.0, 1_000.0);
        // Neither the run with the median time, nor the quotient of both medians.
        let runs = [lookups(500.0, 1e3), lookups(260.0, 2e3), lookups(950.0, 5e3)];
        let runs: Vec<&[Measured]> = runs.iter().map(Vec::as_slice).collect();
        let [change] = &RATIOS.changes(&kept, &runs)[..] else { panic!("one workload") };
        assert_eq!((change.now, change.verdict), (Some(0.19), Verdict::Same));
        assert_eq!(change.runs, [0.5, 0.13, 0.19]);
        let figures = |scale: &Scale<'_>, runs: &[&[Measured]]| {
            scale.medians(runs).iter().map(Measured::figure).collect::<Vec<_>>()
        };
        assert_eq!(figures(&RATIOS, &runs), [Some(950.0), Some(5e3)]);
        assert_eq!(figures(&TIMES, &runs), [Some(500.0), Some(1e3)]);
        assert_eq!(figures(&RATIOS, &runs[..2]), [Some(260.0), Some(2e3)]);
        // And what has no figure stays so.
        let none = lookups(None, 7.0);
        assert_eq!(figures(&RATIOS, &[&none, &kept]), [None, Some(7.0)]);
    }
}
