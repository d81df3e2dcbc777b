//! A script of commits, with a crash at every moment of it and an error at every call.
//!
//! The state after each commit has a number. Of every moment it is known which commits
//! were acknowledged as durable and which were begun: what a crash at that moment leaves
//! must come to one of the states between, whole, and to the same one again whatever
//! happens to the recovery.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::LazyLock;

use super::crashes::ERRORS;
use super::*;
use crate::compact::policy::LAYERS_MAX;
use crate::format::names::{is_log, is_segment};
use crate::testing::keys::KeyFamily;
use crate::testing::random::Random;
use crate::testing::sim::{Fault, SimDisk};

/// So many that they do not fit one log.
const TOKENS: usize = 160;

/// Images of each moment of each recovery.
const RECOVERY_IMAGES: usize = 4;

/// Of so many images one's recovery is tried at every moment.
const RECOVERED_ONE_OF: u64 = 8;

type State = BTreeMap<TokenId, BlockTime>;

#[derive(Clone, Debug)]
enum Step {
    Commit(Batch, Durability),
    Sync,
    Flush,
    /// Closed and opened again.
    Reopen,
}

/// What is flushed is flushed while others commit, or always at the same point; and layers
/// are compacted, or not, so that flushes take the newest ones.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Flushes {
    Background,
    Inline,
    Uncompacted,
}

fn options(flushes: Flushes) -> Options {
    let options = Options::new().log_bytes(Options::LOG_BYTES_MIN);
    match flushes {
        Flushes::Background => options,
        Flushes::Inline | Flushes::Uncompacted => options.inline(),
    }
}

fn create(disk: &SimDisk, flushes: Flushes) -> Result<Store> {
    let store = Store::create_on(disk.clone(), &options(flushes))?;
    if flushes == Flushes::Uncompacted {
        store.pause_compaction()?;
    }
    Ok(store)
}

fn open(disk: &SimDisk) -> Result<Store> {
    Store::open_on(disk.clone(), &options(Flushes::Inline))
}

fn token(id: u64) -> TokenId {
    static ALL: LazyLock<Vec<TokenId>> = LazyLock::new(|| KeyFamily::Uniform.generate(TOKENS, 1));
    ALL[id as usize % TOKENS]
}

fn value(time: u64) -> BlockTime {
    BlockTime::new(time.into(), time)
}

/// Commits of all sizes, buffered and synced, removals, logs that run full, clean ends.
fn script() -> Vec<Step> {
    let mut random = Random::new("script", 1);
    let mut time = 0;
    let mut batch = |puts: u64, removes: u64| {
        let mut batch = Batch::new();
        for _ in 0..puts {
            time += 1;
            batch.put(token(random.number()), value(time));
        }
        for _ in 0..removes {
            batch.remove(token(random.number()));
        }
        batch
    };
    let mut steps = Vec::new();
    for (puts, removes, durability) in [
        (1, 0, Durability::Synced),
        (6, 0, Durability::Synced),
        (3, 0, Durability::Buffered),
        (2, 2, Durability::Buffered),
        (6, 3, Durability::Synced),
        (40, 0, Durability::Synced),
        (1, 1, Durability::Buffered),
        (20, 9, Durability::Buffered),
    ] {
        steps.push(Step::Commit(batch(puts, removes), durability));
    }
    steps.push(Step::Sync);
    // So much that a log is full, and another one begun, before anything of it is synced.
    for _ in 0..4 {
        steps.push(Step::Commit(batch(60, 0), Durability::Buffered));
    }
    steps.push(Step::Commit(batch(5, 1), Durability::Synced));
    steps.push(Step::Commit(batch(5, 1), Durability::Buffered));
    steps.push(Step::Reopen);
    // One token several times, and what comes to nothing.
    let mut several = batch(1, 0);
    several
        .put(token(3), value(900))
        .remove(token(3))
        .put(token(3), value(901))
        .set(token(3), value(5));
    let mut nothing = Batch::new();
    nothing.put(TokenId::MAX, value(902)).remove(TokenId::MAX).set(token(3), value(1));
    steps.push(Step::Commit(several, Durability::Synced));
    steps.push(Step::Commit(nothing, Durability::Synced));
    steps.push(Step::Reopen);
    // Put and removed again and again: logs come and go.
    for round in 0..10 {
        let durability = if round % 3 == 0 { Durability::Buffered } else { Durability::Synced };
        steps.push(Step::Commit(batch(2, 0), durability));
        steps.push(Step::Commit(batch(0, 4), Durability::Buffered));
    }
    steps.push(Step::Sync);
    // Nothing is left in the end.
    let mut all = Batch::new();
    (0..TOKENS as u64).for_each(|id| _ = all.remove(token(id)));
    steps.push(Step::Commit(all, Durability::Synced));
    steps.push(Step::Reopen);
    steps.push(Step::Commit(batch(3, 0), Durability::Synced));
    steps
}

