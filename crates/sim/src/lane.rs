//! A lane's loop, as `drive/lane.rs` and `drive/take.rs` go round: what reaches the process becomes facts for its pump.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use pumphouse_core::batch::Filled;
use pumphouse_core::claim::Claim;
use pumphouse_core::lane::Stored;
use pumphouse_core::moment::Time;
use pumphouse_core::offset::{Offset, Partition, Range};
use pumphouse_core::pump::{CommitFailure, CommitId, Input};
use pumphouse_core::valve::Pressure;

use crate::agenda::{Commit, Event, Sender, Who};
use crate::clickhouse::{Insert, Payload};
use crate::client::{Asks, Client};
use crate::fault::Fault;
use crate::group::{MemberName, Phase};
use crate::member::{Note, State};
use crate::words;
use crate::world::World;

/// The loop goes round at least this often, in milliseconds.
const ROUND: u64 = 5_000;
/// How often a lane looks for offsets without records.
const STANDING: u64 = 500;
/// How often the server's time is sampled.
const SAMPLE: u64 = 10_000;

impl World {
    pub(crate) fn start(&mut self, index: usize) {
        if self.members[index].state != State::Down {
            return;
        }
        if !self.server.is_up {
            // It is waited for; a process needs its time.
            return self.agenda.put(self.now + 1_000, Event::Start(index));
        }
        let server = self.server.time(self.now.saturating_sub(self.chance.between(0, 30)));
        if self.chance.strikes(Fault::ShapeChanged) {
            self.members[index].shape += 1;
        }
        self.last_client += 1;
        let client = self.last_client;
        self.members[index].start(self.now, server, client, &self.setup);
        self.trace.line(self.now, self.members[index].name, format_args!("starts"));
        self.join_if_due(index);
        self.call(index, self.now + ROUND);
    }

    /// The lane's loop is to go round at `at`, or earlier if that was said before.
    pub(crate) fn call(&mut self, index: usize, at: u64) {
        let member = &mut self.members[index];
        if member.state == State::Up && at < member.turn_at {
            member.turn_at = at;
            let who = member.who(index);
            self.agenda.put(at, Event::Tell(who, Note::Turn));
        }
    }

    pub(crate) fn tell(&mut self, who: Who, note: Note) {
        if !self.is_alive(who) {
            return;
        }
        let member = &mut self.members[who.member];
        if member.state == State::Asleep {
            if !matches!(note, Note::Turn) {
                member.inbox.push_back(note);
            }
            return;
        }
        self.heed(who.member, note);
    }

    /// A stopped process goes on with what it was about to do.
    pub(crate) fn wake(&mut self, who: Who) {
        if !self.is_alive(who) || self.members[who.member].state != State::Asleep {
            return;
        }
        self.trace.line(self.now, self.members[who.member].name, format_args!("goes on"));
        let member = &mut self.members[who.member];
        member.state = State::Up;
        member.turn_at = u64::MAX;
        self.carry_on(who.member);
        if self.chance.one_in(2) {
            self.turn(who.member);
        }
        while self.members[who.member].state == State::Up && self.is_alive(who) {
            let Some(note) = self.members[who.member].inbox.pop_front() else { break };
            self.heed(who.member, note);
        }
        self.call(who.member, self.now + 1);
    }

    fn heed(&mut self, index: usize, note: Note) {
        let turns = matches!(note, Note::Turn);
        match note {
            Note::Turn => {
                if self.now < self.members[index].turn_at {
                    return;
                }
                self.turn(index);
            }
            Note::Synced(client, name, generation, mine) => {
                self.synced(index, client, (name, generation), &mine);
            }
            Note::Learns(client, round) => self.learns(index, client, round),
            Note::NotAMember(client) => self.not_a_member(index, client),
            Note::SendCommit(commit) => self.send_commit(*commit),
            Note::SendInsert(sender, insert) => self.send_insert(sender, insert),
            Note::Committed(client, id, failure) => self.commit_answered(index, client, id, failure),
            Note::Assigned(epoch, stored) if epoch == self.members[index].epoch => self.accept(index, stored),
            Note::Fact(epoch, input) if epoch == self.members[index].epoch => self.step(index, input),
            Note::Rebuilt(epoch, claim, payload, filled, deleted) if epoch == self.members[index].epoch => {
                self.built_again(index, (claim, payload), filled, deleted);
            }
            Note::Ends(epoch, ends) if epoch == self.members[index].epoch => self.ends_known(index, &ends),
            Note::Inserted(sender, input) => self.insert_answered(index, sender, Some(input)),
            Note::Broken(epoch, key) => {
                let who = self.members[index].who(index);
                self.insert_answered(index, Sender { who, epoch, key }, None);
            }
            Note::Assigned(..) | Note::Fact(..) | Note::Rebuilt(..) | Note::Ends(..) => {}
        }
        if !turns {
            let delay = self.chance.between(0, 5);
            self.call(index, self.now + delay);
        }
    }

