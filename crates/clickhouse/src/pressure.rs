//! How loaded tables are, as one server says it at one moment: parts against the limits that hold for inserts of this
//! user, merges under way, inserts held back, how far a replica lags.
//!
//! Two queries, the second for what only explains the first. Decides nothing by what it reads. A table that can't be seen
//! and a question that is not answered are errors of their own, never a reading of zero.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::client::{Client, QueryError};
use crate::exception::Kind;
use crate::preflight::{Engine, effective_setting};
use crate::quote;

/// How long a query may take, answer included.
const QUERY_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the server may work on it, in seconds; whether or not somebody still waits.
const WORK_SECONDS_MAX: &str = "2";
/// How long it may wait for a table that is being altered or dropped, in seconds.
const LOCK_SECONDS_MAX: &str = "1";

const DELAY: &str = "parts_to_delay_insert";
const REFUSE: &str = "parts_to_throw_insert";
const REFUSE_TOTAL: &str = "max_parts_in_total";
/// Parts that are larger on average do not count against the first two.
const LARGE_PART: &str = "max_avg_part_size_for_too_many_parts";

/// What is to be read.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Database and name of each table; each once.
    pub tables: Vec<(String, String)>,
    /// The settings that the operator adds to each insert: they may hold limits of parts.
    pub settings: BTreeMap<String, String>,
}

/// What one server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// `hostName()` of the server that answered: behind one address there may be several.
    pub server: String,
    /// The tables, in the order asked for.
    pub tables: Vec<TableReading>,
    /// What goes on in the server, or why that is not known.
    pub activity: Result<Activity, QueryError>,
}

/// One table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableReading {
    /// The database.
    pub database: String,
    /// The table.
    pub table: String,
    /// The table partition with the most active parts, as ClickHouse writes it; empty where the table is empty.
    pub fullest: String,
    /// Active parts of that partition.
    pub parts: u64,
    /// Active parts of all of them.
    pub parts_total: u64,
    /// What it takes before inserts are delayed or refused.
    pub limits: Limits,
    /// Whether replicas of it exist.
    pub is_replicated: bool,
}

/// Numbers of parts; 0 where there is no such limit, or where it does not hold now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Parts of one table partition from which on inserts are delayed.
    pub delay_at: u64,
    /// Parts of one table partition from which on they are refused.
    pub refuse_at: u64,
    /// Parts of the whole table from which on they are refused.
    pub refuse_total_at: u64,
}

/// What goes on in the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Inserts into any table that it holds back now.
    pub delayed: u64,
    /// Inserts into any table that it has refused for too many parts since it started.
    pub rejected: u64,
    /// Merges and mutations under way, of the tables asked for, by database and table.
    pub merges: BTreeMap<(String, String), Merges>,
    /// Where this replica of the tables stands, by database and table.
    pub replicas: BTreeMap<(String, String), Replica>,
}

/// Merges and mutations of one table that are under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merges {
    /// How many.
    pub count: u64,
    /// Compressed bytes of the parts that are being merged.
    pub bytes: u64,
    /// How many of these are done.
    pub bytes_done: u64,
    /// How long the oldest has been running.
    pub longest: Duration,
}

/// One replica of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replica {
    /// Entries of its queue.
    pub queue: u64,
    /// How far it is behind.
    pub delay: Duration,
}

/// Why there is no reading.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PressureError {
    /// The server did not answer, or refused to.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// It shows no such table to this user.
    #[error("table {0} can't be seen: it is gone, or this user lacks SHOW TABLES on it")]
    Unseen(String),
}

#[derive(Deserialize)]
struct TableRow {
    server: String,
    database: String,
    table: String,
    engine: String,
    engine_full: String,
    fullest: String,
    parts: u64,
    parts_total: u64,
    bytes: u64,
    plain: BTreeMap<String, String>,
    replicated: BTreeMap<String, String>,
    delay_at: u64,
    refuse_at: u64,
}

#[derive(Deserialize)]
struct ActivityRow {
    server: String,
    delayed: u64,
    rejected: u64,
    merges: Vec<MergesRow>,
    #[serde(default)]
    replicas: Vec<ReplicaRow>,
}

#[derive(Deserialize)]
struct MergesRow {
    database: String,
    table: String,
    count: u64,
    bytes: u64,
    bytes_done: u64,
    milliseconds: u64,
}

