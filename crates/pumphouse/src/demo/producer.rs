//! Sends generated records to Kafka and keeps account of what was asked and what was acknowledged. Does not
//! decide when a record is due: its callers keep the pace.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::statistics::Statistics;
use serde::Serialize;

use super::bad::BadKind;
use super::events::{Expected, Generator, Place};

/// How long a record may wait for its acknowledgement.
const DELIVERY_TIMEOUT: Duration = Duration::from_mins(1);

/// How often librdkafka says how well it compresses.
const STATISTICS_EVERY: Duration = Duration::from_millis(250);

/// Why records could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// librdkafka refused to take a record or a property.
    #[error("Kafka takes no records for `{topic}`: {cause}")]
    Refused {
        /// The topic.
        topic: String,
        /// What librdkafka said.
        cause: KafkaError,
    },
    /// Records were not acknowledged.
    #[error("{missing} of {asked} records for `{topic}` were not acknowledged; first reason: {reason}")]
    Unacknowledged {
        /// The topic.
        topic: String,
        /// Records that failed, or were still waiting at the end.
        missing: u64,
        /// Records handed over.
        asked: u64,
        /// What was said of the first one.
        reason: String,
    },
}

/// What one partition was sent, and where the acknowledged records stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PartitionTally {
    /// Records handed over.
    pub events: u64,
    /// Those of them that can't become rows.
    pub bad: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// Records that the broker acknowledged.
    pub acknowledged: u64,
    /// The lowest acknowledged offset.
    pub first_offset: Option<i64>,
    /// The highest acknowledged offset.
    pub last_offset: Option<i64>,
}

/// What was sent in all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Records handed over.
    pub events: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// Bad records by the name of their kind.
    pub bad_by_kind: BTreeMap<&'static str, u64>,
    /// The same by partition.
    pub by_partition: BTreeMap<u32, PartitionTally>,
}

impl Tally {
    /// Records that can't become rows.
    #[must_use]
    pub fn bad(&self) -> u64 {
        self.bad_by_kind.values().sum()
    }
}

/// Sends the records of one generator to one topic, each partition in sequence.
pub struct EventProducer {
    producer: BaseProducer<Acknowledgements>,
    generator: Generator,
    topic: String,
    sent: Vec<PartitionTally>,
    bad_by_kind: [u64; BadKind::ALL.len()],
    event: Vec<u8>,
}

