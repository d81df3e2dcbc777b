//! `ringstore demo`.

mod changes;
mod commits;
mod compare;
mod engines;
mod questions;
mod report;

use std::fs;
use std::path::Path;
use std::time::Instant;

use clap::Args;
use indicatif::HumanCount;
use ringstore::{LoadOptions, Options, PeerId, ReDbTokens, Record, Result, Store, TokenId};

use self::changes::make_batches;
use self::commits::{OnDisk, commit_to_both};
use self::compare::Each;
use self::engines::{Engine, Found, NaiveArray};
use self::questions::{Questions, ask_all};
use self::report::Report;
use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::output::Output;
use crate::progress::Meter;
use crate::random::RandomRecords;
use crate::talk::say;

const AFTER_HELP: &str = "\
Loads the same random tokens into a store and into redb, both in a temporary directory
that is removed at the end, and into a sorted array in memory that is searched and
walked in the plainest way. All three answer the same questions: every token looked up
and as many that are not there, signatures, and ranges of 1,000 tokens up and down. Then
all make the same changes, 200 commits of six operations each that put, set and remove
tokens, and are asked again, about the tokens that changed and about others. Every
answer is compared, also whether each operation took place. The exit code is 1 if any
differs.

Times are for one operation on one thread: medians over rounds in which the engines
take turns. A range operation copies out 1,000 tokens. A commit is on disk when it ends.
The load is of sorted tokens, and its time is for one of them. A million tokens take a
quarter of a minute and 250 MB of disk.

Examples:
  ringstore demo
  ringstore demo --tokens 100000
  TMPDIR=/mnt/fast ringstore --json demo --tokens 10000000";

/// What all tokens, those looked up in vain, the peers and the changes are made of.
const SEEDS: [u64; 4] = [1, 2, 3, 4];

const AFTER_LOAD: Questions = Questions { signatures: 10_000, ranges: 1_000, lookup_batch: 10_000 };
const AFTER_COMMITS: Questions = Questions { signatures: 1_000, ranges: 200, lookup_batch: 1_000 };

const COMMITS: usize = 200;

/// As many tokens of either kind, there and not there, are changed, or may be.
const CHANGED: usize = 500;

/// As many of either kind, those among them, are looked up afterwards.
const ASKED_AFTER_COMMITS: usize = 10_000;

/// Compare a store with redb and a plain array, answers and times.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Demo {
    /// How many tokens.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    tokens: u64,
}

impl Demo {
    pub(crate) fn run(self, output: &mut Output) -> Result<Exit, Failure> {
        interrupt::defer();
        let temporary = std::env::temp_dir();
        let directory = tempfile::Builder::new()
            .prefix("ringstore-demo-")
            .tempdir()
            .map_err(Failure::io("create a directory in", &temporary))?;
        let report = self.compare(directory.path())?;
        directory.close().map_err(Failure::io("empty", &temporary))?;
        output.line(&report, &report)?;
        if report.differences == 0 {
            return Ok(Exit::Done);
        }
        report.examples().for_each(say);
        say(format_args!("{} ANSWERS DIFFER OR ARE WRONG", HumanCount(report.differences)));
        Ok(Exit::Negative)
    }

    /// Loads the engines and puts all questions to them.
    fn compare(&self, directory: &Path) -> Result<Report, Failure> {
        say(format_args!("loading {} tokens into ringstore and redb", HumanCount(self.tokens)));
        let [present, absent, peers, changes] = SEEDS.map(RandomRecords::new);
        let mut records = Vec::new();
        for record in present.take(self.tokens as usize) {
            if records.len() % 10_000 == 0 {
                interrupt::check()?;
            }
            records.push(record);
        }
        // Asked for in the order in which they were drawn, which is none.
        let present: Vec<_> = records.iter().map(|record| record.token).collect();
        records.sort_unstable_by_key(|record| record.token);
        let mut array = NaiveArray(records);

        let started = Instant::now();
        let store = load_ringstore(&array.0, &directory.join("ringstore"))?;
        let ringstore_ns = started.elapsed().as_nanos();
        let started = Instant::now();
        let redb_path = directory.join("redb");
        let redb = load_redb(&array.0, &redb_path)?;
        let redb_ns = started.elapsed().as_nanos();
        // Closed, it gives back the room that it set aside for growing.
        drop(redb);
        let redb_bytes = fs::metadata(&redb_path).map_err(Failure::io("read", &redb_path))?.len();
        let mut redb = ReDbTokens::open(&redb_path)?;

        let absent: Vec<_> = absent.take(present.len()).map(|record| record.token).collect();
        let mut peers = peers.map(|record| PeerId(record.token.0));
        let (signed, operations) = {
            let snapshot = store.snapshot();
            let engines = Each { ringstore: &snapshot as &dyn Engine, redb: &redb, array: &array };
            ask_all(engines, &AFTER_LOAD, &present, &absent, &mut peers)?
        };
        let bytes_per_token = store.stat().bytes_per_token.unwrap_or_default();

        say(format_args!("committing {COMMITS} batches of changes"));
        let some = |tokens: &[TokenId], count| tokens[..tokens.len().min(count)].to_vec();
        let changed = [&present, &absent].map(|tokens| some(tokens, CHANGED)).concat();
        let batches = make_batches(&changed, COMMITS, changes);
        let expected = array.apply(&batches);
        let commits = commit_to_both(&batches, &expected, &store, &mut redb)?;

        let asked = [&present, &absent].map(|tokens| some(tokens, ASKED_AFTER_COMMITS)).concat();
        let (present, absent): (Vec<_>, Vec<_>) =
            asked.into_iter().partition(|token| array.find(token).is_some());
        let snapshot = store.snapshot();
        let engines = Each { ringstore: &snapshot as &dyn Engine, redb: &redb, array: &array };
        let (signed_after, operations_after_commits) =
            ask_all(engines, &AFTER_COMMITS, &present, &absent, &mut peers)?;
        let asked = operations.iter().chain(&operations_after_commits);
        let per_token = |count: f64| count / self.tokens as f64;
        Ok(Report {
            tokens: self.tokens,
            signed: signed + signed_after,
            differences: asked.map(|asked| asked.differences).sum::<u64>() + commits.differences,
            load_ns_per_token: OnDisk {
                ringstore: per_token(ringstore_ns as f64),
                redb: per_token(redb_ns as f64),
            },
            bytes_per_token: Each {
                ringstore: bytes_per_token,
                redb: per_token(redb_bytes as f64),
                array: Record::LEN as f64,
            },
            operations,
            commits,
            operations_after_commits,
        })
    }
}

fn load_ringstore(records: &[Record], path: &Path) -> Result<Store> {
    let store = Store::create(path, &Options::new())?;
    let meter = Meter::new();
    store.bulk_load(
        records.iter().copied().map(Ok),
        &LoadOptions::new().progress(&|progress| meter.show_library(progress)),
    )?;
    Ok(store)
}

fn load_redb(records: &[Record], path: &Path) -> Result<ReDbTokens> {
    let mut redb = ReDbTokens::create(path)?;
    let going_on = records.iter().take_while(|_| interrupt::check().is_ok());
    redb.load_sorted(going_on.map(|record| Found::from(*record)))?;
    interrupt::check()?;
    Ok(redb)
}
