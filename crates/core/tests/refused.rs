//! One lane with two tables and a place for dead letters, step by step: what is sent when, and what a search leads to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pumphouse_core::batch::{BatchPolicy, Filled};
use pumphouse_core::claim::{BatchId, Claim, EXCLUDED_MAX, Excluded, Metadata};
use pumphouse_core::gap::{GapOf, GapPolicy, GapsAnswer};
use pumphouse_core::isolation::{FRUITLESS_MAX, Isolation, Proof};
use pumphouse_core::lane::Stored;
use pumphouse_core::moment::{Moment, ServerTime, Time};
use pumphouse_core::offset::{Offset, Partition, Range};
use pumphouse_core::pump::{CommitId, Effect, Input, Policy, Pump, TableId};
use pumphouse_core::valve::ValvePolicy;
use pumphouse_core::verdict::{Halt, Refusal};

const HERE: Partition = Partition(0);
const FIRST: TableId = TableId(0);
const SECOND: TableId = TableId(1);
const LETTERS: TableId = TableId(2);

struct Lane {
    pump: Pump,
    now: u64,
    /// As it was last inserted or ordered to be built again.
    claim: Option<Claim>,
}

impl Lane {
    /// A lane whose batch of four records is claimed, and the batch.
    fn inserting() -> (Self, BatchId) {
        Self::inserting_under(GapPolicy::Halt)
    }

    fn new(gaps: GapPolicy) -> Self {
        let pump = Pump::new(Policy {
            batch: BatchPolicy { freshness: Duration::from_millis(50), rows: 4, bytes: 1_000_000 },
            memory: 1_000_000,
            tables: 3,
            letters: 1,
            shape: 1,
            revision: "r".into(),
            insert_timeout: Duration::from_secs(1),
            safe_age: Duration::from_mins(30),
            gaps,
            valve: ValvePolicy::default(),
        });
        Self { pump, now: 1_000, claim: None }
    }

    fn assigned(&mut self, partitions: &[Partition]) {
        let metadata = Some(Metadata::origin(Offset(0), ServerTime(0)));
        let stored = Stored { offset: Offset(0), metadata };
        self.step(Input::Assigned(partitions.iter().map(|partition| (*partition, stored.clone())).collect()));
    }

    fn inserting_under(gaps: GapPolicy) -> (Self, BatchId) {
        let mut lane = Self::new(gaps);
        lane.assigned(&[HERE]);
        let claimed = lane.fetch(0, 4);
        let sent = lane.step(Input::Committed(commit(&claimed)));
        assert_eq!(inserts(&sent), [FIRST, SECOND]);
        let batch = sent.iter().find_map(|effect| match effect {
            Effect::Insert { claim, .. } => Some(claim.id),
            _ => None,
        });
        (lane, batch.expect("an insert"))
    }

    fn step(&mut self, input: Input) -> Vec<Effect> {
        self.now += 20_000;
        let server = ServerTime(i64::try_from(self.now / 100).expect("small"));
        let moment = Moment { now: Time(self.now), server, entropy: u128::from(self.now) };
        let effects = self.pump.step(&moment, input);
        let claim = effects.iter().find_map(|effect| match effect {
            Effect::Insert { claim, .. } | Effect::Rebuild(claim) => Some(claim.clone()),
            _ => None,
        });
        self.claim = claim.or(self.claim.take());
        effects
    }

    fn fetch(&mut self, from: u64, to: u64) -> Vec<Effect> {
        let filled = Filled { rows: to - from, bytes: 10 * (to - from) };
        self.step(Input::Fetched { partition: HERE, range: Range::new(Offset(from), Offset(to)), filled })
    }

    /// The batch, built again from what Kafka holds from `low` on.
    fn rebuilt(&mut self, low: u64) -> Vec<Effect> {
        let deleted = (low > 0).then(|| (HERE, Range::new(Offset(0), Offset(low))));
        let filled = Filled { rows: 4 - low, bytes: 40 };
        let claim = Box::new(self.claim.clone().expect("a claim"));
        self.step(Input::Rebuilt { claim, filled, deleted: deleted.into_iter().collect() })
    }

