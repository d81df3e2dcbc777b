//! `ringstore demo`.

mod compare;
mod engines;
mod report;

use std::fs;
use std::path::Path;
use std::time::Instant;

use clap::Args;
use indicatif::HumanCount;
use ringstore::{
    BlockTime, Direction, LoadOptions, Options, PeerId, ReDbTokens, Record, Result, Signed, Store,
    TokenId,
};

use self::compare::{Comparison, Each, compare};
use self::engines::{Engine, Found, NaiveArray};
use self::report::{Loaded, Report};
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
and as many that are not there, signatures, and ranges of 1,000 tokens up and down.
Every answer is compared. The exit code is 1 if any differs.

Times are for one operation on one thread: medians over rounds in which the engines
take turns. A range operation copies out 1,000 tokens. The load is of sorted tokens, and
its time is for one of them. A million tokens take a quarter of a minute and 250 MB of
disk.

Examples:
  ringstore demo
  ringstore demo --tokens 100000
  TMPDIR=/mnt/fast ringstore --json demo --tokens 10000000";

/// What all tokens, those looked up in vain, and the peers are made of.
const SEEDS: [u64; 3] = [1, 2, 3];

const SIGNATURES: usize = 10_000;
const RANGES: usize = 1_000;
const RANGE_RECORDS: usize = 1_000;

