//! Random histories over the real pump with rows that a table refuses: crashes, rebalances, lost and partial commits,
//! zombie inserts, searches that are cut short, and rules that come and go while batches are under way.
//!
//! A small world: a group of members, one topic, tables that remember tokens for each of their two partitions, and a
//! place for dead letters. After every event no record is twice in a table or its letters, and below a committed offset
//! each is there once. Where the rules stay, everything arrives when the faults end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pumphouse_core::batch::{BatchPolicy, Filled};
use pumphouse_core::claim::{BatchId, Claim, Excluded, Metadata};
use pumphouse_core::gap::{Committed, GapPolicy, Origin};
use pumphouse_core::isolation::{Isolation, Proof};
use pumphouse_core::lane::Stored;
use pumphouse_core::moment::{Moment, ServerTime, Time};
use pumphouse_core::offset::{Offset, Partition, Range};
use pumphouse_core::pump::{CommitFailure, CommitId, Effect, Input, OrderId, Policy, Pump, TableId};
use pumphouse_core::valve::ValvePolicy;
use pumphouse_core::verdict::{Halt, Refusal};

const PARTITIONS: u32 = 3;
const RECORDS: u64 = 20;
const MEMBERS: usize = 3;

/// What differs between histories.
#[derive(Clone, Copy)]
struct Kind {
    tables: u8,
    /// Rows that one search may name.
    named_max: usize,
    /// Whether the rule that refuses rows comes and goes.
    is_moody: bool,
}

/// Something a member asked the outside for and that has not been answered.
#[derive(Clone, Debug)]
enum Asked {
    Commit(CommitId, BTreeMap<Partition, (Offset, Metadata)>),
    Insert(Claim, TableId),
    ReadStored(Claim),
    Rebuild(Claim),
    Probe(Claim),
    Isolate(Claim, TableId),
    Origins(OrderId, BTreeMap<Partition, Offset>),
}

struct Member {
    pump: Pump,
    asked: Vec<Asked>,
    generation: u64,
    releasing: bool,
    halted: bool,
}

struct World {
    kind: Kind,
    random: fastrand::Rng,
    now: u64,
    generation: u64,
    stored: BTreeMap<Partition, Stored>,
    members: Vec<Member>,
    zombies: Vec<(Claim, TableId)>,
    /// Tokens, for each partition of a table.
    landed: BTreeSet<(BatchId, TableId, u64)>,
    rows: BTreeMap<(TableId, Partition, u64), u32>,
    letters: BTreeMap<(TableId, Partition, u64), u32>,
    poison: BTreeSet<(TableId, Partition, u64)>,
    is_strict: bool,
    changed_at: u64,
    log: Vec<String>,
}

impl World {
    fn new(seed: u64, kind: Kind) -> Self {
        let start = |p| (Partition(p), Stored { offset: Offset(0), metadata: None });
        let mut random = fastrand::Rng::with_seed(seed);
        let density = random.u32(1..6);
        let places = (0..kind.tables).flat_map(|t| (0..PARTITIONS).map(move |p| (TableId(t), Partition(p))));
        let rows = places.flat_map(|(table, partition)| (0..RECORDS).map(move |o| (table, partition, o)));
        let poison = rows.filter(|_| random.u32(..12) < density).collect();
        let mut world = Self {
            kind,
            random,
            now: 1_000,
            generation: 0,
            stored: (0..PARTITIONS).map(start).collect(),
            members: Vec::new(),
            zombies: Vec::new(),
            landed: BTreeSet::new(),
            rows: BTreeMap::new(),
            letters: BTreeMap::new(),
            poison,
            is_strict: true,
            changed_at: 0,
            log: Vec::new(),
        };
        world.rebalance();
        world
    }

    fn pump(&self) -> Pump {
        Pump::new(Policy {
            batch: BatchPolicy { freshness: Duration::from_millis(50), rows: 12, bytes: 1_000_000 },
            memory: 1_000_000,
            tables: self.kind.tables + 1,
            letters: 1,
            shape: 1,
            revision: "r".into(),
            insert_timeout: Duration::from_secs(1),
            safe_age: Duration::from_mins(50_000),
            gaps: GapPolicy::Halt,
            valve: ValvePolicy::default(),
        })
    }

