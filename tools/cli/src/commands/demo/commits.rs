//! The changes that all engines make alike.

use std::array;
use std::path::Path;
use std::time::Instant;

use redb::{Database, ReadableTable, TableDefinition};
use ringstore::{Batch, BlockId, BlockTime, Error, Record, Result, Store, TokenId};
use serde::Serialize;

use super::compare::{EXAMPLES_MAX, median, short};
use super::report::OnDisk;
use crate::interrupt;
use crate::random::RandomRecords;

/// Changes of a batch.
const BATCH_LEN: usize = 6;

/// Commits that one engine makes before the other has its turn: their syncs meet on the
/// same disk.
const ROUND_COMMITS: usize = 20;

/// A change of a token.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Put(Record),
    Set(Record),
    Remove(TokenId),
}

impl Change {
    pub(super) fn token(&self) -> TokenId {
        match *self {
            Self::Put(record) | Self::Set(record) => record.token,
            Self::Remove(token) => token,
        }
    }

    /// What the token maps to once the change took place.
    pub(super) fn value(&self) -> Option<BlockTime> {
        match self {
            Self::Put(record) | Self::Set(record) => Some(record.value()),
            Self::Remove(_) => None,
        }
    }

    /// Whether it takes place where the token has this value, or none.
    pub(super) fn takes_place(&self, found: Option<&BlockTime>) -> bool {
        match self {
            Self::Put(_) => true,
            Self::Set(record) => found.is_none_or(|found| found.time < record.time()),
            Self::Remove(_) => found.is_some(),
        }
    }
}

/// Batches of changes of some of these tokens, and of some of them several times.
pub(super) fn make_batches(
    tokens: &[TokenId],
    count: usize,
    random: RandomRecords,
) -> Vec<Vec<Change>> {
    let changes = random.map(|random| {
        let index = u64::from_be_bytes(array::from_fn(|at| random.token.0[at]));
        let token = tokens[(index % tokens.len() as u64) as usize];
        let record = Record::new(token, random.value());
        match random.token.0[31] % 3 {
            0 => Change::Put(record),
            1 => Change::Set(record),
            _ => Change::Remove(token),
        }
    });
    let changes: Vec<_> = changes.take(count * BATCH_LEN).collect();
    changes.chunks(BATCH_LEN).map(<[_]>::to_vec).collect()
}

/// Commits that were made to both engines on disk.
#[derive(Serialize)]
pub(super) struct Commits {
    /// Number of changes of which each engine said whether it took place.
    pub(super) compared: u64,
    /// Number of those of which not all said the same.
    pub(super) differences: u64,
    /// Some of them, in words.
    #[serde(skip)]
    pub(super) examples: Vec<String>,
    /// Median time of a commit.
    pub(super) ns_per_commit: OnDisk<f64>,
}

/// Commits all batches to both, by turns, and compares what was expected of each change.
pub(super) fn commit_to_both(
    batches: &[Vec<Change>],
    expected: &[Vec<bool>],
    store: &Store,
    redb: &RedbWriter,
) -> Result<Commits> {
    let ringstore = |changes: &[Change]| commit(store, changes);
    let redb = |changes: &[Change]| redb.commit(changes);
    compare_commits(batches, expected, [&ringstore, &redb])
}

/// Commits changes, and says of each whether it took place.
type Commit<'a> = &'a dyn Fn(&[Change]) -> Result<Vec<bool>>;

fn compare_commits(
    batches: &[Vec<Change>],
    expected: &[Vec<bool>],
    engines: [Commit<'_>; 2],
) -> Result<Commits> {
    let mut commits_ns = [Vec::new(), Vec::new()];
    let (mut compared, mut differences, mut examples) = (0, 0, Vec::new());
    let rounds = batches.chunks(ROUND_COMMITS).zip(expected.chunks(ROUND_COMMITS));
    for (round, (batches, expected)) in rounds.enumerate() {
        interrupt::check()?;
        let mut applied = [Vec::new(), Vec::new()];
        for turn in 0..engines.len() {
            let engine = (round + turn) % engines.len();
            for batch in batches {
                let started = Instant::now();
                applied[engine].extend(engines[engine](batch)?);
                commits_ns[engine].push(started.elapsed().as_nanos() as f64);
            }
        }
        let expected = expected.concat();
        for (index, change) in batches.iter().flatten().enumerate() {
            let said = [&applied[0], &applied[1], &expected].map(|said| said[index]);
            if said != [said[2]; 3] {
                differences += 1;
                if examples.len() < EXAMPLES_MAX {
                    let [ringstore, redb, array] = said;
                    let change = short(change);
                    examples.push(format!(
                        "whether {change} takes place: ringstore {ringstore}, redb {redb}, array {array}"
                    ));
                }
            }
        }
        compared += expected.len() as u64;
    }
    let [ringstore, redb] = commits_ns.map(median);
    Ok(Commits { compared, differences, examples, ns_per_commit: OnDisk { ringstore, redb } })
}

fn commit(store: &Store, changes: &[Change]) -> Result<Vec<bool>> {
    let mut batch = Batch::new();
    for change in changes {
        match *change {
            Change::Put(record) => batch.put(record.token, record.value()),
            Change::Set(record) => batch.set(record.token, record.value()),
            Change::Remove(token) => batch.remove(token),
        };
    }
    Ok(store.commit(&batch)?.applied)
}

/// The table of [`ReDbTokens`](ringstore::ReDbTokens), which has no removals of its own:
/// the value is the block and the time as a big-endian number.
const TOKENS: TableDefinition<'_, &[u8; 32], &[u8; 40]> = TableDefinition::new("tokens");

/// A database of [`ReDbTokens`](ringstore::ReDbTokens), to be changed.
pub(super) struct RedbWriter(Database);

impl RedbWriter {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Database::open(path).map(Self).map_err(|error| Error::backend("redb", error))
    }

    fn commit(&self, changes: &[Change]) -> Result<Vec<bool>> {
        self.try_commit(changes).map_err(|error| Error::backend("redb", error))
    }

    fn try_commit(&self, changes: &[Change]) -> Result<Vec<bool>, redb::Error> {
        let transaction = self.0.begin_write()?;
        let mut table = transaction.open_table(TOKENS)?;
        let mut applied = Vec::with_capacity(changes.len());
        for change in changes {
            let token = change.token().0;
            let found = table.get(&token)?.map(|value| decode(value.value()));
            let takes_place = change.takes_place(found.as_ref());
            match change.value() {
                _ if !takes_place => {}
                Some(value) => drop(table.insert(&token, &encode(&value))?),
                None => drop(table.remove(&token)?),
            }
            applied.push(takes_place);
        }
        drop(table);
        transaction.commit()?;
        Ok(applied)
    }
}

