//! What reaches ClickHouse: inserts, their parts one after the other, and questions by lineage.

use std::collections::BTreeSet;

use pumphouse_core::claim::{Claim, Excluded};
use pumphouse_core::gap::{GapOf, Gaps, GapsAnswer};
use pumphouse_core::isolation::{EVERY_ROW_MIN, Isolation, Proof};
use pumphouse_core::moment::ServerTime;
use pumphouse_core::offset::{Offset, Partition, Range};
use pumphouse_core::pump::{Input, OrderId, Survey, TableId};
use pumphouse_core::verdict::Refusal;
use pumphouse_core::window::remembered_until;

use crate::agenda::{Event, Sender, Who};
use crate::clickhouse::{Insert, Landed, Query, Target};
use crate::fault::Fault;
use crate::member::Note;
use crate::topic::Gap;
use crate::words;
use crate::world::World;

/// How an insert ended.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Done,
    Refused(Refusal),
    Suspect,
    Unknown,
}

impl World {
    /// Whether the table still knows the token of an insert in doubt, and for how long at least.
    pub(crate) fn ask_window(&mut self, sender: Sender, mut insert: Insert) {
        let (batch, table, since) = (insert.payload.id, insert.table, insert.payload.claimed_at);
        let added = self.server.added_since(&self.logs, table, since);
        let (window, now) = (self.setup.window.entries as u64, self.server.time(self.now));
        let note = match remembered_until(window, added, since, now) {
            _ if !self.server.is_up => {
                Note::Inserted(sender, Input::InsertRefused(batch, TableId(table), Refusal::NotSent))
            }
            None => {
                self.given_up += 1;
                Note::Inserted(sender, Input::TokenForgotten(batch, TableId(table)))
            }
            Some(until) => {
                insert.deadline = insert.deadline.min(until.0.div_euclid(1000));
                insert.entered = self.server.entered(table);
                Note::SendInsert(sender, insert)
            }
        };
        let delay = self.chance.latency();
        self.tell_after(delay, sender.who, note);
    }

    /// Whether more came into its table while an insert travelled and ran than the protocol assumes (decision 0012): half a
    /// window, less what was claimed before it and lands with it. Such an insert is lost or broken off.
    fn lives_too_long(&self, insert: &Insert) -> bool {
        let others = self.members.len() * usize::from(self.setup.shape.slots);
        let most = (self.setup.window.entries / 2).saturating_sub(others) as u64;
        self.server.entered(insert.table) - insert.entered > most
    }

    pub(crate) fn insert_arrives(&mut self, sender: Sender, insert: Insert) {
        if self.server.is_up && self.chance.strikes(Fault::ServerKilled) {
            self.kill_server();
        }
        if self.lives_too_long(&insert) {
            let what = words::insert(&insert);
            return self.trace.line(self.now, "network", format_args!("{what}: lost, too long under way"));
        }
        let Some(refused) = self.refusal(&insert) else {
            let until = self.now + self.setup.insert_timeout;
            let query = self.server.begin(&self.logs, insert, until);
            self.queries.insert(query, sender);
            let delay = self.chance.between(0, 30);
            return self.agenda.put(self.now + delay, Event::Land(query));
        };
        let what = words::insert(&insert);
        self.trace.line(self.now, "clickhouse", format_args!("{what}: refused, {refused:?}"));
        // With views nobody can tell who refused the row, and what was written before.
        let suspect = refused == Refusal::Row && insert.table == 0 && self.setup.with_view;
        let answer = if suspect { Answer::Suspect } else { Answer::Refused(refused) };
        self.answer(sender, &insert, answer);
    }

