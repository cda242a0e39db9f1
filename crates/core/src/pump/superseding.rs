//! A batch that can't be sent under its token any more gets a new claim, for the partitions of it that are ours.
//!
//! | what is known of the batch | then |
//! |---|---|
//! | ours alone, and proven not to have landed | claimed again at once: same ranges, new identity and time |
//! | the window may have forgotten its token | superseded like one that is too old |
//! | anybody may still insert it | wait until its last deadline, an insert's time and a margin are over |
//! | an insert of it still runs, or the clock says otherwise | look again after a while |
//! | nobody can insert it, and the tables tell what of it they hold | a claim that supersedes it; its rows are those that no table holds |
//! | nobody can insert it, and a table can't tell | halt |
//!
//! Does not know how the tables are asked, nor how rows are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Effect, Maker, Outcome, Pump, Purpose, Survey, TableId, Work};
use crate::claim::{BatchId, Claim, SUPERSEDES_MAX, Superseded};
use crate::lane::Stage;
use crate::moment::Moment;
use crate::verdict::Halt;

/// Kept between the last moment an insert of a batch can run by the rules and the moment it is superseded.
pub const SUPERSEDE_MARGIN: Duration = Duration::from_mins(1);
/// Pause before it is asked again whether anybody can still insert a batch.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(5);

impl Pump {
    /// Replaces the batch at hand, which is too old to be sent: at once where nothing of it can have landed.
    pub(super) fn outgrown(&mut self, table: TableId, moment: &Moment, out: &mut Vec<Effect>) {
        let Work::Inserting(in_flight) = &mut self.work else { return };
        let pending = &mut in_flight.pending;
        if pending.values().any(|attempt| attempt.is_sent) {
            // An answer is still to come, and may settle it.
            let attempt = pending.get_mut(&table).expect("a table is pending until it is done");
            attempt.again_at = Some(moment.now.after(LOOK_AGAIN_AFTER));
            return;
        }
        self.give_up(moment, out);
    }

    /// Sends the batch at hand no more: a retry could double its rows.
    pub(super) fn token_forgotten(
        &mut self,
        (batch, table): (BatchId, TableId),
        moment: &Moment,
        out: &mut Vec<Effect>,
    ) {
        let Some(in_flight) = self.inserting(batch) else { return };
        let Some(attempt) = in_flight.pending.get_mut(&table) else { return };
        attempt.is_sent = false;
        self.give_up(moment, out);
    }

    /// Claims the batch at hand again where nothing of it can have landed; else finds out what has.
    fn give_up(&mut self, moment: &Moment, out: &mut Vec<Effect>) {
        let Work::Inserting(in_flight) = &self.work else { return };
        let claim = in_flight.claim.clone();
        if self.is_untouched() {
            out.push(Effect::Forget(claim.id, Outcome::Reclaimed));
            let supersedes = claim.supersedes.clone();
            return self.replace(&claim, supersedes, moment, out);
        }
        self.supersede(claim.clone(), Halt::TooOld(Box::new(claim)), moment, out);
    }

    /// Whether nothing of a batch can have landed by anybody: no insert of it is under way or was in doubt, and no
    /// other lane ever owned a partition of it.
    fn is_untouched(&self) -> bool {
        let Work::Inserting(in_flight) = &self.work else { return false };
        let pending = &in_flight.pending;
        pending.len() == usize::from(self.policy.tables)
            && pending.values().all(|attempt| !attempt.is_sent && !attempt.in_doubt)
            && self.is_lone()
    }

    /// Begins to supersede `claim`; halts with `otherwise` where the tables can't tell what they hold of it.
    pub(super) fn supersede(
        &mut self,
        claim: Claim,
        otherwise: Halt,
        moment: &Moment,
        out: &mut Vec<Effect>,
    ) {
        if claim.shape != self.policy.shape {
            self.halt(Halt::Shape(Box::new(claim)), out);
        } else if claim.supersedes.len() == SUPERSEDES_MAX {
            self.halt(otherwise, out);
        } else {
            let wait = u64::try_from(self.over_at(&claim).0.saturating_sub(moment.server.0)).unwrap_or(0);
            let look_at = Some(moment.now.after(Duration::from_millis(wait)));
            // Rows at hand are of no use any more: some may be in the tables.
            out.push(Effect::Forget(claim.id, Outcome::Superseded));
            self.work = Work::Superseding { claim, otherwise, look_at };
        }
    }

