//! librdkafka's mock cluster as the demo's Kafka: in this process, in memory, reachable by other processes.
//! Knows where a partition ends and what a group committed; knows nothing of the events in it.
//!
//! The mock keeps commit metadata of any length and groups with members of other processes. It silently drops
//! the oldest records of a partition past [`KEPT_BYTES`], so whoever produces must stay close to what was
//! committed.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka_sys as ffi;

/// What the mock keeps of a partition, in bytes of its (compressed) batches.
pub const KEPT_BYTES: u64 = 5 * 1024 * 1024;

/// How long the first member of an empty group waits for others to join. A real broker's 3 s would be dead
/// time at the start; much less, and a lane that comes late costs a rebalance of some seconds.
const FIRST_JOIN_DELAY_MS: i32 = 1_000;

/// How long a question to the mock may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the mock cluster does not serve.
#[derive(Debug, thiserror::Error)]
pub enum MockKafkaError {
    /// The cluster or a client of it could not be made.
    #[error("the demo's Kafka did not start: {0}")]
    Start(KafkaError),
    /// librdkafka has no mock cluster for the client that was to host it.
    #[error("the demo's Kafka did not start: librdkafka was built without its mock cluster")]
    Absent,
    /// A question stayed without an answer.
    #[error("the demo's Kafka did not answer: {0}")]
    Answer(#[from] KafkaError),
}

/// A running mock cluster with one broker and one topic. It ends when this value is dropped.
pub struct MockKafka {
    _host: ThreadedProducer<DefaultProducerContext>,
    brokers: String,
    topic: String,
    partitions: u32,
}

/// Asks the cluster for offsets; a client of its own, for one thread.
pub struct Offsets {
    consumer: BaseConsumer,
    topic: String,
    partitions: u32,
}

/// Where a partition begins and ends: offsets of the oldest record and of the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The oldest record that is still there.
    pub from: i64,
    /// The next record's offset.
    pub to: i64,
}

impl MockKafka {
    /// Starts a cluster with one topic.
    ///
    /// # Errors
    /// When librdkafka can't make the cluster or the topic.
    pub fn start(topic: &str, partitions: u32) -> Result<Self, MockKafkaError> {
        let host: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
            .set("test.mock.num.brokers", "1")
            .set("client.id", "pumphouse-demo-kafka")
            .set_log_level(RDKafkaLogLevel::Error)
            .create()
            .map_err(MockKafkaError::Start)?;
        let cluster = host.client().mock_cluster().ok_or(MockKafkaError::Absent)?;
        let count = i32::try_from(partitions).unwrap_or(i32::MAX);
        cluster.create_topic(topic, count, 1).map_err(MockKafkaError::Start)?;
        let brokers = cluster.bootstrap_servers();
        drop(cluster);
        // SAFETY: the handle belongs to `host`, which is alive, and its cluster was found just above; the
        // call takes the cluster's own lock. The rdkafka crate has no function for it.
        unsafe {
            let handle = ffi::rd_kafka_handle_mock_cluster(host.client().native_ptr());
            ffi::rd_kafka_mock_group_initial_rebalance_delay_ms(handle, FIRST_JOIN_DELAY_MS);
        }
        Ok(Self { _host: host, brokers, topic: topic.to_owned(), partitions })
    }

    /// The `bootstrap.servers` for clients in any process of this machine.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The number of its partitions.
    #[must_use]
    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    /// A client that reads offsets as a group sees them, without joining it.
    ///
    /// # Errors
    /// When librdkafka refuses the client.
    pub fn offsets(&self, group: &str) -> Result<Offsets, MockKafkaError> {
        let consumer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set_log_level(RDKafkaLogLevel::Error)
            .create()
            .map_err(MockKafkaError::Start)?;
        Ok(Offsets { consumer, topic: self.topic.clone(), partitions: self.partitions })
    }
}