    fn awaits_rows(&self) -> bool {
        self.claim.as_ref().is_some_and(|claim| self.pump.awaits_rows(claim))
    }
}

fn commit(effects: &[Effect]) -> CommitId {
    let found = effects.iter().find_map(|effect| match effect {
        Effect::Commit(id, _) => Some(*id),
        _ => None,
    });
    found.expect("a commit")
}

fn inserts(effects: &[Effect]) -> Vec<TableId> {
    let table = |effect: &Effect| match effect {
        Effect::Insert { table, .. } => Some(*table),
        _ => None,
    };
    effects.iter().filter_map(table).collect()
}

fn is_searched(effects: &[Effect]) -> bool {
    matches!(effects, [Effect::Isolate(_, FIRST)])
}

fn rows(is_steady: bool) -> Isolation {
    let row = Excluded { partition: HERE, offset: Offset(2), index: 0, table: FIRST };
    Isolation::Rows { rows: [row].into(), of: 4, proof: Proof { is_steady, before_writing: true } }
}

#[test]
fn dead_letters_come_after_every_table() {
    let (mut lane, batch) = Lane::inserting();
    assert_eq!(lane.step(Input::Inserted(batch, SECOND)), []);
    assert_eq!(inserts(&lane.step(Input::Inserted(batch, FIRST))), [LETTERS]);
    commit(&lane.step(Input::Inserted(batch, LETTERS)));
}

#[test]
fn a_refused_row_is_claimed_as_excluded_before_the_others_go_out() {
    let (mut lane, batch) = Lane::inserting();
    assert!(is_searched(&lane.step(Input::InsertRefused(batch, FIRST, Refusal::Row))));
    // The other table is still to answer.
    assert_eq!(lane.step(Input::Isolated(batch, FIRST, rows(false))), []);
    let revised = lane.step(Input::Inserted(batch, SECOND));
    let [Effect::Commit(id, entries)] = revised.as_slice() else { panic!("{revised:?}") };
    let claim = entries[&HERE].1.claim.clone().expect("a claim");
    assert_eq!((claim.id, claim.excluded.len()), (batch, 1));
    assert_eq!(lane.step(Input::Committed(*id)), [Effect::Rebuild(claim.clone())]);
    let again = lane.rebuilt(0);
    assert_eq!(inserts(&again), [FIRST]);
    let letters = lane.step(Input::Inserted(batch, FIRST));
    assert!(
        matches!(letters.as_slice(), [Effect::Insert { claim: sent, table: LETTERS, .. }] if *sent == claim)
    );
}

/// The gap is written down before anything of the rest is sent.
#[track_caller]
fn reports_then_inserts(lane: &mut Lane, batch: BatchId) {
    let effects = lane.rebuilt(1);
    let [Effect::ReportGaps(order, gaps)] = effects.as_slice() else { panic!("{effects:?}") };
    assert!(matches!(&gaps.of, GapOf::Claim(claim) if claim.id == batch));
    assert_eq!(gaps.missing, BTreeMap::from([(HERE, Range::new(Offset(0), Offset(1)))]));
    assert_eq!(inserts(&lane.step(Input::GapsAnswered(*order, GapsAnswer::Done))), [FIRST]);
}

#[test]
fn of_a_batch_that_kafka_deleted_in_part_while_rows_of_it_were_excluded_the_rest_goes_out() {
    for gaps in [GapPolicy::Report, GapPolicy::Halt] {
        let (mut lane, batch) = Lane::inserting_under(gaps);
        lane.step(Input::Inserted(batch, SECOND));
        lane.step(Input::InsertRefused(batch, FIRST, Refusal::Row));
        let revised = commit(&lane.step(Input::Isolated(batch, FIRST, rows(true))));
        lane.step(Input::Committed(revised));
        if gaps == GapPolicy::Report {
            reports_then_inserts(&mut lane, batch);
            assert_eq!(inserts(&lane.step(Input::Inserted(batch, FIRST))), [LETTERS]);
            commit(&lane.step(Input::Inserted(batch, LETTERS)));
        } else {
            let range = Range::new(Offset(0), Offset(1));
            let gone = Halt::Gone { batch, partition: HERE, range };
            assert_eq!(lane.rebuilt(1), [Effect::Halt(gone)]);
        }
    }
}

