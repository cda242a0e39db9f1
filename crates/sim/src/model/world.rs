//! The named small worlds: how large each is, which faults may happen in it and how often, and what it may not do.
//!
//! No world has every fault at once, since none such could be exhausted; together they have them all.

mod broken;

pub use broken::BROKEN_WORLDS;

/// How often each fault may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// A process ends at once and a new one starts.
    pub crashes: u8,
    /// The group asks a member for some of its partitions back.
    pub revocations: u8,
    /// The group gives a stopped member's partitions away; it goes on and learns of it later.
    pub evictions: u8,
    /// A commit stays unanswered; it may be stored until the group's next generation.
    pub lost_commits: u8,
    /// A commit that nobody waits for any more is applied to only some of its partitions.
    pub torn_commits: u8,
    /// A commit is refused for now.
    pub deferred_commits: u8,
    /// An insert stays unanswered; it may land at any time, or never.
    pub lost_inserts: u8,
    /// An insert that nobody waits for any more lands for only some of its partitions.
    pub torn_inserts: u8,
    /// An insert is refused for now.
    pub refused_inserts: u8,
    /// A process is asked to stop, and has to by a certain time.
    pub drains: u8,
    /// Somebody sets a partition's offset back to its beginning by hand, while the group is empty.
    pub resets: u8,
    /// Kafka loses the last commit of one partition, while the group is empty.
    pub regresses: u8,
    /// Retention deletes a partition's oldest record.
    pub retentions: u8,
    /// So much time passes that no deadline of before is still ahead.
    pub hours: u8,
}

/// A rule of the outside that is broken on purpose, to see that the model notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// ClickHouse remembers no token.
    ForgetsTokens,
    /// Kafka takes commits of an older generation.
    TakesLateCommits,
    /// Whoever reads a claim's partitions sees the claim on all of them, also where one moved on without it.
    SeesClaimsEverywhere,
    /// ClickHouse does not look at deadlines, and forgets tokens when time passes.
    IgnoresDeadlines,
    /// A batch that is built again lacks its last record.
    RebuildsLess,
}

/// What may happen in a world because it breaks more than pumphouse promises to bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allows {
    /// Nothing of that.
    Nothing,
    /// A lane may halt for a person.
    Halts,
    /// A lane may halt, and a row may come twice, because Kafka broke its own promise.
    Doubles,
}

/// What a world begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// A group without offsets.
    Unmarked,
    /// Histories that begin at the first record.
    Marked,
    /// The last partition carries a claim that the others moved past so long ago that their histories have forgotten it;
    /// once it had landed, once it was never whole.
    Forgotten,
}

/// Something rare that a world is there to reach; that it was reached is part of its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Seen {
    /// Everything arrived.
    Done,
    /// A found claim was built again and inserted.
    Resent,
    /// A found claim had landed.
    FoundLanded,
    /// A found claim was never whole.
    Dropped,
    /// A batch was left to the next owner.
    Left,
    /// A claim covered several partitions.
    Wide,
    /// One commit settled a batch and claimed the next.
    Chained,
    /// An insert landed whose sender waited no more.
    Zombie,
    /// The same insert came twice and counted once.
    Deduplicated,
    /// The table was asked what the metadata could not tell.
    Probed,
    /// Two members recovered one claim at the same time.
    TwoOwners,
    /// A commit was stored after its sender had given up on it.
    LateCommit,
    /// A batch that could not be sent any more was claimed anew without what had landed of it.
    Superseded,
    /// A batch of which nothing had landed was claimed anew.
    Reclaimed,
    /// ClickHouse refused an insert that came past its deadline.
    TooLate,
    /// A row that a table refuses was excluded from its claim, and is a dead letter.
    Excluded,
    /// Records were written down as gone.
    Gap,
    /// A lane halted for a person.
    Halted,
}

/// All of [`Seen`], in the order of their bits.
pub const ALL_SEEN: [Seen; 18] = [
    Seen::Done,
    Seen::Resent,
    Seen::FoundLanded,
    Seen::Dropped,
    Seen::Left,
    Seen::Wide,
    Seen::Chained,
    Seen::Zombie,
    Seen::Deduplicated,
    Seen::Probed,
    Seen::TwoOwners,
    Seen::LateCommit,
    Seen::Superseded,
    Seen::Reclaimed,
    Seen::TooLate,
    Seen::Excluded,
    Seen::Gap,
    Seen::Halted,
];