fn encode(value: &BlockTime) -> [u8; 40] {
    let time = value.time.to_be_bytes();
    array::from_fn(|at| if at < 32 { value.block.0[at] } else { time[at - 32] })
}

fn decode(bytes: &[u8; 40]) -> BlockTime {
    let time = u64::from_be_bytes(array::from_fn(|at| bytes[32 + at]));
    BlockTime::new(BlockId(array::from_fn(|at| bytes[at])), time)
}

#[cfg(test)]
mod tests {
    use super::super::engines::NaiveArray;
    use super::*;
    use ringstore::{Options, ReDbTokens, TokenStorageBackend};

    const TOKENS: u64 = 20;

    fn batches() -> Vec<Vec<Change>> {
        let tokens: Vec<_> = (0..TOKENS).map(TokenId::from).collect();
        make_batches(&tokens, 50, RandomRecords::new(1))
    }

    #[test]
    fn batches_hold_every_kind_of_change() {
        let batches = batches();
        assert_eq!(batches.len(), 50);
        assert!(batches.iter().all(|batch| batch.len() == BATCH_LEN));
        let expected = NaiveArray(Vec::new()).apply(&batches);
        for (name, kind) in [("put", 0), ("set", 1), ("remove", 2)] {
            let of_kind = |change: &Change| match change {
                Change::Put(_) => kind == 0,
                Change::Set(_) => kind == 1,
                Change::Remove(_) => kind == 2,
            };
            let changes = batches.iter().flatten().zip(expected.iter().flatten());
            let (made, not): (Vec<_>, Vec<_>) =
                changes.filter(|(change, _)| of_kind(change)).partition(|(_, made)| **made);
            assert!(made.len() > 20, "{name}");
            assert_eq!(not.is_empty(), kind == 0, "{name}");
        }
    }

    #[test]
    fn all_engines_come_to_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(directory.path().join("ringstore"), &Options::new()).unwrap();
        let path = directory.path().join("redb");
        drop(ReDbTokens::create(&path).unwrap());
        let redb = RedbWriter::open(&path).unwrap();
        let mut array = NaiveArray(Vec::new());
        let batches = batches();
        let expected = array.apply(&batches);
        let commits = commit_to_both(&batches, &expected, &store, &redb).unwrap();
        assert_eq!((commits.compared, commits.differences), (300, 0));
        drop(redb);
        let redb = ReDbTokens::open(&path).unwrap();
        let mut there = 0;
        for token in (0..TOKENS).map(TokenId::from) {
            let found = array.find(&token);
            assert_eq!(store.snapshot().get(&token).unwrap(), found);
            assert_eq!(redb.lookup(&token).unwrap(), found);
            there += u64::from(found.is_some());
        }
        assert!(there > 0 && there < TOKENS);
        assert!(array.0.is_sorted_by(|a, b| a.token < b.token));
    }

    #[test]
    fn whoever_says_otherwise_is_noticed() {
        let batches = batches();
        let right = NaiveArray(Vec::new()).apply(&batches);
        let says = |all: &[Vec<bool>], wrong: bool| {
            let mut all = all.to_vec();
            all[7][3] ^= wrong;
            all
        };
        for (wrong, differences) in [
            ([false, false, false], 0),
            ([true, false, false], 1),
            ([false, true, false], 1),
            ([false, false, true], 1),
        ] {
            let [ringstore, redb, array] = wrong.map(|wrong| says(&right, wrong));
            let rounds = [ringstore, redb].map(|all| std::cell::RefCell::new(all.into_iter()));
            let [ringstore, redb] = rounds
                .each_ref()
                .map(|rounds| move |_: &[Change]| Ok(rounds.borrow_mut().next().unwrap()));
            let found = compare_commits(&batches, &array, [&ringstore, &redb]).unwrap();
            assert_eq!((found.compared, found.differences), (300, differences));
            assert_eq!(found.examples.len() as u64, differences);
        }
    }
}
