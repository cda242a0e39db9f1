//! Kafka's commits and ClickHouse's tables in a small world, and what may never be seen in them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pumphouse_core::claim::{BatchId, Claim, Metadata};
use pumphouse_core::gap::{Committed, Origin};
use pumphouse_core::lane::Stored;
use pumphouse_core::offset::{Offset, Partition};
use pumphouse_core::pump::TableId;

use super::Small;
use super::action::Mask;
use super::state::{Asked, Entries, Insert, State};
use super::world::{Allows, Defect, Seen};
use super::wrong::Wrong;

impl Small {
    /// Kafka stores a commit: all of `entries` at once.
    pub(super) fn store(&self, state: &mut State, entries: &Entries) {
        for (partition, (offset, metadata)) in entries {
            self.check_commit(state, *partition, *offset, metadata);
            let ours = Some(metadata.clone()).filter(|ours| ours.belongs_to(*partition, *offset));
            let stored = Stored { offset: *offset, metadata: ours };
            let before = Arc::make_mut(&mut state.stored).insert(*partition, stored);
            if state.left.regresses > 0 {
                let before = before.expect("every partition holds something");
                Arc::make_mut(&mut state.before).insert(*partition, before);
            }
        }
        let claims: BTreeSet<_> = entries
            .values()
            .filter_map(|(_, metadata)| metadata.claim.as_ref().map(|claim| claim.id))
            .collect();
        for id in claims {
            let batch = &state.batches[&id];
            let carries = |partition| {
                let metadata = state.stored[partition].metadata.as_ref();
                metadata.and_then(|m| m.claim.as_ref()).is_some_and(|claim| claim.id == id)
            };
            if !batch.whole && batch.claim.ranges.keys().all(carries) {
                Arc::make_mut(&mut state.batches).get_mut(&id).expect("looked at above").whole = true;
            }
        }
    }

    fn check_commit(&self, state: &mut State, partition: Partition, offset: Offset, metadata: &Metadata) {
        let stored = &state.stored[&partition];
        if offset < stored.offset && self.world.allows != Allows::Doubles {
            state.wrong = Some(Wrong::Backwards);
        }
        let Some(carried) = stored.metadata.as_ref().and_then(|m| m.claim.as_ref()) else { return };
        let stays = metadata.claim.as_ref().is_some_and(|claim| claim.id == carried.id);
        let passed = offset >= carried.ranges[&partition].to;
        let superseded = metadata.claim.as_ref().is_some_and(|claim| claim.supersedes(carried.id));
        let may_go = if superseded {
            !state.can_land(carried.id)
        } else {
            !state.batches[&carried.id].whole || state.is_untouched(carried.id)
        };
        if !stays && !passed && !may_go && self.world.allows != Allows::Doubles {
            state.wrong = Some(Wrong::Exchanged);
        }
    }

    /// What the partitions of a claim hold now.
    pub(super) fn read(&self, state: &State, claim: &Claim) -> BTreeMap<Partition, Stored> {
        let seen = |(partition, range): (&Partition, &pumphouse_core::offset::Range)| {
            let mut stored = state.stored[partition].clone();
            if self.world.defect == Some(Defect::SeesClaimsEverywhere)
                && let Some(metadata) = &stored.metadata
                && metadata.history.iter().all(|settled| settled.id != claim.id)
            {
                let metadata = Some(metadata.claiming(claim));
                stored = Stored { offset: range.from, metadata };
            }
            (*partition, stored)
        };
        claim.ranges.iter().map(seen).collect()
    }

    /// ClickHouse takes an insert, leaving out the parts whose token it knows; `false` past the deadline.
    pub(super) fn land(&self, state: &mut State, insert: &Insert, mask: Mask) -> bool {
        let ignores = self.world.defect == Some(Defect::IgnoresDeadlines);
        if state.server_time() > insert.deadline && !ignores {
            self.see(Seen::TooLate);
            return false;
        }
        state.check_rows(insert);
        let batch = &state.batches[&insert.batch];
        let forgotten =
            state.forgotten.contains(&insert.batch) || self.world.defect == Some(Defect::ForgetsTokens);
        let (pieces, rows) = (Arc::make_mut(&mut state.pieces), Arc::make_mut(&mut state.rows));
        for partition in mask.of(&batch.claim.ranges.keys().copied().collect()) {
            if !pieces.insert((insert.batch, insert.table, partition)) && !forgotten {
                self.see(Seen::Deduplicated);
                continue;
            }
            if batch.eras[&partition] != state.eras[&partition] {
                continue;
            }
            for (_, offset) in insert.rows.iter().filter(|(of, _)| *of == partition) {
                rows.entry((insert.table, partition, *offset)).or_default().push(batch.claim.claimed_at);
            }
        }
        true
    }

    /// The record that the first table refuses.
    pub(super) fn refused_record(&self) -> Option<(Partition, Offset)> {
        self.world.refuses.map(|(partition, offset)| (Partition(partition), Offset(offset)))
    }

    /// Whether a target takes dead letters.
    pub(super) fn takes_letters(&self, table: TableId) -> bool {
        self.world.refuses.is_some() && table.0 + 1 == self.world.tables
    }

