//! What comes in: rows over time, and the table partitions that a batch of them touches.
//! Does not know when batches close.

use std::time::Duration;

use pumphouse_core::moment::Time;

use super::server::Piece;

/// A time in which more rows arrive than usually.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// When it begins.
    pub from: Time,
    /// How long it lasts.
    pub lasts: Duration,
    /// How many times the usual rate.
    pub factor: f64,
}

/// How many rows have arrived at any moment, and when each did.
#[derive(Clone, Debug)]
pub struct Arrivals {
    /// From when on, how many had come by then, and how many come each millisecond.
    pieces: Vec<(u64, f64, f64)>,
}

impl Arrivals {
    /// So many rows a second, more in bursts. Bursts are in order and do not overlap.
    #[must_use]
    pub fn new(rows_per_second: f64, bursts: &[Burst]) -> Self {
        let rate = rows_per_second / 1000.0;
        let mut pieces: Vec<(u64, f64, f64)> = vec![(0, 0.0, rate)];
        for burst in bursts {
            for (at, rate) in [(burst.from, rate * burst.factor), (burst.from.after(burst.lasts), rate)] {
                let (from, rows, before) = pieces[pieces.len() - 1];
                pieces.push((at.0, rows + before * as_f64(at.0 - from), rate));
            }
        }
        Self { pieces }
    }

    /// Rows that have arrived by `now`.
    #[must_use]
    pub fn by(&self, now: Time) -> u64 {
        let at = self.pieces.partition_point(|(from, ..)| *from <= now.0) - 1;
        let (from, rows, rate) = self.pieces[at];
        whole(rows + rate * as_f64(now.0 - from))
    }

    /// When so many rows have arrived; far in the future for what never comes.
    #[must_use]
    pub fn time_of(&self, rows: u64) -> Time {
        let wanted = as_f64(rows);
        let at = self.pieces.partition_point(|(_, before, _)| *before < wanted).max(1) - 1;
        let (from, before, rate) = self.pieces[at];
        if rate <= 0.0 {
            return Time(u64::MAX);
        }
        // The next millisecond at which `by` surely says so.
        let mut time = Time(from + whole((wanted - before) / rate));
        while self.by(time) < rows {
            time.0 += 1;
        }
        time
    }
}

/// How a table's rows spread over its table partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// Table partitions that rows go to, each with the same chance.
    pub partitions: u32,
    /// The time that one of them holds: after each, the oldest gives way to a new one. `None` where it is no time.
    pub width: Option<Duration>,
    /// Whether the ones that nothing goes to any more are dropped, as by a TTL.
    pub drops_old: bool,
}

impl Spread {
    /// All rows in one.
    pub const ONE: Self = Self { partitions: 1, width: None, drops_old: false };

    /// The first table partition that rows still go to.
    #[must_use]
    pub fn first(&self, now: Time) -> i64 {
        let width = self.width.map_or(0, |width| u64::try_from(width.as_millis()).unwrap_or(u64::MAX));
        i64::try_from(now.0.checked_div(width).unwrap_or(0)).unwrap_or(i64::MAX)
    }

    /// The pieces of an insert of so many rows.
    pub fn pieces(&self, now: Time, rows: u64, row_bytes: f64, chance: &mut fastrand::Rng) -> Vec<Piece> {
        let first = self.first(now);
        let places = i64::from(self.partitions.max(1));
        let touched: Vec<i64> = (first..first + places).filter(|_| self.is_touched(rows, chance)).collect();
        // A batch with rows touches one at least.
        let touched = if touched.is_empty() { vec![first + chance.i64(0..places)] } else { touched };
        let (share, rest) = (rows / touched.len() as u64, rows % touched.len() as u64);
        let piece = |(number, partition)| {
            let rows = share + u64::from(number < rest);
            Piece { partition, rows, bytes: whole(as_f64(rows) * row_bytes) + PART_BYTES }
        };
        (0..).zip(touched).map(piece).filter(|piece| piece.rows > 0).collect()
    }

    fn is_touched(&self, rows: u64, chance: &mut fastrand::Rng) -> bool {
        let missed = (1.0 - 1.0 / f64::from(self.partitions.max(1))).powf(as_f64(rows));
        chance.f64() >= missed
    }
}

/// What even an empty part has on disk: checksums, columns, the index.
const PART_BYTES: u64 = 1000;

#[expect(clippy::cast_precision_loss, reason = "sizes are estimates here")]
fn as_f64(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and far below 2^63")]
fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_arrive_by_the_rate_and_faster_in_a_burst() {
        let burst = Burst { from: Time(10_000), lasts: Duration::from_secs(5), factor: 10.0 };
        let arrivals = Arrivals::new(200.0, &[burst]);
        assert_eq!(arrivals.by(Time(10_000)), 2000);
        assert_eq!(arrivals.by(Time(15_000)), 12_000);
        assert_eq!(arrivals.by(Time(16_000)), 12_200);
        assert_eq!(arrivals.time_of(1), Time(5));
        assert_eq!(arrivals.time_of(2000), Time(10_000));
        assert_eq!(arrivals.time_of(4000), Time(11_000));
        assert_eq!(arrivals.time_of(12_200), Time(16_000));
        assert_eq!(Arrivals::new(0.0, &[]).time_of(1), Time(u64::MAX));
    }

    #[test]
    fn many_rows_touch_every_partition_and_few_touch_few() {
        let year = Spread { partitions: 365, width: Some(Duration::from_hours(24)), drops_old: false };
        let mut chance = fastrand::Rng::with_seed(1);
        let many = year.pieces(Time(0), 100_000, 10.0, &mut chance);
        assert_eq!(many.len(), 365);
        assert_eq!(many.iter().map(|piece| piece.rows).sum::<u64>(), 100_000);
        let few: usize = (0..100).map(|_| year.pieces(Time(0), 365, 10.0, &mut chance).len()).sum();
        assert!((20_000..26_000).contains(&few), "365 rows touch 63 of 100 on average: {few}");
        assert_eq!(year.pieces(Time(0), 1, 10.0, &mut chance).len(), 1);
        assert_eq!(Spread::ONE.pieces(Time(0), 7, 10.0, &mut chance)[0].rows, 7);
    }

    #[test]
    fn a_new_day_has_a_partition_of_its_own() {
        let days = Spread { partitions: 2, width: Some(Duration::from_hours(24)), drops_old: true };
        assert_eq!(days.first(Time(86_399_999)), 0);
        assert_eq!(days.first(Time(86_400_000)), 1);
        assert_eq!(Spread::ONE.first(Time(u64::MAX)), 0);
    }
}
