//! What a run showed: samples over time, and what they come to. Decides what counts as well.

use std::collections::BTreeMap;
use std::time::Duration;

use pumphouse_core::moment::Time;

/// One moment of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// When.
    pub at: Time,
    /// Active parts of the fullest table partition of any table, since the sample before: the most.
    pub parts: u64,
    /// Active parts of all tables, now.
    pub parts_total: u64,
    /// Merges that run.
    pub merges: usize,
    /// The highest level of any lane's valve.
    pub level: u8,
    /// Lanes whose valve is shut.
    pub shut: u32,
    /// Rows that arrived and are in no table.
    pub waiting: u64,
}

/// How long rows took, by how many of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    rows: BTreeMap<u64, u64>,
}

/// A whole run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Over time, evenly.
    pub samples: Vec<Sample>,
    /// From a row's arrival to its place in the tables.
    pub freshness: Waits,
    /// Rows that arrived, that landed, and that are in the first table at the end.
    pub rows: RowCount,
    /// Inserts that landed: a batch is one for each table, views not counted.
    pub inserts: u64,
    /// Parts that inserts made.
    pub parts_made: u64,
    /// Most active parts that one table partition had, and one table.
    pub parts_most: (u64, u64),
    /// Mean of the active parts of all tables, over the second half.
    pub parts_mean: f64,
    /// Bytes that inserts wrote, and that merges wrote.
    pub bytes: (u64, u64),
    /// Merges that ended.
    pub merges: u64,
    /// The first insert that was delayed, and how many were.
    pub delayed: Times,
    /// The first insert that was refused, and how many were.
    pub refused: Times,
    /// The first time that a valve was shut, and how often one shut.
    pub shut: Times,
    /// How often the level of a lane's valve turned from rising to falling or back; of the lane with most.
    pub reversals: u32,
    /// The highest level of any lane at the end.
    pub level_at_end: u8,
    /// The oldest age that a batch was let grow to.
    pub age_most: Duration,
    /// How long the run was.
    pub span: Duration,
}

/// Rows, counted at three places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowCount {
    /// Of the topic.
    pub arrived: u64,
    /// Of batches that landed.
    pub landed: u64,
    /// Taken, or in a batch that has not landed.
    pub under_way: u64,
    /// In the parts of the first table.
    pub stored: u64,
}

/// When something happened first, and how often it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// The first time.
    pub first: Option<Time>,
    /// How often.
    pub count: u64,
}

/// Why a run did not go well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Inserts were refused for too many parts.
    Refused,
    /// Inserts were delayed for too many parts.
    Delayed,
    /// More rows arrive than go in.
    FallsBehind,
}

impl Times {
    /// It happened.
    pub fn happened(&mut self, at: Time) {
        self.first.get_or_insert(at);
        self.count += 1;
    }
}

impl Waits {
    /// So many rows took so long, each time between these two the same chance.
    pub fn add(&mut self, rows: u64, (shortest, longest): (Duration, Duration)) {
        const SLICES: u32 = 8;
        for slice in 0..SLICES {
            let within = longest.saturating_sub(shortest) * (2 * slice + 1) / (2 * SLICES);
            let milliseconds = u64::try_from((shortest + within).as_millis()).unwrap_or(u64::MAX);
            *self.rows.entry(rounded(milliseconds)).or_default() += rows / u64::from(SLICES) + 1;
        }
    }

    /// What so many hundredths of the rows stayed within.
    #[must_use]
    pub fn percentile(&self, hundredths: u64) -> Duration {
        let all: u64 = self.rows.values().sum();
        let mut before = 0;
        let mut within = self.rows.iter().skip_while(|(_, rows)| {
            before += **rows;
            before * 100 < all * hundredths
        });
        Duration::from_millis(within.next().map_or(0, |(milliseconds, _)| *milliseconds))
    }
}

/// To three digits: enough for people, and few keys.
fn rounded(milliseconds: u64) -> u64 {
    let mut unit = 1;
    while milliseconds / unit >= 1000 {
        unit *= 10;
    }
    milliseconds.div_ceil(unit) * unit
}

impl Outcome {
    /// What went wrong, if anything; the worst of it.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        match () {
            () if self.refused.count > 0 => Some(Trouble::Refused),
            () if self.delayed.count > 0 => Some(Trouble::Delayed),
            () if self.falls_behind() => Some(Trouble::FallsBehind),
            () => None,
        }
    }

    /// Whether more rows wait at the end than half an hour into nothing: more than two of the oldest batches hold, and more
    /// than at three quarters of the run.
    fn falls_behind(&self) -> bool {
        let Some(last) = self.samples.last() else { return false };
        let before = self.samples[self.samples.len() * 3 / 4].waiting;
        let seconds = self.age_most.as_secs() * 2 + 10;
        let of_them = self.rows.arrived.saturating_mul(seconds) / self.span.as_secs().max(1);
        last.waiting > of_them && last.waiting > before
    }

    /// Bytes that merges wrote for each byte inserted.
    #[must_use]
    pub fn written_again(&self) -> f64 {
        as_f64(self.bytes.1) / as_f64(self.bytes.0.max(1))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
fn as_f64(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_rows_not_of_batches() {
        let mut waits = Waits::default();
        let second = |seconds| (Duration::from_secs(seconds), Duration::from_secs(seconds));
        waits.add(9_900, second(1));
        waits.add(100, second(60));
        assert_eq!(waits.percentile(50), Duration::from_secs(1));
        assert_eq!(waits.percentile(98), Duration::from_secs(1));
        assert_eq!(waits.percentile(100), Duration::from_mins(1));
        assert_eq!(Waits::default().percentile(99), Duration::ZERO);
    }

    #[test]
    fn three_digits_are_kept() {
        assert_eq!([rounded(7), rounded(999), rounded(1001), rounded(45_678)], [7, 999, 1010, 45_700]);
    }
}
