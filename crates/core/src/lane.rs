//! One partition's life in a lane: marked, fetching, recovering. Does not know of inserts.

use crate::claim::{BatchId, Metadata};
use crate::moment::ServerTime;
use crate::offset::{Offset, Partition, Range};

/// What Kafka holds for a partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stored {
    /// The committed offset, or where a group without one starts.
    pub offset: Offset,
    /// Our metadata; `None` where there is none or somebody else's.
    pub metadata: Option<Metadata>,
}

/// A partition this lane owns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owned {
    /// The committed offset.
    pub committed: Offset,
    /// The position of the next record to take.
    pub next: Offset,
    /// What stands beside the committed offset.
    pub metadata: Metadata,
    /// What happens to it now.
    pub stage: Stage,
}

/// What happens to an owned partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Its metadata is not ours yet; the start has to be written down before the first record is taken.
    Unmarked,
    /// It carries a claim whose fate is to be found out.
    Recovering(BatchId),
    /// Records flow.
    Fetching,
}

impl Stored {
    /// What a committed offset and the text beside it say of `partition`.
    #[must_use]
    pub fn read(partition: Partition, offset: Offset, text: &str) -> Self {
        let metadata = Metadata::decode(text).filter(|metadata| metadata.belongs_to(partition, offset));
        Self { offset, metadata }
    }
}

impl Owned {
    /// The state in which an assignment finds the partition; `now` begins its history if it has none.
    #[must_use]
    pub fn assigned(stored: Stored, now: ServerTime) -> Self {
        let Stored { offset, metadata } = stored;
        let stage = match &metadata {
            None => Stage::Unmarked,
            Some(Metadata { claim: Some(claim), .. }) => Stage::Recovering(claim.id),
            Some(Metadata { claim: None, .. }) => Stage::Fetching,
        };
        let metadata = metadata.unwrap_or_else(|| Metadata::origin(offset, now));
        Self { committed: offset, next: offset, metadata, stage }
    }

    /// Whether it carries the claim of `batch`.
    #[must_use]
    pub fn carries(&self, batch: BatchId) -> bool {
        self.metadata.claim.as_ref().is_some_and(|claim| claim.id == batch)
    }

    /// The range that the carried claim gives this partition.
    #[must_use]
    pub fn claimed_range(&self, partition: Partition) -> Option<Range> {
        self.metadata.claim.as_ref().and_then(|claim| claim.ranges.get(&partition).copied())
    }
}
