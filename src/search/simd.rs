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

/// Does work with vectors of each width that the processor has.
#[cfg(test)]
pub(crate) fn with_vectors_of_each_width<R>(work: impl Fn() -> R) -> Vec<R> {
    let mut done = vec![work()];
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") {
            #[expect(unsafe_code, reason = "the compiler does not know what this runs on")]
            // SAFETY: the processor has the instructions; it was asked.
            done.push(unsafe { x86::with_avx2(&work) });
        }
        if is_x86_feature_detected!("avx512f") {
            #[expect(unsafe_code, reason = "the compiler does not know what this runs on")]
            // SAFETY: the processor has the instructions; it was asked.
            done.push(unsafe { x86::with_avx512(&work) });
        }
    }
    done
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
            let mut bytes: [u8; 4 * WINDOW] = std::array::from_fn(|_| random.below(256) as u8);
            // At any address, across the lines of a cache, too.
            let start = random.below(2 * WINDOW as u64) as usize;
            let numbers = bytes[start..].as_chunks_mut().0;
            // Around the bounds as often as anywhere else.
            for number in &mut numbers[..random.below(WINDOW as u64) as usize] {
                let bound: u16 = *random.pick(&bounds);
                *number = bound.wrapping_add(random.below(3) as u16).to_le_bytes();
            }
            let window: &[Number; WINDOW] = numbers.first_chunk().unwrap();
            for bound in bounds.into_iter().chain([random.below(1 << 16) as u16]) {
                let below = window.iter().filter(|number| u16::from_le_bytes(**number) < bound);
                let expected = below.count();
                assert_eq!(count_below_portable(window, bound), expected);
                assert_eq!(count_below(window, bound), expected);
            }
        }
    }
}
