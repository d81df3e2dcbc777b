//! What readers see.
//!
//! The view that a snapshot takes is replaced as a whole, and nobody waits for that: a new
//! view goes to a place that nobody is sent to, and only then readers are sent there. One
//! that was sent to the place before may still take what it finds; if it finds the place
//! being changed, or empty, another view was published since, and it looks again.
//!
//! If all took it from there, they would change the same lock and the same count all the time,
//! and two threads be hardly faster than one. So who takes a view for the second time leaves a
//! clone of it, which has a count of its own, in a stripe that few threads share, most often
//! none, and finds it there the next time. What is in a stripe counts as long as its number is
//! that of the newest view. It is taken out when another one is published, so that no stripe
//! keeps a view for nobody.

use std::sync::{Arc, PoisonError};

use crate::snapshot::view::View;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{RwLock, TryLockError, spin_loop, thread_number};

/// As many readers may be held up in the middle of taking a view, and nobody minds.
const PLACES: usize = 4;

/// As many as there are bits that say which ones were filled; in tests that draw the order of
/// steps few, so that threads share some.
const STRIPES: usize = if cfg!(all(test, shuttle)) { 2 } else { 64 };

/// The view that a snapshot takes.
pub(super) struct Published<T = View> {
    /// Views with their numbers. There is one where readers are sent to, and most often no
    /// other one.
    places: [RwLock<Option<Numbered<T>>>; PLACES],
    /// The number of the newest view, which says where it is, too.
    newest: AtomicUsize,
    /// Whether a view was left where a reader was held up.
    has_left: AtomicBool,
    stripes: [Stripe<T>; STRIPES],
    /// A bit for each stripe that a view was put in since the last one was published.
    filled: AtomicU64,
}

/// A view with its number.
type Numbered<T> = (usize, Arc<T>);

/// What threads of few numbers take, in lines of the cache that no others change.
#[repr(align(128))]
struct Stripe<T> {
    place: RwLock<Option<Numbered<T>>>,
    /// The number of the view that was last looked for in vain.
    missed: AtomicUsize,
}

impl<T> Stripe<T> {
    fn new() -> Self {
        Self { place: RwLock::new(None), missed: AtomicUsize::new(usize::MAX) }
    }
}

impl<T: Clone> Published<T> {
    pub(super) fn new(view: T) -> Self {
        let mut view = Some((0, Arc::new(view)));
        Self {
            places: std::array::from_fn(|_| RwLock::new(view.take())),
            newest: AtomicUsize::new(0),
            has_left: AtomicBool::new(false),
            stripes: std::array::from_fn(|_| Stripe::new()),
            filled: AtomicU64::new(0),
        }
    }

    /// The view, counted where few other threads count: for those who take it again and again.
    #[inline]
    pub(super) fn striped(&self) -> Arc<T> {
        let at = thread_number() % STRIPES;
        let newest = self.newest.load(Ordering::Acquire);
        // Whoever is in the way, there is another one to be had.
        let found = self.stripes[at].place.try_read().ok();
        let found = found.and_then(|found| of_number(found.as_ref(), newest));
        found.unwrap_or_else(|| self.fill(at))
    }

    /// Takes the view. The second time it is cloned, and the clone left in the stripe if that
    /// is still the newest one: who reads once after each commit should not pay for it.
    #[cold]
    fn fill(&self, at: usize) -> Arc<T> {
        let (number, view) = self.numbered();
        let stripe = &self.stripes[at];
        if stripe.missed.swap(number, Ordering::Relaxed) != number {
            return view;
        }
        let view = Arc::new(T::clone(&view));
        if let Ok(mut place) = stripe.place.try_write() {
            // First the bit, then the look: who publishes does it the other way round, so that
            // one of both finds what the other one did.
            self.filled.fetch_or(1 << at, Ordering::SeqCst);
            if self.newest.load(Ordering::SeqCst) == number {
                let before = place.replace((number, Arc::clone(&view)));
                drop(place);
                drop(before);
            }
        }
        view
    }

    /// The view, counted where it was published.
    pub(super) fn get(&self) -> Arc<T> {
        self.numbered().1
    }

