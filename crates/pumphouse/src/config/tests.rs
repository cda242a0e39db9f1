//! Whole files: what they mean, and every mistake they can hold as the operator reads it.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::reference::SMALLEST;
use super::settings::{BatchPolicy, Compression, Lineage, LogFormat, StartFrom};
use super::{Mistakes, NOT_TOLD, Settings, parse, shape_hash};

mod examples;
mod rate_settings;
mod streams;

fn no_env(_: &str) -> Option<String> {
    None
}

fn read(text: &str) -> Result<Settings, Mistakes> {
    parse("pumphouse.yaml", text, &no_env)
}

fn told(text: &str) -> String {
    read(text).map_or_else(|mistakes| mistakes.to_string(), |_| "no mistake".to_owned())
}

/// A file with one stream, in which a key of `clickhouse`, `kafka`, `process` or the stream can be added.
fn file(clickhouse: &str, kafka: &str, process: &str, stream: &str) -> String {
    format!(
        "clickhouse:\n  url: http://localhost:8123\n  {clickhouse}\nkafka:\n  brokers: localhost:9092\n  {kafka}\n\
         process:\n  {process}\nstreams:\n  clicks:\n    from: {{ topic: clicks }}\n    columns: {{ ts: DateTime, n: UInt8 }}\n    \
         table: {{ order_by: ts }}\n    {stream}\n"
    )
}

/// The one mistake of a file: `key: what; suggestion`.
fn one_mistake(text: &str) -> String {
    match read(text) {
        Ok(_) => "no mistake".to_owned(),
        Err(mistakes) => match mistakes.mistakes.as_slice() {
            [only] => format!("{}: {}; {}", only.key, only.what, only.suggestion.as_deref().unwrap_or("-")),
            _ => panic!("{mistakes}"),
        },
    }
}

#[test]
fn the_smallest_file_means_exactly_the_defaults() {
    let settings = read(SMALLEST).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let clickhouse = &settings.clickhouse;
    assert_eq!(clickhouse.urls, ["http://localhost:8123"]);
    assert_eq!((clickhouse.database.as_str(), clickhouse.user.as_str()), ("metrics", "default"));
    assert_eq!(clickhouse.password.reveal(), "");
    assert_eq!(clickhouse.connect_timeout, Duration::from_secs(5));
    assert_eq!(clickhouse.insert_timeout, Duration::from_mins(1));
    assert_eq!(clickhouse.query_timeout, Duration::from_secs(10));
    assert_eq!((clickhouse.start_retries.get(), clickhouse.start_retry_every), (30, Duration::from_secs(2)));
    assert_eq!(clickhouse.compression, Compression::Lz4);
    assert!(clickhouse.settings.is_empty() && !clickhouse.allow_untested_server);
    let kafka = &settings.kafka;
    assert_eq!((kafka.brokers.as_str(), kafka.group.as_str()), ("localhost:9092", "pumphouse"));
    assert!(kafka.start_from == StartFrom::Earliest && kafka.properties.is_empty());
    let process = &settings.process;
    assert_eq!((process.lanes.get(), process.memory, process.processes_max.get()), (2, 256 << 20, 8));
    assert_eq!((process.drain_timeout, process.log), (Duration::from_secs(25), LogFormat::Text));
    assert_eq!(
        (process.listen.address.to_string().as_str(), process.listen.may_move),
        ("127.0.0.1:9464", true)
    );
}

