//! What a claim says, and how it travels in the metadata of Kafka's own offset commit.
//!
//! Metadata that does not decode is not ours and counts as none. Does not know when a claim is made or what becomes
//! of it; the bytes are [`encoding`]'s.

mod encoding;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::moment::ServerTime;
use crate::offset::{Offset, Partition, Range};
use crate::pump::TableId;

/// Longest metadata in bytes; brokers take 4,096 by default (`offset.metadata.max.bytes`).
pub const METADATA_BYTES_MAX: usize = 3_000;
/// Batches that a partition's history remembers.
pub const HISTORY_MAX: usize = 8;
/// Batches that one claim may supersede: each is one more time that a batch grew old while it was in doubt.
pub const SUPERSEDES_MAX: usize = 4;
/// Rows that one claim may exclude: each is one that the server refuses.
pub const EXCLUDED_MAX: usize = 64;

/// A batch's identity: 128 random bits, drawn when it closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BatchId(pub u128);

/// What is written down before a batch is inserted: enough to build the very same batch again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The batch.
    pub id: BatchId,
    /// When it was claimed, by ClickHouse's clock: the value of `_ingested_at`.
    pub claimed_at: ServerTime,
    /// Hash of all that shapes a row: format, columns, tables. A claim of another shape is not rebuilt.
    pub shape: u32,
    /// The configuration's revision, for people.
    pub revision: String,
    /// One range per partition; never empty.
    pub ranges: BTreeMap<Partition, Range>,
    /// No insert of it carries a later deadline, whoever sends it.
    pub sent_until: ServerTime,
    /// The batches it replaces on its partitions, oldest first: what a table holds of them is left out of this one.
    /// At most [`SUPERSEDES_MAX`].
    pub supersedes: Vec<Superseded>,
    /// Rows of its ranges that the server refuses: they are dead letters of this batch. At most [`EXCLUDED_MAX`].
    pub excluded: BTreeSet<Excluded>,
}

/// A row that is left out of one table: the server refuses it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Excluded {
    /// Its record's partition.
    pub partition: Partition,
    /// Its record's offset.
    pub offset: Offset,
    /// Its place in the message.
    pub index: u32,
    /// The table that it is left out of.
    pub table: TableId,
}

/// A batch that nobody can insert any more and that another one replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Superseded {
    /// The batch.
    pub id: BatchId,
    /// When it was claimed: the `_ingested_at` of the rows it may have left.
    pub claimed_at: ServerTime,
}

/// A batch that a partition went past, and where the partition stood afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Settled {
    /// The batch; [`BatchId::ORIGIN`] for the mark that starts a history.
    pub id: BatchId,
    /// The partition's offset after it.
    pub to: Offset,
    /// Whether the batch itself brought the partition there.
    pub became: Became,
}

/// What became of a batch on one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Became {
    /// It landed, in every table.
    Landed,
    /// Another batch took its place here, with those of its rows that no table had.
    Superseded,
}

impl Claim {
    /// The times of the batches whose rows stand for its ranges: those it supersedes, then its own.
    #[must_use]
    pub fn times(&self) -> Vec<ServerTime> {
        let superseded = self.supersedes.iter().map(|superseded| superseded.claimed_at);
        superseded.chain([self.claimed_at]).collect()
    }

    /// Whether it replaces `batch`.
    #[must_use]
    pub fn supersedes(&self, batch: BatchId) -> bool {
        self.supersedes.iter().any(|superseded| superseded.id == batch)
    }
}

/// What pumphouse keeps beside a partition's committed offset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Metadata {
    /// The batch that may be under way.
    pub claim: Option<Claim>,
    /// The last batches that ended here, oldest first; at most [`HISTORY_MAX`].
    pub history: Vec<Settled>,
    /// When the group began to keep this partition: a partition added later starts with what came after that.
    pub since: ServerTime,
}

