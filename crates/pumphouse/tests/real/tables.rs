//! Tables against a real server: what `apply` creates, what preflight refuses, and that its statements mend it.
//!
//! Every story takes the address of a server and the name of a database that exists and is its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{RecordBatch, StringArray, TimestampMillisecondArray, UInt16Array};
use pumphouse::command::apply::{Applied, Mode, apply};
use pumphouse::config;
use pumphouse::config::settings::{Settings, Stream, Table};
use pumphouse::decode::{dead_letter_columns, table_columns};
use pumphouse::fault::Exit;
use pumphouse::sink::tables::{Columns, declared};
use pumphouse_clickhouse::arrow_stream::{Compression, encode};
use pumphouse_clickhouse::preflight::{Expected, Finding, Report, Severity, inspect};
use pumphouse_clickhouse::{Client, Insert, InsertAnswer};

use super::wire::client;

const FILE: &str = r#"
clickhouse: { url: "http://localhost:8123", database: DATABASE }
kafka: { brokers: "localhost:9092" }
streams:
  requests:
    from: { topic: app.requests, format: json }
    columns:
      ts: DateTime64(3)
      service: LowCardinality(String)
      status: UInt16
    table: { order_by: [service, ts], partition_by: toYYYYMM(ts), ttl: ts + INTERVAL 13 MONTH }
    dead_letters: { table: false }
    gaps: halt
    rollups:
      per_minute:
        every: 1 minute of ts
        dimensions: [service]
        metrics: { requests: count(), errors: "countIf(status >= 500)", p99: "quantile(0.99)(status)" }
"#;

fn settings(text: &str, database: &str) -> Settings {
    config::parse("pumphouse.yaml", &text.replace("DATABASE", database), &|_| None).expect("a configuration")
}

fn columns_of(_: &Stream, table: &Table) -> Columns {
    table.columns.iter().map(|column| (column.name.clone(), column.column_type.to_string())).collect()
}

async fn applied(client: &Client, settings: &Settings, mode: Mode) -> Applied {
    let declared = declared(settings, columns_of, &[]);
    let mut lines = Vec::new();
    let mut say = |line: &str| lines.push(line.to_owned());
    let applied = apply(client, &settings.clickhouse, &declared, mode, &mut say).await.expect("applied");
    let told = applied.statements.len() + applied.existing.len() + applied.differences.len();
    assert_eq!(lines.len(), told, "a line for each object and each difference: {lines:?}");
    applied
}

async fn run(client: &Client, sql: &str) {
    client.execute(sql).await.expect(sql);
}

async fn number(client: &Client, sql: &str) -> u64 {
    #[derive(serde::Deserialize)]
    struct Number {
        n: u64,
    }
    client.query(sql).row::<Number>().await.expect(sql).n
}

async fn look(client: &Client, database: &str, table: &str, columns: &[(&str, &str)]) -> Report {
    let columns: Vec<_> =
        columns.iter().map(|(name, column_type)| ((*name).to_owned(), (*column_type).to_owned())).collect();
    let settings = BTreeMap::new();
    let expected =
        Expected { database, table, columns: &columns, settings: &settings, allow_untested_server: false };
    inspect(client, 0, &expected).await.expect("a report")
}

fn codes(report: &Report) -> Vec<(&'static str, Severity)> {
    report.findings.iter().map(|finding| (finding.code, finding.severity)).collect()
}

/// A dry run changes nothing; then all is created; then there is nothing to do.
pub(crate) async fn apply_creates_what_is_missing_and_the_second_time_nothing(url: &str, database: &str) {
    let client = client(url);
    let settings = settings(FILE, database);
    let count = format!("SELECT count() AS n FROM system.tables WHERE database = '{database}'");

    let planned = applied(&client, &settings, Mode::DryRun).await;
    assert_eq!(planned.exit(Mode::DryRun), Exit::Findings);
    assert_eq!(planned.statements.len(), 3, "{:?}", planned.statements);
    assert_eq!(number(&client, &count).await, 0);

    let created = applied(&client, &settings, Mode::Create).await;
    assert_eq!((&created.statements, created.exit(Mode::Create)), (&planned.statements, Exit::Fine));
    assert_eq!(created.differences, Vec::<String>::new());
    assert_eq!(number(&client, &count).await, 3);

    let again = applied(&client, &settings, Mode::Create).await;
    assert_eq!((again.statements.len(), again.existing.len()), (0, 4), "{again:?}");
    assert_eq!(again.exit(Mode::Create), Exit::Fine, "{again:?}");
}

