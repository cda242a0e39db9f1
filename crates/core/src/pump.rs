//! One lane's pump: facts in, orders out. Composes batch, claim, lane, ledger and verdict; decides nothing else.
//!
//! A lane does one thing with Kafka or ClickHouse at a time (its work) and decodes meanwhile:
//!
//! | work | fact | then |
//! |---|---|---|
//! | idle | unmarked partitions | ask what stands behind their starts |
//! | asking | origins | commit the start of their history, or halt |
//! | idle | records deleted before they were read | commit once more where we stand, report the gap, go past it, rejoin |
//! | idle | partitions with a found claim | read what all its partitions hold |
//! | idle | the open batch closes | seal it, commit its claim |
//! | committing | stored | insert, settle on, or go on fetching, as the commit was for |
//! | committing | not yet | the same commit again |
//! | committing | unknown | rejoin: a new member reads what is stored |
//! | inserting | done everywhere | settle; the same commit carries the next claim if a batch is closed |
//! | inserting | refused or unknown | the same insert again, or halt ([`crate::verdict`]) |
//! | inserting | a row is refused | look for it, claim its exclusion, insert without it ([`crate::isolation`]) |
//! | recovering | stored read | settle, rebuild, drop, supersede or probe ([`crate::ledger`]) |
//! | inserting, recovering | the claim is too old to be sent | claim it again, or supersede it once nobody can insert it |
//! | reporting | done | go past the gap, or insert what is left of the batch it is part of |
//! | any but committing | revoking | release, after an insert had its time |
//! | any | pressure, strained | nothing at once: the valve says when the next batch may be made ([`crate::valve`]) |
//! | any | lost | forget everything |

mod assignment;
mod delivery;
mod fact;
mod gaps;
mod isolating;
mod recovery;
mod superseding;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use fact::{CommitFailure, CommitId, Effect, Input, OrderId, Outcome, Survey, TableId};
pub use superseding::SUPERSEDE_MARGIN;

use crate::batch::{BatchPolicy, Open};
use crate::claim::{BatchId, Claim, Metadata};
use crate::gap::{GapPolicy, Gaps};
use crate::isolation::Isolation;
use crate::lane::{Owned, Stage};
use crate::moment::{Moment, Time};
use crate::offset::{Offset, Partition};
use crate::valve::{Law, Opening, Valve, ValvePolicy};
use crate::verdict::Halt;

/// Kept between the last moment an insert may start and the moment its token may be forgotten.
pub const DEADLINE_MARGIN: Duration = Duration::from_secs(10);

/// What a lane is told about its stream once and for all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// When a batch closes.
    pub batch: BatchPolicy,
    /// Bytes of open and claimed rows at which the lane takes no more.
    pub memory: u64,
    /// How many targets a batch goes to: tables, and the topic of the dead letters.
    pub tables: u8,
    /// How many of these targets, the last ones, take dead letters: they come after all others, when it is certain which
    /// rows are dead letters.
    pub letters: u8,
    /// Hash of all that shapes a row.
    pub shape: u32,
    /// The configuration's revision.
    pub revision: String,
    /// Longest time one insert may take.
    pub insert_timeout: Duration,
    /// Age of a claim up to which ClickHouse surely remembers its token.
    pub safe_age: Duration,
    /// What is done about records that Kafka deleted before they were read.
    pub gaps: GapPolicy,
    /// How batches follow the pressure of parts.
    pub valve: ValvePolicy,
}

/// One lane's pump.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pump {
    policy: Policy,
    pub(crate) owned: BTreeMap<Partition, Owned>,
    pub(crate) open: Open,
    pub(crate) work: Work,
    revoking: Option<Revoking>,
    drain: Option<Time>,
    /// Where the log begins, of partitions that stand before it. While there are any, no records are taken.
    gaps: BTreeMap<Partition, Offset>,
    commits: u64,
    stopped: bool,
    /// Rows of a batch for now, after one held more refused rows than a claim can name.
    rows_max: Option<u64>,
    valve: Valve,
}

