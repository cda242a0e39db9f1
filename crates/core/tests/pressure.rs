//! The valve in the pump: what is taken, when batches are claimed, and what a lane that has to leave does.

use std::collections::BTreeMap;
use std::time::Duration;

use pumphouse_core::batch::{BatchPolicy, Filled};
use pumphouse_core::claim::{BatchId, Metadata};
use pumphouse_core::gap::GapPolicy;
use pumphouse_core::lane::Stored;
use pumphouse_core::moment::{Moment, ServerTime, Time};
use pumphouse_core::offset::{Offset, Partition, Range};
use pumphouse_core::pump::{Effect, Input, Policy, Pump, TableId};
use pumphouse_core::valve::{Pressure, ValvePolicy};
use pumphouse_core::verdict::Refusal;

const HERE: Partition = Partition(0);

fn at(milliseconds: u64) -> Moment {
    Moment {
        now: Time(milliseconds),
        server: ServerTime(i64::try_from(milliseconds).expect("few")),
        entropy: 1,
    }
}

fn table(parts: u64) -> Vec<Pressure> {
    vec![Pressure { parts, parts_total: parts, delay_at: 1_000, refuse_at: 3_000, ..Pressure::default() }]
}

/// A pump that fetches, and where it stands.
struct Lane {
    pump: Pump,
    next: u64,
}

impl Lane {
    fn new() -> Self {
        let mut pump = Pump::new(Policy {
            batch: BatchPolicy { freshness: Duration::from_secs(1), rows: 100, bytes: 1_000_000 },
            memory: 1_000_000,
            tables: 1,
            letters: 0,
            shape: 1,
            revision: "r".into(),
            insert_timeout: Duration::from_mins(1),
            safe_age: Duration::from_mins(30),
            gaps: GapPolicy::Report,
            valve: ValvePolicy::default(),
        });
        let metadata = Some(Metadata::origin(Offset(0), ServerTime(0)));
        let stored = Stored { offset: Offset(0), metadata };
        pump.step(&at(0), Input::Assigned(BTreeMap::from([(HERE, stored)])));
        Self { pump, next: 0 }
    }

    fn fetch(&mut self, now: u64, rows: u64) -> Vec<Effect> {
        let range = Range::new(Offset(self.next), Offset(self.next + rows));
        self.next += rows;
        let filled = Filled { rows, bytes: rows };
        self.pump.step(&at(now), Input::Fetched { partition: HERE, range, filled })
    }

    fn tell(&mut self, now: u64, parts: u64) -> Vec<Effect> {
        self.pump.step(&at(now), Input::Pressure(table(parts)))
    }

    /// Has the claim stored, and gives the batch.
    fn claim(&mut self, now: u64, effects: &[Effect]) -> BatchId {
        let Some(Effect::Commit(id, _)) = effects.last() else { panic!("{effects:?}") };
        let inserts = self.pump.step(&at(now), Input::Committed(*id));
        let [Effect::Insert { claim, .. }] = inserts.as_slice() else { panic!("{inserts:?}") };
        claim.id
    }

    /// Has the batch landed and settled.
    fn land(&mut self, now: u64, batch: BatchId) -> Vec<Effect> {
        let commits = self.pump.step(&at(now), Input::Inserted(batch, TableId(0)));
        let Some(Effect::Commit(id, _)) = commits.last() else { panic!("{commits:?}") };
        self.pump.step(&at(now), Input::Committed(*id))
    }
}

fn sealed(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Seal(..)))
}

#[test]
fn a_narrow_valve_makes_batches_older_and_keeps_them_apart() {
    let mut lane = Lane::new();
    lane.tell(0, 690);
    lane.fetch(10, 5);
    assert_eq!(lane.pump.wake_at(), Some(Time(16_010)), "16 s instead of 1 s");
    assert!(!sealed(&lane.pump.step(&at(16_009), Input::Tick)));
    let effects = lane.pump.step(&at(16_010), Input::Tick);
    let batch = lane.claim(16_020, &effects);
    lane.fetch(16_030, 100);
    assert!(!lane.pump.wants(HERE), "a full batch");
    assert!(!sealed(&lane.land(16_100, batch)));
    assert_eq!(lane.pump.wake_at(), Some(Time(32_010)), "16 s after the last one");
    assert!(sealed(&lane.pump.step(&at(32_010), Input::Tick)));
}