    fn numbered(&self) -> Numbered<T> {
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
                return (newest, view);
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
        self.newest.store(number, Ordering::SeqCst);
        for place in (0..PLACES).filter(|place| *place != number % PLACES) {
            if !exchange(&self.places[place], number, &mut None, &mut before) {
                self.has_left.store(true, Ordering::Release);
            }
        }
        let filled = self.filled.swap(0, Ordering::SeqCst);
        for at in (0..STRIPES).filter(|at| filled & (1 << at) != 0) {
            if !exchange(&self.stripes[at].place, number, &mut None, &mut before) {
                // What is being put there may be this view, which is to be found the next time.
                self.filled.fetch_or(1 << at, Ordering::SeqCst);
                self.has_left.store(true, Ordering::Release);
            }
        }
        before
    }

    /// Frees what was left where a reader was held up, waiting for it, so that no view, nor
    /// the files that it has, is kept for nobody.
    pub(super) fn tidy(&self) {
        if !self.has_left.swap(false, Ordering::AcqRel) {
            return;
        }
        self.places.iter().for_each(|place| self.tidy_place(place));
        self.stripes.iter().for_each(|stripe| self.tidy_place(&stripe.place));
    }

    fn tidy_place(&self, place: &RwLock<Option<Numbered<T>>>) {
        let mut place = place.write().unwrap_or_else(PoisonError::into_inner);
        let newest = self.newest.load(Ordering::Acquire);
        // One with a larger number is just being published.
        let before = place.take_if(|(number, _)| *number < newest);
        drop(place);
        drop(before);
    }
}

/// A view, if it is the one that is looked for.
#[inline]
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
    use std::thread;

    use super::*;

    /// Takes the view from a stripe.
    fn striped<T: Clone>(published: &Published<T>) -> Arc<T> {
        drop(published.striped());
        published.striped()
    }

    #[test]
    fn the_newest_view_is_seen_and_no_other_one_is_kept() {
        let published = Published::new(0);
        let mut all = vec![Arc::downgrade(&published.get())];
        for number in 1..20 {
            assert_eq!(*published.get(), number - 1);
            // Now and then nobody takes it from a stripe.
            if number % 3 > 0 {
                assert_eq!(*striped(&published), number - 1);
            }
            // As published, and a clone where it was taken from a stripe.
            let clones = usize::from(number % 3 > 0);
            let before = published.set(number);
            let numbers = before.iter().map(|view| **view);
            assert!(numbers.eq(vec![number - 1; 1 + clones]));
            drop(before);
            all.push(Arc::downgrade(&published.get()));
            assert!(all.iter().rev().skip(1).all(|view| view.upgrade().is_none()));
        }
    }

    #[test]
    fn each_thread_counts_by_itself() {
        let published = Published::new(0);
        assert!(Arc::ptr_eq(&published.striped(), &published.get()));
        for number in 1..4 {
            let view = striped(&published);
            assert!(Arc::ptr_eq(&view, &published.striped()));
            let other = || striped(&published);
            let other = thread::scope(|scope| scope.spawn(other).join().unwrap());
            assert!(!Arc::ptr_eq(&view, &other) && !Arc::ptr_eq(&view, &published.get()));
            drop(published.set(number));
            assert_eq!(Arc::strong_count(&view), 1, "a stripe keeps it");
            assert_eq!([*view, *other, *published.striped()], [number - 1, number - 1, number]);
        }
    }

    #[test]
    fn a_reader_that_is_held_up_in_its_stripe_holds_up_nobody() {
        let published = Published::new(0);
        let stripe = &published.stripes[thread_number() % STRIPES].place;
        for number in 1..10 {
            let view = Arc::downgrade(&striped(&published));
            let held = stripe.read().unwrap();
            drop(published.set(number));
            assert_eq!(*published.striped(), number);
            assert_eq!(view.strong_count(), 1, "nobody could free it");
            drop(held);
            if number % 2 == 0 {
                // Who comes next does it, or else who published.
                assert_eq!(*striped(&published), number);
                assert_eq!(view.strong_count(), 0);
            }
            published.tidy();
            assert_eq!(view.strong_count(), 0);

            let held = stripe.write().unwrap();
            assert_eq!(*published.striped(), number);
            drop(held);
        }
    }

    #[test]
    fn a_stripe_that_could_not_be_emptied_is_emptied_the_next_time() {
        let published = Published::new(0);
        let view = Arc::downgrade(&striped(&published));
        let held = published.stripes[thread_number() % STRIPES].place.read().unwrap();
        drop(published.set(1));
        drop(held);
        assert_eq!(view.strong_count(), 1);
        drop(published.set(2));
        assert_eq!(view.strong_count(), 0);
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
