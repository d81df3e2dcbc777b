//! Exponential search from a guess.
//!
//! Steps of 1, 2, 4, … away from the guess bracket the answer, then a binary search
//! in the bracket finds it: O(log d) comparisons, where d is how far off the guess
//! was (J. L. Bentley, A. C. Yao, "An almost optimal algorithm for unbounded
//! searching", 1976). A guess that is off by more than a few steps was no guess: then the
//! bracket is all that is left, which is searched in half as many comparisons, and in
//! places that other searches look at as well.

/// A step that is longer goes to the end.
const STEP_MAX: usize = 16;

/// The number of leading positions below `len` for which `before` holds.
///
/// `before` must hold for a prefix of the positions and for none after it; if it
/// does not, the answer is some position up to `len`. A guess beyond `len` counts as
/// `len`.
#[inline]
pub(crate) fn gallop(len: usize, guess: usize, mut before: impl FnMut(usize) -> bool) -> usize {
    let guess = guess.min(len);
    let (mut low, mut high);
    let mut step = 1;
    if guess < len && before(guess) {
        low = guess + 1;
        loop {
            high = if step > STEP_MAX { len } else { low.saturating_add(step - 1).min(len) };
            if high == len || !before(high) {
                break;
            }
            low = high + 1;
            step *= 2;
        }
    } else {
        high = guess;
        loop {
            low = if step > STEP_MAX { 0 } else { high.saturating_sub(step) };
            if high == 0 || before(low) {
                low = if high == 0 { 0 } else { low + 1 };
                break;
            }
            high = low;
            step *= 2;
        }
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps that grow more slowly, or brackets that are one too wide, were tried, and made this
    /// fail: not by a wrong answer, but by what all of these take together.
    #[test]
    fn every_answer_is_found_from_every_guess() {
        let mut all_calls = 0;
        for len in (0..70).chain([300]) {
            for answer in 0..=len {
                for guess in 0..len + 3 {
                    let mut calls = 0;
                    let found = gallop(len, guess, |i| {
                        assert!(i < len);
                        calls += 1;
                        i < answer
                    });
                    assert_eq!(found, answer, "len {len} guess {guess}");
                    all_calls += calls;
                    let distance = answer.abs_diff(guess.min(len)) + 1;
                    assert!(
                        calls <= 2 * distance.ilog2() + 3 || len >= 70,
                        "{calls} calls for a distance of {distance}"
                    );
                }
            }
        }
        assert!(all_calls <= 2_133_806, "{all_calls} calls");
    }

    #[test]
    fn a_predicate_of_no_order_ends() {
        for seed in 0..1_000usize {
            let found = gallop(100, seed % 101, |i| (i * 7919 + seed) % 3 == 0);
            assert!(found <= 100);
        }
    }
}
