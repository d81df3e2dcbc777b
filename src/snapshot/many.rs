//! Many reads at once.
//!
//! One read waits for memory at each of its steps, as it learns only there where to look
//! next. Reads that have nothing to do with each other need not wait for each other: a group
//! of them takes each step together, bringing near what all of them read in the next one, so
//! that a dozen accesses to memory are under way where there was one. A batch of many groups
//! is shared among all cores.

use rayon::prelude::*;

use super::Snapshot;
use super::walk::{Course, plan};
use crate::challenge::{Leg, Walk};
use crate::error::Result;
use crate::segment::find::Found;
use crate::token::{BlockTime, Record, TokenId};

/// Lookups of a group.
const LOOKUPS: usize = 32;

/// Walks of a group.
const WALKS: usize = 16;

/// A core that is asked for help has to have this many groups to make up for the asking.
const GROUPS_PER_TASK: usize = 64;

/// Answers queries in groups of `group`, on all cores where there are many groups.
///
/// The answers come in the order of the queries, over those that were there before.
pub(crate) fn in_groups<Q: Sync, A: Default + Send>(
    group: usize,
    queries: &[Q],
    answers: &mut Vec<A>,
    answer: impl Fn(&[Q], &mut [A]) -> Result<()> + Sync,
) -> Result<()> {
    answers.resize_with(queries.len(), A::default);
    let task = |queries: &[Q], answers: &mut [A]| {
        let mut groups = queries.chunks(group).zip(answers.chunks_mut(group));
        groups.try_for_each(|(queries, answers)| answer(queries, answers))
    };
    let task_len = group * GROUPS_PER_TASK;
    if queries.len() < 2 * task_len {
        return task(queries, answers);
    }
    let tasks = queries.par_chunks(task_len).zip(answers.par_chunks_mut(task_len));
    tasks.try_for_each(|(queries, answers)| task(queries, answers))
}

