//! The two tables of replaying: the log of claimed entries, and what became of dead letters. Text and types only.

use pumphouse_clickhouse::ddl::TableSpec;
use pumphouse_clickhouse::preflight::WINDOW;
use pumphouse_clickhouse::quote;

use super::target::DEAD_LETTERS_DATABASE;

/// The log of replays: a row for each row that an entry inserts.
pub const REPLAYS_TABLE: &str = "replays";
/// What became of dead letters; rows are only added.
pub const RESOLVED_TABLE: &str = "dead_letters_resolved";

/// The letter's name, as in the table of the dead letters.
const NAME: [(&str, &str); 4] =
    [("partition", "UInt32"), ("offset", "UInt64"), ("index", "UInt32"), ("table", "LowCardinality(String)")];

/// Name and type of each column of the log.
#[must_use]
pub fn replays_columns() -> Vec<(String, String)> {
    let entry = [
        ("stream", "LowCardinality(String)"),
        ("topic", "LowCardinality(String)"),
        ("number", "UInt64"),
        ("id", "String"),
        ("claimed_at", "DateTime64(3)"),
        ("until", "DateTime64(3)"),
        ("shape", "UInt32"),
        ("revision", "LowCardinality(String)"),
    ];
    // Where the row goes; what is bad becomes a dead letter with these as its table and index.
    let row = [
        ("letter_time", "DateTime64(3)"),
        ("into_table", "LowCardinality(String)"),
        ("into_index", "UInt32"),
        ("is_row", "UInt8"),
    ];
    owned(entry.iter().chain(&NAME).chain(&row))
}

/// Name and type of each column of what became of letters.
#[must_use]
pub fn resolved_columns() -> Vec<(String, String)> {
    let stream = [("stream", "LowCardinality(String)"), ("topic", "LowCardinality(String)")];
    // A letter is resolved as of its time: one that comes later under the same name is open again.
    let outcome = [
        ("letter_time", "DateTime64(3)"),
        ("how", "LowCardinality(String)"),
        ("replay", "String"),
        ("number", "UInt64"),
        ("revision", "LowCardinality(String)"),
        ("time", "DateTime64(3)"),
    ];
    owned(stream.iter().chain(&NAME).chain(&outcome))
}

fn owned<'c>(columns: impl Iterator<Item = &'c (&'c str, &'c str)>) -> Vec<(String, String)> {
    columns.map(|(name, column_type)| ((*name).to_owned(), (*column_type).to_owned())).collect()
}

/// Both tables. They have no partition key: a token has to be one for the whole table.
#[must_use]
pub fn replay_tables() -> [TableSpec; 2] {
    let named = ["partition", "offset", "index", "table"];
    [
        (REPLAYS_TABLE, replays_columns(), ["stream", "number"].as_slice()),
        (RESOLVED_TABLE, resolved_columns(), ["stream", "topic"].as_slice()),
    ]
    .map(|(name, columns, first)| TableSpec {
        database: DEAD_LETTERS_DATABASE.to_owned(),
        name: name.to_owned(),
        order_by: first.iter().chain(&named).map(|column| quote::name(column)).collect(),
        partition_by: None,
        ttl: None,
        window: WINDOW,
        columns,
    })
}