    fn step(&mut self, member: usize, input: Input) {
        self.log.push(format!("{member} <- {input:?}"));
        let entropy = self.random.u128(..);
        let server = ServerTime(i64::try_from(self.now).expect("small"));
        let moment = Moment { now: Time(self.now), server, entropy };
        let effects = self.members[member].pump.step(&moment, input);
        for effect in effects {
            self.log.push(format!("    {member} -> {effect:?}"));
            let asked = &mut self.members[member].asked;
            match effect {
                Effect::Commit(id, entries) => asked.push(Asked::Commit(id, entries)),
                Effect::Insert { claim, table, .. } => asked.push(Asked::Insert(claim, table)),
                Effect::ReadStored(claim) => asked.push(Asked::ReadStored(claim)),
                Effect::Rebuild(claim) => asked.push(Asked::Rebuild(claim)),
                Effect::Probe(claim) => asked.push(Asked::Probe(claim)),
                Effect::AskOrigins(order, starts) => asked.push(Asked::Origins(order, starts)),
                Effect::Isolate(claim, table) => asked.push(Asked::Isolate(claim, table)),
                Effect::Release(_) => self.members[member].releasing = false,
                Effect::Rejoin => {
                    self.leave(member);
                    self.step(member, Input::Lost);
                }
                Effect::Seal(..) | Effect::DropRows(_) | Effect::Forget(..) => {}
                Effect::Halt(Halt::Refused(..)) if self.kind.is_moody => self.members[member].halted = true,
                Effect::Leave | Effect::Halt(_) | Effect::ReportGaps(..) | Effect::Survey { .. } => {
                    panic!("{effect:?}\n{}", self.log.join("\n"))
                }
            }
        }
    }

    /// What is under way may still arrive.
    fn leave(&mut self, member: usize) {
        self.log.push(format!("{member} leaves"));
        let current = self.members[member].generation == self.generation;
        self.members[member].releasing = false;
        for asked in std::mem::take(&mut self.members[member].asked) {
            match asked {
                Asked::Commit(_, entries) if current && self.random.bool() => self.store(&entries),
                Asked::Insert(claim, table) => self.zombies.push((claim, table)),
                _ => {}
            }
        }
        self.members[member].generation = u64::MAX;
    }

    fn crash(&mut self, member: usize) {
        self.leave(member);
        self.members[member].pump = self.pump();
        self.members[member].halted = false;
    }

    fn store(&mut self, entries: &BTreeMap<Partition, (Offset, Metadata)>) {
        for (partition, (offset, metadata)) in entries {
            let text = metadata.encode();
            self.stored.insert(*partition, Stored::read(*partition, *offset, &text));
        }
        self.check();
    }

    fn rows_of(claim: &Claim, table: TableId) -> Vec<(TableId, Partition, u64)> {
        let all = claim.ranges.iter().flat_map(|(p, range)| (range.from.0..range.to.0).map(|o| (*p, o)));
        let is_in = |(p, o): &(Partition, u64)| {
            !claim.excluded.contains(&Excluded { partition: *p, offset: Offset(*o), index: 0, table })
        };
        all.filter(is_in).map(|(p, o)| (table, p, o)).collect()
    }

    /// Whether the server takes it; then what its tokens do not remember is there.
    fn land(&mut self, claim: &Claim, table: TableId) -> bool {
        if table.0 == self.kind.tables {
            if self.landed.insert((claim.id, table, 0)) {
                for row in &claim.excluded {
                    *self.letters.entry((row.table, row.partition, row.offset.0)).or_default() += 1;
                }
            }
            self.check();
            return true;
        }
        let rows = Self::rows_of(claim, table);
        if self.is_strict && rows.iter().any(|row| self.poison.contains(row)) {
            return false;
        }
        for part in 0..2 {
            let mut rows = rows.iter().filter(|(_, _, offset)| offset % 2 == part).peekable();
            if rows.peek().is_some() && self.landed.insert((claim.id, table, part)) {
                for row in rows {
                    *self.rows.entry(*row).or_default() += 1;
                }
            }
        }
        self.check();
        true
    }

