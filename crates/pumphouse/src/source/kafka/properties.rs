//! The client properties of a stream's consumers, and of the producer of its dead letters: what the user said, then
//! what delivery depends on.

use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};

use crate::config::settings::{Kafka, Process, Stream};

/// Part of the process's memory that fetched, not yet decoded messages may take.
const FETCHED_SHARE: u64 = 8;
/// How many times as large JSON may be as its compressed form.
const UNPACKED: u64 = 8;
/// librdkafka's own bound for one partition's part of an answer.
const FETCH_BYTES_MAX: u64 = 1 << 20;
/// A broker that has less than this waits for more: with many partitions and few bytes in each, answers are otherwise so
/// small that asking costs more than what they bring.
const ANSWER_BYTES: u64 = 128 << 10;
/// For so long it waits. An event is up to this much later in its table.
const ANSWER_WITHIN: Duration = Duration::from_millis(100);
/// Bounds of one partition's queue of fetched messages, in KiB.
const QUEUE_KIB: std::ops::RangeInclusive<u64> = 256..=8 * 1024;

/// How long a rebalance may take where `max.poll.interval.ms` does not say. librdkafka's own five minutes are for
/// consumers that work between two polls; lanes poll all the time, and for so long the group waits for a member that does
/// not come back, and a member for an answer that was lost on its way.
const REBALANCE_TIME: Duration = Duration::from_mins(1);

/// Bytes of several dead letters that go to Kafka as one batch.
pub const BATCH_BYTES: usize = 128 << 10;
/// Bytes of dead letters that may wait for Kafka. A single one above this size goes without its value.
pub const QUEUED_BYTES_MAX: usize = 64 << 20;

/// The name of a stream's consumer group.
#[must_use]
pub fn group(kafka: &Kafka, stream: &Stream) -> String {
    format!("{}.{}", kafka.group, stream.name)
}

/// How long a rebalance of the stream's group may take.
#[must_use]
pub fn rebalance_time(kafka: &Kafka) -> Duration {
    let said = |name: &str| kafka.properties.get(name).and_then(|value| value.reveal().parse().ok());
    let said = |name| said(name).map(Duration::from_millis);
    // librdkafka refuses one below the session's time.
    said("max.poll.interval.ms")
        .unwrap_or_else(|| REBALANCE_TIME.max(said("session.timeout.ms").unwrap_or_default()))
}

/// Properties of a member of the stream's group, which reads a topic of `partitions` partitions.
///
/// What delivery depends on comes last and can't be overridden; the configuration refuses to try.
#[must_use]
pub fn member(kafka: &Kafka, process: &Process, stream: &Stream, partitions: usize) -> ClientConfig {
    let mut config = base(kafka);
    let queue = process.memory / FETCHED_SHARE / 1024 / u64::try_from(partitions.max(1)).unwrap_or(1);
    let queue = queue.clamp(*QUEUE_KIB.start(), *QUEUE_KIB.end());
    // Compressed bytes of a partition that one request brings; unpacked they are several times as many, and a queue that is
    // almost full takes one more answer.
    let bytes_max = (queue * 1024 / UNPACKED).min(FETCH_BYTES_MAX);
    // Two names of one property: where both are set, chance says which counts.
    let said_max = ["fetch.message.max.bytes", "max.partition.fetch.bytes"];
    let said_max = said_max.iter().find_map(|name| kafka.properties.get(*name)?.reveal().parse().ok());
    if said_max.is_none() {
        config.set("fetch.message.max.bytes", bytes_max.to_string());
    }
    // More than a partition may bring at all would never be there.
    let bytes_min = said_max.unwrap_or(bytes_max).min(ANSWER_BYTES);
    config
        .set("queued.max.messages.kbytes", queue.to_string())
        .set("fetch.min.bytes", bytes_min.to_string())
        .set("fetch.wait.max.ms", ANSWER_WITHIN.as_millis().to_string())
        // The default of a second starves a lane whose queues are kept small.
        .set("fetch.queue.backoff.ms", "20")
        .set("max.poll.interval.ms", rebalance_time(kafka).as_millis().to_string())
        .set("client.id", "pumphouse");
    if kafka.properties.get("group.protocol").is_none_or(|protocol| protocol.reveal() != "consumer") {
        config.set("partition.assignment.strategy", "cooperative-sticky");
    }
    said(&mut config, kafka);
    config
        .set("group.id", group(kafka, stream))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        // A bit that flipped on a disk is a record that says something else.
        .set("check.crcs", "true")
        // librdkafka takes an end-of-partition event out of a batch for a record: its own position moves one past
        // the end, and after the next cooperative rebalance it fetches from there and skips a record.
        .set("enable.partition.eof", "false");
    config
}

