//! Asking a snapshot, and comparing its answers with the model's.

use super::counts::Counts;
use super::operation::{Bounds, Question};
use super::state::Model;
use crate::challenge::{Direction, Leg, Walk};
use crate::format::kinds::Kind;
use crate::snapshot::Snapshot;
use crate::store::stat::{LayerStat, Stat};
use crate::testing::answers::{Outcome, answer, same};
use crate::testing::oracle::Oracle;
use crate::token::{BlockTime, Record, TokenId};

/// Of one walk in so many it is found out whether it passed removed tokens.
const LOOKED_FOR_TOMBSTONES: u64 = 4;

/// Asks one question.
pub(super) fn ask(
    snapshot: &Snapshot,
    model: &Model,
    question: &Question,
    counts: &mut Counts,
) -> Outcome {
    let asked = format_args!("{question:?}");
    same(format_args!("len"), Ok(snapshot.len()), &(model.len() as u64))?;
    match question {
        Question::Get(token) => {
            let expected = model.get(token);
            if expected.is_some() {
                counts.add(in_delta(model, token, "gets of the delta", "gets of the base"));
            }
            same(asked, snapshot.get(token), &expected)?;
            same(asked, snapshot.contains(token), &expected.is_some())
        }
        Question::Rank(token) => same(asked, snapshot.rank(token), &(model.rank(token) as u64)),
        Question::Select(number) => {
            let rank = number % (model.len() as u64 + 2);
            same(asked, snapshot.select(rank), &model.select(rank as usize))
        }
        Question::Count(bounds) => {
            same(asked, snapshot.count(*bounds), &(model.within(bounds).len() as u64))
        }
        Question::Range(bounds, turns) => range(snapshot, model, bounds, *turns),
        Question::Slices(bounds) => slices(snapshot, model, bounds),
        Question::Walk(origin, legs) => {
            let legs: Vec<_> = legs
                .iter()
                .map(|(direction, suffixes)| Leg { direction: *direction, suffixes })
                .collect();
            let expected = model.oracle.walk(origin, &legs);
            count_walk(model, origin, &legs, &expected, counts);
            same(asked, snapshot.walk(origin, &legs), &expected)
        }
        Question::Challenge(origin, chunks) => {
            let expected = model.oracle.search_signature(origin, chunks);
            count_walk(model, origin, &Leg::of_signature(chunks), &expected, counts);
            same(asked, snapshot.search_signature(origin, chunks), &expected)
        }
        Question::Sign(token, peer) => {
            let expected = model.oracle.sign(token, peer);
            counts.add_if("signatures", expected.is_some());
            same(asked, snapshot.sign(token, peer), &expected)?;
            match expected {
                None => Ok(()),
                Some(signed) => same(asked, snapshot.check(&signed.signature, peer), &Ok(())),
            }
        }
        Question::Stat => same(asked, Ok(snapshot.is_empty()), &(model.len() == 0)),
    }
}

fn in_delta(
    model: &Model,
    token: &TokenId,
    delta: &'static str,
    base: &'static str,
) -> &'static str {
    if model.kinds.contains_key(token) { delta } else { base }
}

