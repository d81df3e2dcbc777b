//! Making things on all cores that are used in order by one thread.
//!
//! Each is made in a place of its own, of which there are few: who makes waits for one that was
//! used. The same places are taken again and again, and can be kept for another time: memory
//! that one thread gives back is not always what another one gets.
//!
//! Threads of its own make them, and none of a pool that others have threads in, too: commits
//! wait for what is done here, and may be made by all threads of such a pool.

use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::error::Result;

/// No more make at a time, as one thread uses what is made.
const MAKERS_MAX: usize = 8;

/// Places for each that makes: one where it makes, and one that is to be used.
const PLACES_PER_MAKER: usize = 2;

/// Where things are made.
pub(crate) struct Places<T>(Vec<T>);

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// Makes something of each input, in a place that may hold what was made before, and uses it
/// on the calling thread, in order.
pub(crate) fn for_each_in_order<I: Sync, T: Default + Send>(
    inputs: &[I],
    Places(places): &mut Places<T>,
    make: &(dyn Fn(&I, &mut T) -> Result<()> + Sync),
    consume: &mut dyn FnMut(&mut T) -> Result<()>,
) -> Result<()> {
    // How many cores there are is looked up in files each time.
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    let makers = if inputs.len() > 1 { cores().min(MAKERS_MAX).min(inputs.len()) } else { 1 };
    if makers <= 1 {
        // Not worth another thread.
        places.resize_with(places.len().max(1), T::default);
        return in_turns(inputs, &mut places[0], make, consume);
    }
    let count = inputs.len().min(PLACES_PER_MAKER * makers);
    places.resize_with(places.len().max(count), T::default);
    let (give_back, free) = mpsc::channel();
    let rest = Mutex::new((inputs.iter().enumerate(), free));
    // All that were taken before have places, and are used before this is.
    let take = || {
        let mut rest = rest.lock().unwrap_or_else(PoisonError::into_inner);
        let input = rest.0.next()?;
        Some((input, rest.1.recv().ok()?))
    };
    let make_some = |ready: Sender<_>| {
        while let Some(((index, input), mut place)) = take() {
            let made = panic::catch_unwind(AssertUnwindSafe(|| make(input, &mut place)));
            if ready.send((index, made.map(|made| made.map(|()| place)))).is_err() {
                return;
            }
        }
    };
    let done = thread::scope(|scope| {
        // Who makes ends when either of these is gone.
        let (ready, made) = mpsc::channel();
        let give_back = give_back;
        places.drain(..count).for_each(|place| drop(give_back.send(place)));
        for number in 0..makers {
            let ready = ready.clone();
            let started = thread::Builder::new().spawn_scoped(scope, || make_some(ready));
            if number == 0 && started.is_err() {
                return in_turns(inputs, &mut T::default(), make, consume);
            }
        }
        let mut early = BTreeMap::new();
        let mut next = 0;
        while next < inputs.len()
            && let Ok((index, made)) = made.recv()
        {
            early.insert(index, made);
            while let Some(made) = early.remove(&next) {
                let mut place = made.unwrap_or_else(|panicked| panic::resume_unwind(panicked))?;
                consume(&mut place)?;
                let _ = give_back.send(place);
                next += 1;
            }
        }
        Ok(())
    });
    let (_, free) = rest.into_inner().unwrap_or_else(PoisonError::into_inner);
    places.extend(free.try_iter());
    done
}

/// The same where there is no other thread.
fn in_turns<I, T>(
    inputs: &[I],
    place: &mut T,
    make: &(dyn Fn(&I, &mut T) -> Result<()> + Sync),
    consume: &mut dyn FnMut(&mut T) -> Result<()>,
) -> Result<()> {
    inputs.iter().try_for_each(|input| {
        make(input, place)?;
        consume(place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn failing_at(at: usize, is_made: bool, inputs: &[usize]) -> (Result<()>, Vec<usize>) {
        let check = |input: usize, fails: bool| {
            if fails && input == at { Err(Error::Interrupted) } else { Ok(()) }
        };
        let mut used = Vec::new();
        let make = |input: &usize, place: &mut usize| {
            *place = 2 * input;
            check(*input, is_made)
        };
        let done =
            for_each_in_order(inputs, &mut Places::default(), &make, &mut |made: &mut usize| {
                used.push(*made);
                check(*made / 2, !is_made)
            });
        (done, used)
    }

    #[test]
    fn all_are_used_in_order() {
        for count in [0, 1, 2, 3, 7, 8, 9, 100] {
            let inputs: Vec<_> = (0..count).collect();
            let (done, used) = failing_at(usize::MAX, true, &inputs);
            assert!(done.is_ok());
            assert!(used.into_iter().eq(inputs.iter().map(|input| 2 * input)));
        }
    }

    #[test]
    fn whatever_fails_ends_it() {
        for count in [1, 2, 3, 7, 100] {
            let inputs: Vec<_> = (0..count).collect();
            for at in 0..count {
                let (done, used) = failing_at(at, true, &inputs);
                assert!(matches!(done, Err(Error::Interrupted)));
                assert!(
                    used.len() <= at && used.iter().enumerate().all(|(i, made)| *made == 2 * i)
                );
                let (done, used) = failing_at(at, false, &inputs);
                assert!(matches!(done, Err(Error::Interrupted)) && used.len() == at + 1);
            }
        }
    }

    #[test]
    fn whatever_panics_ends_it() {
        let inputs: Vec<_> = (0..100).collect();
        for (at, is_made) in [0, 1, 50, 99].into_iter().flat_map(|at| [(at, true), (at, false)]) {
            let check =
                |input: usize, panics: bool| assert!(input != at || !panics, "made to panic");
            let panicked = panic::catch_unwind(|| {
                let make = |input: &usize, place: &mut usize| {
                    *place = *input;
                    check(*input, is_made);
                    Ok(())
                };
                for_each_in_order(&inputs, &mut Places::default(), &make, &mut |made| {
                    check(*made, !is_made);
                    Ok(())
                })
            });
            assert!(panicked.is_err());
        }
    }

    /// Or memory would be taken again and again.
    #[test]
    fn places_are_kept() {
        let (mut places, inputs) = (Places::default(), [(); 100]);
        let made = Mutex::new(0);
        let make = |(): &(), place: &mut usize| {
            let mut made = made.lock().unwrap();
            *made += usize::from(*place == 0);
            *place = 1;
            Ok(())
        };
        for _ in 0..10 {
            for_each_in_order(&inputs, &mut places, &make, &mut |_| Ok(())).unwrap();
            assert!(*made.lock().unwrap() <= PLACES_PER_MAKER * MAKERS_MAX);
            assert_eq!(places.0.len(), *made.lock().unwrap());
        }
    }
}
