//! What an audit stands on: the stream, and which of its tables can tell where their rows came from.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pumphouse_clickhouse::client::{Client, Query, QueryError};
use pumphouse_clickhouse::preflight::keeps_every_row;
use pumphouse_clickhouse::quote;
use pumphouse_core::offset::{Partition, Range};
use serde::Deserialize;

use super::trouble::unanswered;
use crate::config::settings::{Settings, Stream, Table, Values};
use crate::fault::Fault;
use crate::sink::gaps::GAPS_TABLE;
use crate::sink::replay_tables::RESOLVED_TABLE;
use crate::sink::target::{DEAD_LETTERS_DATABASE, DEAD_LETTERS_TABLE};

/// Limit for a query that looks through a table.
const LONG_QUERY_MAX: Duration = Duration::from_mins(5);
/// Memory that one query of an audit may take on the server, and from which it uses the disk instead.
const SERVER_MEMORY_MAX: &str = "2147483648";
const SERVER_MEMORY_SPILL: &str = "1073741824";
/// Threads of one query of an audit on the server.
const SERVER_THREADS_MAX: &str = "4";

/// A stream to be audited.
pub struct Ground {
    /// The configuration.
    pub settings: Arc<Settings>,
    /// The connection.
    pub client: Client,
    /// The stream.
    pub stream: Stream,
    /// Its tables, in its order.
    pub tables: Vec<AuditedTable>,
    /// Tables of pumphouse's own that are there.
    pub(super) kept: Kept,
}

/// One table of the stream.
#[derive(Clone, Debug)]
pub struct AuditedTable {
    /// `database.table`.
    pub name: String,
    /// Its name in a statement.
    pub(super) quoted: String,
    /// Database and table, as texts of a statement.
    pub(super) texts: (String, String),
    /// The columns of its lineage, in a statement.
    pub(super) lineage: LineageColumns,
    /// Whether its TTL removes rows.
    pub rows_expire: bool,
    /// Why it can't tell what is missing or doubled.
    pub mute: Option<String>,
}

/// Partition, offset, place in the message and time of a row.
#[derive(Clone, Debug, Default)]
pub(super) struct LineageColumns {
    pub(super) partition: String,
    pub(super) offset: String,
    pub(super) index: String,
    pub(super) time: String,
}

/// Which tables of pumphouse's own are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) letters: bool,
    pub(super) resolved: bool,
    pub(super) gaps: bool,
}

#[derive(Deserialize)]
struct Live {
    engine: String,
    engine_full: String,
    columns: Vec<String>,
}

impl AuditedTable {
    /// The statement that removes all rows of some offsets.
    #[must_use]
    pub fn removal(&self, partition: Partition, range: Range, index: u32) -> String {
        let LineageColumns { partition: column, offset, index: place, .. } = &self.lineage;
        let Range { from, to } = range;
        let sql = format!(
            "ALTER TABLE {} DELETE WHERE {column} = {partition} AND {offset} >= {from} AND {offset} < {to}",
            self.quoted
        );
        // Without the column a message never held more than one record.
        if place.starts_with("toUInt32(") { sql } else { format!("{sql} AND {place} = {index}") }
    }
}

impl Ground {
    /// Looks at the tables of a stream.
    ///
    /// # Errors
    /// When ClickHouse can't be asked.
    pub async fn of(settings: &Arc<Settings>, client: &Client, stream: &Stream) -> Result<Self, Fault> {
        let asked = async || {
            let mut tables = Vec::new();
            for table in &stream.tables {
                tables.push(look_at(client, (settings, stream), table).await?);
            }
            Ok((tables, kept(client).await?))
        };
        let (tables, kept) =
            asked().await.map_err(|error: QueryError| unanswered("the catalogue", &error))?;
        let (settings, client, stream) = (Arc::clone(settings), client.clone(), stream.clone());
        Ok(Self { settings, client, stream, tables, kept })
    }

    /// Whether at least one table can tell.
    #[must_use]
    pub fn can_tell(&self) -> bool {
        self.tables.iter().any(|table| table.mute.is_none())
    }

    /// Whether each record takes exactly one offset of each table, so that sums alone can show that all are there.
    pub(super) fn is_dense(&self) -> bool {
        let whole = self.tables.len() == 1 || self.stream.tables.iter().all(|table| table.when.is_none());
        whole && self.stream.values == Values::One && self.tables.iter().all(|table| table.mute.is_none())
    }

