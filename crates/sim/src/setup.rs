//! How large a history is: members, partitions, tables, limits and times, drawn from its seed.

use std::time::Duration;

use pumphouse_core::batch::BatchPolicy;
use pumphouse_core::gap::GapPolicy;
use pumphouse_core::pump::Policy;
use pumphouse_core::valve::ValvePolicy;

use crate::chance::Chance;
use crate::clickhouse::Window;
use crate::topic::Shape;

/// The sizes of one history. Times in milliseconds.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Processes, each with one lane.
    pub members: usize,
    /// Partitions of the topic.
    pub partitions: usize,
    /// What its records are like.
    pub shape: Shape,
    /// Whether the tables can be asked by lineage.
    pub lineage: bool,
    /// Whether the first table has a view.
    pub with_view: bool,
    /// How long tokens are remembered.
    pub window: Window,
    /// What is done about records that retention ate.
    pub gaps: GapPolicy,
    /// Whether what refuses a row depends on nothing but the row.
    pub steady: bool,
    /// Rows of a batch.
    pub rows: u64,
    /// Age of a batch.
    pub freshness: u64,
    /// Longest insert.
    pub insert_timeout: u64,
    /// Age up to which a token is surely remembered.
    pub safe_age: u64,
    /// After which silence a member is expelled.
    pub session: u64,
    /// How long a round waits for members to join again.
    pub round: u64,
    /// How long a batch may take to land once its partitions are asked back.
    pub revoke_wait: u64,
    /// When the faults end.
    pub faults_until: u64,
}

impl Setup {
    /// Draws one.
    pub fn new(chance: &mut Chance) -> Self {
        let targets = u8::try_from(chance.between(2, 3)).expect("few");
        let slots = u8::try_from(chance.between(1, 3)).expect("few");
        let safe_age =
            if chance.one_in(3) { chance.between(14_000, 40_000) } else { chance.between(60_000, 300_000) };
        let replicated = chance.one_in(2);
        let members = chance.place(3) + 1;
        let lineage = !chance.one_in(8);
        // Without lineage nobody can ask whether a table still knows a token.
        let entries = if lineage && chance.one_in(3) {
            let each = usize::try_from(chance.between(4, 12)).expect("few");
            members * usize::from(slots) * each
        } else {
            10_000
        };
        let faults_until = chance.between(4_000, 60_000);
        Self {
            members,
            partitions: chance.place(4) + 1,
            shape: Shape { targets, slots, records: chance.between(6, 40) },
            lineage,
            with_view: chance.one_in(2),
            window: Window { entries, age: replicated.then_some(safe_age * 2) },
            gaps: if chance.one_in(6) { GapPolicy::Halt } else { GapPolicy::Report },
            steady: chance.one_in(2),
            rows: chance.between(1, 8),
            freshness: chance.between(10, 800),
            insert_timeout: chance.between(1_000, 4_000),
            safe_age,
            session: chance.between(3_000, 10_000),
            round: chance.between(5_000, 20_000),
            revoke_wait: chance.between(200, 3_000),
            faults_until,
        }
    }

    /// What a lane is told, under this shape.
    #[must_use]
    pub fn policy(&self, shape: u32) -> Policy {
        Policy {
            batch: BatchPolicy {
                freshness: Duration::from_millis(self.freshness),
                rows: self.rows,
                bytes: 1_000_000,
            },
            memory: 1_000_000,
            tables: self.shape.targets,
            letters: 1,
            shape,
            revision: "r".into(),
            insert_timeout: Duration::from_millis(self.insert_timeout),
            safe_age: Duration::from_millis(self.safe_age),
            gaps: self.gaps,
            valve: ValvePolicy {
                batch_age_max: Duration::from_millis(self.freshness * 8),
                ..ValvePolicy::default()
            },
        }
    }
}