impl EventProducer {
    /// A producer for `partitions` partitions of a topic; idempotent, compressed, in the order of sending.
    ///
    /// # Errors
    /// When librdkafka refuses the brokers' text.
    pub fn new(brokers: &str, topic: &str, partitions: u32, generator: Generator) -> Result<Self, SendError> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("client.id", "pumphouse-produce")
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("linger.ms", "20")
            .set("message.timeout.ms", DELIVERY_TIMEOUT.as_millis().to_string())
            .set("queue.buffering.max.kbytes", "65536")
            .set("statistics.interval.ms", STATISTICS_EVERY.as_millis().to_string())
            .set_log_level(RDKafkaLogLevel::Warning)
            .create_with_context(Acknowledgements::default())
            .map_err(|cause| SendError::Refused { topic: topic.to_owned(), cause })?;
        Ok(Self {
            producer,
            generator,
            topic: topic.to_owned(),
            sent: vec![PartitionTally::default(); partitions as usize],
            bad_by_kind: [0; BadKind::ALL.len()],
            event: Vec::with_capacity(1024),
        })
    }

    /// Hands over the next record of a partition, stamped with `time` in milliseconds since 1970-01-01 UTC.
    /// Waits while the queue is full. Returns the bytes of its value.
    ///
    /// # Errors
    /// When librdkafka takes no more records: a fatal error.
    pub fn send_next(&mut self, partition: u32, time: i64) -> Result<u64, SendError> {
        let tally = &mut self.sent[partition as usize];
        let place = Place { partition, sequence: tally.events };
        if let Expected::Bad(kind) = self.generator.write(place, time, &mut self.event) {
            tally.bad += 1;
            self.bad_by_kind[kind.index()] += 1;
        }
        let bytes = self.event.len() as u64;
        tally.events += 1;
        tally.bytes += bytes;
        let mut record = BaseRecord::<(), [u8]>::to(&self.topic)
            .partition(i32::try_from(partition).unwrap_or(i32::MAX))
            .timestamp(time)
            .payload(&self.event);
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(bytes),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                    record = refused;
                    self.producer.poll(Duration::from_millis(50));
                }
                Err((cause, _)) => return Err(SendError::Refused { topic: self.topic.clone(), cause }),
            }
        }
    }

    /// Takes in acknowledgements for at most `wait`.
    pub fn poll(&self, wait: Duration) {
        self.producer.poll(wait);
    }

    /// Records handed over so far, over all partitions.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.sent.iter().map(|tally| tally.events).sum()
    }

    /// Records that the brokers acknowledged so far, over all partitions.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        let counts = self.producer.context().lock();
        counts.by_partition.values().map(|offsets| offsets.count).sum()
    }

    /// Bytes on the wire for each byte of records, as far as it is known: what compression leaves.
    #[must_use]
    pub fn wire_share(&self) -> Option<f64> {
        self.producer.context().lock().wire_share
    }

    /// Waits until every record is acknowledged or failed.
    ///
    /// # Errors
    /// When any of them was not acknowledged.
    pub fn finish(self) -> Result<Tally, SendError> {
        let deadline = Instant::now() + DELIVERY_TIMEOUT + Duration::from_secs(5);
        while self.producer.in_flight_count() > 0 && Instant::now() < deadline {
            self.producer.poll(Duration::from_millis(20));
        }
        let tally = self.tally();
        let acknowledged: u64 = tally.by_partition.values().map(|partition| partition.acknowledged).sum();
        if acknowledged == tally.events {
            return Ok(tally);
        }
        let reason = self.producer.context().lock().first_failure.clone();
        Err(SendError::Unacknowledged {
            topic: self.topic,
            missing: tally.events - acknowledged,
            asked: tally.events,
            reason: reason.unwrap_or_else(|| "no answer in time".to_owned()),
        })
    }

    fn tally(&self) -> Tally {
        let counts = self.producer.context().lock();
        let mut tally = Tally::default();
        for (partition, sent) in (0..).zip(&self.sent) {
            let offsets = counts.by_partition.get(&partition);
            let sent = PartitionTally {
                acknowledged: offsets.map_or(0, |offsets| offsets.count),
                first_offset: offsets.map(|offsets| offsets.first),
                last_offset: offsets.map(|offsets| offsets.last),
                ..*sent
            };
            tally.events += sent.events;
            tally.bytes += sent.bytes;
            tally.by_partition.insert(partition, sent);
        }
        let kinds = BadKind::ALL.into_iter().zip(self.bad_by_kind).filter(|(_, count)| *count > 0);
        tally.bad_by_kind = kinds.map(|(kind, count)| (kind.name(), count)).collect();
        tally
    }
}

/// What the brokers answered.
#[derive(Default)]
struct Acknowledgements(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    by_partition: BTreeMap<u32, Offsets>,
    first_failure: Option<String>,
    wire_share: Option<f64>,
}

struct Offsets {
    count: u64,
    first: i64,
    last: i64,
}

impl Acknowledgements {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Acknowledgements {
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
    fn stats(&self, statistics: Statistics) {
        if statistics.txmsg_bytes > 0 {
            self.lock().wire_share = Some(statistics.tx_bytes as f64 / statistics.txmsg_bytes as f64);
        }
    }
}

impl ProducerContext for Acknowledgements {
    type DeliveryOpaque = ();

    fn delivery(&self, answer: &DeliveryResult<'_>, (): ()) {
        let mut counts = self.lock();
        match answer {
            Ok(message) => {
                let partition = u32::try_from(message.partition()).unwrap_or(u32::MAX);
                let offset = message.offset();
                let offsets = counts.by_partition.entry(partition).or_insert(Offsets {
                    count: 0,
                    first: offset,
                    last: offset,
                });
                offsets.count += 1;
                offsets.first = offsets.first.min(offset);
                offsets.last = offsets.last.max(offset);
            }
            Err((error, _)) => {
                counts.first_failure.get_or_insert_with(|| error.to_string());
            }
        }
    }
}
