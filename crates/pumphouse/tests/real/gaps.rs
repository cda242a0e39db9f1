//! Records that Kafka no longer holds where the group stands: a gap that is written down, or a halt that names the range;
//! never a jump without a word.

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{Offset, TopicPartitionList};

use crate::story::{Plan, Story, number};
use crate::world::{DEADLINE, Pair, World, block_on, told};

const PARTITION: i32 = 1;

#[test]
fn records_deleted_before_they_were_read_are_a_gap_and_the_stream_goes_on_behind_it() {
    let pair = Pair::shared();
    let plan = Plan { partitions: 3, process: "{ lanes: 1 }", ..Plan::default() };
    let story = Story::with_tables(pair, "deleted", plan);
    let mut feed = story.feed();
    feed.send(3_000);
    let mut first = vec![story.run()];
    story.wait_until_drained(&mut first);
    assert_eq!(first[0].terminate(), Some(0), "{}", first[0].log());
    feed.send(6_000);
    delete_before(&story, PARTITION, 1_750);

    let mut pump = story.run();
    pump.wait_for_line(&["PH-0055", &story.world.topic, "partition 1", "[1000, 1750)", "750"]);
    let mut pumps = vec![pump];
    story.wait_until_drained(&mut pumps);
    assert_eq!(pumps[0].terminate(), Some(0), "{}", pumps[0].log());
    assert_eq!(gaps_of(&story, pair), "1\t1000\t1750\tretention\n");
    every_offset_is_one_thing(&story, pair, 3_000);
    let jumped =
        format!("SELECT count() FROM {} WHERE _partition = 1 AND _offset IN (1000, 1749)", story.table());
    assert_eq!(number(pair, &jumped), 0);
}

#[test]
fn gaps_in_every_partition_are_reported_once_each_by_whoever_owns_them_while_events_keep_coming() {
    let pair = Pair::shared();
    let story = Story::with_tables(pair, "all_deleted", Plan { partitions: 3, ..Plan::default() });
    let mut feed = story.feed();
    feed.send(3_000);
    (0..3).for_each(|partition| delete_before(&story, partition, 400 + i64::from(partition)));
    // Nothing was read yet: the group is told to begin where the log no longer does.
    (0..3).for_each(|partition| story.commit(partition, 100, ""));
    let mut pumps = vec![story.run(), story.run()];
    feed.send(3_000);
    story.wait_until_drained(&mut pumps);
    let gaps = "0\t100\t400\tretention\n1\t100\t401\tretention\n2\t100\t402\tretention\n";
    assert_eq!(gaps_of(&story, pair), gaps);
    for pump in &mut pumps {
        assert_eq!(pump.terminate(), Some(0), "{}", pump.log());
    }
    let places = format!("SELECT count() - uniqExact(_partition, _offset) FROM {}", story.table());
    assert_eq!(number(pair, &places), 0, "no row twice");
    let letters = format!("SELECT count() FROM pumphouse.dead_letters WHERE topic = '{}'", story.world.topic);
    assert_eq!(
        story.rows(pair) + number(pair, &letters),
        6_000 - 400 - 401 - 402,
        "all that was left is there"
    );
}

#[test]
fn where_gaps_halt_the_range_is_told_and_nothing_moves() {
    let pair = Pair::shared();
    let plan = Plan { partitions: 3, process: "{ lanes: 1 }", ..Plan::default() };
    let story = Story::with_tables(pair, "halting", plan);
    let text = told(std::fs::read_to_string(&story.file));
    told(std::fs::write(&story.file, text.replace("    batch:", "    gaps: halt\n    batch:")));
    let first = story.produce(3_000);
    story.ends_exactly(pair, &first, vec![story.run()]);
    // On from event 0: what follows is only there to be deleted.
    story.produce(6_000);
    delete_before(&story, PARTITION, 1_750);

    let rows = story.rows_of(pair, PARTITION);
    let mut pump = story.run();
    assert_eq!(pump.wait(), Some(70), "{}", pump.log());
    let words = ["PH-0031", &story.world.topic, "partition 1", "[1000, 1750)"];
    pump.wait_for_line(&words);
    assert_eq!(story.rows_of(pair, PARTITION), rows, "nothing behind the gap is inserted");
    assert_eq!(story.committed(PARTITION), Offset::Offset(1_000), "the group still stands before the gap");
    assert_eq!(gaps_of(&story, pair), "");
}

#[test]
fn an_offset_beyond_the_log_is_told_with_both_ends_and_not_reset() {
    let pair = Pair::shared();
    let plan = Plan { partitions: 3, process: "{ lanes: 1 }", ..Plan::default() };
    let story = Story::with_tables(pair, "beyond", plan);
    story.produce(3_000);
    story.commit(PARTITION, 1_200, "");

    let mut pump = story.run();
    assert_eq!(pump.wait(), Some(70), "{}", pump.log());
    pump.wait_for_line(&["PH-0030", &story.world.topic, "partition 1", "1200", "1000"]);
    assert_eq!(story.rows_of(pair, PARTITION), 0);
    assert_eq!(story.committed(PARTITION), Offset::Offset(1_200), "no offset is reset");
}

