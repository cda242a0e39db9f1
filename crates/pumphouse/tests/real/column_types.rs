//! Every column type against a real server: what JSON says is what ClickHouse shows, at the edges of each
//! type, bare and inside the types that hold others. ClickHouse is the judge of what was meant.

mod scalars;

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use arrow_array::RecordBatch;
use arrow_ipc::writer::StreamWriter;
use pumphouse::config::settings::{Column, EpochUnit, Stream, Table};
use pumphouse::decode::{self, Headers, NoHeaders, OpenBatch, Pushed, Record, Sealed};

/// A column type, what a bare number means in it, and JSON values with the text that ClickHouse shows.
type Case = (&'static str, Option<EpochUnit>, &'static [(&'static str, &'static str)]);

const WHOLE: [Case; 8] = [
    ("Int8", None, &[("-128", "-128"), ("127", "127"), ("-0", "0")]),
    ("Int16", None, &[("-32768", "-32768"), ("32767", "32767")]),
    ("Int32", None, &[("-2147483648", "-2147483648"), ("2147483647", "2147483647")]),
    (
        "Int64",
        None,
        &[
            ("-9223372036854775808", "-9223372036854775808"),
            ("9223372036854775807", "9223372036854775807"),
            ("\"-9223372036854775808\"", "-9223372036854775808"),
        ],
    ),
    ("UInt8", None, &[("0", "0"), ("255", "255")]),
    ("UInt16", None, &[("0", "0"), ("65535", "65535")]),
    ("UInt32", None, &[("0", "0"), ("4294967295", "4294967295")]),
    (
        "UInt64",
        None,
        &[
            ("18446744073709551615", "18446744073709551615"),
            ("\"18446744073709551615\"", "18446744073709551615"),
        ],
    ),
];

const FRACTIONS: [Case; 9] = [
    (
        "Float32",
        None,
        &[("0.1", "0.1"), ("-3.4028235e38", "-3.4028235e38"), ("16777216", "16777216"), ("1e-45", "1e-45")],
    ),
    (
        "Float64",
        None,
        &[
            ("0.1", "0.1"),
            ("1.7976931348623157e308", "1.7976931348623157e308"),
            ("5e-324", "5e-324"),
            ("-0.0", "-0"),
            ("9007199254740992", "9007199254740992"),
        ],
    ),
    (
        "Decimal(9, 2)",
        None,
        &[("-9999999.99", "-9999999.99"), ("9999999.99", "9999999.99"), ("\"1.5\"", "1.5")],
    ),
    (
        "Decimal(18, 18)",
        None,
        &[("0.999999999999999999", "0.999999999999999999"), ("-1e-18", "-0.000000000000000001")],
    ),
    ("Decimal(18, 0)", None, &[("999999999999999999", "999999999999999999"), ("1e17", "100000000000000000")]),
    (
        "Decimal(38, 10)",
        None,
        &[
            ("9999999999999999999999999999.9999999999", "9999999999999999999999999999.9999999999"),
            ("-9999999999999999999999999999.9999999999", "-9999999999999999999999999999.9999999999"),
        ],
    ),
    (
        "Decimal(39, 1)",
        None,
        &[("-99999999999999999999999999999999999999.9", "-99999999999999999999999999999999999999.9")],
    ),
    (
        "Decimal(76, 0)",
        None,
        &[(
            "-9999999999999999999999999999999999999999999999999999999999999999999999999999",
            "-9999999999999999999999999999999999999999999999999999999999999999999999999999",
        )],
    ),
    (
        "Decimal(76, 76)",
        None,
        &[("1e-76", "0.0000000000000000000000000000000000000000000000000000000000000000000000000001")],
    ),
];