/// Questions that one engine answers before the next has its turn.
const LOOKUP_BATCH: usize = 10_000;
const SIGNATURE_BATCH: usize = 100;
const RANGE_BATCH: usize = 20;

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
        for example in report.operations.iter().flat_map(|operation| &operation.examples) {
            say(example);
        }
        say(format_args!("{} ANSWERS DIFFER OR ARE WRONG", HumanCount(report.differences)));
        Ok(Exit::Negative)
    }

    /// Loads the engines and puts all questions to them.
    fn compare(&self, directory: &Path) -> Result<Report, Failure> {
        say(format_args!("loading {} tokens into ringstore and redb", HumanCount(self.tokens)));
        let [present, absent, peers] = SEEDS.map(RandomRecords::new);
        let mut records = Vec::new();
        for record in present.take(self.tokens as usize) {
            if records.len() % LOOKUP_BATCH == 0 {
                interrupt::check()?;
            }
            records.push(record);
        }
        // Asked for in the order in which they were drawn, which is none.
        let present: Vec<_> = records.iter().map(|record| record.token).collect();
        records.sort_unstable_by_key(|record| record.token);
        let array = NaiveArray(records);

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
        let redb = ReDbTokens::open(&redb_path)?;

        let snapshot = store.snapshot();
        let engines = Each { ringstore: &snapshot as &dyn Engine, redb: &redb, array: &array };
        let per_token = |count: f64| count / self.tokens as f64;
        let absent: Vec<_> = absent.take(present.len()).map(|record| record.token).collect();
        let peers = peers.map(|record| PeerId(record.token.0));
        let (signed, operations) = ask_all(engines, &present, &absent, peers)?;
        Ok(Report {
            tokens: self.tokens,
            signed,
            differences: operations.iter().map(|compared| compared.differences).sum(),
            load_ns_per_token: Loaded {
                ringstore: per_token(ringstore_ns as f64),
                redb: per_token(redb_ns as f64),
            },
            bytes_per_token: Each {
                ringstore: store.stat().bytes_per_token.unwrap_or_default(),
                redb: per_token(redb_bytes as f64),
                array: Record::LEN as f64,
            },
            operations,
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

/// Puts all questions to the engines; also says how many signatures there were.
fn ask_all(
    engines: Each<&dyn Engine>,
    present: &[TokenId],
    absent: &[TokenId],
    peers: impl Iterator<Item = PeerId>,
) -> Result<(u64, Vec<Comparison>)> {
    let get = |engine: &dyn Engine, token: &TokenId, answer: &mut Option<BlockTime>| {
        *answer = engine.get(token)?;
        Ok(())
    };
    let sign =
        |engine: &dyn Engine, (token, peer): &(TokenId, PeerId), answer: &mut Option<Signed>| {
            *answer = engine.sign(token, peer)?;
            Ok(())
        };
    let range = |way| {
        move |engine: &dyn Engine, from: &TokenId, answer: &mut Vec<Found>| {
            answer.clear();
            engine.range(from, way, RANGE_RECORDS, answer)
        }
    };
    say("looking up every token");
    let hits = compare("get-hit", engines, present, LOOKUP_BATCH, get, |_, found| found.is_some())?;
    say("looking up as many others");
    let misses =
        compare("get-miss", engines, absent, LOOKUP_BATCH, get, |_, found| found.is_none())?;

    say("signing");
    let challenges: Vec<_> = present.iter().copied().cycle().zip(peers).take(SIGNATURES).collect();
    let mut signed = 0;
    let signatures =
        compare("sign", engines, &challenges, SIGNATURE_BATCH, sign, |(_, peer), found| {
            let Some(found) = found else { return true };
            signed += 1;
            found.signature.check(peer).is_ok()
        })?;

    say("reading ranges");
    // From tokens that are there and from others, by turns.
    let starts: Vec<_> =
        present.iter().zip(absent).flat_map(|(one, other)| [*one, *other]).collect();
    let starts: Vec<_> = starts.iter().copied().cycle().take(2 * RANGES).collect();
    let (up, down) = starts.split_at(RANGES);
    let ordered = |way| move |from: &TokenId, found: &Vec<Found>| is_ordered(way, from, found);
    let up = compare(
        "range-forward",
        engines,
        up,
        RANGE_BATCH,
        range(Direction::Up),
        ordered(Direction::Up),
    )?;
    let down = compare(
        "range-backward",
        engines,
        down,
        RANGE_BATCH,
        range(Direction::Down),
        ordered(Direction::Down),
    )?;
    Ok((signed, vec![hits, misses, signatures, up, down]))
}

/// Whether the tokens lie beyond `from`, each beyond the one before.
fn is_ordered(way: Direction, from: &TokenId, found: &[Found]) -> bool {
    let tokens = found.iter().map(|(token, _)| token);
    std::iter::once(from).chain(tokens).is_sorted_by(|one, next| match way {
        Direction::Up => one < next,
        Direction::Down => one > next,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringstore::{Signature, TokenBlock, chunks};

    /// Answers every question wrongly.
    struct Liar(NaiveArray);

    impl Engine for Liar {
        /// Has what is not there, and has not what is.
        fn get(&self, token: &TokenId) -> Result<Option<BlockTime>> {
            let found = self.0.get(token)?;
            Ok(if found.is_none() { Some(BlockTime::default()) } else { None })
        }

        /// Meets the token itself, whatever the chunks.
        fn sign(&self, token: &TokenId, peer: &PeerId) -> Result<Option<Signed>> {
            let origin = TokenBlock { token: *token, ..TokenBlock::default() };
            let signature = Signature { origin, matches: [origin; 10] };
            let chunks = chunks(peer, token, &origin.block);
            Ok(Some(Signed { signature, chunks, steps: 10, wrapped: false }))
        }

        /// Begins with the token that is to be left out.
        fn range(
            &self,
            from: &TokenId,
            way: Direction,
            count: usize,
            into: &mut Vec<Found>,
        ) -> Result<()> {
            into.push((*from, BlockTime::default()));
            self.0.range(from, way, count, into)
        }
    }

    fn array() -> NaiveArray {
        NaiveArray(
            (10..20).map(|id| Record::new(TokenId::from(id), BlockTime::default())).collect(),
        )
    }

    /// The differences of each operation if all engines are this one.
    fn differences(engine: &dyn Engine) -> Vec<u64> {
        let engines = Each { ringstore: engine, redb: engine, array: engine };
        let [present, absent] = [10..20, 30..40].map(|ids| ids.map(TokenId::from).collect());
        let (present, absent): (Vec<_>, Vec<_>) = (present, absent);
        let (_, operations) = ask_all(engines, &present, &absent, (0..).map(PeerId::from)).unwrap();
        operations.iter().map(|compared| compared.differences).collect()
    }

    #[test]
    fn who_lies_alike_is_noticed_too() {
        assert_eq!(differences(&array()), [0; 5]);
        assert_eq!(differences(&Liar(array())), [10, 10, 10_000, 1_000, 1_000]);
    }

    #[test]
    fn only_what_lies_beyond_in_order_is_ordered() {
        for (way, ids, expected) in [
            (Direction::Up, &[][..], true),
            (Direction::Up, &[6, 7, 9], true),
            (Direction::Up, &[6, 6], false),
            (Direction::Up, &[7, 6], false),
            (Direction::Up, &[5, 6], false),
            (Direction::Up, &[4], false),
            (Direction::Down, &[4, 3, 1], true),
            (Direction::Down, &[4, 4], false),
            (Direction::Down, &[3, 4], false),
            (Direction::Down, &[5, 4], false),
            (Direction::Down, &[6], false),
        ] {
            let found = |id: &u64| (TokenId::from(*id), BlockTime::default());
            let found: Vec<_> = ids.iter().map(found).collect();
            assert_eq!(is_ordered(way, &TokenId::from(5), &found), expected, "{way:?} {ids:?}");
        }
    }
}
