//! Starts that nobody wrote down, and records that Kafka deleted before they were read: asks, marks, reports, goes on.
//!
//! A gap is reported in three steps: commit once more where the partition stands, write the gap down, move the offset.
//! The first commit proves, after the log's start was seen, that the partition is still ours: who read these records as
//! a later owner would have moved the offset, and the commit would fail. So no gap is reported that somebody filled.

use std::collections::BTreeMap;

use super::{AfterReport, Attempt, Effect, InFlight, OrderId, Pump, Purpose, Report, Work};
use crate::gap::{Committed, GapOf, GapPolicy, Gaps, GapsAnswer, LostPlace, Origin};
use crate::lane::Stage;
use crate::moment::Moment;
use crate::offset::{Offset, Partition, Range};
use crate::verdict::{self, Halt, Verdict};

impl Pump {
    /// Before the start of a partition is written down: what stands behind it.
    pub(super) fn ask_origins(&mut self, out: &mut Vec<Effect>) -> bool {
        let unmarked = self.owned.iter().filter(|(_, owned)| owned.stage == Stage::Unmarked);
        let starts: BTreeMap<Partition, Offset> = unmarked.map(|(p, owned)| (*p, owned.committed)).collect();
        let any = !starts.is_empty();
        if any {
            let order = self.next_order();
            self.work = Work::Asking(order);
            out.push(Effect::AskOrigins(order, starts));
        }
        any
    }

    /// Writes down where partitions new to us begin, so that a later claim can be judged by it; or halts where a start
    /// would double rows or skip records.
    pub(super) fn origins_known(
        &mut self,
        order: OrderId,
        origins: &BTreeMap<Partition, Origin>,
        out: &mut Vec<Effect>,
    ) {
        if self.work != Work::Asking(order) {
            return;
        }
        self.work = Work::Idle;
        let unmarked = self.owned.iter().filter(|(_, owned)| owned.stage == Stage::Unmarked);
        let (mut entries, mut lost) = (BTreeMap::new(), BTreeMap::new());
        for (partition, owned) in unmarked {
            let Some(origin) = origins.get(partition) else { continue };
            if origin.committed == Committed::Ours {
                // We have slept through the end of our membership.
                self.forget_all(out);
                return out.push(Effect::Rejoin);
            }
            if origin.allows(owned.committed) {
                entries.insert(*partition, (owned.committed, owned.metadata.clone()));
            } else {
                lost.insert(*partition, LostPlace { start: owned.committed, origin: *origin });
            }
        }
        if !lost.is_empty() {
            self.halt(Halt::OffsetsLost(lost), out);
        } else if !entries.is_empty() {
            self.commit(entries, Purpose::Mark, out);
        }
    }

    /// The position lies before the log, or behind its end; where it lies inside, nothing is wrong.
    pub(super) fn out_of_range(
        &mut self,
        partition: Partition,
        low: Offset,
        high: Offset,
        out: &mut Vec<Effect>,
    ) {
        let Some(next) = self.next_offset(partition) else { return };
        if next > high {
            self.halt(Halt::OutOfRange { partition, missing: Range::new(high, next) }, out);
        } else if next < low && self.policy.gaps == GapPolicy::Halt {
            self.halt(Halt::RecordsGone { partition, missing: Range::new(next, low) }, out);
        } else if next < low {
            self.gaps.insert(partition, low);
        }
    }

    /// Whether gaps wait to be written down: then the lane joins again once they are.
    #[must_use]
    pub fn has_gaps(&self) -> bool {
        !self.gaps.is_empty()
    }

    /// Once all that was read has landed: commits once more where the partitions with gaps stand.
    pub(super) fn affirm_before_gaps(&mut self, out: &mut Vec<Effect>) -> bool {
        if self.gaps.is_empty() || !self.open.is_empty() {
            return false;
        }
        let owned = &self.owned;
        self.gaps.retain(|partition, low| owned.get(partition).is_some_and(|owned| owned.committed < *low));
        if self.gaps.is_empty() {
            // Given back meanwhile. Partitions that failed together with them wait for the lane to join again.
            self.skipped(out);
            return true;
        }
        let stands = |partition: &Partition| {
            let owned = &self.owned[partition];
            (*partition, (owned.committed, owned.metadata.clone()))
        };
        let entries = self.gaps.keys().map(stands).collect();
        self.commit(entries, Purpose::Affirm(self.gaps.clone()), out);
        true
    }

