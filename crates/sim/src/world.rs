//! The box: one Kafka, one ClickHouse, some processes, and the order in which things happen to them.
//!
//! A history has three parts: faults strike; then nothing goes wrong any more and everything has to arrive within a
//! bounded time; then the last inserts of dead senders come in, which must change nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Arguments;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pumphouse_core::claim::{BatchId, SUPERSEDES_MAX};
use pumphouse_core::offset::Partition;

use crate::agenda::{Agenda, Event, Who};
use crate::chance::Chance;
use crate::clickhouse::ClickHouse;
use crate::fault::Fault;
use crate::group::{Entries, Group, Text};
use crate::member::{Member, Note, State};
use crate::setup::Setup;
use crate::topic::Log;
use crate::trace::Trace;

/// After the last fault everything has to arrive within this time and twice the safe age, in milliseconds: a claim of
/// yesterday is superseded only when nobody can insert it any more.
const ARRIVES_WITHIN: u64 = 240_000;

/// A claim that is too old is superseded so much later, an insert's time and the core's margin, in milliseconds.
const SUPERSEDED_AFTER: u64 = 75_000;

/// Events of one history at most; a loop without time passing would never end.
const EVENTS_MAX: u64 = 400_000;

/// What one history came to.
#[derive(Debug)]
pub struct History {
    /// Its seed.
    pub seed: u64,
    /// What was wrong, if anything.
    pub failure: Option<String>,
    /// Things that happened.
    pub events: u64,
    /// Milliseconds that passed inside.
    pub time: u64,
    /// How often each kind of fault struck.
    pub struck: [u64; crate::fault::KINDS],
    /// Lanes that halted, by reason.
    pub halts: BTreeMap<&'static str, u64>,
    /// Claims that somebody else's life had left and that were settled, sent again or dropped.
    pub recovered: u64,
    /// Inserts that the server refused for their deadline.
    pub late_refused: u64,
    /// Tokens that were given up since their table may have forgotten them.
    pub given_up: u64,
    /// Rows in all tables at the end.
    pub rows: u64,
    /// What happened, if it was to be kept.
    pub trace: String,
}

/// What one commit overwrote, by partition.
type Overwritten = Vec<(Partition, Option<(u64, Text)>)>;

/// One history while it goes on.
#[derive(Debug)]
pub struct World {
    pub(crate) now: u64,
    pub(crate) agenda: Agenda,
    pub(crate) chance: Chance,
    pub(crate) setup: Setup,
    pub(crate) logs: Vec<Log>,
    pub(crate) group: Group,
    pub(crate) server: ClickHouse,
    pub(crate) members: Vec<Member>,
    pub(crate) trace: Trace,
    pub(crate) failure: Option<String>,
    pub(crate) halts: BTreeMap<&'static str, u64>,
    pub(crate) healed: bool,
    pub(crate) last_client: u64,
    /// What the last commits overwrote, oldest first.
    pub(crate) undo: Vec<Overwritten>,
    /// Whose the running inserts are.
    pub(crate) queries: BTreeMap<u64, crate::agenda::Sender>,
    /// Inserts that the server refused for their deadline.
    pub(crate) late_refused: u64,
    /// Tokens that were given up since their table may have forgotten them.
    pub(crate) given_up: u64,
    /// Claims that somebody else's life had left.
    pub(crate) recovered: u64,
    /// Batches of which more rows are refused than a claim names.
    pub(crate) too_many: BTreeSet<BatchId>,
    /// Tokens of gaps that stand in their table.
    pub(crate) gap_tokens: BTreeSet<String>,
    /// Partitions whose offsets or metadata were changed past the pump.
    pub(crate) by_hand: BTreeSet<Partition>,
    events: u64,
}

/// Lives one history.
#[must_use]
pub fn history(seed: u64, traced: bool) -> History {
    let mut world = World::new(seed, traced);
    let lived = catch_unwind(AssertUnwindSafe(|| world.live()));
    if let Err(panic) = lived {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
        world.fail(format_args!("panic: {said}"));
    }
    let rows = world.count_rows();
    History {
        seed,
        failure: world.failure,
        events: world.events,
        time: world.now,
        struck: world.chance.all_struck(),
        halts: world.halts,
        recovered: world.recovered,
        late_refused: world.late_refused,
        given_up: world.given_up,
        rows,
        trace: world.trace.into_text(),
    }
}

