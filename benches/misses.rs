//! What a call misses in caches and in the tables of addresses: the part of its time that grows
//! with the store.
//!
//! Counted by `valgrind --tool=cachegrind`, which has to be there, on a simulated processor; so
//! the figures are the same wherever they are taken, but for small differences in code. Each is
//! what many calls miss less what fewer calls do.
//!
//! `cargo bench --bench misses -- --tokens 10000000 --dir DIRECTORY`; a store that is in the
//! directory from an earlier time is taken as it is.

use std::hint::black_box;
use std::path::Path;
use std::process::Command;

use ringstore::testing::random::Random;
use ringstore::{
    BlockTime, LoadOptions, Options, PeerId, Record, Result, Snapshot, Store, TokenId, Verification,
};
use stores::scan_up;
use turns::Arguments;

#[allow(dead_code, reason = "other benches use the rest")]
mod stores;
#[allow(dead_code, reason = "other benches use the rest")]
mod turns;

/// Where who is started below valgrind finds what to do: a store, a workload, a number of calls.
const TASK: &str = "RINGSTORE_MISSES";

/// Tokens that are drawn, whatever they are used for.
const DRAWN: usize = 1 << 16;

/// Tokens of a batch.
const BATCH: usize = 256;

/// What is called, and how often in the shorter and the longer of two runs.
const WORKLOADS: [(&str, [usize; 2]); 5] = [
    ("lookup", [1 << 14, 3 << 14]),
    ("lookup in a batch", [1 << 14, 3 << 14]),
    ("signature", [1 << 14, 3 << 14]),
    ("signature in a batch", [1 << 14, 3 << 14]),
    ("1,000 records up", [1 << 10, 3 << 10]),
];

/// What is simulated: bytes, ways and bytes of a line. Of addresses there are two thousand
/// entries for pages of 4 KiB, or five hundred for such of 2 MiB, as no more can be simulated.
const CACHES: [(&str, &str, &str); 4] = [
    ("2 MiB of cache", "2097152,16,64", "2097152,16,64"),
    ("256 MiB of cache", "2097152,16,64", "268435456,16,64"),
    ("2,048 small pages", "8388608,16,4096", "8388608,16,4096"),
    ("512 huge pages", "1073741824,16,2097152", "1073741824,16,2097152"),
];

const PEER: PeerId = PeerId([1; 32]);

fn main() -> Result<()> {
    if let Ok(task) = std::env::var(TASK) {
        let mut task = task.splitn(3, ':');
        let mut next = || task.next().expect("what to do");
        let (workload, calls) = (next(), next().parse().expect("a number of calls"));
        return run(Path::new(next()), workload, calls);
    }
    let Arguments { tokens, directory, .. } = Arguments::of_command();
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let directory = directory.unwrap_or_else(|| temporary.path().to_path_buf()).join("misses");
    if !directory.exists() {
        let mut random = Random::new("misses", 1);
        let record =
            |time| Ok(Record::new(random.token(), BlockTime { time, ..Default::default() }));
        let store = Store::create(&directory, &Options::new())?;
        store.bulk_load((0..tokens as u64).map(record), &LoadOptions::new())?;
        store.close()?;
    }
    print!("{:<22}{:>14}", "misses of", "instructions");
    for (name, ..) in CACHES {
        print!("{name:>20}");
    }
    println!();
    for (workload, calls) in WORKLOADS {
        let mut instructions = 0.0;
        let misses = CACHES.map(|(_, first, last)| {
            let [few, many] =
                calls.map(|calls| simulated(&directory, workload, calls, first, last));
            let each = |at: usize| (many[at] - few[at]) / (calls[1] - calls[0]) as f64;
            instructions = each(0);
            each(1)
        });
        print!("{workload:<22}{instructions:>14.0}");
        for each in misses {
            print!("{each:>20.2}");
        }
        println!();
    }
    Ok(())
}

/// Instructions, and data that were not in the last cache, of a run of its own.
fn simulated(store: &Path, workload: &str, calls: usize, first: &str, last: &str) -> [f64; 2] {
    let task = format!("{workload}:{calls}:{}", store.display());
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=yes", "--cachegrind-out-file=/dev/null"])
        .args([format!("--D1={first}"), format!("--LL={last}")])
        .arg(std::env::current_exe().expect("the name of this program"))
        .env(TASK, task)
        .output()
        .expect("valgrind, to be installed before");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    ["I   refs:", "LLd misses:"].map(|name| {
        let line = told.lines().find(|line| line.contains(name)).expect("a line of its own");
        let number = line.split(name).nth(1).and_then(|rest| rest.split_whitespace().next());
        number.expect("a number").replace(',', "").parse().expect("a number")
    })
}

fn run(store: &Path, workload: &str, calls: usize) -> Result<()> {
    // What is checked when it is touched first would be counted, too.
    let options = Options::new().verification(Verification::Never);
    let snapshot = Store::open_read_only(store, &options)?.snapshot();
    let mut random = Random::new("queries", 1);
    let mut tokens = Vec::with_capacity(DRAWN);
    while tokens.len() < DRAWN {
        let drawn = snapshot.select(random.below(snapshot.len()))?;
        tokens.extend(drawn.map(|(token, _)| token));
    }
    let tokens = &tokens[..calls];
    match workload {
        "lookup" => tokens.iter().for_each(|token| drop(black_box(snapshot.get(token)))),
        "signature" => tokens.iter().for_each(|token| drop(black_box(snapshot.sign(token, &PEER)))),
        "1,000 records up" => tokens.iter().for_each(|token| scan_up(&snapshot, *token)),
        "lookup in a batch" => {
            let mut values = Vec::new();
            tokens.chunks(BATCH).try_for_each(|tokens| snapshot.get_many(tokens, &mut values))?;
        }
        _ => sign_in_batches(&snapshot, tokens)?,
    }
    Ok(())
}

fn sign_in_batches(snapshot: &Snapshot, tokens: &[TokenId]) -> Result<()> {
    let mut signatures = Vec::new();
    let challenges: Vec<_> = tokens.iter().map(|token| (*token, PEER)).collect();
    challenges.chunks(BATCH).try_for_each(|batch| snapshot.sign_many(batch, &mut signatures))
}
