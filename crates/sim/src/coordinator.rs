//! What reaches Kafka: joins, leaves, commits, and questions for offsets and records.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use pumphouse_core::batch::Filled;
use pumphouse_core::claim::Claim;
use pumphouse_core::gap::Origin;
use pumphouse_core::lane::Stored;
use pumphouse_core::moment::ServerTime;
use pumphouse_core::offset::{Offset, Partition, Range};
use pumphouse_core::pump::{CommitFailure, Input, OrderId};

use crate::agenda::{Commit, Event, Who};
use crate::clickhouse::Payload;
use crate::fault::Fault;
use crate::group::{Entries, Judgement, MemberName, Phase, Text};
use crate::member::{Note, State};
use crate::words;
use crate::world::World;

/// A heartbeat comes at least this often, in milliseconds.
const HEARTBEAT: u64 = 1_000;

impl World {
    pub(crate) fn joins(
        &mut self,
        member: usize,
        client: u64,
        name: Option<MemberName>,
        owned: BTreeSet<Partition>,
    ) {
        if name.is_some_and(|name| !self.group.has(name)) {
            // A name that the group does not know is refused, not forgiven.
            let who = self.members[member].who(member);
            let delay = self.chance.latency();
            return self.tell_after(delay, who, Note::NotAMember(client));
        }
        let (name, begins) = self.group.join(client, name, owned);
        self.trace.line(self.now, "group", format_args!("member {member} joins as {name}"));
        if self.members[member].client.number != client {
            // Nobody will answer for it.
            let at = self.now + self.setup.session;
            self.agenda.put(at, Event::Remove(name, "silent"));
        }
        self.after_change(begins);
    }

    pub(crate) fn remove(&mut self, name: MemberName, why: &str) {
        let Some((client, begins)) = self.group.remove(name) else { return };
        self.trace.line(self.now, "group", format_args!("member {name} is out: {why}"));
        if let Some(index) = self.members.iter().position(|member| member.client.number == client) {
            // A heartbeat says so.
            let who = self.members[index].who(index);
            let delay = self.chance.between(1, HEARTBEAT * 3);
            self.tell_after(delay, who, Note::NotAMember(client));
        }
        self.after_change(begins);
    }

    /// The session of a stopped process ends unless it goes on.
    pub(crate) fn expire(&mut self, who: Who, name: MemberName) {
        let member = &self.members[who.member];
        let silent = !self.is_alive(who) || member.state == State::Asleep || member.client.name != Some(name);
        if silent {
            self.remove(name, "not heard of");
        }
    }

    /// A round begins or may end.
    pub(crate) fn after_change(&mut self, begins: bool) {
        if begins && let Phase::Preparing(round) = self.group.phase {
            self.agenda.put(self.now + self.setup.round, Event::RoundTimeout(round));
            for client in self.group.clients() {
                if let Some(index) = self.members.iter().position(|m| m.client.number == client) {
                    let delay = self.chance.between(1, HEARTBEAT);
                    let who = self.members[index].who(index);
                    self.tell_after(delay, who, Note::Learns(client, round));
                }
            }
        }
        if self.group.is_gathered() {
            self.deal();
        }
    }

    pub(crate) fn round_timeout(&mut self, round: u64) {
        for name in self.group.missing(round) {
            self.remove(name, "has not joined again");
        }
    }

    /// The round ends: everybody is told their share.
    fn deal(&mut self) {
        let shares = self.group.complete(&mut self.chance);
        let generation = self.group.generation;
        for share in shares {
            let mine = words::partitions(&share.partitions);
            self.trace.line(
                self.now,
                "group",
                format_args!("generation {generation}: member {} has {mine}", share.name),
            );
            let Some(index) = self.members.iter().position(|m| m.client.number == share.client) else {
                // Its client is gone; whoever left it here without a word is not heard of any more.
                self.agenda.put(self.now + self.setup.session, Event::Remove(share.name, "silent"));
                continue;
            };
            // The answer to the join carries the generation, the share comes after it.
            let early = self.chance.one_in(2);
            let member = &mut self.members[index];
            let who = member.who(index);
            if early && member.state == State::Up {
                member.client.generation = generation;
                member.client.name = Some(share.name);
            }
            let delay = self.chance.latency();
            let note = Note::Synced(share.client, share.name, generation, share.partitions);
            self.tell_after(delay, who, note);
        }
    }

    pub(crate) fn commit_arrives(&mut self, commit: &Commit) {
        let judgement = self.group.judge(commit.name, commit.generation);
        let put_off = judgement == Judgement::Accepted && self.chance.strikes(Fault::CommitNotYet);
        let failure = match judgement {
            Judgement::Accepted if put_off => Some(CommitFailure::NotYet),
            Judgement::Accepted => self.store_commit(&commit.entries),
            Judgement::OtherGeneration => Some(CommitFailure::NotYet),
            Judgement::UnknownMember => Some(CommitFailure::Unknown),
        };
        let (name, id) = (commit.name.unwrap_or(0), commit.id.0);
        self.trace.line(
            self.now,
            "group",
            format_args!(
                "commit {id} of member {name}, generation {}: {}",
                commit.generation,
                match (judgement, failure) {
                    (_, None) => "stored",
                    (Judgement::Accepted, Some(CommitFailure::NotYet)) => "not yet",
                    (Judgement::Accepted, Some(_)) => "stored partly",
                    (Judgement::OtherGeneration, _) => "refused, another generation",
                    (Judgement::UnknownMember, _) => "refused, no such member",
                }
            ),
        );
        if !self.chance.strikes(Fault::CommitAnswerLost) {
            let delay = self.chance.latency();
            self.tell_after(delay, commit.who, Note::Committed(commit.client, commit.id, failure));
        }
    }