impl World {
    /// The world before anything happened.
    #[must_use]
    pub fn new(seed: u64, traced: bool) -> Self {
        let mut chance = Chance::new(seed);
        let setup = Setup::new(&mut chance);
        let logs: Vec<Log> = (0..setup.partitions).map(|_| Log::new(&mut chance, setup.shape)).collect();
        let server =
            ClickHouse::new(&logs, setup.shape.targets, setup.shape.slots, setup.window, setup.with_view);
        let members = (0..setup.members).map(|index| Member::new(index, &setup)).collect();
        let group = Group::new(setup.partitions);
        Self {
            now: 0,
            agenda: Agenda::default(),
            chance,
            setup,
            logs,
            group,
            server,
            members,
            trace: Trace::new(traced),
            failure: None,
            halts: BTreeMap::new(),
            healed: false,
            last_client: 0,
            undo: Vec::new(),
            queries: BTreeMap::new(),
            late_refused: 0,
            given_up: 0,
            recovered: 0,
            too_many: BTreeSet::new(),
            gap_tokens: BTreeSet::new(),
            by_hand: BTreeSet::new(),
            events: 0,
        }
    }

    fn live(&mut self) {
        if self.trace.is_wanted() {
            self.introduce();
        }
        for member in 0..self.members.len() {
            let at = self.chance.between(0, 300);
            self.agenda.put(at, Event::Start(member));
        }
        self.agenda.put(0, Event::Produce);
        self.agenda.put(500, Event::Weather);
        self.run_until(self.setup.faults_until, false);
        self.heal();
        // A token may live for less than a search takes: each refused row may cost a batch that is superseded, one in doubt as
        // often as a claim can be, by each lane in turn.
        let records: u64 = self.logs.iter().map(|log| log.records.len() as u64).sum();
        let lanes = self.members.len() as u64;
        let are_refused = self.chance.struck(Fault::RowRefused) > 0;
        let times = if are_refused { records + lanes * (SUPERSEDES_MAX as u64 + 2) } else { 2 };
        let within = ARRIVES_WITHIN + times * (self.setup.safe_age + SUPERSEDED_AFTER);
        self.run_until(self.now + within, true);
        if self.failure.is_none() && !self.is_done() {
            self.tell_what_is_left();
            self.fail(format_args!("not everything arrived within {} s", within / 1000));
        }
        self.let_the_dead_speak();
        self.check_the_end();
    }

    fn run_until(&mut self, until: u64, stops_when_done: bool) {
        while self.failure.is_none() && !(stops_when_done && self.is_done()) {
            let Some((at, event)) = self.agenda.take(until) else {
                self.now = until;
                return;
            };
            self.now = at;
            self.events += 1;
            if self.events > EVENTS_MAX {
                return self.fail(format_args!("more than {EVENTS_MAX} events"));
            }
            self.happen(event);
        }
    }

    /// The last inserts of dead senders come in; nothing else happens any more.
    fn let_the_dead_speak(&mut self) {
        while self.failure.is_none()
            && let Some((at, event)) = self.agenda.take(u64::MAX)
        {
            if matches!(event, Event::Insert(..) | Event::Land(_)) {
                self.now = at;
                self.events += 1;
                self.happen(event);
            }
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start(member) => self.start(member),
            Event::Wake(who) => self.wake(who),
            Event::Tell(who, note) => self.tell(who, note),
            Event::Drain(who) => self.drain(who),
            Event::Pressure(who, tables) => self.press(who, tables),
            Event::Join(member, client, name, owned) => self.joins(member, client, name, owned),
            Event::Remove(name, why) => self.remove(name, why),
            Event::Expire(who, name) => self.expire(who, name),
            Event::RoundTimeout(round) => self.round_timeout(round),
            Event::Commit(commit) => self.commit_arrives(&commit),
            Event::AskStored(who, epoch, partitions) => self.ask_stored(who, epoch, &partitions),
            Event::ReadStored(who, epoch, claim) => self.read_stored(who, epoch, &claim),
            Event::Rebuild(who, epoch, claim) => self.rebuild(who, epoch, claim),
            Event::AskEnds(who, epoch, partitions) => self.ask_ends(who, epoch, &partitions),
            Event::AskHighest(who, epoch, order, partitions) => {
                self.ask_highest((who, epoch), order, partitions);
            }
            Event::AskOrigins(who, epoch, order, highest) => self.ask_origins((who, epoch), order, highest),
            Event::ReportGaps(who, epoch, order, gaps) => self.report_gaps((who, epoch), order, &gaps),
            Event::Probe(who, epoch, claim) => self.probe(who, epoch, claim),
            Event::Isolate(who, epoch, claim, table) => self.isolate((who, epoch), &claim, table),
            Event::Survey(who, epoch, claim, over_at) => self.survey((who, epoch), claim, over_at),
            Event::AskWindow(sender, insert) => self.ask_window(sender, insert),
            Event::Insert(sender, insert) => self.insert_arrives(sender, insert),
            Event::Land(query) => self.land(query),
            Event::ServerUp => self.server_up(),
            Event::Produce => self.produce(),
            Event::Weather => self.weather(),
            Event::ByHand(fault) => self.by_hand(fault),
        }
    }

