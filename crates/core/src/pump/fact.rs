//! The pump's two vocabularies: facts that come in, orders that go out. Plain data, no behaviour.

use std::collections::{BTreeMap, BTreeSet};

use crate::batch::{CloseReason, Filled};
use crate::claim::{BatchId, Claim, Metadata};
use crate::gap::{Gaps, GapsAnswer, Origin};
use crate::isolation::Isolation;
use crate::lane::Stored;
use crate::moment::{ServerTime, Time};
use crate::offset::{Offset, Partition, Range};
use crate::valve::Pressure;
use crate::verdict::{Halt, Refusal};

/// One of the targets a batch goes to, a table or the topic of its dead letters, by its place in the policy's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub u8);

/// One offset commit, so that its answer finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommitId(pub u64);

/// How an offset commit failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommitFailure {
    /// The coordinator refused the whole request for now and stored nothing of it (a rebalance, a move).
    NotYet,
    /// Unanswered, partly stored or fenced: what is stored has to be read by a new member.
    Unknown,
    /// The broker takes less metadata than a claim needs.
    TooLarge,
}

/// One order whose answer has to find it: a question or a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderId(pub u64);

/// A fact.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// The group gave us these partitions, and this is what Kafka holds for them.
    Assigned(BTreeMap<Partition, Stored>),
    /// The group wants these back by `until`; nothing has been given up yet.
    Revoking {
        /// The partitions.
        partitions: BTreeSet<Partition>,
        /// When waiting for a batch to land has to end.
        until: Time,
    },
    /// The membership is over, and with it every partition.
    Lost,
    /// Records of one partition were decoded into the open batch.
    Fetched {
        /// The partition.
        partition: Partition,
        /// From the position before to the position after.
        range: Range,
        /// What they amount to.
        filled: Filled,
    },
    /// An offset commit was stored for all its partitions.
    Committed(CommitId),
    /// An offset commit failed.
    CommitFailed(CommitId, CommitFailure),
    /// What Kafka holds for every partition of a claim.
    StoredRead(BatchId, BTreeMap<Partition, Stored>),
    /// A claimed batch was built again from Kafka.
    Rebuilt {
        /// The claim that was read.
        claim: Box<Claim>,
        /// What it amounts to.
        filled: Filled,
        /// Retention deleted these parts of it: it is without them.
        deleted: BTreeMap<Partition, Range>,
    },
    /// A claimed batch can't be built again: Kafka no longer holds this range.
    Gone(BatchId, Partition, Range),
    /// What stands behind the starts of partitions without metadata of ours.
    Origins(OrderId, BTreeMap<Partition, Origin>),
    /// What is known after gaps were written down.
    GapsAnswered(OrderId, GapsAnswer),
    /// Whether the table holds rows of the batch; `None` where it can't tell.
    Probed(BatchId, Option<bool>),
    /// What a survey found out about a batch.
    Surveyed(BatchId, Survey),
    /// So much came into a table since the claim was made that its token may be forgotten there; nothing was sent.
    TokenForgotten(BatchId, TableId),
    /// The insert is done.
    Inserted(BatchId, TableId),
    /// The insert may or may not be done.
    InsertUnknown(BatchId, TableId),
    /// Nothing of the insert landed, proven.
    InsertRefused(BatchId, TableId, Refusal),
    /// The insert failed by an error that a row may be at fault for, and it may or may not be done.
    InsertSuspect(BatchId, TableId),
    /// Which rows of the batch this table refuses.
    Isolated(BatchId, TableId, Isolation),
    /// The next position of a partition lies outside its log, which holds `[low, high)`.
    OutOfRange {
        /// The partition.
        partition: Partition,
        /// The first offset in the log.
        low: Offset,
        /// The end of the log.
        high: Offset,
    },
    /// For this reason a server failed an insert that may be done all the same; what became of it is a fact of its own.
    Strained(Refusal),
    /// What servers say of the parts of all tables, in the same order each time; nothing where they could not be asked.
    Pressure(Vec<Pressure>),
    /// Settle what is open, then leave; at the given time leave in any case.
    Drain(Time),
    /// Time passed.
    Tick,
}

/// What is known of a batch that is to be superseded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Survey {
    /// Nobody can insert it any more, and every table can tell which of its rows it holds.
    Over,
    /// Somebody may still insert it.
    NotYet,
    /// A table can't tell which of its rows it, or what its views fill, holds.
    CannotTell,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Store these offsets and metadata by one request.
    Commit(CommitId, BTreeMap<Partition, (Offset, Metadata)>),
    /// Take the open rows as the payload of this claim; a new open batch begins.
    Seal(Claim, CloseReason),
    /// Forget the open rows of these partitions.
    DropRows(BTreeSet<Partition>),
    /// Insert the batch's rows for one table.
    Insert {
        /// The claim, whose identity makes the token.
        claim: Claim,
        /// The table.
        table: TableId,
        /// When ClickHouse has to refuse it.
        deadline: ServerTime,
        /// Counted from 1.
        attempt: u32,
    },
    /// Find out which rows of the claim the table refuses, without storing any.
    Isolate(Claim, TableId),
    /// The batch is in every table and the offsets are past it, or it is somebody else's now.
    Forget(BatchId, Outcome),
    /// Read what Kafka holds for all partitions of the claim.
    ReadStored(Claim),
    /// Read the claim's ranges again and decode them. What the tables hold of the batches that it supersedes is left
    /// out, table by table.
    Rebuild(Claim),
    /// Ask the tables whether rows of the claim are there.
    Probe(Claim),
    /// Find out whether nobody can insert this claim any more, and whether the tables can tell what of it they hold.
    Survey {
        /// The claim.
        claim: Claim,
        /// Nobody can before this, by ClickHouse's clock.
        over_at: ServerTime,
    },
    /// Find out what stands behind these starts, which have no metadata of ours.
    AskOrigins(OrderId, BTreeMap<Partition, Offset>),
    /// Write these gaps down where audits find them.
    ReportGaps(OrderId, Gaps),
    /// Give these partitions back to the group.
    Release(BTreeSet<Partition>),
    /// Give up the membership and join as a new member.
    Rejoin,
    /// Leave the group; nothing is open.
    Leave,
    /// Stop for a person.
    Halt(Halt),
}

/// What became of a batch, for logs and counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Settled after our own insert.
    Settled,
    /// Settled after we inserted again what an earlier owner had claimed.
    Resent,
    /// Settled because another owner had landed it.
    FoundLanded,
    /// Dropped: it was never whole.
    Dropped,
    /// Not sent any more: it was too old, and nothing of it landed. Its ranges are claimed again.
    Reclaimed,
    /// Not sent any more: its token no longer decides. Its ranges are claimed again, without what landed.
    Superseded,
    /// Left to the next owner.
    Left,
}
