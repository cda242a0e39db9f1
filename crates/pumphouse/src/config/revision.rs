//! What a configuration means as one printable value without its secrets, and the two fingerprints taken of it:
//! the revision of the whole, and the shape of one stream's rows. Does not store either.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use pumphouse_core::curve::Curve;
use pumphouse_core::gap::GapPolicy;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::settings::{
    ClickHouse, Column, Compression, Condition, EpochUnit, Kafka, LogFormat, Matches, Numbers, Process,
    Settings, StartFrom, Stream, Table, Tombstones, Values, When,
};
use super::{kafka_properties, scalar};

impl Settings {
    /// The effective settings as JSON, defaults included, in the keys of the file; secrets are `[redacted]`.
    #[must_use]
    pub fn to_redacted_json(&self) -> Value {
        let streams: serde_json::Map<String, Value> =
            self.streams.iter().map(|(name, stream)| (name.clone(), stream_json(stream))).collect();
        json!({
            "revision": self.revision,
            "clickhouse": clickhouse_json(&self.clickhouse),
            "kafka": kafka_json(&self.kafka),
            "process": process_json(&self.process),
            "streams": streams,
        })
    }
}

const REDACTED: &str = "[redacted]";

fn clickhouse_json(clickhouse: &ClickHouse) -> Value {
    let compression = match clickhouse.compression {
        Compression::None => "none",
        Compression::Lz4 => "lz4",
        Compression::Zstd => "zstd",
    };
    json!({
        "url": clickhouse.urls,
        "database": clickhouse.database,
        "user": clickhouse.user,
        "password": REDACTED,
        "connect_timeout": duration(clickhouse.connect_timeout),
        "insert_timeout": duration(clickhouse.insert_timeout),
        "query_timeout": duration(clickhouse.query_timeout),
        "start_retries": clickhouse.start_retries,
        "start_retry_every": duration(clickhouse.start_retry_every),
        "compression": compression,
        "settings": clickhouse.settings,
        "allow_untested_server": clickhouse.allow_untested_server,
    })
}

fn kafka_json(kafka: &Kafka) -> Value {
    let start_from = match kafka.start_from {
        StartFrom::Earliest => "earliest".to_owned(),
        StartFrom::Latest => "latest".to_owned(),
        StartFrom::Time(milliseconds) => jiff::Timestamp::from_millisecond(milliseconds)
            .map_or_else(|_| milliseconds.to_string(), |time| time.to_string()),
    };
    let properties: serde_json::Map<String, Value> = kafka
        .properties
        .iter()
        .map(|(name, value)| {
            let shown = if kafka_properties::is_secret(name) { REDACTED } else { value.reveal() };
            (name.clone(), Value::from(shown))
        })
        .collect();
    json!({ "brokers": kafka.brokers, "group": kafka.group, "start_from": start_from, "properties": properties })
}

fn process_json(process: &Process) -> Value {
    json!({
        "lanes": process.lanes,
        "memory": scalar::show_size(process.memory),
        "processes_max": process.processes_max,
        "drain_timeout": duration(process.drain_timeout),
        "listen": process.listen.address.to_string(),
        "log": if process.log == LogFormat::Json { "json" } else { "text" },
    })
}

