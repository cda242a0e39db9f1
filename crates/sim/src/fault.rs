//! The kinds of faults that the world can do, by name, and what each may excuse.
//!
//! Only what lies outside the promise (Kafka keeps acknowledged commits and the log, nobody sets offsets by hand) excuses
//! a halt or a row that is there twice; every other kind has to pass without either.

/// How many kinds there are.
pub const KINDS: usize = Fault::ALL.len();

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A process is killed, between any two orders or events; what it sent goes on.
    Crash,
    /// A process is stopped for longer than session and deadline, then goes on where it was.
    Stop,
    /// A process is asked to stop in order, and starts again.
    Drain,
    /// The group expels a member that is alive.
    Expelled,
    /// A member leaves and the group is not told.
    LeaveLost,
    /// The group shares its partitions out anew.
    Rebalance,
    /// An offset commit never arrives.
    CommitLost,
    /// An offset commit is stored, its answer never arrives.
    CommitAnswerLost,
    /// An offset commit arrives late.
    CommitLate,
    /// An offset commit is stored for only some of its partitions.
    CommitPartly,
    /// The coordinator refuses an offset commit for now.
    CommitNotYet,
    /// An insert never arrives.
    InsertLost,
    /// An insert is carried out, its answer never arrives.
    InsertAnswerLost,
    /// An insert arrives late, possibly after its sender's death.
    InsertLate,
    /// An insert takes long from its first part to its last.
    InsertSlow,
    /// `ClickHouse` refuses an insert for now.
    InsertRefused,
    /// `ClickHouse` is killed, possibly between two parts of an insert, and is away for a while.
    ServerKilled,
    /// `ClickHouse` refuses all inserts for a while.
    ServerOverloaded,
    /// A view throws after the table has the rows.
    ViewThrows,
    /// `ClickHouse`'s clock is set by a second or two.
    ClockStep,
    /// Compaction removes records that may be claimed.
    Compaction,
    /// Retention removes records below the committed offset.
    RetentionBehind,
    /// Retention removes records that were not read yet, or are claimed.
    Retention,
    /// Somebody writes other metadata beside an offset while nobody is in the group.
    MetadataWiped,
    /// Somebody sets an offset while nobody is in the group.
    OffsetReset,
    /// The coordinator forgets an offset commit that it had acknowledged.
    OffsetRegress,
    /// A process starts again with a configuration that shapes rows otherwise.
    ShapeChanged,
    /// The tables refuse a row for ever.
    RowRefused,
    /// Parts grow and shrink, or can't be read.
    Pressure,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 29] = [
        Self::Crash,
        Self::Stop,
        Self::Drain,
        Self::Expelled,
        Self::LeaveLost,
        Self::Rebalance,
        Self::CommitLost,
        Self::CommitAnswerLost,
        Self::CommitLate,
        Self::CommitPartly,
        Self::CommitNotYet,
        Self::InsertLost,
        Self::InsertAnswerLost,
        Self::InsertLate,
        Self::InsertSlow,
        Self::InsertRefused,
        Self::ServerKilled,
        Self::ServerOverloaded,
        Self::ViewThrows,
        Self::ClockStep,
        Self::Compaction,
        Self::RetentionBehind,
        Self::Retention,
        Self::MetadataWiped,
        Self::OffsetReset,
        Self::OffsetRegress,
        Self::ShapeChanged,
        Self::RowRefused,
        Self::Pressure,
    ];

    /// Its name, for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Crash => "process killed",
            Self::Stop => "process stopped for a while",
            Self::Drain => "process drained",
            Self::Expelled => "member expelled",
            Self::LeaveLost => "leave not told",
            Self::Rebalance => "rebalance",
            Self::CommitLost => "commit lost",
            Self::CommitAnswerLost => "commit's answer lost",
            Self::CommitLate => "commit late",
            Self::CommitPartly => "commit stored partly",
            Self::CommitNotYet => "commit refused for now",
            Self::InsertLost => "insert lost",
            Self::InsertAnswerLost => "insert's answer lost",
            Self::InsertLate => "insert late",
            Self::InsertSlow => "insert slow",
            Self::InsertRefused => "insert refused for now",
            Self::ServerKilled => "server killed",
            Self::ServerOverloaded => "server overloaded",
            Self::ViewThrows => "view throws",
            Self::ClockStep => "server's clock set",
            Self::Compaction => "compaction",
            Self::RetentionBehind => "retention behind the offset",
            Self::Retention => "retention before the offset",
            Self::MetadataWiped => "metadata wiped",
            Self::OffsetReset => "offset reset",
            Self::OffsetRegress => "offset regressed",
            Self::ShapeChanged => "shape changed",
            Self::RowRefused => "row refused",
            Self::Pressure => "pressure of parts",
        }
    }

    /// How many times rarer than the others it is turned on.
    pub(crate) fn rarity(self) -> u32 {
        match self {
            Self::Retention
            | Self::MetadataWiped
            | Self::OffsetReset
            | Self::OffsetRegress
            | Self::ShapeChanged => 8,
            Self::RowRefused | Self::Stop | Self::ClockStep | Self::ServerKilled | Self::ServerOverloaded => {
                2
            }
            _ => 1,
        }
    }
}
