//! Making things on all cores that are used in order by one thread.
//!
//! As many as there are threads are made at a time, while those before are used. They are made
//! in the same few places again and again: memory that one thread gives back is not always what
//! another one gets.

use rayon::prelude::*;

use crate::error::Result;

/// No more are made at a time, as one thread uses them.
const PLACES_MAX: usize = 8;

/// Makes something of each input, in a place that may hold what was made before, and uses it
/// on the calling thread, in order.
pub(super) fn for_each_in_order<I: Sync, T: Default + Send>(
    inputs: &[I],
    make: &(dyn Fn(&I, &mut T) -> Result<()> + Sync),
    consume: &mut dyn FnMut(&mut T) -> Result<()>,
) -> Result<()> {
    if let [input] = inputs {
        // Not worth another thread.
        let mut made = T::default();
        make(input, &mut made)?;
        return consume(&mut made);
    }
    let make_all = |inputs: &[I], places: &mut Vec<T>| {
        places.resize_with(inputs.len(), T::default);
        places.par_iter_mut().zip(inputs).try_for_each(|(place, input)| make(input, place))
    };
    let mut waves = inputs.chunks(rayon::current_num_threads().clamp(1, PLACES_MAX));
    let (mut ready, mut next) = (Vec::new(), Vec::new());
    let mut made = waves.next().map_or(Ok(()), |inputs| make_all(inputs, &mut ready));
    while !ready.is_empty() {
        made?;
        made = Ok(());
        let inputs = waves.next().unwrap_or_default();
        rayon::in_place_scope(|scope| {
            scope.spawn(|_| made = make_all(inputs, &mut next));
            ready.iter_mut().try_for_each(&mut *consume)
        })?;
        std::mem::swap(&mut ready, &mut next);
    }
    made
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
        let done = for_each_in_order(inputs, &make, &mut |made: &mut usize| {
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
