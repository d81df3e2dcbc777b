//! Which states a crash may lead back to.
//!
//! The state after each batch has a number. Of each thing that was done it is known
//! during which operations of the disk, and which states were promised to outlive what
//! by its end. So of every moment it is known which state must be found at the least, and
//! which one can be found at the most.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use super::state::{Model, Undo};
use crate::token::TokenId;

/// What a state outlives at the least.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Crash {
    /// The end of the process.
    Kill,
    /// The end of the power.
    PowerFailure,
}

/// Something that was done.
#[derive(Clone, Copy, Debug)]
struct Event {
    /// Operations of the disk before it and, at the end of it, in all.
    begins: usize,
    ends: usize,
    /// The last state that may be found, once it has begun.
    state: u64,
    /// The first that may be found after a kill, once it has ended.
    kept: u64,
    /// The first that may be found after a power failure.
    durable: u64,
}

/// What was done since a moment.
pub(super) struct History {
    events: Vec<Event>,
    /// The number of the state that the model has.
    state: u64,
    /// How to get from the model's state to the one before, and so on.
    undo: VecDeque<Vec<Undo>>,
}

impl History {
    /// Begins at a moment when everything is durable.
    pub(super) fn new(moment: usize) -> Self {
        let mut history = Self { events: Vec::new(), state: 0, undo: VecDeque::new() };
        history.restart(moment, 0);
        history
    }

    /// Forgets what was before a moment, when a state was durable, or a later one, and the
    /// model's state was there for those who did not lose the power.
    pub(super) fn restart(&mut self, moment: usize, durable: u64) {
        let state = self.state;
        let durable = durable.min(state);
        let first = Event { begins: moment, ends: moment, state, kept: state, durable };
        self.events = vec![first];
        while self.undo.len() as u64 > state - durable {
            self.undo.pop_front();
        }
    }

    /// Begins anew at a moment when everything is durable.
    pub(super) fn all_is_durable(&mut self, moment: usize) {
        self.restart(moment, self.state);
    }

    fn last(&self) -> Event {
        *self.events.last().expect("there is always a first")
    }

    /// The first moment that is remembered.
    pub(super) fn start(&self) -> usize {
        self.events[0].begins
    }

    /// A batch was acknowledged.
    pub(super) fn committed(&mut self, begins: usize, ends: usize, undo: Vec<Undo>, synced: bool) {
        if !undo.is_empty() {
            self.undo.push_back(undo);
            self.state += 1;
        }
        let state = self.state;
        let durable = if synced { state } else { self.last().durable };
        self.events.push(Event { begins, ends, state, kept: state, durable });
    }

    /// Everything so far was synced.
    pub(super) fn synced(&mut self, begins: usize, ends: usize) {
        self.committed(begins, ends, Vec::new(), true);
    }

    /// Something failed, so that there may be one more state, or not.
    pub(super) fn unknown(&mut self, begins: usize, ends: usize) {
        let last = self.last();
        self.events.push(Event { begins, ends, state: self.state + 1, ..last });
    }

    /// The states that may be found if it crashes at a moment.
    pub(super) fn allowed(&self, moment: usize, crash: Crash) -> RangeInclusive<u64> {
        let of = |event: &Event| match crash {
            Crash::Kill => event.kept,
            Crash::PowerFailure => event.durable,
        };
        let ended = self.events.iter().filter(|event| event.ends <= moment);
        let begun =
            self.events.iter().filter(|event| event.begins < moment || event.ends <= moment);
        let least = ended.map(of).max().unwrap_or_else(|| of(&self.events[0]));
        least..=begun.map(|event| event.state).max().unwrap_or(least)
    }

    /// Finds out which of some states was found, the last one first; and goes back to it.
    /// `maybe` is the one behind the model's.
    pub(super) fn find(
        &mut self,
        model: &mut Model,
        maybe: Option<&Model>,
        states: &RangeInclusive<u64>,
        is_found: impl Fn(&Model) -> bool,
    ) -> Option<Found> {
        let mut found = Found::default();
        if let Some(maybe) = maybe
            && *states.end() > self.state
            && is_found(maybe)
        {
            found.is_maybe = true;
            return Some(found);
        }
        while self.state >= *states.start() {
            if self.state <= *states.end() && is_found(model) {
                return Some(found);
            }
            let undo = self.undo.pop_back()?;
            model.undo(&undo);
            self.state -= 1;
            found.undone += 1;
            found.tokens.extend(undo.iter().map(|undo| undo.token));
        }
        None
    }
}

/// Which state was found.
#[derive(Clone, Default, Debug)]
pub(super) struct Found {
    /// That of a batch whose outcome was not known, and not the model's.
    pub(super) is_maybe: bool,
    /// By how many batches the model was taken back.
    pub(super) undone: u64,
    /// The tokens that they had written.
    pub(super) tokens: Vec<TokenId>,
}
