//! The consumer that gets stuck: ClickHouse's own Kafka engine, a view that reads the fields, a table. It inserts what
//! one poll brought or nothing of it, and commits no offset before it could. Watched, not judged.

use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Failure;
use super::feed::{Feed, PER_PARTITION};
use super::stage::{DATABASE, PARTITIONS, Stage, Standing, TOPIC, wait_for};

/// The group that the engine reads as.
pub const GROUP: &str = "naive";
/// Messages of each partition before anybody tests anything.
const BEFORE: u64 = 50;
/// How long the engine may take for them.
const BEFORE_WITHIN: Duration = Duration::from_secs(30);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One look at the consumer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Look {
    /// Seconds since the test messages were written.
    pub seconds: u64,
    /// Messages in the topic.
    pub messages: u64,
    /// Rows in its table.
    pub rows: u64,
    /// Messages that it has not passed.
    pub lag: i64,
}

/// What became of the consumer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Naive {
    /// Rows before the first test message.
    pub rows_before: u64,
    /// Looks, once a second.
    pub looks: Vec<Look>,
    /// Where it stands at the end.
    pub standing: Standing,
    /// Its last error.
    pub error: String,
    /// How often it read messages from Kafka, the same ones again included.
    pub messages_read: u64,
}

/// Lets it take the first events, then writes the rest with the test messages, and looks once a second.
///
/// # Errors
/// When a server refuses, or the consumer does not even take good events.
pub fn watch(
    stage: &Stage,
    feed: &mut Feed,
    watched_for: Duration,
    say: &mut dyn FnMut(&str),
) -> Result<Naive, Failure> {
    for statement in statements(stage.brokers()) {
        stage.query(&statement)?;
    }
    feed.write_up_to(BEFORE)?;
    let before = BEFORE * u64::from(PARTITIONS);
    let taken = || Ok((rows(stage)? == before).then_some(before));
    let rows_before =
        wait_for("the first events", BEFORE_WITHIN, taken, || error(stage).unwrap_or_default())?;
    say(&format!("it takes events: {rows_before} rows; now somebody tests the connection, and events go on"));
    let looks = look_on(stage, feed, watched_for, say)?;
    let naive = Naive {
        rows_before,
        looks,
        standing: stage.standing(GROUP)?,
        error: error(stage)?,
        messages_read: stage.number(&format!(
            "SELECT sum(num_messages_read) FROM system.kafka_consumers WHERE database = '{DATABASE}'"
        ))?,
    };
    stage.query(&format!("DROP TABLE {DATABASE}.naive_view SYNC"))?;
    stage.query(&format!("DROP TABLE {DATABASE}.naive_queue SYNC"))?;
    Ok(naive)
}

/// Writes the rest evenly over the time, so that lag would grow and fall if the consumer got on.
fn look_on(
    stage: &Stage,
    feed: &mut Feed,
    watched_for: Duration,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<Look>, Failure> {
    let (started, seconds) = (Instant::now(), watched_for.as_secs().max(1));
    let mut looks = Vec::new();
    for second in 1..=seconds {
        feed.write_up_to(BEFORE + (PER_PARTITION - BEFORE) * second / seconds)?;
        thread::sleep(
            (started + LOOK_EVERY * u32::try_from(second).unwrap_or(1))
                .saturating_duration_since(Instant::now()),
        );
        let messages = feed.sent().messages;
        let look = Look { seconds: second, messages, rows: rows(stage)?, lag: stage.standing(GROUP)?.lag };
        say(&format!("{second} s: {} rows, lag {}", look.rows, look.lag));
        looks.push(look);
    }
    Ok(looks)
}

fn rows(stage: &Stage) -> Result<u64, Failure> {
    stage.number(&format!("SELECT count() FROM {DATABASE}.naive_events"))
}

/// What the engine last complained of, without where in its sources.
fn error(stage: &Stage) -> Result<String, Failure> {
    let sql = format!(
        "SELECT arrayElement(exceptions.text, -1) FROM system.kafka_consumers WHERE database = '{DATABASE}' \
         AND notEmpty(exceptions.text) LIMIT 1 FORMAT TSVRaw"
    );
    Ok(stage.query(&sql)?.lines().next().unwrap_or_default().to_owned())
}

fn statements(brokers: &str) -> [String; 3] {
    [
        format!(
            "CREATE TABLE {DATABASE}.naive_events (occurred_at DateTime64(3), event_id UUID, user_id UInt64, \
             kind LowCardinality(String)) ENGINE = MergeTree ORDER BY (kind, occurred_at)"
        ),
        format!(
            "CREATE TABLE {DATABASE}.naive_queue (record String) ENGINE = Kafka SETTINGS \
             kafka_broker_list = '{brokers}', kafka_topic_list = '{TOPIC}', kafka_group_name = '{GROUP}', \
             kafka_format = 'JSONAsString', kafka_flush_interval_ms = 500, kafka_poll_timeout_ms = 200"
        ),
        format!(
            "CREATE MATERIALIZED VIEW {DATABASE}.naive_view TO {DATABASE}.naive_events AS SELECT \
             parseDateTime64BestEffort(JSONExtractString(record, 'occurred_at'), 3) AS occurred_at, \
             toUUID(JSONExtractString(record, 'event_id')) AS event_id, \
             JSONExtractUInt(record, 'user_id') AS user_id, JSONExtractString(record, 'kind') AS kind \
             FROM {DATABASE}.naive_queue"
        ),
    ]
}
