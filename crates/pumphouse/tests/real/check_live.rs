//! `check --live` on real servers: what is planted is found, all of it and nothing else; what `apply` makes has no finding,
//! empty or under way; and nothing is left behind.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::story::{Plan, Story, number};
use crate::world::{Pair, World, exe, told};

/// A finding as severity, code and what it is on.
type Found = (String, String, String);

/// `check --live --json`: the exit code, and the findings.
fn check(file: &Path, options: &[&str]) -> (Option<i32>, Vec<Found>) {
    let (exit, findings) = answer(file, options);
    (
        exit,
        findings
            .iter()
            .map(|finding| (text(finding, "severity"), text(finding, "code"), text(finding, "on")))
            .collect(),
    )
}

fn answer(file: &Path, options: &[&str]) -> (Option<i32>, Vec<Value>) {
    let mut command = Command::new(exe());
    let output = told(command.args(["check", "--live", "--json", "-c"]).arg(file).args(options).output());
    let answer = String::from_utf8_lossy(&output.stdout);
    let answer: Value = serde_json::from_str(&answer)
        .unwrap_or_else(|error| panic!("{error}: {answer}{}", String::from_utf8_lossy(&output.stderr)));
    let findings = answer["findings"].as_array().expect("a list");
    for finding in findings {
        assert!(["what", "why", "mend"].iter().all(|key| !text(finding, key).is_empty()), "{finding}");
    }
    (output.status.code(), findings.clone())
}

fn text(finding: &Value, key: &str) -> String {
    finding[key].as_str().expect("a text").to_owned()
}

/// What is expected, in the order of the report.
fn expected(world: &World, planted: &[(&str, &str, &str)]) -> Vec<Found> {
    let place = |on: &str| on.replace("DB", &world.database).replace("TOPIC", &world.topic);
    planted
        .iter()
        .map(|(severity, code, on)| ((*severity).to_owned(), (*code).to_owned(), place(on)))
        .collect()
}

/// Copies that a check made and left.
fn left_behind(pair: &Pair, world: &World) -> u64 {
    let database = &world.database;
    number(
        pair,
        &format!(
            "SELECT count() FROM system.tables WHERE database = '{database}' AND name LIKE '%\\_check\\_%'"
        ),
    )
}

fn file(world: &World, head: &str, streams: &str) -> std::path::PathBuf {
    let World { brokers, clickhouse_url, database, group, .. } = world;
    let text = format!(
        "clickhouse: {{ url: \"{clickhouse_url}\", database: {database}{head} }}\n\
         kafka: {{ brokers: \"{brokers}\", group: {group} }}\nstreams:\n{streams}"
    );
    world.write("pumphouse.yaml", &text.replace("TOPIC", &world.topic))
}

/// Creates the tables by hand, before `apply` adds those of pumphouse's own.
fn create(pair: &Pair, world: &World, file: &Path, statements: &[&str]) {
    for statement in statements {
        told(pair.clickhouse.query(&statement.replace("DB", &world.database)));
    }
    // What stands there otherwise than declared is left as it is.
    let mut apply = world.command("apply", file);
    assert!(matches!(apply.wait(), Some(0 | 2)), "{}", apply.log());
}

const TEN: &str = "  states:
    from: { topic: TOPIC }
    columns: { id: UInt64, ts: DateTime64(3), state: String, sign: Int8 }
    table: { order_by: id }
  clicks:
    from: { topic: TOPIC-clicks }
    columns: { id: UUID, ts: DateTime64(3), page: String }
    table: { order_by: id }
";

