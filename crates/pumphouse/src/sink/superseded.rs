//! What the tables hold of batches that nobody can insert any more, and a batch without that. Only lineage can tell, and
//! only where every row is kept. Does not decide when a batch is superseded.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{UInt32Type, UInt64Type};
use arrow_array::{BooleanArray, RecordBatch};
use pumphouse_clickhouse::client::{Client, Query, QueryError};
use pumphouse_clickhouse::quote;
use pumphouse_core::claim::Claim;
use pumphouse_core::moment::ServerTime;
use pumphouse_core::pump::Survey;
use serde::Deserialize;

use super::insert::Sink;
use super::probe::where_claimed;
use super::target::{LineageKey, Target};

/// Limit for a question to a table: it may have to read the whole column of times.
const LONG_QUERY_MAX: std::time::Duration = std::time::Duration::from_mins(5);

/// A place in a partition: offset, and place in the message.
type Place = (u64, u32);

/// The rows of one table that superseded batches left: runs of places, by partition and the table a dead letter was
/// meant for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held(BTreeMap<(u32, String), Vec<(Place, Place)>>);

/// Whether anybody can still insert `claim`, and whether the tables can tell what of it they hold.
///
/// # Errors
/// When ClickHouse can't be asked now.
pub async fn survey(sink: &Sink, claim: &Claim, over_at: ServerTime) -> Result<Survey, QueryError> {
    if let Some(target) = sink.targets.iter().find(|target| target.lineage.is_none()) {
        tracing::warn!(batch = %claim.id, table = target.name(), "the table can't tell which rows of a batch it holds");
        return Ok(Survey::CannotTell);
    }
    if ServerTime(sink.client.server_time_ms().await?) < over_at
        || runs(&sink.client, &claim.id.to_string()).await?
    {
        return Ok(Survey::NotYet);
    }
    for target in sink.targets.iter().filter(|target| target.has_views) {
        if let Some(lineage) = &target.lineage
            && holds_any(sink, target, lineage, claim).await?
        {
            tracing::warn!(batch = %claim.id, table = target.name(),
                "rows of a batch are in the table, but its views can't tell whether they have them");
            return Ok(Survey::CannotTell);
        }
    }
    Ok(Survey::Over)
}