const TEXTS: [Case; 3] = [
    ("Bool", None, &[("true", "true"), ("false", "false")]),
    (
        "String",
        None,
        &[
            ("\"\"", ""),
            ("\"plain\"", "plain"),
            (r#""\u0000é\ud83d\ude00\"""#, "\0é😀\""),
            ("\"日本\"", "日本"),
        ],
    ),
    (
        "UUID",
        None,
        &[
            ("\"00112233-4455-6677-8899-AABBCCDDEEFF\"", "00112233-4455-6677-8899-aabbccddeeff"),
            ("\"00000000-0000-0000-0000-000000000001\"", "00000000-0000-0000-0000-000000000001"),
        ],
    ),
];

const TIMES: [Case; 9] = [
    (
        "Date",
        Some(EpochUnit::Seconds),
        &[("\"1970-01-01\"", "1970-01-01"), ("\"2149-06-06\"", "2149-06-06"), ("86400", "1970-01-02")],
    ),
    (
        "DateTime",
        Some(EpochUnit::Milliseconds),
        &[
            ("\"1970-01-01T00:00:00Z\"", "1970-01-01 00:00:00"),
            ("\"2106-02-07 06:28:15\"", "2106-02-07 06:28:15"),
            ("1709209800000", "2024-02-29 12:30:00"),
        ],
    ),
    (
        "DateTime('Europe/Berlin')",
        None,
        &[
            ("\"2024-07-01 12:00:00\"", "2024-07-01 12:00:00"),
            ("\"2024-07-01T12:00:00Z\"", "2024-07-01 14:00:00"),
            ("\"2024-01-01T12:00:00+05:30\"", "2024-01-01 07:30:00"),
        ],
    ),
    (
        "DateTime64(3)",
        None,
        &[
            ("\"1900-01-01T00:00:00.001Z\"", "1900-01-01 00:00:00.001"),
            ("\"2299-12-31T23:59:59.999Z\"", "2299-12-31 23:59:59.999"),
            ("\"1969-12-31 23:59:59.9\"", "1969-12-31 23:59:59.900"),
        ],
    ),
    (
        "DateTime64(6, 'America/New_York')",
        Some(EpochUnit::Microseconds),
        &[
            ("\"2024-02-29 12:30:00.123456\"", "2024-02-29 12:30:00.123456"),
            ("1709209800123456", "2024-02-29 07:30:00.123456"),
            ("\"2299-12-31T23:59:59.999999Z\"", "2299-12-31 18:59:59.999999"),
        ],
    ),
    (
        "DateTime64(9)",
        None,
        &[
            ("\"2262-04-11T23:47:16.854775807Z\"", "2262-04-11 23:47:16.854775807"),
            ("\"1900-01-01T00:00:00.000000001Z\"", "1900-01-01 00:00:00.000000001"),
        ],
    ),
    (
        "DateTime64(0)",
        None,
        &[
            ("\"2299-12-31T23:59:59Z\"", "2299-12-31 23:59:59"),
            ("\"1900-01-01T00:00:00Z\"", "1900-01-01 00:00:00"),
        ],
    ),
    (
        "DateTime64(1)",
        Some(EpochUnit::Seconds),
        &[("\"2299-12-31T23:59:59.9Z\"", "2299-12-31 23:59:59.9"), ("1709209800.5", "2024-02-29 12:30:00.5")],
    ),
    (
        "DateTime64(8)",
        None,
        &[
            ("\"2299-12-31T23:59:59.99999999Z\"", "2299-12-31 23:59:59.99999999"),
            ("\"1900-01-01T00:00:00.00000001Z\"", "1900-01-01 00:00:00.00000001"),
            ("\"1969-12-31T23:59:59.99999999Z\"", "1969-12-31 23:59:59.99999999"),
        ],
    ),
];

/// Types that hold others, each as a whole.
const NESTED: [Case; 17] = [
    ("Map(LowCardinality(FixedString(2)), UInt8)", None, &[(r#"{"ab":1,"c":2}"#, "{'ab':1,'c\\0':2}")]),
    (
        "LowCardinality(FixedString(2))",
        None,
        &[("\"ab\"", "ab"), ("\"\"", ""), ("\"a\"", "a"), ("\"ab\"", "ab")],
    ),
    (
        "LowCardinality(Nullable(FixedString(2)))",
        None,
        &[("null", "NULL"), ("\"ab\"", "ab"), ("null", "NULL"), ("\"\"", "")],
    ),
    ("Array(LowCardinality(Nullable(FixedString(1))))", None, &[("[null,\"a\",null]", "[NULL,'a',NULL]")]),
    (
        "Map(Enum8('a' = 1, 'b' = 2), Array(Nullable(IPv6)))",
        None,
        &[(r#"{"b":["::1",null],"a":[]}"#, "{'b':['::1',NULL],'a':[]}")],
    ),
    (
        "Map(Int256, UInt128)",
        None,
        &[(
            r#"{"-57896044618658097711785492504343953926634992332820282019728792003956564819968":340282366920938463463374607431768211455}"#,
            "{-57896044618658097711785492504343953926634992332820282019728792003956564819968:340282366920938463463374607431768211455}",
        )],
    ),
    (
        "Map(IPv4, Date32)",
        None,
        &[(
            r#"{"192.0.2.1":"1900-01-01","0.0.0.0":"2299-12-31"}"#,
            "{'192.0.2.1':'1900-01-01','0.0.0.0':'2299-12-31'}",
        )],
    ),
    (
        "Map(FixedString(2), Map(IPv6, Nullable(Enum16('x' = 300))))",
        None,
        &[(r#"{"ab":{"::1":"x","::":null}}"#, "{'ab':{'::1':'x','::':NULL}}")],
    ),
    ("LowCardinality(String)", None, &[("\"a\"", "a"), ("\"\"", ""), ("\"a\"", "a"), ("\"é\"", "é")]),
    (
        "LowCardinality(Nullable(String))",
        None,
        &[("null", "NULL"), ("\"a\"", "a"), ("null", "NULL"), ("\"\"", "")],
    ),
    ("Array(LowCardinality(String))", None, &[("[]", "[]"), ("[\"a\",\"b\",\"a\"]", "['a','b','a']")]),
    ("Array(LowCardinality(Nullable(String)))", None, &[("[null,\"a\",null]", "[NULL,'a',NULL]")]),
    ("Array(Nullable(Int32))", None, &[("[1,null,-1]", "[1,NULL,-1]"), ("[]", "[]")]),
    ("Array(Array(UInt8))", None, &[("[[],[1],[2,3]]", "[[],[1],[2,3]]"), ("[]", "[]")]),
    (
        "Map(LowCardinality(String), Array(UInt8))",
        None,
        &[("{}", "{}"), (r#"{"a":[1],"b":[]}"#, "{'a':[1],'b':[]}")],
    ),
    (
        "Map(UInt64, String)",
        None,
        &[(r#"{"18446744073709551615":"x","0":""}"#, "{18446744073709551615:'x',0:''}")],
    ),
    (
        "Map(UUID, Nullable(DateTime64(3)))",
        None,
        &[(
            r#"{"00112233-4455-6677-8899-aabbccddeeff":null,"00112233-4455-6677-8899-aabbccddeef0":"2024-02-29T12:30:00.5Z"}"#,
            "{'00112233-4455-6677-8899-aabbccddeeff':NULL,'00112233-4455-6677-8899-aabbccddeef0':'2024-02-29 12:30:00.500'}",
        )],
    ),
];

/// Writes each type's values through ArrowStream and reads them back as text.
pub(crate) fn every_type_arrives_as_written(url: &str, database: &str) {
    let server = Server { url, database };
    let scalars = WHOLE
        .iter()
        .chain(&FRACTIONS)
        .chain(&TEXTS)
        .chain(&TIMES)
        .chain(&scalars::WIDE)
        .chain(&scalars::NAMED);
    for (number, case) in scalars.clone().enumerate() {
        arrives_in_all_wrappings(&server, &format!("scalar_{number}"), case);
    }
    for (number, case) in NESTED.iter().enumerate() {
        arrives(&server, &format!("nested_{number}"), case);
    }
}

/// Writes dictionaries as they become in a long batch: many texts, and some that no row refers to.
pub(crate) fn large_and_worn_dictionaries_arrive_right(url: &str, database: &str) {
    let server = Server { url, database };
    let stream = stream(vec![
        column("v", "LowCardinality(String)", None, "v"),
        column("n", "LowCardinality(Nullable(String))", None, "n"),
        column("none", "LowCardinality(Nullable(String))", None, "none"),
        column("w", "UInt8", None, "w"),
    ]);
    let mut batch = OpenBatch::new(&stream, "0123456789ab").expect("a batch");
    for offset in 0..200_000_u64 {
        let optional = if offset % 3 == 0 { "null".to_owned() } else { format!("\"n{}\"", offset % 100_000) };
        let json =
            format!(r#"{{"v":"v{offset}","n":{optional},"w":{}}}"#, if offset % 5 == 0 { 256 } else { 1 });
        batch.push(&record(offset, &json));
    }
    let rows = rows_of(batch.seal(1_709_209_800_001)).expect("rows");
    server.write("dictionaries", &decode::table_columns(&stream, &stream.tables[0]), &rows);
    let shown = server.ask(
        "SELECT count(), countIf(v = concat('v', toString(_offset)) AND none IS NULL \
         AND n IS NOT DISTINCT FROM if(_offset % 3 = 0, NULL, concat('n', toString(_offset % 100000)))) FROM dictionaries",
    );
    assert_eq!(shown, "160000\t160000\n");
}

/// Writes dead letters through ArrowStream and reads them back as text.
pub(crate) fn dead_letters_arrive_whole(url: &str, database: &str) {
    struct Two;
    impl Headers for Two {
        fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
            visit("trace", Some(b"\xff\0"));
            visit("trace", None);
        }
    }
    let server = Server { url, database };
    let mut batch =
        OpenBatch::new(&stream(vec![column("v", "UInt8", None, "v")]), "0123456789ab").expect("a batch");
    let bad = Record {
        partition: 7,
        offset: u64::MAX,
        timestamp_ms: Some(1_709_209_800_500),
        key: Some(b"\xfe"),
        payload: Some(br#"{"v":256}"#),
        headers: &Two,
    };
    let bare = Record { timestamp_ms: None, key: None, payload: Some(b""), headers: &NoHeaders, ..bad };
    assert_eq!((batch.push(&bad), batch.push(&bare)), (Pushed::DeadLetter, Pushed::DeadLetter));
    let letters = batch.seal(1_709_209_800_001).dead_letters.expect("two letters");
    server.write("dead_letters", &decode::dead_letter_columns(), &letters);
    let shown = server.ask(
        "SELECT stream, topic, partition, offset, kafka_time, hex(key), arrayMap(h -> (h.1, hex(h.2)), headers), payload, \
         code, column, path, reason, revision, time FROM dead_letters ORDER BY code FORMAT TSVRaw",
    );
    let (first, second) = shown.split_once('\n').expect("two rows");
    assert_eq!(
        first,
        "types\ttypes.topic\t7\t18446744073709551615\t2024-02-29 12:30:00.500\tFE\t[('trace','FF00'),('trace',NULL)]\t\
         {\"v\":256}\tPH-0104\tv\tv\texpected UInt8 (a whole number from 0 to 255), found the number 256\t0123456789ab\t\
         2024-02-29 12:30:00.001"
    );
    assert!(
        second.starts_with("types\ttypes.topic\t7\t18446744073709551615\t\\N\t\\N\t[]\t\tPH-0114\t\t\t"),
        "{second}"
    );
}

/// A scalar type's values bare, nullable, in arrays, and as values of maps; one null at the end.
fn arrives_in_all_wrappings(server: &Server<'_>, table: &str, (column_type, epoch, values): &Case) {
    let nullable = format!("Nullable({column_type})");
    let columns = vec![
        column("v", column_type, *epoch, "v"),
        column("n", &nullable, *epoch, "n"),
        column("a", &format!("Array({column_type})"), *epoch, "a"),
        column("m", &format!("Map(String, {nullable})"), *epoch, "a2.m"),
    ];
    let last = values.last().expect("a case has values").0;
    let records = values.iter().map(|(json, _)| {
        format!(r#"{{"v":{json},"n":{json},"a":[{json},{json}],"a2":{{"m":{{"k":{json},"l":null}}}}}}"#)
    });
    let with_null = format!(r#"{{"v":{last},"n":null,"a":[],"a2":{{"m":{{}}}}}}"#);
    let stream = stream(columns);
    let records: Vec<String> = records.chain([with_null]).collect();
    server.write(table, &decode::table_columns(&stream, &stream.tables[0]), &decoded(&stream, &records));
    let shown =
        server.ask(&format!("SELECT v FROM {table} ORDER BY _offset LIMIT {} FORMAT TSVRaw", values.len()));
    assert_eq!(shown, lines(values), "{column_type}");
    let differing = server.ask(&format!(
        "SELECT count() FROM {table} WHERE _offset < {} AND NOT (n = v AND a = [v, v] AND m['k'] = v AND m['l'] IS NULL)",
        values.len()
    ));
    assert_eq!(differing, "0\n", "{column_type} in other types");
    let null =
        server.ask(&format!("SELECT n, a, m FROM {table} WHERE _offset = {} FORMAT TSVRaw", values.len()));
    assert_eq!(null, "\\N\t[]\t{}\n", "{column_type} absent");
    let lineage = server.ask(&format!(
        "SELECT DISTINCT _partition, toString(_ingested_at, 'UTC') FROM {table} FORMAT TSVRaw"
    ));
    assert_eq!(lineage, "3\t2024-02-29 12:30:00.001\n", "{column_type}");
}

fn arrives(server: &Server<'_>, table: &str, (column_type, epoch, values): &Case) {
    let stream = stream(vec![column("v", column_type, *epoch, "v")]);
    let records: Vec<String> = values.iter().map(|(json, _)| format!(r#"{{"v":{json}}}"#)).collect();
    server.write(table, &decode::table_columns(&stream, &stream.tables[0]), &decoded(&stream, &records));
    let shown = server
        .ask(&format!("SELECT ifNull(toString(v), 'NULL') FROM {table} ORDER BY _offset FORMAT TSVRaw"));
    assert_eq!(shown, lines(values), "{column_type}");
}

fn lines(values: &[(&str, &str)]) -> String {
    values.iter().fold(String::new(), |mut lines, (_, shown)| {
        // Infallible: writing to a `String`.
        let _ = writeln!(lines, "{shown}");
        lines
    })
}

fn decoded(stream: &Stream, records: &[String]) -> RecordBatch {
    let mut batch = OpenBatch::new(stream, "0123456789ab").expect("a batch");
    for (offset, json) in (0..).zip(records) {
        assert_eq!(batch.push(&record(offset, json)), Pushed::Row, "{json}");
    }
    let rows = rows_of(batch.seal(1_709_209_800_001));
    rows.expect("rows")
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

fn column(name: &str, column_type: &str, epoch: Option<EpochUnit>, from: &str) -> Column {
    Column {
        name: name.to_owned(),
        column_type: column_type.parse().expect("a type"),
        from: from.split('.').map(str::to_owned).collect(),
        default: None,
        epoch,
    }
}

fn stream(columns: Vec<Column>) -> Stream {
    let table = Table::of_columns("default", "types", columns);
    Stream { name: "types".to_owned(), ..Stream::into_tables("types.topic", vec![table]) }
}

/// The rows of the only table.
fn rows_of(sealed: Sealed) -> Option<RecordBatch> {
    sealed.tables.into_iter().next().flatten()
}

/// A server's HTTP interface, with as little of HTTP as these stories need.
struct Server<'a> {
    url: &'a str,
    database: &'a str,
}

impl Server<'_> {
    /// Makes a table with these columns and inserts the rows.
    fn write(&self, table: &str, columns: &[(String, String)], rows: &RecordBatch) {
        let structure = columns.iter().map(|(name, column_type)| format!("`{name}` {column_type}"));
        let structure = structure.collect::<Vec<_>>().join(", ");
        self.ask(&format!("DROP TABLE IF EXISTS {table}"));
        self.ask(&format!("CREATE TABLE {table} ({structure}) ENGINE = MergeTree ORDER BY tuple()"));
        let mut writer = StreamWriter::try_new(Vec::new(), &rows.schema()).expect("a schema");
        writer.write(rows).expect("a batch");
        let body = writer.into_inner().expect("a whole stream");
        let input = structure.replace('\\', "\\\\").replace('\'', "\\'");
        let query = format!("INSERT INTO {table} SELECT * FROM input('{input}') FORMAT ArrowStream");
        // What a server or a session takes for its own zone must not matter.
        self.post(&query, "Asia/Kathmandu", &body);
    }

    /// Runs a query and returns its answer as text. Times are shown in UTC where a column names no zone.
    fn ask(&self, query: &str) -> String {
        self.post(query, "UTC", b"")
    }

    fn post(&self, query: &str, zone: &str, body: &[u8]) -> String {
        let address = self.url.strip_prefix("http://").expect("a plain URL").trim_end_matches('/');
        let mut connection = TcpStream::connect(address).expect("a server");
        let encoded = query.bytes().fold(String::new(), |mut encoded, byte| {
            // Infallible: writing to a `String`.
            let _ = write!(encoded, "%{byte:02X}");
            encoded
        });
        let head = format!(
            "POST /?database={}&session_timezone={zone}&query={encoded} HTTP/1.0\r\nContent-Length: {}\r\n\r\n",
            self.database,
            body.len()
        );
        connection.write_all(head.as_bytes()).expect("a request");
        connection.write_all(body).expect("a request");
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).expect("an answer");
        let answer = String::from_utf8(answer).expect("text");
        let (head, text) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200"), "{query}\n{text}");
        text.to_owned()
    }
}
