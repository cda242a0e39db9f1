//! Counts the rows of a claim in a table, and names those that are there. Only lineage can tell, and only where every
//! row is kept. What a count means is for the core to say.

use std::collections::BTreeSet;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt32Type, UInt64Type};
use arrow_array::{Array, BooleanArray, RecordBatch};
use pumphouse_clickhouse::client::{Client, QueryError};
use pumphouse_clickhouse::quote;
use pumphouse_core::claim::Claim;
use serde::Deserialize;

use super::target::{LineageKey, Target};

/// How long before the claim a part may have been written that holds rows of it, in seconds: clocks differ.
const PARTS_BEFORE_CLAIM: i64 = 600;

/// What makes a row one of a claim's rows and no other: partition, offset, place in the message, table.
type Identity = (u32, u64, u32, String);

/// The rows of one claim in one table.
pub(super) struct ClaimedRows<'a> {
    pub(super) client: &'a Client,
    pub(super) server: usize,
    pub(super) target: &'a Target,
    pub(super) lineage: &'a LineageKey,
    pub(super) claim: &'a Claim,
    pub(super) timeout: Duration,
}

/// The table as it is now.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Live {
    engine_full: String,
    /// The views on it, with their databases.
    pub(super) dependents: Vec<String>,
}

impl Live {
    /// Whether rows may be gone because of their age.
    pub(super) fn rows_expire(&self) -> bool {
        self.engine_full.contains(" TTL ")
    }
}

#[derive(Deserialize)]
struct Counted {
    rows: u64,
}

#[derive(Deserialize)]
struct Found {
    p: u32,
    o: u64,
    i: u32,
    t: String,
}

/// The payload's rows can't be told apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ambiguous;

impl ClaimedRows<'_> {
    /// How many of the claim's rows the table has; `sent` are expected. Looks at the parts that were written since
    /// the claim first: where those hold all, the others need not be read.
    pub(super) async fn count(&self, sent: u64) -> Result<u64, QueryError> {
        let all = format!("SELECT count() AS rows FROM {} WHERE {}", self.table(), self.condition());
        let young = format!(
            "{all} AND _part IN (SELECT name FROM system.parts WHERE database = {database} AND table = {table} AND active \
             AND modification_time >= fromUnixTimestamp64Milli({since}))",
            database = quote::text(&self.target.database),
            table = quote::text(&self.target.table),
            since = self.claim.claimed_at.0 - PARTS_BEFORE_CLAIM * 1000,
        );
        match self.ask::<Counted>(&young).await.as_deref() {
            Ok([counted]) if counted.rows == sent => Ok(sent),
            // Parts may have been merged between the two questions; the whole table tells.
            _ => Ok(self.ask::<Counted>(&all).await?.first().map_or(0, |counted| counted.rows)),
        }
    }

    /// Of the rows sent, which the table lacks: a mask for each row.
    pub(super) async fn missing(
        &self,
        rows: &RecordBatch,
    ) -> Result<Result<BooleanArray, Ambiguous>, QueryError> {
        let [p, o, i, t] = self.identity();
        let sql = format!(
            "SELECT {p} AS p, {o} AS o, {i} AS i, {t} AS t FROM {} WHERE {}",
            self.table(),
            self.condition()
        );
        let found = self.ask::<Found>(&sql).await?;
        let found = found.into_iter().map(|row| (row.p, row.o, row.i, row.t)).collect();
        Ok(missing(rows, self.lineage, &found))
    }

    /// The table's engine and views.
    pub(super) async fn live(&self) -> Result<Live, QueryError> {
        let sql = format!(
            "SELECT engine_full, arrayMap((d, t) -> concat(d, '.', t), dependencies_database, dependencies_table) \
             AS dependents FROM system.tables WHERE database = {} AND name = {}",
            quote::text(&self.target.database),
            quote::text(&self.target.table),
        );
        let mut rows = self.ask::<Live>(&sql).await?;
        rows.pop().ok_or_else(|| QueryError::Answer(format!("table {} is not there", self.target.name())))
    }

    /// When the server started, in seconds since 1970-01-01 UTC.
    pub(super) async fn server_started(&self) -> Result<i64, QueryError> {
        #[derive(Deserialize)]
        struct Started {
            at: i64,
        }
        let sql = "SELECT toInt64(toUnixTimestamp(now())) - toInt64(uptime()) AS at";
        let rows = self.ask::<Started>(sql).await?;
        rows.first()
            .map(|row| row.at)
            .ok_or_else(|| QueryError::Answer("the server tells no time".to_owned()))
    }

    /// The condition that the claim's rows meet.
    pub(super) fn condition(&self) -> String {
        self.lineage.of_claim(self.claim)
    }

    /// The table, quoted.
    pub(super) fn table(&self) -> String {
        quote::table(&self.target.database, &self.target.table)
    }

    /// What tells the claim's rows apart, as expressions.
    pub(super) fn identity(&self) -> [String; 4] {
        let LineageKey { partition, offset, index, table, .. } = self.lineage;
        let index = index.as_ref().map_or_else(|| "toUInt32(0)".to_owned(), |name| quote::name(name));
        let table = table.as_ref().map_or_else(|| "''".to_owned(), |name| quote::name(name));
        [quote::name(partition), quote::name(offset), index, table]
    }

    pub(super) async fn ask<T: serde::de::DeserializeOwned>(&self, sql: &str) -> Result<Vec<T>, QueryError> {
        let limit = self.timeout.as_secs().saturating_sub(1).max(1).to_string();
        let query = self.client.query(sql).at(self.server).timeout(self.timeout);
        query.setting("max_execution_time", &limit).rows().await
    }
}

