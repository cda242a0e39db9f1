//! Carries out the pump's orders. What takes long goes to another thread and comes back as an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use pumphouse_core::batch::{CloseReason, Filled};
use pumphouse_core::claim::{BatchId, Claim, Metadata};
use pumphouse_core::moment::ServerTime;
use pumphouse_core::offset::{Offset, Partition, Range};
use pumphouse_core::pump::{CommitFailure, CommitId, Effect, Input, Outcome, TableId};

use super::crash::{self, Point};
use super::faults;
use super::isolate::{Refused, left_out};
use super::lane::{Answer, End, Lane, Mailbox, OwedAnswer, Shared, commit_timeout};
use super::take::LOOKS_MAX;
use crate::audit::lately::Settled;
use crate::decode::OpenBatch;
use crate::sink::insert::Order;
use crate::sink::payload::Payload;
use crate::sink::{probe, superseded};
use crate::source::kafka::lookup;
use crate::source::kafka::membership::Membership;
use crate::source::kafka::reader::{self, ReadError};
use crate::telemetry::event;

/// Pause before Kafka or ClickHouse is asked again.
pub(super) const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Pause before it is asked again what became of a batch: an outage may last for hours.
const SURVEY_AGAIN_AFTER: Duration = Duration::from_secs(5);

impl Lane {
    pub(super) fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Commit(id, entries) => self.send_commit(id, &entries),
            Effect::Seal(claim, reason) => self.seal(&claim, reason),
            Effect::DropRows(partitions) => {
                self.open.drop_partitions(&partitions.into_iter().map(|partition| partition.0).collect());
            }
            Effect::Insert { claim, table, deadline, attempt } => {
                self.insert(Order { claim, table, deadline, attempt });
            }
            Effect::Forget(batch, outcome) => self.forget(batch, outcome),
            Effect::ReadStored(claim) => self.read_stored(claim),
            Effect::Rebuild(claim) => self.rebuild(claim),
            Effect::Probe(claim) => self.probe(claim),
            Effect::Survey { claim, over_at } => self.survey(claim, over_at),
            Effect::Isolate(claim, table) => self.isolate(claim, table),
            Effect::AskOrigins(order, starts) => self.ask_origins(order, starts),
            Effect::ReportGaps(order, gaps) => self.report_gaps(order, gaps),
            Effect::Release(partitions) => self.release(&partitions),
            Effect::Rejoin => self.rejoin(),
            Effect::Leave => self.end = Some(End::Left),
            Effect::Halt(reason) => {
                let fault = faults::halted(&self.shared, &reason, self.refused.block.as_deref());
                self.end = Some(End::Halted(Box::new(fault)));
            }
        }
    }

    fn send_commit(&mut self, id: CommitId, entries: &BTreeMap<Partition, (Offset, Metadata)>) {
        let claims = entries.values().any(|(_, metadata)| metadata.claim.is_some());
        if claims {
            crash::reached(Point::BeforeClaim);
        }
        let sent = self.membership.commit(id, entries);
        if crash::IN_THIS_BUILD {
            self.crash_behind_commit(entries, claims);
        }
        match sent {
            Ok(()) => self.commit = Some((id, self.shared.clock.now().after(commit_timeout()))),
            Err(error) => {
                tracing::warn!(stream = %self.shared.stream.name, %error, "offset commit could not be sent");
                self.step(Input::CommitFailed(id, CommitFailure::Unknown));
            }
        }
    }

    fn crash_behind_commit(&self, entries: &BTreeMap<Partition, (Offset, Metadata)>, claims: bool) {
        let settled = |metadata: &Metadata| metadata.history.last().map(|settled| settled.id);
        let mut settled = entries.values().filter_map(|(_, metadata)| settled(metadata));
        let settles = settled.any(|batch| self.payloads.contains_key(&batch));
        let revises = |metadata: &Metadata| metadata.claim.as_ref().is_some_and(|c| !c.excluded.is_empty());
        let happens = [
            (claims, Point::ClaimSent),
            (entries.values().any(|(_, metadata)| revises(metadata)), Point::Isolating),
            (settles, Point::SettleSent),
            (settles && claims && entries.len() > 1, Point::SettleAndClaimSent),
        ];
        for (_, point) in happens.into_iter().filter(|(happens, _)| *happens) {
            crash::reached_after(point, crash::TO_LEAVE);
        }
    }

    fn seal(&mut self, claim: &Claim, reason: CloseReason) {
        let sealed = self.open.seal(claim.claimed_at.0);
        let times = std::mem::take(&mut self.times);
        let payload = self.shared.payload(sealed, times);
        let payload =
            Arc::new(payload.to_be_audited(claim.ranges.clone(), self.shared.stream.lineage.as_ref()));
        tracing::debug!(stream = %self.shared.stream.name, batch = %claim.id, ?reason, rows = payload.rows,
            dead_letters = payload.dead_letters, partitions = claim.ranges.len(), "{}", event::BATCH_CLAIMED);
        self.payloads.insert(claim.id, Arc::clone(&payload));
        // Encoded while the claim is on its way.
        self.shared.runtime.spawn(async move { payload.body(0).await.map(|_| ()) });
    }

    fn insert(&self, order: Order) {
        let Some(payload) = self.payloads.get(&order.claim.id).cloned() else { return };
        let (sink, mailbox) = (Arc::clone(&self.shared.sink), self.mailbox.clone());
        crash::reached(Point::ClaimAcknowledged);
        self.shared.runtime.spawn(async move {
            let owed = OwedAnswer(mailbox);
            if order.table != TableId(0) && crash::is_next(Point::BetweenTables) {
                // Nothing of it is sent before the first target's answer ends the process.
                std::future::pending::<()>().await;
            }
            let fact = sink.insert(&order, &payload).await;
            if matches!(fact, Input::Inserted(..)) {
                crash::reached(Point::ReplyLost);
                crash::reached(Point::BetweenTables);
            }
            if let Some(strain) = payload.take_strain() {
                owed.0.send(Answer::Fact(Input::Strained(strain)));
            }
            owed.0.send(Answer::Fact(fact));
        });
    }

    fn forget(&mut self, batch: BatchId, outcome: Outcome) {
        let payload = self.payloads.remove(&batch);
        // First: an insert that waits for room looks at it once it has some.
        if let Some(payload) = &payload {
            payload.forget();
        }
        self.shared.sink.budgets.iter().for_each(|budgets| budgets.forget(batch));
        self.refused = Arc::default();
        if let (Outcome::Settled | Outcome::Resent, Some(payload)) = (outcome, &payload) {
            let now = self.shared.clock.server().0;
            let age = |(time, records): &(i64, u64)| (u64::try_from(now - time).unwrap_or(0), *records);
            self.report.settled(payload.rows, payload.dead_letters, payload.times.iter().map(age));
        }
        if let (Outcome::Settled, Some((ranges, sums))) =
            (outcome, payload.as_ref().and_then(|p| p.inserted()))
        {
            let at = self.shared.clock.now();
            self.report.keep_settled(Settled { ranges: ranges.clone(), sums: sums.clone(), at });
        }
        let (stream, rows) = (&self.shared.stream.name, payload.map_or(0, |payload| payload.rows));
        match outcome {
            Outcome::Settled => tracing::debug!(stream, %batch, rows, "{}", event::BATCH_SETTLED),
            found => tracing::info!(stream, %batch, outcome = ?found, rows, "{}", event::RECOVERED),
        }
    }

    fn release(&mut self, partitions: &BTreeSet<Partition>) {
        self.owned.retain(|partition| !partitions.contains(partition));
        self.distrusted.retain(|partition| !partitions.contains(partition));
        if self.owned.is_empty() {
            self.await_group();
        }
        if let Err(error) = self.membership.release(partitions) {
            tracing::warn!(stream = %self.shared.stream.name, %error, "partitions could not be given back");
            self.rejoin();
        }
    }

    /// Ends the membership, which fences what is under way, and joins as a new member.
    pub(super) fn rejoin(&mut self) {
        self.begin_epoch();
        match Membership::join(&self.shared.member, &self.shared.stream.topic) {
            Ok(new) => {
                // The old member leaves on a thread of its own; the group waits for it, not we.
                let leaving = std::mem::replace(&mut self.membership, new).close();
                self.leaving.retain(|leaving| !leaving.is_finished());
                self.leaving.push(leaving);
                self.await_group();
                self.step(Input::Lost);
            }
            Err(error) => {
                let fault = faults::client(&self.shared.stream, &error);
                self.end = Some(End::Halted(Box::new(fault)));
            }
        }
    }

    /// Asks what Kafka holds for newly assigned partitions.
    pub(super) fn ask_stored(&mut self, partitions: BTreeSet<Partition>) {
        if partitions.is_empty() {
            self.nothing_assigned = true;
            return;
        }
        let (client, shared) = (self.membership.client(), Arc::clone(&self.shared));
        self.ask(move |mailbox| {
            let stored = || {
                lookup::stored(&*client, &shared.stream.topic, &partitions, shared.settings.kafka.start_from)
            };
            if let Some(stored) = until_answered(mailbox, "committed offsets", stored) {
                mailbox.send(Answer::Assigned(stored));
            }
        });
    }

    fn read_stored(&self, claim: Claim) {
        let (client, shared) = (self.membership.client(), Arc::clone(&self.shared));
        self.ask(move |mailbox| {
            let partitions = claim.ranges.keys().copied().collect();
            let stored = || {
                lookup::stored(&*client, &shared.stream.topic, &partitions, shared.settings.kafka.start_from)
            };
            if let Some(stored) = until_answered(mailbox, "committed offsets of a claim", stored) {
                mailbox.send(Answer::Fact(Input::StoredRead(claim.id, stored)));
            }
        });
    }

    fn rebuild(&self, claim: Claim) {
        let (shared, refused) = (Arc::clone(&self.shared), Arc::clone(&self.refused));
        let what = if self.pump.is_in_flight(claim.id) {
            "a batch without its refused rows"
        } else {
            "a found claim"
        };
        tracing::info!(stream = %shared.stream.name, batch = %claim.id, partitions = claim.ranges.len(),
            left_out = claim.excluded.len(), "reading {what} again");
        self.ask(move |mailbox| {
            let mut looks = 0;
            let (mut ranges, mut deleted) = (claim.ranges.clone(), BTreeMap::new());
            while !mailbox.is_cancelled() {
                match rebuilt(&shared, (&claim, &ranges), &refused, mailbox) {
                    Ok((payload, filled)) => {
                        return mailbox.send(Answer::Rebuilt(Box::new(claim), payload, filled, deleted));
                    }
                    Err(ReadError::Cancelled) => return,
                    Err(ReadError::Deleted(partition, to)) => {
                        leave_out(partition, to, &mut ranges, &mut deleted);
                    }
                    Err(ReadError::Cut(partition, range)) => {
                        return mailbox.send(Answer::Fact(Input::Gone(claim.id, partition, range)));
                    }
                    Err(ReadError::Damaged(partition, range)) if looks == LOOKS_MAX => {
                        return mailbox.send(Answer::Fact(Input::Gone(claim.id, partition, range)));
                    }
                    Err(ReadError::Damaged(partition, range)) => {
                        looks += 1;
                        tracing::warn!(batch = %claim.id, %partition, ?range, "a claimed range is damaged; looking again");
                        thread::sleep(AGAIN_AFTER);
                    }
                    Err(ReadError::Kafka(error)) => {
                        tracing::warn!(batch = %claim.id, %error, "a claim can't be read again yet");
                        thread::sleep(AGAIN_AFTER);
                    }
                }
            }
        });
    }

    fn probe(&self, claim: Claim) {
        let (sink, mailbox) = (Arc::clone(&self.shared.sink), self.mailbox.clone());
        self.shared.runtime.spawn(async move {
            let OwedAnswer(mailbox) = &OwedAnswer(mailbox);
            while !mailbox.is_cancelled() {
                match probe::landed(&sink, &claim).await {
                    Ok(landed) => return mailbox.send(Answer::Fact(Input::Probed(claim.id, landed))),
                    Err(error) => tracing::warn!(batch = %claim.id, %error, "the table can't be asked yet"),
                }
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        });
    }

    /// Finds out whether a batch can be superseded.
    fn survey(&self, claim: Claim, over_at: ServerTime) {
        let (sink, mailbox) = (Arc::clone(&self.shared.sink), self.mailbox.clone());
        self.shared.runtime.spawn(async move {
            let OwedAnswer(mailbox) = &OwedAnswer(mailbox);
            while !mailbox.is_cancelled() {
                match superseded::survey(&sink, &claim, over_at).await {
                    Ok(survey) => return mailbox.send(Answer::Fact(Input::Surveyed(claim.id, survey))),
                    Err(error) => {
                        tracing::warn!(batch = %claim.id, %error, "what became of a batch can't be asked yet");
                    }
                }
                tokio::time::sleep(SURVEY_AGAIN_AFTER).await;
            }
        });
    }

    pub(super) fn ask(&self, work: impl FnOnce(&Mailbox) + Send + 'static) {
        let mailbox = self.mailbox.clone();
        self.shared.runtime.spawn_blocking(move || {
            let owed = OwedAnswer(mailbox);
            work(&owed.0);
        });
    }
}

