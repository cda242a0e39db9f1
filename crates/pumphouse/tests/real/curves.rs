//! Settings that follow the rate of events: set on the live table, written down, taken back; and never in the way of delivery.

use std::process::Command;

use pumphouse::config::RATE_SETTINGS;
use serde_json::Value;

use crate::story::{Plan, Story, number};
use crate::world::{Pair, Pump, exe, told, wait_until};

/// What the table itself says of where inserts are delayed; nothing where it says nothing.
fn delay_at(pair: &Pair, story: &Story) -> Option<u64> {
    let sql = format!(
        "SELECT extract(engine_full, 'parts_to_delay_insert = (\\\\d+)') FROM system.tables \
         WHERE database = '{}' AND name = 'requests'",
        story.world.database
    );
    told(pair.clickhouse.query(&sql)).trim().parse().ok()
}

fn changes(pair: &Pair, story: &Story, what: &str) -> u64 {
    let database = &story.world.database;
    number(
        pair,
        &format!(
            "SELECT count() FROM pumphouse.setting_changes WHERE database = '{database}' AND what = '{what}'"
        ),
    )
}

/// A stream whose table is to delay inserts from 400 parts on at rest, and from 900 on at 100 events a second.
fn story(name: &str) -> Story {
    let story = Story::with_tables(Pair::shared(), name, Plan::default());
    let curve = "table: { settings_by_rate: { parts_to_delay_insert: { 0: 400, 100: 900 } }, ";
    let text = told(std::fs::read_to_string(&story.file)).replace("table: { ", curve);
    assert!(text.contains(curve), "{text}");
    told(std::fs::write(&story.file, text));
    story.apply();
    story
}

fn run(story: &Story) -> Pump {
    let file = story.file.to_string_lossy();
    let mut pump = story.world.start(&["run", "--config", &file, "--settings-every", "1"]);
    pump.wait_for_line(&["partitions assigned", "partitions=[Partition("]);
    pump
}

fn settings(story: &Story, what: &str) -> Value {
    let mut command = Command::new(exe());
    let output = told(command.args(["settings", what, "--json", "--config"]).arg(&story.file).output());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    told(serde_json::from_slice(&output.stdout))
}

#[test]
fn a_setting_follows_the_rate_up_and_down_each_change_is_written_down_and_all_are_taken_back() {
    let pair = Pair::shared();
    let story = story("curve");
    let mut pump = run(&story);
    assert_eq!(delay_at(pair, &story), None);
    let mut feed = story.feed();
    wait_until("the setting at the rate", || {
        feed.send(1_000);
        (delay_at(pair, &story) == Some(900)).then_some(())
    });
    pump.wait_for_line(&["setting changed", "new_value=900"]);
    let tally = feed.finish();
    wait_until("the setting at rest", || (delay_at(pair, &story) == Some(400)).then_some(()));
    assert!(changes(pair, &story, "change") >= 2);
    let shown = settings(&story, "show");
    assert_eq!((&shown[0]["setting"], &shown[0]["value"]), (&"parts_to_delay_insert".into(), &"400".into()));
    assert_eq!(shown[0]["changed"]["was_set"], 0);
    story.ends_exactly(pair, &tally, vec![pump]);

    let reverted = settings(&story, "revert");
    assert_eq!(reverted[0]["value"], shown[0]["changed"]["old_value"]);
    assert_eq!((delay_at(pair, &story), changes(pair, &story, "revert")), (None, 1));
    assert_eq!(settings(&story, "revert"), Value::Array(Vec::new()), "nothing is left to take back");
    assert_eq!(settings(&story, "show")[0]["changed"], Value::Null);
}

#[test]
fn what_stood_in_the_table_before_the_first_change_stands_there_again_after_a_revert() {
    let pair = Pair::shared();
    let story = story("curve_of_its_own");
    told(
        pair.clickhouse
            .query(&format!("ALTER TABLE {} MODIFY SETTING parts_to_delay_insert = 77", story.table())),
    );
    let mut pump = run(&story);
    wait_until("the setting at rest", || (delay_at(pair, &story) == Some(400)).then_some(()));
    pump.wait_for_line(&["setting changed", "old_value=77", "new_value=400"]);
    assert_eq!(pump.terminate(), Some(0), "{}", pump.log());
    let set = |value| format!("ALTER TABLE {} MODIFY SETTING parts_to_delay_insert = {value}", story.table());
    told(pair.clickhouse.query(&set(88)));
    assert_eq!(settings(&story, "revert")[0]["left"], true, "a person's value stays");
    assert_eq!(delay_at(pair, &story), Some(88));
    told(pair.clickhouse.query(&set(400)));
    assert_eq!(settings(&story, "revert")[0]["left"], false);
    assert_eq!(delay_at(pair, &story), Some(77));
}

#[test]
fn a_user_who_may_not_alter_tables_is_told_once_and_delivery_goes_on() {
    let pair = Pair::shared();
    let story = story("curve_refused");
    let database = &story.world.database;
    let text = told(std::fs::read_to_string(&story.file));
    let said = format!("database: {database}, ");
    told(std::fs::write(
        &story.file,
        text.replace(&said, &format!("{said}user: inserter, password: inserter, ")),
    ));
    let mut pump = run(&story);
    pump.wait_for_line(&["setting refused", "PH-0072", "parts_to_delay_insert", "GRANT ALTER SETTINGS"]);
    let tally = story.produce(3_000);
    story.wait_for_rows(pair, 1);
    assert_eq!(delay_at(pair, &story), None);
    assert!(changes(pair, &story, "refused") >= 1, "each try is written down");
    assert_eq!(pump.log().matches("setting refused").count(), 1);
    assert_eq!(settings(&story, "revert"), Value::Array(Vec::new()), "what was refused is not taken back");
    story.ends_exactly(pair, &tally, vec![pump]);
}

#[test]
fn every_setting_that_may_follow_the_rate_is_one_that_a_live_table_takes() {
    let pair = Pair::shared();
    let database = pair.database("rate_settings");
    told(
        pair.clickhouse.query(&format!("CREATE TABLE {database}.t (a UInt8) ENGINE = MergeTree ORDER BY a")),
    );
    for setting in RATE_SETTINGS {
        let sql = format!("SELECT value FROM system.merge_tree_settings WHERE name = '{setting}'");
        let value = told(pair.clickhouse.query(&sql));
        let value: u64 = value.trim().parse().unwrap_or_else(|_| panic!("{setting} is {value:?}"));
        told(pair.clickhouse.query(&format!("ALTER TABLE {database}.t MODIFY SETTING {setting} = {value}")));
    }
}
