//! From decoded rows to passed offsets: close, claim, insert, settle. One batch is claimed at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{
    Attempt, CommitFailure, CommitId, DEADLINE_MARGIN, Effect, InFlight, Isolating, Outcome, Policy, Pump,
    Purpose, TableId, Work,
};
use crate::batch::{CloseReason, Filled, Open};
use crate::claim::{BatchId, Claim, Metadata};
use crate::lane::Stage;
use crate::moment::{Moment, ServerTime, Time};
use crate::offset::{Offset, Partition, Range};
use crate::verdict::{self, Halt, Refusal, Verdict};

/// Pause before a commit is repeated that the coordinator refused for now.
const COMMIT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Tries of one commit before the membership ends: about half a minute of rebalancing.
const COMMIT_TRIES_MAX: u32 = 300;

impl Pump {
    pub(super) fn fetched(&mut self, now: Time, partition: Partition, range: Range, filled: Filled) {
        let owned = self.owned.get_mut(&partition).expect("records are taken only of owned partitions");
        assert!(
            owned.stage == Stage::Fetching && owned.next == range.from,
            "records of partition {partition} continue at {}, not at {}",
            owned.next,
            range.from
        );
        owned.next = range.to;
        self.open.add(now, partition, range, filled);
    }

    pub(super) fn close_reason(&self, now: Time) -> Option<CloseReason> {
        if self.drain.is_some() {
            // What a shut valve holds back is left to the next owner.
            return (!self.open.is_empty() && !self.valve.is_shut()).then_some(CloseReason::Drain);
        }
        let reason = self.open.close_reason(now, &self.batch_policy());
        reason.filter(|_| self.open.filled().rows == 0 || self.valve.lets_through(now))
    }

    /// Closes the open batch and writes its claim; offsets without rows just pass.
    pub(super) fn claim_open(&mut self, reason: CloseReason, moment: &Moment, out: &mut Vec<Effect>) {
        if self.open.filled().rows == 0 {
            let ranges = std::mem::take(&mut self.open).ranges();
            let entries =
                ranges.iter().map(|(p, range)| (*p, (range.to, self.owned[p].metadata.clone()))).collect();
            return self.commit(entries, Purpose::Pass, out);
        }
        let in_flight = self.seal(reason, moment, out);
        let entries = self.claim_entries(&in_flight.claim, &BTreeMap::new());
        self.commit(entries, Purpose::Claim(in_flight), out);
    }

    fn seal(&mut self, reason: CloseReason, moment: &Moment, out: &mut Vec<Effect>) -> InFlight {
        let open: Open = std::mem::take(&mut self.open);
        self.valve.closed(&self.policy.law(), moment.now, reason);
        let claim = Claim {
            id: BatchId(moment.entropy.max(1)),
            claimed_at: moment.server,
            shape: self.policy.shape,
            revision: self.policy.revision.clone(),
            ranges: open.ranges(),
            sent_until: self.sent_until(moment.server),
            supersedes: Vec::new(),
            excluded: BTreeSet::new(),
        };
        out.push(Effect::Seal(claim.clone(), reason));
        self.in_flight_of(claim, Outcome::Settled, open.filled().bytes)
    }

    /// Until when a batch that is claimed now may be sent.
    pub(super) fn sent_until(&self, claimed_at: ServerTime) -> ServerTime {
        claimed_at.after(send_for(&self.policy))
    }

    pub(super) fn in_flight_of(&self, claim: Claim, outcome: Outcome, bytes: u64) -> InFlight {
        // What somebody else claimed, somebody else may have sent.
        let in_doubt = outcome == Outcome::Resent;
        let first = Attempt { count: 1, in_doubt, ..Attempt::default() };
        let pending = (0..self.policy.tables).map(|table| (TableId(table), first)).collect();
        InFlight { claim, outcome, bytes, pending, isolating: Isolating::No }
    }

    /// The claim at its `from` on every partition, on top of what `settled` will have made of them.
    fn claim_entries(
        &self,
        claim: &Claim,
        settled: &BTreeMap<Partition, (Offset, Metadata)>,
    ) -> BTreeMap<Partition, (Offset, Metadata)> {
        let entry = |(partition, range): (&Partition, &Range)| {
            let owned = &self.owned[partition];
            let (offset, metadata) = match settled.get(partition) {
                Some((offset, metadata)) => (*offset, metadata),
                None => (owned.committed, &owned.metadata),
            };
            assert!(offset == range.from, "a claim starts where the partition stands: {offset}, {range}");
            (*partition, (offset, metadata.claiming(claim)))
        };
        claim.ranges.iter().map(entry).collect()
    }

