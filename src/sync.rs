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
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, RwLock, TryLockError};
    pub(crate) use std::thread::{self, park_timeout};
}

#[cfg(all(test, shuttle))]
mod source {
    pub(crate) use shuttle::hint::spin_loop;
    pub(crate) use shuttle::sync::atomic;
    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, RwLock, TryLockError};
    pub(crate) use shuttle::thread;

    /// Time does not pass in these tests: whatever others do meanwhile, it is over.
    pub(crate) fn park_timeout(_: std::time::Duration) {
        thread::yield_now();
    }
}

pub(crate) use source::*;
