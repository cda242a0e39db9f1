//! Carries out the pump's orders as `drive/orders.rs` does; between any two of them the process may end or be stopped.

use std::collections::BTreeSet;
use std::time::Duration;

use pumphouse_core::claim::Claim;
use pumphouse_core::moment::ServerTime;
use pumphouse_core::offset::Partition;
use pumphouse_core::pump::{Effect, Input, Outcome, TableId};
use pumphouse_core::verdict::Halt;
use pumphouse_core::window::is_surely_first;

use crate::agenda::{Commit, Event, Sender};
use crate::clickhouse::Insert;
use crate::client::{Asks, Client};
use crate::fault::Fault;
use crate::group::Entries;
use crate::member::{Note, State};
use crate::words;
use crate::world::World;

/// How long a commit may stay unanswered, in milliseconds; the product's own limit.
const COMMIT_TIMEOUT: u64 = 10_000;

impl World {
    /// Feeds one fact to the pump and carries out what follows.
    pub(crate) fn step(&mut self, index: usize, input: Input) {
        let entropy = self.chance.entropy();
        let member = &mut self.members[index];
        if self.trace.is_wanted() {
            let fact = words::fact(&input);
            self.trace.line(self.now, member.name, format_args!("<- {fact}"));
        }
        let moment = member.moment(self.now, entropy);
        let effects = member.pump.step(&moment, input);
        for effect in effects.into_iter().rev() {
            member.todo.push_front(effect);
        }
        if !member.busy {
            self.carry_on(index);
        }
    }

    /// Carries out what is left to do, unless the process ends or is stopped before.
    pub(crate) fn carry_on(&mut self, index: usize) {
        let life = self.members[index].life;
        self.members[index].busy = true;
        while self.members[index].state == State::Up && self.members[index].life == life {
            if self.members[index].todo.is_empty() {
                break;
            }
            if self.chance.strikes(Fault::Crash) {
                self.crash(index);
                break;
            }
            if self.chance.strikes(Fault::Stop) {
                self.stop(index);
                break;
            }
            let Some(effect) = self.members[index].todo.pop_front() else { break };
            if self.trace.is_wanted() {
                let order = words::order(&effect);
                self.trace.line(self.now, self.members[index].name, format_args!("   -> {order}"));
            }
            self.carry_out(index, effect);
        }
        self.members[index].busy = false;
    }

    fn carry_out(&mut self, index: usize, effect: Effect) {
        let who = self.members[index].who(index);
        let epoch = self.members[index].epoch;
        let soon = self.chance.latency();
        match effect {
            Effect::Commit(id, entries) => self.order_commit(index, id, entries),
            Effect::Seal(claim, _) => self.seal(index, &claim),
            Effect::DropRows(partitions) => {
                self.members[index].open.retain(|partition, _| !partitions.contains(partition));
            }
            Effect::Insert { claim, table, deadline, attempt } => {
                self.order_insert(index, &claim, table, (deadline, attempt));
            }
            Effect::Forget(batch, outcome) => {
                self.members[index].payloads.remove(&batch);
                self.members[index].in_doubt.remove(&batch);
                if outcome != Outcome::Settled {
                    self.recovered += 1;
                }
            }
            Effect::ReadStored(claim) => {
                self.agenda.put(self.now + soon, Event::ReadStored(who, epoch, claim));
            }
            Effect::Rebuild(claim) => self.agenda.put(self.now + soon * 4, Event::Rebuild(who, epoch, claim)),
            Effect::Probe(claim) => self.agenda.put(self.now + soon, Event::Probe(who, epoch, claim)),
            Effect::AskOrigins(order, starts) => {
                let partitions = starts.into_keys().collect();
                self.agenda.put(self.now + soon, Event::AskHighest(who, epoch, order, partitions));
            }
            Effect::ReportGaps(order, gaps) => {
                self.agenda.put(self.now + soon, Event::ReportGaps(who, epoch, order, gaps));
            }
            Effect::Isolate(claim, table) => {
                self.agenda.put(self.now + soon * 4, Event::Isolate(who, epoch, claim, table));
            }
            Effect::Survey { claim, over_at } => {
                self.agenda.put(self.now + soon, Event::Survey(who, epoch, claim, over_at));
            }
            Effect::Release(partitions) => self.release(index, &partitions),
            Effect::Rejoin => self.rejoin(index),
            Effect::Leave => {
                self.leave(index);
                self.members[index].end(State::Down);
                let away = self.chance.between(10, 4_000);
                self.agenda.put(self.now + away, Event::Start(index));
            }
            Effect::Halt(reason) => self.halt(index, &reason),
        }
    }

    fn order_commit(&mut self, index: usize, id: pumphouse_core::pump::CommitId, entries: Entries) {
        let member = &mut self.members[index];
        member.commit = Some((id, self.now + COMMIT_TIMEOUT));
        let (who, client) = (member.who(index), member.client.number);
        let commit = Commit { who, client, name: None, generation: 0, id, entries };
        let delay = self.chance.between(0, 3);
        self.tell_after(delay, who, Note::SendCommit(Box::new(commit)));
    }

