//! What to do with a claim that an assignment found: settle it, send it again, drop it, or ask the table.
//!
//! A claim is written to all its partitions by one commit, and a commit may be applied to only some of them.
//! So a claim found on one partition says nothing alone; what *all* its partitions hold decides.

use std::collections::BTreeMap;

use crate::claim::{Became, Claim, Metadata};
use crate::lane::Stored;
use crate::offset::{Offset, Partition};

/// The fate of a found claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It landed in every table; go past it.
    Landed,
    /// It was whole, and on some partition another batch took its place: nobody sends it any more.
    Superseded,
    /// It was whole and may have landed: build the same rows again and insert them with the same token.
    Resend,
    /// It was never whole, so nothing of it was ever inserted; take the records afresh.
    Drop,
    /// Some partition moved past it beyond its memory: it landed whole or was never whole, and the table knows.
    Unclear,
    /// Metadata is gone or foreign, so that it may be half landed: nothing here can tell.
    Undecidable,
}

/// Decides by what all partitions of `claim` hold; the first line that fits:
///
/// | what the partitions hold | fate |
/// |---|---|
/// | some history says that the batch landed | `Landed` |
/// | some claim or history says that another batch superseded it | `Superseded` |
/// | every partition carries the claim | `Resend` |
/// | some partition is ours since before the claim, without it, and stands at its `from` or remembers back to it | `Drop` |
/// | some partition is ours since before the claim and without it: it moved past it beyond its memory | `Unclear` |
/// | anything else: metadata gone, foreign or begun anew on all that do not carry it | `Undecidable` |
///
/// A history that began after the claim knows nothing of it: somebody wiped what stood there before.
/// `Resend` needs every partition: counting one that moved on as carrying would double rows.
#[must_use]
pub fn fate(claim: &Claim, stored: &BTreeMap<Partition, Stored>) -> Fate {
    let landed = |m: &Metadata| {
        m.history.iter().any(|settled| settled.id == claim.id && settled.became == Became::Landed)
    };
    let superseded = |m: &Metadata| {
        let by_claim = m.claim.as_ref().is_some_and(|other| other.supersedes(claim.id));
        by_claim || m.history.iter().any(|settled| settled.id == claim.id)
    };
    let carries = |m: &Metadata| m.claim.as_ref().is_some_and(|carried| carried.id == claim.id);
    let ours = |partition: &Partition| stored.get(partition).and_then(|s| s.metadata.as_ref());

    if claim.ranges.keys().filter_map(ours).any(landed) {
        Fate::Landed
    } else if claim.ranges.keys().filter_map(ours).any(superseded) {
        Fate::Superseded
    } else if claim.ranges.keys().all(|partition| ours(partition).is_some_and(carries)) {
        Fate::Resend
    } else if claim
        .ranges
        .iter()
        .any(|(partition, range)| stored.get(partition).is_some_and(|s| never_carried(s, claim, range.from)))
    {
        Fate::Drop
    } else if claim.ranges.keys().filter_map(ours).any(|m| !carries(m) && begins_before(m, claim)) {
        Fate::Unclear
    } else {
        Fate::Undecidable
    }
}

/// Whether this partition proves that it never carried `claim`, whose range here starts at `from`.
fn never_carried(stored: &Stored, claim: &Claim, from: Offset) -> bool {
    let Some(metadata) = &stored.metadata else { return false };
    if metadata.claim.as_ref().is_some_and(|carried| carried.id == claim.id) {
        return false;
    }
    if !begins_before(metadata, claim) {
        return false;
    }
    let remembers = metadata.history.first().is_some_and(|oldest| oldest.to <= from);
    stored.offset == from || remembers
}