    /// Something reaches a process after a while; a process that is gone hears nothing.
    pub(crate) fn tell_after(&mut self, delay: u64, who: Who, note: Note) {
        self.agenda.put(self.now + delay, Event::Tell(who, note));
    }

    /// Whether this life of the process still goes on.
    pub(crate) fn is_alive(&self, who: Who) -> bool {
        let member = &self.members[who.member];
        member.life == who.life && matches!(member.state, State::Up | State::Asleep)
    }

    /// Notes the first thing that is wrong; the history ends with it.
    pub(crate) fn fail(&mut self, what: Arguments<'_>) {
        self.trace.line(self.now, "WRONG", what);
        if self.failure.is_none() {
            self.failure = Some(what.to_string());
        }
    }

    /// Writes records, and goes on doing so until the logs are complete.
    fn produce(&mut self) {
        let partition = self.chance.place(self.logs.len());
        let most = if self.chance.one_in(4) { 12 } else { 3 };
        let more = self.chance.between(1, most);
        let log = &mut self.logs[partition];
        log.high = (log.high + more).min(log.records.len() as u64);
        self.trace.line(self.now, "kafka", format_args!("partition {partition} ends at {}", log.high));
        self.arouse();
        if self.logs.iter().any(|log| !log.is_complete()) {
            let total: u64 = self.logs.iter().map(|log| log.records.len() as u64).sum();
            let pause = self.setup.faults_until * 4 / total.max(1);
            let pause = self.chance.between(1, pause.max(2));
            self.agenda.put(self.now + pause, Event::Produce);
        }
    }

    /// New records wake the lanes.
    fn arouse(&mut self) {
        for member in 0..self.members.len() {
            if self.members[member].state == State::Up {
                let delay = self.chance.between(1, 20);
                self.call(member, self.now + delay);
            }
        }
    }

    /// From here on nothing goes wrong any more: everybody is there, the server is up.
    fn heal(&mut self) {
        self.healed = true;
        self.chance.heal();
        self.trace.line(self.now, "world", format_args!("the faults end"));
        self.server.overloaded_until = 0;
        for log in &mut self.logs {
            log.high = log.records.len() as u64;
        }
        for member in 0..self.members.len() {
            let soon = self.chance.between(0, 20_000);
            let who = self.members[member].who(member);
            self.agenda.put(self.now + soon, Event::Wake(who));
            self.agenda.put(self.now, Event::Pressure(who, Vec::new()));
        }
        self.arouse();
    }

    /// Whether every record was passed, or nobody is left who could.
    fn is_done(&self) -> bool {
        let passed = |(partition, log): (usize, &Log)| {
            let partition = Partition(u32::try_from(partition).expect("few"));
            let reach = log.reach();
            // An owner does not see what is done to its offset behind its back.
            let known = || self.by_hand.contains(&partition) && self.is_believed_at(partition, reach);
            self.group.offset(partition).is_some_and(|offset| offset >= reach) || known()
        };
        let halted = self.members.iter().all(|member| member.state == State::Halted);
        halted || self.logs.iter().enumerate().all(passed)
    }

    fn is_believed_at(&self, partition: Partition, offset: u64) -> bool {
        let up = self.members.iter().filter(|member| member.state == State::Up);
        let mut believed = up.flat_map(|member| member.pump.committed_offsets());
        believed.any(|(known, committed)| known == partition && committed.0 >= offset)
    }

    /// Says where everybody stands, for the trace of a history that does not end.
    fn tell_what_is_left(&mut self) {
        for (partition, log) in (0..).map(Partition).zip(&self.logs) {
            let (offset, reach) = (self.group.offset(partition), log.reach());
            self.trace.line(self.now, "kafka", format_args!("partition {partition}: {offset:?} of {reach}"));
        }
        for member in &self.members {
            let (state, owned) = (member.state, &member.owned);
            self.trace.line(self.now, member.name, format_args!("{state:?}, owns {owned:?}"));
        }
    }

    /// Remembers what a commit overwrites, for the coordinator to forget it.
    pub(crate) fn remember(&mut self, entries: &Entries) {
        if !self.chance.is_on(Fault::OffsetRegress) {
            return;
        }
        let before = entries.keys().map(|p| (*p, self.group.entry(*p).clone())).collect();
        self.undo.push(before);
        if self.undo.len() > 3 {
            self.undo.remove(0);
        }
    }

    fn introduce(&mut self) {
        let on: Vec<&str> =
            Fault::ALL.into_iter().filter(|f| self.chance.is_on(*f)).map(Fault::name).collect();
        let text = format!("{:?}; faults: {}", self.setup, on.join(", "));
        self.trace.line(0, "world", format_args!("{text}"));
    }
}
