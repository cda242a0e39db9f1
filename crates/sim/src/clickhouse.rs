//! The ClickHouse of a history: tables that remember tokens per table partition, and views with windows of their own.
//!
//! What it does was measured on real servers: a token decides per table partition, an insert over several lands one after
//! the other, a window forgets the oldest entry first, a deadline is compared in whole seconds by the server's clock.
//! Knows nothing of Kafka; who may insert what is not its business.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use pumphouse_core::claim::{BatchId, Claim};
use pumphouse_core::moment::ServerTime;

use crate::topic::{Log, place};

/// Milliseconds since 1970 by the server's clock when a history begins.
const EPOCH: i64 = 1_790_000_000_000;

/// The rows of one batch, as its sender decoded them.
#[derive(Debug, PartialEq, Eq)]
pub struct Payload {
    /// The batch.
    pub id: BatchId,
    /// The value of `_ingested_at`.
    pub claimed_at: ServerTime,
    /// Partition and offset of each record that gives a row somewhere, with a bit for every target that gets one.
    pub records: Vec<(u32, u64, u8)>,
}

/// One insert that reached the server.
#[derive(Clone, Debug)]
pub struct Insert {
    /// The rows.
    pub payload: Rc<Payload>,
    /// The table's number.
    pub table: u8,
    /// In whole seconds by the server's clock.
    pub deadline: i64,
    /// Entries that its table's window had taken when the table was asked for it, or else when it was sent.
    pub entered: u64,
}

/// An insert that is being carried out.
#[derive(Debug)]
pub struct Query {
    /// The insert.
    pub insert: Insert,
    /// When it is broken off, by the world's clock.
    pub until: u64,
    /// Table partitions that it has yet to write, into the table and then into its view.
    pub left: VecDeque<(Target, u8)>,
}

/// Where a part goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The table.
    Table,
    /// The target of its view.
    View,
}

/// One row, or the place for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cell {
    /// How often it is there.
    pub rows: u8,
    /// `_ingested_at` of the last.
    pub at: i64,
}

/// Rows and the tokens that guard them.
#[derive(Debug)]
pub struct Store {
    cells: Vec<Vec<Cell>>,
    /// Oldest first: batch, table partition, and when it was entered.
    tokens: VecDeque<(BatchId, u8, u64)>,
    /// All entries there ever were.
    entered: u64,
    slots: u8,
}

/// How long tokens are remembered.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Entries, over all table partitions.
    pub entries: usize,
    /// Milliseconds before the newest entry, where the table is replicated.
    pub age: Option<u64>,
}

/// One table and its view.
#[derive(Debug)]
pub struct Table {
    /// Its rows.
    pub rows: Store,
    /// The target of its view.
    pub view: Option<Store>,
}

/// The server.
#[derive(Debug)]
pub struct ClickHouse {
    /// By number; the dead letters are the last.
    pub tables: Vec<Table>,
    /// How long tokens are remembered.
    pub window: Window,
    /// Whether it answers at all.
    pub is_up: bool,
    /// Refuses all inserts until then.
    pub overloaded_until: u64,
    /// How far its clock is ahead.
    pub skew: i64,
    queries: Vec<(u64, Query)>,
    next_query: u64,
}

/// What one landed part did.
#[derive(Debug, PartialEq, Eq)]
pub enum Landed {
    /// The token was known: no row was written.
    Known,
    /// So many rows were written.
    Rows(usize),
    /// A row is there that was there before, and may not be.
    Doubled(u32, u64),
}

impl Store {
    fn new(logs: &[Log], slots: u8) -> Self {
        let cells = logs.iter().map(|log| vec![Cell::default(); log.records.len()]).collect();
        Self { cells, tokens: VecDeque::new(), entered: 0, slots }
    }

    /// What is there of a record.
    #[must_use]
    pub fn cell(&self, partition: u32, offset: u64) -> Cell {
        self.cells[partition as usize][place(offset)]
    }

    fn land(&mut self, now: u64, window: Window, logs: &[Log], insert: &Insert, slot: u8) -> Landed {
        let payload = &insert.payload;
        if self.tokens.iter().any(|(batch, at, _)| *batch == payload.id && *at == slot) {
            return Landed::Known;
        }
        let mut rows = 0;
        let mut doubled = None;
        for (partition, offset, targets) in &payload.records {
            let record = logs[*partition as usize].at(*offset);
            if targets & 1 << insert.table == 0 || record.slot % self.slots != slot {
                continue;
            }
            let cell = &mut self.cells[*partition as usize][place(*offset)];
            cell.rows += 1;
            cell.at = payload.claimed_at.0;
            rows += 1;
            if cell.rows > record.rows_max {
                doubled = Some(Landed::Doubled(*partition, *offset));
            }
        }
        if rows > 0 {
            self.remember(payload.id, slot, now, window);
        }
        doubled.unwrap_or(Landed::Rows(rows))
    }

    fn remember(&mut self, batch: BatchId, slot: u8, now: u64, window: Window) {
        self.tokens.push_back((batch, slot, now));
        self.entered += 1;
        while self.tokens.len() > window.entries {
            self.tokens.pop_front();
        }
        if let Some(age) = window.age {
            while self.tokens.front().is_some_and(|(.., at)| at + age < now) {
                self.tokens.pop_front();
            }
        }
    }
}