/// The smallest useful file, with lineage and dead letters, applies and then fits; other stories may share the
/// dead letters' table.
pub(crate) async fn the_smallest_useful_file_applies_and_fits(url: &str, database: &str) {
    let client = client(url);
    let text =
        include_str!("../../src/config/smallest.yaml").replace("database: metrics", "database: DATABASE");
    let settings = settings(&text, database);
    let declared = declared(&settings, table_columns, &dead_letter_columns());
    let first =
        apply(&client, &settings.clickhouse, &declared, Mode::Create, &mut |_| {}).await.expect("applied");
    assert_eq!(first.exit(Mode::Create), Exit::Fine, "{first:?}");
    let again =
        apply(&client, &settings.clickhouse, &declared, Mode::DryRun, &mut |_| {}).await.expect("applied");
    assert_eq!((again.statements.len(), again.existing.len()), (0, 9), "{again:?}");
    assert_eq!(again.exit(Mode::DryRun), Exit::Fine, "{again:?}");
}

/// What stands there otherwise is said and left alone.
pub(crate) async fn apply_tells_what_differs_and_changes_nothing(url: &str, database: &str) {
    let client = client(url);
    applied(&client, &settings(FILE, database), Mode::Create).await;
    let count = format!(
        "SELECT sum(cityHash64(create_table_query)) AS n FROM system.tables WHERE database = '{database}'"
    );
    let before = number(&client, &count).await;
    for (from, to, telling) in [
        ("order_by: [service, ts]", "order_by: [ts, service]", "the sorting key is `service, ts`"),
        ("toYYYYMM(ts)", "toYYYYMMDD(ts)", "the partition key is `toYYYYMM(ts)`"),
        ("status: UInt16", "status: UInt32", "column status of"),
        (">= 500", ">= 400", "its query is not the declared one"),
        ("errors:", "failures:", "no column failures AggregateFunction(countIf, UInt8)"),
    ] {
        let changed = settings(&FILE.replace(from, to), database);
        let again = applied(&client, &changed, Mode::Create).await;
        assert!(again.differences.iter().any(|line| line.contains(telling)), "{telling}: {again:?}");
        assert_eq!((again.statements.len(), again.exit(Mode::Create)), (0, Exit::Findings));
    }
    assert_eq!(number(&client, &count).await, before);
}

/// A retry leaves table and rollup as the first try did.
pub(crate) async fn a_rollup_counts_each_row_once_over_retries(url: &str, database: &str) {
    let client = client(url);
    let settings = settings(FILE, database);
    applied(&client, &settings, Mode::Create).await;
    let stream = &settings.streams["requests"];
    let minutes = |row: i64| 1_795_000_000_000 + row * 1_000;
    let batch = RecordBatch::try_from_iter([
        (
            "ts",
            Arc::new(
                (0..6_000)
                    .map(minutes)
                    .collect::<Vec<_>>()
                    .into_iter()
                    .map(Some)
                    .collect::<TimestampMillisecondArray>(),
            ) as _,
        ),
        (
            "service",
            Arc::new(
                (0..6_000).map(|row| Some(if row % 2 == 0 { "api" } else { "web" })).collect::<StringArray>(),
            ) as _,
        ),
        (
            "status",
            Arc::new((0..6_000).map(|row| if row % 10 == 0 { 503 } else { 200 }).collect::<UInt16Array>())
                as _,
        ),
    ])
    .expect("columns of one length");
    for _ in 0..3 {
        let insert = Insert {
            database,
            table: "requests",
            columns: &columns_of(stream, &stream.tables[0]),
            token: "ph1:1/requests",
            deadline_unix_seconds: 4_000_000_000,
            timeout: Duration::from_mins(1),
            body: &encode(&batch, Compression::Lz4).expect("encodes"),
            query_id: None,
            settings: &BTreeMap::new(),
            url_index: 0,
            has_views: true,
        };
        assert_eq!(client.insert(&insert).await, InsertAnswer::Done);
        assert_eq!(number(&client, &format!("SELECT count() AS n FROM {database}.requests")).await, 6_000);
        let rollup = format!("{database}.requests_per_minute");
        assert_eq!(number(&client, &format!("SELECT countMerge(requests) AS n FROM {rollup}")).await, 6_000);
        assert_eq!(number(&client, &format!("SELECT countIfMerge(errors) AS n FROM {rollup}")).await, 600);
    }
}

