//! Asking the engines the same questions, in turns, and comparing the answers.

use std::fmt::Debug;
use std::time::Instant;

use ringstore::Result;
use serde::Serialize;

use super::engines::Engine;
use crate::interrupt;
use crate::progress::{Meter, Unit};

/// Differences that are told.
pub(super) const EXAMPLES_MAX: usize = 3;

/// How much of an answer is told.
const EXAMPLE_CHARS_MAX: usize = 300;

/// One thing of each engine.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Each<T> {
    pub(super) ringstore: T,
    pub(super) redb: T,
    pub(super) array: T,
}

impl<T> Each<T> {
    fn into_array(self) -> [T; 3] {
        [self.ringstore, self.redb, self.array]
    }

    fn from_array([ringstore, redb, array]: [T; 3]) -> Self {
        Self { ringstore, redb, array }
    }
}

/// A kind of question that all engines were asked.
#[derive(Serialize)]
pub(super) struct Comparison {
    pub(super) operation: &'static str,
    /// Number of questions.
    pub(super) compared: u64,
    /// Number of questions that were not answered alike, and rightly, by all.
    pub(super) differences: u64,
    /// Some of the differences, in words.
    #[serde(skip)]
    pub(super) examples: Vec<String>,
    /// Median time of one operation.
    pub(super) ns: Each<f64>,
}

/// Asks every engine every question and compares the answers with the array's. What
/// the answers are alike in must also be right.
///
/// The engines take turns, a batch of questions each, so that whatever else the
/// machine does meets all of them; and who begins changes from round to round.
pub(super) fn compare<Q: Debug, A: PartialEq + Debug + Default + Clone>(
    operation: &'static str,
    engines: Each<&dyn Engine>,
    questions: &[Q],
    batch_len: usize,
    ask: impl Fn(&dyn Engine, &Q, &mut A) -> Result<()>,
    mut is_right: impl FnMut(&Q, &A) -> bool,
) -> Result<Comparison> {
    let engines = engines.into_array();
    let mut rounds_ns: [Vec<f64>; 3] = Default::default();
    let mut answers: [Vec<A>; 3] = std::array::from_fn(|_| vec![A::default(); batch_len]);
    let (mut compared, mut differences, mut examples) = (0, 0, Vec::new());
    let meter = Meter::new();
    for (round, batch) in questions.chunks(batch_len).enumerate() {
        interrupt::check()?;
        meter.show(operation, Unit::Records, compared, Some(questions.len() as u64));
        for turn in 0..engines.len() {
            let engine = (round + turn) % engines.len();
            let started = Instant::now();
            for (question, answer) in batch.iter().zip(&mut answers[engine]) {
                ask(engines[engine], question, answer)?;
            }
            rounds_ns[engine].push(started.elapsed().as_nanos() as f64 / batch.len() as f64);
        }
        let [ringstore, redb, array] = &answers;
        for (index, question) in batch.iter().enumerate() {
            let (ringstore, redb, array) = (&ringstore[index], &redb[index], &array[index]);
            if ringstore != array || redb != array || !is_right(question, array) {
                differences += 1;
                if examples.len() < EXAMPLES_MAX {
                    let [ringstore, redb, array] = [ringstore, redb, array].map(short);
                    let question = short(question);
                    examples.push(format!(
                        "{operation} of {question}: ringstore {ringstore}, redb {redb}, array {array}"
                    ));
                }
            }
        }
        compared += batch.len() as u64;
    }
    Ok(Comparison {
        operation,
        compared,
        differences,
        examples,
        ns: Each::from_array(rounds_ns.map(median)),
    })
}

pub(super) fn short(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(EXAMPLE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The middle value, or the larger of the two; 0 of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringstore::{BlockTime, Direction, PeerId, Signed, TokenId};

    /// An engine that knows one value for all tokens.
    struct Same(BlockTime);

    impl Engine for Same {
        fn get(&self, _: &TokenId) -> Result<Option<BlockTime>> {
            Ok(Some(self.0))
        }

        fn sign(&self, _: &TokenId, _: &PeerId) -> Result<Option<Signed>> {
            Ok(None)
        }

        fn range(
            &self,
            _: &TokenId,
            _: Direction,
            _: usize,
            _: &mut Vec<(TokenId, BlockTime)>,
        ) -> Result<()> {
            Ok(())
        }
    }

    fn differences(times: [u64; 3], right: u64) -> u64 {
        let [a, b, c] = times.map(|time| Same(BlockTime { time, ..BlockTime::default() }));
        let questions: Vec<_> = (0..7).map(TokenId::from).collect();
        let engines = Each { ringstore: &a as &dyn Engine, redb: &b, array: &c };
        let ask = |engine: &dyn Engine, token: &TokenId, answer: &mut _| {
            *answer = engine.get(token)?;
            Ok(())
        };
        let is_right = |_: &TokenId, answer: &Option<BlockTime>| {
            answer.is_some_and(|value| value.time == right)
        };
        let compared = compare("get", engines, &questions, 3, ask, is_right).unwrap();
        assert_eq!(compared.compared, 7);
        assert_eq!(compared.examples.len() as u64, compared.differences.min(3));
        compared.differences
    }

    #[test]
    fn whoever_answers_otherwise_is_noticed() {
        assert_eq!(differences([1, 1, 1], 1), 0);
        assert_eq!(differences([2, 1, 1], 1), 7);
        assert_eq!(differences([1, 2, 1], 1), 7);
        assert_eq!(differences([1, 1, 2], 1), 7);
        assert_eq!(differences([1, 1, 1], 2), 7);
    }

    #[test]
    fn medians() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!(median(vec![]).abs() < f64::EPSILON);
    }
}
