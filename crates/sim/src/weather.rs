//! Faults that need no occasion: they come over the world every now and then.

use pumphouse_core::offset::Partition;
use pumphouse_core::valve::Pressure;

use crate::agenda::Event;
use crate::fault::Fault;
use crate::group::{Phase, Text};
use crate::member::State;
use crate::world::World;

impl World {
    /// Lets strike what is on, and comes again.
    pub(crate) fn weather(&mut self) {
        if self.healed {
            return;
        }
        let member = self.chance.place(self.members.len());
        let up = self.members[member].state == State::Up;
        if up && self.chance.strikes(Fault::Crash) {
            self.crash(member);
        }
        if self.members[member].state == State::Up && self.chance.strikes(Fault::Stop) {
            self.stop(member);
        }
        if self.members[member].state == State::Up && self.chance.strikes(Fault::Drain) {
            self.trace.line(self.now, self.members[member].name, format_args!("is asked to stop"));
            let who = self.members[member].who(member);
            self.agenda.put(self.now, Event::Drain(who));
        }
        if self.members[member].state == State::Up && self.chance.strikes(Fault::Pressure) {
            self.weigh(member);
        }
        self.group_weather();
        self.server_weather();
        self.log_weather();
        self.hands();
        let pause = self.chance.between(200, 1_500);
        self.agenda.put(self.now + pause, Event::Weather);
    }

    /// Tells one process how many parts there are: any number, or that nobody knows.
    fn weigh(&mut self, member: usize) {
        let parts = self.chance.between(0, 3_400);
        let table =
            Pressure { parts, parts_total: parts, delay_at: 1_000, refuse_at: 3_000, ..Pressure::default() };
        let known = parts <= 3_000;
        let who = self.members[member].who(member);
        self.agenda.put(self.now, Event::Pressure(who, if known { vec![table] } else { Vec::new() }));
    }

    fn group_weather(&mut self) {
        let names = self.group.names();
        if !names.is_empty() && self.chance.strikes(Fault::Expelled) {
            let name = names[self.chance.place(names.len())];
            self.remove(name, "not heard of");
        }
        if self.chance.strikes(Fault::Rebalance) {
            let begins = self.group.prepare();
            self.after_change(begins);
        }
        if !self.undo.is_empty() && self.chance.strikes(Fault::OffsetRegress) {
            self.regress();
        }
    }

    fn server_weather(&mut self) {
        if self.server.is_up && self.chance.strikes(Fault::ServerKilled) {
            self.kill_server();
        }
        if self.chance.strikes(Fault::ServerOverloaded) {
            let lasts = self.chance.between(500, 20_000);
            self.server.overloaded_until = self.now + lasts;
            self.trace.line(self.now, "clickhouse", format_args!("refuses inserts for {lasts} ms"));
        }
        if self.chance.strikes(Fault::ClockStep) {
            // Never so far back that a group could have emptied meanwhile: what began when is told by this clock.
            self.server.skew = i64::try_from(self.chance.between(0, 2_400)).expect("small") - 1_200;
            self.trace.line(
                self.now,
                "clickhouse",
                format_args!("its clock is {} ms ahead", self.server.skew),
            );
        }
    }

    fn log_weather(&mut self) {
        let partition = self.chance.place(self.logs.len());
        let committed = self.group.offset(Partition(u32::try_from(partition).expect("few"))).unwrap_or(0);
        let log = &mut self.logs[partition];
        if log.high > log.low && self.chance.strikes(Fault::Compaction) {
            let offset = self.chance.between(log.low, log.high - 1);
            let record = log.at_mut(offset);
            record.visible = false;
            record.excused = true;
            self.trace.line(self.now, "kafka", format_args!("{partition}:{offset} is compacted away"));
        }
        if committed > self.logs[partition].low && self.chance.strikes(Fault::RetentionBehind) {
            let low = self.chance.between(self.logs[partition].low, committed);
            self.retain(partition, low);
        }
        let log = &self.logs[partition];
        if log.high > log.low.max(committed) && self.chance.strikes(Fault::Retention) {
            let low = self.chance.between(log.low.max(committed), log.high);
            self.retain(partition, low);
        }
    }

    /// The log begins at `low` from now on.
    fn retain(&mut self, partition: usize, low: u64) {
        self.trace.line(self.now, "kafka", format_args!("partition {partition} begins at {low}"));
        let log = &mut self.logs[partition];
        log.low = log.low.max(low);
    }

    /// Somebody needs the group empty: all processes end, and the deed is done once nobody is there.
    fn hands(&mut self) {
        for fault in [Fault::MetadataWiped, Fault::OffsetReset] {
            if self.chance.strikes(fault) {
                for member in 0..self.members.len() {
                    if matches!(self.members[member].state, State::Up | State::Asleep) {
                        self.crash(member);
                    }
                }
                self.agenda.put(self.now + self.setup.session, Event::ByHand(fault));
            }
        }
    }

    pub(crate) fn by_hand(&mut self, fault: Fault) {
        if self.group.phase != Phase::Empty {
            return;
        }
        let partition = self.chance.place(self.logs.len());
        let key = Partition(u32::try_from(partition).expect("few"));
        let Some((offset, text)) = self.group.entry(key).clone() else { return };
        if let Text::Ours(metadata) = &text
            && let Some(claim) = &metadata.claim
        {
            // Nothing tells any more that it was inserted.
            let to = claim.ranges.get(&key).map_or(offset, |range| range.to.0);
            self.may_double(partition, offset, to);
        }
        let at = match fault {
            Fault::OffsetReset => {
                let log = &self.logs[partition];
                let at = self.chance.between(log.low, log.high);
                self.may_double(partition, at, offset);
                self.may_miss(partition, offset, at);
                at
            }
            _ => offset,
        };
        self.by_hand.insert(key);
        self.trace.line(
            self.now,
            "by hand",
            format_args!("partition {partition}: {}, at {at}", fault.name()),
        );
        let text = if fault == Fault::OffsetReset { Text::Bare } else { Text::Foreign };
        self.group.store(key, Some((at, text)));
    }

    /// The coordinator forgets what it acknowledged last.
    fn regress(&mut self) {
        let requests = self.chance.place(self.undo.len()) + 1;
        for _ in 0..requests {
            for (key, before) in self.undo.pop().into_iter().flatten() {
                let partition = key.0;
                let was = self.group.offset(key).unwrap_or(0);
                let at = before.as_ref().map_or(self.logs[partition as usize].low, |(offset, _)| *offset);
                let end = self.logs[partition as usize].records.len() as u64;
                self.trace.line(
                    self.now,
                    "group",
                    format_args!("partition {partition} is back from {was} to {at}"),
                );
                self.may_double(partition as usize, at, end);
                self.by_hand.insert(key);
                self.group.store(key, before);
            }
        }
    }

    fn may_double(&mut self, partition: usize, from: u64, to: u64) {
        for offset in from..to.max(from) {
            let record = self.logs[partition].at_mut(offset);
            record.rows_max = record.rows_max.saturating_add(1);
        }
    }

    pub(crate) fn may_miss(&mut self, partition: usize, from: u64, to: u64) {
        for offset in from..to.max(from) {
            self.logs[partition].at_mut(offset).excused = true;
        }
    }
}