/// Flushes with little between them: so many that layers are merged, and the base with
/// them, and what was flushed is changed and removed.
fn flushes_script() -> Vec<Step> {
    let mut random = Random::new("flushes", 1);
    let mut steps = Vec::new();
    for round in 0..9 {
        let mut batch = Batch::new();
        for time in 0..3 {
            batch.put(token(random.below(20)), value(100 * round + time));
        }
        batch.remove(token(random.below(20)));
        let durability = if round % 2 == 0 { Durability::Buffered } else { Durability::Synced };
        steps.push(Step::Commit(batch, durability));
        if round != 4 {
            steps.push(Step::Flush);
        }
        if round == 5 {
            steps.push(Step::Reopen);
        }
    }
    // What is left comes to nothing.
    let mut all = Batch::new();
    (0..20).for_each(|id| _ = all.remove(token(id)));
    steps.push(Step::Commit(all, Durability::Buffered));
    steps.push(Step::Flush);
    steps
}

/// What a batch makes of a state.
fn after(state: &State, batch: &Batch) -> State {
    let mut state = state.clone();
    for operation in batch.operations() {
        if operation.condition.holds(state.get(&operation.token)) {
            match operation.value {
                Some(value) => state.insert(operation.token, value),
                None => state.remove(&operation.token),
            };
        }
    }
    state
}

/// What was done, and what each moment may lead to.
struct Played {
    disk: SimDisk,
    states: Vec<State>,
    /// By the number of operations on the disk before it.
    allowed: Vec<RangeInclusive<usize>>,
}

fn play(steps: &[Step], flushes: Flushes) -> Played {
    let disk = SimDisk::default();
    let mut store = Some(create(&disk, flushes).unwrap());
    let mut states = vec![State::new()];
    let created = disk.operations();
    let mut durable = 0;
    let mut allowed = vec![0..=0; created];
    for step in steps {
        let before = durable;
        match step {
            Step::Commit(batch, durability) => {
                states.push(after(&states[states.len() - 1], batch));
                store.as_ref().unwrap().commit_with(batch, *durability).unwrap();
                if *durability == Durability::Synced {
                    durable = states.len() - 1;
                }
            }
            Step::Sync => {
                store.as_ref().unwrap().sync().unwrap();
                durable = states.len() - 1;
            }
            Step::Flush => {
                store.as_ref().unwrap().flush().unwrap();
                durable = states.len() - 1;
            }
            Step::Reopen => {
                store.take().unwrap().close().unwrap();
                durable = states.len() - 1;
                store = Some(Store::open_on(disk.clone(), &options(flushes)).unwrap());
            }
        }
        assert!(contents(store.as_ref().unwrap()) == states[states.len() - 1]);
        allowed.resize(disk.operations(), before..=states.len() - 1);
    }
    // What is done in the background is done by then.
    store.take().unwrap().close().unwrap();
    allowed.resize(disk.operations(), durable..=states.len() - 1);
    allowed.push(states.len() - 1..=states.len() - 1);
    Played { disk, states, allowed }
}

/// All that a store holds, read in more than one way.
fn contents(store: &Store) -> State {
    let snapshot = store.snapshot();
    let found: Result<State> = snapshot.range(..).collect();
    let found = found.unwrap();
    assert_eq!(snapshot.len(), found.len() as u64);
    for id in 0..TOKENS as u64 {
        assert_eq!(snapshot.get(&token(id)).unwrap(), found.get(&token(id)).copied());
    }
    found
}

