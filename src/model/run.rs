//! Running a machine from its beginning to its end.

use super::counts::Counts;
use super::machine::Loaded;
use super::plan::Plan;
use crate::testing::random::Random;

/// Runs a machine for so many operations, with everything compared at the end; what
/// happened how often.
///
/// # Panics
///
/// If anything differs from what should be. The message says which plan it was and which
/// operation.
#[track_caller]
pub fn run(plan: &Plan, operations: u64) -> Counts {
    let mut said = Said { plan, operation: 0 };
    let mut source = Random::new("model", plan.seed);
    let outcome = Loaded::new(plan).and_then(|loaded| {
        let mut machine = loaded.machine()?;
        for operation in 0..operations {
            said.operation = operation;
            machine.step(&mut source)?;
        }
        said.operation = operations;
        machine.finish()
    });
    match outcome {
        Ok(counts) => counts,
        Err(differs) => panic!("{differs}"),
    }
}

/// Says where it was when there is a panic, be it the store's own.
struct Said<'a> {
    plan: &'a Plan,
    operation: u64,
}

impl Drop for Said<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in operation {} of {:?}", self.operation, self.plan);
        }
    }
}
