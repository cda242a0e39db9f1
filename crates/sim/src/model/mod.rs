//! The model: small worlds around the real pump, explored to the last state.
//!
//! A world has a few records, two members and a bounded number of faults; everything that may happen in it happens in
//! every order, and after every event all promises have to hold. Time and chance are abstract: a clock stands still but
//! for ticks to the next wake time, identities are counted. Every event that is not a fault uses something up (a
//! record, a question, a commit's number), so no run goes on for ever: where all states are visited and none is stuck,
//! everything arrives once the faults end.

pub mod action;
mod begin;
mod outside;
pub mod report;
pub mod state;
mod step;
pub mod world;
pub mod wrong;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pumphouse_core::offset::Offset;
use stateright::{Model, Property};

use action::Action;
use state::{Place, State};
use world::{ALL_SEEN, Allows, Seen, World};
use wrong::{ALL_WRONG, Wrong};

/// A world as a model that can be checked.
#[derive(Clone, Debug)]
pub struct Small {
    /// What may happen in it.
    pub world: World,
    seen: Arc<AtomicU64>,
}

impl Small {
    /// Nothing of it is explored yet.
    #[must_use]
    pub fn new(world: World) -> Self {
        Self { world, seen: Arc::default() }
    }

    fn see(&self, what: Seen) {
        let at = ALL_SEEN.iter().position(|seen| *seen == what).expect("all are listed");
        self.seen.fetch_or(1 << at, Ordering::Relaxed);
    }

    /// What was reached so far.
    #[must_use]
    pub fn seen(&self) -> BTreeSet<Seen> {
        let bits = self.seen.load(Ordering::Relaxed);
        ALL_SEEN.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0).map(|(_, seen)| *seen).collect()
    }

    fn is_done(&self, state: &State) -> bool {
        let done = state.stored.values().all(|stored| stored.offset == Offset(self.world.records));
        if done {
            self.see(Seen::Done);
        }
        done
    }

    /// Whether something is left to arrive and nothing but a fault could happen.
    fn is_stuck(&self, state: &State) -> bool {
        let halted = state.members.iter().any(|member| member.place == Place::Halted);
        if self.is_done(state) || (self.world.allows != Allows::Nothing && halted) {
            return false;
        }
        let mut actions = Vec::new();
        action::calm(&self.world, state, &mut actions);
        // Only a tick may leave everything as it is; all else uses something up.
        actions
            .into_iter()
            .all(|action| matches!(action, Action::Wake(_)) && self.after(state, action) == *state)
    }
}

impl Model for Small {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        self.beginnings()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.wrong.is_none() {
            action::calm(&self.world, state, actions);
            action::faults(state, actions);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        Some(self.after(state, action)).filter(|next| next != state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn holds(wrong: Wrong) -> fn(&Small, &State) -> bool {
            match wrong {
                Wrong::Doubled => |_, state| state.wrong != Some(Wrong::Doubled),
                Wrong::Lost => |_, state| state.wrong != Some(Wrong::Lost),
                Wrong::Unclaimed => |_, state| state.wrong != Some(Wrong::Unclaimed),
                Wrong::OtherRows => |_, state| state.wrong != Some(Wrong::OtherRows),
                Wrong::Exchanged => |_, state| state.wrong != Some(Wrong::Exchanged),
                Wrong::Backwards => |_, state| state.wrong != Some(Wrong::Backwards),
                Wrong::Halted => |_, state| state.wrong != Some(Wrong::Halted),
                Wrong::Invariant => |_, state| state.wrong != Some(Wrong::Invariant),
                Wrong::Stuck => |model, state| state.wrong.is_some() || !model.is_stuck(state),
            }
        }
        ALL_WRONG.iter().map(|wrong| Property::always(wrong.promise(), holds(*wrong))).collect()
    }
}
