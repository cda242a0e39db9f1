//! What follows from an event: facts go into the members' pumps, their orders into the world.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use pumphouse_core::batch::{BatchPolicy, Filled};
use pumphouse_core::claim::{Claim, Excluded};
use pumphouse_core::gap::{GapPolicy, GapsAnswer};
use pumphouse_core::invariant;
use pumphouse_core::isolation::{Isolation, Proof};
use pumphouse_core::moment::{Moment, ServerTime, Time};
use pumphouse_core::offset::{Offset, Partition, Range};
use pumphouse_core::pump::{CommitFailure, Effect, Input, Outcome, Policy, Pump, Survey, TableId};
use pumphouse_core::valve::ValvePolicy;
use pumphouse_core::verdict::Refusal;

use super::Small;
use super::action::{Action, Mask, Reply};
use super::state::{Asked, Batch, Entries, Insert, Member, Place, Rows, State};
use super::world::{Allows, Defect, Seen};
use super::wrong::Wrong;

/// The age at which an open batch closes.
const FRESHNESS: Duration = Duration::from_millis(50);
/// How long a revocation waits for a batch to land.
const REVOKED_UNTIL: Time = Time(1_000);
/// How long a stopping process settles what it has.
const DRAINED_UNTIL: Time = Time(2_000);
/// Age of a claim up to which its token is surely remembered.
pub(super) const SAFE_AGE: Duration = Duration::from_mins(30);
const HOUR: i64 = 3_600_000;
/// A multiple of half of every pause, so that no jitter tells two equal states apart.
pub(super) const JITTERLESS: u128 = 80_000;

impl Small {
    /// A pump that owns nothing.
    #[must_use]
    pub fn new_pump(&self) -> Pump {
        Pump::new(Policy {
            batch: BatchPolicy { freshness: FRESHNESS, rows: self.world.rows, bytes: u64::MAX },
            memory: u64::MAX,
            tables: self.world.tables,
            shape: 1,
            revision: String::new(),
            insert_timeout: Duration::from_mins(1),
            safe_age: SAFE_AGE,
            gaps: GapPolicy::Report,
            valve: ValvePolicy::default(),
            letters: u8::from(self.world.refuses.is_some()),
        })
    }

    /// The state after `action`.
    #[must_use]
    pub fn after(&self, before: &State, action: Action) -> State {
        let mut state = before.clone();
        self.act(&mut state, action);
        if state.wrong.is_none() {
            state.wrong = self.wrong_rows(&state);
        }
        self.forget_what_makes_no_difference(&mut state);
        state.normalize();
        state
    }

    fn act(&self, state: &mut State, action: Action) {
        match action {
            Action::Fetch(at, partition) => self.fetch(state, at, partition),
            Action::Wake(at) => {
                let now = state.members[at].pump.wake_at().expect("offered only where there is one");
                self.feed(state, at, now, Input::Tick);
            }
            Action::Answer(at, asked, reply) => self.answer(state, at, asked, reply),
            Action::Assign(at, mask) => self.assign(state, at, mask),
            Action::Notice(at) => {
                state.leave_behind(at);
                self.feed(state, at, Time(0), Input::Lost);
            }
            Action::Stray(at, mask) => {
                let stray = state.strays.iter().nth(at).expect("offered only where there is one").clone();
                state.left.torn_inserts -= u8::from(mask != state.whole(&stray));
                Arc::make_mut(&mut state.strays).remove(&stray);
                self.see(Seen::Zombie);
                if !self.refuses(&stray) {
                    self.land(state, &stray, mask);
                }
            }
            Action::Late(at, mask) => {
                let mut entries = Arc::make_mut(&mut state.late).remove(at);
                state.left.torn_commits -= u8::from(mask != Mask::all(entries.len()));
                let stored = mask.of(&entries.keys().copied().collect());
                entries.retain(|partition, _| stored.contains(partition));
                self.see(Seen::LateCommit);
                self.store(state, &entries);
            }
            fault => self.fail(state, fault),
        }
    }

