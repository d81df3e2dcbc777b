//! Threads that wait until a frame is written, or durable.
//!
//! Each sleeps by itself and is woken when what it waits for is so, which it sees without
//! the writer's lock: eight threads that are woken together do not wait for one another.

use crate::options::Durability;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::thread::{self, Thread};

/// Up to which frame the log is written and visible, and up to which it is synced.
/// Changed under the writer's lock.
pub(super) struct Reached {
    published: AtomicU64,
    durable: AtomicU64,
}

impl Reached {
    pub(super) fn new(sequence: u64) -> Self {
        Self { published: AtomicU64::new(sequence), durable: AtomicU64::new(sequence) }
    }

    fn of(&self, durability: Durability) -> &AtomicU64 {
        match durability {
            Durability::Synced => &self.durable,
            Durability::Buffered => &self.published,
        }
    }

    pub(super) fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    pub(super) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// What is synced is written, too.
    pub(super) fn set(&self, sequence: u64, durability: Durability) {
        self.of(Durability::Buffered).store(sequence, Ordering::Release);
        self.of(durability).store(sequence, Ordering::Release);
    }

    /// Whether a frame is as durable as that.
    pub(super) fn is(&self, sequence: u64, durability: Durability) -> bool {
        self.of(durability).load(Ordering::Acquire) >= sequence
    }
}

/// Who waits, in the order in which they came.
#[derive(Default)]
pub(super) struct Waiting {
    threads: Vec<Sleeper>,
}

struct Sleeper {
    thread: Thread,
    sequence: u64,
    durability: Durability,
}

impl Waiting {
    /// The calling thread waits for a frame: it is to park next, outside of the lock, and
    /// to look again when it is woken, for whatever reason.
    pub(super) fn enter(&mut self, sequence: u64, durability: Durability) {
        let thread = thread::current();
        // It may have been woken by somebody else.
        self.threads.retain(|other| other.thread.id() != thread.id());
        self.threads.push(Sleeper { thread, sequence, durability });
    }

    /// Those who have what they waited for, and of the others the first, who is to lead.
    pub(super) fn leave(&mut self, reached: &Reached) -> Woken {
        // Who leads may have gathered before: it is awake.
        let leader = thread::current().id();
        self.threads.retain(|it| it.thread.id() != leader);
        let is_done = |it: &mut Sleeper| reached.is(it.sequence, it.durability);
        let mut woken: Vec<_> = self.threads.extract_if(.., is_done).collect();
        let next = (!self.threads.is_empty()).then(|| self.threads.remove(0));
        woken.extend(next);
        Woken { threads: woken }
    }

    /// All of them, as nothing will be reached any more.
    pub(super) fn leave_all(&mut self) -> Woken {
        Woken { threads: std::mem::take(&mut self.threads) }
    }
}

/// Threads that are woken when this is dropped, best without the lock that they may want.
#[must_use]
pub(super) struct Woken {
    threads: Vec<Sleeper>,
}

impl Drop for Woken {
    fn drop(&mut self) {
        self.threads.iter().for_each(|it| it.thread.unpark());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who gathered and leads at last is awake: waking it would end a later sleep.
    #[test]
    fn who_leads_is_not_woken() {
        let mut waiting = Waiting::default();
        waiting.enter(2, Durability::Synced);
        thread::scope(|scope| {
            scope.spawn(|| waiting.enter(3, Durability::Synced));
        });
        let reached = Reached::new(1);
        reached.set(2, Durability::Synced);
        let woken = waiting.leave(&reached);
        assert_eq!(woken.threads.iter().map(|it| it.sequence).collect::<Vec<_>>(), [3]);
        assert!(waiting.threads.is_empty());
    }
}
