//! A letter with what it would be, and an entry of the log as it is written and read. Plain data.

use pumphouse_core::replay::Entry;

use super::letters::{Letter, Name};

/// Where a row of an entry goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The table, `database.table`; of what is bad, the table it is bad for.
    pub(super) table: String,
    /// The record's place in its message.
    pub(super) index: u32,
    /// Whether it is a row; if not, it becomes a dead letter.
    pub(super) is_row: bool,
}

/// A letter of an entry: its name, the time of the copy that is replayed, and its rows in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claimed {
    pub(super) name: Name,
    pub(super) time_ms: i64,
    pub(super) places: Vec<Place>,
}

/// An entry of the log with its letters, in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) entry: Entry,
    pub(super) topic: String,
    pub(super) revision: String,
    pub(super) letters: Vec<Claimed>,
}

/// Letters that are to be claimed, each with its rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Planned {
    pub(super) letters: Vec<(Letter, Vec<Place>)>,
}

impl Planned {
    pub(super) fn newest(&self) -> Option<i64> {
        self.letters.iter().map(|(letter, _)| letter.time_ms).max()
    }

    pub(super) fn claimed(&self) -> Vec<Claimed> {
        let claimed = |(letter, places): &(Letter, Vec<Place>)| Claimed {
            name: letter.name.clone(),
            time_ms: letter.time_ms,
            places: places.clone(),
        };
        self.letters.iter().map(claimed).collect()
    }
}
