//! Offsets that no record will ever come of, and starts that nobody wrote down: what has to be reported, and when a
//! start may be taken. Knows neither Kafka's retention nor the tables; it is told what they hold.

use std::collections::BTreeMap;

use crate::claim::Claim;
use crate::moment::ServerTime;
use crate::offset::{Offset, Partition, Range};
use crate::verdict::Refusal;

/// What is done about records that Kafka deleted before they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GapPolicy {
    /// They are written down as a gap, and the stream goes on behind them.
    Report,
    /// The stream stops for a person.
    Halt,
}

/// Gaps to be written down by one report.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gaps {
    /// The offsets that Kafka no longer holds, by partition.
    pub missing: BTreeMap<Partition, Range>,
    /// What they were to become.
    pub of: GapOf,
}

/// What missing offsets were to become.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GapOf {
    /// Nobody has read them. With it, when the group began to keep each partition: the same offsets of a topic made anew
    /// are another gap.
    Unread(BTreeMap<Partition, ServerTime>),
    /// Rows of a batch that may have landed: only what the tables do not hold of it is missing.
    Claim(Claim),
}

/// What is known after gaps were written down. There is no fourth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GapsAnswer {
    /// All of them stand there.
    Done,
    /// Some may stand there.
    Unknown,
    /// The last one asked for does not stand there, proven.
    Refused(Refusal),
}

/// What stands behind the start of a partition without metadata of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// What the group holds for it, read after the tables were asked: then their rows are older than that.
    pub committed: Committed,
    /// The highest offset of it that the tables hold; `None` where they hold none or can't tell.
    pub highest: Option<Offset>,
    /// The end of its log.
    pub end: Offset,
}

/// What a group holds for a partition that had no metadata of ours when it was assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Committed {
    /// No offset: the group is new, or its offsets expired.
    Never,
    /// An offset and nothing beside it: somebody set it.
    Bare,
    /// An offset with somebody else's metadata, or ours in pieces.
    Foreign,
    /// An offset with metadata of ours: somebody else owns the partition by now.
    Ours,
}

/// A start that would double rows, or skip records without a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LostPlace {
    /// Where the partition would start.
    pub start: Offset,
    /// What stands behind it.
    pub origin: Origin,
}

impl Origin {
    /// Whether a partition may start at `start` without doubling a row or skipping a record:
    ///
    /// | the group holds | the tables hold | start |
    /// |---|---|---|
    /// | an offset with metadata of ours | anything | not taken: the partition is another's |
    /// | an offset set by hand | anything | taken: a person said so |
    /// | an offset with foreign metadata | nothing from `start` on | taken |
    /// | an offset with foreign metadata | rows from `start` on | not taken: a claim of ours may have stood there |
    /// | nothing | nothing | taken: a new group |
    /// | nothing | rows up to `start` exactly | taken: nothing is doubled, nothing skipped |
    /// | nothing | rows that end elsewhere | not taken: the offsets were lost |
    #[must_use]
    pub fn allows(&self, start: Offset) -> bool {
        match (self.committed, self.highest) {
            (Committed::Ours, _) => false,
            (Committed::Bare, _) | (_, None) => true,
            (Committed::Foreign, Some(highest)) => highest < start,
            (Committed::Never, Some(highest)) => highest.0 + 1 == start.0,
        }
    }
}

impl Gaps {
    /// Tells the gap of `partition` apart from all others, the same for whoever finds it at whatever attempt.
    #[must_use]
    pub fn token(&self, stream: &str, topic: &str, partition: Partition) -> Option<String> {
        let Range { from, to } = self.missing.get(&partition)?;
        let of = match &self.of {
            GapOf::Unread(since) => since.get(&partition)?.0.to_string(),
            GapOf::Claim(claim) => claim.id.to_string(),
        };
        Some(format!("ph1g:{stream}/{topic}/{partition}/{from}-{to}/{of}"))
    }
}

impl LostPlace {
    /// Where reading would go on without doubling a row.
    #[must_use]
    pub fn goes_on_at(&self) -> Offset {
        self.origin.highest.map_or(self.start, |highest| Offset(highest.0 + 1))
    }

    /// Whether the log ends before what the tables hold of it: it was made anew, or cut.
    #[must_use]
    pub fn is_of_another_log(&self) -> bool {
        self.goes_on_at() > self.origin.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(committed: Committed, highest: Option<u64>) -> Origin {
        Origin { committed, highest: highest.map(Offset), end: Offset(100) }
    }

    #[test]
    fn a_start_is_taken_where_nothing_is_doubled_or_skipped_or_a_person_said_so() {
        use Committed::{Bare, Foreign, Never, Ours};
        for (committed, highest, allowed) in [
            (Never, None, true),
            (Never, Some(49), true),
            (Never, Some(48), false),
            (Never, Some(50), false),
            (Never, Some(99), false),
            (Bare, None, true),
            (Bare, Some(99), true),
            (Foreign, None, true),
            (Foreign, Some(49), true),
            (Foreign, Some(50), false),
            (Ours, None, false),
        ] {
            let allows = origin(committed, highest).allows(Offset(50));
            assert_eq!(allows, allowed, "{committed:?} {highest:?}");
        }
    }

    #[test]
    fn a_gap_has_the_same_token_for_whoever_finds_it_and_none_where_nothing_is_missing() {
        let here = Partition(3);
        let missing = BTreeMap::from([(here, Range::new(Offset(5), Offset(9)))]);
        let gaps = Gaps { missing, of: GapOf::Unread(BTreeMap::from([(here, ServerTime(77))])) };
        let token = gaps.token("clicks", "app.clicks", here);
        assert_eq!(token.as_deref(), Some("ph1g:clicks/app.clicks/3/5-9/77"));
        assert_eq!(gaps.token("clicks", "app.clicks", Partition(4)), None);
    }

    #[test]
    fn a_log_that_ends_before_its_rows_is_another_one() {
        let lost = |highest| LostPlace { start: Offset(0), origin: origin(Committed::Never, Some(highest)) };
        assert!(!lost(98).is_of_another_log() && !lost(99).is_of_another_log());
        assert!(lost(100).is_of_another_log());
        assert_eq!(lost(98).goes_on_at(), Offset(99));
    }
}
