//! What ClickHouse says of the demo's tables: figures while it runs, everything for the count at the end. Does not
//! judge them.

use std::time::Duration;

use pumphouse_clickhouse::client::{Client, QueryError};
use serde::Deserialize;

use super::configuration::{DATABASE, ROLLUP, STREAM};
use super::count::{Findings, Found, Letter};

/// How far back the freshness looks, in seconds.
const FRESHNESS_SECONDS: u32 = 10;
/// How many offsets are named of each kind of mistake.
const EXAMPLES_MAX: usize = 5;
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
                uniqExact(offset) AS distinct FROM ({}) GROUP BY number",
        places()
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

/// Offsets of a partition that are there more than once, and of its first `produced` that are nowhere; some of each.
///
/// # Errors
/// When the server does not answer.
pub async fn examples(client: &Client, partition: u32, produced: u64) -> Result<[Vec<u64>; 2], QueryError> {
    #[derive(Deserialize)]
    struct Example {
        offset: u64,
    }
    let places = format!("SELECT offset FROM ({}) WHERE number = {partition}", places());
    let doubled = format!("{places} GROUP BY offset HAVING count() > 1 ORDER BY offset LIMIT {EXAMPLES_MAX}");
    let missing = format!(
        "SELECT number AS offset FROM numbers({produced}) WHERE number NOT IN ({places}) LIMIT {EXAMPLES_MAX}"
    );
    let mut examples = [Vec::new(), Vec::new()];
    for (sql, offsets) in [doubled, missing].iter().zip(&mut examples) {
        let rows: Vec<Example> = client.query(sql).timeout(COUNT_TIMEOUT).rows().await?;
        offsets.extend(rows.into_iter().map(|row| row.offset));
    }
    Ok(examples)
}

/// Partition and offset of every row and every dead letter.
fn places() -> String {
    format!(
        "SELECT _partition AS number, _offset AS offset, true AS is_row FROM {DATABASE}.{STREAM} \
         UNION ALL \
         SELECT partition AS number, offset, false AS is_row FROM pumphouse.dead_letters"
    )
}

fn rollup_table() -> String {
    format!("{STREAM}_{ROLLUP}")
}
