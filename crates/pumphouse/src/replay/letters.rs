//! Reads dead letters: a page of their names, one whole, counts by code. Judges nothing.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pumphouse_clickhouse::client::{Client, Query, QueryError};
use pumphouse_clickhouse::quote;
use serde::{Deserialize, Serialize};

use super::filter::{Cursor, Filter};
use crate::decode::Headers;
use crate::sink::target::{DEAD_LETTERS_DATABASE, DEAD_LETTERS_TABLE};

/// Limit for a query that looks through whole tables.
pub(super) const LONG_QUERY_MAX: Duration = Duration::from_mins(5);
/// Bytes of a statement that names up to a chunk of letters.
const STATEMENT_BYTES_MAX: &str = "67108864";
const STATEMENT_ELEMENTS_MAX: &str = "10000000";

/// The name of a letter within its stream and topic, in the order of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub struct Name {
    /// Kafka's partition.
    pub partition: u32,
    /// Kafka's offset.
    pub offset: u64,
    /// The place in its message.
    pub index: u32,
    /// The table it was bad for; empty where it was bad as a whole.
    pub table: String,
}

impl Name {
    /// The place behind which a page begins that follows this letter.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        (self.partition, self.offset, self.index, self.table.clone())
    }

    /// As a literal tuple.
    pub(super) fn literal(&self) -> String {
        let Self { partition, offset, index, table } = self;
        format!("({partition}, {offset}, {index}, {})", quote::text(table))
    }
}

/// A letter as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Listed {
    /// The stream.
    pub stream: String,
    /// The topic.
    pub topic: String,
    /// The rest of its name.
    #[serde(flatten)]
    pub name: Name,
    /// When it was kept: milliseconds since 1970-01-01 UTC.
    pub time_ms: i64,
    /// Why.
    pub code: String,
    /// The column at fault.
    pub column: String,
    /// The path into the record.
    pub path: String,
    /// What was expected and what was found.
    pub reason: String,
    /// The revision of the configuration that judged it.
    pub revision: String,
    /// Bytes of its record.
    pub payload_bytes: u64,
    /// What became of it: `replayed`, `found`, `filtered`, `purged`, or nothing.
    pub how: String,
    /// The replay's entry that made it a row.
    pub replay: String,
    /// That entry's number.
    pub number: u64,
    /// Under which revision.
    pub resolved_revision: String,
    /// When.
    pub resolved_at_ms: i64,
}

/// Letters of one stream with one code.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Summary {
    /// The stream.
    pub stream: String,
    /// The code.
    pub code: String,
    /// How many.
    pub letters: u64,
    /// When the first was kept: milliseconds since 1970-01-01 UTC.
    pub first_ms: i64,
    /// When the last was.
    pub last_ms: i64,
}

/// A letter with all it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Its name.
    pub name: Name,
    /// When it was kept.
    pub time_ms: i64,
    /// Why.
    pub code: String,
    /// The revision that judged it.
    pub revision: String,
    /// Kafka's time of the record.
    pub kafka_time_ms: Option<i64>,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The headers, in order.
    pub headers: HeaderList,
    /// The record.
    pub payload: Vec<u8>,
}

/// Headers that were kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderList(pub Vec<(String, Option<Vec<u8>>)>);

impl Headers for HeaderList {
    fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        self.0.iter().for_each(|(name, value)| visit(name, value.as_deref()));
    }
}

const LISTED: &str = "stream, topic, partition, offset, `index`, `table`, \
    toUnixTimestamp64Milli(time) AS time_ms, code, `column`, path, reason, revision, payload_bytes, how, replay, number, \
    resolved_revision, toUnixTimestamp64Milli(resolved_at) AS resolved_at_ms";

/// The newest letters that the filter means, oldest first.
///
/// # Errors
/// When the table can't be asked.
pub async fn newest(client: &Client, filter: &Filter, limit: u64) -> Result<Vec<Listed>, QueryError> {
    let source = filter.source(None);
    let sql = format!(
        "SELECT {LISTED} FROM ({source}) AS s ORDER BY s.time DESC, partition DESC, offset DESC, `index` DESC, `table` DESC \
         LIMIT {limit}"
    );
    let mut rows: Vec<Listed> = long(client.query(&sql)).rows().await?;
    rows.reverse();
    Ok(rows)
}

/// A page of one stream's and topic's letters behind `behind`, in the order of their names.
///
/// # Errors
/// When the table can't be asked.
pub async fn page(
    client: &Client,
    filter: &Filter,
    behind: Option<&Cursor>,
    limit: usize,
) -> Result<Vec<Listed>, QueryError> {
    let source = filter.source(behind);
    let sql = format!(
        "SELECT {LISTED} FROM ({source}) AS s \
         ORDER BY stream, topic, partition, offset, `index`, `table` LIMIT {limit}"
    );
    long(client.query(&sql)).rows().await
}

/// Counts by stream and code.
///
/// # Errors
/// When the table can't be asked.
pub async fn summary(client: &Client, filter: &Filter) -> Result<Vec<Summary>, QueryError> {
    let source = filter.source(None);
    let sql = format!(
        "SELECT stream, code, count() AS letters, toUnixTimestamp64Milli(min(s.time)) AS first_ms, \
         toUnixTimestamp64Milli(max(s.time)) AS last_ms FROM ({source}) AS s GROUP BY stream, code ORDER BY stream, code"
    );
    long(client.query(&sql)).rows().await
}

