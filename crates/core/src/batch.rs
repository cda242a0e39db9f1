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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offset::Offset;

    const POLICY: BatchPolicy = BatchPolicy { freshness: Duration::from_millis(50), rows: 5, bytes: 100 };

    fn open(rows: u64, bytes: u64) -> Open {
        let mut open = Open::default();
        open.add(Time(7), Partition(0), Range::new(Offset(0), Offset(9)), Filled { rows, bytes });
        open
    }

    #[test]
    fn a_batch_closes_at_its_limits_and_not_before() {
        let now = Time(56);
        assert_eq!(Open::default().close_reason(now, &POLICY), None);
        assert_eq!(open(4, 99).close_reason(now, &POLICY), None);
        assert_eq!(open(5, 99).close_reason(now, &POLICY), Some(CloseReason::Rows));
        assert_eq!(open(4, 100).close_reason(now, &POLICY), Some(CloseReason::Bytes));
        assert_eq!(open(4, 99).close_reason(Time(57), &POLICY), Some(CloseReason::Age));
        assert_eq!(open(4, 99).closes_at(&POLICY), Some(Time(57)));
        assert_eq!(Open::default().closes_at(&POLICY), None);
    }

    #[test]
    fn a_full_batch_has_no_room_and_one_of_128_partitions_none_for_another() {
        assert!(open(4, 99).has_room(Partition(0), &POLICY) && open(4, 99).has_room(Partition(1), &POLICY));
        assert!(!open(5, 99).has_room(Partition(0), &POLICY));
        assert!(!open(4, 100).has_room(Partition(0), &POLICY));
        let mut wide = Open::default();
        for partition in 0..127 {
            wide.add(Time(0), Partition(partition), Range::new(Offset(0), Offset(1)), Filled::default());
        }
        assert!(wide.has_room(Partition(127), &POLICY));
        wide.add(Time(0), Partition(127), Range::new(Offset(0), Offset(1)), Filled::default());
        assert!(wide.has_room(Partition(127), &POLICY) && !wide.has_room(Partition(128), &POLICY));
    }

    #[test]
    fn what_is_taken_from_a_partition_adds_up_and_goes_with_it() {
        let mut open = open(2, 20);
        open.add(Time(9), Partition(0), Range::new(Offset(9), Offset(12)), Filled { rows: 1, bytes: 30 });
        open.add(Time(9), Partition(1), Range::new(Offset(3), Offset(4)), Filled { rows: 1, bytes: 1 });
        assert_eq!(open.filled(), Filled { rows: 4, bytes: 51 });
        assert_eq!(open.ranges()[&Partition(0)], Range::new(Offset(0), Offset(12)));
        open.drop_partition(Partition(0));
        assert_eq!(open.filled(), Filled { rows: 1, bytes: 1 });
        assert_eq!(open.closes_at(&POLICY), Some(Time(57)), "the age is the batch's");
        open.drop_partition(Partition(1));
        assert!(open.is_empty() && open.closes_at(&POLICY).is_none());
    }
}
