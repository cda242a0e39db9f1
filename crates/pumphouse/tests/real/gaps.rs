//! Records that Kafka no longer holds, or never held, where the group stands: a halt that names the range, never a jump.

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::story::{Plan, Story, number};
use crate::world::{DEADLINE, Pair, block_on, told};

const PARTITION: i32 = 1;

#[test]
fn records_deleted_before_they_were_read_are_told_with_their_range_and_not_jumped_over() {
    let pair = Pair::shared();
    let plan = Plan { partitions: 3, process: "{ lanes: 1 }", ..Plan::default() };
    let story = Story::with_tables(pair, "deleted", plan);
    let first = story.produce(3_000);
    story.ends_exactly(pair, &first, vec![story.run()]);
    // On from event 0: what follows is only there to be deleted.
    story.produce(6_000);
    delete_before(&story, 1_750);

    let rows = story.rows_of(pair, PARTITION);
    let mut pump = story.run();
    assert_eq!(pump.wait(), Some(70), "{}", pump.log());
    let words = ["PH-0031", &story.world.topic, "partition 1", "[1000, 1750)"];
    pump.wait_for_line(&words);
    assert_eq!(story.rows_of(pair, PARTITION), rows, "nothing behind the gap is inserted");
    assert_eq!(story.committed(PARTITION), Offset::Offset(1_000), "the group still stands before the gap");
}

#[test]
fn an_offset_beyond_the_log_is_told_with_both_ends_and_not_reset() {
    let pair = Pair::shared();
    let plan = Plan { partitions: 3, process: "{ lanes: 1 }", ..Plan::default() };
    let story = Story::with_tables(pair, "beyond", plan);
    story.produce(3_000);
    commit(&story, 1_200);

    let mut pump = story.run();
    assert_eq!(pump.wait(), Some(70), "{}", pump.log());
    pump.wait_for_line(&["PH-0030", &story.world.topic, "partition 1", "1200", "1000"]);
    assert_eq!(story.rows_of(pair, PARTITION), 0);
    assert_eq!(story.committed(PARTITION), Offset::Offset(1_200), "no offset is reset");
}

#[test]
fn a_claimed_range_that_is_gone_is_told_and_not_inserted_in_part() {
    let pair = Pair::shared();
    let plan = Plan { partitions: 3, process: "{ lanes: 1 }", ..Plan::default() };
    let story = Story::with_tables(pair, "claim_gone", plan);
    story.slow_down(pair, 30);
    story.produce(3_000);
    let mut pump = story.run();
    story.wait_for_claims();
    pump.kill();
    delete_before(&story, 900);
    story.speed_up(pair);

    // The server may have finished the insert after the kill; the rows are then there, and only their proof is gone.
    let before = number(pair, &format!("SELECT count() FROM {}", story.table()));
    let mut pump = story.run();
    assert_eq!(pump.wait(), Some(70), "{}", pump.log());
    pump.wait_for_line(&["PH-0036", "partition 1"]);
    assert_eq!(story.rows(pair), before, "nothing of it is inserted by the next process");
}

fn delete_before(story: &Story, offset: i64) {
    let admin: AdminClient<DefaultClientContext> = told(story.world.client().create());
    let mut wanted = TopicPartitionList::new();
    told(wanted.add_partition_offset(&story.world.topic, PARTITION, Offset::Offset(offset)));
    let options = AdminOptions::new().operation_timeout(Some(DEADLINE));
    let deleted = told(block_on(admin.delete_records(&wanted, &options)));
    for element in deleted.elements() {
        told(element.error());
    }
}

/// Commits by hand, with no metadata.
fn commit(story: &Story, offset: i64) {
    let mut config = story.world.client();
    let consumer: BaseConsumer = told(config.set("group.id", story.group()).create());
    let mut list = TopicPartitionList::new();
    told(list.add_partition_offset(&story.world.topic, PARTITION, Offset::Offset(offset)));
    told(consumer.commit(&list, CommitMode::Sync));
}