/// Asks Kafka or ClickHouse until it answers or nobody wants to know any more.
pub(super) fn until_answered<T, E: Display>(
    mailbox: &Mailbox,
    what: &str,
    question: impl Fn() -> Result<T, E>,
) -> Option<T> {
    while !mailbox.is_cancelled() {
        match question() {
            Ok(answer) => return Some(answer),
            Err(error) => tracing::warn!(%error, "{what} can't be read yet"),
        }
        thread::sleep(AGAIN_AFTER);
    }
    None
}

/// Takes what retention deleted, up to `to`, out of the ranges that are still there.
pub(super) fn leave_out(
    partition: Partition,
    to: Offset,
    ranges: &mut BTreeMap<Partition, Range>,
    deleted: &mut BTreeMap<Partition, Range>,
) {
    let Some(range) = ranges.get_mut(&partition) else { return };
    let from = range.from;
    range.from = to;
    if range.is_empty() {
        ranges.remove(&partition);
    }
    deleted.entry(partition).or_insert(Range::new(from, to)).to = to;
}

/// A batch, and when the first of its records was made.
type ReadAgain = (OpenBatch, Vec<(i64, u64)>);

/// The same rows as the claim's first owner decoded, as far as the ranges go: same records, same shape, same time.
fn rebuilt(
    shared: &Shared,
    (claim, ranges): (&Claim, &BTreeMap<Partition, Range>),
    refused: &Refused,
    mailbox: &Mailbox,
) -> Result<(Arc<Payload>, Filled), ReadError> {
    let (mut open, times) = read_again(shared, (claim, ranges), refused, mailbox)?;
    let filled = Filled { rows: (open.rows() + open.dead_letters()) as u64, bytes: open.bytes() as u64 };
    let sealed = open.seal(claim.claimed_at.0);
    let mut payload = shared.payload(sealed, times);
    payload.left = (*ranges != claim.ranges).then(|| ranges.clone());
    if !claim.supersedes.is_empty() {
        let sink = &shared.sink;
        let held = || shared.runtime.block_on(superseded::held(sink, claim));
        let held = until_answered(mailbox, "what landed of a superseded batch", held);
        payload = payload.without(&held.ok_or(ReadError::Cancelled)?, &sink.targets);
    }
    payload.may_have_been_sent();
    crash::reached(Point::Rebuilt);
    Ok((Arc::new(payload), filled))
}

