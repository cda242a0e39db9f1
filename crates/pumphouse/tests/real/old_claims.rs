//! Batches that grow older than their tokens are remembered: claimed again where nothing of them landed, superseded
//! where some of them may have. A token lives for seconds here.

use std::path::{Path, PathBuf};

use crate::story::{SHORT_SESSION, number};
use crate::world::{Message, Pair, Pump, World, told, wait_until};

/// In seconds. A batch may be sent for ten seconds less.
const SAFE_AGE: &str = "15";
const EVENTS: u64 = 400;

#[test]
fn an_outage_longer_than_a_token_lives_halts_nothing() {
    let mut pair = Pair::own();
    let (world, file) = ground(&pair, "long_outage");
    let mut pump = run(&world, &file);
    produce(&world, 0..EVENTS);
    wait_for_rows(&pair, &world, EVENTS);
    told(pair.clickhouse.kill());
    produce(&world, EVENTS..2 * EVENTS);
    // Claimed again where every connection was refused; superseded where one that was kept open broke.
    pump.wait_for_line(&["claim recovered"]);
    told(pair.clickhouse.restart());
    wait_for_rows(&pair, &world, 2 * EVENTS);
    assert_eq!(distinct(&pair, &world), 2 * EVENTS);
    assert_eq!(pump.terminate(), Some(0), "{}", pump.log());
    assert_eq!(rows(&pair, &world), 2 * EVENTS, "{}", pump.log());
}

#[test]
fn an_old_batch_of_which_half_landed_is_superseded_by_the_other_half() {
    let pair = Pair::own();
    let (world, file) = ground(&pair, "half_landed");
    let database = &world.database;
    let mut first = run(&world, &file);
    first.wait_for_line(&["partitions assigned", "partitions=[Partition("]);
    slow_down(&pair, database, "1");
    produce(&world, 0..EVENTS);
    // The server goes on with what it has begun.
    let running = "SELECT count() FROM system.processes WHERE startsWith(query_id, 'ph-')";
    wait_until("a running insert", || (number(&pair, running) > 0).then_some(()));
    first.kill();
    wait_until("an insert that has ended", || (number(&pair, running) == 0).then_some(()));
    let landed = rows(&pair, &world);
    assert!(landed > 0, "the insert went on without its client");
    told(pair.clickhouse.query(&format!("DROP VIEW {database}.slow SYNC")));
    told(pair.clickhouse.query(&format!("ALTER TABLE {database}.events DROP PARTITION 1")));
    assert_eq!(rows(&pair, &world), landed / 2, "half of the batch is there");
    let old = format!("SELECT count() FROM {database}.events WHERE _ingested_at < now64(3) - 6");
    wait_until("a claim that is too old", || (number(&pair, &old) > 0).then_some(()));

    let mut second = run(&world, &file);
    second.wait_for_line(&["outcome=Superseded"]);
    wait_for_rows(&pair, &world, EVENTS);
    assert_eq!(distinct(&pair, &world), EVENTS);
    assert_eq!(second.terminate(), Some(0), "{}", second.log());
    assert_eq!(rows(&pair, &world), EVENTS, "{}", second.log());
}

/// The first attempt lands and runs into its timeout; meanwhile somebody else takes all entries of the window.
#[test]
fn a_batch_whose_token_others_pushed_out_before_its_first_retry_is_not_sent_again() {
    let pair = Pair::own();
    let (world, file) = ground_by(&pair, "pushed_out", ("n", "2s"));
    let database = &world.database;
    told(pair.clickhouse.query(&format!(
        "ALTER TABLE {database}.events MODIFY SETTING non_replicated_deduplication_window = 1000"
    )));
    let mut pump = run(&world, &file);
    pump.wait_for_line(&["partitions assigned", "partitions=[Partition("]);
    slow_down(&pair, database, "n < 4");
    produce(&world, 0..4);
    wait_for_rows(&pair, &world, 4);
    told(pair.clickhouse.query(&format!(
        "INSERT INTO {database}.events (n, _partition, _offset, _ingested_at) \
         SELECT 1000000 + number, 9, number, now64(3) FROM numbers(1500) SETTINGS max_partitions_per_insert_block = 0"
    )));
    pump.wait_for_line(&["PH-0026"]);
    told(pair.clickhouse.query(&format!("DROP VIEW {database}.slow SYNC")));
    pump.wait_for_line(&["PH-0054"]);
    pump.wait_for_line(&["outcome=Superseded"]);
    produce(&world, 4..8);
    wait_for_rows(&pair, &world, 1508);
    assert_eq!(pump.terminate(), Some(0), "{}", pump.log());
    assert_eq!((rows(&pair, &world), distinct(&pair, &world)), (1508, 1508), "{}", pump.log());
}

/// From here on an insert that brings such rows takes three seconds more.
fn slow_down(pair: &Pair, database: &str, filter: &str) {
    for statement in [
        format!("CREATE TABLE {database}.nowhere (slept UInt8) ENGINE = Null"),
        format!(
            "CREATE MATERIALIZED VIEW {database}.slow TO {database}.nowhere AS SELECT sleep(3) AS slept \
             FROM {database}.events WHERE {filter} LIMIT 1"
        ),
    ] {
        told(pair.clickhouse.query(&statement));
    }
}

fn ground(pair: &Pair, name: &str) -> (World, PathBuf) {
    ground_by(pair, name, ("n % 2", "5s"))
}

fn ground_by(pair: &Pair, name: &str, (partition_by, insert_timeout): (&str, &str)) -> (World, PathBuf) {
    let world = pair.world(name, 1);
    let World { brokers, clickhouse_url, database, topic, group, .. } = &world;
    let yaml = format!(
        "clickhouse: {{ url: \"{clickhouse_url}\", database: {database}, insert_timeout: {insert_timeout} }}\n\
         kafka: {{ brokers: \"{brokers}\", group: {group}, properties: {{ {SHORT_SESSION} }} }}\n\
         process: {{ lanes: 1 }}\n\
         streams:\n  \
           events:\n    \
             from: {{ topic: {topic}, format: json }}\n    \
             columns: {{ n: UInt64 }}\n    \
             table: {{ order_by: [n], partition_by: {partition_by} }}\n    \
             batch: {{ freshness: 1s }}\n"
    );
    let file = world.write("pumphouse.yaml", &yaml);
    let mut apply = world.command("apply", &file);
    assert_eq!(apply.wait(), Some(0), "{}", apply.log());
    (world, file)
}

fn run(world: &World, file: &Path) -> Pump {
    world.start(&["run", "-c", &file.to_string_lossy(), "--safe-age", SAFE_AGE])
}

fn produce(world: &World, numbers: std::ops::Range<u64>) {
    let payloads: Vec<Vec<u8>> = numbers.map(|n| format!("{{\"n\": {n}}}").into_bytes()).collect();
    world.produce(payloads.iter().map(|payload| Message { partition: 0, key: None, payload: Some(payload) }));
}

fn rows(pair: &Pair, world: &World) -> u64 {
    number(pair, &format!("SELECT count() FROM {}.events", world.database))
}

fn distinct(pair: &Pair, world: &World) -> u64 {
    number(pair, &format!("SELECT uniqExact(n) FROM {}.events", world.database))
}

fn wait_for_rows(pair: &Pair, world: &World, least: u64) {
    wait_until(&format!("{least} rows"), || (rows(pair, world) >= least).then_some(()));
}
