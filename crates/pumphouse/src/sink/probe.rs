//! Asks the tables whether rows of a claim are there. Only lineage can tell, and only where every row is kept.

use std::collections::BTreeMap;

use pumphouse_clickhouse::client::QueryError;
use pumphouse_clickhouse::quote;
use pumphouse_core::claim::Claim;
use pumphouse_core::moment::ServerTime;
use pumphouse_core::offset::{Partition, Range};
use serde::Deserialize;

use super::insert::Sink;
use super::target::{LineageKey, Target};

#[derive(Deserialize)]
struct Found {
    found: u8,
}

/// Whether any table holds a row of `claim`; `None` where a table has no lineage to ask by. The topic of the dead
/// letters is not asked: a batch that landed there alone is read again, and its letters come twice.
///
/// # Errors
/// When a table can't be asked now.
pub async fn landed(sink: &Sink, claim: &Claim) -> Result<Option<bool>, QueryError> {
    for target in &sink.targets {
        let Some(lineage) = &target.lineage else { return Ok(None) };
        let found: Vec<Found> = sink.client.rows(&question(target, lineage, claim)).await?;
        if found.iter().any(|row| row.found > 0) {
            return Ok(Some(true));
        }
    }
    Ok(Some(false))
}

fn question(target: &Target, lineage: &LineageKey, claim: &Claim) -> String {
    let table = quote::table(&target.database, &target.table);
    let condition = where_claimed(lineage, &[claim.claimed_at], &claim.ranges);
    format!("SELECT count() > 0 AS found FROM {table} WHERE {condition}")
}

/// The condition for rows in these ranges that batches of these times brought.
pub(super) fn where_claimed(
    lineage: &LineageKey,
    times: &[ServerTime],
    ranges: &BTreeMap<Partition, Range>,
) -> String {
    let (partition, offset) = (quote::name(&lineage.partition), quote::name(&lineage.offset));
    let ranges: Vec<String> = ranges
        .iter()
        .map(|(p, range)| {
            format!("({partition} = {p} AND {offset} >= {} AND {offset} < {})", range.from, range.to)
        })
        .collect();
    let times: Vec<String> = times.iter().map(|at| format!("fromUnixTimestamp64Milli({})", at.0)).collect();
    let shared = lineage.condition.as_ref().map(|condition| format!(" AND {condition}")).unwrap_or_default();
    format!(
        "{time} IN ({times}){shared} AND ({ranges})",
        time = quote::name(&lineage.claimed_at),
        times = times.join(", "),
        ranges = ranges.join(" OR "),
    )
}