/// What the lane is doing with Kafka or ClickHouse.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Work {
    Idle,
    Committing {
        id: CommitId,
        entries: BTreeMap<Partition, (Offset, Metadata)>,
        purpose: Purpose,
        again_at: Option<Time>,
        tries: u32,
    },
    Inserting(InFlight),
    Recovering(Claim, Maker),
    /// A claim that must not be sent any more; without a time to look at it, it is being looked at.
    Superseding {
        claim: Claim,
        otherwise: Halt,
        look_at: Option<Time>,
    },
    /// Asking what stands behind the starts of unmarked partitions.
    Asking(OrderId),
    Reporting(Report),
}

/// Who made a claim that has to be built again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Maker {
    /// An assignment found it: whoever made it may have sent it.
    Others,
    /// We made it in the place of another one and never sent it.
    Us,
}

/// Gaps on their way into their table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Report {
    id: OrderId,
    gaps: Gaps,
    then: AfterReport,
    attempt: Attempt,
}

/// What follows gaps that are written down.
#[expect(clippy::large_enum_variant, reason = "a lane holds one of them at a time")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AfterReport {
    /// Their partitions go past them.
    Skip,
    /// What is left of the batch is inserted.
    Insert(InFlight),
}

/// What a commit is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// Begin the history of partitions new to us.
    Mark,
    /// Move past offsets that gave no rows.
    Pass,
    /// Commit once more where partitions stand: who can, owns them, after their logs were seen to begin here.
    Affirm(BTreeMap<Partition, Offset>),
    /// Move past gaps that are written down.
    Skip,
    /// Claim a batch.
    Claim(InFlight),
    /// Go past a batch that landed, and claim the next if there is one.
    Settle { batch: BatchId, outcome: Outcome, next: Option<InFlight> },
    /// Forget a claim that was never whole.
    Drop(BatchId),
    /// Write a claim in the place of another one.
    Replace(Claim),
    /// Exclude refused rows from the claim at hand.
    Revise(InFlight),
    /// Take back a claim of which no table has a row.
    Unclaim(BatchId),
}

/// A claimed batch on its way into the tables.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct InFlight {
    pub(crate) claim: Claim,
    outcome: Outcome,
    bytes: u64,
    pending: BTreeMap<TableId, Attempt>,
    isolating: Isolating,
}

/// Where the search for refused rows stands; while it goes on, nothing is inserted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Isolating {
    /// None goes on.
    #[default]
    No,
    /// The rows that this table refuses are looked for.
    Searching(TableId),
    /// They are found; the inserts under way have to be answered first.
    Found(TableId, Isolation),
    /// The batch is built again without them.
    Rebuilding,
}

/// One table's insert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Attempt {
    count: u32,
    again_at: Option<Time>,
    /// It is under way.
    is_sent: bool,
    /// An earlier one of this lane may have landed.
    in_doubt: bool,
    /// Searches for refused rows that led to nothing.
    fruitless: u32,
    /// Refused for a row of a batch whose first partition is somebody else's, who alone may exclude rows.
    gives_way: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Revoking {
    partitions: BTreeSet<Partition>,
    until: Time,
}

impl Policy {
    /// What the valve goes by.
    pub(crate) fn law(&self) -> Law {
        Law { freshness: self.batch.freshness, policy: self.valve }
    }
}