/// Streams and topics that have letters which the filter means.
///
/// # Errors
/// When the table can't be asked.
pub async fn topics(client: &Client, filter: &Filter) -> Result<Vec<(String, String, u64)>, QueryError> {
    #[derive(Deserialize)]
    struct Found {
        stream: String,
        topic: String,
        letters: u64,
    }
    let source = filter.source(None);
    let sql = format!(
        "SELECT stream, topic, count() AS letters FROM ({source}) AS s GROUP BY stream, topic ORDER BY stream, topic"
    );
    let found: Vec<Found> = long(client.query(&sql)).rows().await?;
    Ok(found.into_iter().map(|row| (row.stream, row.topic, row.letters)).collect())
}

/// The letters of these names and times, whole and in the order of their names. What is gone is left out.
///
/// # Errors
/// When the table can't be asked.
pub async fn whole(
    client: &Client,
    (stream, topic): (&str, &str),
    names: &[(&Name, i64)],
) -> Result<Vec<Letter>, QueryError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT partition, offset, `index`, `table`, toUnixTimestamp64Milli(time) AS time_ms, any(code) AS code, \
         any(revision) AS revision, toUnixTimestamp64Milli(any(kafka_time)) AS kafka_time_ms, \
         any(base64Encode(key)) AS key, \
         any(arrayMap(h -> (h.1, base64Encode(h.2)), headers)) AS headers, any(base64Encode(payload)) AS payload \
         {}",
        of_these((stream, topic), names)
    );
    let rows: Vec<Encoded> = with_long_statement(long(client.query(&sql)))
        .setting("output_format_json_named_tuples_as_objects", "0")
        .rows()
        .await?;
    rows.into_iter().map(Encoded::decoded).collect()
}

/// How many of these letters to take at once, at least one: as many as fit into `bytes_max`, keys and headers included.
///
/// # Errors
/// When the table can't be asked.
pub async fn fitting(
    client: &Client,
    of: (&str, &str),
    names: &[(&Name, i64)],
    bytes_max: u64,
) -> Result<usize, QueryError> {
    #[derive(Deserialize)]
    struct Sized {
        bytes: u64,
    }
    if names.is_empty() {
        return Ok(0);
    }
    let sql = format!(
        "SELECT any(length(payload) + ifNull(length(key), 0) \
         + arraySum(h -> length(h.1) + ifNull(length(h.2), 0), headers)) AS bytes {}",
        of_these(of, names)
    );
    let rows: Vec<Sized> = with_long_statement(long(client.query(&sql))).rows().await?;
    let sums = rows.iter().scan(0_u64, |sum, row| {
        *sum = sum.saturating_add(row.bytes);
        Some(*sum)
    });
    Ok(sums.take_while(|sum| *sum <= bytes_max).count().clamp(1, names.len()))
}

/// What follows the columns in a query of letters by name and time.
fn of_these((stream, topic): (&str, &str), names: &[(&Name, i64)]) -> String {
    let literals: Vec<String> = names
        .iter()
        .map(|(name, time)| {
            let Name { partition, offset, index, table } = name;
            format!("({partition}, {offset}, {index}, {}, {time})", quote::text(table))
        })
        .collect();
    let [first, last] = [names.first(), names.last()]
        .map(|end| end.map_or((0, 0), |(name, _)| (name.partition, name.offset)));
    format!(
        "FROM {table} WHERE stream = {stream} AND topic = {topic} AND (partition, offset) >= ({p0}, {o0}) \
         AND (partition, offset) <= ({p1}, {o1}) AND (partition, offset, `index`, `table`, \
         toUnixTimestamp64Milli(time)) IN ({list}) GROUP BY partition, offset, `index`, `table`, time \
         ORDER BY partition, offset, `index`, `table`, time",
        table = quote::table(DEAD_LETTERS_DATABASE, DEAD_LETTERS_TABLE),
        stream = quote::text(stream),
        topic = quote::text(topic),
        p0 = first.0,
        o0 = first.1,
        p1 = last.0,
        o1 = last.1,
        list = literals.join(", "),
    )
}

/// A letter in JSON: bytes as base64, since they need not be UTF-8.
#[derive(Deserialize)]
struct Encoded {
    #[serde(flatten)]
    name: Name,
    time_ms: i64,
    code: String,
    revision: String,
    kafka_time_ms: Option<i64>,
    key: Option<String>,
    headers: Vec<(String, Option<String>)>,
    payload: String,
}

impl Encoded {
    fn decoded(self) -> Result<Letter, QueryError> {
        let bytes =
            |text: String| STANDARD.decode(text).map_err(|error| QueryError::Answer(error.to_string()));
        let Self { name, time_ms, code, revision, kafka_time_ms, .. } = self;
        let header = |(name, value): (String, Option<String>)| Ok((name, value.map(bytes).transpose()?));
        Ok(Letter {
            name,
            time_ms,
            code,
            revision,
            kafka_time_ms,
            key: self.key.map(bytes).transpose()?,
            headers: HeaderList(self.headers.into_iter().map(header).collect::<Result<_, QueryError>>()?),
            payload: bytes(self.payload)?,
        })
    }
}

/// A query that may look through a whole table; at the server that holds the log.
pub(super) fn long(query: Query<'_>) -> Query<'_> {
    query.at(0).timeout(LONG_QUERY_MAX)
}

/// A query whose statement names many letters.
pub(super) fn with_long_statement(query: Query<'_>) -> Query<'_> {
    query
        .setting("max_query_size", STATEMENT_BYTES_MAX)
        .setting("max_ast_elements", STATEMENT_ELEMENTS_MAX)
        .setting("max_expanded_ast_elements", STATEMENT_ELEMENTS_MAX)
}
