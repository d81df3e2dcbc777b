//! A crash at every moment, and an error at every call: what may be found afterwards.
//!
//! Leaving out any one of the four syncs of a load, of the segment, of the directory, of
//! the manifest, of the directory again, was tried, and made each of these tests fail.

use std::ops::ControlFlow;

use super::*;
use crate::format::names::is_segment;
use crate::load::options::{LoadOptions, LoadReport};
use crate::testing::keys::KeyFamily;
use crate::testing::sim::{Effect, Fault, SimDisk};
use crate::token::Record;
use crate::token::{BlockTime, TokenId};

const RECORDS: usize = 40;

/// The ways in which a call may fail: without effect, with some, or having done all that it
/// was to do.
const ERRORS: [(i32, Effect); 6] = [
    (libc::EIO, Effect::Nothing),
    (libc::EIO, Effect::Part(255)),
    (libc::EIO, Effect::Everything),
    (libc::ENOSPC, Effect::Nothing),
    (libc::ENOSPC, Effect::Part(1)),
    (libc::ENOSPC, Effect::Part(128)),
];

/// What a store may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Holds {
    /// It does not exist, and can be created.
    NoStore,
    Nothing,
    Everything,
}

fn tokens() -> Vec<TokenId> {
    KeyFamily::Uniform.generate(RECORDS, 1)
}

fn value(token: &TokenId) -> BlockTime {
    BlockTime::new(token.0.into(), 7)
}

fn create(disk: &SimDisk) -> Result<Store> {
    Store::create_on(disk.clone(), &Options::new())
}

fn open(disk: &SimDisk) -> Result<Store> {
    Store::open_on(disk.clone(), &Options::new())
}

fn load(store: &Store) -> Result<LoadReport> {
    let records = tokens().into_iter().map(|token| Ok(Record::new(token, value(&token))));
    store.bulk_load(records, &LoadOptions::new())
}

/// Opens what a crash left, as its owner would, and says what is there: all of it right,
/// and nothing else on the disk.
fn recover(disk: &SimDisk) -> Holds {
    let store = match open(disk) {
        Ok(store) => store,
        Err(Error::NotAStore { .. }) => {
            assert_eq!(create(disk).unwrap().snapshot().len(), 0);
            return Holds::NoStore;
        }
        Err(error) => panic!("{error}"),
    };
    let snapshot = store.snapshot();
    let report = store.verify(&|_| ControlFlow::Continue(())).unwrap();
    assert_eq!(report.damages, []);
    let found: Result<Vec<_>> = snapshot.range(..).collect();
    let found = found.unwrap();
    let mut names = disk.list().unwrap();
    names.retain(|name| name != LOCK);
    if found.is_empty() {
        assert_eq!(names, [MANIFEST]);
        return Holds::Nothing;
    }
    assert!(found.into_iter().eq(tokens().into_iter().map(|token| (token, value(&token)))));
    let [segment, manifest] = names.as_slice() else { panic!("{names:?}") };
    assert!(is_segment(segment) && manifest == MANIFEST);
    Holds::Everything
}

/// Recovers every image that a crash may leave at any moment; `allowed` says what each
/// moment may lead to. Crashes in the recovery as well, at each of its moments. The
/// number of images.
fn crash_everywhere(disk: &SimDisk, allowed: impl Fn(usize) -> &'static [Holds]) -> usize {
    let mut images = 0;
    for moment in 0..=disk.operations() {
        let allowed = allowed(moment);
        for (number, image) in disk.images(moment).enumerate() {
            images += 1;
            let found = recover(&image);
            assert!(allowed.contains(&found), "{found:?} in image {number} of moment {moment}");
            for again in 0..image.operations() {
                for image in image.images(again) {
                    images += 1;
                    let later = recover(&image);
                    // Creating anew, after nothing was found, may be cut short as well.
                    let is_same =
                        later == found || found == Holds::NoStore && later == Holds::Nothing;
                    assert!(is_same, "{later:?} after {found:?}, moments {moment} and {again}");
                }
            }
        }
    }
    images
}

#[test]
fn a_crash_leaves_what_was_there_or_what_was_acknowledged() {
    let disk = SimDisk::default();
    let store = create(&disk).unwrap();
    let created = disk.operations();
    load(&store).unwrap();
    let loaded = disk.operations();
    drop(store);
    drop(open(&disk).unwrap());
    let images = crash_everywhere(&disk, |moment| match moment {
        _ if moment < created => &[Holds::NoStore, Holds::Nothing],
        _ if moment < loaded => &[Holds::Nothing, Holds::Everything],
        _ => &[Holds::Everything],
    });
    println!("{images} images of {loaded} moments");
    assert!(images > 1_000, "{images}");
}