    /// From when on nobody can insert `claim`, unless a query of it runs longer than it may.
    fn over_at(&self, claim: &Claim) -> crate::moment::ServerTime {
        claim.sent_until.after(self.policy.insert_timeout).after(SUPERSEDE_MARGIN)
    }

    /// Orders the survey that is due.
    pub(super) fn survey_when_due(&mut self, moment: &Moment, out: &mut Vec<Effect>) {
        let Work::Superseding { claim, look_at, .. } = &mut self.work else { return };
        if look_at.is_some_and(|at| moment.now >= at) {
            *look_at = None;
            let claim = claim.clone();
            let over_at = self.over_at(&claim);
            out.push(Effect::Survey { claim, over_at });
        }
    }

    pub(super) fn surveyed(
        &mut self,
        batch: BatchId,
        survey: Survey,
        moment: &Moment,
        out: &mut Vec<Effect>,
    ) {
        let Work::Superseding { claim, otherwise, look_at } = &mut self.work else { return };
        if claim.id != batch || look_at.is_some() {
            return;
        }
        match survey {
            Survey::Over => {
                let mut supersedes = claim.supersedes.clone();
                supersedes.push(Superseded { id: claim.id, claimed_at: claim.claimed_at });
                let claim = claim.clone();
                self.replace(&claim, supersedes, moment, out);
            }
            Survey::NotYet => *look_at = Some(moment.now.after(LOOK_AGAIN_AFTER)),
            Survey::CannotTell => {
                let otherwise = otherwise.clone();
                self.halt(otherwise, out);
            }
        }
    }

    /// Writes a new claim in the place of `old`, on our partitions of it.
    pub(super) fn replace(
        &mut self,
        old: &Claim,
        supersedes: Vec<Superseded>,
        moment: &Moment,
        out: &mut Vec<Effect>,
    ) {
        let carrying = self.owned.iter().filter(|(_, owned)| owned.carries(old.id));
        let ranges: BTreeMap<_, _> =
            carrying.map(|(partition, _)| (*partition, old.ranges[partition])).collect();
        let claim = Claim {
            id: BatchId(moment.entropy.max(1)),
            claimed_at: moment.server,
            shape: self.policy.shape,
            revision: self.policy.revision.clone(),
            sent_until: self.sent_until(moment.server),
            supersedes,
            excluded: old
                .excluded
                .iter()
                .filter(|row| ranges.contains_key(&row.partition))
                .copied()
                .collect(),
            ranges,
        };
        let entries = claim.ranges.iter().map(|(partition, range)| {
            let owned = &self.owned[partition];
            assert!(owned.committed == range.from, "a claim stands at the committed offset");
            (*partition, (owned.committed, owned.metadata.claiming(&claim)))
        });
        self.commit(entries.collect(), Purpose::Replace(claim), out);
    }

    /// The new claim is stored: its rows are read again.
    pub(super) fn replaced(&mut self, claim: Claim, out: &mut Vec<Effect>) {
        for partition in claim.ranges.keys() {
            let owned =
                self.owned.get_mut(partition).expect("a partition is kept until its commit is answered");
            if matches!(owned.stage, Stage::Recovering(_)) {
                owned.stage = Stage::Recovering(claim.id);
            }
        }
        out.push(Effect::Rebuild(claim.clone()));
        self.work = Work::Recovering(claim, Maker::Us);
    }

    /// Leaves the claim at hand to the next owner. Rows behind it can't be claimed before it.
    pub(super) fn leave_recovery(&mut self, out: &mut Vec<Effect>) {
        let (Work::Recovering(claim, _) | Work::Superseding { claim, .. }) = &self.work else { return };
        let batch = claim.id;
        out.push(Effect::Forget(batch, Outcome::Left));
        self.work = Work::Idle;
        let carrying = self.owned.iter().filter(|(_, owned)| owned.carries(batch));
        let carrying: BTreeSet<_> = carrying.map(|(partition, _)| *partition).collect();
        self.drop_open_rows(&carrying, out);
        for partition in carrying {
            let owned = self.owned.get_mut(&partition).expect("looked at above");
            owned.stage = Stage::Recovering(batch);
        }
    }
}
