//! ringstore against redb, in turns, in one run.
//!
//! Absolute times say as much about the machine and the moment as about the code; a
//! ratio of two engines that were timed in turns holds. Every workload runs in rounds:
//! each engine gets the same queries in each round, one after the other, and the
//! medians over the rounds are compared. Before anything is timed the answers are.
//!
//! `cargo bench --bench versus -- --tokens 10000000`; `--rounds` and `--dir` (where the
//! databases go, a temporary directory by default) are the other options.

use std::hint::black_box;
use std::ops::Bound;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ringstore::testing::keys::with_values;
use ringstore::testing::random::Random;
use ringstore::{
    BlockTime, Chunks, Direction, Leg, LoadOptions, Options, Passed, PeerId, ReDbTokens, Record,
    Result, Snapshot, Store, TokenId, TokenStorageBackend, Verification, chunks, walk_ring,
};

const RANGE_RECORDS: usize = 1_000;

/// Operations of one engine in one round; slow ones get fewer.
struct Workload<'a> {
    name: &'static str,
    /// What one operation is.
    unit: &'static str,
    target: f64,
    contestants: Vec<Contestant<'a>>,
}

struct Contestant<'a> {
    name: &'static str,
    operations: usize,
    run: Box<dyn FnMut(usize) + 'a>,
    times: Vec<Duration>,
}

impl<'a> Workload<'a> {
    fn new(name: &'static str, unit: &'static str, target: f64) -> Self {
        Self { name, unit, target, contestants: Vec::new() }
    }

    /// Adds an engine; `run` is given the number of the operation.
    fn with(mut self, name: &'static str, operations: usize, run: impl FnMut(usize) + 'a) -> Self {
        let times = Vec::new();
        self.contestants.push(Contestant { name, operations, run: Box::new(run), times });
        self
    }

    fn round(&mut self, round: usize, timed: bool) {
        for contestant in &mut self.contestants {
            let first = round * contestant.operations;
            let start = Instant::now();
            for operation in first..first + contestant.operations {
                (contestant.run)(operation);
            }
            if timed {
                contestant.times.push(start.elapsed());
            }
        }
    }

    /// The first contestant is the one that the others are compared with.
    fn report(&mut self) {
        let nanos: Vec<f64> = self.contestants.iter_mut().map(Contestant::median_nanos).collect();
        for (contestant, nanos_each) in self.contestants.iter().zip(&nanos) {
            let ratio = nanos_each / nanos[0];
            let target = if ratio == 1.0 { String::new() } else { format!("{ratio:8.1} x") };
            println!(
                "{:<22} {:<28} {:>12} {target}",
                self.name,
                contestant.name,
                human(*nanos_each)
            );
        }
        println!("{:<22} one operation is {}; aim: {} x\n", "", self.unit, self.target);
    }
}

impl Contestant<'_> {
    fn median_nanos(&mut self) -> f64 {
        self.times.sort_unstable();
        let middle = self.times[self.times.len() / 2];
        middle.as_nanos() as f64 / self.operations as f64
    }
}

fn human(nanos: f64) -> String {
    if nanos < 1_000.0 { format!("{nanos:.0} ns") } else { format!("{:.2} us", nanos / 1e3) }
}

struct Arguments {
    tokens: usize,
    rounds: usize,
    directory: Option<PathBuf>,
}

fn arguments() -> Arguments {
    let mut parsed = Arguments { tokens: 1_000_000, rounds: 15, directory: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| panic!("{argument} needs a value"));
        match argument.as_str() {
            "--tokens" => parsed.tokens = value().parse().expect("a number of tokens"),
            "--rounds" => parsed.rounds = value().parse().expect("a number of rounds"),
            "--dir" => parsed.directory = Some(value().into()),
            // What cargo passes to every bench.
            "--bench" => {}
            other => panic!("unknown argument {other}; there are --tokens, --rounds, --dir"),
        }
    }
    parsed
}

