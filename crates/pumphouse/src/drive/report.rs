//! What the lanes of a stream have done, counted where it happens and read once a minute.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pumphouse_core::moment::Time;
use pumphouse_core::valve::Opening;

use crate::audit::lately::Settled;
use crate::telemetry::{Progress, ValveState};

/// Samples of freshness kept between two readings; beyond it every second one is dropped.
const SAMPLES_MAX: usize = 4096;
/// Settled batches that wait for their audit; beyond it the oldest go without.
const SETTLED_MAX: usize = 4096;

/// How far a lane is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lag {
    /// It owns no partition.
    NoPartition,
    /// The end of a log is not known, or its group owes it an answer.
    Unknown,
    /// So many records lie between what is settled and the ends of its logs.
    Behind(u64),
}

/// Counters of one lane. Written by its thread, read by the reporter.
#[derive(Default)]
pub struct LaneReport {
    rows: AtomicU64,
    dead_letters: AtomicU64,
    filtered: AtomicU64,
    missing: AtomicU64,
    batches: AtomicU64,
    /// A packed [`Lag`].
    lag: AtomicU64,
    held_bytes: AtomicU64,
    paused: AtomicBool,
    has_first: AtomicBool,
    opening: Mutex<Opening>,
    freshness: Mutex<Vec<(u64, u64)>>,
    settled: Mutex<VecDeque<Settled>>,
}

impl LaneReport {
    /// A batch is settled: its counts and how old its records were, as (milliseconds, records).
    pub fn settled(&self, rows: u64, dead_letters: u64, ages: impl Iterator<Item = (u64, u64)>) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.dead_letters.fetch_add(dead_letters, Ordering::Relaxed);
        self.batches.fetch_add(1, Ordering::Relaxed);
        let mut samples = self.freshness.lock().unwrap_or_else(PoisonError::into_inner);
        samples.extend(ages);
        if samples.len() > SAMPLES_MAX {
            let mut keep = false;
            samples.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }

    /// Keeps a settled batch for its audit.
    pub fn keep_settled(&self, batch: Settled) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        if settled.len() == SETTLED_MAX {
            settled.pop_front();
        }
        settled.push_back(batch);
    }

    /// Takes the batches out that were settled at a time which `is_due` accepts, oldest first.
    pub fn take_settled(&self, is_due: impl Fn(Time) -> bool) -> Vec<Settled> {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        let due = settled.iter().take_while(|batch| is_due(batch.at)).count();
        settled.drain(..due).collect()
    }

    /// Records were read that stand for no row.
    pub fn filtered(&self, records: u64) {
        self.filtered.fetch_add(records, Ordering::Relaxed);
    }

    /// Offsets were written down as a gap.
    pub fn missing(&self, offsets: u64) {
        self.missing.fetch_add(offsets, Ordering::Relaxed);
    }

    /// Where the lane stands now; no lag while the end of a log is not known.
    pub fn standing(&self, lag: Lag, held_bytes: u64) {
        self.lag.store(lag.packed(), Ordering::Relaxed);
        self.held_bytes.store(held_bytes, Ordering::Relaxed);
    }

    /// Notes how far the lane's valve is open now.
    pub fn opening(&self, opening: Opening) {
        *self.opening.lock().unwrap_or_else(PoisonError::into_inner) = opening;
    }

    /// Notes whether the lane owns the topic's first partition.
    pub fn owns_first(&self, owns: bool) {
        self.has_first.store(owns, Ordering::Relaxed);
    }

    /// Whether the lane owns the topic's first partition: what one process does for all of a stream falls to its owner.
    #[must_use]
    pub fn has_first(&self) -> bool {
        self.has_first.load(Ordering::Relaxed)
    }

    /// Notes whether the lane is paused; `true` when that is news.
    pub fn pause_changed(&self, paused: bool) -> bool {
        self.paused.swap(paused, Ordering::Relaxed) != paused
    }
}

/// Sums up what the lanes of `stream` did over `span`, and begins anew.
pub fn sum_up(stream: &str, lanes: &[Arc<LaneReport>], span: Duration) -> Progress {
    let taken = |counter: fn(&LaneReport) -> &AtomicU64| -> u64 {
        lanes.iter().map(|lane| counter(lane).swap(0, Ordering::Relaxed)).sum()
    };
    let read = |gauge: fn(&LaneReport) -> &AtomicU64| -> u64 {
        lanes.iter().map(|lane| gauge(lane).load(Ordering::Relaxed)).sum()
    };
    let mut ages: Vec<(u64, u64)> = Vec::new();
    for lane in lanes {
        ages.append(&mut lane.freshness.lock().unwrap_or_else(PoisonError::into_inner));
    }
    ages.sort_unstable();
    let openings = lanes.iter().map(|lane| *lane.opening.lock().unwrap_or_else(PoisonError::into_inner));
    let oldest = openings.clone().map(|opening| opening.age).max().unwrap_or_default();
    let rows = taken(|lane| &lane.rows);
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1);
    Progress {
        stream: stream.to_owned(),
        rows_per_second: rows.saturating_mul(1000) / millis,
        lag: lag(lanes),
        freshness_p50_ms: percentile(&ages, 50),
        freshness_p99_ms: percentile(&ages, 99),
        dead_letters: taken(|lane| &lane.dead_letters),
        filtered: taken(|lane| &lane.filtered),
        missing: taken(|lane| &lane.missing),
        batches: taken(|lane| &lane.batches),
        rows,
        batch_age_ms: u64::try_from(oldest.as_millis()).unwrap_or(u64::MAX),
        valve: openings.map(ValveState::of).max().unwrap_or_default(),
        memory_bytes: read(|lane| &lane.held_bytes),
        ..Progress::default()
    }
}

