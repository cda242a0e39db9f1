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

use crate::story::{Plan, Story};
use crate::world::{Pair, Pump};

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
        let joining = ground.story.run();
        ground.dies(&mut victim);
        ground.ends_in_order(joining);
    }
    ground.ends();
}

#[test]
fn c12_while_a_found_claim_is_recovered() {
    in_recovery("rebuilt", "claim-acknowledged", "rebuilt");
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

    fn ends_in_order(&mut self, mut pump: Pump) {
        assert_eq!(pump.terminate(), Some(0), "{}", pump.log());
        self.logs += &pump.log();
    }

    fn found(&self, words: &[&str]) -> usize {
        self.logs.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }

    /// Two processes finish what is left; then everything is there once.
    fn ends(mut self) {
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
        let (lost, doubled) = self.story.lost_and_doubled(self.pair, &tally);
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
        self.story.ends_exactly(self.pair, &tally, std::mem::take(&mut self.pumps));
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // Of a test that failed: the feed must not go on for ever.
        self.stop.store(true, Ordering::Relaxed);
    }
}