    fn fail(&self, state: &mut State, fault: Action) {
        match fault {
            Action::Crash(at) => {
                state.left.crashes -= 1;
                self.end(state, at);
            }
            Action::Revoke(at, mask) => {
                state.left.revocations -= 1;
                let member = Arc::make_mut(&mut state.members[at]);
                member.releasing = true;
                let partitions = mask.of(&member.share);
                self.feed(state, at, Time(0), Input::Revoking { partitions, until: REVOKED_UNTIL });
            }
            Action::Evict(at) => {
                state.left.evictions -= 1;
                state.evict(at);
            }
            Action::Drain(at) => {
                state.left.drains -= 1;
                self.feed(state, at, Time(0), Input::Drain(DRAINED_UNTIL));
            }
            Action::Reset(partition) => state.reset(partition),
            Action::Regress(partition) => {
                state.left.regresses -= 1;
                let before = state.before[&partition].clone();
                Arc::make_mut(&mut state.stored).insert(partition, before);
            }
            Action::Retention(partition) => {
                state.left.retentions -= 1;
                state.log_begins.get_mut(&partition).expect("every partition has one").0 += 1;
            }
            Action::Hour => {
                state.left.hours = state.left.hours.saturating_sub(1);
                state.hour += 1;
                state.forgotten = state.batches.keys().copied().collect();
            }
            _ => unreachable!("no fault"),
        }
    }

    fn fetch(&self, state: &mut State, at: usize, partition: Partition) {
        let from = state.members[at].pump.next_offset(partition).expect("wanted, so owned");
        let (low, high) = (state.log_begins[&partition], Offset(self.world.records));
        if from < low {
            return self.feed(state, at, Time(0), Input::OutOfRange { partition, low, high });
        }
        let range = Range::new(from, Offset(from.0 + 1));
        let filled = Filled { rows: 1, bytes: 1 };
        self.feed(state, at, Time(0), Input::Fetched { partition, range, filled });
    }

    fn assign(&self, state: &mut State, at: usize, mask: Mask) {
        let given = mask.of(&state.unassigned());
        if self.world.defect != Some(Defect::TakesLateCommits) {
            // A new generation: what older ones sent is refused.
            state.late = Arc::default();
        }
        Arc::make_mut(&mut state.members[at]).share.extend(&given);
        let stored = given.iter().map(|partition| (*partition, state.stored[partition].clone())).collect();
        self.feed(state, at, Time(0), Input::Assigned(stored));
    }

    fn answer(&self, state: &mut State, at: usize, which: usize, reply: Reply) {
        let asked = Arc::make_mut(&mut state.members[at]).asked.remove(which);
        let fact = match asked {
            Asked::Fenced(id) => Input::CommitFailed(id, CommitFailure::Unknown),
            Asked::Commit(id, entries) => match reply {
                Reply::Lost => {
                    state.left.lost_commits -= 1;
                    Arc::make_mut(&mut state.late).push(entries);
                    Input::CommitFailed(id, CommitFailure::Unknown)
                }
                Reply::Refused => {
                    state.left.deferred_commits -= 1;
                    Input::CommitFailed(id, CommitFailure::NotYet)
                }
                _ => {
                    self.store(state, &entries);
                    Input::Committed(id)
                }
            },
            Asked::Insert(insert) => self.insert_answer(state, insert, reply),
            Asked::ReadStored(claim) => {
                let stored = self.read(state, &claim);
                if reply == Reply::ReadNow {
                    let member = Arc::make_mut(&mut state.members[at]);
                    return member.asked.push(Asked::Read(claim.id, stored));
                }
                Input::StoredRead(claim.id, stored)
            }
            Asked::Read(batch, stored) => Input::StoredRead(batch, stored),
            Asked::Rebuild(claim) => {
                if !state.members[at].pump.awaits_rows(&claim) {
                    return;
                }
                let deleted = self.rebuild(state, at, &claim);
                Input::Rebuilt { claim: Box::new(claim), filled: Filled { rows: 1, bytes: 1 }, deleted }
            }
            Asked::Probe(claim) => {
                self.see(Seen::Probed);
                let landed = state.pieces.iter().any(|(batch, ..)| *batch == claim.id);
                Input::Probed(claim.id, Some(landed))
            }
            Asked::Isolate(claim, table) => self.isolate(state, at, &claim, table, reply),
            Asked::Origins(order, partitions) => Input::Origins(order, state.origins(&partitions)),
            Asked::Gaps(order, missing) => {
                self.see(Seen::Gap);
                state.gaps.extend(missing);
                Input::GapsAnswered(order, GapsAnswer::Done)
            }
            Asked::Survey(batch, _) => Input::Surveyed(batch, Survey::Over),
        };
        let now = if reply == Reply::DoneLate { Time::default().after(FRESHNESS) } else { Time(0) };
        self.feed(state, at, now, fact);
    }

