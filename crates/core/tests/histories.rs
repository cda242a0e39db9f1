//! Random histories over the real pump: crashes, rebalances, lost and partial commits, zombie inserts, long outages,
//! retention.
//!
//! A small world: a group of members, one topic, two tables that remember tokens for a while. After every event no
//! record is doubled, none below a committed offset is missing without standing in a gap, and no gap stands where a
//! record was read later; when the faults end, everything arrives.

#[path = "histories/table.rs"]
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pumphouse_core::batch::{BatchPolicy, Filled};
use pumphouse_core::claim::{BatchId, Claim, Metadata, SUPERSEDES_MAX};
use pumphouse_core::gap::{Committed, GapOf, GapPolicy, Gaps, GapsAnswer, Origin};
use pumphouse_core::lane::Stored;
use pumphouse_core::moment::{Moment, ServerTime, Time};
use pumphouse_core::offset::{Offset, Partition, Range};
use pumphouse_core::pump::{CommitFailure, CommitId, Effect, Input, OrderId, Policy, Pump, Survey, TableId};
use pumphouse_core::valve::ValvePolicy;
use pumphouse_core::verdict::{Halt, Refusal};
use table::{Insert, Landing, Place, Tables};

const PARTITIONS: u32 = 3;
const RECORDS: u64 = 12;
const MEMBERS: usize = 3;
/// Lines of a history that comes to no end.
const LOG_MAX: usize = 50_000;
/// Long enough for any batch to be superseded.
const OUTAGE: u64 = 70_000;

/// Something a member asked the outside for and that has not been answered.
#[derive(Clone, Debug)]
enum Asked {
    Commit(CommitId, BTreeMap<Partition, (Offset, Metadata)>),
    Insert(Insert),
    ReadStored(Claim),
    Rebuild(Claim),
    Probe(Claim),
    Survey(Claim, ServerTime),
    Origins(OrderId, BTreeMap<Partition, Offset>),
    Gaps(OrderId, Gaps),
}

/// The parts of a batch that were not there any more when it was built again.
type Deleted = BTreeMap<Partition, Range>;

struct Member {
    pump: Pump,
    asked: Vec<Asked>,
    /// The rows of each batch at hand, by table.
    payloads: BTreeMap<BatchId, [BTreeSet<Place>; 2]>,
    /// Batches that were built again.
    found: BTreeSet<BatchId>,
    generation: u64,
    releasing: bool,
}

struct World {
    random: fastrand::Rng,
    now: u64,
    generation: u64,
    stored: BTreeMap<Partition, Stored>,
    members: Vec<Member>,
    tables: Tables,
    /// Where each log begins.
    low: BTreeMap<Partition, u64>,
    /// Offsets in gaps, and whether they were never claimed.
    gaps: BTreeMap<(Partition, u64), bool>,
    deletes: bool,
    /// A claim that has superseded as much as one may stops its stream: the history ends there.
    halted: bool,
    log: Vec<String>,
}