    /// Whether ClickHouse refuses an insert for a row of it.
    pub(super) fn refuses(&self, insert: &Insert) -> bool {
        insert.table == TableId(0)
            && self.refused_record().is_some_and(|record| insert.rows.contains(&record))
    }

    /// Rows that came twice, and records that are passed and not there.
    pub(super) fn wrong_rows(&self, state: &State) -> Option<Wrong> {
        if self.world.allows != Allows::Doubles && state.rows.values().any(|times| times.len() > 1) {
            return Some(Wrong::Doubled);
        }
        let letters = self.tables().find(|table| self.takes_letters(*table));
        let is_letter = |(partition, offset)| {
            letters.is_some_and(|letters| state.rows.contains_key(&(letters, partition, offset)))
        };
        let twice = |(table, partition, offset): &(TableId, Partition, Offset)| {
            !self.takes_letters(*table) && is_letter((*partition, *offset))
        };
        if state.rows.keys().any(twice) {
            return Some(Wrong::Doubled);
        }
        let tables = self.tables().filter(|table| !self.takes_letters(*table));
        let mut passed = tables.flat_map(|table| {
            let offsets = |(p, stored): (&Partition, &Stored)| (*p, stored.offset.0);
            let stored = state.stored.iter().map(offsets);
            stored.flat_map(move |(p, end)| (0..end).map(move |offset| (table, p, Offset(offset))))
        });
        let missing = |(table, partition, offset)| {
            let is_known = is_letter((partition, offset)) || state.gaps.contains(&(partition, offset));
            !state.rows.contains_key(&(table, partition, offset)) && !is_known
        };
        passed.any(missing).then_some(Wrong::Lost)
    }

    /// An insert whose every part is there can change nothing any more, nor can one past its deadline.
    pub(super) fn forget_what_makes_no_difference(&self, state: &mut State) {
        if self.world.defect.is_some() || state.strays.is_empty() {
            return;
        }
        let now = state.server_time();
        let matters = |insert: &Insert| {
            let parts = || state.batches[&insert.batch].claim.ranges.keys();
            let there = parts().all(|p| state.pieces.contains(&(insert.batch, insert.table, *p)));
            now <= insert.deadline && (!there || state.forgotten.contains(&insert.batch))
        };
        if !state.strays.iter().all(matters) {
            let kept = state.strays.iter().filter(|insert| matters(insert)).cloned().collect();
            state.strays = Arc::new(kept);
        }
    }
}

impl State {
    /// Somebody sets a partition back to its beginning: its records are wanted once more.
    pub(super) fn reset(&mut self, partition: Partition) {
        self.left.resets -= 1;
        *self.eras.get_mut(&partition).expect("every partition has one") += 1;
        self.late = Arc::default();
        let beginning = Stored { offset: Offset(0), metadata: None };
        Arc::make_mut(&mut self.stored).insert(partition, beginning);
        Arc::make_mut(&mut self.rows).retain(|(_, of, _), _| *of != partition);
    }

    /// All parts of an insert.
    pub(super) fn whole(&self, insert: &Insert) -> Mask {
        Mask::all(self.batches[&insert.batch].claim.ranges.len())
    }

    /// An insert is being sent: its claim has to stand.
    pub(super) fn check_insert(&mut self, insert: &Insert) {
        if !self.batches[&insert.batch].whole {
            self.wrong = Some(Wrong::Unclaimed);
        }
    }

    /// An insert is being taken: its rows have to be those that its token stands for.
    fn check_rows(&mut self, insert: &Insert) {
        let batches = Arc::make_mut(&mut self.batches);
        let batch = batches.get_mut(&insert.batch).expect("a batch is sealed before it is inserted");
        let first = batch.rows.entry(insert.table).or_insert_with(|| insert.rows.clone());
        // What Kafka no longer has can't be built again; it is written down as gone.
        if first.symmetric_difference(&insert.rows).any(|record| !self.gaps.contains(record)) {
            self.wrong = Some(Wrong::OtherRows);
        }
    }

    /// What stands behind the starts of partitions that were assigned without metadata of ours.
    pub(super) fn origins(&self, partitions: &BTreeSet<Partition>) -> BTreeMap<Partition, Origin> {
        let origin = |partition: &Partition| {
            let committed = match &self.stored[partition].metadata {
                Some(_) => Committed::Ours,
                None if self.eras[partition] > 0 => Committed::Bare,
                None => Committed::Never,
            };
            let rows = self.rows.keys().filter(|(_, of, _)| of == partition);
            let highest = rows.map(|(_, _, offset)| *offset).max();
            (*partition, Origin { committed, highest, end: Offset(u64::MAX) })
        };
        partitions.iter().map(origin).collect()
    }

    /// Whether somebody has sent an insert of the batch that ClickHouse may still take.
    fn can_land(&self, batch: BatchId) -> bool {
        let now = self.server_time();
        let of = |insert: &Insert| insert.batch == batch && insert.deadline >= now;
        let asked = |asked: &Asked| matches!(asked, Asked::Insert(insert) if of(insert));
        self.strays.iter().any(of) || self.members.iter().any(|member| member.asked.iter().any(asked))
    }

    /// Whether nothing of the batch has landed or can land.
    fn is_untouched(&self, batch: BatchId) -> bool {
        !self.can_land(batch) && !self.pieces.iter().any(|(of, ..)| *of == batch)
    }
}