    fn built_again(
        &mut self,
        index: usize,
        (claim, payload): (Box<Claim>, Rc<Payload>),
        filled: Filled,
        deleted: BTreeMap<Partition, Range>,
    ) {
        if self.members[index].pump.awaits_rows(&claim) {
            self.members[index].payloads.insert(claim.id, payload);
            self.members[index].in_doubt.insert(claim.id);
            self.step(index, Input::Rebuilt { claim, filled, deleted });
        }
    }

    /// One round of the loop.
    fn turn(&mut self, index: usize) {
        self.members[index].turn_at = u64::MAX;
        let life = self.members[index].life;
        if let Some((id, until)) = self.members[index].commit
            && self.now >= until
        {
            self.members[index].commit = None;
            self.step(index, Input::CommitFailed(id, CommitFailure::Unknown));
        }
        self.take_records(index);
        self.heed_fetch_failure(index);
        self.tick_when_due(index);
        if self.members[index].life == life {
            let at = self.next_round(index);
            self.call(index, at);
        }
    }

    fn next_round(&mut self, index: usize) -> u64 {
        let member = &self.members[index];
        let due =
            [member.commit.map(|(_, until)| until), member.pump.wake_at().map(|at| member.world_time(at))];
        let due = due.into_iter().flatten().min().unwrap_or(u64::MAX);
        let more = member.client.owned.iter().any(|partition| {
            let position = member.client.positions.get(partition);
            member.pump.wants(*partition)
                && !member.distrusted.contains(partition)
                && position.is_some_and(|at| *at < self.logs[partition.0 as usize].high)
        });
        let idle = if more { self.chance.between(1, 60) } else { ROUND };
        due.min(self.now + idle).max(self.now + 10)
    }

    fn is_up(&self, index: usize) -> bool {
        self.members[index].state == State::Up
    }

    fn take_records(&mut self, index: usize) {
        let mut order: Vec<Partition> = self.members[index].owned.iter().copied().collect();
        if order.len() > 1 {
            let first = self.chance.place(order.len());
            order.rotate_left(first);
        }
        let life = self.members[index].life;
        for partition in order {
            let member = &self.members[index];
            let here = self.is_up(index) && member.life == life && member.owned.contains(&partition);
            if here && member.pump.wants(partition) && !member.distrusted.contains(&partition) {
                self.take_partition(index, partition);
            }
        }
    }

    /// Takes a few records of one partition into the open batch.
    fn take_partition(&mut self, index: usize, partition: Partition) {
        let mut room = self.chance.between(1, 4);
        let log = &self.logs[partition.0 as usize];
        let member = &mut self.members[index];
        let Some(from) = member.pump.next_offset(partition) else { return };
        let Some(position) = member.client.positions.get_mut(&partition) else { return };
        if *position < log.low {
            member.distrusted.insert(partition);
            member.fetch_failed = true;
            return;
        }
        let mut next = from.0;
        let mut rows = 0;
        while *position < log.high && room > 0 {
            let offset = *position;
            *position += 1;
            let record = log.at(offset);
            if record.visible && offset >= next {
                next = offset + 1;
                room -= 1;
                if record.targets != 0 {
                    rows += 1;
                    member.open.entry(partition).or_default().push((offset, record.targets));
                }
            }
        }
        if next > from.0 {
            let filled = Filled { rows, bytes: rows * 10 };
            let range = Range::new(from, Offset(next));
            self.step(index, Input::Fetched { partition, range, filled });
        }
    }