    /// The partitions are ours; their gaps are written down.
    pub(super) fn report_gaps(&mut self, begins: &BTreeMap<Partition, Offset>, out: &mut Vec<Effect>) {
        let stands = |partition: &Partition| &self.owned[partition];
        let missing = |(p, low): (&Partition, &Offset)| (*p, Range::new(stands(p).committed, *low));
        let since = begins.keys().map(|partition| (*partition, stands(partition).metadata.since));
        let gaps = Gaps { of: GapOf::Unread(since.collect()), missing: begins.iter().map(missing).collect() };
        self.report(gaps, AfterReport::Skip, out);
    }

    /// The gaps are written down and passed. The client's own position is of no use behind a failure.
    pub(super) fn skipped(&mut self, out: &mut Vec<Effect>) {
        self.gaps.clear();
        if self.drain.is_none() {
            self.forget_all(out);
            out.push(Effect::Rejoin);
        }
    }

    /// Inserts a batch that was built again. Where retention deleted a part of it, that is written down first, for every
    /// partition of the claim: once the rest is in a table, the whole one under the same token would be left out, and
    /// another partition's history would say of this one that all of it landed.
    pub(super) fn insert_rebuilt(
        &mut self,
        in_flight: InFlight,
        missing: BTreeMap<Partition, Range>,
        moment: &Moment,
        out: &mut Vec<Effect>,
    ) {
        let batch = in_flight.claim.id;
        match missing.first_key_value() {
            None => return self.start_insert(in_flight, moment, out),
            Some((partition, range)) if self.policy.gaps == GapPolicy::Halt => {
                return self.halt(Halt::Gone { batch, partition: *partition, range: *range }, out);
            }
            Some(_) => {}
        }
        let gaps = Gaps { missing, of: GapOf::Claim(in_flight.claim.clone()) };
        self.report(gaps, AfterReport::Insert(in_flight), out);
    }

    fn report(&mut self, gaps: Gaps, then: AfterReport, out: &mut Vec<Effect>) {
        let id = self.next_order();
        let attempt = Attempt { count: 1, ..Attempt::default() };
        self.work = Work::Reporting(Report { id, gaps, then, attempt });
        self.send_report(out);
    }

    fn send_report(&mut self, out: &mut Vec<Effect>) {
        let Work::Reporting(report) = &mut self.work else { unreachable!("only a reporting lane sends") };
        report.attempt.again_at = None;
        out.push(Effect::ReportGaps(report.id, report.gaps.clone()));
    }

    /// Sends a report again that has waited long enough.
    pub(super) fn repeat_report(&mut self, moment: &Moment, out: &mut Vec<Effect>) {
        let Work::Reporting(report) = &self.work else { return };
        if report.attempt.again_at.is_some_and(|at| moment.now >= at) {
            self.send_report(out);
        }
    }

    pub(super) fn gaps_answered(
        &mut self,
        order: OrderId,
        answer: GapsAnswer,
        moment: &Moment,
        out: &mut Vec<Effect>,
    ) {
        let Work::Reporting(report) = &mut self.work else { return };
        if report.id != order {
            return;
        }
        let count = report.attempt.count;
        let pause = match answer {
            GapsAnswer::Done => return self.after_report(moment, out),
            GapsAnswer::Unknown => verdict::pause_in_doubt(count, moment.entropy),
            GapsAnswer::Refused(refusal) => match verdict::on_refusal(refusal, count, moment.entropy) {
                Verdict::Retry(pause) => pause,
                Verdict::Isolate | Verdict::Halt => return self.halt(Halt::GapsRefused(refusal), out),
            },
        };
        report.attempt.wait(pause, moment.now);
    }

    fn after_report(&mut self, moment: &Moment, out: &mut Vec<Effect>) {
        let Work::Reporting(report) = std::mem::replace(&mut self.work, Work::Idle) else { return };
        match report.then {
            AfterReport::Insert(in_flight) => self.start_insert(in_flight, moment, out),
            AfterReport::Skip => {
                let passed = |(partition, missing): (&Partition, &Range)| {
                    (*partition, (missing.to, self.owned[partition].metadata.clone()))
                };
                let entries = report.gaps.missing.iter().map(passed).collect();
                self.commit(entries, Purpose::Skip, out);
            }
        }
    }

    fn next_order(&mut self) -> OrderId {
        self.commits += 1;
        OrderId(self.commits)
    }
}
