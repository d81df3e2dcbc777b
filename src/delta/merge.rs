//! Merging entries with those of an older part.

use super::entry::Entry;
use super::part::Part;
use crate::error::{Damage, Error, Result};
use crate::format::kinds::{Kind, Merged};
use crate::token::Record;

/// Records of an older part that are looked at at a time.
const RUN_RECORDS: usize = 4_096;

/// The entries of both, in the order of their tokens; what two entries for one token come
/// to is said by their kinds. `base_position` says where an older one lies in the base.
pub(super) fn merged(
    newer: &[Entry],
    older: &Part,
    base_position: impl Fn(usize, &Record) -> Result<usize>,
) -> Result<Vec<Entry>> {
    let mut merged = Vec::with_capacity(newer.len() + older.len());
    let mut newer = newer.iter().peekable();
    let mut position = 0;
    while position < older.len() {
        let run = older.first_run(&(position..older.len()), RUN_RECORDS)?;
        for record in run {
            let kind = older.kind(position)?;
            while let Some(entry) = newer.next_if(|newer| newer.record.token < record.token) {
                merged.push(*entry);
            }
            match newer.next_if(|newer| newer.record.token == record.token) {
                None => {
                    let base_position = base_position(position, record)?;
                    merged.push(Entry { record: *record, kind, base_position });
                }
                Some(newer) => match newer.kind.over(kind) {
                    Merged::Entry(kind) => merged.push(Entry { kind, ..*newer }),
                    Merged::Nothing => {}
                    Merged::Impossible => return Err(impossible(record, kind, newer.kind)),
                },
            }
            position += 1;
        }
    }
    merged.extend(newer);
    Ok(merged)
}

#[cold]
fn impossible(record: &Record, older: Kind, newer: Kind) -> Error {
    Error::from(Damage {
        path: "memory".into(),
        part: "kinds",
        offset: 0,
        expected: format!("what can follow {older:?} for token {}", record.token),
        found: format!("{newer:?}"),
    })
}
