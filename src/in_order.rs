//! Making things on all cores that are used in order by one thread.
//!
//! As many as there are cores are made at a time, while those before are used. They are made
//! in the same few places again and again, and those can be kept for another time: memory that one thread gives back is not always what
//! another one gets.
//!
//! Threads of its own make them, and none of a pool that others have threads in, too: commits
//! wait for what is done here, and may be made by all threads of such a pool.

use std::sync::{Mutex, PoisonError};
use std::{panic, thread};

use crate::error::Result;

/// No more are made at a time, as one thread uses them.
const PLACES_MAX: usize = 8;

/// Where things are made: those that are used, and those that will be next.
pub(crate) struct Places<T> {
    ready: Vec<T>,
    next: Vec<T>,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self { ready: Vec::new(), next: Vec::new() }
    }
}

/// Makes something of each input, in a place that may hold what was made before, and uses it
/// on the calling thread, in order.
pub(crate) fn for_each_in_order<I: Sync, T: Default + Send>(
    inputs: &[I],
    places: &mut Places<T>,
    make: &(dyn Fn(&I, &mut T) -> Result<()> + Sync),
    consume: &mut dyn FnMut(&mut T) -> Result<()>,
) -> Result<()> {
    let Places { ready, next } = places;
    if let [input] = inputs {
        // Not worth another thread.
        next.resize_with(1, T::default);
        make(input, &mut next[0])?;
        return consume(&mut next[0]);
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut waves = inputs.chunks(cores.min(PLACES_MAX));
    let mut ready_len = 0;
    loop {
        let wave = waves.next().unwrap_or_default();
        next.resize_with(next.len().max(wave.len()), T::default);
        let rest = Mutex::new(wave.iter().zip(next.iter_mut()));
        let take = || rest.lock().unwrap_or_else(PoisonError::into_inner).next();
        let make_rest = || {
            while let Some((input, place)) = take() {
                make(input, place)?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            // Where there can be no more threads, this one does it all.
            let start = |_| thread::Builder::new().spawn_scoped(scope, make_rest).ok();
            let makers: Vec<_> = wave.iter().filter_map(start).collect();
            ready[..ready_len].iter_mut().try_for_each(&mut *consume)?;
            let made = make_rest();
            let others = makers.into_iter().map(|maker| {
                maker.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked))
            });
            others.chain([made]).collect::<Result<()>>()
        })?;
        if wave.is_empty() {
            return Ok(());
        }
        ready_len = wave.len();
        std::mem::swap(ready, next);
    }
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
}
