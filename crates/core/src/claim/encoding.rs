//! The bytes of [`Metadata`]: `base64url( version | postcard(body) | crc32c of both, little endian )`.
//!
//! | version | body |
//! |---|---|
//! | 1 | claim (id, time, shape, revision, ranges), history of batches that landed, since |
//! | 2 | more of a claim: until when it is sent, what it supersedes, what it excludes; of a history: what became |
//!
//! Both are read, the second is written. Does not know what any of it means.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{BatchId, Became, Claim, EXCLUDED_MAX, Excluded, Metadata, SUPERSEDES_MAX, Settled, Superseded};
use crate::moment::ServerTime;
use crate::offset::{Offset, Partition, Range};
use crate::pump::TableId;

/// The version that is written; the first byte before base64.
const VERSION: u8 = 2;
/// What a claim of version 1 does not say: no writer of it sends longer than this.
const FIRST_SENT_FOR: Duration = Duration::from_secs(1_790);

pub(super) fn encode(metadata: &Metadata) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend(postcard::to_stdvec(&Body::from(metadata)).expect("plain data always has an encoding"));
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn decode(text: &str) -> Option<Metadata> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (signed, crc) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(signed) != u32::from_le_bytes(*crc) {
        return None;
    }
    match signed.split_first()? {
        (1, body) => postcard::from_bytes::<FirstBody>(body).ok()?.into_metadata(),
        (&VERSION, body) => postcard::from_bytes::<Body>(body).ok()?.into_metadata(),
        _ => None,
    }
}

#[derive(Serialize, Deserialize)]
struct Body {
    claim: Option<ClaimBody>,
    history: Vec<Settled>,
    since: ServerTime,
}

#[derive(Serialize, Deserialize)]
struct ClaimBody {
    core: FirstClaim,
    /// Milliseconds after the claim.
    sent_for: u64,
    supersedes: Vec<Superseded>,
    excluded: Vec<ExcludedBody>,
}

/// Table, place of the partition in the ranges, distance from where that range begins, place in the message: few bytes.
type ExcludedBody = (u8, u16, u64, u32);

/// A claim as version 1 knew it: ranges as (partition, from, length), which postcard packs into a few bytes.
#[derive(Serialize, Deserialize)]
struct FirstClaim {
    id: BatchId,
    claimed_at: ServerTime,
    shape: u32,
    revision: String,
    ranges: Vec<(u32, u64, u64)>,
}

#[derive(Deserialize)]
struct FirstBody {
    claim: Option<FirstClaim>,
    history: Vec<(BatchId, Offset)>,
    since: ServerTime,
}

impl From<&Metadata> for Body {
    fn from(metadata: &Metadata) -> Self {
        let claim = metadata.claim.as_ref().map(ClaimBody::from);
        Self { claim, history: metadata.history.clone(), since: metadata.since }
    }
}

impl From<&Claim> for ClaimBody {
    fn from(claim: &Claim) -> Self {
        let ranges = claim.ranges.iter();
        let place = |row: &Excluded| {
            let before = claim.ranges.range(..row.partition).count();
            let from = claim.ranges.get(&row.partition).map_or(row.offset, |range| range.from);
            let distance = row.offset.0.wrapping_sub(from.0);
            (row.table.0, u16::try_from(before).unwrap_or(u16::MAX), distance, row.index)
        };
        Self {
            core: FirstClaim {
                id: claim.id,
                claimed_at: claim.claimed_at,
                shape: claim.shape,
                revision: claim.revision.clone(),
                ranges: ranges.map(|(partition, range)| (partition.0, range.from.0, range.len())).collect(),
            },
            sent_for: u64::try_from(claim.sent_until.0.saturating_sub(claim.claimed_at.0)).unwrap_or(0),
            supersedes: claim.supersedes.clone(),
            excluded: claim.excluded.iter().map(place).collect(),
        }
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

impl FirstBody {
    fn into_metadata(self) -> Option<Metadata> {
        let claim = match self.claim {
            Some(first) => Some(first.into_claim()?),
            None => None,
        };
        let landed = |(id, to)| Settled { id, to, became: Became::Landed };
        Some(Metadata { claim, history: self.history.into_iter().map(landed).collect(), since: self.since })
    }
}

impl ClaimBody {
    fn into_claim(self) -> Option<Claim> {
        let mut claim = self.core.into_claim()?;
        claim.sent_until = claim.claimed_at.after(Duration::from_millis(self.sent_for));
        let ranges: Vec<(Partition, Range)> = claim.ranges.iter().map(|(p, range)| (*p, *range)).collect();
        let excluded = self.excluded.into_iter().map(|(table, place, distance, index)| {
            let (partition, range) = *ranges.get(usize::from(place))?;
            let inside = distance < range.len();
            inside.then(|| {
                let offset = Offset(range.from.0 + distance);
                Excluded { partition, offset, index, table: TableId(table) }
            })
        });
        claim.excluded = excluded.collect::<Option<BTreeSet<_>>>()?;
        claim.supersedes = self.supersedes;
        (claim.excluded.len() <= EXCLUDED_MAX && claim.supersedes.len() <= SUPERSEDES_MAX).then_some(claim)
    }
}

impl FirstClaim {
    fn into_claim(self) -> Option<Claim> {
        let mut ranges = BTreeMap::new();
        for (partition, from, length) in self.ranges {
            let to = from.checked_add(length)?;
            ranges.insert(Partition(partition), Range::new(Offset(from), Offset(to)));
        }
        let Self { id, claimed_at, shape, revision, .. } = self;
        (!ranges.is_empty()).then(|| Claim {
            id,
            claimed_at,
            shape,
            revision,
            ranges,
            sent_until: claimed_at.after(FIRST_SENT_FOR),
            supersedes: Vec::new(),
            excluded: BTreeSet::new(),
        })
    }
}
