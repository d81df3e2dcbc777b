//! The suite finds whatever rule a backend breaks, and says so.

use std::panic::{UnwindSafe, catch_unwind};

use ringstore::testing::conformance::Suite;
use ringstore::{BlockTime, Error, MemTokens, RangeIter, Result, TokenId, TokenStorageBackend};

use crate::mutant::{BUGS, Bug, MANY, Mutant, When};

/// What the suite says of a backend, if anything.
fn complaint(check: impl FnOnce() + UnwindSafe) -> Option<String> {
    let panic = catch_unwind(check).err()?;
    Some(*panic.downcast::<String>().expect("the suite panics with what differs"))
}

fn complaint_about(bug: Bug, when: When) -> Option<String> {
    complaint(move || {
        Suite::new().check(|records| Ok(Mutant::new(bug, when, records)));
    })
}

#[test]
fn without_a_bug_it_conforms() {
    for when in [When::Always, When::AfterWrites] {
        assert_eq!(complaint_about(Bug::None, when), None);
    }
}

fn check_all(when: When) {
    let missed: Vec<_> = BUGS
        .iter()
        .filter(|bug| match complaint_about(**bug, when) {
            Some(complaint) => {
                println!("{bug:?}: {complaint}");
                assert!(complaint.starts_with("the backend does not conform: "), "{complaint}");
                false
            }
            None => true,
        })
        .collect();
    assert!(missed.is_empty(), "the suite misses {missed:?}");
}

#[test]
fn every_bug_is_found() {
    check_all(When::Always);
}

/// By the reads over key families, or by random operations.
#[test]
fn every_bug_is_found_beyond_the_fixed_vectors() {
    check_all(When::BeyondVectors);
}

#[test]
fn every_bug_is_found_by_random_operations_alone() {
    check_all(When::AfterWrites);
}

/// This bug takes no more than thirteen tokens, and two operations, to show.
#[test]
fn few_operations_are_left_of_many() {
    let complaint = complaint_about(Bug::SetReplacesEqualTime, When::AfterWrites).unwrap();
    let (records, operations) = complaint.split_once("then:\n").expect("operations are shown");
    let operations: Vec<_> = operations.lines().collect();
    assert!((1..=3).contains(&operations.len()), "{complaint}");
    assert!(operations.iter().all(|operation| operation.contains("Set(TokenId(")), "{complaint}");
    assert!(records.lines().count() <= 3 + MANY as usize + 4, "{complaint}");
    assert_eq!(
        complaint_about(Bug::SetReplacesEqualTime, When::AfterWrites).as_ref(),
        Some(&complaint),
        "every run asks the same"
    );
}

/// Holds what it was built of, and answers to every `set` as it is told.
struct Fixed(MemTokens, fn() -> Result<bool>);

impl TokenStorageBackend for Fixed {
    fn lookup(&self, token: &TokenId) -> Result<Option<BlockTime>> {
        self.0.lookup(token)
    }

    fn set(&mut self, _token: &TokenId, _value: BlockTime) -> Result<bool> {
        self.1()
    }

    fn range_after(&self, start: &TokenId) -> Result<RangeIter<'_>> {
        self.0.range_after(start)
    }

    fn range_before(&self, end: &TokenId) -> Result<RangeIter<'_>> {
        self.0.range_before(end)
    }

    fn len(&self) -> Result<u64> {
        self.0.len()
    }
}

#[test]
fn read_only_is_not_silent() {
    let refuses = || {
        let (operation, path) = ("set a token in", "nowhere".into());
        Err(Error::Unwritable { operation, path, reason: "it is fixed" })
    };
    let read_only = |set| {
        complaint(move || {
            let suite = Suite::new().read_only().cases(16);
            suite.check(|records| Ok(Fixed(records.iter().copied().collect(), set)));
        })
    };
    assert_eq!(read_only(refuses), None);
    for set in [|| Ok(false), || Ok(true), || Err(Error::backend("fixed", "no"))] {
        let complaint = read_only(set).expect("any other answer is a wrong one");
        assert!(complaint.contains("expected Error::Unwritable"), "{complaint}");
    }
    let writes = complaint(|| {
        let suite = Suite::new().read_only();
        suite.check(|records| Ok(records.iter().copied().collect::<MemTokens>()));
    });
    assert!(writes.is_some_and(|complaint| complaint.contains("found Ok(true)")));
    let whole = complaint(move || {
        Suite::new().check(|records| Ok(Fixed(records.iter().copied().collect(), refuses)));
    });
    assert!(whole.is_some_and(|complaint| complaint.contains("it is fixed")));
}

#[test]
fn what_cannot_be_built_does_not_conform() {
    let complaint = complaint(|| {
        Suite::new().check(|records| match records.len() {
            1_000 => Err(Error::backend("mutant", "too many")),
            _ => Ok(records.iter().copied().collect::<MemTokens>()),
        });
    });
    assert!(complaint.is_some_and(|complaint| {
        complaint.contains("building a backend of 1000 records: found the error `mutant: too many`")
    }));
}
