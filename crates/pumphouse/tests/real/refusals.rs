//! What keeps a process from starting: tables that can't be exact, servers and topics that are not there, mistakes.

use crate::story::{Plan, Story};
use crate::world::{Pair, Pump, told};

#[test]
fn a_missing_table_is_refused_and_apply_is_named() {
    let story = Story::new(Pair::shared(), "no_table", Plan::default());
    let mut pump = refused(&story, 2);
    pump.wait_for_line(&["PH-0040", "requests", "`pumphouse apply`"]);
    story.apply();
    starts(&story);
}

#[test]
fn a_table_without_a_deduplication_window_is_refused_with_the_statement_that_mends_it() {
    let pair = Pair::shared();
    let story = Story::with_tables(pair, "no_window", Plan::default());
    let alter =
        |table: &str| {
            let table = format!("{}.{table}", story.world.database);
            told(pair.clickhouse.query(&format!(
                "ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = 0"
            )))
        };
    alter("requests");
    alter("totals");
    let mut pump = refused(&story, 2);
    for (code, table) in [("PH-0041", "requests"), ("PH-0043", "totals")] {
        let line = pump.wait_for_line(&[code, table, "ALTER TABLE"]);
        let statement = &line[line.find("ALTER TABLE").expect("the line has it")..];
        told(pair.clickhouse.query(statement));
    }
    starts(&story);
}

#[test]
fn a_column_of_another_type_is_refused() {
    let pair = Pair::shared();
    let story = Story::with_tables(pair, "column", Plan::default());
    told(pair.clickhouse.query(&format!("ALTER TABLE {} MODIFY COLUMN status UInt32", story.table())));
    let mut pump = refused(&story, 2);
    let line = pump.wait_for_line(&["PH-0044", "status"]);
    assert!(line.contains("UInt32") && line.contains("UInt16"), "{line}");
}

#[test]
fn an_unreachable_clickhouse_is_tried_as_often_as_said_and_each_attempt_is_logged_with_its_time() {
    let clickhouse = "start_retries: 3, start_retry_every: 200ms, connect_timeout: 1s";
    let story = Story::new(Pair::shared(), "unreachable", Plan { clickhouse, ..Plan::default() });
    let text =
        told(std::fs::read_to_string(&story.file)).replace(&story.world.clickhouse_url, &closed("http://"));
    told(std::fs::write(&story.file, text));
    let pump = refused(&story, 69);
    let log = pump.log();
    let attempts: Vec<&str> = log.lines().filter(|line| line.contains("start attempt failed")).collect();
    assert_eq!(attempts.len(), 3, "{log}");
    for (number, line) in (1..).zip(attempts) {
        assert!(line[..24].parse::<jiff::Timestamp>().is_ok() && line[..24].ends_with('Z'), "{line}");
        assert!(line.contains(&format!("attempt={number} of=3")), "{line}");
    }
    assert!(log.contains("PH-0010"), "{log}");
}

#[test]
fn a_command_that_somebody_waits_for_gives_clickhouse_up_after_three_attempts() {
    let story = Story::new(Pair::shared(), "away", Plan::default());
    let text =
        told(std::fs::read_to_string(&story.file)).replace(&story.world.clickhouse_url, &closed("http://"));
    told(std::fs::write(&story.file, text));
    let file = story.file.to_string_lossy().into_owned();
    let mut audit = story.world.start(&["audit", "-c", &file]);
    assert_eq!(audit.wait(), Some(69), "{}", audit.log());
    audit.wait_for_line(&["PH-0010", "no answer to 3 attempts, 1s apart"]);
}

#[test]
fn an_unreachable_kafka_and_an_unknown_topic_end_the_process_under_their_codes() {
    let clickhouse = "start_retries: 2, start_retry_every: 200ms";
    let story = Story::with_tables(Pair::shared(), "no_topic", Plan { clickhouse, ..Plan::default() });
    let text = told(std::fs::read_to_string(&story.file));
    let unknown = text.replace(&format!("topic: {}", story.world.topic), "topic: nowhere");
    told(std::fs::write(&story.file, unknown));
    refused(&story, 69).wait_for_line(&["PH-0012", "nowhere"]);
    told(std::fs::write(&story.file, text.replace(&story.world.brokers, &closed(""))));
    refused(&story, 69).wait_for_line(&["PH-0011"]);
}

#[test]
fn a_user_who_may_not_insert_halts_the_stream_and_one_who_may_finishes_the_claimed_batch() {
    let pair = Pair::shared();
    let story = Story::with_tables(pair, "access", Plan::default());
    let tally = story.produce(6_000);
    let text = told(std::fs::read_to_string(&story.file));
    let database = format!("database: {}, ", story.world.database);
    let reader = text.replace(&database, &format!("{database}user: reader, password: reader, "));
    told(std::fs::write(&story.file, reader));
    let mut pump = story.run();
    assert_eq!(pump.wait(), Some(70), "{}", pump.log());
    pump.wait_for_line(&["halted", "PH-0024"]);
    assert_eq!(story.rows(pair), 0);
    told(std::fs::write(&story.file, text));
    let mut next = story.run();
    next.wait_for_line(&["reading a found claim again"]);
    story.ends_exactly(pair, &tally, vec![next]);
}

#[test]
fn three_mistakes_in_the_configuration_are_told_at_once() {
    let folder = told(tempfile::tempdir());
    let file = folder.path().join("pumphouse.yaml");
    let text = include_str!("../../src/config/smallest.yaml")
        .replace("status:      UInt16", "status:      UInt17")
        .replace("topic: app.requests", "topik: app.requests")
        .replace("order_by: [service, endpoint, ts]", "order_by: []");
    told(std::fs::write(&file, text));
    for command in ["run", "check"] {
        let mut asked = std::process::Command::new(crate::world::exe());
        let output = told(asked.args([command, "-c"]).arg(&file).output());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(65), "{said}");
        for word in ["UInt17", "topik", "order_by"] {
            assert!(said.contains(word), "{command}, {word}:\n{said}");
        }
    }
}

/// A process that ends by itself with this code.
fn refused(story: &Story, code: i32) -> Pump {
    let mut pump = story.run();
    assert_eq!(pump.wait(), Some(code), "{}", pump.log());
    pump
}

/// Nothing is refused any more.
fn starts(story: &Story) {
    let mut pump = story.run();
    pump.wait_for_line(&[" ready"]);
    assert_eq!(pump.terminate(), Some(0), "{}", pump.log());
}

/// An address where nobody listens.
fn closed(scheme: &str) -> String {
    let listener = told(std::net::TcpListener::bind("127.0.0.1:0"));
    let address = told(listener.local_addr());
    drop(listener);
    format!("{scheme}{address}")
}
