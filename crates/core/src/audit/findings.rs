//! The outcome of an audit: counts by what became of records, and the places of what is wrong, joined where they
//! touch and bounded in number. Judges nothing.

use std::collections::BTreeMap;

use super::{Fate, Untold};
use crate::offset::{Offset, Partition, Range};

/// Places that are listed; what comes after is only counted.
const LISTED_MAX: usize = 1_000;

/// How many records became what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows, each counted once.
    pub inserted: u64,
    /// Dead letters.
    pub dead: u64,
    /// Dead letters that nothing keeps.
    pub unkept: u64,
    /// Records that stand for nothing.
    pub filtered: u64,
    /// Offsets without a record.
    pub no_record: u64,
    /// Records in reported gaps.
    pub gap: u64,
    /// Rows that should be there and are not.
    pub missing: u64,
    /// Dead letters that should be there and are not.
    pub letters_missing: u64,
    /// Rows more than one.
    pub doubled: u64,
    /// What can't be told, by why.
    pub untold: BTreeMap<Untold, u64>,
}

impl Counts {
    /// Counts `records` of this fate.
    pub fn take(&mut self, fate: Fate, records: u64) {
        match fate {
            Fate::Inserted => self.inserted += records,
            Fate::Doubled(more) => {
                self.inserted += records;
                self.doubled += more * records;
            }
            Fate::Dead => self.dead += records,
            Fate::Unkept => self.unkept += records,
            Fate::Filtered => self.filtered += records,
            Fate::NoRecord => self.no_record += records,
            Fate::Gap => self.gap += records,
            Fate::Missing => self.missing += records,
            Fate::LetterMissing => self.letters_missing += records,
            Fate::Untold(why) => *self.untold.entry(why).or_default() += records,
        }
    }

    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.inserted += other.inserted;
        self.dead += other.dead;
        self.unkept += other.unkept;
        self.filtered += other.filtered;
        self.no_record += other.no_record;
        self.gap += other.gap;
        self.missing += other.missing;
        self.letters_missing += other.letters_missing;
        self.doubled += other.doubled;
        for (why, records) in &other.untold {
            *self.untold.entry(*why).or_default() += records;
        }
    }

    /// What matters most among what was counted: what is wrong, then a row, then the rest; none where nothing was.
    #[must_use]
    pub fn foremost(&self) -> Option<Fate> {
        let untold = self.untold.keys().next().copied();
        [
            (self.doubled, Fate::Doubled(self.doubled)),
            (self.missing, Fate::Missing),
            (self.letters_missing, Fate::LetterMissing),
            (self.inserted, Fate::Inserted),
            (self.untold_total(), untold.map_or(Fate::Inserted, Fate::Untold)),
            (self.dead, Fate::Dead),
            (self.unkept, Fate::Unkept),
            (self.gap, Fate::Gap),
            (self.filtered, Fate::Filtered),
            (self.no_record, Fate::NoRecord),
        ]
        .into_iter()
        .find_map(|(records, fate)| (records > 0).then_some(fate))
    }

    /// Records that are gone: neither a row nor a dead letter.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.missing + self.letters_missing
    }

    /// What can't be told.
    #[must_use]
    pub fn untold_total(&self) -> u64 {
        self.untold.values().sum()
    }
}

/// What is wrong at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Trouble {
    /// A row is missing.
    Missing,
    /// A dead letter is missing.
    LetterMissing,
    /// There are so many rows more than one.
    Doubled(u64),
    /// It can't be told.
    Untold(Untold),
}

impl Trouble {
    /// What is wrong with a record of this fate.
    #[must_use]
    pub fn of(fate: Fate) -> Option<Self> {
        match fate {
            Fate::Missing => Some(Self::Missing),
            Fate::LetterMissing => Some(Self::LetterMissing),
            Fate::Doubled(more) => Some(Self::Doubled(more)),
            Fate::Untold(why) => Some(Self::Untold(why)),
            Fate::Inserted | Fate::Dead | Fate::Unkept | Fate::Filtered | Fate::NoRecord | Fate::Gap => None,
        }
    }
}

/// Neighbouring records with which the same is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub trouble: Trouble,
    /// The table, by its number; none for a record as a whole.
    pub table: Option<usize>,
    /// The partition.
    pub partition: Partition,
    /// The offsets.
    pub range: Range,
    /// The place in its message; 0 where a message holds one record.
    pub index: u32,
}

/// The places of what is wrong, in the order they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The first of them.
    pub listed: Vec<Finding>,
    /// Records of those that are not listed.
    pub unlisted: u64,
}

impl Findings {
    /// Notes a record; joins it to the last place where it follows that.
    pub fn take(
        &mut self,
        trouble: Trouble,
        table: Option<usize>,
        (partition, offset, index): (Partition, Offset, u32),
    ) {
        let range = Range::new(offset, Offset(offset.0 + 1));
        let follows = |last: &&mut Finding| {
            (last.trouble, last.table, last.partition, last.index) == (trouble, table, partition, index)
                && last.range.to == offset
        };
        // Places of several tables or indexes come in turns.
        if let Some(last) = self.listed.iter_mut().rev().take(8).find(follows) {
            last.range = last.range.extended(range);
        } else if self.listed.len() < LISTED_MAX {
            self.listed.push(Finding { trouble, table, partition, range, index });
        } else {
            self.unlisted += 1;
        }
    }

    /// Takes places in that come after these.
    pub fn append(&mut self, other: Self) {
        let room = LISTED_MAX - self.listed.len();
        let unlisted = other.listed.iter().skip(room).map(|finding| finding.range.len());
        self.unlisted += other.unlisted + unlisted.sum::<u64>();
        self.listed.extend(other.listed.into_iter().take(room));
    }

    /// Whether nothing is wrong, and nothing untold.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }
}