impl Offsets {
    /// What the group committed, by partition; 0 where nothing is committed.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub fn committed(&self) -> Result<BTreeMap<u32, u64>, MockKafkaError> {
        let mut asked = TopicPartitionList::new();
        for partition in 0..self.partitions {
            asked.add_partition(&self.topic, i32::try_from(partition).unwrap_or(i32::MAX));
        }
        let answered = self.consumer.committed_offsets(asked, ANSWER_TIMEOUT)?;
        let offset = |partition| {
            let element = answered.find_partition(&self.topic, i32::try_from(partition).ok()?)?;
            u64::try_from(element.offset().to_raw()?).ok()
        };
        Ok((0..self.partitions).map(|partition| (partition, offset(partition).unwrap_or(0))).collect())
    }

    /// What the cluster still has of a partition.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub fn kept(&self, partition: u32) -> Result<Kept, MockKafkaError> {
        let partition = i32::try_from(partition).unwrap_or(i32::MAX);
        let (from, to) = self.consumer.fetch_watermarks(&self.topic, partition, ANSWER_TIMEOUT)?;
        Ok(Kept { from, to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    use rdkafka::Offset;
    use rdkafka::consumer::CommitMode;
    use rdkafka::message::Message;

    use crate::demo::bad::BadKind;
    use crate::demo::events::{Expected, Generator, Place};
    use crate::demo::producer::EventProducer;

    fn reader(kafka: &MockKafka, group: &str) -> BaseConsumer {
        ClientConfig::new()
            .set("bootstrap.servers", kafka.brokers())
            .set("group.id", group)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .create()
            .expect("a consumer")
    }

    #[test]
    fn what_was_produced_is_read_back_byte_for_byte_with_empty_values_kept() {
        let kafka = MockKafka::start("events", 3).expect("a cluster");
        let generator = Generator::new(11, 200);
        let mut producer = EventProducer::new(kafka.brokers(), "events", 3, generator).expect("a producer");
        for number in 0..3_000 {
            producer.send_next(number % 3, 1_795_255_323_456).expect("taken");
        }
        let tally = producer.finish().expect("all acknowledged");
        assert_eq!(tally.events, 3_000);
        assert!(tally.bad_by_kind[BadKind::Empty.name()] > 0);

        let consumer = reader(&kafka, "g");
        consumer.subscribe(&["events"]).expect("subscribed");
        let deadline = Instant::now() + Duration::from_mins(1);
        let (mut read, mut bad, mut event) = (0, 0, Vec::new());
        while read < 3_000 && Instant::now() < deadline {
            let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
            let message = message.expect("a record");
            let partition = u32::try_from(message.partition()).expect("a partition");
            let place = Place { partition, sequence: u64::try_from(message.offset()).expect("an offset") };
            let expected =
                generator.write(place, message.timestamp().to_millis().expect("a time"), &mut event);
            assert_eq!(message.payload(), Some(event.as_slice()), "{expected:?} at {place:?}");
            bad += u64::from(expected != Expected::Good);
            read += 1;
        }
        assert_eq!((read, bad), (3_000, tally.bad()));
        let offsets = kafka.offsets("g").expect("offsets");
        assert_eq!(offsets.kept(2).expect("an answer"), Kept { from: 0, to: 1_000 });
    }

    #[test]
    fn committed_offsets_and_their_metadata_survive_the_member_that_wrote_them() {
        let kafka = MockKafka::start("events", 2).expect("a cluster");
        let metadata = "x".repeat(4_000);
        let writer = reader(&kafka, "g");
        let mut commit = TopicPartitionList::new();
        commit.add_partition_offset("events", 1, Offset::Offset(17)).expect("an offset");
        commit.elements().into_iter().for_each(|mut element| element.set_metadata(metadata.as_str()));
        writer.commit(&commit, CommitMode::Sync).expect("committed");
        drop(writer);

        let offsets = kafka.offsets("g").expect("offsets");
        assert_eq!(offsets.committed().expect("an answer"), BTreeMap::from([(0, 0), (1, 17)]));
        let mut asked = TopicPartitionList::new();
        asked.add_partition("events", 1);
        let answered = offsets.consumer.committed_offsets(asked, ANSWER_TIMEOUT).expect("an answer");
        let element = answered.find_partition("events", 1).expect("the partition");
        assert_eq!(element.metadata(), metadata);
        assert_eq!(kafka.offsets("other").expect("offsets").committed().expect("an answer")[&1], 0);
    }
}