    fn tick_when_due(&mut self, index: usize) {
        let member = &self.members[index];
        let due = member.pump.wake_at().is_some_and(|at| self.now >= member.world_time(at));
        if due && self.is_up(index) {
            self.step(index, Input::Tick);
        }
        let member = &mut self.members[index];
        if self.now >= member.sampled_at + SAMPLE && self.server.is_up {
            let server = self.server.time(self.now.saturating_sub(self.chance.between(0, 30)));
            member.sample(self.now, server);
        }
        if self.is_up(index) && self.now >= self.members[index].standing_at {
            self.members[index].standing_at = self.now + STANDING;
            self.pass_control_records(index);
        }
    }

    /// Passes offsets behind the last record that hold none.
    fn pass_control_records(&mut self, index: usize) {
        let owned: Vec<Partition> = self.members[index].owned.iter().copied().collect();
        for partition in owned {
            let log = &self.logs[partition.0 as usize];
            if !self.is_up(index) || self.members[index].distrusted.contains(&partition) {
                continue;
            }
            let member_position = self.members[index].client.positions.get_mut(&partition);
            let Some(position) = member_position else { continue };
            while *position < log.high && !log.at(*position).visible && *position >= log.low {
                *position += 1;
            }
            let to = Offset(*position);
            let member = &self.members[index];
            let Some(from) = member.pump.next_offset(partition) else { continue };
            if to > from && member.pump.wants(partition) {
                let range = Range::new(from, to);
                self.step(index, Input::Fetched { partition, range, filled: Filled::default() });
            }
        }
    }

    /// The heartbeat says that the group shares out anew.
    fn learns(&mut self, index: usize, client: u64, round: u64) {
        let member = &self.members[index];
        let missed = self.group.phase == Phase::Preparing(round) && !self.group.waits(member.client.name);
        if member.client.number == client && missed {
            self.members[index].client.rejoins = true;
            self.join_if_due(index);
        }
    }

    pub(crate) fn join_if_due(&mut self, index: usize) {
        let client = &mut self.members[index].client;
        if client.may_join() {
            client.rejoins = false;
            client.joining = true;
            let (number, name, owned) = (client.number, client.name, client.owned.clone());
            let delay = self.chance.latency();
            self.agenda.put(self.now + delay, Event::Join(index, number, name, owned));
        }
    }

    /// The client has its share: first it gives back, then it takes.
    fn synced(
        &mut self,
        index: usize,
        number: u64,
        (name, generation): (MemberName, u32),
        mine: &BTreeSet<Partition>,
    ) {
        let client = &mut self.members[index].client;
        if client.number != number {
            return;
        }
        client.joining = false;
        client.name = Some(name);
        client.generation = generation;
        let back: BTreeSet<Partition> = client.owned.difference(mine).copied().collect();
        let new: BTreeSet<Partition> = mine.difference(&client.owned).copied().collect();
        if back.is_empty() {
            return self.take(index, new);
        }
        client.asks = Asks::Give(back.clone());
        client.then_assign = (!new.is_empty()).then_some(new);
        client.rejoins = true;
        let member = &self.members[index];
        let until = Time(self.now - member.started_at + self.setup.revoke_wait);
        self.step(index, Input::Revoking { partitions: back, until });
    }

    /// The client is given partitions, possibly none: what Kafka holds for them is asked for first.
    pub(crate) fn take(&mut self, index: usize, new: BTreeSet<Partition>) {
        let member = &mut self.members[index];
        member.client.asks = Asks::Take(new.clone());
        let (who, epoch) = (member.who(index), member.epoch);
        if new.is_empty() {
            return self.tell_after(0, who, Note::Assigned(epoch, [].into()));
        }
        let delay = self.chance.latency();
        self.agenda.put(self.now + delay, Event::AskStored(who, epoch, new));
    }

    fn accept(&mut self, index: usize, stored: BTreeMap<Partition, Stored>) {
        let member = &mut self.members[index];
        member.client.asks = Asks::Nothing;
        for (partition, stored) in &stored {
            member.client.owned.insert(*partition);
            member.client.positions.insert(*partition, stored.offset.0);
            member.owned.insert(*partition);
        }
        self.step(index, Input::Assigned(stored));
        if self.is_up(index) {
            self.join_if_due(index);
        }
    }