#[derive(Deserialize)]
struct ReplicaRow {
    database: String,
    table: String,
    queue: u64,
    seconds: u64,
}

/// Asks one server about tables.
///
/// # Errors
/// [`PressureError`]; what only explains is told beside the rest, in [`Reading::activity`].
pub async fn read(client: &Client, url_index: usize, asked: &Asked) -> Result<Reading, PressureError> {
    let rows: Vec<TableRow> = ask(client, url_index, (&tables_query(asked), asked)).await?;
    let server = rows.first().map(|row| row.server.clone()).unwrap_or_default();
    let tables: Vec<TableReading> = asked
        .tables
        .iter()
        .map(|(database, table)| {
            let row = rows.iter().find(|row| row.database == *database && row.table == *table);
            row.map(reading).ok_or_else(|| PressureError::Unseen(quote::table(database, table)))
        })
        .collect::<Result<_, _>>()?;
    let is_replicated = tables.iter().any(|table| table.is_replicated);
    let activity = activity(client, url_index, (asked, is_replicated, &server)).await;
    match activity {
        // A user that may not look there still gets what counts.
        Err(QueryError::Server(error)) if error.kind != Kind::Access => Err(QueryError::Server(error).into()),
        Err(error @ (QueryError::NotSent(_) | QueryError::Lost(_))) => Err(error.into()),
        activity => Ok(Reading { server, tables, activity }),
    }
}

async fn activity(
    client: &Client,
    url_index: usize,
    (asked, is_replicated, server): (&Asked, bool, &str),
) -> Result<Activity, QueryError> {
    let rows: Vec<ActivityRow> =
        ask(client, url_index, (&activity_query(asked, is_replicated), asked)).await?;
    let [row] = <[ActivityRow; 1]>::try_from(rows)
        .map_err(|rows| QueryError::Answer(format!("one row expected, {} came", rows.len())))?;
    if row.server != server {
        let what = format!("one address, two servers: {server}, then {}", row.server);
        return Err(QueryError::Answer(what));
    }
    let merges = row.merges.into_iter().map(|row| {
        let longest = Duration::from_millis(row.milliseconds);
        let merges = Merges { count: row.count, bytes: row.bytes, bytes_done: row.bytes_done, longest };
        ((row.database, row.table), merges)
    });
    let replicas = row.replicas.into_iter().map(|row| {
        ((row.database, row.table), Replica { queue: row.queue, delay: Duration::from_secs(row.seconds) })
    });
    Ok(Activity {
        delayed: row.delayed,
        rejected: row.rejected,
        merges: merges.collect(),
        replicas: replicas.collect(),
    })
}

async fn ask<T: DeserializeOwned>(
    client: &Client,
    url_index: usize,
    (sql, asked): (&str, &Asked),
) -> Result<Vec<T>, QueryError> {
    let own = [
        ("max_execution_time", WORK_SECONDS_MAX),
        ("lock_acquire_timeout", LOCK_SECONDS_MAX),
        ("max_threads", "1"),
        ("join_use_nulls", "0"),
    ];
    let query = client.query(sql).at(url_index).timeout(QUERY_TIMEOUT);
    let query = own.into_iter().fold(query, |query, (name, value)| query.setting(name, value));
    let of_inserts = asked.settings.iter().filter(|(name, _)| [DELAY, REFUSE].contains(&name.as_str()));
    of_inserts.fold(query, |query, (name, value)| query.setting(name, value)).rows().await
}

/// A row for each table that is there. Parts are grouped by the partition's id, since its name costs a text a part;
/// of partitions with as many parts the one with the smaller ones counts, whose limits hold for longer.
fn tables_query(asked: &Asked) -> String {
    let names = [DELAY, REFUSE, REFUSE_TOTAL, LARGE_PART].map(quote::text).join(", ");
    let defaults = |of: &str| {
        format!(
            "(SELECT CAST(groupArray((name, value)), 'Map(String, String)') FROM system.{of} WHERE name IN ({names}))"
        )
    };
    format!(
        "SELECT hostName() AS server, database, t.table AS table, engine, engine_full, fullest, parts, parts_total, \
         bytes, {plain} AS plain, {replicated} AS replicated, toUInt64(getSetting('{DELAY}')) AS delay_at, \
         toUInt64(getSetting('{REFUSE}')) AS refuse_at \
         FROM (SELECT database, name AS table, engine, engine_full FROM system.tables WHERE {tables}) AS t \
         LEFT JOIN (SELECT database, table, argMax(partition, rank) AS fullest, max(n) AS parts, \
         argMax(size, rank) AS bytes, sum(n) AS parts_total FROM (SELECT database, table, partition_id, \
         any(partition) AS partition, count() AS n, sum(bytes_on_disk) AS size, (n, -toInt64(size)) AS rank \
         FROM system.parts WHERE active AND {of_parts} GROUP BY database, table, partition_id) \
         GROUP BY database, table) AS p USING (database, table)",
        plain = defaults("merge_tree_settings"),
        replicated = defaults("replicated_merge_tree_settings"),
        tables = is_any_of(asked, "name"),
        of_parts = is_any_of(asked, "table"),
    )
}