/// The lag of all lanes, where each that owns partitions knows its own, and one of them owns any.
fn lag(lanes: &[Arc<LaneReport>]) -> Option<u64> {
    let each = lanes.iter().map(|lane| Lag::unpacked(lane.lag.load(Ordering::Relaxed)));
    each.reduce(Lag::and).and_then(Lag::known)
}

impl Lag {
    fn packed(self) -> u64 {
        match self {
            Self::NoPartition => 0,
            Self::Unknown => 1,
            Self::Behind(records) => records.saturating_add(2),
        }
    }

    fn unpacked(packed: u64) -> Self {
        match packed {
            0 => Self::NoPartition,
            1 => Self::Unknown,
            more => Self::Behind(more - 2),
        }
    }

    /// The lag of both.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::NoPartition, lag) | (lag, Self::NoPartition) => lag,
            (Self::Behind(one), Self::Behind(other)) => Self::Behind(one.saturating_add(other)),
        }
    }

    fn known(self) -> Option<u64> {
        if let Self::Behind(records) = self { Some(records) } else { None }
    }
}

/// The age that `percent` of all records do not exceed; zero without records. `ages` is sorted.
fn percentile(ages: &[(u64, u64)], percent: u64) -> u64 {
    let records: u64 = ages.iter().map(|(_, records)| records).sum();
    let rank = (records * percent).div_ceil(100);
    let mut seen = 0;
    let reached = ages.iter().find(|(_, records)| {
        seen += records;
        seen >= rank
    });
    reached.map_or(0, |(age, _)| *age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_count_records_not_samples() {
        let ages = [(10, 98), (500, 1), (900, 1)];
        assert_eq!((percentile(&ages, 50), percentile(&ages, 99), percentile(&ages, 100)), (10, 500, 900));
        assert_eq!(percentile(&[], 50), 0);
    }

    #[test]
    fn a_reading_begins_anew() {
        let lane = Arc::new(LaneReport::default());
        lane.settled(100, 2, [(5, 102)].into_iter());
        lane.filtered(7);
        let lanes = [lane];
        let first = sum_up("s", &lanes, Duration::from_secs(10));
        assert_eq!((first.rows, first.rows_per_second, first.dead_letters, first.batches), (100, 10, 2, 1));
        assert_eq!(first.filtered, 7);
        let second = sum_up("s", &lanes, Duration::from_secs(10));
        assert_eq!((second.rows, second.filtered), (0, 0));
    }

    #[test]
    fn one_log_whose_end_is_not_known_makes_the_lag_unknown() {
        let lanes = [Arc::<LaneReport>::default(), Arc::default()];
        let lag = |one, other| {
            lanes[0].standing(one, 0);
            lanes[1].standing(other, 0);
            sum_up("s", &lanes, Duration::from_secs(10)).lag
        };
        assert_eq!(lag(Lag::Behind(5), Lag::Behind(7)), Some(12));
        assert_eq!(lag(Lag::Behind(5), Lag::Unknown), None);
        assert_eq!(lag(Lag::NoPartition, Lag::Unknown), None);
        assert_eq!(lag(Lag::NoPartition, Lag::Behind(0)), Some(0), "a lane more than there are partitions");
        assert_eq!(
            lag(Lag::NoPartition, Lag::NoPartition),
            None,
            "whoever owns none can't tell for the others"
        );
    }

    #[test]
    fn the_lane_whose_valve_is_least_open_stands_for_the_stream() {
        let lanes = [Arc::<LaneReport>::default(), Arc::default()];
        let age = Duration::from_secs;
        lanes[0].opening(Opening { age: age(1), ..Opening::default() });
        lanes[1].opening(Opening { age: age(1), ..Opening::default() });
        let told = |lanes| {
            let progress = sum_up("s", lanes, Duration::from_secs(10));
            (progress.batch_age_ms, progress.valve)
        };
        assert_eq!(told(&lanes), (1_000, ValveState::Open));
        lanes[1].opening(Opening { level: 2, age: age(4), ..Opening::default() });
        assert_eq!(told(&lanes), (4_000, ValveState::Narrowed));
        lanes[0].opening(Opening { level: 1, age: age(2), is_shut: true, ..Opening::default() });
        assert_eq!(told(&lanes), (4_000, ValveState::Shut));
    }

    #[test]
    fn batches_wait_for_their_audit_until_they_have_rested() {
        let lane = LaneReport::default();
        let batch = |at| Settled { ranges: [].into(), sums: Vec::new(), at: Time(at) };
        for at in 0..5_000 {
            lane.keep_settled(batch(at));
        }
        let taken = lane.take_settled(|at| at < Time(1_000));
        assert_eq!(taken.first().map(|batch| batch.at), Some(Time(904)), "the oldest go without");
        assert_eq!(taken.len(), 96);
        assert_eq!(lane.take_settled(|_| true).len(), 4_000);
    }
}
