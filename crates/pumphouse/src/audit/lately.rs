//! What was settled a moment ago against what the tables hold, by sums alone, in the background of `run`. Knows what the
//! lanes inserted, so it reads no topic; asks little, gives up early, and never holds up delivery.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{UInt32Type, UInt64Type};
use pumphouse_clickhouse::client::{Client, QueryError};
use pumphouse_clickhouse::quote;
use pumphouse_core::audit::{Difference, Tally, difference};
use pumphouse_core::moment::Time;
use pumphouse_core::offset::{Offset, Partition, Range};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::tallies::mark;
use crate::config::settings::{Lineage, Settings, Stream, Values};
use crate::sink::target::Target;
use crate::telemetry;

/// Time and memory that a look may take on the server; the second one goes through the whole table.
const FIRST_LOOK: (Duration, &str) = (Duration::from_secs(10), "268435456");
const SECOND_LOOK: (Duration, &str) = (Duration::from_mins(1), "1073741824");

/// Rows of one table by partition.
pub type Sums = BTreeMap<Partition, Tally>;

/// A batch that is settled.
#[derive(Clone, Debug)]
pub struct Settled {
    /// Its offsets.
    pub ranges: BTreeMap<Partition, Range>,
    /// What was inserted, by the stream's tables.
    pub sums: Vec<Sums>,
    /// When it was settled.
    pub at: Time,
}

/// What was found so far; read for the line a minute.
#[derive(Debug, Default)]
pub struct Tallied {
    /// Rows that were compared since the last reading.
    pub audited: AtomicU64,
    /// Rows that could not be compared since the last reading.
    pub unaudited: AtomicU64,
    /// Rows less than were inserted, since the start.
    pub lost: AtomicU64,
    /// Rows more, since the start.
    pub doubled: AtomicU64,
}

/// The tables of one stream.
pub struct Lately {
    client: Client,
    stream: String,
    /// None where a table can't tell.
    tables: Vec<Option<Told>>,
}

/// A table that tells.
struct Told {
    name: String,
    quoted: String,
    texts: (String, String),
    partition: String,
    offset: String,
    index: String,
    rows_expire: bool,
}

/// The rows of a batch of columns, by where they came from; none without lineage.
#[must_use]
pub fn sums(rows: &RecordBatch, lineage: &Lineage) -> Option<Sums> {
    let partitions = rows.column_by_name(&lineage.partition)?.as_primitive_opt::<UInt32Type>()?;
    let offsets = rows.column_by_name(&lineage.offset)?.as_primitive_opt::<UInt64Type>()?;
    let indexes =
        rows.column_by_name(&lineage.index).and_then(|column| column.as_primitive_opt::<UInt32Type>());
    let mut sums = Sums::new();
    for run in runs(partitions.values()) {
        let mut sum = Tally::default();
        for row in run.clone() {
            sum.take(Offset(offsets.value(row)), indexes.map_or(0, |indexes| indexes.value(row)));
        }
        let of = sums.entry(Partition(partitions.value(run.start))).or_default();
        *of = of.and(sum);
    }
    Some(sums)
}

/// Where neighbours are the same.
fn runs(values: &[u32]) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut from = 0;
    values.chunk_by(|left, right| left == right).map(move |run| {
        let range = from..from + run.len();
        from = range.end;
        range
    })
}

impl Lately {
    /// The tables of a stream that can tell, over a connection of its own; none where no table can.
    #[must_use]
    pub fn of(settings: &Settings, client: Client, stream: &Stream, targets: &[Target]) -> Option<Self> {
        let lineage = stream.lineage.as_ref()?;
        let is_shared = |name: &str| {
            let fills = |other: &&Stream| {
                other.name != stream.name && other.tables.iter().any(|table| table.full_name() == name)
            };
            settings.streams.values().any(|other| fills(&other))
        };
        let told = |(table, target): (&crate::config::settings::Table, &Target)| {
            let can_tell = target.lineage.is_some() && !is_shared(&target.name());
            can_tell.then(|| Told {
                name: target.name(),
                quoted: quote::table(&target.database, &target.table),
                texts: (quote::text(&target.database), quote::text(&target.table)),
                partition: quote::name(&lineage.partition),
                offset: quote::name(&lineage.offset),
                index: match stream.values {
                    Values::One => "toUInt32(0)".to_owned(),
                    Values::Lines | Values::Array => quote::name(&lineage.index),
                },
                rows_expire: table.ttl.is_some(),
            })
        };
        let tables: Vec<Option<Told>> = stream.tables.iter().zip(targets).map(told).collect();
        tables.iter().any(Option::is_some).then(|| Self { client, stream: stream.name.clone(), tables })
    }