fn activity_query(asked: &Asked, is_replicated: bool) -> String {
    let of = is_any_of(asked, "table");
    let replicas = if is_replicated {
        format!(
            ", (SELECT CAST(groupArray((database, table, toUInt64(queue_size), toUInt64(absolute_delay))), \
             'Array(Tuple(database String, table String, queue UInt64, seconds UInt64))') \
             FROM system.replicas WHERE {of}) AS replicas"
        )
    } else {
        String::new()
    };
    format!(
        "SELECT hostName() AS server, \
         (SELECT toUInt64(sum(greatest(value, 0))) FROM system.metrics WHERE metric = 'DelayedInserts') AS delayed, \
         (SELECT toUInt64(sum(value)) FROM system.events WHERE event = 'RejectedInserts') AS rejected, \
         (SELECT CAST(groupArray((database, table, count, bytes, done, milliseconds)), \
         'Array(Tuple(database String, table String, count UInt64, bytes UInt64, bytes_done UInt64, \
         milliseconds UInt64))') FROM (SELECT database, table, count() AS count, \
         sum(total_size_bytes_compressed) AS bytes, \
         toUInt64(sum(total_size_bytes_compressed * least(greatest(progress, 0), 1))) AS done, \
         toUInt64(max(elapsed) * 1000) AS milliseconds FROM system.merges WHERE {of} \
         GROUP BY database, table)) AS merges{replicas}"
    )
}

/// The tables asked for, as a condition that leaves the parts of all others untouched.
fn is_any_of(asked: &Asked, column: &str) -> String {
    let is = |(database, table): &(String, String)| {
        format!("(database = {} AND {column} = {})", quote::text(database), quote::text(table))
    };
    let all: Vec<_> = asked.tables.iter().map(is).collect();
    if all.is_empty() { "0".to_owned() } else { format!("({})", all.join(" OR ")) }
}

fn reading(row: &TableRow) -> TableReading {
    let is_replicated = Engine::of(&row.engine).is_replicated();
    let defaults = if is_replicated { &row.replicated } else { &row.plain };
    let of_table = |name: &str| effective_setting(&row.engine_full, defaults, name).unwrap_or_default();
    let of_insert = |own: u64, name: &str| if own > 0 { own } else { of_table(name) };
    let large_part = of_table(LARGE_PART);
    let are_large = large_part > 0 && row.bytes.checked_div(row.parts).is_some_and(|size| size > large_part);
    let unless_large = |limit: u64| if are_large { 0 } else { limit };
    TableReading {
        database: row.database.clone(),
        table: row.table.clone(),
        fullest: row.fullest.clone(),
        parts: row.parts,
        parts_total: row.parts_total,
        limits: Limits {
            delay_at: unless_large(of_insert(row.delay_at, DELAY)),
            refuse_at: unless_large(of_insert(row.refuse_at, REFUSE)),
            refuse_total_at: of_table(REFUSE_TOTAL),
        },
        is_replicated,
    }
}

impl TableReading {
    /// Parts and the limit that they come nearest to, whichever it is; the parts of the fullest partition and 0 where there
    /// is none.
    #[must_use]
    pub fn nearest(&self) -> (u64, u64) {
        let Limits { delay_at, refuse_at, refuse_total_at } = self.limits;
        let all = [(self.parts, delay_at), (self.parts, refuse_at), (self.parts_total, refuse_total_at)];
        // Compares `a / b` with `c / d` as `a * d` with `c * b`.
        let share = |left: &(u64, u64), right: &(u64, u64)| {
            (u128::from(left.0) * u128::from(right.1)).cmp(&(u128::from(right.0) * u128::from(left.1)))
        };
        all.into_iter().filter(|(_, limit)| *limit > 0).max_by(share).unwrap_or((self.parts, 0))
    }

