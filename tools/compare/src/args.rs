//! The command line.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand};
use ringstore::Residency;
use ringstore::testing::keys::KeyFamily;

use crate::engines::ringstore::Ringstore;
use crate::engines::{self, Engine};
use crate::keys;
use crate::load::RAW;
use crate::reads::Effort;
use crate::results::{Measured, Results};
use crate::workload::Workload;

const AFTER_HELP: &str = "\
The table goes to standard output, messages and progress to standard error.

Exit codes:
  0  done
  1  an engine gave wrong answers, or something regressed
  2  wrong usage, or a file without results, or with others than are needed
  5  input or output failed, such as no space, or an engine did; the others' results stay
130  interrupted; what was measured before is in the file of --json

Examples:
  ringstore-compare --tokens 1000000
  ringstore-compare --tokens 1000000 --keys all --rounds 3 --json results.json
  ringstore-compare --tokens 10000000 --engines ringstore,lmdb --dir /mnt/disk
  ringstore-compare --workloads sign,get-hit --threads 1,2,4
  ringstore-compare --tokens 10000000 --density 0.99 --workloads sign
  ringstore-compare --workloads commit --dir /mnt/disk
  ringstore-compare --workloads cold,cold-many --dir /mnt/disk
  ringstore-compare --tokens 1000000 --plots plots
  ringstore-compare report results.json --plots plots
  ringstore-compare regressions";

const AFTER_HELP_OF_REPORT: &str = "\
Plots show cost against the number of tokens if files are of several. Where files have the
same figure, that of the last one is drawn: name files of one machine.

Examples:
  ringstore-compare report results.json
  ringstore-compare report results.json --markdown > results.md
  ringstore-compare report 100k.json 1m.json 10m.json --plots plots";

const AFTER_HELP_OF_REGRESSIONS: &str = "\
Of each workload and number of threads, what ringstore takes is divided by what the other
engine takes in the same run, so that the machine counts less; sizes are compared as they are.
Of several runs the one counts whose ratio is the median. What is missing now counts as
regressed.

Examples:
  ringstore-compare regressions
  ringstore-compare regressions --dir /mnt/disk --runs 5
  ringstore-compare regressions one.json two.json three.json --threshold 20
  ringstore-compare regressions --keep
  ringstore-compare --engines ringstore,lmdb --json benches/figures/1m.json";

/// All families of keys.
const ALL: &str = "all";

/// Compares ringstore with other engines: the same tokens, the same questions, in turns.
#[derive(Parser, Debug)]
#[command(name = "ringstore-compare", version, after_help = AFTER_HELP, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Something else than a comparison.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Number of tokens. Some families of keys have fewer.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub tokens: u32,

    /// What the tokens are like.
    #[arg(long, value_name = "FAMILY,…", value_delimiter = ',', default_value = "uniform")]
    #[arg(value_parser = family_names())]
    keys: Vec<String>,

    /// The engines; all that are there if none is named. The others are set in relation to
    /// ringstore.
    #[arg(long, value_name = "ENGINE,…", value_delimiter = ',')]
    #[arg(value_parser = engine_name)]
    engines: Vec<String>,

    /// What is measured; everything but `cold` and `cold-many` if nothing is named.
    #[arg(long, value_name = "WORKLOAD,…", value_delimiter = ',')]
    workloads: Vec<Workload>,

    /// Threads that read at the same time; each number is measured by itself. Loads and what
    /// writes are one thread's in any case.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1_024))]
    threads: Vec<u16>,

    /// Share of the tokens that is stored. Half of the lookups that miss are of the others.
    #[arg(long, value_name = "RHO", default_value_t = 1.0, value_parser = density)]
    pub density: f64,

    /// How ringstore keeps its files in memory. Of the others each does as it does.
    #[arg(long, value_name = "MODE", default_value = "mapped", value_parser = residencies())]
    pub residency: Residency,

    /// How it is measured.
    #[command(flatten)]
    pub how: How,

    /// Writes all results to this file, too, after each workload.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Draws plots of the results into this directory, too, as SVG.
    #[arg(long, value_name = "DIR")]
    pub plots: Option<PathBuf>,
}

/// How a run measures, whatever that is.
#[derive(clap::Args, Clone, Debug)]
pub struct How {
    /// Rounds, in each of which every engine has its turn. Medians over them are told.
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,

    /// Rounds of loads, which take longer.
    #[arg(long, value_name = "N", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000))]
    load_rounds: u32,

    /// What an engine's turn takes, about, in milliseconds. Slow engines do less in it.
    #[arg(long, value_name = "MS", default_value_t = 200)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=60_000))]
    turn_ms: u32,

    /// Where the databases go, in a directory that is removed at the end; the system's
    /// directory for temporary files if not given. Name one on the disk to be measured.
    #[arg(long, value_name = "PATH")]
    pub dir: Option<PathBuf>,