fn stream_json(stream: &Stream) -> Value {
    let mut object = object(json!({
        "from": { "topic": stream.topic, "format": "json" },
        "values": values_word(stream.values),
        "tombstones": if stream.tombstones == Tombstones::Filter { "filter" } else { "dead_letter" },
        "numbers": if stream.numbers == Numbers::Strict { "strict" } else { "coerce" },
        "schema": stream.schema.as_ref().map(|schema| json!({ "file": schema.file, "document": schema.document })),
        "batch": {
            "freshness": duration(stream.batch.freshness),
            "rows": stream.batch.rows,
            "bytes": scalar::show_size(stream.batch.bytes.get()),
        },
        "valve": {
            "batch_age_max": duration(stream.valve.batch_age_max),
            "shut_at_percent": stream.valve.shut_at_percent,
            "parts_max": stream.valve.parts_max,
        },
        "dead_letters": { "table": stream.dead_letters.table, "topic": stream.dead_letters.topic },
        "gaps": if stream.gaps == GapPolicy::Report { "report" } else { "halt" },
        "lineage": lineage_json(stream),
    }));
    match stream.tables.as_slice() {
        [only] if only.when.is_none() => {
            let mut table = table_json(only);
            for key in ["columns", "rollups", "unknown_fields"] {
                object.insert(key.to_owned(), table.remove(key).unwrap_or_default());
            }
            object.insert("table".to_owned(), Value::Object(table));
        }
        several => {
            let tables = several.iter().map(|table| (table.full_name(), Value::Object(table_json(table))));
            object.insert("tables".to_owned(), Value::Object(tables.collect()));
        }
    }
    Value::Object(object)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

const fn values_word(values: Values) -> &'static str {
    match values {
        Values::One => "one",
        Values::Lines => "lines",
        Values::Array => "array",
    }
}

/// A table in the keys of the long form.
fn table_json(table: &Table) -> Map<String, Value> {
    let columns: Vec<Value> = table.columns.iter().map(column_json).collect();
    let rollups = table.rollups.iter().map(|(name, rollup)| {
        let every = format!("{} of {}", rollup.every, rollup.time);
        let rollup = json!({ "every": every, "dimensions": rollup.dimensions, "metrics": rollup.metrics });
        (name.clone(), rollup)
    });
    let mut object = object(json!({
        "name": table.full_name(),
        "columns": columns,
        "unknown_fields":
            table.unknown_fields_in.as_ref().map_or(json!("ignore"), |column| json!({ "keep_in": column })),
        "order_by": table.order_by,
        "partition_by": table.partition_by,
        "ttl": table.ttl,
        "rollups": rollups.collect::<Map<_, _>>(),
    }));
    if let Some(when) = &table.when {
        object.insert("when".to_owned(), when_json(when));
    }
    if !table.settings_by_rate.is_empty() {
        object.insert("settings_by_rate".to_owned(), json!(curves_json(&table.settings_by_rate)));
    }
    object
}

fn curves_json(curves: &BTreeMap<String, Curve>) -> Map<String, Value> {
    let points = |curve: &Curve| {
        curve
            .points()
            .iter()
            .map(|(rate, value)| (rate.to_string(), Value::from(*value)))
            .collect::<Map<_, _>>()
    };
    curves.iter().map(|(name, curve)| (name.clone(), Value::Object(points(curve)))).collect()
}

/// Conditions as a list, each with its path: the order in which they are written means nothing.
fn when_json(when: &When) -> Value {
    let When::All(conditions) = when else { return Value::from("otherwise") };
    let mut conditions: Vec<Value> = conditions
        .iter()
        .map(|Condition { field, is }| match is {
            Matches::AnyOf(values) => json!({ "field": field, "any_of": sorted(values) }),
            Matches::NoneOf(values) => json!({ "field": field, "none_of": sorted(values) }),
            Matches::Present => json!({ "field": field, "exists": true }),
            Matches::Absent => json!({ "field": field, "exists": false }),
        })
        .collect();
    sort_and_dedup(&mut conditions);
    Value::Array(conditions)
}

fn sorted(values: &[Value]) -> Vec<Value> {
    let mut values = values.to_vec();
    sort_and_dedup(&mut values);
    values
}

fn sort_and_dedup(values: &mut Vec<Value>) {
    values.sort_by_cached_key(canonical);
    values.dedup();
}

fn lineage_json(stream: &Stream) -> Value {
    stream.lineage.as_ref().map_or(Value::Bool(false), |lineage| {
        let mut names = object(json!({
            "partition": lineage.partition,
            "offset": lineage.offset,
            "ingested_at": lineage.ingested_at,
        }));
        if stream.values != Values::One {
            names.insert("index".to_owned(), Value::from(lineage.index.as_str()));
        }
        Value::Object(names)
    })
}