    /// Whether an insert that the server holds back now may be one into this table.
    #[must_use]
    pub fn may_be_delayed(&self) -> bool {
        let is_over = |parts: u64, limit: u64| limit > 0 && parts >= limit;
        is_over(self.parts, self.limits.delay_at) || self.may_be_refused()
    }

    /// Whether an insert that the server has refused lately may have been one into this table.
    #[must_use]
    pub fn may_be_refused(&self) -> bool {
        let is_over = |parts: u64, limit: u64| limit > 0 && parts >= limit;
        is_over(self.parts, self.limits.refuse_at) || is_over(self.parts_total, self.limits.refuse_total_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> TableRow {
        let defaults = |values: [(&str, &str); 4]| {
            values.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect()
        };
        TableRow {
            server: "a".to_owned(),
            database: "d".to_owned(),
            table: "t".to_owned(),
            engine: "MergeTree".to_owned(),
            engine_full: "MergeTree ORDER BY a SETTINGS parts_to_throw_insert = 40, index_granularity = 8192"
                .to_owned(),
            fullest: "202611".to_owned(),
            parts: 10,
            parts_total: 25,
            bytes: 10_000,
            plain: defaults([
                (DELAY, "1000"),
                (REFUSE, "3000"),
                (REFUSE_TOTAL, "100000"),
                (LARGE_PART, "1001"),
            ]),
            replicated: defaults([(DELAY, "7"), (REFUSE, "9"), (REFUSE_TOTAL, "11"), (LARGE_PART, "0")]),
            delay_at: 0,
            refuse_at: 0,
        }
    }

    fn limits(row: &TableRow) -> (u64, u64, u64) {
        let Limits { delay_at, refuse_at, refuse_total_at } = reading(row).limits;
        (delay_at, refuse_at, refuse_total_at)
    }

    #[test]
    fn a_tables_own_limit_goes_before_the_servers_and_one_of_the_insert_before_both() {
        assert_eq!(limits(&row()), (1000, 40, 100_000));
        assert_eq!(limits(&TableRow { delay_at: 5, refuse_at: 6, ..row() }), (5, 6, 100_000));
        let replicated = TableRow { engine: "ReplicatedReplacingMergeTree".to_owned(), ..row() };
        assert_eq!(limits(&replicated), (7, 40, 11));
    }

    #[test]
    fn where_parts_are_large_on_average_only_the_limit_of_the_whole_table_holds() {
        assert_eq!(
            limits(&TableRow { bytes: 10_019, ..row() }),
            (1000, 40, 100_000),
            "as large is not larger"
        );
        assert_eq!(limits(&TableRow { bytes: 10_020, ..row() }), (0, 0, 100_000));
        assert_eq!(limits(&TableRow { bytes: 0, parts: 0, ..row() }), (1000, 40, 100_000));
    }

    #[test]
    fn the_nearest_limit_is_the_one_that_is_fullest() {
        let table = |parts, parts_total, delay_at, refuse_at, refuse_total_at| TableReading {
            parts,
            parts_total,
            limits: Limits { delay_at, refuse_at, refuse_total_at },
            ..TableReading::default()
        };
        assert_eq!(table(10, 20, 100, 300, 1000).nearest(), (10, 100));
        assert_eq!(table(10, 20, 0, 300, 1000).nearest(), (10, 300));
        assert_eq!(table(10, 900, 100, 300, 1000).nearest(), (900, 1000));
        assert_eq!(table(10, 20, 0, 0, 0).nearest(), (10, 0));
        assert_eq!(table(0, 0, 100, 300, 1000).nearest().0, 0);
    }

    #[test]
    fn only_a_table_over_a_limit_can_be_what_the_server_holds_back() {
        let table = |parts, parts_total| TableReading {
            parts,
            parts_total,
            limits: Limits { delay_at: 20, refuse_at: 40, refuse_total_at: 100 },
            ..TableReading::default()
        };
        let may = |parts, total| (table(parts, total).may_be_delayed(), table(parts, total).may_be_refused());
        assert_eq!(may(19, 99), (false, false));
        assert_eq!(may(20, 99), (true, false));
        assert_eq!(may(40, 99), (true, true));
        assert_eq!(may(1, 100), (true, true));
    }
}
