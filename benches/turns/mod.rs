//! Timing contestants in turns, round by round.
//!
//! Absolute times say as much about the machine and the moment as about the code; a
//! ratio of two that were timed in turns holds.

use std::path::PathBuf;
use std::time::{Duration, Instant};

const WARM_UP_ROUNDS: usize = 2;

/// Something that several contestants do.
pub(super) struct Workload<'a> {
    name: &'static str,
    /// What one operation is.
    unit: &'static str,
    aim: &'static str,
    contestants: Vec<Contestant<'a>>,
}

struct Contestant<'a> {
    name: &'static str,
    operations: usize,
    run: Box<dyn FnMut(usize) + 'a>,
    times: Vec<Duration>,
}

impl<'a> Workload<'a> {
    pub(super) fn new(name: &'static str, unit: &'static str, aim: &'static str) -> Self {
        Self { name, unit, aim, contestants: Vec::new() }
    }

    /// Adds a contestant, which does so many operations in one round; slow ones get fewer.
    /// `run` is given the number of the operation.
    pub(super) fn with(
        mut self,
        name: &'static str,
        operations: usize,
        run: impl FnMut(usize) + 'a,
    ) -> Self {
        let times = Vec::new();
        self.contestants.push(Contestant { name, operations, run: Box::new(run), times });
        self
    }

    /// Lets each contestant run, another one first in each round: whoever follows itself
    /// finds more in the caches than whoever follows another.
    fn round(&mut self, round: usize, timed: bool) {
        let count = self.contestants.len();
        self.contestants.rotate_left(round % count);
        for contestant in &mut self.contestants {
            let first = round * contestant.operations;
            let start = Instant::now();
            for operation in first..first + contestant.operations {
                (contestant.run)(operation);
            }
            if timed {
                contestant.times.push(start.elapsed());
            }
        }
        self.contestants.rotate_right(round % count);
    }

    /// The first contestant is the one that the others are compared with.
    fn report(&mut self) {
        println!("{}: one operation is {}; aim: {}", self.name, self.unit, self.aim);
        let nanos: Vec<f64> = self.contestants.iter_mut().map(Contestant::median_nanos).collect();
        for (contestant, each) in self.contestants.iter().zip(&nanos) {
            println!("    {:<26} {:>12} {:>9.2} x", contestant.name, human(*each), each / nanos[0]);
        }
    }
}

impl Contestant<'_> {
    fn median_nanos(&mut self) -> f64 {
        self.times.sort_unstable();
        let middle = self.times[self.times.len() / 2];
        middle.as_nanos() as f64 / self.operations as f64
    }
}

fn human(nanos: f64) -> String {
    if nanos < 1_000.0 { format!("{nanos:.0} ns") } else { format!("{:.2} us", nanos / 1e3) }
}

/// Runs each workload in so many rounds and reports the medians.
pub(super) fn run_in_turns(workloads: &mut [Workload<'_>], rounds: usize) {
    for workload in workloads {
        for round in 0..rounds + WARM_UP_ROUNDS {
            workload.round(round, round >= WARM_UP_ROUNDS);
        }
        workload.report();
    }
}

/// What a bench is told.
pub(super) struct Arguments {
    pub(super) tokens: usize,
    pub(super) rounds: usize,
    /// Where databases go.
    pub(super) directory: Option<PathBuf>,
}

impl Arguments {
    pub(super) fn of_command() -> Self {
        let mut parsed = Self { tokens: 1_000_000, rounds: 15, directory: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().unwrap_or_else(|| panic!("{argument} needs a value"));
            match argument.as_str() {
                "--tokens" => parsed.tokens = value().parse().expect("a number of tokens"),
                "--rounds" => parsed.rounds = value().parse().expect("a number of rounds"),
                "--dir" => parsed.directory = Some(value().into()),
                // What cargo passes to every bench.
                "--bench" => {}
                other => panic!("unknown argument {other}; there are --tokens, --rounds, --dir"),
            }
        }
        parsed
    }
}
