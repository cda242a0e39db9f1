//! One state of a small world: the group, its members, the table, and what is under way between them.
//!
//! Members are interchangeable, so they stand in an order of their own making and their names do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use pumphouse_core::claim::{BatchId, Claim, Metadata};
use pumphouse_core::lane::Stored;
use pumphouse_core::moment::ServerTime;
use pumphouse_core::offset::{Offset, Partition};
use pumphouse_core::pump::{CommitId, OrderId, Pump, TableId};

use super::world::Faults;
use super::wrong::Wrong;

/// What one commit writes.
pub type Entries = BTreeMap<Partition, (Offset, Metadata)>;

/// The rows of a batch, as the records they come from.
pub type Rows = BTreeSet<(Partition, Offset)>;

/// One insert as it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Insert {
    /// The batch.
    pub batch: BatchId,
    /// The table.
    pub table: TableId,
    /// When ClickHouse has to refuse it.
    pub deadline: ServerTime,
    /// Its rows.
    pub rows: Rows,
}

/// Something a member asked for and that has not been answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Asked {
    /// A commit.
    Commit(CommitId, Entries),
    /// A commit of somebody who is no longer in the group.
    Fenced(CommitId),
    /// An insert.
    Insert(Insert),
    /// What all partitions of a claim hold.
    ReadStored(Claim),
    /// The same, read but not yet told.
    Read(BatchId, BTreeMap<Partition, Stored>),
    /// A claim's rows.
    Rebuild(Claim),
    /// Whether rows of a claim are there.
    Probe(Claim),
    /// Which rows of a claim a table refuses.
    Isolate(Claim, TableId),
    /// What stands behind the starts of these partitions.
    Origins(OrderId, BTreeSet<Partition>),
    /// That these records are gone is to be written down.
    Gaps(OrderId, Rows),
    /// Whether nobody can insert a batch any more, which can't be before this time.
    Survey(BatchId, ServerTime),
}

/// Where a member stands with the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// In it.
    Inside,
    /// The group went on without it, and it does not know.
    Evicted,
    /// It stopped for a person.
    Halted,
}

/// One process with one lane.
#[derive(Clone, Debug)]
pub struct Member {
    /// For traces only.
    pub name: u8,
    /// The lane's pump: the code that is shipped.
    pub pump: Pump,
    /// What it waits for.
    pub asked: Vec<Asked>,
    /// Where it stands.
    pub place: Place,
    /// The rows it holds for the tables of batches that are not settled.
    pub payloads: BTreeMap<(BatchId, TableId), Rows>,
    /// Its partitions, as the group sees it.
    pub share: BTreeSet<Partition>,
    /// Whether the group waits for partitions of it.
    pub releasing: bool,
}

/// A batch as it was sealed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Batch {
    /// What names it.
    pub claim: Claim,
    /// Whether its claim ever stood on all its partitions.
    pub whole: bool,
    /// How often its partitions had been set back by hand before.
    pub eras: BTreeMap<Partition, u8>,
    /// Its rows at the first insert that a table took: later ones have to have the same.
    pub rows: BTreeMap<TableId, Rows>,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// What Kafka holds.
    pub stored: Arc<BTreeMap<Partition, Stored>>,
    /// What Kafka held before the last commit to a partition, where it may lose that.
    pub before: Arc<BTreeMap<Partition, Stored>>,
    /// Commits that nobody waits for, and that may still be stored.
    pub late: Arc<Vec<Entries>>,
    /// The processes.
    pub members: Vec<Arc<Member>>,
    /// Inserts that nobody waits for, and that may still land.
    pub strays: Arc<BTreeSet<Insert>>,
    /// Which part of which batch was written into which table: what ClickHouse's tokens stand for.
    pub pieces: Arc<BTreeSet<(BatchId, TableId, Partition)>>,
    /// Batches whose tokens ClickHouse has forgotten.
    pub forgotten: BTreeSet<BatchId>,
    /// Which batches' times stand at a record's rows in a table, since its partition was last set back by hand.
    pub rows: Arc<BTreeMap<(TableId, Partition, Offset), Vec<ServerTime>>>,
    /// All batches so far.
    pub batches: Arc<BTreeMap<BatchId, Batch>>,
    /// How often each partition was set back by hand.
    pub eras: BTreeMap<Partition, u8>,
    /// Where each partition's log begins.
    pub log_begins: BTreeMap<Partition, Offset>,
    /// Records that are written down as gone.
    pub gaps: Rows,
    /// Hours that have passed.
    pub hour: u8,
    /// What may still fail.
    pub left: Faults,
    /// The first thing that is wrong.
    pub wrong: Option<Wrong>,
}

impl Member {
    /// A process that has just joined and owns nothing.
    #[must_use]
    pub fn new(name: u8, pump: Pump) -> Self {
        Self {
            name,
            pump,
            asked: Vec::new(),
            place: Place::Inside,
            payloads: BTreeMap::new(),
            share: BTreeSet::new(),
            releasing: false,
        }
    }

    fn rank(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

impl PartialEq for Member {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
            && self.releasing == other.releasing
            && self.share == other.share
            && self.asked == other.asked
            && self.payloads == other.payloads
            && self.pump == other.pump
    }
}

impl Eq for Member {}

impl Hash for Member {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.place.hash(state);
        self.releasing.hash(state);
        self.share.hash(state);
        self.asked.hash(state);
        self.payloads.hash(state);
        self.pump.hash(state);
    }
}

impl State {
    /// Puts what makes no difference into one order, so that equal worlds are equal states.
    pub fn normalize(&mut self) {
        self.members.sort_by_cached_key(|member| member.rank());
    }

    /// Partitions that nobody has, as the group sees it.
    #[must_use]
    pub fn unassigned(&self) -> BTreeSet<Partition> {
        let taken =
            |partition: &Partition| self.members.iter().any(|member| member.share.contains(partition));
        self.stored.keys().copied().filter(|partition| !taken(partition)).collect()
    }
}
