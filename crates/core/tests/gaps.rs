//! Records that Kafka deleted before they were read, and starts that nobody wrote down: what is ordered, in which order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pumphouse_core::batch::{BatchPolicy, Filled};
use pumphouse_core::claim::{BatchId, Claim, Excluded, Metadata};
use pumphouse_core::gap::{Committed, GapOf, GapPolicy, GapsAnswer, Origin};
use pumphouse_core::lane::Stored;
use pumphouse_core::moment::{Moment, ServerTime, Time};
use pumphouse_core::offset::{Offset, Partition, Range};
use pumphouse_core::pump::{CommitFailure, CommitId, Effect, Input, OrderId, Policy, Pump, TableId};
use pumphouse_core::valve::ValvePolicy;
use pumphouse_core::verdict::{Halt, Refusal};

const HERE: Partition = Partition(0);
const SINCE: ServerTime = ServerTime(5);

fn pump(gaps: GapPolicy) -> Pump {
    Pump::new(Policy {
        batch: BatchPolicy { freshness: Duration::from_millis(50), rows: 100, bytes: 1_000_000 },
        memory: 1_000_000,
        tables: 1,
        letters: 0,
        shape: 1,
        revision: "r".into(),
        insert_timeout: Duration::from_secs(1),
        safe_age: Duration::from_mins(30),
        gaps,
        valve: ValvePolicy::default(),
    })
}

fn at(milliseconds: u64) -> Moment {
    let server = ServerTime(i64::try_from(milliseconds).expect("few"));
    Moment { now: Time(milliseconds), server, entropy: 7 + u128::from(milliseconds) }
}

fn range(from: u64, to: u64) -> Range {
    Range::new(Offset(from), Offset(to))
}

/// A pump that fetches the partition from offset 10.
fn fetching(gaps: GapPolicy) -> Pump {
    let mut pump = pump(gaps);
    let stored = Stored { offset: Offset(10), metadata: Some(Metadata::origin(Offset(10), SINCE)) };
    pump.step(&at(0), Input::Assigned(BTreeMap::from([(HERE, stored)])));
    pump
}

fn out_of_range(low: u64) -> Input {
    Input::OutOfRange { partition: HERE, low: Offset(low), high: Offset(1_000) }
}

fn filled(from: u64, to: u64) -> Input {
    let filled = Filled { rows: to - from, bytes: 10 };
    Input::Fetched { partition: HERE, range: range(from, to), filled }
}

fn committed(effects: &[Effect]) -> Option<(CommitId, Offset)> {
    effects.iter().find_map(|effect| match effect {
        Effect::Commit(id, entries) => Some((*id, entries[&HERE].0)),
        _ => None,
    })
}

fn reported(effects: &[Effect]) -> Option<(OrderId, Range, bool)> {
    effects.iter().find_map(|effect| match effect {
        Effect::ReportGaps(order, gaps) => {
            let claimed = match &gaps.of {
                GapOf::Unread(since) => since[&HERE] != SINCE,
                GapOf::Claim(_) => true,
            };
            Some((*order, gaps.missing[&HERE], claimed))
        }
        _ => None,
    })
}

#[test]
fn a_gap_is_written_down_between_two_commits_and_then_passed() {
    let mut pump = fetching(GapPolicy::Report);
    let (affirmed, stands) = committed(&pump.step(&at(1), out_of_range(40))).expect("a commit first");
    assert_eq!(stands, Offset(10), "it says only that the partition is ours");
    assert!(!pump.wants(HERE));
    let (order, missing, of_a_claim) =
        reported(&pump.step(&at(2), Input::Committed(affirmed))).expect("the report");
    assert_eq!((missing, of_a_claim), (range(10, 40), false));
    let done = Input::GapsAnswered(order, GapsAnswer::Done);
    let (passed, to) = committed(&pump.step(&at(3), done)).expect("the offset passes it");
    assert_eq!(to, Offset(40));
    assert_eq!(pump.step(&at(4), Input::Committed(passed)), [Effect::Rejoin]);
}