    /// Compares batches, the oldest of them this long settled, with what is there.
    pub async fn look(&self, batches: &[Settled], oldest: Duration, tallied: &Tallied) {
        for (number, table) in self.tables.iter().enumerate() {
            let Some(table) = table else { continue };
            let mut inserted = Sums::new();
            for batch in batches {
                for (partition, sum) in batch.sums.get(number).into_iter().flatten() {
                    let of = inserted.entry(*partition).or_default();
                    *of = of.and(*sum);
                }
            }
            let ranges = joined(batches);
            let rows = inserted.values().map(|sum| sum.count).sum();
            match self.compare(table, &inserted, &ranges, oldest).await {
                Ok(differences) => {
                    tallied.audited.fetch_add(rows, Ordering::Relaxed);
                    self.tell(table, &differences, &ranges, tallied);
                }
                Err(error) => {
                    tallied.unaudited.fetch_add(rows, Ordering::Relaxed);
                    telemetry::unaudited(&self.stream, &table.name, rows, &error);
                }
            }
        }
    }

    /// What differs, by partition. Merges may hide parts from the first look, so that it takes two to say so.
    async fn compare(
        &self,
        table: &Told,
        inserted: &Sums,
        ranges: &[(Partition, Range)],
        oldest: Duration,
    ) -> Result<Vec<(Partition, Difference)>, QueryError> {
        if self.sums(table, ranges, oldest).await? == *inserted {
            return Ok(Vec::new());
        }
        let there = self.records(table, ranges).await?;
        let all: BTreeSet<Partition> = inserted.keys().chain(there.keys()).copied().collect();
        let of = |partition: Partition| {
            let (rows, records) = there.get(&partition).copied().unwrap_or_default();
            let inserted = inserted.get(&partition).map_or(0, |sum| sum.count);
            (partition, difference(inserted, rows, records))
        };
        Ok(all.into_iter().map(of).collect())
    }

    /// The sums of ranges, in parts that were made lately: a fresh row's was made by its insert, or by a merge since.
    async fn sums(
        &self,
        table: &Told,
        ranges: &[(Partition, Range)],
        since: Duration,
    ) -> Result<Sums, QueryError> {
        #[derive(Deserialize)]
        struct Summed {
            p: u32,
            n: u64,
            s: u64,
        }
        let what = format!("count() AS n, sum({}) AS s", mark(&table.offset, &table.index));
        let fresh = format!(
            "_part IN (SELECT name FROM system.parts WHERE active AND database = {} AND `table` = {} \
             AND modification_time >= now() - {}) AND ",
            table.texts.0,
            table.texts.1,
            since.as_secs(),
        );
        let rows: Vec<Summed> = self.ask(&statement(table, ranges, (&what, &fresh)), FIRST_LOOK).await?;
        let sum = |Summed { p, n, s }| (Partition(p), Tally { count: n, checksum: s });
        Ok(rows.into_iter().map(sum).collect())
    }

    /// Rows of ranges in the whole table, and the records that these are of, by partition.
    async fn records(
        &self,
        table: &Told,
        ranges: &[(Partition, Range)],
    ) -> Result<BTreeMap<Partition, (u64, u64)>, QueryError> {
        #[derive(Deserialize)]
        struct Counted {
            p: u32,
            n: u64,
            d: u64,
        }
        let what = format!("count() AS n, uniqExact({}, {}) AS d", table.offset, table.index);
        let rows: Vec<Counted> = self.ask(&statement(table, ranges, (&what, "")), SECOND_LOOK).await?;
        Ok(rows.into_iter().map(|Counted { p, n, d }| (Partition(p), (n, d))).collect())
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        sql: &str,
        (limit, memory): (Duration, &str),
    ) -> Result<Vec<T>, QueryError> {
        let seconds = limit.as_secs().to_string();
        let query = self.client.query(sql).timeout(limit).setting("max_execution_time", &seconds);
        query
            .setting("max_memory_usage", memory)
            .setting("max_threads", "1")
            .setting("priority", "10")
            .rows()
            .await
    }

