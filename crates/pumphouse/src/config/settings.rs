//! What the configuration means. A value of these types cannot be wrong; `said` made sure of it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32, NonZeroU64};
use std::time::Duration;

use pumphouse_core::curve::Curve;
use pumphouse_core::gap::GapPolicy;
use pumphouse_core::schema::ColumnType;

/// The whole configuration of one process.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The servers that rows go to.
    pub clickhouse: ClickHouse,
    /// The brokers that events come from.
    pub kafka: Kafka,
    /// This process.
    pub process: Process,
    /// The declared flows, by name.
    pub streams: BTreeMap<String, Stream>,
    /// The first 12 hexadecimal digits of the SHA-256 of the file's meaning, secrets left out.
    pub revision: String,
}

/// `clickhouse:`
#[derive(Clone, Debug)]
pub struct ClickHouse {
    /// HTTP addresses without a trailing slash; replicas of each other. Never empty.
    pub urls: Vec<String>,
    /// The database of tables that are not qualified.
    pub database: String,
    /// The user.
    pub user: String,
    /// The password.
    pub password: Secret,
    /// Limit for opening a connection.
    pub connect_timeout: Duration,
    /// Limit for one insert, answer included.
    pub insert_timeout: Duration,
    /// Limit for any other query.
    pub query_timeout: Duration,
    /// Attempts to reach the server at start.
    pub start_retries: NonZeroU32,
    /// Pause between these attempts.
    pub start_retry_every: Duration,
    /// Compression of inserts.
    pub compression: Compression,
    /// Settings sent with each insert, after pumphouse's own were refused by name.
    pub settings: BTreeMap<String, String>,
    /// Accept a server older than the semantics were tested on.
    pub allow_untested_server: bool,
}

/// How the body of an insert is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// LZ4 frames: cheap on both sides.
    Lz4,
    /// Zstandard, level 1: about half the bytes of LZ4.
    Zstd,
}

/// `kafka:`
#[derive(Clone, Debug)]
pub struct Kafka {
    /// `bootstrap.servers`.
    pub brokers: String,
    /// Prefix of the consumer groups: a stream's group is `<group>.<stream>`.
    pub group: String,
    /// Where a new group starts.
    pub start_from: StartFrom,
    /// Further properties of librdkafka; the ones that would break delivery were refused.
    pub properties: BTreeMap<String, Secret>,
}

/// Where a group without offsets starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFrom {
    /// The oldest record there is.
    Earliest,
    /// Records that arrive from now on.
    Latest,
    /// The first record at or after this time, in milliseconds since 1970-01-01 UTC.
    Time(i64),
}

/// `process:`
#[derive(Clone, Debug)]
pub struct Process {
    /// Group members per stream in this process.
    pub lanes: NonZeroU16,
    /// Bytes of decoded and in-flight batches at which partitions pause, over all lanes.
    pub memory: u64,
    /// How many processes at most run this configuration at once.
    pub processes_max: NonZeroU16,
    /// How long SIGTERM may take to settle what is open.
    pub drain_timeout: Duration,
    /// Address of metrics and health; nothing listens there yet.
    pub listen: Listen,
    /// Form of the log.
    pub log: LogFormat,
}

/// Where the process listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The address.
    pub address: SocketAddr,
    /// Whether the next free port is fine when this one is taken: only where it was not set by hand.
    pub may_move: bool,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One line of text each.
    Text,
    /// One JSON object a line.
    Json,
}

/// `streams.<name>:`
#[derive(Clone, Debug)]
pub struct Stream {
    /// The stream's name.
    pub name: String,
    /// The Kafka topic.
    pub topic: String,
    /// What one Kafka message holds.
    pub values: Values,
    /// What a message without a value stands for.
    pub tombstones: Tombstones,
    /// Whether a value of another kind may stand for a column's where nothing is lost.
    pub numbers: Numbers,
    /// What every record has to satisfy before it is decoded.
    pub schema: Option<JsonSchema>,
    /// The tables, in the order written. Never empty.
    pub tables: Vec<Table>,
    /// When a batch closes.
    pub batch: BatchPolicy,
    /// What is done when ClickHouse has many parts to merge.
    pub valve: ValvePolicy,
    /// Where records go that can't become a row.
    pub dead_letters: DeadLetters,
    /// What is done where Kafka deleted records before they were read.
    pub gaps: GapPolicy,
    /// Names of the lineage columns; `None` where lineage is off.
    pub lineage: Option<Lineage>,
}

impl Stream {
    /// A stream into these tables with every other key at its default; named after its topic.
    #[must_use]
    pub fn into_tables(topic: &str, tables: Vec<Table>) -> Self {
        let batch = BatchPolicy {
            freshness: Duration::from_secs(1),
            rows: NonZeroU64::new(1_000_000).expect("not zero"),
            bytes: NonZeroU64::new(128 << 20).expect("not zero"),
        };
        let names = ["_partition", "_offset", "_ingested_at", "_index"].map(str::to_owned);
        let [partition, offset, ingested_at, index] = names;
        Self {
            name: topic.to_owned(),
            topic: topic.to_owned(),
            values: Values::One,
            tombstones: Tombstones::Filter,
            numbers: Numbers::Strict,
            schema: None,
            tables,
            batch,
            valve: ValvePolicy { batch_age_max: VALVE_AGE, shut_at_percent: 80, parts_max: None },
            dead_letters: DeadLetters { table: true, topic: None },
            gaps: GapPolicy::Report,
            lineage: Some(Lineage { partition, offset, ingested_at, index }),
        }
    }
}