#[test]
fn who_no_longer_owns_the_partition_reports_nothing() {
    let mut pump = fetching(GapPolicy::Report);
    let (affirmed, _) = committed(&pump.step(&at(1), out_of_range(40))).expect("a commit first");
    let effects = pump.step(&at(2), Input::CommitFailed(affirmed, CommitFailure::Unknown));
    assert_eq!(effects, [Effect::Rejoin]);
}

#[test]
fn what_was_read_before_the_gap_lands_first() {
    let mut pump = fetching(GapPolicy::Report);
    let filled = Filled { rows: 5, bytes: 50 };
    pump.step(&at(1), Input::Fetched { partition: HERE, range: range(10, 20), filled });
    assert_eq!(pump.step(&at(2), out_of_range(40)), []);
    let (claim, _) = committed(&pump.step(&at(60), Input::Tick)).expect("a claim");
    let effects = pump.step(&at(61), Input::Committed(claim));
    let Some(Effect::Insert { claim: batch, .. }) = effects.first() else { panic!("{effects:?}") };
    let (settled, to) =
        committed(&pump.step(&at(62), Input::Inserted(batch.id, TableId(0)))).expect("settles");
    assert_eq!(to, Offset(20));
    let (affirmed, _) = committed(&pump.step(&at(63), Input::Committed(settled))).expect("a commit first");
    let (_, missing, _) = reported(&pump.step(&at(64), Input::Committed(affirmed))).expect("the report");
    assert_eq!(missing, range(20, 40));
}

#[test]
fn a_report_in_doubt_goes_again_and_one_refused_for_good_halts() {
    let mut pump = fetching(GapPolicy::Report);
    let (affirmed, _) = committed(&pump.step(&at(1), out_of_range(40))).expect("a commit first");
    let (order, ..) = reported(&pump.step(&at(2), Input::Committed(affirmed))).expect("the report");
    for (time, answer) in [(3, GapsAnswer::Unknown), (20_000, GapsAnswer::Refused(Refusal::TooManyParts))] {
        assert_eq!(pump.step(&at(time), Input::GapsAnswered(order, answer)), []);
        let again = pump.wake_at().expect("it goes again");
        let again = reported(&pump.step(&at(again.0), Input::Tick)).expect("the same report");
        assert_eq!((again.0, again.1), (order, range(10, 40)));
    }
    let refused = GapsAnswer::Refused(Refusal::Missing);
    let effects = pump.step(&at(60_000), Input::GapsAnswered(order, refused));
    assert_eq!(effects, [Effect::Halt(Halt::GapsRefused(Refusal::Missing))]);
}

#[test]
fn gaps_halt_where_that_was_asked_for_and_a_position_behind_the_log_always_does() {
    let gone = Halt::RecordsGone { partition: HERE, missing: range(10, 40) };
    assert_eq!(fetching(GapPolicy::Halt).step(&at(1), out_of_range(40)), [Effect::Halt(gone)]);
    let behind = Input::OutOfRange { partition: HERE, low: Offset(0), high: Offset(4) };
    let halted = [Effect::Halt(Halt::OutOfRange { partition: HERE, missing: range(4, 10) })];
    assert_eq!(fetching(GapPolicy::Report).step(&at(1), behind), halted);
}

fn claim() -> Claim {
    let ranges = BTreeMap::from([(HERE, range(10, 60)), (Partition(1), range(0, 30))]);
    let metadata = Metadata::origin(Offset(10), SINCE).claiming(&Claim {
        id: BatchId(3),
        claimed_at: ServerTime(1),
        shape: 1,
        revision: String::new(),
        ranges,
        sent_until: ServerTime(i64::MAX),
        supersedes: Vec::new(),
        excluded: BTreeSet::new(),
    });
    // As it comes back out of Kafka.
    Metadata::decode(&metadata.encode()).and_then(|metadata| metadata.claim).expect("its own encoding")
}

