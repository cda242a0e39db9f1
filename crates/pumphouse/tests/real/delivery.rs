//! Events become rows, through kills, restarts and pauses of the processes that carry them.

use std::thread;
use std::time::Duration;

use crate::story::{Plan, Story};
use crate::world::Pair;

#[test]
fn a_topic_becomes_a_table() {
    let pair = Pair::shared();
    let story = Story::with_tables(pair, "becomes_a_table", Plan::default());
    let pump = story.run_assigned();
    let tally = story.produce(100_000);
    assert!(tally.bad() > 800, "bad events are planted");
    assert_eq!(tally.bad_by_kind.len(), 14, "of every kind");
    story.ends_exactly(pair, &tally, vec![pump]);
}

#[test]
fn processes_that_are_killed_lose_nothing_and_double_nothing() {
    let pair = Pair::shared();
    let story = Story::with_tables(pair, "killed", Plan::default());
    let mut random = fastrand::Rng::with_seed(20_261_121);
    let mut pumps = vec![story.run_assigned(), story.run()];
    let producing = story.keep_producing(60_000, 3_000);
    let mut kills = 0;
    while !producing.is_finished() {
        thread::sleep(Duration::from_millis(random.u64(300..3_000)));
        let victim = random.usize(0..pumps.len());
        pumps[victim].kill();
        kills += 1;
        pumps[victim] = story.run();
    }
    let tally = producing.join().expect("the producer does not panic");
    assert!(kills >= 6, "{kills} kills");
    story.ends_exactly(pair, &tally, pumps);
}

#[test]
fn a_process_that_was_stopped_past_its_session_finds_its_work_done_and_joins_again() {
    let pair = Pair::shared();
    let properties = r#"session.timeout.ms: "6000", heartbeat.interval.ms: "1000""#;
    let story = Story::with_tables(pair, "stopped", Plan { properties, ..Plan::default() });
    let mut pumps = vec![story.run_assigned()];
    let producing = story.keep_producing(60_000, 3_000);
    story.wait_for_rows(pair, 1_000);
    pumps[0].pause();
    let at = story.rows(pair);
    pumps.push(story.run_assigned());
    story.wait_for_rows(pair, at + 20_000);
    let before = assignments(&pumps[0].log());
    pumps[0].resume();
    crate::world::wait_until("second membership", || (assignments(&pumps[0].log()) > before).then_some(()));
    let tally = producing.join().expect("the producer does not panic");
    story.ends_exactly(pair, &tally, pumps);
}

/// How often a process was given partitions.
fn assignments(log: &str) -> usize {
    log.lines().filter(|line| line.contains("partitions=[Partition(")).count()
}

#[test]
fn a_second_signal_stops_at_once_and_the_next_process_finishes() {
    let pair = Pair::shared();
    let story = Story::with_tables(pair, "second_signal", Plan::default());
    // An insert that takes longer than the signals are apart.
    story.slow_down(pair, 3);
    let producing = story.keep_producing(30_000, 3_000);
    let mut pump = story.run_assigned();
    story.wait_for_claims();
    assert_eq!(pump.terminate_twice(), Some(1), "{}", pump.log());
    story.speed_up(pair);
    let tally = producing.join().expect("the producer does not panic");
    let next = story.run();
    story.ends_exactly(pair, &tally, vec![next]);
}
