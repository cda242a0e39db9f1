//! Offsets without rows (control records, filtered records) pass without a batch, and the lane reads on meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use pumphouse_core::batch::{BatchPolicy, Filled};
use pumphouse_core::claim::Metadata;
use pumphouse_core::gap::GapPolicy;
use pumphouse_core::lane::Stored;
use pumphouse_core::moment::{Moment, ServerTime, Time};
use pumphouse_core::offset::{Offset, Partition, Range};
use pumphouse_core::pump::{CommitFailure, CommitId, Effect, Input, Policy, Pump};
use pumphouse_core::valve::ValvePolicy;

const PARTITION: Partition = Partition(0);

fn pump() -> Pump {
    Pump::new(Policy {
        batch: BatchPolicy { freshness: Duration::from_millis(50), rows: 5, bytes: 1_000_000 },
        memory: 1_000_000,
        tables: 1,
        letters: 0,
        shape: 1,
        revision: "r".into(),
        insert_timeout: Duration::from_secs(1),
        safe_age: Duration::from_mins(30),
        gaps: GapPolicy::Report,
        valve: ValvePolicy::default(),
    })
}

fn at(milliseconds: u64) -> Moment {
    let server = ServerTime(1_790_000_000_000 + i64::try_from(milliseconds).expect("few"));
    Moment { now: Time::default().after(Duration::from_millis(milliseconds)), server, entropy: 7 }
}

fn fetched(from: u64, to: u64, rows: u64) -> Input {
    let range = Range::new(Offset(from), Offset(to));
    Input::Fetched { partition: PARTITION, range, filled: Filled { rows, bytes: rows * 10 } }
}

/// The commit among the effects: its identity, and the offset it writes.
fn commit(effects: &[Effect]) -> Option<(CommitId, Offset)> {
    effects.iter().find_map(|effect| match effect {
        Effect::Commit(id, entries) => Some((*id, entries[&PARTITION].0)),
        _ => None,
    })
}

#[test]
fn records_that_come_while_offsets_pass_are_the_next_batch() {
    let mut pump = pump();
    let metadata = Some(Metadata::origin(Offset(0), ServerTime(0)));
    let stored = Stored { offset: Offset(0), metadata };
    pump.step(&at(0), Input::Assigned(BTreeMap::from([(PARTITION, stored)])));

    pump.step(&at(2), fetched(0, 4, 0));
    let (pass, to) = commit(&pump.step(&at(60), Input::Tick)).expect("offsets without rows pass");
    assert_eq!(to, Offset(4));

    // The answer is still on its way.
    assert!(pump.wants(PARTITION));
    pump.step(&at(61), fetched(4, 9, 5));
    let (_, from) = commit(&pump.step(&at(62), Input::Committed(pass))).expect("a claim");
    assert_eq!(from, Offset(4), "the claim stands where the offsets passed to");
}

fn assigned(partitions: &[u32]) -> Input {
    let metadata = Some(Metadata::origin(Offset(0), ServerTime(0)));
    let stored = Stored { offset: Offset(0), metadata };
    Input::Assigned(partitions.iter().map(|partition| (Partition(*partition), stored.clone())).collect())
}

fn filled(from: u64, to: u64, bytes: u64) -> Input {
    let range = Range::new(Offset(from), Offset(to));
    Input::Fetched { partition: PARTITION, range, filled: Filled { rows: to - from, bytes } }
}

#[test]
fn a_commit_that_is_put_off_goes_again_until_its_last_try_ends_the_membership() {
    let mut pump = pump();
    pump.step(&at(0), assigned(&[0]));
    let mut now = 1;
    let mut effects = pump.step(&at(now), fetched(0, 5, 5));
    for tries in 1.. {
        let (id, _) = commit(&effects).expect("a claim, again and again");
        let put_off = pump.step(&at(now), Input::CommitFailed(id, CommitFailure::NotYet));
        if put_off.contains(&Effect::Rejoin) {
            assert_eq!(tries, 300);
            break;
        }
        assert!(put_off.is_empty() && pump.step(&at(now + 99), Input::Tick).is_empty(), "it waits");
        now += 100;
        assert_eq!(pump.wake_at(), Some(at(now).now));
        effects = pump.step(&at(now), Input::Tick);
    }
}

#[test]
fn an_answer_to_an_older_commit_is_no_answer() {
    let mut pump = pump();
    pump.step(&at(0), assigned(&[0]));
    let (first, _) = commit(&pump.step(&at(1), fetched(0, 5, 5))).expect("a claim");
    pump.step(&at(1), Input::CommitFailed(first, CommitFailure::NotYet));
    let (second, _) = commit(&pump.step(&at(101), Input::Tick)).expect("the same again");
    assert!(pump.step(&at(102), Input::Committed(first)).is_empty());
    assert!(pump.step(&at(102), Input::CommitFailed(first, CommitFailure::Unknown)).is_empty());
    let inserts = pump.step(&at(103), Input::Committed(second));
    assert!(matches!(inserts.as_slice(), [Effect::Insert { attempt: 1, .. }]));
}

#[test]
fn a_lane_takes_no_more_at_its_memory_and_says_so() {
    let mut pump = pump();
    assert!(!pump.wants(PARTITION) && !pump.is_paused() && pump.next_offset(PARTITION).is_none());
    pump.step(&at(0), assigned(&[0]));
    pump.step(&at(1), filled(0, 5, 600_000));
    assert_eq!(pump.held_bytes(), 600_000, "what is being claimed is held");
    pump.step(&at(2), filled(5, 6, 399_999));
    assert_eq!(pump.held_bytes(), 999_999);
    assert!(pump.wants(PARTITION) && !pump.is_paused());
    pump.step(&at(3), filled(6, 7, 1));
    assert!(!pump.wants(PARTITION) && pump.is_paused());
    assert_eq!(pump.next_offset(PARTITION), Some(Offset(7)));
}

#[test]
fn a_lane_takes_nothing_of_what_it_has_to_give_back_nor_while_it_stops() {
    let mut pump = pump();
    pump.step(&at(0), assigned(&[0, 1]));
    let (claim, _) = commit(&pump.step(&at(1), fetched(0, 5, 5))).expect("a claim");
    let partitions = [PARTITION].into();
    pump.step(&at(2), Input::Revoking { partitions, until: at(500).now });
    assert!(!pump.wants(PARTITION) && pump.wants(Partition(1)));
    assert_eq!(pump.wake_at(), Some(at(500).now));
    pump.step(&at(3), Input::Committed(claim));
    pump.step(&at(4), Input::Drain(at(400).now));
    assert!(!pump.wants(Partition(1)));
    assert_eq!(pump.wake_at(), Some(at(400).now), "the nearest time counts");
    assert_eq!(pump.step(&at(399), Input::Tick), []);
    assert_eq!(pump.step(&at(400), Input::Tick), [Effect::Leave]);
}