/// Opens what a crash left, as its owner would, and says what is there: all of it right,
/// and nothing else on the disk. `None` where no store was made yet.
fn recover(disk: &SimDisk) -> Option<State> {
    let store = match open(disk) {
        Ok(store) => store,
        Err(Error::NotAStore { .. }) => return None,
        Err(error) => panic!("{error}"),
    };
    let report = store.verify(&|_| ControlFlow::Continue(())).unwrap();
    assert_eq!(report.damages, []);
    let names = disk.list().unwrap();
    let named = manifest::read(disk).unwrap().unwrap();
    assert_eq!(names.iter().filter(|name| is_log(name)).count(), named.logs.len());
    let segments = named.layers.iter().flatten().count();
    assert_eq!(names.iter().filter(|name| is_segment(name)).count(), segments);
    assert_eq!(names.len(), 2 + named.logs.len() + segments, "{names:?}");
    Some(contents(&store))
}

#[test]
fn a_crash_leaves_all_that_was_acknowledged_and_no_half_commit() {
    crash_at_every_moment(&script(), Flushes::Inline);
}

#[test]
fn a_crash_in_a_flush_leaves_all_that_was_acknowledged() {
    let played = crash_at_every_moment(&flushes_script(), Flushes::Uncompacted);
    assert!(most(&played, is_segment) >= LAYERS_MAX, "no layers were merged");
}

#[test]
fn a_crash_in_a_compaction_leaves_all_that_was_acknowledged() {
    let played = crash_at_every_moment(&flushes_script(), Flushes::Inline);
    assert!(most(&played, is_segment) > 2, "nothing was compacted");
}

#[test]
fn a_crash_in_a_flush_in_the_background_leaves_all_that_was_acknowledged() {
    let played = crash_at_every_moment(&script(), Flushes::Background);
    assert!(most(&played, is_log) > 1, "nothing was committed while something was sealed");
}

/// How many files there were at a time, at the most.
fn most(played: &Played, is_it: fn(&str) -> bool) -> usize {
    let names = |moment| played.disk.killed(moment).list().unwrap();
    let count = |moment| names(moment).iter().filter(|name| is_it(name)).count();
    (0..played.allowed.len()).map(count).max().unwrap_or(0)
}

fn crash_at_every_moment(steps: &[Step], flushes: Flushes) -> Played {
    let played = play(steps, flushes);
    let Played { disk, states, allowed } = &played;
    let (mut images, mut recoveries, mut found_states) = (0, 0, vec![0; states.len()]);
    let mut random = Random::new("recoveries", 1);
    for (moment, allowed) in allowed.iter().enumerate() {
        for image in disk.images(moment) {
            images += 1;
            let Some(found) = recover(&image) else {
                assert_eq!(*allowed, 0..=0, "moment {moment}");
                continue;
            };
            let number = allowed.clone().find(|number| states[*number] == found);
            let Some(number) = number else {
                let other = states.iter().position(|state| *state == found);
                panic!("moment {moment}: state {other:?}, not one of {allowed:?}");
            };
            found_states[number] += 1;
            if random.below(RECOVERED_ONE_OF) > 0 {
                continue;
            }
            for at in 0..=image.operations() {
                for crashed in image.some_images(at, RECOVERY_IMAGES, random.number()) {
                    recoveries += 1;
                    assert!(recover(&crashed).unwrap() == found, "moments {moment}, {at}");
                }
            }
        }
    }
    println!("{images} images of {} moments, {recoveries} of their recoveries", allowed.len());
    println!("times that each state was found: {found_states:?}");
    assert!(images > 1_000 && recoveries > 10_000, "{images} {recoveries}");
    // Of states that are the same the first one is counted.
    let are_found = found_states
        .iter()
        .enumerate()
        .all(|(number, times)| *times > 0 || states[..number].contains(&states[number]));
    assert!(are_found, "{found_states:?}");
    played
}