impl Snapshot {
    /// The value of each of many tokens, or `None` where one is not there, in their order.
    ///
    /// What was in `values` is replaced; its memory is used again.
    ///
    /// Several times as fast as [`get`](Self::get) one by one where the store is larger than
    /// the processor's caches, as the accesses to memory of different tokens overlap. Batches
    /// of some thousand tokens or more are shared among all cores (of the calling thread's
    /// rayon pool).
    ///
    /// ```
    /// # use ringstore::{BlockId, BlockTime, Batch, Options, Store, TokenId};
    /// # let directory = tempfile::tempdir()?;
    /// # let store = Store::create(directory.path().join("tokens"), &Options::new())?;
    /// let value = BlockTime::new(BlockId::from(7), 1);
    /// store.commit(Batch::new().put(TokenId::from(2), value))?;
    /// let mut values = Vec::new();
    /// store.snapshot().get_many(&[1, 2, 3].map(TokenId::from), &mut values)?;
    /// assert_eq!(values, [None, Some(value), None]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`](crate::Error::Damaged), even if only one of the tokens cannot be
    /// looked up. What is in `values` then has no meaning.
    pub fn get_many(&self, tokens: &[TokenId], values: &mut Vec<Option<BlockTime>>) -> Result<()> {
        in_groups(LOOKUPS, tokens, values, |tokens, values| {
            let view = self.view();
            let found: [Found<'_>; LOOKUPS] = view.find_all(tokens.iter(), false)?;
            for ((token, found), value) in tokens.iter().zip(found).zip(values) {
                *value = view.newest(token, found)?.map(Record::value);
            }
            Ok(())
        })
    }

    /// Makes many [walks](Self::walk), each from a token and in legs of its own; what they
    /// met comes in their order.
    ///
    /// What was in `walks` is replaced; its memory is used again. As to speed and cores, see
    /// [`get_many`](Self::get_many).
    ///
    /// ```
    /// # use ringstore::{BlockTime, Leg, LoadOptions, Options, Record, Store, TokenId};
    /// # let directory = tempfile::tempdir()?;
    /// # let store = Store::create(directory.path().join("tokens"), &Options::new())?;
    /// # let records = (0..100_000u64).map(|i| Ok(Record::new(TokenId::from(i), BlockTime::default())));
    /// # store.bulk_load(records, &LoadOptions::new())?;
    /// let up = [Leg::up(&[7, 6])];
    /// let both = [Leg::up(&[1]), Leg::down(&[2])];
    /// let mut walks = Vec::new();
    /// let snapshot = store.snapshot();
    /// snapshot.walk_many(&[(TokenId::from(5_000), &up), (TokenId::from(70), &both)], &mut walks)?;
    /// let met: Vec<_> = walks[1].matches.iter().map(|(token, _)| *token).collect();
    /// assert_eq!(met, [1_025, 2].map(TokenId::from));
    /// assert_eq!(walks[0], snapshot.walk(&TokenId::from(5_000), &up)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`](crate::Error::Damaged), even if only one of them cannot be made.
    /// What is in `walks` then has no meaning.
    pub fn walk_many(
        &self,
        origins: &[(TokenId, &[Leg<'_>])],
        walks: &mut Vec<Walk<(TokenId, BlockTime)>>,
    ) -> Result<()> {
        in_groups(WALKS, origins, walks, |origins, walks| self.walk_all(origins, walks))
    }

    /// Makes up to [`WALKS`] walks at once.
    fn walk_all(
        &self,
        origins: &[(TokenId, &[Leg<'_>])],
        walks: &mut [Walk<(TokenId, BlockTime)>],
    ) -> Result<()> {
        let view = self.view();
        let found: [Found<'_>; WALKS] =
            view.find_all(origins.iter().map(|(token, _)| token), true)?;
        let plans: Vec<_> = origins.iter().map(|(_, legs)| plan(legs)).collect();
        let courses: Vec<_> = (origins.iter().zip(&plans).zip(found))
            .map(|(((token, _), (turns, suffixes)), found)| Course {
                token,
                found,
                turns,
                suffixes,
            })
            .collect();
        view.make_walks(&courses, walks)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Mutex;

    use super::*;
    use crate::error::Error;

    #[test]
    fn answers_come_in_order_from_however_many_threads() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let mut answers = vec![99; 7];
        for len in [0, 1, 4, 5, 639, 640, 641, 5_000, 3] {
            let queries: Vec<usize> = (0..len).collect();
            let lens = Mutex::new(Vec::new());
            let answered = pool.install(|| {
                in_groups(5, &queries, &mut answers, |queries, answers| {
                    lens.lock().unwrap().push(queries.len());
                    for (query, answer) in queries.iter().zip(answers) {
                        *answer = query * query;
                    }
                    Ok(())
                })
            });
            answered.unwrap();
            assert!(answers.iter().copied().eq((0..len).map(|query| query * query)), "{len}");
            let lens = lens.into_inner().unwrap();
            assert!(lens.iter().all(|len| *len <= 5) && lens.iter().sum::<usize>() == len);
        }
    }

    #[test]
    fn a_small_batch_stays_in_the_thread_that_asks() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let threads = Mutex::new(HashSet::new());
        let queries = vec![0; 10 * GROUPS_PER_TASK];
        let answered = pool.install(|| {
            in_groups(10, &queries, &mut Vec::<u8>::new(), |_, _| {
                threads.lock().unwrap().insert(std::thread::current().id());
                Ok(())
            })
        });
        answered.unwrap();
        assert_eq!(threads.into_inner().unwrap().len(), 1);
    }

    #[test]
    fn the_first_failure_ends_it() {
        for len in [10, 10_000] {
            let queries: Vec<usize> = (0..len).collect();
            let answered = in_groups(5, &queries, &mut Vec::<u8>::new(), |queries, _| {
                if queries.contains(&7) { Err(Error::Interrupted) } else { Ok(()) }
            });
            assert!(matches!(answered, Err(Error::Interrupted)), "{len}");
        }
    }
}
