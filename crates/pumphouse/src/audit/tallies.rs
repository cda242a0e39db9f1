//! Sums by chunk of offsets, made by ClickHouse: of the rows of a table, and of the dead letters. Reads only the columns
//! that say where rows came from, a portion of the table at a time.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use pumphouse_clickhouse::client::QueryError;
use pumphouse_clickhouse::quote;
use pumphouse_core::audit::Tally;
use pumphouse_core::offset::{Offset, Partition, Range};
use serde::Deserialize;

use super::contents::letters_by_name;
use super::ground::{AuditedTable, Ground, bounded};

/// Rows that one query looks through, as far as table partitions allow.
const PORTION_ROWS: u64 = 50_000_000;

/// The offsets in question, by partition.
pub(super) type Spans = BTreeMap<Partition, Range>;
/// Sums by partition and number of the chunk.
pub(super) type ByChunk = BTreeMap<(Partition, u64), Tally>;

#[derive(Deserialize)]
struct Summed {
    p: u32,
    c: u64,
    n: u64,
    s: u64,
}

#[derive(Deserialize)]
struct Lowest {
    p: u32,
    o: u64,
}

/// Some partitions of a table, and how many rows they have.
struct Portion {
    condition: String,
    rows: u64,
}

/// The lowest offset of each partition in a table.
pub(super) async fn lowest(
    ground: &Ground,
    table: &AuditedTable,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<BTreeMap<Partition, Offset>, QueryError> {
    let (partition, offset) = (&table.lineage.partition, &table.lineage.offset);
    let mut lowest: BTreeMap<Partition, Offset> = BTreeMap::new();
    for portion in portions(ground, table).await? {
        let sql = format!(
            "SELECT {partition} AS p, min({offset}) AS o FROM {} WHERE {} GROUP BY p",
            table.quoted, portion.condition
        );
        for Lowest { p, o } in bounded(ground.client.query(&sql)).rows().await? {
            let found = lowest.entry(Partition(p)).or_insert(Offset(o));
            *found = (*found).min(Offset(o));
        }
        progress(portion.rows);
    }
    Ok(lowest)
}

/// The rows of a table.
pub(super) async fn rows(
    ground: &Ground,
    table: &AuditedTable,
    (spans, size): (&Spans, u64),
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<ByChunk, QueryError> {
    let mut sums = ByChunk::new();
    let within = within(&table.lineage.partition, &table.lineage.offset, spans);
    for portion in portions(ground, table).await? {
        let sql = format!(
            "SELECT {partition} AS p, intDiv({offset}, {size}) AS c, count() AS n, sum({mark}) AS s FROM {table} \
             WHERE {} AND {within} GROUP BY p, c",
            portion.condition,
            partition = table.lineage.partition,
            offset = table.lineage.offset,
            mark = mark(&table.lineage.offset, &table.lineage.index),
            table = table.quoted,
        );
        add(&mut sums, bounded(ground.client.query(&sql)).rows().await?);
        progress(portion.rows);
    }
    Ok(sums)
}

/// The dead letters that are kept, or were given up: each name once.
pub(super) async fn letters(ground: &Ground, spans: &Spans, size: u64) -> Result<ByChunk, QueryError> {
    let mut sums = ByChunk::new();
    let Some(source) = letters_by_name(ground, &within("partition", "offset", spans)) else {
        return Ok(sums);
    };
    let sql = format!(
        "SELECT partition AS p, intDiv(offset, {size}) AS c, count() AS n, sum({}) AS s FROM ({source}) \
         WHERE state IN ('kept', 'given up') GROUP BY p, c",
        mark("offset", "`index`"),
    );
    add(&mut sums, bounded(ground.client.query(&sql)).rows().await?);
    Ok(sums)
}

/// What stands for a row in a sum; `pumphouse_core::audit::mark` is the same.
pub(super) fn mark(offset: &str, index: &str) -> String {
    format!("intHash64(bitXor({offset}, bitShiftLeft(toUInt64({index}), 40)))")
}

fn add(sums: &mut ByChunk, rows: Vec<Summed>) {
    for Summed { p, c, n, s } in rows {
        let sum = sums.entry((Partition(p), c)).or_default();
        *sum = sum.and(Tally { count: n, checksum: s });
    }
}

/// The condition for offsets of the spans. One look-up a row, however many partitions there are.
fn within(partition: &str, offset: &str, spans: &Spans) -> String {
    if let Some((only, range)) = spans.first_key_value().filter(|_| spans.len() == 1) {
        let Range { from, to } = range;
        return format!("({partition} = {only} AND {offset} >= {from} AND {offset} < {to})");
    }
    let (mut numbers, mut froms, mut tos) = (String::new(), String::new(), String::new());
    for (partition, Range { from, to }) in spans {
        let comma = if numbers.is_empty() { "" } else { "," };
        // Infallible: writing to a `String`.
        let _ = write!(numbers, "{comma}{partition}");
        let _ = write!(froms, "{comma}toUInt64({from})");
        let _ = write!(tos, "{comma}toUInt64({to})");
    }
    format!(
        "({offset} >= transform({partition}, [{numbers}], [{froms}], toUInt64(0)) \
         AND {offset} < transform({partition}, [{numbers}], [{tos}], toUInt64(0)))"
    )
}

/// The table cut along its own partitions, so that no query takes long. Rows never move from one to another.
async fn portions(ground: &Ground, table: &AuditedTable) -> Result<Vec<Portion>, QueryError> {
    #[derive(Deserialize)]
    struct Held {
        id: String,
        rows: u64,
    }
    let (database, name) = &table.texts;
    let sql = format!(
        "SELECT partition_id AS id, sum(rows) AS rows FROM system.parts WHERE active AND database = {database} \
         AND `table` = {name} GROUP BY id ORDER BY id"
    );
    let held: Vec<Held> = ground.client.rows(&sql).await?;
    let mut portions: Vec<(Vec<String>, u64)> = Vec::new();
    for Held { id, rows } in held {
        match portions.last_mut() {
            Some((ids, sum)) if *sum + rows <= PORTION_ROWS => {
                ids.push(quote::text(&id));
                *sum += rows;
            }
            _ => portions.push((vec![quote::text(&id)], rows)),
        }
    }
    let portion = |(ids, rows): (Vec<String>, u64)| Portion {
        condition: format!("_partition_id IN ({})", ids.join(", ")),
        rows,
    };
    Ok(portions.into_iter().map(portion).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_become_one_condition() {
        let range = |from, to| Range::new(Offset(from), Offset(to));
        let one = Spans::from([(Partition(3), range(5, 9))]);
        assert_eq!(
            within("_partition", "_offset", &one),
            "(_partition = 3 AND _offset >= 5 AND _offset < 9)"
        );
        let two = Spans::from([(Partition(0), range(5, 9)), (Partition(7), range(0, 4))]);
        insta::assert_snapshot!(within("p", "o", &two), @"(o >= transform(p, [0,7], [toUInt64(5),toUInt64(0)], toUInt64(0)) AND o < transform(p, [0,7], [toUInt64(9),toUInt64(4)], toUInt64(0)))");
    }
}