/// Each fault of a table is found under its code.
pub(crate) async fn preflight_finds_each_fault_under_its_code(url: &str, database: &str) {
    let client = client(url);
    let window = "SETTINGS non_replicated_deduplication_window = 10000";
    let tables = [
        ("fine", "(a UInt8, ts DateTime) ENGINE = MergeTree PARTITION BY toYYYYMM(ts) ORDER BY a W", vec![]),
        ("replacing", "(a UInt8, ts DateTime) ENGINE = ReplacingMergeTree ORDER BY a W", vec![]),
        (
            "forgetful",
            "(a UInt8, ts DateTime) ENGINE = MergeTree ORDER BY a",
            vec![("PH-0041", Severity::Refuse)],
        ),
        (
            "short",
            "(a UInt8, ts DateTime) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 10",
            vec![("PH-0041", Severity::Warn)],
        ),
        ("memory", "(a UInt8, ts DateTime) ENGINE = Memory", vec![("PH-0042", Severity::Refuse)]),
        ("nothing", "(a UInt8, ts DateTime) ENGINE = Null", vec![("PH-0042", Severity::Refuse)]),
        (
            "buffer",
            "(a UInt8, ts DateTime) ENGINE = Buffer(DATABASE, fine, 1, 1, 1, 1, 1, 1, 1)",
            vec![("PH-0042", Severity::Refuse)],
        ),
        ("narrow", "(a UInt8) ENGINE = MergeTree ORDER BY a W", vec![("PH-0044", Severity::Refuse)]),
        (
            "other",
            "(a Int8, ts Nullable(DateTime('Asia/Tokyo'))) ENGINE = MergeTree ORDER BY a W",
            vec![("PH-0044", Severity::Refuse)],
        ),
        (
            "computed",
            "(a UInt8, ts DateTime MATERIALIZED now()) ENGINE = MergeTree ORDER BY a W",
            vec![("PH-0044", Severity::Refuse)],
        ),
        (
            "by_now",
            "(a UInt8, ts DateTime, at DateTime DEFAULT now()) ENGINE = MergeTree PARTITION BY toYYYYMM(at) ORDER BY a W",
            vec![("PH-0047", Severity::Refuse)],
        ),
        (
            "by_chance",
            "(a UInt8, ts DateTime, r UInt8 MATERIALIZED rand() % 4) ENGINE = MergeTree PARTITION BY (a, r) ORDER BY a W",
            vec![("PH-0047", Severity::Refuse)],
        ),
        (
            "by_host",
            "(a UInt8, ts DateTime, h String DEFAULT hostName(), k String MATERIALIZED lower(h)) ENGINE = MergeTree PARTITION BY k ORDER BY a W",
            vec![("PH-0047", Severity::Refuse)],
        ),
        (
            "by_setting",
            "(a UInt8, ts DateTime, s UInt64 DEFAULT getSetting('max_threads')) ENGINE = MergeTree PARTITION BY s ORDER BY a W",
            vec![("PH-0047", Severity::Refuse)],
        ),
        (
            "by_identity",
            "(a UInt8, ts DateTime, u UUID DEFAULT generateUUIDv4()) ENGINE = MergeTree PARTITION BY substring(toString(u), 1, 1) ORDER BY a W",
            vec![("PH-0047", Severity::Refuse)],
        ),
        (
            "beside",
            "(a UInt8, ts DateTime, at DateTime DEFAULT now()) ENGINE = MergeTree PARTITION BY toYYYYMM(ts) ORDER BY a W",
            vec![],
        ),
    ];
    for (table, definition, expected) in tables {
        let definition = definition.replace(" W", &format!(" {window}")).replace("DATABASE", database);
        run(&client, &format!("CREATE TABLE {database}.{table} {definition}")).await;
        let report = look(&client, database, table, &[("a", "UInt8"), ("ts", "DateTime")]).await;
        assert_eq!(codes(&report), expected, "{table}: {:?}", report.findings);
        assert!(!report.has_views, "{table}");
    }
    let report = look(&client, database, "no_such_table", &[("a", "UInt8")]).await;
    assert_eq!(codes(&report), [("PH-0040", Severity::Refuse)]);
    let fine = look(&client, database, "fine", &[("a", "UInt8"), ("ts", "DateTime")]).await;
    assert_eq!((fine.window_entries, fine.safe_age_seconds, fine.keeps_every_row), (10_000, 1_800, true));
    assert!(!look(&client, database, "replacing", &[("a", "UInt8")]).await.keeps_every_row);
}

