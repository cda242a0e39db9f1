//! Parts that pile up because nothing merges them: batches get rarer, then none are made, and ClickHouse never has to refuse
//! one; and what is done where nobody may look at parts. What a server says of parts, read as `run` reads it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pumphouse_clickhouse::pressure::{self, Asked, Limits, PressureError, TableReading};

use crate::story::{Plan, Story, number};
use crate::wire::client;
use crate::world::{Pair, block_on, told, wait_until};

/// For how long nothing may come into a table whose valve is shut.
const QUIET: Duration = Duration::from_secs(20);

#[test]
fn the_valve_narrows_and_shuts_before_clickhouse_refuses_and_opens_when_merges_go_on() {
    let pair = Pair::own();
    let batch = "{ freshness: 500ms }\n    valve: { batch_age_max: 2s }";
    let story = Story::with_tables(&pair, "valve", Plan { batch, ..Plan::default() });
    let limits = "parts_to_delay_insert = 60, parts_to_throw_insert = 100";
    told(pair.clickhouse.query(&format!("ALTER TABLE {} MODIFY SETTING {limits}", story.table())));
    told(pair.clickhouse.query(&format!("SYSTEM STOP MERGES {}", story.table())));
    let mut pump = story.run_assigned();
    let producing = story.keep_producing(60_000, 500);
    let line = pump.wait_for_line(&["valve narrowed", "valve=narrowed"]);
    assert!(
        line.contains(&story.table()) && line.contains("inserts are delayed from 60, refused from 100"),
        "{line}"
    );
    for lane in ["lane=\"0\"", "lane=\"1\""] {
        let line = pump.wait_for_line(&["valve shut", "WARN", "PH-0069", lane]);
        assert!(
            line.contains(&format!("table {}", story.table())) && line.contains("no merge runs"),
            "{line}"
        );
    }
    // What was claimed by then is finished; after that nothing comes, while events go on.
    let mut last = (0, Instant::now());
    let rows = wait_until("a table that stays as it is", || {
        let rows = story.rows(&pair);
        if rows != last.0 {
            last = (rows, Instant::now());
        }
        (last.1.elapsed() > QUIET).then_some(rows)
    });
    let line = pump.wait_for_line(&["progress", "valve=shut"]);
    assert!(line.contains("parts_limit=60") && line.contains("batch_age_ms=2000"), "{line}");
    assert!(figure(&line, "lag=") > 0 && figure(&line, "parts=") > 0, "{line}");
    assert_eq!(story.rows(&pair), rows, "it is still shut");
    let parts = number(&pair, &parts_of(&story));
    println!("shut at {parts} parts of one partition; ClickHouse refuses from 100");
    assert!(parts < 100);
    told(pair.clickhouse.query(&format!("SYSTEM START MERGES {}", story.table())));
    for lane in ["lane=\"0\"", "lane=\"1\""] {
        pump.wait_for_line(&["valve reopened", "INFO", lane]);
    }
    pump.wait_for_line(&["valve widened", "INFO"]);
    let tally = producing.join().expect("the producer does not panic");
    story.wait_until_drained(std::slice::from_mut(&mut pump));
    let log = pump.log();
    story.ends_exactly(&pair, &tally, vec![pump]);
    assert_eq!(number(&pair, "SELECT sum(value) FROM system.errors WHERE code = 252"), 0, "never refused");
    assert!(!log.contains("TOO_MANY_PARTS"), "{log}");
}

#[test]
fn where_parts_may_not_be_read_a_refused_insert_shuts_the_valve_until_merges_catch_up() {
    let pair = Pair::shared();
    let plan = Plan {
        clickhouse: "insert_timeout: 20s, user: blind, password: blind",
        process: "{ lanes: 1 }",
        batch: "{ freshness: 50ms }",
        ..Plan::default()
    };
    let story = Story::with_tables(pair, "blind", plan);
    // Enough parts that merges set in by themselves once they may.
    let limits = "parts_to_delay_insert = 19, parts_to_throw_insert = 20";
    told(pair.clickhouse.query(&format!("ALTER TABLE {} MODIFY SETTING {limits}", story.table())));
    told(pair.clickhouse.query(&format!("SYSTEM STOP MERGES {}", story.table())));
    let mut pump = story.run_assigned();
    let line = pump.wait_for_line(&["pressure unknown", "WARN", "PH-0068"]);
    assert!(line.contains("ACCESS_DENIED") && line.contains("delivery goes on"), "{line}");
    let mut feed = story.feed();
    let line = wait_until("shut valve", || {
        feed.send(200);
        pump.log()
            .lines()
            .find(|line| line.contains("valve shut") && line.contains("PH-0069"))
            .map(str::to_owned)
    });
    assert!(line.contains("ClickHouse refused an insert for too many parts; parts are not known"), "{line}");
    feed.send(3_000);
    pump.wait_for_line(&["PH-0021", "TOO_MANY_PARTS", "attempt=3"]);
    let tally = feed.finish();
    let at = story.rows(pair);
    assert!(at < tally.events - tally.bad(), "the table takes no more");
    told(pair.clickhouse.query(&format!("SYSTEM START MERGES {}", story.table())));
    story.wait_until_drained(std::slice::from_mut(&mut pump));
    assert_eq!(pump.log().matches("pressure unknown").count(), 1, "it is told once:\n{}", pump.log());
    story.ends_exactly(pair, &tally, vec![pump]);
}