#[test]
fn the_stream_of_the_smallest_file_means_what_it_says() {
    let settings = read(SMALLEST).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let stream = &settings.streams["requests"];
    assert_eq!((stream.name.as_str(), stream.topic.as_str()), ("requests", "app.requests"));
    let columns: Vec<String> =
        stream.tables[0].columns.iter().map(|c| format!("{} {}", c.name, c.column_type)).collect();
    assert_eq!(columns[1], "ts DateTime64(3)");
    assert_eq!((columns.len(), columns[7].as_str()), (8, "city Nullable(String)"));
    assert_eq!(
        (&stream.tables[0].columns[7].from, &stream.tables[0].columns[0].from),
        (&vec!["geo".into(), "city".into()], &vec!["event_id".into()])
    );
    assert!(stream.tables[0].columns.iter().all(|column| column.default.is_none() && column.epoch.is_none()));
    assert_eq!((stream.tables[0].database.as_str(), stream.tables[0].name.as_str()), ("metrics", "requests"));
    assert_eq!(stream.tables[0].order_by, ["service", "endpoint", "ts"]);
    assert_eq!(stream.tables[0].partition_by.as_deref(), Some("toYYYYMM(ts)"));
    assert_eq!(stream.tables[0].ttl.as_deref(), Some("ts + INTERVAL 13 MONTH"));
    let rollup = &stream.tables[0].rollups["per_minute"];
    assert_eq!((rollup.every.as_str(), rollup.time.as_str()), ("1 minute", "ts"));
    assert_eq!(rollup.metrics[2], ("p99_ms".to_owned(), "quantile(0.99)(duration_ms)".to_owned()));
    let (rows, bytes) = (stream.batch.rows.get(), stream.batch.bytes.get());
    assert_eq!((stream.batch.freshness, rows, bytes), (Duration::from_secs(1), 1_000_000, 128 << 20));
    let names = ["_partition", "_offset", "_ingested_at", "_index"].map(str::to_owned);
    let [partition, offset, ingested_at, index] = names;
    assert_eq!(stream.lineage, Some(Lineage { partition, offset, ingested_at, index }));
    assert!(stream.dead_letters.table);
}

#[test]
fn three_mistakes_are_told_like_a_compiler() {
    let text = told(
        "clickhouse:\n  url: http://localhost:8123\n  insert_timeout: 60\nkafka: { brokers: \"localhost:9092\" }\n\
         streams:\n  requests:\n    from: { topic: app.requests }\n    colums:\n      ts: DateTime64(3)\n    \
         table: { order_by: ts }\n    batch: { freshnes: 2s }\n",
    );
    insta::assert_snapshot!(text);
}

