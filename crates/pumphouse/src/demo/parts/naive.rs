//! The writer of the incidents: as a sink connector does, a task for each partition that inserts what a poll brought, and
//! gives a batch up when the server refused it a few times. Tells what it wrote and what it lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde::Serialize;

use super::super::incident::Failure;
use super::super::incident::stage::Stage;

/// How long a poll waits.
const POLL: Duration = Duration::from_millis(50);
/// Without a message for so long after the feed has ended, everything is read.
const SILENCE: Duration = Duration::from_secs(1);

/// How it writes.
#[derive(Clone, Copy, Debug)]
pub struct Habit {
    /// Most rows of an insert.
    pub rows: usize,
    /// How long it collects them.
    pub collects: Duration,
    /// How often it tries an insert.
    pub tries: u32,
    /// Pause between two tries.
    pub pause: Duration,
}

/// Signals to the writers.
#[derive(Debug, Default)]
pub struct Signals {
    /// No message comes any more: end when all are read.
    pub feed_is_over: AtomicBool,
    /// End.
    pub stop: AtomicBool,
}

/// What one task did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Messages it read.
    pub read: u64,
    /// Rows of inserts that were accepted.
    pub accepted: u64,
    /// Inserts that were refused, every try counted.
    pub refused: u64,
    /// Batches that it gave up.
    pub batches_given_up: u64,
    /// Rows of these.
    pub given_up: u64,
    /// What the server said of the first.
    pub words: String,
}

impl Tally {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            read: self.read + other.read,
            accepted: self.accepted + other.accepted,
            refused: self.refused + other.refused,
            batches_given_up: self.batches_given_up + other.batches_given_up,
            given_up: self.given_up + other.given_up,
            words: if self.words.is_empty() { other.words } else { self.words },
        }
    }
}

/// Writes one partition of `topic` into `table` until told to stop, or until a feed that is over is read.
///
/// # Errors
/// When Kafka's client can't be made or fails for good.
pub fn write(
    stage: &Stage,
    (topic, partition): (&str, u32),
    table: &str,
    habit: Habit,
    signals: &Signals,
) -> Result<Tally, Failure> {
    let consumer: BaseConsumer = stage
        .client()
        .set("group.id", "naive")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "50")
        .create()?;
    let mut assigned = TopicPartitionList::new();
    let number = i32::try_from(partition).unwrap_or(i32::MAX);
    assigned.add_partition_offset(topic, number, Offset::Beginning)?;
    consumer.assign(&assigned)?;
    let mut tally = Tally::default();
    let mut heard = Instant::now();
    while !signals.stop.load(Ordering::Relaxed) {
        let batch = collect(&consumer, habit)?;
        if batch.is_empty() {
            if signals.feed_is_over.load(Ordering::Relaxed) && heard.elapsed() > SILENCE {
                break;
            }
            continue;
        }
        heard = Instant::now();
        tally.read += batch.len() as u64;
        insert(stage, table, &batch, habit, &mut tally);
    }
    Ok(tally)
}

fn collect(consumer: &BaseConsumer, habit: Habit) -> Result<Vec<String>, Failure> {
    let (begun, mut batch) = (Instant::now(), Vec::new());
    while batch.len() < habit.rows && begun.elapsed() < habit.collects {
        if let Some(message) = consumer.poll(POLL) {
            let message = message?;
            batch.extend(message.payload().map(|payload| String::from_utf8_lossy(payload).into_owned()));
        }
    }
    Ok(batch)
}

fn insert(stage: &Stage, table: &str, batch: &[String], habit: Habit, tally: &mut Tally) {
    // What the rows are in the table must not depend on who inserts them.
    let sql = format!(
        "INSERT INTO {table} SETTINGS optimize_on_insert = 0 FORMAT JSONEachRow\n{}",
        batch.join("\n")
    );
    for attempt in 0..habit.tries {
        if attempt > 0 {
            thread::sleep(habit.pause);
        }
        match stage.query(&sql) {
            Ok(_) => {
                tally.accepted += batch.len() as u64;
                return;
            }
            Err(error) => {
                tally.refused += 1;
                if tally.words.is_empty() {
                    tally.words = error.to_string();
                }
            }
        }
    }
    tally.batches_given_up += 1;
    tally.given_up += batch.len() as u64;
}
