//! The open batch of one stream: its columns, lineage and dead letters, and where each row came from.
//! Decides that a record is in all columns or in none; when the batch closes is not its business.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, TimestampMillisecondArray, UInt32Array, UInt64Array};

use super::column::Column;
use super::dead_letter::{DeadLetters, Origin};
use super::json::{Reader, Walk};
use super::plan::Plan;
use super::record::{Pushed, Record};
use super::reject::{Code, Fault};
use super::utf8;
use super::zone::UnknownZone;
use crate::config::settings::{self, Lineage, Stream};

/// Rows after which the columns' bytes are counted anew; in between, payloads are added up.
const ROWS_BETWEEN_COUNTS: usize = 256;

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
    /// The declared default does not fit the column.
    #[error("column `{column}`: the default does not fit: {reason}")]
    Default {
        /// The column.
        column: String,
        /// What was expected and what was found.
        reason: String,
    },
}

/// How many records of a partition became what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows.
    pub rows: u64,
    /// Records that can't become rows.
    pub dead_letters: u64,
    /// Tombstones.
    pub filtered: u64,
}

/// What a batch held when it closed.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The table's rows, lineage columns last; `None` where there are none.
    pub rows: Option<RecordBatch>,
    /// The dead letters; `None` where there are none or the stream does not keep them.
    pub dead_letters: Option<RecordBatch>,
    /// Rows, dead letters and filtered records by partition.
    pub counts: BTreeMap<u32, Counts>,
}

/// The open batch of one stream's table.
pub struct OpenBatch {
    plan: Plan,
    columns: Vec<Column>,
    /// Where each row came from.
    partitions: Vec<u32>,
    offsets: Vec<u64>,
    lineage: Option<Lineage>,
    dead_letters: DeadLetters,
    keeps_dead_letters: bool,
    origin: Origin,
    /// Records that did not become rows, by partition.
    others: BTreeMap<u32, Counts>,
    /// Records read since the program began; marks in the plan what each had.
    records: u64,
    scratch: Vec<u8>,
    column_bytes: usize,
}

impl OpenBatch {
    /// An empty batch for a stream, under a revision of the configuration.
    ///
    /// # Errors
    /// Fails where a declared time zone or default is none.
    pub fn new(stream: &Stream, revision: &str) -> Result<Self, ColumnFault> {
        let mut plan = Plan::new(&stream.columns);
        let columns = stream.columns.iter().map(new_column).collect::<Result<Vec<_>, _>>()?;
        let columns = check_defaults(&mut plan, columns)?;
        Ok(Self {
            plan,
            columns,
            partitions: Vec::new(),
            offsets: Vec::new(),
            lineage: stream.lineage.clone(),
            dead_letters: DeadLetters::default(),
            keeps_dead_letters: stream.dead_letters,
            origin: Origin {
                stream: stream.name.clone(),
                topic: stream.topic.clone(),
                revision: revision.to_owned(),
            },
            others: BTreeMap::new(),
            records: 0,
            scratch: Vec::new(),
            column_bytes: 0,
        })
    }

    /// Takes a record in: as a row, as a dead letter, or as nothing.
    pub fn push(&mut self, record: &Record<'_>) -> Pushed {
        let Some(payload) = record.payload else {
            self.others.entry(record.partition).or_default().filtered += 1;
            return Pushed::Filtered;
        };
        match self.read(payload) {
            Ok(()) => {
                self.partitions.push(record.partition);
                self.offsets.push(record.offset);
                self.note_bytes(payload.len());
                Pushed::Row
            }
            Err(fault) => {
                self.refuse(record, fault);
                Pushed::DeadLetter
            }
        }
    }

    fn read(&mut self, payload: &[u8]) -> Result<(), Fault> {
        if payload.is_empty() {
            return Err(Fault::expecting(Code::Empty, PAYLOAD, "an empty message"));
        }
        if !utf8::is_utf8(payload) {
            // Only now is it worth a second look where.
            let at = std::str::from_utf8(payload).map_or_else(|error| error.valid_up_to(), str::len);
            return Err(Fault::expecting(Code::NotUtf8, PAYLOAD, format!("other bytes from byte {at} on")));
        }
        self.records += 1;
        let reader = Reader::new(payload, std::mem::take(&mut self.scratch));
        let mut walk = Walk::new(&mut self.plan, &mut self.columns, reader, self.records);
        let read = walk.read();
        self.scratch = walk.reader.into_scratch();
        read
    }

    #[cold]
    fn refuse(&mut self, record: &Record<'_>, fault: Fault) {
        let rows = self.rows();
        for column in &mut self.columns {
            column.truncate(rows);
        }
        self.others.entry(record.partition).or_default().dead_letters += 1;
        if self.keeps_dead_letters {
            self.dead_letters.push(record, fault.into_reject());
        }
    }

