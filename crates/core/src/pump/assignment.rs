//! Partitions come, are asked back, and go. Decides when a partition may be released; inserts nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::{AfterReport, Effect, Outcome, Pump, Purpose, Report, Revoking, Work};
use crate::lane::{Owned, Stored};
use crate::moment::{ServerTime, Time};
use crate::offset::Partition;

impl Pump {
    pub(super) fn assigned(&mut self, stored: BTreeMap<Partition, Stored>, now: ServerTime) {
        for (partition, stored) in stored {
            let before = self.owned.insert(partition, Owned::assigned(stored, now));
            assert!(before.is_none(), "partition {partition} is assigned once until it is released");
        }
    }

    pub(super) fn revoking(&mut self, partitions: BTreeSet<Partition>, until: Time, out: &mut Vec<Effect>) {
        self.drop_open_rows(&partitions, out);
        match &mut self.revoking {
            Some(revoking) => revoking.partitions.extend(partitions),
            None => self.revoking = Some(Revoking { partitions, until }),
        }
    }

    /// Releases what is revoked as soon as that can do no harm:
    ///
    /// | work | release |
    /// |---|---|
    /// | idle, recovering, superseding, asking, reporting | now |
    /// | committing | never before the answer: an unanswered commit may still overwrite the next owner's |
    /// | inserting | when it has landed and is settled, or its time is up: the claim stays for the next owner |
    pub(super) fn release_when_due(&mut self, now: Time, out: &mut Vec<Effect>) {
        let Some(revoking) = &self.revoking else { return };
        let touched = self.in_flight().is_some_and(|in_flight| {
            in_flight.claim.ranges.keys().any(|partition| revoking.partitions.contains(partition))
        });
        match &self.work {
            Work::Committing { .. } => return,
            Work::Inserting(_) if touched && now < revoking.until => return,
            Work::Idle | Work::Recovering(..) | Work::Superseding { .. } | Work::Inserting(_) => {}
            Work::Asking(_) | Work::Reporting(_) => {}
        }
        let revoking = self.revoking.take().expect("looked at above");
        self.owned.retain(|partition, _| !revoking.partitions.contains(partition));
        self.abandon_what_is_not_ours(out);
        out.push(Effect::Release(revoking.partitions));
    }

    /// Leaves the batch at hand to others when no partition of it is ours any more.
    fn abandon_what_is_not_ours(&mut self, out: &mut Vec<Effect>) {
        let batch = match &self.work {
            Work::Inserting(in_flight) => in_flight.claim.id,
            Work::Recovering(claim, _) | Work::Superseding { claim, .. } => claim.id,
            Work::Reporting(Report { then: AfterReport::Insert(in_flight), .. }) => in_flight.claim.id,
            Work::Reporting(Report { then: AfterReport::Skip, .. }) | Work::Asking(_) => {
                // Asked again for what is still ours.
                self.work = Work::Idle;
                return;
            }
            Work::Idle | Work::Committing { .. } => return,
        };
        if !self.owned.values().any(|owned| owned.carries(batch)) {
            self.work = Work::Idle;
            out.push(Effect::Forget(batch, Outcome::Left));
        }
    }

    /// The membership is over: nothing here is ours, and no commit may follow.
    pub(super) fn forget_all(&mut self, out: &mut Vec<Effect>) {
        let open = self.open.ranges().into_keys().collect();
        self.drop_open_rows(&open, out);
        let batch = match &self.work {
            Work::Recovering(claim, _) | Work::Superseding { claim, .. } => Some(claim.id),
            _ => self.in_flight().map(|in_flight| in_flight.claim.id),
        };
        out.extend(batch.map(|batch| Effect::Forget(batch, Outcome::Left)));
        if let Work::Committing {
            purpose: Purpose::Settle { batch, .. } | Purpose::Unclaim(batch) | Purpose::Drop(batch),
            ..
        } = &self.work
        {
            out.push(Effect::Forget(*batch, Outcome::Left));
        }
        self.owned.clear();
        self.gaps.clear();
        self.work = Work::Idle;
        self.revoking = None;
    }

    pub(super) fn begin_drain(&mut self, until: Time, out: &mut Vec<Effect>) {
        self.drain = Some(until);
        self.leave_recovery(out);
        if matches!(self.work, Work::Asking(_)) {
            self.work = Work::Idle;
        }
    }

    pub(super) fn drop_open_rows(&mut self, partitions: &BTreeSet<Partition>, out: &mut Vec<Effect>) {
        let inside: BTreeSet<Partition> =
            self.open.ranges().into_keys().filter(|partition| partitions.contains(partition)).collect();
        for partition in &inside {
            self.open.drop_partition(*partition);
            if let Some(owned) = self.owned.get_mut(partition) {
                // The rows are gone, and with them the position.
                owned.next = owned.committed;
            }
        }
        if !inside.is_empty() {
            out.push(Effect::DropRows(inside));
        }
    }
}