#[test]
fn a_reading_counts_parts_by_partition_and_knows_the_limits_that_hold() {
    let pair = Pair::shared();
    let database = pair.database("reading");
    let client = client(pair.clickhouse.url());
    for statement in [
        format!(
            "CREATE TABLE {database}.t (d UInt32, n UInt64) ORDER BY n PARTITION BY d \
             SETTINGS parts_to_delay_insert = 20, max_parts_in_total = 12345"
        ),
        format!("CREATE TABLE {database}.`it's empty` (n UInt64) ORDER BY n"),
        format!("SYSTEM STOP MERGES {database}.t"),
        format!("INSERT INTO {database}.t SELECT number % 3, number FROM numbers(9)"),
        format!("INSERT INTO {database}.t SELECT 2, number FROM numbers(9)"),
    ] {
        told(pair.clickhouse.query(&statement));
    }
    let asked = |tables: &[&str], settings: &[(&str, &str)]| Asked {
        tables: tables.iter().map(|table| (database.clone(), (*table).to_owned())).collect(),
        settings: settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    };
    let read = |asked: &Asked| block_on(pressure::read(&client, 0, asked));

    let reading = told(read(&asked(&["t", "it's empty"], &[])));
    let host = told(pair.clickhouse.query("SELECT hostName()"));
    assert_eq!(reading.server, host.trim());
    let expected = TableReading {
        database: database.clone(),
        table: "t".to_owned(),
        fullest: "2".to_owned(),
        parts: 2,
        parts_total: 4,
        limits: Limits { delay_at: 20, refuse_at: 3000, refuse_total_at: 12_345 },
        is_replicated: false,
    };
    assert_eq!(reading.tables[0], expected);
    let limits = Limits { delay_at: 1000, refuse_at: 3000, refuse_total_at: 100_000 };
    let empty = TableReading { fullest: String::new(), parts: 0, parts_total: 0, limits, ..expected.clone() };
    assert_eq!(reading.tables[1], TableReading { table: "it's empty".to_owned(), ..empty });
    let activity = told(reading.activity);
    assert_eq!((activity.merges, activity.replicas), (BTreeMap::new(), BTreeMap::new()));

    let of_inserts = [("parts_to_throw_insert", "77"), ("parts_to_delay_insert", "7")];
    let reading = told(read(&asked(&["t"], &of_inserts)));
    assert_eq!(reading.tables[0].limits, Limits { delay_at: 7, refuse_at: 77, refuse_total_at: 12_345 });

    let large = format!("ALTER TABLE {database}.t MODIFY SETTING max_avg_part_size_for_too_many_parts = 1");
    told(pair.clickhouse.query(&large));
    let reading = told(read(&asked(&["t"], &[])));
    let limits = Limits { delay_at: 0, refuse_at: 0, refuse_total_at: 12_345 };
    assert_eq!(reading.tables[0].limits, limits, "parts are larger than that on average");

    let unseen = read(&asked(&["t", "gone"], &[]));
    assert!(matches!(&unseen, Err(PressureError::Unseen(table)) if table.ends_with("gone")), "{unseen:?}");
}

#[test]
fn a_thousand_parts_in_as_many_partitions_are_counted() {
    const PARTS: u64 = 1_000;
    let pair = Pair::shared();
    let database = pair.database("many_parts");
    let client = client(pair.clickhouse.url());
    for statement in [
        format!(
            "CREATE TABLE {database}.t (d UInt32) ORDER BY d PARTITION BY d SETTINGS max_parts_in_total = 1000000"
        ),
        format!("SYSTEM STOP MERGES {database}.t"),
        format!(
            "INSERT INTO {database}.t SELECT number FROM numbers({PARTS}) \
             SETTINGS max_partitions_per_insert_block = 0"
        ),
    ] {
        told(pair.clickhouse.query(&statement));
    }
    let asked = Asked { tables: vec![(database.clone(), "t".to_owned())], settings: BTreeMap::new() };
    let begun = Instant::now();
    let reading = told(block_on(pressure::read(&client, 0, &asked)));
    println!("{PARTS} parts in as many partitions: read in {:?}", begun.elapsed());
    assert_eq!((reading.tables[0].parts, reading.tables[0].parts_total), (1, PARTS));
    told(pair.clickhouse.query(&format!("DROP TABLE {database}.t")));
}

/// Active parts of the table's fullest partition.
fn parts_of(story: &Story) -> String {
    let database = &story.world.database;
    format!(
        "SELECT count() AS parts FROM system.parts WHERE active AND database = '{database}' AND `table` = 'requests' \
         GROUP BY partition ORDER BY parts DESC LIMIT 1"
    )
}

/// The number behind a name in a line of the log.
fn figure(line: &str, name: &str) -> u64 {
    let words = || line.split(' ');
    let value =
        words().find_map(|word| word.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {line}"));
    value.parse().unwrap_or_else(|_| panic!("{name}{value} is no number"))
}
