//! The states in which a world begins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pumphouse_core::claim::{BatchId, Claim, HISTORY_MAX, Metadata};
use pumphouse_core::lane::Stored;
use pumphouse_core::moment::ServerTime;
use pumphouse_core::offset::{Offset, Partition, Range};
use pumphouse_core::pump::{DEADLINE_MARGIN, TableId};

use super::Small;
use super::state::{Batch, Member, State};
use super::step::SAFE_AGE;
use super::world::Begins;

impl Small {
    /// Every state in which the world may begin.
    #[must_use]
    pub fn beginnings(&self) -> Vec<State> {
        match self.world.begins {
            Begins::Unmarked => vec![self.fresh(None)],
            Begins::Marked => vec![self.fresh(Some(&Metadata::origin(Offset(0), ServerTime(0))))],
            Begins::Forgotten => [true, false].map(|landed| self.forgotten(landed)).into(),
        }
    }

    fn fresh(&self, metadata: Option<&Metadata>) -> State {
        let partitions = || (0..self.world.partitions).map(Partition);
        let stored = |partition| (partition, Stored { offset: Offset(0), metadata: metadata.cloned() });
        let members = (0..self.world.members).map(|name| Arc::new(Member::new(name, self.new_pump())));
        let mut state = State {
            stored: Arc::new(partitions().map(stored).collect()),
            before: Arc::default(),
            late: Arc::default(),
            members: members.collect(),
            strays: Arc::default(),
            pieces: Arc::default(),
            forgotten: BTreeSet::new(),
            rows: Arc::default(),
            batches: Arc::default(),
            eras: partitions().map(|partition| (partition, 0)).collect(),
            log_begins: partitions().map(|partition| (partition, Offset(0))).collect(),
            gaps: BTreeSet::new(),
            hour: 0,
            left: self.world.faults,
            wrong: None,
        };
        state.normalize();
        state
    }

    /// All partitions but the last are through, by way of so many batches that they forgot the one it still carries.
    fn forgotten(&self, landed: bool) -> State {
        let mut state = self.fresh(Some(&Metadata::origin(Offset(0), ServerTime(0))));
        let end = Offset(self.world.records);
        let ranges = state.stored.keys().map(|partition| (*partition, Range::new(Offset(0), end)));
        let ranges = ranges.collect();
        let claim = Claim {
            id: BatchId(1),
            claimed_at: ServerTime(0),
            shape: 1,
            revision: String::new(),
            ranges,
            sent_until: ServerTime(0).after(SAFE_AGE.saturating_sub(DEADLINE_MARGIN)),
            supersedes: Vec::new(),
            excluded: BTreeSet::new(),
        };
        let last = *claim.ranges.last_key_value().expect("a world has partitions").0;
        let mut moved = Metadata::origin(end, ServerTime(0));
        for other in 0..HISTORY_MAX as u128 {
            moved = moved.settling(BatchId(2 + other), end);
        }
        let (stored, rows) = (Arc::make_mut(&mut state.stored), Arc::make_mut(&mut state.rows));
        let tables = || (0..self.world.tables).map(TableId);
        for (partition, stored) in stored.iter_mut() {
            let claimed = *partition == last;
            let metadata = stored.metadata.as_ref().expect("marked above");
            *stored = if claimed {
                Stored { offset: Offset(0), metadata: Some(metadata.claiming(&claim)) }
            } else {
                Stored { offset: end, metadata: Some(moved.clone()) }
            };
            if landed || !claimed {
                let records =
                    tables().flat_map(|table| (0..end.0).map(move |offset| (table, Offset(offset))));
                rows.extend(
                    records.map(|(table, offset)| ((table, *partition, offset), vec![ServerTime(0)])),
                );
            }
        }
        if landed {
            let parts = tables().flat_map(|table| claim.ranges.keys().map(move |p| (claim.id, table, *p)));
            state.pieces = Arc::new(parts.collect());
        }
        let eras = state.eras.clone();
        let batch = Batch { whole: landed, eras, rows: BTreeMap::new(), claim };
        state.batches = Arc::new([(batch.claim.id, batch)].into());
        state
    }
}