    pub(super) fn committed(&mut self, id: CommitId, moment: &Moment, out: &mut Vec<Effect>) {
        let Work::Committing { id: current, .. } = &self.work else { return };
        if *current != id {
            return;
        }
        let Work::Committing { entries, purpose, .. } = std::mem::replace(&mut self.work, Work::Idle) else {
            unreachable!("looked at above")
        };
        for (partition, (offset, metadata)) in entries {
            let owned =
                self.owned.get_mut(&partition).expect("a partition is kept until its commit is answered");
            assert!(offset >= owned.committed, "a committed offset never goes back");
            owned.committed = offset;
            owned.next = owned.next.max(offset);
            owned.metadata = metadata;
            if !matches!(purpose, Purpose::Replace(_) | Purpose::Revise(_)) {
                owned.stage = Stage::Fetching;
            }
        }
        match purpose {
            Purpose::Mark | Purpose::Pass => {}
            Purpose::Affirm(begins) => self.report_gaps(&begins, out),
            Purpose::Skip => self.skipped(out),
            Purpose::Revise(in_flight) => self.revised(in_flight, out),
            Purpose::Unclaim(batch) => self.unclaimed(batch, out),
            Purpose::Drop(batch) => out.push(Effect::Forget(batch, Outcome::Dropped)),
            Purpose::Replace(claim) => self.replaced(claim, out),
            Purpose::Claim(in_flight) => self.start_insert(in_flight, moment, out),
            Purpose::Settle { batch, outcome, next } => {
                out.push(Effect::Forget(batch, outcome));
                if let Some(in_flight) = next {
                    self.start_insert(in_flight, moment, out);
                }
            }
        }
    }

    pub(super) fn commit_failed(
        &mut self,
        id: CommitId,
        failure: CommitFailure,
        moment: &Moment,
        out: &mut Vec<Effect>,
    ) {
        let Work::Committing { id: current, again_at, tries, .. } = &mut self.work else { return };
        if *current != id {
            return;
        }
        match failure {
            CommitFailure::NotYet if *tries < COMMIT_TRIES_MAX => {
                *again_at = Some(moment.now.after(COMMIT_AGAIN_AFTER));
            }
            CommitFailure::TooLarge => self.halt(Halt::MetadataTooLarge, out),
            CommitFailure::NotYet | CommitFailure::Unknown => {
                self.forget_all(out);
                out.push(Effect::Rejoin);
            }
        }
    }

    /// Sends the batch to every table. The claim is stored: only from here on may a row land.
    pub(super) fn start_insert(&mut self, in_flight: InFlight, moment: &Moment, out: &mut Vec<Effect>) {
        self.work = Work::Inserting(in_flight);
        self.send_next_targets(moment, out);
    }

    /// Sends what is pending: to the tables first, and where all of them are done, to where the dead letters go.
    pub(super) fn send_next_targets(&mut self, moment: &Moment, out: &mut Vec<Effect>) {
        let Work::Inserting(in_flight) = &self.work else { unreachable!("only an inserting lane sends") };
        let pending = || in_flight.pending.keys().copied();
        let tables: Vec<TableId> = pending().filter(|target| self.policy.is_table(*target)).collect();
        let targets = if tables.is_empty() { pending().collect() } else { tables };
        for target in targets {
            if !self.stopped && matches!(self.work, Work::Inserting(_)) {
                self.send_insert(target, moment, out);
            }
        }
    }

    pub(super) fn send_insert(&mut self, table: TableId, moment: &Moment, out: &mut Vec<Effect>) {
        let Work::Inserting(in_flight) = &self.work else { unreachable!("only an inserting lane sends") };
        let last = in_flight.claim.sent_until.min(self.sent_until(in_flight.claim.claimed_at));
        if moment.server >= last {
            return self.outgrown(table, moment, out);
        }
        let Work::Inserting(in_flight) = &mut self.work else { unreachable!("looked at above") };
        let attempt = in_flight.pending.get_mut(&table).expect("a table is pending until it is done");
        (attempt.again_at, attempt.is_sent) = (None, true);
        let (attempt, claim) = (attempt.count, in_flight.claim.clone());
        let deadline = last.min(moment.server.after(self.policy.insert_timeout));
        out.push(Effect::Insert { claim, table, deadline, attempt });
    }

