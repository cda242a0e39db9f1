//! What ClickHouse says of the demo's tables: figures while it runs, everything for the count at the end. Does not
//! judge them.

use std::time::Duration;

use pumphouse_clickhouse::client::{Client, QueryError};
use serde::Deserialize;

use super::configuration::{DATABASE, STREAM};
use super::count::{Findings, Found, Letter};

/// How far back the freshness looks, in seconds.
const FRESHNESS_SECONDS: u32 = 10;
/// How long the queries at the end may take.
const COUNT_TIMEOUT: Duration = Duration::from_mins(2);

/// Figures while the demo runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
pub struct Figures {
    /// Rows in the table.
    pub rows: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Different claim times: one for each batch.
    pub batches: u64,
    /// Active parts.
    pub parts: u64,
    /// Milliseconds from an event to its batch in the last seconds, median.
    pub freshness_p50: Option<f64>,
    /// The same, 99th percentile.
    pub freshness_p99: Option<f64>,
}

/// A command to try while the server is there.
#[must_use]
pub fn command_to_try(url: &str) -> String {
    format!(
        "curl {url} --data-binary \"SELECT service, count() AS requests, round(quantile(0.99)(duration_ms)) AS p99_ms \
         FROM {DATABASE}.{STREAM} GROUP BY service ORDER BY requests DESC FORMAT PrettyCompact\""
    )
}

/// Asks for the figures.
///
/// # Errors
/// When the server does not answer.
pub async fn figures(client: &Client) -> Result<Figures, QueryError> {
    let sql = format!(
        "SELECT count() AS rows, uniqExact(_ingested_at) AS batches, \
             (SELECT count() FROM pumphouse.dead_letters) AS dead_letters, \
             (SELECT count() FROM system.parts \
              WHERE active AND database = '{DATABASE}' AND table = '{STREAM}') AS parts, \
             quantileIf(0.5)(age, recent) AS freshness_p50, quantileIf(0.99)(age, recent) AS freshness_p99 \
         FROM (SELECT _ingested_at, dateDiff('millisecond', ts, _ingested_at) AS age, \
                      _ingested_at > now64(3) - {FRESHNESS_SECONDS} AS recent \
               FROM {DATABASE}.{STREAM})"
    );
    client.query(&sql).row().await
}

#[derive(Deserialize)]
struct Partition {
    number: u32,
    rows: u64,
    dead_letters: u64,
    distinct: u64,
}

#[derive(Deserialize)]
struct Rollup {
    requests: u64,
}

#[derive(Deserialize)]
struct DeadLetter {
    partition: u32,
    offset: u64,
    code: String,
}

/// Asks for everything the count needs.
///
/// # Errors
/// When the server does not answer.
pub async fn findings(client: &Client) -> Result<Findings, QueryError> {
    let partitions = format!(
        "SELECT number, countIf(is_row) AS rows, countIf(NOT is_row) AS dead_letters, \
                uniqExact(offset) AS distinct \
         FROM (SELECT _partition AS number, _offset AS offset, true AS is_row FROM {DATABASE}.{STREAM} \
               UNION ALL \
               SELECT partition AS number, offset, false AS is_row FROM pumphouse.dead_letters) \
         GROUP BY number"
    );
    let partitions: Vec<Partition> = client.query(&partitions).timeout(COUNT_TIMEOUT).rows().await?;
    let rollup = format!("SELECT countMerge(requests) AS requests FROM {DATABASE}.{}", rollup_table());
    let rollup: Rollup = client.query(&rollup).timeout(COUNT_TIMEOUT).row().await?;
    let letters = "SELECT partition, offset, code FROM pumphouse.dead_letters";
    let letters: Vec<DeadLetter> = client.query(letters).timeout(COUNT_TIMEOUT).rows().await?;
    let found = |of: Partition| {
        let Partition { number, rows, dead_letters, distinct } = of;
        (number, Found { rows, dead_letters, distinct })
    };
    let letter = |of: DeadLetter| Letter { partition: of.partition, offset: of.offset, code: of.code };
    Ok(Findings {
        partitions: partitions.into_iter().map(found).collect(),
        rollup_rows: rollup.requests,
        letters: letters.into_iter().map(letter).collect(),
    })
}

fn rollup_table() -> String {
    format!("{STREAM}_{}", super::configuration::ROLLUP)
}
