//! Kafka's partition, offset and half-open range. Knows nothing of topics: a lane reads one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A partition's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Partition(pub u32);

/// A consumer position: the offset of the next record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Offset(pub u64);

/// Offsets `[from, to)` in consumer positions; gaps inside are normal (compaction, transactions).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Range {
    /// The first position inside.
    pub from: Offset,
    /// The first position behind.
    pub to: Offset,
}

impl Range {
    /// A range from `from` up to `to`, empty where they are equal.
    ///
    /// # Panics
    /// When `to` lies before `from`: a range never runs backwards.
    #[must_use]
    pub fn new(from: Offset, to: Offset) -> Self {
        assert!(from <= to, "a range never runs backwards: {from} to {to}");
        Self { from, to }
    }

    /// Positions inside; not the number of records.
    #[must_use]
    pub fn len(self) -> u64 {
        self.to.0 - self.from.0
    }

    /// Whether nothing is inside.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.from == self.to
    }

    /// This range with `more`, which starts where this one ends.
    ///
    /// # Panics
    /// When `more` starts elsewhere: a hole would be a lost record, an overlap a doubled one.
    #[must_use]
    pub fn extended(self, more: Self) -> Self {
        assert!(self.to == more.from, "ranges join without hole or overlap: {self} and {more}");
        Self { from: self.from, to: more.to }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.from, self.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_half_open() {
        let range = Range::new(Offset(3), Offset(7));
        assert_eq!((range.len(), range.is_empty()), (4, false));
        let empty = Range::new(Offset(3), Offset(3));
        assert_eq!((empty.len(), empty.is_empty()), (0, true));
        assert_eq!(range.extended(Range::new(Offset(7), Offset(9))), Range::new(Offset(3), Offset(9)));
        assert_eq!(format!("{} of {}", range, Partition(5)), "[3, 7) of 5");
    }

    #[test]
    #[should_panic(expected = "never runs backwards")]
    fn a_range_never_runs_backwards() {
        let _ = Range::new(Offset(4), Offset(3));
    }

    #[test]
    #[should_panic(expected = "without hole or overlap")]
    fn ranges_join_without_a_hole() {
        let _ = Range::new(Offset(3), Offset(7)).extended(Range::new(Offset(8), Offset(9)));
    }
}