    pub(super) fn inserted(
        &mut self,
        batch: BatchId,
        table: TableId,
        moment: &Moment,
        out: &mut Vec<Effect>,
    ) {
        let Some(in_flight) = self.inserting(batch) else { return };
        in_flight.pending.remove(&table);
        in_flight.isolating.end_for(table);
        if in_flight.pending.is_empty() {
            let (outcome, held_refused) = (in_flight.outcome, !in_flight.claim.excluded.is_empty());
            self.regain_rows(held_refused);
            self.valve.landed(&self.policy.law(), moment);
            let next = self.close_reason(moment.now).filter(|_| self.open.filled().rows > 0);
            self.settle(batch, outcome, next.map(|reason| (reason, moment)), out);
        } else if in_flight.isolating != Isolating::No {
            self.act_on_isolation(moment, out);
        } else if in_flight.pending.values().all(Attempt::is_held) {
            self.send_next_targets(moment, out);
        }
    }

    /// Goes past `batch` on every partition of it that is ours; the same commit claims the next batch.
    pub(super) fn settle(
        &mut self,
        batch: BatchId,
        outcome: Outcome,
        next: Option<(CloseReason, &Moment)>,
        out: &mut Vec<Effect>,
    ) {
        let carrying = self.owned.iter().filter(|(_, owned)| owned.carries(batch));
        let mut entries: BTreeMap<Partition, (Offset, Metadata)> = carrying
            .map(|(partition, owned)| {
                let range = owned.claimed_range(*partition).expect("it carries the claim");
                assert!(range.from == owned.committed, "a claim stands at the committed offset");
                (*partition, (range.to, owned.metadata.settling(batch, range.to)))
            })
            .collect();
        let next = next.map(|(reason, moment)| self.seal(reason, moment, out));
        if let Some(in_flight) = &next {
            entries.extend(self.claim_entries(&in_flight.claim, &entries));
        }
        self.commit(entries, Purpose::Settle { batch, outcome, next }, out);
    }

    pub(super) fn insert_unknown(
        &mut self,
        batch: BatchId,
        table: TableId,
        moment: &Moment,
        out: &mut Vec<Effect>,
    ) {
        let Some(in_flight) = self.inserting(batch) else { return };
        if let Some(attempt) = in_flight.pending.get_mut(&table) {
            attempt.in_doubt = true;
            attempt.wait(verdict::pause_in_doubt(attempt.count, moment.entropy), moment.now);
            self.act_on_isolation(moment, out);
        }
    }

    pub(super) fn insert_refused(
        &mut self,
        (batch, table): (BatchId, TableId),
        refusal: Refusal,
        moment: &Moment,
        out: &mut Vec<Effect>,
    ) {
        let law = self.policy.law();
        let Some(in_flight) = self.inserting(batch) else { return };
        let Some(attempt) = in_flight.pending.get_mut(&table) else { return };
        match verdict::on_refusal(refusal, attempt.count, moment.entropy) {
            Verdict::Retry(pause) => {
                attempt.wait(pause, moment.now);
                self.valve.refused(&law, moment, refusal);
                self.act_on_isolation(moment, out);
            }
            Verdict::Isolate => self.isolate(table, moment, out),
            Verdict::Halt => self.halt(Halt::Refused(batch, table, refusal), out),
        }
    }

    /// Sends again what has waited long enough.
    pub(super) fn repeat_what_waited(&mut self, moment: &Moment, out: &mut Vec<Effect>) {
        let due = |at: Option<Time>| at.is_some_and(|at| moment.now >= at);
        match &self.work {
            Work::Committing { entries, purpose, again_at, tries, .. } if due(*again_at) => {
                let (entries, purpose, tries) = (entries.clone(), purpose.clone(), tries + 1);
                self.commit(entries, purpose, out);
                if let Work::Committing { tries: counted, .. } = &mut self.work {
                    *counted = tries;
                }
            }
            Work::Inserting(in_flight) if in_flight.isolating == Isolating::No => {
                let pending = in_flight.pending.iter();
                let tables: Vec<TableId> =
                    pending.filter(|(_, a)| due(a.again_at)).map(|(t, _)| *t).collect();
                for table in tables {
                    if !self.stopped && matches!(self.work, Work::Inserting(_)) {
                        self.send_again(table, moment, out);
                    }
                }
            }
            _ => {}
        }
    }

    pub(super) fn inserting(&mut self, batch: BatchId) -> Option<&mut InFlight> {
        match &mut self.work {
            Work::Inserting(in_flight) if in_flight.claim.id == batch => Some(in_flight),
            _ => None,
        }
    }
}

/// For how long after its claim a batch may be sent.
fn send_for(policy: &Policy) -> Duration {
    policy.safe_age.saturating_sub(DEADLINE_MARGIN)
}