    fn store_commit(&mut self, entries: &Entries) -> Option<CommitFailure> {
        self.remember(entries);
        let partly = entries.len() > 1 && self.chance.strikes(Fault::CommitPartly);
        for (partition, (offset, metadata)) in entries {
            if partly && self.chance.one_in(2) {
                continue;
            }
            let before = self.group.store(*partition, Some((offset.0, Text::Ours(metadata.clone()))));
            match before {
                Some((before, _)) => self.check_passed(*partition, before, offset.0),
                // The group begins here; what lies before was never its own.
                None => self.may_miss(partition.0 as usize, 0, offset.0),
            }
        }
        partly.then_some(CommitFailure::Unknown)
    }

    pub(crate) fn ask_stored(&mut self, who: Who, epoch: u64, partitions: &BTreeSet<Partition>) {
        let stored = self.stored_of(partitions.iter());
        let delay = self.chance.latency();
        self.tell_after(delay, who, Note::Assigned(epoch, stored));
    }

    pub(crate) fn read_stored(&mut self, who: Who, epoch: u64, claim: &Claim) {
        let stored = self.stored_of(claim.ranges.keys());
        let delay = self.chance.latency();
        self.tell_after(delay, who, Note::Fact(epoch, Input::StoredRead(claim.id, stored)));
    }

    fn stored_of<'a>(&self, partitions: impl Iterator<Item = &'a Partition>) -> BTreeMap<Partition, Stored> {
        let stored = |p: &Partition| (*p, self.group.stored(*p, self.logs[p.0 as usize].low));
        partitions.map(stored).collect()
    }

    /// Reads a claim's ranges beside the group.
    pub(crate) fn rebuild(&mut self, who: Who, epoch: u64, claim: Claim) {
        if !claim.supersedes.is_empty() && !self.server.is_up {
            return self.ask_again((who, epoch), Event::Rebuild(who, epoch, claim));
        }
        let lost = |(partition, range): (&Partition, &Range)| {
            let low = Offset(self.logs[partition.0 as usize].low);
            let lost = low > range.from && !range.is_empty();
            lost.then(|| (*partition, Range::new(range.from, low.min(range.to))))
        };
        let deleted: BTreeMap<Partition, Range> = claim.ranges.iter().filter_map(lost).collect();
        let mut records = self.records_of(&claim);
        if !deleted.is_empty() {
            let is_deleted = |(p, offset, _): &(u32, u64, u8)| {
                deleted.get(&Partition(*p)).is_some_and(|range| range.to.0 > *offset)
            };
            records.retain(|record| !is_deleted(record));
        }
        let filled = Filled { rows: records.len() as u64, bytes: records.len() as u64 * 10 };
        // What the tables hold of the batches in whose place it stands is left out, table by table.
        let times: Vec<ServerTime> = claim.supersedes.iter().map(|batch| batch.claimed_at).collect();
        for (partition, offset, targets) in &mut records {
            for table in 0..self.setup.shape.targets {
                if self.server.holds(table, (*partition, *offset), &times) {
                    *targets &= !(1 << table);
                }
            }
        }
        let payload = Payload { id: claim.id, claimed_at: claim.claimed_at, records };
        let delay = self.chance.reading();
        self.tell_after(delay, who, Note::Rebuilt(epoch, Box::new(claim), Rc::new(payload), filled, deleted));
    }

    /// The records that a claim covers and that give rows, as the logs hold them now; what it excludes from a table is a
    /// dead letter.
    pub(crate) fn records_of(&self, claim: &Claim) -> Vec<(u32, u64, u8)> {
        let mut records = Vec::new();
        for (partition, range) in &claim.ranges {
            let log = &self.logs[partition.0 as usize];
            let visible = (range.from.0..range.to.0).filter(|offset| log.at(*offset).visible);
            let rows = visible.map(|offset| (partition.0, offset, log.at(offset).targets));
            records.extend(rows.filter(|(.., targets)| *targets != 0));
        }
        for row in &claim.excluded {
            let excluded =
                |(p, offset, _): &&mut (u32, u64, u8)| (*p, *offset) == (row.partition.0, row.offset.0);
            if let Some((.., targets)) = records.iter_mut().find(excluded) {
                *targets = *targets & !(1 << row.table.0) | 1 << (self.setup.shape.targets - 1);
            }
        }
        records
    }

    pub(crate) fn ask_ends(&mut self, who: Who, epoch: u64, partitions: &BTreeSet<Partition>) {
        let ends = |partition: &Partition| {
            let log = &self.logs[partition.0 as usize];
            (*partition, (Offset(log.low), Offset(log.high)))
        };
        let note = Note::Ends(epoch, partitions.iter().map(ends).collect());
        let delay = self.chance.latency();
        self.tell_after(delay, who, note);
    }

    /// What the group holds for starts that nobody wrote down, after the tables said how far they are.
    pub(crate) fn ask_origins(
        &mut self,
        (who, epoch): (Who, u64),
        order: OrderId,
        highest: BTreeMap<Partition, Option<Offset>>,
    ) {
        let origin = |(partition, highest): (Partition, Option<Offset>)| {
            let end = Offset(self.logs[partition.0 as usize].high);
            (partition, Origin { committed: self.group.committed(partition), highest, end })
        };
        let origins = highest.into_iter().map(origin).collect();
        let delay = self.chance.latency();
        self.tell_after(delay, who, Note::Fact(epoch, Input::Origins(order, origins)));
    }
}
