//! A server that goes away for a while costs time, and neither loses nor doubles a row.

use std::thread;
use std::time::Duration;

use crate::story::{Plan, Story};
use crate::world::{Pair, told, wait_until};

/// How long a server is away.
const AWAY: Duration = Duration::from_secs(5);

#[test]
fn clickhouse_may_be_killed_on_the_way() {
    let mut pair = Pair::own();
    let story = Story::with_tables(&pair, "clickhouse_killed", Plan::default());
    let mut pumps = vec![story.run_assigned(), story.run()];
    // One that is still looking at tables ends when the server does.
    pumps[1].wait_for_line(&[" ready"]);
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
    let mut pumps = vec![story.run_assigned(), story.run()];
    // One that is still looking at tables ends when the server does.
    pumps[1].wait_for_line(&[" ready"]);
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

#[test]
fn a_server_that_answers_nothing_fills_the_memory_that_is_allowed_and_no_more() {
    const LIMIT_MIB: u64 = 32;
    // What is beside rows: Kafka's client, encoded bodies, what the allocators keep.
    const BESIDE_MIB: u64 = 120;
    let mut pair = Pair::own();
    let plan = Plan { process: "{ lanes: 2, memory: 32MiB }", ..Plan::default() };
    let story = Story::with_tables(&pair, "memory", plan);
    let pump = story.run_assigned();
    // Records are taken only once the tables were asked about the starts of the partitions.
    let mut feed = story.feed();
    feed.send(600);
    story.wait_for_rows(&pair, 1);
    told(pair.clickhouse.pause());
    let before = peak_mib(pump.pid());
    (0..100).for_each(|_| feed.send(6_000));
    let tally = feed.finish();
    // Until it takes no more: its memory no longer grows for a while.
    let mut last = (0, std::time::Instant::now());
    wait_until("memory that stays as it is", || {
        let now = peak_mib(pump.pid());
        if now != last.0 {
            last = (now, std::time::Instant::now());
        }
        (last.1.elapsed() > AWAY).then_some(())
    });
    let waiting = peak_mib(pump.pid());
    told(pair.clickhouse.resume());
    story.wait_until_drained(&mut []);
    let peak = peak_mib(pump.pid());
    println!(
        "resident memory: {before} MiB at first, {waiting} MiB while nobody answers, {peak} MiB at most"
    );
    assert!(peak < LIMIT_MIB + BESIDE_MIB, "{peak} MiB");
    story.ends_exactly(&pair, &tally, vec![pump]);
}

/// The largest resident set that the process ever had.
fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells it");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}
