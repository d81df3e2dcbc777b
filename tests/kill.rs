//! A writer that is killed at any time loses nothing that it reported, and leaves no half
//! commit.
//!
//! The writer is this very program, run once more. It reports each commit through a pipe
//! after the store acknowledged it. Commit number i is fixed by i, and puts i beside its
//! other changes: so what is found says how many commits are in it, and all of it can be
//! compared with what those come to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};

use ringstore::testing::random::Random;
use ringstore::{Batch, BlockTime, Durability, Options, Store, TokenId};

const KILLS: usize = 200;
const TOKENS: u64 = 500;
const STORE: &str = "RINGSTORE_KILL_TEST_STORE";

/// Holds the number of commits.
const COUNTER: TokenId = TokenId::MAX;

fn options() -> Options {
    Options::new().log_bytes(16 << 10)
}

fn value(number: u64) -> BlockTime {
    BlockTime::new(number.into(), number)
}

/// Commit number `number`, counted from 1.
fn batch(number: u64) -> (Batch, Durability) {
    let mut random = Random::new("kill", number);
    let mut batch = Batch::new();
    for _ in 0..random.below(12) {
        let token = Random::new("token", random.below(TOKENS)).token();
        match random.below(4) {
            0 => batch.remove(token),
            1 => batch.set(token, value(number)),
            _ => batch.put(token, value(number)),
        };
    }
    batch.put(COUNTER, value(number));
    let durability = if random.below(3) == 0 { Durability::Buffered } else { Durability::Synced };
    (batch, durability)
}

fn commits(store: &Store) -> u64 {
    store.snapshot().get(&COUNTER).unwrap().map_or(0, |value| value.time)
}

/// The program that is killed; of no use by itself.
#[test]
fn writer() {
    let Some(path) = std::env::var_os(STORE) else { return };
    let store = Store::open(path, &options()).unwrap();
    let mut output = std::io::stderr();
    for number in commits(&store) + 1.. {
        let (batch, durability) = batch(number);
        store.commit_with(&batch, durability).unwrap();
        output.write_all(format!("{number}\n").as_bytes()).unwrap();
    }
}

/// Runs a writer and kills it after it reported so many commits, or while it does the next
/// ones; the last one it reported.
fn run_and_kill(path: &Path, reports: u64) -> Option<u64> {
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer", "--nocapture"])
        .env(STORE, path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(writer.stderr.take().unwrap());
    let mut line = String::new();
    let mut last = None;
    for _ in 0..reports {
        line.clear();
        output.read_line(&mut line).unwrap();
        last = Some(line.trim().parse().unwrap_or_else(|_| panic!("the writer said {line:?}")));
    }
    writer.kill().unwrap();
    writer.wait().unwrap();
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    // The last line may be cut.
    let whole = rest.rsplit_once('\n').map_or("", |(lines, _)| lines);
    whole.lines().last().map(|line| line.parse().unwrap()).or(last)
}

#[test]
fn killed_at_any_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens");
    Store::create(&path, &options()).unwrap().close().unwrap();
    let mut random = Random::new("kills", 1);
    let mut model: BTreeMap<TokenId, BlockTime> = BTreeMap::new();
    let (mut done, mut unreported, mut recovered) = (0, 0, 0);
    for kill in 0..KILLS {
        let reports = random.below(40) * random.below(4);
        let reported = run_and_kill(&path, reports).unwrap_or(done);
        // Every other time, somebody only looks first, and changes nothing.
        let looked = (kill % 2 == 0).then(|| {
            let store = Store::open_read_only(&path, &options()).unwrap();
            store.snapshot().range(..).collect::<Result<Vec<_>, _>>().unwrap()
        });
        let store = Store::open(&path, &options()).unwrap();
        let found = commits(&store);
        assert!(found >= reported, "commit {reported} was reported, {found} are there");
        for number in done + 1..=found {
            // The oracle of a batch: its operations, one by one.
            apply(&mut model, number);
        }
        let contents: Vec<_> = store.snapshot().range(..).map(Result::unwrap).collect();
        assert!(contents.iter().copied().eq(model.iter().map(|(t, v)| (*t, *v))), "kill {kill}");
        assert!(looked.is_none_or(|looked| looked == contents), "kill {kill}");
        let report = store.verify(&|_| ControlFlow::Continue(())).unwrap();
        assert_eq!(report.damages, []);
        recovered += store.stat().recovery.commits;
        unreported += found - reported;
        done = found;
    }
    println!("{KILLS} kills, {done} commits, {unreported} of them not reported, {recovered} read");
    assert!(done > 1_000 && recovered > 1_000, "{done} commits, {recovered} read");
}

/// What commit `number` does, without a store.
fn apply(model: &mut BTreeMap<TokenId, BlockTime>, number: u64) {
    let mut random = Random::new("kill", number);
    for _ in 0..random.below(12) {
        let token = Random::new("token", random.below(TOKENS)).token();
        match random.below(4) {
            0 => _ = model.remove(&token),
            1 if model.get(&token).is_some_and(|found| found.time >= number) => {}
            _ => _ = model.insert(token, value(number)),
        }
    }
    model.insert(COUNTER, value(number));
}
