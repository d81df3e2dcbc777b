//! What the portable language cannot say to the processor.
//!
//! Which instructions a processor has is asked when the program runs. What is written with
//! special ones here has a portable form beside it, which says what it has to do, and which
//! other processors take.

/// Bytes that come near together.
pub(crate) const CACHE_LINE_LEN: usize = 64;

/// A number of 16 bits as it is in a file, the lower byte first.
pub(crate) type Number = [u8; 2];

/// Asks for the cache line where an item begins, so that a later read finds it.
///
/// Does nothing where `at` lies outside of what the program has in memory, or where the
/// processor has no such hint.
#[inline]
pub(crate) fn prefetch<T>(items: &[T], at: usize) {
    let item = items.as_ptr().wrapping_add(at);
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        #[expect(unsafe_code, reason = "there is no safe form of the hint")]
        // SAFETY: the hint reads nothing that the program could see, and never faults,
        // whatever the address is.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(item.cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = item;
}

/// Numbers that are looked at together.
pub(crate) const WINDOW: usize = 16;

/// How many numbers of a window are below a bound.
#[inline]
pub(crate) fn count_below(window: &[Number; WINDOW], bound: u16) -> usize {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("popcnt")
    {
        #[expect(unsafe_code, reason = "the compiler does not know what this runs on")]
        // SAFETY: the processor has the instructions; it was asked.
        return unsafe { x86::count_below(window, bound) };
    }
    count_below_portable(window, bound)
}

#[inline]
fn count_below_portable(window: &[Number; WINDOW], bound: u16) -> usize {
    let below = window.map(|number| u16::from(u16::from_le_bytes(number) < bound));
    usize::from(below.iter().sum::<u16>())
}

/// Does work with vectors of eight numbers of 32 bits, or sixteen, if the processor has such,
/// as far as the compiler can make vectors of it; otherwise not at all. What it consists of
/// has to be inlined.
#[inline]
pub(crate) fn with_wide_vectors<R>(work: impl FnOnce() -> R) -> Option<R> {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            #[expect(unsafe_code, reason = "the compiler does not know what this runs on")]
            // SAFETY: the processor has the instructions; it was asked.
            return Some(unsafe { x86::with_avx512(work) });
        }
        if is_x86_feature_detected!("avx2") {
            #[expect(unsafe_code, reason = "the compiler does not know what this runs on")]
            // SAFETY: the processor has the instructions; it was asked.
            return Some(unsafe { x86::with_avx2(work) });
        }
    }
    let _ = work;
    None
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{_mm256_cmplt_epu16_mask, _mm256_set1_epi16};

    use super::{Number, WINDOW};

    #[target_feature(enable = "avx512f")]
    pub(super) fn with_avx512<R>(work: impl FnOnce() -> R) -> R {
        work()
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn with_avx2<R>(work: impl FnOnce() -> R) -> R {
        work()
    }

    #[target_feature(enable = "avx512bw,avx512vl,popcnt")]
    pub(super) fn count_below(window: &[Number; WINDOW], bound: u16) -> usize {
        let bound = _mm256_set1_epi16(bound.cast_signed());
        _mm256_cmplt_epu16_mask(bytemuck::cast(*window), bound).count_ones() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random::Random;

    #[test]
    fn all_ways_to_count_agree() {
        let mut random = Random::new("windows", 1);
        let bounds = [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff];
        for _ in 0..2_000 {
            // At any address, and of numbers around the bounds as often as of any others.
            let bytes: [u8; 2 * WINDOW + 1] = std::array::from_fn(|_| random.below(256) as u8);
            for start in [0, 1] {
                let mut window: [Number; WINDOW] =
                    std::array::from_fn(|i| [bytes[start + 2 * i], bytes[start + 2 * i + 1]]);
                for number in &mut window[..random.below(WINDOW as u64) as usize] {
                    let bound: u16 = *random.pick(&bounds);
                    *number = bound.wrapping_add(random.below(3) as u16).to_le_bytes();
                }
                for bound in bounds.into_iter().chain([random.below(1 << 16) as u16]) {
                    let expected = window.iter().filter(|n| u16::from_le_bytes(**n) < bound);
                    let expected = expected.count();
                    assert_eq!(count_below_portable(&window, bound), expected);
                    assert_eq!(count_below(&window, bound), expected);
                }
            }
        }
    }
}
