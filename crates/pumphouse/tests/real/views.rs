//! Views that throw while an insert runs through them: the insert is in doubt, never refused, and goes again under its token
//! until the view takes the rows; neighbours go on.

use crate::story::{Plan, Story, number};
use crate::world::{Pair, World, told};

/// Makes a view of the table throw until [`mend`] is called.
fn break_view(story: &Story, pair: &Pair) {
    let World { database, .. } = &story.world;
    for statement in [
        format!("CREATE TABLE {database}.switch (n UInt8) ENGINE = MergeTree ORDER BY n"),
        format!(
            "CREATE TABLE {database}.fragile (partition UInt32, rows UInt64) ENGINE = SummingMergeTree ORDER BY \
             partition SETTINGS non_replicated_deduplication_window = 10000"
        ),
        format!(
            "CREATE MATERIALIZED VIEW {database}.fragile_view TO {database}.fragile AS SELECT _partition AS partition, \
             count() AS rows FROM {database}.requests WHERE NOT throwIf((SELECT count() FROM {database}.switch) = 0, \
             'the switch is off') GROUP BY partition"
        ),
    ] {
        told(pair.clickhouse.query(&statement));
    }
}

fn mend(story: &Story, pair: &Pair) {
    told(pair.clickhouse.query(&format!("INSERT INTO {}.switch VALUES (1)", story.world.database)));
}

#[test]
fn a_view_that_throws_for_a_while_is_named_and_has_every_row_once_it_is_mended() {
    let pair = Pair::shared();
    let story = Story::with_tables(pair, "fragile", Plan { process: "{ lanes: 1 }", ..Plan::default() });
    break_view(&story, pair);
    let tally = story.produce(6_000);
    let mut pump = story.run();
    pump.wait_for_line(&["in doubt", "PH-0058", "fragile_view", "the switch is off"]);
    // The owner dies, and the next one finds the claim.
    story.wait_for_rows(pair, 1);
    pump.kill();
    let mut pump = story.run();
    pump.wait_for_line(&["in doubt", "PH-0058", "fragile_view"]);
    mend(&story, pair);
    story.ends_exactly(pair, &tally, vec![pump]);
    let seen = number(pair, &format!("SELECT sum(rows) FROM {}.fragile", story.world.database));
    assert_eq!(seen, story.rows(pair), "the view has each row once");
}

#[test]
fn a_view_that_throws_for_good_holds_its_stream_alone_and_nothing_is_doubled_once_it_is_gone() {
    let pair = Pair::shared();
    let story =
        Story::with_tables(pair, "fragile_for_good", Plan { process: "{ lanes: 1 }", ..Plan::default() });
    let text = told(std::fs::read_to_string(&story.file));
    // A neighbour reads the same topic into a table of its own.
    let (head, stream) = text.split_once("  requests:\n").expect("the stream");
    let (columns, rollups) = stream.split_once("    rollups:\n").expect("its rollups");
    let both = format!("{head}  requests:\n{columns}    rollups:\n{rollups}  neighbours:\n{columns}");
    told(std::fs::write(&story.file, both));
    story.apply();
    break_view(&story, pair);
    let tally = story.produce(6_000);
    let mut pump = story.run();
    // Loud after the better part of a minute.
    pump.wait_for_line(&["ERROR", "PH-0058", "fragile_view", "attempt 10"]);
    let database = &story.world.database;
    let next_door = number(pair, &format!("SELECT count() FROM {database}.neighbours"));
    assert!(pump.is_running(), "{}", pump.log());
    assert!(!pump.log().contains("halted"), "{}", pump.log());
    told(pair.clickhouse.query(&format!("DROP VIEW {database}.fragile_view")));
    story.wait_until_drained(&mut [pump]);
    let rows = story.rows(pair);
    assert_eq!(next_door, rows, "the neighbour had all of it long before");
    let twice = format!("SELECT count() - uniqExact(_partition, _offset) FROM {}", story.table());
    assert_eq!(number(pair, &twice), 0);
    let totals = number(pair, &format!("SELECT sum(rows) FROM {database}.totals"));
    assert_eq!(totals, rows, "the other view has each row once");
    assert_eq!(rows + bad(&story, pair), tally.events);
}

fn bad(story: &Story, pair: &Pair) -> u64 {
    let sql = "SELECT count() FROM pumphouse.dead_letters WHERE stream = 'requests' AND topic = ";
    number(pair, &format!("{sql}'{}'", story.world.topic))
}
