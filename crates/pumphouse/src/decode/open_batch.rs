//! The open batch of one stream: the rows of each of its tables, and its dead letters. Decides which record goes
//! where and that one bad for a table is a dead letter for that table; when the batch closes is not its business.

mod again;
mod left_out;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use arrow_array::RecordBatch;

use super::dead_letter::{DeadLetters, Origin};
use super::json_schema::Schema;
use super::record::{Pushed, Record};
use super::reject::{Code, Fault};
use super::route::{Router, TableSet};
use super::split;
use super::table_rows::{Place, TableRows};
use super::utf8;
use crate::config::settings::{Stream, Tombstones, Values};

pub use again::{Again, Tried};
pub use left_out::{LeftOut, RowPlace};

/// A way to take a message apart.
type Split = fn(&[u8], &mut Vec<Range<usize>>) -> Result<(), Fault>;

/// Bytes that the dead letters of one message may take beside its records, were all of them bad for all tables.
const LETTERS_BYTES_MAX: usize = 128 << 20;

const PAYLOAD: &str = "a JSON object in UTF-8";

/// Why a stream's columns can't be filled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnFault {
    /// The declared time zone is none.
    #[error("column `{column}`: `{zone}` is not a time zone of the IANA database")]
    Zone {
        /// The column.
        column: String,
        /// The name that is none.
        zone: String,
    },
    /// The declared JSON Schema is none.
    #[error("the JSON Schema can't be used: {reason}")]
    Schema {
        /// What is wrong with it.
        reason: String,
    },
    /// The declared default does not fit the column.
    #[error("column `{column}`: the default does not fit: {reason}")]
    Default {
        /// The column.
        column: String,
        /// What was expected and what was found.
        reason: String,
    },
}

/// How many records of a partition became what. A record that several tables take counts once for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows.
    pub rows: u64,
    /// Records that can't become rows.
    pub dead_letters: u64,
    /// Tombstones, and records that no table takes.
    pub filtered: u64,
}

/// What a batch held when it closed.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The rows of each table in the stream's order, lineage columns last; `None` where there are none.
    pub tables: Vec<Option<RecordBatch>>,
    /// The dead letters; `None` where there are none or the stream does not keep them.
    pub dead_letters: Option<RecordBatch>,
    /// Rows, dead letters and filtered records by partition.
    pub counts: BTreeMap<u32, Counts>,
}

/// The open batch of one stream.
pub struct OpenBatch {
    tables: Vec<TableRows>,
    /// Not there where the only table takes every record.
    router: Option<Router>,
    schema: Option<Schema>,
    values: Values,
    tombstones: Tombstones,
    dead_letters: DeadLetters,
    keeps_dead_letters: bool,
    origin: Origin,
    /// Records that did not become rows, by partition.
    others: BTreeMap<u32, Counts>,
    scratch: Vec<u8>,
    /// Where the records of the message in hand are.
    parts: Vec<Range<usize>>,
    /// Rows that ClickHouse refuses; only where a batch is built again without them.
    left_out: Option<LeftOut>,
}

impl OpenBatch {
    /// An empty batch for a stream, under a revision of the configuration.
    ///
    /// # Errors
    /// Fails where a declared time zone, default or schema is none.
    pub fn new(stream: &Stream, revision: &str) -> Result<Self, ColumnFault> {
        let tables = stream.tables.iter().map(|table| TableRows::new(stream, table));
        let schema = stream.schema.as_ref().map(Schema::new).transpose();
        Ok(Self {
            tables: tables.collect::<Result<_, _>>()?,
            router: Router::new(&stream.tables),
            schema: schema.map_err(|reason| ColumnFault::Schema { reason })?,
            values: stream.values,
            tombstones: stream.tombstones,
            dead_letters: DeadLetters::default(),
            keeps_dead_letters: stream.dead_letters.table || stream.dead_letters.topic.is_some(),
            origin: Origin {
                stream: stream.name.clone(),
                topic: stream.topic.clone(),
                revision: revision.to_owned(),
            },
            others: BTreeMap::new(),
            scratch: Vec::new(),
            parts: Vec::new(),
            left_out: None,
        })
    }

    /// Takes a message in: its records become rows, dead letters, or nothing.
    #[inline]
    pub fn push(&mut self, record: &Record<'_>) -> Pushed {
        match (record.payload, self.values) {
            (Some(payload), Values::One) => self.push_one(record, payload, 0),
            (Some(payload), Values::Lines) => self.push_several(record, payload, split::lines),
            (Some(payload), Values::Array) => self.push_several(record, payload, split::elements),
            (None, _) => self.push_tombstone(record),
        }
    }

    /// Takes one record of a message in: as a row of each table that takes it, or as a dead letter for that table.
    #[inline]
    fn push_one(&mut self, record: &Record<'_>, payload: &[u8], index: u32) -> Pushed {
        let place = Place { partition: record.partition, offset: record.offset, index };
        let tables = match self.tables_for(payload) {
            Ok(tables) => tables,
            Err(fault) => return self.refuse(record, (payload, index), None, fault),
        };
        if tables == 0 {
            return self.filter(record);
        }
        let mut pushed = Pushed::Row;
        for number in 0..self.tables.len() {
            if tables & (1 << number) == 0 {
                continue;
            }
            if let Some(fault) = self.refused_by_the_server(number, place) {
                pushed = self.refuse(record, (payload, index), Some(number), fault);
                continue;
            }
            if let Err(fault) = self.tables[number].push(payload, place, &mut self.scratch) {
                if fault.code().is_of_the_payload() {
                    return self.refuse(record, (payload, index), None, fault);
                }
                pushed = self.refuse(record, (payload, index), Some(number), fault);
            }
        }
        pushed
    }