#[test]
fn a_server_that_is_short_of_memory_gets_half_as_many_rows_and_bytes() {
    let mut lane = Lane::new();
    let effects = lane.fetch(10, 100);
    let batch = lane.claim(20, &effects);
    lane.pump.step(&at(30), Input::InsertRefused(batch, TableId(0), Refusal::Overloaded));
    assert_eq!(lane.pump.room(), 50);
    lane.pump.step(&at(5_000), Input::Tick);
    lane.land(5_010, batch);
    let range = Range::new(Offset(100), Offset(101));
    let filled = Filled { rows: 1, bytes: 500_000 };
    let effects = lane.pump.step(&at(5_020), Input::Fetched { partition: HERE, range, filled });
    assert!(sealed(&effects), "{effects:?}");
}

#[test]
fn full_batches_follow_each_other_through_a_narrow_valve() {
    let mut lane = Lane::new();
    lane.tell(0, 690);
    let effects = lane.fetch(10, 100);
    let batch = lane.claim(20, &effects);
    lane.fetch(30, 100);
    let effects = lane.pump.step(&at(40), Input::Inserted(batch, TableId(0)));
    assert!(sealed(&effects), "older they would be no larger: {effects:?}");
}

#[test]
fn a_shut_valve_takes_and_makes_nothing_and_lets_what_is_claimed_land() {
    let mut lane = Lane::new();
    let effects = lane.fetch(10, 100);
    let batch = lane.claim(20, &effects);
    lane.fetch(30, 100);
    lane.tell(40, 2_400);
    assert!(lane.pump.opening().is_shut && !lane.pump.wants(HERE) && lane.pump.is_paused());
    assert!(!sealed(&lane.land(100, batch)));
    assert!(!sealed(&lane.pump.step(&at(30_000), Input::Tick)));
    assert!(!sealed(&lane.tell(30_000, 10)), "it opens; this lane's turn comes within its age");
    assert!(!lane.pump.opening().is_shut);
    let wake = lane.pump.wake_at().expect("a full batch waits");
    assert!(wake < Time(60_000));
    assert!(sealed(&lane.pump.step(&at(wake.0), Input::Tick)));
}

#[test]
fn a_lane_that_leaves_while_the_valve_is_shut_leaves_its_open_rows_to_the_next_owner() {
    let mut lane = Lane::new();
    lane.fetch(10, 5);
    lane.tell(20, 2_400);
    let effects = lane.pump.step(&at(30), Input::Drain(Time(20_000)));
    assert!(!sealed(&effects), "{effects:?}");
    assert!(matches!(effects.last(), Some(Effect::Leave)), "{effects:?}");
}

#[test]
fn a_server_that_refuses_for_too_many_parts_shuts_the_valve_and_the_batch_goes_again() {
    let mut lane = Lane::new();
    let effects = lane.fetch(10, 100);
    let batch = lane.claim(20, &effects);
    lane.pump.step(&at(30), Input::InsertRefused(batch, TableId(0), Refusal::TooManyParts));
    assert!(lane.pump.opening().is_shut);
    let again = lane.pump.wake_at().expect("a pause");
    let effects = lane.pump.step(&at(again.0), Input::Tick);
    assert!(matches!(effects.as_slice(), [Effect::Insert { attempt: 2, .. }]), "{effects:?}");
    lane.land(again.0 + 100, batch);
    assert!(!lane.pump.opening().is_shut, "nobody read anything, and the server takes rows again");
}

#[test]
fn offsets_without_rows_pass_a_narrow_valve() {
    let mut lane = Lane::new();
    lane.tell(0, 800);
    let range = Range::new(Offset(0), Offset(9));
    lane.pump.step(&at(10), Input::Fetched { partition: HERE, range, filled: Filled::default() });
    let wake = lane.pump.wake_at().expect("they pass by age");
    let effects = lane.pump.step(&at(wake.0), Input::Tick);
    assert!(matches!(effects.as_slice(), [Effect::Commit(..)]), "{effects:?}");
}

#[test]
fn an_insert_that_fails_for_too_many_parts_shuts_the_valve_also_where_it_may_be_done() {
    let mut lane = Lane::new();
    lane.pump.step(&at(10), Input::Strained(Refusal::TooManyParts));
    assert!(lane.pump.opening().is_shut && !lane.pump.wants(HERE));
    let mut lane = Lane::new();
    lane.pump.step(&at(10), Input::Strained(Refusal::Overloaded));
    assert_eq!((lane.pump.opening().share, lane.pump.opening().is_shut), (1, false));
}
