//! Crash points on real servers: a process ends by SIGKILL at each named moment of a batch's life, and every event is
//! still one row or one dead letter, once, in the table and in its views.
//!
//! Once each in a plain run; `PUMPHOUSE_CRASHES=20` (or `cargo xtask crashes --times 20`) says how often, and each
//! test prints its line of the table.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use pumphouse::demo::producer::Tally;

use crate::story::{Plan, Story, number};
use crate::world::{Pair, Pump, told};

/// How many times each point is met.
const VARIABLE: &str = "PUMPHOUSE_CRASHES";
/// The exit code of a process that SIGKILL ended.
const KILLED: Option<i32> = Some(128 + 9);
/// Events of one portion, and the pause before the next.
const PORTION: u64 = 150;
const PAUSE: Duration = Duration::from_millis(100);

#[test]
fn c01_after_records_were_taken() {
    beside("polled", Plan::default());
}

#[test]
fn c02_before_a_claim_is_sent() {
    beside("before-claim", Plan::default());
}

#[test]
fn c03_when_a_claim_was_sent_and_not_acknowledged() {
    beside("claim-sent", Plan::default());
}

#[test]
fn c04_when_a_claim_is_stored_and_nothing_inserted() {
    beside("claim-acknowledged", Plan::default());
}

#[test]
fn c05_in_the_middle_of_an_inserts_body() {
    beside("mid-body", Plan::default());
}

#[test]
fn c06_when_an_insert_was_sent_and_not_answered() {
    beside("body-sent", Plan::default());
}

#[test]
fn c07_when_an_insert_is_done_and_nobody_knows() {
    beside("reply-lost", Plan::default());
}

#[test]
fn c08_between_the_first_table_and_the_second() {
    beside("between-tables", Plan::default());
}

#[test]
fn c09_when_dead_letters_were_produced_and_not_acknowledged() {
    beside("letters-sent", Plan { letter_topic: true, bad_per_mille: 100, ..Plan::default() });
}

#[test]
fn c10_when_a_settling_commit_was_sent_and_not_acknowledged() {
    beside("settle-sent", Plan::default());
}

#[test]
fn c11_while_partitions_are_asked_back() {
    let mut ground = Ground::new("revoking", Plan::default());
    for _ in 0..times() {
        let mut victim = ground.crashing("revoking");
        victim.wait_for_line(&["partitions assigned", "partitions=[Partition("]);
        let mut joining = ground.story.run();
        ground.dies(&mut victim);
        // It may have taken over already, so this is a crash of its own.
        joining.kill();
        ground.logs += &joining.log();
    }
    ground.ends();
}

#[test]
fn c12_while_a_found_claim_is_recovered() {
    in_recovery("rebuilt", "claim-acknowledged", "rebuilt");
}

#[test]
fn c13_while_a_claim_without_its_refused_rows_is_written() {
    let mut ground = Ground::new("isolating", Plan::default());
    let refuses =
        format!("ALTER TABLE {} ADD CONSTRAINT strict CHECK _offset % 197 != 5", ground.story.table());
    told(ground.pair.clickhouse.query(&refuses));
    ground.pumps.push(ground.story.run_assigned());
    for _ in 0..times() {
        let mut victim = ground.crashing("isolating");
        ground.dies(&mut victim);
    }
    ground.ends_with_refused_rows();
}

#[test]
fn c14_in_a_commit_over_several_partitions_that_settles_and_claims() {
    // Batches close by their rows, so that the next is closed before the last is settled.
    let plan = Plan { batch: "{ freshness: 2s, rows: 100 }", process: "{ lanes: 1 }", ..Plan::default() };
    beside("settle-and-claim-sent", plan);
}

#[test]
fn c15_twice_in_the_same_range() {
    in_recovery("twice", "reply-lost", "reply-lost");
}

/// Crashes of one process while another goes on.
fn beside(point: &'static str, plan: Plan) {
    let mut ground = Ground::new(point, plan);
    ground.pumps.push(ground.story.run_assigned());
    for time in 0..times() {
        let mut victim = ground.crashing(&format!("{point}:{}", 1 + time % 3));
        ground.dies(&mut victim);
    }
    ground.ends();
}

/// A crash that leaves a claim behind, and another one of the process that finds it; nobody else is there.
fn in_recovery(name: &'static str, first: &str, second: &str) {
    // One lane, so that the second process owns what the first one left.
    let mut ground = Ground::new(name, Plan { process: "{ lanes: 1 }", ..Plan::default() });
    for _ in 0..times() {
        for point in [first, second] {
            let mut victim = ground.crashing(point);
            ground.dies(&mut victim);
        }
        assert!(ground.found(&["reading a found claim again"]) > 0, "the second process found a claim");
    }
    ground.ends();
}