/// A pump that owns partition 0 of a claim over two partitions, and knows that it has to be sent again.
fn recovering(gaps: GapPolicy) -> Pump {
    let (mut pump, claim) = (pump(gaps), claim());
    let carried = |from| Stored {
        offset: Offset(from),
        metadata: Some(Metadata::origin(Offset(from), SINCE).claiming(&claim)),
    };
    pump.step(&at(2), Input::Assigned(BTreeMap::from([(HERE, carried(10))])));
    let stored = BTreeMap::from([(HERE, carried(10)), (Partition(1), carried(0))]);
    let effects = pump.step(&at(3), Input::StoredRead(claim.id, stored));
    assert_eq!(effects, [Effect::Rebuild(claim)]);
    pump
}

fn rebuilt(deleted: BTreeMap<Partition, Range>) -> Input {
    Input::Rebuilt { claim: Box::new(claim()), filled: Filled { rows: 20, bytes: 200 }, deleted }
}

#[test]
fn of_a_claim_that_is_partly_gone_what_is_missing_is_reported_for_all_its_partitions_before_the_rest_lands() {
    let (mut pump, claim) = (recovering(GapPolicy::Report), claim());
    let deleted = BTreeMap::from([(HERE, range(10, 40)), (Partition(1), range(0, 30))]);
    let effects = pump.step(&at(5), rebuilt(deleted.clone()));
    let [Effect::ReportGaps(order, gaps)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((&gaps.missing, &gaps.of), (&deleted, &GapOf::Claim(claim.clone())));
    assert!(pump.is_in_flight(claim.id), "its rows are kept meanwhile");
    let done = Input::GapsAnswered(*order, GapsAnswer::Done);
    assert!(matches!(pump.step(&at(6), done)[..], [Effect::Insert { .. }]));
    let settled = committed(&pump.step(&at(7), Input::Inserted(claim.id, TableId(0))));
    assert_eq!(settled.map(|(_, to)| to), Some(Offset(60)));
}

#[test]
fn a_position_at_the_beginning_or_the_end_of_its_log_is_within_it() {
    for (low, high) in [(10, 1_000), (0, 10), (10, 10)] {
        for gaps in [GapPolicy::Report, GapPolicy::Halt] {
            let mut pump = fetching(gaps);
            let fine = Input::OutOfRange { partition: HERE, low: Offset(low), high: Offset(high) };
            assert_eq!((pump.step(&at(1), fine), pump.has_gaps()), (vec![], false), "{low} to {high}");
        }
    }
    let mut pump = fetching(GapPolicy::Report);
    pump.step(&at(1), filled(10, 12));
    assert_eq!((pump.step(&at(2), out_of_range(13)), pump.has_gaps()), (vec![], true), "rows land first");
}

#[test]
fn what_was_read_before_another_owner_excluded_a_row_is_not_the_batch() {
    let mut pump = recovering(GapPolicy::Report);
    let row = Excluded { partition: HERE, offset: Offset(20), index: 0, table: TableId(0) };
    let excluding = Claim { excluded: [row].into(), ..claim() };
    let read = |claim: &Claim| Input::Rebuilt {
        claim: Box::new(claim.clone()),
        filled: Filled { rows: 20, bytes: 200 },
        deleted: BTreeMap::new(),
    };
    assert_eq!(pump.step(&at(4), read(&excluding)), [], "the claim at hand leaves none out");
    assert!(pump.awaits_rows(&claim()) && !pump.awaits_rows(&excluding));
    assert!(matches!(pump.step(&at(5), read(&claim()))[..], [Effect::Insert { .. }]));
}

#[test]
fn a_claim_that_is_partly_gone_halts_where_gaps_do() {
    let deleted = BTreeMap::from([(HERE, range(10, 40))]);
    let halted = Halt::Gone { batch: claim().id, partition: HERE, range: range(10, 40) };
    let effects = recovering(GapPolicy::Halt).step(&at(4), rebuilt(deleted));
    assert_eq!(effects, [Effect::Halt(halted)]);
}

/// Another owner settled the batch on a partition of its own, which comes to us while we still report what is missing.
#[test]
fn a_partition_that_passed_a_claim_may_be_read_on_while_a_gap_of_the_claim_is_written_down() {
    let (mut pump, claim) = (recovering(GapPolicy::Report), claim());
    let effects = pump.step(&at(4), rebuilt(BTreeMap::from([(HERE, range(10, 40))])));
    let [Effect::ReportGaps(order, _)] = effects[..] else { panic!("{effects:?}") };
    let passed = Metadata::origin(Offset(0), SINCE).settling(claim.id, Offset(30));
    let passed = Stored { offset: Offset(35), metadata: Some(passed) };
    pump.step(&at(5), Input::Assigned(BTreeMap::from([(Partition(1), passed)])));
    let filled = Filled { rows: 5, bytes: 50 };
    pump.step(&at(6), Input::Fetched { partition: Partition(1), range: range(35, 40), filled });
    pump.step(&at(7), Input::GapsAnswered(order, GapsAnswer::Done));
    let settled = committed(&pump.step(&at(8), Input::Inserted(claim.id, TableId(0))));
    let (settled, to) = settled.expect("settles its own partition alone");
    assert_eq!(to, Offset(60));
    let next = pump.step(&at(70), Input::Committed(settled));
    let [_, Effect::Seal(next, _), Effect::Commit(..)] = &next[..] else { panic!("{next:?}") };
    assert_eq!(next.ranges, BTreeMap::from([(Partition(1), range(35, 40))]));
}

fn new(starts: u64) -> (Pump, OrderId) {
    let mut pump = pump(GapPolicy::Report);
    let stored = Stored { offset: Offset(starts), metadata: None };
    let effects = pump.step(&at(0), Input::Assigned(BTreeMap::from([(HERE, stored)])));
    let [Effect::AskOrigins(order, starts_asked)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(starts_asked[&HERE], Offset(starts));
    (pump, *order)
}

fn origin(committed: Committed, highest: u64) -> BTreeMap<Partition, Origin> {
    BTreeMap::from([(HERE, Origin { committed, highest: Some(Offset(highest)), end: Offset(500) })])
}

#[test]
fn a_start_that_nothing_speaks_against_is_marked() {
    let (mut pump, order) = new(50);
    let effects = pump.step(&at(1), Input::Origins(order, origin(Committed::Never, 49)));
    let (mark, offset) = committed(&effects).expect("a mark");
    assert_eq!(offset, Offset(50));
    assert!(!pump.wants(HERE));
    pump.step(&at(2), Input::Committed(mark));
    assert!(pump.wants(HERE));
}

#[test]
fn a_start_that_would_double_rows_halts_and_knows_where_to_go_on() {
    let (mut pump, order) = new(50);
    let effects = pump.step(&at(1), Input::Origins(order, origin(Committed::Never, 77)));
    let [Effect::Halt(Halt::OffsetsLost(lost))] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((lost[&HERE].start, lost[&HERE].goes_on_at()), (Offset(50), Offset(78)));
}

#[test]
fn an_answer_to_an_earlier_question_marks_nothing() {
    let (mut pump, earlier) = new(50);
    pump.step(&at(1), Input::Lost);
    let stored = Stored { offset: Offset(50), metadata: None };
    let asked = pump.step(&at(2), Input::Assigned(BTreeMap::from([(HERE, stored)])));
    assert!(matches!(asked[..], [Effect::AskOrigins(..)]), "{asked:?}");
    assert_eq!(pump.step(&at(3), Input::Origins(earlier, origin(Committed::Bare, 0))), []);
}