    fn insert_answer(&self, state: &mut State, insert: Insert, reply: Reply) -> Input {
        let (batch, table) = (insert.batch, insert.table);
        match reply {
            Reply::Lost => {
                state.left.lost_inserts -= 1;
                Arc::make_mut(&mut state.strays).insert(insert);
                Input::InsertUnknown(batch, table)
            }
            Reply::Refused => {
                state.left.refused_inserts -= 1;
                if self.refuses(&insert) {
                    return Input::InsertSuspect(batch, table);
                }
                Input::InsertRefused(batch, table, Refusal::Overloaded)
            }
            _ if self.refuses(&insert) => Input::InsertRefused(batch, table, Refusal::Row),
            _ if self.land(state, &insert, state.whole(&insert)) => Input::Inserted(batch, table),
            _ => Input::InsertRefused(batch, table, Refusal::Deadline),
        }
    }

    /// Gives a fact to a member's pump and carries out what it orders.
    fn feed(&self, state: &mut State, at: usize, now: Time, input: Input) {
        let fresh = u32::try_from(state.batches.len()).expect("a small world") + 1;
        let moment = Moment { now, server: state.server_time(), entropy: u128::from(fresh) * JITTERLESS };
        let member = Arc::make_mut(&mut state.members[at]);
        let stepped = catch_unwind(AssertUnwindSafe(|| member.pump.step(&moment, input)));
        let Ok(effects) = stepped else {
            state.wrong = Some(Wrong::Invariant);
            return;
        };
        if invariant::broken(&member.pump).is_some() {
            state.wrong = Some(Wrong::Invariant);
        }
        for effect in effects {
            self.carry_out(state, at, effect);
        }
    }

    fn carry_out(&self, state: &mut State, at: usize, effect: Effect) {
        match effect {
            Effect::Commit(id, entries) => {
                state.note_new_claims(&entries);
                let member = Arc::make_mut(&mut state.members[at]);
                let fenced = member.place == Place::Evicted;
                member.asked.push(if fenced { Asked::Fenced(id) } else { Asked::Commit(id, entries) });
            }
            Effect::Seal(claim, _) => self.seal(state, at, claim),
            Effect::Insert { claim, table, deadline, .. } => {
                let Some(rows) = state.members[at].payloads.get(&(claim.id, table)).cloned() else { return };
                let insert = Insert { batch: claim.id, table, deadline, rows };
                state.check_insert(&insert);
                Arc::make_mut(&mut state.members[at]).asked.push(Asked::Insert(insert));
            }
            Effect::Forget(batch, outcome) => {
                Arc::make_mut(&mut state.members[at]).payloads.retain(|(of, _), _| *of != batch);
                match outcome {
                    Outcome::Settled => {}
                    Outcome::Resent => self.see(Seen::Resent),
                    Outcome::FoundLanded => self.see(Seen::FoundLanded),
                    Outcome::Superseded => self.see(Seen::Superseded),
                    Outcome::Reclaimed => self.see(Seen::Reclaimed),
                    Outcome::Dropped => self.see(Seen::Dropped),
                    Outcome::Left => self.see(Seen::Left),
                }
            }
            Effect::ReadStored(claim) => self.ask(state, at, Asked::ReadStored(claim)),
            Effect::Rebuild(claim) => self.ask(state, at, Asked::Rebuild(claim)),
            Effect::Probe(claim) => self.ask(state, at, Asked::Probe(claim)),
            Effect::Isolate(claim, table) => self.ask(state, at, Asked::Isolate(claim, table)),
            Effect::AskOrigins(order, starts) => {
                self.ask(state, at, Asked::Origins(order, starts.into_keys().collect()));
            }
            Effect::ReportGaps(order, gaps) => {
                self.ask(state, at, Asked::Gaps(order, records(&gaps.missing)));
            }
            Effect::Survey { claim, over_at } => self.ask(state, at, Asked::Survey(claim.id, over_at)),
            Effect::Release(partitions) => {
                let member = Arc::make_mut(&mut state.members[at]);
                member.releasing = false;
                member.share.retain(|partition| !partitions.contains(partition));
            }
            Effect::Rejoin => {
                state.leave_behind(at);
                self.feed(state, at, Time(0), Input::Lost);
            }
            Effect::Leave => self.end(state, at),
            Effect::Halt(_) => self.halted(state, at),
            Effect::DropRows(_) => {}
        }
    }