/// Which rows are not among those found.
fn missing(
    rows: &RecordBatch,
    lineage: &LineageKey,
    found: &BTreeSet<Identity>,
) -> Result<BooleanArray, Ambiguous> {
    let mut seen = BTreeSet::new();
    let mask = identities(rows, lineage).map(|identity| {
        let is_missing = !found.contains(&identity);
        if seen.insert(identity) { Ok(Some(is_missing)) } else { Err(Ambiguous) }
    });
    mask.collect()
}

fn identities<'b>(rows: &'b RecordBatch, lineage: &LineageKey) -> impl Iterator<Item = Identity> + 'b {
    let column = |name: &str| {
        rows.column_by_name(name).expect("a table with lineage is sent its columns of lineage").as_ref()
    };
    let partitions = column(&lineage.partition).as_primitive::<UInt32Type>();
    let offsets = column(&lineage.offset).as_primitive::<UInt64Type>();
    let indexes = lineage.index.as_deref().map(|name| column(name).as_primitive::<UInt32Type>());
    let tables = lineage.table.as_deref().map(column);
    (0..rows.num_rows()).map(move |row| {
        let index = indexes.map_or(0, |indexes| indexes.value(row));
        let table = tables.map_or_else(String::new, |tables| text(tables, row));
        (partitions.value(row), offsets.value(row), index, table)
    })
}

fn text(column: &dyn Array, row: usize) -> String {
    String::from_utf8_lossy(column.as_binary::<i32>().value(row)).into_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{UInt32Array, UInt64Array};

    use super::*;

    fn rows(origins: &[(u32, u64, u32)]) -> RecordBatch {
        let partitions = UInt32Array::from_iter_values(origins.iter().map(|origin| origin.0));
        let offsets = UInt64Array::from_iter_values(origins.iter().map(|origin| origin.1));
        let indexes = UInt32Array::from_iter_values(origins.iter().map(|origin| origin.2));
        RecordBatch::try_from_iter([
            ("_partition", Arc::new(partitions) as _),
            ("_offset", Arc::new(offsets) as _),
            ("_index", Arc::new(indexes) as _),
        ])
        .expect("columns of one length")
    }

    fn lineage(index: Option<&str>) -> LineageKey {
        LineageKey {
            partition: "_partition".to_owned(),
            offset: "_offset".to_owned(),
            claimed_at: "_ingested_at".to_owned(),
            index: index.map(str::to_owned),
            table: None,
            condition: None,
        }
    }

    #[test]
    fn rows_that_the_table_lacks_are_named_one_by_one() {
        let rows = rows(&[(0, 7, 0), (0, 7, 1), (1, 7, 0)]);
        let found = [(0, 7, 1, String::new()), (5, 7, 0, String::new())].into();
        let mask = missing(&rows, &lineage(Some("_index")), &found).expect("they differ");
        assert_eq!(mask, BooleanArray::from(vec![true, false, true]));
    }

    #[test]
    fn rows_of_one_message_in_a_table_without_their_place_cannot_be_told_apart() {
        let rows = rows(&[(0, 7, 0), (0, 7, 1)]);
        assert_eq!(missing(&rows, &lineage(None), &BTreeSet::new()), Err(Ambiguous));
    }
}
