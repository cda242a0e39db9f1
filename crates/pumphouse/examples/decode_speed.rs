//! How long one event takes from bytes to columns. Prints, asserts nothing about speed:
//! `CARGO_PROFILE_DEV_OPT_LEVEL=3 cargo run --example decode_speed`; the case `schema` judges by a JSON Schema first.

use std::time::{Duration, Instant};

use pumphouse::config::settings::{Column, JsonSchema, Stream, Table};
use pumphouse::decode::{NoHeaders, OpenBatch, Pushed, Record};

const COLUMNS: [(&str, &str, &str); 10] = [
    ("event_id", "UUID", "event_id"),
    ("ts", "DateTime64(3)", "ts"),
    ("service", "LowCardinality(String)", "service"),
    ("endpoint", "LowCardinality(String)", "endpoint"),
    ("method", "LowCardinality(String)", "method"),
    ("region", "LowCardinality(String)", "region"),
    ("status", "UInt16", "status"),
    ("duration_ms", "Float64", "duration_ms"),
    ("tags", "Map(String, String)", "tags"),
    ("city", "Nullable(String)", "geo.city"),
];
const EVENTS: usize = 20_000;
const BATCHES: usize = 12;

/// What is done to each event before it is measured.
type Change = fn(usize, &str) -> String;

const CASES: [(&str, Change); 6] = [
    ("plain", |_, event| event.to_owned()),
    ("spaced", |_, event| event.replace("\":", "\": ").replace(",\"", ", \"")),
    ("escaped", |_, event| event.replace("/api/", "\\/api/")),
    ("sparse", sparse),
    ("schema", |_, event| event.to_owned()),
    ("rejected", |_, event| event.replace("\"status\":", "\"status\":-")),
];

/// Measures the cases named on the command line, or all of them.
fn main() {
    let plain = stream();
    let with_schema = Stream { schema: Some(schema()), ..plain.clone() };
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    for (name, change) in CASES {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            let events: Vec<String> = (0..EVENTS).map(|at| change(at, &event(at))).collect();
            measure(name, if name == "schema" { &with_schema } else { &plain }, &events);
        }
    }
}

fn measure(name: &str, stream: &Stream, events: &[String]) {
    let mut batch = OpenBatch::new(stream, "0123456789ab").expect("a stream");
    let (mut decoding, mut sealing) = (Vec::new(), Vec::new());
    for _ in 0..BATCHES {
        let start = Instant::now();
        let rows = (0..).zip(events).filter(|(offset, event)| {
            let record = Record {
                partition: 0,
                offset: *offset,
                timestamp_ms: None,
                key: None,
                payload: Some(event.as_bytes()),
                headers: &NoHeaders,
            };
            batch.push(&record) == Pushed::Row
        });
        std::hint::black_box(rows.count());
        decoding.push(start.elapsed());
        let start = Instant::now();
        std::hint::black_box(batch.seal(0));
        sealing.push(start.elapsed());
    }
    let bytes = events.iter().map(String::len).sum::<usize>() / events.len();
    let (decode, seal) = (per_event(&mut decoding, events.len()), per_event(&mut sealing, events.len()));
    println!(
        "{name:10} {bytes:4} bytes  decode {decode:?} ns  seal {seal:?} ns  (best and median of {BATCHES})"
    );
}

fn per_event(times: &mut [Duration], events: usize) -> [u128; 2] {
    times.sort();
    [times[0], times[times.len() / 2]].map(|time| time.as_nanos() / events.max(1) as u128)
}

fn event(at: usize) -> String {
    let pick = |words: &[&str], step: usize| words[at * step % words.len()].to_owned();
    format!(
        "{{\"event_id\":\"{:08x}-5cb3-41e7-907b-a6006ad3dba0\",\"ts\":\"2026-11-21T06:{:02}:{:02}.{:03}Z\",\"service\":\"{}\",\
         \"endpoint\":\"{}\",\"method\":\"{}\",\"region\":\"{}\",\"host\":\"web-{:03}\",\"status\":{},\"duration_ms\":{}.{:03},\
         \"bytes\":{},\"tags\":{{\"tier\":\"{}\",\"version\":\"1.{}.0\"}},\"geo\":{{\"city\":\"{}\",\"country\":\"DE\"}}}}",
        at.wrapping_mul(0x9E37_79B1) & 0xFFFF_FFFF,
        at / 60 % 60,
        at % 60,
        at % 1000,
        pick(&["checkout", "search", "catalogue", "payments", "accounts"], 7),
        pick(&["/api/v1/orders", "/api/v1/orders/items", "/api/v1/search", "/api/v2/users/settings"], 11),
        pick(&["GET", "POST", "PUT"], 5),
        pick(&["eu-central-1", "us-east-1", "ap-south-1"], 13),
        at % 200,
        pick(&["200", "201", "404", "500"], 3),
        at % 300,
        at % 1000,
        at * 37 % 100_000,
        pick(&["gold", "silver", "free"], 17),
        at % 50,
        pick(&["Berlin", "Hamburg", "München", "Köln"], 19),
    )
}

/// Leaves a wanted field out of every third event, and an unwanted one out of every second.
fn sparse(at: usize, event: &str) -> String {
    let without_geo =
        if at.is_multiple_of(3) { event.replace(",\"country\":\"DE\"", "") } else { event.to_owned() };
    if at.is_multiple_of(2) { without_geo.replace("\"city\"", "\"town\"") } else { without_geo }
}

fn stream() -> Stream {
    let column = |(name, column_type, from): (&str, &str, &str)| Column {
        name: name.to_owned(),
        column_type: column_type.parse().expect("a type"),
        from: from.split('.').map(str::to_owned).collect(),
        default: None,
        epoch: None,
    };
    let columns = COLUMNS.into_iter().map(column).collect();
    Stream::into_tables("requests", vec![Table::of_columns("default", "requests", columns)])
}

/// What a team would say of these events.
fn schema() -> JsonSchema {
    let text = serde_json::json!({ "type": "string", "minLength": 1, "maxLength": 200 });
    let document = serde_json::json!({
        "type": "object",
        "required": ["event_id", "ts", "service", "endpoint", "status", "duration_ms", "tags", "geo"],
        "properties": {
            "event_id": { "type": "string", "pattern": "^[0-9a-f-]{36}$" },
            "ts": text,
            "service": { "enum": ["checkout", "search", "catalogue", "payments", "accounts"] },
            "endpoint": text,
            "method": { "enum": ["GET", "POST", "PUT"] },
            "region": text,
            "host": text,
            "status": { "type": "integer", "minimum": 100, "maximum": 599 },
            "duration_ms": { "type": "number", "minimum": 0 },
            "bytes": { "type": "integer", "minimum": 0 },
            "tags": { "type": "object", "additionalProperties": { "type": "string" } },
            "geo": { "type": "object", "properties": { "city": text, "country": text } },
        },
        "additionalProperties": false,
    });
    JsonSchema { file: "requests.schema.json".to_owned(), document }
}