    /// The membership is over; the client joins again by itself, under a new name.
    fn not_a_member(&mut self, index: usize, number: u64) {
        if self.members[index].client.number != number {
            return;
        }
        self.trace.line(self.now, self.members[index].name, format_args!("is told that it is no member"));
        self.last_client += 1;
        let member = &mut self.members[index];
        member.client = Client::new(self.last_client);
        member.client.rejoins = true;
        member.begin_epoch();
        self.join_if_due(index);
        self.step(index, Input::Lost);
    }

    fn send_commit(&mut self, mut commit: Commit) {
        let client = &self.members[commit.who.member].client;
        if client.number != commit.client {
            // Its client was closed before it was sent.
            return;
        }
        commit.name = client.name;
        commit.generation = client.generation;
        if self.chance.strikes(Fault::CommitLost) {
            return;
        }
        let late = self.chance.strikes(Fault::CommitLate);
        let delay = if late { self.chance.between(1_000, 30_000) } else { self.chance.latency() };
        self.agenda.put(self.now + delay, Event::Commit(commit));
    }

    fn commit_answered(&mut self, index: usize, number: u64, id: CommitId, failure: Option<CommitFailure>) {
        let member = &mut self.members[index];
        let waits = member.commit.is_some_and(|(known, _)| known == id);
        if !waits || member.client.number != number {
            return;
        }
        member.commit = None;
        match failure {
            None => self.step(index, Input::Committed(id)),
            Some(failure) => self.step(index, Input::CommitFailed(id, failure)),
        }
    }

    fn send_insert(&mut self, sender: Sender, insert: Insert) {
        let timeout = self.setup.insert_timeout;
        self.tell_after(timeout, sender.who, Note::Broken(sender.epoch, sender.key));
        if self.chance.strikes(Fault::InsertLost) {
            return;
        }
        let late = self.chance.strikes(Fault::InsertLate);
        let longest = self.setup.safe_age * 3;
        let delay = if late { self.chance.between(timeout, longest) } else { self.chance.latency() };
        if late {
            let what = words::insert(&insert);
            self.trace.line(self.now, "network", format_args!("{what} will come {delay} ms late"));
        }
        self.agenda.put(self.now + delay, Event::Insert(sender, insert));
    }

    fn insert_answered(&mut self, index: usize, sender: Sender, input: Option<Input>) {
        let member = &mut self.members[index];
        if member.epoch != sender.epoch {
            return;
        }
        let Some((batch, table)) = member.outstanding.remove(&sender.key) else { return };
        let input = input.unwrap_or(Input::InsertUnknown(batch, table));
        if matches!(input, Input::InsertUnknown(..) | Input::InsertSuspect(..)) {
            member.in_doubt.insert(batch);
        }
        self.step(index, input);
    }

    /// After a failure in a partition's queue the ends of the log tell what is missing.
    fn heed_fetch_failure(&mut self, index: usize) {
        let member = &mut self.members[index];
        if member.state == State::Up && std::mem::take(&mut member.fetch_failed) {
            let (who, epoch, partitions) = (member.who(index), member.epoch, member.distrusted.clone());
            let delay = self.chance.latency();
            self.agenda.put(self.now + delay, Event::AskEnds(who, epoch, partitions));
        }
    }

    /// Reports or halts where a position lies outside its log; otherwise the client was wrong and begins anew.
    fn ends_known(&mut self, index: usize, ends: &BTreeMap<Partition, (Offset, Offset)>) {
        let life = self.members[index].life;
        for (partition, (low, high)) in ends {
            if self.is_up(index) && self.members[index].life == life {
                let (partition, low, high) = (*partition, *low, *high);
                self.step(index, Input::OutOfRange { partition, low, high });
            }
        }
        let here = self.is_up(index) && self.members[index].life == life;
        // Behind a gap the pump itself orders it.
        if here && !self.members[index].pump.has_gaps() {
            self.rejoin(index);
        }
    }

    pub(crate) fn press(&mut self, who: Who, tables: Vec<Pressure>) {
        if self.is_alive(who) && self.is_up(who.member) {
            self.step(who.member, Input::Pressure(tables));
            self.call(who.member, self.now + 1);
        }
    }

    pub(crate) fn drain(&mut self, who: Who) {
        if self.is_alive(who) && self.is_up(who.member) {
            let until = Time(self.now - self.members[who.member].started_at + 5_000);
            self.step(who.member, Input::Drain(until));
            self.call(who.member, self.now + 1);
        }
    }
}
