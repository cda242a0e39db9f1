//! What an audit decides: whether the counts of a range agree, where it begins and ends, and what became of each
//! record of a range whose counts do not. Knows no server; whoever asks brings counts and gets questions.

mod findings;

use crate::offset::{Offset, Range};

pub use findings::{Counts, Finding, Findings, Trouble};

/// Offsets that are compared as one, at least.
pub const CHUNK_MIN: u64 = 1 << 16;
/// Chunks of an audit at most; with more offsets the chunks get longer.
pub const CHUNKS_MAX: u64 = 1 << 16;
/// Bits of an offset that a mark leaves to it; above them stands the place in the message.
const INDEX_SHIFT: u32 = 40;

/// How many records there are, and a sum that tells them from others: a lost and a doubled one do not make up for
/// each other. Sums of parts add up to the sum of the whole, in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// The sum of their [`mark`]s, modulo 2⁶⁴.
    pub checksum: u64,
}

/// What stands for a record in a sum: ClickHouse's `intHash64(bitXor(offset, bitShiftLeft(index, 40)))`.
#[must_use]
pub fn mark(offset: Offset, index: u32) -> u64 {
    let mut mark = offset.0 ^ (u64::from(index) << INDEX_SHIFT) ^ 0x4CF2_D2BA_AE6D_A887;
    mark = (mark ^ (mark >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    mark = (mark ^ (mark >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    mark ^ (mark >> 33)
}

impl Tally {
    /// Counts one record.
    pub fn take(&mut self, offset: Offset, index: u32) {
        self.count += 1;
        self.checksum = self.checksum.wrapping_add(mark(offset, index));
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { count: self.count + other.count, checksum: self.checksum.wrapping_add(other.checksum) }
    }

    /// One record at each offset of a range.
    #[must_use]
    pub fn of(range: Range) -> Self {
        let mut tally = Self::default();
        (range.from.0..range.to.0).for_each(|offset| tally.take(Offset(offset), 0));
        tally
    }
}

/// How many offsets are compared as one, where there are so many: a power of two.
#[must_use]
pub fn chunk_size(offsets: u64) -> u64 {
    offsets.div_ceil(CHUNKS_MAX).max(CHUNK_MIN).next_power_of_two()
}

/// The chunks of a range, cut at multiples of `size`, with their numbers.
pub fn chunks(range: Range, size: u64) -> impl Iterator<Item = (u64, Range)> {
    let numbers = range.from.0 / size..range.to.0.div_ceil(size);
    numbers.map(move |number| {
        let from = range.from.0.max(number * size);
        let to = range.to.0.min((number + 1).saturating_mul(size));
        (number, Range::new(Offset(from), Offset(to)))
    })
}

/// What is known of where a partition's records begin and end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Where the group began, if its history still says so.
    pub origin: Option<Offset>,
    /// Whether a new group begins with the oldest record.
    pub from_earliest: bool,
    /// The first offset that Kafka has.
    pub log_start: Offset,
    /// The lowest offset that a table, a dead letter or a gap has.
    pub lowest_found: Option<Offset>,
    /// What the group has settled.
    pub committed: Offset,
    /// What was asked for.
    pub said: (Option<Offset>, Option<Offset>),
}

/// Why an audit begins where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Begin {
    /// It was asked for.
    Said,
    /// The group began there, as its history in Kafka says.
    Origin,
    /// The oldest record that Kafka has, where the group began as `kafka.start_from: earliest` says.
    LogStart,
    /// The lowest offset that was found; what lay before it can't be told.
    LowestFound,
}

/// What is audited of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The offsets.
    pub range: Range,
    /// Why it begins there.
    pub begin: Begin,
    /// Whether more was asked for than is settled.
    pub is_cut: bool,
}

/// Where an audit begins and ends: never past what is settled.
///
/// | known | it begins at |
/// |---|---|
/// | an offset was asked for | that |
/// | the history still has its beginning | that |
/// | new groups begin with the oldest record | the log's start, or what was found before it |
/// | anything else | the lowest offset found; nothing found, the committed offset |
#[must_use]
pub fn bounds(known: &Known) -> Bounds {
    let found = known.lowest_found.unwrap_or(known.committed);
    let (from, begin) = match (known.said.0, known.origin) {
        (Some(said), _) => (said, Begin::Said),
        (None, Some(origin)) => (origin, Begin::Origin),
        (None, None) if known.from_earliest && known.log_start <= found => (known.log_start, Begin::LogStart),
        (None, None) => (found, Begin::LowestFound),
    };
    let to = known.said.1.unwrap_or(known.committed).min(known.committed);
    let is_cut = known.said.1.is_some_and(|said| said > known.committed);
    Bounds { range: Range::new(from.min(to), to), begin, is_cut }
}

/// What a record should have come to, for one table or as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A row.
    Row,
    /// A dead letter.
    Letter,
    /// Nothing: a tombstone, or a record that no table takes.
    Filtered,
    /// The log has no record there: a control record, an aborted transaction, or compaction.
    NoRecord,
    /// Kafka no longer has it.
    Gone,
}