fn count_walk(
    model: &Model,
    origin: &TokenId,
    legs: &[Leg<'_>],
    walk: &Walk<(TokenId, BlockTime)>,
    counts: &mut Counts,
) {
    counts.add("walks");
    counts.add_if("walks that wrapped", walk.wrapped);
    counts.add_if("walks that were not completed", !walk.complete);
    for (token, _) in &walk.matches {
        counts.add(in_delta(model, token, "tokens met in the delta", "tokens met in the base"));
    }
    if counts.get("walks").is_multiple_of(LOOKED_FOR_TOMBSTONES) {
        // Had nothing been removed, would it have met something else?
        let mut unremoved: Oracle = model.oracle.clone();
        let removed = model.kinds.iter().filter(|(_, kind)| **kind == Kind::Tombstone);
        unremoved.tokens.extend(removed.map(|(token, _)| (*token, BlockTime::default())));
        let other = unremoved.walk(origin, legs);
        counts.add_if("walks that skipped a tombstone", other.matches != walk.matches);
    }
}

/// Takes from both ends by turns, with what lies between skipped or not.
fn range(snapshot: &Snapshot, model: &Model, bounds: &Bounds, choices: u32) -> Outcome {
    let mut turns = choices;
    let question = format_args!("range {bounds:?}, {choices:#x}");
    let mut found = snapshot.range(*bounds);
    let mut expected =
        model.within(bounds).iter().map(|token| (*token, model.oracle.tokens[token]));
    for _ in 0..16 {
        same(question, Ok(found.len()), &expected.len())?;
        let skip = (turns >> 2 & 7) as usize;
        let (item, right) = match turns & 3 {
            0 => (found.next(), expected.next()),
            1 => (found.next_back(), expected.next_back()),
            2 => (found.nth(skip), expected.nth(skip)),
            _ => (found.nth_back(skip), expected.nth_back(skip)),
        };
        same(question, item.transpose(), &right)?;
        turns = turns.rotate_right(2);
    }
    if turns & 0xc0 == 0 {
        let rest: Result<Vec<_>, _> = match turns & 1 {
            0 => found.collect(),
            _ => found.rev().collect(),
        };
        let right: Vec<_> = match turns & 1 {
            0 => expected.collect(),
            _ => expected.rev().collect(),
        };
        same(question, rest, &right)?;
    }
    Ok(())
}

fn slices(snapshot: &Snapshot, model: &Model, bounds: &Bounds) -> Outcome {
    let question = format_args!("slices {bounds:?}");
    let expected = model.within(bounds);
    for direction in [Direction::Up, Direction::Down] {
        let slices = snapshot.slices(*bounds);
        let mut slices: Vec<&[Record]> = match direction {
            Direction::Up => answer(question, slices.collect())?,
            Direction::Down => answer(question, slices.rev().collect())?,
        };
        if direction == Direction::Down {
            slices.reverse();
        }
        let has_empty = slices.iter().any(|slice| slice.is_empty());
        same(format_args!("{question}: has empty slices"), Ok(has_empty), &false)?;
        let mut found = slices.into_iter().flatten();
        for token in expected {
            let right = Some(Record::new(*token, model.oracle.tokens[token]));
            same(question, Ok(found.next().copied()), &right)?;
        }
        same(question, Ok(found.next()), &None)?;
    }
    Ok(())
}

/// Whether a snapshot has just what the model has.
pub(super) fn is_same(snapshot: &Snapshot, model: &Model) -> bool {
    let expected = model.oracle.tokens.iter().map(|(token, value)| (*token, *value));
    snapshot.len() == model.len() as u64
        && snapshot.range(..).map(Result::ok).eq(expected.map(Some))
}

/// Asks for everything, in more than one way.
pub(super) fn ask_all(snapshot: &Snapshot, model: &Model, pool: &[TokenId]) -> Outcome {
    same(format_args!("len"), Ok(snapshot.len()), &(model.len() as u64))?;
    let all = (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
    slices(snapshot, model, &all)?;
    let expected = || model.oracle.tokens.iter().map(|(token, value)| (*token, *value));
    let mut up = snapshot.range(..);
    for (number, right) in expected().enumerate() {
        same(format_args!("item {number} of all"), up.next().transpose(), &Some(right))?;
    }
    same(format_args!("the end of all"), up.next().transpose(), &None)?;
    let mut down = snapshot.range(..).rev();
    for (number, right) in expected().rev().enumerate() {
        same(format_args!("item {number} from the end"), down.next().transpose(), &Some(right))?;
    }
    same(format_args!("the beginning of all"), down.next().transpose(), &None)?;
    for token in pool {
        same(format_args!("get {token}"), snapshot.get(token), &model.get(token))?;
        same(format_args!("rank {token}"), snapshot.rank(token), &(model.rank(token) as u64))?;
    }
    for rank in 0..=model.len() {
        let right = model.select(rank);
        same(format_args!("select {rank}"), snapshot.select(rank as u64), &right)?;
    }
    Ok(())
}

/// Tokens, if there are none but in layers.
pub(super) fn tokens_of(stat: &Stat) -> u64 {
    let count = |layer: &LayerStat| layer.fresh.cast_signed() - layer.tombstones.cast_signed();
    stat.each_layer.iter().map(count).sum::<i64>().cast_unsigned()
}
