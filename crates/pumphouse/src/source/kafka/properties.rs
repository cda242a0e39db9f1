//! The client properties of a stream's consumers: what the user said, then what delivery depends on.

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};

use crate::config::settings::{Kafka, Process, Stream};

/// Part of the process's memory that fetched, not yet decoded messages may take.
const FETCHED_SHARE: u64 = 8;
/// How many times as large JSON may be as its compressed form.
const UNPACKED: u64 = 8;
/// librdkafka's own bound for one partition's part of an answer.
const FETCH_BYTES_MAX: u64 = 1 << 20;
/// Bounds of one partition's queue of fetched messages, in KiB.
const QUEUE_KIB: std::ops::RangeInclusive<u64> = 256..=8 * 1024;

/// The name of a stream's consumer group.
#[must_use]
pub fn group(kafka: &Kafka, stream: &Stream) -> String {
    format!("{}.{}", kafka.group, stream.name)
}

/// Properties of a member of the stream's group, which reads a topic of `partitions` partitions.
///
/// What delivery depends on comes last and can't be overridden; the configuration refuses to try.
#[must_use]
pub fn member(kafka: &Kafka, process: &Process, stream: &Stream, partitions: usize) -> ClientConfig {
    let mut config = base(kafka);
    let queue = process.memory / FETCHED_SHARE / 1024 / u64::try_from(partitions.max(1)).unwrap_or(1);
    let queue = queue.clamp(*QUEUE_KIB.start(), *QUEUE_KIB.end());
    config
        .set("queued.max.messages.kbytes", queue.to_string())
        // Compressed bytes that one request brings; unpacked they are several times as many, and a queue that is
        // almost full takes one more answer.
        .set("fetch.message.max.bytes", (queue * 1024 / UNPACKED).min(FETCH_BYTES_MAX).to_string())
        // The default of a second starves a lane whose queues are kept small.
        .set("fetch.queue.backoff.ms", "20")
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