impl ClickHouse {
    /// Empty tables, the last of them for dead letters; a view on the first if `with_view`.
    #[must_use]
    pub fn new(logs: &[Log], targets: u8, slots: u8, window: Window, with_view: bool) -> Self {
        let table = |number: u8| Table {
            rows: Store::new(logs, slots),
            // A view has partitions of its own.
            view: (number == 0 && with_view).then(|| Store::new(logs, slots.div_ceil(2))),
        };
        Self {
            tables: (0..targets).map(table).collect(),
            window,
            is_up: true,
            overloaded_until: 0,
            skew: 0,
            queries: Vec::new(),
            next_query: 0,
        }
    }

    /// The time by the server's clock.
    #[must_use]
    pub fn time(&self, now: u64) -> ServerTime {
        ServerTime(EPOCH + self.skew + i64::try_from(now).expect("a history is short"))
    }

    /// Whether the server refuses it for its deadline.
    #[must_use]
    pub fn is_late(&self, now: u64, insert: &Insert) -> bool {
        self.time(now).0.div_euclid(1000) > insert.deadline
    }

    /// Begins an insert; its parts are yet to land. Gives the query's number.
    pub fn begin(&mut self, logs: &[Log], insert: Insert, until: u64) -> u64 {
        let table = &self.tables[usize::from(insert.table)];
        let mut left = VecDeque::new();
        let stores = [(Target::Table, Some(&table.rows)), (Target::View, table.view.as_ref())];
        for (target, store) in stores.into_iter().filter_map(|(target, store)| Some((target, store?))) {
            for slot in 0..store.slots {
                let falls = |(partition, offset, targets): &(u32, u64, u8)| {
                    let record = logs[*partition as usize].at(*offset);
                    targets & 1 << insert.table != 0 && record.slot % store.slots == slot
                };
                if insert.payload.records.iter().any(falls) {
                    left.push_back((target, slot));
                }
            }
        }
        self.next_query += 1;
        self.queries.push((self.next_query, Query { insert, until, left }));
        self.next_query
    }

    /// The query of that number, if it still runs.
    pub fn query(&mut self, number: u64) -> Option<&mut Query> {
        self.queries.iter_mut().find(|(known, _)| *known == number).map(|(_, query)| query)
    }

    /// Ends a query, whatever it has yet to write.
    pub fn end(&mut self, number: u64) -> Option<Query> {
        let at = self.queries.iter().position(|(known, _)| *known == number)?;
        Some(self.queries.swap_remove(at).1)
    }

    /// Ends all queries, as a kill does; gives their numbers.
    pub fn end_all(&mut self) -> Vec<u64> {
        self.queries.drain(..).map(|(number, _)| number).collect()
    }

    /// Whether a table holds a row of this record that a batch of one of these times brought.
    #[must_use]
    pub fn holds(&self, table: u8, (partition, offset): (u32, u64), times: &[ServerTime]) -> bool {
        let cell = self.tables[usize::from(table)].rows.cell(partition, offset);
        cell.rows > 0 && times.iter().any(|time| time.0 == cell.at)
    }

    /// Whether any table holds a row of a claim that a batch of one of these times brought.
    #[must_use]
    pub fn holds_any(&self, tables: std::ops::Range<u8>, claim: &Claim, times: &[ServerTime]) -> bool {
        let mut ranges = claim.ranges.iter();
        ranges.any(|(partition, range)| {
            let mut offsets = range.from.0..range.to.0;
            offsets.any(|offset| tables.clone().any(|t| self.holds(t, (partition.0, offset), times)))
        })
    }

    /// How many pairs of table partition and batch time a table holds that came after `since`.
    #[must_use]
    pub fn added_since(&self, logs: &[Log], table: u8, since: ServerTime) -> u64 {
        let store = &self.tables[usize::from(table)].rows;
        let mut pairs = BTreeSet::new();
        for (cells, log) in store.cells.iter().zip(logs) {
            let there = cells.iter().enumerate().filter(|(_, cell)| cell.rows > 0 && cell.at > since.0);
            pairs.extend(there.map(|(offset, cell)| (log.at(offset as u64).slot % store.slots, cell.at)));
        }
        pairs.len() as u64
    }

    /// All entries that a table's window ever took.
    #[must_use]
    pub fn entered(&self, table: u8) -> u64 {
        self.tables[usize::from(table)].rows.entered
    }

    /// Whether anything of this batch is being carried out.
    #[must_use]
    pub fn is_running(&self, batch: BatchId) -> bool {
        self.queries.iter().any(|(_, query)| query.insert.payload.id == batch)
    }

    /// Lands one part of an insert.
    pub fn land(&mut self, now: u64, logs: &[Log], insert: &Insert, (target, slot): (Target, u8)) -> Landed {
        let window = self.window;
        let table = &mut self.tables[usize::from(insert.table)];
        let store = match target {
            Target::Table => &mut table.rows,
            Target::View => table.view.as_mut().expect("only a view that is there is written"),
        };
        store.land(now, window, logs, insert, slot)
    }
}