    fn tell(
        &self,
        table: &Told,
        differences: &[(Partition, Difference)],
        ranges: &[(Partition, Range)],
        tallied: &Tallied,
    ) {
        for (partition, Difference { missing, doubled }) in differences {
            let of = ranges.iter().filter(|(of, _)| of == partition).map(|(_, range)| *range);
            let whole = of.reduce(|all, range| Range::new(all.from.min(range.from), all.to.max(range.to)));
            let place = (table.name.as_str(), *partition, whole.unwrap_or(Range::new(Offset(0), Offset(0))));
            // A row may be older than the table's TTL when it comes.
            if *missing > 0 && !table.rows_expire {
                tallied.lost.fetch_add(*missing, Ordering::Relaxed);
                telemetry::missing(&self.stream, place, *missing);
            }
            if *doubled > 0 {
                tallied.doubled.fetch_add(*doubled, Ordering::Relaxed);
                telemetry::doubled(&self.stream, place, *doubled);
            }
        }
    }
}

fn statement(table: &Told, ranges: &[(Partition, Range)], (what, fresh): (&str, &str)) -> String {
    let Told { quoted, partition, offset, .. } = table;
    let of = |(number, Range { from, to }): &(Partition, Range)| {
        format!("({partition} = {number} AND {offset} >= {from} AND {offset} < {to})")
    };
    let ranges = ranges.iter().map(of).collect::<Vec<_>>().join(" OR ");
    format!("SELECT {partition} AS p, {what} FROM {quoted} WHERE {fresh}({ranges}) GROUP BY p")
}

/// The ranges of all batches, joined where they touch.
fn joined(batches: &[Settled]) -> Vec<(Partition, Range)> {
    let mut all: Vec<(Partition, Range)> =
        batches.iter().flat_map(|batch| batch.ranges.iter().map(|(p, range)| (*p, *range))).collect();
    all.sort_unstable();
    let mut joined: Vec<(Partition, Range)> = Vec::new();
    for (partition, range) in all {
        match joined.last_mut() {
            Some((last, run)) if *last == partition && run.to == range.from => *run = run.extended(range),
            _ => joined.push((partition, range)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, UInt32Array, UInt64Array};

    use super::*;

    fn range(from: u64, to: u64) -> Range {
        Range::new(Offset(from), Offset(to))
    }

    fn lineage() -> Lineage {
        let [partition, offset, ingested_at, index] =
            ["_partition", "_offset", "_ingested_at", "_index"].map(str::to_owned);
        Lineage { partition, offset, ingested_at, index }
    }

    #[test]
    fn rows_are_summed_by_where_they_came_from() {
        let partitions: ArrayRef = Arc::new(UInt32Array::from(vec![0, 0, 1, 0]));
        let offsets: ArrayRef = Arc::new(UInt64Array::from(vec![5, 6, 9, 7]));
        let rows = RecordBatch::try_from_iter([("_partition", partitions), ("_offset", offsets)]);
        let sums = sums(&rows.expect("two columns"), &lineage()).expect("there is lineage");
        assert_eq!(sums[&Partition(0)], Tally::of(range(5, 8)));
        assert_eq!(sums[&Partition(1)], Tally::of(range(9, 10)));
    }

    #[test]
    fn rows_without_lineage_are_not_summed() {
        let values: ArrayRef = Arc::new(UInt64Array::from(vec![5]));
        let rows = RecordBatch::try_from_iter([("v", values)]).expect("a column");
        assert_eq!(sums(&rows, &lineage()), None);
    }

    #[test]
    fn batches_that_follow_each_other_are_one_range() {
        let batch = |from, to| Settled {
            ranges: [(Partition(0), range(from, to)), (Partition(1), range(from * 2, to * 2))].into(),
            sums: Vec::new(),
            at: Time(0),
        };
        let joined = joined(&[batch(5, 9), batch(0, 5), batch(20, 30)]);
        assert_eq!(
            joined,
            [
                (Partition(0), range(0, 9)),
                (Partition(0), range(20, 30)),
                (Partition(1), range(0, 18)),
                (Partition(1), range(40, 60)),
            ]
        );
    }
}
