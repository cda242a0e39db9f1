//! Asks the tables whether rows of a claim are there. Only lineage can tell, and only where every row is kept.

use pumphouse_clickhouse::client::QueryError;
use pumphouse_clickhouse::quote;
use pumphouse_core::claim::Claim;
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
    format!("SELECT count() > 0 AS found FROM {table} WHERE {}", lineage.of_claim(claim))
}
