//! What is tried: a server, its tables, who writes to them, and what comes in. Plain data with sensible defaults.

use std::time::Duration;

use pumphouse_core::moment::Time;
use pumphouse_core::valve::ValvePolicy;

use super::lane::Batches;
use super::limits::Limits;
use super::load::{Burst, Spread};
use super::pool::Machine;

/// One run of the simulation. The same scenario gives the same run.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// What the server can do.
    pub machine: Machine,
    /// What an insert takes.
    pub insert: InsertCost,
    /// The tables, and targets of views, that every batch goes to. Never empty.
    pub tables: Vec<Target>,
    /// Who writes.
    pub writers: Writers,
    /// Rows that arrive in a second.
    pub rate: f64,
    /// When more of them arrive.
    pub bursts: Vec<Burst>,
    /// When merges stand still, and for how long.
    pub stall: Option<(Time, Duration)>,
    /// How long it goes on.
    pub span: Duration,
    /// Of what is left to chance.
    pub seed: u64,
}

/// A table, or the target of a view.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// For people.
    pub name: String,
    /// Its settings.
    pub limits: Limits,
    /// How its rows spread over its table partitions.
    pub spread: Spread,
    /// Bytes on disk of a row.
    pub row_bytes: f64,
    /// Rows of it that a row of the batch becomes.
    pub rows_of_one: f64,
    /// Whether it is filled by a view of another table: its parts come with an insert that is counted there.
    pub is_view: bool,
}

/// Who writes: processes with lanes, alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Writers {
    /// Processes.
    pub processes: u32,
    /// Lanes of each.
    pub lanes: u32,
    /// When their batches close.
    pub batches: Batches,
    /// How often each process asks for the pressure.
    pub reads_every: Duration,
}

/// What an insert takes, without delays. The defaults were measured (decision 0022).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InsertCost {
    /// Claim, request and answer.
    pub seconds: f64,
    /// Each row adds.
    pub row_seconds: f64,
    /// Each part that is written adds.
    pub part_seconds: f64,
}

impl Default for InsertCost {
    fn default() -> Self {
        Self { seconds: 0.02, row_seconds: 0.000_001, part_seconds: 0.002 }
    }
}

impl Default for Scenario {
    fn default() -> Self {
        let batches = Batches {
            freshness: Duration::from_secs(1),
            rows: 1_000_000,
            taken_per_second: 400_000,
            valve: Some(ValvePolicy::default()),
        };
        let table = Target {
            name: "table".to_owned(),
            limits: Limits::default(),
            spread: Spread::ONE,
            row_bytes: 60.0,
            rows_of_one: 1.0,
            is_view: false,
        };
        Self {
            machine: Machine::default(),
            insert: InsertCost::default(),
            tables: vec![table],
            writers: Writers { processes: 1, lanes: 2, batches, reads_every: Duration::from_secs(3) },
            rate: 10_000.0,
            bursts: Vec::new(),
            stall: None,
            span: Duration::from_hours(1),
            seed: 1,
        }
    }
}

impl Scenario {
    /// Lanes of all processes.
    #[must_use]
    pub fn lanes(&self) -> u32 {
        self.writers.processes.max(1) * self.writers.lanes.max(1)
    }
}
