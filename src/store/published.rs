//! What readers see.
//!
//! The view that a snapshot takes is replaced as a whole, and nobody waits for that: a new
//! view goes to a place that nobody is sent to, and only then readers are sent there. One
//! that was sent to the place before may still take what it finds; if it finds the place
//! being changed, or empty, another view was published since, and it looks again.

use std::sync::{Arc, PoisonError};

use crate::snapshot::view::View;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{RwLock, TryLockError, spin_loop};

/// As many readers may be held up in the middle of taking a view, and nobody minds.
const PLACES: usize = 4;

/// The view that a snapshot takes.
pub(super) struct Published<T = View> {
    /// Views with their numbers. There is one where readers are sent to, and most often no
    /// other one.
    places: [RwLock<Option<Numbered<T>>>; PLACES],
    /// The number of the newest view, which says where it is, too.
    newest: AtomicUsize,
    /// Whether a view was left where a reader was held up.
    has_left: AtomicBool,
}

/// A view with its number.
type Numbered<T> = (usize, Arc<T>);

impl<T> Published<T> {
    pub(super) fn new(view: T) -> Self {
        let mut view = Some((0, Arc::new(view)));
        Self {
            places: std::array::from_fn(|_| RwLock::new(view.take())),
            newest: AtomicUsize::new(0),
            has_left: AtomicBool::new(false),
        }
    }

    pub(super) fn get(&self) -> Arc<T> {
        loop {
            let newest = self.newest.load(Ordering::Acquire);
            let view = match self.places[newest % PLACES].try_read() {
                Ok(view) => of_number(view.as_ref(), newest),
                // A thread that panicked while it held the lock left a view, or none.
                Err(TryLockError::Poisoned(poisoned)) => {
                    of_number(poisoned.get_ref().as_ref(), newest)
                }
                Err(TryLockError::WouldBlock) => None,
            };
            if let Some(view) = view {
                return view;
            }
            spin_loop();
        }
    }

    /// Replaces the view. Those before are best freed where nobody waits for it, and it is
    /// best [tidied up](Self::tidy) there.
    ///
    /// One thread at a time: who publishes holds the writer's lock.
    pub(super) fn set(&self, view: T) -> Vec<Arc<T>> {
        let mut view = Some(Arc::new(view));
        let current = self.newest.load(Ordering::Relaxed);
        let mut before = Vec::new();
        let mut number = current;
        while view.is_some() {
            // Where a reader is held up, the next place is taken.
            number = number.wrapping_add(1);
            if number % PLACES != current % PLACES {
                exchange(&self.places[number % PLACES], number, &mut view, &mut before);
            }
        }
        // Only now, or readers would not find it there.
        self.newest.store(number, Ordering::Release);
        for place in (0..PLACES).filter(|place| *place != number % PLACES) {
            if !exchange(&self.places[place], number, &mut None, &mut before) {
                self.has_left.store(true, Ordering::Relaxed);
            }
        }
        before
    }

    /// Frees what was left where a reader was held up, waiting for it, so that no view, nor
    /// the files that it has, is kept for nobody.
    pub(super) fn tidy(&self) {
        if !self.has_left.swap(false, Ordering::Relaxed) {
            return;
        }
        for place in &self.places {
            let mut place = place.write().unwrap_or_else(PoisonError::into_inner);
            let newest = self.newest.load(Ordering::Acquire);
            // One with a larger number is just being published.
            let before = place.take_if(|(number, _)| *number < newest);
            drop(place);
            drop(before);
        }
    }
}

/// A view, if it is the one that is looked for.
fn of_number<T>(view: Option<&Numbered<T>>, number: usize) -> Option<Arc<T>> {
    view.filter(|(other, _)| *other == number).map(|(_, view)| Arc::clone(view))
}

/// Puts a view, or nothing, in a place, if no reader is there; whether none is.
fn exchange<T>(
    place: &RwLock<Option<Numbered<T>>>,
    number: usize,
    view: &mut Option<Arc<T>>,
    before: &mut Vec<Arc<T>>,
) -> bool {
    let mut place = match place.try_write() {
        Ok(place) => place,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return false,
    };
    let view = view.take().map(|view| (number, view));
    before.extend(std::mem::replace(&mut *place, view).map(|(_, view)| view));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_view_is_seen_and_no_other_one_is_kept() {
        let published = Published::new(0);
        let mut all = vec![Arc::downgrade(&published.get())];
        for number in 1..20 {
            assert_eq!(*published.get(), number - 1);
            let before = published.set(number);
            assert_eq!(before.iter().map(|view| **view).collect::<Vec<_>>(), [number - 1]);
            drop(before);
            all.push(Arc::downgrade(&published.get()));
            assert!(all.iter().rev().skip(1).all(|view| view.upgrade().is_none()));
        }
    }

    #[test]
    fn a_reader_that_is_held_up_holds_up_nobody() {
        let published = Published::new(0);
        for number in 1..10 {
            let place = published.newest.load(Ordering::Relaxed) % PLACES;
            let held = published.places[place].read().unwrap();
            let before = published.set(number);
            assert!(before.iter().all(|view| **view < number));
            assert_eq!(*published.get(), number);
            assert!(held.is_some());
            let before = held.as_ref().map(|(_, view)| Arc::downgrade(view)).unwrap();
            drop(held);
            assert!(before.strong_count() > 0, "nobody could free it");
            published.tidy();
            assert_eq!(before.strong_count(), 0);
            assert_eq!(*published.get(), number);
        }
    }
}
