//! The tables a stream feeds, as the sink needs to know them. Says nothing of how they came to be.

use pumphouse_clickhouse::ddl::RollupSpec;
use pumphouse_clickhouse::quote;
use pumphouse_core::claim::Claim;

use super::tables;
use crate::config::settings::{Stream, Table};

/// The database of the dead letters.
pub const DEAD_LETTERS_DATABASE: &str = "pumphouse";
/// The table of the dead letters.
pub const DEAD_LETTERS_TABLE: &str = "dead_letters";

/// One table that batches of a stream go to.
#[derive(Clone, Debug)]
pub struct Target {
    /// The database.
    pub database: String,
    /// The table.
    pub table: String,
    /// Name and type of each column sent.
    pub columns: Vec<(String, String)>,
    /// Whether materialized views hang on it.
    pub has_views: bool,
    /// The smallest window of the table and the targets of its views, in entries.
    pub window: u64,
    /// The table's partition key, as ClickHouse prints it.
    pub partition_key: String,
    /// The rollups declared on it.
    pub rollups: Vec<RollupSpec>,
    /// How to find rows by where they came from; `None` where the table can't tell.
    pub lineage: Option<LineageKey>,
}

/// The columns that say where a row came from.
#[derive(Clone, Debug)]
pub struct LineageKey {
    /// The Kafka partition.
    pub partition: String,
    /// The Kafka offset.
    pub offset: String,
    /// The claim's time.
    pub claimed_at: String,
    /// The place in the message, where a message may hold several records.
    pub index: Option<String>,
    /// The table that the record was for, where one record may give several rows.
    pub table: Option<String>,
    /// A further condition, where several streams share the table.
    pub condition: Option<String>,
}

impl LineageKey {
    /// The condition that a claim's rows meet, and no others.
    #[must_use]
    pub fn of_claim(&self, claim: &Claim) -> String {
        let (partition, offset) = (quote::name(&self.partition), quote::name(&self.offset));
        let ranges = claim.ranges.iter().map(|(p, range)| {
            format!("({partition} = {p} AND {offset} >= {} AND {offset} < {})", range.from, range.to)
        });
        let shared = self.condition.as_ref().map(|condition| format!(" AND {condition}")).unwrap_or_default();
        format!(
            "{time} = fromUnixTimestamp64Milli({at}){shared} AND ({ranges})",
            time = quote::name(&self.claimed_at),
            at = claim.claimed_at.0,
            ranges = ranges.collect::<Vec<_>>().join(" OR "),
        )
    }
}

impl Target {
    /// `database.table`, the name that the token carries.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}", self.database, self.table)
    }
}

/// A table of the stream's own.
#[must_use]
pub fn rows(stream: &Stream, table: &Table, columns: Vec<(String, String)>) -> Target {
    let lineage = stream.lineage.as_ref().map(|lineage| LineageKey {
        partition: lineage.partition.clone(),
        offset: lineage.offset.clone(),
        claimed_at: lineage.ingested_at.clone(),
        index: columns.iter().any(|(name, _)| *name == lineage.index).then(|| lineage.index.clone()),
        table: None,
        condition: None,
    });
    let rollups = tables::rollups(table, &columns);
    let (database, table) = (table.database.clone(), table.name.clone());
    let (window, partition_key) = (0, String::new());
    Target { database, table, columns, has_views: false, window, partition_key, rollups, lineage }
}

/// The table of the dead letters, which all streams share.
#[must_use]
pub fn dead_letters(stream: &Stream, columns: Vec<(String, String)>) -> Target {
    let condition =
        format!("stream = {} AND topic = {}", quote::text(&stream.name), quote::text(&stream.topic));
    Target {
        database: DEAD_LETTERS_DATABASE.to_owned(),
        table: DEAD_LETTERS_TABLE.to_owned(),
        columns,
        has_views: false,
        window: 0,
        partition_key: String::new(),
        rollups: Vec::new(),
        lineage: Some(LineageKey {
            partition: "partition".to_owned(),
            offset: "offset".to_owned(),
            claimed_at: "time".to_owned(),
            index: Some("index".to_owned()),
            table: Some("table".to_owned()),
            condition: Some(condition),
        }),
    }
}
