//! A batch that a table refuses for some of its rows: look for them, write their exclusion down, insert the others.
//!
//! The exclusion is part of the claim, so that every owner builds the same rows; and only the owner of the claim's first
//! partition writes it. The token stays, since another table may have the batch already. What has to be known first:
//! that no excluded row is in the table, and that no insert of an earlier attempt can still bring it there.
//!
//! | found | this lane alone ever sent it, every attempt was refused | the refusal is steady | then |
//! |---|---|---|---|
//! | rows | yes | either | claim their exclusion |
//! | rows | no | yes | claim their exclusion |
//! | rows | no | no | the same insert again, until the claim is too old to be sent |
//! | too many, and no table can have a row | | | take the claim back; smaller batches |
//! | too many | | | halt |
//! | every row | | | halt: the table is at fault |
//! | no row, or nothing could be found out | | | the same insert again; after three such searches halt, or stay in doubt |
//! | no row of what Kafka still holds of the batch | | | build it again: what is gone is a gap ([`super::gaps`]) |

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Attempt, Effect, InFlight, Isolating, Maker, Outcome, Policy, Pump, Purpose, TableId, Work};
use crate::batch::BatchPolicy;
use crate::claim::{BatchId, Claim, EXCLUDED_MAX, Excluded, METADATA_BYTES_MAX, Metadata};
use crate::isolation::{FRUITLESS_MAX, Isolation, Proof};
use crate::lane::Stage;
use crate::moment::{Moment, Time};
use crate::offset::{Offset, Partition};
use crate::valve::Opening;
use crate::verdict::{self, Halt, Refusal};

impl Policy {
    /// Whether a target is a table of the stream's own, and not a place for dead letters.
    #[must_use]
    pub fn is_table(&self, target: TableId) -> bool {
        target.0 < self.tables.saturating_sub(self.letters)
    }
}

impl Attempt {
    /// It is answered; the next one comes after `pause`.
    pub(super) fn wait(&mut self, pause: Duration, now: Time) {
        self.count = self.count.saturating_add(1);
        self.again_at = Some(now.after(pause));
        self.is_sent = false;
    }

    /// Whether it was not sent yet.
    pub(super) fn is_held(&self) -> bool {
        !self.is_sent && self.again_at.is_none()
    }
}

impl Isolating {
    /// The table has the batch, so no row of it is looked for any more. The refusal came late, of an earlier insert:
    /// one that this lane had sent before it gave the partitions back and got them again.
    pub(super) fn end_for(&mut self, table: TableId) {
        if matches!(self, Self::Searching(searched) | Self::Found(searched, _) if *searched == table) {
            *self = Self::No;
        }
    }
}

impl Pump {
    /// An error that a row may be at fault for: it proves nothing, but the search for the row may.
    pub(super) fn insert_suspect(
        &mut self,
        batch: BatchId,
        table: TableId,
        moment: &Moment,
        out: &mut Vec<Effect>,
    ) {
        let Some(in_flight) = self.inserting(batch) else { return };
        let Some(attempt) = in_flight.pending.get_mut(&table) else { return };
        attempt.in_doubt = true;
        if attempt.fruitless >= FRUITLESS_MAX {
            return self.insert_unknown(batch, table, moment, out);
        }
        self.isolate(table, moment, out);
    }

    /// Orders the search for the refused rows of a table; one at a time.
    pub(super) fn isolate(&mut self, table: TableId, moment: &Moment, out: &mut Vec<Effect>) {
        let (is_table, is_first) = (self.policy.is_table(table), self.owns_first_partition());
        let Work::Inserting(in_flight) = &mut self.work else { return };
        let attempt = in_flight.pending.get_mut(&table).expect("a refused table is pending");
        let pause = verdict::pause_in_doubt(attempt.count, moment.entropy);
        let is_given_up = attempt.fruitless >= FRUITLESS_MAX;
        if !is_table || (is_given_up && !attempt.in_doubt) {
            let batch = in_flight.claim.id;
            return self.halt(Halt::Refused(batch, table, Refusal::Row), out);
        }
        if is_given_up || in_flight.isolating != Isolating::No {
            attempt.wait(pause, moment.now);
            return self.act_on_isolation(moment, out);
        }
        if !is_first {
            return self.give_way(table, moment);
        }
        attempt.is_sent = false;
        in_flight.isolating = Isolating::Searching(table);
        out.push(Effect::Isolate(in_flight.claim.clone(), table));
    }