    /// Whether dead letters of this stream are in their table.
    pub(super) fn keeps_letters(&self) -> bool {
        self.kept.letters && self.stream.dead_letters.table
    }
}

/// A query of an audit: it may look through a table, but neither fill the server's memory nor take all its threads.
pub(super) fn bounded(query: Query<'_>) -> Query<'_> {
    query
        .timeout(LONG_QUERY_MAX)
        .setting("max_memory_usage", SERVER_MEMORY_MAX)
        .setting("max_bytes_before_external_group_by", SERVER_MEMORY_SPILL)
        .setting("max_threads", SERVER_THREADS_MAX)
        .setting("max_query_size", "16777216")
}

/// The table of the reported gaps, in a statement.
pub(super) fn gaps_table() -> String {
    quote::table(DEAD_LETTERS_DATABASE, GAPS_TABLE)
}

async fn look_at(
    client: &Client,
    (settings, stream): (&Settings, &Stream),
    table: &Table,
) -> Result<AuditedTable, QueryError> {
    let texts = (quote::text(&table.database), quote::text(&table.name));
    let sql = format!(
        "SELECT engine, engine_full, (SELECT groupArray(name) FROM system.columns WHERE database = {database} AND \
         `table` = {name}) AS columns FROM system.tables WHERE database = {database} AND name = {name}",
        database = texts.0,
        name = texts.1,
    );
    let live: Option<Live> = client.query(&sql).rows().await?.into_iter().next();
    let (lineage, mute) = match &live {
        None => (LineageColumns::default(), Some("it is not there".to_owned())),
        Some(live) => lineage_of(stream, live),
    };
    let mute = mute.or_else(|| shared_with(settings, stream, table));
    Ok(AuditedTable {
        name: table.full_name(),
        quoted: quote::table(&table.database, &table.name),
        texts,
        lineage,
        rows_expire: live.is_some_and(|live| live.engine_full.contains(" TTL ")),
        mute,
    })
}

/// The lineage columns of a table, and why they tell nothing.
fn lineage_of(stream: &Stream, live: &Live) -> (LineageColumns, Option<String>) {
    let Some(lineage) = &stream.lineage else {
        return (
            LineageColumns::default(),
            Some("lineage is off, so no row says where it came from".to_owned()),
        );
    };
    let has = |name: &String| live.columns.contains(name);
    // Without the column a message never held more than one record.
    let has_index = stream.values != Values::One || has(&lineage.index);
    let columns = LineageColumns {
        partition: quote::name(&lineage.partition),
        offset: quote::name(&lineage.offset),
        index: if has_index { quote::name(&lineage.index) } else { "toUInt32(0)".to_owned() },
        time: quote::name(&lineage.ingested_at),
    };
    let mut wanted = vec![&lineage.partition, &lineage.offset, &lineage.ingested_at];
    wanted.extend((stream.values != Values::One).then_some(&lineage.index));
    let mute = match wanted.into_iter().find(|name| !has(name)) {
        Some(missing) => Some(format!("it has no column {missing}")),
        None if !keeps_every_row(&live.engine) => Some(format!(
            "engine {} folds rows when it merges, so neither what is missing nor what is doubled can be told",
            live.engine
        )),
        None => None,
    };
    (columns, mute)
}

/// Rows of another stream have partitions and offsets, too.
fn shared_with(settings: &Settings, stream: &Stream, table: &Table) -> Option<String> {
    let name = table.full_name();
    let fills =
        |other: &&Stream| other.name != stream.name && other.tables.iter().any(|t| t.full_name() == name);
    let other = settings.streams.values().find(fills)?;
    Some(format!("stream `{}` fills it as well, and no row says which stream it is of", other.name))
}

async fn kept(client: &Client) -> Result<Kept, QueryError> {
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    let sql =
        format!("SELECT name FROM system.tables WHERE database = {}", quote::text(DEAD_LETTERS_DATABASE));
    let found: Vec<Named> = client.rows(&sql).await?;
    let names: BTreeSet<&str> = found.iter().map(|found| found.name.as_str()).collect();
    Ok(Kept {
        letters: names.contains(DEAD_LETTERS_TABLE),
        resolved: names.contains(RESOLVED_TABLE),
        gaps: names.contains(GAPS_TABLE),
    })
}
