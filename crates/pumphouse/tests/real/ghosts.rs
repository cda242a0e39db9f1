//! A ClickHouse that is killed while it inserts may keep a batch's token and lose a part of its rows. Brought about
//! here by taking the part away while the server is down: the same state, at will.

use std::fs;
use std::path::PathBuf;

use crate::story::{Plan, Story};
use crate::world::{Pair, Pump, told, wait_until};

const EVENTS: u64 = 3_000;
/// How long each insert takes, so that a pump can be killed before it hears of it.
const INSERT_SECONDS: u32 = 3;

/// A batch for each lane that is in ClickHouse, while nobody who was told so is left.
fn in_doubt(pair: &Pair, name: &str) -> (Story, pumphouse::demo::producer::Tally) {
    let story = Story::with_tables(pair, name, Plan { bad_per_mille: 0, ..Plan::default() });
    let tally = story.produce(EVENTS);
    story.slow_down(pair, INSERT_SECONDS);
    let mut pump = story.run_assigned();
    story.wait_for_claims();
    story.wait_for_rows(pair, 1);
    pump.kill();
    // The server goes on with what it was sent.
    wait_until("end of the inserts", || {
        let running = "SELECT count() FROM system.processes WHERE startsWith(query_id, 'ph-')";
        (told(pair.clickhouse.query(running)).trim() == "0").then_some(())
    });
    assert!(story.rows(pair) > 0);
    story.speed_up(pair);
    (story, tally)
}

/// Takes the newest part of a table away, as a kill between token and part does.
fn lose_newest_part(pair: &mut Pair, database: &str, table: &str) {
    let newest = format!(
        "SELECT path FROM system.parts WHERE database = '{database}' AND `table` = '{table}' AND active \
         ORDER BY max_block_number DESC, partition_id LIMIT 1"
    );
    let path = PathBuf::from(told(pair.clickhouse.query(&newest)).trim());
    told(pair.clickhouse.kill());
    fs::remove_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    told(pair.clickhouse.restart());
}

fn said(pumps: &[Pump], words: &str) -> bool {
    pumps.iter().any(|pump| pump.log().contains(words))
}

#[test]
fn rows_whose_token_alone_survived_a_kill_are_brought_back_past_the_views() {
    let mut pair = Pair::own();
    let (story, tally) = in_doubt(&pair, "ghost_in_table");
    let before = story.rows(&pair);
    lose_newest_part(&mut pair, &story.world.database, "requests");
    assert!(story.rows(&pair) < before, "a part is gone");
    let mut pumps = vec![story.run_assigned(), story.run()];
    story.wait_until_drained(&mut pumps);
    assert!(said(&pumps, "rows missing after a retry"), "{}", pumps[0].log());
    assert!(said(&pumps, "missing rows brought back"), "{}", pumps[0].log());
    story.ends_exactly(&pair, &tally, pumps);
}

#[test]
fn a_rollup_whose_token_alone_survived_a_kill_is_given_the_batch() {
    let mut pair = Pair::own();
    let (story, tally) = in_doubt(&pair, "ghost_in_rollup");
    lose_newest_part(&mut pair, &story.world.database, "requests_per_minute");
    let mut pumps = vec![story.run_assigned(), story.run()];
    story.wait_until_drained(&mut pumps);
    assert!(
        said(&pumps, "rollup lacks a batch") && said(&pumps, "rollup given the batch"),
        "{}",
        pumps[0].log()
    );
    assert!(said(&pumps, "PH-0066"), "the view that nobody declared is told of");
    story.ends_exactly(&pair, &tally, pumps);
}

#[test]
fn a_table_without_views_gets_its_lost_rows_directly() {
    let mut pair = Pair::own();
    let (story, tally) = in_doubt(&pair, "ghost_bare");
    let database = &story.world.database;
    for view in ["totals_view", "requests_per_minute_mv"] {
        told(pair.clickhouse.query(&format!("DROP VIEW {database}.{view}")));
    }
    let before = story.rows(&pair);
    lose_newest_part(&mut pair, &story.world.database, "requests");
    assert!(story.rows(&pair) < before, "a part is gone");
    let mut pumps = vec![story.run_assigned()];
    story.wait_until_drained(&mut pumps);
    assert!(said(&pumps, "missing rows brought back"), "{}", pumps[0].log());
    let beside = format!(
        "SELECT count() FROM system.tables WHERE database = '{}' AND name LIKE 'requests_mend%'",
        story.world.database
    );
    assert_eq!(told(pair.clickhouse.query(&beside)).trim(), "0");
    assert_eq!(story.rows(&pair), tally.events);
}