impl Pump {
    /// A lane that owns nothing yet.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            owned: BTreeMap::new(),
            open: Open::default(),
            work: Work::Idle,
            revoking: None,
            drain: None,
            gaps: BTreeMap::new(),
            commits: 0,
            stopped: false,
            rows_max: None,
            valve: Valve::default(),
        }
    }

    /// Takes one fact and gives the orders that follow from it, in the order to carry them out.
    pub fn step(&mut self, moment: &Moment, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.stopped {
            return effects;
        }
        let out = &mut effects;
        match input {
            Input::Assigned(stored) => self.assigned(stored, moment.server),
            Input::Revoking { partitions, until } => self.revoking(partitions, until, out),
            Input::Lost => self.forget_all(out),
            Input::Fetched { partition, range, filled } => self.fetched(moment.now, partition, range, filled),
            Input::Committed(id) => self.committed(id, moment, out),
            Input::CommitFailed(id, failure) => self.commit_failed(id, failure, moment, out),
            Input::StoredRead(batch, stored) => self.stored_read(batch, &stored, moment, out),
            Input::Rebuilt { claim, filled, deleted } => self.rebuilt((&claim, filled), deleted, moment, out),
            Input::Gone(batch, partition, range) => self.gone(batch, partition, range, out),
            Input::Origins(order, origins) => self.origins_known(order, &origins, out),
            Input::GapsAnswered(order, answer) => self.gaps_answered(order, answer, moment, out),
            Input::Probed(batch, landed) => self.probed(batch, landed, moment, out),
            Input::Surveyed(batch, survey) => self.surveyed(batch, survey, moment, out),
            Input::TokenForgotten(batch, table) => self.token_forgotten((batch, table), moment, out),
            Input::Inserted(batch, table) => self.inserted(batch, table, moment, out),
            Input::InsertUnknown(batch, table) => self.insert_unknown(batch, table, moment, out),
            Input::InsertRefused(batch, table, refusal) => {
                self.insert_refused((batch, table), refusal, moment, out);
            }
            Input::InsertSuspect(batch, table) => self.insert_suspect(batch, table, moment, out),
            Input::Isolated(batch, table, found) => self.isolated((batch, table), found, moment, out),
            Input::OutOfRange { partition, low, high } => self.out_of_range(partition, low, high, out),
            Input::Strained(refusal) => self.valve.refused(&self.policy.law(), moment, refusal),
            Input::Pressure(tables) => self.valve.read(&self.policy.law(), moment, &tables),
            Input::Drain(until) => self.begin_drain(until, out),
            Input::Tick => {}
        }
        self.advance(moment, out);
        debug_assert_eq!(crate::invariant::broken(self), None);
        effects
    }

    /// Whether records of `partition` should be taken now.
    #[must_use]
    pub fn wants(&self, partition: Partition) -> bool {
        let fetching = self.owned.get(&partition).is_some_and(|owned| owned.stage == Stage::Fetching);
        let leaving = self.revoking.as_ref().is_some_and(|revoking| revoking.partitions.contains(&partition));
        fetching
            && !leaving
            && !self.stopped
            && self.drain.is_none()
            && self.gaps.is_empty()
            && !self.valve.is_shut()
            && self.held_bytes() < self.policy.memory
            && self.open.has_room(partition, &self.batch_policy())
    }

    /// Position of the next record to take from `partition`.
    #[must_use]
    pub fn next_offset(&self, partition: Partition) -> Option<Offset> {
        self.owned.get(&partition).map(|owned| owned.next)
    }

    /// The committed offset of each owned partition.
    pub fn committed_offsets(&self) -> impl Iterator<Item = (Partition, Offset)> + '_ {
        self.owned.iter().map(|(partition, owned)| (*partition, owned.committed))
    }

    /// Bytes of rows that are open or claimed.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.open.filled().bytes + self.in_flight().map_or(0, |in_flight| in_flight.bytes)
    }

    /// Whether `batch` is claimed by this lane and not yet settled.
    #[must_use]
    pub fn is_in_flight(&self, batch: BatchId) -> bool {
        self.in_flight().is_some_and(|in_flight| in_flight.claim.id == batch)
    }

    /// How far the lane's valve is open.
    #[must_use]
    pub fn opening(&self) -> Opening {
        self.valve.opening(&self.policy.law())
    }

    /// Whether the lane takes no more records because of its memory limit, a full batch or a shut valve.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        let fetching = self.owned.iter().filter(|(_, owned)| owned.stage == Stage::Fetching);
        let mut fetching = fetching.peekable();
        fetching.peek().is_some() && fetching.all(|(partition, _)| !self.wants(*partition))
    }

    /// Rows that the open batch may still take.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.batch_policy().rows.saturating_sub(self.open.filled().rows)
    }

    /// When a `Tick` is due although nothing else happens.
    #[must_use]
    pub fn wake_at(&self) -> Option<Time> {
        let work = match &self.work {
            Work::Idle => self.closes_at(),
            Work::Inserting(InFlight { isolating, .. }) if *isolating != Isolating::No => None,
            Work::Committing { again_at, .. } => *again_at,
            Work::Inserting(in_flight) => {
                in_flight.pending.values().filter_map(|attempt| attempt.again_at).min()
            }
            Work::Superseding { look_at, .. } => *look_at,
            Work::Reporting(report) => report.attempt.again_at,
            Work::Recovering(..) | Work::Asking(_) => None,
        };
        let revoking = self.revoking.as_ref().map(|revoking| revoking.until);
        [work, revoking, self.drain, self.valve.tries_at()].into_iter().flatten().min()
    }

    /// Does what has become possible: releases, starts the next work, repeats what waited.
    fn advance(&mut self, moment: &Moment, out: &mut Vec<Effect>) {
        if self.stopped {
            return;
        }
        if self.drain.is_some_and(|until| moment.now >= until) {
            return self.leave(out);
        }
        self.valve.tick(&self.policy.law(), moment);
        self.repeat_what_waited(moment, out);
        self.survey_when_due(moment, out);
        self.repeat_report(moment, out);
        self.release_when_due(moment.now, out);
        if self.work == Work::Idle {
            self.start_next(moment, out);
        }
    }

    /// The idle lane's next work: marks before recoveries, recoveries before gaps and new batches, leaving last.
    fn start_next(&mut self, moment: &Moment, out: &mut Vec<Effect>) {
        let first = |pump: &mut Self, out: &mut Vec<Effect>| {
            pump.ask_origins(out) || pump.start_recovery(out) || pump.affirm_before_gaps(out)
        };
        if self.drain.is_none() && first(self, out) {
            return;
        }
        match (self.close_reason(moment.now), self.drain) {
            (Some(reason), _) => self.claim_open(reason, moment, out),
            (None, Some(_)) => self.leave(out),
            (None, None) => {}
        }
    }

    /// When the open batch closes by its age or by being full, as far as the valve lets it.
    fn closes_at(&self) -> Option<Time> {
        let policy = self.batch_policy();
        let by_age = self.open.closes_at(&policy)?;
        let filled = self.open.filled();
        if filled.rows == 0 {
            return Some(by_age);
        }
        let is_full = filled.rows >= policy.rows || filled.bytes >= policy.bytes;
        Some(self.valve.holds_until(if is_full { Time::default() } else { by_age }))
    }

    fn commit(
        &mut self,
        entries: BTreeMap<Partition, (Offset, Metadata)>,
        purpose: Purpose,
        out: &mut Vec<Effect>,
    ) {
        assert!(!entries.is_empty(), "a commit names at least one partition");
        self.commits += 1;
        let id = CommitId(self.commits);
        out.push(Effect::Commit(id, entries.clone()));
        self.work = Work::Committing { id, entries, purpose, again_at: None, tries: 1 };
    }

    pub(crate) fn in_flight(&self) -> Option<&InFlight> {
        match &self.work {
            Work::Inserting(in_flight)
            | Work::Reporting(Report { then: AfterReport::Insert(in_flight), .. }) => Some(in_flight),
            Work::Committing { purpose: Purpose::Claim(in_flight) | Purpose::Revise(in_flight), .. } => {
                Some(in_flight)
            }
            Work::Committing { purpose: Purpose::Settle { next, .. }, .. } => next.as_ref(),
            _ => None,
        }
    }

    fn halt(&mut self, reason: Halt, out: &mut Vec<Effect>) {
        self.stopped = true;
        out.push(Effect::Halt(reason));
    }

    fn leave(&mut self, out: &mut Vec<Effect>) {
        self.stopped = true;
        out.push(Effect::Leave);
    }
}