/// Whether this history was begun before the claim. One begun later stands where somebody else's metadata was, or none:
/// what that partition carried before is not known any more.
fn begins_before(metadata: &Metadata, claim: &Claim) -> bool {
    metadata.since <= claim.claimed_at
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::claim::{BatchId, Superseded};
    use crate::moment::ServerTime;
    use crate::offset::Range;

    fn claim() -> Claim {
        let range = Range::new(Offset(10), Offset(20));
        Claim {
            id: BatchId(7),
            claimed_at: ServerTime(0),
            shape: 0,
            revision: String::new(),
            sent_until: ServerTime(0),
            supersedes: Vec::new(),
            excluded: BTreeSet::new(),
            ranges: [(Partition(0), range), (Partition(1), range)].into(),
        }
    }

    fn at(offset: u64, metadata: Metadata) -> Stored {
        Stored { offset: Offset(offset), metadata: Some(metadata) }
    }

    fn fate_of(zero: Stored, one: Stored) -> Fate {
        fate(&claim(), &[(Partition(0), zero), (Partition(1), one)].into())
    }

    #[test]
    fn a_history_that_holds_the_batch_is_proof_that_it_landed() {
        let settled = Metadata::origin(Offset(10), ServerTime(0)).settling(BatchId(7), Offset(20));
        let carrying = Metadata::origin(Offset(10), ServerTime(0)).claiming(&claim());
        assert_eq!(fate_of(at(10, carrying), at(20, settled)), Fate::Landed);
    }

    #[test]
    fn a_claim_on_every_partition_may_have_landed() {
        let carrying = Metadata::origin(Offset(10), ServerTime(0)).claiming(&claim());
        assert_eq!(fate_of(at(10, carrying.clone()), at(10, carrying)), Fate::Resend);
    }

    #[test]
    fn a_partition_still_at_the_start_never_carried_it() {
        let carrying = Metadata::origin(Offset(10), ServerTime(0)).claiming(&claim());
        assert_eq!(fate_of(at(10, carrying), at(10, Metadata::origin(Offset(3), ServerTime(0)))), Fate::Drop);
    }

    #[test]
    fn a_partition_that_moved_on_and_remembers_back_to_the_start_never_carried_it() {
        let carrying = Metadata::origin(Offset(10), ServerTime(0)).claiming(&claim());
        let moved = Metadata::origin(Offset(10), ServerTime(0)).settling(BatchId(8), Offset(15));
        assert_eq!(fate_of(at(10, carrying), at(15, moved)), Fate::Drop);
    }

    #[test]
    fn a_partition_that_moved_on_beyond_its_memory_proves_nothing() {
        let carrying = Metadata::origin(Offset(10), ServerTime(0)).claiming(&claim());
        let mut moved = Metadata::origin(Offset(10), ServerTime(0));
        for n in 0..9 {
            moved = moved.settling(BatchId(100 + n), Offset(21 + u64::try_from(n).expect("small")));
        }
        assert_eq!(fate_of(at(10, carrying), at(30, moved)), Fate::Unclear);
    }

    #[test]
    fn a_history_that_began_after_the_claim_knows_nothing_of_it() {
        let carrying = Metadata::origin(Offset(10), ServerTime(0)).claiming(&claim());
        for offset in [10, 20] {
            let anew = Metadata::origin(Offset(10), ServerTime(1));
            assert_eq!(fate_of(at(10, carrying.clone()), at(offset, anew)), Fate::Undecidable);
        }
    }

    #[test]
    fn a_batch_superseded_on_one_partition_is_dropped_and_sent_on_none() {
        let carrying = Metadata::origin(Offset(10), ServerTime(0)).claiming(&claim());
        let superseded = Superseded { id: BatchId(7), claimed_at: ServerTime(0) };
        let other = Claim { id: BatchId(8), supersedes: vec![superseded], ..claim() };
        let by_claim = Metadata::origin(Offset(10), ServerTime(0)).claiming(&other);
        assert_eq!(fate_of(at(10, carrying.clone()), at(10, by_claim.clone())), Fate::Superseded);
        let by_history = by_claim.settling(BatchId(8), Offset(20)).settling(BatchId(9), Offset(25));
        assert_eq!(fate_of(at(10, carrying), at(25, by_history)), Fate::Superseded);
    }

    #[test]
    fn foreign_metadata_proves_nothing_and_no_row_does() {
        let carrying = Metadata::origin(Offset(10), ServerTime(0)).claiming(&claim());
        assert_eq!(
            fate_of(at(10, carrying), Stored { offset: Offset(10), metadata: None }),
            Fate::Undecidable
        );
    }

    #[test]
    fn a_history_begun_after_the_claim_proves_nothing() {
        let carrying = Metadata::origin(Offset(10), ServerTime(0)).claiming(&claim());
        let marked_again = Metadata::origin(Offset(10), ServerTime(1));
        assert_eq!(fate_of(at(10, carrying.clone()), at(10, marked_again)), Fate::Undecidable);
        let moved = Metadata::origin(Offset(25), ServerTime(1)).settling(BatchId(9), Offset(30));
        assert_eq!(fate_of(at(10, carrying), at(30, moved)), Fate::Undecidable);
    }
}
