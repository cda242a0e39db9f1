//! The audit against real servers: what was removed and doubled by hand is named, exactly that, and mended once.

use serde_json::Value;

use crate::story::{Plan, Story, number};
use crate::world::{Message, Pair, World, told, wait_until};

/// One partition more than most, so that several are fine.
const PLAN: Plan = Plan {
    partitions: 4,
    bad_per_mille: 10,
    properties: crate::story::SHORT_SESSION,
    start_from: "earliest",
    clickhouse: "insert_timeout: 20s",
    process: "{ lanes: 1 }",
    batch: "{ freshness: 300ms }",
    letter_topic: false,
};

/// `pumphouse audit … --json`: the exit code, and what it says of the only stream.
fn audit(world: &World, file: &std::path::Path, arguments: &[&str]) -> (Option<i32>, Value) {
    let file = file.to_string_lossy().into_owned();
    let mut all = vec!["audit", "--json", "-c", &file];
    all.extend(arguments);
    let mut process = world.start(&all);
    let code = process.wait();
    let said = process.log();
    let line = said.lines().find(|line| line.starts_with('{'));
    let object = line.unwrap_or_else(|| panic!("no JSON in:\n{said}"));
    let mut object: Value = serde_json::from_str(object).expect("JSON");
    (code, object["streams"][0].take())
}

fn figures(report: &Value) -> (u64, u64, u64) {
    let figure = |name: &str| report[name].as_u64().expect("a number");
    (figure("lost"), figure("doubled"), figure("untold"))
}

/// What was found, as `what partition from to`.
fn findings(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().expect("a list");
    let line = |found: &Value| {
        format!(
            "{} {} {} {}",
            found["what"].as_str().expect("a text"),
            found["partition"],
            found["from"],
            found["to"]
        )
    };
    findings.iter().map(line).collect()
}

#[test]
fn three_rows_deleted_and_two_doubled_by_hand_are_named_exactly_and_the_three_are_mended_once() {
    let pair = Pair::shared();
    let story = Story::with_tables(pair, "audited", PLAN);
    let tally = story.produce(40_000);
    story.ends_exactly(pair, &tally, vec![story.run()]);
    let (code, report) = audit(&story.world, &story.file, &[]);
    assert_eq!((code, figures(&report)), (Some(0), (0, 0, 0)), "{report}");
    assert_eq!(report["offsets"], 40_000);
    assert_eq!(report["messages_read"], 0, "sums alone tell that all is there");

    let table = story.table();
    let good = |partition: u32, from: u64| {
        number(
            pair,
            &format!("SELECT min(_offset) FROM {table} WHERE _partition = {partition} AND _offset >= {from}"),
        )
    };
    let gone = [(1, good(1, 17)), (1, good(1, 5_000)), (3, good(3, 9_000))];
    let twice = [(0, good(0, 100)), (2, good(2, 7_777))];
    for (partition, offset) in gone {
        told(pair.clickhouse.query(&format!(
            "ALTER TABLE {table} DELETE WHERE _partition = {partition} AND _offset = {offset} SETTINGS mutations_sync = 2"
        )));
    }
    for (partition, offset) in twice {
        told(pair.clickhouse.query(&format!(
            "INSERT INTO {table} SELECT * FROM {table} WHERE _partition = {partition} AND _offset = {offset}"
        )));
    }

    let (code, report) = audit(&story.world, &story.file, &[]);
    assert_eq!((code, figures(&report)), (Some(2), (3, 2, 0)), "{report}");
    let place =
        |what: &str, (partition, offset): (u32, u64)| format!("{what} {partition} {offset} {}", offset + 1);
    let mut expected: Vec<String> = gone.map(|of| place("missing", of)).to_vec();
    expected.extend(twice.map(|of| place("doubled", of)));
    let (mut found, mut expected) = (findings(&report), expected);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    assert_explained(&story, gone[0], 2, "MISSING");
    assert_explained(&story, twice[0], 2, "DOUBLED");

    let rows = story.rows(pair);
    let (code, _) = audit(&story.world, &story.file, &["--repair"]);
    assert_eq!((code, story.rows(pair)), (Some(2), rows), "without --yes nothing is inserted");
    let two = [0, 1].map(|_| {
        let file = story.file.to_string_lossy().into_owned();
        story.world.start(&["audit", "--repair", "--yes", "-c", &file])
    });
    for mut repair in two {
        assert_eq!(repair.wait(), Some(2), "two rows are doubled still:\n{}", repair.log());
    }
    let (code, report) = audit(&story.world, &story.file, &[]);
    assert_eq!((code, figures(&report)), (Some(2), (0, 2, 0)), "{report}");
    assert_eq!(story.rows(pair), rows + 3, "two repairs at once insert each row once");

    for (partition, offset) in twice {
        told(pair.clickhouse.query(&format!(
            "ALTER TABLE {table} DELETE WHERE _partition = {partition} AND _offset >= {offset} AND _offset < {} \
             SETTINGS mutations_sync = 2",
            offset + 1
        )));
    }
    let (code, _) = audit(&story.world, &story.file, &["--repair", "--yes"]);
    assert_eq!(code, Some(0));
    let (code, report) = audit(&story.world, &story.file, &[]);
    assert_eq!((code, figures(&report)), (Some(0), (0, 0, 0)), "{report}");
    assert_explained(&story, gone[0], 0, "a row");
    assert_eq!(
        number(pair, &format!("SELECT uniqExact(_partition, _offset) FROM {table}")),
        story.rows(pair)
    );
}