    fn ask(&self, state: &mut State, at: usize, asked: Asked) {
        Arc::make_mut(&mut state.members[at]).asked.push(asked);
        let batch = recovered(&asked_last(state, at));
        let others = state.members.iter().enumerate().filter(|(other, _)| *other != at);
        if batch.is_some()
            && others.flat_map(|(_, member)| &member.asked).any(|other| recovered(other) == batch)
        {
            self.see(Seen::TwoOwners);
        }
    }

    fn seal(&self, state: &mut State, at: usize, claim: Claim) {
        if claim.ranges.len() > 1 {
            self.see(Seen::Wide);
        }
        if !state.members[at].payloads.is_empty() {
            self.see(Seen::Chained);
        }
        let rows = records(&claim.ranges);
        let of = |table| if self.takes_letters(table) { Rows::new() } else { rows.clone() };
        let member = Arc::make_mut(&mut state.members[at]);
        member.payloads.extend(self.tables().map(|table| ((claim.id, table), of(table))));
        assert!(!state.batches.contains_key(&claim.id), "an identity is drawn once");
        state.note_claim(claim);
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = TableId> {
        (0..self.world.tables).map(TableId)
    }

    /// A batch as Kafka still has it, table by table, without what the table holds of the batches that it supersedes;
    /// and what Kafka no longer has of it.
    fn rebuild(&self, state: &mut State, at: usize, claim: &Claim) -> BTreeMap<Partition, Range> {
        let mut all = records(&claim.ranges);
        all.retain(|(partition, offset)| *offset >= state.log_begins[partition]);
        if self.world.defect == Some(Defect::RebuildsLess) {
            all.pop_last();
        }
        let superseded = |time: &ServerTime| claim.supersedes.iter().any(|other| other.claimed_at == *time);
        for table in self.tables() {
            let held = |(partition, offset): &(Partition, Offset)| {
                let times = state.rows.get(&(table, *partition, *offset));
                times.is_some_and(|times| times.iter().any(superseded))
            };
            let excluded =
                claim.excluded.iter().filter(|row| row.table == table || self.takes_letters(table));
            let excluded: Rows = excluded.map(|row| (row.partition, row.offset)).collect();
            let of_table = if self.takes_letters(table) { &excluded } else { &all };
            let mut rows: Rows = of_table.iter().filter(|record| !held(record)).copied().collect();
            if !self.takes_letters(table) {
                rows.retain(|record| !excluded.contains(record));
            }
            let member = Arc::make_mut(&mut state.members[at]);
            member.payloads.insert((claim.id, table), rows);
        }
        let gone = claim.ranges.iter().filter_map(|(partition, range)| {
            let to = state.log_begins[partition].min(range.to);
            (to > range.from).then(|| (*partition, Range::new(range.from, to)))
        });
        gone.collect()
    }

    /// Looks for the refused row; a refusal that proves nothing is a fault.
    fn isolate(&self, state: &mut State, at: usize, claim: &Claim, table: TableId, reply: Reply) -> Input {
        let mut rows = state.members[at].payloads.get(&(claim.id, table)).cloned().unwrap_or_default();
        rows.retain(|(partition, offset)| *offset >= state.log_begins[partition]);
        let is_cut = claim.ranges.iter().any(|(partition, range)| range.from < state.log_begins[partition]);
        let none = if is_cut { Isolation::NoRowLeft } else { Isolation::NoRow };
        let refused = self.refused_record().filter(|record| rows.contains(record));
        state.left.refused_inserts -= u8::from(reply == Reply::Refused);
        let found = refused.map_or(none, |(partition, offset)| {
            self.see(Seen::Excluded);
            let is_proven = reply != Reply::Refused;
            let row = Excluded { partition, offset, index: 0, table };
            let proof = Proof { is_steady: is_proven, before_writing: is_proven };
            Isolation::Rows { rows: [row].into(), of: rows.len() as u64, proof }
        });
        Input::Isolated(claim.id, table, found)
    }

    fn halted(&self, state: &mut State, at: usize) {
        self.see(Seen::Halted);
        if self.world.allows == Allows::Nothing {
            state.wrong = Some(Wrong::Halted);
        }
        state.leave_behind(at);
        Arc::make_mut(&mut state.members[at]).place = Place::Halted;
    }

    /// The process ends, and another takes its place.
    fn end(&self, state: &mut State, at: usize) {
        state.leave_behind(at);
        let name = state.members[at].name;
        state.members[at] = Arc::new(Member::new(name, self.new_pump()));
    }
}

impl State {
    /// Claims that take the place of others are first seen in the commit that writes them.
    fn note_new_claims(&mut self, entries: &Entries) {
        for claim in entries.values().filter_map(|(_, metadata)| metadata.claim.as_ref()) {
            if !self.batches.contains_key(&claim.id) {
                self.note_claim(claim.clone());
            }
        }
    }

