//! When a batch closes, and why. Holds counts and ranges; the rows themselves live with the driver.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::moment::Time;
use crate::offset::{Partition, Range};

/// Partitions one claim may cover: k copies of the claim go into one commit.
pub const PARTITIONS_MAX: usize = 128;

/// The limits at which a batch closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchPolicy {
    /// Age of the oldest record, counted from its arrival here.
    pub freshness: Duration,
    /// Rows, dead letters among them.
    pub rows: u64,
    /// Bytes of decoded columns.
    pub bytes: u64,
}

/// Why a batch closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// It holds as many rows as the policy allows.
    Rows,
    /// It holds as many bytes as the policy allows.
    Bytes,
    /// Its first record has waited as long as the policy allows.
    Age,
    /// The process is about to stop.
    Drain,
}

/// What a piece of a batch amounts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filled {
    /// Rows of all tables, dead letters among them.
    pub rows: u64,
    /// Bytes of decoded columns.
    pub bytes: u64,
}

impl Filled {
    /// Both together.
    #[must_use]
    pub fn plus(self, more: Self) -> Self {
        Self { rows: self.rows + more.rows, bytes: self.bytes + more.bytes }
    }
}

/// The batch a lane is filling.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Open {
    segments: BTreeMap<Partition, (Range, Filled)>,
    opened_at: Option<Time>,
}

impl Open {
    /// Adds what one partition's fetch gave.
    ///
    /// # Panics
    /// When `range` does not continue what is there of this partition.
    pub fn add(&mut self, now: Time, partition: Partition, range: Range, filled: Filled) {
        self.opened_at.get_or_insert(now);
        self.segments
            .entry(partition)
            .and_modify(|(whole, sum)| (*whole, *sum) = (whole.extended(range), sum.plus(filled)))
            .or_insert((range, filled));
    }

    /// Forgets a partition that is no longer ours.
    pub fn drop_partition(&mut self, partition: Partition) {
        self.segments.remove(&partition);
        if self.segments.is_empty() {
            self.opened_at = None;
        }
    }

    /// The ranges inside, by partition.
    #[must_use]
    pub fn ranges(&self) -> BTreeMap<Partition, Range> {
        self.segments.iter().map(|(partition, (range, _))| (*partition, *range)).collect()
    }

    /// What it all amounts to.
    #[must_use]
    pub fn filled(&self) -> Filled {
        self.segments.values().fold(Filled::default(), |sum, (_, filled)| sum.plus(*filled))
    }

    /// Whether nothing is inside.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Whether records of `partition` may still come in.
    #[must_use]
    pub fn has_room(&self, partition: Partition, policy: &BatchPolicy) -> bool {
        let filled = self.filled();
        let known = self.segments.contains_key(&partition) || self.segments.len() < PARTITIONS_MAX;
        known && filled.rows < policy.rows && filled.bytes < policy.bytes
    }

    /// Why the batch should close now, if it should; limits before age, age before nothing.
    #[must_use]
    pub fn close_reason(&self, now: Time, policy: &BatchPolicy) -> Option<CloseReason> {
        let filled = self.filled();
        match self.opened_at {
            None => None,
            Some(_) if filled.rows >= policy.rows => Some(CloseReason::Rows),
            Some(_) if filled.bytes >= policy.bytes => Some(CloseReason::Bytes),
            Some(opened) if now.since(opened) >= policy.freshness => Some(CloseReason::Age),
            Some(_) => None,
        }
    }

    /// When age alone will close it.
    #[must_use]
    pub fn closes_at(&self, policy: &BatchPolicy) -> Option<Time> {
        self.opened_at.map(|opened| opened.after(policy.freshness))
    }
}
