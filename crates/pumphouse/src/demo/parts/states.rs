//! The feed of incident 001: state changes of events that were created over a whole year. A change is two messages, the old
//! state taken back and the new one, as tables of type `VersionedCollapsingMergeTree` want it. Knows what the final
//! state is, whatever part of the messages somebody has read.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fastrand::Rng;

use super::feed::Feed;

/// Kafka's partitions.
pub const PARTITIONS: u32 = 4;
/// Days of the year on which events were created.
pub const DAYS: u64 = 73;
/// From one of these days to the next.
const DAYS_APART: u64 = 5;
/// 2026-01-01.
const YEAR_BEGINS: u64 = 1_767_225_600;
/// Events of which changes are told.
const EVENTS_MAX: u64 = 8_000;
/// Of so many changes one is a new event, while there are not too many.
const NEW_EVERY: u64 = 3;
const STATES: [&str; 5] = ["queued", "sent", "failed", "retried", "delivered"];

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    id: u64,
    version: u32,
    sign: i8,
    status: &'static str,
}

/// What tables are asked for: events with their version and state.
pub type Final = BTreeMap<u64, State>;

/// Version and state of an event.
pub type State = (u32, String);

/// The changes so far, and the next ones.
#[derive(Debug)]
pub struct States {
    rng: Rng,
    events: Vec<(u32, &'static str)>,
    /// The second message of a change.
    waiting: Option<Change>,
    told: Vec<Vec<Change>>,
}

impl States {
    /// A feed that told nothing yet.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let told = vec![Vec::new(); PARTITIONS as usize];
        Self { rng: Rng::with_seed(seed), events: Vec::new(), waiting: None, told }
    }

    /// The state of every event by the first messages of each partition.
    #[must_use]
    pub fn final_state(&self, read: &[u64]) -> Final {
        let mut state = Final::new();
        for (changes, read) in self.told.iter().zip(read) {
            let read = usize::try_from(*read).unwrap_or(usize::MAX);
            for change in changes.iter().take(read) {
                if change.sign > 0 {
                    state.insert(change.id, (change.version, change.status.to_owned()));
                } else {
                    state.remove(&change.id);
                }
            }
        }
        state
    }

    fn change(&mut self) -> Change {
        if let Some(second) = self.waiting.take() {
            return second;
        }
        let there = self.events.len() as u64;
        if there < EVENTS_MAX && (there == 0 || self.rng.u64(..NEW_EVERY) == 0) {
            self.events.push((1, STATES[0]));
            return Change { id: there, version: 1, sign: 1, status: STATES[0] };
        }
        let id = self.rng.u64(..there);
        let (version, status) = &mut self.events[usize::try_from(id).unwrap_or(0)];
        let taken_back = Change { id, version: *version, sign: -1, status };
        (*version, *status) = (*version + 1, STATES[self.rng.usize(1..STATES.len())]);
        self.waiting = Some(Change { id, version: *version, sign: 1, status });
        taken_back
    }
}

impl Feed for States {
    fn next(&mut self) -> (u32, String) {
        let change = self.change();
        let partition = change.id % u64::from(PARTITIONS);
        self.told[usize::try_from(partition).unwrap_or(0)].push(change);
        (u32::try_from(partition).unwrap_or(0), text(change))
    }
}

/// Where the event lies in the year depends on nothing but itself, so that all its states are in one table partition.
fn text(Change { id, version, sign, status }: Change) -> String {
    let day = id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let created_at = YEAR_BEGINS + day % DAYS * DAYS_APART * 86_400 + id % 86_400;
    let mut text = String::with_capacity(110);
    let _ = write!(
        text,
        r#"{{"id":{id},"version":{version},"sign":{sign},"status":"{status}","created_at":{created_at}}}"#
    );
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_tells_the_same_and_every_message_is_json() {
        let (mut one, mut same, mut other) = (States::new(1), States::new(1), States::new(2));
        let messages = |feed: &mut States| (0..500).map(|_| feed.next()).collect::<Vec<_>>();
        let told = messages(&mut one);
        assert_eq!(told, messages(&mut same));
        assert_ne!(told, messages(&mut other));
        for (_, message) in told {
            assert!(serde_json::from_str::<serde_json::Value>(&message).is_ok(), "{message}");
        }
    }

    #[test]
    fn signs_of_all_versions_but_the_last_add_up_to_nothing() {
        let mut feed = States::new(7);
        (0..3_000).for_each(|_| drop(feed.next()));
        let mut sums: BTreeMap<(u64, u32), i64> = BTreeMap::new();
        for change in feed.told.iter().flatten() {
            *sums.entry((change.id, change.version)).or_default() += i64::from(change.sign);
        }
        let read: Vec<u64> = feed.told.iter().map(|told| told.len() as u64).collect();
        let last: BTreeSet<_> =
            feed.final_state(&read).iter().map(|(id, (version, _))| (*id, *version)).collect();
        let left: BTreeSet<_> = sums.iter().filter(|(_, sum)| **sum != 0).map(|(key, _)| *key).collect();
        assert_eq!(left, last);
    }
}
