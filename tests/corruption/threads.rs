//! Many cases on all cores.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Cases that a thread takes at a time.
const CASES: usize = 16;

/// Leaves no cases to the others where one has failed.
struct Rest<'a> {
    next: &'a AtomicUsize,
    end: usize,
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        self.next.store(self.end, Ordering::Relaxed);
    }
}

/// Runs something so that what the library would do in parallel is done by this thread, so
/// that no case waits for another, and all that is allocated is counted.
pub(crate) fn alone<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread();
    pool.build().unwrap().install(run)
}

/// Does something for each number below the end, and gives what came of it in each thread.
pub(crate) fn for_each<T: Default + Send>(
    end: usize,
    work: impl Fn(&mut T, usize) + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let run = || {
        let _rest = Rest { next: &next, end };
        let mut result = T::default();
        loop {
            let start = next.fetch_add(CASES, Ordering::Relaxed);
            if start >= end {
                return result;
            }
            (start..end.min(start + CASES)).for_each(|number| work(&mut result, number));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(|| alone(run))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}
