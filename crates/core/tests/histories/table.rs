//! ClickHouse as far as histories need it: tables of two table partitions that remember tokens for a while, inserts
//! that come late, land by halves, or run on when nobody waits for them.

use std::collections::{BTreeMap, BTreeSet};

use pumphouse_core::claim::{BatchId, Claim};
use pumphouse_core::moment::ServerTime;
use pumphouse_core::offset::Partition;
use pumphouse_core::pump::TableId;

/// How long a token is remembered, in milliseconds.
const WINDOW: u64 = 40_000;
/// How long the server may take for an insert, in milliseconds.
const EXECUTION: u64 = 5_000;

/// A record's place: partition and offset.
pub type Place = (Partition, u64);

/// One insert on its way: what it brings, and until when the server takes it.
#[derive(Clone, Debug)]
pub struct Insert {
    pub claim: Claim,
    pub table: TableId,
    pub deadline: ServerTime,
    pub rows: BTreeSet<Place>,
    /// Whether another one like it may have been sent before.
    pub again: bool,
}

/// What becomes of an insert that the server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landing {
    Whole,
    /// The server dies between two table partitions.
    Half,
}

#[derive(Default)]
pub struct Tables {
    /// When a token was written for a table partition.
    tokens: BTreeMap<(BatchId, TableId, u64), u64>,
    /// The times of the batches that brought a row.
    rows: BTreeMap<(Place, TableId), Vec<ServerTime>>,
    /// When others pushed all tokens out of the window.
    flooded_at: u64,
    /// Inserts that nobody waits for, and when the server began to carry them out.
    pub strays: Vec<(Insert, Option<u64>)>,
}

impl Tables {
    /// Every row that a claim stands for.
    pub fn rows_of(claim: &Claim) -> BTreeSet<Place> {
        let ranges = claim.ranges.iter();
        ranges.flat_map(|(p, range)| (range.from.0..range.to.0).map(|offset| (*p, offset))).collect()
    }

    /// What is left of a claim for one table without what the table holds of superseded batches.
    pub fn rows_left(&self, claim: &Claim, table: TableId) -> BTreeSet<Place> {
        let held = |place: &Place| {
            let times = self.rows.get(&(*place, table)).into_iter().flatten();
            let superseded = |at: &ServerTime| claim.supersedes.iter().any(|s| s.claimed_at == *at);
            times.filter(|at| superseded(at)).count() > 0
        };
        let mut rows = Self::rows_of(claim);
        rows.retain(|place| !held(place));
        rows
    }

    /// Others insert so much that every token is forgotten; not while an insert may still land that nobody asks for.
    pub fn flood(&mut self, now: u64) {
        if self.strays.is_empty() {
            self.tokens.clear();
            self.flooded_at = now;
        }
    }

    /// Whether the table would say that an insert's token may be forgotten, asked before it is sent again.
    pub fn may_have_forgotten(&self, insert: &Insert) -> bool {
        insert.again && i64::try_from(self.flooded_at).expect("small") > insert.claim.claimed_at.0
    }

    pub fn is_late(insert: &Insert, now: u64) -> bool {
        i64::try_from(now).expect("small") > insert.deadline.0
    }

    pub fn land(&mut self, insert: &Insert, landing: Landing, now: u64) {
        let halves = if landing == Landing::Whole { 0..2 } else { 0..1 };
        for half in halves {
            let token = (insert.claim.id, insert.table, half);
            if self.tokens.get(&token).is_some_and(|at| now - at < WINDOW) {
                continue;
            }
            let mut any = false;
            for place in insert.rows.iter().filter(|place| place.1 % 2 == half) {
                self.rows.entry((*place, insert.table)).or_default().push(insert.claim.claimed_at);
                any = true;
            }
            if any {
                self.tokens.insert(token, now);
            }
        }
    }

    /// One stray insert comes further: the server takes it in time, or it lands, whole or not, or comes to nothing.
    pub fn move_stray(&mut self, random: &mut fastrand::Rng, now: u64) {
        if self.strays.is_empty() {
            return;
        }
        let at = random.usize(..self.strays.len());
        let (insert, begun) = self.strays.swap_remove(at);
        match (begun, random.u8(..8)) {
            (None, _) if Self::is_late(&insert, now) => {}
            (Some(begun), _) if now - begun > EXECUTION => {}
            (None, 0..4) => self.strays.push((insert, Some(now))),
            (_, 4) => self.land(&insert, Landing::Half, now),
            (_, 5) => {}
            _ => self.land(&insert, Landing::Whole, now),
        }
    }

    /// Whether the server is carrying out an insert of the batch.
    pub fn runs(&self, batch: BatchId) -> bool {
        self.strays.iter().any(|(insert, begun)| begun.is_some() && insert.claim.id == batch)
    }

    /// Whether any row of the batch is in any table.
    pub fn holds_any(&self, claim: &Claim) -> bool {
        let inside = |place: &Place| {
            claim.ranges.get(&place.0).is_some_and(|r| r.from.0 <= place.1 && place.1 < r.to.0)
        };
        self.rows.iter().any(|((place, _), times)| inside(place) && times.contains(&claim.claimed_at))
    }

    /// The highest offset of a partition that a table holds.
    pub fn highest(&self, partition: Partition) -> Option<u64> {
        self.rows
            .keys()
            .map(|(place, _)| *place)
            .filter(|place| place.0 == partition)
            .map(|place| place.1)
            .max()
    }

    pub fn count(&self, place: Place, table: TableId) -> usize {
        self.rows.get(&(place, table)).map_or(0, Vec::len)
    }
}