    fn refusal(&mut self, insert: &Insert) -> Option<Refusal> {
        let table = 1u8 << insert.table;
        let letters = insert.table + 1 == self.setup.shape.targets;
        let refused = |(partition, offset, targets): &(u32, u64, u8)| {
            self.logs[*partition as usize].at(*offset).refused && targets & table != 0
        };
        if !self.server.is_up {
            Some(Refusal::NotSent)
        } else if self.server.overloaded_until > self.now || self.chance.strikes(Fault::InsertRefused) {
            Some(match self.chance.place(3) {
                0 => Refusal::TooManyParts,
                1 => Refusal::Overloaded,
                _ => Refusal::ReadOnly,
            })
        } else if self.server.is_late(self.now, insert) {
            self.late_refused += 1;
            Some(Refusal::Deadline)
        } else if !letters && insert.payload.records.iter().any(refused) {
            Some(Refusal::Row)
        } else {
            None
        }
    }

    pub(crate) fn land(&mut self, number: u64) {
        if self.server.is_up && self.chance.strikes(Fault::ServerKilled) {
            self.kill_server();
        }
        let now = self.now;
        let Some(query) = self.server.query(number) else { return };
        let insert = query.insert.clone();
        let (until, throws) =
            (query.until, query.left.front().is_some_and(|(target, _)| *target == Target::View));
        let too_long = self.lives_too_long(&insert);
        if now > until || too_long || (throws && self.chance.strikes(Fault::ViewThrows)) {
            let what = words::insert(&insert);
            self.trace.line(now, "clickhouse", format_args!("{what}: broken off in the middle"));
            return self.finish(number, Answer::Unknown);
        }
        if let Some(part) = self.server.query(number).and_then(|query| query.left.pop_front()) {
            let landed = self.server.land(now, &self.logs, &insert, part);
            let what = words::insert(&insert);
            self.trace.line(now, "clickhouse", format_args!("{what} {}", words::landed(part, &landed)));
            if let Landed::Doubled(partition, offset) = landed {
                let table = words::target(part.0, insert.table);
                self.fail(format_args!("record {partition}:{offset} is twice in {table}"));
            }
        }
        if self.server.query(number).is_some_and(|query| query.left.is_empty()) {
            return self.finish(number, Answer::Done);
        }
        let slow = self.chance.strikes(Fault::InsertSlow);
        let longest = if slow { self.setup.insert_timeout } else { 10 };
        let delay = self.chance.between(0, longest);
        self.agenda.put(now + delay, Event::Land(number));
    }

    fn finish(&mut self, number: u64, answer: Answer) {
        let Some(Query { insert, .. }) = self.server.end(number) else { return };
        let Some(sender) = self.queries.remove(&number) else { return };
        if !self.chance.strikes(Fault::InsertAnswerLost) {
            self.answer(sender, &insert, answer);
        }
    }

    fn answer(&mut self, sender: Sender, insert: &Insert, answer: Answer) {
        let (batch, table) = (insert.payload.id, TableId(insert.table));
        let fact = match answer {
            Answer::Done => Input::Inserted(batch, table),
            Answer::Refused(refusal) => Input::InsertRefused(batch, table, refusal),
            Answer::Suspect => Input::InsertSuspect(batch, table),
            Answer::Unknown => Input::InsertUnknown(batch, table),
        };
        let delay = self.chance.latency();
        self.tell_after(delay, sender.who, Note::Inserted(sender, fact));
    }

    /// The server is gone in the middle of whatever it does; what landed stays.
    pub(crate) fn kill_server(&mut self) {
        self.trace.line(self.now, "clickhouse", format_args!("is killed"));
        self.server.is_up = false;
        for number in self.server.end_all() {
            if let Some(sender) = self.queries.remove(&number) {
                let (who, epoch, key) = (sender.who, sender.epoch, sender.key);
                let delay = self.chance.latency();
                self.tell_after(delay, who, Note::Broken(epoch, key));
            }
        }
        let away = self.chance.between(300, 15_000);
        self.agenda.put(self.now + away, Event::ServerUp);
    }

    pub(crate) fn server_up(&mut self) {
        self.server.is_up = true;
        self.trace.line(self.now, "clickhouse", format_args!("is back"));
    }

