//! What threads share and how they wait for one another.
//!
//! All that commits, publishes and flushes takes its locks, atomics and threads from here:
//! from the standard library, or, in tests built with `--cfg shuttle`, from
//! [shuttle](https://docs.rs/shuttle), which runs the very same code in one order of
//! steps after the other; see `src/store/interleavings.rs`.

#[cfg(not(all(test, shuttle)))]
mod source {
    pub(crate) use std::hint::spin_loop;
    pub(crate) use std::sync::atomic;
    use std::sync::atomic::{AtomicUsize, Ordering};
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, RwLock, TryLockError};
    pub(crate) use std::thread::{self, park_timeout};

    static THREADS: AtomicUsize = AtomicUsize::new(0);

    std::thread_local! {
        static NUMBER: usize = THREADS.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of this thread: threads that ask for it for the first time one after the
    /// other have numbers one after the other.
    #[inline]
    pub(crate) fn thread_number() -> usize {
        NUMBER.with(|number| *number)
    }
}

#[cfg(all(test, shuttle))]
mod source {
    pub(crate) use shuttle::hint::spin_loop;
    pub(crate) use shuttle::sync::atomic;
    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, RwLock, TryLockError};
    pub(crate) use shuttle::thread;

    pub(crate) fn thread_number() -> usize {
        shuttle::current::me().into()
    }

    /// Time does not pass in these tests: whatever others do meanwhile, it is over.
    pub(crate) fn park_timeout(_: std::time::Duration) {
        thread::yield_now();
    }
}

pub(crate) use source::*;