impl Table {
    /// A table of these columns that takes every record, without keys of its own but the order of arrival.
    #[must_use]
    pub fn of_columns(database: &str, name: &str, columns: Vec<Column>) -> Self {
        Self {
            database: database.to_owned(),
            name: name.to_owned(),
            when: None,
            columns,
            unknown_fields_in: None,
            order_by: vec!["tuple()".to_owned()],
            partition_by: None,
            ttl: None,
            settings_by_rate: BTreeMap::new(),
            rollups: BTreeMap::new(),
        }
    }

    /// `database.table`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.database, self.name)
    }
}

/// What one Kafka message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// One record.
    One,
    /// A record on each line; blank lines hold none.
    Lines,
    /// A JSON array of records.
    Array,
}

/// What a message without a value stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tombstones {
    /// Nothing: it is counted as filtered.
    Filter,
    /// A record that is not there: a dead letter.
    DeadLetter,
}

/// Whether a value of another kind may stand for a column's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// Never.
    Strict,
    /// Where the conversion loses nothing.
    Coerce,
}

/// A JSON Schema, read when the configuration was.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonSchema {
    /// The file's name as written.
    pub file: String,
    /// The schema.
    pub document: serde_json::Value,
}

/// `streams.<name>.dead_letters:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetters {
    /// Whether they are kept in `pumphouse.dead_letters`.
    pub table: bool,
    /// The Kafka topic that gets them, too.
    pub topic: Option<String>,
}

/// One column of a stream.
#[derive(Clone, Debug)]
pub struct Column {
    /// Name in the table.
    pub name: String,
    /// Type in the table.
    pub column_type: ColumnType,
    /// Path into the record, never empty: `["geo", "city"]`.
    pub from: Vec<String>,
    /// The value, as JSON, of a column whose field is missing. Checked against the type.
    pub default: Option<serde_json::Value>,
    /// What a bare number means for a date or time; without it, numbers are rejected there.
    pub epoch: Option<EpochUnit>,
}

/// What a number stands for in a column of dates or times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochUnit {
    /// Seconds since 1970-01-01 UTC.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

/// `streams.<name>.table:`, or one of `streams.<name>.tables:`
#[derive(Clone, Debug)]
pub struct Table {
    /// Database and table name.
    pub database: String,
    /// The table's name; the stream's where not given.
    pub name: String,
    /// The records that it takes; all of them where there is no condition.
    pub when: Option<When>,
    /// The columns, in the order written.
    pub columns: Vec<Column>,
    /// The column of type `JSON` that keeps the fields which no column reads.
    pub unknown_fields_in: Option<String>,
    /// Sorting key: expressions. Never empty.
    pub order_by: Vec<String>,
    /// Partition key: an expression.
    pub partition_by: Option<String>,
    /// TTL: an expression.
    pub ttl: Option<String>,
    /// Settings that follow the rate of the stream's events.
    pub settings_by_rate: BTreeMap<String, Curve>,
    /// Materialized views with a target each, by name.
    pub rollups: BTreeMap<String, Rollup>,
}

/// Which records of a stream a table takes.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// Those for which each of these holds. Never empty.
    All(Vec<Condition>),
    /// Those that no other table of the stream with conditions takes.
    Otherwise,
}

/// One condition on a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Path into the record, never empty.
    pub field: Vec<String>,
    /// What is asked of the field.
    pub is: Matches,
}

/// What a condition asks of a field. A missing field and null are the same.
#[derive(Clone, Debug, PartialEq)]
pub enum Matches {
    /// It is equal to one of these texts, numbers or booleans. Never empty.
    AnyOf(Vec<serde_json::Value>),
    /// It is equal to none of these; a missing field is equal to none. Never empty.
    NoneOf(Vec<serde_json::Value>),
    /// It is there, with whatever value.
    Present,
    /// It is missing, or null.
    Absent,
}

/// `streams.<name>.rollups.<name>:`
#[derive(Clone, Debug)]
pub struct Rollup {
    /// The view's name.
    pub name: String,
    /// Width of a time bucket, as ClickHouse writes it: `1 minute`.
    pub every: String,
    /// The column with the time.
    pub time: String,
    /// Columns to group by.
    pub dimensions: Vec<String>,
    /// Name to aggregate expression, as for a `SELECT`, in the order written.
    pub metrics: Vec<(String, String)>,
}

/// `streams.<name>.batch:`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPolicy {
    /// Age at which a batch closes.
    pub freshness: Duration,
    /// Rows at which a batch closes.
    pub rows: NonZeroU64,
    /// Bytes of decoded columns at which a batch closes.
    pub bytes: NonZeroU64,
}

/// The default of `valve.batch_age_max`, where batches are not older anyway.
pub const VALVE_AGE: Duration = Duration::from_secs(30);

/// `streams.<name>.valve:`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValvePolicy {
    /// The age to which a batch may grow; not below `batch.freshness`.
    pub batch_age_max: Duration,
    /// The share, in hundredths, of the parts at which ClickHouse refuses inserts.
    pub shut_at_percent: u8,
    /// Active parts of a table at which the valve shuts in any case.
    pub parts_max: Option<NonZeroU64>,
}

/// Names of the lineage columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// `UInt32`
    pub partition: String,
    /// `UInt64`
    pub offset: String,
    /// `DateTime64(3)`: the claim's time.
    pub ingested_at: String,
    /// `UInt32`: the record's place in its message, from 0. Only where a message may hold several.
    pub index: String,
}

/// A text that never reaches a log, an error or a page.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one place that sends it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