/// Views are followed to their targets, and from there on.
pub(crate) async fn preflight_follows_views_to_every_target(url: &str, database: &str) {
    let client = client(url);
    let window = "SETTINGS non_replicated_deduplication_window";
    for sql in [
        format!("CREATE TABLE DB.source (a UInt8, ts DateTime) ENGINE = MergeTree ORDER BY a {window} = 5000"),
        format!("CREATE TABLE DB.first (a UInt8) ENGINE = SummingMergeTree ORDER BY a {window} = 2000"),
        "CREATE TABLE DB.relay (a UInt8) ENGINE = Null".to_owned(),
        "CREATE TABLE DB.second (a UInt8) ENGINE = MergeTree ORDER BY a".to_owned(),
        "CREATE TABLE DB.third (a UInt8) ENGINE = Memory".to_owned(),
        "CREATE TABLE DB.fourth (a UInt8, at DateTime) ENGINE = MergeTree PARTITION BY toYYYYMM(at) ORDER BY a SETTINGS non_replicated_deduplication_window = 3000".to_owned(),
        "CREATE TABLE DB.fifth (a UInt8, at DateTime, seen DateTime) ENGINE = MergeTree PARTITION BY toYYYYMM(at) ORDER BY a SETTINGS non_replicated_deduplication_window = 3000".to_owned(),
        "CREATE VIEW DB.plain AS SELECT a FROM DB.source".to_owned(),
        "CREATE MATERIALIZED VIEW DB.to_first TO DB.first AS SELECT a FROM DB.source".to_owned(),
    ] {
        run(&client, &sql.replace("DB", database)).await;
    }
    let report = look(&client, database, "source", &[("a", "UInt8")]).await;
    assert_eq!((codes(&report), report.has_views, report.window_entries), (vec![], true, 2_000));
    for sql in [
        "CREATE MATERIALIZED VIEW DB.to_relay TO DB.relay AS SELECT a FROM DB.first",
        "CREATE MATERIALIZED VIEW DB.to_second TO DB.second AS SELECT a FROM DB.relay",
        "CREATE MATERIALIZED VIEW DB.to_third TO DB.third AS SELECT a FROM DB.source",
        "CREATE MATERIALIZED VIEW DB.to_inner ENGINE = MergeTree ORDER BY a AS SELECT a FROM DB.source",
        "CREATE MATERIALIZED VIEW DB.to_fourth TO DB.fourth AS SELECT a, now() AS at FROM DB.source",
        "CREATE MATERIALIZED VIEW DB.to_fifth TO DB.fifth AS SELECT a, ts AS at, now() AS seen FROM DB.source",
    ] {
        run(&client, &sql.replace("DB", database)).await;
    }
    let report = look(&client, database, "source", &[("a", "UInt8")]).await;
    let told: Vec<_> = report.findings.iter().map(Finding::to_string).collect();
    assert!(report.findings.iter().all(|finding| finding.code == "PH-0043"), "{told:#?}");
    for word in ["second", "third", "inner_id", "to_fourth computes now() AS at"] {
        assert!(told.iter().any(|line| line.contains(word)), "{word}: {told:#?}");
    }
    assert_eq!((report.findings.len(), report.window_entries), (4, 0), "{told:#?}");
}

/// What a finding says mends it, mends it.
pub(crate) async fn the_statement_of_a_finding_mends_it(url: &str, database: &str) {
    let client = client(url);
    for sql in [
        "CREATE TABLE DB.source (a UInt8) ENGINE = MergeTree ORDER BY a",
        "CREATE TABLE DB.`my target` (a UInt8) ENGINE = MergeTree ORDER BY a",
        "CREATE MATERIALIZED VIEW DB.view TO DB.`my target` AS SELECT a FROM DB.source",
    ] {
        run(&client, &sql.replace("DB", database)).await;
    }
    let columns = [("a", "UInt8"), ("_offset", "UInt64")];
    let report = look(&client, database, "source", &columns).await;
    assert_eq!(report.findings.len(), 3, "{:?}", report.findings);
    for finding in &report.findings {
        run(&client, &finding.mend).await;
    }
    let report = look(&client, database, "source", &columns).await;
    assert_eq!((codes(&report), report.window_entries), (vec![], 10_000));
}

/// A setting of the operator that the server does not know is found before the first insert.
pub(crate) async fn an_unknown_setting_is_found_before_the_first_insert(url: &str, database: &str) {
    let client = client(url);
    run(&client, &format!("CREATE TABLE {database}.t (a UInt8) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 10000")).await;
    let columns = [("a".to_owned(), "UInt8".to_owned())];
    let settings = BTreeMap::from([("no_such_setting".to_owned(), "1".to_owned())]);
    let expected = Expected {
        database,
        table: "t",
        columns: &columns,
        settings: &settings,
        allow_untested_server: false,
    };
    let report = inspect(&client, 0, &expected).await.expect("a report");
    assert_eq!(codes(&report), [("PH-0046", Severity::Refuse)], "{:?}", report.findings);
    assert!(report.findings[0].what.contains("no_such_setting"), "{:?}", report.findings);
}