#[test]
fn a_refused_row_that_kafka_deleted_before_it_was_found_does_not_hold_up_the_rest() {
    let (mut lane, batch) = Lane::inserting_under(GapPolicy::Report);
    lane.step(Input::Inserted(batch, SECOND));
    for _ in 0..FRUITLESS_MAX {
        assert!(is_searched(&lane.step(Input::InsertSuspect(batch, FIRST))));
        let again = lane.step(Input::Isolated(batch, FIRST, Isolation::NoRowLeft));
        assert!(matches!(again.as_slice(), [Effect::Rebuild(claim)] if claim.id == batch), "{again:?}");
        assert_eq!(lane.step(Input::Tick), [], "what holds the refused row is not sent any more");
        reports_then_inserts(&mut lane, batch);
    }
    assert_eq!(lane.step(Input::InsertSuspect(batch, FIRST)), [], "no search without end");
}

#[test]
fn a_batch_that_was_built_again_too_late_is_not_taken() {
    let (mut lane, batch) = Lane::inserting_under(GapPolicy::Report);
    assert!(!lane.awaits_rows());
    assert_eq!(lane.rebuilt(1), [], "its rows are at hand, and there are more of them");
    lane.step(Input::Inserted(batch, SECOND));
    lane.step(Input::InsertRefused(batch, FIRST, Refusal::Row));
    lane.step(Input::Isolated(batch, FIRST, Isolation::NoRowLeft));
    assert!(lane.awaits_rows());
}

#[test]
fn a_search_that_ends_after_the_first_partition_went_away_is_for_its_new_owner_to_act_on() {
    let there = Partition(1);
    for found in [rows(true), too_many(4), Isolation::EveryRow, Isolation::NoRow] {
        let mut lane = Lane::new(GapPolicy::Report);
        lane.assigned(&[HERE, there]);
        let range = Range::new(Offset(0), Offset(2));
        let filled = Filled { rows: 2, bytes: 20 };
        lane.step(Input::Fetched { partition: HERE, range, filled });
        let claimed = lane.step(Input::Fetched { partition: there, range, filled });
        lane.step(Input::Committed(commit(&claimed)));
        let batch = lane.claim.as_ref().expect("a claim").id;
        assert!(is_searched(&lane.step(Input::InsertRefused(batch, FIRST, Refusal::Row))));
        lane.step(Input::Inserted(batch, SECOND));
        let until = Time(lane.now + 30_000);
        assert_eq!(lane.step(Input::Revoking { partitions: [HERE].into(), until }), []);
        assert_eq!(lane.step(Input::Tick), [Effect::Release([HERE].into())]);
        assert_eq!(lane.step(Input::Isolated(batch, FIRST, found)), []);
        let effects = lane.step(Input::Tick);
        assert!(effects.contains(&Effect::Rejoin), "it reads again what became of the claim: {effects:?}");
    }
}

#[test]
fn after_an_insert_in_doubt_only_a_steady_refusal_excludes_a_row() {
    for is_steady in [false, true] {
        let (mut lane, batch) = Lane::inserting();
        lane.step(Input::Inserted(batch, SECOND));
        lane.step(Input::InsertUnknown(batch, FIRST));
        assert_eq!(inserts(&lane.step(Input::Tick)), [FIRST]);
        assert!(is_searched(&lane.step(Input::InsertRefused(batch, FIRST, Refusal::Row))));
        let then = lane.step(Input::Isolated(batch, FIRST, rows(is_steady)));
        assert_eq!(matches!(then.as_slice(), [Effect::Commit(..)]), is_steady, "{then:?}");
        if !is_steady {
            assert_eq!(inserts(&lane.step(Input::Tick)), [FIRST], "the whole block again");
        }
    }
}