/// What `explain` says of one record.
fn assert_explained(story: &Story, (partition, offset): (u32, u64), code: i32, verdict: &str) {
    let (file, partition, offset) =
        (story.file.to_string_lossy().into_owned(), partition.to_string(), offset.to_string());
    let mut explain = story.world.start(&["explain", "requests", &partition, &offset, "-c", &file]);
    assert_eq!(explain.wait(), Some(code), "{}", explain.log());
    let said = explain.log();
    let head = said.lines().next().unwrap_or_default();
    assert!(head.contains(&format!("offset {offset}: {verdict}")), "{said}");
}

fn several(world: &World) -> std::path::PathBuf {
    let World { brokers, clickhouse_url, database, topic, group, .. } = world;
    world.write(
        "several.yaml",
        &format!(
            r#"
clickhouse: {{ url: "{clickhouse_url}", database: {database} }}
kafka: {{ brokers: "{brokers}", group: {group} }}
process: {{ lanes: 1 }}
streams:
  mixed:
    from: {{ topic: {topic} }}
    values: lines
    batch: {{ freshness: 200ms }}
    tables:
      clicks: {{ when: {{ kind: click }}, columns: {{ kind: String, x: UInt8 }}, order_by: [x] }}
      views: {{ when: {{ kind: view }}, columns: {{ kind: String, x: UInt8 }}, order_by: [x] }}
"#
        ),
    )
}

#[test]
fn with_conditions_and_several_records_in_a_message_the_topic_tells_what_should_be_where() {
    let pair = Pair::shared();
    let world = pair.world("audited_lines", 1);
    let file = several(&world);
    let mut apply = world.command("apply", &file);
    assert_eq!(apply.wait(), Some(0), "{}", apply.log());
    let messages: Vec<String> = (0..200)
        .map(|n| {
            let bad = if n == 50 { "\n{\"kind\":\"click\",\"x\":999}" } else { "" };
            format!(
                "{{\"kind\":\"click\",\"x\":1}}\n\n{{\"kind\":\"view\",\"x\":2}}\n{{\"kind\":\"other\"}}{bad}"
            )
        })
        .collect();
    world.produce(messages.iter().map(|message| Message {
        partition: 0,
        key: None,
        payload: Some(message.as_bytes()),
    }));
    world.produce([Message { partition: 0, key: Some(b"tombstone"), payload: None }]);
    let mut pump = world.run(&file);
    let clicks = format!("{}.clicks", world.database);
    wait_until("all rows", || (number(pair, &format!("SELECT count() FROM {clicks}")) == 200).then_some(()));
    wait_until("all settled", || {
        let (_, report) = audit(&world, &file, &[]);
        (report["offsets"] == 201).then_some(())
    });
    assert_eq!(pump.terminate(), Some(0), "{}", pump.log());

    let (code, report) = audit(&world, &file, &[]);
    assert_eq!((code, figures(&report)), (Some(0), (0, 0, 0)), "{report}");
    assert_eq!(
        (&report["counts"]["inserted"], &report["counts"]["dead"]),
        (&Value::from(400), &Value::from(1))
    );
    assert_eq!(report["counts"]["filtered"], 1, "the tombstone");

    told(
        pair.clickhouse
            .query(&format!("ALTER TABLE {clicks} DELETE WHERE _offset = 7 SETTINGS mutations_sync = 2")),
    );
    told(
        pair.clickhouse.query(&format!(
            "INSERT INTO {0}.views SELECT * FROM {0}.views WHERE _offset = 9",
            world.database
        )),
    );
    let (code, report) = audit(&world, &file, &["--repair", "--yes"]);
    assert_eq!((code, figures(&report)), (Some(2), (1, 1, 0)), "{report}");
    assert_eq!(report["repaired"]["rows"], 1, "{report}");
    let mended = format!("SELECT count() FROM {clicks} WHERE _offset = 7 AND _index = 0");
    assert_eq!(number(pair, &mended), 1);
    let (_, report) = audit(&world, &file, &[]);
    assert_eq!(figures(&report), (0, 1, 0), "{report}");
}

