//! Where a group stands is lost, set by hand, or somebody else's: offsets that expired, a topic made anew, metadata that
//! is not ours. Nothing is doubled or skipped without a word.

use pumphouse::embedded::{clickhouse, kafka};
use rdkafka::Offset;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;

use crate::story::{Feed, Plan, Story, number};
use crate::world::{DEADLINE, Pair, Pump, block_on, exe, told, wait_until};

const PLAN: Plan = Plan {
    partitions: 3,
    bad_per_mille: 10,
    properties: crate::story::SHORT_SESSION,
    start_from: "earliest",
    clickhouse: "insert_timeout: 20s",
    process: "{ lanes: 1 }",
    batch: "{ freshness: 300ms }",
    letter_topic: false,
};

#[test]
fn expired_offsets_halt_a_group_at_the_earliest_and_the_command_that_is_told_goes_on_without_doubling() {
    offsets_expire("expired", "earliest", "would start at 0");
}

#[test]
fn expired_offsets_halt_a_group_at_the_latest_before_it_skips_a_record() {
    offsets_expire("skipped", "latest", "would start at 2000");
}

fn offsets_expire(name: &str, start_from: &'static str, start: &str) {
    let pair = Pair::shared();
    let story = Story::with_tables(pair, name, Plan { start_from, ..PLAN });
    // Offsets beside which there is no metadata are taken as they are; a group at the latest begins at the start so.
    (0..3).for_each(|partition| story.commit(partition, 0, ""));
    let mut feed = filled(&story);
    forget_group(&story);
    feed.send(3_000);

    let rows = story.rows(pair);
    let pump = halted(&story);
    let (topic, group) = (&story.world.topic, story.group());
    let command = format!("--group {group} --topic {topic}:0 --reset-offsets --to-offset 1000 --execute");
    let log = pump.log();
    for words in ["PH-0056", start, "holds offsets up to 999", &command] {
        assert!(log.contains(words), "{words}:\n{log}");
    }
    assert_eq!(story.rows(pair), rows);

    (0..3).for_each(|partition| story.commit(partition, 1_000, ""));
    story.ends_exactly(pair, &feed.finish(), vec![story.run()]);
}

#[test]
fn an_offset_that_was_set_back_by_hand_is_taken_as_given_and_told() {
    let pair = Pair::shared();
    let story = Story::with_tables(pair, "set_back", PLAN);
    filled(&story);
    story.commit(1, 500, "");
    let mut pump = story.run();
    pump.wait_for_line(&["offset set by hand", "partition=1", "start=500", "again"]);
    let mut pumps = vec![pump];
    story.wait_until_drained(&mut pumps);
    assert_eq!(pumps[0].terminate(), Some(0), "{}", pumps[0].log());
    let twice = format!(
        "SELECT countIf(rows = 2) = uniqExactIf(_offset, rows = 2) AND minIf(_offset, rows = 2) >= 500 \
         AND maxIf(_offset, rows = 1) < 500 AND max(rows) = 2 \
         FROM (SELECT _offset, count() AS rows FROM {} WHERE _partition = 1 GROUP BY _offset)",
        story.table()
    );
    assert_eq!(number(pair, &twice), 1, "what lies behind the offset is there again, and only that");
}

#[test]
fn foreign_metadata_at_the_right_offset_does_no_harm() {
    let pair = Pair::shared();
    let story = Story::with_tables(pair, "foreign", PLAN);
    let mut feed = filled(&story);
    for (partition, metadata) in [(0, "somebody else's"), (1, "AQABAA"), (2, "")] {
        story.commit(partition, 1_000, metadata);
    }
    feed.send(3_000);
    let mut pump = story.run();
    pump.wait_for_line(&["metadata beside the offset is not pumphouse's", "partition=0"]);
    pump.wait_for_line(&["metadata beside the offset is not pumphouse's", "partition=1"]);
    story.ends_exactly(pair, &feed.finish(), vec![pump]);
}

#[test]
fn foreign_metadata_before_rows_of_the_table_halts() {
    let pair = Pair::shared();
    let story = Story::with_tables(pair, "damaged", PLAN);
    let mut feed = filled(&story);
    story.commit(2, 400, "AQABAA");
    let rows = story.rows(pair);
    let pump = halted(&story);
    let log = pump.log();
    for words in ["PH-0056", "partition 2 would start at 400", "--to-offset 1000", "--to-offset 400"] {
        assert!(log.contains(words), "{words}:\n{log}");
    }
    assert_eq!(story.rows(pair), rows);
    story.commit(2, 1_000, "");
    feed.send(3_000);
    story.ends_exactly(pair, &feed.finish(), vec![story.run()]);
}

#[test]
fn a_topic_made_anew_is_told_and_is_read_from_its_start_once_a_person_says_so() {
    let pair = Pair::shared();
    let story = Story::with_tables(pair, "anew", PLAN);
    filled(&story);
    let rows = story.rows(pair);
    story.world.delete_topic(&story.world.topic);
    wait_until("the group without offsets", || {
        (0..3).all(|partition| story.committed(partition) == Offset::Invalid).then_some(())
    });
    story.world.create_topic(&story.world.topic, 3);
    let fewer = story.produce(600);

    let pump = halted(&story);
    let log = pump.log();
    for words in ["PH-0038", "made anew", "would start at 0", "the log ends at 200", "--to-offset 0"] {
        assert!(log.contains(words), "{words}:\n{log}");
    }
    assert_eq!(story.rows(pair), rows);
    (0..3).for_each(|partition| story.commit(partition, 0, ""));
    let mut pumps = vec![story.run()];
    story.wait_until_drained(&mut pumps);
    assert_eq!(pumps[0].terminate(), Some(0), "{}", pumps[0].log());
    let letters = format!(
        "SELECT count() FROM pumphouse.dead_letters WHERE topic = '{}' AND offset < 200",
        story.world.topic
    );
    // The letters of both topics have the same places.
    assert_eq!(story.rows(pair) + number(pair, &letters) / 2, rows + fewer.events);
}

#[test]
fn a_broker_that_takes_less_metadata_than_a_claim_needs_halts_the_stream_before_it_inserts() {
    let pair = Pair {
        clickhouse: told(clickhouse::Launch::new(exe()).start()),
        kafka: told(kafka::Launch::new(exe()).with_property("offset.metadata.max.bytes", "40").start()),
    };
    let story = Story::with_tables(&pair, "small", PLAN);
    story.produce(300);
    let pump = halted(&story);
    assert!(pump.log().contains("PH-0037"), "{}", pump.log());
    assert_eq!(story.rows(&pair), 0);
}

/// A table with 1,000 offsets of each of three partitions, and nobody who reads on.
fn filled(story: &Story) -> Feed {
    let mut feed = story.feed();
    feed.send(3_000);
    let mut pumps = vec![story.run()];
    story.wait_until_drained(&mut pumps);
    assert_eq!(pumps[0].terminate(), Some(0), "{}", pumps[0].log());
    feed
}

/// As after a week without a member.
fn forget_group(story: &Story) {
    let admin: AdminClient<DefaultClientContext> = told(story.world.client().create());
    let group = story.group();
    wait_until("the group deleted", || {
        let options = AdminOptions::new().operation_timeout(Some(DEADLINE));
        let deleted = block_on(admin.delete_groups(&[&group], &options)).ok()?;
        deleted.into_iter().all(|group| group.is_ok()).then_some(())
    });
}

/// A process that halts.
fn halted(story: &Story) -> Pump {
    let mut pump = story.run();
    assert_eq!(pump.wait(), Some(70), "{}", pump.log());
    pump
}