#[test]
fn ten_planted_faults_are_named_all_ten_and_nothing_else() {
    let pair = Pair::shared();
    let world = pair.world("ten_faults", 6);
    world.create_topic(&format!("{}-clicks", world.topic), 6);
    world.set_topic("retention.ms", "3600000");
    let file = file(&world, "", TEN);
    create(
        pair,
        &world,
        &file,
        &[
            "CREATE TABLE DB.states (id UInt64, ts DateTime64(3), state String, sign Int8, version UInt64, \
             _partition UInt32, _offset UInt64, _ingested_at DateTime64(3)) \
             ENGINE = VersionedCollapsingMergeTree(sign, version) PARTITION BY toYYYYMMDD(ts) ORDER BY id \
             TTL toDateTime(ts) + INTERVAL 30 DAY SETTINGS non_replicated_deduplication_window = 500",
            "CREATE TABLE DB.clicks (id UUID, ts DateTime64(3), page String, _partition UInt32, _offset UInt64, \
             _ingested_at DateTime64(3)) ENGINE = MergeTree PARTITION BY toStartOfHour(ts) ORDER BY (id, page) \
             TTL toDateTime(ts) + INTERVAL 90 DAY SETTINGS non_replicated_deduplication_window = 10000, \
             ttl_only_drop_parts = 1, parts_to_delay_insert = 0",
            "CREATE TABLE DB.pages (page String, clicks UInt64) ENGINE = SummingMergeTree ORDER BY page",
            "CREATE MATERIALIZED VIEW DB.pages_mv TO DB.pages AS SELECT page, count() AS clicks FROM DB.clicks \
             GROUP BY page",
        ],
    );
    let (exit, found) = check(&file, &[]);
    let planted = [
        // The target of a view has no window at all.
        ("error", "PH-0043", "DB.clicks"),
        // The engine folds by a version that the stream does not have.
        ("error", "PH-0219", "DB.states"),
        // A window of 500.
        ("warning", "PH-0041", "DB.states"),
        // Hourly partitions for 90 days.
        ("warning", "PH-0212", "DB.clicks"),
        // Inserts are refused before they are slowed down.
        ("warning", "PH-0218", "DB.clicks"),
        // States of one identity in partitions by day.
        ("warning", "PH-0220", "DB.states"),
        // Records stay for an hour.
        ("warning", "PH-0226", "topic TOPIC"),
        // The sorting key begins with a UUID.
        ("advice", "PH-0215", "DB.clicks"),
        // No audit of a table that folds.
        ("advice", "PH-0221", "DB.states"),
        // Days expire row by row.
        ("advice", "PH-0222", "DB.states"),
    ];
    assert_eq!(found, expected(&world, &planted));
    assert_eq!(exit, Some(2));
    assert_eq!(left_behind(pair, &world), 0);

    // What a finding says mends it, mends it.
    let (_, findings) = answer(&file, &["--rate", "1000"]);
    let statements: Vec<String> = findings.iter().map(|finding| text(finding, "mend")).collect();
    for statement in statements.iter().filter(|mend| mend.starts_with("ALTER TABLE")) {
        told(pair.clickhouse.query(statement));
    }
    world.set_topic("retention.ms", "-1");
    let mended = ["PH-0043", "PH-0041", "PH-0218", "PH-0222", "PH-0226"];
    let left: Vec<_> = planted.into_iter().filter(|(_, code, _)| !mended.contains(code)).collect();
    assert_eq!(check(&file, &["--rate", "1000"]), (Some(2), expected(&world, &left)));
}

#[test]
fn what_apply_made_has_no_finding_empty_or_under_way() {
    let pair = Pair::shared();
    let story = Story::new(pair, "clean_check", Plan::default());
    let ttl = told(std::fs::read_to_string(&story.file)).replace(
        "partition_by: toYYYYMM(ts) }",
        "partition_by: toYYYYMM(ts), ttl: toDateTime(ts) + INTERVAL 13 MONTH }",
    );
    told(std::fs::write(&story.file, ttl));
    story.apply();
    assert_eq!(check(&story.file, &[]), (Some(0), vec![]));
    story.produce(20_000);
    let mut pump = story.run();
    story.wait_for_rows(pair, 10_000);
    assert_eq!(check(&story.file, &["--outage", "60h"]), (Some(0), vec![]));
    assert_eq!(left_behind(pair, &story.world), 0);
    assert_eq!(pump.terminate(), Some(0), "{}", pump.log());
}

