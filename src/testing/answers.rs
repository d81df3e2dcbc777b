//! Every question that a backend answers, and its answer held against the right one.
//!
//! What differs is described, not panicked about: a failing case is made smaller in
//! many runs, which nobody wants to read about. Whatever the trait provides is asked
//! of the backend and of the provided method over the backend's own reads.

use std::fmt::{Arguments, Debug};
use std::path::PathBuf;

use crate::backend::{RangeIter, TokenStorageBackend};
use crate::challenge::{Chunks, Signed, Walk};
use crate::error::{Error, Result};
use crate::testing::oracle::Oracle;
use crate::token::{BlockTime, PeerId, TokenId};

/// What differs, if anything does.
pub(crate) type Outcome<T = ()> = std::result::Result<T, String>;

/// Builds a backend of records, each token once, ascending.
pub(super) type Make<'a> =
    dyn FnMut(&[(TokenId, BlockTime)]) -> Result<Box<dyn TokenStorageBackend + 'a>> + 'a;

/// A backend of these records.
pub(super) fn build<'a>(
    make: &mut Make<'a>,
    records: &[(TokenId, BlockTime)],
) -> Outcome<Box<dyn TokenStorageBackend + 'a>> {
    answer(format_args!("building a backend of {} records", records.len()), make(records))
}

pub(super) fn lookup(
    backend: &dyn TokenStorageBackend,
    token: &TokenId,
    expected: Option<BlockTime>,
) -> Outcome {
    same(format_args!("lookup of {token}"), backend.lookup(token), &expected)
}

/// Sets, and looks whether it did.
pub(super) fn set(
    backend: &mut dyn TokenStorageBackend,
    token: &TokenId,
    value: BlockTime,
    expected: bool,
) -> Outcome {
    same(format_args!("set {token} to {value:?}"), backend.set(token, value), &expected)
}

pub(super) fn len(backend: &dyn TokenStorageBackend, expected: u64) -> Outcome {
    same(format_args!("len"), backend.len(), &expected)?;
    same(format_args!("is_empty"), backend.is_empty(), &(expected == 0))
}

pub(super) fn range_after(
    backend: &dyn TokenStorageBackend,
    start: &TokenId,
    expected: impl IntoIterator<Item = (TokenId, BlockTime)>,
) -> Outcome {
    range(format_args!("range after {start}"), backend.range_after(start), expected)
}

pub(super) fn range_before(
    backend: &dyn TokenStorageBackend,
    end: &TokenId,
    expected: impl IntoIterator<Item = (TokenId, BlockTime)>,
) -> Outcome {
    range(format_args!("range before {end}"), backend.range_before(end), expected)
}

/// The first items of both ranges of every token, taken from all ranges in turn; then
/// all are dropped, most of them half way.
pub(super) fn ranges_at_once(
    backend: &dyn TokenStorageBackend,
    oracle: &Oracle,
    tokens: &[TokenId],
    items: usize,
) -> Outcome {
    let mut ranges = Vec::new();
    for token in tokens {
        let after: Vec<_> = oracle.range_after(token).take(items).collect();
        let before: Vec<_> = oracle.range_before(token).take(items).collect();
        for (name, found, expected) in [
            ("after", backend.range_after(token), after),
            ("before", backend.range_before(token), before),
        ] {
            let found = answer(format_args!("range {name} {token}"), found)?;
            ranges.push((name, token, found, expected.into_iter()));
        }
    }
    for index in 0..items {
        for (name, token, found, expected) in &mut ranges {
            same(
                format_args!("range {name} {token} among other ranges, item {index}"),
                found.next().transpose(),
                &expected.next(),
            )?;
        }
    }
    Ok(())
}

pub(super) fn walk(
    backend: &dyn TokenStorageBackend,
    origin: &TokenId,
    chunks: &Chunks,
    expected: &Walk<(TokenId, BlockTime)>,
) -> Outcome {
    let own = backend.search_signature(origin, chunks);
    let provided = Provided(backend).search_signature(origin, chunks);
    for (how, found) in [("", own), (PROVIDED, provided)] {
        let question = format_args!("search_signature{how} from {origin} for {chunks:?}");
        let found = answer(question, found)?;
        let matches = Box::new(found.matches.iter().copied().map(Ok));
        range(question, Ok(matches), expected.matches.iter().copied())?;
        same(
            format_args!("{question}: steps, wrapped, complete"),
            Ok((found.steps, found.wrapped, found.complete)),
            &(expected.steps, expected.wrapped, expected.complete),
        )?;
    }
    Ok(())
}

/// The signature, which also has to be one that any peer accepts.
pub(super) fn sign(
    backend: &dyn TokenStorageBackend,
    token: &TokenId,
    peer: &PeerId,
    expected: Option<&Signed>,
) -> Outcome {
    let own = backend.sign(token, peer);
    let provided = Provided(backend).sign(token, peer);
    for (how, found) in [("", own), (PROVIDED, provided)] {
        let question = format_args!("sign{how} of {token} for peer {peer}");
        let found = answer(question, found)?;
        same(question, Ok(found.as_ref()), &expected)?;
        if let Some(Signed { signature, .. }) = found {
            same(
                format_args!("check of what {question} made"),
                Ok(signature.check(peer)),
                &Ok(()),
            )?;
        }
    }
    Ok(())
}

const PROVIDED: &str = " as the trait provides it";

/// A backend without what it overrides.
struct Provided<'a>(&'a dyn TokenStorageBackend);

impl TokenStorageBackend for Provided<'_> {
    fn lookup(&self, token: &TokenId) -> Result<Option<BlockTime>> {
        self.0.lookup(token)
    }

    fn set(&mut self, _token: &TokenId, _value: BlockTime) -> Result<bool> {
        let reason = "it is only borrowed";
        Err(Error::Unwritable { operation: "set a token in", path: PathBuf::new(), reason })
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

/// The answer; an error is none.
pub(crate) fn answer<T>(question: Arguments<'_>, answer: Result<T>) -> Outcome<T> {
    answer.map_err(|error| format!("{question}: found the error `{error}`"))
}

pub(crate) fn same<T: PartialEq + Debug>(
    question: Arguments<'_>,
    found: Result<T>,
    expected: &T,
) -> Outcome {
    let found = answer(question, found)?;
    if found == *expected {
        return Ok(());
    }
    Err(format!("{question}: expected {expected:?}, found {found:?}"))
}

/// Stops at the first item that differs, so that a range without end has one here.
fn range(
    question: Arguments<'_>,
    found: Result<RangeIter<'_>>,
    expected: impl IntoIterator<Item = (TokenId, BlockTime)>,
) -> Outcome {
    let mut found = answer(question, found)?;
    for (index, expected) in expected.into_iter().map(Some).chain([None]).enumerate() {
        same(format_args!("{question}, item {index}"), found.next().transpose(), &expected)?;
    }
    Ok(())
}