/// A process is killed, what it left is opened, perhaps written to, and then the power
/// fails: what was seen once stays.
#[test]
fn what_was_opened_after_a_kill_outlives_the_power() {
    let Played { disk, allowed, states } = play(&script(), Flushes::Inline);
    let mut images = 0;
    for (moment, allowed) in allowed.iter().enumerate() {
        for commits in [false, true] {
            let killed = disk.killed(moment);
            let Some(mut found) = recover(&killed) else { continue };
            // Nothing is lost of what was acknowledged in whatever way.
            assert!(allowed.clone().any(|number| states[number] == found));
            if commits {
                let store = open(&killed).unwrap();
                store.put(&token(1), value(1_000)).unwrap();
                found.insert(token(1), value(1_000));
            }
            for image in killed.images(killed.operations()) {
                images += 1;
                assert!(recover(&image).unwrap() == found, "moment {moment}");
            }
        }
    }
    println!("{images} images");
    assert!(images > 500, "{images}");
}

/// Every call failing in every way, once and from then on: the store says so, goes on
/// being read, takes commits again unless it cannot know what the disk has, and what is
/// there afterwards is what it said.
#[test]
fn an_error_at_any_call_is_reported_and_loses_nothing() {
    fail_at_every_call(&script());
}

/// Of a flush as well: what could not be flushed is still there, and flushed the next time.
#[test]
fn an_error_at_any_call_of_a_flush_is_reported_and_loses_nothing() {
    fail_at_every_call(&flushes_script());
}

fn fail_at_every_call(steps: &[Step]) {
    let (mut runs, mut unknown, mut no_space, mut refused, mut images) = (0, 0, 0, 0, 0);
    for (errno, effect) in ERRORS {
        for lasts in [false, true] {
            for at in 0.. {
                let disk = SimDisk::default();
                let mut store = create(&disk, Flushes::Inline).unwrap();
                let at = disk.operations() + at;
                let fault = Fault::at_operation(at).errno(errno).effect(effect);
                disk.fail(if lasts { fault.lasting() } else { fault });
                runs += 1;
                let mut state = State::new();
                // What may be there as well, if the outcome is not known.
                let mut maybe: Option<State> = None;
                for step in steps {
                    let result = match step {
                        Step::Commit(batch, durability) => {
                            let next = after(&state, batch);
                            let result = store.commit_with(batch, *durability).map(|_| ());
                            if result.is_ok() {
                                state = next;
                            } else if matches!(result, Err(Error::OutcomeUnknown { .. })) {
                                maybe = Some(next);
                            }
                            result
                        }
                        Step::Flush => store.flush(),
                        Step::Sync | Step::Reopen => store.sync(),
                    };
                    match result {
                        Ok(()) | Err(Error::Io { .. }) => {}
                        Err(Error::OutcomeUnknown { .. }) => unknown += 1,
                        Err(Error::NoSpace { .. }) => no_space += 1,
                        Err(Error::Unwritable { .. }) => {
                            refused += 1;
                            assert!(unknown > 0);
                        }
                        Err(error) => panic!("call {at}: {error}"),
                    }
                    assert!(contents(&store) == state, "call {at}");
                    if matches!(step, Step::Reopen) && disk.operations() <= at {
                        let closed = store.close();
                        assert!(closed.is_ok() || disk.operations() > at, "{closed:?}");
                        store = open(&disk).unwrap_or_else(|_| {
                            disk.heal();
                            open(&disk).unwrap()
                        });
                    }
                }
                let is_over = disk.operations() <= at;
                drop(store);
                disk.heal();
                let found = recover(&disk).unwrap();
                assert!(found == state || Some(&found) == maybe.as_ref(), "call {at} {errno}");
                for image in disk.images(disk.operations()) {
                    images += 1;
                    assert!(recover(&image).unwrap() == found, "call {at}: the power failed");
                }
                if is_over {
                    break;
                }
            }
        }
    }
    println!(
        "{runs} runs, {unknown} unknown, {no_space} without space, {refused} refused, {images} images"
    );
    assert!(runs > 300 && unknown > 50 && no_space > 5 && refused > 100);
}