fn main() -> Result<()> {
    let Arguments { tokens: count, rounds, directory } = arguments();
    let temporary;
    let directory = match directory {
        Some(directory) => directory,
        None => {
            temporary = tempfile::tempdir().expect("a temporary directory");
            temporary.path().to_path_buf()
        }
    };
    println!("{count} random tokens, {rounds} rounds in turns, medians\n");

    let mut random = Random::new("versus", 1);
    let tokens: Vec<_> = (0..count).map(|_| random.token()).collect();
    let (store, redb) = load(&directory, &tokens)?;
    let unchecked = Options::new().verification(Verification::Never);
    let unchecked = Store::open_read_only(store.path(), &unchecked)?.snapshot();
    let snapshot = store.snapshot();
    let bytes = store.stat().bytes_per_token.unwrap_or(0.0);
    println!("bytes a token in segment files: {bytes:.2}; aim: at most 75.0\n");

    let hits: Vec<_> = (0..100_000).map(|_| *random.pick(&tokens)).collect();
    let misses: Vec<_> = (0..100_000).map(|_| random.token()).collect();
    let peer = PeerId([1; 32]);
    let challenges: Vec<Chunks> = hits
        .iter()
        .map(|token| Ok(chunks(&peer, token, &snapshot.get(token)?.unwrap_or_default().block)))
        .collect::<Result<_>>()?;
    compare(&snapshot, &redb, &hits, &misses, &peer)?;

    let at = |items: &'_ [TokenId], operation: usize| items[operation % items.len()];
    let walk_redb = |token: &TokenId, chunks: &Chunks| {
        let walk =
            walk_ring(&Leg::of_signature(chunks), |direction| redb_ring(&redb, *token, direction));
        black_box(walk.expect("redb walks"));
    };
    let scan = |range: &mut dyn Iterator<Item = Result<(TokenId, BlockTime)>>| {
        let times = range.take(RANGE_RECORDS).map(|item| item.expect("a record").1.time);
        black_box(times.fold(0, u64::wrapping_add));
    };
    let mut workloads = vec![
        Workload::new("lookup, hit", "one token", 10.0)
            .with("ringstore", 50_000, |i| {
                black_box(snapshot.get(&at(&hits, i)).expect("an answer"));
            })
            .with("ringstore, never checked", 50_000, |i| {
                black_box(unchecked.get(&at(&hits, i)).expect("an answer"));
            })
            .with("redb", 10_000, |i| {
                black_box(redb.lookup(&at(&hits, i)).expect("an answer"));
            }),
        Workload::new("lookup, miss", "one token", 10.0)
            .with("ringstore", 50_000, |i| {
                black_box(snapshot.get(&at(&misses, i)).expect("an answer"));
            })
            .with("redb", 10_000, |i| {
                black_box(redb.lookup(&at(&misses, i)).expect("an answer"));
            }),
        Workload::new("signature", "lookup, hash, walk, ten records", 500.0)
            .with("ringstore", 20_000, |i| {
                black_box(snapshot.sign(&at(&hits, i), &peer).expect("an answer"));
            })
            .with("ringstore, never checked", 20_000, |i| {
                black_box(unchecked.sign(&at(&hits, i), &peer).expect("an answer"));
            })
            .with("redb, iterator walk", 50, |i| {
                black_box(redb.lookup(&at(&hits, i)).expect("an answer"));
                walk_redb(&at(&hits, i), &challenges[i % challenges.len()]);
            })
            .with("redb, cursor walk", 50, |i| {
                black_box(redb.sign(&at(&hits, i), &peer).expect("an answer"));
            }),
        Workload::new("scan up", "1,000 records", 15.0)
            .with("ringstore, iterator", 1_000, |i| scan(&mut snapshot.range(at(&hits, i)..)))
            .with("ringstore, slices", 1_000, |i| scan_slices(&snapshot, at(&hits, i)))
            .with("redb, iterator", 200, |i| {
                scan(&mut redb.range(at(&hits, i)..).expect("a range"))
            })
            .with("redb, cursor", 200, |i| {
                scan(&mut redb.range_after(&at(&hits, i)).expect("a range"))
            }),
        Workload::new("scan down", "1,000 records", 15.0)
            .with("ringstore, iterator", 1_000, |i| scan(&mut snapshot.range(..at(&hits, i)).rev()))
            .with("redb, iterator", 200, |i| {
                scan(&mut redb.range(..at(&hits, i)).expect("a range").rev())
            })
            .with("redb, cursor", 200, |i| {
                scan(&mut redb.range_before(&at(&hits, i)).expect("a range"))
            }),
    ];
    for workload in &mut workloads {
        for round in 0..rounds + 2 {
            // Two rounds to warm up.
            workload.round(round, round >= 2);
        }
        workload.report();
    }
    Ok(())
}

