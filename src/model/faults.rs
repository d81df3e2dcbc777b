//! Every fault of the disk in the midst of everything that writes, one at a time.

use super::counts::Counts;
use super::machine::Loaded;
use super::operation::{FaultEffect, Operation, Question};
use super::plan::Plan;
use super::state::{Change, When};
use crate::options::Durability;
use crate::testing::keys::KeyFamily;
use crate::token::{BlockTime, TokenId};

/// Operations of the disk that may fail: more than any of what is done takes.
const MOMENTS: usize = 40;

/// What writes, in the order in which it is tried.
fn writes(tokens: &[TokenId]) -> Vec<Vec<Operation>> {
    let put = |(token, id): (&TokenId, u64)| Change {
        token: *token,
        value: Some(BlockTime::new(id.into(), id % 4)),
        when: When::Always,
    };
    let some: Vec<_> = tokens.iter().step_by(3).zip(1_000..).map(put).collect();
    let load = some.iter().map(|change| {
        let when = When::AbsentOrOlder(change.value.unwrap_or_default().time);
        Change { when, ..*change }
    });
    let commit = |durability| Operation::Commit { changes: some.clone(), durability };
    vec![
        vec![commit(Some(Durability::Synced))],
        vec![commit(Some(Durability::Buffered)), Operation::Sync],
        vec![commit(Some(Durability::Buffered)), Operation::Flush],
        vec![commit(None), Operation::Compact],
        vec![Operation::Single(some[0])],
        vec![Operation::Load(load.collect())],
        vec![Operation::Expire(3)],
        vec![commit(Some(Durability::Buffered)), Operation::Expire(3)],
    ]
}

/// Whatever fails, all answers are those that they must be: at once, and when the store is
/// opened anew.
#[test]
fn every_fault_of_everything_that_writes() {
    let plan = Plan {
        family: KeyFamily::Edges,
        tokens: 60,
        base: 30,
        batch_max: 60,
        has_faults: true,
        ..Plan::default()
    };
    let loaded = Loaded::new(&plan).unwrap();
    let writes = writes(&plan.pool());
    let mut counts = Counts::default();
    for after in 0..MOMENTS {
        for what in 0..24 {
            let fault = Operation::Fault {
                of_read: what / 12 == 1,
                after,
                lasts: what % 2 == 1,
                no_space: what / 2 % 2 == 1,
                effect: match what / 4 % 3 {
                    0 => FaultEffect::Nothing,
                    1 => FaultEffect::Part(100),
                    _ => FaultEffect::Everything,
                },
            };
            for operations in &writes {
                let outcome = loaded.machine().and_then(|mut machine| {
                    machine.run(&fault)?;
                    for operation in operations {
                        machine.run(operation)?;
                        machine.run(&Operation::Ask(Question::Stat))?;
                    }
                    machine.run(&Operation::AskAll)?;
                    machine.finish()
                });
                match outcome {
                    Ok(found) => counts += &found,
                    Err(differs) => panic!("{differs}\nafter {fault:?}\nin {operations:?}"),
                }
            }
        }
    }
    for name in [
        "outcomes unknown",
        "unknown outcomes that were found",
        "commits that failed",
        "commits without space",
        "flushes that failed",
        "expiries that could not be synced",
    ] {
        assert!(counts.get(name) > 0, "{name}:\n{counts}");
    }
}