    fn note_claim(&mut self, claim: Claim) {
        let eras = claim.ranges.keys().map(|partition| (*partition, self.eras[partition])).collect();
        let batch = Batch { eras, whole: false, rows: BTreeMap::new(), claim };
        Arc::make_mut(&mut self.batches).insert(batch.claim.id, batch);
    }

    /// ClickHouse's clock: later with every batch, so that no two are claimed at one time.
    pub(super) fn server_time(&self) -> ServerTime {
        let batches = i64::try_from(self.batches.len()).expect("a small world");
        ServerTime(i64::from(self.hour) * HOUR + batches)
    }

    /// The membership ends. What was sent may still arrive; the partitions are nobody's.
    fn leave_behind(&mut self, at: usize) {
        let member = Arc::make_mut(&mut self.members[at]);
        member.share.clear();
        member.place = Place::Inside;
        member.releasing = false;
        for asked in std::mem::take(&mut member.asked) {
            match asked {
                Asked::Commit(_, entries) => Arc::make_mut(&mut self.late).push(entries),
                Asked::Insert(insert) => {
                    Arc::make_mut(&mut self.strays).insert(insert);
                }
                _ => {}
            }
        }
    }

    fn evict(&mut self, at: usize) {
        let member = Arc::make_mut(&mut self.members[at]);
        member.place = Place::Evicted;
        member.releasing = false;
        member.share.clear();
        for asked in &mut member.asked {
            if let Asked::Commit(id, entries) = asked {
                Arc::make_mut(&mut self.late).push(entries.clone());
                *asked = Asked::Fenced(*id);
            }
        }
    }
}

fn asked_last(state: &State, at: usize) -> Asked {
    state.members[at].asked.last().expect("just asked").clone()
}

/// The batch that an owner is recovering by what it asked.
fn recovered(asked: &Asked) -> Option<pumphouse_core::claim::BatchId> {
    match asked {
        Asked::ReadStored(claim) | Asked::Rebuild(claim) | Asked::Probe(claim) => Some(claim.id),
        _ => None,
    }
}

/// The records of some ranges.
fn records(ranges: &BTreeMap<Partition, Range>) -> Rows {
    let offsets = |range: &Range| range.from.0..range.to.0;
    ranges.iter().flat_map(|(p, range)| offsets(range).map(|offset| (*p, Offset(offset)))).collect()
}