/// Whether a query that inserts the batch of this identity runs on any server.
///
/// # Errors
/// When a server can't be asked now.
pub async fn runs(client: &Client, batch: &str) -> Result<bool, QueryError> {
    #[derive(Deserialize)]
    struct Running {
        queries: u64,
    }
    let prefix = quote::text(&format!("ph-{batch}-"));
    let sql = format!("SELECT count() AS queries FROM system.processes WHERE startsWith(query_id, {prefix})");
    for server in 0..client.url_count() {
        if client.query(&sql).at(server).row::<Running>().await?.queries > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn holds_any(
    sink: &Sink,
    target: &Target,
    lineage: &LineageKey,
    claim: &Claim,
) -> Result<bool, QueryError> {
    #[derive(Deserialize)]
    struct Found {
        found: u8,
    }
    let table = quote::table(&target.database, &target.table);
    let condition = where_claimed(lineage, &claim.times(), &claim.ranges);
    let sql = format!("SELECT count() > 0 AS found FROM {table} WHERE {condition}");
    Ok(long(sink.client.query(&sql)).row::<Found>().await?.found > 0)
}

fn superseded_times(claim: &Claim) -> Vec<ServerTime> {
    claim.supersedes.iter().map(|superseded| superseded.claimed_at).collect()
}

fn long(query: Query<'_>) -> Query<'_> {
    query.timeout(LONG_QUERY_MAX)
}

/// What each table, in the order of the sink, holds of the batches that `claim` supersedes. Nobody adds to it any more,
/// so that everyone who asks gets the same answer.
///
/// # Errors
/// When a table can't be asked now.
pub async fn held(sink: &Sink, claim: &Claim) -> Result<Vec<Held>, QueryError> {
    let mut held = Vec::new();
    for target in &sink.targets {
        let Some(lineage) = &target.lineage else {
            let why = format!("{} can't tell which rows it holds, so nothing is left out", target.name());
            return Err(QueryError::Answer(why));
        };
        let sql = question(target, lineage, claim);
        let runs: Vec<(u32, u64, u64, u32, u32, String)> = long(sink.client.query(&sql)).rows().await?;
        let mut of_table = Held::default();
        for (partition, first, last, from, to, meant_for) in runs {
            of_table.0.entry((partition, meant_for)).or_default().push(((first, from), (last, to)));
        }
        of_table.0.values_mut().for_each(|runs| runs.sort_unstable());
        held.push(of_table);
    }
    Ok(held)
}

/// Asks for runs of neighbours rather than rows: mostly a table holds all of a batch or nothing.
fn question(target: &Target, lineage: &LineageKey, claim: &Claim) -> String {
    let table = quote::table(&target.database, &target.table);
    let condition = where_claimed(lineage, &superseded_times(claim), &claim.ranges);
    let [partition, offset] = [&lineage.partition, &lineage.offset].map(|name| quote::name(name));
    let meant_for = lineage.table.as_ref().map_or_else(|| "''".to_owned(), |name| quote::name(name));
    let Some(index) = lineage.index.as_ref().map(|name| quote::name(name)) else {
        return format!(
            "SELECT p, min(o), max(o), 0, {last}, t FROM \
             (SELECT p, o, t, toInt64(o) - toInt64(row_number() OVER (PARTITION BY t, p ORDER BY o)) AS run FROM \
             (SELECT DISTINCT {partition} AS p, {offset} AS o, toString({meant_for}) AS t FROM {table} WHERE {condition})) \
             GROUP BY t, p, run FORMAT JSONCompactEachRow",
            last = u32::MAX,
        );
    };
    format!(
        "SELECT p, o, o, min(i), max(i), t FROM \
         (SELECT p, o, i, t, toInt64(i) - toInt64(row_number() OVER (PARTITION BY t, p, o ORDER BY i)) AS run FROM \
         (SELECT DISTINCT {partition} AS p, {offset} AS o, {index} AS i, toString({meant_for}) AS t FROM {table} \
         WHERE {condition})) GROUP BY t, p, o, run FORMAT JSONCompactEachRow"
    )
}

impl Held {
    /// Whether the table holds nothing of the batches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn has(&self, partition: u32, place: Place, meant_for: &str) -> bool {
        let Some(runs) = self.0.get(&(partition, meant_for.to_owned())) else { return false };
        let before = runs.partition_point(|(first, _)| *first <= place);
        before.checked_sub(1).is_some_and(|at| place <= runs[at].1)
    }

    /// The rows of `batch` that the table does not hold; `None` where there is none.
    ///
    /// # Panics
    /// When the batch lacks the columns of `lineage`, which every batch for a table with lineage has.
    #[must_use]
    pub fn left_out_of(&self, batch: RecordBatch, lineage: &LineageKey) -> Option<RecordBatch> {
        if self.is_empty() {
            return Some(batch);
        }
        let column = |name: &str| batch.column_by_name(name).expect("a batch has its lineage columns");
        let partitions = column(&lineage.partition).as_primitive::<UInt32Type>();
        let offsets = column(&lineage.offset).as_primitive::<UInt64Type>();
        let indexes = lineage.index.as_ref().map(|name| column(name).as_primitive::<UInt32Type>());
        let meant_for = lineage.table.as_ref().map(|name| column(name).as_binary::<i32>());
        let missing = |row: usize| {
            let place = (offsets.value(row), indexes.map_or(0, |indexes| indexes.value(row)));
            let meant_for =
                meant_for.map_or_else(Default::default, |names| String::from_utf8_lossy(names.value(row)));
            !self.has(partitions.value(row), place, &meant_for)
        };
        let keep: BooleanArray = (0..batch.num_rows()).map(|row| Some(missing(row))).collect();
        let kept = arrow_select::filter::filter_record_batch(&batch, &keep);
        Some(kept.expect("a row is kept or not, for each row")).filter(|kept| kept.num_rows() > 0)
    }
}

#[cfg(test)]
#[path = "superseded_tests.rs"]
mod tests;