impl BatchId {
    /// The mark of a history's beginning; no batch has it.
    pub const ORIGIN: Self = Self(0);
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Metadata {
    /// A history that begins at `offset`, now.
    #[must_use]
    pub fn origin(offset: Offset, since: ServerTime) -> Self {
        let mark = Settled { id: BatchId::ORIGIN, to: offset, became: Became::Landed };
        Self { claim: None, history: vec![mark], since }
    }

    /// Whether this can stand beside `partition` at `offset`. Tools copy metadata with offsets of another cluster
    /// or partition; what was not written here counts as nobody's.
    #[must_use]
    pub fn belongs_to(&self, partition: Partition, offset: Offset) -> bool {
        let remembered = self.history.last().is_none_or(|settled| settled.to <= offset);
        let claimed = |claim: &Claim| claim.ranges.get(&partition).is_some_and(|range| range.from == offset);
        remembered && self.claim.as_ref().is_none_or(claimed)
    }

    /// This metadata with `claim` in it.
    #[must_use]
    pub fn claiming(&self, claim: &Claim) -> Self {
        Self { claim: Some(claim.clone()), ..self.clone() }
    }

    /// This metadata after `id` landed and the partition moved to `to`. What `id` superseded is remembered with it.
    #[must_use]
    pub fn settling(&self, id: BatchId, to: Offset) -> Self {
        let mut history = self.history.clone();
        let settled = self.claim.iter().filter(|claim| claim.id == id);
        history.extend(settled.flat_map(|claim| &claim.supersedes).map(|superseded| Settled {
            id: superseded.id,
            to,
            became: Became::Superseded,
        }));
        history.push(Settled { id, to, became: Became::Landed });
        let excess = history.len().saturating_sub(HISTORY_MAX);
        history.drain(..excess);
        Self { claim: None, history, since: self.since }
    }

    /// This metadata without its claim.
    #[must_use]
    pub fn dropping(&self) -> Self {
        Self { claim: None, ..self.clone() }
    }

    /// Text for an offset commit: ASCII.
    #[must_use]
    pub fn encode(&self) -> String {
        encoding::encode(self)
    }

    /// Reads what [`Self::encode`] wrote, in this version or an older one; `None` for anything else.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        encoding::decode(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::batch::PARTITIONS_MAX;

    fn claim(partitions: usize, from: u64) -> Claim {
        let ranges = (0..partitions)
            .map(|p| {
                (
                    Partition(u32::try_from(p * 7).expect("small")),
                    Range::new(Offset(from), Offset(from + 1_000_000)),
                )
            })
            .collect();
        Claim {
            id: BatchId(u128::MAX - 5),
            claimed_at: ServerTime(1_795_000_000_000),
            shape: u32::MAX,
            revision: "0123456789ab".into(),
            ranges,
            sent_until: ServerTime(1_795_001_790_000),
            supersedes: Vec::new(),
            excluded: BTreeSet::new(),
        }
    }

    fn excluded(partition: u32, offset: u64) -> Excluded {
        Excluded { partition: Partition(partition), offset: Offset(offset), index: 3, table: TableId(1) }
    }

    /// The claim with as much in it as the limits allow.
    fn full(claim: Claim) -> Claim {
        let supersedes = (0..SUPERSEDES_MAX as u128)
            .map(|n| Superseded { id: BatchId(u128::MAX - n), claimed_at: ServerTime(1_794_990_000_000) });
        let (partition, range) = claim.ranges.last_key_value().expect("a claim has ranges");
        let excluded = (1..=EXCLUDED_MAX as u64).map(|n| excluded(partition.0, range.to.0 - n));
        Claim { supersedes: supersedes.collect(), excluded: excluded.collect(), ..claim }
    }

    #[test]
    fn the_largest_claim_fits_what_a_broker_takes() {
        let mut metadata = Metadata::origin(Offset(0), ServerTime(1_795_000_000_000));
        for n in 0..20 {
            metadata = metadata.settling(BatchId(u128::MAX - n), Offset(u64::from(u32::MAX) * 1000));
        }
        let text = metadata.claiming(&full(claim(PARTITIONS_MAX, 900_000_000_000))).encode();
        assert!(text.len() <= METADATA_BYTES_MAX, "{} bytes", text.len());
    }

    #[test]
    fn a_claim_comes_back_unchanged() {
        let metadata = Metadata::origin(Offset(5), ServerTime(1_795_000_000_000))
            .settling(BatchId(9), Offset(7))
            .claiming(&full(claim(3, 7)));
        assert_eq!(Metadata::decode(&metadata.encode()), Some(metadata));
    }

    #[test]
    fn what_a_claim_superseded_is_remembered_as_superseded() {
        let claim = full(claim(1, 7));
        let settled =
            Metadata::origin(Offset(7), ServerTime(0)).claiming(&claim).settling(claim.id, Offset(9));
        let became: Vec<Became> = settled.history.iter().map(|settled| settled.became).collect();
        assert_eq!(became[1..], [[Became::Superseded; 4].as_slice(), &[Became::Landed]].concat());
        assert_eq!(Metadata::decode(&settled.encode()), Some(settled));
    }

    #[test]
    fn a_claim_speaks_for_the_batches_it_supersedes_and_is_dropped_alone() {
        let claim = full(claim(1, 7));
        assert_eq!(claim.times()[0], ServerTime(1_794_990_000_000));
        assert_eq!(claim.times().len(), SUPERSEDES_MAX + 1);
        assert_eq!(claim.times().last(), Some(&claim.claimed_at));
        let before = Metadata::origin(Offset(5), ServerTime(9)).settling(BatchId(9), Offset(7));
        assert_eq!(before.claiming(&claim).dropping(), before);
    }

    #[test]
    fn what_the_first_version_wrote_is_still_read() {
        // Written by version 1: a claim of partitions 0 and 7, and a history of two.
        let text =
            "AQH6______________________8DgPiy5b1o_____w8MMDEyMzQ1Njc4OWFiAgAHwIQ9BwfAhD0CAAUJB4D4suW9aKCTtJc";
        let metadata = Metadata::decode(text).expect("ours");
        let old = Claim { sent_until: ServerTime(1_795_000_000_000 + 1_790_000), ..claim(2, 7) };
        assert_eq!(
            metadata,
            Metadata::origin(Offset(5), ServerTime(1_795_000_000_000))
                .settling(BatchId(9), Offset(7))
                .claiming(&old)
        );
    }

    #[test]
    fn a_claim_that_excludes_what_it_does_not_cover_is_nobodys() {
        let mut claim = claim(2, 7);
        claim.excluded.insert(excluded(0, 6));
        let text = Metadata::origin(Offset(7), ServerTime(0)).claiming(&claim).encode();
        assert_eq!(Metadata::decode(&text), None);
    }

    #[test]
    fn one_changed_character_makes_it_foreign() {
        let text = Metadata::origin(Offset(5), ServerTime(1_795_000_000_000)).claiming(&claim(2, 7)).encode();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(Metadata::decode(&String::from_utf8(bytes).expect("ASCII")), None, "at {at}");
        }
    }

    #[test]
    fn metadata_of_another_place_is_nobodys() {
        let claim = claim(2, 7);
        let carrying = Metadata::origin(Offset(7), ServerTime(0)).claiming(&claim);
        assert!(carrying.belongs_to(Partition(0), Offset(7)));
        assert!(!carrying.belongs_to(Partition(0), Offset(6)), "a translated offset");
        assert!(!carrying.belongs_to(Partition(1), Offset(7)), "a partition that is not claimed");
        let settled = Metadata::origin(Offset(7), ServerTime(0)).settling(BatchId(1), Offset(9));
        assert!(settled.belongs_to(Partition(0), Offset(9)) && settled.belongs_to(Partition(0), Offset(12)));
        assert!(!settled.belongs_to(Partition(0), Offset(8)), "an offset set back by hand");
    }

    proptest! {
        #[test]
        fn foreign_metadata_never_decodes_and_never_panics(text in ".{0,200}") {
            prop_assert_eq!(Metadata::decode(&text), None);
        }
    }
}