    /// Begins even if there seems to be too little disk or memory.
    #[arg(long)]
    pub ignore_room: bool,
}

/// What else the command does.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Prints the tables of earlier runs, and draws plots of them
    Report(Report),
    /// Compares runs with figures that are kept, and tells what regressed
    Regressions(Regressions),
}

/// Which results are told, and how.
#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP_OF_REPORT)]
pub struct Report {
    /// Files that `--json` has written.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    /// Draws plots of all files together into this directory, as SVG.
    #[arg(long, value_name = "DIR")]
    pub plots: Option<PathBuf>,

    /// Prints tables as Markdown.
    #[arg(long)]
    pub markdown: bool,
}

/// Which runs are compared with which figures.
#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP_OF_REGRESSIONS)]
pub struct Regressions {
    /// Files that `--json` of a comparison has written. If none is named, runs are made, of
    /// the same tokens, engines, workloads and threads as the kept figures.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// The kept figures, a file like the others.
    #[arg(long, value_name = "FILE", default_value = "benches/figures/1m.json")]
    pub kept: PathBuf,

    /// Percent by which a figure may grow.
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0, value_parser = threshold)]
    pub threshold: f64,

    /// Compares times themselves, not their ratios to those of the other engine: for figures
    /// that were kept on the same machine.
    #[arg(long)]
    pub absolute: bool,

    /// Runs that are made.
    #[arg(long, value_name = "N", default_value_t = 3, conflicts_with = "files")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,

    /// Keeps what was measured now instead, whatever regressed, unless something is missing.
    #[arg(long)]
    pub keep: bool,

    /// Writes the table to this file, too.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// How runs are made.
    #[command(flatten)]
    pub how: How,
}

impl How {
    pub(crate) fn effort(&self) -> Effort {
        let turn = Duration::from_millis(self.turn_ms.into());
        let [rounds, load_rounds] = [self.rounds, self.load_rounds].map(|rounds| rounds as usize);
        Effort { rounds, load_rounds, turn }
    }
}

impl Args {
    /// What measures the same as an earlier run did, in this way; or what of it is unknown here.
    pub(crate) fn again(earlier: &Results, how: &How) -> Result<Self, String> {
        let of_each = |part: fn(&Measured) -> String| {
            let rows = earlier.measured.iter().filter(|row| row.engine != RAW);
            rows.map(part).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(",")
        };
        let parsed = Self::try_parse_from([
            "ringstore-compare",
            &format!("--tokens={}", earlier.tokens),
            &format!("--density={}", earlier.density),
            &format!("--keys={}", of_each(|row| row.keys.clone())),
            &format!("--engines={}", of_each(|row| row.engine.to_string())),
            &format!("--workloads={}", of_each(|row| row.workload.name())),
            &format!("--threads={}", of_each(|row| row.threads.to_string())),
        ]);
        let told = |error: clap::Error| error.to_string().lines().next().map(ToString::to_string);
        let args = parsed.map_err(|error| told(error).unwrap_or_default())?;
        Ok(Self { how: how.clone(), ..args })
    }

    /// The families of keys, each once.
    pub fn families(&self) -> Vec<KeyFamily> {
        let is_wanted = |family: &KeyFamily| {
            self.keys.iter().any(|wanted| *wanted == ALL || *wanted == keys::name(*family))
        };
        KeyFamily::ALL.into_iter().filter(is_wanted).collect()
    }

    /// The engines, each once.
    pub fn engines(&self) -> Vec<&'static dyn Engine> {
        let is_wanted = |engine: &&dyn Engine| {
            self.engines.is_empty() || self.engines.iter().any(|wanted| wanted == engine.name())
        };
        let as_asked = |engine: &'static dyn Engine| match engine.name() {
            "ringstore" => Ringstore::with(self.residency),
            _ => engine,
        };
        engines::ALL.iter().copied().filter(is_wanted).map(as_asked).collect()
    }

    /// The numbers of threads, ascending, each once.
    pub fn threads(&self) -> Vec<usize> {
        let threads: BTreeSet<_> = self.threads.iter().map(|threads| (*threads).into()).collect();
        threads.into_iter().collect()
    }

    /// The workloads, each once.
    pub fn workloads(&self) -> Vec<Workload> {
        let is_wanted = |workload: &Workload| match &self.workloads[..] {
            [] => workload.is_default(),
            named => named.contains(workload),
        };
        Workload::all().iter().copied().filter(is_wanted).collect()
    }
}

fn family_names() -> PossibleValuesParser {
    let names = KeyFamily::ALL.into_iter().map(keys::name).chain([ALL.to_string()]);
    names.collect::<Vec<_>>().into()
}

