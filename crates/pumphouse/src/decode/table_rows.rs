//! The rows of one table in the open batch: its columns, and where each row came from. Decides that a record is in
//! all columns or in none; knows no other table and no dead letters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, TimestampMillisecondArray, UInt32Array, UInt64Array};

use super::column::{self, Column};
use super::json::{Reader, Walk};
use super::open_batch::{ColumnFault, Counts};
use super::plan::Plan;
use super::reject::Fault;
use super::zone::UnknownZone;
use crate::config::settings::{self, Lineage, Numbers, Stream, Table, Values};

/// Rows after which the columns' bytes are counted anew; in between, payloads are added up.
const ROWS_BETWEEN_COUNTS: usize = 256;

/// Where a record stands in Kafka.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) partition: u32,
    pub(super) offset: u64,
    /// Its place in its message.
    pub(super) index: u32,
}

/// The rows of one table.
pub(super) struct TableRows {
    /// `database.table`.
    pub(super) name: String,
    plan: Plan,
    columns: Vec<Column>,
    /// Where each row came from.
    partitions: Vec<u32>,
    offsets: Vec<u64>,
    /// Only where a message may hold several records.
    indexes: Option<Vec<u32>>,
    lineage: Option<Lineage>,
    /// Records read since the program began; marks in the plan what each had.
    records: u64,
    column_bytes: usize,
}

impl TableRows {
    /// No rows of a table.
    pub(super) fn new(stream: &Stream, table: &Table) -> Result<Self, ColumnFault> {
        let mut plan = Plan::new(&table.columns, table.unknown_fields_in.as_deref());
        let columns = table
            .columns
            .iter()
            .map(|column| new_column(column, stream.numbers))
            .collect::<Result<Vec<_>, _>>()?;
        let columns = check_defaults(&mut plan, columns)?;
        Ok(Self {
            name: table.full_name(),
            plan,
            columns,
            partitions: Vec::new(),
            offsets: Vec::new(),
            indexes: (stream.values != Values::One).then(Vec::new),
            lineage: stream.lineage.clone(),
            records: 0,
            column_bytes: 0,
        })
    }

    /// Takes a record, which is valid UTF-8, in as a row, or leaves no trace of it.
    #[inline]
    pub(super) fn push(&mut self, payload: &[u8], place: Place, scratch: &mut Vec<u8>) -> Result<(), Fault> {
        self.records += 1;
        let reader = Reader::new(payload, std::mem::take(scratch));
        let mut walk = Walk::new(&mut self.plan, &mut self.columns, reader, self.records);
        let read = walk.read();
        *scratch = walk.reader.into_scratch();
        if let Err(fault) = read {
            self.even_out();
            return Err(fault);
        }
        self.partitions.push(place.partition);
        self.offsets.push(place.offset);
        if let Some(indexes) = &mut self.indexes {
            indexes.push(place.index);
        }
        self.note_bytes(payload.len());
        Ok(())
    }

    /// Takes the parts of a refused record out of the columns again.
    #[cold]
    fn even_out(&mut self) {
        let rows = self.rows();
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
    }

    /// Partition, offset and place in the message of each row.
    pub(super) fn places(&self) -> Vec<(u32, u64, u32)> {
        let index = |row: usize| self.indexes.as_ref().map_or(0, |indexes| indexes[row]);
        let places = self.partitions.iter().zip(&self.offsets).enumerate();
        places.map(|(row, (partition, offset))| (*partition, *offset, index(row))).collect()
    }

    /// Rows held.
    pub(super) fn rows(&self) -> usize {
        self.partitions.len()
    }

    /// An estimate of the bytes held: exact every 256 rows, and between these the size of the payloads on top.
    pub(super) fn bytes(&self) -> usize {
        self.column_bytes + self.rows() * (size_of::<u32>() + size_of::<u64>())
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

    /// Forgets the rows that came from `partitions`. Rare, and copies what is left.
    pub(super) fn drop_partitions(&mut self, partitions: &BTreeSet<u32>) {
        let keep: Vec<bool> =
            self.partitions.iter().map(|partition| !partitions.contains(partition)).collect();
        if !keep.contains(&false) {
            return;
        }
        self.columns.iter_mut().for_each(|column| column.retain(&keep));
        retain_by(&mut self.partitions, &keep);
        retain_by(&mut self.offsets, &keep);
        if let Some(indexes) = &mut self.indexes {
            retain_by(indexes, &keep);
        }
        self.count_bytes();
    }

    /// Adds the rows of each partition to `counts`.
    pub(super) fn count(&self, counts: &mut BTreeMap<u32, Counts>) {
        for run in self.partitions.chunk_by(|left, right| left == right) {
            if let Some(partition) = run.first() {
                counts.entry(*partition).or_default().rows += run.len() as u64;
            }
        }
    }

    /// Hands the rows over, lineage columns last, and starts anew with room for as many; `None` where there are none.
    pub(super) fn take(&mut self, ingested_at_ms: i64) -> Option<RecordBatch> {
        let rows = self.rows();
        if rows == 0 {
            return None;
        }
        self.column_bytes = 0;
        let partitions = std::mem::replace(&mut self.partitions, Vec::with_capacity(rows));
        let offsets = std::mem::replace(&mut self.offsets, Vec::with_capacity(rows));
        let indexes = self.indexes.as_mut().map(|all| std::mem::replace(all, Vec::with_capacity(rows)));
        let columns = self.plan.fields.iter().zip(&mut self.columns);
        let mut arrays: Vec<(String, ArrayRef, bool)> =
            columns.flat_map(|(field, column)| column.take_named(&field.name)).collect();
        if let Some(Lineage { partition, offset, ingested_at, index }) = &self.lineage {
            let time = TimestampMillisecondArray::from_value(ingested_at_ms, rows);
            let [partition, offset, index, ingested_at] =
                [partition, offset, index, ingested_at].map(String::clone);
            arrays.push((partition, Arc::new(UInt32Array::from(partitions)), false));
            arrays.push((offset, Arc::new(UInt64Array::from(offsets)), false));
            if let Some(indexes) = indexes {
                arrays.push((index, Arc::new(UInt32Array::from(indexes)), false));
            }
            arrays.push((ingested_at, Arc::new(time), false));
        }
        let batch = RecordBatch::try_from_iter_with_nullable(arrays);
        Some(batch.expect("a row is in all columns or in none"))
    }
}

/// Name and ClickHouse type of each column of a stream's table, in the order of its rows.
#[must_use]
pub fn table_columns(stream: &Stream, table: &Table) -> Vec<(String, String)> {
    let declared = table.columns.iter();
    let mut columns: Vec<_> =
        declared.flat_map(|column| column::table_columns_of(&column.name, &column.column_type)).collect();
    if let Some(Lineage { partition, offset, ingested_at, index }) = &stream.lineage {
        columns.push((partition.clone(), "UInt32".to_owned()));
        columns.push((offset.clone(), "UInt64".to_owned()));
        if stream.values != Values::One {
            columns.push((index.clone(), "UInt32".to_owned()));
        }
        columns.push((ingested_at.clone(), "DateTime64(3)".to_owned()));
    }
    columns
}

fn new_column(column: &settings::Column, numbers: Numbers) -> Result<Column, ColumnFault> {
    Column::new(&column.column_type, column.epoch, numbers)
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

fn retain_by<T>(values: &mut Vec<T>, keep: &[bool]) {
    let mut flags = keep.iter();
    values.retain(|_| flags.next().copied().unwrap_or(false));
}
