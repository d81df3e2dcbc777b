//! Rounds, in each of which every contestant has its turn, another one first each time.
//!
//! A contestant that fails has no more turns, and the others go on. Engines may panic as
//! well as report an error: both count as failed.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};

use crate::exit::Failure;
use crate::interrupt::wait_if_interrupted;

/// Gives each of so many contestants its turn in these rounds: `turn` is told the number
/// of the round, and whose turn it is. How each of them fared.
pub(crate) fn in_turns(
    contestants: usize,
    rounds: impl IntoIterator<Item = usize>,
    mut turn: impl FnMut(usize, usize) -> Result<(), Failure>,
) -> Vec<Result<(), Failure>> {
    let mut outcomes: Vec<_> = (0..contestants).map(|_| Ok(())).collect();
    for round in rounds {
        for offset in 0..contestants {
            let at = (round + offset) % contestants;
            if outcomes[at].is_ok() {
                outcomes[at] = guarded(|| turn(round, at));
            }
        }
    }
    outcomes
}

/// Does something that is an engine's, which may panic.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    // What an engine leaves half done is not used again.
    let done = panic::catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(Failure::Panic(message(panic.as_ref()))));
    if done.is_err() {
        wait_if_interrupted();
    }
    done
}

/// What a panic says.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use ringstore::Error;

    use super::*;

    #[test]
    fn everybody_has_a_turn_and_another_one_is_first() {
        let mut turns = Vec::new();
        let outcomes = in_turns(3, 0..3, |round, at| {
            turns.push((round, at));
            Ok(())
        });
        assert!(outcomes.iter().all(Result::is_ok));
        assert_eq!(turns, [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (1, 0), (2, 2), (2, 0), (2, 1)]);
        assert!(in_turns(0, 0..3, |_, _| unreachable!()).is_empty());
    }

    #[test]
    fn who_fails_has_no_more_turns_and_the_others_go_on() {
        let mut turns = [0; 4];
        let outcomes = in_turns(4, 0..3, |round, at| {
            turns[at] += 1;
            match (round, at) {
                (1, 0) => Err(Error::backend("slow", "the map is full").into()),
                (0, 2) => panic!("attempt to {}", "subtract with overflow"),
                (2, 3) => panic!("no free page"),
                _ => Ok(()),
            }
        });
        assert_eq!(turns, [2, 3, 1, 3]);
        let told: Vec<_> =
            outcomes.into_iter().map(|outcome| outcome.map_err(|e| e.to_string())).collect();
        assert!(told[0].as_ref().is_err_and(|told| told.contains("the map is full")), "{told:?}");
        assert_eq!(told[1], Ok(()));
        let panicked = |text: &str| Err(format!("panicked: {text}"));
        assert_eq!(told[2], panicked("attempt to subtract with overflow"));
        assert_eq!(told[3], panicked("no free page"));
    }
}
