//! What a claim says, and how it travels in the metadata of Kafka's own offset commit.
//!
//! `base64url( version | postcard(body) | crc32c of both, little endian )`. Metadata that does not decode is
//! not ours and counts as none. Does not know when a claim is made or what becomes of it.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::moment::ServerTime;
use crate::offset::{Offset, Partition, Range};

/// Longest metadata in bytes; brokers take 4,096 by default (`offset.metadata.max.bytes`).
pub const METADATA_BYTES_MAX: usize = 3_000;
/// Batches that a partition's history remembers.
pub const HISTORY_MAX: usize = 8;
/// Version of the encoding; the first byte before base64.
const VERSION: u8 = 1;

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
}

/// A batch that a partition saw land, and where the partition stood afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Settled {
    /// The batch; [`BatchId::ORIGIN`] for the mark that starts a history.
    pub id: BatchId,
    /// The partition's offset after it.
    pub to: Offset,
}

/// What pumphouse keeps beside a partition's committed offset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Metadata {
    /// The batch that may be under way.
    pub claim: Option<Claim>,
    /// The last batches settled here, oldest first; at most [`HISTORY_MAX`].
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
        Self { claim: None, history: vec![Settled { id: BatchId::ORIGIN, to: offset }], since }
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

    /// This metadata after `id` landed and the partition moved to `to`.
    #[must_use]
    pub fn settling(&self, id: BatchId, to: Offset) -> Self {
        let mut history = self.history.clone();
        history.push(Settled { id, to });
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
        let body = Body::from(self);
        let mut bytes = vec![VERSION];
        bytes.extend(postcard::to_stdvec(&body).expect("plain data always has an encoding"));
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what [`Self::encode`] wrote; `None` for anything else.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (signed, crc) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(signed) != u32::from_le_bytes(*crc) {
            return None;
        }
        let (version, body) = signed.split_first()?;
        if *version != VERSION {
            return None;
        }
        postcard::from_bytes::<Body>(body).ok()?.into_metadata()
    }
}

/// The encoding's body: ranges as (partition, from, length), which postcard packs into a few bytes.
#[derive(Serialize, Deserialize)]
struct Body {
    claim: Option<ClaimBody>,
    history: Vec<Settled>,
    since: ServerTime,
}

#[derive(Serialize, Deserialize)]
struct ClaimBody {
    id: BatchId,
    claimed_at: ServerTime,
    shape: u32,
    revision: String,
    ranges: Vec<(u32, u64, u64)>,
}

impl From<&Metadata> for Body {
    fn from(metadata: &Metadata) -> Self {
        let claim = metadata.claim.as_ref().map(|claim| ClaimBody {
            id: claim.id,
            claimed_at: claim.claimed_at,
            shape: claim.shape,
            revision: claim.revision.clone(),
            ranges: claim
                .ranges
                .iter()
                .map(|(partition, range)| (partition.0, range.from.0, range.len()))
                .collect(),
        });
        Self { claim, history: metadata.history.clone(), since: metadata.since }
    }
}

impl Body {
    fn into_metadata(self) -> Option<Metadata> {
        let claim = match self.claim {
            Some(body) => Some(body.into_claim()?),
            None => None,
        };
        Some(Metadata { claim, history: self.history, since: self.since })
    }
}

impl ClaimBody {
    fn into_claim(self) -> Option<Claim> {
        let mut ranges = BTreeMap::new();
        for (partition, from, length) in self.ranges {
            let to = from.checked_add(length)?;
            ranges.insert(Partition(partition), Range::new(Offset(from), Offset(to)));
        }
        let Self { id, claimed_at, shape, revision, .. } = self;
        (!ranges.is_empty()).then_some(Claim { id, claimed_at, shape, revision, ranges })
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
        }
    }

    #[test]
    fn the_largest_claim_fits_what_a_broker_takes() {
        let mut metadata = Metadata::origin(Offset(0), ServerTime(1_795_000_000_000));
        for n in 0..20 {
            metadata = metadata.settling(BatchId(u128::MAX - n), Offset(u64::from(u32::MAX) * 1000));
        }
        let text = metadata.claiming(&claim(PARTITIONS_MAX, 900_000_000_000)).encode();
        assert!(text.len() <= METADATA_BYTES_MAX, "{} bytes", text.len());
    }

    #[test]
    fn a_claim_comes_back_unchanged() {
        let metadata = Metadata::origin(Offset(5), ServerTime(1_795_000_000_000))
            .settling(BatchId(9), Offset(7))
            .claiming(&claim(3, 7));
        assert_eq!(Metadata::decode(&metadata.encode()), Some(metadata));
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