#[test]
fn every_kind_of_mistake_is_told_at_once() {
    let text = told(
        r#"
clickhouse:
  url: [http://user:hunter2@ch-1:8123, localhost:8123]
  password: "${PASSWORD}"
  compression: gzip
  start_retries: many
  settings: { async_insert: 1, insert_quorum: 2 }
kafka:
  brokers: localhost:9092
  brokers: localhost:9093
  start_from: lastest
  properties:
    enable.auto.commit: true
    group.protocol: consumer
    session.timeout.ms: 10000
    fetch_min_bytes: 1
process:
  memory: 256M
  lanes: 0
  listen: localhost:9464
  freshness: 2s
streams:
  Requests:
    from: { topic: "app requests", format: avro }
    columns:
      ts: timestamp
      id: Uint64
      status: { type: UInt16, default: 70000 }
      city: { type: Nullable(String), from: geo..city }
      name: { type: String, epoch: ms }
      _offset: UInt64
    table: { order_by: [] }
  clicks:
    from: { topic: clicks }
    columns: { ts: DateTime, service: String }
    table: { name: pages, order_by: [servce] }
    rollups:
      hourly: { every: 1 fortnight of ts, dimensions: [srvice], metrics: {} }
    numbers: lax
    values: [lines]
    tombstones: drop
    schema: clicks.schema.json
    unknown_fields: { keep_in: rest }
    dead_letters: { topic: pages }
  pages:
    from: { topic: pages }
    columns: { ts: DateTime }
    table: { order_by: ts }
    batch: { bytes: 1GiB, rows: 0 }
  views:
    from: { topic: views }
    columns: { ts: DateTime }
    table: { name: default.pages, order_by: ts }
  seen:
    from: { topic: seen }
    columns: { ts: DateTime }
    table: { name: pages, order_by: ts }
  events:
    from: { topic: events }
    values: lines
    columns: { ts: DateTime, kind: String, rest: JSON, _index: UInt8 }
    unknown_fields: { keep_in: kind }
    table: { order_by: ts }
    rollups: {}
    tables:
      clicks:
        when: { kind: click, geo..city: x, bot: null, code: 007, n: [], m: [1, [2]], o: { is: 1 }, p: {}, q: { exists: 1 } }
        columns: { ts: DateTime, x: UInt8 }
        order_by: [ts, zz]
      rest:
        when: otherwise
        unknown_fields: { keep_in: rst }
        order_by: ts
      more:
        when: otherwise
        name: default.rest
        unknown_fields: drop
        order_by: [ts, _index]
        rollups:
          hourly: { every: 1 hour of t, metrics: { n: count() } }
      everything:
        when: {}
        order_by: ts
        dead_letters: {}
  empty:
    from: { topic: empty }
    tables: {}
  neither:
    from: { topic: neither }
    columns: { ts: DateTime }
"#,
    );
    insta::assert_snapshot!(text);
}

#[test]
fn broken_yaml_is_one_mistake_with_its_place() {
    let bracket = told("clickhouse:\n  url: [http://a\n  password: hunter2\n: x\n");
    insta::assert_snapshot!("broken_yaml_bracket", bracket);
    let colons = told("a: b: c\n");
    insta::assert_snapshot!("broken_yaml_colons", colons);
    let empty = told("");
    insta::assert_snapshot!("broken_yaml_empty", empty);
}

#[test]
fn what_a_later_version_does_is_refused_by_name_and_its_default_is_fine() {
    let told = one_mistake(&file("", "", "listen: \"0.0.0.0:9464\"", ""));
    let refusal = "is not available in this version; remove it or use `127.0.0.1:9464`";
    assert!(told.ends_with(refusal), "{told}");
    assert_eq!(one_mistake(&file("", "", "listen: \"127.0.0.1:9464\"", "")), "no mistake");
    let fine = "numbers: strict\n    values: one\n    tombstones: filter\n    unknown_fields: ignore\n    dead_letters: { table: true, topic: null }";
    assert_eq!(one_mistake(&file("", "", "", fine)), "no mistake");
}

#[test]
fn a_variable_fills_values_in_and_never_structure() {
    let env = |name: &str| match name {
        "LANES" => Some("3".to_owned()),
        "URL" => Some("http://ch:8123/".to_owned()),
        "TRICK" => Some("x, password: y }".to_owned()),
        _ => None,
    };
    let text = file("user: ${TRICK}", "", "lanes: ${LANES}", "").replace("http://localhost:8123", "${URL}");
    let settings = parse("f", &text, &env).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(settings.process.lanes.get(), 3);
    assert_eq!(settings.clickhouse.urls, ["http://ch:8123"]);
    assert_eq!(settings.clickhouse.user, "x, password: y }");
    let told = one_mistake(&file("", "", "lanes: ${LANES}", ""));
    assert_eq!(
        told,
        "process.lanes: the variable `LANES` is not set; set it, or give a default: `${LANES:-default}`"
    );
}

#[test]
fn a_batch_has_to_fit_a_lanes_share_of_the_memory() {
    let told = one_mistake(&file("", "", "memory: 64MiB", "batch: { bytes: 64MiB }"));
    assert!(told.contains("more than a lane's share of `process.memory`, 32MiB"), "{told}");
    let settings = read(&file("", "", "memory: 64MiB", "")).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let BatchPolicy { bytes, .. } = settings.streams["clicks"].batch;
    assert_eq!(bytes.get(), 32 << 20, "the default adapts");
}

#[test]
fn lineage_can_be_renamed_or_left_out_but_not_doubled() {
    let settings = read(&file("", "", "", "lineage: false")).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(settings.streams["clicks"].lineage, None);
    let told = one_mistake(&file("", "", "", "lineage: { offset: n }"));
    assert!(told.starts_with("streams.clicks.columns.n: is also the lineage column of the offset"), "{told}");
    let told = one_mistake(&file("", "", "", "lineage: { offset: _partition }"));
    assert!(told.contains("is the name of another lineage column"), "{told}");
}

#[test]
fn kafka_properties_pass_through_or_are_refused_with_a_code() {
    let text = "properties: { security.protocol: SASL_SSL, sasl.mechanism: PLAIN, sasl.password: hunter2, group.protocol: consumer, group.instance.id: pod-0 }";
    let settings = read(&file("", text, "lanes: 1", "")).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(settings.kafka.properties["sasl.password"].reveal(), "hunter2");
    assert_eq!(settings.kafka.properties.len(), 5);
    for name in
        ["session.timeout.ms: 6000", "heartbeat.interval.ms: 1000", "partition.assignment.strategy: range"]
    {
        let text = format!("properties: {{ group.protocol: consumer, {name} }}");
        let mistakes =
            read(&file("", &text, "", "")).err().map(|mistakes| mistakes.mistakes).unwrap_or_default();
        assert_eq!(mistakes.iter().map(|mistake| mistake.code).collect::<Vec<_>>(), ["PH-0014"], "{name}");
    }
    for (name, what) in [
        ("max.poll.interval.ms: 1000", "a revocation has to wait"),
        ("security.protocol: SASL_SSL", "needs `sasl.mechanism`"),
        ("group.remote.assignor: uniform", "works only with"),
        ("statistics.interval.ms: 5", "the metrics depend on it"),
        ("group.instance.id: pod-0", "2 lanes of this process would fence each other"),
    ] {
        let told = one_mistake(&file("", &format!("properties: {{ {name} }}"), "", ""));
        assert!(told.contains(what), "{told}");
    }
}

/// A secret in every place where one could be written, right or wrong.
#[test]
fn a_secret_is_in_no_text_for_the_operator() {
    const SECRET: &str = "hunter2";
    const KEYS: [&str; 7] =
        ["password", "passwort", "user", "database", "settings", "connect_timeout", "x: y, z"];
    const VALUES: [&str; 9] = [
        "${SECRET}",
        "\"${NONE:-hunter2}\"",
        "[hunter2]",
        "\"hunter2",
        "http://u:hunter2@h",
        "\"u:hunter2@h\"",
        "\"http://h?password=hunter2\"",
        "\"hunter2${NONE}\"",
        "\"hunter2${\"",
    ];
    let env = |name: &str| (name == "SECRET").then(|| SECRET.to_owned());
    let fine = file(
        "password: hunter2",
        "properties: { ssl.key.password: hunter2, sasl.password: \"${SECRET}\" }",
        "",
        "",
    );
    let settings = parse("f", &fine, &env).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let shown = format!("{settings:?} {settings:#?} {}", settings.to_redacted_json());
    assert!(!shown.contains(SECRET) && shown.contains("[redacted]"), "{shown}");
    for (value, key) in VALUES.into_iter().flat_map(|value| KEYS.map(|key| (value, key))) {
        let text = format!(
            "clickhouse: {{ url: \"http://h\", {key}: {value}, colour: 1 }}\nkafka:\n  brokers: h\n  properties:\n    \
             sasl.password: {value}\n    ssl.keypassword: {value}\n"
        );
        let Err(mistakes) = parse("f", &text, &env) else { panic!("{text}") };
        let json = serde_json::to_string(&mistakes).unwrap_or_default();
        for shown in [mistakes.to_string(), format!("{mistakes:?}"), json] {
            assert!(!shown.contains(SECRET), "{text}\n{shown}");
        }
    }
}

#[test]
fn the_revision_follows_the_meaning_and_no_secret() {
    let revision = |text: &str| read(text).map(|settings| settings.revision).unwrap_or_default();
    let plain = revision(SMALLEST);
    assert!(plain.len() == 12 && plain.bytes().all(|byte| byte.is_ascii_hexdigit()), "{plain}");
    assert_eq!(plain, revision(&SMALLEST.replace("${CLICKHOUSE_PASSWORD:-}", "hunter2")));
    assert_eq!(plain, revision(&SMALLEST.replace("    from: {", "    values: one\n    from: {")));
    assert_ne!(plain, revision(&SMALLEST.replace("UInt16", "UInt32")));
    let with =
        |value: &str| revision(&file("", &format!("properties: {{ fetch.min.bytes: {value} }}"), "", ""));
    assert_ne!(with("1"), with("2"));
}

#[test]
fn the_shape_follows_what_a_row_is_made_of() {
    let shape = |text: &str| {
        let settings = read(text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        shape_hash(&settings.streams["requests"])
    };
    let plain = shape(SMALLEST);
    assert_eq!(
        plain, 3_736_293_676,
        "a claim in Kafka carries it: a release that changes it stops at claims of the one before"
    );
    let reordered = SMALLEST
        .replace("      status:      UInt16\n", "")
        .replace("      service:", "      status: UInt16\n      service:");
    assert_eq!(plain, shape(&reordered));
    assert_eq!(plain, shape(&SMALLEST.replace("1 minute", "1 hour")));
    for (from, to) in [
        ("UInt16", "UInt32"),
        ("geo.city", "geo.town"),
        ("app.requests, format: json }", "app.requests }\n    lineage: { offset: _at }"),
        ("table: { order_by", "table: { name: other, order_by"),
        ("status:      UInt16", "status: { type: UInt16, default: 0 }"),
        ("DateTime64(3)", "{ type: DateTime64(3), epoch: ms }"),
        ("    table: {", "    dead_letters: { table: false }\n    table: {"),
    ] {
        assert!(SMALLEST.contains(from));
        assert_ne!(plain, shape(&SMALLEST.replace(from, to)), "{to}");
    }
}

#[test]
fn an_unreadable_file_says_so() {
    let Err(mistakes) = super::load(std::path::Path::new("/nowhere/pumphouse.yaml"), &no_env) else {
        panic!()
    };
    assert_eq!(mistakes.code(), "PH-0002");
    let text = mistakes.to_string();
    insta::assert_snapshot!(text);
}

#[test]
fn a_file_of_other_bytes_or_of_great_size_is_not_read() {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    for (name, bytes, what) in [
        ("latin1.yaml", vec![b'a', b':', b' ', 0xe9], "it is not UTF-8"),
        ("large.yaml", vec![b'#'; (4 << 20) + 1], "it is larger than 4 MiB"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap_or_else(|error| panic!("{error}"));
        let Err(mistakes) = super::load(&path, &no_env) else { panic!("{name}") };
        assert_eq!((mistakes.code(), mistakes.mistakes[0].what.as_str()), ("PH-0002", what));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(20_261), ..ProptestConfig::with_cases(256) })]

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes);
        let _ = told(&text);
    }

    /// Near-YAML: pieces of real files in any order reach far deeper than bytes do.
    #[test]
    fn no_pieces_make_it_panic(pieces in proptest::collection::vec(0..PIECES.len(), 0..60)) {
        let text: String = pieces.into_iter().map(|piece| PIECES[piece]).collect();
        let told = told(&text);
        prop_assert!(!told.contains(NOT_TOLD), "{}\n{}", text, told);
    }

    /// One value of a good file replaced by another, wherever it stands.
    #[test]
    fn no_value_in_the_wrong_place_makes_it_panic(line in 0usize..21, value in 0..PIECES.len()) {
        let mut lines: Vec<String> = SMALLEST.lines().map(str::to_owned).collect();
        let line = line % lines.len();
        if let Some(colon) = lines[line].find(": ") {
            lines[line].truncate(colon + 2);
            lines[line].push_str(PIECES[value].trim());
        }
        let told = told(&lines.join("\n"));
        prop_assert!(!told.contains(NOT_TOLD), "{}", told);
    }
}

const PIECES: [&str; 46] = [
    "clickhouse:",
    "kafka:",
    "streams:",
    "process:",
    "\n",
    "\n  ",
    "\n    ",
    "\n      ",
    " ",
    ": ",
    "- ",
    "{ ",
    " }",
    "[",
    "]",
    ", ",
    "url",
    "columns:",
    "from:",
    "table:",
    "order_by: ts",
    "tables:",
    "when: ",
    "otherwise",
    "not: ",
    "keep_in: ",
    "unknown_fields: ",
    "topic: x",
    "type: ",
    "default: ",
    "UInt8",
    "DateTime",
    "null",
    "\"",
    "'",
    "${X}",
    "${X:-1}",
    "$",
    "&a ",
    "*a",
    "!!str ",
    "|\n",
    "# ",
    "~",
    "é",
    "\t",
];