/// A small world.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// Its name on the command line.
    pub name: &'static str,
    /// What may happen in it.
    pub about: &'static str,
    /// Members of the group.
    pub members: u8,
    /// Partitions of the topic.
    pub partitions: u32,
    /// Records of each partition.
    pub records: u64,
    /// Tables a batch goes to.
    pub tables: u8,
    /// Rows at which a batch closes; age closes it too.
    pub rows: u64,
    /// The record, by partition and offset, that the first table refuses: then the last target takes dead letters.
    pub refuses: Option<(u32, u64)>,
    /// How often what may happen.
    pub faults: Faults,
    /// Whether a read of stored offsets may be older than its answer.
    pub stale_reads: bool,
    /// What it begins with.
    pub begins: Begins,
    /// What may happen here that otherwise may not.
    pub allows: Allows,
    /// Whether it takes too long for every run of the tests.
    pub large: bool,
    /// What has to be reached.
    pub reaches: &'static [Seen],
    /// What is broken on purpose.
    pub defect: Option<Defect>,
}

/// Nothing fails.
const NO_FAULTS: Faults = Faults {
    crashes: 0,
    revocations: 0,
    evictions: 0,
    lost_commits: 0,
    torn_commits: 0,
    deferred_commits: 0,
    lost_inserts: 0,
    torn_inserts: 0,
    refused_inserts: 0,
    drains: 0,
    resets: 0,
    regresses: 0,
    retentions: 0,
    hours: 0,
};

/// Two members, two partitions of two records, one table, no fault.
pub const CALM: World = World {
    name: "calm",
    about: "no fault",
    members: 2,
    partitions: 2,
    records: 2,
    tables: 1,
    rows: 2,
    refuses: None,
    faults: NO_FAULTS,
    stale_reads: false,
    begins: Begins::Marked,
    allows: Allows::Nothing,
    large: false,
    reaches: &[Seen::Done, Seen::Wide, Seen::Chained],
    defect: None,
};

/// The same with one record a partition: the least in which a batch covers two partitions.
const LEAST: World = World { records: 1, reaches: &[Seen::Done, Seen::Wide], ..CALM };