    fn check(&self) {
        for table in (0..self.kind.tables).map(TableId) {
            for partition in (0..PARTITIONS).map(Partition) {
                for offset in 0..RECORDS {
                    let place = (table, partition, offset);
                    let there = |map: &BTreeMap<_, u32>| map.get(&place).copied().unwrap_or(0);
                    let (rows, letters) = (there(&self.rows), there(&self.letters));
                    let passed = offset < self.stored[&partition].offset.0;
                    let wrong = rows + letters > 1 || (passed && rows + letters == 0);
                    let log = || self.log.join("\n");
                    assert!(
                        !wrong,
                        "{rows} rows, {letters} letters of {place:?}, passed {passed}\n{}",
                        log()
                    );
                }
            }
        }
    }

    fn rebalance(&mut self) {
        while self.members.len() < MEMBERS {
            let (pump, asked) = (self.pump(), Vec::new());
            let member = Member { pump, asked, generation: u64::MAX, releasing: false, halted: false };
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
        if self.members[member].generation != self.generation || self.members[member].halted {
            self.step(member, Input::Lost);
            return self.crash(member);
        }
        let owned: BTreeSet<Partition> =
            self.members[member].pump.committed_offsets().map(|(p, _)| p).collect();
        if owned.is_empty() {
            return;
        }
        self.members[member].releasing = true;
        let until = Time(self.now + 1_000);
        self.step(member, Input::Revoking { partitions: owned, until });
        while self.members[member].releasing && self.members[member].generation == self.generation {
            self.now += 200;
            match self.members[member].asked.len() {
                _ if self.members[member].halted => return self.crash(member),
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
            Asked::Insert(claim, table) => self.answer_insert(member, &claim, table),
            Asked::ReadStored(claim) => {
                let stored = claim.ranges.keys().map(|p| (*p, self.stored[p].clone())).collect();
                self.step(member, Input::StoredRead(claim.id, stored));
            }
            Asked::Rebuild(claim) => {
                let filled = Filled { rows: 1, bytes: 1 };
                self.step(
                    member,
                    Input::Rebuilt { claim: Box::new(claim), filled, deleted: BTreeMap::new() },
                );
            }
            Asked::Probe(claim) => {
                let landed = self.landed.iter().any(|(batch, ..)| *batch == claim.id);
                self.step(member, Input::Probed(claim.id, Some(landed)));
            }
            Asked::Origins(order, starts) => {
                let is_ours = |partition| self.stored[partition].metadata.is_some();
                let committed = |p| if is_ours(p) { Committed::Ours } else { Committed::Never };
                let origin = |p| Origin { committed: committed(p), highest: None, end: Offset(RECORDS) };
                let origins = starts.keys().map(|p| (*p, origin(p))).collect();
                self.step(member, Input::Origins(order, origins));
            }
            Asked::Isolate(claim, table) => {
                let found = self.search(&claim, table);
                self.step(member, Input::Isolated(claim.id, table, found));
            }
        }
    }

    fn answer_insert(&mut self, member: usize, claim: &Claim, table: TableId) {
        let (batch, is_letters) = (claim.id, table.0 == self.kind.tables);
        match self.random.u8(..12) {
            0 => return self.step(member, Input::InsertUnknown(batch, table)),
            1 => {
                self.zombies.push((claim.clone(), table));
                return self.step(member, Input::InsertUnknown(batch, table));
            }
            _ => {}
        }
        let is_taken = self.land(claim, table);
        let answer = match self.random.u8(..8) {
            0 => Input::InsertUnknown(batch, table),
            1 if !is_taken && !is_letters => Input::InsertSuspect(batch, table),
            _ if is_taken => Input::Inserted(batch, table),
            _ => Input::InsertRefused(batch, table, Refusal::Row),
        };
        self.step(member, answer);
    }

    fn search(&mut self, claim: &Claim, table: TableId) -> Isolation {
        if self.random.u8(..10) == 0 {
            return Isolation::Unknown;
        }
        let all = Self::rows_of(claim, table);
        let is_bad = |row: &&(TableId, Partition, u64)| self.is_strict && self.poison.contains(row);
        let claimed_at = u64::try_from(claim.claimed_at.0).expect("small");
        let proof = Proof { is_steady: self.changed_at < claimed_at, before_writing: true };
        let excluded = |(table, partition, offset): &(TableId, Partition, u64)| Excluded {
            table: *table,
            partition: *partition,
            offset: Offset(*offset),
            index: 0,
        };
        let rows: BTreeSet<Excluded> = all.iter().filter(is_bad).map(excluded).collect();
        match rows.len() {
            0 => Isolation::NoRow,
            n if n > self.kind.named_max => Isolation::TooMany { rows: all.len() as u64, proof },
            _ => Isolation::Rows { rows, of: all.len() as u64, proof },
        }
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
        let most = self.members[member].pump.room().min(4);
        let to = Offset((from.0 + self.random.u64(1..=most)).min(RECORDS));
        if from < to {
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
            7 if faults && self.kind.is_moody && self.may_change() => {
                (self.is_strict, self.changed_at) = (!self.is_strict, self.now);
                self.log.push(format!("the rule is {}", self.is_strict));
            }
            8..=10 if !self.zombies.is_empty() => {
                let at = self.random.usize(..self.zombies.len());
                let (claim, table) = self.zombies.swap_remove(at);
                self.log.push(format!("{} lands late in {table:?}", claim.id));
                self.land(&claim, table);
            }
            11..=45 => self.fetch(member),
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

    /// Not promised: rules that change while an insert whose sender is gone may still arrive, or while two members
    /// have the same batch at hand.
    fn may_change(&self) -> bool {
        let claims = self.stored.values().filter_map(|stored| stored.metadata.as_ref()?.claim.as_ref());
        let has = |member: &&Member, batch: BatchId| {
            let reads = |asked: &Asked| matches!(asked, Asked::Rebuild(claim) if claim.id == batch);
            member.pump.is_in_flight(batch) || member.asked.iter().any(reads)
        };
        let at_hand = |batch: BatchId| self.members.iter().filter(|member| has(member, batch)).count();
        self.zombies.is_empty() && claims.into_iter().all(|claim| at_hand(claim.id) <= 1)
    }

    fn is_done(&self) -> bool {
        self.stored.values().all(|stored| stored.offset == Offset(RECORDS))
    }
}

fn history(seed: u64, kind: Kind) -> usize {
    let mut world = World::new(seed, kind);
    for _ in 0..500 {
        world.event(true);
    }
    for round in 0.. {
        if world.is_done() || kind.is_moody {
            break;
        }
        if round % 300 == 0 {
            world.rebalance();
        }
        world.event(false);
        assert!(round < 60_000, "seed {seed} makes no progress\n{}", world.log.join("\n"));
    }
    world.check();
    world.letters.len()
}

fn histories(kind: Kind) {
    let seeds = std::env::var("PUMPHOUSE_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    let letters: usize = (0..seeds).map(|seed| history(seed, kind)).sum();
    assert!(letters > 0, "no history had a refused row");
}

#[test]
fn a_refused_row_is_a_dead_letter_once_and_its_neighbours_arrive_once() {
    histories(Kind { tables: 1, named_max: 64, is_moody: false });
}

#[test]
fn of_two_tables_each_leaves_out_what_it_refuses() {
    histories(Kind { tables: 2, named_max: 64, is_moody: false });
}

#[test]
fn more_refused_rows_than_a_claim_names_make_batches_smaller() {
    histories(Kind { tables: 1, named_max: 2, is_moody: false });
}

#[test]
fn a_rule_that_comes_and_goes_doubles_and_loses_nothing() {
    histories(Kind { tables: 1, named_max: 64, is_moody: true });
    histories(Kind { tables: 2, named_max: 64, is_moody: true });
}
