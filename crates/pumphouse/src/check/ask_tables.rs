//! A live table's facts, as ClickHouse tells them. Asks, within bounds; judges nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use pumphouse_clickhouse::client::{Client, Query, QueryError};
use pumphouse_clickhouse::key_time::elements;
use pumphouse_clickhouse::quote;
use serde::Deserialize;

use super::table::{Held, KeyColumn, TableFacts};

/// Rows of the sample that key columns are counted in.
const SAMPLE_ROWS: u32 = 200_000;
/// Expressions of the sorting key that are counted.
const KEYS_MAX: usize = 2;
/// Late batches are those of this time.
const LATELY_SECONDS: u32 = 3_600;
/// Settings of tables that findings go by.
const SETTINGS: [&str; 4] =
    ["parts_to_delay_insert", "parts_to_throw_insert", "max_parts_in_total", "ttl_only_drop_parts"];

/// What is asked about.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) client: &'a Client,
    /// The database, not quoted.
    pub(super) database: &'a str,
    /// The table, not quoted.
    pub(super) table: &'a str,
    /// The column with the time of the claim, where there is one.
    pub(super) claimed_at: Option<&'a str>,
}

#[derive(Deserialize)]
struct Live {
    engine_full: String,
    partition_key: String,
    sorting_key: String,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    value: String,
}

#[derive(Deserialize)]
struct Parts {
    fullest: u64,
    total: u64,
    partitions: u64,
}

#[derive(Deserialize)]
struct Touched {
    batches: u64,
    touched: Option<f64>,
}

#[derive(Deserialize)]
struct Counted {
    distinct: Vec<u64>,
    of: u64,
}

/// Asks for everything about a table; none where it is not there.
pub(super) async fn facts(asking: Asking<'_>) -> Result<Option<TableFacts>, QueryError> {
    let sql = "SELECT engine_full, partition_key, sorting_key FROM system.tables \
               WHERE database = {database:String} AND name = {table:String}";
    let Some(live) = asking.of_table(sql).rows::<Live>().await?.pop() else { return Ok(None) };
    let definition = Definition::of(&live.engine_full);
    let mut settings = defaults(asking.client, definition.engine.starts_with("Replicated")).await?;
    settings.extend(definition.settings);
    let held = held(asking, &live.sorting_key).await?;
    Ok(Some(TableFacts {
        name: quote::table(asking.database, asking.table),
        engine: definition.engine,
        partition_key: live.partition_key,
        sorting_key: live.sorting_key,
        ttl: definition.ttl,
        settings,
        held: Some(held),
        ..TableFacts::default()
    }))
}

