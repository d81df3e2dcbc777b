//! The same commits to both engines on disk.

use std::collections::BTreeMap;
use std::time::Instant;

use ringstore::{Batch, ReDbTokens, Result, Store, TokenStorageBackend};
use serde::Serialize;

use super::changes::Change;
use super::compare::{EXAMPLES_MAX, median, short};
use crate::interrupt;

/// Commits that one engine makes before the other has its turn: their syncs meet on the
/// same disk.
const ROUND_COMMITS: usize = 20;

/// Only these two write to disk.
#[derive(Clone, Copy, Serialize)]
pub(super) struct OnDisk<T> {
    pub(super) ringstore: T,
    pub(super) redb: T,
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
    redb: &mut ReDbTokens,
) -> Result<Commits> {
    let mut ringstore = |changes: &[Change]| commit(store, changes);
    let mut redb = |changes: &[Change]| commit_to_redb(redb, changes);
    compare_commits(batches, expected, &mut [&mut ringstore, &mut redb])
}

/// Commits changes, and says of each whether it took place.
type Commit<'a> = &'a mut dyn FnMut(&[Change]) -> Result<Vec<bool>>;

fn compare_commits(
    batches: &[Vec<Change>],
    expected: &[Vec<bool>],
    engines: &mut [Commit<'_>; 2],
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

/// In one transaction what takes place, as redb has no conditions of its own.
fn commit_to_redb(redb: &mut ReDbTokens, changes: &[Change]) -> Result<Vec<bool>> {
    let mut now = BTreeMap::new();
    let mut applied = Vec::with_capacity(changes.len());
    for change in changes {
        let token = change.token();
        let found = match now.get(&token) {
            Some(value) => *value,
            None => redb.lookup(&token)?,
        };
        let takes_place = change.takes_place(found.as_ref());
        if takes_place {
            now.insert(token, change.value());
        }
        applied.push(takes_place);
    }
    redb.write_many(now)?;
    Ok(applied)
}

#[cfg(test)]
mod tests {
    use super::super::changes::make_batches;
    use super::super::engines::NaiveArray;
    use super::*;
    use crate::random::RandomRecords;
    use ringstore::{Options, TokenId};

    const TOKENS: u64 = 20;

    fn batches() -> Vec<Vec<Change>> {
        let tokens: Vec<_> = (0..TOKENS).map(TokenId::from).collect();
        make_batches(&tokens, 50, RandomRecords::new(1))
    }

    #[test]
    fn all_engines_come_to_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(directory.path().join("ringstore"), &Options::new()).unwrap();
        let path = directory.path().join("redb");
        let mut redb = ReDbTokens::create(path).unwrap();
        let mut array = NaiveArray(Vec::new());
        let batches = batches();
        let expected = array.apply(&batches);
        let commits = commit_to_both(&batches, &expected, &store, &mut redb).unwrap();
        assert_eq!((commits.compared, commits.differences), (300, 0));
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
            let [mut ringstore, mut redb] = [ringstore, redb].map(|all| {
                let mut rounds = all.into_iter();
                move |_: &[Change]| Ok(rounds.next().unwrap())
            });
            let found =
                compare_commits(&batches, &array, &mut [&mut ringstore, &mut redb]).unwrap();
            assert_eq!((found.compared, found.differences), (300, differences));
            assert_eq!(found.examples.len() as u64, differences);
        }
    }
}