fn residencies() -> impl TypedValueParser<Value = Residency> {
    let names: PossibleValuesParser = Residency::ALL.map(|it| it.to_string()).into();
    let named = |name: String| Residency::ALL.into_iter().find(|it| it.to_string() == name);
    names.map(move |name| named(name).unwrap_or_default())
}

/// A number above 0, up to 1.
fn density(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(density) if density > 0.0 && density <= 1.0 => Ok(density),
        _ => Err("it must be above 0, and 1 at the most".into()),
    }
}

/// A number above 0.
fn threshold(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if percent > 0.0 && f64::is_finite(percent) => Ok(percent),
        _ => Err("it must be a number above 0".into()),
    }
}

/// The name of an engine that is there.
fn engine_name(text: &str) -> Result<String, String> {
    if engines::named(text).is_some() {
        return Ok(text.into());
    }
    let names: Vec<_> = engines::ALL.iter().map(|engine| engine.name()).collect();
    let names = names.join(", ");
    Err(match engines::FEATURES.iter().find(|(engine, _)| *engine == text) {
        Some((_, feature)) => format!(
            "this build is without it: build with `--features {feature}`; there are {names}"
        ),
        None => format!("no engine is called so; there are {names}"),
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(args: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from([&["ringstore-compare"], args].concat())
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn nothing_named_is_everything_but_one_family_and_what_takes_long() {
        let args = parse(&[]).unwrap();
        assert_eq!(args.families(), [KeyFamily::Uniform]);
        assert_eq!(args.engines().len(), engines::ALL.len());
        let left_out: Vec<_> =
            Workload::all().iter().filter(|it| !args.workloads().contains(it)).collect();
        assert_eq!(left_out, [&Workload::Cold, &Workload::ColdMany]);
    }

    #[test]
    fn lists_name_each_thing_once() {
        let args = parse(&[
            "--keys",
            "dense64,uniform,dense64",
            "--engines",
            "mem,ringstore,mem",
            "--workloads",
            "size,get-hit,size",
        ])
        .unwrap();
        assert_eq!(args.families(), [KeyFamily::Uniform, KeyFamily::Dense64]);
        let engines: Vec<_> = args.engines().iter().map(|engine| engine.name()).collect();
        assert_eq!(engines, ["ringstore", "mem"]);
        assert_eq!(args.workloads(), [Workload::GetHit, Workload::Size]);
        assert_eq!(parse(&["--keys", "all"]).unwrap().families(), KeyFamily::ALL);
    }

    #[test]
    fn an_engine_that_is_not_compiled_in_is_named_with_its_feature() {
        for (engine, feature) in engines::FEATURES {
            let told = parse(&["--engines", engine]).map_err(|error| error.to_string());
            if engines::named(engine).is_some() {
                assert!(told.is_ok(), "{told:?}");
                continue;
            }
            let told = told.unwrap_err();
            let expected = format!("build with `--features {feature}`");
            assert!(
                told.contains("this build is without it") && told.contains(&expected),
                "{told}"
            );
        }
        let told = parse(&["--engines", "oracle"]).unwrap_err().to_string();
        assert!(told.contains("no engine is called so; there are ringstore, "), "{told}");
    }

    #[test]
    fn every_engine_but_two_has_a_feature() {
        for engine in engines::ALL {
            let has_feature = engines::FEATURES.iter().any(|(name, _)| *name == engine.name());
            assert_eq!(has_feature, !["ringstore", "mem"].contains(&engine.name()));
        }
    }

    #[test]
    fn every_residency_has_its_name() {
        assert_eq!(parse(&[]).unwrap().residency, Residency::Mapped);
        for residency in Residency::ALL {
            let args = parse(&["--residency", &residency.to_string()]).unwrap();
            assert_eq!(args.residency, residency);
            assert_eq!(args.engines().len(), engines::ALL.len());
        }
    }

    #[test]
    fn threads_are_told_once_and_ascending() {
        assert_eq!(parse(&[]).unwrap().threads(), [1]);
        assert_eq!(parse(&["--threads", "4,1,2,4"]).unwrap().threads(), [1, 2, 4]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for args in [
            ["--tokens", "0"],
            ["--tokens", "4294967296"],
            ["--rounds", "0"],
            ["--turn-ms", "0"],
            ["--keys", "random"],
            ["--keys", ""],
            ["--engines", "oracle"],
            ["--threads", "0"],
            ["--threads", "1025"],
            ["--load-rounds", "0"],
            ["--density", "0"],
            ["--density", "1.01"],
            ["--density", "nan"],
            ["--density", "-1"],
            ["--density", "x"],
            ["--workloads", "get"],
            ["--residency", "swapped"],
        ] {
            assert!(parse(&args).is_err(), "{args:?}");
        }
    }
}