/// Loads the same tokens into both; redb gets them sorted, as it likes them.
fn load(directory: &std::path::Path, tokens: &[TokenId]) -> Result<(Store, ReDbTokens)> {
    let records = || with_values(tokens.iter().copied(), 1);
    let start = Instant::now();
    let store = Store::create(directory.join("ringstore"), &Options::new())?;
    store.bulk_load(records().map(|record| Ok(Record::from(record))), &LoadOptions::new())?;
    println!("ringstore loaded them unsorted in {:.1} s", start.elapsed().as_secs_f64());

    let mut sorted: Vec<_> = records().collect();
    sorted.sort_unstable_by_key(|record| record.0);
    let start = Instant::now();
    // A cache for all that it holds, and half as much again.
    let cache_bytes = tokens.len() * 171 + (64 << 20);
    let mut redb = ReDbTokens::create_with_cache(directory.join("redb"), cache_bytes)?;
    redb.load_sorted(sorted)?;
    println!("redb loaded them sorted in {:.1} s", start.elapsed().as_secs_f64());
    Ok((store, redb))
}

/// Both give the same answers, or there is nothing to compare.
fn compare(
    snapshot: &Snapshot,
    redb: &ReDbTokens,
    hits: &[TokenId],
    misses: &[TokenId],
    peer: &PeerId,
) -> Result<()> {
    for token in hits.iter().chain(misses) {
        assert_eq!(snapshot.get(token)?, redb.lookup(token)?, "{token}");
    }
    for token in &hits[..200] {
        assert_eq!(snapshot.sign(token, peer)?, redb.sign(token, peer)?, "{token}");
        let up: Vec<_> =
            snapshot.range(token..).skip(1).take(RANGE_RECORDS).collect::<Result<_>>()?;
        let down: Vec<_> =
            snapshot.range(..token).rev().take(RANGE_RECORDS).collect::<Result<_>>()?;
        assert_eq!(up, redb.range_after(token)?.take(RANGE_RECORDS).collect::<Result<Vec<_>>>()?);
        assert_eq!(
            down,
            redb.range_before(token)?.take(RANGE_RECORDS).collect::<Result<Vec<_>>>()?
        );
    }
    println!(
        "the same answers to {} lookups, 200 signatures, 400 scans\n",
        hits.len() + misses.len()
    );
    Ok(())
}

/// The way around the ring through redb's iterators.
fn redb_ring(
    redb: &ReDbTokens,
    origin: TokenId,
    direction: Direction,
) -> Result<impl Iterator<Item = Result<Passed<BlockTime>>>> {
    let above = redb.range((Bound::Excluded(origin), Bound::Unbounded))?;
    let below = redb.range(..origin)?;
    let way: Box<dyn Iterator<Item = _>> = match direction {
        Direction::Up => Box::new(above.chain(below)),
        Direction::Down => Box::new(below.rev().chain(above.rev())),
    };
    Ok(way.map(|item| {
        item.map(|(token, value)| Passed { suffix: token.suffix(), item: value, beyond_end: false })
    }))
}

fn scan_slices(snapshot: &Snapshot, from: TokenId) {
    let mut left = RANGE_RECORDS;
    let mut sum = 0u64;
    for slice in snapshot.slices(from..) {
        let slice = slice.expect("records");
        let taken = &slice[..left.min(slice.len())];
        sum = taken.iter().fold(sum, |sum, record| sum.wrapping_add(record.time()));
        left -= taken.len();
        if left == 0 {
            break;
        }
    }
    black_box(sum);
}
