//! The background pool: how many merges run, how fast each is, and how large a new one may be.
//! Does not choose what is merged.

use pumphouse_core::moment::Time;

/// What the server can do. The defaults of the pool are ClickHouse's; what a merge costs was measured (decision 0022).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// `background_pool_size`: merges that get a thread at the same time.
    pub threads: u32,
    /// `background_merges_mutations_concurrency_ratio`: merges that are begun, per thread.
    pub begun_per_thread: u32,
    /// Bytes that one merge reads in a second while it has a core and a disk for itself.
    pub merge_bytes_per_second: f64,
    /// Merges that the machine can do at that speed at once: its cores, or what its disks give.
    pub merges_at_once: f64,
    /// Seconds that a merge takes besides its bytes.
    pub merge_seconds: f64,
    /// Seconds that each part it reads adds.
    pub merge_part_seconds: f64,
}

/// `max_bytes_to_merge_at_max_space_in_pool`.
const LARGEST_MERGE: f64 = 161_061_273_600.0;
/// `max_bytes_to_merge_at_min_space_in_pool`.
const SMALLEST_LIMIT: f64 = 1_048_576.0;
/// `number_of_free_entries_in_pool_to_lower_max_size_of_merge`.
const FREE_TO_LOWER: u32 = 8;

impl Default for Machine {
    fn default() -> Self {
        Self {
            threads: 16,
            begun_per_thread: 2,
            merge_bytes_per_second: 50e6,
            merges_at_once: 2.0,
            merge_seconds: 0.003,
            merge_part_seconds: 0.0005,
        }
    }
}

/// A merge that runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Merge {
    /// The table, by number.
    pub table: usize,
    /// The table partition.
    pub partition: i64,
    /// The first block of its first part.
    pub block: u64,
    /// How many parts it reads.
    pub length: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Seconds of work left, at full speed.
    left: f64,
}

/// The merges that run, and how far they are.
#[derive(Clone, Debug)]
pub struct Pool {
    machine: Machine,
    running: Vec<Merge>,
    /// Up to when their work is counted.
    at: Time,
    is_stalled: bool,
}

impl Pool {
    /// An idle pool.
    #[must_use]
    pub fn new(machine: Machine) -> Self {
        Self { machine, running: Vec::new(), at: Time(0), is_stalled: false }
    }

    /// How many merges run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Whether another one may begin.
    #[must_use]
    pub fn has_room(&self) -> bool {
        !self.is_stalled && self.free() > 0
    }

    /// What a new merge may read at most: less, the fewer places are free.
    #[must_use]
    pub fn bytes_max(&self) -> u64 {
        let free = self.free();
        if self.running.len() <= 1 || free >= FREE_TO_LOWER {
            return whole(LARGEST_MERGE);
        }
        let share = f64::from(free) / f64::from(FREE_TO_LOWER);
        whole(SMALLEST_LIMIT * (LARGEST_MERGE / SMALLEST_LIMIT).powf(share))
    }

    /// Begins a merge.
    pub fn begin(&mut self, table: usize, partition: i64, source: (u64, u64), length: usize) {
        let (block, bytes) = source;
        let Machine { merge_seconds, merge_part_seconds, merge_bytes_per_second, .. } = self.machine;
        let parts = as_f64(length as u64);
        let left = merge_seconds + merge_part_seconds * parts + as_f64(bytes) / merge_bytes_per_second;
        self.running.push(Merge { table, partition, block, length, bytes, left });
    }

    /// Stops all merges where they are, or lets them go on.
    pub fn stall(&mut self, now: Time, is_stalled: bool) {
        self.advance(now);
        self.is_stalled = is_stalled;
    }

    /// When the next merge ends, as things are.
    #[must_use]
    pub fn next_end(&self) -> Option<Time> {
        let least = self.running.iter().map(|merge| merge.left).min_by(f64::total_cmp)?;
        let milliseconds = (least.max(0.0) / self.speed()? * 1000.0).ceil();
        Some(Time(self.at.0 + whole(milliseconds)))
    }

    /// Lets the merges go on up to `now`, and takes out one that has ended by then.
    pub fn ended(&mut self, now: Time) -> Option<Merge> {
        self.advance(now);
        let at = self.running.iter().position(|merge| merge.left <= 0.000_001)?;
        Some(self.running.swap_remove(at))
    }

    /// Forgets the merges of table partitions that are dropped.
    pub fn forget(&mut self, is_dropped: impl Fn(&Merge) -> bool) {
        self.running.retain(|merge| !is_dropped(merge));
    }

    fn advance(&mut self, now: Time) {
        let seconds = now.since(self.at).as_secs_f64();
        if let Some(speed) = self.speed() {
            for merge in &mut self.running {
                merge.left -= seconds * speed;
            }
        }
        self.at = self.at.max(now);
    }

    /// The share of its full speed that each merge has; `None` while they stand still.
    fn speed(&self) -> Option<f64> {
        let running = as_f64(self.running.len().max(1) as u64);
        let at_once = f64::from(self.machine.threads).min(self.machine.merges_at_once);
        (!self.is_stalled).then_some((at_once / running).min(1.0))
    }

    fn free(&self) -> u32 {
        let places = self.machine.threads * self.machine.begun_per_thread;
        places.saturating_sub(u32::try_from(self.running.len()).unwrap_or(u32::MAX))
    }
}

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

    const MACHINE: Machine = Machine {
        threads: 4,
        begun_per_thread: 2,
        merge_bytes_per_second: 1000.0,
        merges_at_once: 2.0,
        merge_seconds: 0.0,
        merge_part_seconds: 0.0,
    };

    fn begun(bytes: &[u64]) -> Pool {
        let mut pool = Pool::new(MACHINE);
        for (number, bytes) in bytes.iter().enumerate() {
            pool.begin(0, 0, (number as u64, *bytes), 2);
        }
        pool
    }

    #[test]
    fn merges_share_what_the_machine_gives() {
        assert_eq!(begun(&[5000]).next_end(), Some(Time(5000)));
        assert_eq!(begun(&[5000, 6000]).next_end(), Some(Time(5000)), "two at full speed");
        let mut pool = begun(&[5000, 6000, 6000, 6000]);
        assert_eq!(pool.next_end(), Some(Time(10_000)), "four at half of it");
        assert_eq!(pool.ended(Time(9_999)), None);
        assert_eq!(pool.ended(Time(10_000)).map(|merge| merge.bytes), Some(5000));
        assert_eq!(pool.next_end(), Some(Time(11_500)), "three at two thirds");
    }

    #[test]
    fn a_stall_stops_them_where_they_are() {
        let mut pool = begun(&[5000]);
        pool.stall(Time(2000), true);
        assert_eq!((pool.next_end(), pool.has_room()), (None, false));
        pool.stall(Time(60_000), false);
        assert_eq!(pool.next_end(), Some(Time(63_000)));
    }

    #[test]
    fn the_fewer_places_are_free_the_smaller_a_new_merge_is() {
        assert_eq!(begun(&[]).bytes_max(), 150 << 30);
        assert_eq!(begun(&[1]).bytes_max(), 150 << 30, "one alone may be as large as any");
        let half = begun(&[1; 4]).bytes_max();
        assert!((300 << 20..500 << 20).contains(&half), "between 1 MiB and 150 GiB, by powers: {half}");
        assert!(begun(&[1; 7]).bytes_max() < 8 << 20);
        assert!(!begun(&[1; 8]).has_room());
    }
}
