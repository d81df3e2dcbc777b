//! What a writer does step by step, and what a store holds after so many steps.
//!
//! Step number n is fixed by n: a commit, a load or an expiry. Commits and loads put n under a
//! token of its own, the counter; an expiry removes another one, the mark, that the commit
//! before it put. So what is found says by itself how many steps are in it, and all of it can
//! be compared with what those come to. Flushes, compactions and checkpoints change nothing
//! that can be seen, and come in between.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use ringstore::testing::random::Random;
use ringstore::{
    Batch, BlockTime, Durability, LoadOptions, Options, Progress, Record, Result, Snapshot, Store,
    TokenId,
};

/// Tokens that are written, but for the two below: so few that an expiry is one commit.
const TOKENS: u64 = 500;

/// Holds the number of the last commit or load.
const COUNTER: TokenId = TokenId::MAX;

/// Goes with the next expiry.
const MARK: TokenId = TokenId([0; 32]);

/// Steps from one expiry to the next.
const CYCLE: u64 = 16;

/// What is older than so many steps expires.
const KEPT_STEPS: u64 = 100;

/// Nobody watches.
pub(crate) fn unwatched(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A small log and a small delta: both are full after a few dozen steps.
pub(crate) fn options() -> Options {
    Options::new().log_bytes(16 << 10).delta_entries(100)
}

/// What a step does.
enum Step {
    Commit(Batch, Durability),
    Load(Vec<Record>),
    /// Removes what is older.
    Expire(u64),
}

/// What a commit does to one token.
#[derive(Clone, Copy)]
enum Change {
    Put,
    Set,
    Remove,
}

fn is_expiry(number: u64) -> bool {
    number.is_multiple_of(CYCLE)
}

fn is_load(number: u64) -> bool {
    number % CYCLE == CYCLE / 2
}

/// What kind of step it is.
pub(crate) fn kind(number: u64) -> &'static str {
    match number {
        _ if is_expiry(number) => "expire",
        _ if is_load(number) => "load",
        _ => "commit",
    }
}

fn expires_before(number: u64) -> u64 {
    // What has the time 0 in any case.
    number.saturating_sub(KEPT_STEPS).max(1)
}

fn value(token: &TokenId, number: u64) -> BlockTime {
    let block = u64::from_be_bytes(token.0[..8].try_into().unwrap()) ^ number;
    BlockTime::new(block.into(), number)
}

/// What a commit or load does, in order.
fn changes(number: u64) -> Vec<(TokenId, Change)> {
    let mut random = Random::new("step", number);
    let count = if is_load(number) { 40 } else { random.below(12) };
    let mut changes: Vec<_> = (0..count)
        .map(|_| {
            let token = Random::new("token", random.below(TOKENS)).token();
            let change = match random.below(4) {
                _ if is_load(number) => Change::Put,
                0 => Change::Remove,
                1 => Change::Set,
                _ => Change::Put,
            };
            (token, change)
        })
        .collect();
    changes.push((COUNTER, Change::Put));
    changes
}

fn step(number: u64) -> Step {
    if is_expiry(number) {
        return Step::Expire(expires_before(number));
    }
    let changes = changes(number);
    if is_load(number) {
        let records = changes.iter().map(|(token, _)| Record::new(*token, value(token, number)));
        return Step::Load(records.collect());
    }
    let mut batch = Batch::new();
    for (token, change) in changes {
        let value = value(&token, number);
        match change {
            Change::Put => batch.put(token, value),
            Change::Set => batch.set(token, value),
            Change::Remove => batch.remove(token),
        };
    }
    if is_expiry(number + 1) {
        batch.put(MARK, BlockTime::new(number.into(), 0));
    }
    Step::Commit(batch, if is_synced(number) { Durability::Synced } else { Durability::Buffered })
}

/// Whether a commit survives the power.
pub(crate) fn is_synced(number: u64) -> bool {
    Random::new("durability", number).below(3) > 0
}

/// Takes a step.
pub(crate) fn take(store: &Store, number: u64) -> Result<()> {
    match step(number) {
        Step::Commit(batch, durability) => store.commit_with(&batch, durability).map(drop),
        Step::Load(records) => {
            store.bulk_load(records.into_iter().map(Ok), &LoadOptions::new()).map(drop)
        }
        Step::Expire(before) => store.expire(before, &unwatched).map(drop),
    }
}

/// How many steps are in a snapshot.
pub(crate) fn steps(snapshot: &Snapshot) -> u64 {
    let commits = snapshot.get(&COUNTER).unwrap().map_or(0, |value| value.time);
    let is_expired = is_expiry(commits + 1) && !snapshot.contains(&MARK).unwrap();
    commits + u64::from(is_expired)
}

/// What a store holds after so many steps.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) steps: u64,
    contents: BTreeMap<TokenId, BlockTime>,
}

impl Model {
    fn advance_to(&mut self, steps: u64) {
        assert!(steps >= self.steps, "{steps} steps after {}", self.steps);
        for number in self.steps + 1..=steps {
            self.apply(number);
        }
        self.steps = steps;
    }

    fn apply(&mut self, number: u64) {
        if is_expiry(number) {
            self.contents.retain(|_, value| value.time >= expires_before(number));
            return;
        }
        for (token, change) in changes(number) {
            let found = self.contents.get(&token);
            match change {
                Change::Remove => _ = self.contents.remove(&token),
                Change::Set if found.is_some_and(|found| found.time >= number) => {}
                Change::Put | Change::Set => {
                    self.contents.insert(token, value(&token, number));
                }
            }
        }
        if is_expiry(number + 1) {
            self.contents.insert(MARK, BlockTime::new(number.into(), 0));
        }
    }

    /// Compares all that a snapshot holds.
    #[track_caller]
    pub(crate) fn compare(&self, snapshot: &Snapshot) {
        let found: Vec<_> = snapshot.range(..).map(Result::unwrap).collect();
        let is_same = found.iter().copied().eq(self.contents.iter().map(|(t, v)| (*t, *v)));
        assert!(is_same, "after {} steps there is {found:?}", self.steps);
        assert_eq!(snapshot.len(), self.contents.len() as u64, "after {} steps", self.steps);
    }

    /// Goes on to what a snapshot holds, no less than so many steps, and compares it.
    #[track_caller]
    pub(crate) fn follow(&mut self, snapshot: &Snapshot, least: u64) {
        let found = steps(snapshot);
        assert!(found >= least, "{least} steps were acknowledged, {found} are there");
        self.advance_to(found);
        self.compare(snapshot);
    }
}

/// Compares all that a store holds, which are so many steps at least and at the most, and
/// verifies its files.
#[track_caller]
pub(crate) fn check(store: &Store, least: u64, most: u64) -> Model {
    let (snapshot, mut model) = (store.snapshot(), Model::default());
    model.follow(&snapshot, least);
    assert!(model.steps <= most, "{most} steps were begun, {} are there", model.steps);
    assert_eq!(store.verify(&unwatched).unwrap().damages, []);
    model
}