    pub(super) fn isolated(
        &mut self,
        (batch, table): (BatchId, TableId),
        found: Isolation,
        moment: &Moment,
        out: &mut Vec<Effect>,
    ) {
        let Some(in_flight) = self.inserting(batch) else { return };
        if in_flight.isolating == Isolating::Searching(table) {
            in_flight.isolating = Isolating::Found(table, found);
            self.act_on_isolation(moment, out);
        }
    }

    /// Acts on what was found, once every insert under way is answered.
    pub(super) fn act_on_isolation(&mut self, moment: &Moment, out: &mut Vec<Effect>) {
        let is_first = self.owns_first_partition();
        let Work::Inserting(in_flight) = &mut self.work else { return };
        if self.stopped || in_flight.pending.values().any(|attempt| attempt.is_sent) {
            return;
        }
        let Isolating::Found(table, found) = in_flight.isolating.clone() else { return };
        in_flight.isolating = Isolating::No;
        let batch = in_flight.claim.id;
        match found {
            _ if !is_first => self.give_way(table, moment),
            Isolation::EveryRow => self.halt(Halt::EveryRow(batch, table), out),
            Isolation::Rows { rows, of, proof } => self.exclude(table, (rows, of), proof, moment, out),
            Isolation::TooMany { rows, proof } => self.take_back(table, rows, proof, out),
            Isolation::NoRow | Isolation::Unknown => self.search_was_fruitless(table, moment),
            Isolation::NoRowLeft => {
                self.search_was_fruitless(table, moment);
                self.build_again(out);
            }
        }
    }

    /// Writes the exclusion of these rows down, if none of them can be in the table, now or later.
    fn exclude(
        &mut self,
        table: TableId,
        (rows, of): (BTreeSet<Excluded>, u64),
        proof: Proof,
        moment: &Moment,
        out: &mut Vec<Effect>,
    ) {
        let is_lone = self.is_lone();
        let Work::Inserting(in_flight) = &self.work else { return };
        let is_refused = is_lone && !in_flight.pending[&table].in_doubt;
        let excluded: BTreeSet<Excluded> = in_flight.claim.excluded.union(&rows).copied().collect();
        let is_news = excluded.len() > in_flight.claim.excluded.len();
        if !is_news || !(is_refused || proof.is_steady) {
            return self.search_was_fruitless(table, moment);
        }
        let claim = Claim { excluded, ..in_flight.claim.clone() };
        let entries = self.revised_entries(&claim);
        let fits = |(_, metadata): &(Offset, Metadata)| metadata.encode().len() <= METADATA_BYTES_MAX;
        if claim.excluded.len() > EXCLUDED_MAX || !entries.values().all(fits) {
            return self.take_back(table, of, proof, out);
        }
        let Work::Inserting(in_flight) = std::mem::replace(&mut self.work, Work::Idle) else { return };
        self.commit(entries, Purpose::Revise(InFlight { claim, ..in_flight }), out);
    }

    fn revised_entries(&self, claim: &Claim) -> BTreeMap<Partition, (Offset, Metadata)> {
        let carrying = self.owned.iter().filter(|(_, owned)| owned.carries(claim.id));
        carrying.map(|(p, owned)| (*p, (owned.committed, owned.metadata.claiming(claim)))).collect()
    }

    /// The exclusion is stored: from here on the rows without it may be inserted.
    pub(super) fn revised(&mut self, in_flight: InFlight, out: &mut Vec<Effect>) {
        self.work = Work::Inserting(in_flight);
        self.build_again(out);
    }

    /// The batch at hand is inserted as its claim and Kafka give it now.
    fn build_again(&mut self, out: &mut Vec<Effect>) {
        let Work::Inserting(in_flight) = &mut self.work else { return };
        in_flight.isolating = Isolating::Rebuilding;
        out.push(Effect::Rebuild(in_flight.claim.clone()));
    }

    /// Whether the batch at hand is being read again to find or to leave out rows.
    pub(super) fn reads_again(&self, batch: BatchId) -> bool {
        matches!(&self.work, Work::Inserting(in_flight)
            if in_flight.claim.id == batch && in_flight.isolating != Isolating::No)
    }

