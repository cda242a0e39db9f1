//! What may never be, in the words of the design; each is a property of every world.

use std::fmt;

/// One broken promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wrong {
    /// A row came twice.
    Doubled,
    /// A record below a committed offset is not there.
    Lost,
    /// An insert was ordered for a claim that never stood on all its partitions.
    Unclaimed,
    /// Two attempts of one token had different rows.
    OtherRows,
    /// A claim that was whole went away before its batch was settled.
    Exchanged,
    /// A committed offset went back.
    Backwards,
    /// A lane halted for a person although nothing happened that needs one.
    Halted,
    /// An invariant of the pump does not hold, or one of its assertions failed.
    Invariant,
    /// Nothing fails any more, and yet something does not arrive.
    Stuck,
}

/// All of them.
pub const ALL_WRONG: [Wrong; 9] = [
    Wrong::Doubled,
    Wrong::Lost,
    Wrong::Unclaimed,
    Wrong::OtherRows,
    Wrong::Exchanged,
    Wrong::Backwards,
    Wrong::Halted,
    Wrong::Invariant,
    Wrong::Stuck,
];

impl Wrong {
    /// The promise, as a property's name.
    #[must_use]
    pub fn promise(self) -> &'static str {
        match self {
            Self::Doubled => "no row is there twice",
            Self::Lost => "no record below a committed offset is missing",
            Self::Unclaimed => "an insert runs only for a stored claim",
            Self::OtherRows => "one token names one set of rows",
            Self::Exchanged => "a claim goes only when it landed or was never whole",
            Self::Backwards => "a committed offset never goes back",
            Self::Halted => "nobody halts without need",
            Self::Invariant => "the pump's own invariants hold",
            Self::Stuck => "without further faults everything arrives",
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.promise())
    }
}