fn column_json(column: &Column) -> Value {
    let mut object = serde_json::Map::new();
    object.insert("name".to_owned(), Value::from(column.name.as_str()));
    object.insert("type".to_owned(), Value::from(column.column_type.to_string()));
    object.insert("from".to_owned(), Value::from(column.from.clone()));
    if let Some(default) = &column.default {
        object.insert("default".to_owned(), default.clone());
    }
    if let Some(epoch) = column.epoch {
        let word = match epoch {
            EpochUnit::Seconds => "seconds",
            EpochUnit::Milliseconds => "milliseconds",
            EpochUnit::Microseconds => "microseconds",
            EpochUnit::Nanoseconds => "nanoseconds",
        };
        object.insert("epoch".to_owned(), Value::from(word));
    }
    Value::Object(object)
}

fn duration(duration: Duration) -> String {
    scalar::show_duration(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// The first 12 hexadecimal digits of the SHA-256 of what the settings mean, secrets left out.
pub(super) fn of(settings: &Settings) -> String {
    let mut meaning = settings.to_redacted_json();
    if let Value::Object(object) = &mut meaning {
        object.remove("revision");
    }
    let digest = Sha256::digest(canonical(&meaning));
    digest.iter().take(6).fold(String::new(), |mut hex, byte| {
        // Writing into a String can't fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A fingerprint of what shapes the rows of a stream. A claim carries it, so that it is never rebuilt with
/// another shape. The order of columns, tables and conditions, rollups and limits are no part of it: they change no
/// row. What is at its default is left out, so that a key that a later version brings changes no fingerprint.
#[must_use]
pub fn shape_hash(stream: &Stream) -> u32 {
    let mut shape = object(json!({
        "version": 1,
        "format": "json",
        "lineage": lineage_json(stream),
        "dead_letters": stream.dead_letters.table,
    }));
    let mut add = |key: &str, value: Value| shape.insert(key.to_owned(), value);
    match stream.tables.as_slice() {
        [only] if only.when.is_none() && only.unknown_fields_in.is_none() => {
            add("columns", sorted_columns(only));
            add("tables", json!([[only.database, only.name]]));
        }
        several => {
            let mut tables: Vec<&Table> = several.iter().collect();
            tables.sort_by_key(|table| table.full_name());
            add("tables", tables.into_iter().map(table_shape).collect());
        }
    }
    if stream.values != Values::One {
        add("values", Value::from(values_word(stream.values)));
    }
    if stream.tombstones == Tombstones::DeadLetter {
        add("tombstones", Value::from("dead_letter"));
    }
    if stream.numbers == Numbers::Coerce {
        add("numbers", Value::from("coerce"));
    }
    if let Some(schema) = &stream.schema {
        add("schema", schema.document.clone());
    }
    if stream.dead_letters.topic.is_some() {
        add("dead_letters_to_kafka", Value::Bool(true));
    }
    let digest = Sha256::digest(canonical(&Value::Object(shape)));
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// One of several tables, or one with more than columns.
fn table_shape(table: &Table) -> Value {
    json!({
        "database": table.database,
        "name": table.name,
        "columns": sorted_columns(table),
        "when": table.when.as_ref().map(when_json),
        "unknown_fields_in": table.unknown_fields_in,
    })
}

fn sorted_columns(table: &Table) -> Value {
    let mut columns: Vec<&Column> = table.columns.iter().collect();
    columns.sort_by(|a, b| a.name.cmp(&b.name));
    columns.into_iter().map(column_json).collect()
}

/// JSON with the keys of each object in order, whatever order the map keeps.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<_> = object.iter().collect();
            entries.sort_by_key(|(name, _)| *name);
            let entries: Vec<String> = entries
                .into_iter()
                .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), canonical(value)))
                .collect();
            format!("{{{}}}", entries.join(","))
        }
        Value::Array(values) => {
            format!("[{}]", values.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        scalar => scalar.to_string(),
    }
}