    /// Takes the claim back if no table can have a row of it; its records come again in smaller batches.
    fn take_back(&mut self, table: TableId, rows: u64, proof: Proof, out: &mut Vec<Effect>) {
        let is_lone = self.is_lone();
        let Work::Inserting(in_flight) = &self.work else { return };
        let batch = in_flight.claim.id;
        let is_clean = |target: TableId| {
            let is_refused = |attempt: &Attempt| is_lone && !attempt.in_doubt;
            let is_this = target == table && proof.is_steady && proof.before_writing;
            is_this || in_flight.pending.get(&target).is_some_and(is_refused)
        };
        let tables = (0..self.policy.tables).map(TableId).filter(|target| self.policy.is_table(*target));
        // What a claim supersedes may have left rows: such a claim is not taken back.
        let is_first = in_flight.claim.supersedes.is_empty();
        if rows <= 1 || !is_first || !tables.into_iter().all(is_clean) {
            return self.halt(Halt::TooManyRows(batch, table), out);
        }
        self.rows_max = Some((rows / 2).max(1));
        let carrying = self.owned.iter().filter(|(_, owned)| owned.carries(batch));
        let entries = carrying.map(|(p, owned)| (*p, (owned.committed, owned.metadata.dropping()))).collect();
        self.commit(entries, Purpose::Unclaim(batch), out);
    }

    /// The records are nobody's again; the positions lie behind them, so the membership begins anew.
    pub(super) fn unclaimed(&mut self, batch: BatchId, out: &mut Vec<Effect>) {
        out.push(Effect::Forget(batch, Outcome::Dropped));
        self.forget_all(out);
        out.push(Effect::Rejoin);
    }

    /// Whoever owns the first partition by now excludes rows or takes the claim back; two who do so would not agree.
    fn give_way(&mut self, table: TableId, moment: &Moment) {
        let Work::Inserting(in_flight) = &mut self.work else { return };
        let attempt = in_flight.pending.get_mut(&table).expect("a table that is searched is pending");
        attempt.wait(verdict::pause_in_doubt(attempt.count, moment.entropy), moment.now);
        attempt.gives_way = true;
    }

    fn search_was_fruitless(&mut self, table: TableId, moment: &Moment) {
        let Work::Inserting(in_flight) = &mut self.work else { return };
        let attempt = in_flight.pending.get_mut(&table).expect("a table that is searched is pending");
        attempt.fruitless += 1;
        attempt.wait(verdict::pause_in_doubt(attempt.count, moment.entropy), moment.now);
    }

    /// Sends again, or looks first whether the owner of the first partition has excluded rows meanwhile.
    pub(super) fn send_again(&mut self, table: TableId, moment: &Moment, out: &mut Vec<Effect>) {
        let Work::Inserting(in_flight) = &self.work else { return };
        if !in_flight.pending.get(&table).is_some_and(|attempt| attempt.gives_way) {
            return self.send_insert(table, moment, out);
        }
        if in_flight.pending.values().any(|attempt| attempt.is_sent) {
            return;
        }
        let claim = in_flight.claim.clone();
        let is_own = self.owned.values().any(|o| o.carries(claim.id) && o.stage == Stage::Fetching);
        if is_own {
            // The positions lie behind the batch, which may have been taken back.
            self.forget_all(out);
            out.push(Effect::Rejoin);
        } else {
            out.push(Effect::ReadStored(claim.clone()));
            self.work = Work::Recovering(claim, Maker::Others);
        }
    }

    /// Whether nobody but this lane can have sent the batch at hand: its claim was never on a partition of another.
    pub(super) fn is_lone(&self) -> bool {
        let Work::Inserting(in_flight) = &self.work else { return false };
        let claim = &in_flight.claim;
        claim.ranges.keys().all(|partition| {
            let owned = self.owned.get(partition);
            owned.is_some_and(|owned| owned.carries(claim.id) && owned.stage == Stage::Fetching)
        })
    }

    fn owns_first_partition(&self) -> bool {
        let Work::Inserting(in_flight) = &self.work else { return false };
        let first = in_flight.claim.ranges.keys().next();
        let owned = first.and_then(|partition| self.owned.get(partition));
        owned.is_some_and(|owned| owned.carries(in_flight.claim.id))
    }

    /// When a batch closes, for now.
    pub(super) fn batch_policy(&self) -> BatchPolicy {
        let policy = self.policy.batch;
        let Opening { age, share, .. } = self.opening();
        let (rows, bytes) = ((policy.rows >> share).max(1), (policy.bytes >> share).max(1));
        let rows = self.rows_max.map_or(rows, |most| most.min(rows));
        BatchPolicy { freshness: age, rows, bytes }
    }

    /// After a batch without refused rows, the next one may be twice as large.
    pub(super) fn regain_rows(&mut self, held_refused: bool) {
        if !held_refused {
            let doubled = self.rows_max.map(|rows| rows.saturating_mul(2));
            self.rows_max = doubled.filter(|rows| *rows < self.policy.batch.rows);
        }
    }
}