/// Reads and decodes these ranges of a claim, without the rows that it excludes.
pub(super) fn read_again(
    shared: &Shared,
    (claim, ranges): (&Claim, &BTreeMap<Partition, Range>),
    refused: &Refused,
    mailbox: &Mailbox,
) -> Result<ReadAgain, ReadError> {
    let mut open = OpenBatch::new(&shared.stream, &shared.settings.revision)
        .expect("the lane decodes into the same columns already");
    open.leave_out(left_out(claim, refused));
    let mut times = Vec::new();
    let topic = &shared.stream.topic;
    reader::read_ranges(&shared.reader, topic, ranges, &mailbox.cancelled, &mut |record| {
        open.push(record);
        times.extend(record.timestamp_ms.filter(|_| times.is_empty()).map(|time| (time, 1)));
    })?;
    Ok((open, times))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_deleted_grows_as_retention_goes_on_until_the_range_is_gone() {
        let (here, there) = (Partition(0), Partition(1));
        let range = |from, to| Range::new(Offset(from), Offset(to));
        let mut ranges = BTreeMap::from([(here, range(10, 60)), (there, range(0, 5))]);
        let mut deleted = BTreeMap::new();
        leave_out(here, Offset(40), &mut ranges, &mut deleted);
        assert_eq!((ranges[&here], deleted[&here]), (range(40, 60), range(10, 40)));
        leave_out(here, Offset(60), &mut ranges, &mut deleted);
        assert_eq!(ranges, BTreeMap::from([(there, range(0, 5))]), "nothing of it is read any more");
        assert_eq!(deleted, BTreeMap::from([(here, range(10, 60))]));
    }
}
