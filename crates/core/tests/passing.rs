//! Offsets without rows (control records, filtered records) pass without a batch, and the lane reads on meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use pumphouse_core::batch::{BatchPolicy, Filled};
use pumphouse_core::claim::Metadata;
use pumphouse_core::gap::GapPolicy;
use pumphouse_core::lane::Stored;
use pumphouse_core::moment::{Moment, ServerTime, Time};
use pumphouse_core::offset::{Offset, Partition, Range};
use pumphouse_core::pump::{CommitId, Effect, Input, Policy, Pump};

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