#[test]
fn an_error_that_proves_nothing_is_searched_and_stays_in_doubt_where_no_row_is_found() {
    let (mut lane, batch) = Lane::inserting();
    lane.step(Input::Inserted(batch, SECOND));
    for round in 0..10 {
        let searched = is_searched(&lane.step(Input::InsertSuspect(batch, FIRST)));
        assert_eq!(searched, round < FRUITLESS_MAX);
        if searched {
            assert_eq!(lane.pump.wake_at(), None, "the search answers by itself");
            lane.step(Input::Isolated(batch, FIRST, Isolation::NoRow));
        }
        assert!(lane.pump.wake_at().is_some(), "the insert is repeated by itself");
        assert_eq!(inserts(&lane.step(Input::Tick)), [FIRST]);
    }
}

#[test]
fn searches_that_lead_to_nothing_end_in_a_halt() {
    for found in [Isolation::NoRow, Isolation::Unknown] {
        let (mut lane, batch) = Lane::inserting();
        lane.step(Input::Inserted(batch, SECOND));
        for _ in 0..FRUITLESS_MAX {
            assert!(is_searched(&lane.step(Input::InsertRefused(batch, FIRST, Refusal::Row))));
            lane.step(Input::Isolated(batch, FIRST, found.clone()));
            assert_eq!(inserts(&lane.step(Input::Tick)), [FIRST]);
        }
        let halted = lane.step(Input::InsertRefused(batch, FIRST, Refusal::Row));
        assert_eq!(halted, [Effect::Halt(Halt::Refused(batch, FIRST, Refusal::Row))]);
    }
}

#[test]
fn a_table_that_has_the_batch_after_all_is_not_searched_any_more() {
    let found = [rows(true), Isolation::NoRow, Isolation::Unknown, Isolation::EveryRow];
    for found in found {
        for is_found_first in [false, true] {
            let (mut lane, batch) = Lane::inserting();
            assert!(is_searched(&lane.step(Input::InsertRefused(batch, FIRST, Refusal::Row))));
            // The second table is under way, so what was found has to wait.
            if is_found_first {
                assert_eq!(lane.step(Input::Isolated(batch, FIRST, found.clone())), []);
            }
            assert_eq!(lane.step(Input::Inserted(batch, FIRST)), []);
            assert_eq!(lane.step(Input::Isolated(batch, FIRST, found.clone())), []);
            assert_eq!(inserts(&lane.step(Input::Inserted(batch, SECOND))), [LETTERS]);
        }
    }
}

#[test]
fn a_table_that_refuses_every_row_halts() {
    let (mut lane, batch) = Lane::inserting();
    lane.step(Input::Inserted(batch, SECOND));
    lane.step(Input::InsertRefused(batch, FIRST, Refusal::Row));
    let halted = lane.step(Input::Isolated(batch, FIRST, Isolation::EveryRow));
    assert_eq!(halted, [Effect::Halt(Halt::EveryRow(batch, FIRST))]);
}

fn too_many(rows: u64) -> Isolation {
    Isolation::TooMany { rows, proof: Proof { is_steady: true, before_writing: true } }
}

#[test]
fn too_many_rows_take_the_claim_back_only_where_no_table_has_the_batch() {
    let (mut lane, batch) = Lane::inserting();
    lane.step(Input::Inserted(batch, SECOND));
    lane.step(Input::InsertRefused(batch, FIRST, Refusal::Row));
    let halted = lane.step(Input::Isolated(batch, FIRST, too_many(4)));
    assert_eq!(halted, [Effect::Halt(Halt::TooManyRows(batch, FIRST))]);

    let (mut lane, batch) = Lane::inserting();
    lane.step(Input::InsertRefused(batch, SECOND, Refusal::NotSent));
    lane.step(Input::InsertRefused(batch, FIRST, Refusal::Row));
    let back = lane.step(Input::Isolated(batch, FIRST, too_many(4)));
    let [Effect::Commit(id, entries)] = back.as_slice() else { panic!("{back:?}") };
    assert_eq!((entries[&HERE].0, &entries[&HERE].1.claim), (Offset(0), &None));
    let over = lane.step(Input::Committed(*id));
    assert!(over.contains(&Effect::Rejoin), "{over:?}");
    assert!(lane.pump.committed_offsets().collect::<BTreeSet<_>>().is_empty());
}

