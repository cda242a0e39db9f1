//! Processes come and go: every way in which a group shares its partitions gives the same rows.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::story::{Plan, SHORT_SESSION, Story};
use crate::world::{Pair, told, wait_until};

#[test]
fn members_that_come_and_go_share_the_work_by_the_cooperative_protocol() {
    come_and_go("cooperative", SHORT_SESSION);
}

#[test]
fn members_that_come_and_go_share_the_work_by_the_eager_protocol() {
    let properties =
        r#"session.timeout.ms: "2000", heartbeat.interval.ms: "300", partition.assignment.strategy: range"#;
    come_and_go("eager", properties);
}

#[test]
fn members_that_come_and_go_share_the_work_by_the_newer_protocol() {
    come_and_go("newer", "group.protocol: consumer");
}

/// A second process joins, works and leaves, twice, while events keep coming.
fn come_and_go(name: &str, properties: &'static str) {
    let pair = Pair::shared();
    let story = Story::with_tables(pair, name, Plan { properties, ..Plan::default() });
    let first = story.run_assigned();
    let producing = story.keep_producing(40_000, 2_500);
    for _ in 0..2 {
        let mut second = story.run_assigned();
        let from = story.rows(pair);
        story.wait_for_rows(pair, from + 3_000);
        assert_eq!(second.terminate(), Some(0), "{}", second.log());
    }
    let tally = producing.join().expect("the producer does not panic");
    story.ends_exactly(pair, &tally, vec![first]);
}

#[test]
fn a_rebalance_at_the_end_of_the_log_skips_nothing_that_comes_after() {
    let pair = Pair::shared();
    let story = Story::with_tables(pair, "at_the_end", Plan { process: "{ lanes: 1 }", ..Plan::default() });
    let mut pumps = vec![story.run_assigned()];
    let mut feed = story.feed();
    for _ in 0..3 {
        feed.send(6_000);
        story.wait_until_drained(&mut pumps);
        pumps.push(story.run_assigned());
        feed.send(6);
    }
    let tally = feed.finish();
    story.ends_exactly(pair, &tally, pumps);
}

#[test]
fn a_partition_that_is_added_later_is_read_from_its_start_also_by_a_group_that_began_at_the_latest() {
    let pair = Pair::shared();
    let properties = r#"session.timeout.ms: "2000", heartbeat.interval.ms: "300", topic.metadata.refresh.interval.ms: "3000""#;
    let plan = Plan { partitions: 2, properties, start_from: "latest", ..Plan::default() };
    let mut story = Story::with_tables(pair, "added", plan);
    let mut pumps = vec![story.run_assigned()];
    // The group is at the end of an empty topic, and that is written down.
    story.wait_until_drained(&mut pumps);
    story.grow(4);
    let tally = story.produce(8_000);
    story.ends_exactly(pair, &tally, pumps);
}

#[test]
fn a_process_that_stops_while_its_partitions_are_asked_back_leaves_in_time() {
    let pair = Pair::shared();
    let process = "{ lanes: 1, drain_timeout: 1s }";
    let story = Story::with_tables(pair, "asked_back", Plan { process, ..Plan::default() });
    story.slow_down(pair, 3);
    let mut first = story.run_assigned();
    let tally = story.produce(3_000);
    story.wait_for_claims();
    let second = story.run();
    first.wait_for_line(&["partitions revoked", "Partition("]);
    let begun = Instant::now();
    first.terminate();
    let left = begun.elapsed();
    assert!(!first.log().contains("did not leave in time"), "{}", first.log());
    println!("left after {left:?}");
    story.speed_up(pair);
    story.ends_exactly(pair, &tally, vec![second]);
}

#[test]
fn a_group_that_waits_for_a_member_which_never_comes_back_is_told_of_and_joined_anew() {
    let pair = Pair::shared();
    let properties =
        r#"session.timeout.ms: "2000", heartbeat.interval.ms: "300", partition.assignment.strategy: range"#;
    let plan = Plan { properties, process: "{ lanes: 1 }", ..Plan::default() };
    let story = Story::with_tables(pair, "silent", plan);
    let stuck = member_that_only_beats(&story);
    let mut pump = story.run();
    let begun = Instant::now();
    pump.wait_for_line(&["PH-0074", "joins_anew_in_s"]);
    let told = begun.elapsed();
    let progress = pump.wait_for_line(&["progress"]);
    assert!(!progress.contains("lag="), "nobody knows what waits: {progress}");
    pump.wait_for_line(&["PH-0074", "joining as a new member"]);
    println!("told after {told:?}, joined anew after {:?}", begun.elapsed());
    drop(stuck);
    pump.wait_for_line(&["partitions assigned", "partitions=[Partition("]);
    let tally = story.produce(3_000);
    story.ends_exactly(pair, &tally, vec![pump]);
}

/// A member that owns all partitions, sends its heartbeats, and never answers when they are asked back.
fn member_that_only_beats(story: &Story) -> BaseConsumer {
    let mut config = story.world.client();
    config.set("group.id", story.group()).set("partition.assignment.strategy", "range");
    config.set("session.timeout.ms", "6000").set("heartbeat.interval.ms", "300");
    let member: BaseConsumer = told(config.set("max.poll.interval.ms", "300000").create());
    told(member.subscribe(&[&story.world.topic]));
    wait_until("an assignment of the other member", || {
        let _ = member.poll(Duration::from_millis(100));
        (told(member.assignment()).count() > 0).then_some(())
    });
    member
}
