//! What the portable language cannot say to the processor.

/// Asks for the cache line where an item begins, so that a later read finds it.
///
/// Does nothing where `at` lies outside, or where the processor has no such hint.
#[inline]
pub(crate) fn prefetch<T>(items: &[T], at: usize) {
    let Some(item) = items.get(at) else { return };
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        #[expect(unsafe_code, reason = "there is no safe form of the hint")]
        // SAFETY: the hint reads nothing that the program could see and never faults;
        // the pointer comes from a live reference.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(item).cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = item;
}
