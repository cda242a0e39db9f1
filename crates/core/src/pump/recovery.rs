//! What an assignment left to find out: claims that somebody made and nobody settled.

use std::collections::BTreeMap;

use super::{Effect, InFlight, Isolating, Maker, Outcome, Pump, Purpose, Work};
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
        self.work = Work::Recovering(claim, Maker::Others);
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
            Fate::Drop => self.drop_claim(claim, moment, out),
            // Nobody supersedes what may still be sent, so that it landed whole or was never whole.
            Fate::Unclear if moment.server < claim.sent_until => out.push(Effect::Probe(claim)),
            Fate::Unclear | Fate::Undecidable => {
                let claim = as_first_has_it(claim, stored);
                self.supersede(claim.clone(), Halt::Undecidable(Box::new(claim)), moment, out);
            }
            Fate::Superseded => {
                let claim = as_first_has_it(claim, stored);
                self.supersede(claim.clone(), Halt::TooOld(Box::new(claim)), moment, out);
            }
            Fate::Resend => self.order_rebuild(as_first_has_it(claim, stored), moment, out),
        }
    }

    /// The same rows come only from the same shape, and the same token decides only for so long.
    fn order_rebuild(&mut self, claim: Claim, moment: &Moment, out: &mut Vec<Effect>) {
        let last = claim.sent_until.min(self.sent_until(claim.claimed_at));
        if claim.shape != self.policy.shape {
            self.halt(Halt::Shape(Box::new(claim)), out);
        } else if moment.server >= last {
            self.supersede(claim.clone(), Halt::TooOld(Box::new(claim)), moment, out);
        } else {
            out.push(Effect::Rebuild(claim.clone()));
            self.work = Work::Recovering(claim, Maker::Others);
        }
    }

    /// Takes the claim off our partitions; it was never whole, so no row of it exists. What it superseded may have
    /// left rows: that is superseded again.
    fn drop_claim(&mut self, claim: Claim, moment: &Moment, out: &mut Vec<Effect>) {
        let batch = claim.id;
        if !claim.supersedes.is_empty() && claim.shape != self.policy.shape {
            return self.halt(Halt::Shape(Box::new(claim)), out);
        }
        if !claim.supersedes.is_empty() {
            out.push(Effect::Forget(batch, Outcome::Dropped));
            let supersedes = claim.supersedes.clone();
            return self.replace(&claim, supersedes, moment, out);
        }
        let carrying = self.owned.iter().filter(|(_, owned)| owned.carries(batch));
        let entries = carrying.map(|(p, owned)| (*p, (owned.committed, owned.metadata.dropping()))).collect();
        self.commit(entries, Purpose::Drop(batch), out);
    }

    /// Whether the rows of `claim` are to be read again, without the same ones: only then does
    /// [`super::Input::Rebuilt`] say anything. Another owner may have excluded more since an older reading began.
    #[must_use]
    pub fn awaits_rows(&self, claim: &Claim) -> bool {
        let is_same = |awaited: &Claim| awaited.id == claim.id && awaited.excluded == claim.excluded;
        match &self.work {
            Work::Recovering(awaited, _) => is_same(awaited),
            Work::Inserting(in_flight) => {
                is_same(&in_flight.claim) && in_flight.isolating == Isolating::Rebuilding
            }
            _ => false,
        }
    }

    pub(super) fn rebuilt(
        &mut self,
        (claim, filled): (&Claim, Filled),
        deleted: BTreeMap<Partition, Range>,
        moment: &Moment,
        out: &mut Vec<Effect>,
    ) {
        if !self.awaits_rows(claim) {
            return;
        }
        let in_flight = match &self.work {
            Work::Inserting(in_flight) => InFlight { isolating: Isolating::No, ..in_flight.clone() },
            Work::Recovering(claim, maker) => {
                let outcome = if *maker == Maker::Others { Outcome::Resent } else { Outcome::Settled };
                self.in_flight_of(claim.clone(), outcome, filled.bytes)
            }
            _ => unreachable!("looked at above"),
        };
        self.insert_rebuilt(in_flight, deleted, moment, out);
    }

    pub(super) fn gone(&mut self, batch: BatchId, partition: Partition, range: Range, out: &mut Vec<Effect>) {
        if self.recovering(batch).is_some() || self.reads_again(batch) {
            self.halt(Halt::Gone { batch, partition, range }, out);
        }
    }

    /// A claim that some partition moved past either landed whole or was never whole, so one row decides.
    pub(super) fn probed(
        &mut self,
        batch: BatchId,
        landed: Option<bool>,
        moment: &Moment,
        out: &mut Vec<Effect>,
    ) {
        let Some(claim) = self.recovering(batch) else { return };
        match landed {
            Some(true) => self.settle(batch, Outcome::FoundLanded, None, out),
            Some(false) => self.drop_claim(claim, moment, out),
            None => self.supersede(claim.clone(), Halt::Undecidable(Box::new(claim)), moment, out),
        }
    }

    fn recovering(&self, batch: BatchId) -> Option<Claim> {
        match &self.work {
            Work::Recovering(claim, _) if claim.id == batch => Some(claim.clone()),
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
