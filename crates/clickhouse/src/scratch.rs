//! A place that takes and refuses rows as a table does and keeps none: a temporary table with the table's columns,
//! defaults and constraints, which lives in a session of its own and is gone with it.
//!
//! | likeness | engine | what it evaluates (measured on 26.7) |
//! |---|---|---|
//! | [`Likeness::Conditions`] | `Null` | types, `DEFAULT`, `MATERIALIZED`, `CONSTRAINT` |
//! | [`Likeness::Keys`] | `MergeTree` | these, and indexes, the keys of order and partitions, the TTL |
//!
//! Materialized views hang on neither. Does not know which rows are tried, or why.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Deserialize;

use crate::arrow_stream::Body;
use crate::client::{Client, QueryError};
use crate::insert::{Insert, InsertAnswer};
use crate::quote;

/// The temporary table's name, in its own session.
const NAME: &str = "pumphouse_scratch";
/// How long a session may be idle, in seconds; the server ends it then, with all that is in it.
const SESSION_SECONDS: &str = "60";
/// After every trial, in seconds since 1970: a trial stores nothing, so it has no deadline.
const NO_DEADLINE: i64 = 4_000_000_000;
/// Where the engine's arguments end in `system.tables.engine_full`.
const CLAUSES: [&str; 3] = [" PARTITION BY ", " PRIMARY KEY ", " ORDER BY "];

/// How much of the table is like the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// What is evaluated before the first row is written.
    Conditions,
    /// That, and what is evaluated while parts are written.
    Keys,
}

/// A temporary table like another one.
#[derive(Debug)]
pub struct Scratch<'a> {
    client: &'a Client,
    url_index: usize,
    columns: &'a [(String, String)],
    settings: BTreeMap<String, String>,
    timeout: Duration,
    trials: AtomicU64,
}

/// What a scratch is made of.
#[derive(Clone, Copy, Debug)]
pub struct Original<'a> {
    /// The table's database.
    pub database: &'a str,
    /// The table.
    pub table: &'a str,
    /// Name and type of each column that is sent.
    pub columns: &'a [(String, String)],
    /// The settings that go with each insert.
    pub settings: &'a BTreeMap<String, String>,
    /// Limit for one trial.
    pub timeout: Duration,
}

#[derive(Deserialize)]
struct Engine {
    engine_full: String,
}

impl<'a> Scratch<'a> {
    /// Makes the temporary table on one server.
    ///
    /// # Errors
    /// When the server does not answer, or the user may not create temporary tables there.
    pub async fn create(
        client: &'a Client,
        url_index: usize,
        original: &Original<'a>,
        likeness: Likeness,
    ) -> Result<Self, QueryError> {
        let name = quote::table(original.database, original.table);
        let engine = match likeness {
            Likeness::Conditions => "Null".to_owned(),
            Likeness::Keys => merge_tree(client, url_index, original).await?,
        };
        let session = format!("{}-{:08x}", client.next_query_id(), RandomState::new().hash_one(&name));
        let mut settings = original.settings.clone();
        settings.insert("session_id".to_owned(), session);
        settings.insert("session_timeout".to_owned(), SESSION_SECONDS.to_owned());
        let sql = format!("CREATE TEMPORARY TABLE {NAME} AS {name} ENGINE = {engine}");
        let create = client.query(&sql).at(url_index);
        settings.iter().fold(create, |query, (name, value)| query.setting(name, value)).execute().await?;
        let (columns, timeout) = (original.columns, original.timeout);
        Ok(Self { client, url_index, columns, settings, timeout, trials: AtomicU64::new(0) })
    }

    /// Tries rows: done means that the table would take them.
    pub async fn try_rows(&self, body: &Body) -> InsertAnswer {
        let mut token = self.settings["session_id"].clone();
        // Infallible: writing to a `String`.
        let _ = write!(token, "/{}", self.trials.fetch_add(1, Ordering::Relaxed));
        let insert = Insert {
            database: "",
            table: NAME,
            columns: self.columns,
            token: &token,
            deadline_unix_seconds: NO_DEADLINE,
            timeout: self.timeout,
            body,
            query_id: None,
            settings: &self.settings,
            url_index: self.url_index,
            has_views: false,
        };
        self.client.insert(&insert).await
    }
}

/// A plain `MergeTree` with the original's keys and TTL.
async fn merge_tree(client: &Client, url_index: usize, of: &Original<'_>) -> Result<String, QueryError> {
    let sql =
        "SELECT engine_full FROM system.tables WHERE database = {database:String} AND name = {table:String}";
    let query = client.query(sql).at(url_index);
    let engine: Engine = query.param("database", of.database).param("table", of.table).row().await?;
    Ok(format!("MergeTree{}", clauses(&engine.engine_full)))
}

/// What follows an engine's name and arguments, without the settings.
fn clauses(engine_full: &str) -> &str {
    let start = CLAUSES.iter().filter_map(|clause| engine_full.find(clause)).min();
    let clauses = start.map_or(" ORDER BY tuple()", |start| &engine_full[start..]);
    clauses.rfind(" SETTINGS ").map_or(clauses, |end| &clauses[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_of_a_replica_becomes_a_plain_one() {
        for (full, kept) in [
            (
                "ReplicatedMergeTree('/t/{shard}', '{replica}') PARTITION BY toYYYYMM(ts) ORDER BY (a, b) TTL ts + INTERVAL 1 DAY SETTINGS index_granularity = 8192",
                " PARTITION BY toYYYYMM(ts) ORDER BY (a, b) TTL ts + INTERVAL 1 DAY",
            ),
            ("MergeTree PRIMARY KEY a ORDER BY (a, b)", " PRIMARY KEY a ORDER BY (a, b)"),
            ("MergeTree", " ORDER BY tuple()"),
        ] {
            assert_eq!(clauses(full), kept);
        }
    }
}