fn policy() -> Policy {
    Policy {
        batch: BatchPolicy { freshness: Duration::from_millis(50), rows: 5, bytes: 1_000_000 },
        memory: 1_000_000,
        tables: 2,
        letters: 0,
        shape: 1,
        revision: "r".into(),
        insert_timeout: Duration::from_secs(1),
        safe_age: Duration::from_secs(16),
        gaps: GapPolicy::Report,
        valve: ValvePolicy::default(),
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let start = |p| (Partition(p), Stored { offset: Offset(0), metadata: None });
        let mut world = Self {
            random: fastrand::Rng::with_seed(seed),
            now: 0,
            generation: 0,
            stored: (0..PARTITIONS).map(start).collect(),
            members: Vec::new(),
            tables: Tables::default(),
            low: (0..PARTITIONS).map(|p| (Partition(p), 0)).collect(),
            gaps: BTreeMap::new(),
            // Half of the histories have no retention: there every record has to be a row.
            deletes: seed % 2 == 1,
            halted: false,
            log: Vec::new(),
        };
        world.rebalance();
        world
    }

    fn step(&mut self, member: usize, input: Input) {
        assert!(self.log.len() < LOG_MAX, "no end:\n{}", self.log[LOG_MAX - 40..].join("\n"));
        self.log.push(format!("{member} <- {input:?}"));
        let entropy = self.random.u128(..);
        let server = ServerTime(i64::try_from(self.now).expect("small"));
        let moment = Moment { now: Time(self.now), server, entropy };
        let effects = self.members[member].pump.step(&moment, input);
        for effect in effects {
            self.log.push(format!("    {member} -> {effect:?}"));
            let Member { asked, payloads, found, .. } = &mut self.members[member];
            match effect {
                Effect::Commit(id, entries) => asked.push(Asked::Commit(id, entries)),
                Effect::Insert { claim, table, deadline, attempt } => {
                    let rows = payloads[&claim.id][usize::from(table.0)].clone();
                    let again = attempt > 1 || found.contains(&claim.id);
                    asked.push(Asked::Insert(Insert { claim, table, deadline, rows, again }));
                }
                Effect::AskOrigins(order, starts) => asked.push(Asked::Origins(order, starts)),
                Effect::ReportGaps(order, gaps) => asked.push(Asked::Gaps(order, gaps)),
                Effect::Survey { claim, over_at } => asked.push(Asked::Survey(claim, over_at)),
                Effect::Seal(claim, _) => {
                    let rows = Tables::rows_of(&claim);
                    payloads.insert(claim.id, [rows.clone(), rows]);
                }
                Effect::Forget(batch, _) => {
                    payloads.remove(&batch);
                }
                Effect::Halt(Halt::TooOld(claim) | Halt::Undecidable(claim))
                    if claim.supersedes.len() == SUPERSEDES_MAX =>
                {
                    self.halted = true;
                }
                Effect::ReadStored(claim) => asked.push(Asked::ReadStored(claim)),
                Effect::Rebuild(claim) => asked.push(Asked::Rebuild(claim)),
                Effect::Probe(claim) => asked.push(Asked::Probe(claim)),
                Effect::Release(_) => self.members[member].releasing = false,
                Effect::Rejoin => self.crash(member),
                Effect::DropRows(_) => {}
                Effect::Leave | Effect::Halt(_) | Effect::Isolate(..) => {
                    panic!("{effect:?}\n{}", self.log.join("\n"))
                }
            }
        }
    }

    /// The process is gone: its commits under way may still be stored, its inserts may still land.
    fn crash(&mut self, member: usize) {
        self.log.push(format!("{member} ends"));
        let ended = &mut self.members[member];
        ended.pump = Pump::new(policy());
        ended.payloads.clear();
        ended.releasing = false;
        let current = ended.generation == self.generation;
        for asked in std::mem::take(&mut ended.asked) {
            match asked {
                Asked::Commit(_, entries) if current && self.random.bool() => self.store(&entries),
                // The table was asked before it was sent.
                Asked::Insert(insert) if self.tables.may_have_forgotten(&insert) => {}
                Asked::Insert(insert) => self.tables.strays.push((insert, None)),
                _ => {}
            }
        }
        self.members[member].generation = u64::MAX;
    }

    fn store(&mut self, entries: &BTreeMap<Partition, (Offset, Metadata)>) {
        for (partition, (offset, metadata)) in entries {
            let text = metadata.encode();
            self.stored.insert(*partition, Stored::read(*partition, *offset, &text));
        }
        self.check();
    }

    fn land(&mut self, insert: &Insert, landing: Landing) {
        self.tables.land(insert, landing, self.now);
        self.check();
    }

    /// Others fill the window. While an insert is under way they add no more than their share of it.
    fn flood(&mut self) {
        let under_way = |asked: &Asked| matches!(asked, Asked::Insert(_));
        if !self.members.iter().any(|member| member.asked.iter().any(under_way)) {
            self.tables.flood(self.now);
        }
    }

    fn check(&self) {
        for partition in (0..PARTITIONS).map(Partition) {
            for (offset, table) in (0..RECORDS).flat_map(|o| [(o, TableId(0)), (o, TableId(1))]) {
                let rows = self.tables.count((partition, offset), table);
                let passed = offset < self.stored[&partition].offset.0;
                let gap = self.gaps.get(&(partition, offset));
                let read_later = gap == Some(&true) && rows > 0;
                let wrong = rows > 1 || (passed && rows == 0 && gap.is_none()) || read_later;
                assert!(
                    !wrong,
                    "{rows} rows of {partition}:{offset}, passed {passed}, gap {gap:?}\n{}",
                    self.log.join("\n")
                );
            }
        }
    }

    /// Everybody alive gives up what it has and gets a new share; the stopped are told later that they lost all.
    fn rebalance(&mut self) {
        while self.members.len() < MEMBERS {
            let member = Member {
                pump: Pump::new(policy()),
                asked: Vec::new(),
                payloads: BTreeMap::new(),
                found: BTreeSet::new(),
                generation: u64::MAX,
                releasing: false,
            };
            self.members.push(member);
        }
        let stopped = self.random.usize(..MEMBERS * 2);
        for member in (0..MEMBERS).filter(|member| *member != stopped) {
            self.give_up(member);
        }
        self.generation += 1;
        let mut shares: Vec<BTreeMap<Partition, Stored>> = vec![BTreeMap::new(); MEMBERS];
        for (partition, stored) in self.stored.clone() {
            let mut owner = self.random.usize(..MEMBERS);
            if owner == stopped {
                owner = (owner + 1) % MEMBERS;
            }
            shares[owner].insert(partition, stored);
        }
        for (member, share) in shares.into_iter().enumerate().filter(|(member, _)| *member != stopped) {
            self.members[member].generation = self.generation;
            self.step(member, Input::Assigned(share));
        }
    }

    fn give_up(&mut self, member: usize) {
        if self.members[member].generation != self.generation {
            self.step(member, Input::Lost);
            self.crash(member);
            return;
        }
        let owned: BTreeSet<Partition> =
            self.members[member].pump.committed_offsets().map(|(p, _)| p).collect();
        if owned.is_empty() {
            return;
        }
        self.members[member].releasing = true;
        let until = Time(self.now + 1_000);
        self.step(member, Input::Revoking { partitions: owned, until });
        let waits = |world: &Self| {
            let Member { releasing, generation, .. } = &world.members[member];
            *releasing && *generation == world.generation && !world.halted
        };
        while waits(self) {
            self.now += 200;
            match self.members[member].asked.len() {
                0 => self.step(member, Input::Tick),
                n => {
                    let at = self.random.usize(..n);
                    self.answer(member, at);
                }
            }
        }
    }

    fn answer(&mut self, member: usize, at: usize) {
        let fenced = self.members[member].generation != self.generation;
        let asked = self.members[member].asked.swap_remove(at);
        match asked {
            Asked::Commit(id, _) if fenced => {
                self.step(member, Input::CommitFailed(id, CommitFailure::Unknown));
            }
            Asked::Commit(id, entries) => self.answer_commit(member, id, &entries),
            Asked::Insert(insert) => self.answer_insert(member, insert),
            Asked::ReadStored(claim) => {
                let stored = claim.ranges.keys().map(|p| (*p, self.stored[p].clone())).collect();
                self.step(member, Input::StoredRead(claim.id, stored));
            }
            Asked::Rebuild(claim) => {
                let deleted: Deleted = claim.ranges.iter().filter_map(|r| self.deleted_of(r)).collect();
                let mut rows = [TableId(0), TableId(1)].map(|table| self.tables.rows_left(&claim, table));
                for rows in &mut rows {
                    rows.retain(|(p, offset)| deleted.get(p).is_none_or(|gone| *offset >= gone.to.0));
                }
                self.members[member].payloads.insert(claim.id, rows);
                self.members[member].found.insert(claim.id);
                let filled = Filled { rows: 1, bytes: 1 };
                self.step(member, Input::Rebuilt { claim: Box::new(claim), filled, deleted });
            }
            Asked::Probe(claim) => {
                let landed = self.tables.holds_any(&claim);
                self.step(member, Input::Probed(claim.id, Some(landed)));
            }
            Asked::Survey(claim, over_at) => {
                let over =
                    i64::try_from(self.now).expect("small") >= over_at.0 && !self.tables.runs(claim.id);
                let survey = if over { Survey::Over } else { Survey::NotYet };
                self.step(member, Input::Surveyed(claim.id, survey));
            }
            Asked::Origins(order, starts) => {
                let origins = starts.keys().map(|partition| (*partition, self.origin(*partition))).collect();
                self.step(member, Input::Origins(order, origins));
            }
            Asked::Gaps(order, gaps) => self.answer_gaps(member, order, &gaps),
        }
    }

    fn answer_insert(&mut self, member: usize, insert: Insert) {
        let (batch, table) = (insert.claim.id, insert.table);
        if Tables::is_late(&insert, self.now) {
            return self.step(member, Input::InsertRefused(batch, table, Refusal::Deadline));
        }
        if self.tables.may_have_forgotten(&insert) {
            return self.step(member, Input::TokenForgotten(batch, table));
        }
        let answer = match self.random.u8(..12) {
            0 => Input::InsertUnknown(batch, table),
            1 => {
                self.tables.strays.push((insert, None));
                Input::InsertUnknown(batch, table)
            }
            2 => {
                self.land(&insert, Landing::Whole);
                Input::InsertUnknown(batch, table)
            }
            3 => {
                self.land(&insert, Landing::Half);
                Input::InsertUnknown(batch, table)
            }
            4 => Input::InsertRefused(batch, table, Refusal::NotSent),
            _ => {
                self.land(&insert, Landing::Whole);
                Input::Inserted(batch, table)
            }
        };
        self.step(member, answer);
    }

    /// The part of a claimed range that lies before its log.
    fn deleted_of(&self, (partition, range): (&Partition, &Range)) -> Option<(Partition, Range)> {
        let low = Offset(self.low[partition]);
        (low > range.from).then(|| (*partition, Range::new(range.from, low.min(range.to))))
    }

    fn origin(&self, partition: Partition) -> Origin {
        let highest = self.tables.highest(partition);
        let ours = self.stored[&partition].metadata.is_some();
        let committed = if ours { Committed::Ours } else { Committed::Never };
        Origin { committed, highest: highest.map(Offset), end: Offset(RECORDS) }
    }

    fn answer_gaps(&mut self, member: usize, order: OrderId, gaps: &Gaps) {
        let answer = match self.random.u8(..8) {
            0 => GapsAnswer::Unknown,
            1 => GapsAnswer::Refused(Refusal::NotSent),
            2 => {
                self.write_down(gaps);
                GapsAnswer::Unknown
            }
            _ => {
                self.write_down(gaps);
                GapsAnswer::Done
            }
        };
        self.step(member, Input::GapsAnswered(order, answer));
    }

    /// Of a claim, what lineage does not find; else all of it.
    fn write_down(&mut self, gaps: &Gaps) {
        let claimed = matches!(gaps.of, GapOf::Claim(_));
        for (partition, missing) in &gaps.missing {
            for offset in missing.from.0..missing.to.0 {
                assert!(offset < self.low[partition], "a gap where the log still holds records");
                let is_there = |table| self.tables.count((*partition, offset), TableId(table)) > 0;
                let landed = claimed && is_there(0) && is_there(1);
                if !landed {
                    self.gaps.insert((*partition, offset), !claimed);
                }
            }
        }
        self.check();
    }

    /// Retention deletes the oldest records of a partition.
    fn delete(&mut self) {
        let partition = Partition(self.random.u32(..PARTITIONS));
        let low = self.random.u64(self.low[&partition]..=RECORDS);
        self.log.push(format!("retention deletes {partition} up to {low}"));
        self.low.insert(partition, low);
    }

    fn answer_commit(
        &mut self,
        member: usize,
        id: CommitId,
        entries: &BTreeMap<Partition, (Offset, Metadata)>,
    ) {
        match self.random.u8(..12) {
            0 => self.step(member, Input::CommitFailed(id, CommitFailure::NotYet)),
            1 => self.step(member, Input::CommitFailed(id, CommitFailure::Unknown)),
            2 => {
                self.store(entries);
                self.step(member, Input::CommitFailed(id, CommitFailure::Unknown));
            }
            3 => {
                let some =
                    entries.iter().filter(|_| self.random.bool()).map(|(p, e)| (*p, e.clone())).collect();
                self.store(&some);
                self.step(member, Input::CommitFailed(id, CommitFailure::Unknown));
            }
            _ => {
                self.store(entries);
                self.step(member, Input::Committed(id));
            }
        }
    }

    fn fetch(&mut self, member: usize) {
        let partition = Partition(self.random.u32(..PARTITIONS));
        if !self.members[member].pump.wants(partition) {
            return;
        }
        let from = self.members[member].pump.next_offset(partition).expect("wanted, so owned");
        let to = Offset((from.0 + self.random.u64(1..4)).min(RECORDS));
        let low = Offset(self.low[&partition]);
        if from < low {
            self.step(member, Input::OutOfRange { partition, low, high: Offset(RECORDS) });
        } else if from < to {
            let filled = Filled { rows: to.0 - from.0, bytes: 10 };
            self.step(member, Input::Fetched { partition, range: Range::new(from, to), filled });
        }
    }

    fn event(&mut self, faults: bool) {
        self.now += self.random.u64(..40);
        let member = self.random.usize(..MEMBERS);
        match self.random.u8(..100) {
            0..=2 if faults => self.crash(member),
            3..=6 if faults => self.rebalance(),
            7..=9 => {
                self.tables.move_stray(&mut self.random, self.now);
                self.check();
            }
            98 if faults => self.flood(),
            99 if faults && self.random.u8(..4) == 0 => self.now += self.random.u64(..OUTAGE),
            10 if faults && self.deletes => self.delete(),
            10..=45 => self.fetch(member),
            46..=55 => self.step(member, Input::Tick),
            _ => {
                let open = self.members[member].asked.len();
                if open > 0 {
                    let at = self.random.usize(..open);
                    self.answer(member, at);
                }
            }
        }
    }

    fn is_done(&self) -> bool {
        self.stored.values().all(|stored| stored.offset == Offset(RECORDS))
    }
}

/// Lives one history; whether it ended with everything delivered.
fn history(seed: u64) -> bool {
    let mut world = World::new(seed);
    for _ in 0..400 {
        world.event(true);
    }
    for round in 0.. {
        if world.is_done() || world.halted {
            break;
        }
        if round % 100 == 99 {
            world.now += 1_000;
        }
        if round % 300 == 0 {
            world.rebalance();
        }
        world.event(false);
        assert!(round < 60_000, "seed {seed} makes no progress\n{}", world.log.join("\n"));
    }
    world.check();
    !world.halted
}

#[test]
fn random_histories_neither_lose_nor_double_a_row() {
    let seeds = std::env::var("PUMPHOUSE_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000);
    let halted = (0..seeds).filter(|seed| !history(*seed)).count();
    // Batches that grow old time after time halt in the end; most histories must not.
    assert!(halted as u64 * 10 <= seeds, "{halted} of {seeds} halted");
}