const OTHERS: &str = "  crowd:
    from: { topic: TOPIC }
    gaps: halt
    dead_letters: { table: false }
    columns: { id: UInt64, status: UInt16, ts: DateTime }
    table: { order_by: id }
  gone:
    from: { topic: TOPIC-gone }
    gaps: halt
    dead_letters: { table: false }
    columns: { id: UInt64 }
    table: { order_by: id }
";

/// As a user who may only read, with little memory.
#[test]
fn what_a_user_a_topic_and_a_key_lack_is_told_at_once() {
    let pair = Pair::shared();
    let world = pair.world("other_faults", 1);
    world.set_topic_to(&[
        ("cleanup.policy", "compact,delete"),
        ("unclean.leader.election.enable", "true"),
        ("max.message.bytes", "80000000"),
    ]);
    let whole = file(&world, "", OTHERS);
    create(
        pair,
        &world,
        &whole,
        &[
            "CREATE TABLE DB.crowd (id UInt64, status UInt32, ts DateTime, at DateTime DEFAULT now(), _partition UInt32, \
             _offset UInt64, _ingested_at DateTime64(3)) ENGINE = MergeTree PARTITION BY toYYYYMM(at) ORDER BY id \
             SETTINGS non_replicated_deduplication_window = 10000",
        ],
    );
    let head = ", user: reader, password: reader, settings: { max_memory_usage: 50000000 }";
    let file = file(&world, head, OTHERS);
    let (exit, found) = check(&file, &["--processes", "2"]);
    let kafka = format!("Kafka at {}", world.brokers);
    let planted = [
        ("error", "PH-0012", kafka.as_str()),
        ("error", "PH-0044", "DB.crowd"),
        ("error", "PH-0047", "DB.crowd"),
        // INSERT, for each of the two tables.
        ("error", "PH-0223", "user reader"),
        ("error", "PH-0223", "user reader"),
        ("warning", "PH-0217", "user reader"),
        ("warning", "PH-0223", "user reader"),
        ("warning", "PH-0223", "user reader"),
        ("warning", "PH-0223", "user reader"),
        ("warning", "PH-0223", "user reader"),
        ("warning", "PH-0230", "topic TOPIC"),
        ("warning", "PH-0231", "topic TOPIC"),
        ("warning", "PH-0232", "topic TOPIC"),
        ("advice", "PH-0229", "topic TOPIC"),
        // No copy can be made to try a retry on; of the other table it is known that nothing fits.
        ("advice", "PH-0234", "DB.gone"),
    ];
    assert_eq!(found, expected(&world, &planted));
    assert_eq!(exit, Some(2));
    assert_eq!(left_behind(pair, &world), 0);
}

#[test]
fn what_run_would_refuse_one_by_one_is_told_when_nothing_is_there_yet() {
    let pair = Pair::shared();
    let world = pair.world("nothing_there", 6);
    let streams = "  requests:\n    from: { topic: TOPIC }\n    gaps: halt\n    dead_letters: { table: false }\n    columns: { id: \
                   UUID, ts: DateTime64(3) }\n    table: { order_by: [id, ts], partition_by: toStartOfHour(ts) }\n";
    let missing = file(&world, "", streams);
    let planted = [
        ("error", "PH-0040", "DB.requests"),
        ("warning", "PH-0212", "DB.requests"),
        ("advice", "PH-0215", "DB.requests"),
    ];
    // The table as `apply` would create it is judged in its place.
    assert_eq!(check(&missing, &[]), (Some(2), expected(&world, &planted)));
    let text = told(std::fs::read_to_string(&missing)).replace(&world.clickhouse_url, "http://127.0.0.1:1");
    let away = world.write("away.yaml", &text);
    let planted = [("error", "PH-0010", "ClickHouse at http://127.0.0.1:1")];
    assert_eq!(check(&away, &["--rate", "1000"]), (Some(2), expected(&world, &planted)));
}