/// Properties of a reader that never joins the group: for claimed ranges and for questions at start.
#[must_use]
pub fn reader(kafka: &Kafka, stream: &Stream) -> ClientConfig {
    let mut config = base(kafka);
    config.set("client.id", "pumphouse-reader").set("fetch.queue.backoff.ms", "20");
    config.set("queued.max.messages.kbytes", "4096");
    for (name, value) in &kafka.properties {
        // A reader with the member's instance id would be fenced by it, or fence it.
        if !matches!(name.as_str(), "group.instance.id" | "group.protocol" | "group.remote.assignor") {
            config.set(name, value.reveal());
        }
    }
    config
        .set("group.id", group(kafka, stream))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("check.crcs", "true")
        .set("enable.partition.eof", "true");
    config
}

/// Properties of the producer of a stream's dead letters, whose answers come within `timeout`.
///
/// A letter in the topic has to be there for good before offsets pass it, and a slow broker must not double it.
#[must_use]
pub fn producer(kafka: &Kafka, timeout: Duration) -> ClientConfig {
    let mut config = base(kafka);
    config.set("client.id", "pumphouse-dead-letters").set("compression.type", "lz4").set("linger.ms", "5");
    for (name, value) in kafka.properties.iter().filter(|(name, _)| is_for_the_producer(name)) {
        config.set(name, value.reveal());
    }
    config
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("max.in.flight.requests.per.connection", "5")
        .set("retries", i32::MAX.to_string())
        .set("message.timeout.ms", timeout.as_millis().clamp(1_000, 900_000).to_string())
        .set("allow.auto.create.topics", "false")
        // The same partition for a key as from Kafka's own producers.
        .set("partitioner", "murmur2_random")
        // Whether a letter is too large is the topic's to say; a batch above this size holds a single one, so that a
        // refusal for size names it.
        .set("message.max.bytes", "1000000000")
        .set("batch.size", BATCH_BYTES.to_string())
        .set("queue.buffering.max.kbytes", (QUEUED_BYTES_MAX / 1024).to_string());
    config
}

/// Properties that mean nothing to a producer, of which librdkafka would warn.
const CONSUMERS: [&str; 9] = [
    "group.",
    "fetch.",
    "queued.",
    "heartbeat.",
    "session.",
    "coordinator.",
    "partition.assignment.strategy",
    "max.poll.interval.ms",
    "max.partition.fetch.bytes",
];
/// Other names of what delivery depends on, where chance would say which of two counts; and an order that an
/// idempotent producer can't keep.
const LEFT_OUT: [&str; 5] = [
    "request.required.acks",
    "max.in.flight",
    "message.send.max.retries",
    "delivery.timeout.ms",
    "queuing.strategy",
];

/// Whether a property is for the producer, too.
fn is_for_the_producer(name: &str) -> bool {
    !CONSUMERS
        .iter()
        .chain(&LEFT_OUT)
        .any(|left_out| if left_out.ends_with('.') { name.starts_with(left_out) } else { name == *left_out })
}

fn base(kafka: &Kafka) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &kafka.brokers).set("log.connection.close", "false");
    let level = if kafka.properties.contains_key("debug") {
        RDKafkaLogLevel::Debug
    } else {
        RDKafkaLogLevel::Warning
    };
    config.set_log_level(level);
    config
}

fn said(config: &mut ClientConfig, kafka: &Kafka) {
    for (name, value) in &kafka.properties {
        config.set(name, value.reveal());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    /// What a broker is to wait for, and the most that a partition brings at once, by either name.
    fn answers(properties: &str, partitions: usize) -> [Option<u64>; 3] {
        let file = format!(
            "clickhouse: {{ url: http://localhost:8123 }}\n\
             kafka: {{ brokers: localhost, properties: {{ {properties} }} }}\n\
             streams:\n  clicks: {{ from: {{ topic: clicks }}, columns: {{ ts: DateTime }}, table: {{ order_by: ts }} }}\n"
        );
        let settings = config::parse("f", &file, &|_| None).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let stream = settings.streams.values().next().expect("a stream");
        let config = member(&settings.kafka, &settings.process, stream, partitions);
        ["fetch.min.bytes", "fetch.message.max.bytes", "max.partition.fetch.bytes"]
            .map(|name| config.get(name).and_then(|value| value.parse().ok()))
    }

    #[test]
    fn a_broker_never_waits_for_more_than_a_partition_may_bring() {
        assert_eq!(answers("", 1), [Some(128 << 10), Some(1 << 20), None]);
        assert_eq!(answers("", 10_000), [Some(32 << 10), Some(32 << 10), None]);
        assert_eq!(answers(r#"max.partition.fetch.bytes: "1000""#, 1), [Some(1000), None, Some(1000)]);
        assert_eq!(answers(r#"fetch.message.max.bytes: "2000""#, 1), [Some(2000), Some(2000), None]);
        assert_eq!(answers(r#"fetch.message.max.bytes: "3000000""#, 1)[0], Some(128 << 10));
        assert_eq!(answers(r#"fetch.min.bytes: "1""#, 1)[0], Some(1));
    }
}
