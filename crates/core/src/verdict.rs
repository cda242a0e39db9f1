//! A failed insert's kind to what follows: try again after a while, or halt for a person.
//!
//! Overload is a pause, never a verdict on data; what nobody understands is a stop, never a dead letter.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::claim::{BatchId, Claim};
use crate::gap::LostPlace;
use crate::offset::{Partition, Range};
use crate::pump::TableId;

/// Why an insert was refused; a kind exists only where the answer differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    /// The server was not reached, so nothing was sent.
    NotSent,
    /// The server has more parts than it takes (252).
    TooManyParts,
    /// The server is short of memory, threads or time.
    Overloaded,
    /// The table takes no writes for now.
    ReadOnly,
    /// The insert came past its deadline.
    Deadline,
    /// User, password or grants.
    Access,
    /// The table, or a column of it, is not there.
    Missing,
    /// The server refuses the block for what a row of it holds: a constraint, a value that does not fit.
    Row,
    /// The server will never take this block as a whole: a limit.
    Block,
    /// A proven refusal of a kind nobody classified.
    Other,
    /// Rows are missing although the insert is answered as done, and could not be brought back.
    Unmended,
    /// Rows are there twice.
    Doubled,
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The same insert again after this pause.
    Retry(Duration),
    /// The rows that are at fault are looked for.
    Isolate,
    /// A person is needed.
    Halt,
}

/// Why a lane stopped for a person.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Halt {
    /// One of the batch's targets refuses it and would refuse it again.
    Refused(BatchId, TableId, Refusal),
    /// A table refuses every row of the batch.
    EveryRow(BatchId, TableId),
    /// A table refuses more rows of the batch than a claim can name, and another one may have the batch already.
    TooManyRows(BatchId, TableId),
    /// The position lies behind the end of the log.
    OutOfRange {
        /// The partition.
        partition: Partition,
        /// From the end of the log to the position.
        missing: Range,
    },
    /// The log begins behind the position.
    RecordsGone {
        /// The partition.
        partition: Partition,
        /// From the position to the beginning of the log.
        missing: Range,
    },
    /// The claim was made under another configuration.
    Shape(Box<Claim>),
    /// The claim is older than its token is remembered for sure.
    TooOld(Box<Claim>),
    /// Neither the metadata nor the table can tell what became of the claim.
    Undecidable(Box<Claim>),
    /// Kafka no longer holds what the claim covers.
    Gone {
        /// The batch.
        batch: BatchId,
        /// The partition whose records are gone.
        partition: Partition,
        /// The claimed range there.
        range: Range,
    },
    /// The broker takes no metadata of the size that a claim needs.
    MetadataTooLarge,
    /// Nobody wrote down where these partitions stand, and the tables hold rows that speak against the start.
    OffsetsLost(BTreeMap<Partition, LostPlace>),
    /// The table of gaps refuses a gap and would refuse it again.
    GapsRefused(Refusal),
}

/// Shortest pause before a retry.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// Longest pause before a retry.
pub const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Shortest pause while parts are too many: merges take seconds.
const PAUSE_PARTS_MIN: Duration = Duration::from_secs(1);

/// What follows a refused insert, for the `attempt`th time, counted from 1.
///
/// | refusal | verdict |
/// |---|---|
/// | not sent, overloaded, read-only, past the deadline | retry, 0.2 s doubling to 10 s |
/// | too many parts | retry, 1 s doubling to 10 s |
/// | row | look for the rows |
/// | access, missing, block, other; rows missing or doubled | halt |
#[must_use]
pub fn on_refusal(refusal: Refusal, attempt: u32, jitter: u128) -> Verdict {
    match refusal {
        Refusal::NotSent | Refusal::Overloaded | Refusal::ReadOnly | Refusal::Deadline => {
            Verdict::Retry(pause(PAUSE_MIN, attempt, jitter))
        }
        Refusal::TooManyParts => Verdict::Retry(pause(PAUSE_PARTS_MIN, attempt, jitter)),
        Refusal::Row => Verdict::Isolate,
        Refusal::Access
        | Refusal::Missing
        | Refusal::Block
        | Refusal::Other
        | Refusal::Unmended
        | Refusal::Doubled => Verdict::Halt,
    }
}

/// The pause before an insert in doubt is sent again.
#[must_use]
pub fn pause_in_doubt(attempt: u32, jitter: u128) -> Duration {
    pause(PAUSE_MIN, attempt, jitter)
}

/// Doubles from `shortest` and shortens by up to a half at random, so that lanes do not knock together.
fn pause(shortest: Duration, attempt: u32, jitter: u128) -> Duration {
    let doubled = shortest.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(PAUSE_MAX);
    let half = u64::try_from(doubled.as_millis() / 2).unwrap_or(u64::MAX);
    let shortened = u64::try_from(jitter % u128::from(half.max(1))).unwrap_or(0);
    doubled.saturating_sub(Duration::from_millis(shortened))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overload_is_never_a_halt() {
        for refusal in [
            Refusal::NotSent,
            Refusal::TooManyParts,
            Refusal::Overloaded,
            Refusal::ReadOnly,
            Refusal::Deadline,
        ] {
            for attempt in [1, 2, 10, 1_000, u32::MAX] {
                let Verdict::Retry(pause) = on_refusal(refusal, attempt, u128::MAX) else {
                    panic!("{refusal:?}")
                };
                assert!(pause >= PAUSE_MIN / 2 && pause <= PAUSE_MAX, "{refusal:?} {attempt}: {pause:?}");
            }
        }
    }

    #[test]
    fn a_refused_row_is_looked_for_however_often_it_was_refused() {
        assert_eq!(on_refusal(Refusal::Row, 1, 0), Verdict::Isolate);
        assert_eq!(on_refusal(Refusal::Row, u32::MAX, u128::MAX), Verdict::Isolate);
    }

    #[test]
    fn what_a_retry_cannot_mend_halts() {
        for refusal in [
            Refusal::Access,
            Refusal::Missing,
            Refusal::Block,
            Refusal::Other,
            Refusal::Unmended,
            Refusal::Doubled,
        ] {
            assert_eq!(on_refusal(refusal, 1, 0), Verdict::Halt);
        }
    }

    #[test]
    fn pauses_double_up_to_ten_seconds_and_shorten_by_up_to_a_half() {
        let pauses = |refusal| {
            [1, 2, 3, 6, 7, 40].map(|attempt| match on_refusal(refusal, attempt, 0) {
                Verdict::Retry(pause) => pause.as_millis(),
                verdict => panic!("{verdict:?}"),
            })
        };
        assert_eq!(pauses(Refusal::Overloaded), [200, 400, 800, 6_400, 10_000, 10_000]);
        assert_eq!(pauses(Refusal::TooManyParts), [1_000, 2_000, 4_000, 10_000, 10_000, 10_000]);
        assert_eq!(pause_in_doubt(2, 0).as_millis(), 400);
        assert_eq!(
            pause_in_doubt(2, 199).as_millis(),
            201,
            "half of it, less one, is the most that jitter takes"
        );
        assert_eq!(pause_in_doubt(2, 200).as_millis(), 400);
    }
}