/// Every world that holds.
pub const WORLDS: &[World] = &[
    CALM,
    World {
        name: "crash",
        about: "a process crashes anywhere; what it sent may still arrive",
        faults: Faults { crashes: 1, ..NO_FAULTS },
        reaches: &[Seen::Done, Seen::Resent, Seen::Zombie, Seen::TwoOwners, Seen::LateCommit],
        ..LEAST
    },
    World {
        name: "torn commit",
        about: "a commit stays unanswered and is applied to some partitions, or to none, or late",
        faults: Faults { lost_commits: 1, torn_commits: 1, ..NO_FAULTS },
        reaches: &[Seen::Done, Seen::Dropped, Seen::FoundLanded, Seen::LateCommit],
        ..LEAST
    },
    World {
        name: "lost insert",
        about: "inserts into two tables stay unanswered; they land late, partly, or never",
        tables: 2,
        faults: Faults { lost_inserts: 2, torn_inserts: 1, ..NO_FAULTS },
        reaches: &[Seen::Done, Seen::Zombie, Seen::Deduplicated],
        ..LEAST
    },
    World {
        name: "refusals",
        about: "commits and inserts are refused for now",
        faults: Faults { deferred_commits: 2, refused_inserts: 2, ..NO_FAULTS },
        ..LEAST
    },
    World {
        name: "rebalance",
        about: "the group asks for partitions back",
        faults: Faults { revocations: 1, ..NO_FAULTS },
        reaches: &[Seen::Done, Seen::Resent, Seen::Left, Seen::TwoOwners],
        ..LEAST
    },
    World {
        name: "zombie",
        about: "the group goes on without a stopped member, which wakes and goes on too",
        faults: Faults { evictions: 1, ..NO_FAULTS },
        reaches: &[Seen::Done, Seen::Resent, Seen::Zombie, Seen::Left],
        ..LEAST
    },
    World {
        name: "stop",
        about: "a process is asked to stop and settles what it has, or has to leave it",
        faults: Faults { drains: 1, ..NO_FAULTS },
        reaches: &[Seen::Done, Seen::Resent],
        ..LEAST
    },
    World {
        name: "beginnings",
        about: "a group without offsets: histories begin while a process crashes",
        faults: Faults { crashes: 1, torn_commits: 1, ..NO_FAULTS },
        begins: Begins::Unmarked,
        reaches: &[Seen::Done, Seen::Dropped, Seen::LateCommit],
        ..LEAST
    },
    World {
        name: "memory",
        about: "a claim that the other partition moved past beyond its memory, landed or never whole",
        faults: Faults { crashes: 1, ..NO_FAULTS },
        begins: Begins::Forgotten,
        reaches: &[Seen::Done, Seen::Probed, Seen::FoundLanded, Seen::Dropped],
        ..LEAST
    },
    World {
        name: "hours",
        about: "a process crashes and an hour passes: tokens are forgotten, late inserts refused, old batches superseded",
        faults: Faults { crashes: 1, hours: 1, ..NO_FAULTS },
        reaches: &[Seen::Done, Seen::TooLate, Seen::Superseded, Seen::Reclaimed],
        ..LEAST
    },
    World {
        name: "reset",
        about: "a process crashes, and a partition is set back by hand",
        faults: Faults { crashes: 1, resets: 1, ..NO_FAULTS },
        reaches: &[Seen::Done, Seen::Superseded],
        ..LEAST
    },
    World {
        name: "regress",
        about: "a process crashes, and Kafka loses a partition's last commit: rows may double, none may be lost",
        faults: Faults { regresses: 1, crashes: 1, ..NO_FAULTS },
        allows: Allows::Doubles,
        ..LEAST
    },
    World {
        name: "retention",
        about: "a process crashes, and Kafka deletes a record before it is read, or before it is read again",
        faults: Faults { crashes: 1, retentions: 1, ..NO_FAULTS },
        reaches: &[Seen::Done, Seen::Gap, Seen::Resent],
        ..LEAST
    },
    World {
        name: "half landed for hours",
        about: "an insert lands partly, its sender crashes, an hour passes: what landed is told by lineage",
        faults: Faults { crashes: 1, lost_inserts: 1, torn_inserts: 1, hours: 1, ..NO_FAULTS },
        large: true,
        reaches: &[Seen::Done, Seen::Superseded, Seen::TooLate],
        ..LEAST
    },
    World {
        name: "zombie of hours",
        about: "a stopped member wakes hours later, while its batch is superseded",
        faults: Faults { evictions: 1, hours: 1, ..NO_FAULTS },
        large: true,
        reaches: &[Seen::Done, Seen::Superseded, Seen::TooLate],
        ..LEAST
    },
    World {
        name: "superseded twice",
        about: "hours pass twice, so that what supersedes is superseded",
        faults: Faults { crashes: 1, hours: 2, ..NO_FAULTS },
        large: true,
        reaches: &[Seen::Done, Seen::Superseded],
        ..LEAST
    },
    World {
        name: "superseded in part",
        about: "a claim that supersedes another is stored for some partitions only, and two owners supersede one batch",
        faults: Faults { crashes: 1, hours: 1, torn_commits: 1, ..NO_FAULTS },
        large: true,
        reaches: &[Seen::Done, Seen::Superseded, Seen::TwoOwners],
        ..LEAST
    },
    World {
        name: "superseded and moved",
        about: "partitions move while a batch over them is superseded",
        faults: Faults { revocations: 1, lost_inserts: 1, hours: 1, ..NO_FAULTS },
        large: true,
        reaches: &[Seen::Done, Seen::Superseded],
        ..LEAST
    },
    World {
        name: "memory of hours",
        about: "a claim that the other partition forgot, and hours pass",
        faults: Faults { crashes: 1, hours: 1, ..NO_FAULTS },
        begins: Begins::Forgotten,
        reaches: &[Seen::Done, Seen::Superseded],
        ..LEAST
    },
    World {
        name: "reset after hours",
        about: "a process crashes, a partition is set back by hand, an hour passes",
        faults: Faults { crashes: 1, resets: 1, hours: 1, ..NO_FAULTS },
        large: true,
        reaches: &[Seen::Done, Seen::Superseded],
        ..LEAST
    },
    World {
        name: "refused row",
        about: "a table refuses a row, and a process crashes while it is looked for and excluded",
        tables: 2,
        refuses: Some((1, 0)),
        faults: Faults { crashes: 1, ..NO_FAULTS },
        reaches: &[Seen::Done, Seen::Excluded, Seen::Resent],
        ..LEAST
    },
    World {
        name: "refused row moved",
        about: "a table refuses a row, and partitions move while it is looked for and excluded",
        tables: 2,
        refuses: Some((1, 0)),
        faults: Faults { revocations: 1, ..NO_FAULTS },
        reaches: &[Seen::Done, Seen::Excluded, Seen::Resent],
        ..LEAST
    },
    World {
        name: "torn exclusion",
        about: "a table refuses a row, and its exclusion is stored for some partitions only",
        tables: 2,
        refuses: Some((1, 0)),
        faults: Faults { lost_commits: 1, torn_commits: 1, ..NO_FAULTS },
        reaches: &[Seen::Done, Seen::Excluded, Seen::Resent],
        ..LEAST
    },
    World {
        name: "refused row and retention",
        about: "a table refuses a row, and Kafka deletes records of the batch while it is looked for and excluded",
        partitions: 1,
        records: 2,
        tables: 2,
        refuses: Some((0, 1)),
        faults: Faults { crashes: 1, retentions: 2, ..NO_FAULTS },
        reaches: &[Seen::Done, Seen::Excluded, Seen::Gap, Seen::Resent],
        ..LEAST
    },
    World {
        name: "long crash",
        about: "a process crashes anywhere while batches follow each other",
        faults: Faults { crashes: 1, ..NO_FAULTS },
        large: true,
        reaches: &[Seen::Done, Seen::Resent, Seen::Chained, Seen::Deduplicated, Seen::TwoOwners],
        ..CALM
    },
    World {
        name: "crash twice",
        about: "processes crash twice, also while they recover",
        faults: Faults { crashes: 2, ..NO_FAULTS },
        large: true,
        reaches: &[Seen::Done, Seen::Resent, Seen::FoundLanded, Seen::TwoOwners],
        ..LEAST
    },
    World {
        name: "torn and crashed",
        about: "a commit is torn, a process crashes, and what is read may be old",
        faults: Faults { crashes: 1, lost_commits: 1, torn_commits: 1, ..NO_FAULTS },
        stale_reads: true,
        large: true,
        reaches: &[Seen::Done, Seen::Resent, Seen::FoundLanded, Seen::Dropped, Seen::TwoOwners],
        ..LEAST
    },
    World {
        name: "torn and moved",
        about: "a commit is torn while partitions move",
        faults: Faults { revocations: 1, lost_commits: 1, torn_commits: 1, ..NO_FAULTS },
        large: true,
        reaches: &[Seen::Done, Seen::Resent, Seen::FoundLanded, Seen::Dropped],
        ..LEAST
    },
    World {
        name: "two tables",
        about: "a process crashes between two tables, and an insert lands partly",
        tables: 2,
        faults: Faults { crashes: 1, lost_inserts: 1, torn_inserts: 1, ..NO_FAULTS },
        large: true,
        reaches: &[Seen::Done, Seen::Resent, Seen::Zombie, Seen::Deduplicated],
        ..LEAST
    },
    World {
        name: "three partitions",
        about: "a commit over three partitions is torn, and one is asked back",
        partitions: 3,
        rows: 3,
        faults: Faults { lost_commits: 1, torn_commits: 1, ..NO_FAULTS },
        large: true,
        reaches: &[Seen::Done, Seen::Dropped, Seen::FoundLanded],
        ..LEAST
    },
    World {
        name: "zombie and crash",
        about: "a stopped member wakes after its successor crashed",
        faults: Faults { evictions: 1, crashes: 1, ..NO_FAULTS },
        large: true,
        reaches: &[Seen::Done, Seen::Resent, Seen::Zombie, Seen::Deduplicated],
        ..LEAST
    },
    World {
        name: "first offsets moved",
        about: "a group without offsets: histories begin while commits are torn and partitions move",
        faults: Faults { revocations: 1, lost_commits: 1, torn_commits: 1, ..NO_FAULTS },
        begins: Begins::Unmarked,
        large: true,
        reaches: &[Seen::Done, Seen::Dropped, Seen::LateCommit],
        ..LEAST
    },
];

/// A world by its name.
#[must_use]
pub fn named(name: &str) -> Option<&'static World> {
    WORLDS.iter().chain(BROKEN_WORLDS).find(|world| world.name == name)
}