impl<'a> Asking<'a> {
    fn of_table(&self, sql: &'a str) -> Query<'a> {
        bounded(self.client.query(sql)).param("database", self.database).param("table", self.table)
    }
}

/// No question may look through a table for long: what was seen by then is what is known.
fn bounded(query: Query<'_>) -> Query<'_> {
    query
        .at(0)
        .timeout(Duration::from_secs(30))
        .setting("max_execution_time", "10")
        .setting("timeout_overflow_mode", "break")
        .setting("max_rows_to_read", "100000000")
        .setting("read_overflow_mode", "break")
        .setting("max_threads", "2")
}

async fn defaults(client: &Client, is_replicated: bool) -> Result<BTreeMap<String, String>, QueryError> {
    let names: Vec<String> = SETTINGS.iter().map(|name| quote::text(name)).collect();
    let source = if is_replicated { "replicated_merge_tree_settings" } else { "merge_tree_settings" };
    let sql = format!("SELECT name, value FROM system.{source} WHERE name IN ({})", names.join(", "));
    let rows: Vec<Named> = client.query(&sql).at(0).rows().await?;
    Ok(rows.into_iter().map(|row| (row.name, row.value)).collect())
}

async fn held(asking: Asking<'_>, sorting_key: &str) -> Result<Held, QueryError> {
    let sql = "SELECT max(parts) AS fullest, sum(parts) AS total, count() AS partitions FROM (SELECT count() AS parts \
               FROM system.parts WHERE active AND database = {database:String} AND `table` = {table:String} \
               GROUP BY partition_id)";
    let parts: Parts = asking.of_table(sql).row().await?;
    let mut held = Held {
        parts: parts.fullest,
        parts_total: parts.total,
        partitions: parts.partitions,
        ..Held::default()
    };
    if parts.total > 0 {
        held.touched = touched(asking).await?;
        held.keys = keys(asking, sorting_key).await?;
    }
    Ok(held)
}

/// Table partitions that a batch of the last hour touched, on average.
async fn touched(asking: Asking<'_>) -> Result<Option<f64>, QueryError> {
    let Some(claimed_at) = asking.claimed_at.map(quote::name) else { return Ok(None) };
    let sql = format!(
        "SELECT count() AS batches, avgOrNull(partitions) AS touched FROM (SELECT uniqExact(_partition_id) AS partitions \
         FROM {} WHERE {claimed_at} > now() - {LATELY_SECONDS} GROUP BY {claimed_at})",
        quote::table(asking.database, asking.table)
    );
    let touched: Touched = bounded(asking.client.query(&sql)).row().await?;
    Ok(touched.touched.filter(|_| touched.batches > 0))
}

/// Values of the first key columns in rows that lie together.
async fn keys(asking: Asking<'_>, sorting_key: &str) -> Result<Vec<KeyColumn>, QueryError> {
    let expressions: Vec<&str> = elements(sorting_key).into_iter().take(KEYS_MAX).collect();
    if expressions.is_empty() {
        return Ok(Vec::new());
    }
    let counts: Vec<String> = expressions.iter().map(|expression| format!("uniq({expression})")).collect();
    let sql = format!(
        "SELECT [{}] AS distinct, count() AS of FROM (SELECT * FROM {} LIMIT {SAMPLE_ROWS})",
        counts.join(", "),
        quote::table(asking.database, asking.table)
    );
    let counted: Counted = bounded(asking.client.query(&sql)).row().await?;
    let keys = expressions.into_iter().zip(counted.distinct);
    let of = counted.of;
    Ok(keys
        .map(|(expression, distinct)| KeyColumn { expression: expression.to_owned(), distinct, of })
        .collect())
}

/// What `system.tables.engine_full` says.
#[derive(Debug, PartialEq)]
struct Definition {
    engine: String,
    ttl: Option<String>,
    settings: BTreeMap<String, String>,
}

impl Definition {
    fn of(engine_full: &str) -> Self {
        let (clauses, settings) = engine_full.rsplit_once(" SETTINGS ").unwrap_or((engine_full, ""));
        let ends = [" PARTITION BY ", " PRIMARY KEY ", " ORDER BY ", " SAMPLE BY ", " TTL "];
        let end = ends.iter().filter_map(|clause| clauses.find(clause)).min();
        let pairs = elements(settings).into_iter().filter_map(|pair| pair.split_once(" = "));
        Self {
            engine: clauses[..end.unwrap_or(clauses.len())].to_owned(),
            ttl: clauses.rsplit_once(" TTL ").map(|(_, ttl)| ttl.to_owned()),
            settings: pairs
                .map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned()))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_taken_apart() {
        let full = "VersionedCollapsingMergeTree(sign, version) PARTITION BY toYYYYMM(ts) ORDER BY (a, b) TTL ts + \
                    toIntervalMonth(13) SETTINGS parts_to_delay_insert = 0, index_granularity = 8192";
        let definition = Definition::of(full);
        assert_eq!(definition.engine, "VersionedCollapsingMergeTree(sign, version)");
        assert_eq!(definition.ttl.as_deref(), Some("ts + toIntervalMonth(13)"));
        assert_eq!(definition.settings["parts_to_delay_insert"], "0");
        let bare = Definition::of("MergeTree ORDER BY tuple()");
        assert_eq!((bare.engine.as_str(), bare.ttl, bare.settings.len()), ("MergeTree", None, 0));
    }
}