    /// Rows held.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.partitions.len()
    }

    /// Records that could not become rows, kept or not.
    #[must_use]
    pub fn dead_letters(&self) -> usize {
        let dead: u64 = self.others.values().map(|counts| counts.dead_letters).sum();
        usize::try_from(dead).unwrap_or(usize::MAX)
    }

    /// An estimate of the bytes held: exact every 256 rows, and between these the size of the payloads
    /// on top.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let row_origins = self.rows() * (size_of::<u32>() + size_of::<u64>());
        self.column_bytes + row_origins + self.dead_letters.bytes()
    }

    #[inline]
    fn note_bytes(&mut self, payload_bytes: usize) {
        self.column_bytes += payload_bytes;
        if self.rows().is_multiple_of(ROWS_BETWEEN_COUNTS) {
            self.count_bytes();
        }
    }

    fn count_bytes(&mut self) {
        self.column_bytes = self.columns.iter().map(Column::bytes).sum();
    }

    /// Forgets everything that came from `partitions`: they were revoked, and their next owner reads the
    /// records again. Rare, and copies what is left.
    pub fn drop_partitions(&mut self, partitions: &BTreeSet<u32>) {
        let keep: Vec<bool> =
            self.partitions.iter().map(|partition| !partitions.contains(partition)).collect();
        if keep.contains(&false) {
            for column in &mut self.columns {
                column.retain(&keep);
            }
            let kept = |row: &usize| keep[*row];
            self.offsets = (0..keep.len()).filter(kept).map(|row| self.offsets[row]).collect();
            self.partitions.retain(|partition| !partitions.contains(partition));
            self.count_bytes();
        }
        self.others.retain(|partition, _| !partitions.contains(partition));
        self.dead_letters.retain(|partition| !partitions.contains(&partition));
    }

    /// Hands over what the batch holds and leaves it empty, with room for as much again.
    pub fn seal(&mut self, ingested_at_ms: i64) -> Sealed {
        let counts = self.take_counts();
        let rows = (self.rows() > 0).then(|| self.take_rows(ingested_at_ms));
        self.column_bytes = 0;
        Sealed { rows, dead_letters: self.dead_letters.take(&self.origin, ingested_at_ms), counts }
    }

    fn take_counts(&mut self) -> BTreeMap<u32, Counts> {
        let mut counts = std::mem::take(&mut self.others);
        for run in self.partitions.chunk_by(|left, right| left == right) {
            if let Some(partition) = run.first() {
                counts.entry(*partition).or_default().rows += run.len() as u64;
            }
        }
        counts
    }

    fn take_rows(&mut self, ingested_at_ms: i64) -> RecordBatch {
        let rows = self.rows();
        let room = || (Vec::with_capacity(rows), Vec::with_capacity(rows));
        let (partitions, offsets) = room();
        let partitions = std::mem::replace(&mut self.partitions, partitions);
        let offsets = std::mem::replace(&mut self.offsets, offsets);
        let names = self.plan.fields.iter().map(|field| field.name.as_str());
        let values = self.columns.iter_mut().map(|column| (column.is_nullable(), column.take()));
        let mut arrays: Vec<(&str, ArrayRef, bool)> =
            names.zip(values).map(|(name, (nullable, array))| (name, array, nullable)).collect();
        if let Some(Lineage { partition, offset, ingested_at }) = &self.lineage {
            let time = TimestampMillisecondArray::from_value(ingested_at_ms, rows);
            arrays.push((partition, Arc::new(UInt32Array::from(partitions)), false));
            arrays.push((offset, Arc::new(UInt64Array::from(offsets)), false));
            arrays.push((ingested_at, Arc::new(time), false));
        }
        let batch = RecordBatch::try_from_iter_with_nullable(arrays);
        batch.expect("a row is in all columns or in none")
    }
}

/// Name and ClickHouse type of each column of a stream's table, in the order of [`Sealed::rows`].
#[must_use]
pub fn table_columns(stream: &Stream) -> Vec<(String, String)> {
    let declared = stream.columns.iter().map(|column| (column.name.clone(), column.column_type.to_string()));
    let mut columns: Vec<_> = declared.collect();
    if let Some(Lineage { partition, offset, ingested_at }) = &stream.lineage {
        columns.push((partition.clone(), "UInt32".to_owned()));
        columns.push((offset.clone(), "UInt64".to_owned()));
        columns.push((ingested_at.clone(), "DateTime64(3)".to_owned()));
    }
    columns
}

fn new_column(column: &settings::Column) -> Result<Column, ColumnFault> {
    Column::new(&column.column_type, column.epoch)
        .map_err(|UnknownZone(zone)| ColumnFault::Zone { column: column.name.clone(), zone })
}

/// Decodes each default once and throws the rows away.
fn check_defaults(plan: &mut Plan, mut columns: Vec<Column>) -> Result<Vec<Column>, ColumnFault> {
    for (field, column) in plan.fields.iter_mut().zip(&mut columns) {
        let Some(default) = &field.default else { continue };
        if let Err(fault) = column.decode(&mut Reader::new(default, Vec::new())) {
            let reason = fault.into_reject().reason;
            return Err(ColumnFault::Default { column: field.name.clone(), reason });
        }
        column.take();
    }
    Ok(columns)
}