    fn seal(&mut self, index: usize, claim: &Claim) {
        let payload = self.members[index].seal(claim);
        let named = |(partition, offset, _): &(u32, u64, u8)| {
            let range = claim.ranges.get(&Partition(*partition));
            range.is_some_and(|range| range.from.0 <= *offset && *offset < range.to.0)
        };
        let all_named = payload.records.iter().all(named);
        // Compaction may have taken records since they were decoded, never given any.
        let all_there = self.records_of(claim).iter().all(|record| payload.records.contains(record));
        if !all_named || !all_there {
            self.fail(format_args!("the sealed rows are not those that the claim {} names", claim.id));
        }
    }

    fn order_insert(
        &mut self,
        index: usize,
        claim: &Claim,
        table: TableId,
        (deadline, attempt): (ServerTime, u32),
    ) {
        let member = &mut self.members[index];
        let Some(payload) = member.payloads.get(&claim.id).cloned() else { return };
        member.last_key += 1;
        let (who, epoch, key) = (member.who(index), member.epoch, member.last_key);
        member.outstanding.insert(key, (claim.id, table));
        let sender = Sender { who, epoch, key };
        let bit = 1u8 << table.0;
        let any = payload.records.iter().any(|(.., targets)| targets & bit != 0);
        let timeout = Duration::from_millis(self.setup.insert_timeout);
        let is_first = is_surely_first(attempt, claim.claimed_at, deadline, timeout);
        let asks = self.setup.lineage && (!is_first || member.in_doubt.contains(&claim.id));
        let delay = self.chance.between(0, 3);
        if !any {
            return self.tell_after(delay, who, Note::Inserted(sender, Input::Inserted(claim.id, table)));
        }
        let (deadline, entered) = (deadline.0.div_euclid(1000), self.server.entered(table.0));
        let insert = Insert { payload, table: table.0, deadline, entered };
        if asks {
            let soon = self.chance.latency();
            return self.agenda.put(self.now + soon, Event::AskWindow(sender, insert));
        }
        self.tell_after(delay, who, Note::SendInsert(sender, insert));
    }

    fn release(&mut self, index: usize, partitions: &BTreeSet<Partition>) {
        let member = &mut self.members[index];
        member.owned.retain(|partition| !partitions.contains(partition));
        member.distrusted.retain(|partition| !partitions.contains(partition));
        let client = &mut member.client;
        client.owned.retain(|partition| !partitions.contains(partition));
        client.positions.retain(|partition, _| !partitions.contains(partition));
        client.asks = Asks::Nothing;
        match client.then_assign.take() {
            Some(new) => self.take(index, new),
            None => self.join_if_due(index),
        }
    }

    /// Ends the membership and joins as a new member.
    pub(crate) fn rejoin(&mut self, index: usize) {
        self.leave(index);
        self.last_client += 1;
        let member = &mut self.members[index];
        member.begin_epoch();
        member.client = Client::new(self.last_client);
        member.client.rejoins = true;
        self.join_if_due(index);
        self.step(index, Input::Lost);
    }

    /// The client says that it leaves, or the group finds out for itself.
    pub(crate) fn leave(&mut self, index: usize) {
        let Some(name) = self.members[index].client.name else { return };
        let lost = self.chance.strikes(Fault::LeaveLost);
        let (delay, why) =
            if lost { (self.setup.session, "not heard of") } else { (self.chance.latency(), "left") };
        self.agenda.put(self.now + delay, Event::Remove(name, why));
    }

    /// The process is gone; what it sent goes on.
    pub(crate) fn crash(&mut self, index: usize) {
        self.trace.line(self.now, self.members[index].name, format_args!("is killed"));
        if let Some(name) = self.members[index].client.name {
            let silence = self.setup.session - self.chance.between(0, self.setup.session / 3);
            self.agenda.put(self.now + silence, Event::Remove(name, "not heard of"));
        }
        self.members[index].end(State::Down);
        let away = self.chance.between(50, 8_000);
        self.agenda.put(self.now + away, Event::Start(index));
    }

    /// The process is stopped, for a moment or for longer than any deadline.
    pub(crate) fn stop(&mut self, index: usize) {
        let longest = if self.chance.one_in(2) { self.setup.session * 2 } else { self.setup.safe_age * 2 };
        let asleep = self.chance.between(200, longest);
        self.trace.line(self.now, self.members[index].name, format_args!("is stopped for {asleep} ms"));
        let member = &mut self.members[index];
        member.state = State::Asleep;
        let who = member.who(index);
        if let Some(name) = member.client.name {
            self.agenda.put(self.now + self.setup.session, Event::Expire(who, name));
        }
        self.agenda.put(self.now + asleep, Event::Wake(who));
    }

    fn halt(&mut self, index: usize, reason: &Halt) {
        self.judge_halt(index, reason);
        self.leave(index);
        self.members[index].end(State::Halted);
    }
}