    /// The tables that take a record, unless it is none.
    #[inline]
    fn tables_for(&mut self, payload: &[u8]) -> Result<TableSet, Fault> {
        if payload.is_empty() {
            return Err(Fault::expecting(Code::Empty, PAYLOAD, "an empty message"));
        }
        if !utf8::is_utf8(payload) {
            return Err(not_utf8(payload));
        }
        if let Some(schema) = &self.schema {
            schema.judge(payload, &mut self.scratch)?;
        }
        match &mut self.router {
            None => Ok(TableSet::MAX),
            Some(router) => router.route(payload, &mut self.scratch),
        }
    }

    /// Takes the records of a message in, each on its own; a message that can't be taken apart is one bad record.
    fn push_several(&mut self, record: &Record<'_>, payload: &[u8], split: Split) -> Pushed {
        let mut parts = std::mem::take(&mut self.parts);
        let mut pushed = None;
        match self.take_apart((record, payload), split, &mut parts) {
            Err(fault) => pushed = Some(self.refuse(record, (payload, 0), None, fault)),
            Ok(()) => {
                for (index, part) in (0..).zip(&parts) {
                    let part = split::trimmed(&payload[part.clone()]);
                    // A line without anything is no record; an element without anything is a bad one.
                    if self.values == Values::Array || !part.is_empty() {
                        pushed = Some(worse(pushed, self.push_one(record, part, index)));
                    }
                }
            }
        }
        self.parts = parts;
        pushed.unwrap_or_else(|| self.filter(record))
    }

    /// Finds the records of a message, unless they could become more letters than memory holds: each takes the key and
    /// the headers of the message along, for each table.
    fn take_apart(
        &self,
        (record, payload): (&Record<'_>, &[u8]),
        split: Split,
        parts: &mut Vec<Range<usize>>,
    ) -> Result<(), Fault> {
        split(payload, parts)?;
        let letters = parts.len().saturating_mul(self.tables.len());
        if letters.saturating_mul(DeadLetters::bytes_at_least(record)) > LETTERS_BYTES_MAX {
            return Err(split::too_many_letters(parts.len(), LETTERS_BYTES_MAX));
        }
        Ok(())
    }

    fn push_tombstone(&mut self, record: &Record<'_>) -> Pushed {
        match self.tombstones {
            Tombstones::Filter => self.filter(record),
            Tombstones::DeadLetter => {
                let fault =
                    Fault::expecting(Code::Tombstone, PAYLOAD, "a tombstone, a message without a value");
                self.refuse(record, (&[], 0), None, fault)
            }
        }
    }

    fn filter(&mut self, record: &Record<'_>) -> Pushed {
        self.others.entry(record.partition).or_default().filtered += 1;
        Pushed::Filtered
    }

    #[cold]
    fn refuse(
        &mut self,
        record: &Record<'_>,
        (payload, index): (&[u8], u32),
        table: Option<usize>,
        fault: Fault,
    ) -> Pushed {
        self.others.entry(record.partition).or_default().dead_letters += 1;
        if self.keeps_dead_letters {
            let table = table.map_or("", |number| self.tables[number].name.as_str());
            let record = Record { payload: Some(payload), ..*record };
            self.dead_letters.push(&record, index, table, fault.into_reject());
        }
        Pushed::DeadLetter
    }

    /// Rows held, over all tables.
    #[must_use]
    #[inline]
    pub fn rows(&self) -> usize {
        self.tables.iter().map(TableRows::rows).sum()
    }

    /// Records that could not become rows, kept or not.
    #[must_use]
    pub fn dead_letters(&self) -> usize {
        let dead: u64 = self.others.values().map(|counts| counts.dead_letters).sum();
        usize::try_from(dead).unwrap_or(usize::MAX)
    }

    /// Tombstones, and records that no table took.
    #[must_use]
    pub fn filtered(&self) -> u64 {
        self.others.values().map(|counts| counts.filtered).sum()
    }

    /// An estimate of the bytes held: exact every 256 rows, and between these the size of the payloads
    /// on top.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.tables.iter().map(TableRows::bytes).sum::<usize>() + self.dead_letters.bytes()
    }

    /// Forgets everything that came from `partitions`: they were revoked, and their next owner reads the
    /// records again. Rare, and copies what is left.
    pub fn drop_partitions(&mut self, partitions: &BTreeSet<u32>) {
        self.tables.iter_mut().for_each(|table| table.drop_partitions(partitions));
        self.others.retain(|partition, _| !partitions.contains(partition));
        self.dead_letters.retain(|partition| !partitions.contains(&partition));
    }

    /// Hands over what the batch holds and leaves it empty, with room for as much again.
    pub fn seal(&mut self, ingested_at_ms: i64) -> Sealed {
        let mut counts = std::mem::take(&mut self.others);
        self.tables.iter().for_each(|table| table.count(&mut counts));
        let tables = self.tables.iter_mut().map(|table| table.take(ingested_at_ms)).collect();
        Sealed { tables, dead_letters: self.dead_letters.take(&self.origin, ingested_at_ms), counts }
    }
}

/// What became of a message is what became of its worst record.
fn worse(so_far: Option<Pushed>, pushed: Pushed) -> Pushed {
    so_far.map_or(pushed, |so_far| so_far.max(pushed))
}

/// Only where it is known that some bytes are no UTF-8 is it worth a second look where.
#[cold]
fn not_utf8(payload: &[u8]) -> Fault {
    let at = std::str::from_utf8(payload).map_or_else(|error| error.valid_up_to(), str::len);
    Fault::expecting(Code::NotUtf8, PAYLOAD, format!("other bytes from byte {at} on"))
}
