//! What an audit found of one stream. Plain data; how it is shown is the command's business.

use std::collections::BTreeMap;

use pumphouse_core::audit::{Bounds, Counts, Findings};
use pumphouse_core::offset::{Offset, Partition, Range};

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The stream.
    pub stream: String,
    /// Its topic.
    pub topic: String,
    /// Its tables.
    pub tables: Vec<String>,
    /// Tables that can't tell, with why.
    pub mute: Vec<(String, String)>,
    /// Each partition.
    pub partitions: BTreeMap<Partition, Part>,
    /// What is wrong or untold, where.
    pub findings: Findings,
    /// Reported gaps within what was audited, with their reasons.
    pub gaps: Vec<(Partition, Range, String)>,
    /// Messages that were read from the topic.
    pub read: u64,
    /// Ranges that hold what is missing.
    pub(super) missing_in: Vec<(Partition, Range)>,
}

/// What was found of one partition.
#[derive(Clone, Debug)]
pub struct Part {
    /// What was audited; none where nothing is settled.
    pub bounds: Option<Bounds>,
    /// The first offset that Kafka has.
    pub log_start: Offset,
    /// By table; none for what is of no table.
    pub by_table: BTreeMap<Option<usize>, Counts>,
}

impl Part {
    /// All tables together.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut all = Counts::default();
        self.by_table.values().for_each(|counts| all.add(counts));
        all
    }
}

impl Report {
    /// All partitions and tables together.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut all = Counts::default();
        self.partitions.values().for_each(|part| all.add(&part.counts()));
        all
    }

    /// Offsets that were audited.
    #[must_use]
    pub fn offsets(&self) -> u64 {
        self.partitions.values().filter_map(|part| part.bounds).map(|bounds| bounds.range.len()).sum()
    }
}