#[test]
fn after_too_many_refused_rows_batches_are_half_of_what_was_looked_at_and_double_up_to_the_policy() {
    let (mut lane, batch) = Lane::inserting();
    lane.step(Input::InsertRefused(batch, SECOND, Refusal::NotSent));
    lane.step(Input::InsertRefused(batch, FIRST, Refusal::Row));
    let back = commit(&lane.step(Input::Isolated(batch, FIRST, too_many(2))));
    lane.step(Input::Committed(back));
    lane.assigned(&[HERE]);
    let mut from = 0;
    for rows in [1, 2, 4] {
        assert_eq!(lane.pump.room(), rows);
        let claimed = lane.fetch(from, from + rows);
        lane.step(Input::Committed(commit(&claimed)));
        let batch = lane.claim.as_ref().expect("a claim").id;
        lane.step(Input::Inserted(batch, FIRST));
        lane.step(Input::Inserted(batch, SECOND));
        let settled = commit(&lane.step(Input::Inserted(batch, LETTERS)));
        lane.step(Input::Committed(settled));
        from += rows;
    }
    assert_eq!(lane.pump.room(), 4, "as large as the policy says");
}

#[test]
fn a_block_in_doubt_is_taken_back_only_where_its_refusal_is_older_and_comes_before_writing() {
    for (is_steady, before_writing, rows) in
        [(true, true, 4), (true, false, 4), (false, true, 4), (false, false, 4), (true, true, 1)]
    {
        let (mut lane, batch) = Lane::inserting();
        lane.step(Input::InsertUnknown(batch, FIRST));
        lane.step(Input::InsertRefused(batch, SECOND, Refusal::NotSent));
        lane.step(Input::Tick);
        lane.step(Input::InsertRefused(batch, SECOND, Refusal::NotSent));
        assert!(is_searched(&lane.step(Input::InsertRefused(batch, FIRST, Refusal::Row))));
        let proof = Proof { is_steady, before_writing };
        let then = lane.step(Input::Isolated(batch, FIRST, Isolation::TooMany { rows, proof }));
        let is_taken_back = matches!(then.as_slice(), [Effect::Commit(..)]);
        assert_eq!(is_taken_back, is_steady && before_writing && rows > 1, "{proof:?} {rows}: {then:?}");
        assert!(is_taken_back || then == [Effect::Halt(Halt::TooManyRows(batch, FIRST))], "{then:?}");
    }
}

/// A lane that owns `mine` of a claim over both partitions, which another process made, and sends it again.
fn resending(mine: Partition) -> (Lane, Claim) {
    let there = Partition(1);
    let range = Range::new(Offset(0), Offset(2));
    let claim = Claim {
        id: BatchId(7),
        claimed_at: ServerTime(100),
        shape: 1,
        revision: "r".into(),
        ranges: BTreeMap::from([(HERE, range), (there, range)]),
        sent_until: ServerTime(i64::MAX),
        supersedes: Vec::new(),
        excluded: BTreeSet::new(),
    };
    let metadata = Some(Metadata::origin(Offset(0), ServerTime(0)).claiming(&claim));
    let stored = Stored { offset: Offset(0), metadata };
    let mut lane = Lane::new(GapPolicy::Report);
    let asked = lane.step(Input::Assigned(BTreeMap::from([(mine, stored.clone())])));
    assert_eq!(asked, [Effect::ReadStored(claim.clone())]);
    let both = BTreeMap::from([(HERE, stored.clone()), (there, stored)]);
    assert_eq!(lane.step(Input::StoredRead(claim.id, both)), [Effect::Rebuild(claim.clone())]);
    assert_eq!(inserts(&lane.rebuilt(0)), [FIRST, SECOND]);
    lane.step(Input::Inserted(claim.id, SECOND));
    (lane, claim)
}

