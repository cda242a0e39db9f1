//! From the declared streams to the tables they need and what preflight has to find. Text and types only: asks
//! no server and creates nothing.

use std::collections::BTreeSet;

use pumphouse_clickhouse::ddl::{RollupSpec, TableSpec};
use pumphouse_clickhouse::preflight::{Expected, Finding, Severity, WINDOW};
use pumphouse_clickhouse::quote;
use pumphouse_core::gap::GapPolicy;

use super::gaps::gaps_table;
use super::replay_tables::replay_tables;
use super::table_settings::setting_changes_table;
use super::target::{DEAD_LETTERS_DATABASE, DEAD_LETTERS_TABLE, Target};
use crate::config::settings::{ClickHouse, Settings, Stream, Table};

/// Name and type of the columns of a table.
pub type Columns = Vec<(String, String)>;

/// Everything that the configuration needs on the server, in the order it is created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Databases.
    pub databases: BTreeSet<String>,
    /// Tables of streams, and of their dead letters.
    pub tables: Vec<TableSpec>,
    /// Rollups, each a view and its target.
    pub rollups: Vec<RollupSpec>,
}

/// What the configuration declares.
///
/// `columns_of` gives the columns of a table, lineage included; `dead_letters` those of the dead
/// letters' table.
#[must_use]
pub fn declared(
    settings: &Settings,
    columns_of: impl Fn(&Stream, &Table) -> Columns,
    dead_letters: &[(String, String)],
) -> Declared {
    let mut declared = Declared { databases: BTreeSet::new(), tables: Vec::new(), rollups: Vec::new() };
    for stream in settings.streams.values() {
        for of in &stream.tables {
            let columns = columns_of(stream, of);
            declared.rollups.extend(rollups(of, &columns));
            declared.tables.push(table(of, columns));
        }
    }
    if settings.streams.values().any(|stream| stream.dead_letters.table) {
        declared.tables.push(dead_letters_table(dead_letters.to_vec()));
        declared.tables.extend(replay_tables());
    }
    if settings.streams.values().any(|stream| stream.gaps == GapPolicy::Report) {
        declared.tables.push(gaps_table());
    }
    let follows = |stream: &Stream| stream.tables.iter().any(|table| !table.settings_by_rate.is_empty());
    if settings.streams.values().any(follows) {
        declared.tables.push(setting_changes_table());
    }
    declared.databases = declared.tables.iter().map(|table| table.database.clone()).collect();
    declared
}

/// A table of a stream's own.
#[must_use]
pub fn table(table: &Table, columns: Columns) -> TableSpec {
    TableSpec {
        database: table.database.clone(),
        name: table.name.clone(),
        order_by: table.order_by.iter().map(|part| as_expression(part, &columns)).collect(),
        partition_by: table.partition_by.clone(),
        ttl: table.ttl.clone(),
        window: WINDOW,
        columns,
    }
}

/// The table that all streams' dead letters share.
#[must_use]
pub fn dead_letters_table(columns: Columns) -> TableSpec {
    TableSpec {
        database: DEAD_LETTERS_DATABASE.to_owned(),
        name: DEAD_LETTERS_TABLE.to_owned(),
        order_by: ["stream", "topic", "partition", "offset", "index", "table"].map(quote::name).to_vec(),
        partition_by: Some("toYYYYMM(time)".to_owned()),
        ttl: None,
        window: WINDOW,
        columns,
    }
}

/// A table's rollups: `per_minute` of `requests` fills `requests_per_minute` through `requests_per_minute_mv`.
#[must_use]
pub fn rollups(table: &Table, columns: &[(String, String)]) -> Vec<RollupSpec> {
    let rollups = table.rollups.values().map(|rollup| {
        let target = format!("{}_{}", table.name, rollup.name);
        RollupSpec {
            database: table.database.clone(),
            source: table.name.clone(),
            source_columns: columns.to_vec(),
            view: format!("{target}_mv"),
            target,
            every: rollup.every.clone(),
            time: rollup.time.clone(),
            dimensions: rollup.dimensions.clone(),
            metrics: rollup.metrics.clone(),
            window: WINDOW,
            counts_rows: true,
        }
    });
    rollups.collect()
}

/// What preflight has to find for a table that batches go to.
#[must_use]
pub fn expected<'a>(target: &'a Target, clickhouse: &'a ClickHouse) -> Expected<'a> {
    Expected {
        database: &target.database,
        table: &target.table,
        columns: &target.columns,
        settings: &clickhouse.settings,
        allow_untested_server: clickhouse.allow_untested_server,
    }
}

/// A batch may go to another server only where both hold the same table.
#[must_use]
pub fn several_servers(target: &Target) -> Finding {
    Finding {
        code: "PH-0042",
        severity: Severity::Refuse,
        what: format!("table {} is not replicated, but several servers are configured", target.name()),
        why: "what one server has taken the others do not have".to_owned(),
        mend: "leave one address in clickhouse.url, or make the table Replicated".to_owned(),
    }
}

/// A part of a key: the name of a column is quoted where it needs it, anything else is an expression already.
fn as_expression(part: &str, columns: &[(String, String)]) -> String {
    if columns.iter().any(|(name, _)| name == part) { quote::name(part) } else { part.to_owned() }
}

#[cfg(test)]
#[path = "tables_tests.rs"]
mod tests;
