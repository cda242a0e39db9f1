//! A server that goes away for a while costs time, and neither loses nor doubles a row.

use std::thread;
use std::time::Duration;

use crate::story::{Plan, Story};
use crate::world::{Pair, told};

/// How long a server is away.
const AWAY: Duration = Duration::from_secs(5);

#[test]
fn clickhouse_may_be_killed_on_the_way() {
    let mut pair = Pair::own();
    let story = Story::with_tables(&pair, "clickhouse_killed", Plan::default());
    let pumps = vec![story.run_assigned(), story.run()];
    let producing = story.keep_producing(60_000, 3_000);
    for least in [5_000, 25_000] {
        story.wait_for_rows(&pair, least);
        told(pair.clickhouse.kill());
        thread::sleep(AWAY);
        told(pair.clickhouse.restart());
    }
    let tally = producing.join().expect("the producer does not panic");
    story.ends_exactly(&pair, &tally, pumps);
}

#[test]
fn kafka_may_be_killed_on_the_way() {
    let mut pair = Pair::own();
    let story = Story::with_tables(&pair, "kafka_killed", Plan::default());
    let pumps = vec![story.run_assigned(), story.run()];
    let producing = story.keep_producing(60_000, 3_000);
    for least in [5_000, 25_000] {
        story.wait_for_rows(&pair, least);
        told(pair.kafka.kill());
        thread::sleep(AWAY);
        told(pair.kafka.restart());
    }
    let tally = producing.join().expect("the producer does not panic");
    story.ends_exactly(&pair, &tally, pumps);
}