/// What a letter says of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Letter {
    /// There is none, or it became a row.
    #[default]
    None,
    /// It is kept.
    Kept,
    /// It was given up, or stands for no row.
    GivenUp,
}

/// What was found of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Rows.
    pub rows: u64,
    /// A dead letter.
    pub letter: Letter,
    /// It lies in a reported gap.
    pub in_gap: bool,
    /// A table that would not take it has a row of it.
    pub elsewhere: bool,
}

/// What keeps an audit from telling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The table's TTL removes rows.
    pub rows_expire: bool,
    /// Dead letters are kept in their table.
    pub letters_kept: bool,
    /// Kafka compacts the topic.
    pub is_compacted: bool,
}

/// Why it can't be told whether a record is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Untold {
    /// The table's TTL may have removed its row.
    Expired,
    /// Kafka no longer has the record, so it may have been one that makes no row.
    Retention,
    /// The topic is compacted: there may have been a record.
    Compacted,
    /// Another table has its row: the conditions were others then.
    Elsewhere,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is a row.
    Inserted,
    /// It is so many rows more than one.
    Doubled(u64),
    /// It is a dead letter, or was one that a person gave up.
    Dead,
    /// It is a dead letter that the configuration keeps nowhere.
    Unkept,
    /// It stands for nothing.
    Filtered,
    /// There is no record.
    NoRecord,
    /// It is in a reported gap.
    Gap,
    /// It should be a row and is not.
    Missing,
    /// It should be a dead letter and is not.
    LetterMissing,
    /// It can't be told.
    Untold(Untold),
}

/// Judges a record that is settled; the first line that fits:
///
/// | found, expected | fate |
/// |---|---|
/// | several rows | doubled |
/// | a row, whatever is expected now | inserted |
/// | a letter | dead |
/// | in a gap | gap |
/// | nothing; nothing expected | filtered |
/// | nothing; no record in the log | no record, or untold where the topic is compacted |
/// | nothing; Kafka no longer has it | untold |
/// | no row; a table that would not take it has one | untold |
/// | no row; rows expire | untold |
/// | no row | missing |
/// | no letter | missing where letters are kept |
#[must_use]
pub fn judge(expected: Expected, found: Found, limits: Limits) -> Fate {
    match (found.rows, found.letter) {
        (2.., _) => return Fate::Doubled(found.rows - 1),
        (1, _) => return Fate::Inserted,
        (0, Letter::Kept | Letter::GivenUp) => return Fate::Dead,
        (0, Letter::None) => {}
    }
    match expected {
        _ if found.in_gap => Fate::Gap,
        Expected::Filtered => Fate::Filtered,
        Expected::NoRecord if limits.is_compacted => Fate::Untold(Untold::Compacted),
        Expected::NoRecord => Fate::NoRecord,
        Expected::Gone => Fate::Untold(Untold::Retention),
        Expected::Row if found.elsewhere => Fate::Untold(Untold::Elsewhere),
        Expected::Row if limits.rows_expire => Fate::Untold(Untold::Expired),
        Expected::Row => Fate::Missing,
        Expected::Letter if found.elsewhere => Fate::Untold(Untold::Elsewhere),
        Expected::Letter if limits.letters_kept => Fate::LetterMissing,
        Expected::Letter => Fate::Unkept,
    }
}

/// How a settled range of a table differs from what was inserted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Rows that were inserted and are not there.
    pub missing: u64,
    /// Rows that are there more than once, each counted once less than it is there.
    pub doubled: u64,
}

/// Compares the number of records that were inserted with the rows that are there, and with the records that these are
/// of. More records than were inserted are no fault: a dead letter may have been replayed meanwhile.
#[must_use]
pub fn difference(inserted: u64, rows: u64, records: u64) -> Difference {
    Difference { missing: inserted.saturating_sub(records), doubled: rows.saturating_sub(records) }
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
