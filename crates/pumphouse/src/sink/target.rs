//! The tables a stream feeds, as the sink needs to know them. Says nothing of how they came to be.

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
    /// The table that a dead letter was meant for.
    pub meant_for: Option<String>,
    /// A further condition, where several streams share the table.
    pub condition: Option<String>,
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
        meant_for: None,
        condition: None,
    });
    let (database, table) = (table.database.clone(), table.name.clone());
    Target { database, table, columns, has_views: false, lineage }
}

/// The table of the dead letters, which all streams share.
#[must_use]
pub fn dead_letters(stream: &Stream, columns: Vec<(String, String)>) -> Target {
    let quoted = |text: &str| pumphouse_clickhouse::quote::text(text);
    let condition = format!("stream = {} AND topic = {}", quoted(&stream.name), quoted(&stream.topic));
    Target {
        database: DEAD_LETTERS_DATABASE.to_owned(),
        table: DEAD_LETTERS_TABLE.to_owned(),
        columns,
        has_views: false,
        lineage: Some(LineageKey {
            partition: "partition".to_owned(),
            offset: "offset".to_owned(),
            claimed_at: "time".to_owned(),
            index: Some("index".to_owned()),
            meant_for: Some("table".to_owned()),
            condition: Some(condition),
        }),
    }
}
