//! Timing how long it takes to open a database that was closed, and to look up a token, in
//! turns. Closing it is not timed. What its files have is in the system's cache, and is not
//! read before: an engine that has to read all of it pays for that here.

use std::hint::black_box;
use std::time::{Duration, Instant};

use ringstore::Error;

use crate::data::Queries;
use crate::exit::Failure;
use crate::load::Closed;
use crate::reads::Effort;
use crate::talk;
use crate::timing::Times;
use crate::turns::in_turns;
use crate::workload::Workload;

/// One result for each database; no times of those that keep nothing.
pub(crate) fn measure(
    closed: &[Closed],
    records: usize,
    queries: &Queries,
    effort: Effort,
) -> Vec<Result<Times, Failure>> {
    let mut all: Vec<_> = closed.iter().map(|_| (Times::new(), 0)).collect();
    talk::stage(Workload::Open.name(), (effort.rounds + 1) * closed.len());
    // One more, to warm up.
    let outcomes = in_turns(closed.len(), 0..=effort.rounds, |round, at| {
        talk::turn(closed[at].engine.name());
        let (times, opened) = &mut all[at];
        let mut singles = Vec::new();
        while singles.iter().sum::<Duration>() < effort.turn {
            let token = queries.hit(*opened);
            *opened += 1;
            let started = Instant::now();
            let Some(database) = closed[at].open(records)? else {
                return Ok(());
            };
            let found = black_box(database.lookup(token)?);
            singles.push(started.elapsed());
            if found.is_none() {
                let name = closed[at].engine.name();
                return Err(Error::backend(name, format!("{token} is gone once opened")).into());
            }
        }
        if round > 0 {
            times.add_round(singles.len() as u64, singles.iter().sum());
            times.add_singles(singles);
        }
        Ok(())
    });
    outcomes.into_iter().zip(all).map(|(outcome, (times, _))| outcome.map(|()| times)).collect()
}
