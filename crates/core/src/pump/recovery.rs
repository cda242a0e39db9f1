//! What an assignment left to find out: claims that somebody made and nobody settled.

use std::collections::BTreeMap;

use super::{Effect, Outcome, Pump, Purpose, Work};
use crate::batch::Filled;
use crate::claim::{BatchId, Claim};
use crate::lane::{Stage, Stored};
use crate::ledger::{self, Fate};
use crate::moment::Moment;
use crate::offset::{Partition, Range};
use crate::verdict::Halt;

impl Pump {
    /// Begins with the first claim found, if there is one.
    pub(super) fn start_recovery(&mut self, out: &mut Vec<Effect>) -> bool {
        let found = self.owned.values().find(|owned| matches!(owned.stage, Stage::Recovering(_)));
        let Some(claim) = found.and_then(|owned| owned.metadata.claim.clone()) else { return false };
        out.push(Effect::ReadStored(claim.clone()));
        self.work = Work::Recovering(claim);
        true
    }

    pub(super) fn stored_read(
        &mut self,
        batch: BatchId,
        stored: &BTreeMap<Partition, Stored>,
        moment: &Moment,
        out: &mut Vec<Effect>,
    ) {
        let Some(claim) = self.recovering(batch) else { return };
        match ledger::fate(&claim, stored) {
            Fate::Landed => self.settle(batch, Outcome::FoundLanded, None, out),
            Fate::Drop => self.drop_claim(batch, out),
            Fate::Unclear => out.push(Effect::Probe(claim)),
            Fate::Undecidable => self.halt(Halt::Undecidable(Box::new(claim)), out),
            Fate::Resend => self.order_rebuild(as_first_has_it(claim, stored), moment, out),
        }
    }

    /// The same rows come only from the same shape, and the same token decides only for so long.
    fn order_rebuild(&mut self, claim: Claim, moment: &Moment, out: &mut Vec<Effect>) {
        let last = claim.sent_until.min(self.sent_until(claim.claimed_at));
        if claim.shape != self.policy.shape {
            self.halt(Halt::Shape(Box::new(claim)), out);
        } else if moment.server >= last {
            self.halt(Halt::TooOld(Box::new(claim)), out);
        } else {
            out.push(Effect::Rebuild(claim.clone()));
            self.work = Work::Recovering(claim);
        }
    }

    /// Takes the claim off our partitions; it was never whole, so no row of it exists.
    fn drop_claim(&mut self, batch: BatchId, out: &mut Vec<Effect>) {
        let carrying = self.owned.iter().filter(|(_, owned)| owned.carries(batch));
        let entries = carrying.map(|(p, owned)| (*p, (owned.committed, owned.metadata.dropping()))).collect();
        self.commit(entries, Purpose::Drop(batch), out);
    }

    pub(super) fn rebuilt(&mut self, batch: BatchId, filled: Filled, moment: &Moment, out: &mut Vec<Effect>) {
        if self.rebuilt_without(batch, moment, out) {
            return;
        }
        let Some(claim) = self.recovering(batch) else { return };
        let in_flight = self.in_flight_of(claim, Outcome::Resent, filled.bytes);
        self.insert_rebuilt(in_flight, moment, out);
    }

    pub(super) fn gone(&mut self, batch: BatchId, partition: Partition, range: Range, out: &mut Vec<Effect>) {
        if self.recovering(batch).is_some() || self.reads_again(batch) {
            self.halt(Halt::Gone { batch, partition, range }, out);
        }
    }

    /// A claim that some partition moved past either landed whole or was never whole, so one row decides.
    pub(super) fn probed(&mut self, batch: BatchId, landed: Option<bool>, out: &mut Vec<Effect>) {
        let Some(claim) = self.recovering(batch) else { return };
        match landed {
            Some(true) => self.settle(batch, Outcome::FoundLanded, None, out),
            Some(false) => self.drop_claim(batch, out),
            None => self.halt(Halt::Undecidable(Box::new(claim)), out),
        }
    }

    fn recovering(&self, batch: BatchId) -> Option<Claim> {
        match &self.work {
            Work::Recovering(claim) if claim.id == batch => Some(claim.clone()),
            _ => None,
        }
    }
}

/// The claim with the exclusions that its first partition carries: a commit that excludes rows may have been applied to
/// only some partitions, or go to those of one owner only.
fn as_first_has_it(claim: Claim, stored: &BTreeMap<Partition, Stored>) -> Claim {
    let first = claim.ranges.keys().next().and_then(|first| stored.get(first)?.metadata.as_ref());
    let carried = first.and_then(|metadata| metadata.claim.as_ref()).filter(|carried| carried.id == claim.id);
    match carried {
        Some(carried) => Claim { excluded: carried.excluded.clone(), ..claim },
        None => claim,
    }
}