fn times() -> u32 {
    let said = std::env::var(VARIABLE).ok();
    said.map_or(1, |said| said.parse().unwrap_or_else(|_| panic!("{VARIABLE}={said} is no number")))
}

/// A stream that is fed until the end of the test.
struct Ground {
    name: &'static str,
    pair: &'static Pair,
    story: Story,
    pumps: Vec<Pump>,
    stop: Arc<AtomicBool>,
    feeding: Option<JoinHandle<Tally>>,
    crashes: u32,
    logs: String,
}

impl Ground {
    fn new(name: &'static str, plan: Plan) -> Self {
        let pair = Pair::shared();
        let story = Story::with_tables(pair, &format!("crash_{}", name.replace('-', "_")), plan);
        let stop = Arc::new(AtomicBool::new(false));
        let (mut feed, until) = (story.feed(), Arc::clone(&stop));
        let feeding = thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                feed.send(PORTION);
                thread::sleep(PAUSE);
            }
            feed.finish()
        });
        let feeding = Some(feeding);
        Self { name, pair, story, pumps: Vec::new(), stop, feeding, crashes: 0, logs: String::new() }
    }

    fn crashing(&self, point: &str) -> Pump {
        self.story.world.run_with(&format!("PH_CRASH_AT={point}"), &self.story.file)
    }

    /// Waits until the process ended itself.
    fn dies(&mut self, victim: &mut Pump) {
        let code = victim.wait();
        let log = victim.log();
        assert!(code == KILLED && log.contains("crash point reached"), "it ended with {code:?}:\n{log}");
        self.logs += &log;
        self.crashes += 1;
    }

    fn found(&self, words: &[&str]) -> usize {
        self.logs.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }

    /// Two processes finish what is left; then everything is there once.
    fn ends(mut self) {
        let tally = self.drains();
        let counted = self.story.lost_and_doubled(self.pair, &tally);
        self.tells(&tally, counted);
        self.story.ends_exactly(self.pair, &tally, std::mem::take(&mut self.pumps));
    }

    /// The same where the table refuses rows: each event is a row or a dead letter, once, and never both.
    fn ends_with_refused_rows(mut self) {
        let tally = self.drains();
        let ask = |sql: String| number(self.pair, &sql);
        let (table, topic) = (self.story.table(), &self.story.world.topic);
        let letters = format!("pumphouse.dead_letters WHERE topic = '{topic}'");
        let rows = ask(format!("SELECT count() FROM {table}"));
        let of_letters = ask(format!("SELECT count() FROM {letters}"));
        let distinct = ask(format!("SELECT uniqExact(_partition, _offset) FROM {table}"))
            + ask(format!("SELECT uniqExact(partition, offset) FROM {letters}"));
        self.tells(&tally, (tally.events.saturating_sub(distinct), rows + of_letters - distinct));
        assert_eq!((rows + of_letters, distinct), (tally.events, tally.events));
        let both = format!(
            "SELECT count() FROM {table} WHERE (_partition, _offset) IN (SELECT partition, offset FROM {letters})"
        );
        assert_eq!(ask(both), 0, "rows that are dead letters, too");
        assert!(ask(format!("SELECT count() FROM {letters} AND code = 'PH-0121'")) > 0, "rows were refused");
        let view = format!("SELECT sum(rows) FROM {}.totals", self.story.world.database);
        assert_eq!(ask(view), rows, "the view's sum");
    }

    fn drains(&mut self) -> Tally {
        while self.pumps.len() < 2 {
            self.pumps.push(self.story.run());
        }
        self.stop.store(true, Ordering::Relaxed);
        let feeding = self.feeding.take().expect("it is fed until here");
        let tally = feeding.join().expect("the feed does not panic");
        self.story.wait_until_drained(&mut self.pumps);
        for pump in &self.pumps {
            self.logs += &pump.log();
        }
        tally
    }

    /// The point's line of the table.
    fn tells(&self, tally: &Tally, (lost, doubled): (u64, u64)) {
        let outcome = |name| self.found(&["claim recovered", name]);
        println!(
            "crash point {:<22} reached {:>3}  resent {:>3}  found landed {:>3}  dropped {:>3}  events {:>6}  \
             lost {lost}  doubled {doubled}",
            self.name,
            self.crashes,
            outcome("Resent"),
            outcome("FoundLanded"),
            outcome("Dropped"),
            tally.events,
        );
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // Of a test that failed: the feed must not go on for ever.
        self.stop.store(true, Ordering::Relaxed);
    }
}