#[test]
fn run_says_by_itself_that_rows_it_settled_are_missing_or_doubled() {
    let pair = Pair::shared();
    let story = Story::with_tables(pair, "audited_lately", Plan { bad_per_mille: 0, ..PLAN });
    let table = story.table();
    let mut pump = story.run();
    story.produce(4_000);
    story.wait_until_drained(std::slice::from_mut(&mut pump));
    // What is settled rests before it is compared, far longer than this takes.
    told(pair.clickhouse.query(&format!(
        "ALTER TABLE {table} DELETE WHERE _partition = 1 AND _offset IN (5, 6, 7) SETTINGS mutations_sync = 2"
    )));
    told(
        pair.clickhouse.query(&format!(
            "INSERT INTO {table} SELECT * FROM {table} WHERE _partition = 2 AND _offset < 2"
        )),
    );
    let missing = pump.wait_for_line(&["audit differs", "PH-0060"]);
    assert!(missing.contains("partition=1") && missing.contains("3 rows are missing"), "{missing}");
    let doubled = pump.wait_for_line(&["audit differs", "PH-0061"]);
    assert!(doubled.contains("partition=2") && doubled.contains("2 rows are there"), "{doubled}");
    let line = pump.wait_for_line(&["progress", "lost=3", "doubled=2"]);
    assert!(!line.contains("audited=0 ") && line.contains("unaudited=0"), "{line}");
    assert_eq!(pump.terminate(), Some(0), "{}", pump.log());
}

#[test]
fn a_table_that_folds_rows_and_a_stream_without_lineage_are_not_called_fine() {
    let pair = Pair::shared();
    let world = pair.world("audited_mute", 1);
    let World { brokers, clickhouse_url, database, topic, group, .. } = &world;
    let file = world.write(
        "mute.yaml",
        &format!(
            "clickhouse: {{ url: \"{clickhouse_url}\", database: {database} }}\n\
             kafka: {{ brokers: \"{brokers}\", group: {group} }}\n\
             streams:\n  folded:\n    from: {{ topic: {topic} }}\n    columns: {{ id: UInt64 }}\n    \
             table: {{ order_by: [id] }}\n"
        ),
    );
    told(pair.clickhouse.query(&format!(
        "CREATE TABLE {database}.folded (id UInt64, _partition UInt32, _offset UInt64, _ingested_at DateTime64(3)) \
         ENGINE = ReplacingMergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 1000"
    )));
    let (code, report) = audit(&world, &file, &[]);
    assert_eq!((code, report["code"].as_str()), (Some(2), Some("PH-0062")), "{report}");
    assert!(report["mute"][0]["why"].as_str().expect("a text").contains("ReplacingMergeTree"), "{report}");
}

#[test]
fn a_page_that_nobody_reads_to_its_end_ends_without_a_word() {
    use std::process::{Command, Stdio};
    let mut explain = Command::new(crate::world::exe());
    explain.args(["explain", "PH-0021"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut explain = explain.spawn().expect("pumphouse starts");
    drop(explain.stdout.take());
    let ended = explain.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!((ended.status.code(), said.as_str()), (Some(141), ""));
}
