//! What threads share and how they wait for one another.
//!
//! All that commits, publishes and flushes takes its locks, atomics and threads from here:
//! from the standard library, or, when built with `--cfg shuttle`, from
//! [shuttle](https://docs.rs/shuttle), which runs the very same code in one order of
//! steps after the other (`src/store/interleavings.rs`).

#[cfg(not(shuttle))]
mod source {
    pub(crate) use std::sync::atomic;
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, RwLock, TryLockError};
    pub(crate) use std::thread;
}

#[cfg(shuttle)]
mod source {
    pub(crate) use shuttle::sync::atomic;
    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, RwLock};
    pub(crate) use shuttle::thread;
    pub(crate) use std::sync::TryLockError;
}

pub(crate) use source::*;
