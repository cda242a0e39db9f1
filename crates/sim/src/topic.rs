//! The topic: what each partition's log holds. Records are never changed; retention and compaction take them away.

use crate::chance::Chance;
use crate::fault::Fault;

/// One offset of a log.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// A bit for every target that gets a row of it; none for a control record and for what is filtered.
    pub targets: u8,
    /// The table partition that its rows fall into.
    pub slot: u8,
    /// Whether a consumer is handed a record here: not for control records, aborted and compacted ones.
    pub visible: bool,
    /// Whether the tables refuse its rows.
    pub refused: bool,
    /// How often a row of it may be there, after all that was done to the group by hand.
    pub rows_max: u8,
    /// Whether nobody may ask for its rows any more.
    pub excused: bool,
    /// Whether it lies in a reported gap.
    pub gap: Gap,
}

/// What was reported of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// Nothing.
    None,
    /// That it is missing.
    Missing,
    /// That it is missing, or may have landed.
    PossiblyLanded,
}

/// One partition's log.
#[derive(Clone, Debug)]
pub struct Log {
    /// The first offset that is still there.
    pub low: u64,
    /// The position behind the last record.
    pub high: u64,
    /// Every offset there ever was and will be.
    pub records: Vec<Record>,
}

/// What kinds of records there are.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Targets of a batch, the dead letters last.
    pub targets: u8,
    /// Table partitions.
    pub slots: u8,
    /// Records of one partition.
    pub records: u64,
}

impl Log {
    /// A log whose records are yet to be written.
    pub fn new(chance: &mut Chance, shape: Shape) -> Self {
        let count = chance.between(shape.records / 2, shape.records);
        let plain = chance.one_in(2);
        let records = (0..count).map(|_| Record::new(chance, shape, plain)).collect();
        Self { low: 0, high: 0, records }
    }

    /// Whether all records were written.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.high == self.records.len() as u64
    }

    /// Up to where the offset has to come: behind the last record that a consumer is handed.
    #[must_use]
    pub fn reach(&self) -> u64 {
        let visible = self.records.iter().rposition(|record| record.visible);
        visible.map_or(0, |at| at as u64 + 1).max(self.low)
    }

    /// The record at an offset that exists.
    #[must_use]
    pub fn at(&self, offset: u64) -> &Record {
        &self.records[place(offset)]
    }

    /// The record at an offset that exists, to change what is known of it.
    pub fn at_mut(&mut self, offset: u64) -> &mut Record {
        &mut self.records[place(offset)]
    }
}

impl Record {
    fn new(chance: &mut Chance, shape: Shape, plain: bool) -> Self {
        let tables = shape.targets - 1;
        let every = (1 << tables) - 1;
        let (targets, visible) = match if plain { 9 } else { chance.between(0, 11) } {
            0 => (0, false),
            1 | 2 => (0, true),
            // Bad for the first table, or for all.
            3 => (every & !1 | 1 << tables, true),
            4 => (1 << tables, true),
            // A condition sends it elsewhere.
            5 => (1 << chance.between(0, u64::from(tables) - 1), true),
            _ => (every, true),
        };
        let slot = u8::try_from(chance.between(0, u64::from(shape.slots) - 1)).expect("few slots");
        let refused = targets & every != 0 && chance.strikes(Fault::RowRefused);
        Self { targets, slot, visible, refused, rows_max: 1, excused: false, gap: Gap::None }
    }
}

/// An offset as a place in a log's records.
pub(crate) fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("a simulated log is short")
}