    /// Whether any table holds a row of the claim.
    pub(crate) fn probe(&mut self, who: Who, epoch: u64, claim: Claim) {
        if !self.server.is_up {
            return self.ask_again((who, epoch), Event::Probe(who, epoch, claim));
        }
        let tables = 0..self.setup.shape.targets;
        let landed = self.setup.lineage.then(|| self.server.holds_any(tables, &claim, &[claim.claimed_at]));
        self.trace.line(self.now, "clickhouse", format_args!("asked for {}: {landed:?}", claim.id));
        let delay = self.chance.latency();
        self.tell_after(delay, who, Note::Fact(epoch, Input::Probed(claim.id, landed)));
    }

    /// The server does not answer: asked again, as long as somebody wants to know.
    pub(crate) fn ask_again(&mut self, (who, epoch): (Who, u64), question: Event) {
        if self.is_alive(who) && self.members[who.member].epoch == epoch {
            self.agenda.put(self.now + 500, question);
        }
    }

    /// Whether nobody can insert a claim any more, and whether the tables tell what of it they hold.
    pub(crate) fn survey(&mut self, (who, epoch): (Who, u64), claim: Claim, over_at: ServerTime) {
        if !self.server.is_up {
            return self.ask_again((who, epoch), Event::Survey(who, epoch, claim, over_at));
        }
        let survey = if !self.setup.lineage {
            Survey::CannotTell
        } else if self.server.time(self.now) < over_at || self.server.is_running(claim.id) {
            Survey::NotYet
        } else if self.views_cannot_tell(&claim) {
            Survey::CannotTell
        } else {
            Survey::Over
        };
        self.trace.line(self.now, "clickhouse", format_args!("looked at for {}: {survey:?}", claim.id));
        let delay = self.chance.latency();
        self.tell_after(delay, who, Note::Fact(epoch, Input::Surveyed(claim.id, survey)));
    }

    /// Whether rows of a claim, or of what it superseded, are in the table that has a view.
    pub(crate) fn views_cannot_tell(&self, claim: &Claim) -> bool {
        self.setup.with_view && self.server.holds_any(0..1, claim, &claim.times())
    }

    /// How far the tables are with partitions whose start nobody wrote down.
    pub(crate) fn ask_highest(
        &mut self,
        (who, epoch): (Who, u64),
        order: OrderId,
        partitions: BTreeSet<Partition>,
    ) {
        if !self.server.is_up {
            return self.ask_again((who, epoch), Event::AskHighest(who, epoch, order, partitions));
        }
        let highest = |partition: Partition| {
            let offsets = 0..self.logs[partition.0 as usize].records.len() as u64;
            let there = |offset: &u64| {
                self.server.tables.iter().any(|table| table.rows.cell(partition.0, *offset).rows > 0)
            };
            let highest = offsets.rev().find(there).map(Offset);
            (partition, highest.filter(|_| self.setup.lineage))
        };
        let highest = partitions.into_iter().map(highest).collect();
        let delay = self.chance.latency();
        self.agenda.put(self.now + delay, Event::AskOrigins(who, epoch, order, highest));
    }

    /// Gaps are written down, each under its token.
    pub(crate) fn report_gaps(&mut self, (who, epoch): (Who, u64), order: OrderId, gaps: &Gaps) {
        let running = matches!(&gaps.of, GapOf::Claim(claim) if self.server.is_running(claim.id));
        let lost = self.chance.strikes(Fault::InsertLost);
        let answer = if !self.server.is_up {
            GapsAnswer::Refused(Refusal::NotSent)
        } else if self.server.overloaded_until > self.now {
            GapsAnswer::Refused(Refusal::TooManyParts)
        } else if running || lost {
            GapsAnswer::Unknown
        } else {
            for (partition, missing) in &gaps.missing {
                let token = gaps.token("s", "t", *partition).expect("each partition has its gap");
                if self.gap_tokens.insert(token) {
                    self.note_gap(*partition, *missing, &gaps.of);
                }
            }
            if self.chance.strikes(Fault::InsertAnswerLost) { GapsAnswer::Unknown } else { GapsAnswer::Done }
        };
        self.trace.line(self.now, "clickhouse", format_args!("gaps {:?}: {answer:?}", gaps.missing));
        let delay = self.chance.latency();
        self.tell_after(delay, who, Note::Fact(epoch, Input::GapsAnswered(order, answer)));
    }

