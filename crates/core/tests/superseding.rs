//! A batch whose token decides no more, step by step: which answers count, when its lane asks, and what makes it halt.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pumphouse_core::batch::{BatchPolicy, Filled};
use pumphouse_core::claim::{BatchId, Claim, Metadata, Superseded};
use pumphouse_core::gap::GapPolicy;
use pumphouse_core::lane::Stored;
use pumphouse_core::moment::{Moment, ServerTime, Time};
use pumphouse_core::offset::{Offset, Partition, Range};
use pumphouse_core::pump::{CommitId, Effect, Input, Outcome, Policy, Pump, Survey, TableId};
use pumphouse_core::valve::ValvePolicy;
use pumphouse_core::verdict::{Halt, Refusal};

const HERE: Partition = Partition(0);
const THERE: Partition = Partition(1);
const TABLE: TableId = TableId(0);
const BATCH: BatchId = BatchId(3);
const OTHER: BatchId = BatchId(4);
const RANGE: Range = Range { from: Offset(0), to: Offset(4) };
const HOUR: u64 = 3_600_000;

fn pump() -> Pump {
    Pump::new(Policy {
        batch: BatchPolicy { freshness: Duration::from_millis(50), rows: 4, bytes: 1_000_000 },
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
    let server = ServerTime(i64::try_from(milliseconds).expect("few"));
    Moment { now: Time(milliseconds), server, entropy: u128::from(milliseconds) + 100 }
}

fn origin() -> Metadata {
    Metadata::origin(RANGE.from, ServerTime(0))
}

fn stored(metadata: Metadata) -> Stored {
    Stored { offset: RANGE.from, metadata: Some(metadata) }
}

/// Over both partitions, one of which is ours.
fn claim(shape: u32, supersedes: Vec<Superseded>) -> Claim {
    let claim = Claim {
        id: BATCH,
        claimed_at: ServerTime(1),
        shape,
        revision: "r".into(),
        ranges: BTreeMap::from([(HERE, RANGE), (THERE, RANGE)]),
        sent_until: ServerTime(i64::MAX),
        supersedes,
        excluded: BTreeSet::new(),
    };
    // As it comes back out of Kafka.
    let carrying = Metadata::decode(&origin().claiming(&claim).encode());
    carrying.and_then(|metadata| metadata.claim).expect("its own encoding")
}

fn superseded() -> Vec<Superseded> {
    vec![Superseded { id: BatchId(2), claimed_at: ServerTime(0) }]
}

/// A pump that was assigned the first partition of a claim, and has asked Kafka for all of them.
fn recovering(claim: &Claim) -> Pump {
    let mut pump = pump();
    let carrying = stored(origin().claiming(claim));
    let asks = pump.step(&at(2), Input::Assigned(BTreeMap::from([(HERE, carrying)])));
    assert_eq!(asks, [Effect::ReadStored(claim.clone())]);
    pump
}

/// What Kafka holds where only we carry the claim: it was never whole.
fn never_whole(claim: &Claim) -> Input {
    let both = [(HERE, stored(origin().claiming(claim))), (THERE, stored(origin()))];
    Input::StoredRead(claim.id, both.into())
}

/// A pump whose first batch is on its way to the table.
fn inserting() -> (Pump, BatchId) {
    let mut pump = pump();
    pump.step(&at(2), Input::Assigned(BTreeMap::from([(HERE, stored(origin()))])));
    let filled = Filled { rows: 4, bytes: 40 };
    let claimed = pump.step(&at(3), Input::Fetched { partition: HERE, range: RANGE, filled });
    let sent = pump.step(&at(4), Input::Committed(commit(&claimed)));
    let [Effect::Insert { claim, .. }] = &sent[..] else { panic!("{sent:?}") };
    (pump, claim.id)
}

/// The same once its first attempt was in doubt and the second is ordered.
fn inserting_again() -> (Pump, BatchId) {
    let (mut pump, batch) = inserting();
    assert_eq!(pump.step(&at(5), Input::InsertUnknown(batch, TABLE)), []);
    let again = pump.step(&at(5_000), Input::Tick);
    assert!(matches!(again[..], [Effect::Insert { attempt: 2, .. }]), "{again:?}");
    (pump, batch)
}

fn commit(effects: &[Effect]) -> CommitId {
    let found = effects.iter().find_map(|effect| match effect {
        Effect::Commit(id, _) => Some(*id),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no commit in {effects:?}"))
}

fn is_survey(effects: &[Effect]) -> bool {
    matches!(effects, [Effect::Survey { .. }])
}

#[test]
fn a_batch_in_doubt_whose_token_may_be_forgotten_is_sent_no_more() {
    let (mut pump, batch) = inserting_again();
    assert_eq!(pump.step(&at(5_001), Input::TokenForgotten(OTHER, TABLE)), [], "of an earlier batch");
    let given_up = pump.step(&at(5_002), Input::TokenForgotten(batch, TABLE));
    assert_eq!(given_up, [Effect::Forget(batch, Outcome::Superseded)]);
    assert_eq!(pump.step(&at(10_000), Input::Tick), [], "somebody may still insert it");
    assert!(is_survey(&pump.step(&at(HOUR), Input::Tick)));
}

#[test]
fn a_batch_that_was_never_sent_is_claimed_again_at_once_where_its_token_may_be_forgotten() {
    let (mut pump, batch) = inserting();
    let given_up = pump.step(&at(5), Input::TokenForgotten(batch, TABLE));
    assert!(
        matches!(given_up[..], [Effect::Forget(forgotten, Outcome::Reclaimed), Effect::Commit(..)] if forgotten == batch),
        "{given_up:?}"
    );
}

#[test]
fn a_survey_counts_once_it_was_asked_for_and_for_its_own_batch() {
    let (mut pump, batch) = inserting_again();
    pump.step(&at(5_001), Input::TokenForgotten(batch, TABLE));
    assert_eq!(pump.step(&at(5_002), Input::Surveyed(batch, Survey::Over)), [], "nobody asked yet");
    assert!(is_survey(&pump.step(&at(HOUR), Input::Tick)));
    assert_eq!(pump.step(&at(HOUR + 1), Input::Surveyed(OTHER, Survey::Over)), []);
    assert_eq!(pump.step(&at(HOUR + 2), Input::Surveyed(batch, Survey::NotYet)), []);
    let early = pump.step(&at(HOUR + 3), Input::Surveyed(batch, Survey::Over));
    assert_eq!(early, [], "an answer to the question before");
    assert!(is_survey(&pump.step(&at(HOUR + 10_000), Input::Tick)));
    commit(&pump.step(&at(HOUR + 10_001), Input::Surveyed(batch, Survey::Over)));
}

#[test]
fn what_is_told_of_another_batch_changes_nothing_of_a_recovery() {
    let claim = claim(1, Vec::new());
    let mut pump = recovering(&claim);
    assert_eq!(pump.step(&at(3), Input::Probed(OTHER, Some(true))), []);
    assert_eq!(pump.step(&at(4), Input::StoredRead(OTHER, BTreeMap::new())), []);
    commit(&pump.step(&at(5), never_whole(&claim)));
}

#[test]
fn a_claim_that_was_never_whole_is_dropped_but_one_in_anothers_place_is_superseded_again_under_its_own_shape_alone()
 {
    let alone = claim(2, Vec::new());
    let dropped = recovering(&alone).step(&at(3), never_whole(&alone));
    let [Effect::Commit(_, entries)] = &dropped[..] else { panic!("{dropped:?}") };
    assert_eq!((entries[&HERE].0, &entries[&HERE].1.claim), (RANGE.from, &None));

    let in_place = claim(1, superseded());
    let again = recovering(&in_place).step(&at(3), never_whole(&in_place));
    let [Effect::Forget(BATCH, Outcome::Dropped), Effect::Commit(_, entries)] = &again[..] else {
        panic!("{again:?}")
    };
    let next = entries[&HERE].1.claim.as_ref().expect("a claim");
    assert_eq!((&next.supersedes, next.ranges.len()), (&superseded(), 1), "of what is ours");

    let of_another = claim(2, superseded());
    let halted = recovering(&of_another).step(&at(3), never_whole(&of_another));
    assert_eq!(halted, [Effect::Halt(Halt::Shape(Box::new(of_another)))]);
}

#[test]
fn a_lane_that_stops_leaves_the_claim_it_was_recovering_to_the_next_owner() {
    let mut pump = recovering(&claim(1, Vec::new()));
    let left = pump.step(&at(3), Input::Drain(Time(10_000)));
    assert_eq!(left, [Effect::Forget(BATCH, Outcome::Left), Effect::Leave]);

    let (mut pump, batch) = inserting_again();
    pump.step(&at(5_001), Input::TokenForgotten(batch, TABLE));
    let left = pump.step(&at(5_002), Input::Drain(Time(10_000)));
    assert_eq!(left, [Effect::Forget(batch, Outcome::Left), Effect::Leave]);

    let claim = claim(1, Vec::new());
    let mut pump = recovering(&claim);
    commit(&pump.step(&at(3), never_whole(&claim)));
    assert_eq!(
        pump.step(&at(4), Input::Lost),
        [Effect::Forget(BATCH, Outcome::Left)],
        "while it is being dropped"
    );
}

#[test]
fn a_batch_that_was_refused_until_it_was_too_old_is_claimed_again_at_once() {
    let (mut pump, batch) = inserting();
    assert_eq!(pump.step(&at(5), Input::InsertRefused(batch, TABLE, Refusal::NotSent)), []);
    let again = pump.step(&at(HOUR), Input::Tick);
    let [Effect::Forget(forgotten, Outcome::Reclaimed), Effect::Commit(_, entries)] = &again[..] else {
        panic!("{again:?}")
    };
    let next = entries[&HERE].1.claim.as_ref().expect("a claim");
    assert_eq!((*forgotten, next.ranges[&HERE], next.supersedes.len()), (batch, RANGE, 0));
    assert_ne!(next.id, batch);
}

/// A batch over two partitions that was refused, and one of the partitions went to another lane.
fn half_given_away() -> (Pump, BatchId) {
    let mut pump = pump();
    pump.step(&at(2), Input::Assigned([(HERE, stored(origin())), (THERE, stored(origin()))].into()));
    let range = Range::new(Offset(0), Offset(2));
    let filled = Filled { rows: 2, bytes: 20 };
    pump.step(&at(3), Input::Fetched { partition: HERE, range, filled });
    let claimed = pump.step(&at(3), Input::Fetched { partition: THERE, range, filled });
    let sent = pump.step(&at(4), Input::Committed(commit(&claimed)));
    let [Effect::Insert { claim, .. }] = &sent[..] else { panic!("{sent:?}") };
    let batch = claim.id;
    pump.step(&at(5), Input::InsertRefused(batch, TABLE, Refusal::NotSent));
    let until = Time(6);
    assert_eq!(pump.step(&at(5), Input::Revoking { partitions: [THERE].into(), until }), []);
    assert_eq!(pump.step(&at(6), Input::Tick), [Effect::Release([THERE].into())]);
    (pump, batch)
}

#[test]
fn a_batch_that_the_owner_of_another_partition_may_have_sent_is_not_claimed_again_at_once() {
    for comes_back in [false, true] {
        let (mut pump, batch) = half_given_away();
        if comes_back {
            pump.step(&at(7), Input::Assigned([(THERE, stored(origin()))].into()));
        }
        let given_up = pump.step(&at(HOUR), Input::Tick);
        let [Effect::Forget(forgotten, Outcome::Superseded), Effect::Survey { .. }] = &given_up[..] else {
            panic!("comes back: {comes_back}, {given_up:?}")
        };
        assert_eq!(*forgotten, batch);
    }
}

#[test]
fn a_lane_whose_membership_ends_forgets_the_batch_that_it_was_recovering_or_superseding() {
    let mut pump = recovering(&claim(1, Vec::new()));
    assert_eq!(pump.step(&at(3), Input::Lost), [Effect::Forget(BATCH, Outcome::Left)]);

    let (mut pump, batch) = inserting_again();
    pump.step(&at(5_001), Input::TokenForgotten(batch, TABLE));
    assert_eq!(pump.step(&at(5_002), Input::Lost), [Effect::Forget(batch, Outcome::Left)]);
}