#[test]
fn a_claim_that_another_made_excludes_a_row_only_where_that_is_steady() {
    for is_steady in [false, true] {
        let (mut lane, claim) = resending(HERE);
        assert!(is_searched(&lane.step(Input::InsertRefused(claim.id, FIRST, Refusal::Row))));
        let row = Excluded { partition: HERE, offset: Offset(1), index: 0, table: FIRST };
        let proof = Proof { is_steady, before_writing: true };
        let found = Isolation::Rows { rows: [row].into(), of: 4, proof };
        let then = lane.step(Input::Isolated(claim.id, FIRST, found));
        assert_eq!(matches!(then.as_slice(), [Effect::Commit(..)]), is_steady, "{then:?}");
    }
}

#[test]
fn whoever_does_not_own_the_first_partition_reads_what_its_owner_makes_of_a_refusal() {
    let (mut lane, claim) = resending(Partition(1));
    assert_eq!(lane.step(Input::InsertRefused(claim.id, FIRST, Refusal::Row)), []);
    assert_eq!(lane.step(Input::Tick), [Effect::ReadStored(claim)]);
}

#[test]
fn a_row_that_is_excluded_already_is_no_news() {
    let (mut lane, batch) = Lane::inserting();
    lane.step(Input::Inserted(batch, SECOND));
    lane.step(Input::InsertRefused(batch, FIRST, Refusal::Row));
    let revised = lane.step(Input::Isolated(batch, FIRST, rows(true)));
    lane.step(Input::Committed(commit(&revised)));
    assert_eq!(inserts(&lane.rebuilt(0)), [FIRST]);
    assert!(is_searched(&lane.step(Input::InsertRefused(batch, FIRST, Refusal::Row))));
    assert_eq!(lane.step(Input::Isolated(batch, FIRST, rows(true))), [], "nothing to write down");
    assert_eq!(inserts(&lane.step(Input::Tick)), [FIRST]);
}

#[test]
fn a_claim_names_as_many_rows_as_it_can_hold_and_is_taken_back_for_one_more() {
    for (named, is_named) in [(EXCLUDED_MAX, true), (EXCLUDED_MAX + 1, false)] {
        let (mut lane, batch) = Lane::inserting();
        lane.step(Input::InsertRefused(batch, SECOND, Refusal::NotSent));
        lane.step(Input::InsertRefused(batch, FIRST, Refusal::Row));
        let row = |index| Excluded { partition: HERE, offset: Offset(2), index, table: FIRST };
        let rows = (0..u32::try_from(named).expect("few")).map(row).collect();
        let proof = Proof { is_steady: true, before_writing: true };
        let then = lane.step(Input::Isolated(batch, FIRST, Isolation::Rows { rows, of: 100, proof }));
        let [Effect::Commit(_, entries)] = then.as_slice() else { panic!("{then:?}") };
        assert_eq!(entries[&HERE].1.claim.is_some(), is_named);
    }
}

#[test]
fn what_kafka_no_longer_holds_of_a_batch_matters_only_while_it_is_read_again() {
    let gone = |batch| Input::Gone(batch, HERE, Range::new(Offset(0), Offset(1)));
    let (mut lane, batch) = Lane::inserting();
    assert_eq!(lane.step(gone(batch)), [], "its rows are at hand");
    lane.step(Input::Inserted(batch, SECOND));
    lane.step(Input::InsertRefused(batch, FIRST, Refusal::Row));
    assert!(matches!(lane.step(gone(batch))[..], [Effect::Halt(Halt::Gone { .. })]));
}

#[test]
fn letters_whose_turn_came_while_a_search_went_on_are_sent_when_it_is_over() {
    let (mut lane, batch) = Lane::inserting();
    lane.step(Input::InsertRefused(batch, FIRST, Refusal::Row));
    // The first attempt landed after all, as the same insert told again; the search is still going on.
    lane.step(Input::Inserted(batch, FIRST));
    assert_eq!(inserts(&lane.step(Input::Inserted(batch, SECOND))), [LETTERS]);
}

#[test]
fn letters_that_are_refused_halt() {
    let (mut lane, batch) = Lane::inserting();
    lane.step(Input::Inserted(batch, FIRST));
    lane.step(Input::Inserted(batch, SECOND));
    let halted = lane.step(Input::InsertRefused(batch, LETTERS, Refusal::Row));
    assert_eq!(halted, [Effect::Halt(Halt::Refused(batch, LETTERS, Refusal::Row))]);
}