    /// What is missing of these offsets: all that nobody read; of a claim, what lineage does not find.
    fn note_gap(&mut self, partition: Partition, missing: Range, of: &GapOf) {
        let offsets = missing.from.0..missing.to.0;
        let landed = |world: &Self, offset: u64| match of {
            GapOf::Unread(_) => false,
            GapOf::Claim(claim) => {
                let mut tables = 0..world.setup.shape.targets;
                tables.any(|table| world.server.holds(table, (partition.0, offset), &claim.times()))
            }
        };
        // A row in one table says nothing of another, nor of a view.
        let several = self.setup.shape.targets > 2 || self.setup.with_view;
        let any = offsets.clone().any(|offset| landed(self, offset));
        // An insert may be on its way as long as its deadline allows.
        let out = |claim: &Claim| self.server.time(self.now) > claim.sent_until;
        let untold = match of {
            GapOf::Unread(_) => false,
            GapOf::Claim(claim) => !out(claim) || !self.setup.lineage || (several && any),
        };
        for offset in offsets {
            let gap = match (untold, landed(self, offset)) {
                (true, _) => Gap::PossiblyLanded,
                (false, true) => continue,
                (false, false) => Gap::Missing,
            };
            self.logs[partition.0 as usize].at_mut(offset).gap = gap;
        }
    }

    /// Rows of a claim are tried one by one, and none is stored.
    pub(crate) fn isolate(&mut self, (who, epoch): (Who, u64), claim: &Claim, table: TableId) {
        let low = |partition: u32| self.logs[partition as usize].low;
        let is_cut = claim.ranges.iter().any(|(partition, range)| low(partition.0) > range.from.0);
        let is_up = self.server.is_up && self.server.overloaded_until <= self.now;
        let bit = 1u8 << table.0;
        let rows = self.records_of(claim).into_iter();
        let rows = rows.filter(|(p, offset, targets)| targets & bit != 0 && *offset >= low(*p));
        let rows: Vec<(u32, u64, u8)> = rows.collect();
        let refused = rows.iter().filter(|(p, offset, _)| self.logs[*p as usize].at(*offset).refused);
        let excluded = |(p, offset, _): &(u32, u64, u8)| Excluded {
            partition: Partition(*p),
            offset: Offset(*offset),
            index: 0,
            table,
        };
        let refused: BTreeSet<Excluded> = refused.map(excluded).collect();
        let of = rows.len() as u64;
        let writes_first = table.0 == 0 && self.setup.with_view;
        let proof = Proof { is_steady: self.setup.steady, before_writing: !writes_first };
        let found = if !is_up {
            Isolation::Unknown
        } else if refused.is_empty() && is_cut {
            Isolation::NoRowLeft
        } else if refused.is_empty() {
            Isolation::NoRow
        } else if refused.len() == rows.len() && rows.len() >= EVERY_ROW_MIN {
            Isolation::EveryRow
        } else if of > 1 && refused.len() > 1 && self.chance.one_in(2) {
            // As if a claim could name fewer.
            self.too_many.insert(claim.id);
            Isolation::TooMany { rows: of, proof }
        } else {
            Isolation::Rows { rows: refused, of, proof }
        };
        self.trace.line(self.now, "clickhouse", format_args!("tried {}: {found:?}", claim.id));
        let delay = self.chance.reading();
        self.tell_after(delay, who, Note::Fact(epoch, Input::Isolated(claim.id, table, found)));
    }
}
