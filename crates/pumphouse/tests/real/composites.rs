//! Tuples, Nested and JSON against a real server, the whole way: the table as it is declared, preflight, the insert as
//! it is sent, twice. What is accepted has to be there unchanged; ClickHouse is the judge.
//!
//! Every story takes the address of a server and the name of a database that exists and is its own.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow_array::RecordBatch;
use pumphouse::config::settings::{Column, Stream, Table};
use pumphouse::decode::{NoHeaders, OpenBatch, Pushed, Record, table_columns};
use pumphouse_clickhouse::arrow_stream::{Compression, encode};
use pumphouse_clickhouse::ddl::{TableSpec, create_table};
use pumphouse_clickhouse::preflight::{Expected, WINDOW, inspect};
use pumphouse_clickhouse::{Client, Insert, InsertAnswer};
use serde_json::{Map, Value, json};

use super::wire::client;

/// A column type, and JSON values with the text that ClickHouse shows for the column or, for a Nested, its parts.
type Case = (&'static str, &'static [(&'static str, &'static str)]);

const CASES: [Case; 24] = [
    (
        "Tuple(a UInt8, b String)",
        &[(r#"{"a":1,"b":"x"}"#, "(1,'x')"), (r#"{"b":"é","c":0,"a":255}"#, "(255,'é')")],
    ),
    ("Tuple(UInt8, Nullable(String))", &[("[1,null]", "(1,NULL)"), ("[2,\"\"]", "(2,'')")]),
    ("Tuple(`a b` UInt8, `A` UInt8, a UInt8)", &[(r#"{"a":1,"A":2,"a b":3}"#, "(3,2,1)")]),
    (
        "Tuple(a Nullable(UInt8), b LowCardinality(Nullable(String)))",
        &[("{}", "(NULL,NULL)"), (r#"{"b":"x"}"#, "(NULL,'x')")],
    ),
    (
        "Tuple(a Array(UInt8), m Map(String, Nullable(Int256)), t Tuple(DateTime64(3), IPv6), e Enum8('x' = 1), f FixedString(2))",
        &[(
            r#"{"a":[],"m":{"k":null},"t":["2024-02-29T12:30:00.5Z","::1"],"e":"x","f":"ab"}"#,
            "([],{'k':NULL},('2024-02-29 12:30:00.500','::1'),'x','ab')",
        )],
    ),
    (
        "Array(Tuple(a UInt8, b String))",
        &[(r#"[{"a":1,"b":"x"},{"a":2,"b":""}]"#, "[(1,'x'),(2,'')]"), ("[]", "[]")],
    ),
    (
        "Array(Tuple(UInt8, Array(Tuple(x LowCardinality(String)))))",
        &[(r#"[[1,[{"x":"a"},{"x":"b"}]],[2,[]]]"#, "[(1,[('a'),('b')]),(2,[])]"), ("[]", "[]")],
    ),
    (
        "Map(String, Tuple(a UInt8, b Nullable(Bool)))",
        &[(r#"{"k":{"a":1},"l":{"b":true,"a":2}}"#, "{'k':(1,NULL),'l':(2,true)}"), ("{}", "{}")],
    ),
    (
        "Map(LowCardinality(String), Array(Tuple(a UInt8)))",
        &[(r#"{"k":[{"a":1}],"l":[]}"#, "{'k':[(1)],'l':[]}")],
    ),
    ("Map(String, Map(UInt8, Array(String)))", &[(r#"{"k":{"1":["x"]}}"#, "{'k':{1:['x']}}")]),
    ("Array(Array(Nullable(Int32)))", &[("[[],[null],[1,null]]", "[[],[NULL],[1,NULL]]"), ("[]", "[]")]),
    ("Array(Map(String, Nullable(UInt8)))", &[(r#"[{"a":null},{}]"#, "[{'a':NULL},{}]")]),
    (
        "LowCardinality(UUID)",
        &[("\"00112233-4455-6677-8899-aabbccddeeff\"", "00112233-4455-6677-8899-aabbccddeeff")],
    ),
    (
        "Array(LowCardinality(Nullable(UUID)))",
        &[
            (
                "[null,\"00112233-4455-6677-8899-aabbccddeeff\"]",
                "[NULL,'00112233-4455-6677-8899-aabbccddeeff']",
            ),
            ("[]", "[]"),
        ],
    ),
    (
        "Nested(a UInt8, b Array(Nullable(String)), c LowCardinality(String))",
        &[
            (
                r#"[{"a":1,"b":[],"c":"x"},{"c":"y","b":["z",null],"a":2}]"#,
                "[1,2]\t[[],['z',NULL]]\t['x','y']",
            ),
            ("[]", "[]\t[]\t[]"),
        ],
    ),
    (
        "Nested(a Nested(b UInt8, c Tuple(d Bool)), m Map(String, UInt8), j JSON)",
        &[(
            r#"[{"a":[{"b":1,"c":{"d":true}},{"b":2,"c":{"d":false}}],"m":{"k":1},"j":{"x":"2024-01-01"}}]"#,
            "[[(1,(true)),(2,(false))]]\t[{'k':1}]\t['{\"x\":\"2024-01-01\"}']",
        )],
    ),
    (
        "Tuple(n Nested(a UInt8), x UInt8)",
        &[(r#"{"n":[{"a":1},{"a":2}],"x":3}"#, "([(1),(2)],3)"), (r#"{"n":[],"x":4}"#, "([],4)")],
    ),
    ("Map(String, Nested(a UInt8))", &[(r#"{"k":[{"a":1}]}"#, "{'k':[(1)]}")]),
    (
        "JSON",
        &[
            (
                r#"{"d":"2024-01-01","t":"2024-01-01 10:00:00","n":"12","b":"true","l":["2024-01-01"]}"#,
                r#"{"b":"true","d":"2024-01-01","l":["2024-01-01"],"n":"12","t":"2024-01-01 10:00:00"}"#,
            ),
            (
                r#"{"u":18446744073709551615,"i":-9223372036854775808,"f":-0.0}"#,
                r#"{"f":-0,"i":-9223372036854775808,"u":18446744073709551615}"#,
            ),
            ("{}", "{}"),
        ],
    ),
    (
        "JSON(max_dynamic_paths=1, max_dynamic_types=32)",
        &[(r#"{"a":1,"b":[true,1],"c":{"d":[{"e":null}]}}"#, r#"{"a":1,"b":[true,1],"c":{"d":[{}]}}"#)],
    ),
    ("Nullable(JSON)", &[("null", "NULL"), (r#"{"a":["x",true]}"#, r#"{"a":["x",true]}"#)]),
    ("Array(Nullable(JSON))", &[(r#"[{"a":1},null,{}]"#, r#"['{"a":1}',NULL,'{}']"#), ("[]", "[]")]),
    ("Map(String, JSON)", &[(r#"{"k":{"a":"1970-01-01"}}"#, r#"{'k':'{"a":"1970-01-01"}'}"#)]),
    (
        "Tuple(JSON JSON, `JSON(` UInt8)",
        &[(r#"{"JSON":{"a":"1970-01-01"},"JSON(":1}"#, r#"('{"a":"1970-01-01"}',1)"#)],
    ),
];

/// Each type's values arrive, once although they are sent twice, in a table that preflight finds nothing wrong with.
pub(crate) async fn composite_types_arrive_as_written(url: &str, database: &str) {
    let client = client(url);
    for (number, (column_type, values)) in CASES.iter().enumerate() {
        let stream = stream(database, &format!("composite_{number}"), vec![column("v", column_type)]);
        let records: Vec<String> = values.iter().map(|(json, _)| format!(r#"{{"v":{json}}}"#)).collect();
        write(&client, &stream, &decoded(&stream, &records)).await;
        let columns = table_columns(&stream, &stream.tables[0]);
        let parts: Vec<_> = columns
            .iter()
            .filter(|(name, _)| name.starts_with('v'))
            .map(|(name, _)| format!("ifNull(toString(`{name}`), 'NULL')"))
            .collect();
        let shown =
            texts(&client, &stream, &format!("arrayStringConcat([{}], '\\t')", parts.join(", "))).await;
        assert_eq!(shown, values.iter().map(|(_, shown)| *shown).collect::<Vec<_>>(), "{column_type}");
    }
}

/// A table that has a Nested as one column takes it as what it is there: an array of tuples.
pub(crate) async fn a_nested_that_is_one_column_is_declared_as_an_array(url: &str, database: &str) {
    let client = client(url);
    let columns = "(v Nested(a UInt8, b String), _partition UInt32, _offset UInt64, _ingested_at DateTime64(3)) \
               ENGINE = MergeTree ORDER BY tuple() SETTINGS non_replicated_deduplication_window = 10000";
    let sql = format!("CREATE TABLE {database}.whole {columns}");
    client.query(&sql).setting("flatten_nested", "0").execute().await.expect("a table");
    let nested = stream(database, "whole", vec![column("v", "Nested(a UInt8, b String)")]);
    let report = report(&client, &nested).await;
    assert_eq!(report.len(), 2, "{report:?}");
    assert!(report[0].contains("declare it as Array(Tuple(a UInt8, b String))"), "{report:?}");
    let array = stream(database, "whole", vec![column("v", "Array(Tuple(a UInt8, b String))")]);
    write(&client, &array, &decoded(&array, &[r#"{"v":[{"a":1,"b":"x"}]}"#.to_owned()])).await;
    assert_eq!(texts(&client, &array, "toString(v)").await, ["[(1,'x')]"]);
}

/// Objects of every shape: those that the decoder takes are kept, all in one insert, and none refuses it.
pub(crate) async fn json_that_is_taken_is_kept(url: &str, database: &str) {
    let client = client(url);
    for (round, column_type) in
        ["JSON", "JSON", "JSON(max_dynamic_paths=2, max_dynamic_types=32)", "JSON(max_dynamic_paths=0)"]
            .iter()
            .enumerate()
    {
        let mut random = fastrand::Rng::with_seed(7 + round as u64);
        let stream = stream(database, &format!("documents_{round}"), vec![column("v", column_type)]);
        let documents: Vec<String> = (0..1500).map(|_| object(&mut random, 0)).collect();
        let mut batch = OpenBatch::new(&stream, "0123456789ab").expect("a batch");
        let mut taken = Vec::new();
        for (offset, document) in (0..).zip(&documents) {
            if batch.push(&record(offset, &format!(r#"{{"v":{document}}}"#))) == Pushed::Row {
                taken.push(document);
            }
        }
        assert!(taken.len() > 800, "{} of {} were taken", taken.len(), documents.len());
        let rows = batch.seal(1_709_209_800_001).tables.remove(0).expect("rows");
        write(&client, &stream, &rows).await;
        let shown = texts(&client, &stream, "toString(v)").await;
        assert_eq!(shown.len(), taken.len());
        for (document, shown) in taken.iter().zip(&shown) {
            let [said, kept] = [document.as_str(), shown.as_str()]
                .map(|text| flat(&serde_json::from_str(text).expect("JSON")));
            assert!(is_same(&said, &kept), "{document} became {shown} in {column_type}");
        }
    }
}

/// Each rule has its reason: without it ClickHouse refuses the block, or keeps something else.
pub(crate) async fn json_that_is_rejected_would_not_be_kept(url: &str, database: &str) {
    const REFUSED: [&str; 9] = [
        r#"{"a":1,"a":1}"#,
        r#"{"a":{"b":1},"a.b":2}"#,
        r#"{"a":18446744073709551616}"#,
        r#"{"a":-9223372036854775809}"#,
        r#"{"a":1e309}"#,
        r#"{"a":[null,[]]}"#,
        r#"{"a":[[null],[[1]]]}"#,
        "[]",
        "null",
    ];
    // The second row is the one that changes, some of them by what stands in the first.
    const CHANGED: [[&str; 2]; 4] = [
        ["{}", r#"{"a":1,"a.b":2}"#],
        ["{}", r#"{"a":[9007199254740993,0.5]}"#],
        [r#"{"a":[0.5]}"#, r#"{"a":[9007199254740993]}"#],
        [
            r#"{"a":[{"a":[{"a":[{"a":[{"a":[{"p":0.5}]}]}]}]}]}"#,
            r#"{"a":[{"a":[{"a":[{"a":[{"a":[{"p":0.5},{"p":9007199254740993}]}]}]}]}]}"#,
        ],
    ];
    let client = client(url);
    let stream = stream(database, "raw", vec![column("v", "JSON")]);
    let text = |documents: &[&str]| {
        // As the decoder would send them if it had no rules.
        let rows =
            [("v", documents.iter().map(|text| Some(text.as_bytes())).collect::<arrow_array::BinaryArray>())];
        RecordBatch::try_from_iter(rows.map(|(name, rows)| (name, std::sync::Arc::new(rows) as _)))
            .expect("a batch")
    };
    let columns = [("v".to_owned(), "JSON".to_owned())];
    client
        .execute(&format!("CREATE TABLE {database}.raw (v JSON) ENGINE = MergeTree ORDER BY tuple()"))
        .await
        .expect("a table");
    for refused in REFUSED {
        assert!(is_rejected(&stream, refused), "{refused}");
        let answer = insert(&client, &stream, (&columns, &text(&[refused])), refused).await;
        assert!(matches!(answer, InsertAnswer::Refused(_)), "{refused}: {answer:?}");
    }
    for rows in CHANGED {
        assert!(is_rejected(&stream, rows[1]), "{}", rows[1]);
        client.execute(&format!("TRUNCATE TABLE {database}.raw")).await.expect("no rows");
        let answer = insert(&client, &stream, (&columns, &text(&rows)), rows[1]).await;
        assert_eq!(answer, InsertAnswer::Done, "{}", rows[1]);
        let shown = query(&client, &format!("SELECT toString(v) AS text FROM {database}.raw")).await;
        assert_ne!(shown[1], rows[1]);
    }
}

/// Fields that no column reads arrive in the column that is declared for them.
pub(crate) async fn fields_that_no_column_reads_arrive(url: &str, database: &str) {
    let client = client(url);
    let city =
        Column { from: vec!["geo".to_owned(), "city".to_owned()], ..column("city", "Nullable(String)") };
    let mut stream = stream(database, "rest", vec![column("id", "UInt64"), city, column("extra", "JSON")]);
    stream.tables[0].unknown_fields_in = Some("extra".to_owned());
    let records = [
        r#"{"id":1,"geo":{"city":"x","lat":1.5},"day":"2024-01-01","tags":["a",1]}"#,
        r#"{"id":2}"#,
        r#"{"b":{"c":true},"id":3,"geo":{"city":null}}"#,
    ];
    write(&client, &stream, &decoded(&stream, &records.map(str::to_owned))).await;
    let shown =
        texts(&client, &stream, "concat(toString(id), ' ', ifNull(city, '-'), ' ', toString(extra))").await;
    assert_eq!(
        shown,
        [r#"1 x {"day":"2024-01-01","geo":{"lat":1.5},"tags":["a",1]}"#, "2 - {}", r#"3 - {"b":{"c":true}}"#,]
    );
}

fn is_rejected(stream: &Stream, document: &str) -> bool {
    let mut batch = OpenBatch::new(stream, "0123456789ab").expect("a batch");
    batch.push(&record(0, &format!(r#"{{"v":{document}}}"#))) == Pushed::DeadLetter
}

/// Makes the table, asks preflight, sends the rows twice under one token, and merges what there is.
async fn write(client: &Client, stream: &Stream, rows: &RecordBatch) {
    let table = &stream.tables[0];
    let columns = table_columns(stream, table);
    let spec = TableSpec {
        database: table.database.clone(),
        name: table.name.clone(),
        columns: columns.clone(),
        order_by: vec!["_offset".to_owned()],
        partition_by: None,
        ttl: None,
        window: WINDOW,
    };
    let name = table.full_name();
    client.execute(&create_table(&spec)).await.expect("a table");
    let report = report(client, stream).await;
    assert!(report.is_empty(), "{columns:?}: {report:?}");
    for _ in 0..2 {
        let answer = insert(client, stream, (&columns, rows), "token").await;
        assert_eq!(answer, InsertAnswer::Done, "{columns:?}");
    }
    client.execute(&format!("OPTIMIZE TABLE {name} FINAL")).await.expect("a merge");
}

async fn insert(
    client: &Client,
    stream: &Stream,
    (columns, rows): (&[(String, String)], &RecordBatch),
    token: &str,
) -> InsertAnswer {
    let now = client.server_time_ms().await.expect("the server's clock") / 1000;
    // What a user may have set must not matter.
    let settings = BTreeMap::from([
        ("input_format_try_infer_dates".to_owned(), "1".to_owned()),
        ("input_format_json_read_bools_as_strings".to_owned(), "1".to_owned()),
        ("session_timezone".to_owned(), "Asia/Kathmandu".to_owned()),
    ]);
    let insert = Insert {
        database: &stream.tables[0].database,
        table: &stream.tables[0].name,
        columns,
        token,
        deadline_unix_seconds: now + 600,
        timeout: Duration::from_mins(1),
        body: &encode(rows, Compression::Lz4).expect("a body"),
        query_id: None,
        settings: &settings,
        url_index: 0,
        has_views: false,
    };
    client.insert(&insert).await
}

/// What preflight finds, each as what and mend.
async fn report(client: &Client, stream: &Stream) -> Vec<String> {
    let columns = table_columns(stream, &stream.tables[0]);
    let settings = BTreeMap::new();
    let expected = Expected {
        database: &stream.tables[0].database,
        table: &stream.tables[0].name,
        columns: &columns,
        settings: &settings,
        allow_untested_server: false,
    };
    let report = inspect(client, 0, &expected).await.expect("a report");
    report.findings.into_iter().map(|finding| format!("{}: {}", finding.what, finding.mend)).collect()
}

/// An expression for each row, in the order they were decoded.
async fn texts(client: &Client, stream: &Stream, expression: &str) -> Vec<String> {
    let table = stream.tables[0].full_name();
    query(client, &format!("SELECT {expression} AS text FROM {table} ORDER BY _offset")).await
}

async fn query(client: &Client, sql: &str) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Row {
        text: String,
    }
    let rows = client.query(sql).setting("session_timezone", "UTC").rows::<Row>().await.expect(sql);
    rows.into_iter().map(|row| row.text).collect()
}

fn decoded(stream: &Stream, records: &[String]) -> RecordBatch {
    let mut batch = OpenBatch::new(stream, "0123456789ab").expect("a batch");
    for (offset, json) in (0..).zip(records) {
        assert_eq!(batch.push(&record(offset, json)), Pushed::Row, "{json}");
    }
    batch.seal(1_709_209_800_001).tables.remove(0).expect("rows")
}

fn record(offset: u64, json: &str) -> Record<'_> {
    Record {
        partition: 3,
        offset,
        timestamp_ms: None,
        key: None,
        payload: Some(json.as_bytes()),
        headers: &NoHeaders,
    }
}

fn column(name: &str, column_type: &str) -> Column {
    Column {
        name: name.to_owned(),
        column_type: column_type.parse().expect(column_type),
        from: vec![name.to_owned()],
        default: None,
        epoch: None,
    }
}

fn stream(database: &str, table: &str, columns: Vec<Column>) -> Stream {
    Stream::into_tables("types.topic", vec![Table::of_columns(database, table, columns)])
}

/// An object with few keys, so that paths meet, and values of kinds that ClickHouse tells apart.
fn object(random: &mut fastrand::Rng, depth: usize) -> String {
    const KEYS: [&str; 10] = ["a", "b", "c", "", "a.b", "a b", "é", "x/y", "\\u0000", "%2E"];
    let fields: Vec<_> = (0..[1, 1, 2, 3][random.usize(..4)])
        .map(|_| format!("\"{}\":{}", KEYS[random.usize(..KEYS.len())], value(random, depth + 1)))
        .collect();
    format!("{{{}}}", fields.join(","))
}

fn value(random: &mut fastrand::Rng, depth: usize) -> String {
    const SCALARS: [&str; 26] = [
        "null",
        "true",
        "false",
        "0",
        "1",
        "-1",
        "255",
        "-129",
        "2147483648",
        "9007199254740992",
        "9007199254740993",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "18446744073709551615",
        "0.5",
        "-0.0",
        "2.0",
        "1e18",
        "1e300",
        "\"\"",
        "\"x\"",
        "\"12\"",
        "\"true\"",
        "\"2024-01-01\"",
        "\"2024-01-01 10:00:00\"",
    ];
    match random.usize(..10) {
        0..=2 if depth < 6 => {
            let values: Vec<_> =
                (0..[0, 1, 2, 2, 3][random.usize(..5)]).map(|_| value(random, depth + 1)).collect();
            format!("[{}]", values.join(","))
        }
        3 | 4 if depth < 6 => object(random, depth),
        _ => SCALARS[random.usize(..SCALARS.len())].to_owned(),
    }
}

/// An object as its paths, without what ClickHouse does not keep: null fields and empty objects.
fn flat(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut paths = Map::new();
            add_paths(fields, "", &mut paths);
            Value::Object(paths)
        }
        Value::Array(values) => values.iter().map(flat).collect(),
        other => other.clone(),
    }
}

fn add_paths(fields: &Map<String, Value>, above: &str, paths: &mut Map<String, Value>) {
    for (key, value) in fields {
        match value {
            Value::Null => {}
            Value::Object(inner) => add_paths(inner, &format!("{above}{key}."), paths),
            value => assert_eq!(paths.insert(format!("{above}{key}"), flat(value)), None),
        }
    }
}

/// Whether two values are the same; `1.0` and `1` are.
fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            left == right || (left.is_f64() != right.is_f64() && left.as_f64() == right.as_f64())
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| is_same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(path, value)| right.get(path).is_some_and(|other| is_same(value, other)))
        }
        _ => left == right,
    }
}

#[test]
fn two_objects_are_the_same_by_their_paths() {
    let same = |left: Value, right: Value| is_same(&flat(&left), &flat(&right));
    assert!(same(json!({"a.b": 1, "c": null, "d": {}}), json!({"a": {"b": 1.0}})));
    assert!(!same(json!({"a": 9_007_199_254_740_993_i64}), json!({"a": 9_007_199_254_740_992_i64})));
    assert!(!same(json!({"a": [null]}), json!({"a": []})));
    assert!(!same(json!({"a": [1, true]}), json!({"a": [1, 1]})));
}