/// Two loads: the first fails, the second goes well, so that what the first left is there
/// while the second is written.
#[test]
fn a_crash_in_a_load_after_one_that_failed() {
    let calls = {
        let disk = SimDisk::default();
        let store = create(&disk).unwrap();
        let before = disk.operations();
        load(&store).unwrap();
        before..disk.operations()
    };
    let created = calls.start;
    let mut images = 0;
    for at in calls {
        let disk = SimDisk::default();
        let store = create(&disk).unwrap();
        disk.fail(Fault::at_operation(at).effect(Effect::Part(128)));
        let first = load(&store);
        let failed = disk.operations();
        let second = load(&store);
        let ended = disk.operations();
        drop(store);
        let is_unknown = matches!(first, Err(Error::OutcomeUnknown { .. }));
        assert!(first.is_ok() || second.is_ok() != is_unknown, "{first:?} {second:?}");
        images += crash_everywhere(&disk, |moment| match moment {
            _ if moment < created => &[Holds::NoStore, Holds::Nothing],
            // Acknowledged, or, where the outcome was not known, either.
            _ if moment == ended && !is_unknown => &[Holds::Everything],
            _ if moment <= failed || moment < ended || is_unknown => {
                &[Holds::Nothing, Holds::Everything]
            }
            _ => &[Holds::Everything],
        });
    }
    println!("{images} images");
    assert!(images > 10_000, "{images}");
}

/// A process is killed, what it left is opened and perhaps loaded into, and then the power
/// fails: what was seen once stays. Without a sync of the directory on opening it did not.
#[test]
fn what_was_opened_after_a_kill_outlives_the_power() {
    let disk = SimDisk::default();
    let store = create(&disk).unwrap();
    load(&store).unwrap();
    drop(store);
    for moment in 0..=disk.operations() {
        for loads in [false, true] {
            let killed = disk.killed(moment);
            let mut found = recover(&killed);
            if loads && found != Holds::Everything {
                load(&open(&killed).unwrap()).unwrap();
                found = Holds::Everything;
            }
            for image in killed.images(killed.operations()) {
                let later = recover(&image);
                let is_same = later == found || found == Holds::NoStore && later == Holds::Nothing;
                assert!(is_same, "{later:?} after {found:?}, moment {moment}");
            }
        }
    }
}

/// A call fails, of who writes or of who opens what a kill left, the store is opened anew, and
/// then the power fails: what was seen once stays. After a sync of the directory that failed,
/// another one may do nothing; without the mark that names may not be durable it did not stay.
#[test]
fn what_was_opened_after_an_error_outlives_the_power() {
    let disk = SimDisk::default();
    drop(create(&disk).unwrap());
    let created = disk.operations();
    let store = open(&disk).unwrap();
    let opened = disk.operations();
    load(&store).unwrap();
    drop(store);
    let mut images = 0;
    // So many calls are done and then the process ends, and another one opens the store.
    for done in [created].into_iter().chain(opened..disk.operations()) {
        for (errno, effect) in ERRORS {
            for lasts in [false, true] {
                for call in 0.. {
                    let disk = disk.killed(done);
                    let fault = Fault::at_operation(call).errno(errno).effect(effect);
                    disk.fail(if lasts { fault.lasting() } else { fault });
                    if let Ok(store) = open(&disk) {
                        let _ = load(&store);
                    }
                    disk.heal();
                    let was_reached = disk.operations() > call;
                    let found = recover(&disk);
                    for image in disk.images(disk.operations()) {
                        images += 1;
                        let later = recover(&image);
                        assert_eq!(later, found, "{errno} {effect:?} {lasts} {done} {call}");
                    }
                    if !was_reached {
                        break;
                    }
                }
            }
        }
    }
    println!("{images} images");
    assert!(images > 1_000, "{images}");
}

/// Every call failing in every way, once and from then on: the store says so, goes on
/// being read, and what is there afterwards is what it said.
#[test]
fn an_error_at_any_call_is_reported_and_does_no_harm() {
    let (mut not_created, mut not_loaded) = (0, 0);
    for (errno, effect) in ERRORS {
        for lasts in [false, true] {
            for at in 0.. {
                let disk = SimDisk::default();
                let fault = Fault::at_operation(at).errno(errno).effect(effect);
                disk.fail(if lasts { fault.lasting() } else { fault });
                let Ok(store) = create(&disk) else {
                    not_created += 1;
                    continue;
                };
                let loaded = load(&store);
                let len = store.snapshot().len();
                assert_eq!(len, if loaded.is_ok() { RECORDS as u64 } else { 0 });
                drop(store);
                let is_unknown = matches!(loaded, Err(Error::OutcomeUnknown { .. }));
                for image in disk.images(disk.operations()) {
                    let found = recover(&image);
                    match &loaded {
                        Ok(_) => assert_eq!(found, Holds::Everything, "call {at}"),
                        Err(_) if is_unknown => assert_ne!(found, Holds::NoStore, "call {at}"),
                        Err(_) => assert_eq!(found, Holds::Nothing, "call {at}"),
                    }
                }
                if disk.operations() <= at {
                    break;
                }
                not_loaded += usize::from(loaded.is_err());
            }
        }
    }
    println!("creating failed {not_created} times, loading {not_loaded}");
    assert!(not_created > 20 && not_loaded > 50, "{not_created} {not_loaded}");
}