#[test]
fn of_a_claimed_range_that_is_partly_gone_the_rest_lands_and_what_is_missing_is_a_gap() {
    let pair = Pair::shared();
    let plan = Plan { partitions: 3, process: "{ lanes: 1 }", ..Plan::default() };
    let story = Story::with_tables(pair, "claim_gone", plan);
    story.produce(3_000);
    // Claimed, and refused before anything landed.
    let text = told(std::fs::read_to_string(&story.file));
    let database = format!("database: {}, ", story.world.database);
    let reader = text.replace(&database, &format!("{database}user: reader, password: reader, "));
    told(std::fs::write(&story.file, reader));
    let mut pump = story.run();
    assert_eq!(pump.wait(), Some(70), "{}", pump.log());
    delete_before(&story, PARTITION, 900);

    told(std::fs::write(&story.file, text));
    let mut pump = story.run();
    pump.wait_for_line(&["PH-0055", "partition 1", "[0, 900)"]);
    let mut pumps = vec![pump];
    story.wait_until_drained(&mut pumps);
    assert_eq!(pumps[0].terminate(), Some(0), "{}", pumps[0].log());
    // An insert of the dead process could be on its way until its deadline.
    assert_eq!(gaps_of(&story, pair), "1\t0\t900\tretention, possibly landed\n");
    every_offset_is_one_thing(&story, pair, 1_000);
}

#[test]
fn where_a_view_may_lack_what_the_table_has_the_gap_says_that_it_possibly_landed() {
    let pair = Pair::shared();
    let plan = Plan { partitions: 3, process: "{ lanes: 1 }", ..Plan::default() };
    let story = Story::with_tables(pair, "view_gone", plan);
    story.slow_down(pair, 30);
    story.produce(3_000);
    let mut pump = story.run();
    story.wait_for_claims();
    // The table has the rows; the views behind it do not yet.
    story.wait_for_rows(pair, 1);
    pump.kill();
    delete_before(&story, PARTITION, 900);
    story.speed_up(pair);

    let mut pumps = vec![story.run()];
    story.wait_until_drained(&mut pumps);
    assert_eq!(pumps[0].terminate(), Some(0), "{}", pumps[0].log());
    assert_eq!(gaps_of(&story, pair), "1\t0\t900\tretention, possibly landed\n");
    let seen = format!("SELECT sum(rows) FROM {}.totals WHERE partition != 1", story.world.database);
    let rows = format!("SELECT count() FROM {} WHERE _partition != 1", story.table());
    assert_eq!(number(pair, &seen), number(pair, &rows), "what is outside the gap is in the view once");
    let sql = "SELECT count() - uniqExact(_partition, _offset) FROM ";
    assert_eq!(number(pair, &format!("{sql}{}", story.table())), 0, "no row twice");
}

/// The gaps as they stand: partition, from, to, reason.
fn gaps_of(story: &Story, pair: &Pair) -> String {
    let sql = format!(
        "SELECT partition, from_offset, to_offset, reason FROM pumphouse.gaps WHERE topic = '{}' ORDER BY ALL",
        story.world.topic
    );
    told(pair.clickhouse.query(&sql))
}

/// Of each partition every offset is one row, or one dead letter, or in a gap; the view has counted each row once.
fn every_offset_is_one_thing(story: &Story, pair: &Pair, end: u64) {
    let World { database, topic, .. } = &story.world;
    let things = format!(
        "SELECT partition, count(), uniqExact(place), max(place) + 1 FROM ( \
         SELECT _partition AS partition, _offset AS place FROM {database}.requests UNION ALL \
         SELECT partition, offset FROM pumphouse.dead_letters WHERE topic = '{topic}' UNION ALL \
         SELECT partition, arrayJoin(range(from_offset, to_offset)) FROM pumphouse.gaps WHERE topic = '{topic}') \
         GROUP BY partition ORDER BY partition"
    );
    let expected: Vec<String> =
        (0..3).map(|partition| format!("{partition}\t{end}\t{end}\t{end}\n")).collect();
    assert_eq!(told(pair.clickhouse.query(&things)), expected.concat());
    let total = number(pair, &format!("SELECT sum(rows) FROM {database}.totals"));
    assert_eq!(total, story.rows(pair), "the view has each row once");
}

fn delete_before(story: &Story, partition: i32, offset: i64) {
    let admin: AdminClient<DefaultClientContext> = told(story.world.client().create());
    let mut wanted = TopicPartitionList::new();
    told(wanted.add_partition_offset(&story.world.topic, partition, Offset::Offset(offset)));
    let options = AdminOptions::new().operation_timeout(Some(DEADLINE));
    let deleted = told(block_on(admin.delete_records(&wanted, &options)));
    for element in deleted.elements() {
        told(element.error());
    }
}
