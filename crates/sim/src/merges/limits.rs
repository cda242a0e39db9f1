//! When ClickHouse holds an insert back, for how long, and when it refuses it: its own formula, as of 26.7.
//! Knows nothing of where parts come from.

use std::time::Duration;

/// A table's settings that decide it. The defaults are ClickHouse's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `parts_to_delay_insert`: active parts of one table partition; 0 for never.
    pub delay_at: u64,
    /// `parts_to_throw_insert`; 0 for never.
    pub refuse_at: u64,
    /// `max_parts_in_total`: active parts of the table; 0 for never.
    pub refuse_total_at: u64,
    /// `max_delay_to_insert`.
    pub delay_max: Duration,
    /// `min_delay_to_insert_ms`.
    pub delay_min: Duration,
    /// `max_avg_part_size_for_too_many_parts`: parts that are larger on average count as none too many; 0 for never.
    pub average_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            delay_at: 1000,
            refuse_at: 3000,
            refuse_total_at: 100_000,
            delay_max: Duration::from_secs(1),
            delay_min: Duration::from_millis(10),
            average_bytes_max: 1 << 30,
        }
    }
}

/// The parts of a table, as an insert meets them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// Active parts of the fullest table partition.
    pub parts: u64,
    /// The mean of their bytes.
    pub average_bytes: u64,
    /// Active parts of all of them.
    pub total: u64,
}

/// What becomes of an insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Admission {
    /// It is taken after this time; mostly none.
    After(Duration),
    /// Error 252, too many parts.
    Refused,
}

impl Limits {
    /// What becomes of an insert into a table so full.
    #[must_use]
    pub fn admit(&self, fill: Fill) -> Admission {
        let is_small = self.average_bytes_max == 0 || fill.average_bytes <= self.average_bytes_max;
        let reaches = |limit: u64, parts: u64| limit > 0 && parts >= limit;
        match () {
            () if reaches(self.refuse_total_at, fill.total) => Admission::Refused,
            () if is_small && reaches(self.refuse_at, fill.parts) => Admission::Refused,
            () if is_small && reaches(self.delay_at, fill.parts) => Admission::After(self.delay(fill.parts)),
            () => Admission::After(Duration::ZERO),
        }
    }

    /// The longest delay in the measure in which the way from the one limit to the other is gone.
    fn delay(&self, parts: u64) -> Duration {
        let over = parts - self.delay_at + 1;
        let way = self.refuse_at.saturating_sub(self.delay_at);
        if way == 0 || over > way {
            return self.delay_max;
        }
        let milliseconds = u64::try_from(self.delay_max.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(milliseconds.saturating_mul(over) / way).max(self.delay_min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(parts: u64) -> Admission {
        Limits::default().admit(Fill { parts, average_bytes: 1000, total: parts })
    }

    #[test]
    fn the_delay_grows_from_the_one_limit_to_the_other() {
        assert_eq!(with(999), Admission::After(Duration::ZERO));
        assert_eq!(with(1000), Admission::After(Duration::from_millis(10)), "the least delay");
        assert_eq!(with(1999), Admission::After(Duration::from_millis(500)));
        assert_eq!(with(2999), Admission::After(Duration::from_secs(1)));
        assert_eq!(with(3000), Admission::Refused);
    }

    #[test]
    fn the_whole_table_has_a_limit_too_and_large_parts_are_never_too_many() {
        let limits = Limits::default();
        let spread = Fill { parts: 100, average_bytes: 1000, total: 100_000 };
        assert_eq!(limits.admit(spread), Admission::Refused);
        let large = Fill { parts: 5000, average_bytes: 2 << 30, total: 5000 };
        assert_eq!(limits.admit(large), Admission::After(Duration::ZERO));
    }

    #[test]
    fn a_limit_of_zero_is_none() {
        let limits = Limits { delay_at: 0, refuse_at: 0, refuse_total_at: 0, ..Limits::default() };
        let full = Fill { parts: 1 << 40, average_bytes: 1, total: 1 << 41 };
        assert_eq!(limits.admit(full), Admission::After(Duration::ZERO));
        let alike = Limits { delay_at: 300, refuse_at: 300, ..Limits::default() };
        assert_eq!(
            alike.admit(Fill { parts: 299, average_bytes: 1, total: 299 }),
            Admission::After(Duration::ZERO)
        );
        assert_eq!(alike.admit(Fill { parts: 300, average_bytes: 1, total: 300 }), Admission::Refused);
    }
}
